//! The end of a token: it takes with it all that its client was granted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::super::call::Arrival;
use super::super::drive::Drive;
use super::error::{TokenError, answer};
use super::{form_fields, grants};

/// `POST /revoke`: the token may be in the form or, as client libraries have it, in the address.
pub(super) async fn revoke(
    State(drive): State<Arc<Drive>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, TokenError> {
    let form = form_fields(&headers, body).await.unwrap_or_default();
    let token = form.filled("token").or_else(|| arrival.params.filled("token"));
    let token = token.ok_or_else(|| TokenError::missing("token"))?.to_owned();
    let is_known = drive.store.write(move |edit| grants::revoke(edit, &token)).await?;
    if is_known { Ok(answer(StatusCode::OK, &json!({}))) } else { Err(TokenError::invalid_token()) }
}
