//! The authorisation endpoint: asks the person, and sends the browser back to the client with the answer.
//!
//! What is wrong with a request is told to the person, here: where the address to go back to is not to be trusted, nothing
//! else is. The answer to the page bears a ticket that was in it, works once, and cannot be known by another site.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::super::call::Arrival;
use super::super::drive::Drive;
use super::super::error::{ApiError, Result};
use super::clients::Kind;
use super::grants::{self, Code, Request, Then};
use super::scopes::Scopes;
use super::{base64, devices, form_fields, page};

/// Of an address to go back to, and of a state.
const MAX_TEXT_BYTES: usize = 4096;

/// Why a request shows a page of its own.
struct Mistake(StatusCode, &'static str, &'static str);

const fn mistake(error: &'static str, explanation: &'static str) -> Mistake {
    Mistake(StatusCode::BAD_REQUEST, error, explanation)
}

/// `GET /o/oauth2/v2/auth`
pub(super) async fn ask(State(drive): State<Arc<Drive>>, Extension(arrival): Extension<Arrival>) -> Result<Response> {
    let request = match request(&drive, &arrival) {
        Ok(request) => request,
        Err(Mistake(status, error, explanation)) => return Ok(page::error(status, error, explanation)),
    };
    show(&drive, request).await
}

/// Shows what is asked.
pub(super) async fn show(drive: &Drive, request: Request) -> Result<Response> {
    let name = drive.oauth.clients.find(&request.client).map_or("", |client| client.kind.name());
    let (request, ticket) = drive
        .store
        .write(move |edit| {
            let ticket = grants::ask(edit, &request)?;
            Ok((request, ticket))
        })
        .await?;
    Ok(page::consent(&request.client, name, &request.scopes, &ticket))
}

fn request(drive: &Drive, arrival: &Arrival) -> std::result::Result<Request, Mistake> {
    let params = &arrival.params;
    let id = params.filled("client_id").ok_or(mistake("invalid_request", "Missing required parameter: client_id"))?;
    let client = drive.oauth.clients.find(id);
    let client =
        client.ok_or(Mistake(StatusCode::UNAUTHORIZED, "invalid_client", "The OAuth client was not found."))?;
    if client.kind != Kind::Desktop {
        return Err(mistake("unauthorized_client", "Apps of this type cannot sign in with a browser on this machine."));
    }
    let uri = params.filled("redirect_uri");
    let uri = uri.ok_or(mistake("invalid_request", "Missing required parameter: redirect_uri"))?;
    if !is_loopback(uri) {
        return Err(mistake("redirect_uri_mismatch", "The redirect_uri must be an http address of this machine."));
    }
    match params.filled("response_type") {
        Some("code") => {}
        Some(_) => return Err(mistake("unsupported_response_type", "Invalid response_type: only code is supported.")),
        None => return Err(mistake("invalid_request", "Required parameter is missing: response_type")),
    }
    let scope = params.filled("scope").ok_or(mistake("invalid_request", "Missing required parameter: scope"))?;
    let scopes = Scopes::parse(scope).filter(|scopes| !scopes.is_empty());
    let scopes = scopes.ok_or(mistake("invalid_scope", "Some requested scopes were invalid."))?;
    let state = params.get("state").map(str::to_owned);
    if state.as_ref().is_some_and(|state| state.len() > MAX_TEXT_BYTES) {
        return Err(mistake("invalid_request", "The state is too long."));
    }
    let challenge = challenge(params.get("code_challenge"), params.get("code_challenge_method"))?;
    let then = Then::Redirect { uri: uri.to_owned(), state, challenge };
    Ok(Request { client: client.id, scopes, then })
}

/// Whether a browser may be sent there: to a program on this machine.
fn is_loopback(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    uri.len() <= MAX_TEXT_BYTES && url.scheme() == "http" && is_here && is_plain
}

/// The challenge as S256, whichever way it was given.
fn challenge(challenge: Option<&str>, method: Option<&str>) -> std::result::Result<Option<String>, Mistake> {
    let Some(challenge) = challenge else {
        let wrong = mistake("invalid_request", "code_challenge_method needs a code_challenge.");
        return if method.is_some() { Err(wrong) } else { Ok(None) };
    };
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_text = (43..=128).contains(&challenge.len()) && challenge.bytes().all(is_unreserved);
    match method {
        Some("S256") if is_text && challenge.len() == 43 => Ok(Some(challenge.to_owned())),
        None | Some("plain") if is_text => Ok(Some(hashed(challenge))),
        None | Some("S256" | "plain") => Err(mistake("invalid_request", "Invalid code_challenge.")),
        Some(_) => Err(mistake("invalid_request", "Invalid code_challenge_method.")),
    }
}

/// The challenge that fits a verifier.
pub(super) fn hashed(verifier: &str) -> String {
    base64::url(&Sha256::digest(verifier.as_bytes()))
}

/// What a decision comes to.
enum Outcome {
    Unknown,
    Redirect { uri: String, state: Option<String>, code: Option<(String, Scopes)> },
    Device { is_allowed: bool },
}

/// `POST /o/oauth2/consent`: the answer to the page.
pub(super) async fn decide(State(drive): State<Arc<Drive>>, headers: HeaderMap, body: Body) -> Result<Response> {
    let Some(form) = form_fields(&headers, body).await else {
        return Ok(page::error(StatusCode::BAD_REQUEST, "invalid_request", "This is no answer to a page."));
    };
    let is_allowed = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Ok(page::error(StatusCode::BAD_REQUEST, "invalid_request", "Neither allowed nor denied.")),
    };
    let outcome = drive.store.write(move |edit| {
        let Some(request) = grants::take_request(edit, form.get("ticket").unwrap_or_default())? else {
            return Ok(Outcome::Unknown);
        };
        // Who ticks nothing allows nothing.
        let scopes = request.scopes.only(|scope| is_allowed && form.get(scope).is_some());
        let granted = (!scopes.is_empty()).then_some(scopes);
        Ok(match request.then {
            Then::Device(device) => {
                let is_waited_for = devices::decide(edit, &device, granted.as_ref())?;
                if is_waited_for { Outcome::Device { is_allowed: granted.is_some() } } else { Outcome::Unknown }
            }
            Then::Redirect { uri, state, challenge } => {
                let code = match granted {
                    Some(scopes) => {
                        let (client, redirect_uri) = (request.client, uri.clone());
                        let code = Code { client, scopes, redirect_uri, challenge };
                        Some((grants::issue_code(edit, &code)?, code.scopes))
                    }
                    None => None,
                };
                Outcome::Redirect { uri, state, code }
            }
        })
    });
    match outcome.await? {
        Outcome::Unknown => {
            let text = "This page was answered already, or has expired. Start again in the app.";
            Ok(page::error(StatusCode::BAD_REQUEST, "invalid_request", text))
        }
        Outcome::Device { is_allowed: true } => Ok(page::message(StatusCode::OK, "Done. Go on at your device.")),
        Outcome::Device { is_allowed: false } => Ok(page::message(StatusCode::OK, "Denied. Your device was told.")),
        Outcome::Redirect { uri, state, code } => {
            let mut url = Url::parse(&uri).map_err(ApiError::internal)?;
            let mut query = url.query_pairs_mut();
            if let Some(state) = state {
                query.append_pair("state", &state);
            }
            match code {
                Some((code, scopes)) => {
                    query.append_pair("code", &code).append_pair("scope", &scopes.to_string());
                }
                None => {
                    query.append_pair("error", "access_denied");
                }
            }
            drop(query);
            let location = HeaderValue::from_str(url.as_str()).map_err(ApiError::internal)?;
            let uncached = HeaderValue::from_static("no-store");
            Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, uncached)]).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_this_machine_only() {
        for uri in ["http://127.0.0.1:8080/", "http://localhost", "http://[::1]:1/cb?x=1", "http://127.0.0.1:80/a"] {
            assert!(is_loopback(uri), "{uri}");
        }
        for uri in [
            "https://example.com/",
            "http://example.com/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1@example.com/",
            "http://user@127.0.0.1/",
            "http://127.0.0.1/#fragment",
            "https://127.0.0.1/",
            "javascript:alert(1)",
            "urn:ietf:wg:oauth:2.0:oob",
            "/relative",
        ] {
            assert!(!is_loopback(uri), "{uri}");
        }
    }

    #[test]
    fn the_example_of_the_pkce_standard_holds() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(hashed(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
