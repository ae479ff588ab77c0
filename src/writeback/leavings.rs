//! Staging files that are needed no more.
//!
//! Their rows say so already; but the log that holds those rows need not be on stable storage yet, and the removal of a file may
//! get there first. After a loss of power the tables would then count on a file that is gone, or that was made a part of the
//! cache. So there is one way out for all of them, through [`Known`]. Nobody waits for it; what comes while the log is synced goes with
//! the next sync, however much it is.

use std::sync::Arc;

use parking_lot::Mutex;

use super::layers::{Layer, held_by};
use super::staging::Inner;
use super::stagings::{Stagings, remove_file};
use super::{Result, table};
use crate::crash;
use crate::remote::Source;
use crate::tree::Ino;

/// What waits to be removed.
#[derive(Debug, Default)]
pub(super) struct Leavings {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    leavings: Vec<Leaving>,
    /// Somebody removes.
    at_work: bool,
}

/// What is left of one entry.
#[derive(Debug)]
pub(super) enum Leaving {
    /// What the last user of a staging let go of.
    Used(Ino, Box<Inner>),
    /// What only the tables knew.
    Stored(Ino),
    /// Layers whose bytes are in others, of which the tables know.
    Folded(Ino, Vec<Layer>),
}

impl Stagings {
    /// Puts away what is needed no more, when that may be done. Does not wait.
    pub(super) fn leave(self: &Arc<Self>, leaving: Leaving) {
        {
            let mut waiting = self.leavings.waiting.lock();
            waiting.leavings.push(leaving);
            if std::mem::replace(&mut waiting.at_work, true) {
                return;
            }
        }
        let owner = Arc::clone(self);
        self.runtime.spawn_blocking(move || {
            while let Some(leavings) = owner.leavings.next() {
                owner.put_away(leavings);
            }
        });
    }

    fn put_away(&self, leavings: Vec<Leaving>) {
        let known = Known::now(self);
        for leaving in leavings {
            let (ino, result) = match (&known, leaving) {
                (Ok(known), Leaving::Used(ino, inner)) => (Some(ino), known.put_away(ino, *inner)),
                (Ok(known), Leaving::Stored(ino)) => (None, known.remove_retired(ino)),
                (Ok(known), Leaving::Folded(ino, layers)) => (None, known.remove_folded(ino, &layers)),
                (Err(_), Leaving::Used(ino, _)) => (Some(ino), Ok(())),
                (Err(_), Leaving::Stored(_) | Leaving::Folded(..)) => (None, Ok(())),
            };
            if let Err(error) = result {
                // Nothing is lost: what is left is swept at the next start.
                tracing::warn!(%error, "a staging file could not be put away");
            }
            if let Some(ino) = ino {
                self.is_put_away(ino);
            }
        }
        if let Err(error) = known {
            tracing::warn!(%error, "staging files stay until the next start, because the log could not be synced");
        }
    }
}

impl Leavings {
    /// All that waits; `None`: nothing does, and whoever asked has ended.
    fn next(&self) -> Option<Vec<Leaving>> {
        let mut waiting = self.waiting.lock();
        waiting.at_work = !waiting.leavings.is_empty();
        waiting.at_work.then(|| std::mem::take(&mut waiting.leavings))
    }
}

/// What the rows say is known after a loss of power, too.
///
/// INVARIANT: a staging file with content that was sealed is removed, or changed to become a part of the cache, only by this, and
/// this was made after the rows said that nobody needs the file.
pub(super) struct Known<'a>(&'a Stagings);

impl<'a> Known<'a> {
    /// Makes it so for all rows that were written until now. Blocks on the disk.
    pub(super) fn now(stagings: &'a Stagings) -> Result<Self> {
        stagings.state.sync_log()?;
        Ok(Self(stagings))
    }

    /// Puts away what the last user of a staging left.
    fn put_away(&self, ino: Ino, mut inner: Inner) -> Result<()> {
        let stagings = self.0;
        let layers = inner.pile.now.stack.iter().chain(&inner.pile.folded);
        let numbers: Vec<u64> = layers.map(|layer| layer.number).collect();
        if stagings.state.read(|db| table::are_needed(db, ino, &numbers))? {
            // Whatever we believe, the journal says that this is still to be sent, and what it says goes.
            tracing::error!(%ino, "a staging file that is still to be sent was about to be put away");
            return Ok(());
        }
        crash::point("put-away-begun");
        let held = inner.pile.held();
        let paths: Vec<_> = inner.pile.now.stack.iter().map(|layer| layer.path.clone()).collect();
        if let Some(source) = inner.on_drive.take().filter(|_| !inner.discarded)
            && let Err(error) = self.adopt(&source, &mut inner)
        {
            // The drive has it: it is fetched again when somebody reads it.
            tracing::warn!(%error, "what was sent could not be made a part of the cache");
        }
        // One of them may be the cache's now.
        for path in &paths {
            remove_file(path)?;
        }
        stagings.account_gone(ino, held);
        for layer in &inner.pile.folded {
            remove_file(&layer.path)?;
            stagings.account_gone(ino, layer.held());
        }
        Ok(stagings.state.write(|tx| table::retired_is_gone(tx, ino))?)
    }

    /// Removes layers whose bytes are in others.
    fn remove_folded(&self, ino: Ino, layers: &[Layer]) -> Result<()> {
        let stagings = self.0;
        let numbers: Vec<u64> = layers.iter().map(|layer| layer.number).collect();
        if stagings.state.read(|db| table::are_needed(db, ino, &numbers))? {
            tracing::error!(%ino, "a layer of a staging file that is still needed was about to be removed");
            return Ok(());
        }
        for layer in layers {
            remove_file(&layer.path)?;
            stagings.account_gone(ino, layer.held());
        }
        Ok(())
    }

    /// Makes what the drive has a part of the cache.
    fn adopt(&self, source: &Source, inner: &mut Inner) -> Result<()> {
        if let Some(whole) = inner.pile.squash()? {
            crash::point("squashed");
            self.0.content.cache().adopt(source, whole)?;
            crash::point("adopted");
        }
        Ok(())
    }

    /// Removes the files of retired staging that nobody uses.
    pub(super) fn remove_retired(&self, ino: Ino) -> Result<()> {
        let stagings = self.0;
        stagings.copies.end(ino);
        let layers = stagings.state.read(|db| table::stored_retired_layers(db, ino))?;
        for layer in layers {
            let path = stagings.path(ino, layer.number);
            let held = held_by(&path, &layer.written);
            remove_file(&path)?;
            stagings.account_gone(ino, held);
        }
        crash::point("retired-removed");
        Ok(stagings.state.write(|tx| table::retired_is_gone(tx, ino))?)
    }
}
