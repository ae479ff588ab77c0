//! [`LateTokens`]: credentials that cannot be opened now, and may be later.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use super::open::{Access, open};
use super::{AccessToken, AuthError, TokenSource};
use crate::config::Credentials;

/// Opens the credentials with each token that is asked for, until that succeeds: for a mount that goes on from a daemon which had them open.
/// Until then there is no token, and the reason is that of the last attempt.
#[derive(Debug)]
pub struct LateTokens {
    credentials: Credentials,
    access: Access,
    source: OnceCell<Arc<dyn TokenSource>>,
}

impl LateTokens {
    /// Of these credentials. Does not look at them yet.
    pub fn new(credentials: Credentials, access: Access) -> Self {
        Self { credentials, access, source: OnceCell::new() }
    }
}

impl TokenSource for LateTokens {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        async {
            let source = self.source.get_or_try_init(|| open(&self.credentials, self.access)).await?;
            source.token().await
        }
        .boxed()
    }

    fn reject(&self, token: &AccessToken) {
        if let Some(source) = self.source.get() {
            source.reject(token);
        }
    }

    fn accept(&self, token: &AccessToken) {
        if let Some(source) = self.source.get() {
            source.accept(token);
        }
    }

    fn issuer(&self) -> Option<Url> {
        self.source.get()?.issuer()
    }

    fn scopes(&self) -> Option<String> {
        self.source.get()?.scopes()
    }

    fn notes(&self) -> Vec<String> {
        self.source.get().map(|source| source.notes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_opened_at_first_is_opened_when_it_can() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("credentials.json");
        let late =
            LateTokens::new(Credentials::Account { name: "work".to_owned(), path: path.clone() }, Access::ReadOnly);
        let error = late.token().await.expect_err("there is no file");
        assert!(error.to_string().contains("credentials.json"), "{error}");
        std::fs::write(&path, b"{}").expect("writes");
        let other = late.token().await.expect_err("it says nothing");
        assert_ne!(error.to_string(), other.to_string(), "it was looked at again");
    }
}
