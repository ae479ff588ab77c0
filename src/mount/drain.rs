//! The end: no more changes, and everything to the drive.

use std::sync::Arc;
use std::time::Duration;

use super::running::Running;
use crate::control::{Ending, Left};
use crate::tree::Ino;

/// Stops changes and waits for the drive, no longer than was asked. Says what is left.
pub(super) async fn drain(running: &Arc<Running>, ending: &Ending) -> Left {
    running.close();
    let flush = running.fs.flush_to_drive(Ino::ROOT);
    let flushed = match ending.timeout_millis {
        Some(millis) => tokio::time::timeout(Duration::from_millis(millis), flush).await.ok(),
        None => Some(flush.await),
    };
    if let Some(Err(error)) = flushed {
        tracing::error!(%error, "waiting for the drive failed");
    }
    left(running)
}

/// What the drive does not have, said in the log too.
pub(super) fn left(running: &Running) -> Left {
    let left = running.left().unwrap_or_else(|error| {
        tracing::error!(%error, "what is left is not known");
        Left::default()
    });
    for item in &left.items {
        let reason = item.reason.as_deref().unwrap_or("no time");
        tracing::warn!(path = item.path, bytes = item.bytes, reason, "not on the drive yet; the next mount sends it");
    }
    left
}
