//! What the drive tells us, merged into the tree.
//!
//! Works within one transaction of the caller's; collects in [`Effects`] what others have to know of it. See the head of
//! [`crate::tree`] for the rules.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rusqlite::{Connection, params};

use super::{Base, Effects, Ino, Listener, NEVER_SEEN, Node, NodeKind, OnDrive, asked, names, nodes};
use crate::clock;
use crate::remote::{Blob, Change, FileId, Item, ItemKind};

/// A merge under way.
#[derive(Debug)]
pub struct Merge<'a> {
    db: &'a Connection,
    /// Numbers for new nodes; at least as many as items are merged.
    inos: Range<u64>,
    /// Folders that are being listed: they take entries although they are not listed yet.
    open_folders: &'a HashSet<Ino>,
    /// Who knows what is being written.
    listener: Option<&'a dyn Listener>,
    /// What was changed.
    pub effects: Effects,
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
        Self { db, inos, open_folders, listener, effects: Effects::default() }
    }

    /// An entry of the feed of changes.
    pub fn change(&mut self, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Present(item) => self.heard(item),
            Change::Removed(id) => self.removed(id),
        }
    }

    /// The current state of an item.
    pub fn heard(&mut self, item: &Item) -> rusqlite::Result<()> {
        match nodes::by_id(self.db, &item.id)? {
            Some(node) if node.version == NEVER_SEEN && !item.trashed && !node.is_linked() => {
                self.effects.late.push(node.ino);
                Ok(())
            }
            // An answer to our own request may have told the version, and not that.
            Some(node) if item.trashed && item.version >= node.version => self.lost(&node, Some(item.version)),
            Some(node) if item.version <= node.version => Ok(()),
            Some(node) if !node.is_linked() => self.unlinked(&node, item),
            Some(node) => self.known(node, item, News::Heard),
            None if item.trashed => Ok(()),
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
        match nodes::by_id(self.db, &item.id)? {
            None if item.parent.is_none() || item.parent == folder.id => {
                self.stranger(Some(folder.clone()), item, None)
            }
            _ => self.heard(item),
        }
    }

    /// An item that was deleted for good, or is not ours to see any more.
    fn removed(&mut self, id: &FileId) -> rusqlite::Result<()> {
        match nodes::by_id(self.db, id)? {
            Some(node) => self.lost(&node, None),
            None => Ok(()),
        }
    }

    /// A node that a whole listing of its folder did not have. No news if it is not on the drive yet.
    pub fn missing(&mut self, node: &Node) -> rusqlite::Result<()> {
        if nodes::base(self.db, node.ino)?.is_some() { Ok(()) } else { self.lost(node, None) }
    }

    /// Puts a node that was removed here back to where the drive has it.
    pub fn restore(&mut self, node: &Node, there: Option<&OnDrive>) -> rusqlite::Result<()> {
        nodes::delete_base(self.db, node.ino)?;
        let folder = there.and_then(|there| there.parent.as_ref());
        let folder = folder.map_or(Ok(None), |id| nodes::by_id(self.db, id))?.filter(Node::is_linked);
        let (Some(folder), Some(there), Some(id)) = (folder, there, &node.id) else {
            // It will be found when its folder is.
            return nodes::delete(self.db, node.ino);
        };
        let name = names::place(self.db, folder.ino, &there.name, id, node.created, &mut self.effects)?;
        let drive_name = (name != there.name).then(|| there.name.clone());
        self.effects.entries.push((folder.ino, name.clone()));
        self.effects.attributes.push(folder.ino);
        nodes::update(self.db, &Node { parent: folder.ino, name, drive_name, listed: false, ..node.clone() })?;
        names::aged(self.db, folder.ino, &there.name, &mut self.effects)
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
        let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
        let agreed = node.is_linked() && !base.rewritten && !base.differs(&node, folder.as_ref()).any();
        if agreed {
            nodes::delete_base(self.db, ino)?;
        }
        Ok(agreed)
    }

    /// An item that is not in the tree. `arrived` if it came into the folder just now, rather than was there before; of a folder
    /// that is being listed for the first time nobody was told yet what is in it, or what is not.
    fn stranger(
        &mut self,
        folder: Option<Node>,
        item: &Item,
        arrived: Option<clock::Timestamp>,
    ) -> rusqlite::Result<()> {
        let takes = |folder: &Node| {
            folder.is_folder() && folder.is_linked() && (folder.listed || self.open_folders.contains(&folder.ino))
        };
        let Some(folder) = folder.filter(takes) else {
            // Its folder was never listed: it will be found there.
            return Ok(());
        };
        let wanted = names::wanted(item);
        let created = item.created.millis();
        let name = names::place(self.db, folder.ino, &wanted, &item.id, created, &mut self.effects)?;
        let ino = Ino(self.inos.next().expect("a number for each item was reserved"));
        nodes::insert(self.db, &new_node(ino, folder.ino, name.clone(), item))?;
        if let Some(now) = arrived {
            names::aged(self.db, folder.ino, &wanted, &mut self.effects)?;
            self.effects.entries.push((folder.ino, name));
            // Programs that watch a folder's time (Python's importer does) must see that it changed.
            nodes::touch_folder(self.db, folder.ino, now)?;
            self.effects.attributes.push(folder.ino);
        }
        Ok(())
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
        if node.ino == Ino::ROOT {
            return nodes::update(self.db, &Node { version: item.version, ..node });
        }
        let base = nodes::base(self.db, node.ino)?;
        let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
        let there = OnDrive::of(item);
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
        if !ours.mode {
            node.mode = there.mode;
        }
        if !ours.owner {
            node.owner = there.owner;
        }
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
        }
        if !ours.place && (there.parent != agreed.parent || there.name != agreed.name) {
            match self.new_place(&node, item)? {
                Some((parent, name)) => {
                    self.effects.entries.push((node.parent, node.name.clone()));
                    self.effects.entries.push((parent, name.clone()));
                    node.drive_name = (name != item.name).then(|| item.name.clone());
                    (node.parent, node.name) = (parent, name);
                }
                None if !self.has_unsent(&node)? => return self.lost(&before, Some(item.version)),
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
                names::vacated(self.db, folder, &agreed.name, &mut self.effects)?;
            }
        }
        names::aged(self.db, node.parent, &node.name, &mut self.effects)
    }

    /// The folder and name that an item moved to; `None` if the tree does not reach there, or does not yet know of a move that
    /// must have come before.
    fn new_place(&mut self, node: &Node, item: &Item) -> rusqlite::Result<Option<(Ino, String)>> {
        let folder = item.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?;
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
        let wanted = names::wanted(item);
        let name = names::place(self.db, folder.ino, &wanted, &item.id, item.created.millis(), &mut self.effects)?;
        Ok(Some((folder.ino, name)))
    }

    /// Takes back moves that are not sent, of the folders from `from` up to below `to`: the drive would refuse them, since it has
    /// moved `to` below what they were to move into it.
    fn take_back_moves(&mut self, from: Ino, to: Ino) -> rusqlite::Result<()> {
        let mut at = from;
        while at != to {
            let Some(node) = nodes::by_ino(self.db, at)?.filter(Node::is_linked) else { return Ok(()) };
            at = node.parent;
            self.take_back_move(&node, None)?;
        }
        Ok(())
    }

    /// Puts a node that was moved here, and not there yet, back to where the drive has it, unless that is within `lost`. Says
    /// whether it did.
    fn take_back_move(&mut self, node: &Node, lost: Option<Ino>) -> rusqlite::Result<bool> {
        let there = nodes::base(self.db, node.ino)?.and_then(|base| base.on_drive);
        let (Some(there), Some(id)) = (there, &node.id) else { return Ok(false) };
        let home = there.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?.filter(Node::is_linked);
        let Some(home) = home.filter(|home| home.is_folder() && home.ino != node.parent) else { return Ok(false) };
        for outside in [Some(node.ino), lost].into_iter().flatten() {
            if nodes::is_within(self.db, home.ino, outside)? {
                return Ok(false);
            }
        }
        let name = names::place(self.db, home.ino, &there.name, id, node.created, &mut self.effects)?;
        let drive_name = (name != there.name).then(|| there.name.clone());
        self.effects.entries.push((node.parent, node.name.clone()));
        self.effects.entries.push((home.ino, name.clone()));
        nodes::update(self.db, &Node { parent: home.ino, name, drive_name, ..node.clone() })?;
        names::freed(self.db, node.parent, &node.name, &mut self.effects)?;
        names::aged(self.db, home.ino, &there.name, &mut self.effects)?;
        Ok(true)
    }

    /// Whether a node or anything in it is not as the drive has it, or is just being written.
    fn has_unsent(&self, node: &Node) -> rusqlite::Result<bool> {
        let mut below = self.db.prepare_cached(
            "WITH RECURSIVE below (ino) AS (
                 SELECT ?1
                 UNION ALL
                 SELECT node.ino FROM node JOIN below ON node.parent = below.ino
             )
             SELECT below.ino, base.ino IS NOT NULL FROM below LEFT JOIN base ON base.ino = below.ino",
        )?;
        let mut rows = below.query([node.ino])?;
        while let Some(row) = rows.next()? {
            let (ino, has_base): (Ino, bool) = (row.get(0)?, row.get(1)?);
            if has_base || self.listener.is_some_and(|listener| listener.is_edited(ino)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A node that is gone from the drive, with all that is in it. What was not sent yet survives, and its folders with it.
    fn lost(&mut self, top: &Node, version: Option<u64>) -> rusqlite::Result<()> {
        if top.ino == Ino::ROOT {
            tracing::warn!(
                "the folder that is the root of this mount was removed elsewhere; what is saved here waits until it is restored"
            );
            return Ok(());
        }
        if !top.is_linked() {
            // Removed here too. If our removal is not sent yet it will find nothing to do; else the tombstone has served.
            if let Some(version) = version {
                nodes::update(self.db, &Node { version, ..top.clone() })?;
            }
            return Ok(());
        }
        let survivors = self.survivors(top)?;
        tracing::debug!(name = top.name, ino = top.ino.0, id = ?top.id, known = top.version, version, "merge: it is gone");
        let mut stack = vec![top.clone()];
        let mut freed = Vec::new();
        while let Some(node) = stack.pop() {
            let survives = survivors.contains(&node.ino);
            let moved = !survives && node.ino != top.ino && self.take_back_move(&node, Some(top.ino))?;
            if moved {
                // Put into it here, and not there yet: it did not go with it.
                continue;
            }
            if node.is_folder() {
                stack.extend(nodes::children(self.db, node.ino)?);
            }
            if survives {
                self.recreate(node)?;
            } else {
                nodes::delete(self.db, node.ino)?;
                // Below an entry that the kernel drops there is nothing left to drop.
                if node.ino == top.ino || survivors.contains(&node.parent) {
                    freed.push((node.parent, node.name.clone()));
                    self.effects.entries.push((node.parent, node.name));
                }
            }
        }
        for (folder, name) in freed {
            names::freed(self.db, folder, &name, &mut self.effects)?;
        }
        if !survivors.contains(&top.ino) {
            nodes::touch_folder(self.db, top.parent, clock::now())?;
            self.effects.attributes.push(top.parent);
        }
        Ok(())
    }

    /// Makes a node that the drive lost into one that it does not have yet.
    fn recreate(&mut self, node: Node) -> rusqlite::Result<()> {
        let base = nodes::base(self.db, node.ino)?;
        // A tag in its name came from the id that it loses: from now on it is a part of the name, on every machine.
        let drive_name = names::on_drive(&node, &node.name);
        if base.as_ref().is_some_and(|base| base.on_drive.is_none()) {
            // If it was made there a moment ago, that went with the rest, and so did what was being sent for it.
            self.effects.resend.push(node.ino);
            return nodes::update(self.db, &Node { id: None, version: 0, drive_name, ..node });
        }
        let rewritten = base.is_some_and(|base| base.rewritten);
        nodes::set_base(self.db, node.ino, &Base::unsent(rewritten))?;
        self.effects.resend.push(node.ino);
        nodes::update(self.db, &Node { id: None, version: 0, drive_name, revision: None, md5: None, ..node })
    }

    /// Of a node and all in it, those that hold what the drive does not have, and the folders on the way to them.
    fn survivors(&self, node: &Node) -> rusqlite::Result<HashSet<Ino>> {
        let mut statement = self.db.prepare_cached(
            "WITH RECURSIVE below (ino, parent) AS (
                 SELECT ino, parent FROM node WHERE ino = ?1
                 UNION ALL
                 SELECT node.ino, node.parent FROM node JOIN below ON node.parent = below.ino
             )
             SELECT below.ino, below.parent, coalesce(base.rewritten OR NOT base.on_drive, 0)
             FROM below LEFT JOIN base ON base.ino = below.ino",
        )?;
        let rows = statement.query_map(params![node.ino], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(Ino, Ino, bool)> = rows.collect::<rusqlite::Result<_>>()?;
        let parents: HashMap<Ino, Ino> = rows.iter().map(|&(ino, parent, _)| (ino, parent)).collect();
        let mut survivors = HashSet::new();
        let edited = |ino| self.listener.is_some_and(|listener| listener.is_edited(ino));
        for (mut ino, _, unsent) in rows {
            let unsent = unsent || edited(ino);
            while unsent && survivors.insert(ino) && ino != node.ino {
                match parents.get(&ino) {
                    Some(&parent) => ino = parent,
                    None => break,
                }
            }
        }
        Ok(survivors)
    }
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
}

impl Differences {
    /// Those of either.
    const fn or(self, other: Self) -> Self {
        Self {
            place: self.place || other.place,
            mtime: self.mtime || other.mtime,
            mode: self.mode || other.mode,
            owner: self.owner || other.owner,
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
        }
    }

    /// Whether there is any.
    pub const fn any(self) -> bool {
        self.place || self.mtime || self.mode || self.owner
    }
}

impl Base {
    /// What of `node`, in the folder with the id `folder`, is not as the drive has it. Everything, if it does not have it.
    pub fn differs(&self, node: &Node, folder: Option<&FileId>) -> Differences {
        let Some(there) = &self.on_drive else {
            return Differences { place: true, mtime: true, mode: true, owner: true };
        };
        Differences {
            place: there.parent.as_ref() != folder || there.name != node.name_on_drive(),
            mtime: if node.is_folder() { self.timed } else { there.mtime.millis() != node.mtime.millis() },
            mode: there.mode != node.mode,
            owner: there.owner != node.owner,
        }
    }
}

fn blob(item: &Item) -> Option<&Blob> {
    match &item.kind {
        ItemKind::File(blob) | ItemKind::Symlink(blob) => Some(blob),
        ItemKind::Folder | ItemKind::Document { .. } => None,
    }
}

fn new_node(ino: Ino, parent: Ino, name: String, item: &Item) -> Node {
    let blob = blob(item);
    let (kind, target) = match &item.kind {
        ItemKind::Folder => (NodeKind::Folder, None),
        ItemKind::File(_) => (NodeKind::File, None),
        ItemKind::Symlink(_) => (NodeKind::Symlink, item.posix.target.clone()),
        ItemKind::Document { media_type, link } => {
            let text = serde_json::json!({ "url": link, "id": item.id.0, "type": media_type });
            (NodeKind::Document, Some(format!("{text}\n")))
        }
    };
    let text_size = if kind == NodeKind::Document { target.as_ref().map_or(0, |text| text.len() as u64) } else { 0 };
    Node {
        ino,
        id: Some(item.id.clone()),
        parent,
        drive_name: (name != item.name).then(|| item.name.clone()),
        name,
        kind,
        mode: item.posix.mode,
        owner: item.posix.owner,
        size: blob.map_or(text_size, |blob| blob.size),
        mtime: item.modified,
        atime: item.modified,
        ctime: item.modified,
        created: item.created.millis(),
        revision: blob.map(|blob| blob.revision.clone()),
        md5: blob.and_then(|blob| blob.md5),
        version: item.version,
        target,
        listed: false,
    }
}

#[cfg(test)]
mod tests;
