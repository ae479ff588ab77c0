//! The feed of changes.

use std::ops::Range;

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

/// Number of the first change from `from` on that was made after `time`, if there is one.
pub(crate) fn first_since(db: &Connection, from: i64, time: Timestamp) -> Result<Option<i64>> {
    let sql = "SELECT min(version) FROM (SELECT version FROM items WHERE version >= ?1 AND changed > ?2
                                         UNION ALL SELECT version FROM removed WHERE version >= ?1 AND time > ?2)";
    Ok(db.prepare_cached(sql)?.query_row([from, time.millis()], |row| row.get(0))?)
}

/// At most `limit` of the changes with these numbers, oldest first, each item once.
pub(crate) fn page(
    db: &Connection,
    app: &str,
    Range { start, end }: Range<i64>,
    limit: usize,
    removed: bool,
) -> Result<Vec<Change>> {
    let limit_number = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {ITEM} FROM {ITEM_FROM} WHERE items.version >= ?2 AND items.version < ?3
         ORDER BY items.version LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let present =
        statement.query_map(params![app, start, end, limit_number], |row| Ok(Change::Present(Box::new(item(row)?))))?;
    let mut changes: Vec<Change> = present.collect::<rusqlite::Result<_>>()?;
    if removed {
        let sql = "SELECT version, id, time FROM removed WHERE version >= ? AND version < ? ORDER BY version LIMIT ?";
        let mut statement = db.prepare_cached(sql)?;
        let gone = statement.query_map([start, end, limit_number], |row| {
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
