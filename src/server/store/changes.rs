//! The logs of changes: one of each user, and one of each shared drive.
//!
//! What is in a log is not written down: it is the items and drives themselves in the order of their versions, and what was
//! removed. INVARIANT: nothing is removed from a log that it is in, and nothing twice from one log.

use rusqlite::{Connection, ToSql, params};

use crate::clock::Timestamp;

use super::super::error::Result;
use super::super::item::{Item, SharedDrive};
use super::list::Spaces;
use super::rows::{ITEM, ITEM_FROM, item};
use super::{Edit, drives};

/// Which log.
#[derive(Debug, Clone)]
pub(crate) enum Log {
    /// The caller's, of what is in their own drive.
    Own,
    /// The caller's, of what is in people's drives. Shared drives come into it as a whole, if at all.
    ///
    /// The real one also has some of what is in shared drives. Which is not told, so nobody may count on any of it.
    User { shared_drives: bool },
    /// That of this shared drive.
    Drive(Box<SharedDrive>),
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

/// What is read of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub log: &'a Log,
    /// The application that reads.
    pub app: &'a str,
    /// The user that reads.
    pub user: i64,
    pub spaces: Spaces,
    /// Whether it shall be told that something is gone.
    pub removals: bool,
}

/// At most `limit` changes of a log from number `from` on, oldest first, each item once, of those that `is_told` lets pass.
pub(crate) fn page(
    db: &Connection,
    reading: Reading<'_>,
    from: i64,
    limit: usize,
    is_told: impl Fn(&Change) -> Result<bool>,
) -> Result<Vec<Change>> {
    let mut changes = present(db, reading, from, limit, &is_told)?;
    for drive in drives::changed(db, from)? {
        let is_of_log = match reading.log {
            Log::Own | Log::User { shared_drives: false } => false,
            Log::User { shared_drives: true } => true,
            Log::Drive(read) => read.no == drive.no,
        };
        let change = Change::Drive(Box::new(drive));
        if is_of_log && is_told(&change)? {
            changes.push(change);
        }
    }
    if reading.removals {
        changes.extend(removed(db, reading, from, limit)?);
    }
    changes.sort_by_key(Change::version);
    changes.truncate(limit);
    Ok(changes)
}

/// The statement that reads the items of a log.
fn statement(log: &Log, spaces: Spaces) -> String {
    let place = match log {
        Log::Own | Log::User { .. } => "items.drive IS NULL",
        Log::Drive(_) => "items.drive = ?3",
    };
    let spaces = spaces.condition();
    format!("SELECT {ITEM} FROM {ITEM_FROM} WHERE items.version >= ?2 AND {place} AND {spaces} ORDER BY items.version")
}

fn present(
    db: &Connection,
    reading: Reading<'_>,
    from: i64,
    limit: usize,
    is_told: impl Fn(&Change) -> Result<bool>,
) -> Result<Vec<Change>> {
    let Reading { log, spaces, user, .. } = reading;
    let mut params: Vec<&dyn ToSql> = vec![&reading.app, &from];
    if let Log::Drive(drive) = log {
        params.push(&drive.no);
    }
    let mut statement = db.prepare_cached(&statement(log, spaces))?;
    let mut rows = statement.query(&*params)?;
    let mut present = Vec::new();
    while present.len() < limit
        && let Some(row) = rows.next()?
    {
        let item = item(row)?;
        let is_of_log = !matches!(log, Log::Own) || item.owner == Some(user);
        let change = Change::Present(Box::new(item));
        if is_of_log && is_told(&change)? {
            present.push(change);
        }
    }
    Ok(present)
}

fn removed(db: &Connection, reading: Reading<'_>, from: i64, limit: usize) -> Result<Vec<Change>> {
    let mut params: Vec<&dyn ToSql> = vec![&from];
    let place = match reading.log {
        Log::Own | Log::User { shared_drives: false } => {
            params.push(&reading.user);
            "user = ?2 AND is_drive = 0"
        }
        Log::User { shared_drives: true } => {
            params.push(&reading.user);
            "user = ?2"
        }
        Log::Drive(drive) => {
            params.push(&drive.id);
            "drive = ?2"
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    params.push(&limit);
    let sql = format!(
        "SELECT version, id, time, is_drive FROM removed WHERE version >= ?1 AND {place} ORDER BY version LIMIT ?3"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let removed = statement.query_map(&*params, |row| {
        let (version, id, time) = (row.get(0)?, row.get(1)?, Timestamp::from_millis(row.get(2)?));
        Ok(if row.get(3)? {
            Change::DriveRemoved { version, id, time }
        } else {
            Change::Removed { version, id, time, file: None }
        })
    })?;
    Ok(removed.collect::<rusqlite::Result<_>>()?)
}

/// The log that an item is in: that of each user who has it, or that of a shared drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeper {
    User(i64),
    /// By its id.
    Drive(String),
}

/// An item that was in some logs is now in others.
pub(crate) fn change_keepers(edit: &Edit<'_>, id: &str, before: &[Keeper], after: &[Keeper]) -> Result<()> {
    for keeper in before.iter().filter(|keeper| !after.contains(keeper)) {
        leave(edit, id, keeper)?;
    }
    for keeper in after {
        let (user, drive) = keeper.columns();
        let sql = "DELETE FROM removed WHERE id = ? AND user IS ? AND drive IS ?";
        edit.db.prepare_cached(sql)?.execute(params![id, user, drive])?;
    }
    Ok(())
}

/// An item is gone from a log.
pub(crate) fn leave(edit: &Edit<'_>, id: &str, keeper: &Keeper) -> Result<()> {
    let (user, drive) = keeper.columns();
    let sql = "INSERT INTO removed (version, id, time, user, drive) VALUES (?, ?, ?, ?, ?)";
    edit.db.prepare_cached(sql)?.execute(params![edit.next_change()?, id, edit.now.millis(), user, drive])?;
    Ok(())
}

impl Keeper {
    fn columns(&self) -> (Option<i64>, Option<&str>) {
        match self {
            Self::User(user) => (Some(*user), None),
            Self::Drive(drive) => (None, Some(drive)),
        }
    }
}

/// A user has a shared drive no more.
pub(crate) fn lose_drive(edit: &Edit<'_>, id: &str, user: i64) -> Result<()> {
    let sql = "INSERT INTO removed (version, id, time, is_drive, user) VALUES (?, ?, ?, 1, ?)";
    edit.db.prepare_cached(sql)?.execute(params![edit.next_change()?, id, edit.now.millis(), user])?;
    Ok(())
}

/// A user has a shared drive, maybe again.
pub(crate) fn gain_drive(edit: &Edit<'_>, id: &str, user: i64) -> Result<()> {
    let sql = "DELETE FROM removed WHERE id = ? AND user = ? AND is_drive = 1";
    edit.db.prepare_cached(sql)?.execute(params![id, user])?;
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
            (Log::Own, "(version>?)"),
            (Log::User { shared_drives: true }, "(version>?)"),
            (Log::Drive(Box::new(drive)), "items_by_change (drive=? AND version>?)"),
        ] {
            let mut statement =
                db.prepare(&format!("EXPLAIN QUERY PLAN {}", statement(&log, Spaces::DRIVE))).expect("prepares");
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
