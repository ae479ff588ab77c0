//! Scopes: what a token may be used for, and what each call asks for.

use std::fmt;

use http::Method;

use super::super::caller::Files;
use super::super::export::formats::LINKED;

const PREFIX: &str = "https://www.googleapis.com/auth/";

/// Short names, and what a person reads of them.
const KNOWN: [(&str, &str); 9] = [
    ("drive", "See, edit, create and delete all of your files"),
    ("drive.file", "See, edit, create and delete the files you use with this app"),
    ("drive.appdata", "See, create and delete this app's own configuration data"),
    ("drive.readonly", "See and download all your files"),
    ("drive.metadata", "View and manage the metadata of your files"),
    ("drive.metadata.readonly", "See information about your files"),
    ("drive.photos.readonly", "View the photos, videos and albums among your files"),
    ("drive.meet.readonly", "See and download your files that were created or edited by Meet"),
    ("drive.scripts", "Modify the behaviour of your scripts"),
];

const ALL: &[&str] = &["drive"];
const READ_ALL: &[&str] = &["drive", "drive.readonly"];
const MAKE: &[&str] = &["drive", "drive.file", "drive.appdata"];
const SHARE: &[&str] = &["drive", "drive.file"];
const UPDATE: &[&str] = &["drive", "drive.file", "drive.appdata", "drive.metadata", "drive.scripts"];
const COPY: &[&str] = &["drive", "drive.file", "drive.appdata", "drive.photos.readonly"];
const EXPORT: &[&str] = &["drive", "drive.file", "drive.readonly", "drive.meet.readonly"];
const FETCH: &[&str] = &["drive", "drive.file", "drive.readonly"];
const ABOUT: &[&str] = &[
    "drive",
    "drive.file",
    "drive.appdata",
    "drive.readonly",
    "drive.metadata",
    "drive.metadata.readonly",
    "drive.photos.readonly",
];
const LOOK: &[&str] = &[
    "drive",
    "drive.file",
    "drive.appdata",
    "drive.readonly",
    "drive.metadata",
    "drive.metadata.readonly",
    "drive.meet.readonly",
    "drive.photos.readonly",
];
/// As [`LOOK`], without what is for metadata only.
const CONTENT: &[&str] =
    &["drive", "drive.file", "drive.appdata", "drive.readonly", "drive.meet.readonly", "drive.photos.readonly"];

/// The scopes of which a call needs one. `route` is the path as the router has it; `is_media` is whether content is asked for.
/// What is not in the table needs the whole drive.
pub(crate) fn accepted(method: &Method, route: &str, is_media: bool) -> &'static [&'static str] {
    let (resource, is_upload) = match (route.strip_prefix("/drive/v3/"), route.strip_prefix("/upload/drive/v3/")) {
        (Some(resource), _) => (resource, false),
        (None, Some(resource)) => (resource, true),
        (None, None) if route == LINKED => return EXPORT,
        (None, None) => return ALL,
    };
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    match (method, resource) {
        // A session goes on with what it began with. Who may change what is said of a file may not change the file: new
        // content takes what making it takes.
        ("POST" | "PUT" | "DELETE", "files") | ("PATCH" | "PUT" | "POST" | "DELETE", "files/{id}") if is_upload => MAKE,
        _ if is_upload => ALL,
        ("GET", "files/{id}" | "files/{id}/revisions/{revision}") if is_media => CONTENT,
        (
            "GET",
            "files"
            | "files/{id}"
            | "changes"
            | "changes/startPageToken"
            | "files/{id}/revisions"
            | "files/{id}/revisions/{revision}",
        ) => LOOK,
        ("POST", "files")
        | ("DELETE", "files/{id}" | "files/{id}/revisions/{revision}")
        | ("GET", "files/generateIds")
        | ("PATCH", "files/{id}/revisions/{revision}") => MAKE,
        ("PATCH", "files/{id}") => UPDATE,
        ("POST", "files/{id}/copy") => COPY,
        ("GET", "files/{id}/export" | "operations/{name}") => EXPORT,
        ("POST", "files/{id}/download") => FETCH,
        ("GET", "about") => ABOUT,
        ("GET", "drives" | "drives/{id}") => READ_ALL,
        ("GET", permissions) if permissions.starts_with("files/{id}/permissions") => LOOK,
        (_, permissions) if permissions.starts_with("files/{id}/permissions") => SHARE,
        _ => ALL,
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<&'static str>);

impl Scopes {
    /// Reads scopes separated by spaces. `None` if one is unknown.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut scopes = Self::default();
        for scope in text.split_ascii_whitespace() {
            let name = match scope.strip_prefix(PREFIX)? {
                "drive.appfolder" => "drive.appdata",
                name => name,
            };
            let (name, _) = KNOWN.iter().find(|(known, _)| *known == name)?;
            if !scopes.0.contains(name) {
                scopes.0.push(name);
            }
        }
        Some(scopes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of `accepted` is among them.
    pub(crate) fn cover(&self, accepted: &[&str]) -> bool {
        self.0.iter().any(|scope| accepted.contains(scope))
    }

    /// Whether all of them are among `others`.
    pub(crate) fn are_within(&self, others: &[&str]) -> bool {
        self.0.iter().all(|scope| others.contains(scope))
    }

    /// Which files they reach. (There are no photos here, no meetings and no scripts.)
    pub(crate) fn files(&self) -> Files {
        let reached = self.0.iter().map(|scope| match *scope {
            "drive" | "drive.readonly" | "drive.metadata" | "drive.metadata.readonly" => Files::All,
            "drive.file" => Files::OfApp,
            _ => Files::None,
        });
        reached.max().unwrap_or(Files::None)
    }

    /// Whether they reach the hidden folder of the application.
    pub(crate) fn reach_app_data(&self) -> bool {
        self.0.contains(&"drive.appdata")
    }

    /// Short names.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.0
    }

    /// Those that `keeps` says.
    pub(crate) fn only(mut self, keeps: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|scope| keeps(scope));
        self
    }
}

/// What a person reads of a scope.
pub(crate) fn description(name: &str) -> &'static str {
    KNOWN.iter().find(|(known, _)| *known == name).map_or("", |(_, description)| description)
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            write!(f, "{}{PREFIX}{scope}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_in_their_full_form_and_unknown_ones_refused() {
        let text = "https://www.googleapis.com/auth/drive.file  https://www.googleapis.com/auth/drive.appfolder";
        let scopes = Scopes::parse(text).expect("known");
        assert_eq!(scopes.names(), ["drive.file", "drive.appdata"]);
        assert_eq!(Scopes::parse(&scopes.to_string()), Some(scopes));
        assert_eq!(Scopes::parse("drive"), None);
        assert_eq!(Scopes::parse("https://www.googleapis.com/auth/calendar"), None);
    }

    #[test]
    fn what_is_not_in_the_table_needs_the_whole_drive() {
        assert_eq!(accepted(&Method::DELETE, "/drive/v3/files/trash", false), ALL);
        assert_eq!(accepted(&Method::POST, "/drive/v3/unheard-of", false), ALL);
        assert_eq!(accepted(&Method::GET, "/drive/v3/files/{id}", true), CONTENT);
        assert_eq!(accepted(&Method::GET, "/drive/v3/files/{id}", false), LOOK);
        assert_eq!(accepted(&Method::PUT, "/upload/drive/v3/files", false), MAKE);
        assert_eq!(accepted(&Method::PATCH, "/upload/drive/v3/files/{id}", false), MAKE);
        assert_eq!(accepted(&Method::PATCH, "/drive/v3/files/{id}", false), UPDATE);
    }
}
