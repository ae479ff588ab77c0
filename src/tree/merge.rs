//! What the drive tells us, merged into the tree.
//!
//! Works within one transaction of the caller's; collects in [`Effects`] what others have to know of it. See the head of
//! [`crate::tree`] for the rules.

mod gone;
mod newcomer;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rusqlite::Connection;

pub(super) use self::newcomer::{item_of, new_node};
use super::listing::Listed;
use super::{
    Base, Effects, Ino, Listener, NEVER_SEEN, Node, NodeKind, OnDrive, asked, documents, feeds, links, names, nodes,
    unplaced,
};
use crate::clock;
use crate::remote::{Access, Blob, Change, FileId, Item, ItemKind};

/// A merge under way.
#[derive(Debug)]
pub struct Merge<'a> {
    pub(super) db: &'a Connection,
    /// Numbers for new nodes; at least as many as items are merged.
    inos: Range<u64>,
    /// Takes what is kept of the children of a new folder in with it, as long as there are numbers for it.
    adopts: bool,
    /// How many items may still come that want a number, if it adopts.
    to_come: u64,
    /// Folders that are being listed: they take entries although they are not listed yet.
    open_folders: &'a HashSet<Ino>,
    /// Who knows what is being written.
    listener: Option<&'a dyn Listener>,
    /// What was changed.
    pub effects: Effects,
    /// What is new in which folder.
    pub placed: Vec<(Ino, Listed)>,
}

/// How a merge learns of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// From a feed or a listing: only what is newer than what we know counts.
    Heard,
    /// As the answer to our own request: it is what we asked for, merged with what others did.
    Answer,
}

impl<'a> Merge<'a> {
    /// Begins. `inos` must hold a number for each item to come.
    pub fn new(
        db: &'a Connection,
        inos: Range<u64>,
        open_folders: &'a HashSet<Ino>,
        listener: Option<&'a dyn Listener>,
    ) -> Self {
        Self {
            db,
            inos,
            adopts: false,
            to_come: 0,
            open_folders,
            listener,
            effects: Effects::default(),
            placed: Vec::new(),
        }
    }

    /// As [`Self::new`], for so many items; and what is kept of the children of a folder appears with it, if `inos` holds numbers
    /// for that [too](adoptable). Else the folder is to be listed.
    pub fn adopting(
        db: &'a Connection,
        items: usize,
        inos: Range<u64>,
        open_folders: &'a HashSet<Ino>,
        listener: Option<&'a dyn Listener>,
    ) -> Self {
        Self { adopts: true, to_come: items as u64, ..Self::new(db, inos, open_folders, listener) }
    }

    /// The numbers that were not used.
    pub fn unused(&self) -> Range<u64> {
        self.inos.clone()
    }

    /// Whether so many may appear beside the items that are to come.
    fn has_numbers_for(&self, count: u64) -> bool {
        (self.inos.end - self.inos.start).checked_sub(self.to_come).is_some_and(|spare| spare >= count)
    }

    /// An entry of the feed of changes.
    pub fn change(&mut self, change: &Change) -> rusqlite::Result<()> {
        self.to_come = self.to_come.saturating_sub(1);
        match change {
            Change::Present(item) => self.heard(item),
            Change::Removed(id) => self.removed(id),
            // For who asks for the list of drives.
            Change::Drive(_) => Ok(()),
        }
    }

    /// The same, as the feed of a shared drive told it, or that of the account. What is gone from one feed may be in another, which
    /// tells when it goes from there.
    pub fn told(&mut self, feed: Option<&FileId>, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Removed(id) if self.is_of_another(feed, id)? => Ok(()),
            change => self.change(change),
        }
    }

    fn is_of_another(&self, feed: Option<&FileId>, id: &FileId) -> rusqlite::Result<bool> {
        let Some(node) = nodes::by_id(self.db, id)?.filter(Node::is_linked) else { return Ok(false) };
        // Where the drive has it, which may not be where it is here.
        let there = nodes::base(self.db, node.ino)?.and_then(|base| base.on_drive?.parent);
        let there =
            there.map_or(Ok(None), |folder| nodes::by_id(self.db, &folder))?.map_or(node.ino, |folder| folder.ino);
        let drive = nodes::drive_of(self.db, there)?;
        Ok(drive.as_ref() != feed && feeds::is_followed(self.db, drive.as_ref())?)
    }

    /// The current state of an item.
    pub fn heard(&mut self, item: &Item) -> rusqlite::Result<()> {
        if item.trashed && !item.trashed_itself {
            let folder = item.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?;
            if folder.is_some_and(|folder| folder.is_linked()) {
                // It went there with a folder above it. That, or that it came back with it, is told of that folder.
                // What may be done with it there says nothing of here.
                let access = nodes::by_id(self.db, &item.id)?.map_or(Access::UNKNOWN, |node| node.access);
                return self.heard(&Item { trashed: false, access, ..item.clone() });
            }
        }
        match nodes::by_id(self.db, &item.id)? {
            Some(node) if node.version == NEVER_SEEN && !item.trashed && !node.is_linked() => {
                self.effects.late.push(node.ino);
                Ok(())
            }
            // An answer to our own request may have told the version, and not that.
            Some(node) if item.trashed && item.version >= node.version => self.lost(&node, Some(item)),
            // Of a shared drive as a whole the list of drives says what may be done with it.
            Some(node) if item.version == node.version && node.parent == Ino::SHARED_DRIVES => Ok(()),
            Some(node) if item.version == node.version && node.is_linked() => self.allowed(&node, item.access),
            Some(node) if item.version <= node.version => Ok(()),
            Some(node) if !node.is_linked() => self.unlinked(&node, item),
            Some(node) => self.known(node, item, News::Heard),
            None if item.trashed => self.set_aside(item),
            None => {
                let folder = item.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?;
                self.stranger(folder, item, Some(clock::now()))
            }
        }
    }

    /// An item of the listing of `folder`. `seen` are versions that the feed told while the listing was under way.
    pub fn listed(&mut self, folder: &Node, item: &Item, seen: &HashMap<FileId, u64>) -> rusqlite::Result<()> {
        if seen.get(&item.id).is_some_and(|&version| version >= item.version) {
            return Ok(());
        }
        self.to_come = self.to_come.saturating_sub(1);
        match nodes::by_id(self.db, &item.id)? {
            None if item.parent.is_none() || item.parent == folder.id => {
                // A listing may be behind what the feed told.
                let told = unplaced::get(self.db, &item.id)?.filter(|told| told.version > item.version);
                if told.is_some() { Ok(()) } else { self.stranger(Some(folder.clone()), item, None) }
            }
            // Known by its id alone until now: this is its place.
            Some(node) if item.version == node.version && node.is_linked() && nodes::is_held(self.db, &node)? => {
                self.known(node, item, News::Heard)
            }
            known => {
                let is_here = known.filter(|node| node.parent == folder.ino);
                if let Some(node) = is_here {
                    self.placed.push((folder.ino, Listed::of(self.db, &node)?));
                }
                self.heard(item)
            }
        }
    }

    /// What the account may do with a node. Of what lies in a folder a drive does not tell that anything changed with that.
    pub(super) fn allowed(&mut self, node: &Node, access: Access) -> rusqlite::Result<()> {
        if node.access == access {
            return Ok(());
        }
        self.effects.attributes.push(node.ino);
        if node.is_folder() && node.access.is_known() {
            self.effects.attributes.extend(nodes::forget_access(self.db, node.ino)?);
        }
        nodes::set_access(self.db, node.ino, access)
    }

    /// The drive's answer to a request of ours that changed the metadata of `node`. Says whether both sides agree now.
    pub fn answered(&mut self, node: Node, item: &Item) -> rusqlite::Result<bool> {
        let ino = node.ino;
        if item.version >= node.version {
            self.known(node, item, News::Answer)?;
        }
        asked::answered(self.db, &item.id)?;
        self.settle(ino)
    }

    /// As [`Self::answered`], for a request that uploaded content. `newest` if nothing was written here since.
    pub fn uploaded(&mut self, mut node: Node, item: &Item, newest: bool) -> rusqlite::Result<bool> {
        let ino = node.ino;
        if let Some(blob) = blob(item) {
            node.revision = Some(blob.revision.clone());
            node.md5 = blob.md5;
        }
        if newest && let Some(base) = nodes::base(self.db, ino)? {
            nodes::set_base(self.db, ino, &Base { rewritten: false, ..base })?;
        }
        nodes::update(self.db, &node)?;
        self.answered(node, item)
    }

    /// Drops the base of a node if nothing is left to send.
    fn settle(&mut self, ino: Ino) -> rusqlite::Result<bool> {
        let Some(base) = nodes::base(self.db, ino)? else { return Ok(true) };
        let Some(node) = nodes::by_ino(self.db, ino)? else { return Ok(true) };
        if node.kind == NodeKind::Link && links::goal(self.db, &node)?.map(|id| id.0) != node.target {
            // Its file became another item meanwhile.
            nodes::set_base(self.db, ino, &Base { rewritten: true, ..base })?;
            return Ok(false);
        }
        let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
        let agreed = node.is_linked() && !base.rewritten && !base.differs(&node, folder.as_ref()).any();
        if agreed {
            nodes::delete_base(self.db, ino)?;
            self.add_extension(node)?;
        }
        Ok(agreed)
    }

    /// Gives a document that was named here without its extension, which the drive has heard of now, the name that every machine
    /// shows it under.
    fn add_extension(&mut self, node: Node) -> rusqlite::Result<()> {
        let (NodeKind::Document, None, Some(id)) = (node.kind, &node.drive_name, &node.id) else { return Ok(()) };
        let wanted = names::wanted_as(self.db, &node, &node.name)?;
        let name = names::place(self.db, node.parent, wanted.as_deref(), id, node.created, &mut self.effects)?;
        let (folder, old) = (node.parent, node.name.clone());
        self.effects.entries.extend([(folder, old.clone()), (folder, name.clone())]);
        nodes::update(self.db, &Node { name, drive_name: Some(old.clone()), ..node })?;
        names::freed(self.db, folder, &old, &mut self.effects)
    }

    /// A node that was removed here, and of which the drive says that it is there.
    fn unlinked(&mut self, node: &Node, item: &Item) -> rusqlite::Result<()> {
        if item.shared {
            self.effects.shared.push(node.ino);
        }
        if let Some(base) = nodes::base(self.db, node.ino)? {
            // Our removal is still to be sent; it will be sent on top of whatever happened there.
            nodes::set_base(self.db, node.ino, &Base { on_drive: Some(OnDrive::of(item)), ..base })?;
            return nodes::update(self.db, &Node { version: item.version, ..node.clone() });
        }
        // Our removal got through, and somebody took the item out of the trash again: a newcomer.
        nodes::delete(self.db, node.ino)?;
        self.heard(item)
    }

    /// A node whose item has a new state.
    fn known(&mut self, mut node: Node, item: &Item, news: News) -> rusqlite::Result<()> {
        if node.ino == Ino::ROOT || node.parent == Ino::SHARED_DRIVES {
            nodes::update(self.db, &Node { version: item.version, ..node.clone() })?;
            // The list of drives has the name of a drive, and what may be done with it.
            return if node.ino == Ino::ROOT { self.allowed(&node, item.access) } else { Ok(()) };
        }
        let base = nodes::base(self.db, node.ino)?;
        let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
        let mut there = OnDrive::of(item);
        if nodes::is_held(self.db, &node)? {
            node.drive.clone_from(&item.drive);
            if self.reached(item)?.is_none() {
                // Held by its id, it is in no folder of the tree, wherever it is there.
                there.parent = None;
            }
        }
        // What both sides last agreed on. If the drive did not have it, then everything here is ours.
        let agreed = match &base {
            None => OnDrive::of_clean(&node, folder.clone()),
            Some(base) => base.on_drive.clone().unwrap_or_else(|| there.clone()),
        };
        let rewritten = base.as_ref().is_some_and(|base| base.rewritten);
        let asked = asked::get(self.db, &item.id)?;
        let ours = base.as_ref().map(|base| base.differs(&node, folder.as_ref())).unwrap_or_default();
        // What we asked for ourselves is no news, and may have been changed here again since.
        let ours = asked.as_ref().map_or(ours, |asked| ours.or(asked.echoed(&there)));
        let before = node.clone();

        if item.shared {
            self.effects.shared.push(node.ino);
        }
        node.version = item.version;
        node.created = item.created.millis();
        self.allowed(&node, item.access)?;
        node.access = item.access;
        if node.is_folder() {
            // It may be to be listed anew.
            node.listed = nodes::by_ino(self.db, node.ino)?.is_some_and(|node| node.listed);
        }
        if !ours.mode {
            node.mode = there.mode;
        }
        if !ours.owner {
            node.owner = there.owner;
        }
        let asked_for = asked.as_ref().map(|asked| &asked.wanted.xattrs);
        node.xattrs = node.xattrs.merged(&agreed.xattrs, &there.xattrs, asked_for);
        if !ours.mtime && !rewritten && there.mtime.millis() != node.mtime.millis() {
            node.mtime = there.mtime;
        }
        if let Some(blob) = blob(item) {
            if !rewritten && (node.revision.as_ref() != Some(&blob.revision) || node.size != blob.size) {
                node.size = blob.size;
                node.target.clone_from(&item.posix.target);
                if node.revision.as_ref() != Some(&blob.revision) {
                    self.effects.contents.push(node.ino);
                }
            }
            node.revision = Some(blob.revision.clone());
            node.md5 = blob.md5;
        } else if let (NodeKind::Link, ItemKind::Shortcut { target, .. }) = (node.kind, &item.kind) {
            node.target = Some(target.0.clone());
        } else if documents::heard(&mut node, item, news == News::Answer || asked.is_some()) {
            self.effects.contents.push(node.ino);
        }
        if !ours.place && (there.parent != agreed.parent || there.name != agreed.name) {
            match self.new_place(&node, item, &there)? {
                Some((parent, name)) => {
                    if parent != node.parent {
                        node.drive = None;
                    }
                    self.effects.entries.push((node.parent, node.name.clone()));
                    self.effects.entries.push((parent, name.clone()));
                    node.drive_name = (name != item.name).then(|| item.name.clone());
                    (node.parent, node.name) = (parent, name);
                }
                None if !self.has_unsent(&node)? => return self.lost(&before, Some(item)),
                // It went where the tree does not reach, and holds what is not on the drive: it stays here, and comes back.
                None if base.is_none() => {
                    let there = Base { on_drive: Some(there.clone()), rewritten: false, timed: false };
                    nodes::set_base(self.db, node.ino, &there)?;
                    self.effects.resend.push(node.ino);
                }
                None => {}
            }
        }
        if node != before {
            nodes::update(self.db, &node)?;
            self.effects.attributes.push(node.ino);
        }
        if (before.parent, &before.name) != (node.parent, &node.name) {
            names::freed(self.db, before.parent, &before.name, &mut self.effects)?;
        }
        if base.is_none() && asked.is_some() {
            let late = Base { on_drive: Some(there.clone()), rewritten: false, timed: false };
            let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
            if late.differs(&node, folder.as_ref()).any() {
                // It arrived when nobody waited for it any more.
                nodes::set_base(self.db, node.ino, &late)?;
                self.effects.resend.push(node.ino);
            }
        }
        if let Some(base) = base {
            let timed = base.timed && !(news == News::Answer && there.mtime.millis() == node.mtime.millis());
            let left = (agreed.parent != there.parent || agreed.name != there.name) && base.on_drive.is_some();
            nodes::set_base(self.db, node.ino, &Base { on_drive: Some(there), timed, ..base })?;
            if let Some(folder) = agreed.parent.as_ref().filter(|_| left) {
                // Another of the same name may have it now.
                names::vacated(self.db, &node, folder, &agreed.name, &mut self.effects)?;
            }
        }
        names::aged(self.db, node.parent, &node.name, &mut self.effects)
    }

    /// The folder and name that an item moved to; `None` if the tree does not reach there, or does not yet know of a move that
    /// must have come before.
    fn new_place(&mut self, node: &Node, item: &Item, there: &OnDrive) -> rusqlite::Result<Option<(Ino, String)>> {
        let folder = match &there.parent {
            // Held by its id, and it stays so.
            None if nodes::is_held(self.db, node)? => nodes::by_ino(self.db, node.parent)?,
            folder => folder.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?,
        };
        let Some(folder) = folder.filter(|folder| folder.is_folder() && folder.is_linked()) else { return Ok(None) };
        let found_there = !folder.listed && !self.open_folders.contains(&folder.ino);
        if found_there && !self.has_unsent(node)? {
            return Ok(None);
        }
        if node.is_folder() && nodes::is_within(self.db, folder.ino, node.ino)? {
            self.take_back_moves(folder.ino, node.ino)?;
            if nodes::is_within(self.db, folder.ino, node.ino)? {
                return Ok(None);
            }
        }
        let (wanted, created) = (names::wanted(self.db, item)?, item.created.millis());
        let name = names::place(self.db, folder.ino, wanted.as_deref(), &item.id, created, &mut self.effects)?;
        Ok(Some((folder.ino, name)))
    }

    /// The folder of the tree that an item is in there, if the tree reaches so far.
    fn reached(&self, item: &Item) -> rusqlite::Result<Option<Node>> {
        let folder = item.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?;
        let reaches = |folder: &Node| folder.listed || self.open_folders.contains(&folder.ino);
        Ok(folder.filter(|folder| folder.is_folder() && folder.is_linked() && reaches(folder)))
    }
}

/// How many entries may appear with the items of a page, besides those items: what is kept, and what is set aside while the page is
/// merged.
pub(super) fn adoptable(db: &Connection, items: usize) -> rusqlite::Result<usize> {
    Ok(items + gone::MOST_KEPT + usize::try_from(unplaced::count(db)?).unwrap_or(0))
}

/// Which parts of a node are not as the drive has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    /// Name or folder.
    pub place: bool,
    /// Modification time.
    pub mtime: bool,
    /// Permission bits.
    pub mode: bool,
    /// User and group.
    pub owner: bool,
    /// Extended attributes.
    pub xattrs: bool,
}

impl Differences {
    /// Those of either.
    const fn or(self, other: Self) -> Self {
        Self {
            place: self.place || other.place,
            mtime: self.mtime || other.mtime,
            mode: self.mode || other.mode,
            owner: self.owner || other.owner,
            xattrs: self.xattrs || other.xattrs,
        }
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            place: self.place && other.place,
            mtime: self.mtime && other.mtime,
            mode: self.mode && other.mode,
            owner: self.owner && other.owner,
            xattrs: self.xattrs && other.xattrs,
        }
    }

    /// Whether there is any.
    pub const fn any(self) -> bool {
        self.place || self.mtime || self.mode || self.owner || self.xattrs
    }
}

impl Base {
    /// What of `node`, in the folder with the id `folder`, is not as the drive has it. Everything, if it does not have it.
    pub fn differs(&self, node: &Node, folder: Option<&FileId>) -> Differences {
        let Some(there) = &self.on_drive else {
            return Differences { place: true, mtime: true, mode: true, owner: true, xattrs: true };
        };
        Differences {
            place: there.parent.as_ref() != folder || there.name != node.name_on_drive(),
            mtime: match node.kind {
                NodeKind::Folder => self.timed,
                // Of a further name nobody sees the time.
                NodeKind::Link => false,
                _ => there.mtime.millis() != node.mtime.millis(),
            },
            mode: there.mode != node.mode,
            owner: there.owner != node.owner,
            xattrs: !there.xattrs.same(&node.xattrs),
        }
    }
}

fn blob(item: &Item) -> Option<&Blob> {
    match &item.kind {
        ItemKind::File(blob) | ItemKind::Symlink(blob) => Some(blob),
        ItemKind::Folder | ItemKind::Special(_) | ItemKind::Document { .. } | ItemKind::Shortcut { .. } => None,
    }
}

#[cfg(test)]
mod tests;
