//! The methods of the API by name, and what each costs in quota units: what scripts of trouble and the meter go by.
//!
//! Names are those of the discovery document, with `get_media` for content, and names of its own for uploads, which the
//! document knows by their paths alone.

use http::Method;

use super::params::Params;

/// Requests that are for no method.
pub(crate) const UNKNOWN: &str = "unknown";

const READ: u64 = 5;
const EDIT: u64 = 50;
const LIST: u64 = 100;
const DOWNLOAD: u64 = 200;

/// Each name with its price. The service tabulates classes of calls; the start of an upload is counted as the edit that it
/// leads to, and what is sent on it as any other call.
const PRICES: [(&str, u64); 38] = [
    ("about.get", READ),
    ("batch", 0),
    ("changes.getStartPageToken", READ),
    ("changes.list", LIST),
    ("drives.create", EDIT),
    ("drives.delete", EDIT),
    ("drives.get", READ),
    ("drives.hide", EDIT),
    ("drives.list", LIST),
    ("drives.unhide", EDIT),
    ("drives.update", EDIT),
    ("files.copy", EDIT),
    ("files.create", EDIT),
    ("files.delete", EDIT),
    ("files.download", DOWNLOAD),
    ("files.emptyTrash", EDIT),
    ("files.export", DOWNLOAD),
    ("files.generateIds", READ),
    ("files.get", READ),
    ("files.get_media", DOWNLOAD),
    ("files.list", LIST),
    ("files.update", EDIT),
    ("operations.get", READ),
    ("permissions.create", EDIT),
    ("permissions.delete", EDIT),
    ("permissions.get", READ),
    ("permissions.list", LIST),
    ("permissions.update", EDIT),
    ("revisions.delete", EDIT),
    ("revisions.get", READ),
    ("revisions.get_media", DOWNLOAD),
    ("revisions.list", LIST),
    ("revisions.update", EDIT),
    (UNKNOWN, 0),
    ("uploads.cancel", READ),
    ("uploads.send", READ),
    ("uploads.simple", EDIT),
    ("uploads.start", EDIT),
];

/// The names of all methods.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    PRICES.iter().map(|(name, _)| *name)
}

/// What a call of a method costs.
pub(crate) fn units(name: &str) -> u64 {
    PRICES.iter().find(|(known, _)| *known == name).map_or(0, |(_, units)| *units)
}

/// The method that a request is for.
pub(crate) fn name(method: &Method, path: &str, params: Option<&Params>) -> &'static str {
    let param = |name: &str| params.and_then(|params| params.get(name));
    let media = |media: &'static str, plain: &'static str| if param("alt") == Some("media") { media } else { plain };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method.as_str(), &segments[..]) {
        ("GET", ["drive", "v3", "about"]) => "about.get",
        ("GET", ["drive", "v3", "changes"]) => "changes.list",
        ("GET", ["drive", "v3", "changes", "startPageToken"]) => "changes.getStartPageToken",
        ("GET", ["drive", "v3", "drives"]) => "drives.list",
        ("POST", ["drive", "v3", "drives"]) => "drives.create",
        ("GET", ["drive", "v3", "drives", _]) => "drives.get",
        ("PATCH", ["drive", "v3", "drives", _]) => "drives.update",
        ("DELETE", ["drive", "v3", "drives", _]) => "drives.delete",
        ("POST", ["drive", "v3", "drives", _, "hide"]) => "drives.hide",
        ("POST", ["drive", "v3", "drives", _, "unhide"]) => "drives.unhide",
        ("GET", ["drive", "v3", "files"]) => "files.list",
        ("POST", ["drive", "v3", "files"]) => "files.create",
        ("GET", ["drive", "v3", "files", "generateIds"]) => "files.generateIds",
        ("DELETE", ["drive", "v3", "files", "trash"]) => "files.emptyTrash",
        ("GET", ["drive", "v3", "files", _]) => media("files.get_media", "files.get"),
        ("PATCH", ["drive", "v3", "files", _]) => "files.update",
        ("DELETE", ["drive", "v3", "files", _]) => "files.delete",
        ("POST", ["drive", "v3", "files", _, "copy"]) => "files.copy",
        ("POST", ["drive", "v3", "files", _, "download"]) => "files.download",
        ("GET", ["drive", "v3", "operations", _]) => "operations.get",
        ("GET", ["drive", "v3", "files", _, "export"] | ["document", "d", _, "export"]) => "files.export",
        ("GET", ["drive", "v3", "files", _, "permissions"]) => "permissions.list",
        ("POST", ["drive", "v3", "files", _, "permissions"]) => "permissions.create",
        ("GET", ["drive", "v3", "files", _, "permissions", _]) => "permissions.get",
        ("PATCH", ["drive", "v3", "files", _, "permissions", _]) => "permissions.update",
        ("DELETE", ["drive", "v3", "files", _, "permissions", _]) => "permissions.delete",
        ("GET", ["drive", "v3", "files", _, "revisions"]) => "revisions.list",
        ("GET", ["drive", "v3", "files", _, "revisions", _]) => media("revisions.get_media", "revisions.get"),
        ("PATCH", ["drive", "v3", "files", _, "revisions", _]) => "revisions.update",
        ("DELETE", ["drive", "v3", "files", _, "revisions", _]) => "revisions.delete",
        ("POST", ["batch"] | ["batch", "drive", "v3"]) => "batch",
        (verb, ["upload", "drive", "v3", "files"] | ["upload", "drive", "v3", "files", _]) => {
            match (verb, param("upload_id"), param("uploadType")) {
                ("DELETE", Some(_), _) => "uploads.cancel",
                ("PUT" | "POST", Some(_), _) => "uploads.send",
                ("POST" | "PATCH", None, Some("resumable")) => "uploads.start",
                ("POST" | "PATCH", None, Some(_)) => "uploads.simple",
                _ => UNKNOWN,
            }
        }
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_names_and_names_have_prices() {
        let named = |method: &str, target: &str| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            name(&method.parse().expect("a method"), path, Some(&Params::parse(query)))
        };
        for (method, target, expected, price) in [
            ("GET", "/drive/v3/files/x?alt=json", "files.get", 5),
            ("GET", "/drive/v3/files/x?alt=media", "files.get_media", 200),
            ("GET", "/drive/v3/files?q=a", "files.list", 100),
            ("GET", "/document/d/x/export?mimeType=y", "files.export", 200),
            ("POST", "/drive/v3/files/x/download", "files.download", 200),
            ("GET", "/drive/v3/operations/x", "operations.get", 5),
            ("GET", "/drive/v3/files/generateIds", "files.generateIds", 5),
            ("DELETE", "/drive/v3/files/trash", "files.emptyTrash", 50),
            ("POST", "/upload/drive/v3/files?uploadType=multipart", "uploads.simple", 50),
            ("PATCH", "/upload/drive/v3/files/x?uploadType=resumable", "uploads.start", 50),
            ("PUT", "/upload/drive/v3/files/x?uploadType=resumable&upload_id=y", "uploads.send", 5),
            ("POST", "/upload/drive/v3/files?upload_id=y", "uploads.send", 5),
            ("PUT", "/drive/v3/files/x", UNKNOWN, 0),
            ("GET", "/", UNKNOWN, 0),
        ] {
            let found = named(method, target);
            assert_eq!((found, units(found)), (expected, price), "{method} {target}");
        }
        assert!(PRICES.is_sorted());
    }
}
