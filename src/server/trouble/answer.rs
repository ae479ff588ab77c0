//! Answers that are made up: errors with any status and reason, in the forms in which they come from real servers.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

const JSON: &str = "application/json; charset=UTF-8";

/// An answer from the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) form: Form,
    pub(super) retry_after: Option<u64>,
    /// Whether what the request asks for is done all the same.
    pub(super) is_done: bool,
}

/// What the body looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// The envelope of the API.
    Json,
    /// The envelope, cut off in the middle.
    Truncated,
    /// A page for people, as front ends send it.
    Html,
    Empty,
    /// This text, for JSON.
    Text(String),
}

impl Answer {
    /// With the reason and the message that the service has for a status.
    pub(super) fn new(status: StatusCode) -> Self {
        let (reason, message) = usual(status);
        let (reason, message) = (reason.to_owned(), message.to_owned());
        Self { status, reason, message, form: Form::Json, retry_after: None, is_done: false }
    }

    /// The refusal of a call for which no units are left: 403, or 429 as back ends give it.
    pub(super) fn over_quota(status: StatusCode) -> Self {
        let reason = if status == StatusCode::FORBIDDEN { "userRateLimitExceeded" } else { "rateLimitExceeded" };
        let message = if status == StatusCode::FORBIDDEN { "User Rate Limit Exceeded" } else { "Rate Limit Exceeded" };
        Self { reason: reason.to_owned(), message: message.to_owned(), ..Self::new(status) }
    }

    pub(super) fn response(&self) -> Response {
        let (media_type, body) = match &self.form {
            Form::Json => (JSON, self.envelope()),
            Form::Truncated => {
                let mut envelope = self.envelope();
                let middle = envelope.floor_char_boundary(envelope.len() / 2);
                envelope.truncate(middle);
                (JSON, envelope)
            }
            Form::Html => {
                let (code, message) = (self.status.as_u16(), &self.message);
                let page = format!(
                    "<!DOCTYPE html>\n<html lang=en>\n<title>Error {code}</title>\n<p><b>{code}.</b> {message}.\n"
                );
                ("text/html; charset=UTF-8", page)
            }
            Form::Empty => ("text/plain", String::new()),
            Form::Text(text) => (JSON, text.clone()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn envelope(&self) -> String {
        // Domains as the service gives them: limits of use have one of their own.
        let is_limit = ["LimitExceeded", "QuotaExceeded"].iter().any(|end| self.reason.ends_with(end))
            || self.reason == "quotaExceeded";
        let domain = if is_limit { "usageLimits" } else { "global" };
        let detail = json!({ "domain": domain, "reason": self.reason, "message": self.message });
        let envelope =
            json!({ "error": { "code": self.status.as_u16(), "message": self.message, "errors": [detail] } });
        format!("{envelope:#}")
    }
}

/// Reason and message that usually come with a status.
fn usual(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        400 => ("badRequest", "Bad Request"),
        401 => ("authError", "Invalid Credentials"),
        403 => ("userRateLimitExceeded", "User Rate Limit Exceeded"),
        404 => ("notFound", "Not Found"),
        429 => ("rateLimitExceeded", "Rate Limit Exceeded"),
        500 => ("internalError", "Internal Error"),
        502 => ("badGateway", "Bad Gateway"),
        503 => ("backendError", "Backend Error"),
        504 => ("gatewayTimeout", "Gateway Timeout"),
        _ => ("failed", "The request failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_use_have_a_domain_of_their_own() {
        let domain = |reason: &str| {
            let answer = Answer { reason: reason.to_owned(), ..Answer::new(StatusCode::FORBIDDEN) };
            let envelope: serde_json::Value = serde_json::from_str(&answer.envelope()).expect("is JSON");
            envelope["error"]["errors"][0]["domain"].as_str().map(str::to_owned)
        };
        assert_eq!(domain("userRateLimitExceeded").as_deref(), Some("usageLimits"));
        assert_eq!(domain("storageQuotaExceeded").as_deref(), Some("usageLimits"));
        assert_eq!(domain("insufficientFilePermissions").as_deref(), Some("global"));
    }
}
