//! Trades a refresh token for an access token at the token endpoint of the credentials (RFC 6749, section 6).
//!
//! Owns the HTTP of it: the adapter from the `oauth2` crate to our HTTP client, the retries of what is temporary, and the
//! translation of every failure into an [`AuthError`] without secrets.

use std::pin::Pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken, RequestTokenError};
use oauth2::{TokenResponse, TokenUrl};
use reqwest::StatusCode;
use url::Url;

use super::{AccessToken, AuthError, Secret};
use crate::error::Retry;
use crate::net;

/// A token endpoint answers within a second or two; a try that takes longer is better begun anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a person got when signing in, and where it can be traded.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    pub(super) token_uri: Url,
}

/// What the token endpoint gave.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: AccessToken,
    /// How long it is good for, if the endpoint says so.
    pub(super) lifetime: Option<Duration>,
    /// Takes the place of the refresh token that was used; Google seldom sends one.
    pub(super) refresh_token: Option<Secret>,
}

/// The client for a token endpoint. Redirects are not followed: they would carry the refresh token to who knows where.
pub(super) fn http_client(token_uri: &Url) -> Result<reqwest::Client, AuthError> {
    net::client(token_uri, |builder| {
        builder.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none())
    })
    .map_err(transport)
}

/// One access token. Temporary failures are tried again twice, within about a second; who needs the token for a request
/// to the drive has a longer patience of its own.
pub(super) async fn refresh(http: &reqwest::Client, credentials: &Credentials) -> Result<Issued, AuthError> {
    let mut delays =
        ExponentialBuilder::new().with_min_delay(Duration::from_millis(250)).with_max_times(2).with_jitter().build();
    loop {
        match exchange(http, credentials).await {
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

async fn exchange(http: &reqwest::Client, credentials: &Credentials) -> Result<Issued, AuthError> {
    // In the body and not as basic authentication: what Google documents for installed applications.
    let client = BasicClient::new(ClientId::new(credentials.client_id.clone()))
        .set_client_secret(ClientSecret::new(credentials.client_secret.expose().to_owned()))
        .set_token_uri(TokenUrl::from_url(credentials.token_uri.clone()))
        .set_auth_type(AuthType::RequestBody);
    let refresh_token = RefreshToken::new(credentials.refresh_token.expose().to_owned());
    let answer = client.exchange_refresh_token(&refresh_token).request_async(&Http(http)).await.map_err(understand)?;
    Ok(Issued {
        token: AccessToken::new(answer.access_token().secret()).ok_or(AuthError::Protocol)?,
        lifetime: answer.expires_in(),
        refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret())),
    })
}

/// Bodies of the endpoint are dropped here: they may hold tokens.
fn understand(error: RequestTokenError<HttpError, BasicErrorResponse>) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let code: String = answer.error().to_string().chars().filter(char::is_ascii_graphic).take(64).collect();
            match code.as_str() {
                // The words that Google's own Python library takes as temporary.
                "internal_failure" | "server_error" | "temporarily_unavailable" => AuthError::Failed { answer: code },
                _ => AuthError::Refused { code },
            }
        }
        RequestTokenError::Request(HttpError::Temporary(status)) => {
            AuthError::Failed { answer: status.as_u16().to_string() }
        }
        RequestTokenError::Request(HttpError::Transport(error)) => transport(error),
        RequestTokenError::Request(HttpError::Form(_)) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            AuthError::Protocol
        }
    }
}

fn transport(error: reqwest::Error) -> AuthError {
    if error.is_timeout() && !error.is_connect() {
        return AuthError::TimedOut;
    }
    AuthError::Unreachable { why: net::cause(error) }
}

/// The `oauth2` crate's idea of an HTTP client, on ours.
struct Http<'a>(&'a reqwest::Client);

#[derive(Debug, thiserror::Error)]
enum HttpError {
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
            if status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            {
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
