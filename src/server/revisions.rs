//! The contents that a file had: what is still there of them.
//!
//! That is the current one and those kept for ever. The real service keeps the others for a while, but promises nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use rusqlite::Connection;
use serde_json::json;

use super::call::{Call, Json, Named};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::media_type::Kind;
use super::order::Position;
use super::render::{self, Object};
use super::store::{contents, rows};
use super::{download, page, schema};

/// Entries of a page when the client does not say.
const DEFAULT_PAGE: usize = 200;

/// The number of a file that has revisions.
fn file(db: &Connection, id: &str) -> Result<i64> {
    let item = rows::find(db, id)?;
    if Kind::of(&item.mime_type) == Kind::File { Ok(item.no) } else { Err(ApiError::revisions_not_supported()) }
}

/// `GET …/files/{id}/revisions`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    let mask = call.mask(&schema::REVISION_LIST)?;
    let size = call.params().page_size(DEFAULT_PAGE)?;
    let identity = drive.store.identity().clone();
    let id = identity.resolve(&id).to_owned();
    let question = json!(["revisions", id]).to_string();
    let after = match call.params().filled("pageToken") {
        Some(token) => page::position(&identity.secret, &question, token)?.no,
        None => 0,
    };
    drive
        .store
        .read(move |db| {
            // One more than asked for tells whether this page is the last.
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let mut revisions = contents::page(db, file(db, &id)?, after, limit)?;
            let is_last = revisions.len() <= size;
            revisions.truncate(size);
            let next = revisions.last().filter(|_| !is_last).map(|(no, _)| Position { keys: Vec::new(), no: *no });
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#revisionList");
            answer.put_some("nextPageToken", || Some(page::token(&identity.secret, &question, next.as_ref()?)));
            answer.nest("revisions", |mask| {
                revisions.iter().map(|(_, revision)| render::revision(revision, &identity, mask)).collect()
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
    headers: HeaderMap,
) -> Result<Response> {
    let identity = drive.store.identity().clone();
    let look_up = {
        let id = identity.resolve(&id).to_owned();
        move |db: &Connection| contents::get(db, file(db, &id)?, &revision)
    };
    if call.params().get("alt") == Some("media") {
        return download::send(&drive, &headers, look_up).await;
    }
    let mask = call.mask(&schema::REVISION)?;
    let revision = drive.store.read(look_up).await?;
    Ok(call.json(&render::revision(&revision, &identity, &mask)).into_response())
}
