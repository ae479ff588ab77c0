//! The life of a mount: put the rooms together, recover, mount, serve, drain, unmount.
//!
//! ```text
//!   mountpoint   may it be mounted here?          lock    one daemon a cache folder
//!   start        the rooms, from the bottom up    tasks   what goes on in the background
//!   running      a mount as commands see it       drain   the end
//! ```
//!
//! Start-up is recovery, every time. The end stops new changes, waits for the drive, unmounts, and says exactly what is not on
//! the drive yet; all ways to end (command, signal, plain `umount`) are the same way.

mod drain;
mod lock;
pub mod mountpoint;
mod running;
mod start;
mod tasks;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::lock::Lock;
use crate::auth::AuthError;
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
        "nobody is signed in. Try it without an account with `drivemount demo`, mount a folder of this machine with \
         `drivemount mount local:DIR MOUNTPOINT`, or sign in with --token-file FILE, --credentials FILE or \
         $DRIVEMOUNT_TOKEN"
    )]
    NoSignIn,
    /// The credentials do not do.
    #[error("{0}")]
    Auth(#[from] AuthError),
    /// The drive refused, or cannot be reached.
    #[error("{0}")]
    Remote(RemoteError),
    /// The drive refused the sign-in.
    #[error(
        "the drive at {url} refused the token: {why}. Get a fresh one and give it with --token-file or $DRIVEMOUNT_TOKEN"
    )]
    Refused {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
    /// The drive cannot be reached.
    #[error(
        "no drive answers at {url}: {why}. Check the address, and that the server runs and this machine has a network"
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
            Self::Mountpoint(_) | Self::Kernel { .. } => FailureSort::CannotMount,
            Self::NoSignIn | Self::Auth(_) | Self::Refused { .. } => FailureSort::SignIn,
            Self::Unreachable { .. } => FailureSort::Unreachable,
            Self::CacheDir { .. }
            | Self::InUse { .. }
            | Self::State(_)
            | Self::Cache(_)
            | Self::Tree(TreeError::Account { .. }) => FailureSort::Cache,
            Self::Server(error) if error.is_of_data() => FailureSort::Cache,
            Self::Writeback(error) if matches!(error.kind(), Kind::Corrupt) => FailureSort::Cache,
            Self::Remote(_)
            | Self::Tree(_)
            | Self::Writeback(_)
            | Self::Server(_)
            | Self::Abandoned
            | Self::System { .. } => FailureSort::Other,
        }
    }
}

/// What a mount says once it can be used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where.
    pub mountpoint: PathBuf,
    /// What.
    pub source: String,
    /// Whose.
    pub account: String,
    /// Entries that an earlier mount left unsent, and that are being sent now.
    pub recovered: usize,
    /// What else is worth a line.
    pub notes: Vec<String>,
}

/// Mounts, calls `ready` once it can be used, and serves until the mount ends. Says what is not on the drive then.
pub async fn run(config: MountConfig, ready: impl FnOnce(&Ready)) -> Result<Left, MountError> {
    let mut mount = start::start(config).await?;
    ready(&mount.ready());
    let ending = mount.until_end().await;
    Ok(mount.finish(ending).await)
}
