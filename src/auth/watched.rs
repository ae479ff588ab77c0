//! [`Watched`]: a source of tokens, and how it fares.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{AccessToken, AuthError, TokenSource};
use crate::error::Kind;

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
    /// The token that the drive refused last.
    rejected: Option<AccessToken>,
    /// Why somebody has to sign in.
    trouble: Option<String>,
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

    fn note(&self, result: &Result<AccessToken, AuthError>) {
        let mut state = self.state.lock();
        let trouble = match result {
            // The same one again: nothing newer is to be had.
            Ok(token) if state.rejected.as_ref() == Some(token) => Some("the drive refuses the token".to_owned()),
            Ok(_) => None,
            Err(error) if error.kind() == Kind::SignIn => Some(error.to_string()),
            // Says nothing of the sign-in.
            Err(_) => return,
        };
        if trouble != state.trouble {
            if let Some(why) = &trouble {
                tracing::warn!(why, "sign-in required; what is cached can be read, what is written waits");
            } else {
                tracing::info!("signed in again");
                self.healed.notify_one();
            }
            state.trouble = trouble;
        }
    }
}

impl TokenSource for Watched {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        async {
            let result = self.source.token().await;
            self.note(&result);
            result
        }
        .boxed()
    }

    fn reject(&self, token: &AccessToken) {
        self.source.reject(token);
        self.state.lock().rejected = Some(token.clone());
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
        watched.token().await.expect("a token");
        assert_eq!(watched.trouble(), None);
        watched.healed().await;
    }
}
