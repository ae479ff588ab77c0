//! [`TokenCommand`]: tokens that a program prints.
//!
//! ```text
//!   program   runs it: bounded in time and in what is read of it, killed with all that it started
//!   printed   what it printed, as a token
//!   redact    what it complained of, without what may be a secret
//! ```
//!
//! The program says either a token alone, or JSON as gcloud, rclone and others print it. Nobody but who needs a token waits for
//! it, and nobody at all while the old token holds and the program takes long.

mod printed;
mod program;
mod redact;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::program::{Ended, Program};
use super::brake::Brake;
use super::renewed::{Issued, Issuer, Renewed};
use super::{AuthError, Secret};

pub(super) use self::printed::{Printed, printed};
pub use self::program::end_programs;

/// How long the program may take: longer than a slow start of gcloud and a slow network.
const LIMIT: Duration = Duration::from_secs(30);

/// A program that failed is not run again for this long, however many requests need a token.
const HOLD: Duration = Duration::from_secs(5);

/// The least time from one run to the next. A program that prints the token of before, which the drive refuses, would be run
/// for each request.
const PAUSE: Duration = Duration::from_secs(1);

/// When to run it again if it does not say how long the token holds.
const RENEW_AFTER: Duration = Duration::from_mins(5);

/// Runs a line of the shell for each token.
#[derive(Debug)]
pub(super) struct TokenCommand {
    line: Secret,
    dir: PathBuf,
    limit: Duration,
    brake: Brake,
    last_run: Mutex<Option<Instant>>,
}

impl TokenCommand {
    /// `line` is run in `dir`.
    pub(super) fn new(line: &str, dir: PathBuf) -> Renewed<Self> {
        Renewed::new(Self::with_limit(line, dir, LIMIT))
    }

    fn with_limit(line: &str, dir: PathBuf, limit: Duration) -> Self {
        Self { line: Secret::new(line), dir, limit, brake: Brake::default(), last_run: Mutex::default() }
    }

    async fn run(&self) -> Result<Issued, AuthError> {
        let due = self.last_run.lock().map(|last| last + PAUSE);
        if let Some(due) = due {
            tokio::time::sleep_until(due).await;
        }
        *self.last_run.lock() = Some(Instant::now());
        let failed = |why: String| AuthError::Program { why, is_late: false };
        let program =
            Program::start(self.line.expose(), &self.dir).map_err(|error| failed(format!("cannot be run: {error}")))?;
        let Ok(ended) = tokio::time::timeout(self.limit, program.end()).await else {
            let why = format!("did not end within {} s and was killed", self.limit.as_secs());
            return Err(AuthError::Program { why, is_late: true });
        };
        let Ended { status, output, complaint } = ended.map_err(|error| failed(format!("failed: {error}")))?;
        // What it complains of is why it printed nothing, too.
        let said = redact::last_line(&complaint, self.line.expose());
        let said = said.map_or_else(String::new, |line| format!(": {line}"));
        if !status.success() {
            return Err(failed(format!("failed ({status}){said}")));
        }
        printed(&output).and_then(Printed::issued).map_err(|why| failed(format!("{why}{said}")))
    }
}

impl Issuer for TokenCommand {
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
        async {
            let issued = self.brake.attempt(HOLD, self.run()).await?;
            let renew_after = issued.lifetime.is_none().then_some(RENEW_AFTER);
            Ok(Issued { renew_after, ..issued })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
