//! All staging of a mount: the files that are the only copy of unsent bytes.
//!
//! [`Stagings`] owns the folder `staging/`; what is in it stands in the tables of [`super::table`]. There is at most one
//! [`Staging`] an entry in memory; what is sealed is also in the tables, so that it can be dropped from memory while it waits to
//! be sent, and is found again after a crash. Nothing here is ever evicted: a file goes only when the drive has its content, or
//! when the entry was removed, and then when its last user lets go of it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::copies::Copies;
use super::journal::Seq;
use super::pile::{Layer, Layers, Pile, held_by};
pub(super) use super::recall::Recalled;
use super::space::Space;
use super::staging::{Durability, Inner, Sealed, Snapshot, Staging};
use super::table::Safety;
use super::{Result, WritebackError, table};
use crate::content::Content;
use crate::crash;
use crate::error::Kind;
use crate::ranges::RangeSet;
use crate::remote::Source;
use crate::state::State;
use crate::sys;
use crate::tree::nodes::from_sql;
use crate::tree::{Ino, Node};

/// What unsent content leaves free of the disk, for the journal. Much less than what the cache leaves to unsent content.
const RESERVE: u64 = 64 << 20;

/// Of a small disk it leaves one part in so many.
const RESERVE_PART: u64 = 40;

/// The most that is written between two looks at the disk.
const CLAIM: u64 = 32 << 20;

/// How long a file that is being put away is waited for.
const PUTTING_AWAY: Duration = Duration::from_secs(10);

/// All staging of one mount.
#[derive(Debug)]
pub(super) struct Stagings {
    dir: PathBuf,
    pub(super) state: Arc<State>,
    pub(super) content: Arc<Content>,
    pub(super) runtime: Handle,
    next_number: AtomicU64,
    /// Bytes that the staging files hold.
    pub(super) space: Space,
    /// Bytes that may be written before the disk is looked at again.
    claimable: AtomicU64,
    in_use: Mutex<InUse>,
    /// Files that are worth an upload before they are closed.
    growing: mpsc::UnboundedSender<Ino>,
    /// One was put away.
    left: Condvar,
    /// The largest file that the drive takes.
    largest: u64,
    pub(super) copies: Copies,
}

/// The stagings in memory. INVARIANT: no more than one an entry is alive.
#[derive(Debug, Default)]
struct InUse {
    stagings: HashMap<Ino, Weak<Staging>>,
    /// How many there ever were. Who finds it unchanged knows that none came and went meanwhile.
    made: u64,
    /// Those that are being put away, and how many of an entry.
    leaving: HashMap<Ino, u32>,
}

impl InUse {
    fn get(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.stagings.get(&ino).and_then(Weak::upgrade)
    }

    /// Whether nobody uses the staging of an entry any more, and its content is not in the cache yet.
    fn is_leaving(&self, ino: Ino) -> bool {
        self.leaving.contains_key(&ino) || self.stagings.get(&ino).is_some_and(|staging| staging.strong_count() == 0)
    }
}

impl Stagings {
    /// Opens the folder.
    pub(super) fn open(
        dir: &Path,
        state: Arc<State>,
        content: Arc<Content>,
        runtime: Handle,
        largest: u64,
        growing: mpsc::UnboundedSender<Ino>,
    ) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let mut last = 0;
        for file in std::fs::read_dir(dir)? {
            last = last.max(parse_name(&file?.file_name().to_string_lossy()).map_or(0, |(_, number)| number));
        }
        let layers: Vec<(Ino, u64, Vec<u8>)> = state.read(|db| {
            db.prepare("SELECT ino, file, written FROM layer")?
                .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?), row.get(2)?)))?
                .collect()
        })?;
        let mut held: HashMap<Ino, u64> = HashMap::new();
        for (ino, number, written) in layers {
            let bytes = held_by(&dir.join(file_name(ino, number)), &RangeSet::decode(&written).unwrap_or_default());
            if bytes > 0 {
                *held.entry(ino).or_default() += bytes;
            }
        }
        let cache = content.cache();
        let space = Space::new(held, cache.most_room(), cache.cap());
        cache.leave_room(space.room(0));
        let copies = Copies::open(&state)?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            state,
            content,
            runtime,
            next_number: AtomicU64::new(last + 1),
            space,
            claimable: AtomicU64::new(0),
            in_use: Mutex::default(),
            growing,
            left: Condvar::new(),
            largest,
            copies,
        }))
    }

    /// The staging of an entry that was created just now.
    pub(super) fn create(self: &Arc<Self>, ino: Ino) -> Arc<Staging> {
        // An empty file is content too.
        self.keep(ino, Inner { pile: Pile::new(), ..Inner::default() }, &mut self.in_use.lock())
    }

    /// The staging of an entry that has content which the drive has not, or that is open for writing; `None` if there is none.
    pub(super) fn get(self: &Arc<Self>, ino: Ino) -> Result<Option<Arc<Staging>>> {
        let (stored, layers, mut in_use) = loop {
            let made = {
                let in_use = self.in_use.lock();
                if let Some(staging) = in_use.get(ino) {
                    return Ok(Some(staging));
                }
                in_use.made
            };
            let Some((stored, layers)) = self.load(ino)? else { return Ok(None) };
            let in_use = self.in_use.lock();
            // Somebody else may have loaded it meanwhile.
            if let Some(staging) = in_use.get(ino) {
                return Ok(Some(staging));
            }
            // And sent it, and let go of it: then what was read here is of the past, and its files are not ours to write into.
            if in_use.made == made {
                break (stored, layers, in_use);
            }
        };
        let base_size = stored.base.as_ref().map_or(0, |base| base.blob.size);
        let base = stored.base.map(|source| self.content.open(&source));
        let pile = Pile::sealed(Layers { size: stored.size, stack: layers, base_size });
        let seal = pile.sealed.clone().map(|layers| Sealed { seq: stored.seq, layers, safety: stored.safety });
        let inner = Inner { pile, base, origin: stored.origin, stored: seal, ..Inner::default() };
        Ok(Some(self.keep(ino, inner, &mut in_use)))
    }

    /// What the tables have of an entry, its files opened.
    fn load(&self, ino: Ino) -> Result<Option<(table::Stored, Vec<Layer>)>> {
        loop {
            let Some(mut stored) = self.state.read(|db| table::stored(db, ino))? else { return Ok(None) };
            let mut layers = Vec::new();
            let mut missing = None;
            for layer in std::mem::take(&mut stored.layers) {
                let path = self.path(ino, layer.number);
                match Layer::open(layer.number, path.clone(), layer.below, layer.written) {
                    Ok(layer) => layers.push(layer),
                    Err(error) => {
                        missing = Some(format!("{}: {error}", path.display()));
                        break;
                    }
                }
            }
            let Some(why) = missing else { return Ok(Some((stored, layers))) };
            // Sent, or sealed again, at this very moment?
            if self.state.read(|db| table::is_newest(db, ino, stored.seq))? {
                return Err(WritebackError::Damaged { ino, why });
            }
        }
    }

    /// The staging to write into an existing file.
    pub(super) fn edit(self: &Arc<Self>, node: &Node) -> Result<Arc<Staging>> {
        if let Some(staging) = self.get(node.ino)? {
            return Ok(staging);
        }
        let mut in_use = self.in_use.lock();
        if let Some(staging) = in_use.get(node.ino) {
            return Ok(staging);
        }
        let origin = table::source_of(node);
        let size = origin.as_ref().map_or(0, |origin| origin.blob.size);
        let base = origin.as_ref().map(|origin| self.content.open(origin));
        let mut pile = Pile::default();
        (pile.now.size, pile.now.base_size) = (size, size);
        Ok(self.keep(node.ino, Inner { pile, base, origin, ..Inner::default() }, &mut in_use))
    }

    /// As [`Self::edit`], for who must know where the content of a file is: if it is being put away, this waits until it is in
    /// the cache. Waits for the local disk only, and not for ever.
    pub(super) fn settled(self: &Arc<Self>, node: &Node) -> Result<Arc<Staging>> {
        {
            let mut in_use = self.in_use.lock();
            while in_use.is_leaving(node.ino) && !self.left.wait_for(&mut in_use, PUTTING_AWAY).timed_out() {}
        }
        self.edit(node)
    }

    fn keep(self: &Arc<Self>, ino: Ino, inner: Inner, in_use: &mut InUse) -> Arc<Staging> {
        let staging = Staging::new(ino, Arc::clone(self), inner);
        in_use.made += 1;
        in_use.stagings.insert(ino, Arc::downgrade(&staging));
        staging
    }

    /// The last user of a staging let go of it.
    pub(super) fn let_go(self: &Arc<Self>, ino: Ino, inner: Inner) {
        // If neither: it waits to be sent, and the tables know where it is; or it was opened for writing and not written.
        let leaves = inner.on_drive.is_some() || inner.discarded;
        {
            let mut in_use = self.in_use.lock();
            // Somebody may have begun a new one for the same entry already.
            if in_use.stagings.get(&ino).is_some_and(|staging| staging.strong_count() == 0) {
                in_use.stagings.remove(&ino);
            }
            if leaves {
                *in_use.leaving.entry(ino).or_default() += 1;
            }
        }
        if !leaves {
            self.left.notify_all();
            // Who uses it next takes them in again.
            self.account_gone(ino, inner.taken_in);
            return;
        }
        self.copies.end(ino);
        let owner = Arc::clone(self);
        self.runtime.spawn_blocking(move || {
            match owner.put_away(ino, inner) {
                // The entry was removed at this very moment, and its files with it.
                Err(error) if error.kind() == Kind::NotFound => tracing::debug!(%error, "no staging file to put away"),
                // Nothing is lost: what is left is swept at the next start.
                Err(error) => tracing::warn!(%error, "a staging file could not be put away"),
                Ok(()) => {}
            }
            let mut in_use = owner.in_use.lock();
            if let Some(leaving) = in_use.leaving.get_mut(&ino) {
                *leaving -= 1;
                if *leaving == 0 {
                    in_use.leaving.remove(&ino);
                }
            }
            drop(in_use);
            owner.left.notify_all();
        });
    }

    /// The staging of an entry, if it is in memory.
    pub(super) fn in_use(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.in_use.lock().get(ino)
    }

    /// Writes. Blocks on the local disk only. Fails before the disk is full: what was written before must still be sent.
    pub(super) fn write(&self, staging: &Staging, offset: u64, bytes: &[u8]) -> Result<()> {
        self.fits(offset.saturating_add(bytes.len() as u64))?;
        self.claim(bytes.len() as u64)?;
        self.make_way(bytes.len() as u64);
        let mut inner = staging.inner.lock();
        inner.growth.changing(offset);
        self.layer_for(staging.ino(), &mut inner.pile, offset)?;
        let new = inner.pile.write(offset, bytes)?;
        crash::point("bytes-written");
        inner.on_drive = None;
        let Inner { growth, pile, .. } = &mut *inner;
        let worth_an_upload = growth.written(pile);
        drop(inner);
        self.account(staging.ino(), new);
        if worth_an_upload {
            // Nobody listens after the end.
            let _ended = self.growing.send(staging.ino());
        }
        Ok(())
    }

    /// Sets the size.
    pub(super) fn resize(&self, staging: &Staging, size: u64) -> Result<()> {
        let mut inner = staging.inner.lock();
        if size > inner.pile.now.size {
            self.fits(size)?;
        }
        if size == 0 {
            inner.growth.emptied();
        } else {
            inner.growth.changing(size);
        }
        // One that only grows needs a layer too, if it is the first: into that the base is taken.
        let from = size.min(inner.pile.now.size);
        if from < inner.pile.now.size || (inner.pile.now.stack.is_empty() && inner.pile.now.base_size > 0) {
            self.layer_for(staging.ino(), &mut inner.pile, from)?;
        }
        let freed = inner.pile.resize(size)?;
        inner.on_drive = None;
        drop(inner);
        self.account_gone(staging.ino(), freed);
        Ok(())
    }

    /// Makes a range zeros, as far as it is within the size. They take no room on the disk.
    pub(super) fn zero(&self, staging: &Staging, range: Range<u64>) -> Result<()> {
        let mut inner = staging.inner.lock();
        let range = range.start..range.end.min(inner.pile.now.size);
        if range.is_empty() {
            return Ok(());
        }
        inner.growth.changing(range.start);
        self.layer_for(staging.ino(), &mut inner.pile, range.start)?;
        let freed = inner.pile.zero(range)?;
        inner.on_drive = None;
        drop(inner);
        self.account_gone(staging.ino(), freed);
        Ok(())
    }

    /// Whether the drive takes a file of that size.
    pub(super) fn fits(&self, size: u64) -> Result<()> {
        if size <= self.largest { Ok(()) } else { Err(WritebackError::Refused(Kind::TooLarge)) }
    }

    /// Whether a range of a file could be written, as the drive's limits and the local disk are now. Takes nothing.
    pub(super) fn has_room(&self, staging: Option<&Staging>, range: Range<u64>) -> Result<()> {
        self.fits(range.end)?;
        let here = staging.map_or(0, |staging| staging.inner.lock().pile.held());
        if self.spare()? < (range.end - range.start).saturating_sub(here) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        Ok(())
    }

    pub(super) fn layer_for(&self, ino: Ino, pile: &mut Pile, offset: u64) -> Result<()> {
        if pile.needs_layer(offset) {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let layer = Layer::create(number, self.path(ino, number), pile.shining())?;
            crash::point("staging-made");
            pile.push(layer);
        }
        Ok(())
    }

    /// Makes sure that so many bytes leave the journal the room that it needs to send and to remove what is there.
    pub(super) fn claim(&self, bytes: u64) -> Result<()> {
        let claimed = self.claimable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if claimed.is_ok() {
            return Ok(());
        }
        let mut spare = self.spare()?;
        if spare < bytes {
            // What can be fetched again goes first.
            let (_, total) = sys::disk_space(&self.dir)?;
            self.content.cache().free_disk(RESERVE.min(total / RESERVE_PART) + bytes)?;
            spare = self.spare()?;
        }
        if spare < bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        // Others write to the disk too, so not all of it at once.
        self.claimable.store((spare - bytes).min(CLAIM) / 2, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the names of all files survive the loss of power.
    pub(super) fn sync_names(&self) -> Result<()> {
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    /// What of the disk may be written, as it is now.
    fn spare(&self) -> Result<u64> {
        let (free, total) = sys::disk_space(&self.dir)?;
        Ok(free.saturating_sub(RESERVE.min(total / RESERVE_PART)))
    }

    fn path(&self, ino: Ino, number: u64) -> PathBuf {
        self.dir.join(file_name(ino, number))
    }

    /// Notes that a staging file holds more.
    pub(super) fn account(&self, ino: Ino, more: u64) {
        if more > 0 {
            self.space.add(ino, more);
            self.content.cache().leave_room(self.space.room(0));
        }
    }

    /// Has the cache give way for so many bytes that are about to be written.
    fn make_way(&self, bytes: u64) {
        let cache = self.content.cache();
        cache.leave_room(self.space.room(bytes));
        if cache.is_crowded()
            && let Err(error) = cache.give_way()
        {
            tracing::warn!(%error, "the cache could not give way to unsent content");
        }
    }

    fn account_gone(&self, ino: Ino, less: u64) {
        if less > 0 {
            self.space.take(ino, less);
            self.content.cache().leave_room(self.space.room(0));
        }
    }

    /// Entries whose content somebody has open: it stays here for as long as they do.
    pub(super) fn opened(&self) -> HashSet<Ino> {
        let in_use: Vec<Arc<Staging>> = self.in_use.lock().stagings.values().filter_map(Weak::upgrade).collect();
        // Not under the lock, which is taken when the last user lets go of one: that may be us.
        in_use.into_iter().filter(|staging| staging.is_open()).map(|staging| staging.ino()).collect()
    }

    /// Seals what is written so far: from now on it is what a crash leaves and what an upload sends. `store` writes the
    /// journal; the tables of this module are written in the same transaction. Nothing to do if nothing changed.
    pub(super) fn seal(
        &self,
        staging: &Arc<Staging>,
        durability: Durability,
        store: impl FnOnce(&Connection, u64) -> Result<Option<Seq>>,
    ) -> Result<Option<Seq>> {
        let _in_order = staging.hold_seals();
        let (layers, files, durability) = {
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
            // What was promised to survive the loss of power is not given up for what may not.
            let promised = |stored: &Sealed| stored.safety == Safety::Promised && inner.on_drive.is_none();
            let durability =
                if inner.stored.as_ref().is_some_and(promised) { Durability::PowerLoss } else { durability };
            (layers, inner.pile.files(), durability)
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
            }
            (Ok(_), None) if safety == Safety::Promised => {
                if let Some(stored) = &mut inner.stored {
                    stored.safety = safety;
                }
            }
            (Ok(_), _) | (Err(_), None) => {}
            (Err(_), Some(_)) => inner.pile.dirty = true,
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
            && let Err(error) = self.content.cache().forget(&old)
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

    /// Removes the staging of an entry that was removed; its rows are retired already. If somebody has it open, the last of
    /// them does it.
    pub(super) fn discard(&self, ino: Ino) -> Result<()> {
        match self.in_use(ino) {
            Some(staging) => staging.discard(),
            None => self.remove_retired(ino)?,
        }
        Ok(())
    }

    /// Puts away what the last user of a staging left. Blocks on the local disk.
    fn put_away(&self, ino: Ino, mut inner: Inner) -> Result<()> {
        let numbers: Vec<u64> = inner.pile.now.stack.iter().map(|layer| layer.number).collect();
        if self.state.read(|db| table::are_needed(db, ino, &numbers))? {
            // Whatever we believe, the journal says that this is still to be sent, and what it says goes.
            tracing::error!(%ino, "a staging file that is still to be sent was about to be put away");
            return Ok(());
        }
        // That the drive has it must be known after a loss of power, too, before what is here goes.
        self.state.sync_log()?;
        crash::point("put-away-begun");
        let held = inner.pile.held();
        if let Some(source) = inner.on_drive.take().filter(|_| !inner.discarded)
            && let Some(whole) = inner.pile.squash()?
        {
            crash::point("squashed");
            self.content.cache().adopt(&source, whole)?;
            crash::point("adopted");
        }
        for layer in &inner.pile.now.stack {
            remove_file(&layer.path)?;
        }
        self.account_gone(ino, held);
        Ok(self.state.write(|tx| table::retired_is_gone(tx, ino))?)
    }

    fn remove_retired(&self, ino: Ino) -> Result<()> {
        self.copies.end(ino);
        let layers = self.state.read(|db| table::stored_retired_layers(db, ino))?;
        for layer in layers {
            let path = self.path(ino, layer.number);
            let held = held_by(&path, &layer.written);
            remove_file(&path)?;
            self.account_gone(ino, held);
        }
        crash::point("retired-removed");
        Ok(self.state.write(|tx| table::retired_is_gone(tx, ino))?)
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

    /// Removes what a crash left behind: the files of retired staging. Says which files nobody knows: content that was never
    /// sealed.
    pub(super) fn sweep(&self) -> Result<Vec<(Ino, PathBuf)>> {
        let retired: Vec<Ino> = self.state.read(|db| {
            db.prepare("SELECT ino FROM staging WHERE retired = 1")?.query_map([], |row| row.get(0))?.collect()
        })?;
        for ino in retired {
            self.remove_retired(ino)?;
            crash::point("swept-one");
        }
        let known: HashSet<(Ino, u64)> = self.state.read(|db| {
            db.prepare("SELECT ino, file FROM layer")?
                .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?))))?
                .collect()
        })?;
        let mut unknown = Vec::new();
        for file in std::fs::read_dir(&self.dir)? {
            let file = file?;
            match parse_name(&file.file_name().to_string_lossy()) {
                Some(name) if !known.contains(&name) => unknown.push((name.0, file.path())),
                _ => {}
            }
        }
        Ok(unknown)
    }
}

fn file_name(ino: Ino, number: u64) -> String {
    format!("{:x}-{number:x}", ino.0)
}

fn parse_name(name: &str) -> Option<(Ino, u64)> {
    let (ino, number) = name.split_once('-')?;
    Some((Ino(u64::from_str_radix(ino, 16).ok()?), u64::from_str_radix(number, 16).ok()?))
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
