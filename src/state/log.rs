//! The log of the database: what was committed and is not in the database file yet.
//!
//! A commit appends to it and syncs nothing; SQLite moves nothing by itself. It is synced when somebody is promised that what they wrote
//! survives the loss of power, moved into the file beside all else, and cut when it is long: whoever opens the database after a kill reads
//! all of it, while programs wait.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{PATIENCE, Result, StateError};

/// One of more pages than this is long.
const LONG: i64 = 4096;

/// The log of one database.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// How often its sync was asked for, and up to which of these it was done.
    asked: AtomicU64,
    synced: Mutex<u64>,
}

impl Log {
    /// That of the database in a file.
    pub(super) fn of(database: &Path) -> Self {
        let name = database.file_name().unwrap_or_default().to_string_lossy();
        let path = database.with_file_name(format!("{name}-wal"));
        Self { path, asked: AtomicU64::new(0), synced: Mutex::new(0) }
    }

    /// Makes all that was committed before survive the loss of power. Who comes while others wait is served with them.
    pub(super) fn sync(&self) -> Result<()> {
        let ticket = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        // No data is behind this lock: it is the turn of who syncs.
        let mut synced = self.synced.lock();
        if *synced >= ticket {
            return Ok(());
        }
        let until = self.asked.load(Ordering::Acquire);
        match File::open(&self.path).and_then(|log| log.sync_data()) {
            // Nothing was written yet.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|source| StateError::Log { path: self.path.clone(), source })?,
        }
        *synced = until;
        Ok(())
    }

    /// Up to which of the times that it was asked for the sync was done.
    #[cfg(test)]
    pub(super) fn synced(&self) -> u64 {
        *self.synced.lock()
    }
}

/// Moves what the log holds into the database file, as far as nobody reads it. Holds up nobody. Says whether the log is long.
pub(super) fn move_into_file(connection: &Connection) -> rusqlite::Result<bool> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?;
    Ok(pages > LONG)
}

/// Moves all of it, and empties its file; `writer`: the connection of who writes, which nobody uses meanwhile. If somebody reads what is in the
/// log and does not end in time, it stays as it is.
pub(super) fn cut(writer: &Connection, patience: Duration) -> rusqlite::Result<()> {
    writer.busy_timeout(patience)?;
    let cut = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    writer.busy_timeout(PATIENCE)?;
    cut
}
