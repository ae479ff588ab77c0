//! The logs of changes: the user's, and one of each shared drive.
//!
//! What is in a log is not written down: it is the items and drives themselves in the order of their versions, and what was
//! removed. INVARIANT: nothing is removed from a log that it is in, and nothing twice from one log.

use rusqlite::{Connection, ToSql, params};

use crate::clock::Timestamp;

use super::super::error::Result;
use super::super::item::{Item, SharedDrive};
use super::Edit;
use super::drives;
use super::rows::{self, ITEM, ITEM_FROM, item};

/// Which log.
#[derive(Debug, Clone)]
pub(crate) enum Log {
    /// The user's, of My Drive alone.
    MyDrive,
    /// The user's, shared drives included.
    Everything,
    /// That of this shared drive.
    Drive(Box<SharedDrive>),
}

/// What a reader wants to know beside what is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removals {
    /// That something is gone.
    pub told: bool,
    /// How it is with what left this log, but can still be had.
    pub with_files: bool,
}

/// That something changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// An item is there; this is its state now.
    Present(Box<Item>),
    /// An item is gone from this log, for good if it is not given.
    Removed { version: i64, id: String, time: Timestamp, file: Option<Box<Item>> },
    /// A shared drive itself changed.
    Drive(Box<SharedDrive>),
    /// A shared drive is gone.
    DriveRemoved { version: i64, id: String, time: Timestamp },
}

impl Change {
    /// The number of the change.
    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Present(item) => item.version,
            Self::Drive(drive) => drive.version,
            Self::Removed { version, .. } | Self::DriveRemoved { version, .. } => *version,
        }
    }
}

/// Number of the first change from `from` on that was made after `time`, if there is one.
pub(crate) fn first_since(db: &Connection, from: i64, time: Timestamp) -> Result<Option<i64>> {
    let sql = "SELECT min(version) FROM (SELECT version FROM items WHERE version >= ?1 AND changed > ?2
                                         UNION ALL SELECT version FROM drives WHERE version >= ?1 AND changed > ?2
                                         UNION ALL SELECT version FROM removed WHERE version >= ?1 AND time > ?2)";
    Ok(db.prepare_cached(sql)?.query_row([from, time.millis()], |row| row.get(0))?)
}

/// At most `limit` changes of a log from number `from` on, oldest first, each item once.
pub(crate) fn page(
    db: &Connection,
    app: &str,
    log: &Log,
    from: i64,
    limit: usize,
    removals: Removals,
) -> Result<Vec<Change>> {
    let mut changes = present(db, app, log, from, limit)?;
    let drives = match log {
        Log::MyDrive => Vec::new(),
        Log::Everything => drives::changed(db, from)?,
        Log::Drive(drive) => drives::changed(db, from)?.into_iter().filter(|changed| changed.no == drive.no).collect(),
    };
    changes.extend(drives.into_iter().map(|drive| Change::Drive(Box::new(drive))));
    if removals.told {
        changes.extend(removed(db, log, from, limit)?);
    }
    changes.sort_by_key(Change::version);
    changes.truncate(limit);
    if removals.with_files {
        for change in &mut changes {
            if let Change::Removed { id, file, .. } = change
                && rows::exists(db, id)?
            {
                *file = Some(Box::new(rows::get(db, app, id)?));
            }
        }
    }
    Ok(changes)
}

/// The statement that reads the items of a log.
fn statement(log: &Log) -> String {
    let place = match log {
        Log::MyDrive => "items.drive IS NULL",
        // A new drive is told of once, as a drive and not by its top folder.
        Log::Everything => "(items.drive IS NULL OR items.parent IS NOT NULL)",
        Log::Drive(_) => "items.drive = ?4",
    };
    format!("SELECT {ITEM} FROM {ITEM_FROM} WHERE items.version >= ?2 AND {place} ORDER BY items.version LIMIT ?3")
}

fn present(db: &Connection, app: &str, log: &Log, from: i64, limit: usize) -> Result<Vec<Change>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut params: Vec<&dyn ToSql> = vec![&app, &from, &limit];
    if let Log::Drive(drive) = log {
        params.push(&drive.no);
    }
    let sql = statement(log);
    let mut statement = db.prepare_cached(&sql)?;
    let present = statement.query_map(&*params, |row| Ok(Change::Present(Box::new(item(row)?))))?;
    Ok(present.collect::<rusqlite::Result<_>>()?)
}

fn removed(db: &Connection, log: &Log, from: i64, limit: usize) -> Result<Vec<Change>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut params: Vec<&dyn ToSql> = vec![&from, &limit];
    let place = match log {
        Log::MyDrive => "drive IS NULL AND is_drive = 0",
        // Who sees all drives sees only the last that happened to an item, wherever.
        Log::Everything => {
            "NOT EXISTS (SELECT 1 FROM items WHERE items.id = removed.id)
             AND NOT EXISTS (SELECT 1 FROM removed AS later
                             WHERE later.id = removed.id AND later.version > removed.version)"
        }
        Log::Drive(drive) => {
            params.push(&drive.id);
            "drive = ?3"
        }
    };
    let sql = format!(
        "SELECT version, id, time, is_drive FROM removed WHERE version >= ?1 AND {place} ORDER BY version LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let gone = statement.query_map(&*params, |row| {
        let (version, id, time) = (row.get(0)?, row.get(1)?, Timestamp::from_millis(row.get(2)?));
        Ok(if row.get(3)? {
            Change::DriveRemoved { version, id, time }
        } else {
            Change::Removed { version, id, time, file: None }
        })
    })?;
    Ok(gone.collect::<rusqlite::Result<_>>()?)
}

/// An item is gone from the log of a shared drive, or (`None`) of the user.
pub(crate) fn leave(edit: &Edit<'_>, id: &str, drive: Option<&str>) -> Result<()> {
    let sql = "INSERT INTO removed (version, id, time, drive) VALUES (?, ?, ?, ?)";
    edit.db.prepare_cached(sql)?.execute(params![edit.next_change()?, id, edit.now.millis(), drive])?;
    Ok(())
}

/// An item came into the log of a shared drive, or (`None`) of the user. It may have been in it before.
pub(crate) fn enter(edit: &Edit<'_>, id: &str, drive: Option<&str>) -> Result<()> {
    edit.db.prepare_cached("DELETE FROM removed WHERE id = ? AND drive IS ?")?.execute(params![id, drive])?;
    Ok(())
}

/// The user has a shared drive no more.
pub(crate) fn lose_drive(edit: &Edit<'_>, id: &str) -> Result<()> {
    let sql = "INSERT INTO removed (version, id, time, is_drive) VALUES (?, ?, ?, 1)";
    edit.db.prepare_cached(sql)?.execute(params![edit.next_change()?, id, edit.now.millis()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::super::in_memory;
    use super::*;

    #[test]
    fn each_log_is_a_range_of_an_index() {
        let (db, _) = in_memory();
        let drive = SharedDrive {
            no: 1,
            id: "D".into(),
            name: "d".into(),
            created: Timestamp::from_millis(0),
            hidden: false,
            details: Map::new(),
            version: 1,
            changed: Timestamp::from_millis(0),
        };
        for (log, range) in [
            (Log::MyDrive, "(version>?)"),
            (Log::Everything, "(version>?)"),
            (Log::Drive(Box::new(drive)), "items_by_change (drive=? AND version>?)"),
        ] {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {}", statement(&log))).expect("prepares");
            let mut rows = statement.raw_query();
            let mut plan = String::new();
            while let Some(row) = rows.next().expect("runs") {
                plan.push_str(&row.get::<_, String>(3).expect("reads"));
                plan.push('\n');
            }
            assert!(plan.contains(range) && !plan.contains("ORDER BY"), "{log:?}: {plan}");
        }
    }
}
