//! What is asked of the drive: the calls with their cost, their addresses, and a request that can be sent more than once.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use url::Url;

use crate::error::Kind;
use crate::net;
use crate::remote::{FileId, RemoteError, Result};

/// One sort of request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The drive's name for it, in errors and counters.
    pub(super) name: &'static str,
    /// Its cost in quota units, from Google's table of May 2026.
    pub(super) units: u32,
    /// Content goes with it or comes with its answer: it takes a connection of its own.
    pub(super) media: bool,
    /// It is part of an upload.
    pub(super) upload: bool,
    /// Its address is a secret.
    pub(super) secret: bool,
}

impl Call {
    const fn new(name: &'static str, units: u32) -> Self {
        Self { name, units, media: false, upload: false, secret: false }
    }

    const fn media(self) -> Self {
        Self { media: true, ..self }
    }

    const fn upload(self) -> Self {
        Self { upload: true, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// What is no single request.
pub(super) const ROOT: Call = Call::new("drive", 0);
pub(super) const ABOUT: Call = Call::new("about.get", 5);
pub(super) const GET: Call = Call::new("files.get", 5);
pub(super) const LIST: Call = Call::new("files.list", 100);
pub(super) const DRIVES: Call = Call::new("drives.list", 100);
pub(super) const CURSOR: Call = Call::new("changes.getStartPageToken", 5);
pub(super) const CHANGES: Call = Call::new("changes.list", 100);
pub(super) const IDS: Call = Call::new("files.generateIds", 5);
pub(super) const CREATE: Call = Call::new("files.create", 50);
pub(super) const UPDATE: Call = Call::new("files.update", 50);
pub(super) const COPY: Call = Call::new("files.copy", 50);
pub(super) const DELETE: Call = Call::new("files.delete", 50);
pub(super) const DOWNLOAD: Call = Call::new("download", 200).media();
// As costly as a download, by the same table.
pub(super) const EXPORT: Call = Call::new("files.export", 200).media();
pub(super) const UPLOAD: Call = Call::new("upload", 50).media().upload();
// What a session costs is not in the table: its start counts as an edit here, its pieces as nothing.
pub(super) const BEGIN: Call = Call::new("upload.begin", 50).upload();
pub(super) const SEND: Call = Call::new("upload.send", 0).media().upload().secret();
pub(super) const PROGRESS: Call = Call::new("upload.progress", 0).upload().secret();

/// The addresses below one root.
#[derive(Debug, Clone)]
pub(super) struct Addresses(Url);

impl Addresses {
    /// Below `root`, e.g. `https://www.googleapis.com`.
    pub(super) fn new(root: Url) -> Result<Self> {
        let usable = matches!(root.scheme(), "http" | "https") && root.has_host() && !root.cannot_be_a_base();
        usable
            .then_some(Self(root))
            .ok_or_else(|| RemoteError::new(Kind::Invalid, ROOT.name, "the drive's address is no web address"))
    }

    /// Of a collection or method, e.g. `["files"]`.
    pub(super) fn of(&self, path: &[&str]) -> Url {
        self.below(&["drive", "v3"], path)
    }

    /// Of a collection that takes uploads.
    pub(super) fn of_upload(&self, path: &[&str]) -> Url {
        self.below(&["upload", "drive", "v3"], path)
    }

    /// Whether an address that the drive gave leads to the same drive, so that a token may go there: to the server that is asked,
    /// or, if that is Google's, to any of Google's.
    pub(super) fn include(&self, url: &Url) -> bool {
        url.origin() == self.0.origin() || net::is_googles(&self.0) && net::is_googles(url)
    }

    fn below(&self, service: &[&str], path: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(service).extend(path);
        }
        url.set_query(None);
        url
    }
}

/// An id as a part of a path. Ids are opaque, but some texts would address something else than an item: a collection above,
/// or a method that shares the shape of the path (`DELETE files/trash` empties the trash).
pub(super) fn item(id: &FileId) -> Result<&str> {
    match id.0.as_str() {
        "" | "." | ".." | "trash" | "generateIds" | "generateCseToken" => {
            Err(RemoteError::new(Kind::NotFound, ROOT.name, "not found: this cannot be the id of an item"))
        }
        id => Ok(id),
    }
}

/// A request, whole but for the token. Not `Debug`: its address may be that of an upload session.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) call: Call,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The body in order.
    pub(super) body: Vec<Bytes>,
}

impl Request {
    /// Without a body; answers come as compact JSON.
    pub(super) fn new(call: Call, method: Method, url: Url) -> Self {
        Self::raw(call, method, url).query("prettyPrint", "false")
    }

    /// Without a body, to exactly this address.
    pub(super) fn raw(call: Call, method: Method, url: Url) -> Self {
        Self { call, method, url, headers: HeaderMap::new(), body: Vec::new() }
    }

    /// Adds a parameter.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Asks for the feed of a shared drive, if it is one.
    pub(super) fn of_drive(self, drive: Option<&FileId>) -> Self {
        match drive {
            Some(drive) => self.query("driveId", &drive.0),
            None => self,
        }
    }

    /// Adds the declaration without which items of shared drives look absent.
    pub(super) fn all_drives(self) -> Self {
        self.query("supportsAllDrives", "true")
    }

    /// Sets a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Gives it a JSON body.
    pub(super) fn json(mut self, value: &impl Serialize) -> Result<Self> {
        self.body = vec![json(self.call, value)?];
        Ok(self.header(CONTENT_TYPE, HeaderValue::from_static(JSON)))
    }
}

/// The media type of JSON as Drive spells it.
pub(super) const JSON: &str = "application/json; charset=UTF-8";

/// `value` as JSON.
pub(super) fn json(call: Call, value: &impl Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from)
        .map_err(|error| RemoteError::new(Kind::Invalid, call.name, format!("cannot be said in JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(root: &str) -> Addresses {
        Addresses::new(Url::parse(root).expect("an address")).expect("a root")
    }

    #[test]
    fn addresses_are_built_below_any_root() {
        for (root, expected) in [
            ("https://www.googleapis.com", "https://www.googleapis.com/drive/v3/files/a"),
            ("http://127.0.0.1:80/", "http://127.0.0.1/drive/v3/files/a"),
            ("http://host/proxy/drive", "http://host/proxy/drive/drive/v3/files/a"),
            ("http://host/proxy/?x=1", "http://host/proxy/drive/v3/files/a"),
        ] {
            assert_eq!(addresses(root).of(&["files", "a"]).as_str(), expected);
        }
        let upload = addresses("https://www.googleapis.com").of_upload(&["files"]);
        assert_eq!(upload.as_str(), "https://www.googleapis.com/upload/drive/v3/files");
        for bad in ["mailto:a@b", "file:///etc", "data:x"] {
            assert!(Addresses::new(Url::parse(bad).expect("an address")).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_go_to_the_drive_alone() {
        let includes = |root: &str, url: &str| addresses(root).include(&Url::parse(url).expect("an address"));
        assert!(includes("https://www.googleapis.com", "https://docs.google.com/document/d/a/export"));
        assert!(includes("http://127.0.0.1:8080/api", "http://127.0.0.1:8080/document/d/a/export"));
        assert!(!includes("https://www.googleapis.com", "https://docs.google.com.example/"));
        assert!(!includes("https://www.googleapis.com", "http://docs.google.com/"));
        assert!(!includes("http://127.0.0.1:8080", "https://docs.google.com/"));
        assert!(!includes("http://127.0.0.1:8080", "http://127.0.0.1:8081/"));
    }

    #[test]
    fn an_id_stays_one_part_of_a_path() {
        let id = FileId("a/b?c#d e%2F..".into());
        let url = addresses("http://host").of(&["files", item(&id).expect("an id")]);
        assert_eq!(url.as_str(), "http://host/drive/v3/files/a%2Fb%3Fc%23d%20e%252F..");
    }

    #[test]
    fn what_addresses_something_else_is_no_id() {
        for bad in ["", ".", "..", "trash", "generateIds"] {
            assert_eq!(item(&FileId(bad.into())).expect_err("no id").kind, Kind::NotFound, "{bad:?}");
        }
    }
}
