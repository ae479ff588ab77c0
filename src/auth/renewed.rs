//! [`Renewed`]: access tokens that are renewed before they expire, wherever they are issued.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::{AccessToken, AuthError, Secret, TokenSource};

/// A token is renewed this long before it expires, so that none dies on its way to the drive. Google's library for Python
/// takes 3 min 45 s.
const EARLY: Duration = Duration::from_mins(4);

/// While the old token still holds, a failed renewal is tried again after this long.
const AGAIN: Duration = Duration::from_secs(10);

/// While the old token still holds, nobody waits longer than this for the next: a program that prints tokens may take half a
/// minute.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gives a new access token each time it is asked: a token endpoint, a program, the machine that we run on.
pub(super) trait Issuer: Send + Sync + fmt::Debug + 'static {
    /// A new token. Failures that pass by themselves are tried again inside, for about a second.
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>>;

    /// See [`TokenSource::notes`].
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What an issuer gave.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: AccessToken,
    /// How long it is good for, if the issuer says so.
    pub(super) lifetime: Option<Duration>,
    /// When to see whether there is a newer one, if not shortly before the end.
    pub(super) renew_after: Option<Duration>,
    /// What it is good for, as the issuer says it: scopes separated by spaces.
    pub(super) scopes: Option<String>,
    /// Who issued it, where that is known.
    pub(super) issuer: Option<Url>,
    /// Takes the place of the refresh token that was used; Google seldom sends one.
    pub(super) refresh_token: Option<Secret>,
    /// How long the refresh token is good for: Google says so of applications in testing.
    pub(super) refresh_lifetime: Option<Duration>,
}

impl Issued {
    /// A token of which nothing else is known.
    pub(super) fn bare(token: AccessToken) -> Self {
        Self {
            token,
            lifetime: None,
            renew_after: None,
            scopes: None,
            issuer: None,
            refresh_token: None,
            refresh_lifetime: None,
        }
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
    /// Who issued it.
    issuer: Option<Url>,
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
        let now = Instant::now();
        if let Some(current) = &state.current
            && current.renew.is_none_or(|renew| now < renew)
        {
            return future::ready(Ok(current.token.clone())).boxed();
        }
        let old = state.current.as_ref().filter(|current| current.holds(now)).map(|current| current.token.clone());
        let flight = state.flight.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(|| {
            let flight = Arc::clone(&self.0).renew().boxed().shared();
            state.flight = flight.downgrade();
            flight
        });
        match old {
            None => flight.boxed(),
            Some(old) => Arc::clone(&self.0).soon(flight, old).boxed(),
        }
    }

    fn reject(&self, token: &AccessToken) {
        self.0.state.lock().current.take_if(|current| current.token == *token);
    }

    fn scopes(&self) -> Option<String> {
        self.0.state.lock().scopes.clone()
    }

    fn issuer(&self) -> Option<Url> {
        self.0.state.lock().issuer.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.0.issuer.notes()
    }
}

impl<I: Issuer> Inner<I> {
    /// The next token if it comes soon, else the old one, which still holds; the renewal goes on by itself then.
    async fn soon(self: Arc<Self>, flight: Shared<Flight>, old: AccessToken) -> Result<AccessToken, AuthError> {
        if let Ok(result) = tokio::time::timeout(PATIENCE, flight.clone()).await {
            return result;
        }
        if let Some(current) = self.state.lock().current.as_mut().filter(|current| current.token == old) {
            current.put_off(Instant::now());
        }
        tokio::spawn(flight);
        Ok(old)
    }

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
                state.issuer = issued.issuer;
                state.current = Some(Current::new(issued.token, asked, issued.lifetime, issued.renew_after));
                return Ok(token);
            }
            Err(error) => error,
        };
        let now = Instant::now();
        match &mut state.current {
            Some(current) if current.holds(now) => {
                tracing::debug!(%error, "no new token; the old one still holds");
                current.put_off(now);
                Ok(current.token.clone())
            }
            _ => Err(error),
        }
    }
}

impl Current {
    fn holds(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Tries to renew it later, but before its end.
    fn put_off(&mut self, now: Instant) {
        self.renew = Some(self.expires.map_or(now + AGAIN, |expires| expires.min(now + AGAIN)));
    }

    fn new(token: AccessToken, asked: Instant, lifetime: Option<Duration>, renew: Option<Duration>) -> Self {
        // Of a short life a quarter is margin, else a token of five minutes would be renewed for every other request.
        let after = |span: Duration| asked.checked_add(span);
        let renew = renew.or_else(|| Some(lifetime?.saturating_sub(EARLY.min(lifetime? / 4)))).and_then(after);
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
        let renew = |lifetime| Current::new(token.clone(), now, lifetime, None).renew.map(|renew| renew - now);
        assert_eq!(renew(Some(Duration::from_mins(1))), Some(Duration::from_secs(45)));
        assert_eq!(renew(Some(Duration::from_hours(1))), Some(Duration::from_mins(56)));
        assert_eq!(renew(Some(Duration::MAX)), None);
        assert_eq!(renew(None), None);
    }

    /// Gives one token at once, and takes its time for the next.
    #[derive(Debug, Default)]
    struct Slow(std::sync::atomic::AtomicU32);

    impl Issuer for Slow {
        fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
            async {
                let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if count > 0 {
                    tokio::time::sleep(Duration::from_secs(20)).await;
                }
                let token = AccessToken::new(&format!("token-{count}")).expect("a token");
                Ok(Issued { lifetime: Some(Duration::from_hours(1)), ..Issued::bare(token) })
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_the_next_token_while_the_old_one_holds() {
        let tokens = Renewed::new(Slow::default());
        let token = async || tokens.token().await.expect("a token").expose().to_owned();
        assert_eq!(token().await, "token-0");
        tokio::time::advance(Duration::from_mins(57)).await;
        let began = Instant::now();
        assert_eq!(token().await, "token-0");
        assert_eq!(token().await, "token-0", "the next one does not wait at all");
        assert!(began.elapsed() <= PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(token().await, "token-1", "it came by itself");
        // One that is refused is not given out again.
        tokens.reject(&AccessToken::new("token-1").expect("a token"));
        assert_eq!(token().await, "token-2");
    }
}
