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

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::runtime::Handle;

use super::copies::Copies;
use super::journal::Seq;
use super::pile::{Layer, Layers, Pile, held_by};
use super::staging::{Durability, Inner, Sealed, Snapshot, Staging};
use super::{Result, WritebackError, table};
use crate::content::Content;
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

/// All staging of one mount.
#[derive(Debug)]
pub(super) struct Stagings {
    dir: PathBuf,
    pub(super) state: Arc<State>,
    pub(super) content: Arc<Content>,
    pub(super) runtime: Handle,
    next_number: AtomicU64,
    /// The largest file that the drive takes.
    largest: u64,
    /// Bytes that all staging files hold.
    bytes: AtomicU64,
    /// Bytes that may be written before the disk is looked at again.
    claimable: AtomicU64,
    in_use: Mutex<InUse>,
    pub(super) copies: Copies,
}

/// The stagings in memory. INVARIANT: no more than one an entry is alive.
#[derive(Debug, Default)]
struct InUse {
    stagings: HashMap<Ino, Weak<Staging>>,
    /// How many there ever were. Who finds it unchanged knows that none came and went meanwhile.
    made: u64,
}

impl InUse {
    fn get(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.stagings.get(&ino).and_then(Weak::upgrade)
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
        let held = |(ino, number, written): &(Ino, u64, Vec<u8>)| {
            held_by(&dir.join(file_name(*ino, *number)), &RangeSet::decode(written).unwrap_or_default())
        };
        let held = layers.iter().map(held).sum();
        content.cache().leave_room(held);
        let copies = Copies::open(&state)?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            state,
            content,
            runtime,
            next_number: AtomicU64::new(last + 1),
            largest,
            bytes: AtomicU64::new(held),
            claimable: AtomicU64::new(0),
            in_use: Mutex::default(),
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
        let seal = pile.sealed.clone().map(|layers| Sealed { seq: stored.seq, layers });
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

    fn keep(self: &Arc<Self>, ino: Ino, inner: Inner, in_use: &mut InUse) -> Arc<Staging> {
        let staging = Staging::new(ino, Arc::clone(self), inner);
        in_use.made += 1;
        in_use.stagings.insert(ino, Arc::downgrade(&staging));
        staging
    }

    /// The last user of a staging let go of it.
    pub(super) fn let_go(self: &Arc<Self>, ino: Ino, inner: Inner) {
        {
            let mut in_use = self.in_use.lock();
            // Somebody may have begun a new one for the same entry already.
            if in_use.stagings.get(&ino).is_some_and(|staging| staging.strong_count() == 0) {
                in_use.stagings.remove(&ino);
            }
        }
        // Neither: it waits to be sent, and the tables know where it is; or it was opened for writing and not written.
        if inner.on_drive.is_none() && !inner.discarded {
            return;
        }
        self.copies.end(ino);
        let owner = Arc::clone(self);
        self.runtime.spawn_blocking(move || {
            if let Err(error) = owner.put_away(ino, inner) {
                // Nothing is lost: what is left is swept at the next start.
                tracing::warn!(%error, "a staging file could not be put away");
            }
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
        let mut inner = staging.inner.lock();
        self.layer_for(staging.ino(), &mut inner.pile, offset)?;
        let new = inner.pile.write(offset, bytes)?;
        inner.on_drive = None;
        drop(inner);
        self.account(new);
        Ok(())
    }

    /// Sets the size.
    pub(super) fn resize(&self, staging: &Staging, size: u64) -> Result<()> {
        let mut inner = staging.inner.lock();
        if size > inner.pile.now.size {
            self.fits(size)?;
        }
        // One that only grows needs a layer too, if it is the first: into that the base is taken.
        let from = size.min(inner.pile.now.size);
        if from < inner.pile.now.size || (inner.pile.now.stack.is_empty() && inner.pile.now.base_size > 0) {
            self.layer_for(staging.ino(), &mut inner.pile, from)?;
        }
        let freed = inner.pile.resize(size)?;
        inner.on_drive = None;
        drop(inner);
        self.account_gone(freed);
        Ok(())
    }

    /// Makes a range zeros, as far as it is within the size. They take no room on the disk.
    pub(super) fn zero(&self, staging: &Staging, range: Range<u64>) -> Result<()> {
        let mut inner = staging.inner.lock();
        let range = range.start..range.end.min(inner.pile.now.size);
        if range.is_empty() {
            return Ok(());
        }
        self.layer_for(staging.ino(), &mut inner.pile, range.start)?;
        let freed = inner.pile.zero(range)?;
        inner.on_drive = None;
        drop(inner);
        self.account_gone(freed);
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
            pile.push(Layer::create(number, self.path(ino, number), pile.shining())?);
        }
        Ok(())
    }

    /// Makes sure that so many bytes leave the journal the room that it needs to send and to remove what is there.
    fn claim(&self, bytes: u64) -> Result<()> {
        let claimed = self.claimable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if claimed.is_ok() {
            return Ok(());
        }
        let spare = self.spare()?;
        if spare < bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        // Others write to the disk too, so not all of it at once.
        self.claimable.store((spare - bytes).min(CLAIM) / 2, Ordering::Relaxed);
        Ok(())
    }

    /// What of the disk may be written, as it is now.
    fn spare(&self) -> Result<u64> {
        let (free, total) = sys::disk_space(&self.dir)?;
        Ok(free.saturating_sub(RESERVE.min(total / RESERVE_PART)))
    }

    fn path(&self, ino: Ino, number: u64) -> PathBuf {
        self.dir.join(file_name(ino, number))
    }

    pub(super) fn account(&self, more: u64) {
        if more > 0 {
            let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
            self.content.cache().leave_room(bytes);
        }
    }

    fn account_gone(&self, less: u64) {
        if less == 0 {
            return;
        }
        let before =
            self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| Some(bytes.saturating_sub(less)));
        self.content.cache().leave_room(before.unwrap_or(0).saturating_sub(less));
    }

    /// Bytes that staging files hold.
    pub(super) fn held(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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
        let (layers, files) = {
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
            (layers, inner.pile.files())
        };
        let result = self.store_seal(staging, layers.as_deref(), &files, durability, store);
        let mut inner = staging.inner.lock();
        match (&result, layers) {
            (Ok(Some(seq)), Some(layers)) => inner.stored = Some(Sealed { seq: *seq, layers }),
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
            File::open(&self.dir)?.sync_all()?;
        }
        // An upload that is answered at this moment changes what the content builds on.
        let _as_they_are = staging.hold_base();
        let (base, origin) = {
            let inner = staging.inner.lock();
            (inner.base.as_ref().map(|base| base.source().clone()), inner.origin.clone())
        };
        let work = |db: &rusqlite::Transaction<'_>| -> Result<Option<Seq>> {
            let Some(layers) = layers else { return Ok(None) };
            let Some(seq) = store(db, layers.size)? else { return Ok(None) };
            table::store(db, staging.ino(), layers, base.as_ref(), origin.as_ref(), seq)?;
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
        let held = inner.pile.held();
        if let Some(source) = inner.on_drive.take().filter(|_| !inner.discarded)
            && let Some(whole) = inner.pile.squash()?
        {
            self.content.cache().adopt(&source, whole)?;
        }
        for layer in &inner.pile.now.stack {
            remove_file(&layer.path)?;
        }
        self.account_gone(held);
        Ok(self.state.write(|tx| table::retired_is_gone(tx, ino))?)
    }

    fn remove_retired(&self, ino: Ino) -> Result<()> {
        self.copies.end(ino);
        let layers = self.state.read(|db| table::stored_retired_layers(db, ino))?;
        for layer in layers {
            let path = self.path(ino, layer.number);
            let held = held_by(&path, &layer.written);
            remove_file(&path)?;
            self.account_gone(held);
        }
        Ok(self.state.write(|tx| table::retired_is_gone(tx, ino))?)
    }

    /// Removes what a crash left behind: the files of retired staging. Says which files nobody knows: content that was never
    /// sealed.
    pub(super) fn sweep(&self) -> Result<Vec<(Ino, PathBuf)>> {
        let retired: Vec<Ino> = self.state.read(|db| {
            db.prepare("SELECT ino FROM staging WHERE retired = 1")?.query_map([], |row| row.get(0))?.collect()
        })?;
        for ino in retired {
            self.remove_retired(ino)?;
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

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
