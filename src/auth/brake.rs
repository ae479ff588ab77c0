//! [`Brake`]: keeps a thousand requests from being a thousand refused attempts.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::AuthError;
use crate::error::Kind;

/// Remembers a sign-in that was refused for a reason that may pass by itself (a clock is set, a right is granted, a program is
/// mended), and gives the same refusal again for a moment instead of asking.
#[derive(Debug, Default)]
pub(super) struct Brake(Mutex<Option<(Instant, AuthError)>>);

impl Brake {
    /// Does `work`, unless it was refused less than `hold` ago.
    pub(super) async fn attempt<T>(
        &self,
        hold: Duration,
        work: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, AuthError> {
        let refused = self.0.lock().clone();
        if let Some((_, error)) = refused.filter(|(since, _)| since.elapsed() < hold) {
            return Err(error);
        }
        let result = work.await;
        let refused = result.as_ref().err().filter(|error| error.kind() == Kind::SignIn);
        *self.0.lock() = refused.map(|error| (Instant::now(), error.clone()));
        result
    }
}
