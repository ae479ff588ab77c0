//! Items that the drive told of and that have no place in the tree now.
//!
//! The feed of changes tells of each item once, as it is now, and never of what is in a folder. A folder that is taken out of the
//! trash comes back with all its children, of which nothing is said; one that was made and renamed is told of after what was put
//! into it. Whoever forgets what is known of such items has to list the folder again. So they are kept, in the table `unplaced`
//! of [`crate::state`], until their folder is in the tree. The rule that lets a folder appear without being listed:
//!
//! **For each folder that belongs to us alone and was made after [`whole_since`], all children that there ever were are in the tree or
//! here**, unless its row here says that it is not listed. The table is bounded; when it is emptied, that moment moves. What no feed goes
//! on telling of (in a shared drive that is not followed) is not kept: it would be out of date when it is needed.

use rusqlite::{Connection, OptionalExtension, params};

use super::nodes;
use crate::clock::Timestamp;
use crate::remote::{FileId, Item, ItemKind};
use crate::state;

/// Rows at most.
const MOST: i64 = 100_000;

/// From when on all children of a new folder are known. Absent: from no time on.
const FACT_WHOLE_SINCE: &str = "whole_since";

/// When all that was kept here is forgotten, or the drive is first heard of: from when on, by the clock of the drive, all is known again.
pub(super) fn set_whole_since(db: &Connection, when: Timestamp) -> rusqlite::Result<()> {
    state::set_fact(db, FACT_WHOLE_SINCE, &when.nanos().to_string())
}

/// From when on all children of a new folder are known.
pub(super) fn whole_since(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    Ok(state::fact(db, FACT_WHOLE_SINCE)?.and_then(|text| text.parse().ok()).map(Timestamp::from_nanos))
}

/// Keeps an item, unless something newer is known of it; `listed`: a folder all of whose children are here, or in the tree.
pub(super) fn put(db: &Connection, item: &Item, listed: bool) -> rusqlite::Result<()> {
    if get(db, &item.id)?.is_some_and(|known| known.version > item.version) {
        return Ok(());
    }
    let json = serde_json::to_string(item).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.prepare_cached("INSERT OR REPLACE INTO unplaced (id, parent, item, listed) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![item.id.0, item.parent.as_ref().map(|id| &id.0), json, listed])
        .map(|_| ())
}

/// All children of a folder that is not in the tree are here.
pub(super) fn set_listed(db: &Connection, folder: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO unplaced (id, listed) VALUES (?1, 1) ON CONFLICT (id) DO UPDATE SET listed = 1")?
        .execute([&folder.0])
        .map(|_| ())
}

/// What is kept of an item.
pub(super) fn get(db: &Connection, id: &FileId) -> rusqlite::Result<Option<Item>> {
    let json: Option<Option<String>> = db
        .prepare_cached("SELECT item FROM unplaced WHERE id = ?1")?
        .query_row([&id.0], |row| row.get(0))
        .optional()?;
    Ok(json.flatten().and_then(|json| serde_json::from_str(&json).ok()))
}

/// Whether a folder is kept with all its children; `None`: it is not kept.
pub(super) fn is_listed(db: &Connection, id: &FileId) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached("SELECT listed FROM unplaced WHERE id = ?1")?.query_row([&id.0], |row| row.get(0)).optional()
}

/// Whether all children of a folder that is new in the tree are known.
pub(super) fn is_whole(db: &Connection, folder: &Item) -> rusqlite::Result<bool> {
    if !matches!(folder.kind, ItemKind::Folder) {
        return Ok(false);
    }
    match is_listed(db, &folder.id)? {
        Some(listed) => Ok(listed),
        // What belongs to others, or did before it was given to us, may have been filled where we could not see it.
        None => Ok(folder.owned && !folder.shared && whole_since(db)?.is_some_and(|since| folder.created > since)),
    }
}

/// What is kept of the children of a folder, but for those that were put into the trash themselves.
pub(super) fn children(db: &Connection, folder: &FileId) -> rusqlite::Result<Vec<Item>> {
    let rows: Vec<Option<String>> = db
        .prepare_cached("SELECT item FROM unplaced WHERE parent = ?1")?
        .query_map([&folder.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let items = rows.into_iter().flatten().filter_map(|json| serde_json::from_str::<Item>(&json).ok());
    Ok(items.filter(|item| !item.trashed_itself).collect())
}

/// An item has a place in the tree.
pub(super) fn placed(db: &Connection, id: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM unplaced WHERE id = ?1")?.execute([&id.0]).map(|_| ())
}

/// Those below the item `?1`, itself included.
const BELOW: &str = "WITH RECURSIVE below (id) AS (
                         SELECT ?1
                         UNION
                         SELECT unplaced.id FROM unplaced JOIN below ON unplaced.parent = below.id
                     )";

/// An item is not there any more, or not ours to see, nor anything in it. If it comes back all the same, nothing is known of it.
pub(super) fn gone(db: &Connection, id: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached(&format!("{BELOW} DELETE FROM unplaced WHERE id <> ?1 AND id IN (SELECT id FROM below)"))?
        .execute([&id.0])?;
    db.prepare_cached("UPDATE unplaced SET parent = NULL, item = NULL, listed = 0 WHERE id = ?1")?
        .execute([&id.0])
        .map(|_| ())
}

/// How many there are below a folder.
pub(super) fn count_below(db: &Connection, folder: &FileId) -> rusqlite::Result<u64> {
    db.prepare_cached(&format!("{BELOW} SELECT count(*) - 1 FROM below"))?
        .query_row([&folder.0], |row| row.get(0).map(nodes::from_sql))
}

/// How many there are.
pub(super) fn count(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT count(*) FROM unplaced")?.query_row([], |row| row.get(0))
}

/// Forgets all, and from when on all is known: what is new may have children that were never heard of.
pub(super) fn forget(db: &Connection) -> rusqlite::Result<()> {
    db.execute("DELETE FROM unplaced", [])?;
    db.execute("DELETE FROM fact WHERE name = ?1", [FACT_WHOLE_SINCE]).map(|_| ())
}

/// Keeps the table within its bound, and sees to it that a time stands from when on all is known; `now` by the clock of the drive,
/// or no earlier.
pub(super) fn tidy(db: &Connection, now: Option<Timestamp>) -> rusqlite::Result<()> {
    if count(db)? > MOST {
        forget(db)?;
    }
    match now {
        Some(now) if whole_since(db)?.is_none() => set_whole_since(db, now),
        _ => Ok(()),
    }
}
