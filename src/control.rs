//! The control socket: how commands reach a running mount.
//!
//! A mount answers HTTP with JSON on a unix socket in its cache folder, which only its user can open. The address is found by
//! asking the mountpoint itself for an extended attribute, so there is no list of mounts that could be wrong.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`Status`], within milliseconds |
//! | `POST /v1/flush` with [`Scope`] | [`Left`], when the drive has everything or what is left cannot be sent |
//! | `POST /v1/refresh` with [`Scope`] | [`Refreshed`], when the drive was asked for all that is new |
//! | `POST /v1/entry` with [`Scope`] | [`EntryStatus`]: how one file or folder fares |
//! | `POST /v1/cache/clear` | [`Cleared`]: what can be fetched again is dropped |
//! | `POST /v1/prefetch` with [`ToFetch`] | [`PrefetchStatus`] of the job that fetches it, at once |
//! | `GET /v1/prefetch` with [`Job`] in the query | [`PrefetchStatus`], also of one that has ended just now |
//! | `POST /v1/prefetch/leave` with [`Job`] | [`PrefetchStatus`]: who began it does not want it any more |
//! | `POST /v1/prefetch/stop` with [`Paths`] | how many jobs were stopped that fetch something of these |
//! | `POST /v1/prefetch/evict` with [`Paths`] | [`Evicted`]: what is cached of these files is dropped |
//! | `GET /v1/trash` with [`Which`] in the query | [`TrashList`]: what is in the trash of the drive |
//! | `POST /v1/trash/empty` with [`Chosen`] | [`Emptied`], when these are deleted for good |
//! | `POST /v1/trash/restore` with [`Wanted`] | [`Restored`], when it is in the mount again |
//! | `POST /v1/unmount` with [`Ending`] | [`Left`], when the mount is gone |
//!
//! Closing the connection gives up waiting. It gives up nothing else, but a flush that nobody waits for is not hurried.

mod client;
mod entry;
mod prefetch;
mod server;
mod trash;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use self::client::{Client, ClientError, Whereabouts};
pub use self::entry::{Cleared, EntryStatus, Refreshed};
pub use self::prefetch::{Amount, Evicted, Job, Paths, PrefetchStatus, TOLD, ToFetch};
pub use self::server::{Socket, listen, serve};
pub use self::trash::{Chosen, Emptied, Restored, TrashItem, TrashList, Wanted, Which};
use crate::config::Settings;
use crate::metrics::Requests;

/// The most entries that a status lists one by one.
pub const LISTED: usize = 1000;

/// How a mount fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// What is mounted: `google`, `local:DIR`, `http://HOST:PORT`.
    pub source: String,
    /// Whose drive it is, as an email address.
    pub account: String,
    /// Version of the daemon.
    pub version: String,
    /// Process number of the daemon.
    pub pid: u32,
    /// `mounted`; `sign-in required` when the drive refuses the credentials; `draining` when it is about to end.
    pub state: String,
    /// Why somebody has to sign in, and how; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignInStatus>,
    /// The name of the stored sign-in that it uses, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in_name: Option<String>,
    /// No changes can be made.
    pub read_only: bool,
    /// When it was mounted, as RFC 3339.
    pub since: String,
    /// The local disk.
    pub cache: CacheStatus,
    /// What starts another daemon when this one dies; absent: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<KeeperStatus>,
    /// Whether the kernel reads files of the cache by itself.
    #[serde(default)]
    pub passthrough: PassthroughStatus,
    /// What the drive does not have yet.
    pub unsent: Unsent,
    /// Edits that collided with others, until the copy is renamed or removed.
    pub conflicts: Vec<ConflictStatus>,
    /// Content that cannot be sent and is kept on this machine, until it is taken away from there.
    #[serde(default)]
    pub set_aside: Vec<AsideStatus>,
    /// Files that could not be read when a program tried last, with the reasons: the last ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadStatus>,
    /// Where a mount in the background writes what it has to say.
    #[serde(default)]
    pub log_file: PathBuf,
    /// Why writes wait or are refused; absent while they are neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<WritesStatus>,
    /// The drive's storage; without a limit `total` is absent.
    pub drive: DriveStatus,
    /// What is known of the drive.
    #[serde(default)]
    pub tree: TreeStatus,
    /// What went over the network since it was mounted.
    pub traffic: Traffic,
    /// What it was told, by the names of the flags, without secrets.
    #[serde(default)]
    pub settings: Settings,
    /// What becomes of the files that the mountpoint held, if they were to be moved into the drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportStatus>,
    /// What is being fetched ahead; and what was, in the background, a while ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefetches: Vec<PrefetchStatus>,
}

/// What starts another daemon when one dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperStatus {
    /// Its process number.
    pub pid: u32,
    /// How many daemons have died so far.
    pub restarts: u32,
    /// How many daemons there were so far, this one included; upgrades count, too.
    pub generation: u64,
    /// When and why the last one ended, if this is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<RestartStatus>,
}

/// How a daemon ended that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartStatus {
    /// When, as RFC 3339.
    pub at: String,
    /// Why, as a sentence without its end.
    pub reason: String,
}

/// Whether the kernel reads files of the cache by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassthroughStatus {
    /// It does, where it matters.
    pub on: bool,
    /// Why not, if not, as a sentence without its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many files it reads so now.
    pub files: usize,
}

/// What is known of the drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// Folders known by name whose entries are not known yet. In them may be more.
    pub unlisted: u64,
}

/// How the move of what the mountpoint held into the drive fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportStatus {
    /// `moving`, `done`, or `incomplete`: then the next mount with `--import-existing` goes on.
    pub state: String,
    /// Entries that are on the drive, and removed here.
    pub moved: usize,
    /// Entries that are still in the folder below the mount.
    pub left: usize,
    /// Why the first of those that cannot be moved cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why writes wait or are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritesStatus {
    /// `waiting` or `refused`.
    pub state: String,
    /// How many writers wait now.
    pub writers: usize,
    /// Why, as a sentence without its end.
    pub reason: String,
}

/// What is wrong with a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInStatus {
    /// What the drive, or the token service, said.
    pub reason: String,
    /// What mends it, as a sentence without its end.
    pub remedy: String,
}

/// Bytes on the local disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Where.
    pub dir: PathBuf,
    /// Content of the drive.
    pub used_bytes: u64,
    /// What it may take, unsent content included.
    pub cap_bytes: u64,
    /// Unsent content.
    pub staged_bytes: u64,
}

/// What the drive does not have yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// How many entries differ.
    pub entries: usize,
    /// Bytes that would be lost with this machine.
    pub bytes: u64,
    /// Of those, bytes of files that are open and not closed or synced since they were written.
    pub unsealed_bytes: u64,
    /// The entries, the oldest change first; the first [`LISTED`] of them.
    pub items: Vec<UnsentItem>,
}

/// An entry that the drive does not have as it is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentItem {
    /// Its path below the mountpoint.
    pub path: String,
    /// `queued`, `waiting` (it goes on changing, and is not sent each time), `uploading`, `removing`, `retrying` or `refused`.
    pub state: String,
    /// Bytes to send, 0 if only its name or attributes differ.
    pub bytes: u64,
    /// How many of them the drive has taken.
    pub sent: u64,
    /// Why it was not sent yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds until it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_seconds: Option<u64>,
    /// Seconds until it is sent, if it is `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_in_seconds: Option<u64>,
}

/// An edit that collided with somebody else's; neither was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictStatus {
    /// The path, which has their version.
    pub path: String,
    /// The name of our version, in the same folder.
    pub copy: String,
}

/// Content that nobody can say is whole, so that it is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideStatus {
    /// The path of what it was to become.
    pub path: String,
    /// Where it is kept, on the local disk.
    pub kept: PathBuf,
    /// Why, as the end of a sentence that begins with the path.
    pub why: String,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadStatus {
    /// Its path.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// The drive's storage, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveStatus {
    /// All that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// What is used.
    pub used_bytes: u64,
}

/// What went over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes of content received.
    pub downloaded_bytes: u64,
    /// Bytes of content sent.
    pub uploaded_bytes: u64,
    /// Requests that had to be repeated.
    pub retries: u64,
    /// Requests, and what they cost in the drive's quota units, by call.
    pub requests: BTreeMap<String, Requests>,
}

/// What to wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// A path below the mountpoint; absent or empty: everything.
    #[serde(default)]
    pub path: String,
    /// How long it is waited for, in milliseconds; absent: as long as it takes. Who asks gives up then; known before, it lets those
    /// files go first that can be whole in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
}

/// How to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How long to wait for the drive, in milliseconds; absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
}

/// What is not on the drive. It is kept here, and sent by this mount or the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The entries; the first [`LISTED`] of them.
    pub items: Vec<UnsentItem>,
    /// How many there are.
    pub entries: usize,
    /// Bytes that would be lost with this machine.
    pub bytes: u64,
}

/// A mount, as commands see it.
pub trait Controlled: Send + Sync + fmt::Debug {
    /// How it fares. Must not wait for the network.
    fn status(&self) -> Result<Status, String>;
    /// Waits for the drive.
    fn flush(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<Left, String>>;
    /// Asks the drive for what is new, and tries again at once what could not be sent.
    fn refresh(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<Refreshed, String>>;
    /// How one file or folder fares.
    fn entry(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<EntryStatus, String>>;
    /// Drops what can be fetched again. Blocks on the disk.
    fn clear_cache(&self) -> Result<Cleared, String>;
    /// Begins to fetch something, or joins who does. Waits for nothing.
    fn prefetch(self: Arc<Self>, wanted: ToFetch) -> Result<PrefetchStatus, String>;
    /// How a job fares that fetches something.
    fn prefetching(&self, job: Job) -> Result<PrefetchStatus, String>;
    /// Who began a job does not want it any more: it ends if nobody else does.
    fn leave_prefetch(&self, job: Job) -> Result<PrefetchStatus, String>;
    /// Ends the jobs that fetch something at or below these paths; says how many.
    fn stop_prefetch(&self, paths: Paths) -> Result<usize, String>;
    /// Drops what is cached of files. Blocks on the disk.
    fn evict(self: Arc<Self>, paths: Paths) -> BoxFuture<'static, Result<Evicted, String>>;
    /// What is in the trash of the drive.
    fn trash(self: Arc<Self>, which: Which) -> BoxFuture<'static, Result<TrashList, String>>;
    /// Deletes things that are in the trash for good.
    fn empty_trash(self: Arc<Self>, chosen: Chosen) -> BoxFuture<'static, Result<Emptied, String>>;
    /// Takes something out of the trash.
    fn restore(self: Arc<Self>, wanted: Wanted) -> BoxFuture<'static, Result<Restored, String>>;
    /// Drains and unmounts; completes when the mount is gone.
    fn unmount(self: Arc<Self>, ending: Ending) -> BoxFuture<'static, Result<Left, String>>;
}
