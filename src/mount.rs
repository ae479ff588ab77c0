//! The life of a mount: put the rooms together, recover, mount, serve, drain, unmount.
//!
//! ```text
//!   mountpoint   may it be mounted here?          lock    one daemon a cache folder
//!   start        the rooms, from the bottom up    tasks   what goes on in the background
//!   sign_in      what is known of it at the start
//!   running      a mount from the inside          drain   the end
//!   controlled   a mount as commands see it       commands  trash  prefetch  what they can do
//! ```
//!
//! Start-up is recovery, every time. The end stops new changes, waits for the drive, unmounts, and says exactly what is not on
//! the drive yet; all ways to end (command, signal, plain `umount`) are the same way.

pub mod caches;
mod commands;
mod controlled;
mod drain;
mod import;
mod kept;
mod lock;
mod metrics;
pub mod mountpoint;
mod notify;
mod prefetch;
mod running;
mod sign_in;
mod signals;
mod start;
mod tasks;
mod trash;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::import::copy_in;
pub use self::kept::Kept;
pub use self::lock::{Lock, prepare as prepare_cache_dir};
pub use self::notify::NOTIFY_SOCKET;
use crate::auth::{self, AuthError};
use crate::cache::CacheError;
use crate::config::MountConfig;
use crate::control::Left;
use crate::error::Kind;
use crate::remote::RemoteError;
use crate::server::ServerError;
use crate::state::StateError;
use crate::tree::TreeError;
use crate::writeback::WritebackError;

/// Why there is no mount. Each is a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// It cannot be mounted at this place.
    #[error(transparent)]
    Mountpoint(#[from] mountpoint::MountpointError),
    /// Nobody is signed in.
    #[error(
        "nobody is signed in. Sign in with `drivemount login`; without a browser, give --service-account-file FILE, --credentials \
         FILE, --application-default, --rclone-remote NAME, --token-command COMMAND, --token-file FILE or $DRIVEMOUNT_TOKEN. To \
         try it without an account: `drivemount demo`, or mount a folder of this machine with `drivemount mount local:DIR \
         MOUNTPOINT`"
    )]
    NoSignIn,
    /// The credentials do not do.
    #[error("{error}. {remedy}")]
    Auth {
        /// Why.
        error: AuthError,
        /// What to do, as a sentence.
        remedy: String,
    },
    /// The drive refused, or cannot be reached.
    #[error("{0}")]
    Remote(RemoteError),
    /// There is no token, or the drive refused it.
    #[error("not signed in at {url}: {why}. {remedy}")]
    Refused {
        /// Where.
        url: String,
        /// What it said, or what is wrong with the credentials.
        why: String,
        /// What to do, as a sentence.
        remedy: String,
    },
    /// There is no token, for a reason that says itself what to do.
    #[error("not signed in: {why}")]
    NotGranted {
        /// The reason, and the remedy.
        why: String,
    },
    /// The token is good, but not for this.
    #[error("this sign-in does not reach far enough at {url}: {why}. {remedy}")]
    Scope {
        /// Where.
        url: String,
        /// What it said.
        why: String,
        /// What to do, as a sentence.
        remedy: String,
    },
    /// Somebody else answers.
    #[error("the server at {url} does not answer as a drive does ({why}). Is this the address of a Drive API?")]
    NoDrive {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
    /// The drive cannot be reached, or fails.
    #[error(
        "the drive at {url} does not serve: {why}. Check the address, and that the server runs and this machine has a network"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        why: String,
    },
    /// The cache folder cannot be used.
    #[error("the cache folder {dir} cannot be used: {source}. Make it readable and writable for this user, or give another with --cache-dir", dir = dir.display())]
    CacheDir {
        /// Which.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The log cannot be written where it was asked for.
    #[error(
        "the log file {path} cannot be written: {source}. Give another with --log-file, in a folder that is there, or none",
        path = path.display()
    )]
    LogFile {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Numbers cannot be served where they were asked for.
    #[error(
        "numbers cannot be served at {address}: {source}. Give another port with --metrics, or 0 for any that is free"
    )]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The cache folder is one of something else.
    #[error(
        "{dir} is no cache folder, but holds something else ({names}). Give an empty folder, or one that is not there yet, with \
         --cache-dir, as {dir}/drivemount",
        dir = dir.display()
    )]
    NotACache {
        /// Which.
        dir: PathBuf,
        /// Some of what is in it.
        names: String,
    },
    /// Others may change what is in the cache folder.
    #[error(
        "other users may write into the cache folder {dir}. Give one of its own with --cache-dir, as {dir}/drivemount; or, if it \
         is for nothing else, close it with `chmod go-w {dir}`",
        dir = dir.display()
    )]
    CacheOpenToOthers {
        /// Which.
        dir: PathBuf,
    },
    /// Another daemon uses the cache folder.
    #[error(
        "the cache folder {dir} is in use by another drivemount{by}. Unmount that one first, or give this one another --cache-dir",
        dir = dir.display()
    )]
    InUse {
        /// Which.
        dir: PathBuf,
        /// By whom, if known.
        by: String,
    },
    /// The database of the cache folder cannot be used.
    #[error("{0}")]
    State(#[from] StateError),
    /// The database of the cache folder is no database any more.
    #[error(
        "{what}: it is damaged, and with it the list of what the drive does not have yet. The content of that is in {dir}/staging: \
         copy what you need, then remove {dir}, or give another folder with --cache-dir",
        dir = dir.display()
    )]
    Damaged {
        /// The database, and what it says.
        what: StateError,
        /// The cache folder.
        dir: PathBuf,
    },
    /// The cache cannot be used.
    #[error("{0}")]
    Cache(#[from] CacheError),
    /// The tree cannot be used.
    #[error("{0}")]
    Tree(TreeError),
    /// The journal cannot be used.
    #[error("{0}")]
    Writeback(#[from] WritebackError),
    /// The embedded drive cannot be started.
    #[error("{0}")]
    Server(#[from] ServerError),
    /// The kernel does not mount.
    #[error("cannot mount at {mountpoint}: {why}", mountpoint = mountpoint.display())]
    Kernel {
        /// Where.
        mountpoint: PathBuf,
        /// What is missing, and what to do.
        why: String,
    },
    /// Nobody waits for it any more.
    #[error("the command that asked for the mount ended before it was ready")]
    Abandoned,
    /// Something of the local system failed.
    #[error("{what}: {source}")]
    System {
        /// What was done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Sorts of [`MountError`], for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureSort {
    /// Nobody is signed in, or the sign-in was refused.
    SignIn,
    /// The place, the kernel or the rights.
    CannotMount,
    /// The cache folder, or the data folder of the embedded drive.
    Cache,
    /// The network.
    Unreachable,
    /// Anything else.
    Other,
}

impl MountError {
    /// Which sort it is.
    pub fn sort(&self) -> FailureSort {
        match self {
            Self::Mountpoint(_)
            | Self::Kernel { .. }
            | Self::Tree(TreeError::NoRoot { .. } | TreeError::RootIsNoFolder { .. }) => FailureSort::CannotMount,
            Self::NoSignIn
            | Self::Auth { .. }
            | Self::Refused { .. }
            | Self::NotGranted { .. }
            | Self::Scope { .. } => FailureSort::SignIn,
            Self::Unreachable { .. } => FailureSort::Unreachable,
            Self::CacheDir { .. }
            | Self::NotACache { .. }
            | Self::CacheOpenToOthers { .. }
            | Self::InUse { .. }
            | Self::State(_)
            | Self::Damaged { .. }
            | Self::Cache(_)
            | Self::Tree(TreeError::Account { .. } | TreeError::OtherRoot { .. }) => FailureSort::Cache,
            Self::Server(error) if error.is_of_data() => FailureSort::Cache,
            Self::Writeback(error) if matches!(error.kind(), Kind::Corrupt) => FailureSort::Cache,
            Self::Remote(_)
            | Self::Tree(_)
            | Self::Writeback(_)
            | Self::Server(_)
            | Self::NoDrive { .. }
            | Self::LogFile { .. }
            | Self::Metrics { .. }
            | Self::Abandoned
            | Self::System { .. } => FailureSort::Other,
        }
    }

    /// What a failure of the database in `dir` is.
    fn of_state(what: StateError, dir: &Path) -> Self {
        if what.kind() == Kind::Corrupt { Self::Damaged { what, dir: dir.to_owned() } } else { Self::State(what) }
    }

    /// With the names of what it is about, as a person knows them.
    fn of(self, names: Names) -> Self {
        let Names { url, dir, enable } = names;
        match self {
            Self::State(what) => Self::of_state(what, &dir),
            Self::Remote(error) | Self::Tree(TreeError::Remote(error)) => match error.kind {
                Kind::Protocol | Kind::NotFound | Kind::Invalid => Self::NoDrive { url, why: error.message },
                Kind::Denied => Self::Scope { url, why: error.message, remedy: enable },
                _ => Self::Remote(error),
            },
            other => other,
        }
    }
}

/// What a failure of the start may be about, as a person knows it.
struct Names {
    url: String,
    dir: PathBuf,
    /// What to do about a sign-in that may do nothing, as a sentence.
    enable: String,
}

/// What a mount says once it can be used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where.
    pub mountpoint: PathBuf,
    /// What.
    pub source: String,
    /// Whose, as an email address.
    pub account: String,
    /// Entries that an earlier mount left unsent, and that are being sent now.
    pub recovered: usize,
    /// What else is worth a line.
    pub notes: Vec<String>,
}

/// Mounts, calls `ready` once it can be used, and serves until the mount ends. Says what is not on the drive then.
///
/// The process must end soon after: only that takes the mount away from who still has a file of it open, and gives the cache
/// folder back.
pub async fn run(config: MountConfig, kept: Option<Kept>, ready: impl FnOnce(&Ready)) -> Result<Left, MountError> {
    let names = Names { url: config.address(), dir: config.cache_dir.clone(), enable: sign_in::enable(&config) };
    let main = kept.as_ref().and_then(Kept::main_process);
    let mut mount = start::start(config, kept).await.map_err(|error| error.of(names))?;
    ready(&mount.ready());
    let supervisor = notify::Supervisor::of_environment(main);
    supervisor.ready(&mount.running);
    mount.until_end().await;
    let running = Arc::clone(&mount.running);
    let left = tokio::select! {
        left = mount.finish() => left,
        () = supervisor.draining(&running) => unreachable!("it has no end of its own"),
    };
    auth::end_programs();
    Ok(left)
}
