//! What is asked of the server itself, not of the drive: the meter, and trouble. There only if it was asked for, and for
//! whoever has the drive's own token.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::error::{ApiError, Result};
use super::meter::Meter;
use super::trouble::{Script, Trouble};

/// A script of the largest number of rules is far smaller.
const MAX_SCRIPT_BYTES: usize = 1024 * 1024;

/// What can be looked at and set.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub meter: Arc<Meter>,
    pub trouble: Arc<Trouble>,
}

/// The paths below `/admin`.
pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/admin/meter", get(meter).delete(reset))
        .route("/admin/log", get(log))
        .route("/admin/trouble", get(trouble).put(replace).post(add).delete(clear))
        .method_not_allowed_fallback(async || ApiError::no_such_method())
        .with_state(admin)
}

async fn meter(State(admin): State<Admin>) -> Response {
    json(&admin.meter.show())
}

async fn log(State(admin): State<Admin>) -> Response {
    json(&admin.meter.log())
}

async fn reset(State(admin): State<Admin>) -> StatusCode {
    admin.meter.reset();
    StatusCode::NO_CONTENT
}

async fn trouble(State(admin): State<Admin>) -> Response {
    json(&admin.trouble.show())
}

/// Begins anew with another script.
async fn replace(State(admin): State<Admin>, body: Body) -> Result<Response> {
    admin.trouble.replace(script(body).await?);
    Ok(json(&admin.trouble.show()))
}

/// Adds rules to those that are at work.
async fn add(State(admin): State<Admin>, body: Body) -> Result<Response> {
    let script = script(body).await?;
    admin.trouble.add(script.rules).map_err(ApiError::bad_request)?;
    Ok(json(&admin.trouble.show()))
}

async fn clear(State(admin): State<Admin>) -> StatusCode {
    admin.trouble.replace(Script::default());
    StatusCode::NO_CONTENT
}

async fn script(body: Body) -> Result<Script> {
    let bytes = to_bytes(body, MAX_SCRIPT_BYTES).await.map_err(|_| ApiError::body_too_large())?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| ApiError::parse_error())?;
    Script::from_json(&value).map_err(ApiError::bad_request)
}

fn json(value: &Value) -> Response {
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    ([(header::CONTENT_TYPE, json)], format!("{value:#}\n")).into_response()
}
