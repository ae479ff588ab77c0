//! What this mount changes in the tree.
//!
//! Works within one transaction of the caller's, who writes the journal in the same one. Each function keeps the base first
//! (what the drive has), then changes the node.

use rusqlite::Connection;

use super::{Base, Ino, Node, names, nodes};
use crate::clock::Timestamp;
use crate::remote::Xattrs;

/// What becomes of an entry that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The drive has it: it is to go to the trash there.
    ToTrash,
    /// The drive may have it, if a create under way arrives, but nobody ever knew: it is to be deleted there.
    ToDelete,
    /// The drive never had it: nothing is left of it.
    Forgotten,
}

/// New values for attributes; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Modification time.
    pub mtime: Option<Timestamp>,
    /// Access time, which only this machine keeps.
    pub atime: Option<Timestamp>,
}

impl Attributes {
    /// Whether the drive has to be told.
    pub const fn concern_drive(&self) -> bool {
        self.mode.is_some() || self.owner.is_some() || self.mtime.is_some()
    }
}

/// A new entry. The name must be free in its folder.
pub fn create(db: &Connection, node: &Node) -> rusqlite::Result<()> {
    nodes::insert(db, node)?;
    nodes::set_base(db, node.ino, &Base::unsent(node.kind.has_content()))?;
    nodes::touch_folder(db, node.parent, node.ctime)
}

/// Takes an entry out of its folder. A folder must be empty.
pub fn remove(db: &Connection, node: &Node, now: Timestamp) -> rusqlite::Result<Removal> {
    let base = nodes::keep_base(db, node)?;
    nodes::touch_folder(db, node.parent, now)?;
    let removal = removal(&base, node);
    match removal {
        Removal::ToTrash | Removal::ToDelete => nodes::unlink(db, node, now)?,
        Removal::Forgotten => nodes::delete(db, node.ino)?,
    }
    Ok(removal)
}

fn removal(base: &Base, node: &Node) -> Removal {
    match (&base.on_drive, &node.id) {
        (Some(_), _) => Removal::ToTrash,
        (None, Some(_)) => Removal::ToDelete,
        (None, None) => Removal::Forgotten,
    }
}

/// Gives an entry another name or folder. The name must be free there.
pub fn relocate(db: &Connection, node: &Node, folder: Ino, name: &str, now: Timestamp) -> rusqlite::Result<()> {
    nodes::keep_base(db, node)?;
    let drive_name = names::on_drive(db, node, name)?;
    let moved = Node { parent: folder, name: name.to_owned(), drive_name, ctime: now, ..node.clone() };
    nodes::update(db, &moved)?;
    nodes::touch_folder(db, node.parent, now)?;
    if folder != node.parent {
        nodes::touch_folder(db, folder, now)?;
    }
    Ok(())
}

/// Lets two entries change places.
pub fn exchange(db: &Connection, one: &Node, other: &Node, now: Timestamp) -> rusqlite::Result<()> {
    let moved = |node: &Node, place: &Node| {
        nodes::keep_base(db, node)?;
        let drive_name = names::on_drive(db, node, &place.name)?;
        Ok::<_, rusqlite::Error>(Node {
            parent: place.parent,
            name: place.name.clone(),
            drive_name,
            ctime: now,
            ..node.clone()
        })
    };
    let (one_moved, other_moved) = (moved(one, other)?, moved(other, one)?);
    // Names are unique in a folder: one of them leaves its own first.
    nodes::update(db, &Node { parent: Ino::NOWHERE, name: one.ino.to_string(), drive_name: None, ..one.clone() })?;
    nodes::update(db, &other_moved)?;
    nodes::update(db, &one_moved)?;
    nodes::touch_folder(db, one.parent, now)?;
    nodes::touch_folder(db, other.parent, now)
}

/// Lets `source`, which the drive does not have yet, take the place *and the identity* of `target`: what the drive knows as the
/// target gets the source's content, so its links, shares and history stay. The target's node is left with what the source
/// was. Says what becomes of that.
pub fn supersede(db: &Connection, source: &Node, target: &Node, now: Timestamp) -> rusqlite::Result<Removal> {
    let (source_base, target_base) = (nodes::keep_base(db, source)?, nodes::keep_base(db, target)?);
    nodes::touch_folder(db, source.parent, now)?;
    nodes::touch_folder(db, target.parent, now)?;
    // Ids are unique in the table: free the target's before it changes hands.
    nodes::delete(db, target.ino)?;
    let successor = Node {
        id: target.id.clone(),
        parent: target.parent,
        name: target.name.clone(),
        drive_name: target.drive_name.clone(),
        created: target.created,
        revision: target.revision.clone(),
        md5: target.md5,
        version: target.version,
        access: target.access,
        drive: target.drive.clone(),
        ctime: now,
        ..source.clone()
    };
    nodes::update(db, &successor)?;
    nodes::set_base(db, source.ino, &Base { rewritten: true, ..target_base })?;
    let removal = removal(&source_base, source);
    if removal != Removal::Forgotten {
        let leftover =
            Node { ino: target.ino, parent: Ino::NOWHERE, drive: None, name: target.ino.to_string(), ..source.clone() };
        nodes::insert(db, &leftover)?;
        nodes::set_base(db, target.ino, &source_base)?;
    }
    Ok(removal)
}

/// Sets attributes.
pub fn set_attributes(db: &Connection, node: &Node, set: Attributes, now: Timestamp) -> rusqlite::Result<Node> {
    if set.concern_drive() {
        let base = nodes::keep_base(db, node)?;
        if node.is_folder() && set.mtime.is_some() {
            nodes::set_base(db, node.ino, &Base { timed: true, ..base })?;
        }
    }
    let node = Node {
        mode: set.mode.or(node.mode),
        owner: set.owner.or(node.owner),
        mtime: set.mtime.unwrap_or(node.mtime),
        atime: set.atime.unwrap_or(node.atime),
        ctime: now,
        ..node.clone()
    };
    nodes::update(db, &node)?;
    Ok(node)
}

/// Sets the extended attributes.
pub fn set_xattrs(db: &Connection, node: &Node, xattrs: Xattrs, now: Timestamp) -> rusqlite::Result<Node> {
    nodes::keep_base(db, node)?;
    let node = Node { xattrs, ctime: now, ..node.clone() };
    nodes::update(db, &node)?;
    Ok(node)
}

/// Notes that a file has new content here, of that size and time.
pub fn rewrite(db: &Connection, node: &Node, size: u64, mtime: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    let base = nodes::keep_base(db, node)?;
    nodes::set_base(db, node.ino, &Base { rewritten: true, ..base })?;
    nodes::update(db, &Node { size, mtime, ctime: now, ..node.clone() })
}
