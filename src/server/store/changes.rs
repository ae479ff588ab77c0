//! The feed of changes.

use rusqlite::{Connection, params};

use crate::clock::Timestamp;

use super::super::error::Result;
use super::super::item::Item;
use super::rows::{ITEM, ITEM_FROM, item};

/// That an item changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is there; this is its state now.
    Present(Box<Item>),
    /// It is gone for good.
    Removed { version: i64, id: String, time: Timestamp },
}

impl Change {
    /// The number of the change.
    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Present(item) => item.version,
            Self::Removed { version, .. } => *version,
        }
    }
}

/// At most `limit` changes from number `from` on, oldest first, each item once.
pub(crate) fn page(db: &Connection, app: &str, from: i64, limit: usize, removed: bool) -> Result<Vec<Change>> {
    let limit_number = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!("SELECT {ITEM} FROM {ITEM_FROM} WHERE items.version >= ?2 ORDER BY items.version LIMIT ?3");
    let mut statement = db.prepare_cached(&sql)?;
    let present =
        statement.query_map(params![app, from, limit_number], |row| Ok(Change::Present(Box::new(item(row)?))))?;
    let mut changes: Vec<Change> = present.collect::<rusqlite::Result<_>>()?;
    if removed {
        let sql = "SELECT version, id, time FROM removed WHERE version >= ? ORDER BY version LIMIT ?";
        let mut statement = db.prepare_cached(sql)?;
        let gone = statement.query_map(params![from, limit_number], |row| {
            let time = Timestamp::from_millis(row.get(2)?);
            Ok(Change::Removed { version: row.get(0)?, id: row.get(1)?, time })
        })?;
        for change in gone {
            changes.push(change?);
        }
        changes.sort_by_key(Change::version);
        changes.truncate(limit);
    }
    Ok(changes)
}
