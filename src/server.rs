//! The embedded drive: a server that speaks the Google Drive v3 protocol, on SQLite and files.
//!
//! It is what the demo mounts, what the tests run on and what benchmarks measure against, so it is as strict as the real
//! service: what that refuses, this refuses, in the same words. It shares no code with the client side, since a mistake
//! that both made would show on neither.
//!
//! ```text
//!   connections  routes  auth                      accepting and ending, which call goes where, who may call
//!     oauth                                        signing in: how applications get tokens of their own
//!     trouble  meter  admin  methods               what goes wrong on request, what was asked, and who sets that
//!     batch                                        many calls in one request
//!   files  permissions  revisions                  the calls
//!     about  changes  drives
//!     upload  download  export  operations
//!   items                                          the rules: what may be done, and what it brings about
//!   access  caller  permission                     who sees what, and may do what with it
//!   params  corpora  fields  query  order  page             the languages of the API: what is asked,
//!     metadata  render  schema  error              what is written, what is answered
//!   store  blobs  reaper                           rows, bytes, and the end of bytes
//! ```
//!
//! **Promises.** What was answered with success survives the death of the process, at whatever moment. (It may not survive
//! that of the machine: nothing waits for the disk.) Content appears whole or not at all. A download gives one revision from
//! its first byte to its last. Listings are paged by position, not by count, so nothing is skipped or repeated because
//! something else came or went. Memory does not grow with the size of a file.
//!
//! **On disk**, below the data folder: `drive.db` (and its `-wal`), `blobs/` (one file a content), `lock` (held while a
//! server runs), `token` (if none was given).

mod about;
mod access;
mod admin;
mod auth;
mod batch;
mod blobs;
mod call;
mod caller;
mod changes;
mod connections;
mod corpora;
mod download;
mod drive;
mod drives;
mod error;
mod export;
mod fields;
mod files;
#[cfg(test)]
mod fuzz;
mod ids;
mod item;
mod items;
mod media_type;
mod metadata;
mod meter;
mod methods;
mod oauth;
mod operations;
mod order;
mod page;
mod params;
mod permission;
mod permissions;
mod query;
mod reaper;
mod render;
mod revisions;
mod routes;
mod schema;
mod store;
mod trouble;
mod upload;

use std::fs::{DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use admin::Admin;
use blobs::Blobs;
use drive::Drive;
use meter::Meter;
use oauth::{Clients, Oauth};
use reaper::Reaper;
use store::{OpenError, Store};
use trouble::{Trouble, Watch};

pub use trouble::{Rule, Script};

/// Uploads that were cut off by the end of the server have this long to put away what they received.
const SETTLE: Duration = Duration::from_secs(5);

/// How a server is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of its data, made if it does not exist.
    pub data: PathBuf,
    /// Where it listens. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// What clients must show. `None`: the one kept in the data folder, made at the first start.
    pub token: Option<String>,
    /// Whether `listen` may be an address that other machines can reach.
    pub allow_remote: bool,
    /// What the drive refuses for being too much.
    pub limits: Limits,
    /// The trouble that it makes.
    pub trouble: Script,
    /// Whether applications can sign in. Their descriptions, with secrets, are kept in the data folder.
    pub sign_in: bool,
    /// How long the tokens of applications work.
    pub token_life: Duration,
    /// How long a sign-in lasts, if not until nobody uses it: seven days for an application in testing, at Google.
    pub sign_in_life: Option<Duration>,
    /// Whether the meter can be read and the trouble be set, at `/admin`.
    pub admin: bool,
}

impl Options {
    /// A server for this machine alone, on any port, with the limits of the real service.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            allow_remote: false,
            limits: Limits::default(),
            trouble: Script::default(),
            sign_in: false,
            token_life: Duration::from_hours(1),
            sign_in_life: None,
            admin: false,
        }
    }
}

/// What a drive refuses for being too much. The defaults are those of the real service.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all contents in My Drive, the trash included. `None` (the default): no limit.
    pub storage: Option<u64>,
    /// Children of a folder other than the root: 500,000.
    pub children: u64,
    /// Items in one shared drive: 500,000.
    pub drive_items: u64,
    /// Levels of folders below the root: 100.
    pub depth: u64,
    /// Bytes of a name: 32 KiB. (The real service documents none.)
    pub name_bytes: usize,
    /// Bytes of one content: 5,497,558,138,880.
    pub upload_bytes: u64,
    /// Bytes of an export, unless it is asked for by its link: 10 MiB.
    pub export_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            storage: None,
            children: 500_000,
            drive_items: 500_000,
            depth: 100,
            name_bytes: 32 * 1024,
            upload_bytes: 5_497_558_138_880,
            export_bytes: 10 << 20,
        }
    }
}

/// Why a server did not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Other machines could reach it, and nobody said that they may.
    #[error(
        "refusing to listen on {0}, which other machines can reach: the connection is not encrypted, so whoever sees it \
         can take the token. Use 127.0.0.1, or pass --allow-remote if you trust the network"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}. Choose another with --listen; port 0 takes any free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder cannot be made, read or written.
    #[error(
        "cannot use the data folder {path}: {source}. Choose another (--data DIR, or local:DIR), or correct its permissions"
    )]
    Data {
        /// The folder, or what is wrong in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server runs on it.
    #[error("the data folder {0} is in use by another server or mount. End that one, or choose another folder")]
    InUse(PathBuf),
    /// It is a folder of somebody's files.
    #[error(
        "the folder {path} is not the data of an embedded drive: it holds {name}. An embedded drive does not show the files of a \
         folder, it keeps data of its own there; choose a new or empty folder for that",
        path = path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// Something in it.
        name: String,
    },
    /// The data folder is a file.
    #[error(
        "{0} is not a folder, so no drive can keep its data there. Choose a new or empty one (--data DIR, or local:DIR)"
    )]
    NotFolder(PathBuf),
    /// The data was written by a newer version of this program.
    #[error("cannot open the drive in {path}: {reason}. Update drivemount, or choose another folder")]
    Newer {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data is no drive, or a damaged one.
    #[error("cannot open the drive in {path}: {reason}. Choose another folder, or bring drive.db back from a copy")]
    Format {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be sent in a header.
    #[error(
        "the token is not usable: it must be printable ASCII without spaces, and not empty. It comes from --token, \
         --token-file or DRIVEMOUNT_SERVE_TOKEN; without any, one is made"
    )]
    Token,
}

impl ServerError {
    /// Whether it is the data folder that is wrong.
    pub fn is_of_data(&self) -> bool {
        match self {
            Self::Data { .. }
            | Self::InUse(_)
            | Self::Occupied { .. }
            | Self::NotFolder(_)
            | Self::Newer { .. }
            | Self::Format { .. } => true,
            Self::NotLoopback(_) | Self::Listen { .. } | Self::Token => false,
        }
    }
}

/// A running server. It ends when [`Server::stop`] is called; if it is dropped instead, it ends soon, with whatever is
/// under way cut off (nothing that was acknowledged is lost by that).
#[derive(Debug)]
pub struct Server {
    url: String,
    token: String,
    drive: Arc<Drive>,
    stop: DropGuard,
    serving: JoinHandle<()>,
    reaping: JoinHandle<()>,
}

impl Server {
    /// Opens the drive and listens. Must be called in a tokio runtime with I/O enabled.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        if !options.allow_remote && !options.listen.ip().is_loopback() {
            return Err(ServerError::NotLoopback(options.listen));
        }
        if options.token.as_deref().is_some_and(|token| !is_token(token)) {
            return Err(ServerError::Token);
        }
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| ServerError::Listen { address: options.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| ServerError::Listen { address: options.listen, source })?;
        let url = format!("http://{address}");
        let (data, sign_in) = (options.data.clone(), options.sign_in.then(|| url.clone()));
        let opened = spawn_blocking(move || open(&options.data, options.token, sign_in.as_deref())).await;
        let opened = opened.map_err(|error| ServerError::Data { path: data, source: io::Error::other(error) })??;

        let store = Arc::new(opened.store);
        let (reaper, reaping) = Reaper::start(store.clone(), opened.blobs.clone());
        let token = opened.token;
        let oauth = Oauth {
            clients: opened.clients,
            access_life: options.token_life,
            refresh_life: options.sign_in_life,
            url: url.clone(),
        };
        let drive = Arc::new(Drive::new(store, opened.blobs, reaper, options.limits, oauth, token.clone()));
        let stop = CancellationToken::new();
        let trouble = Arc::new(Trouble::new(options.trouble));
        let admin = options.admin.then(|| Admin { meter: Arc::new(Meter::new()), trouble: trouble.clone() });
        let watch = (options.admin || trouble.is_on())
            .then(|| Watch { trouble, meter: admin.as_ref().map(|admin| admin.meter.clone()) });
        let router = routes::router(drive.clone(), admin);
        let serving = connections::serve(listener, router, watch, address.to_string(), stop.clone());
        let serving = tokio::spawn(serving);
        Ok(Self { url, token, drive, stop: stop.drop_guard(), serving, reaping })
    }

    /// Where it is: scheme, address and port, without a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// What clients must show.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Ends the server: requests under way may finish, for some seconds; then they are cut off. When this returns, the
    /// data folder is free for the next.
    pub async fn stop(self) {
        let Self { drive, stop, serving, reaping, .. } = self;
        drop(stop);
        let _ = serving.await;
        drive.tasks.close();
        if timeout(SETTLE, drive.tasks.wait()).await.is_err() {
            tracing::warn!("an upload did not come to its end in time");
        }
        // The reaper ends when nobody can give it orders any more, and it is the last to use the database.
        let closed = drive.store.closed();
        drop(drive);
        let _ = timeout(SETTLE, reaping).await;
        let _ = timeout(SETTLE, closed.cancelled()).await;
    }
}

/// What a data folder holds.
struct Opened {
    store: Store,
    blobs: Blobs,
    token: String,
    clients: Clients,
}

/// `sign_in`: where applications will find the server, if they shall be able to sign in.
fn open(data: &Path, token: Option<String>, sign_in: Option<&str>) -> Result<Opened, ServerError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| ServerError::Data { path, source }
    };
    if data.exists() && !data.is_dir() {
        return Err(ServerError::NotFolder(data.to_owned()));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(unusable(data))?;
    if let Some(name) = foreign(data).map_err(unusable(data))? {
        return Err(ServerError::Occupied { path: data.to_owned(), name });
    }
    let lock_path = data.join("lock");
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path).map_err(unusable(&lock_path))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ServerError::InUse(data.to_owned()),
        TryLockError::Error(source) => unusable(&lock_path)(source),
    })?;
    let database = data.join("drive.db");
    // Made here, empty, so that this user alone can read it: SQLite goes by the mask of the process, and gives the files
    // beside it the mode of this one.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&database);
    made.map_err(unusable(&database))?;
    let store = Store::open(&database, lock).map_err(|error| refused(data, error))?;
    let folder = data.join("blobs");
    let blobs = Blobs::open(folder.clone()).map_err(unusable(&folder))?;
    store.sweep(|blob| blobs.remove(blob)).map_err(|error| refused(data, error))?;
    let file = data.join("token");
    let token = match token {
        Some(token) => token,
        None => auth::kept_token(&file).map_err(unusable(&file))?,
    };
    if !is_token(&token) {
        return Err(ServerError::Token);
    }
    let clients = match sign_in {
        Some(url) => Clients::kept(data, url).map_err(unusable(data))?,
        None => Clients::default(),
    };
    let store = match clients.service_account() {
        Some(address) => store.with_service_account(address).map_err(|error| refused(data, error))?,
        None => store,
    };
    Ok(Opened { store, blobs, token, clients })
}

/// Why the database in `data` cannot be used.
fn refused(data: &Path, error: OpenError) -> ServerError {
    let format = |reason: String| ServerError::Format { path: data.to_owned(), reason };
    match error {
        OpenError::Newer(_) => ServerError::Newer { path: data.to_owned(), reason: error.to_string() },
        OpenError::Foreign => format(error.to_string()),
        OpenError::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => format(error.to_string()),
            _ => ServerError::Data { path: data.join("drive.db"), source: io::Error::other(error) },
        },
    }
}

/// Something in a folder that is no drive's. Of a drive whose first start was cut off there may be less than all.
fn foreign(data: &Path) -> io::Result<Option<String>> {
    if data.join("drive.db").exists() {
        return Ok(None);
    }
    for entry in std::fs::read_dir(data)? {
        let name = entry?.file_name();
        if !["drive.db-wal", "drive.db-shm", "drive.db-journal", "blobs", "lock", "token"]
            .iter()
            .any(|ours| name == *ours)
        {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}
