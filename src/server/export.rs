//! Documents of online editors as other formats.
//!
//! The drive has no editors, so its documents are empty, and an export is what an empty document is in that format: few
//! bytes, always the same.

use serde_json::{Map, Value, json};

/// One format that a document can be had in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub mime_type: &'static str,
    pub content: &'static str,
}

const DOCUMENT: &[Format] = &[
    // The real service begins text with a byte order mark too.
    Format { mime_type: "text/plain", content: "\u{feff}" },
    Format { mime_type: "text/html", content: "<html><head></head><body></body></html>" },
    Format { mime_type: "text/markdown", content: "\n" },
    Format { mime_type: "application/rtf", content: "{\\rtf1\\ansi}" },
];
const SPREADSHEET: &[Format] =
    &[Format { mime_type: "text/csv", content: "" }, Format { mime_type: "text/tab-separated-values", content: "" }];
const PRESENTATION: &[Format] = &[Format { mime_type: "text/plain", content: "\u{feff}" }];
const DRAWING: &[Format] =
    &[Format { mime_type: "image/svg+xml", content: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>" }];
const SCRIPT: &[Format] =
    &[Format { mime_type: "application/vnd.google-apps.script+json", content: "{\"files\": []}" }];

const EDITORS: [(&str, &[Format]); 5] = [
    ("application/vnd.google-apps.document", DOCUMENT),
    ("application/vnd.google-apps.spreadsheet", SPREADSHEET),
    ("application/vnd.google-apps.presentation", PRESENTATION),
    ("application/vnd.google-apps.drawing", DRAWING),
    ("application/vnd.google-apps.script", SCRIPT),
];

/// The formats that an item of this type can be had in: none for anything but documents, and for some of those.
pub(crate) fn formats(mime_type: &str) -> &'static [Format] {
    EDITORS.iter().find(|(editor, _)| *editor == mime_type).map_or(&[], |(_, formats)| formats)
}

/// All of them, as `about` shows them.
pub(crate) fn table() -> Value {
    let row = |formats: &[Format]| json!(formats.iter().map(|format| format.mime_type).collect::<Vec<_>>());
    let rows = EDITORS.iter().map(|(editor, formats)| ((*editor).to_owned(), row(formats)));
    Value::Object(rows.collect::<Map<_, _>>())
}
