//! What could not be sent, why, and when it is tried again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Kind, Retry};
use crate::tree::Ino;
use crate::writeback::WritebackError;

/// How often in a row an entry must fail for a reason before that is believed: some are given for what passes in a moment.
fn believed_after(kind: Kind) -> u32 {
    match kind {
        // The drive refuses in the same words what comes too fast.
        Kind::UploadLimit => 4,
        // A token may be refused by mistake, and the next request be taken.
        Kind::SignIn => 2,
        _ => 1,
    }
}

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
        self.kind.retry() != Retry::Soon && self.attempts >= believed_after(self.kind)
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
        _ if attempts < believed_after(kind) => (Duration::from_secs(1), Duration::from_mins(1)),
        Retry::Soon => (Duration::from_secs(1), Duration::from_mins(1)),
        Retry::Seldom | Retry::Never => (Duration::from_secs(15), Duration::from_mins(10)),
    };
    let whole = first.saturating_mul(1 << attempts.min(10)).min(most);
    // Half of it at random, so that what failed together does not come back together.
    whole / 2 + whole.mul_f64(rand::random::<f64>() / 2.0)
}
