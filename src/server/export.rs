//! Documents of online editors as other formats.
//!
//! The drive has no editors. A document is the bytes that it was made of (none, if it was made without content), and an
//! export is made of those, the same each time:
//!
//! - in the type that they came in, these bytes;
//! - in any other type of text these bytes too, if they are text. Nothing is converted: what came as CSV comes as CSV under
//!   the name of TSV. (The real service converts, and begins plain text with a byte order mark.)
//! - in any other format a stand-in that no editor opens: the first bytes by which the format is known, then the text.
//!
//! So every export is as long as its document, and what is too long for the call is so in each format.

pub(crate) mod formats;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header;

use super::access::Access;
use super::call::{Call, Named};
use super::download::{Part, opened};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::item::Revision;
use super::items::may_take;
use super::media_type::Kind;
use super::store::contents;
use formats::{Format, is_text};

/// The address of an export without a limit.
pub(crate) fn link(origin: &str, id: &str, mime_type: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    format!("{origin}{}?{}", formats::LINKED.replace("{id}", id), query.append_pair("mimeType", mime_type).finish())
}

/// `GET …/files/{id}/export`
pub(crate) async fn limited(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Response> {
    let limit = drive.limits.export_bytes;
    export(&drive, &id, &call, limit).await
}

/// `GET` on one of the `exportLinks`
pub(crate) async fn linked(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Response> {
    export(&drive, &id, &call, u64::MAX).await
}

/// Whatever range is asked for, all of it comes.
async fn export(drive: &Drive, id: &str, call: &Call, limit: u64) -> Result<Response> {
    let wanted = call.params().filled("mimeType").ok_or_else(|| ApiError::required("mimeType"))?.to_owned();
    let id = call.caller().resolve(id)?.to_owned();
    let name = id.clone();
    let (format, item, has_content) = drive
        .look(call.clone(), move |access| {
            let (item, role) = access.find(&name)?;
            let format = format(&item.mime_type, &wanted)?;
            if !may_take(&item, role) {
                return Err(ApiError::cannot_download());
            }
            Ok((format, item.no, contents::head(access.db, item.no)?.is_some()))
        })
        .await?;
    let body = if has_content {
        let content =
            move |access: &Access<'_>| contents::head(access.db, item)?.ok_or_else(|| ApiError::file_not_found(&id));
        let (source, _, body) = opened(drive, call, content, |_| Part::Whole).await?;
        written(format, &source, body, limit)?
    } else {
        Body::from(format.signature)
    };
    Ok(([(header::CONTENT_TYPE, format.mime_type)], body).into_response())
}

/// The format of that name, for items of this type.
pub(crate) fn format(mime_type: &str, wanted: &str) -> Result<Format> {
    let formats = formats::formats(mime_type);
    if Kind::of(mime_type) != Kind::Document || formats.is_empty() {
        return Err(ApiError::not_exportable());
    }
    let format = formats.iter().find(|format| format.mime_type == wanted);
    format.copied().ok_or_else(|| ApiError::bad_request("The requested conversion is not supported."))
}

/// What was made of `source`, whose bytes are in `body`, as another format.
fn written(format: Format, source: &Revision, body: Body, limit: u64) -> Result<Body> {
    let as_it_came = source.mime_type == format.mime_type;
    let signature = if as_it_came { b"" } else { format.signature };
    let (body, length) =
        if as_it_came || is_text(&source.mime_type) { (body, source.size) } else { (Body::empty(), 0) };
    if signature.len() as u64 + length > limit {
        return Err(ApiError::export_too_large());
    }
    if signature.is_empty() {
        return Ok(body);
    }
    let signature = stream::iter([Ok::<_, Infallible>(Bytes::from_static(signature))]);
    let signature = signature.map(|piece| piece.map_err(axum::Error::new));
    Ok(Body::from_stream(signature.chain(body.into_data_stream())))
}
