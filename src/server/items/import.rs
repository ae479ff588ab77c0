//! Documents that are made of uploaded content.

use super::super::error::{ApiError, Result};
use super::super::export::formats;
use super::super::media_type;
use super::Upload;

/// What the content of an upload counts as when it becomes a document of `editor`: what it was declared as, else what it
/// looks like. Fails if such content, or so much of it, cannot become one.
pub(super) fn source_type(editor: &str, upload: &Upload<'_>, name: &str) -> Result<String> {
    let declared = upload.media_type.filter(|declared| *declared != media_type::OCTET_STREAM);
    let start = &upload.content.start;
    let mime_type = match declared {
        Some(declared) => declared,
        // Nothing, or not known yet: it is decided by what arrives.
        None if start.is_empty() && formats::is_importable(editor) => return Ok(String::from("text/plain")),
        None => media_type::guess(name, start),
    };
    let limit = formats::import_limit(editor, mime_type).ok_or_else(|| {
        ApiError::bad_request(format!("Content of type {mime_type} cannot be converted to {editor}."))
    })?;
    if upload.content.size > limit {
        return Err(ApiError::body_too_large());
    }
    Ok(mime_type.to_owned())
}
