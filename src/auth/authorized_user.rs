//! [`AuthorizedUser`]: access tokens made from a refresh token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture, WeakShared};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::file::{CredentialFile, Stamp};
use super::refresh::{self, Credentials};
use super::{AccessToken, AuthError, Secret, TokenSource};

/// Where a refresh token is traded if the file does not say (the endpoint of Google's OAuth 2.0 documentation).
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A token is renewed this long before it expires, so that none dies on its way to the drive. Google's library for Python
/// takes 3 min 45 s.
const EARLY: Duration = Duration::from_mins(4);

/// While the old token still holds, a failed renewal is tried again after this long.
const AGAIN: Duration = Duration::from_secs(10);

/// A person's sign-in in the `authorized_user` form that gcloud and other tools write:
/// `{"type": "authorized_user", "client_id": …, "client_secret": …, "refresh_token": …, "token_uri": …}`, the last one
/// optional.
///
/// - Callers that need a new token at the same time wait for one and the same request.
/// - As long as the old token holds, a failing token service is not noticed by anybody.
/// - A refused sign-in is final until the file changes (its times count: `touch` makes it be tried again).
#[derive(Debug)]
pub struct AuthorizedUser(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: CredentialFile,
    state: Mutex<State>,
}

/// Guarded by the one lock, which is never held while anything is waited for.
#[derive(Debug, Default)]
struct State {
    /// The credentials as last read.
    loaded: Option<Loaded>,
    /// The newest token that was not rejected.
    current: Option<Current>,
    /// The state of the file that was refused, and how.
    refused: Option<(Stamp, AuthError)>,
    /// The renewal under way. Weak, so that it ends when nobody waits for it any more.
    flight: Option<WeakShared<Flight>>,
}

type Flight = BoxFuture<'static, Result<AccessToken, AuthError>>;

#[derive(Debug, Clone)]
struct Loaded {
    stamp: Stamp,
    credentials: Credentials,
    http: reqwest::Client,
}

/// Times are of the monotonic clock, which may stand still while the machine sleeps. A token that expired meanwhile is
/// rejected by the drive, which is as good a reason to get the next.
#[derive(Debug, Clone)]
struct Current {
    token: AccessToken,
    /// `None`: no end is known.
    expires: Option<Instant>,
    renew: Option<Instant>,
}

impl AuthorizedUser {
    /// Of the file at `path`; reads it, so that a wrong one is noticed here and not at the first request.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, AuthError> {
        let inner = Inner { file: CredentialFile::new(path.into()), state: Mutex::default() };
        inner.load().await?;
        Ok(Self(Arc::new(inner)))
    }
}

impl TokenSource for AuthorizedUser {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        let mut state = self.0.state.lock();
        if let Some(current) = &state.current
            && current.renew.is_none_or(|renew| Instant::now() < renew)
        {
            return future::ready(Ok(current.token.clone())).boxed();
        }
        if let Some(flight) = state.flight.as_ref().and_then(WeakShared::upgrade) {
            return flight.boxed();
        }
        let flight = Arc::clone(&self.0).renew().boxed().shared();
        state.flight = flight.downgrade();
        flight.boxed()
    }

    fn reject(&self, token: &AccessToken) {
        self.0.state.lock().current.take_if(|current| current.token == *token);
    }
}

impl Inner {
    /// The next token, or the old one if there is none and the old one still holds.
    async fn renew(self: Arc<Self>) -> Result<AccessToken, AuthError> {
        let result = self.issue().await;
        let mut state = self.state.lock();
        state.flight = None;
        let error = match result {
            Ok(current) => {
                let token = current.token.clone();
                state.current = Some(current);
                return Ok(token);
            }
            Err(error) => error,
        };
        let now = Instant::now();
        match &mut state.current {
            Some(current) if current.expires.is_none_or(|expires| now < expires) => {
                tracing::debug!(%error, "no new token; the old one still holds");
                current.renew = Some(current.expires.map_or(now + AGAIN, |expires| expires.min(now + AGAIN)));
                Ok(current.token.clone())
            }
            _ => Err(error),
        }
    }

    async fn issue(&self) -> Result<Current, AuthError> {
        let loaded = self.load().await?;
        let refused = self.state.lock().refused.clone();
        if let Some((stamp, error)) = refused
            && stamp == loaded.stamp
        {
            return Err(error);
        }
        let asked = Instant::now();
        match refresh::refresh(&loaded.http, &loaded.credentials).await {
            Ok(issued) => {
                if let (Some(next), Some(loaded)) = (issued.refresh_token, &mut self.state.lock().loaded) {
                    loaded.credentials.refresh_token = next;
                }
                Ok(Current::new(issued.token, asked, issued.lifetime))
            }
            Err(error @ AuthError::Refused { .. }) => {
                self.state.lock().refused = Some((loaded.stamp, error.clone()));
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The credentials as the file has them now.
    async fn load(&self) -> Result<Loaded, AuthError> {
        let stamp = self.file.stamp().await?;
        if let Some(loaded) = &self.state.lock().loaded
            && loaded.stamp == stamp
        {
            return Ok(loaded.clone());
        }
        let (stamp, text) = self.file.read().await?;
        let credentials = parse(text.expose()).map_err(|why| self.file.malformed(why))?;
        let http = refresh::http_client(&credentials.token_uri)?;
        let loaded = Loaded { stamp, credentials, http };
        self.state.lock().loaded = Some(loaded.clone());
        Ok(loaded)
    }
}

impl Current {
    fn new(token: AccessToken, asked: Instant, lifetime: Option<Duration>) -> Self {
        // Of a short life a quarter is margin, else a token of five minutes would be renewed for every other request.
        let after = |span: Duration| asked.checked_add(span);
        let renew = lifetime.and_then(|lifetime| after(lifetime.saturating_sub(EARLY.min(lifetime / 4))));
        Self { token, expires: lifetime.and_then(after), renew }
    }
}

/// What is wrong is said without repeating the text; the words of a JSON parser would.
fn parse(text: &str) -> Result<Credentials, String> {
    #[derive(Deserialize)]
    struct Fields {
        r#type: Option<String>,
        client_id: Option<String>,
        client_secret: Option<String>,
        refresh_token: Option<String>,
        token_uri: Option<String>,
    }
    let fields: Fields = serde_json::from_str(text)
        .map_err(|error| format!("no JSON of the expected form (line {}, column {})", error.line(), error.column()))?;
    if fields.r#type.as_deref() != Some("authorized_user") {
        return Err("its `type` is not `authorized_user`".to_owned());
    }
    let need = |field: Option<String>, name: &str| {
        field.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{name}` is missing"))
    };
    let token_uri = fields.token_uri.as_deref().unwrap_or(TOKEN_URI);
    let token_uri = Url::parse(token_uri)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
        .ok_or("`token_uri` is no web address")?;
    Ok(Credentials {
        client_id: need(fields.client_id, "client_id")?,
        client_secret: Secret::new(&need(fields.client_secret, "client_secret")?),
        refresh_token: Secret::new(&need(fields.refresh_token, "refresh_token")?),
        token_uri,
    })
}

#[cfg(test)]
mod tests;
