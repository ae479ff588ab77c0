//! The rows of the tables `node` and `base`: nothing but SQL and its translation.
//!
//! All functions work on a connection that the caller has, mostly within a transaction of the caller's.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Base, Ino, Node, NodeKind, OnDrive};
use crate::clock::Timestamp;
use crate::remote::{Access, FileId, Md5, RevisionId, Special, Xattrs};

const COLUMNS: &str = "parent, name, ino, id, kind, mode, uid, gid, size, mtime, atime, ctime, created, drive_name, revision, \
                       md5, version, target, listed, access, drive, xattrs, link";

/// What is read of a row: the columns, and how many further names it has.
const SELECTED: &str = "parent, name, ino, id, kind, mode, uid, gid, size, mtime, atime, ctime, created, drive_name, revision, \
                        md5, version, target, listed, access, drive, xattrs, link, \
                        (SELECT count(*) FROM node AS further WHERE further.link = node.ino)";

/// How long a tombstone is kept: listings and feeds of the drive are known to lag by minutes, seldom by an hour.
const TOMBSTONE_MILLIS: i64 = 2 * 60 * 60 * 1000;

/// SQLite knows signed integers only. Everything we count stays far below 2^63.
#[expect(clippy::cast_possible_wrap)]
pub fn to_sql(value: u64) -> i64 {
    value as i64
}

/// The way back of [`to_sql`].
#[expect(clippy::cast_sign_loss)]
pub fn from_sql(value: i64) -> u64 {
    value as u64
}

impl rusqlite::ToSql for Ino {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(to_sql(self.0).into())
    }
}

impl rusqlite::types::FromSql for Ino {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_i64().map(|ino| Self(from_sql(ino)))
    }
}

const fn kind_to_sql(kind: NodeKind) -> i64 {
    match kind {
        NodeKind::Folder => 0,
        NodeKind::File => 1,
        NodeKind::Symlink => 2,
        NodeKind::Document => 3,
        NodeKind::Shortcut => 4,
        NodeKind::Link => 5,
        NodeKind::Special(Special::Fifo) => 6,
        NodeKind::Special(Special::Socket) => 7,
        NodeKind::Special(Special::CharDevice) => 8,
        NodeKind::Special(Special::BlockDevice) => 9,
    }
}

fn kind_from_sql(kind: i64) -> rusqlite::Result<NodeKind> {
    match kind {
        0 => Ok(NodeKind::Folder),
        1 => Ok(NodeKind::File),
        2 => Ok(NodeKind::Symlink),
        3 => Ok(NodeKind::Document),
        4 => Ok(NodeKind::Shortcut),
        5 => Ok(NodeKind::Link),
        6 => Ok(NodeKind::Special(Special::Fifo)),
        7 => Ok(NodeKind::Special(Special::Socket)),
        8 => Ok(NodeKind::Special(Special::CharDevice)),
        9 => Ok(NodeKind::Special(Special::BlockDevice)),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(4, other)),
    }
}

fn owner(uid: Option<u32>, gid: Option<u32>) -> Option<(u32, u32)> {
    uid.zip(gid)
}

/// Extended attributes in a column: NULL for nearly all.
pub(super) fn xattrs(row: &Row<'_>, column: usize) -> rusqlite::Result<Xattrs> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let wrong = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    };
    text.map_or_else(|| Ok(Xattrs::default()), |text| serde_json::from_str(text).map_err(wrong))
}

/// The way back of [`xattrs`].
pub(super) fn xattrs_to_sql(xattrs: &Xattrs) -> Option<String> {
    (!xattrs.is_empty()).then(|| serde_json::json!(xattrs).to_string())
}

fn node(row: &Row<'_>) -> rusqlite::Result<Node> {
    Ok(Node {
        parent: row.get(0)?,
        name: row.get(1)?,
        ino: row.get(2)?,
        id: row.get::<_, Option<String>>(3)?.map(FileId),
        kind: kind_from_sql(row.get(4)?)?,
        mode: row.get(5)?,
        owner: owner(row.get(6)?, row.get(7)?),
        size: from_sql(row.get(8)?),
        mtime: Timestamp::from_nanos(row.get(9)?),
        atime: Timestamp::from_nanos(row.get(10)?),
        ctime: Timestamp::from_nanos(row.get(11)?),
        created: row.get(12)?,
        drive_name: row.get(13)?,
        revision: row.get::<_, Option<String>>(14)?.map(RevisionId),
        md5: row.get::<_, Option<[u8; 16]>>(15)?.map(Md5),
        version: from_sql(row.get(16)?),
        target: row.get(17)?,
        listed: row.get(18)?,
        access: Access::from_bits(row.get(19)?),
        drive: row.get::<_, Option<String>>(20)?.map(FileId),
        xattrs: xattrs(row, 21)?,
        link: row.get(22)?,
        names: row.get(23)?,
    })
}

/// The node of a number.
pub fn by_ino(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE ino = ?1"))?.query_row([ino], node).optional()
}

/// All nodes that are in a folder.
pub fn for_each_linked(db: &Connection, mut work: impl FnMut(Node)) -> rusqlite::Result<()> {
    let mut statement = db.prepare(&format!("SELECT {SELECTED} FROM node WHERE parent <> 0"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        work(node(row)?);
    }
    Ok(())
}

/// The node of an id.
pub fn by_id(db: &Connection, id: &FileId) -> rusqlite::Result<Option<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE id = ?1"))?.query_row([&id.0], node).optional()
}

/// The node of a name in a folder.
pub fn by_name(db: &Connection, parent: Ino, name: &str) -> rusqlite::Result<Option<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE parent = ?1 AND name = ?2"))?
        .query_row(params![parent, name], node)
        .optional()
}

/// The ids of entries of a folder, up to so many, that the drive has as they are here and for which `is_missing`.
pub fn missing(
    db: &Connection,
    folder: Ino,
    most: usize,
    is_missing: impl Fn(&FileId) -> bool,
) -> rusqlite::Result<Vec<FileId>> {
    let mut children = db.prepare_cached(
        "SELECT id FROM node WHERE parent = ?1 AND id IS NOT NULL AND ino NOT IN (SELECT ino FROM base)",
    )?;
    let mut rows = children.query([folder])?;
    let mut missing = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| missing.len() < most) {
        let id = FileId(row.get(0)?);
        if is_missing(&id) {
            missing.push(id);
        }
    }
    Ok(missing)
}

/// What names of entries that anybody can see are like: those of hidden documents begin with a slash, as no path can spell them.
const SEEN: &str = "name NOT GLOB '/*'";

/// The nodes of a folder, hidden ones among them, by name.
pub fn children(db: &Connection, parent: Ino) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE parent = ?1 ORDER BY name"))?
        .query_map([parent], node)?
        .collect()
}

/// What a row is: its name, its number, its kind, and of a further name the number of its file.
pub type Named = (String, Ino, NodeKind, Option<Ino>);

/// What the rows of a folder are, by name; without what is hidden.
pub fn names(db: &Connection, parent: Ino) -> rusqlite::Result<Vec<Named>> {
    db.prepare_cached(&format!("SELECT name, ino, kind, link FROM node WHERE parent = ?1 AND {SEEN} ORDER BY name"))?
        .query_map([parent], |row| Ok((row.get(0)?, row.get(1)?, kind_from_sql(row.get(2)?)?, row.get(3)?)))?
        .collect()
}

/// The files of a folder that have a content on the drive of at most so many bytes, and some: name, number and length, by name. No
/// more than `most`.
pub fn files(db: &Connection, parent: Ino, largest: u64, most: usize) -> rusqlite::Result<Vec<(String, Ino, u64)>> {
    db.prepare_cached(&format!(
        "SELECT name, ino, size FROM node
         WHERE parent = ?1 AND kind = 1 AND size BETWEEN 1 AND ?2 AND revision IS NOT NULL AND {SEEN} ORDER BY name LIMIT ?3"
    ))?
    .query_map(params![parent, to_sql(largest), to_sql(most as u64)], |row| {
        Ok((row.get(0)?, row.get(1)?, from_sql(row.get(2)?)))
    })?
    .collect()
}

/// The folders in a folder, by name; no more than `most`.
pub fn folders(db: &Connection, parent: Ino, most: usize) -> rusqlite::Result<Vec<Ino>> {
    db.prepare_cached(&format!(
        "SELECT ino FROM node WHERE parent = ?1 AND kind = 0 AND {SEEN} ORDER BY name LIMIT ?2"
    ))?
    .query_map(params![parent, to_sql(most as u64)], |row| row.get(0))?
    .collect()
}

/// How many bytes those of [`files`] have that are in the folders of a folder; `None` if they are more than `most` files.
pub fn bytes_of_files(db: &Connection, parent: Ino, largest: u64, most: usize) -> rusqlite::Result<Option<u64>> {
    let (count, bytes) = db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(size), 0) FROM (
                 SELECT node.size AS size FROM node AS folder JOIN node ON node.parent = folder.ino
                 WHERE folder.parent = ?1 AND folder.kind = 0 AND node.kind = 1 AND node.size BETWEEN 1 AND ?2 LIMIT ?3)",
        )?
        .query_row(params![parent, to_sql(largest), to_sql(most as u64 + 1)], |row| {
            Ok((from_sql(row.get(0)?), from_sql(row.get(1)?)))
        })?;
    Ok((count <= most as u64).then_some(bytes))
}

/// The nodes of a folder with names from `first` to `last`, by name; without what is hidden.
pub fn children_between(db: &Connection, parent: Ino, first: &str, last: &str) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached(&format!(
        "SELECT {SELECTED} FROM node WHERE parent = ?1 AND name BETWEEN ?2 AND ?3 AND {SEEN} ORDER BY name"
    ))?
    .query_map(params![parent, first, last], node)?
    .collect()
}

/// The nodes of a folder that have this name on the drive and are shown under another.
pub fn renamed_children(db: &Connection, parent: Ino, drive_name: &str) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE parent = ?1 AND drive_name = ?2"))?
        .query_map(params![parent, drive_name], node)?
        .collect()
}

/// The names on the drive of those nodes of a folder that are shown under another.
pub fn names_wanted(db: &Connection, parent: Ino) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT DISTINCT drive_name FROM node WHERE parent = ?1 AND drive_name IS NOT NULL")?
        .query_map([parent], |row| row.get(0))?
        .collect()
}

/// The further names of a file that is in the tree.
pub fn further_names(db: &Connection, file: Ino) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE link = ?1 ORDER BY ino"))?
        .query_map([file], node)?
        .collect()
}

/// Those of the further names of an item that do not know a file in the tree.
pub fn names_without_file(db: &Connection, target: &FileId) -> rusqlite::Result<Vec<Node>> {
    db.prepare_cached(&format!(
        "SELECT {SELECTED} FROM node WHERE kind = 5 AND target = ?1 AND link IS NULL AND parent <> 0"
    ))?
    .query_map([&target.0], node)?
    .collect()
}

/// The documents that are in a folder.
pub fn documents(db: &Connection) -> rusqlite::Result<Vec<Ino>> {
    db.prepare("SELECT ino FROM node WHERE kind = ?1 AND parent <> 0 ORDER BY created, id")?
        .query_map([kind_to_sql(NodeKind::Document)], |row| row.get(0))?
        .collect()
}

/// Whether a folder has an entry, and be it a hidden one.
pub fn has_children(db: &Connection, parent: Ino) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM node WHERE parent = ?1)")?.query_row([parent], |row| row.get(0))
}

/// The folders below one, itself included, whose children are known.
pub fn listed_within(db: &Connection, top: Ino) -> rusqlite::Result<Vec<Ino>> {
    db.prepare_cached(
        "WITH RECURSIVE below (ino, listed) AS (
             SELECT ino, listed FROM node WHERE ino = ?1
             UNION ALL
             SELECT node.ino, node.listed FROM node JOIN below ON node.parent = below.ino WHERE node.kind = 0
         )
         SELECT ino FROM below WHERE listed = 1",
    )?
    .query_map([top], |row| row.get(0))?
    .collect()
}

/// Forgets what the account may do with all below a folder, which is to be listed anew. Says of which entries that is another than was
/// thought.
pub fn forget_access(db: &Connection, top: Ino) -> rusqlite::Result<Vec<Ino>> {
    const BELOW: &str = "WITH RECURSIVE below (ino) AS (
                             SELECT ino FROM node WHERE parent = ?1
                             UNION ALL
                             SELECT node.ino FROM node JOIN below ON node.parent = below.ino
                         )";
    let denied = Access::denied_bits();
    let changed = db
        .prepare_cached(&format!(
            "{BELOW} SELECT node.ino FROM below JOIN node ON node.ino = below.ino WHERE node.access & {denied} <> 0"
        ))?
        .query_map([top], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    db.prepare_cached(&format!("{BELOW} UPDATE node SET access = 0, listed = 0 WHERE ino IN (SELECT ino FROM below)"))?
        .execute([top])?;
    set_listed(db, top, false)?;
    Ok(changed)
}

/// The names of the shortcuts to an item.
pub fn names_of_shortcuts(db: &Connection, target: &FileId) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT name FROM node WHERE kind = 4 AND target = ?1 UNION SELECT name FROM node WHERE kind = 5 AND target = ?1")?
        .query_map([&target.0], |row| row.get(0))?
        .collect()
}

/// A folder that is to be listed though nobody asks; `?1` is the root. Not the top of a shared drive, nor what is held by its id: these
/// are in a folder that no drive has, and belong to others.
const UNLISTED: &str = "kind = 0 AND listed = 0 AND id IS NOT NULL AND (ino = ?1 OR EXISTS (
                            SELECT 1 FROM node AS folder WHERE folder.ino = node.parent AND folder.id IS NOT NULL))";

/// Folders after some number that are not listed, and that the drive has.
pub fn unlisted(db: &Connection, after: Ino, most: usize) -> rusqlite::Result<Vec<(Ino, FileId)>> {
    db.prepare_cached(&format!("SELECT ino, id FROM node WHERE {UNLISTED} AND ino > ?2 ORDER BY ino LIMIT ?3"))?
        .query_map(params![Ino::ROOT, after, to_sql(most as u64)], |row| Ok((row.get(0)?, FileId(row.get(1)?))))?
        .collect()
}

/// How many folders are not listed, and the drive has them.
pub fn count_unlisted(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached(&format!("SELECT count(*) FROM node WHERE {UNLISTED}"))?
        .query_row([Ino::ROOT], |row| row.get(0).map(from_sql))
}

/// How many entries there are, and how many of them are folders.
pub fn count(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    db.query_row("SELECT count(*), coalesce(sum(kind = 0), 0) FROM node", [], |row| {
        Ok((from_sql(row.get(0)?), from_sql(row.get(1)?)))
    })
}

/// The way from the root, `a/b`; `""` for the root. Of what is unlinked, the name it last had is not known: it is described.
pub fn path(db: &Connection, ino: Ino) -> rusqlite::Result<String> {
    let mut names = Vec::new();
    let mut at = ino;
    while at != Ino::ROOT && at != Ino::NOWHERE {
        // 4096 levels are more than any drive allows (100): the bound is for a damaged table.
        let Some(node) = by_ino(db, at)?.filter(|_| names.len() < 4096) else { break };
        let name = match (node.is_linked(), node.is_folder()) {
            (true, _) if node.name.starts_with('/') => node.name_on_drive().to_owned(),
            (true, _) => node.name,
            (false, true) => "(a removed folder)".to_owned(),
            (false, false) => "(a removed file)".to_owned(),
        };
        names.push(name);
        at = node.parent;
    }
    names.reverse();
    Ok(names.join("/"))
}

/// Whether `ino` is `folder` or lies in it, at any depth.
pub fn is_within(db: &Connection, ino: Ino, folder: Ino) -> rusqlite::Result<bool> {
    let mut at = ino;
    for _ in 0..4096 {
        if at == folder {
            return Ok(true);
        }
        match by_ino(db, at)? {
            Some(node) if node.is_linked() && !at.is_top() => at = node.parent,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// The shared drive that an entry is in, if it is in one.
pub fn drive_of(db: &Connection, ino: Ino) -> rusqlite::Result<Option<FileId>> {
    db.prepare_cached(
        "WITH RECURSIVE above (ino, parent, drive) AS (
             SELECT ino, parent, drive FROM node WHERE ino = ?1
             UNION
             SELECT node.ino, node.parent, node.drive FROM node JOIN above ON node.ino = above.parent
             WHERE above.drive IS NULL AND above.parent <> 0
         )
         SELECT drive FROM above WHERE drive IS NOT NULL",
    )?
    .query_row([ino], |row| row.get(0))
    .optional()
    .map(|drive| drive.map(FileId))
}

/// Whether an entry is held by its id alone: the folder that it is in is not the one that the drive has it in.
pub fn is_held(db: &Connection, node: &Node) -> rusqlite::Result<bool> {
    Ok(parent_of(db, node.parent)? == Some(Ino::TARGETS))
}

fn parent_of(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Ino>> {
    db.prepare_cached("SELECT parent FROM node WHERE ino = ?1")?.query_row([ino], |row| row.get(0)).optional()
}

/// The entries under which all is that belongs to a feed of changes: that of a shared drive, or the account's own.
pub fn tops_of(db: &Connection, drive: Option<&FileId>) -> rusqlite::Result<Vec<Node>> {
    let held = "parent IN (SELECT ino FROM node WHERE parent = ?2)";
    match drive {
        Some(drive) => db
            .prepare_cached(&format!(
                "SELECT {SELECTED} FROM node WHERE drive = ?1 AND (ino = ?3 OR parent = ?4 OR {held})"
            ))?
            .query_map(params![drive.0, Ino::TARGETS, Ino::ROOT, Ino::SHARED_DRIVES], node)?
            .collect(),
        None => db
            .prepare_cached(&format!("SELECT {SELECTED} FROM node WHERE drive IS NULL AND (ino = ?1 OR {held})"))?
            .query_map(params![Ino::ROOT, Ino::TARGETS], node)?
            .collect(),
    }
}

/// Adds a node. Fails if its number, id or name in its folder is taken.
pub fn insert(db: &Connection, node: &Node) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO node ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                 ?22, ?23)"
    );
    execute(db, &sql, node).map(|_| ())
}

/// Replaces all of a node but its number. Fails if its id, or its name in its folder, is taken by another.
pub fn update(db: &Connection, node: &Node) -> rusqlite::Result<()> {
    // Most changes leave alone what the rows are found by. Naming those columns only as a condition spares the table and its
    // indexes a removal and an insertion each.
    for sql in [
        "UPDATE node SET kind = ?5, mode = ?6, uid = ?7, gid = ?8, size = ?9, mtime = ?10, atime = ?11, ctime = ?12,
                         created = ?13, revision = ?15, md5 = ?16, version = ?17, target = ?18, listed = ?19,
                         access = ?20, drive = ?21, xattrs = ?22, link = ?23
         WHERE ino = ?3 AND parent = ?1 AND name = ?2 AND id IS ?4 AND drive_name IS ?14",
        "UPDATE node SET parent = ?1, name = ?2, id = ?4, kind = ?5, mode = ?6, uid = ?7, gid = ?8, size = ?9, mtime = ?10,
                         atime = ?11, ctime = ?12, created = ?13, drive_name = ?14, revision = ?15, md5 = ?16, version = ?17,
                         target = ?18, listed = ?19, access = ?20, drive = ?21, xattrs = ?22, link = ?23
         WHERE ino = ?3",
    ] {
        if execute(db, sql, node)? > 0 {
            break;
        }
    }
    Ok(())
}

/// Executes a statement on the columns of a node.
fn execute(db: &Connection, sql: &str, node: &Node) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(params![
        node.parent,
        node.name,
        node.ino,
        node.id.as_ref().map(|id| &id.0),
        kind_to_sql(node.kind),
        node.mode,
        node.owner.map(|(uid, _)| uid),
        node.owner.map(|(_, gid)| gid),
        to_sql(node.size),
        node.mtime.nanos(),
        node.atime.nanos(),
        node.ctime.nanos(),
        node.created,
        node.drive_name,
        node.revision.as_ref().map(|revision| &revision.0),
        node.md5.map(|md5| md5.0),
        to_sql(node.version),
        node.target,
        node.listed,
        node.access.bits(),
        node.drive.as_ref().map(|id| &id.0),
        xattrs_to_sql(&node.xattrs),
        node.link,
    ])
}

/// Takes a node, and its base, away. Its children, if any, are the caller's to think of. A folder that comes back is not taken for
/// a new one of which everything is known (see [`super::unplaced`]).
pub fn delete(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO unplaced (id, listed) SELECT id, 0 FROM node WHERE ino = ?1 AND kind = 0 AND id IS NOT NULL",
    )?
    .execute([ino])?;
    super::links::forget(db, ino)?;
    db.prepare_cached("DELETE FROM node WHERE ino = ?1")?.execute([ino])?;
    delete_base(db, ino)
}

/// Takes a node out of its folder and keeps it, with its id, as one that is gone.
pub fn unlink(db: &Connection, node: &Node, now: Timestamp) -> rusqlite::Result<()> {
    let name = node.ino.to_string();
    let gone =
        Node { parent: Ino::NOWHERE, name, drive_name: None, drive: None, link: None, ctime: now, ..node.clone() };
    update(db, &gone)
}

/// Notes that entries of a folder came or went.
pub fn touch_folder(db: &Connection, folder: Ino, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET mtime = ?2, ctime = ?2 WHERE ino = ?1")?
        .execute(params![folder, now.nanos()])
        .map(|_| ())
}

/// How many folders are in a folder.
pub fn count_folders(db: &Connection, folder: Ino) -> rusqlite::Result<u32> {
    db.prepare_cached("SELECT count(*) FROM node WHERE parent = ?1 AND kind = 0")?.query_row([folder], |row| row.get(0))
}

/// Gives a node, and all rows about it, another number.
pub fn renumber(db: &Connection, old: Ino, new: Ino) -> rusqlite::Result<()> {
    for table in ["node", "base", "journal", "upload"] {
        db.prepare_cached(&format!("UPDATE {table} SET ino = ?2 WHERE ino = ?1"))?.execute([old, new])?;
    }
    super::links::redirect(db, old, new)
}

/// Sets what the account may do with a node.
pub fn set_access(db: &Connection, ino: Ino, access: Access) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET access = ?2 WHERE ino = ?1")?.execute(params![ino, access.bits()]).map(|_| ())
}

/// Says of a folder whether its children are known.
pub fn set_listed(db: &Connection, folder: Ino, listed: bool) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE node SET listed = ?2 WHERE ino = ?1")?.execute(params![folder, listed]).map(|_| ())
}

/// Removes nodes that were unlinked long ago and that nothing is to be sent for.
pub fn sweep_tombstones(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let before = Timestamp::from_millis(now.millis() - TOMBSTONE_MILLIS);
    let old = db
        .prepare(
            "SELECT ino FROM node WHERE parent = 0 AND ino NOT IN (?1, ?2, ?3) AND ctime < ?4
                                    AND ino NOT IN (SELECT ino FROM journal)",
        )?
        .query_map(params![Ino::ROOT, Ino::SHARED_DRIVES, Ino::TARGETS, before.nanos()], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Ino>>>()?;
    old.into_iter().try_for_each(|ino| delete(db, ino))
}

/// What the drive has of a node that is not the same here.
pub fn base(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Base>> {
    db.prepare_cached(
        "SELECT on_drive, parent, name, mtime, mode, uid, gid, rewritten, timed, xattrs FROM base WHERE ino = ?1",
    )?
    .query_row([ino], |row| {
        let on_drive = if row.get(0)? {
            Some(OnDrive {
                parent: row.get::<_, Option<String>>(1)?.map(FileId),
                name: row.get(2)?,
                mtime: Timestamp::from_millis(row.get(3)?),
                mode: row.get(4)?,
                owner: owner(row.get(5)?, row.get(6)?),
                xattrs: xattrs(row, 9)?,
            })
        } else {
            None
        };
        Ok(Base { on_drive, rewritten: row.get(7)?, timed: row.get(8)? })
    })
    .optional()
}

/// Sets the base of a node.
pub fn set_base(db: &Connection, ino: Ino, base: &Base) -> rusqlite::Result<()> {
    let there = base.on_drive.as_ref();
    db.prepare_cached(
        "INSERT OR REPLACE INTO base (ino, on_drive, parent, name, mtime, mode, uid, gid, rewritten, timed, xattrs)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        ino,
        there.is_some(),
        there.and_then(|there| there.parent.as_ref()).map(|id| &id.0),
        there.map(|there| &there.name),
        there.map(|there| there.mtime.millis()),
        there.and_then(|there| there.mode),
        there.and_then(|there| there.owner).map(|(uid, _)| uid),
        there.and_then(|there| there.owner).map(|(_, gid)| gid),
        base.rewritten,
        base.timed,
        there.and_then(|there| xattrs_to_sql(&there.xattrs)),
    ])
    .map(|_| ())
}

/// Notes that a node and the drive agree.
pub fn delete_base(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM base WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// The base of a node, made from the node itself if both sides agreed so far. To be called before the node is changed.
pub fn keep_base(db: &Connection, node: &Node) -> rusqlite::Result<Base> {
    if let Some(base) = base(db, node.ino)? {
        return Ok(base);
    }
    let folder = by_ino(db, node.parent)?.and_then(|folder| folder.id);
    let base = Base { on_drive: Some(OnDrive::of_clean(node, folder)), rewritten: false, timed: false };
    set_base(db, node.ino, &base)?;
    Ok(base)
}
