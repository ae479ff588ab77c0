//! [`TokenFile`]: a token in a file that somebody else renews.

use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::file::{CredentialFile, Stamp};
use super::{AccessToken, AuthError, TokenSource};

/// An access token, alone in a file, which a sidecar or a cron job replaces in time. The file is looked at for each request
/// and read again when it changed, or when the token in it was refused.
#[derive(Debug)]
pub struct TokenFile {
    file: CredentialFile,
    known: Mutex<Option<(Stamp, AccessToken)>>,
}

impl TokenFile {
    /// Of the file at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: CredentialFile::new(path.into()), known: Mutex::new(None) }
    }

    async fn current(&self) -> Result<AccessToken, AuthError> {
        let stamp = self.file.stamp().await?;
        if let Some((known, token)) = &*self.known.lock()
            && *known == stamp
        {
            return Ok(token.clone());
        }
        let (stamp, text) = self.file.read().await?;
        let empty = text.expose().trim().is_empty();
        let wrong = if empty { "the file is empty" } else { "the file holds something else than one access token" };
        let token = AccessToken::new(text.expose()).ok_or_else(|| self.file.malformed(wrong))?;
        *self.known.lock() = Some((stamp, token.clone()));
        Ok(token)
    }
}

impl TokenSource for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        self.current().boxed()
    }

    fn reject(&self, token: &AccessToken) {
        // Two writes within the resolution of the file's times may leave the same stamp, so the next call reads it anyway.
        self.known.lock().take_if(|(_, known)| known == token);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_replaced_file_gives_the_new_token() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        fs::write(&path, "  ya29.first\n\n").expect("writes");
        let source = TokenFile::new(&path);
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.first");

        fs::write(dir.path().join("next"), "ya29.other").expect("writes");
        fs::rename(dir.path().join("next"), &path).expect("renames");
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.other");
        assert!(!format!("{source:?}").contains("ya29"));
    }

    #[tokio::test]
    async fn a_refused_token_is_read_again_even_if_the_file_looks_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        fs::write(&path, "ya29.aaa").expect("writes");
        let source = TokenFile::new(&path);
        let old = source.token().await.expect("a token");

        let before = fs::metadata(&path).expect("is there");
        fs::write(&path, "ya29.bbb").expect("writes");
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_modified(before.modified().expect("has a time")).expect("sets the time back");
        assert_eq!(fs::metadata(&path).expect("is there").ino(), before.ino());

        assert_eq!(source.token().await.expect("a token"), old, "nothing tells the states apart");
        source.reject(&old);
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.bbb");
        source.reject(&old);
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.bbb");
    }

    #[tokio::test]
    async fn a_missing_or_unusable_file_asks_for_a_sign_in_and_is_tried_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        let source = TokenFile::new(&path);
        assert_eq!(source.token().await.expect_err("no file").kind(), Kind::SignIn);

        fs::write(&path, "not a secret-token").expect("writes");
        let error = source.token().await.expect_err("no token");
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(!format!("{error} {error:?}").contains("secret-token"));

        fs::write(&path, vec![b'x'; 70_000]).expect("writes");
        assert_eq!(source.token().await.expect_err("too large").kind(), Kind::SignIn);

        fs::write(&path, "ya29.good").expect("writes");
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.good");
    }
}
