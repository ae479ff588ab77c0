//! The drive's database: opening it, and the two ways in.
//!
//! SQLite in WAL mode with one connection that writes and a few that read. [`Store::write`] is one transaction, alone;
//! [`Store::read`] sees one moment of the drive and waits for no writer. Both run on threads that may block, so the
//! threads that speak HTTP never wait for a disk.
//!
//! **Durability.** `synchronous=NORMAL`: what was committed survives the death of the process at any moment. After a power
//! failure the last moments may be missing, never a part of a transaction.
//!
//! The files below hold the statements, by noun. They decide nothing; the rules of a drive are in `items`.

pub(crate) mod changes;
pub(crate) mod contents;
pub(crate) mod drives;
#[cfg(test)]
pub(crate) mod invariants;
pub(crate) mod list;
#[cfg(test)]
mod migration;
pub(crate) mod minted;
pub(crate) mod permissions;
pub(crate) mod rows;
pub(crate) mod sessions;
pub(crate) mod trash;
pub(crate) mod users;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{self, Timestamp};

#[cfg(test)]
use super::caller::{Caller, Files};
use super::error::{ApiError, Result};
use super::ids;
use super::query::words;
use users::User;

/// Version of the tables. A database of a newer one is refused, not guessed at.
const FORMAT: i64 = 2;
/// "drmt": marks the file as ours.
const APPLICATION: i64 = 0x6472_6d74;
/// Reads that run at the same time. They are short and come from memory; more would only contend.
const READERS: usize = 4;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the file was written by a newer version (format {0}, this one knows {FORMAT})")]
    Newer(i64),
    #[error("the file is a database of something else")]
    Foreign,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl From<ApiError> for OpenError {
    fn from(error: ApiError) -> Self {
        Self::Sqlite(error.into_sqlite())
    }
}

/// Facts about the drive that never change while it is open.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Who has a My Drive here: the person whose drive it is, then others.
    pub users: Arc<[Arc<User>]>,
    /// Signs page tokens.
    pub secret: Arc<str>,
}

impl Identity {
    fn read(db: &Connection) -> rusqlite::Result<Self> {
        let secret: String = db.query_row("SELECT secret FROM drive", [], |row| row.get(0))?;
        Ok(Self { users: users::all(db)?.into(), secret: secret.into() })
    }

    /// The person whose drive this is.
    pub(crate) fn owner(&self) -> &Arc<User> {
        &self.users[0]
    }

    /// One who may do everything, but for whom nothing is hidden away.
    #[cfg(test)]
    pub(crate) fn own_caller(&self) -> Caller {
        Caller { user: self.owner().clone(), app: "drivemount".into(), files: Files::All, app_folder: None }
    }

    pub(crate) fn user(&self, no: i64) -> Option<&Arc<User>> {
        self.users.iter().find(|user| user.no == no)
    }
}

/// The database.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Arc<AsyncMutex<Connection>>,
    readers: Arc<Readers>,
    identity: Identity,
    // Dropped last: the folder is free when nobody uses the database any more.
    lock: Lock,
}

/// The lock on the data folder, and the news that it is gone.
#[derive(Debug)]
struct Lock {
    _file: File,
    closed: DropGuard,
}

/// Connections not in use. INVARIANT: as many as there are permits left.
#[derive(Debug)]
struct Readers {
    free: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A transaction under way, and the time that all it writes bears.
#[derive(Debug)]
pub(crate) struct Edit<'c> {
    pub db: &'c Connection,
    pub now: Timestamp,
}

impl Store {
    /// Opens the database, creating it (and a new, empty drive in it) if the file does not exist. Keeps `lock` open as long
    /// as it is in use.
    pub(crate) fn open(path: &Path, lock: File) -> std::result::Result<Self, OpenError> {
        let mut writer = connect(path)?;
        // In KiB. Pages that a transaction changed stay in this cache; a large folder that is deleted changes very many.
        writer.pragma_update(None, "cache_size", -65_536)?;
        // In pages: 32 MiB. A checkpoint waits for the disk, and one for many changes costs little more than one for few.
        writer.pragma_update(None, "wal_autocheckpoint", 8192)?;
        prepare(&mut writer)?;
        let identity = Identity::read(&writer)?;
        let free = (0..READERS).map(|_| connect(path)).collect::<rusqlite::Result<Vec<_>>>()?;
        for reader in &free {
            reader.pragma_update(None, "query_only", true)?;
        }
        let readers = Readers { free: Mutex::new(free), permits: Arc::new(Semaphore::new(READERS)) };
        let writer = Arc::new(AsyncMutex::new(writer));
        let lock = Lock { _file: lock, closed: CancellationToken::new().drop_guard() };
        Ok(Self { writer, readers: Arc::new(readers), identity, lock })
    }

    /// Lets go of the files that nobody is writing any more, since the process that did is gone. `remove` unlinks one: first, so
    /// that there is room for the rest even if they have filled the disk.
    pub(crate) fn sweep(&self, remove: impl Fn(&str) -> io::Result<()>) -> std::result::Result<(), OpenError> {
        let writer = self.writer.blocking_lock();
        let mut statement = writer.prepare("SELECT blob FROM drafts")?;
        let drafts: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for blob in &drafts {
            if let Err(error) = remove(blob) {
                tracing::warn!(%error, blob, "a file that was left behind cannot be removed");
            }
        }
        if !drafts.is_empty() {
            writer.execute_batch("INSERT INTO doomed SELECT blob FROM drafts; DELETE FROM drafts;")?;
        }
        Ok(())
    }

    /// Sees to it that a service account has a drive here.
    pub(crate) fn with_service_account(mut self, address: &str) -> std::result::Result<Self, OpenError> {
        let mut writer = self.writer.blocking_lock();
        admit(&mut writer, address)?;
        self.identity = Identity::read(&writer)?;
        drop(writer);
        Ok(self)
    }

    /// Is cancelled when the last user is gone and the lock with it.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.lock.closed.token().clone()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Runs `job` on one unchanging view of the drive.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = self.readers.permits.clone().acquire_owned().await.map_err(ApiError::internal)?;
        let readers = self.readers.clone();
        spawn_blocking(move || {
            let mut lease = Lease { reader: readers.free.lock().pop(), readers: &readers };
            let reader = lease.reader.as_mut().ok_or_else(|| ApiError::internal("no reader is free"))?;
            let result = job(&*reader.transaction()?);
            drop(lease);
            drop(permit);
            result
        })
        .await?
    }

    /// Runs `job` as one transaction: all of it happens and is durable when this returns `Ok`, or none of it.
    pub(crate) async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Edit<'_>) -> Result<T> + Send + 'static,
    {
        let mut writer = self.writer.clone().lock_owned().await;
        spawn_blocking(move || {
            // Immediate: a transaction that began by reading could find that it may no longer write.
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = job(&Edit { db: &transaction, now: clock::now() })?;
            transaction.commit()?;
            Ok(result)
        })
        .await?
    }
}

/// A reader on loan; comes back even if its user panics.
struct Lease<'r> {
    reader: Option<Connection>,
    readers: &'r Readers,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.readers.free.lock().extend(self.reader.take());
    }
}

impl Edit<'_> {
    /// The number of the next change; every call gives a new one.
    pub(crate) fn next_change(&self) -> Result<i64> {
        let sql = "UPDATE drive SET change = change + 1 RETURNING change";
        Ok(self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Runs `job` as it would run, and then undoes it: whether it would succeed.
    pub(crate) fn rehearse<T>(&self, job: impl FnOnce(&Self) -> Result<T>) -> Result<()> {
        self.db.execute_batch("SAVEPOINT rehearsal")?;
        let result = job(self);
        self.db.execute_batch("ROLLBACK TO rehearsal; RELEASE rehearsal")?;
        result.map(drop)
    }
}

/// Number of the last change.
pub(crate) fn last_change(db: &Connection) -> Result<i64> {
    Ok(db.prepare_cached("SELECT change FROM drive")?.query_row([], |row| row.get(0))?)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.set_prepared_statement_cache_capacity(128);
    // A plan does not depend on the values that are bound. Else statements are compiled anew for every value, which took a
    // fifth of the time of a create.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // Read straight from the page cache of the kernel, which is shared; a private cache of 2 MiB is SQLite's default.
    db.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    // A reader in the middle of a checkpoint waits a moment; writers never meet, there is one.
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    functions(&db)?;
    Ok(db)
}

/// Text comparisons that SQL does not have.
fn functions(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("name_contains", 2, flags, |context| {
        let (name, searched) = (context.get_raw(0).as_str()?, context.get_raw(1).as_str()?);
        Ok(words::name_contains(name, searched))
    })?;
    db.create_scalar_function("text_contains", 4, flags, |context| {
        let texts = (0..3).filter_map(|index| context.get_raw(index).as_str_or_null().ok().flatten());
        let text: Vec<String> = texts.map(words::fold).collect();
        Ok(words::text_contains(&text.join("\n"), context.get_raw(3).as_str()?))
    })?;
    db.create_scalar_function("natural_key", 1, flags, |context| Ok(words::natural_key(context.get_raw(0).as_str()?)))
}

/// Checks whose file it is and of which format; makes the tables of a new one, and brings those of an older one up to date,
/// wholly or not at all.
fn prepare(db: &mut Connection) -> std::result::Result<(), OpenError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma: &str| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, format) {
        (0, 0) if tables == 0 => create(&transaction)?,
        (APPLICATION, FORMAT) => {}
        (APPLICATION, 1) => {
            transaction.execute_batch(include_str!("store/migrate_1_to_2.sql"))?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        (APPLICATION, newer) if newer > FORMAT => return Err(OpenError::Newer(newer)),
        _ => return Err(OpenError::Foreign),
    }
    transaction.execute_batch(include_str!("oauth/tables.sql"))?;
    transaction.commit()?;
    Ok(())
}

fn admit(db: &mut Connection, address: &str) -> std::result::Result<(), OpenError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    users::add_service_account(&Edit { db: &transaction, now: clock::now() }, address)?;
    Ok(transaction.commit()?)
}

fn create(db: &Transaction<'_>) -> Result<()> {
    db.execute_batch(include_str!("store/schema.sql"))?;
    db.pragma_update(None, "application_id", APPLICATION)?;
    db.pragma_update(None, "user_version", FORMAT)?;
    db.execute("INSERT INTO drive (one, secret, change) VALUES (1, ?, 0)", [ids::secret()])?;
    users::add_owner(&Edit { db, now: clock::now() })
}

/// The second user of [`in_memory`].
#[cfg(test)]
pub(crate) const GUEST: &str = "guest@drive.localhost";

/// A new drive that leaves nothing behind.
#[cfg(test)]
pub(crate) fn in_memory() -> (Connection, Identity) {
    let mut db = connect(Path::new(":memory:")).expect("opens");
    prepare(&mut db).expect("is made");
    admit(&mut db, GUEST).expect("is admitted");
    let identity = Identity::read(&db).expect("is there");
    (db, identity)
}
