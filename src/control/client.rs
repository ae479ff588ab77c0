//! The side of the commands.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Chosen, Cleared, Emptied, Ending, EntryStatus, Evicted, Job, Left, Paths, PrefetchStatus, Refreshed, Restored,
    Scope, Status, ToFetch, TrashList, Wanted, Which,
};
use crate::net;

/// The name of a unix socket may not be longer (108 bytes with the final zero, unix(7)).
const LONGEST: usize = 100;

/// How long a status may take before the mount counts as not answering.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take until another daemon answers in the place of one that died.
const SUCCESSION: Duration = Duration::from_secs(2);

/// A socket whose path may be longer than the system allows: then it is reached through its folder.
#[derive(Debug)]
pub(super) struct Reachable {
    path: PathBuf,
    _folder: Option<File>,
}

impl Reachable {
    pub(super) fn new(socket: &Path) -> io::Result<Self> {
        let parts = socket.parent().zip(socket.file_name());
        let Some((folder, name)) = parts.filter(|_| socket.as_os_str().len() > LONGEST) else {
            return Ok(Self { path: socket.to_owned(), _folder: None });
        };
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no drivemount there.
    #[error("{path} is not a drivemount", path = path.display())]
    NotMounted {
        /// The place.
        path: PathBuf,
    },
    /// Its daemon is gone.
    #[error(
        "the daemon of {path} is gone; what was saved is kept, and sent by the next `drivemount mount` of the same drive there",
        path = path.display()
    )]
    Dead {
        /// The place.
        path: PathBuf,
    },
    /// It does not answer.
    #[error("the daemon of {path} does not answer: {why}", path = path.display())]
    NoAnswer {
        /// The place.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// It answered with an error.
    #[error("{0}")]
    Failed(String),
}

/// A running mount, to be asked.
#[derive(Debug)]
pub struct Client {
    mountpoint: PathBuf,
    http: reqwest::Client,
    _socket: Reachable,
}

/// What is at a place, as far as commands are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whereabouts {
    /// A mount, which is reached at this socket.
    At(PathBuf),
    /// A mount whose daemon is gone.
    Dead,
    /// Something else.
    NotMounted,
}

impl Whereabouts {
    /// Of a place. Asks the kernel, which asks the daemon: of one that hangs there is no answer, and who waits for it cannot be
    /// killed.
    pub fn of(mountpoint: &Path) -> Self {
        match crate::sys::get_xattr(mountpoint, crate::fs::CONTROL_XATTR) {
            Ok(socket) => Self::At(PathBuf::from(std::ffi::OsStr::from_bytes(&socket))),
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Self::Dead,
            Err(_) => Self::NotMounted,
        }
    }
}

impl Client {
    /// The mount at `mountpoint`. Asks where it is ([`Whereabouts::of`]); sends nothing yet.
    pub fn new(mountpoint: &Path) -> Result<Self, ClientError> {
        Self::at(mountpoint, Whereabouts::of(mountpoint))
    }

    /// The mount at `mountpoint`, if it is known where it is reached. Asks nobody.
    pub fn at(mountpoint: &Path, whereabouts: Whereabouts) -> Result<Self, ClientError> {
        let path = || mountpoint.to_owned();
        let socket = match whereabouts {
            Whereabouts::At(socket) => socket,
            Whereabouts::Dead => return Err(ClientError::Dead { path: path() }),
            Whereabouts::NotMounted => return Err(ClientError::NotMounted { path: path() }),
        };
        let no_answer = |why: String| ClientError::NoAnswer { path: path(), why };
        let socket = Reachable::new(&socket).map_err(|error| no_answer(error.to_string()))?;
        let target = address("").map_err(&no_answer)?;
        let http = net::client(&target, |builder| builder.unix_socket(socket.path()));
        let http = http.map_err(|error| no_answer(net::cause(error)))?;
        Ok(Self { mountpoint: path(), http, _socket: socket })
    }

    /// Where it is mounted.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// How it fares.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let url = address("status").map_err(|why| self.no_answer(why))?;
        self.read(self.http.get(url).timeout(STATUS_TIMEOUT)).await
    }

    /// Waits until the drive has everything in a scope.
    pub async fn flush(&self, scope: &Scope) -> Result<Left, ClientError> {
        let mut since = None;
        loop {
            let error = match self.post("flush", scope).await {
                Err(error @ ClientError::NoAnswer { .. }) => error,
                answer => return answer,
            };
            // Another daemon may be about to go on where that one died, and to ask twice does no harm.
            if since.get_or_insert_with(Instant::now).elapsed() > SUCCESSION {
                return Err(error);
            }
            tokio::time::sleep(SUCCESSION / 20).await;
        }
    }

    /// Asks the drive for what is new, and has tried again what could not be sent; answered when it is here.
    pub async fn refresh(&self, scope: &Scope) -> Result<Refreshed, ClientError> {
        self.post("refresh", scope).await
    }

    /// How one file or folder fares.
    pub async fn entry(&self, scope: &Scope) -> Result<EntryStatus, ClientError> {
        self.post("entry", scope).await
    }

    /// Drops what can be fetched again.
    pub async fn clear_cache(&self) -> Result<Cleared, ClientError> {
        self.post("cache/clear", &()).await
    }

    /// Begins to fetch something.
    pub async fn prefetch(&self, wanted: &ToFetch) -> Result<PrefetchStatus, ClientError> {
        self.post("prefetch", wanted).await
    }

    /// How a job fares that fetches something.
    pub async fn prefetching(&self, job: Job) -> Result<PrefetchStatus, ClientError> {
        let url = address("prefetch").map_err(|why| self.no_answer(why))?;
        self.read(self.http.get(url).query(&job).timeout(STATUS_TIMEOUT)).await
    }

    /// Tells that who began a job does not want it any more.
    pub async fn leave_prefetch(&self, job: Job) -> Result<PrefetchStatus, ClientError> {
        self.post("prefetch/leave", &job).await
    }

    /// Ends the jobs that fetch something at or below these paths; says how many.
    pub async fn stop_prefetch(&self, paths: &Paths) -> Result<usize, ClientError> {
        self.post("prefetch/stop", paths).await
    }

    /// Drops what is cached of files.
    pub async fn evict(&self, paths: &Paths) -> Result<Evicted, ClientError> {
        self.post("prefetch/evict", paths).await
    }

    /// What is in the trash of the drive.
    pub async fn trash(&self, which: &Which) -> Result<TrashList, ClientError> {
        let url = address("trash").map_err(|why| self.no_answer(why))?;
        self.read(self.http.get(url).query(which)).await
    }

    /// Deletes things in the trash for good.
    pub async fn empty_trash(&self, chosen: &Chosen) -> Result<Emptied, ClientError> {
        self.post("trash/empty", chosen).await
    }

    /// Takes something out of the trash; answered when it is in the mount again.
    pub async fn restore(&self, wanted: &Wanted) -> Result<Restored, ClientError> {
        self.post("trash/restore", wanted).await
    }

    /// Drains and unmounts; answered when the mount is gone.
    pub async fn unmount(&self, ending: &Ending) -> Result<Left, ClientError> {
        self.post("unmount", ending).await
    }

    async fn post<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let url = address(call).map_err(|why| self.no_answer(why))?;
        self.read(self.http.post(url).json(body)).await
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let answer = request.send().await.map_err(|error| self.no_answer(net::cause(error)))?;
        let success = answer.status().is_success();
        let body = answer.bytes().await.map_err(|error| self.no_answer(net::cause(error)))?;
        if success {
            return serde_json::from_slice(&body).map_err(|error| self.no_answer(error.to_string()));
        }
        let error: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let why = error.as_ref().and_then(|error| error.get("error")).and_then(|why| why.as_str());
        Err(ClientError::Failed(why.unwrap_or("the daemon failed without a reason").to_owned()))
    }

    fn no_answer(&self, why: String) -> ClientError {
        ClientError::NoAnswer { path: self.mountpoint.clone(), why }
    }
}

fn address(call: &str) -> Result<Url, String> {
    Url::parse(&format!("http://localhost/v1/{call}")).map_err(|error| error.to_string())
}
