//! Staging files: the only copy of unsent bytes.
//!
//! [`Stagings`] owns the folder `staging/` and the tables `staging` and `layer`. There is at most one [`Staging`] an entry in
//! memory; what is sealed is also in the tables, so that it can be dropped from memory while it waits to be sent, and is found
//! again after a crash. Nothing here is ever evicted: a file goes only when the drive has its content, or when the entry was
//! removed, and then when its last user lets go of it ([`Staging`]'s `drop`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::runtime::Handle;

use super::journal::Seq;
use super::pile::{Layer, Layers, Piece, Pile};
use super::{Result, WritebackError};
use crate::content::{Content, Reader};
use crate::ranges::RangeSet;
use crate::remote::{Blob, FileId, Md5, RevisionId, Source};
use crate::state::State;
use crate::tree::nodes::{from_sql, to_sql};
use crate::tree::{Ino, Node};

/// How much of a base is asked for at a time, and how much of that is held in memory.
const TAKE_IN_AHEAD: u64 = 16 << 20;
const TAKE_IN_PIECE: u64 = 1 << 20;

/// All staging of one mount.
#[derive(Debug)]
pub(super) struct Stagings {
    dir: PathBuf,
    state: Arc<State>,
    content: Arc<Content>,
    runtime: Handle,
    next_number: AtomicU64,
    /// Bytes that all staging files hold.
    bytes: AtomicU64,
    in_use: Mutex<HashMap<Ino, Weak<Staging>>>,
}

/// Content of one entry that is being written, or waits to be sent.
///
/// When its last user drops it, memory is freed; and if the drive has the content by then, the staging file becomes the cached
/// revision without a copy.
pub struct Staging {
    ino: Ino,
    owner: Arc<Stagings>,
    inner: Mutex<Inner>,
    /// Held while it is sealed, so that seals are stored in their order.
    sealing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    pile: Pile,
    /// What shines through beneath the layers; also the revision that the edit began from.
    base: Option<Arc<Reader>>,
    /// The last seal that the tables have. While one is being stored, the pile is sealed already and this is still the one
    /// before.
    stored: Option<Sealed>,
    /// The drive has exactly what the pile is now.
    on_drive: Option<Source>,
    /// The entry was removed: nobody wants the content any more.
    discarded: bool,
}

#[derive(Debug, Clone)]
struct Sealed {
    seq: Seq,
    layers: Arc<Layers>,
}

impl Inner {
    /// Whether a seal is the newest state there is: nothing was written since, and no newer seal is being stored.
    fn is_newest(&self, seal: &Sealed) -> bool {
        let is_it = |layers: Option<&Arc<Layers>>| layers.is_some_and(|layers| Arc::ptr_eq(layers, &seal.layers));
        !self.pile.dirty && is_it(self.pile.sealed.as_ref()) && is_it(self.stored.as_ref().map(|stored| &stored.layers))
    }
}

/// Content as it was when it was sealed. Never changes.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    seal: Sealed,
    base: Option<Arc<Reader>>,
    staging: Arc<Staging>,
}

impl Staging {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.inner.lock().pile.now.size
    }

    /// Whether something changed since it was last sealed.
    pub fn is_dirty(&self) -> bool {
        self.inner.lock().pile.dirty
    }

    /// The revision that the edit began from, or that was uploaded since.
    pub(super) fn base(&self) -> Option<Source> {
        self.inner.lock().base.as_ref().map(|reader| reader.source().clone())
    }

    /// The bytes of a range (cut off at the end), if they are all on the local disk.
    pub fn read_now(&self, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        let (pieces, base) = self.locate(range);
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Base(range) => match base.as_ref().map(|base| base.read_now(range)).transpose()?.flatten() {
                    Some(part) => bytes.extend(part),
                    None => return Ok(None),
                },
                piece => read_local(&mut bytes, &piece)?,
            }
        }
        Ok(Some(bytes))
    }

    /// The bytes of a range (cut off at the end), those of the base fetched as far as necessary.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let (pieces, base) = self.locate(range);
        assemble(pieces, base.as_ref(), |_, _| {}).await
    }

    fn locate(&self, range: Range<u64>) -> (Vec<Piece>, Option<Arc<Reader>>) {
        let inner = self.inner.lock();
        (inner.pile.now.locate(range), inner.base.clone())
    }

    /// Notes that nobody wants the content any more: the entry was removed.
    pub fn discard(&self) {
        self.inner.lock().discarded = true;
    }

    /// Holds off seals until dropped.
    pub(super) fn hold_seals(&self) -> impl Drop + '_ {
        self.sealing.lock()
    }

    /// The base, as long as the content is still to be sent.
    fn wanted_base(&self) -> Option<Arc<Reader>> {
        let inner = self.inner.lock();
        inner.base.clone().filter(|_| !inner.discarded && inner.on_drive.is_none())
    }

    /// The parts of a range that only the base has.
    fn only_in_base(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let pieces = self.locate(range).0.into_iter();
        let base = |piece| if let Piece::Base(range) = piece { Some(range) } else { None };
        pieces.filter_map(base).collect()
    }

    fn fill(&self, offset: u64, bytes: &[u8]) {
        let filled = self.inner.lock().pile.fill(offset, bytes);
        match filled {
            Ok(new) => self.owner.account(new),
            // Only saves fetching these bytes again: without it everything is still right.
            Err(error) => tracing::debug!(%error, "base bytes not kept"),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        {
            let mut in_use = self.owner.in_use.lock();
            // Somebody may have begun a new one for the same entry already.
            if in_use.get(&self.ino).is_some_and(|staging| staging.strong_count() == 0) {
                in_use.remove(&self.ino);
            }
        }
        let inner = std::mem::take(self.inner.get_mut());
        // Neither: it waits to be sent, and the tables know where it is; or it was opened for writing and not written.
        if inner.on_drive.is_none() && !inner.discarded {
            return;
        }
        let (owner, ino) = (Arc::clone(&self.owner), self.ino);
        self.owner.runtime.spawn_blocking(move || {
            if let Err(error) = owner.put_away(ino, inner) {
                // Nothing is lost: what is left is swept at the next start.
                tracing::warn!(%error, "a staging file could not be put away");
            }
        });
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("ino", &self.ino).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.seal.layers.size
    }

    /// When it was sealed.
    pub(super) fn seq(&self) -> Seq {
        self.seal.seq
    }

    /// Where the bytes of a range are. What was taken in from the base since the seal is in the staging file.
    fn locate(&self, range: Range<u64>) -> Vec<Piece> {
        let pieces = self.seal.layers.locate(range);
        let inner = self.staging.inner.lock();
        pieces.into_iter().flat_map(|piece| inner.pile.taken_in(&self.seal.layers, piece)).collect()
    }

    /// The pieces of the content that are on the local disk, at most `length` bytes at a time.
    pub(super) fn local_pieces(&self, length: u64) -> impl Iterator<Item = io::Result<(u64, Vec<u8>)>> + '_ {
        let starts = (0..self.size()).step_by(usize::try_from(length).unwrap_or(usize::MAX));
        let pieces = starts.flat_map(move |start| self.locate(start..(start + length).min(self.size())));
        pieces.filter_map(|piece| match piece {
            Piece::Zero(_) => None,
            Piece::Base(range) => {
                let bytes = self.base.as_ref().and_then(|base| base.read_now(range.clone()).ok().flatten());
                bytes.map(|bytes| Ok((range.start, bytes)))
            }
            Piece::Local(_, ref range) => {
                let (start, mut bytes) = (range.start, Vec::new());
                Some(read_local(&mut bytes, &piece).map(|()| (start, bytes)))
            }
        })
    }

    /// Begins to fetch what of a range only the base has.
    pub(super) fn fetch_ahead(&self, range: Range<u64>) {
        let Some(base) = &self.base else { return };
        for piece in self.locate(range) {
            if let Piece::Base(range) = piece {
                // Whoever needs these bytes hears of it when they read them.
                let _failed = base.fetch_ahead(range);
            }
        }
    }

    /// Whether somebody else has the content open.
    pub(super) fn is_shared(&self, ours: usize) -> bool {
        Arc::strong_count(&self.staging) > ours + 1
    }

    /// The bytes of a range within the size. What comes from the base is kept in the staging file on the way, so that this is
    /// whole when all was read.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = range.end - range.start;
        let keep = |offset, bytes: &[u8]| self.staging.fill(offset, bytes);
        let bytes = assemble(self.locate(range), self.base.as_ref(), keep).await?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(WritebackError::Damaged { ino: self.staging.ino, why: "the staging file became shorter".to_owned() })
        }
    }
}

/// Takes in from the base what shines through, until nothing does or nobody wants it.
async fn take_in(staging: Weak<Staging>) -> Result<()> {
    let (mut at, mut asked) = (0, 0);
    loop {
        let Some(staging) = staging.upgrade() else { return Ok(()) };
        let Some(base) = staging.wanted_base() else { return Ok(()) };
        if at >= staging.size() {
            let storing = tokio::task::spawn_blocking(move || staging.owner.store_taken_in(&staging));
            return storing.await.unwrap_or(Ok(()));
        }
        if at + TAKE_IN_AHEAD / 2 >= asked {
            for range in staging.only_in_base(asked..at + TAKE_IN_AHEAD) {
                base.fetch_ahead(range)?;
            }
            asked = at + TAKE_IN_AHEAD;
        }
        for range in staging.only_in_base(at..at + TAKE_IN_PIECE) {
            let bytes = base.read(range.clone()).await?;
            staging.fill(range.start, &bytes);
        }
        at += TAKE_IN_PIECE;
    }
}

async fn assemble(
    pieces: Vec<Piece>,
    base: Option<&Arc<Reader>>,
    mut from_base: impl FnMut(u64, &[u8]),
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match (piece, base) {
            (Piece::Base(range), Some(base)) => {
                let part = base.read(range.clone()).await?;
                from_base(range.start, &part);
                bytes.extend(part);
            }
            (piece, _) => read_local(&mut bytes, &piece)?,
        }
    }
    Ok(bytes)
}

fn read_local(bytes: &mut Vec<u8>, piece: &Piece) -> io::Result<()> {
    let (Piece::Local(_, range) | Piece::Base(range) | Piece::Zero(range)) = piece;
    let start = bytes.len();
    bytes.resize(start + usize::try_from(range.end - range.start).unwrap_or(0), 0);
    if let Piece::Local(file, range) = piece {
        match file.read_exact_at(&mut bytes[start..], range.start) {
            // Cut by a truncation at this very moment: what is beyond the end is gone, and zeros are as right as anything.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => other?,
        }
    }
    Ok(())
}

impl Stagings {
    /// Opens the folder.
    pub(super) fn open(dir: &Path, state: Arc<State>, content: Arc<Content>, runtime: Handle) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let mut last = 0;
        for file in std::fs::read_dir(dir)? {
            last = last.max(parse_name(&file?.file_name().to_string_lossy()).map_or(0, |(_, number)| number));
        }
        let held = state.read(|db| {
            db.prepare("SELECT written FROM layer")?
                .query_map([], |row| Ok(RangeSet::decode(&row.get::<_, Vec<u8>>(0)?).unwrap_or_default().total()))?
                .sum::<rusqlite::Result<u64>>()
        })?;
        content.cache().leave_room(held);
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            state,
            content,
            runtime,
            next_number: AtomicU64::new(last + 1),
            bytes: AtomicU64::new(held),
            in_use: Mutex::default(),
        }))
    }

    /// The staging of an entry that was created just now.
    pub(super) fn create(self: &Arc<Self>, ino: Ino) -> Arc<Staging> {
        // An empty file is content too.
        let pile = Pile { dirty: true, ..Pile::default() };
        self.keep(ino, pile, None, None, &mut self.in_use.lock())
    }

    /// The staging of an entry that has content which the drive has not, or that is open for writing; `None` if there is none.
    pub(super) fn get(self: &Arc<Self>, ino: Ino) -> Result<Option<Arc<Staging>>> {
        if let Some(staging) = self.in_use(ino) {
            return Ok(Some(staging));
        }
        let Some(stored) = self.state.read(|db| stored(db, ino))? else { return Ok(None) };
        let mut layers = Vec::new();
        for layer in stored.layers {
            let path = self.path(ino, layer.number);
            let opened = Layer::open(layer.number, path.clone(), layer.below, layer.written);
            layers.push(
                opened.map_err(|error| WritebackError::Damaged { ino, why: format!("{}: {error}", path.display()) })?,
            );
        }
        let base_size = stored.base.as_ref().map_or(0, |base| base.blob.size);
        let base = stored.base.map(|source| self.content.open(&source));
        let mut in_use = self.in_use.lock();
        // Somebody else may have loaded it meanwhile.
        if let Some(staging) = in_use.get(&ino).and_then(Weak::upgrade) {
            return Ok(Some(staging));
        }
        let pile = Pile::sealed(Layers { size: stored.size, stack: layers, base_size });
        Ok(Some(self.keep(ino, pile, base, Some(stored.seq), &mut in_use)))
    }

    /// The staging to write into an existing file.
    pub(super) fn edit(self: &Arc<Self>, node: &Node) -> Result<Arc<Staging>> {
        if let Some(staging) = self.get(node.ino)? {
            return Ok(staging);
        }
        let mut in_use = self.in_use.lock();
        if let Some(staging) = in_use.get(&node.ino).and_then(Weak::upgrade) {
            return Ok(staging);
        }
        let base = source_of(node).map(|source| self.content.open(&source));
        let size = base.as_ref().map_or(0, |base| base.source().blob.size);
        let mut pile = Pile::default();
        (pile.now.size, pile.now.base_size) = (size, size);
        Ok(self.keep(node.ino, pile, base, None, &mut in_use))
    }

    fn keep(
        self: &Arc<Self>,
        ino: Ino,
        pile: Pile,
        base: Option<Arc<Reader>>,
        stored: Option<Seq>,
        in_use: &mut HashMap<Ino, Weak<Staging>>,
    ) -> Arc<Staging> {
        let stored = stored.zip(pile.sealed.clone()).map(|(seq, layers)| Sealed { seq, layers });
        let inner = Mutex::new(Inner { pile, base, stored, on_drive: None, discarded: false });
        let staging = Arc::new(Staging { ino, owner: Arc::clone(self), inner, sealing: Mutex::new(()) });
        in_use.insert(ino, Arc::downgrade(&staging));
        staging
    }

    /// The staging of an entry, if it is in memory.
    pub(super) fn in_use(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.in_use.lock().get(&ino).and_then(Weak::upgrade)
    }

    /// Makes the content of a new file an edit of `origin`: nothing of that shines through, but a change of it by others is a
    /// conflict.
    pub(super) fn set_origin(&self, staging: &Staging, origin: &Source) {
        staging.inner.lock().base = Some(self.content.open(origin));
    }

    /// Writes. Blocks on the local disk only.
    pub(super) fn write(&self, staging: &Arc<Staging>, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut inner = staging.inner.lock();
        let first = self.layer_for(staging.ino, &mut inner.pile, offset)?;
        let new = inner.pile.write(offset, bytes)?;
        inner.on_drive = None;
        drop(inner);
        self.account(new);
        if first {
            self.secure(staging);
        }
        Ok(())
    }

    /// Sets the size.
    pub(super) fn resize(&self, staging: &Arc<Staging>, size: u64) -> Result<()> {
        let mut inner = staging.inner.lock();
        let first = size < inner.pile.now.size && self.layer_for(staging.ino, &mut inner.pile, size)?;
        inner.pile.resize(size)?;
        inner.on_drive = None;
        drop(inner);
        if first {
            self.secure(staging);
        }
        Ok(())
    }

    /// Puts a layer on top if a change at `offset` needs one. Says whether it is the first one.
    fn layer_for(&self, ino: Ino, pile: &mut Pile, offset: u64) -> Result<bool> {
        if !pile.needs_layer(offset) {
            return Ok(false);
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        pile.push(Layer::create(number, self.path(ino, number), pile.shining())?);
        Ok(pile.now.stack.len() == 1)
    }

    /// Begins to take in what shines through from the base. The upload needs all of it anyway, and by then the drive may have
    /// given the file another content and dropped this one.
    fn secure(&self, staging: &Arc<Staging>) {
        if staging.inner.lock().base.is_some() {
            let taking = take_in(Arc::downgrade(staging));
            self.runtime.spawn(async move {
                if let Err(error) = taking.await {
                    tracing::debug!(%error, "the base of an edit is not here yet; the upload tries again");
                }
            });
        }
    }

    /// Makes what was taken in since the last seal known to the tables, so that it is still there after a crash.
    fn store_taken_in(&self, staging: &Staging) -> Result<()> {
        let _no_newer_seal = staging.sealing.lock();
        let (number, written) = {
            let inner = staging.inner.lock();
            let sealed = inner.stored.as_ref().and_then(|seal| seal.layers.stack.first().map(|lowest| (seal, lowest)));
            let (Some((seal, lowest)), Some(now)) = (sealed, inner.pile.now.stack.first()) else { return Ok(()) };
            if lowest.number != now.number {
                return Ok(());
            }
            // What was written behind the seal since is not sealed.
            let mut written = now.written.clone();
            written.truncate(seal.layers.size);
            (now.number, written)
        };
        Ok(self.state.write(|tx| set_written(tx, staging.ino, number, &written))?)
    }

    fn path(&self, ino: Ino, number: u64) -> PathBuf {
        self.dir.join(format!("{:x}-{number:x}", ino.0))
    }

    fn account(&self, more: u64) {
        if more > 0 {
            let bytes = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
            self.content.cache().leave_room(bytes);
        }
    }

    fn account_gone(&self, less: u64) {
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
        staging: &Staging,
        durability: Durability,
        store: impl FnOnce(&Connection, u64) -> rusqlite::Result<Option<Seq>>,
    ) -> Result<Option<Seq>> {
        let _in_order = staging.sealing.lock();
        let (layers, base, files) = {
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
            let base = inner.base.as_ref().map(|base| base.source().clone());
            (layers, base, inner.pile.files())
        };
        let result = self.store_seal(staging.ino, layers.as_deref(), base.as_ref(), &files, durability, store);
        let mut inner = staging.inner.lock();
        match (&result, layers) {
            (Ok(Some(seq)), Some(layers)) => inner.stored = Some(Sealed { seq: *seq, layers }),
            (Ok(_), _) | (Err(_), None) => {}
            (Err(_), Some(_)) => inner.pile.dirty = true,
        }
        drop(inner);
        result
    }

    fn store_seal(
        &self,
        ino: Ino,
        layers: Option<&Layers>,
        base: Option<&Source>,
        files: &[Arc<File>],
        durability: Durability,
        store: impl FnOnce(&Connection, u64) -> rusqlite::Result<Option<Seq>>,
    ) -> Result<Option<Seq>> {
        if durability == Durability::PowerLoss {
            for file in files {
                file.sync_data()?;
            }
            // The names of the files, too.
            File::open(&self.dir)?.sync_all()?;
        }
        let work = |db: &rusqlite::Transaction<'_>| -> rusqlite::Result<Option<Seq>> {
            let Some(layers) = layers else { return Ok(None) };
            let Some(seq) = store(db, layers.size)? else { return Ok(None) };
            store_layers(db, ino, layers, base, seq)?;
            Ok(Some(seq))
        };
        Ok(match durability {
            Durability::Process => self.state.write(work)?,
            Durability::PowerLoss => self.state.write_synced(work)?,
        })
    }

    /// The content of an entry as it was last sealed, to be sent.
    pub(super) fn snapshot(staging: &Arc<Staging>) -> Option<Snapshot> {
        let inner = staging.inner.lock();
        let seal = inner.stored.clone()?;
        Some(Snapshot { seal, base: inner.base.clone(), staging: Arc::clone(staging) })
    }

    /// Notes that the drive has a snapshot as the revision `source`; to be called after the transaction that says so.
    pub(super) fn acknowledge(&self, staging: &Staging, snapshot: &Snapshot, source: &Source) {
        let mut inner = staging.inner.lock();
        // What shone through from the old base stands at the same place in the new revision.
        let old = inner.base.replace(self.content.open(source));
        if inner.is_newest(&snapshot.seal) {
            inner.on_drive = Some(source.clone());
        }
        drop(inner);
        // Nobody will ask for the revision that ours replaced.
        if let Some(old) = old.map(|old| old.source().clone()).filter(|old| old != source)
            && let Err(error) = self.content.cache().forget(&old)
        {
            tracing::debug!(%error, "an old revision stays in the cache until its turn to go");
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
        if self.state.read(|db| are_needed(db, ino, &numbers))? {
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
        Ok(self.state.write(|tx| retired_is_gone(tx, ino))?)
    }

    fn remove_retired(&self, ino: Ino) -> Result<()> {
        let layers = self.state.read(|db| stored_retired_layers(db, ino))?;
        for layer in layers {
            remove_file(&self.path(ino, layer.number))?;
            self.account_gone(layer.written.total());
        }
        Ok(self.state.write(|tx| retired_is_gone(tx, ino))?)
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

/// What a seal survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process.
    Process,
    /// The loss of power.
    PowerLoss,
}

/// The content of a node that the drive has.
pub(super) fn source_of(node: &Node) -> Option<Source> {
    let (id, revision) = (node.id.clone()?, node.revision.clone()?);
    Some(Source { id, blob: Blob { size: node.size, md5: node.md5, revision } })
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

/// A staging as the tables have it.
struct Stored {
    size: u64,
    seq: Seq,
    base: Option<Source>,
    layers: Vec<StoredLayer>,
}

struct StoredLayer {
    number: u64,
    below: u64,
    written: RangeSet,
}

fn stored(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Stored>> {
    let staging = db
        .prepare_cached(
            "SELECT size, seq, base_id, base_revision, base_size, base_md5 FROM staging WHERE ino = ?1 AND retired = 0",
        )?
        .query_row([ino], |row| {
            let id: Option<String> = row.get(2)?;
            let base = match id {
                Some(id) => Some(Source {
                    id: FileId(id),
                    blob: Blob {
                        revision: RevisionId(row.get(3)?),
                        size: from_sql(row.get(4)?),
                        md5: row.get::<_, Option<[u8; 16]>>(5)?.map(Md5),
                    },
                }),
                None => None,
            };
            Ok(Stored { size: from_sql(row.get(0)?), seq: Seq(from_sql(row.get(1)?)), base, layers: Vec::new() })
        })
        .optional()?;
    let Some(mut staging) = staging else { return Ok(None) };
    staging.layers = stored_layers(db, ino)?;
    Ok(Some(staging))
}

fn stored_layers(db: &Connection, ino: Ino) -> rusqlite::Result<Vec<StoredLayer>> {
    db.prepare_cached("SELECT file, below, written FROM layer WHERE ino = ?1 ORDER BY level")?
        .query_map([ino], |row| {
            let written = RangeSet::decode(&row.get::<_, Vec<u8>>(2)?).ok_or(rusqlite::Error::InvalidQuery)?;
            Ok(StoredLayer { number: from_sql(row.get(0)?), below: from_sql(row.get(1)?), written })
        })?
        .collect()
}

fn stored_retired_layers(db: &Connection, ino: Ino) -> rusqlite::Result<Vec<StoredLayer>> {
    let retired: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND retired = 1)")?
        .query_row([ino], |row| row.get(0))?;
    if retired { stored_layers(db, ino) } else { Ok(Vec::new()) }
}

fn store_layers(db: &Connection, ino: Ino, layers: &Layers, base: Option<&Source>, seq: Seq) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO staging (ino, size, seq, base_id, base_revision, base_size, base_md5, retired)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
    )?
    .execute(params![
        ino,
        to_sql(layers.size),
        to_sql(seq.0),
        base.map(|base| &base.id.0),
        base.map(|base| &base.blob.revision.0),
        base.map(|base| to_sql(base.blob.size)),
        base.and_then(|base| base.blob.md5).map(|md5| md5.0),
    ])?;
    db.prepare_cached("DELETE FROM layer WHERE ino = ?1")?.execute([ino])?;
    let mut insert =
        db.prepare_cached("INSERT INTO layer (ino, level, file, below, written) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (layer, level) in layers.stack.iter().zip(0_i64..) {
        insert.execute(params![ino, level, to_sql(layer.number), to_sql(layer.below), layer.written.encode()])?;
    }
    Ok(())
}

/// Notes what a layer holds by now.
fn set_written(db: &Connection, ino: Ino, number: u64, written: &RangeSet) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE layer SET written = ?3 WHERE ino = ?1 AND file = ?2")?
        .execute(params![ino, to_sql(number), written.encode()])
        .map(|_| ())
}

/// Notes that nobody wants the staging of an entry any more.
pub(super) fn retire(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE staging SET retired = 1 WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// Notes that the drive has what was sealed at `seq`. Says whether that is the newest; then the staging is needed no more.
pub(super) fn retire_if_newest(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<bool> {
    let retired = db
        .prepare_cached("UPDATE staging SET retired = 1 WHERE ino = ?1 AND seq = ?2")?
        .execute(params![ino, to_sql(seq.0)])?;
    Ok(retired > 0)
}

/// Notes what the unsent content of an entry begins from.
pub(super) fn set_base(db: &Connection, ino: Ino, base: Option<&Source>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE staging SET base_id = ?2, base_revision = ?3, base_size = ?4, base_md5 = ?5 WHERE ino = ?1",
    )?
    .execute(params![
        ino,
        base.map(|base| &base.id.0),
        base.map(|base| &base.blob.revision.0),
        base.map(|base| to_sql(base.blob.size)),
        base.and_then(|base| base.blob.md5).map(|md5| md5.0)
    ])
    .map(|_| ())
}

/// Whether what was sealed at `seq` is the newest that is to be sent of an entry.
pub(super) fn is_newest(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND seq = ?2 AND retired = 0)")?
        .query_row(params![ino, to_sql(seq.0)], |row| row.get(0))
}

/// Whether files of a staging belong to content that is not on the drive.
fn are_needed(db: &Connection, ino: Ino, files: &[u64]) -> rusqlite::Result<bool> {
    let mut needed = db.prepare_cached(
        "SELECT layer.file FROM layer JOIN staging ON staging.ino = layer.ino WHERE layer.ino = ?1 AND retired = 0",
    )?;
    let needed = needed.query_map([ino], |row| row.get(0).map(from_sql))?.collect::<rusqlite::Result<Vec<u64>>>()?;
    Ok(needed.iter().any(|file| files.contains(file)))
}

fn retired_is_gone(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM layer WHERE ino = ?1 AND ino IN (SELECT ino FROM staging WHERE retired = 1)")?
        .execute([ino])?;
    db.prepare_cached("DELETE FROM staging WHERE ino = ?1 AND retired = 1")?.execute([ino]).map(|_| ())
}
