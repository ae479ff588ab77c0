//! The contents that a file had: what is still there of them.
//!
//! That is the current one and those kept for ever. The real service keeps the others for a while, but promises nothing. A
//! document of an online editor has one, which can be exported and nothing else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::access::Access;
use super::call::{Call, Json, Named, json_body};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::media_type::Kind;
use super::order::Position;
use super::permission::Role;
use super::render::{self, DOCUMENT_REVISION, Object, View};
use super::store::contents;
use super::store::rows::ItemRow;
use super::trouble::Orders;
use super::{download, page, schema};

/// Entries of a page when the client does not say.
const DEFAULT_PAGE: usize = 200;

/// The item `id`, if it is of those that have revisions, and the caller may see these; and whether it is a document.
fn find(access: &Access<'_>, id: &str) -> Result<(ItemRow, bool)> {
    let (item, role) = access.find(access.caller.resolve(id)?)?;
    if role < Role::Writer {
        return Err(ApiError::insufficient_file_permissions());
    }
    match Kind::of(&item.mime_type) {
        Kind::File => Ok((item, false)),
        Kind::Document => Ok((item, true)),
        Kind::Folder | Kind::Shortcut => Err(ApiError::revisions_not_supported()),
    }
}

/// `GET …/files/{id}/revisions`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    let mask = call.mask(&schema::REVISION_LIST)?;
    let size = call.params().page_size(DEFAULT_PAGE)?;
    let secret = drive.store.identity().secret.clone();
    let question = json!(["revisions", id]).to_string();
    let after = match call.params().filled("pageToken") {
        Some(token) => page::position(&secret, &question, token)?.no,
        None => 0,
    };
    drive
        .look(call.clone(), move |access| {
            let (item, is_document) = find(access, &id)?;
            // One more than asked for tells whether this page is the last.
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let mut revisions =
                if is_document { Vec::new() } else { contents::page(access.db, item.no, after, limit)? };
            let is_last = revisions.len() <= size;
            revisions.truncate(size);
            let next = revisions.last().filter(|_| !is_last).map(|(no, _)| Position { keys: Vec::new(), no: *no });
            let view = View { access, origin: call.origin() };
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#revisionList");
            answer.put_some("nextPageToken", || Some(page::token(&secret, &question, next.as_ref()?)));
            answer.nest("revisions", |mask| {
                if is_document {
                    return json!([render::document_revision(&item, view, mask)]);
                }
                revisions.iter().map(|(_, revision)| render::revision(revision, &item, access, mask)).collect()
            });
            Ok(call.json(&answer.finish()))
        })
        .await
}

/// `GET …/files/{id}/revisions/{revision}`
pub(crate) async fn get(
    State(drive): State<Arc<Drive>>,
    Named((id, revision)): Named<(String, String)>,
    call: Call,
    orders: Orders,
    headers: HeaderMap,
) -> Result<Response> {
    if call.params().get("alt") == Some("media") {
        orders.check_flagged(call.params())?;
        let look_up = move |access: &Access<'_>| match find(access, &id)? {
            (item, false) => contents::get(access.db, item.no, &revision),
            (_, true) => Err(ApiError::not_downloadable()),
        };
        return download::send(&drive, &call, &headers, look_up).await;
    }
    Ok(shown(&drive, call, id, revision).await?.into_response())
}

/// `PATCH …/files/{id}/revisions/{revision}`
pub(crate) async fn update(
    State(drive): State<Arc<Drive>>,
    Named((id, revision)): Named<(String, String)>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    call.mask(&schema::REVISION)?;
    let keep = keep_forever(&json_body(&headers, body).await?)?;
    let (item, name) = (id.clone(), revision.clone());
    drive.change(&call, move |rules| rules.keep_revision(&item, &name, keep)).await?;
    shown(&drive, call, id, revision).await
}

/// `DELETE …/files/{id}/revisions/{revision}`
pub(crate) async fn delete(
    State(drive): State<Arc<Drive>>,
    Named((id, revision)): Named<(String, String)>,
    call: Call,
) -> Result<StatusCode> {
    drive.change(&call, move |rules| rules.delete_revision(&id, &revision)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A revision as the caller wants to see it.
async fn shown(drive: &Arc<Drive>, call: Call, id: String, revision: String) -> Result<Json> {
    let mask = call.mask(&schema::REVISION)?;
    drive
        .look(call.clone(), move |access| {
            let view = View { access, origin: call.origin() };
            let value = match find(access, &id)? {
                (item, false) => render::revision(&contents::get(access.db, item.no, &revision)?, &item, access, &mask),
                (item, true) if revision == DOCUMENT_REVISION => render::document_revision(&item, view, &mask),
                (_, true) => return Err(ApiError::revision_not_found(&revision)),
            };
            Ok(call.json(&value))
        })
        .await
}

/// What an update says of keeping a revision. Publishing is for documents, and means nothing here.
fn keep_forever(body: &[u8]) -> Result<Option<bool>> {
    if body.is_empty() {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| ApiError::parse_error())?;
    let Value::Object(fields) = body else { return Err(ApiError::parse_error()) };
    match fields.get("keepForever") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(keep)) => Ok(Some(*keep)),
        Some(_) => Err(ApiError::invalid("keepForever", "Invalid value for keepForever: it must be a boolean.")),
    }
}
