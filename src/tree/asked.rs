//! What requests of ours asked for that have no answer yet.
//!
//! Between a request and its answer an entry may be changed back to what it was before. Then nothing differs from what the drive
//! is known to have, and what the drive tells next, which is what we asked for, would look like a change made elsewhere and undo
//! the last one made here. So what is asked for is noted before it is sent, under the id of the item, since that may be another
//! entry's by the time it is heard of; and what the drive tells is no news where it is the same.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::merge::Differences;
use super::{Base, Node, OnDrive, nodes};
use crate::clock::Timestamp;
use crate::remote::FileId;

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The metadata as it shall be.
    pub wanted: OnDrive,
    /// What became of it was looked at.
    pub looked: bool,
}

impl Asked {
    /// Where the drive says what was asked for.
    pub(super) fn echoed(&self, there: &OnDrive) -> Differences {
        Differences {
            place: self.wanted.parent == there.parent && self.wanted.name == there.name,
            mtime: self.wanted.mtime.millis() == there.mtime.millis(),
            mode: self.wanted.mode == there.mode,
            owner: self.wanted.owner == there.owner,
            // Each for itself: by the merge.
            xattrs: false,
        }
    }

    /// Whether an entry was changed back to what the drive had before: then it must be looked whether it still has that.
    pub fn is_taken_back(&self, node: &Node, base: &Base, folder: Option<&FileId>) -> bool {
        let wanted = Base { on_drive: Some(self.wanted.clone()), rewritten: false, timed: false };
        let (asked, left) = (wanted.differs(node, folder), base.differs(node, folder));
        let back = |asked: bool, left: bool| asked && !left;
        !self.looked
            && (back(asked.place, left.place)
                || back(asked.mtime, left.mtime)
                || back(asked.mode, left.mode)
                || back(asked.owner, left.owner)
                || base
                    .on_drive
                    .as_ref()
                    .is_some_and(|there| node.xattrs.is_taken_back(&self.wanted.xattrs, &there.xattrs)))
    }
}

const COLUMNS: &str = "parent, name, mtime, mode, uid, gid, looked, id, xattrs";

fn asked(row: &Row<'_>) -> rusqlite::Result<Asked> {
    let (uid, gid): (Option<u32>, Option<u32>) = (row.get(4)?, row.get(5)?);
    let wanted = OnDrive {
        parent: row.get::<_, Option<String>>(0)?.map(FileId),
        name: row.get(1)?,
        mtime: Timestamp::from_millis(row.get(2)?),
        mode: row.get(3)?,
        owner: uid.zip(gid),
        xattrs: nodes::xattrs(row, 8)?,
    };
    Ok(Asked { wanted, looked: row.get(6)? })
}

/// What was last asked for an item, if that has no answer.
pub fn get(db: &Connection, id: &FileId) -> rusqlite::Result<Option<Asked>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM asked WHERE id = ?1"))?.query_row([&id.0], asked).optional()
}

/// All that was asked and has no answer.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<(FileId, Asked)>> {
    let mut all = db.prepare(&format!("SELECT {COLUMNS} FROM asked"))?;
    all.query_map([], |row| Ok((FileId(row.get(7)?), asked(row)?)))?.collect()
}

/// Notes what is about to be asked for: that the item becomes as `node` is now.
pub fn ask(db: &Connection, id: &FileId, node: &Node, folder: Option<FileId>) -> rusqlite::Result<()> {
    let wanted = OnDrive::of_clean(node, folder);
    db.prepare_cached(
        "INSERT OR REPLACE INTO asked (id, parent, name, mtime, mode, uid, gid, looked, xattrs)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)",
    )?
    .execute(params![
        id.0,
        wanted.parent.as_ref().map(|id| &id.0),
        wanted.name,
        wanted.mtime.millis(),
        wanted.mode,
        wanted.owner.map(|(uid, _)| uid),
        wanted.owner.map(|(_, gid)| gid),
        nodes::xattrs_to_sql(&wanted.xattrs),
    ])
    .map(|_| ())
}

/// Notes that it was looked what became of it. It may arrive later all the same.
pub fn looked(db: &Connection, id: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE asked SET looked = 1 WHERE id = ?1")?.execute([&id.0]).map(|_| ())
}

/// Forgets what was asked of items that the tree does not know any more: what comes of it is news. And what was looked at by an
/// earlier mount: if it did not arrive, it will not, and the same done elsewhere is no echo of it.
pub fn sweep(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM asked WHERE looked OR NOT EXISTS (SELECT 1 FROM node WHERE node.id = asked.id)")?
        .execute([])
        .map(|_| ())
}

/// Notes that it was answered.
pub fn answered(db: &Connection, id: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM asked WHERE id = ?1")?.execute([&id.0]).map(|_| ())
}
