//! [`Renewed`]: access tokens that are renewed before they expire, wherever they are issued.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture, WeakShared};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{AccessToken, AuthError, Secret, TokenSource};

/// A token is renewed this long before it expires, so that none dies on its way to the drive. Google's library for Python
/// takes 3 min 45 s.
const EARLY: Duration = Duration::from_mins(4);

/// While the old token still holds, a failed renewal is tried again after this long.
const AGAIN: Duration = Duration::from_secs(10);

/// Gives a new access token each time it is asked: a token endpoint, a program, the machine that we run on.
pub(super) trait Issuer: Send + Sync + fmt::Debug + 'static {
    /// A new token. Failures that pass by themselves are tried again inside, for about a second.
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>>;
}

/// What an issuer gave.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: AccessToken,
    /// How long it is good for, if the issuer says so.
    pub(super) lifetime: Option<Duration>,
    /// What it is good for, as the issuer says it: scopes separated by spaces.
    pub(super) scopes: Option<String>,
    /// Takes the place of the refresh token that was used; Google seldom sends one.
    pub(super) refresh_token: Option<Secret>,
    /// How long the refresh token is good for: Google says so of applications in testing.
    pub(super) refresh_lifetime: Option<Duration>,
}

impl Issued {
    /// A token of which nothing else is known.
    pub(super) fn bare(token: AccessToken) -> Self {
        Self { token, lifetime: None, scopes: None, refresh_token: None, refresh_lifetime: None }
    }
}

/// Tokens of one issuer.
///
/// - Callers that need a new token at the same time wait for one and the same request.
/// - As long as the old token holds, a failing issuer is not noticed by anybody.
#[derive(Debug)]
pub(super) struct Renewed<I>(Arc<Inner<I>>);

#[derive(Debug)]
struct Inner<I> {
    issuer: I,
    state: Mutex<State>,
}

/// Guarded by the one lock, which is never held while anything is waited for.
#[derive(Debug, Default)]
struct State {
    /// The newest token that was not rejected.
    current: Option<Current>,
    /// What the last token was good for.
    scopes: Option<String>,
    /// The renewal under way. Weak, so that it ends when nobody waits for it any more.
    flight: Option<WeakShared<Flight>>,
}

type Flight = BoxFuture<'static, Result<AccessToken, AuthError>>;

/// Times are of the monotonic clock, which may stand still while the machine sleeps. A token that expired meanwhile is
/// rejected by the drive, which is as good a reason to get the next.
#[derive(Debug, Clone)]
struct Current {
    token: AccessToken,
    /// `None`: no end is known.
    expires: Option<Instant>,
    renew: Option<Instant>,
}

impl<I: Issuer> Renewed<I> {
    pub(super) fn new(issuer: I) -> Self {
        Self(Arc::new(Inner { issuer, state: Mutex::default() }))
    }
}

impl<I: Issuer> TokenSource for Renewed<I> {
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

    fn scopes(&self) -> Option<String> {
        self.0.state.lock().scopes.clone()
    }
}

impl<I: Issuer> Inner<I> {
    /// The next token, or the old one if there is none and the old one still holds.
    async fn renew(self: Arc<Self>) -> Result<AccessToken, AuthError> {
        let asked = Instant::now();
        let result = self.issuer.issue().await;
        let mut state = self.state.lock();
        state.flight = None;
        let error = match result {
            Ok(issued) => {
                let token = issued.token.clone();
                state.scopes = issued.scopes;
                state.current = Some(Current::new(issued.token, asked, issued.lifetime));
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
}

impl Current {
    fn new(token: AccessToken, asked: Instant, lifetime: Option<Duration>) -> Self {
        // Of a short life a quarter is margin, else a token of five minutes would be renewed for every other request.
        let after = |span: Duration| asked.checked_add(span);
        let renew = lifetime.and_then(|lifetime| after(lifetime.saturating_sub(EARLY.min(lifetime / 4))));
        Self { token, expires: lifetime.and_then(after), renew }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_lived_token_is_not_renewed_for_each_request() {
        let now = Instant::now();
        let token = AccessToken::new("x").expect("a token");
        let renew = |lifetime| Current::new(token.clone(), now, lifetime).renew.map(|renew| renew - now);
        assert_eq!(renew(Some(Duration::from_mins(1))), Some(Duration::from_secs(45)));
        assert_eq!(renew(Some(Duration::from_hours(1))), Some(Duration::from_mins(56)));
        assert_eq!(renew(Some(Duration::MAX)), None);
        assert_eq!(renew(None), None);
    }
}
