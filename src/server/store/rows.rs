//! Rows of items: reading them whole, for answers, and in their writable part, for changes.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Map;

use crate::clock::Timestamp;

use super::super::error::{ApiError, Result};
use super::super::item::{Item, Place, Revision, Shortcut};
use super::super::media_type::FOLDER;
use super::super::query::words::fold;
use super::Edit;

/// Columns of an [`Item`], to be read by [`item`]. The application is parameter 1.
pub(super) const ITEM: &str = "items.no, items.id, parents.id, items.name, items.mime_type, items.created, \
     items.modified, items.viewed, items.starred, items.trashed, items.explicitly_trashed, items.details, \
     items.shortcut_target, items.shortcut_mime_type, items.quota_bytes, items.version, items.changed, \
     (SELECT json_group_object(key, value) FROM properties WHERE item = items.no AND app = ''), \
     (SELECT json_group_object(key, value) FROM properties WHERE item = items.no AND app = ?1), \
     heads.id, heads.blob, heads.size, heads.md5, heads.sha1, heads.sha256, heads.mime_type, \
     heads.original_filename, heads.modified, heads.keep_forever, tops.id, items.trashed_time, \
     items.parent, items.owner, items.modifier, items.app, items.app_data, parents.owner";
/// Number of columns in [`ITEM`].
pub(super) const ITEM_WIDTH: usize = 37;
/// Where they come from.
pub(super) const ITEM_FROM: &str = "items LEFT JOIN items AS parents ON parents.no = items.parent \
     LEFT JOIN revisions AS heads ON heads.no = items.head LEFT JOIN items AS tops ON tops.no = items.drive";

/// The writable part of an item.
#[derive(Debug, Clone)]
pub(crate) struct ItemRow {
    pub no: i64,
    pub id: String,
    pub parent: Option<i64>,
    pub name: String,
    pub mime_type: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub viewed: Option<Timestamp>,
    pub starred: bool,
    pub trashed: bool,
    pub explicitly_trashed: bool,
    pub details: Map<String, serde_json::Value>,
    pub indexable_text: Option<String>,
    pub shortcut: Option<Shortcut>,
    /// Kept by the database; not written.
    pub children: u64,
    /// The shared drive that it is in, by its top folder; `None` in My Drive.
    pub drive: Option<i64>,
    /// When it was put into the trash itself.
    pub trashed_time: Option<Timestamp>,
    /// The user that owns it; `None` in a shared drive.
    pub owner: Option<i64>,
    /// The user who changed it last.
    pub modifier: Option<i64>,
    /// The application that made it. Never changes.
    pub app: Option<String>,
    /// The application whose hidden folder it is in. Never changes.
    pub app_data: Option<String>,
}

impl ItemRow {
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            no: self.no,
            parent: self.parent,
            owner: self.owner,
            app: self.app.as_deref(),
            app_data: self.app_data.as_deref(),
        }
    }

    /// A new folder at the top of a drive.
    pub(super) fn folder(id: &str, name: &str, now: Timestamp) -> Self {
        Self {
            no: 0,
            id: id.to_owned(),
            parent: None,
            name: name.to_owned(),
            mime_type: FOLDER.to_owned(),
            created: now,
            modified: now,
            viewed: None,
            starred: false,
            trashed: false,
            explicitly_trashed: false,
            details: Map::new(),
            indexable_text: None,
            shortcut: None,
            children: 0,
            drive: None,
            trashed_time: None,
            owner: None,
            modifier: None,
            app: None,
            app_data: None,
        }
    }
}

/// A count or a size of the database, which has no unsigned numbers.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The reverse of [`unsigned`].
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads an item from the columns [`ITEM`].
pub(super) fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let time = |index: usize| row.get(index).map(Timestamp::from_millis);
    Ok(Item {
        no: row.get(0)?,
        id: row.get(1)?,
        parent: row.get(2)?,
        name: row.get(3)?,
        mime_type: row.get(4)?,
        created: time(5)?,
        modified: time(6)?,
        viewed: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        starred: row.get(8)?,
        trashed: row.get(9)?,
        explicitly_trashed: row.get(10)?,
        details: object(row, 11)?,
        shortcut: shortcut(row, 12, 13)?,
        quota_bytes: unsigned(row.get(14)?),
        version: row.get(15)?,
        changed: time(16)?,
        properties: object(row, 17)?,
        app_properties: object(row, 18)?,
        head: match row.get::<_, Option<String>>(19)? {
            None => None,
            Some(id) => Some(revision(row, id, 20)?),
        },
        drive: row.get(29)?,
        trashed_time: row.get::<_, Option<i64>>(30)?.map(Timestamp::from_millis),
        parent_no: row.get(31)?,
        owner: row.get(32)?,
        modifier: row.get(33)?,
        app: row.get(34)?,
        app_data: row.get(35)?,
        parent_owner: row.get(36)?,
    })
}

/// Reads a revision from its columns, which follow its id.
pub(super) fn revision(row: &Row<'_>, id: String, first: usize) -> rusqlite::Result<Revision> {
    Ok(Revision {
        id,
        blob: row.get(first)?,
        size: unsigned(row.get(first + 1)?),
        md5: row.get(first + 2)?,
        sha1: row.get(first + 3)?,
        sha256: row.get(first + 4)?,
        mime_type: row.get(first + 5)?,
        original_filename: row.get(first + 6)?,
        modified: Timestamp::from_millis(row.get(first + 7)?),
        keep_forever: row.get(first + 8)?,
    })
}

pub(super) fn object(row: &Row<'_>, index: usize) -> rusqlite::Result<Map<String, serde_json::Value>> {
    let text = row.get_ref(index)?.as_str()?;
    if text == "{}" {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into()))
}

fn shortcut(row: &Row<'_>, target: usize, mime_type: usize) -> rusqlite::Result<Option<Shortcut>> {
    let target: Option<String> = row.get(target)?;
    let target_mime_type: Option<String> = row.get(mime_type)?;
    Ok(target.zip(target_mime_type).map(|(target, target_mime_type)| Shortcut { target, target_mime_type }))
}

/// The item `id` as the application `app` sees it, wherever it is.
pub(crate) fn get(db: &Connection, app: &str, id: &str) -> Result<Option<Item>> {
    let sql = format!("SELECT {ITEM} FROM {ITEM_FROM} WHERE items.id = ?2");
    Ok(db.prepare_cached(&sql)?.query_row([app, id], item).optional()?)
}

/// The writable part of the item `id`, wherever it is.
pub(crate) fn find(db: &Connection, id: &str) -> Result<ItemRow> {
    let sql = "SELECT no, id, parent, name, mime_type, created, modified, viewed, starred, trashed, explicitly_trashed,
                      details, indexable_text, shortcut_target, shortcut_mime_type, children, drive, trashed_time,
                      owner, modifier, app, app_data
               FROM items WHERE id = ?";
    let row = |row: &Row<'_>| {
        let time = |index: usize| row.get(index).map(Timestamp::from_millis);
        Ok(ItemRow {
            no: row.get(0)?,
            id: row.get(1)?,
            parent: row.get(2)?,
            name: row.get(3)?,
            mime_type: row.get(4)?,
            created: time(5)?,
            modified: time(6)?,
            viewed: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
            starred: row.get(8)?,
            trashed: row.get(9)?,
            explicitly_trashed: row.get(10)?,
            details: object(row, 11)?,
            indexable_text: row.get(12)?,
            shortcut: shortcut(row, 13, 14)?,
            children: unsigned(row.get(15)?),
            drive: row.get(16)?,
            trashed_time: row.get::<_, Option<i64>>(17)?.map(Timestamp::from_millis),
            owner: row.get(18)?,
            modifier: row.get(19)?,
            app: row.get(20)?,
            app_data: row.get(21)?,
        })
    };
    db.prepare_cached(sql)?.query_row([id], row).optional()?.ok_or_else(|| ApiError::file_not_found(id))
}

/// The folder that the item `no` is in, and its owner; `None` if there is no such item.
pub(crate) fn above(db: &Connection, no: i64) -> Result<Option<(Option<i64>, Option<i64>)>> {
    let sql = "SELECT parent, owner FROM items WHERE no = ?";
    Ok(db.prepare_cached(sql)?.query_row([no], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Whether an item has this id.
pub(crate) fn exists(db: &Connection, id: &str) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM items WHERE id = ?")?.exists([id])?)
}

/// The id of the item `no`.
pub(crate) fn id(db: &Connection, no: i64) -> Result<String> {
    Ok(db.prepare_cached("SELECT id FROM items WHERE no = ?")?.query_row([no], |row| row.get(0))?)
}

/// Whether the item `no` is in the trash.
pub(crate) fn is_trashed(db: &Connection, no: i64) -> Result<bool> {
    Ok(db.prepare_cached("SELECT trashed FROM items WHERE no = ?")?.query_row([no], |row| row.get(0))?)
}

/// Adds an item as the next change; its number (`row.no` is not looked at).
pub(crate) fn insert(edit: &Edit<'_>, row: &ItemRow) -> Result<i64> {
    let sql =
        "INSERT INTO items (id, created, app, app_data, parent, name, folded, mime_type, modified, viewed, starred,
                                  trashed, explicitly_trashed, details, indexable_text, shortcut_target,
                                  shortcut_mime_type, drive, trashed_time, owner, modifier, version, changed)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut values = vec![Value::Text(row.id.clone()), Value::Integer(row.created.millis())];
    values.extend([row.app.clone().into(), row.app_data.clone().into()]);
    values.extend(writable(edit, row)?);
    edit.db.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(edit.db.last_insert_rowid())
}

/// Writes an item as the next change.
pub(crate) fn save(edit: &Edit<'_>, row: &ItemRow) -> Result<()> {
    let sql =
        "UPDATE items SET (parent, name, folded, mime_type, modified, viewed, starred, trashed, explicitly_trashed,
                                 details, indexable_text, shortcut_target, shortcut_mime_type, drive, trashed_time, owner,
                                 modifier, version, changed)
                              = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               WHERE no = ?";
    let mut values: Vec<Value> = writable(edit, row)?.into();
    values.push(Value::Integer(row.no));
    edit.db.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn writable(edit: &Edit<'_>, row: &ItemRow) -> Result<[Value; 19]> {
    let shortcut = row.shortcut.as_ref();
    Ok([
        row.parent.into(),
        row.name.clone().into(),
        fold(&row.name).into(),
        row.mime_type.clone().into(),
        row.modified.millis().into(),
        row.viewed.map(Timestamp::millis).into(),
        row.starred.into(),
        row.trashed.into(),
        row.explicitly_trashed.into(),
        serde_json::to_string(&row.details).map_err(ApiError::internal)?.into(),
        row.indexable_text.clone().into(),
        shortcut.map(|shortcut| shortcut.target.clone()).into(),
        shortcut.map(|shortcut| shortcut.target_mime_type.clone()).into(),
        row.drive.into(),
        row.trashed_time.map(Timestamp::millis).into(),
        row.owner.into(),
        row.modifier.into(),
        edit.next_change()?.into(),
        edit.now.millis().into(),
    ])
}

/// Sets a property of an item, or takes it away.
pub(crate) fn set_property(edit: &Edit<'_>, item: i64, app: &str, key: &str, value: Option<&str>) -> Result<()> {
    if let Some(value) = value {
        let sql = "INSERT OR REPLACE INTO properties (item, app, key, value) VALUES (?, ?, ?, ?)";
        edit.db.prepare_cached(sql)?.execute(params![item, app, key, value])?;
    } else {
        let sql = "DELETE FROM properties WHERE item = ? AND app = ? AND key = ?";
        edit.db.prepare_cached(sql)?.execute(params![item, app, key])?;
    }
    Ok(())
}

/// Gives one item the properties that another has.
pub(crate) fn copy_properties(edit: &Edit<'_>, app: &str, from: i64, to: i64) -> Result<()> {
    let sql = "INSERT INTO properties (item, app, key, value)
               SELECT ?3, app, key, value FROM properties WHERE item = ?2 AND app IN ('', ?1)";
    edit.db.prepare_cached(sql)?.execute(params![app, from, to])?;
    Ok(())
}

/// How many properties an item has: public ones, private ones of `app`, and all.
pub(crate) fn count_properties(db: &Connection, item: i64, app: &str) -> Result<(u64, u64, u64)> {
    let sql = "SELECT count(*) FILTER (WHERE app = ''), count(*) FILTER (WHERE app = ?2), count(*)
               FROM properties WHERE item = ?1";
    let counts = db.prepare_cached(sql)?.query_row(params![item, app], |row| {
        Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), unsigned(row.get(2)?)))
    })?;
    Ok(counts)
}

/// How many folders lie above the folder `no`: 0 for one at the top.
pub(crate) fn depth(db: &Connection, no: i64) -> Result<u64> {
    let sql = "WITH RECURSIVE above (no) AS (
                   SELECT parent FROM items WHERE no = ?
                   UNION ALL SELECT items.parent FROM items JOIN above ON items.no = above.no)
               SELECT count(*) FROM above WHERE no IS NOT NULL";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([no], |row| row.get(0))?))
}

/// How many levels of folders the folder `no` contains: 0 if it holds none.
pub(crate) fn height(db: &Connection, no: i64) -> Result<u64> {
    let sql = "WITH RECURSIVE below (no, level) AS (
                   SELECT ?, 0
                   UNION ALL SELECT items.no, below.level + 1 FROM items JOIN below ON items.parent = below.no
                   WHERE items.mime_type = 'application/vnd.google-apps.folder')
               SELECT max(level) FROM below";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([no], |row| row.get(0))?))
}

/// Whether `no` is `folder` or lies in it.
pub(crate) fn is_within(db: &Connection, no: i64, folder: i64) -> Result<bool> {
    let sql = "WITH RECURSIVE above (no) AS (
                   SELECT ?1
                   UNION ALL SELECT items.parent FROM items JOIN above ON items.no = above.no
                   WHERE items.parent IS NOT NULL)
               SELECT 1 FROM above WHERE no = ?2";
    Ok(db.prepare_cached(sql)?.exists([no, folder])?)
}
