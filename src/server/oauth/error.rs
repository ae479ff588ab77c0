//! Refusals of the token endpoint and its neighbours, in their own shape.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::super::error::ApiError;

/// A refused or failed request.
#[derive(Debug)]
pub(super) enum TokenError {
    Refused {
        status: StatusCode,
        error: &'static str,
        description: String,
    },
    /// Too many sign-ins from other screens are under way.
    RateLimited,
    Internal(ApiError),
}

impl TokenError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self::Refused { status, error, description: description.into() }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::invalid_request(format!("Missing required parameter: {parameter}"))
    }

    pub(super) fn invalid_grant(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
    }

    pub(super) fn expired_or_revoked() -> Self {
        Self::invalid_grant("Token has been expired or revoked.")
    }

    pub(super) fn unsupported_grant_type(grant_type: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", format!("Invalid grant_type: {grant_type}"))
    }

    pub(super) fn invalid_scope() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", "Some requested scopes were invalid.")
    }

    pub(super) fn invalid_token() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_token", "Token expired or revoked")
    }

    pub(super) fn client_not_found() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "The OAuth client was not found.")
    }

    pub(super) fn wrong_secret() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "The provided client secret is invalid.")
    }

    pub(super) fn wrong_client_type() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "Invalid client type.")
    }

    /// Google answers both 400 and 401 to this; 401 is what libraries see.
    pub(super) fn unauthorized_client() -> Self {
        let description = "Client is unauthorized to retrieve access tokens using this method, \
                           or client not authorized for any of the scopes requested.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized_client", description)
    }

    pub(super) fn authorization_pending() -> Self {
        Self::new(StatusCode::PRECONDITION_REQUIRED, "authorization_pending", "Precondition Required")
    }

    pub(super) fn slow_down() -> Self {
        Self::new(StatusCode::FORBIDDEN, "slow_down", "Forbidden")
    }

    pub(super) fn access_denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "access_denied", "Forbidden")
    }
}

impl From<ApiError> for TokenError {
    fn from(error: ApiError) -> Self {
        Self::Internal(error)
    }
}

/// A JSON answer that nobody may keep.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, format!("{body:#}")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused { status, error, description } => {
                let mut response = answer(status, &json!({ "error": error, "error_description": description }));
                if status == StatusCode::UNAUTHORIZED {
                    let challenge = HeaderValue::from_static(r#"Basic realm="drive""#);
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Self::RateLimited => answer(StatusCode::FORBIDDEN, &json!({ "error_code": "rate_limit_exceeded" })),
            Self::Internal(error) => {
                // That writes the cause to the log.
                let status = error.into_response().status();
                answer(status, &json!({ "error": "internal_failure" }))
            }
        }
    }
}
