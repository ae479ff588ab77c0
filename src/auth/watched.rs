//! [`Watched`]: a source of tokens, and how it fares.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use url::Url;

use super::{AccessToken, AuthError, TokenSource};
use crate::error::Kind;

/// One token may be refused by mistake, or because it ended on its way. So many different ones are not.
const MANY: u32 = 3;

/// Passes everything on, and remembers whether somebody has to sign in.
#[derive(Debug)]
pub struct Watched {
    source: Arc<dyn TokenSource>,
    state: Mutex<State>,
    healed: Notify,
}

/// Guarded by the one lock, which is never held while anything is waited for.
#[derive(Debug, Default)]
struct State {
    /// The token that was given out last.
    given: Option<AccessToken>,
    /// The token that the drive refused last.
    rejected: Option<AccessToken>,
    /// How many it refused since it took one.
    refusals: u32,
    /// Why somebody has to sign in.
    trouble: Option<String>,
    /// Why no token is given out any more.
    withheld: Option<String>,
}

impl Watched {
    /// Of this source.
    pub fn new(source: Arc<dyn TokenSource>) -> Self {
        Self { source, state: Mutex::default(), healed: Notify::new() }
    }

    /// Why somebody has to sign in; `None` while all is well, as far as is known.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// Completes when a sign-in that was not good is good again. For one waiter at a time.
    pub async fn healed(&self) {
        self.healed.notified().await;
    }

    /// From now on no token is given out, for this reason: it would be one of somebody else.
    pub fn withhold(&self, why: String) {
        self.state.lock().withheld = Some(why);
    }

    fn note(&self, result: &Result<AccessToken, AuthError>) {
        let mut state = self.state.lock();
        state.given = result.as_ref().ok().cloned();
        let trouble = match result {
            // The same one again: nothing newer is to be had. Or one of several in a row, none of which the drive took.
            Ok(token) if state.rejected.as_ref() == Some(token) || state.refusals >= MANY => {
                Some("the drive refuses the token".to_owned())
            }
            Ok(_) if state.refusals == 0 => None,
            Err(error) if error.kind() == Kind::SignIn => Some(error.to_string()),
            // Whether a new one is better, the drive will say; and other errors say nothing of the sign-in.
            Ok(_) | Err(_) => return,
        };
        self.settle(&mut state, trouble);
    }

    fn settle(&self, state: &mut State, trouble: Option<String>) {
        if trouble == state.trouble {
            return;
        }
        if let Some(why) = &trouble {
            tracing::warn!(why, "sign-in required; what is cached can be read, what is written waits");
        } else {
            tracing::info!("signed in again");
            self.healed.notify_one();
        }
        state.trouble = trouble;
    }
}

impl TokenSource for Watched {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        async {
            let withheld = self.state.lock().withheld.clone();
            let result = match withheld {
                Some(why) => Err(AuthError::NotGranted { why }),
                None => self.source.token().await,
            };
            self.note(&result);
            result
        }
        .boxed()
    }

    fn reject(&self, token: &AccessToken) {
        self.source.reject(token);
        let mut state = self.state.lock();
        if state.rejected.as_ref() != Some(token) {
            state.refusals += 1;
            state.rejected = Some(token.clone());
        }
    }

    fn accept(&self, token: &AccessToken) {
        let mut state = self.state.lock();
        // An answer that was long on its way says nothing of what was given out since.
        if state.refusals > 0 && state.given.as_ref() == Some(token) {
            state.refusals = 0;
            state.rejected = None;
            self.settle(&mut state, None);
        }
    }

    fn issuer(&self) -> Option<Url> {
        self.source.issuer()
    }

    fn scopes(&self) -> Option<String> {
        self.source.scopes()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::TokenFile;
    use super::*;

    #[tokio::test]
    async fn a_refused_token_is_trouble_until_there_is_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        fs::write(&path, "ya29.first").expect("writes");
        let watched = Watched::new(Arc::new(TokenFile::new(&path)));
        let token = watched.token().await.expect("a token");
        assert_eq!(watched.trouble(), None);
        watched.reject(&token);
        watched.token().await.expect("the same token");
        assert!(watched.trouble().expect("trouble").contains("refuses"));

        fs::remove_file(&path).expect("removes");
        watched.token().await.expect_err("no token");
        let trouble = watched.trouble().expect("trouble");
        assert!(trouble.contains("cannot be read") && !trouble.contains("ya29"), "{trouble}");

        fs::write(&path, "ya29.second").expect("writes");
        let token = watched.token().await.expect("a token");
        assert!(watched.trouble().is_some(), "the drive has not seen it yet");
        watched.accept(&token);
        assert_eq!(watched.trouble(), None);
        watched.healed().await;
    }

    #[tokio::test]
    async fn one_refusal_by_mistake_is_no_trouble_and_many_of_fresh_tokens_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        fs::write(&path, "ya29.same").expect("writes");
        let watched = Watched::new(Arc::new(TokenFile::new(&path)));
        let token = watched.token().await.expect("a token");
        watched.reject(&token);
        let again = watched.token().await.expect("the same");
        watched.accept(&again);
        assert_eq!(watched.trouble(), None);
        for count in 0..=MANY {
            fs::write(&path, format!("ya29.fresh-{count}")).expect("writes");
            watched.reject(&watched.token().await.expect("a token"));
        }
        watched.token().await.expect("one more");
        assert!(watched.trouble().is_some());
    }
}
