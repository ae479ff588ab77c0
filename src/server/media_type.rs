//! Media types: what they say of an item, and guessing one for content that came without.

/// Folders.
pub(crate) const FOLDER: &str = "application/vnd.google-apps.folder";
/// Shortcuts.
pub(crate) const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
/// Bytes of which nothing is known.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

const GOOGLE_APPS: &str = "application/vnd.google-apps.";

/// Documents, by the editor that they belong to.
pub(crate) mod editor {
    pub(crate) const DOCUMENT: &str = "application/vnd.google-apps.document";
    pub(crate) const SPREADSHEET: &str = "application/vnd.google-apps.spreadsheet";
    pub(crate) const PRESENTATION: &str = "application/vnd.google-apps.presentation";
    pub(crate) const DRAWING: &str = "application/vnd.google-apps.drawing";
    pub(crate) const SCRIPT: &str = "application/vnd.google-apps.script";
    pub(crate) const FORM: &str = "application/vnd.google-apps.form";
    pub(crate) const JAM: &str = "application/vnd.google-apps.jam";
    #[cfg(test)]
    pub(crate) const VID: &str = "application/vnd.google-apps.vid";
}

/// The kinds of item, which a media type decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds other items.
    Folder,
    /// Leads to another item.
    Shortcut,
    /// Belongs to an online editor; has no bytes to be downloaded.
    Document,
    /// Has bytes.
    File,
}

impl Kind {
    pub(crate) fn of(mime_type: &str) -> Self {
        match mime_type {
            FOLDER => Self::Folder,
            SHORTCUT => Self::Shortcut,
            other if other.starts_with(GOOGLE_APPS) => Self::Document,
            _ => Self::File,
        }
    }
}

/// Whether a document of this type can be made without content.
pub(crate) fn is_creatable_document(mime_type: &str) -> bool {
    mime_type.strip_prefix(GOOGLE_APPS).is_some_and(|name| {
        let editors =
            ["document", "spreadsheet", "presentation", "drawing", "form", "script", "site", "map", "jam", "vid"];
        editors.contains(&name) || is_third_party(mime_type)
    })
}

/// Whether it is a shortcut of a third-party application, which may bear an id handed out before.
pub(crate) fn is_third_party(mime_type: &str) -> bool {
    let name = mime_type.strip_prefix(GOOGLE_APPS).unwrap_or_default();
    name == "drive-sdk" || name.starts_with("drive-sdk.")
}

/// The type of content with these first bytes, in a file of this name. The drive guesses when nobody said better.
pub(crate) fn guess(name: &str, start: &[u8]) -> &'static str {
    let signatures: [(&[u8], &str); 8] = [
        (b"%PDF-", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"\x1f\x8b", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"SQLite format 3\0", "application/x-sqlite3"),
        (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    ];
    if let Some((_, mime_type)) = signatures.iter().find(|(signature, _)| start.starts_with(signature)) {
        return mime_type;
    }
    if start.is_empty() || !is_text(start) {
        return OCTET_STREAM;
    }
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("html" | "htm") => "text/html",
        Some("css") => "text/css",
        Some("csv") => "text/csv",
        Some("json" | "ipynb") => "application/json",
        Some("js") => "text/javascript",
        Some("md") => "text/markdown",
        Some("py") => "text/x-python",
        Some("svg") => "image/svg+xml",
        Some("tsv") => "text/tab-separated-values",
        Some("xml") => "text/xml",
        _ => "text/plain",
    }
}

/// Whether bytes are the beginning of a text: UTF-8 without control characters that no text has.
fn is_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut in two.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_decide_the_kind() {
        assert_eq!(Kind::of(FOLDER), Kind::Folder);
        assert_eq!(Kind::of(SHORTCUT), Kind::Shortcut);
        assert_eq!(Kind::of("application/vnd.google-apps.document"), Kind::Document);
        assert_eq!(Kind::of("text/plain"), Kind::File);
        assert!(is_creatable_document("application/vnd.google-apps.drive-sdk.123"));
        assert!(!is_creatable_document("application/vnd.google-apps.folder"));
    }

    #[test]
    fn content_without_a_type_gets_a_guess() {
        for (name, start, expected) in [
            ("a.bin", &b"\x00\x01"[..], OCTET_STREAM),
            ("a", b"", OCTET_STREAM),
            ("a", b"hello\n", "text/plain"),
            ("train.PY", b"import os\n", "text/x-python"),
            ("a.py", b"\x00", OCTET_STREAM),
            ("a.txt", b"%PDF-1.4", "application/pdf"),
            ("cut.txt", b"gr\xc3", "text/plain"),
        ] {
            assert_eq!(guess(name, start), expected, "{name}");
        }
    }
}
