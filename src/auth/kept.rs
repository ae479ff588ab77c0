//! [`Kept`]: what a file of credentials says, read again when it changes.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::endpoint::is_final;
use super::file::{CredentialFile, Stamp};
use super::{AuthError, Secret};

/// A refusal in a word that says nothing of the credentials, such as one of a proxy on the way, may pass by itself; it is not
/// asked for again for this long, however many requests need a token.
const HOLD: Duration = Duration::from_secs(5);

/// Credentials in a file, understood by `parse`. A state of the file that the token service refused as such is not shown to it
/// again: the refusal is final until the file changes (its times count: `touch` makes it be tried again).
#[derive(Debug)]
pub(super) struct Kept<T> {
    file: CredentialFile,
    /// Says what is wrong without repeating the text, which is secret.
    parse: fn(&str) -> Result<T, String>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    loaded: Option<(Stamp, T)>,
    refused: Option<Refusal>,
}

#[derive(Debug, Clone)]
struct Refusal {
    stamp: Stamp,
    since: Instant,
    is_final: bool,
    error: AuthError,
}

impl Refusal {
    /// Whether it still answers for credentials of this state.
    fn stands(&self, stamp: Stamp) -> bool {
        self.stamp == stamp && (self.is_final || self.since.elapsed() < HOLD)
    }
}

impl<T: Clone> Kept<T> {
    /// Of the file at `path`; reads it, so that a wrong one is noticed here and not at the first request.
    pub(super) async fn open(path: PathBuf, parse: fn(&str) -> Result<T, String>) -> Result<Self, AuthError> {
        let state = Mutex::new(State { loaded: None, refused: None });
        let kept = Self { file: CredentialFile::new(path), parse, state };
        kept.load().await?;
        Ok(kept)
    }

    /// Does something with the credentials as the file has them now, unless they were refused already.
    pub(super) async fn attempt<R, F>(&self, work: impl FnOnce(T) -> F) -> Result<R, AuthError>
    where
        F: Future<Output = Result<R, AuthError>>,
    {
        let (stamp, credentials) = self.load().await?;
        let refused = self.state.lock().refused.clone();
        if let Some(refusal) = refused.filter(|refusal| refusal.stands(stamp)) {
            return Err(refusal.error);
        }
        let result = work(credentials).await;
        if let Err(error @ AuthError::Refused { code }) = &result {
            let refusal = Refusal { stamp, since: Instant::now(), is_final: is_final(code), error: error.clone() };
            self.state.lock().refused = Some(refusal);
        }
        result
    }

    /// Changes what was read, until the file changes.
    pub(super) fn amend(&self, change: impl FnOnce(&mut T)) {
        if let Some((_, credentials)) = &mut self.state.lock().loaded {
            change(credentials);
        }
    }

    /// The credentials as the file has them now.
    async fn load(&self) -> Result<(Stamp, T), AuthError> {
        let stamp = self.file.stamp().await?;
        if let Some(loaded) = self.state.lock().loaded.clone().filter(|(known, _)| *known == stamp) {
            return Ok(loaded);
        }
        let (stamp, text) = self.file.read().await?;
        let credentials = self.understand(&text)?;
        self.state.lock().loaded = Some((stamp, credentials.clone()));
        Ok((stamp, credentials))
    }

    fn understand(&self, text: &Secret) -> Result<T, AuthError> {
        (self.parse)(text.expose()).map_err(|why| self.file.malformed(why))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Whether a refusal with this word is asked for again, at once and after a while.
    async fn asked_again(code: &str) -> (bool, bool) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("credentials");
        std::fs::write(&path, "text").expect("writes");
        let kept = Kept::open(path, |text| Ok(text.to_owned())).await.expect("opens");
        let asked = Cell::new(0);
        let attempt = async || {
            let refuse = async |_| {
                asked.set(asked.get() + 1);
                Err::<(), _>(AuthError::Refused { code: code.to_owned() })
            };
            let error = kept.attempt(refuse).await.expect_err("refused");
            assert!(error.to_string().contains(code), "{error}");
            asked.get()
        };
        attempt().await;
        let at_once = attempt().await > 1;
        tokio::time::pause();
        tokio::time::advance(HOLD).await;
        tokio::time::resume();
        (at_once, attempt().await > 1)
    }

    #[tokio::test]
    async fn only_a_refusal_of_the_credentials_themselves_is_final() {
        for code in ["invalid_grant", "invalid_client", "deleted_client", "admin_policy_enforced", "access_denied"] {
            assert_eq!(asked_again(code).await, (false, false), "{code}");
        }
        for code in ["blocked", "invalid_request", "forbidden"] {
            assert_eq!(asked_again(code).await, (false, true), "{code}");
        }
    }
}
