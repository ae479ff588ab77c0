//! [`Kept`]: what a file of credentials says, read again when it changes.

use std::path::PathBuf;

use parking_lot::Mutex;

use super::file::{CredentialFile, Stamp};
use super::{AuthError, Secret};

/// Credentials in a file, understood by `parse`. A state of the file that the token service refused is not shown to it again:
/// the refusal is final until the file changes (its times count: `touch` makes it be tried again).
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
    refused: Option<(Stamp, AuthError)>,
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
        if let Some((_, error)) = refused.filter(|(refused, _)| *refused == stamp) {
            return Err(error);
        }
        let result = work(credentials).await;
        if let Err(error @ AuthError::Refused { .. }) = &result {
            self.state.lock().refused = Some((stamp, error.clone()));
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
