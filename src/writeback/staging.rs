//! Staging: the content of one entry that is being written, or waits to be sent.
//!
//! See [`super::stagings`] for where it is kept.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Result;
use super::growth::{Followed, Growth};
use super::journal::Seq;
use super::layers::{Layers, Piece};
use super::pile::Pile;
use super::snapshot::{Snapshot, assemble, fetch, read_local};
use super::stagings::Stagings;
use super::table::Safety;
use super::unsealed::Log;
use crate::content::Reader;
use crate::ranges::RangeSet;
use crate::remote::Source;
use crate::tree::Ino;

/// Content of one entry that is being written, or waits to be sent.
///
/// When its last user drops it, memory is freed; and if the drive has the content by then, the staging file becomes the cached
/// revision without a copy.
pub struct Staging {
    ino: Ino,
    owner: Arc<Stagings>,
    pub(super) inner: Mutex<Inner>,
    /// Held while it is sealed, so that seals are stored in their order.
    pub(super) sealing: Mutex<()>,
    /// Held while base and origin change here and in the tables, so that a seal does not store older ones.
    pub(super) basing: Mutex<()>,
    /// Its base is being taken in.
    pub(super) securing: AtomicBool,
    /// How many have it open.
    users: AtomicUsize,
}

/// Somebody has a staging open: its bytes stay here for as long.
#[derive(Debug)]
pub struct Opened(Arc<Staging>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) pile: Pile,
    /// What shines through beneath the layers.
    pub(super) base: Option<Arc<Reader>>,
    /// What the drive had when the edit began, or last took from us: if it has something else, that is somebody else's work.
    pub(super) origin: Option<Source>,
    /// The last seal that the tables have. While one is being stored, the pile is sealed already and this is still the one
    /// before.
    pub(super) stored: Option<Sealed>,
    /// The drive has exactly what the pile is now.
    pub(super) on_drive: Option<Source>,
    /// The entry was removed: nobody wants the content any more.
    pub(super) discarded: bool,
    /// How much of it is sent before it is closed.
    pub(super) growth: Growth,
    /// Bytes that were taken in from the base, and that the tables do not know of.
    pub(super) taken_in: u64,
    /// The drive cannot make it a copy of its base.
    pub(super) no_copy: bool,
    /// What is not sealed of it, for the next daemon.
    pub(super) log: Log,
}

#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) seq: Seq,
    pub(super) layers: Arc<Layers>,
    pub(super) safety: Safety,
}

/// The lowest layer, as far as it is sealed.
pub(super) struct Lowest {
    pub(super) number: u64,
    /// What it holds, with what was taken in from the base since.
    pub(super) written: RangeSet,
    /// What it held when it was sealed.
    pub(super) sealed: RangeSet,
    file: Arc<File>,
}

impl Lowest {
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Inner {
    /// Whether it is this content that is sent while the file is written, and not one that was begun anew since.
    pub(super) fn is_followed(&self, seal: &Sealed) -> bool {
        match (&self.growth, self.pile.now.stack.last()) {
            (Growth::Claimed(_), _) => seal.layers.stack.iter().any(|layer| self.growth.is_of(layer.number)),
            (_, Some(top)) => seal.layers.stack.last().is_some_and(|then| then.number == top.number),
            (_, None) => true,
        }
    }

    /// Whether a seal is the newest state there is: nothing was written since, and no newer seal is being stored.
    pub(super) fn is_newest(&self, seal: &Sealed) -> bool {
        let is_it = |layers: Option<&Arc<Layers>>| layers.is_some_and(|layers| Arc::ptr_eq(layers, &seal.layers));
        !self.pile.dirty && is_it(self.pile.sealed.as_ref()) && is_it(self.stored.as_ref().map(|stored| &stored.layers))
    }
}

impl Staging {
    pub(super) fn new(ino: Ino, owner: Arc<Stagings>, inner: Inner) -> Arc<Self> {
        Arc::new(Self {
            ino,
            owner,
            inner: Mutex::new(inner),
            sealing: Mutex::default(),
            basing: Mutex::default(),
            securing: AtomicBool::default(),
            users: AtomicUsize::default(),
        })
    }

    /// Notes that somebody has it open, until what this gives is dropped.
    pub fn opened(self: &Arc<Self>) -> Opened {
        self.users.fetch_add(1, Ordering::Relaxed);
        Opened(Arc::clone(self))
    }

    pub(super) fn is_open(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0
    }

    /// The content as it was last sealed, to be sent.
    pub(super) fn snapshot(self: &Arc<Self>) -> Option<Snapshot> {
        let inner = self.inner.lock();
        let seal = inner.stored.clone()?;
        Some(Snapshot { seal, base: inner.base.clone(), staging: Arc::clone(self) })
    }

    /// The content as it is now, sealed or not.
    pub(super) fn as_it_is(self: &Arc<Self>) -> Snapshot {
        let inner = self.inner.lock();
        let seal = Sealed { seq: Seq::default(), layers: Arc::new(inner.pile.now.clone()), safety: Safety::None };
        Snapshot { seal, base: inner.base.clone(), staging: Arc::clone(self) }
    }

    /// Whether the entry was removed here, so that nobody wants the content any more.
    pub fn is_discarded(&self) -> bool {
        self.inner.lock().discarded
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.inner.lock().pile.now.size
    }

    /// A bound on the bytes of data in it, as opposed to holes.
    pub fn data(&self) -> u64 {
        self.inner.lock().pile.data()
    }

    /// The first byte in a range that is data (or of a hole, the end of the content being one). `None`: there is none.
    pub fn seek(&self, range: Range<u64>, data: bool) -> Option<u64> {
        self.inner.lock().pile.now.seek(range, data)
    }

    /// Begins to fetch what of a range only the base has.
    pub fn fetch_ahead(&self, range: Range<u64>) {
        let (pieces, base) = self.locate(range);
        fetch(pieces, base.as_ref());
    }

    /// What of it only the base has, and is not on the local disk.
    pub fn absent(&self) -> Result<Vec<Range<u64>>> {
        let (pieces, base) = self.locate(0..self.size());
        let mut absent = Vec::new();
        for piece in pieces {
            if let (Piece::Base(range), Some(base)) = (piece, &base)
                && !base.is_here(range.clone())?
            {
                absent.push(range);
            }
        }
        Ok(absent)
    }

    /// The revision on the drive that has exactly this content, if one has.
    pub fn on_drive(&self) -> Option<Source> {
        let inner = self.inner.lock();
        inner.on_drive.clone().filter(|_| !inner.pile.dirty)
    }

    /// Whether something changed since it was last sealed.
    pub fn is_dirty(&self) -> bool {
        self.inner.lock().pile.dirty
    }

    /// Whether the drive has exactly this content.
    pub fn is_on_drive(&self) -> bool {
        self.inner.lock().on_drive.is_some()
    }

    pub(super) fn ino(&self) -> Ino {
        self.ino
    }

    pub(super) fn owner(&self) -> &Arc<Stagings> {
        &self.owner
    }

    /// What was last sealed, and the tables have.
    pub(super) fn last_sealed(&self) -> Option<Arc<Layers>> {
        self.inner.lock().stored.as_ref().map(|stored| Arc::clone(&stored.layers))
    }

    /// What the drive had when the edit began, or last took from us.
    pub(super) fn origin(&self) -> Option<Source> {
        self.inner.lock().origin.clone()
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

    /// Notes that what survives the loss of power must not be given up for what may not.
    pub(super) fn promise(&self) {
        if let Some(stored) = &mut self.inner.lock().stored
            && stored.safety == Safety::Synced
        {
            stored.safety = Safety::Promised;
        }
    }

    /// Notes that nobody wants the content any more: the entry was removed.
    pub fn discard(&self) {
        let mut inner = self.inner.lock();
        inner.discarded = true;
        inner.growth.end();
    }

    /// Begins to send it before it is closed, if that was asked for and is still possible.
    pub(super) fn follow(&self) -> Option<Followed> {
        let inner = &mut *self.inner.lock();
        inner.growth.begin(&inner.pile)
    }

    /// No more of it is sent before it is closed.
    pub(super) fn follow_no_more(&self) {
        self.inner.lock().growth.end();
    }

    /// Whether it is just being saved, so that what there is by now is of no use to anybody; `interval`: since when to judge.
    pub fn is_save(&self, interval: Duration) -> bool {
        let inner = &mut *self.inner.lock();
        inner.growth.is_save(&inner.pile, interval)
    }

    /// How many bytes from the start on can be sent before it is closed.
    pub(super) fn claimable(&self) -> u64 {
        let inner = self.inner.lock();
        inner.growth.claimable(&inner.pile)
    }

    /// Claims the bytes up to `until` for an upload. Says whether that is done.
    pub(super) fn claim(&self, until: u64) -> bool {
        let inner = &mut *self.inner.lock();
        inner.growth.claim(&inner.pile, until)
    }

    /// Holds off seals until dropped.
    pub(super) fn hold_seals(&self) -> impl Drop + '_ {
        self.sealing.lock()
    }

    /// Lets nobody else change or store base and origin until dropped. To be held over the transaction that changes them and
    /// over the change in memory.
    pub(super) fn hold_base(&self) -> impl Drop + '_ {
        self.basing.lock()
    }

    pub(super) fn lowest_sealed(&self) -> Option<Lowest> {
        let inner = self.inner.lock();
        let seal = inner.stored.as_ref()?;
        let (then, now) = (seal.layers.stack.first()?, inner.pile.now.stack.first()?);
        let mut written = now.written.clone();
        // What was written behind the seal since is not sealed.
        written.truncate(seal.layers.size);
        let found = Lowest { number: now.number, written, sealed: then.written.clone(), file: now.file() };
        Some(found).filter(|_| then.number == now.number)
    }

    /// The base, as long as the content is still to be sent.
    pub(super) fn wanted_base(&self) -> Option<Arc<Reader>> {
        let inner = self.inner.lock();
        inner.base.clone().filter(|_| !inner.discarded && inner.on_drive.is_none())
    }

    /// The parts of a range that only the base has.
    pub(super) fn only_in_base(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let pieces = self.locate(range).0.into_iter();
        let base = |piece| if let Piece::Base(range) = piece { Some(range) } else { None };
        pieces.filter_map(base).collect()
    }

    pub(super) fn fill(&self, offset: u64, bytes: &[u8]) {
        // What can be fetched again takes no room that is needed for what cannot.
        if !self.owner.space.fits(bytes.len() as u64) {
            return;
        }
        let filled = {
            let mut inner = self.inner.lock();
            let filled = inner.pile.fill(offset, bytes);
            inner.taken_in += filled.as_ref().copied().unwrap_or(0);
            filled
        };
        match filled {
            Ok(new) => self.owner.account(self.ino, new),
            // Only saves fetching these bytes again: without it everything is still right.
            Err(error) => tracing::debug!(%error, "base bytes not kept"),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let inner = std::mem::take(self.inner.get_mut());
        self.owner.let_go(self.ino, inner);
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("ino", &self.ino).finish_non_exhaustive()
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
