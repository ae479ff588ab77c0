//! The end: no more changes, and everything to the drive.

use std::sync::Arc;

use super::running::Running;
use crate::control::Left;
use crate::tree::Ino;

/// Stops changes and waits for the drive, as long as it takes. To bound the wait, drop the future.
pub(super) async fn drain(running: &Arc<Running>) {
    running.close();
    if let Err(error) = running.fs.flush_to_drive(Ino::ROOT).await {
        tracing::error!(%error, "waiting for the drive failed");
    }
}

/// What the drive does not have, said in the log too.
pub(super) fn left(running: &Running) -> Left {
    let mut left = running.left().unwrap_or_else(|error| {
        tracing::error!(%error, "what is left is not known");
        Left::default()
    });
    for item in &mut left.items {
        // Nobody tries again before the next mount.
        (item.retry_in_seconds, item.sent_in_seconds) = (None, None);
        let reason = item.reason.as_deref().unwrap_or("no time");
        tracing::warn!(path = item.path, bytes = item.bytes, reason, "not on the drive yet; the next mount sends it");
    }
    left
}
