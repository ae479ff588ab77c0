//! Reading and writing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle::{Bytes, Caching, Handle, OpenFile, OpenFlags};
use super::{Answer, Fs, FsError, NodeId, Register, Result, permits, signals};
use crate::config::ReadAhead;
use crate::content::Reader;
use crate::error::Kind;
use crate::remote::{Blob, Source};
use crate::state::Version;
use crate::tree::{Ino, Node, NodeKind};
use crate::writeback::{Durability, Room, Staging, WritebackError};

/// How often an opening is tried again because the file was replaced elsewhere at the same moment.
const TRIES: usize = 10;

/// How long what was renamed over is still found by its number: much longer than from a lookup to the open that follows it.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What comes of opening a file without waiting.
#[derive(Debug)]
pub(super) enum Opening {
    /// It is open.
    Open(u64, Arc<Handle>, Caching),
    /// It is a document, as it is now, of which there is no export.
    Unexported(Box<Node>),
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A program, which waits for the answer.
    Program,
    /// The kernel, from pages that programs mapped.
    Kernel,
}

impl Fs {
    /// `open`, of what is not just being replaced.
    pub(super) fn open_unchanged(
        self: &Arc<Self>,
        id: NodeId,
        flags: OpenFlags,
        register: Register<'_>,
    ) -> Answer<(u64, Caching)> {
        let again = self.sent_away.is_again(flags.thread);
        let opened = match self.open_now(id, flags, again, Some(register)) {
            Ok(Opening::Open(number, _, caching)) => Ok((number, caching)),
            Ok(Opening::Unexported(node)) => return self.open_document(id, node, flags, again),
            Err(error) => Err(error),
        };
        if opened.as_ref().is_err_and(|error| error.kind() == Kind::Stale) {
            self.sent_away.told(flags.thread);
        }
        Answer::Now(opened)
    }

    /// Opens what can be opened without the network. `again`: whoever opens it was just told that another number is stale, and has
    /// found this one when they looked the name up again; the kernel does that once. `register`: if the kernel can be told of files.
    pub(super) fn open_now(
        &self,
        id: NodeId,
        flags: OpenFlags,
        again: bool,
        register: Option<Register<'_>>,
    ) -> Result<Opening> {
        if flags.write {
            self.writable()?;
        }
        if let Err(stale) = self.must_be_current(id.ino()) {
            // What it was when they looked is not older than their call, and others have it open: so they can, too.
            let is_late = again && !flags.write;
            let heard = self.heard_so_far(id.ino());
            let (number, handle) = is_late.then(|| self.files.reopen(id.ino(), flags, heard)).flatten().ok_or(stale)?;
            return self.opened(number, handle, Caching::Keep);
        }
        let version = self.tree.version();
        let node = self.node(id.ino())?;
        match node.kind {
            NodeKind::Folder if flags.write => return Err(Kind::IsADirectory.into()),
            NodeKind::Symlink | NodeKind::Special(_) | NodeKind::Shortcut | NodeKind::Link => {
                return Err(Kind::Invalid.into());
            }
            NodeKind::Document if flags.write => return Err(Kind::Denied.into()),
            _ => {}
        }
        if flags.write {
            permits::may_write(&node)?;
        }
        self.tree.used(node.ino);
        let register = register.filter(|_| !flags.write);
        let opening = self.open_node(node, version, flags, again, register)?;
        Ok(opening)
    }

    /// [`Kind::Stale`] for a number whose file was replaced elsewhere: it belongs to who has it open. The kernel looks the name up
    /// again then, and finds the number that it means now.
    pub(super) fn must_be_current(&self, ino: Ino) -> Result<()> {
        if self.files.is_superseded(ino) { Err(Kind::Stale.into()) } else { Ok(()) }
    }

    /// Opens a node as it was at a version of the tree; `again` and `register` as above.
    fn open_node(
        &self,
        mut node: Node,
        mut version: Option<Version>,
        flags: OpenFlags,
        again: bool,
        register: Option<Register<'_>>,
    ) -> Result<Opening> {
        for _ in 0..TRIES {
            if let Some((old, bytes)) = self.files.replaced(node.ino).filter(|_| !node.is_linked()) {
                let (number, handle) = self.files.open(&old, flags, bytes, None, self.heard_so_far(old.ino));
                self.files.unlink(&old);
                return self.opened(number, handle, self.caching(old.ino));
            }
            let Some(bytes) = self.bytes(&node)? else { return Ok(Opening::Unexported(Box::new(node))) };
            let passed = register.and_then(|register| self.pass(&node, &bytes, register));
            let (number, handle) = self.files.open(&node, flags, bytes, passed, self.heard_so_far(node.ino));
            // A merge that replaces the content looks, after its commit, who has the file open. We look at the node, after
            // having it open. So one of us sees the other.
            let (is_same, seen) = (version.is_some() && version == self.tree.version(), self.tree.version());
            let now = if is_same { Ok(node.clone()) } else { self.node(node.ino) };
            let now = now.and_then(|now| self.go_on_staged(node.ino).map(|()| now));
            let now = now.inspect_err(|_| self.close_unanswered(number, node.ino))?;
            let bytes = handle.file.bytes();
            let reads_another = match &bytes {
                Bytes::Revision(reader) => now.revision.as_ref() != Some(&reader.source().blob.revision),
                Bytes::Exported(whole) => now.revision.as_ref() != Some(whole.revision()),
                Bytes::Staged(_) | Bytes::Text(_) => false,
            };
            let caching = self.caching(node.ino);
            let keeps_none_old = matches!(caching, Caching::Drop) && handle.file.passed().is_none();
            if keeps_none_old && !reads_another && !matches!(bytes, Bytes::Staged(_)) {
                // From here on the kernel's pages are of what the drive has. Who shares an older content with others leaves this to
                // who comes after them all.
                self.files.no_longer_stale(node.ino);
            }
            let others_write = !handle.file.is_only_read(u32::from(flags.write));
            // Replaced just now. Who was sent away before reads what it was when they came: the kernel sends nobody away twice.
            let is_late = again && !handle.write && self.files.is_shared(node.ino);
            if !reads_another || others_write || !now.is_linked() || is_late {
                return self.opened(number, handle, caching);
            }
            self.close_unanswered(number, node.ino);
            (node, version) = (now, seen);
            if self.files.get(node.ino).is_some() {
                // Others read the old content under this number, and the kernel has pages of it. Theirs is the number from now
                // on; ours is another, under which the kernel will find the name when it looks it up again.
                self.replace_open(node.ino)?;
                return Err(Kind::Stale.into());
            }
        }
        Err(Kind::Busy.into())
    }

    /// What the kernel may keep of a file, by what is known at this moment.
    pub(super) fn caching(&self, ino: Ino) -> Caching {
        if self.files.is_stale(ino) { Caching::Drop } else { Caching::Keep }
    }

    /// What comes of a handle: as all others of its file, or nothing, if they cannot have it in the same way.
    fn opened(&self, number: u64, handle: Arc<Handle>, caching: Caching) -> Result<Opening> {
        let Some(passed) = handle.file.passed() else { return Ok(Opening::Open(number, handle, caching)) };
        if !handle.write {
            let caching = Caching::Passthrough(passed.backing.clone());
            return Ok(Opening::Open(number, handle, caching));
        }
        let ino = handle.file.ino;
        drop(handle);
        self.files.release(number);
        let given_way = self.give_way_to_writer(ino);
        self.files.forget(ino);
        Err(given_way.err().unwrap_or(Kind::Stale.into()))
    }

    /// Closes what was opened and is not told to the kernel.
    fn close_unanswered(&self, number: u64, ino: Ino) {
        self.files.release(number);
        self.files.forget(ino);
    }

    /// Lets who reads a file as the drive has it go on with its staging, if it got one while they have it open: it was renamed over
    /// another, whose identity it has now, and the item that they read goes.
    pub(super) fn go_on_staged(&self, ino: Ino) -> Result<()> {
        if let Some(file) = self.files.get(ino).filter(|file| !file.is_unlinked() && file.staging().is_none())
            && let Some(staging) = self.writeback.unsent(ino)?
        {
            file.stage(staging);
        }
        Ok(())
    }

    /// What the bytes of a file are that nobody has open; `None` for a document that is to be exported first.
    fn bytes(&self, node: &Node) -> Result<Option<Bytes>> {
        if node.export_format().is_some() {
            // Who has it open has one, whatever became of the name since.
            let open = self.files.get(node.ino).map(|file| file.bytes());
            let open = open.filter(|bytes| matches!(bytes, Bytes::Exported(_)));
            return Ok(open.or_else(|| self.export_at_hand(node).map(Bytes::Exported)));
        }
        if let (NodeKind::Document, Some(text)) = (node.kind, &node.target) {
            return Ok(Some(Bytes::Text(text.as_str().into())));
        }
        let mut node = node.clone();
        for _ in 0..TRIES {
            if let Some(staging) = self.writeback.unsent(node.ino)? {
                return Ok(Some(Bytes::Staged(staging)));
            }
            if let Some(reader) = self.reader(&node) {
                return Ok(Some(Bytes::Revision(reader)));
            }
            // Sent between the two looks: by now it has a revision.
            node = self.node(node.ino)?;
        }
        Err(Kind::Busy.into())
    }

    pub(super) fn reader(&self, node: &Node) -> Option<Arc<Reader>> {
        Some(self.content.open(&Self::source(node)?))
    }

    /// The content that the drive has of a file.
    pub(super) fn source(node: &Node) -> Option<Source> {
        let (id, revision) = (node.id.clone()?, node.revision.clone()?);
        Some(Source { id, blob: Blob { size: node.size, md5: node.md5, revision } })
    }

    /// Remembers for a moment what is about to be renamed over: somebody may have found it by its name just now, and opens it
    /// next. They shall read the old content then, as they would the new one had they come later.
    pub(super) fn remember_replaced(self: &Arc<Self>, target: &Node) -> Result<Option<Ino>> {
        if target.kind != NodeKind::File {
            return Ok(None);
        }
        let ino = target.ino;
        let bytes = match self.files.get(ino) {
            Some(file) => Some(file.bytes()),
            None => self.bytes(target)?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        self.files.remember_replaced(target, bytes);
        let (fs, target) = (Arc::downgrade(self), target.clone());
        self.runtime.spawn(async move {
            tokio::time::sleep(REMEMBERED).await;
            if let Some(fs) = fs.upgrade() {
                fs.files.forget_replaced(ino);
                fs.give_back(&target);
            }
        });
        Ok(Some(ino))
    }

    /// `read`.
    pub fn read(self: &Arc<Self>, handle: u64, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let Some(handle) = self.files.handle(handle) else { return Answer::err(Kind::BadHandle) };
        let range = offset..offset.saturating_add(u64::from(size));
        match handle.file.bytes() {
            Bytes::Text(text) => {
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                Answer::Now(Ok(text.as_bytes()[at(range.start)..at(range.end)].to_vec()))
            }
            Bytes::Exported(whole) => match whole.read(range) {
                Ok(bytes) => Answer::Now(Ok(bytes)),
                Err(error) => self.not_read(handle.file.ino, Kind::of_io(&error).into()),
            },
            Bytes::Staged(staging) => match staging.read_now(range.clone()) {
                Ok(Some(bytes)) => Answer::Now(Ok(bytes)),
                Ok(None) => self.wait_to_read(handle.file.ino, async move { Ok(staging.read(range).await?) }),
                Err(error) => self.not_read(handle.file.ino, error.into()),
            },
            Bytes::Revision(reader) => {
                let reads_ahead = self.options.read_ahead != ReadAhead::None;
                let now = reader.read_on(&handle.session, range.clone(), reads_ahead);
                if handle.is_fresh.swap(false, Ordering::Relaxed) {
                    self.ahead.read(&handle.file, reader.source().blob.size, matches!(now, Ok(Some(_))));
                }
                match now {
                    Ok(Some(bytes)) => Answer::Now(Ok(bytes)),
                    Ok(None) => {
                        let read = async move { reader.read(range).await.map_err(FsError::of_read) };
                        self.wait_to_read(handle.file.ino, read)
                    }
                    Err(error) => self.not_read(handle.file.ino, FsError::of_read(error)),
                }
            }
        }
    }

    /// The answer to a read that has to wait.
    fn wait_to_read(
        self: &Arc<Self>,
        ino: Ino,
        future: impl Future<Output = Result<Vec<u8>>> + Send + 'static,
    ) -> Answer<Vec<u8>> {
        let fs = Arc::clone(self);
        Answer::later(async move {
            let read = future.await;
            match &read {
                Ok(_) => fs.failures.was_read(ino),
                Err(error) => fs.note_unread(ino, error),
            }
            read
        })
    }

    fn not_read<T>(&self, ino: Ino, error: FsError) -> Answer<T> {
        self.note_unread(ino, &error);
        Answer::Now(Err(error))
    }

    /// `write`, by a thread, or by the kernel itself from pages that were mapped. If there is no room for more that is not on the
    /// drive, the answer waits until there is. (The kernel itself is not made to wait: it sends so many requests at one time and no
    /// more, those of readers among them.)
    pub fn write(self: &Arc<Self>, handle: u64, thread: u32, offset: u64, bytes: &[u8], by: Writer) -> Answer<()> {
        match self.begin_write(handle, bytes, by) {
            Ok((handle, Room::Free)) => self.put(&handle, thread, offset, bytes).into(),
            Ok((handle, Room::Late)) => match self.put(&handle, thread, offset, bytes) {
                Ok(()) => {
                    let fs = Arc::clone(self);
                    Answer::in_its_time(async move {
                        fs.writeback.wait_for_room(|| fs.has_enough(thread)).await;
                        Ok(())
                    })
                }
                Err(error) => self.failed(handle.file.ino, error),
            },
            Ok((handle, Room::None(kept))) => {
                let (fs, bytes) = (Arc::clone(self), bytes.to_vec());
                Answer::in_its_time(async move {
                    let _kept = kept;
                    let room = fs.writeback.wait_to_write(bytes.len(), || fs.has_enough(thread)).await;
                    let written = room.map_err(FsError::from).and_then(|()| fs.put(&handle, thread, offset, &bytes));
                    written.inspect_err(|error| fs.failures.note(handle.file.ino, &error.to_string()))
                })
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    /// The handle of a write, and what it finds.
    fn begin_write(&self, handle: u64, bytes: &[u8], by: Writer) -> Result<(Arc<Handle>, Room)> {
        self.writable()?;
        let handle = self.files.handle(handle).filter(|handle| handle.write).ok_or(Kind::BadHandle)?;
        if by == Writer::Program {
            // What was mapped is written already, as its program sees it, and is kept.
            self.refusal(&handle)?;
            let counts = |_: &WritebackError| !handle.file.is_unlinked() && !self.is_in_shared_drive(handle.file.ino);
            if let Some(error) = self.writeback.full(bytes.len() as u64).filter(counts) {
                return Err(error.into());
            }
        }
        let room = self.writeback.room(bytes.len(), by == Writer::Program)?;
        Ok((handle, room))
    }

    fn put(&self, handle: &Handle, thread: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let staging = self.stage(&handle.file)?;
        self.writeback.write(&staging, offset, bytes)?;
        handle.file.written();
        handle.owners.add(thread);
        Ok(())
    }

    /// Whether who waits is not to wait any longer: they are told to end, or the mount ends.
    pub(super) fn has_enough(&self, thread: u32) -> bool {
        self.closing.load(Ordering::Relaxed) || signals::is_to_end(thread)
    }

    /// The staging of an open file; from now on it is one that is written.
    pub(super) fn stage(&self, file: &Arc<OpenFile>) -> Result<Arc<Staging>> {
        if let Some(staging) = file.staging() {
            return Ok(staging);
        }
        let mut node = self.node(file.ino)?;
        if let Bytes::Revision(reader) = file.bytes() {
            // What its readers see is what the edit begins from, even if the drive has moved on since.
            let Source { id, blob } = reader.source().clone();
            node = Node { id: Some(id), size: blob.size, md5: blob.md5, revision: Some(blob.revision), ..node };
        }
        let staging = self.writeback.edit(&node)?;
        file.stage(Arc::clone(&staging));
        Ok(staging)
    }

    /// `truncate`, of a file that may be open or not.
    pub(super) fn truncate(&self, node: &Node, size: u64) -> Result<()> {
        match node.kind {
            NodeKind::File => {}
            NodeKind::Folder => return Err(Kind::IsADirectory.into()),
            NodeKind::Symlink | NodeKind::Special(_) | NodeKind::Shortcut | NodeKind::Link => {
                return Err(Kind::Invalid.into());
            }
            NodeKind::Document => return Err(Kind::Denied.into()),
        }
        let flags = OpenFlags { write: true, thread: 0 };
        let Opening::Open(number, handle, _) = self.open_node(node.clone(), None, flags, false, None)? else {
            return Err(Kind::Denied.into());
        };
        let resized = self.stage(&handle.file).and_then(|staging| Ok(self.writeback.resize(&staging, size)?));
        handle.file.written();
        let released = if handle.file.is_written_by_others() {
            // They seal it when they close it: to them this may be a step on the way to something whole.
            self.files.release(number);
            self.files.forget(node.ino);
            Ok(())
        } else {
            self.release(number)
        };
        resized.and(released)
    }

    /// `close` of one of the descriptors of a handle, by a thread: what was written so far is safe here from now on, if it is a
    /// thread of somebody who has to do with it.
    pub fn flush(&self, handle: u64, thread: u32) -> Result<()> {
        let handle = self.files.handle(handle).ok_or(Kind::BadHandle)?;
        if !(handle.write && handle.owners.include(thread)) {
            return Ok(());
        }
        // What was written is safe here in any case; then what the drive says of it.
        self.seal(&handle.file, Durability::Process)?;
        self.refusal(&handle)?;
        self.drive_has_room(&handle)
    }

    /// The last use of a handle ended.
    pub fn release(&self, handle: u64) -> Result<()> {
        let Some(handle) = self.files.release(handle) else { return Err(Kind::BadHandle.into()) };
        // Again: pages that were mapped are written after `close`.
        let sealed = if handle.write { self.seal(&handle.file, Durability::Process) } else { Ok(()) };
        if let Err(error) = &sealed
            && error.kind() == Kind::Stale
            && let Some(staging) = handle.file.staging()
        {
            // Removed elsewhere, so nothing can be sent; the error was said, and the bytes are kept.
            self.writeback.put_aside(handle.file.name.clone(), handle.file.ino, &staging)?;
        }
        if sealed.is_ok() || handle.file.staging().is_some_and(|staging| staging.is_discarded()) {
            if let Some(staging) = handle.file.staging().filter(|_| handle.file.is_unlinked()) {
                staging.discard();
            }
            self.files.forget(handle.file.ino);
            let (ino, removed) = (handle.file.ino, handle.file.unlinked());
            if self.files.is_stale(ino) {
                self.is_telling();
            }
            // With the last user of its content.
            drop(handle);
            if let Some(node) = removed {
                self.give_back(&node);
            }
            self.writeback.closed(ino, self.files.get(ino).is_some_and(|file| file.is_written()));
            if self.files.get(ino).is_none() && self.files.is_stale(ino) {
                // Whoever opens it next reads what the drive has now.
                self.revoke.content(ino.into());
            }
        }
        // Else the file stays among the open ones, and is sealed by `seal_open` as soon as that is possible.
        sealed
    }

    /// Seals what was written to an open file.
    pub(super) fn seal(&self, file: &Arc<OpenFile>, durability: Durability) -> Result<()> {
        let Some(staging) = file.staging() else {
            return if durability == Durability::PowerLoss { Ok(self.writeback.sync()?) } else { Ok(()) };
        };
        if file.is_unlinked() {
            // It ends with its last handle. But who began to write it at the moment in which it was replaced elsewhere removed nothing,
            // and is told that this cannot be sent.
            let is_lost = self.files.is_superseded(file.ino) && staging.is_dirty() && !staging.is_discarded();
            return if is_lost { Err(Kind::Stale.into()) } else { Ok(()) };
        }
        let mtime = file.mtime();
        let sealed = self.writeback.seal(file.ino, &staging, mtime, durability);
        if let Err(error) = sealed {
            self.failures.note(file.ino, &error.to_string());
            return Err(error.into());
        }
        file.sealed(mtime);
        Ok(())
    }

    /// Seals what is written and not closed, so that it is sent too; and forgets files that nobody has open any more.
    pub fn seal_open(&self) {
        self.seal_open_for(Duration::ZERO);
    }

    /// As [`Self::seal_open`], of what has been written for so long, and is not just being saved.
    pub fn seal_open_for(&self, age: Duration) {
        let is_save = |file: &OpenFile| file.staging().is_some_and(|staging| staging.is_save(age));
        let due = |file: &Arc<OpenFile>| file.unsealed_for() >= Some(age) && (age.is_zero() || !is_save(file));
        for file in self.files.all().into_iter().filter(due) {
            match self.seal(&file, Durability::Process) {
                Ok(()) => self.files.forget(file.ino),
                Err(error) => {
                    let path = self.tree.path(file.ino).unwrap_or_default();
                    tracing::error!(path, %error, "written content could not be put into the journal; trying again");
                    file.not_sealed();
                }
            }
        }
    }

    /// The files that were written and are in no journal yet, with the bytes of each.
    pub fn unsealed(&self) -> Vec<(Ino, u64)> {
        let unsealed = |file: Arc<OpenFile>| {
            let staging = file.staging().filter(|staging| staging.is_dirty())?;
            Some((file.ino, staging.size()))
        };
        self.files.all().into_iter().filter_map(unsealed).collect()
    }

    pub(super) fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        ino: Ino,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Answer<T> {
        let fs = Arc::clone(self);
        Answer::later(async move {
            let result = future.await;
            if let Err(error) = &result {
                fs.failures.note(ino, &error.to_string());
            }
            result
        })
    }

    fn failed<T>(&self, ino: Ino, error: super::FsError) -> Answer<T> {
        self.failures.note(ino, &error.to_string());
        Answer::Now(Err(error))
    }
}
