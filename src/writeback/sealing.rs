//! Sealing: what is written so far becomes what a crash leaves and what an upload sends; and what the drive's answer makes of it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rusqlite::Connection;

use super::journal::Seq;
use super::layers::{Layer, Layers};
use super::leavings::Leaving;
use super::snapshot::Snapshot;
use super::staging::{Durability, Sealed, Staging};
use super::stagings::Stagings;
use super::table::Safety;
use super::{Result, table};
use crate::crash;
use crate::remote::Source;
use crate::tree::Ino;

impl Stagings {
    /// Seals what is written so far: from now on it is what a crash leaves and what an upload sends. `store` writes the
    /// journal; the tables of this module are written in the same transaction. Nothing to do if nothing changed.
    pub(super) fn seal(
        self: &Arc<Self>,
        staging: &Arc<Staging>,
        durability: Durability,
        store: impl FnOnce(&Connection, u64) -> Result<Option<Seq>>,
    ) -> Result<Option<Seq>> {
        let _in_order = staging.hold_seals();
        let (layers, folded, files, durability) = {
            let mut inner = staging.inner.lock();
            if durability == Durability::Process && (!inner.pile.dirty || inner.discarded) {
                return Ok(None);
            }
            let dirty = std::mem::take(&mut inner.pile.dirty);
            let layers = dirty.then(|| {
                let layers = Arc::new(inner.pile.now.clone());
                // From this moment on: a write that comes during the transaction must not change what it stores.
                inner.pile.sealed = Some(Arc::clone(&layers));
                layers
            });
            // The seal is without these.
            let folded = if dirty { std::mem::take(&mut inner.pile.folded) } else { Vec::new() };
            // What was promised to survive the loss of power is not given up for what may not.
            let promised = |stored: &Sealed| stored.safety == Safety::Promised && inner.on_drive.is_none();
            let durability =
                if inner.stored.as_ref().is_some_and(promised) { Durability::PowerLoss } else { durability };
            (layers, folded, inner.pile.files(), durability)
        };
        let safety = if durability == Durability::PowerLoss { Safety::Promised } else { Safety::None };
        crash::point("seal-begun");
        let result = self.store_seal(staging, layers.as_deref(), &files, durability, store);
        let mut inner = staging.inner.lock();
        match (&result, layers) {
            (Ok(Some(seq)), Some(layers)) => {
                crash::point("seal-stored");
                inner.stored = Some(Sealed { seq: *seq, layers, safety });
                inner.taken_in = 0;
                if !folded.is_empty() {
                    self.leave(Leaving::Folded(staging.ino(), folded));
                }
                if !inner.pile.dirty {
                    inner.log.clear();
                }
            }
            (Ok(_), None) if safety == Safety::Promised => {
                if let Some(stored) = &mut inner.stored {
                    stored.safety = safety;
                }
            }
            (Ok(_) | Err(_), None) => {}
            (Ok(None), Some(_)) => inner.pile.folded.extend(folded),
            (Err(_), Some(_)) => {
                inner.pile.dirty = true;
                inner.pile.folded.extend(folded);
            }
        }
        drop(inner);
        if matches!(result, Ok(Some(_))) {
            self.secure(staging);
        }
        result
    }

    fn store_seal(
        &self,
        staging: &Staging,
        layers: Option<&Layers>,
        files: &[Arc<File>],
        durability: Durability,
        store: impl FnOnce(&Connection, u64) -> Result<Option<Seq>>,
    ) -> Result<Option<Seq>> {
        if durability == Durability::PowerLoss {
            for file in files {
                file.sync_data()?;
            }
            // The names of the files, too.
            self.sync_names()?;
            crash::point("content-synced");
        }
        // An upload that is answered at this moment changes what the content builds on.
        let _as_they_are = staging.hold_base();
        let (base, origin, stored) = {
            let inner = staging.inner.lock();
            let base = inner.base.as_ref().map(|base| base.source().clone());
            (base, inner.origin.clone(), inner.stored.as_ref().map(|stored| stored.seq))
        };
        let safety = if durability == Durability::PowerLoss { Safety::Promised } else { Safety::None };
        let work = |db: &rusqlite::Transaction<'_>| -> Result<Option<Seq>> {
            let Some(layers) = layers else {
                if let (Some(seq), Durability::PowerLoss) = (stored, durability) {
                    table::set_safety(db, staging.ino(), seq, Safety::Promised)?;
                }
                return Ok(None);
            };
            let Some(seq) = store(db, layers.size)? else { return Ok(None) };
            table::store(db, staging.ino(), layers, base.as_ref(), origin.as_ref(), seq, safety)?;
            crash::point("seal-not-committed");
            Ok(Some(seq))
        };
        match durability {
            Durability::Process => self.state.write(work),
            Durability::PowerLoss => self.state.write_synced(work),
        }
    }

    /// Notes that the drive has a snapshot as the revision `source`; to be called after the transaction that says so, while
    /// the base is still [held](Staging::hold_base).
    pub(super) fn acknowledge(&self, staging: &Staging, snapshot: &Snapshot, source: &Source) {
        let mut inner = staging.inner.lock();
        // What shone through from the old base stands at the same place in the new revision.
        let old = inner.base.replace(self.content.open(source));
        inner.origin = Some(source.clone());
        if inner.is_newest(&snapshot.seal) {
            inner.on_drive = Some(source.clone());
        }
        // What is written to it from now on is sent when it is sealed: each version is an upload of the whole.
        if inner.is_followed(&snapshot.seal) {
            inner.growth.end();
        }
        drop(inner);
        // Nobody will ask for the revision that ours replaced; of another file's, from which ours was copied, that is not known.
        let replaced = |old: &Source| old.id == source.id && old != source;
        if let Some(old) = old.map(|old| old.source().clone()).filter(replaced)
            && let Err(error) = self.content.forget(&old)
        {
            tracing::debug!(%error, "an old revision stays in the cache until its turn to go");
        }
    }

    /// Notes what the drive has of the file: content with the same bytes where the base shines through, if `is_base`.
    pub(super) fn set_origin(&self, staging: &Staging, origin: &Source, is_base: bool) {
        let mut inner = staging.inner.lock();
        inner.origin = Some(origin.clone());
        if is_base && inner.base.is_some() {
            inner.base = Some(self.content.open(origin));
        }
    }

    /// Makes all that is sealed survive the loss of power; nobody is told. Blocks on the disk.
    pub(super) fn sync_sealed(&self) -> Result<()> {
        for (ino, seq) in self.state.read(table::unsafe_ones)? {
            self.sync_one(ino, seq)?;
        }
        Ok(())
    }

    /// The same for what was sealed of one entry.
    pub(super) fn sync_one(&self, ino: Ino, seq: Seq) -> Result<()> {
        let Some(stored) = self.state.read(|db| table::stored(db, ino))?.filter(|stored| stored.seq == seq) else {
            return Ok(());
        };
        for layer in &stored.layers {
            match File::open(self.path(ino, layer.number)) {
                Ok(file) => file.sync_data()?,
                // Sent and put away at this very moment, or sealed again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.sync_names()?;
        self.state.write::<_, rusqlite::Error>(|tx| table::set_safety(tx, ino, seq, Safety::Synced))?;
        if let Some(staging) = self.in_use(ino)
            && let Some(sealed) = staging.inner.lock().stored.as_mut().filter(|sealed| sealed.seq == seq)
        {
            sealed.safety = sealed.safety.max(Safety::Synced);
        }
        Ok(())
    }

    /// Whether what the tables have of an entry may have been damaged, if the power was lost: it was not synced, or it is not
    /// there. (Files go only when their content is on the drive, or is not wanted any more; that the tables do not know of it then is
    /// lost with the power, too.)
    pub(super) fn is_in_doubt(&self, ino: Ino) -> Result<bool> {
        let Some(stored) = self.state.read(|db| table::stored(db, ino))? else { return Ok(false) };
        let is_whole = |layer: table::StoredLayer| {
            Layer::open(layer.number, self.path(ino, layer.number), layer.below, layer.written).is_ok()
        };
        Ok(stored.safety == Safety::None || !stored.layers.into_iter().all(is_whole))
    }
}
