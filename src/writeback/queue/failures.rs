//! What could not be sent, why, and when it is tried again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Kind, Retry};
use crate::tree::Ino;
use crate::writeback::WritebackError;

/// How often in a row an upload is refused for the cap of a day before that is believed.
const PASSING: u32 = 4;

/// Why an entry was not sent.
#[derive(Debug, Clone)]
pub(in crate::writeback) struct Failure {
    pub(in crate::writeback) kind: Kind,
    pub(in crate::writeback) message: String,
    pub(in crate::writeback) attempts: u32,
    /// When it is tried again.
    pub(in crate::writeback) next: Instant,
}

impl Failure {
    /// Whether it will not pass by itself.
    pub(super) fn is_hopeless(&self) -> bool {
        match self.kind {
            // The drive refuses in the same words what comes too fast, which passes.
            Kind::UploadLimit => self.attempts >= PASSING,
            kind => kind.retry() != Retry::Soon,
        }
    }

    pub(super) fn new(error: &WritebackError, attempts: u32) -> Self {
        let next = Instant::now() + backoff(error.kind(), attempts);
        Self { kind: error.kind(), message: error.to_string(), attempts, next }
    }
}

/// The last failure of each entry whose last attempt failed.
pub(super) type Failures = HashMap<Ino, Failure>;

/// How long to wait before trying again.
fn backoff(kind: Kind, attempts: u32) -> Duration {
    let (first, most) = match kind.retry() {
        _ if kind == Kind::UploadLimit && attempts < PASSING => (Duration::from_secs(1), Duration::from_mins(1)),
        Retry::Soon => (Duration::from_secs(1), Duration::from_mins(1)),
        Retry::Seldom | Retry::Never => (Duration::from_secs(15), Duration::from_mins(10)),
    };
    let whole = first.saturating_mul(1 << attempts.min(10)).min(most);
    // Half of it at random, so that what failed together does not come back together.
    whole / 2 + whole.mul_f64(rand::random::<f64>() / 2.0)
}
