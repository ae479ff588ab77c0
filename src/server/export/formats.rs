//! Which formats documents can be had in, and made of: the tables of `about`.

use serde_json::{Map, Value, json};

use super::super::media_type::editor;

/// Where exports without a limit are, beside the page of the document.
pub(crate) const LINKED: &str = "/document/d/{id}/export";

/// One format that a document can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub mime_type: &'static str,
    /// The first bytes of a stand-in, by which the format is known; none for text.
    pub signature: &'static [u8],
}

const fn text(mime_type: &'static str) -> Format {
    Format { mime_type, signature: b"" }
}

const fn zipped(mime_type: &'static str) -> Format {
    Format { mime_type, signature: b"PK\x03\x04" }
}

const PDF: Format = Format { mime_type: "application/pdf", signature: b"%PDF-1.4\n" };
const JPEG: Format = Format { mime_type: "image/jpeg", signature: b"\xff\xd8\xff" };
const PNG: Format = Format { mime_type: "image/png", signature: b"\x89PNG\r\n\x1a\n" };
const SVG: Format = Format { mime_type: "image/svg+xml", signature: b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n" };
const RTF: Format = Format { mime_type: "application/rtf", signature: b"{\\rtf1\\ansi}\n" };
/// HTML with its pictures, packed.
const ZIP: Format = zipped("application/zip");

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const ODT: &str = "application/vnd.oasis.opendocument.text";
const ODS: &str = "application/vnd.oasis.opendocument.spreadsheet";
const OLD_ODS: &str = "application/x-vnd.oasis.opendocument.spreadsheet";
const ODP: &str = "application/vnd.oasis.opendocument.presentation";
const CSV: &str = "text/csv";
const TSV: &str = "text/tab-separated-values";
const SCRIPT: &str = "application/vnd.google-apps.script+json";

const EXPORTS: [(&str, &[Format]); 7] = [
    (
        editor::DOCUMENT,
        &[
            zipped(DOCX),
            zipped(ODT),
            RTF,
            PDF,
            text("text/plain"),
            text("text/html"),
            ZIP,
            zipped("application/epub+zip"),
            text("text/markdown"),
        ],
    ),
    (editor::SPREADSHEET, &[zipped(XLSX), zipped(ODS), zipped(OLD_ODS), PDF, ZIP, text(CSV), text(TSV)]),
    (editor::PRESENTATION, &[zipped(PPTX), zipped(ODP), PDF, text("text/plain"), JPEG, PNG, SVG]),
    (editor::DRAWING, &[PDF, JPEG, PNG, SVG]),
    (editor::SCRIPT, &[text(SCRIPT)]),
    (editor::FORM, &[ZIP, PDF]),
    (editor::JAM, &[ZIP, PDF]),
];

/// What documents are made of, and the most bytes of it. The sizes are those of Google's help pages.
const IMPORTS: [(&str, u64, &[&str]); 4] = [
    (
        editor::DOCUMENT,
        50 << 20,
        &[
            "text/plain",
            "text/html",
            "text/markdown",
            "text/rtf",
            "application/rtf",
            "application/msword",
            DOCX,
            ODT,
            // Their text is read off the picture by the real service, and not at all by this one.
            "application/pdf",
            "image/gif",
            "image/jpeg",
            "image/png",
        ],
    ),
    (editor::SPREADSHEET, 100 << 20, &[CSV, TSV, "application/vnd.ms-excel", XLSX, ODS, OLD_ODS]),
    (editor::PRESENTATION, 100 << 20, &["application/vnd.ms-powerpoint", PPTX, ODP]),
    (editor::SCRIPT, 10 << 20, &["application/json", SCRIPT]),
];

/// The formats that an item of this type can be had in: none for anything but documents, and for some of those.
pub(crate) fn formats(mime_type: &str) -> &'static [Format] {
    EXPORTS.iter().find(|(editor, _)| *editor == mime_type).map_or(&[], |(_, formats)| formats)
}

/// The most bytes of this type that a document of `editor` can be made of; `None` if it cannot be made of that.
pub(crate) fn import_limit(editor: &str, mime_type: &str) -> Option<u64> {
    let (_, limit, sources) = IMPORTS.iter().find(|(known, ..)| *known == editor)?;
    sources.contains(&mime_type).then_some(*limit)
}

/// Whether documents of `editor` can be made of anything.
pub(crate) fn is_importable(editor: &str) -> bool {
    IMPORTS.iter().any(|(known, ..)| *known == editor)
}

/// Whether bytes of this type are text.
pub(crate) fn is_text(mime_type: &str) -> bool {
    mime_type.starts_with("text/") || matches!(mime_type, "application/json" | SCRIPT)
}

/// What each sort of document can be had in.
pub(crate) fn exports_table() -> Value {
    let row = |formats: &[Format]| json!(formats.iter().map(|format| format.mime_type).collect::<Vec<_>>());
    let rows = EXPORTS.iter().map(|(editor, formats)| ((*editor).to_owned(), row(formats)));
    Value::Object(rows.collect())
}

/// What can become which sort of document.
pub(crate) fn imports_table() -> Value {
    let mut table = Map::new();
    for (editor, _, sources) in IMPORTS {
        table.extend(sources.iter().map(|source| ((*source).to_owned(), json!([editor]))));
    }
    Value::Object(table)
}

/// The most bytes that a document can be made of.
pub(crate) fn import_sizes() -> Value {
    Value::Object(IMPORTS.iter().map(|(editor, limit, _)| ((*editor).to_owned(), json!(limit.to_string()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_text_can_be_had_as_it() {
        for (editor, _, sources) in IMPORTS {
            let formats = formats(editor);
            assert!(!formats.is_empty(), "{editor}");
            for source in sources.iter().filter(|source| is_text(source)) {
                assert!(formats.iter().any(|format| is_text(format.mime_type)), "{source}");
            }
        }
        assert_eq!(import_limit(editor::DOCUMENT, "text/csv"), None);
        assert!(formats("text/plain").is_empty() && formats(editor::VID).is_empty());
    }

    #[test]
    fn text_has_no_signature_and_all_else_has_one() {
        for format in EXPORTS.iter().flat_map(|(_, formats)| *formats) {
            assert_eq!(format.signature.is_empty(), is_text(format.mime_type), "{}", format.mime_type);
        }
    }
}
