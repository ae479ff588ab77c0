//! What is new in the tree.

use rusqlite::Connection;
use serde_json::Value;

use super::{Merge, News, blob};
use crate::clock::{self, Timestamp};
use crate::remote::{Access, Blob, FileId, Item, ItemKind, Posix};
use crate::tree::listing::Listed;
use crate::tree::{Base, Ino, Node, NodeKind, OnDrive, documents, feeds, links, names, nodes, unplaced};

impl Merge<'_> {
    /// An item that is not in the tree. `arrived` if it came into the folder just now, rather than was there before; of a folder
    /// that is being listed for the first time nobody was told yet what is in it, or what is not.
    pub(super) fn stranger(
        &mut self,
        folder: Option<Node>,
        item: &Item,
        arrived: Option<clock::Timestamp>,
    ) -> rusqlite::Result<()> {
        let takes = |folder: &Node| {
            folder.is_folder() && folder.is_linked() && (folder.listed || self.open_folders.contains(&folder.ino))
        };
        let Some(folder) = folder.filter(takes) else { return self.set_aside(item) };
        let wanted = names::wanted(self.db, item)?;
        let created = item.created.millis();
        let name = names::place(self.db, folder.ino, wanted.as_deref(), &item.id, created, &mut self.effects)?;
        let ino = Ino(self.inos.next().expect("a number for each item was reserved"));
        let listed = self.adopts
            && unplaced::is_whole(self.db, item)?
            && self.has_numbers_for(unplaced::count_below(self.db, &item.id)?);
        let mut node = Node { listed, ..new_node(ino, folder.ino, name.clone(), item) };
        if node.kind == NodeKind::Document {
            documents::dress(self.db, &mut node, item.modified)?;
        }
        nodes::insert(self.db, &node)?;
        links::came(self.db, &mut node, &mut self.effects)?;
        unplaced::placed(self.db, &item.id)?;
        self.placed.push((folder.ino, Listed::of(self.db, &node)?));
        if listed {
            self.adopt(&node)?;
        }
        if let Some(now) = arrived {
            names::aged(self.db, folder.ino, wanted.as_deref().unwrap_or_default(), &mut self.effects)?;
            self.effects.entries.push((folder.ino, name));
            // Programs that watch a folder's time (Python's importer does) must see that it changed.
            nodes::touch_folder(self.db, folder.ino, now)?;
            self.effects.attributes.push(folder.ino);
        }
        Ok(())
    }

    /// An item that has no place in the tree: it is in the trash, or its folder is not here, or not listed.
    pub(super) fn set_aside(&mut self, item: &Item) -> rusqlite::Result<()> {
        if !self.is_told_on(item)? {
            return unplaced::gone(self.db, &item.id);
        }
        let is_known = unplaced::is_listed(self.db, &item.id)?.is_some();
        let folder = item.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?;
        let is_needed = match (&item.parent, folder) {
            (None, _) => false,
            // It will be found when that is listed; but listings are known to be behind, and may not know of it then, or not yet of
            // its end.
            (_, Some(folder)) if folder.is_linked() && !folder.listed => true,
            // It comes out of the trash by itself, and then the drive tells all that is to be known of it.
            _ => !item.trashed_itself || matches!(item.kind, ItemKind::Folder),
        };
        if is_known || is_needed {
            unplaced::put(self.db, item, unplaced::is_whole(self.db, item)?)?;
        }
        Ok(())
    }

    /// Whether a feed goes on telling of an item.
    pub(super) fn is_told_on(&self, item: &Item) -> rusqlite::Result<bool> {
        item.drive.as_ref().map_or(Ok(true), |drive| feeds::is_followed(self.db, Some(drive)))
    }

    /// Puts what is kept of the children of a folder that is new in the tree into it.
    pub(in crate::tree) fn adopt(&mut self, folder: &Node) -> rusqlite::Result<()> {
        let Some(id) = &folder.id else { return Ok(()) };
        if !self.has_numbers_for(unplaced::count_below(self.db, id)?) {
            // Then it is listed, once more or for the first time.
            return nodes::set_listed(self.db, folder.ino, false);
        }
        for item in unplaced::children(self.db, id)? {
            if let Some(node) = nodes::by_id(self.db, &item.id)? {
                unplaced::placed(self.db, &item.id)?;
                if node.is_linked() && nodes::is_held(self.db, &node)? {
                    // Known by its id alone until now, and better than here: this is its place.
                    if let Some(there) = item_of(self.db, &node, Some(id.clone()))? {
                        self.known(node, &Item { parent: Some(id.clone()), ..there }, News::Heard)?;
                    }
                }
                continue;
            }
            // If it was in the trash, then because a folder above it was. What may be done with it there says nothing of here.
            let access = if item.trashed { Access::UNKNOWN } else { item.access };
            self.stranger(Some(folder.clone()), &Item { trashed: false, access, ..item }, None)?;
        }
        names::settle(self.db, folder.ino, &mut self.effects)
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
        let wanted = names::wanted_as(self.db, node, &there.name)?;
        let name = names::place(self.db, folder.ino, wanted.as_deref(), id, node.created, &mut self.effects)?;
        let drive_name = (name != there.name).then(|| there.name.clone());
        self.effects.entries.push((folder.ino, name.clone()));
        self.effects.attributes.push(folder.ino);
        let mut restored = Node { parent: folder.ino, name, drive_name, listed: false, ..node.clone() };
        if restored.kind == NodeKind::Document {
            documents::dress(self.db, &mut restored, there.mtime)?;
        }
        nodes::update(self.db, &restored)?;
        links::came(self.db, &mut restored, &mut self.effects)?;
        names::aged(self.db, folder.ino, wanted.as_deref().unwrap_or_default(), &mut self.effects)
    }
}

/// The item that a node in the folder `folder` is, as far as the node tells: what [`new_node`] leaves out is lost. `None` if the drive does not have it.
pub(in crate::tree) fn item_of(db: &Connection, node: &Node, folder: Option<FileId>) -> rusqlite::Result<Option<Item>> {
    let Some(id) = node.id.clone() else { return Ok(None) };
    let there = match nodes::base(db, node.ino)? {
        None => OnDrive::of_clean(node, folder),
        Some(Base { on_drive: Some(there), rewritten: false, .. }) => there,
        Some(_) => return Ok(None),
    };
    let blob = node.revision.clone().map(|revision| Blob { size: node.size, md5: node.md5, revision });
    let kind = match (node.kind, blob) {
        (NodeKind::Folder, _) => ItemKind::Folder,
        (NodeKind::Special(special), _) => ItemKind::Special(special),
        (NodeKind::File, Some(blob)) => ItemKind::File(blob),
        (NodeKind::Symlink, Some(blob)) => ItemKind::Symlink(blob),
        (NodeKind::Shortcut | NodeKind::Link, _) => match &node.target {
            Some(target) => ItemKind::Shortcut { target: FileId(target.clone()), hard: node.kind == NodeKind::Link },
            None => return Ok(None),
        },
        (NodeKind::Document, _) => {
            let text: Value =
                node.target.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let text = |key: &str| text[key].as_str().map(str::to_owned);
            ItemKind::Document { media_type: text("type").unwrap_or_default(), link: text("url") }
        }
        (NodeKind::File | NodeKind::Symlink, None) => return Ok(None),
    };
    let target = node.target.clone().filter(|_| node.kind == NodeKind::Symlink);
    Ok(Some(Item {
        id,
        name: there.name,
        parent: there.parent,
        kind,
        version: node.version,
        modified: there.mtime,
        created: Timestamp::from_millis(node.created),
        trashed: false,
        trashed_itself: false,
        owned: false,
        shared: false,
        drive: node.drive.clone(),
        access: node.access,
        posix: Posix { mode: there.mode, owner: there.owner, target, device: node.device(), xattrs: there.xattrs },
    }))
}

pub(in crate::tree) fn new_node(ino: Ino, parent: Ino, name: String, item: &Item) -> Node {
    let blob = blob(item);
    let (kind, target) = match &item.kind {
        ItemKind::Folder => (NodeKind::Folder, None),
        ItemKind::File(_) => (NodeKind::File, None),
        ItemKind::Symlink(_) => (NodeKind::Symlink, item.posix.target.clone()),
        ItemKind::Special(special) => (NodeKind::Special(*special), item.posix.device.map(|device| device.to_string())),
        ItemKind::Shortcut { target, hard: false } => (NodeKind::Shortcut, Some(target.0.clone())),
        ItemKind::Shortcut { target, hard: true } => (NodeKind::Link, Some(target.0.clone())),
        ItemKind::Document { .. } => (NodeKind::Document, documents::text(item)),
    };
    Node {
        id: Some(item.id.clone()),
        drive_name: (name != item.name).then(|| item.name.clone()),
        mode: item.posix.mode,
        owner: item.posix.owner,
        size: blob.map_or(0, |blob| blob.size),
        created: item.created.millis(),
        revision: blob.map(|blob| blob.revision.clone()),
        md5: blob.and_then(|blob| blob.md5),
        version: item.version,
        target,
        access: item.access,
        xattrs: item.posix.xattrs.clone(),
        ..Node::new(ino, parent, name, kind, item.modified)
    }
}
