//! Which call goes where.
//!
//! The literal paths below `files/` have the shape of an id; the router prefers them to `{id}`.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post};

use super::admin::{self, Admin};
use super::drive::Drive;
use super::error::ApiError;
use super::{about, auth, batch, changes, drives, export, files, oauth, operations, permissions, revisions, upload};

/// The API of a drive, and what `admin` is there for.
pub(crate) fn router(drive: Arc<Drive>, admin: Option<Admin>) -> Router {
    let calls = Router::new()
        .route("/drive/v3/about", get(about::get))
        .route("/drive/v3/changes", get(changes::list))
        .route("/drive/v3/changes/startPageToken", get(changes::start_page_token))
        .route("/drive/v3/drives", get(drives::list).post(drives::create))
        .route("/drive/v3/drives/{id}", get(drives::get).patch(drives::update).delete(drives::delete))
        .route("/drive/v3/drives/{id}/hide", post(drives::hide))
        .route("/drive/v3/drives/{id}/unhide", post(drives::unhide))
        .route("/drive/v3/files", get(files::list).post(files::create))
        // With other verbs these are ids like any others, and nobody's.
        .route(
            "/drive/v3/files/generateIds",
            get(files::generate_ids).fallback(async || ApiError::file_not_found("generateIds")),
        )
        .route("/drive/v3/files/trash", delete(files::empty_trash).fallback(async || ApiError::file_not_found("trash")))
        .route("/drive/v3/files/{id}", get(files::get).patch(files::update).delete(files::delete))
        .route("/drive/v3/files/{id}/copy", post(files::copy))
        .route("/drive/v3/files/{id}/download", post(operations::begin))
        .route("/drive/v3/files/{id}/export", get(export::limited))
        .route("/drive/v3/files/{id}/revisions", get(revisions::list))
        .route(
            "/drive/v3/files/{id}/revisions/{revision}",
            get(revisions::get).patch(revisions::update).delete(revisions::delete),
        )
        .route("/drive/v3/files/{id}/permissions", get(permissions::list).post(permissions::create))
        .route(
            "/drive/v3/files/{id}/permissions/{permission}",
            get(permissions::get).patch(permissions::update).delete(permissions::delete),
        )
        .route("/drive/v3/operations/{name}", get(operations::get))
        .route(export::formats::LINKED, get(export::linked))
        .route("/upload/drive/v3/files", post(upload::create).put(upload::send).delete(upload::cancel))
        .route(
            "/upload/drive/v3/files/{id}",
            patch(upload::update).put(upload::send).post(upload::send).delete(upload::cancel),
        )
        .method_not_allowed_fallback(async || ApiError::no_such_method())
        .route_layer(from_fn_with_state(drive.clone(), auth::check))
        .fallback(async || ApiError::no_such_path())
        .with_state(drive.clone());
    // The calls in a batch go where all calls go, so a batch is none of them.
    let batch = post(batch::run).fallback(async || ApiError::no_such_method());
    let meter = admin.as_ref().map(|admin| admin.meter.clone());
    let batch = batch.with_state(batch::Calls::new(calls.clone(), meter));
    let calls = calls.route("/batch", batch.clone()).route("/batch/drive/v3", batch);
    let calls = match admin {
        Some(admin) => {
            calls.merge(admin::router(admin).route_layer(from_fn_with_state(drive.clone(), auth::check_own)))
        }
        None => calls,
    };
    if drive.oauth.is_on() { calls.merge(oauth::router().with_state(drive)) } else { calls }
}
