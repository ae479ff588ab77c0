//! `state.db`: the one SQLite database of a mount, which holds the tree and the journal.
//!
//! Both live in one file so that a change made here and the intent to send it to the drive become durable in *one*
//! transaction. This module owns the file, its format version and its connections; the tables belong to [`crate::tree`] and
//! [`crate::writeback`], which pass their SQL in.
//!
//! - One writer, many readers (WAL): readers never wait for the writer.
//! - [`State::write`] survives the death of the process the moment it returns (about 10 µs); [`State::write_synced`]
//!   survives the loss of power too (about 150 µs and what the disk takes).
//! - A database of a newer format, or of another account, is refused and left alone.

mod log;
pub mod request;
mod reserve;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use self::log::Log;
use self::reserve::Reserve;
use crate::clock;
use crate::error::Kind;

/// Version of the tables: as many as there are [`STEPS`].
pub const FORMAT: i64 = 4;

/// Connections for reading. More than the threads that usually read at one time; a further reader waits for one.
const READERS: usize = 4;

/// Bytes of the file that each connection maps into memory: a tree of some ten thousand entries.
const MAPPED: i64 = 16 << 20;

/// How long a connection waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the log waits for readers before it is cut on a full disk: that is tried again.
const BRIEFLY: Duration = Duration::from_millis(100);

/// What leads from each version to the next: the first from nothing to version 1. A change of the tables is one more.
const STEPS: [&str; 4] = [
    include_str!("state/schema.sql"),
    include_str!("state/format-2.sql"),
    include_str!("state/format-3.sql"),
    include_str!("state/format-4.sql"),
];

/// The database of one mount.
#[derive(Debug)]
pub struct State {
    writer: Mutex<Connection>,
    readers: [Mutex<Connection>; READERS],
    turn: AtomicUsize,
    /// How many transactions began or ended so far: odd while one is under way.
    steps: AtomicU64,
    log: Log,
    reserve: Reserve,
}

/// A state of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// Ends a transaction.
struct Step<'a>(&'a AtomicU64);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be opened or made.
    #[error("{path}: {source}", path = path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("state database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What was written cannot be made to survive the loss of power.
    #[error("{path}: {source}", path = path.display())]
    Log {
        /// The log of the database.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file was written by a later version of this program.
    #[error(
        "{path} has format {found}, this drivemount knows formats up to {FORMAT}: use the newer drivemount that wrote it, or \
         give this one another --cache-dir",
        path = path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
}

impl StateError {
    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } | Self::Sqlite(source) => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Kind::DiskFull,
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Kind::Corrupt,
                Some(rusqlite::ErrorCode::ReadOnly) => Kind::ReadOnly,
                _ => Kind::Local(libc::EIO),
            },
            Self::Log { source, .. } => Kind::of_io(source),
            Self::Newer { .. } => Kind::Unsupported,
        }
    }
}

/// How many rows each table of a database has, without a change to it: for a report, while a mount may use it.
pub fn count_rows(path: &Path) -> Result<Vec<(String, i64)>> {
    let open = |source| StateError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(std::time::Duration::from_secs(1))?;
    let mut tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
    let mut counts = Vec::new();
    for table in tables {
        let table = table?;
        let count = connection.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0))?;
        counts.push((table, count));
    }
    Ok(counts)
}

/// Result of a call to the database.
pub type Result<T> = std::result::Result<T, StateError>;

impl State {
    /// Opens the database, or makes it. Blocks for milliseconds.
    pub fn open(path: &Path) -> Result<Self> {
        let wrap = |source| StateError::Open { path: path.to_owned(), source };
        let mut writer = connect(path).map_err(wrap)?;
        let found: i64 = writer.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrap)?;
        if found > FORMAT {
            return Err(StateError::Newer { path: path.to_owned(), found });
        }
        upgrade(&mut writer, found).map_err(wrap)?;
        let reader = || connect(path).map(Mutex::new).map_err(wrap);
        Ok(Self {
            writer: Mutex::new(writer),
            readers: [reader()?, reader()?, reader()?, reader()?],
            turn: AtomicUsize::new(0),
            steps: AtomicU64::new(0),
            log: Log::of(path),
            reserve: Reserve::beside(path),
        })
    }

    /// Reads; sees everything that was written before the call.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        Ok(work(&self.reader())?)
    }

    /// As [`Self::read`], for what takes microseconds: through the writer's connection if that is free. It alone has in memory
    /// what was written last; another connection has to read it from the log first.
    pub fn peek<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        match self.writer.try_lock() {
            Some(writer) => Ok(work(&writer)?),
            None => self.read(work),
        }
    }

    /// Reads with several statements that must see the same state.
    pub fn snapshot<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut reader = self.reader();
        let tx = reader.transaction()?;
        Ok(work(&tx)?)
    }

    /// Writes in one transaction: all of it or, after an error, nothing. Survives the death of the process.
    pub fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut writer = self.writer.lock();
        let result = self.transact(&mut writer, work);
        if result.is_err() {
            self.relieve(&writer);
        }
        result
    }

    /// What the database holds, by a number: between two times at which it is the same, nothing was written. `None` while somebody
    /// writes.
    pub fn version(&self) -> Option<Version> {
        let steps = self.steps.load(Ordering::SeqCst);
        steps.is_multiple_of(2).then_some(Version(steps / 2))
    }

    fn transact<T, E: From<rusqlite::Error>>(
        &self,
        writer: &mut Connection,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.steps.fetch_add(1, Ordering::SeqCst);
        // Also after a panic.
        let _end = Step(&self.steps);
        transact(writer, work)
    }

    /// Sets disk space aside that is given up when the disk is full, for whoever keeps the database open for long.
    pub fn keep_reserve(&self) {
        self.reserve.fill();
    }

    /// Whether the disk has room for what is new, beyond that which ends what was begun.
    pub fn has_room(&self) -> bool {
        if !self.reserve.is_held() {
            self.reserve.fill();
        }
        self.reserve.is_held()
    }

    /// After a transaction that failed: if it did so for want of disk space, the next one finds some.
    fn relieve(&self, writer: &Connection) {
        if self.reserve.is_needed() {
            self.reserve.give();
            // The log is used again from its beginning, if all of it could be moved.
            if let Err(error) = log::move_into_file(writer) {
                tracing::debug!(%error, "the log of the database could not be shortened on a full disk");
            }
        }
    }

    /// As [`State::write`], and survives the loss of power, as do all writes before it.
    pub fn write_synced<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut writer = self.writer.lock();
        // With FULL the commit syncs the log file, and with it all that was appended to it before.
        writer.pragma_update(None, "synchronous", "FULL")?;
        let result = self.transact(&mut writer, |tx| {
            let value = work(tx)?;
            // A commit without a change writes nothing, and so would sync nothing of what was committed before.
            set_fact(tx, "synced", &clock::now().nanos().to_string())?;
            Ok(value)
        });
        writer.pragma_update(None, "synchronous", "NORMAL")?;
        if result.is_err() {
            self.relieve(&writer);
        }
        result
    }

    /// Makes all writes before it survive the loss of power, without holding up other writers. Who comes while others wait is served
    /// with them. Blocks on the disk.
    pub fn sync_log(&self) -> Result<()> {
        self.log.sync()
    }

    /// Moves what the log holds into the database file, so that the log stays short. Blocks on the disk: not for a thread that
    /// serves requests. Does not hold up writers, except for a moment if the log is long.
    pub fn checkpoint(&self) -> Result<()> {
        if self.read(log::move_into_file)? {
            // Little came since. SQLite would begin it anew by itself when a commit finds all of it moved, which is never where somebody
            // always writes. Who reads is not waited for: it is tried again soon.
            log::cut(&self.writer.lock(), Duration::ZERO)?;
        }
        if self.reserve.was_given() && !self.has_room() {
            // What the log takes of the disk is wanted now, even if writers are held up for it.
            log::cut(&self.writer.lock(), BRIEFLY)?;
        }
        Ok(())
    }

    /// A fact by its name.
    pub fn fact(&self, name: &str) -> Result<Option<String>> {
        self.read(|reader| fact(reader, name))
    }

    /// Sets a fact.
    pub fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        self.write(|tx| Ok(set_fact(tx, name, value)?))
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        // Any free one; if all are busy, wait for the one whose turn it is.
        self.readers.iter().find_map(Mutex::try_lock).unwrap_or_else(|| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
            self.readers[turn].lock()
        })
    }
}

fn transact<T, E: From<rusqlite::Error>>(
    writer: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&tx)?;
    tx.commit()?;
    Ok(value)
}

/// A fact by its name, within a transaction.
pub fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM fact WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

/// Sets a fact, within a transaction.
pub fn set_fact(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO fact (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute([name, value]).map(|_| ())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.busy_timeout(PATIENCE)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Checkpoints sync the disk; a commit on the way of a request must not. See `State::checkpoint`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The pages of the file are in the page cache of the kernel anyway: map them rather than copy them. Not all of a large one:
    // what is mapped counts as memory of this process, once for each connection.
    connection.pragma_update(None, "mmap_size", MAPPED)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    Ok(connection)
}

/// Makes the tables what this version knows, all of it or nothing.
fn upgrade(writer: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let steps = STEPS.iter().skip(usize::try_from(found).unwrap_or(0));
    if steps.len() == 0 {
        return Ok(());
    }
    let tx = writer.transaction()?;
    for step in steps {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &tempfile::TempDir) -> Result<State> {
        State::open(&dir.path().join("state.db"))
    }

    #[test]
    fn facts_survive_a_new_start() {
        let dir = tempfile::tempdir().expect("temporary folder");
        open(&dir).expect("opens").set_fact("account", "me").expect("writes");
        let state = open(&dir).expect("opens again");
        assert_eq!(state.fact("account").expect("reads"), Some("me".to_owned()));
        assert_eq!(state.fact("other").expect("reads"), None);
    }

    #[test]
    fn the_version_tells_whether_anything_was_written() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        let before = state.version();
        assert!(before.is_some() && state.version() == before);
        let wrote: Result<()> = state.write(|tx| {
            assert_eq!(state.version(), None, "while somebody writes");
            Ok(set_fact(tx, "a", "1")?)
        });
        wrote.expect("commits");
        let after = state.version();
        assert!(after.is_some() && after != before);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            state.write::<(), StateError>(|_| panic!("within a transaction"))
        }));
        assert!(panicked.is_err() && state.version().is_some() && state.version() != after);
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        let failed: Result<()> = state.write(|tx| {
            set_fact(tx, "a", "1")?;
            Err(rusqlite::Error::QueryReturnedNoRows.into())
        });
        assert!(failed.is_err());
        assert_eq!(state.fact("a").expect("reads"), None);
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        drop(open(&dir).expect("opens"));
        let path = dir.path().join("state.db");
        let newer = Connection::open(&path).expect("opens plainly");
        newer.pragma_update(None, "user_version", FORMAT + 1).expect("raises the version");
        drop(newer);
        let error = open(&dir).expect_err("refuses");
        assert!(matches!(error, StateError::Newer { found, .. } if found == FORMAT + 1));
        assert!(error.to_string().contains("--cache-dir"), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn an_older_format_is_brought_up_to_date_and_keeps_what_it_holds() {
        assert_eq!(i64::try_from(STEPS.len()), Ok(FORMAT));
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("state.db");
        let old = Connection::open(&path).expect("opens plainly");
        old.execute_batch(STEPS[0]).expect("makes the tables of format 1");
        old.pragma_update(None, "user_version", 1).expect("sets the version");
        set_fact(&old, "account", "me").expect("writes");
        old.execute("INSERT INTO staging (ino, size, seq) VALUES (7, 1, 1)", []).expect("writes");
        drop(old);
        let tables = |state: &State| {
            state.read(|db| {
                let mut names = db.prepare("SELECT sql FROM sqlite_master ORDER BY name")?;
                names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<Option<String>>>>()
            })
        };
        let state = open(&dir).expect("opens");
        assert_eq!(state.fact("account").expect("reads"), Some("me".to_owned()));
        let synced: i64 =
            state.read(|db| db.query_row("SELECT synced FROM staging", [], |row| row.get(0))).expect("reads");
        assert_eq!(synced, 1, "nobody has reason to doubt it");
        let fresh = tempfile::tempdir().expect("temporary folder");
        assert_eq!(tables(&state).expect("reads"), tables(&open(&fresh).expect("opens")).expect("reads"));
    }

    #[test]
    fn what_was_taken_for_a_document_and_is_a_shortcut_is_listed_anew() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let old = Connection::open(dir.path().join("state.db")).expect("opens plainly");
        STEPS[..2].iter().for_each(|step| old.execute_batch(step).expect("makes the tables of format 2"));
        old.pragma_update(None, "user_version", 2).expect("sets the version");
        let node = |ino: i64, parent: i64, kind: i64, target: Option<&str>| {
            old.execute(
                "INSERT INTO node (parent, name, ino, kind, size, mtime, atime, ctime, created, version, target, listed)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0, 0, 1, ?5, 1)",
                rusqlite::params![parent, ino.to_string(), ino, kind, target],
            )
        };
        let of_type = |kind: &str| format!(r#"{{"id":"x","type":"application/vnd.google-apps.{kind}"}}"#);
        for row in [
            node(2, 1, 0, None),
            node(3, 2, 3, Some(&of_type("shortcut"))),
            node(4, 1, 0, None),
            node(5, 4, 3, Some(&of_type("document"))),
        ] {
            row.expect("writes");
        }
        drop(old);
        let state = open(&dir).expect("opens");
        let rows = state.read(|db| {
            let mut rows = db.prepare("SELECT ino, listed FROM node ORDER BY ino")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(i64, bool)>>>()
        });
        assert_eq!(rows.expect("reads"), [(2, false), (4, true), (5, true)]);
    }

    #[test]
    fn what_was_taken_for_a_shortcut_and_may_be_a_hard_link_is_listed_anew() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let old = Connection::open(dir.path().join("state.db")).expect("opens plainly");
        STEPS[..3].iter().for_each(|step| old.execute_batch(step).expect("makes the tables of format 3"));
        old.pragma_update(None, "user_version", 3).expect("sets the version");
        for (ino, parent, kind) in [(2, 1, 0), (3, 2, 4), (4, 1, 0), (5, 4, 1), (6, 2, 4)] {
            let row = old.execute(
                "INSERT INTO node (parent, name, ino, kind, size, mtime, atime, ctime, created, version, target, listed)
                 VALUES (?1, ?2, ?2, ?3, 0, 0, 0, 0, 0, 1, 'x', 1)",
                [parent, ino, kind],
            );
            row.expect("writes");
        }
        // One that is renamed here, which the drive has not heard of.
        old.execute("INSERT INTO base (ino, on_drive, rewritten, timed) VALUES (6, 1, 0, 0)", []).expect("writes");
        old.execute("INSERT INTO reserved (id) VALUES ('file')", []).expect("writes");
        drop(old);
        let state = open(&dir).expect("opens");
        let rows = state.read(|db| {
            let mut rows = db.prepare("SELECT ino, listed FROM node ORDER BY ino")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(i64, bool)>>>()
        });
        assert_eq!(rows.expect("reads"), [(2, false), (4, true), (5, true), (6, true)]);
        let reserved: bool =
            state.read(|db| db.query_row("SELECT shortcut FROM reserved", [], |row| row.get(0))).expect("reads");
        assert!(!reserved, "it is good for files");
    }

    #[test]
    fn a_sync_of_the_log_holds_up_no_writer() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        state.set_fact("a", "1").expect("writes");
        let wrote: Result<()> = state.write(|_| state.sync_log());
        wrote.expect("syncs while somebody writes");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| state.sync_log().expect("syncs"));
            }
        });
        assert_eq!(state.log.synced(), 9);
    }

    #[test]
    fn a_checkpoint_moves_the_log_into_the_file() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        let path = dir.path().join("state.db");
        for number in 0..100 {
            state.set_fact(&format!("fact {number}"), &"x".repeat(1000)).expect("writes");
        }
        assert!(std::fs::metadata(&path).expect("stat").len() < 50_000);
        state.checkpoint().expect("checkpoints");
        assert!(std::fs::metadata(&path).expect("stat").len() > 100_000);
    }

    #[test]
    fn a_long_log_begins_anew_though_somebody_always_writes() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        let end = std::sync::atomic::AtomicBool::new(false);
        let length = || std::fs::metadata(dir.path().join("state.db-wal")).expect("stat").len();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u64.. {
                    if end.load(Ordering::Relaxed) {
                        break;
                    }
                    state.set_fact(&format!("fact {}", number % 1000), &format!("{number:020000}")).expect("writes");
                }
            });
            for _ in 0..3 {
                while length() < 40 << 20 {
                    std::thread::yield_now();
                }
                state.checkpoint().expect("checkpoints");
                assert!(length() < 20 << 20, "{}", length());
            }
            end.store(true, Ordering::Relaxed);
        });
        state.checkpoint().expect("checkpoints");
        state.set_fact("one", "more").expect("writes");
        assert_eq!(state.fact("one").expect("reads").as_deref(), Some("more"));
    }

    #[test]
    fn readers_do_not_wait_for_a_writer() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = open(&dir).expect("opens");
        let wrote: Result<()> = state.write(|tx| {
            set_fact(tx, "a", "1")?;
            assert_eq!(state.fact("a")?, None, "not committed, so not seen");
            Ok(())
        });
        wrote.expect("commits");
        assert_eq!(state.fact("a").expect("reads"), Some("1".to_owned()));
        state.checkpoint().expect("checkpoints");
    }
}
