//! The pages that a person sees. Plain HTML; nothing is loaded from anywhere, and nothing may frame them.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::scopes::{Scopes, description};

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-cache, no-store, max-age=0, must-revalidate"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// `title` is text, `body` is HTML.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n\
         <style>:root {{ color-scheme: light dark }} \
         body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 3em auto; padding: 0 1em; overflow-wrap: anywhere }} \
         label {{ display: block; margin: .5em 0; padding-left: 1.5em; text-indent: -1.5em }} button, input {{ font: inherit }} button {{ padding: .3em 1.2em }}\
         </style></head>\n\
         <body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    );
    let mut response = (status, html).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Something is wrong with what the client asks. The browser stays here.
pub(super) fn error(status: StatusCode, error: &str, explanation: &str) -> Response {
    let body = format!(
        "<p>Access blocked: this app's request is invalid.</p>\n<p>{}</p>\n<p>Error {}: {}</p>",
        escaped(explanation),
        status.as_u16(),
        escaped(error)
    );
    page(status, "Sign in", &body)
}

/// Nothing more to do here.
pub(super) fn message(status: StatusCode, text: &str) -> Response {
    page(status, "Sign in", &format!("<p>{}</p>", escaped(text)))
}

/// Asks whether the client may have what it wants, or which part.
pub(super) fn consent(client: &str, name: &str, scopes: &Scopes, ticket: &str) -> Response {
    let mut boxes = String::new();
    for scope in scopes.names() {
        let text = escaped(description(scope));
        boxes.extend([
            "<label><input type=\"checkbox\" name=\"",
            scope,
            "\" value=\"on\" checked> ",
            &text,
            " <small>(",
            scope,
            ")</small></label>\n",
        ]);
    }
    let body = format!(
        "<p><b>{}</b> wants to use this drive.<br><small>{}</small></p>\n\
         <p>If you did not just start it yourself, deny.</p>\n\
         <form method=\"post\" action=\"/o/oauth2/consent\">\n<p>It wants to:</p>\n{boxes}\
         <input type=\"hidden\" name=\"ticket\" value=\"{}\">\n\
         <p><button name=\"decision\" value=\"allow\">Allow</button> \
         <button name=\"decision\" value=\"deny\">Deny</button></p>\n</form>",
        escaped(name),
        escaped(client),
        escaped(ticket)
    );
    page(StatusCode::OK, "Sign in", &body)
}

/// Asks for the code that the other screen shows.
pub(super) fn user_code(status: StatusCode, typed: &str, note: &str) -> Response {
    let body = format!(
        "<p>{}</p>\n<form method=\"post\" action=\"/device\">\n\
         <label>Code that your device shows <input name=\"user_code\" value=\"{}\" autocomplete=\"off\" autofocus></label>\n\
         <p><button>Next</button></p>\n</form>",
        escaped(note),
        escaped(typed)
    );
    page(status, "Connect a device", &body)
}
