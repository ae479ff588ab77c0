//! Taking in the base of an edit.
//!
//! An upload needs all of the file, also what was not changed; and by then somebody may have given the file another content, and
//! the drive dropped the one that the edit builds on. So what shines through from the base is fetched as soon as an edit is
//! sealed, and kept in the staging file, where it cannot be evicted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::staging::Staging;
use super::stagings::Stagings;
use super::{Result, table};
use crate::crash;

/// How much of a base is asked for at a time, and how much of that is held in memory.
const AHEAD: u64 = 16 << 20;
const PIECE: u64 = 1 << 20;
/// After so many bytes the tables are told what is here.
const STORED: u64 = 64 << 20;

impl Stagings {
    /// Begins to take in what shines through from the base of an edit.
    pub(super) fn secure(&self, staging: &Arc<Staging>) {
        // What the drive can copy needs no bytes here.
        if staging.wanted_base().is_none()
            || staging.is_copy_of().is_some()
            || staging.securing.swap(true, Ordering::Relaxed)
        {
            return;
        }
        // It may be all that holds the staging until that is sent, which may take long.
        let staging = Arc::clone(staging);
        self.runtime.spawn(async move {
            if let Err(error) = take_in(&staging).await {
                tracing::debug!(%error, "the base of an edit is not here yet; the upload tries again");
            }
            staging.securing.store(false, Ordering::Relaxed);
        });
    }

    /// Makes what was taken in since the last seal known to the tables, so that it is still there after a crash.
    pub(super) fn store_taken_in(&self, staging: &Staging) -> Result<()> {
        let Some(mut lowest) = staging.lowest_sealed() else { return Ok(()) };
        // Before the tables say that it is there: what they say must hold after a loss of power.
        lowest.sync()?;
        crash::point("base-taken-in");
        let _no_newer_seal = staging.hold_seals();
        let Some(sealed) = staging.lowest_sealed().filter(|sealed| sealed.number == lowest.number) else {
            return Ok(());
        };
        // A newer seal may have stored more.
        for range in sealed.sealed.iter() {
            lowest.written.insert(range);
        }
        self.state.write(|tx| table::set_written(tx, staging.ino(), lowest.number, &lowest.written))?;
        staging.inner.lock().taken_in = 0;
        Ok(())
    }
}

/// Has the tables say what was taken in so far.
async fn store(staging: &Arc<Staging>) -> Result<()> {
    let staging = Arc::clone(staging);
    let storing = tokio::task::spawn_blocking(move || staging.owner().store_taken_in(&staging));
    storing.await.unwrap_or(Ok(()))
}

/// Takes in from the base what shines through, until nothing does or nobody wants it.
pub(super) async fn take_in(staging: &Arc<Staging>) -> Result<()> {
    let (mut at, mut asked, mut stored) = (0, 0, 0);
    loop {
        let Some(base) = staging.wanted_base() else { return Ok(()) };
        if at >= base.source().blob.size.min(staging.size()) {
            return store(staging).await;
        }
        if at >= stored + STORED {
            // What is here need not be fetched again after a crash, when the drive may not have it any more.
            store(staging).await?;
            stored = at;
        }
        if at + AHEAD / 2 >= asked {
            for range in staging.only_in_base(asked..at + AHEAD) {
                base.fetch_ahead(range)?;
            }
            asked = at + AHEAD;
        }
        if !staging.owner().space.fits(PIECE) {
            // Unsent bytes need the room more: the upload fetches these.
            return store(staging).await;
        }
        for range in staging.only_in_base(at..at + PIECE) {
            let bytes = match base.read(range.clone()).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    store(staging).await?;
                    return Err(error.into());
                }
            };
            staging.fill(range.start, &bytes);
            crash::point("base-piece-taken-in");
        }
        at += PIECE;
    }
}
