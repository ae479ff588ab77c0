//! Open files.
//!
//! All handles of one file share an [`OpenFile`], which knows what the file's content is right now: a revision being read, or a
//! staging being written. It lives from the first open to the last release, and longer only if its last writes could not be
//! sealed, which is tried again then.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::kept::{self, FileSlot, HandleSlot, KeptHandle, Record};
use super::owner::Owners;
use super::passthrough::{Backing, Passed};
use crate::book::Book;
use crate::cache::Whole;
use crate::clock::{self, Instant, Timestamp};
use crate::content::{Reader, Session};
use crate::error::Kind;
use crate::remote::xattrs::Put;
use crate::tree::local::Attributes;
use crate::tree::{Ino, Node};
use crate::writeback::{Opened, Staging};

/// What a handle was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags {
    /// It may be written.
    pub write: bool,
    /// The thread that opens it.
    pub thread: u32,
}

/// How the kernel may cache what it reads through a handle.
#[derive(Debug, Clone)]
pub enum Caching {
    /// It keeps the pages it has from earlier handles.
    Keep,
    /// It drops them: they may be of an older content.
    Drop,
    /// It reads this by itself, and keeps no pages.
    Passthrough(Backing),
}

/// What the bytes of an open file are.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// A content that the drive has.
    Revision(Arc<Reader>),
    /// A content that is being written, or waits to be sent.
    Staged(Arc<Staging>),
    /// What a document was exported as.
    Exported(Arc<Whole>),
    /// A short text made up here.
    Text(Arc<str>),
}

impl Bytes {
    fn opened(&self) -> Option<Opened> {
        match self {
            Self::Staged(staging) => Some(staging.opened()),
            Self::Revision(_) | Self::Exported(_) | Self::Text(_) => None,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Staged(staging) => staging.size(),
            Self::Revision(reader) => reader.source().blob.size,
            Self::Exported(whole) => whole.size(),
            Self::Text(text) => text.len() as u64,
        }
    }
}

/// A file that somebody has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) ino: Ino,
    /// The name it was opened by.
    pub(super) name: String,
    /// What the kernel reads by itself, whatever becomes of the file while it is open.
    passed: Option<Passed>,
    /// The folder it was in then.
    pub(super) folder: Ino,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: Bytes,
    /// Says that the staging, if it is one, is open.
    opened: Option<Opened>,
    /// Of writes that are not sealed yet.
    mtime: Option<Timestamp>,
    /// Since when there are any.
    unsealed_since: Option<Instant>,
    /// What it was when it lost its last name, or was replaced elsewhere.
    unlinked: Option<Node>,
    /// It was replaced elsewhere: its name and its id mean another number now.
    superseded: bool,
    handles: u32,
    /// How many of them may write.
    writers: u32,
    /// The same, as far as the next daemon must know it, and its place in the book.
    record: Record,
    slot: Option<FileSlot>,
}

impl State {
    /// Notes for the next daemon what it is now.
    fn keep(&self) {
        if let Some(slot) = &self.slot {
            slot.write(&self.record);
        }
    }
}

impl OpenFile {
    fn new(node: &Node, bytes: Bytes, passed: Option<Passed>, book: Option<&Arc<Book>>) -> Self {
        let record = Record::new(node, &bytes, passed.as_ref().map(|passed| passed.backing.number));
        let slot = kept::keep_file(book, &record);
        Self::kept(node, bytes, passed, record, slot)
    }

    fn kept(node: &Node, bytes: Bytes, passed: Option<Passed>, record: Record, slot: Option<FileSlot>) -> Self {
        let (ino, name) = (node.ino, node.name.clone());
        let opened = bytes.opened();
        Self {
            ino,
            name,
            passed,
            folder: Ino(record.folder),
            state: Mutex::new(State {
                bytes,
                opened,
                mtime: None,
                unsealed_since: None,
                unlinked: None,
                superseded: false,
                handles: 0,
                writers: 0,
                record,
                slot,
            }),
        }
    }

    /// What the kernel reads by itself, if it does.
    pub(super) fn passed(&self) -> Option<&Passed> {
        self.passed.as_ref()
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Bytes {
        self.state.lock().bytes.clone()
    }

    /// Its staging, if it is or was written.
    pub(super) fn staging(&self) -> Option<Arc<Staging>> {
        match &self.state.lock().bytes {
            Bytes::Staged(staging) => Some(Arc::clone(staging)),
            Bytes::Revision(_) | Bytes::Exported(_) | Bytes::Text(_) => None,
        }
    }

    /// Makes it one that is written.
    pub(super) fn stage(&self, staging: Arc<Staging>) {
        let bytes = Bytes::Staged(staging);
        let mut state = self.state.lock();
        state.opened = bytes.opened();
        state.record.set_bytes(&bytes);
        state.bytes = bytes;
        state.keep();
    }

    /// Notes a write.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        state.mtime = Some(clock::now());
        state.unsealed_since.get_or_insert_with(Instant::now);
    }

    /// Notes that what was written could not be sealed: it is tried again as if it were written now.
    pub(super) fn not_sealed(&self) {
        self.state.lock().unsealed_since = Some(Instant::now());
    }

    /// For how long there have been writes that are not sealed; `None` if there are none.
    pub(super) fn unsealed_for(&self) -> Option<Duration> {
        self.state.lock().unsealed_since.map(|since| since.elapsed())
    }

    /// Whether somebody may write it.
    pub(super) fn is_written(&self) -> bool {
        self.state.lock().writers > 0
    }

    /// Notes that the modification time was set. Writes that follow move it on again.
    pub(super) fn set_mtime(&self, mtime: Timestamp) {
        let mut state = self.state.lock();
        if state.mtime.is_some() {
            state.mtime = Some(mtime);
        }
    }

    /// The modification time to seal with.
    pub(super) fn mtime(&self) -> Timestamp {
        self.state.lock().mtime.unwrap_or_else(clock::now)
    }

    /// Notes that everything was sealed that was written with this modification time or before.
    pub(super) fn sealed(&self, mtime: Timestamp) {
        let mut state = self.state.lock();
        if state.mtime == Some(mtime) {
            state.mtime = None;
            state.unsealed_since = None;
        } else if state.mtime.is_some() {
            // Those that came while it was sealed.
            state.unsealed_since = Some(Instant::now());
        }
    }

    /// Size and modification time, where they are newer than the node's.
    pub(super) fn overlay(&self, node: &Node) -> (u64, Timestamp) {
        let state = self.state.lock();
        (state.bytes.size(), state.mtime.unwrap_or(node.mtime))
    }

    /// Length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.state.lock().bytes.size()
    }

    /// A bound on the bytes of data in it, as opposed to holes.
    pub(super) fn data(&self) -> u64 {
        match &self.state.lock().bytes {
            Bytes::Staged(staging) => staging.data(),
            bytes => bytes.size(),
        }
    }

    /// Whether somebody has it open who may write.
    pub(super) fn has_writers(&self) -> bool {
        self.state.lock().writers > 0
    }

    /// Whether nobody writes it, so that it can go on as what it was when it is replaced elsewhere. Who may write it makes it
    /// one side of a conflict instead. `but`: so many of the writers do not count.
    pub(super) fn is_only_read(&self, but: u32) -> bool {
        let state = self.state.lock();
        let is_sent = match &state.bytes {
            Bytes::Revision(_) | Bytes::Exported(_) | Bytes::Text(_) => true,
            Bytes::Staged(staging) => staging.is_on_drive() && !staging.is_dirty(),
        };
        is_sent && state.writers <= but
    }

    /// Whether there is a handle to write through beside the caller's.
    pub(super) fn is_written_by_others(&self) -> bool {
        self.state.lock().writers > 1
    }

    /// What it was when it lost its last name, if it did.
    pub(super) fn unlinked(&self) -> Option<Node> {
        self.state.lock().unlinked.clone()
    }

    /// Whether it lost its last name.
    pub(super) fn is_unlinked(&self) -> bool {
        self.state.lock().unlinked.is_some()
    }
}

/// One opening of a file.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) file: Arc<OpenFile>,
    pub(super) write: bool,
    /// Who opened it, or wrote through it.
    pub(super) owners: Owners,
    /// The number of the last refusal of the drive that it was told of.
    pub(super) heard: AtomicU64,
    /// How this handle reads.
    pub(super) session: Mutex<Session>,
    /// Nothing was read through it yet.
    pub(super) is_fresh: AtomicBool,
    /// Its place in the book.
    _slot: Option<HandleSlot>,
}

/// All open files.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_ino: RwLock<HashMap<Ino, Arc<OpenFile>>>,
    handles: RwLock<HashMap<u64, Arc<Handle>>>,
    next: AtomicU64,
    /// Files whose content changed elsewhere while they were open: the kernel has pages of the old one.
    stale: Mutex<HashSet<Ino>>,
    /// What was renamed over a moment ago, for who had found it by its name already and opens it now.
    replaced: Mutex<HashMap<Ino, (Node, Bytes)>>,
    /// Where the next daemon finds them.
    book: Option<Arc<Book>>,
    /// Handles that were opened by requests which the last daemon may not have answered, by the numbers of those.
    unanswered: Mutex<HashMap<u64, u64>>,
}

/// The numbers of the handles that one daemon gives away begin with its own.
const NUMBERS: u32 = 40;

impl Files {
    /// With a book, and as the daemon of this number of those that have it.
    pub(super) fn new(book: Option<Arc<Book>>, generation: u64) -> Self {
        Self { book, next: AtomicU64::new(generation << NUMBERS), ..Self::default() }
    }

    /// A file that the last daemon had open.
    pub(super) fn restore(
        &self,
        node: &Node,
        bytes: Bytes,
        passed: Option<Passed>,
        record: Record,
        slot: FileSlot,
    ) -> Arc<OpenFile> {
        let (unlinked, superseded) = (record.unlinked, record.superseded);
        let file = Arc::new(OpenFile::kept(node, bytes, passed, record, Some(slot)));
        {
            let mut state = file.state.lock();
            state.superseded = superseded;
            state.unlinked = unlinked.then(|| Node { parent: Ino::NOWHERE, ..node.clone() });
            let bytes = state.bytes.clone();
            state.record.set_bytes(&bytes);
            state.keep();
        }
        self.by_ino.write().insert(node.ino, Arc::clone(&file));
        file
    }

    /// A handle that the last daemon had given away.
    pub(super) fn restore_handle(&self, file: &Arc<OpenFile>, kept: KeptHandle, slot: HandleSlot) {
        {
            let mut state = file.state.lock();
            state.handles += 1;
            state.writers += u32::from(kept.write);
        }
        let owners = Owners::default();
        owners.add(kept.thread);
        let handle = Handle {
            file: Arc::clone(file),
            write: kept.write,
            owners,
            heard: AtomicU64::new(kept.heard),
            session: Mutex::default(),
            is_fresh: AtomicBool::new(false),
            _slot: Some(slot),
        };
        self.handles.write().insert(kept.number, Arc::new(handle));
        if kept.request != 0 {
            self.unanswered.lock().insert(kept.request, kept.number);
        }
    }

    /// The handle that the last daemon opened for a request without having answered it; once.
    pub(super) fn unanswered(&self, request: u64) -> Option<(u64, Arc<Handle>)> {
        let number = self.unanswered.lock().remove(&request)?;
        Some((number, self.handle(number)?))
    }

    /// The open file of a number.
    pub(super) fn get(&self, ino: Ino) -> Option<Arc<OpenFile>> {
        let files = self.by_ino.read();
        // Nearly always empty when folders are walked.
        if files.is_empty() { None } else { files.get(&ino).cloned() }
    }

    /// All open files.
    pub(super) fn all(&self) -> Vec<Arc<OpenFile>> {
        self.by_ino.read().values().cloned().collect()
    }

    /// Opens a file that may be open already; `bytes`, and what the kernel reads by itself, if it is not. `heard`: the last refusal
    /// that its programs were told of.
    pub(super) fn open(
        &self,
        node: &Node,
        flags: OpenFlags,
        bytes: Bytes,
        passed: Option<Passed>,
        heard: u64,
    ) -> (u64, Arc<Handle>) {
        let mut files = self.by_ino.write();
        let file = Arc::clone(
            files.entry(node.ino).or_insert_with(|| Arc::new(OpenFile::new(node, bytes, passed, self.book.as_ref()))),
        );
        self.add(file, files, flags, heard)
    }

    /// Opens a file once more that somebody has open, whatever became of it since.
    pub(super) fn reopen(&self, ino: Ino, flags: OpenFlags, heard: u64) -> Option<(u64, Arc<Handle>)> {
        let files = self.by_ino.write();
        let file = Arc::clone(files.get(&ino).filter(|file| file.state.lock().handles > 0)?);
        Some(self.add(file, files, flags, heard))
    }

    /// Whether a file is open by more than one handle.
    pub(super) fn is_shared(&self, ino: Ino) -> bool {
        self.get(ino).is_some_and(|file| file.state.lock().handles > 1)
    }

    /// One more handle of a file that was found under this lock.
    fn add<T>(&self, file: Arc<OpenFile>, files: T, flags: OpenFlags, heard: u64) -> (u64, Arc<Handle>) {
        {
            let mut state = file.state.lock();
            state.handles += 1;
            state.writers += u32::from(flags.write);
        }
        drop(files);
        let owners = Owners::default();
        owners.add(flags.thread);
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let kept = KeptHandle { number, ino: file.ino.0, request: 0, write: flags.write, thread: flags.thread, heard };
        let handle = Handle {
            write: flags.write,
            owners,
            heard: AtomicU64::new(heard),
            session: Mutex::default(),
            is_fresh: AtomicBool::new(true),
            _slot: kept::keep_handle(self.book.as_ref(), kept),
            file,
        };
        let handle = Arc::new(handle);
        self.handles.write().insert(number, Arc::clone(&handle));
        (number, handle)
    }

    /// The handle of a number.
    pub(super) fn handle(&self, number: u64) -> Option<Arc<Handle>> {
        self.handles.read().get(&number).cloned()
    }

    /// Forgets a handle.
    pub(super) fn release(&self, number: u64) -> Option<Arc<Handle>> {
        let handle = self.handles.write().remove(&number)?;
        let mut state = handle.file.state.lock();
        state.handles -= 1;
        state.writers -= u32::from(handle.write);
        drop(state);
        Some(handle)
    }

    /// Forgets a file that nobody has open any more.
    pub(super) fn forget(&self, ino: Ino) {
        let mut files = self.by_ino.write();
        if files.get(&ino).is_some_and(|file| file.state.lock().handles == 0) {
            files.remove(&ino);
        }
    }

    /// What an open file was when it lost its name.
    pub(super) fn unlinked(&self, ino: Ino) -> Option<Node> {
        self.get(ino)?.unlinked()
    }

    /// Notes that the kernel has pages of an older content of a file.
    pub(super) fn mark_stale(&self, ino: Ino) {
        self.stale.lock().insert(ino);
    }

    /// Whether the kernel may have pages of an older content of a file.
    pub(super) fn is_stale(&self, ino: Ino) -> bool {
        self.stale.lock().contains(&ino)
    }

    /// Notes that it will have none from the next answer on.
    pub(super) fn no_longer_stale(&self, ino: Ino) {
        self.stale.lock().remove(&ino);
    }

    /// Remembers what is about to be renamed over.
    pub(super) fn remember_replaced(&self, node: &Node, bytes: Bytes) {
        let node = Node { parent: Ino::NOWHERE, ..node.clone() };
        self.replaced.lock().insert(node.ino, (node, bytes));
    }

    /// Forgets it again.
    pub(super) fn forget_replaced(&self, ino: Ino) {
        self.replaced.lock().remove(&ino);
    }

    /// What was renamed over a moment ago.
    pub(super) fn replaced(&self, ino: Ino) -> Option<(Node, Bytes)> {
        self.replaced.lock().get(&ino).cloned()
    }

    /// Notes that a file lost its name, or was replaced elsewhere. It stays what it is for who has it open.
    pub(super) fn unlink(&self, node: &Node) {
        if let Some(file) = self.get(node.ino) {
            let mut state = file.state.lock();
            state.record.unlinked = true;
            state.record.set_node(node);
            state.keep();
            state.unlinked = Some(Node { parent: Ino::NOWHERE, ..node.clone() });
        }
    }

    /// As [`Self::unlink`], for a file that was replaced elsewhere.
    pub(super) fn supersede(&self, node: &Node) {
        self.unlink(node);
        if let Some(file) = self.get(node.ino) {
            let mut state = file.state.lock();
            state.superseded = true;
            state.record.superseded = true;
            state.keep();
        }
    }

    /// Whether a file that is open was replaced elsewhere.
    pub(super) fn is_superseded(&self, ino: Ino) -> bool {
        self.get(ino).is_some_and(|file| file.state.lock().superseded)
    }

    /// Changes an extended attribute of an open file without a name.
    pub(super) fn set_unlinked_xattr(&self, ino: Ino, name: &[u8], put: Put<'_>) -> std::result::Result<(), Kind> {
        let file = self.get(ino).ok_or(Kind::NotFound)?;
        let mut state = file.state.lock();
        let node = state.unlinked.as_mut().ok_or(Kind::NotFound)?;
        node.xattrs = node.xattrs.with(name, put)?;
        node.ctime = clock::now();
        Ok(())
    }

    /// Sets attributes of an open file without a name.
    pub(super) fn change_unlinked(&self, ino: Ino, set: Attributes) {
        let Some(file) = self.get(ino) else { return };
        let state = &mut *file.state.lock();
        if let Some(node) = &mut state.unlinked {
            node.mode = set.mode.or(node.mode);
            node.owner = set.owner.or(node.owner);
            node.mtime = set.mtime.unwrap_or(node.mtime);
            node.atime = set.atime.unwrap_or(node.atime);
            state.record.set_node(node);
            state.keep();
        }
    }
}
