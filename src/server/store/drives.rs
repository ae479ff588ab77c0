//! Shared drives: their rows, and what it takes that items go from one to another.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::super::error::{ApiError, Result};
use super::super::item::SharedDrive;
use super::Edit;
use super::rows::{self, ItemRow, unsigned};

/// What the top folder of any shared drive is called.
const TOP_NAME: &str = "Drive";

const COLUMNS: &str = "drives.no, items.id, drives.name, items.created, drives.hidden, drives.details, drives.version, \
     drives.changed FROM drives JOIN items ON items.no = drives.no";

fn drive(row: &Row<'_>) -> rusqlite::Result<SharedDrive> {
    Ok(SharedDrive {
        no: row.get(0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        created: Timestamp::from_millis(row.get(3)?),
        hidden: row.get(4)?,
        details: rows::object(row, 5)?,
        version: row.get(6)?,
        changed: Timestamp::from_millis(row.get(7)?),
    })
}

/// All there are, oldest first.
pub(crate) fn all(db: &Connection) -> Result<Vec<SharedDrive>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} ORDER BY drives.no"))?;
    let drives = statement.query_map([], drive)?;
    Ok(drives.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn find(db: &Connection, id: &str) -> Result<SharedDrive> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} WHERE items.id = ?"))?;
    statement.query_row([id], drive).optional()?.ok_or_else(|| ApiError::drive_not_found(id))
}

/// Those that changed themselves, from the change number `from` on.
pub(crate) fn changed(db: &Connection, from: i64) -> Result<Vec<SharedDrive>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} WHERE drives.version >= ? ORDER BY drives.version"))?;
    let drives = statement.query_map([from], drive)?;
    Ok(drives.collect::<rusqlite::Result<_>>()?)
}

/// Whether there is one that was asked for by this.
pub(crate) fn is_requested(db: &Connection, request: &str) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM drives WHERE request = ?")?.exists([request])?)
}

/// How many items are in it, the top folder left out.
pub(crate) fn items(db: &Connection, no: i64) -> Result<u64> {
    let sql = "SELECT items FROM drives WHERE no = ?";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([no], |row| row.get(0))?))
}

/// Whether it holds anything outside its trash.
pub(crate) fn is_in_use(db: &Connection, no: i64) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM items WHERE parent = ? AND trashed = 0")?.exists([no])?)
}

/// Adds an empty one; the number of its top folder.
pub(crate) fn insert(edit: &Edit<'_>, id: &str, name: &str, request: &str, details: Map<String, Value>) -> Result<i64> {
    let top = ItemRow::folder(id, TOP_NAME, edit.now);
    let no = rows::insert(edit, &top)?;
    // Its number is known only now.
    edit.db.prepare_cached("UPDATE items SET drive = no WHERE no = ?")?.execute([no])?;
    let sql = "INSERT INTO drives (no, name, request, hidden, details, items, version, changed)
               VALUES (?, ?, ?, 0, ?, 0, ?, ?)";
    let values = params![no, name, request, Value::Object(details).to_string(), edit.next_change()?, edit.now.millis()];
    edit.db.prepare_cached(sql)?.execute(values)?;
    Ok(no)
}

/// Writes a changed one back, as the next change.
pub(crate) fn save(edit: &Edit<'_>, drive: &SharedDrive) -> Result<()> {
    let sql = "UPDATE drives SET name = ?, hidden = ?, details = ?, version = ?, changed = ? WHERE no = ?";
    let details = Value::Object(drive.details.clone()).to_string();
    let values = params![drive.name, drive.hidden, details, edit.next_change()?, edit.now.millis(), drive.no];
    edit.db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Deletes it with all that is in it, and its log.
pub(crate) fn delete(edit: &Edit<'_>, drive: &SharedDrive) -> Result<()> {
    edit.db.prepare_cached("DELETE FROM drives WHERE no = ?")?.execute([drive.no])?;
    edit.db.prepare_cached("DELETE FROM items WHERE no = ?")?.execute([drive.no])?;
    edit.db.prepare_cached("DELETE FROM removed WHERE drive = ?")?.execute([&drive.id])?;
    Ok(())
}

/// Ids of all that is in a folder, at any depth, what is above before what is below.
pub(crate) fn below(db: &Connection, folder: i64) -> Result<Vec<String>> {
    let sql = "WITH RECURSIVE below (no) AS (
                   SELECT no FROM items WHERE parent = ?
                   UNION ALL SELECT items.no FROM items JOIN below ON items.parent = below.no)
               SELECT items.id FROM below JOIN items ON items.no = below.no";
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map([folder], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
