//! Signing in a device that has no browser: its first request, and the page on which a person enters the code that it shows.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::super::call::Arrival;
use super::super::drive::Drive;
use super::super::error::Result;
use super::clients::Kind;
use super::error::{TokenError, answer};
use super::grants::{Request, Then};
use super::scopes::Scopes;
use super::{authorize, devices, form_fields, page};
use crate::clock;

/// All that a device may ask for.
const ALLOWED: [&str; 2] = ["drive.file", "drive.appdata"];

/// `POST /device/code`
pub(super) async fn begin(
    State(drive): State<Arc<Drive>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    body: Body,
) -> std::result::Result<Response, TokenError> {
    let form = form_fields(&headers, body).await.ok_or_else(|| TokenError::invalid_request("Bad Request"))?;
    let id = form.filled("client_id").ok_or_else(|| TokenError::missing("client_id"))?;
    let client = drive.oauth.clients.find(id).ok_or_else(TokenError::client_not_found)?;
    if client.kind != Kind::Limited {
        return Err(TokenError::wrong_client_type());
    }
    let scope = form.filled("scope").ok_or_else(|| TokenError::missing("scope"))?;
    let scopes = Scopes::parse(scope).filter(|scopes| !scopes.is_empty() && scopes.are_within(&ALLOWED));
    let scopes = scopes.ok_or_else(TokenError::invalid_scope)?;
    let codes = drive.store.write(move |edit| devices::begin(edit, &client.id, &scopes)).await?;
    let codes = codes.ok_or(TokenError::RateLimited)?;
    let body = json!({
        "device_code": codes.device,
        "user_code": codes.user,
        "verification_url": format!("{}/device", arrival.origin),
        "expires_in": devices::LIFE.as_secs(),
        "interval": devices::INTERVAL.as_secs(),
    });
    Ok(answer(StatusCode::OK, &body))
}

/// `GET /device`
pub(super) async fn form(Extension(arrival): Extension<Arrival>) -> Response {
    page::user_code(StatusCode::OK, arrival.params.get("user_code").unwrap_or_default(), "")
}

/// `POST /device`: the person has entered the code.
pub(super) async fn enter(State(drive): State<Arc<Drive>>, headers: HeaderMap, body: Body) -> Result<Response> {
    let form = form_fields(&headers, body).await.unwrap_or_default();
    let typed = form.get("user_code").unwrap_or_default().to_owned();
    let code = typed.clone();
    let Some(waiting) = drive.store.read(move |db| devices::waiting(db, clock::now(), &code)).await? else {
        let note = "No device waits for that code. Check it, or let the device show a new one.";
        return Ok(page::user_code(StatusCode::BAD_REQUEST, &typed, note));
    };
    let then = Then::Device(waiting.device);
    authorize::show(&drive, Request { client: waiting.client, scopes: waiting.scopes, then }).await
}
