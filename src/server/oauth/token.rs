//! The token endpoint: exchanges what somebody was granted for tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use super::super::call::header_text;
use super::super::drive::Drive;
use super::super::params::Params;
use super::clients::Client;
use super::devices::{self, Poll};
use super::error::{TokenError, answer};
use super::grants::{self, Granted};
use super::{authorize, base64, form_fields, jwt};
use crate::clock;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What an exchange comes to.
struct Issued {
    access: String,
    refresh: Option<String>,
    scopes: String,
}

/// `POST /token`
pub(super) async fn issue(
    State(drive): State<Arc<Drive>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, TokenError> {
    let form = form_fields(&headers, body).await;
    let form = form.ok_or_else(|| TokenError::invalid_request("Bad Request: the parameters come as a form."))?;
    let issued = match form.filled("grant_type").ok_or_else(|| TokenError::missing("grant_type"))? {
        "authorization_code" => exchange(&drive, client(&drive, &headers, &form)?, &form).await,
        "refresh_token" => refresh(&drive, client(&drive, &headers, &form)?, &form).await,
        DEVICE => device(&drive, client(&drive, &headers, &form)?, &form).await,
        ASSERTION => {
            let assertion = form.filled("assertion").ok_or_else(|| TokenError::missing("assertion"))?;
            let audience = format!("{}/token", drive.oauth.url);
            let granted =
                jwt::granted(&drive.oauth.clients, assertion, &audience, drive.store.identity(), clock::now())?;
            // No refresh token: it signs again.
            access_for(&drive, granted, false).await
        }
        other => Err(TokenError::unsupported_grant_type(other)),
    }?;
    let mut body = json!({
        "access_token": issued.access,
        // Rounded down, as the real service does: what is told must not be longer than what holds.
        "expires_in": drive.oauth.access_life.as_secs().saturating_sub(1),
        "scope": issued.scopes,
        "token_type": "Bearer",
    });
    if let Some(refresh) = issued.refresh {
        body["refresh_token"] = refresh.into();
        if let Some(life) = drive.oauth.refresh_life {
            body["refresh_token_expires_in"] = life.as_secs().into();
        }
    }
    Ok(answer(StatusCode::OK, &body))
}

/// Who asks: by id and secret in the form, or in the header.
fn client(drive: &Drive, headers: &HeaderMap, form: &Params) -> Result<Client, TokenError> {
    let in_header = header_text(headers, header::AUTHORIZATION).and_then(basic);
    let (id, secret) = if let Some(pair) = in_header {
        pair
    } else {
        let id = form.filled("client_id").ok_or_else(|| TokenError::missing("client_id"))?;
        (id.to_owned(), form.get("client_secret").unwrap_or_default().to_owned())
    };
    let client = drive.oauth.clients.find(&id).ok_or_else(TokenError::client_not_found)?;
    if secret.is_empty() {
        return Err(TokenError::invalid_request("client_secret is missing."));
    }
    if client.is_secret(&secret) { Ok(client) } else { Err(TokenError::wrong_secret()) }
}

/// Id and secret in a header, each encoded as in a form.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, pair) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(base64::decode(pair.trim())?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| Params::parse(&format!("text={text}")).get("text").map(str::to_owned);
    Some((decoded(id)?, decoded(secret)?))
}

async fn exchange(drive: &Drive, client: Client, form: &Params) -> Result<Issued, TokenError> {
    let code = form.filled("code").ok_or_else(|| TokenError::missing("code"))?.to_owned();
    let redirect_uri = form.filled("redirect_uri").ok_or_else(|| TokenError::missing("redirect_uri"))?.to_owned();
    let verifier = form.get("code_verifier").map(authorize::hashed);
    // Whoever shows a code has used it up, whatever else is wrong.
    let code = drive.store.write(move |edit| grants::take_code(edit, &code)).await?;
    let code = code.ok_or_else(|| TokenError::invalid_grant("Malformed auth code, or used already."))?;
    if code.client != client.id {
        return Err(TokenError::unauthorized_client());
    }
    if code.redirect_uri != redirect_uri {
        return Err(TokenError::invalid_grant("The redirect_uri is not that of the authorization."));
    }
    match (&code.challenge, &verifier) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if challenge == verifier => {}
        (Some(_), None) => return Err(TokenError::invalid_grant("Missing code verifier.")),
        (_, Some(_)) => return Err(TokenError::invalid_grant("Invalid code verifier.")),
    }
    access_for(drive, Granted::by_owner(client.id, code.scopes), true).await
}

async fn refresh(drive: &Drive, client: Client, form: &Params) -> Result<Issued, TokenError> {
    let token = form.filled("refresh_token").ok_or_else(|| TokenError::missing("refresh_token"))?.to_owned();
    let granted = drive.store.write(move |edit| grants::use_refresh(edit, &token)).await?;
    let granted = granted.filter(|granted| granted.client == client.id).ok_or_else(TokenError::expired_or_revoked)?;
    let scopes = match form.filled("scope") {
        None => granted.scopes.clone(),
        Some(text) => {
            let wanted = super::scopes::Scopes::parse(text).filter(|wanted| wanted.are_within(granted.scopes.names()));
            wanted.ok_or_else(TokenError::invalid_scope)?
        }
    };
    access_for(drive, Granted { scopes, ..granted }, false).await
}

async fn device(drive: &Drive, client: Client, form: &Params) -> Result<Issued, TokenError> {
    let code = form.filled("device_code").ok_or_else(|| TokenError::missing("device_code"))?.to_owned();
    match drive.store.write(move |edit| devices::poll(edit, &client.id, &code)).await? {
        Poll::Allowed(granted) => access_for(drive, granted, true).await,
        Poll::Pending => Err(TokenError::authorization_pending()),
        Poll::TooEarly => Err(TokenError::slow_down()),
        Poll::Denied => Err(TokenError::access_denied()),
        Poll::Unknown => Err(TokenError::invalid_grant("Malformed device code, expired, or used already.")),
    }
}

/// Tokens for what was granted.
async fn access_for(drive: &Drive, granted: Granted, refreshable: bool) -> Result<Issued, TokenError> {
    let (life, lasts) = (drive.oauth.access_life, drive.oauth.refresh_life);
    let issued = drive.store.write(move |edit| {
        let access = grants::issue_access(edit, &granted, life)?;
        let refresh = if refreshable { Some(grants::issue_refresh(edit, &granted, lasts)?) } else { None };
        Ok(Issued { access, refresh, scopes: granted.scopes.to_string() })
    });
    Ok(issued.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_a_client_as_a_form_does() {
        let header = format!("Basic {}", base64::url(b"a%3Ab:s%2Fecret"));
        assert_eq!(basic(&header), Some(("a:b".to_owned(), "s/ecret".to_owned())));
        assert_eq!(basic("Bearer abc"), None);
        assert_eq!(basic("Basic !"), None);
    }
}
