//! Changes made here: each is one transaction over tree and journal, and then a word to the queue.
//!
//! None of them waits for the network.

use std::sync::Arc;

use rusqlite::Transaction;

use super::WritebackError::Refused;
use super::journal::{self, Gone};
use super::queue::Change;
use super::staging::{Durability, Staging};
use super::temporary::change_of;
use super::{Result, Writeback, WritebackError, made, outgoing, table};
use crate::clock::{self, Timestamp};
use crate::crash;
use crate::error::Kind;
use crate::remote::xattrs::Put;
use crate::state::request;
use crate::tree::local::{self, Attributes, Removal};
use crate::tree::{Base, Effects, Ino, Node, NodeKind, nodes};

/// How often a removal is tried again on a full disk.
const REMOVALS: usize = 2;

/// What a new entry shall be.
#[derive(Debug)]
pub struct NewEntry {
    /// The folder it goes into.
    pub folder: Ino,
    /// Its name: legal, and free in the folder.
    pub name: String,
    /// Folder, file, symbolic link or special file.
    pub kind: NodeKind,
    /// Permission bits; `None`: the mount's default.
    pub mode: Option<u32>,
    /// User and group; `None`: the mount's.
    pub owner: Option<(u32, u32)>,
    /// Target of a symbolic link, or the numbers of a device.
    pub target: Option<String>,
}

impl Writeback {
    /// Makes an entry. A file comes with its staging, open for writing, and is not sent before it is closed.
    /// [`Kind::Exists`] if the name is taken.
    pub fn create(&self, new: NewEntry) -> Result<(Node, Option<Arc<Staging>>)> {
        if !self.state.has_room() {
            return Err(Refused(Kind::DiskFull));
        }
        self.beside.changed();
        let ino = self.tree.new_ino()?;
        let node = new_node(ino, new);
        self.state.write(|tx| {
            if nodes::by_name(tx, node.parent, &node.name)?.is_some() {
                return Err(Refused(Kind::Exists));
            }
            folder(tx, node.parent)?;
            local::create(tx, &node)?;
            made::note(tx, ino, node.ctime)?;
            if ino.0.is_multiple_of(made::SWEPT_EVERY) {
                made::sweep(tx, node.ctime)?;
            }
            match node.kind {
                NodeKind::File => journal::touch_unclosed(tx, ino, self.seqs.next())?,
                _ => journal::touch(tx, ino, self.seqs.next())?,
            }
            request::note(tx)?;
            crash::point("create-not-committed");
            Ok(())
        })?;
        crash::point("created");
        if node.kind == NodeKind::File {
            let staging = self.stagings.create(ino);
            return Ok((node, Some(staging)));
        }
        self.queue.changed(ino);
        Ok((node, None))
    }

    /// Removes the entry of a name, if it is of a sort that `allowed` lets pass; a folder only if it is empty. Says what row is
    /// gone: of a file that has further names that of one of them.
    pub fn remove(
        &self,
        folder: Ino,
        name: &str,
        allowed: impl Fn(&Node) -> std::result::Result<(), Kind>,
    ) -> Result<Node> {
        for _ in 0..REMOVALS {
            match self.try_to_remove(folder, name, &allowed) {
                // That it failed has made some room: this is what the last of the disk is kept for.
                Err(error) if error.kind() == Kind::DiskFull => {}
                result => return result,
            }
        }
        self.try_to_remove(folder, name, &allowed)
    }

    fn try_to_remove(
        &self,
        folder: Ino,
        name: &str,
        allowed: impl FnOnce(&Node) -> std::result::Result<(), Kind>,
    ) -> Result<Node> {
        self.beside.changed();
        let mut effects = Effects::default();
        let gone = self.state.write(|tx| {
            let node = nodes::by_name(tx, folder, name)?.ok_or(Refused(Kind::NotFound))?;
            allowed(&node).map_err(Refused)?;
            let was_there = is_there(tx, &node)?;
            let gone = self.unname(tx, &node)?;
            let is_known = gone.moved.is_some() || gone.removal == Removal::ToTrash;
            if !is_known || !was_there {
                // Only this mount knew it under that name: another of the same name may have it at once.
                self.tree.freed(tx, folder, name, &mut effects)?;
            }
            request::note(tx)?;
            crash::point("remove-not-committed");
            Ok::<_, WritebackError>(gone)
        })?;
        crash::point("removed");
        self.tree.tell(effects);
        self.unnamed(&gone);
        Ok(gone.row)
    }

    pub(super) fn remove_within(&self, tx: &Transaction<'_>, node: &Node) -> Result<Removal> {
        if node.is_folder() && nodes::has_children(tx, node.ino)? {
            return Err(Refused(Kind::NotEmpty));
        }
        let gone = self.trash.decide(tx, node)?;
        let removal = local::remove(tx, node, clock::now())?;
        self.after_removal(tx, node.ino, removal, gone)?;
        Ok(removal)
    }

    /// `gone`: what becomes of it if the drive has it.
    pub(super) fn after_removal(&self, tx: &Transaction<'_>, ino: Ino, removal: Removal, gone: Gone) -> Result<()> {
        table::retire(tx, ino)?;
        let gone = match removal {
            Removal::ToTrash => gone,
            Removal::ToDelete => Gone::Temporary,
            Removal::Forgotten => {
                made::forget(tx, ino)?;
                return Ok(journal::delete(tx, ino)?);
            }
        };
        Ok(journal::touch_gone(tx, ino, self.seqs.next(), gone)?)
    }

    /// After the transaction of a removal. `give_up`: what is under way for it is not wanted any more.
    pub(super) fn removed(&self, ino: Ino, give_up: bool) {
        self.stagings.discard(ino);
        if give_up {
            self.queue.cancel(ino);
        }
        self.queue.changed(ino);
        // It gives its room, so who was refused for want of that need not be any more.
        self.stagings.space.look_again();
    }

    /// Makes all that is sealed survive the loss of power. Blocks on the disk: not for a thread that serves requests.
    pub fn sync_sealed(&self) -> Result<()> {
        self.stagings.sync_sealed()
    }

    /// Sets attributes. Says what the entry is then; `None` if it is gone.
    pub fn set_attributes(&self, ino: Ino, set: Attributes) -> Result<Option<Node>> {
        self.beside.changed();
        let mut change = Change::Other;
        let node = self.state.write::<_, WritebackError>(|tx| {
            let Some(node) = nodes::by_ino(tx, ino)?.filter(Node::is_linked) else { return Ok(None) };
            change = change_of(tx, &node)?;
            let node = local::set_attributes(tx, &node, set, clock::now())?;
            if set.concern_drive() && ino != Ino::ROOT {
                journal::touch(tx, ino, self.seqs.next())?;
            } else if ino == Ino::ROOT {
                // The root of a drive keeps nothing for us.
                nodes::delete_base(tx, ino)?;
            }
            Ok(Some(node))
        })?;
        if set.concern_drive() && ino != Ino::ROOT {
            self.queue.changed_so(ino, change);
        }
        Ok(node)
    }

    /// Changes an extended attribute. [`Kind::NotFound`] if the entry is gone.
    pub fn set_xattr(&self, ino: Ino, name: &[u8], put: Put<'_>) -> Result<()> {
        self.beside.changed();
        let mut change = None;
        self.state.write::<_, WritebackError>(|tx| {
            let node = nodes::by_ino(tx, ino)?.filter(Node::is_linked).ok_or(Refused(Kind::NotFound))?;
            let xattrs = node.xattrs.with(name, put).map_err(Refused)?;
            request::note(tx)?;
            let now = clock::now();
            if xattrs.same(&node.xattrs) {
                // What is as it was is no change to the drive.
                return Ok(nodes::update(tx, &Node { ctime: now, ..node })?);
            }
            change = Some(change_of(tx, &node)?);
            local::set_xattrs(tx, &node, xattrs, now)?;
            Ok(journal::touch(tx, ino, self.seqs.next())?)
        })?;
        if let Some(change) = change {
            self.queue.changed_so(ino, change);
        }
        Ok(())
    }

    /// The staging to write into a file.
    pub fn edit(&self, node: &Node) -> Result<Arc<Staging>> {
        self.stagings.edit(node)
    }

    /// Seals the content of a file: what was written so far is safe from now on, and is sent. Nothing happens if nothing was
    /// written, except that earlier seals are made to survive the loss of power if that is asked for. [`Kind::Stale`] if the
    /// file was removed elsewhere, and cannot be made again by sealing it.
    pub fn seal(&self, ino: Ino, staging: &Arc<Staging>, mtime: Timestamp, durability: Durability) -> Result<()> {
        let before = staging.last_sealed();
        let mut change = Change::Other;
        let sealed = self.stagings.seal(staging, durability, |db, size| {
            let Some(node) = nodes::by_ino(db, ino)?.filter(Node::is_linked) else {
                return if staging.is_discarded() { Ok(None) } else { Err(Refused(Kind::Stale)) };
            };
            // The kernel has seen this change with the write: what it remembers of the file stays right.
            local::rewrite(db, &node, size, mtime, node.ctime.max(mtime.min(clock::now())))?;
            let seq = self.seqs.next();
            journal::touch_content(db, ino, seq)?;
            change = change_of(db, &node)?;
            Ok(Some(seq))
        })?;
        if sealed.is_some() {
            self.beside.changed();
            let grown = staging.last_sealed().filter(|now| now.only_grew(before.as_deref()));
            if let (Some(now), Change::Other) = (grown, change) {
                change = Change::Grown { size: now.size, open: true };
            }
            self.queue.changed_so(ino, change);
        }
        Ok(())
    }

    /// Keeps what was written to a file that is no more, and that nobody has open any more, for whoever wants it.
    pub fn put_aside(&self, path: String, ino: Ino, staging: &Arc<Staging>) -> Result<()> {
        let content = staging.as_it_is();
        let unique = format!("{:x}-{:x}", ino.0, self.seqs.next().0);
        let pieces = content.local_pieces(outgoing::PIECE);
        self.aside.assemble(
            path,
            &unique,
            content.size(),
            pieces,
            "was removed elsewhere while it was being written",
        )?;
        staging.discard();
        Ok(())
    }

    /// Whether an entry has content that is written and not sealed yet.
    pub fn is_edited(&self, ino: Ino) -> bool {
        self.stagings.in_use(ino).is_some_and(|staging| staging.is_dirty())
    }

    /// Tries again to send what could not be sent while somebody had it open. `is_written`: somebody still has it open for
    /// writing.
    pub fn closed(&self, ino: Ino, is_written: bool) {
        if !is_written {
            self.queue.closed(ino);
        }
        if self.queue.attempts(ino) > 0 {
            self.queue.changed(ino);
        }
    }

    /// Goes on sending an entry that has a new number.
    pub fn renumbered(&self, ino: Ino) -> Result<()> {
        if self.is_pending(ino)? {
            self.queue.changed(ino);
        }
        Ok(())
    }

    /// Makes everything that was changed so far survive the loss of power, but for content that is not sealed.
    pub fn sync(&self) -> Result<()> {
        crash::point("folder-not-synced");
        Ok(self.state.write_synced::<_, rusqlite::Error>(|_| Ok(()))?)
    }

    /// Notes what merges found to be sent again, in their transaction.
    pub fn resend(&self, tx: &Transaction<'_>, effects: &Effects) -> rusqlite::Result<()> {
        effects.contents.iter().chain(&effects.shared).try_for_each(|&ino| made::forget(tx, ino))?;
        for &ino in &effects.late {
            // Somebody may have put something into a folder by now.
            let is_folder = nodes::by_ino(tx, ino)?.is_some_and(|node| node.is_folder());
            nodes::set_base(tx, ino, &Base::unsent(false))?;
            journal::touch_gone(tx, ino, self.seqs.next(), if is_folder { Gone::Trash } else { Gone::Delete })?;
        }
        for &ino in &effects.resend {
            if nodes::base(tx, ino)?.is_some_and(|base| base.on_drive.is_none()) {
                // Those were of another item, that is gone.
                journal::end_upload(tx, ino)?;
            }
            let file = nodes::by_ino(tx, ino)?.is_some_and(|node| node.kind == NodeKind::File);
            if file && nodes::base(tx, ino)?.is_some_and(|base| base.on_drive.is_none() && !base.rewritten) {
                // It is being written, and nothing of that is sealed.
                journal::touch_unclosed(tx, ino, self.seqs.next())?;
            } else {
                journal::touch(tx, ino, self.seqs.next())?;
            }
        }
        Ok(())
    }

    /// After that transaction.
    pub fn resent(&self, effects: &Effects) {
        for &ino in effects.resend.iter().chain(&effects.late) {
            self.queue.changed(ino);
        }
    }
}

/// A folder that entries can be put into.
pub(super) fn folder(tx: &Transaction<'_>, ino: Ino) -> Result<Node> {
    let folder = nodes::by_ino(tx, ino)?.filter(Node::is_linked).ok_or(Refused(Kind::NotFound))?;
    if folder.is_folder() { Ok(folder) } else { Err(Refused(Kind::NotADirectory)) }
}

/// Whether the drive has an entry where it is here.
pub(super) fn is_there(tx: &Transaction<'_>, node: &Node) -> Result<bool> {
    let Some(base) = nodes::base(tx, node.ino)? else { return Ok(true) };
    let folder = nodes::by_ino(tx, node.parent)?.and_then(|folder| folder.id);
    Ok(!base.differs(node, folder.as_ref()).place)
}

pub(super) fn new_node(ino: Ino, new: NewEntry) -> Node {
    Node {
        mode: new.mode,
        owner: new.owner,
        size: new.target.as_ref().filter(|_| new.kind == NodeKind::Symlink).map_or(0, |target| target.len() as u64),
        target: new.target,
        // A folder that is made here has nothing in it that is not here.
        listed: new.kind == NodeKind::Folder,
        ..Node::new(ino, new.folder, new.name, new.kind, clock::now())
    }
}
