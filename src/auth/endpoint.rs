//! [`Endpoint`]: where tokens are had for something that proves a right to them (RFC 6749, section 3.2).
//!
//! Owns the HTTP of it: the adapter from the `oauth2` crate to our HTTP client, the retries of what is temporary, and the
//! translation of every failure into an [`AuthError`] without secrets.

use std::pin::Pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    EndpointNotSet, ExtraTokenFields, HttpRequest, HttpResponse, RequestTokenError, StandardRevocableToken,
    StandardTokenResponse, TokenResponse,
};
use reqwest::StatusCode;
use reqwest::header::DATE;
use serde::{Deserialize, Serialize};
use url::Url;

use super::renewed::Issued;
use super::{AccessToken, AuthError, Secret};
use crate::clock::{self, Timestamp};
use crate::error::Retry;
use crate::net;

/// A token endpoint answers within a second or two; a try that takes longer is better begun anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A token endpoint, and a client for it.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) uri: Url,
    http: reqwest::Client,
}

/// A final answer.
#[derive(Debug)]
pub(super) enum Reply {
    Issued(Issued),
    Refused {
        /// The word for it, as in [`AuthError::Refused`].
        code: String,
        /// How far the clock of this machine is before that of the service, if it said what time it is.
        ahead_seconds: Option<i64>,
    },
}

/// What Google adds to the answer of the standard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Extra {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<u64>,
}

impl ExtraTokenFields for Extra {}

pub(super) type Answer = StandardTokenResponse<Extra, BasicTokenType>;

/// The `oauth2` crate's client, for these answers.
pub(super) type OauthClient<
    Auth = EndpointNotSet,
    Device = EndpointNotSet,
    Introspection = EndpointNotSet,
    Revocation = EndpointNotSet,
    Token = EndpointNotSet,
> = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    Device,
    Introspection,
    Revocation,
    Token,
>;

impl Endpoint {
    /// Redirects are not followed: they would carry secrets to who knows where.
    pub(super) fn new(uri: Url) -> Result<Self, AuthError> {
        let http = net::client(&uri, |builder| {
            builder.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none())
        });
        Ok(Self { http: http.map_err(transport)?, uri })
    }

    /// For the calls of the `oauth2` crate.
    pub(super) fn http(&self) -> Http<'_> {
        Http(&self.http)
    }

    /// Asks in words that the `oauth2` crate has none for.
    pub(super) async fn ask(&self, fields: &[(&str, &str)]) -> Result<Reply, AuthError> {
        let answer = self.http.post(self.uri.clone()).form(fields).send().await.map_err(transport)?;
        let date = answer.headers().get(DATE).and_then(|date| Timestamp::parse_http_date(date.to_str().ok()?));
        let status = answer.status();
        if is_temporary(status) {
            return Err(AuthError::Failed { answer: status.as_u16().to_string() });
        }
        let body = answer.bytes().await.map_err(transport)?;
        if status.is_success() {
            return issued(&serde_json::from_slice(&body).map_err(|_| AuthError::Protocol)?).map(Reply::Issued);
        }
        let error: BasicErrorResponse = serde_json::from_slice(&body).map_err(|_| AuthError::Protocol)?;
        match refused(&error) {
            AuthError::Refused { code } => {
                let ahead_seconds = date.map(|date| (clock::now().millis() - date.millis()) / 1000);
                Ok(Reply::Refused { code, ahead_seconds })
            }
            error => Err(error),
        }
    }

    /// Gives a token back: it and what came of it is good for nothing from then on (RFC 7009). `uri` is where.
    pub(super) async fn revoke(&self, uri: Url, token: &Secret) -> Result<(), AuthError> {
        let answer = self.http.post(uri).form(&[("token", token.expose())]).send().await.map_err(transport)?;
        match answer.status() {
            // One that is not known, or revoked already, is what was wanted.
            status if status.is_success() || status == StatusCode::BAD_REQUEST => Ok(()),
            status => Err(AuthError::Failed { answer: status.as_u16().to_string() }),
        }
    }
}

/// Tries what fails for the moment again twice, within about a second; who needs the token for a request to the drive has a
/// longer patience of its own.
pub(super) async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, AuthError>
where
    F: Future<Output = Result<T, AuthError>>,
{
    let mut delays =
        ExponentialBuilder::new().with_min_delay(Duration::from_millis(250)).with_max_times(2).with_jitter().build();
    loop {
        match attempt().await {
            Err(error) if error.kind().retry() == Retry::Soon => match delays.next() {
                Some(delay) => {
                    tracing::debug!(%error, ?delay, "asking the token service again");
                    tokio::time::sleep(delay).await;
                }
                None => return Err(error),
            },
            result => return result,
        }
    }
}

/// What an answer gives.
pub(super) fn issued(answer: &Answer) -> Result<Issued, AuthError> {
    let scopes: Option<Vec<&str>> = answer.scopes().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect());
    Ok(Issued {
        token: AccessToken::new(answer.access_token().secret()).ok_or(AuthError::Protocol)?,
        lifetime: answer.expires_in(),
        scopes: scopes.map(|scopes| scopes.join(" ")),
        issuer: None,
        refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret())),
        renew_after: None,
        refresh_lifetime: answer.extra_fields().refresh_token_expires_in.map(Duration::from_secs),
    })
}

/// Bodies of the endpoint are dropped here: they may hold tokens.
pub(super) fn understand(error: RequestTokenError<HttpError, BasicErrorResponse>) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(answer) => refused(&answer),
        RequestTokenError::Request(HttpError::Temporary(status)) => {
            AuthError::Failed { answer: status.as_u16().to_string() }
        }
        RequestTokenError::Request(HttpError::Transport(error)) => transport(error),
        RequestTokenError::Request(HttpError::Form(_)) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            AuthError::Protocol
        }
    }
}

fn refused(answer: &BasicErrorResponse) -> AuthError {
    let code: String = answer.error().to_string().chars().filter(char::is_ascii_graphic).take(64).collect();
    match code.as_str() {
        // The words that Google's own Python library takes as temporary.
        "internal_failure" | "server_error" | "temporarily_unavailable" => AuthError::Failed { answer: code },
        _ => AuthError::Refused { code },
    }
}

/// Whether a word of a refusal is about the credentials or what they may do, so that only other credentials help. Any other may
/// be that of a proxy on the way.
pub(super) fn is_final(code: &str) -> bool {
    matches!(
        code,
        "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "deleted_client"
            | "disabled_client"
            | "invalid_scope"
            | "admin_policy_enforced"
            | "org_internal"
            | "access_denied"
    )
}

pub(super) fn transport(error: reqwest::Error) -> AuthError {
    if error.is_timeout() && !error.is_connect() {
        return AuthError::TimedOut;
    }
    AuthError::Unreachable { why: net::cause(error) }
}

fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// The `oauth2` crate's idea of an HTTP client, on ours.
pub(super) struct Http<'a>(&'a reqwest::Client);

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the request failed")]
    Transport(#[from] reqwest::Error),
    #[error("the answer has no form")]
    Form(#[from] http::Error),
    #[error("the service answered {0}")]
    Temporary(StatusCode),
}

impl<'c> oauth2::AsyncHttpClient<'c> for Http<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let status = answer.status();
            // Told apart here, because the crate reports an empty or HTML body without its status.
            if is_temporary(status) {
                return Err(HttpError::Temporary(status));
            }
            let mut response = http::Response::builder().status(status);
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            Ok(response.body(answer.bytes().await?.to_vec())?)
        })
    }
}
