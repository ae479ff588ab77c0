//! Further names of a file: hard links, on a drive that knows one name of an item only.
//!
//! A file has one *place*: its item's folder and name. Each further name is an item of its own, a shortcut to the file that says of
//! itself that it is one, and here a row of the kind [`NodeKind::Link`], which the kernel never hears of: what its name means is the
//! file ([`meant`]). If the place of a file goes and there are further names, one of them gives its own to the file.
//!
//! INVARIANT: `link` is the number of the file while that has a place in the tree, and `target` is the id of its item; they differ only
//! while the file's item is another than the drive's shortcut leads to, which the base of the name says (`rewritten`), and while the
//! drive has no shortcut yet.

use rusqlite::{Connection, params};

use super::{Base, Effects, Ino, Node, NodeKind, nodes};
use crate::clock;
use crate::remote::FileId;

/// Names of one file at most: as many as ext4 has.
pub const MOST: u32 = 65_000;

/// Whether an entry of this kind may have further names.
pub const fn may_have(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::File | NodeKind::Symlink | NodeKind::Special(_))
}

/// What a row means: of a further name, the file; of all else, and of a name that does not know its file, the row itself.
pub fn meant(db: &Connection, row: Node) -> rusqlite::Result<Node> {
    let file = row.link.map_or(Ok(None), |file| nodes::by_ino(db, file))?;
    Ok(file.unwrap_or(row))
}

/// The item that a further name is to lead to.
pub fn goal(db: &Connection, name: &Node) -> rusqlite::Result<Option<FileId>> {
    match name.link.map_or(Ok(None), |file| nodes::by_ino(db, file))? {
        Some(file) => Ok(file.id),
        None => Ok(name.target.clone().map(FileId)),
    }
}

/// A row came into the tree: a name learns of its file, or a file of its names.
pub(super) fn came(db: &Connection, row: &mut Node, effects: &mut Effects) -> rusqlite::Result<()> {
    if row.kind == NodeKind::Link {
        let target = FileId(row.target.clone().unwrap_or_default());
        if let Some(file) = nodes::by_id(db, &target)?.filter(|file| may_have(file.kind) && file.is_linked()) {
            row.link = Some(file.ino);
            nodes::update(db, row)?;
            counted(db, file.ino, effects)?;
        }
    } else if let Some(id) = row.id.as_ref().filter(|_| may_have(row.kind)) {
        for name in nodes::names_without_file(db, id)? {
            effects.entries.push((name.parent, name.name.clone()));
            nodes::update(db, &Node { link: Some(row.ino), ..name })?;
        }
    }
    Ok(())
}

/// Names of a file came or went.
pub(super) fn counted(db: &Connection, file: Ino, effects: &mut Effects) -> rusqlite::Result<()> {
    effects.attributes.push(file);
    touch(db, file, clock::now())
}

/// The time of the last change of a file moves on with its names.
pub fn touch(db: &Connection, file: Ino, now: clock::Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET ctime = ?2 WHERE ino = ?1")?.execute(params![file, now.nanos()]).map(|_| ())
}

/// A row is about to be taken out of the tree because the drive lost it: notes what that is for names and files.
pub(super) fn going(db: &Connection, row: &Node, effects: &mut Effects) -> rusqlite::Result<()> {
    if let Some(file) = row.link {
        return counted(db, file, effects);
    }
    if row.names > 0 {
        let names = nodes::further_names(db, row.ino)?;
        effects.entries.extend(names.into_iter().map(|name| (name.parent, name.name)));
    }
    Ok(())
}

/// The names of a file, as the kernel has to be told when they mean something else.
pub(super) fn entries(db: &Connection, file: Ino) -> rusqlite::Result<Vec<(Ino, String)>> {
    Ok(nodes::further_names(db, file)?.into_iter().map(|name| (name.parent, name.name)).collect())
}

/// The item of a file becomes another one: its names on the drive have to be made anew, to lead to that.
pub(super) fn misled(db: &Connection, file: Ino, effects: &mut Effects) -> rusqlite::Result<()> {
    for name in nodes::further_names(db, file)? {
        let base = nodes::keep_base(db, &name)?;
        if base.on_drive.is_some() {
            nodes::set_base(db, name.ino, &Base { rewritten: true, ..base })?;
        }
        effects.resend.push(name.ino);
    }
    Ok(())
}

/// A number is about to mean nothing any more: the names of its file lead to the item, wherever that is. A name that never was on the
/// drive, of a file that never was, is a name of nothing.
pub(super) fn forget(db: &Connection, file: Ino) -> rusqlite::Result<()> {
    let count = db
        .prepare_cached(
            "UPDATE node SET target = coalesce(target, (SELECT file.id FROM node AS file WHERE file.ino = ?1)), link = NULL
             WHERE link = ?1",
        )?
        .execute([file])?;
    if count > 0 {
        let of_nothing = "SELECT ino FROM node WHERE kind = 5 AND target IS NULL AND link IS NULL AND parent <> 0";
        db.execute(&format!("DELETE FROM base WHERE ino IN ({of_nothing})"), [])?;
        db.execute("DELETE FROM node WHERE kind = 5 AND target IS NULL AND link IS NULL AND parent <> 0", [])?;
    }
    Ok(())
}

/// The names of a file are those of another number.
pub(super) fn redirect(db: &Connection, old: Ino, new: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET link = ?2 WHERE link = ?1")?.execute([old, new]).map(|_| ())
}

/// The names of a file lead to an item, whatever that is in the tree.
pub fn leave_to(db: &Connection, file: Ino, item: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET link = NULL, target = ?2 WHERE link = ?1")?
        .execute(params![file, item.0])
        .map(|_| ())
}

/// Whether an entry, or one of its names, or the file that it names, is an entry or lies in it.
pub fn belongs(db: &Connection, ino: Ino, scope: Ino) -> rusqlite::Result<bool> {
    if nodes::is_within(db, ino, scope)? {
        return Ok(true);
    }
    let Some(node) = nodes::by_ino(db, ino)? else { return Ok(false) };
    if node.link == Some(scope) {
        return Ok(true);
    }
    if node.names > 0 {
        for name in nodes::further_names(db, ino)? {
            if nodes::is_within(db, name.ino, scope)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
