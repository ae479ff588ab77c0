//! What a file system means: entries, handles, attributes, names.
//!
//! [`Fs`] has a method for each operation, in terms of numbers and names, and can be driven without a kernel. It decides; the
//! kernel adapter ([`crate::fuse`]) only unpacks and replies. It promises:
//!
//! - **No method waits for the network.** What can be answered from memory, the database or a local file is answered at once
//!   ([`Answer::Now`]); everything else is a future for somebody else to wait for ([`Answer::Later`]).
//! - **The kernel may cache for long**: whatever changes without the kernel knowing is revoked by name ([`Revoke`]).
//! - **A handle keeps its content.** A file that is replaced elsewhere while it is open here gets a new number, as if it had been
//!   renamed over; who has it open goes on reading what was opened.
//! - **Numbers are rebuildable.** What the kernel holds (inode numbers, handles) means the same to the next process: numbers
//!   stand in the database; a handle has no state that cannot be made again from its number and flags.

mod ahead;
mod allocate;
mod attr;
mod by_id;
mod change;
mod changing;
mod copy;
mod dir;
mod documents;
mod errors;
mod exchange;
mod failures;
mod handle;
mod here;
mod io;
mod kept;
mod owner;
mod passthrough;
mod permits;
mod place;
mod remote;
mod revoke;
mod sent_away;
mod signals;
mod sync;
mod takeover;
mod xattr;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;

pub use self::allocate::Allocate;
pub use self::attr::{Attr, QUOTA_AGE, SetAttr, Space};
pub use self::copy::Place;
pub use self::dir::{DirEntry, Listing};
pub use self::handle::{Caching, OpenFlags};
pub use self::here::{GivenUp, Need};
pub use self::io::Writer;
pub use self::passthrough::{Backing, PassthroughState, Register};
pub use self::place::NodeId;
pub use self::revoke::{Hold, Locks, Outdated, Revoke};
pub use self::signals::is_to_end;
pub use self::takeover::News;
pub use self::xattr::CONTROL as CONTROL_XATTR;
use crate::book::Book;
use crate::clock::Instant;
use crate::config::{Fsync, ReadAhead};
use crate::content::{Content, ContentError};
use crate::error::Kind;
use crate::remote::{Quota, Remote};
use crate::tree::{Ino, Node, Tree, TreeError};
use crate::writeback::{Writeback, WritebackError};

/// Why an operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FsError {
    /// As the file system has it.
    #[error("{0}")]
    Kind(Kind),
    /// The tree could not answer.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Content could not be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The content of a file that is open is not on the drive any more.
    #[error(transparent)]
    Gone(ContentError),
    /// A change could not be made.
    #[error(transparent)]
    Writeback(#[from] WritebackError),
}

impl FsError {
    /// Of who reads a file that is open: it cannot be that it is not there, only that what it held is not.
    fn of_read(error: ContentError) -> Self {
        if error.kind() == Kind::NotFound { Self::Gone(error) } else { Self::Content(error) }
    }

    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kind(kind) => *kind,
            Self::Tree(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Gone(_) => Kind::Stale,
            Self::Writeback(error) => error.kind(),
        }
    }
}

impl From<Kind> for FsError {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, FsError>;

/// The answer to an operation.
#[expect(missing_debug_implementations, reason = "a future has nothing to show")]
pub enum Answer<T> {
    /// Here it is.
    Now(Result<T>),
    /// It takes the network, or the disk, or the kernel; somebody has to wait for it, and to drop the hold, if any, when it was
    /// given.
    Later(BoxFuture<'static, Result<T>>, Option<Hold>),
    /// As `Later`, for what has a bound of its own and may take longer than [`Fs::patience`].
    InItsTime(BoxFuture<'static, Result<T>>, Option<Hold>),
    /// It is done, and to be told when the kernel has heard of what it does not know by itself. Who is tired of waiting for that is told
    /// all the same: what is done is never called failed.
    Done(T, BoxFuture<'static, ()>, Option<Hold>),
}

impl<T: Send + 'static> Answer<T> {
    fn later(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Later(future.boxed(), None)
    }

    fn in_its_time(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::InItsTime(future.boxed(), None)
    }

    /// If it has to be waited for, with a hold meanwhile.
    #[must_use]
    pub fn holding(self, hold: impl FnOnce() -> Hold) -> Self {
        match self {
            Self::Now(result) => Self::Now(result),
            Self::Later(future, _) => Self::Later(future, Some(hold())),
            Self::InItsTime(future, _) => Self::InItsTime(future, Some(hold())),
            Self::Done(value, told, _) => Self::Done(value, told, Some(hold())),
        }
    }

    fn err(kind: Kind) -> Self {
        Self::Now(Err(kind.into()))
    }
}

impl<T> From<Result<T>> for Answer<T> {
    fn from(result: Result<T>) -> Self {
        Self::Now(result)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its thread, as the kernel numbers it; 0: not known.
    pub thread: u32,
}

/// What the mount decides for all entries.
#[derive(Debug, Clone)]
pub struct Options {
    /// User and group of what has none of its own.
    pub owner: (u32, u32),
    /// Permission bits of files that have none of their own.
    pub file_mode: u32,
    /// Permission bits of folders that have none of their own.
    pub dir_mode: u32,
    /// No changes at all.
    pub read_only: bool,
    /// How long an answer that is waited for may take.
    pub patience: Duration,
    /// `fsync` waits for the drive.
    pub fsync: Fsync,
    /// What is fetched that nobody asked for.
    pub read_ahead: ReadAhead,
    /// Where commands reach the mount.
    pub control_socket: PathBuf,
    /// Files may be given to the kernel, to read by itself.
    pub passthrough: bool,
    /// The file system of the cache stands on others.
    pub is_stacked: bool,
}

/// An entry, as the kernel is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The number the kernel shall know it by.
    pub id: NodeId,
    /// Its attributes.
    pub attr: Attr,
    /// How long the kernel may believe that the name means this entry.
    pub name_ttl: Duration,
    /// How long the kernel may believe the attributes.
    pub attr_ttl: Duration,
}

/// How long the kernel may believe what it was told: whatever changes is revoked by name, so this only bounds the memory of a
/// lost revocation.
const TTL: Duration = Duration::from_hours(1);

/// The file system of one mount.
pub struct Fs {
    tree: Arc<Tree>,
    content: Arc<Content>,
    writeback: Arc<Writeback>,
    remote: Arc<dyn Remote>,
    options: Options,
    runtime: Runtime,
    files: handle::Files,
    dirs: dir::Dirs,
    revoke: Arc<dyn Revoke>,
    quota: Mutex<(Quota, Instant)>,
    closing: AtomicBool,
    failures: failures::Failures,
    sent_away: sent_away::SentAway,
    changing: changing::Changing,
    ways: place::Ways,
    passthrough: passthrough::Passthrough,
    ahead: ahead::Ahead,
    /// Where the next daemon finds what it must know.
    book: Option<Arc<Book>>,
    /// Since when it was last noted there that the kernel is being told of news.
    telling: Mutex<Option<Instant>>,
    /// The root is that of the account's own drive.
    is_whole_drive: bool,
}

impl fmt::Debug for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fs").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The rooms of the house that the file system stands on.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Metadata.
    pub tree: Arc<Tree>,
    /// Reading.
    pub content: Arc<Content>,
    /// Writing.
    pub writeback: Arc<Writeback>,
    /// The drive itself, for its quota and its trash.
    pub remote: Arc<dyn Remote>,
    /// The drive's storage as it was at the start.
    pub quota: Quota,
    /// Where the next daemon finds what this one has open, and the number of this one among those that have it.
    pub book: Option<(Arc<Book>, u64)>,
}

impl Fs {
    /// Puts the parts together. `revoke` reaches the kernel; long answers run on `runtime`.
    pub fn new(parts: Parts, options: Options, revoke: Arc<dyn Revoke>, runtime: Runtime) -> Arc<Self> {
        // If even that cannot be read, nothing will be, and it says so then.
        let is_whole_drive = parts.tree.is_whole_drive().unwrap_or(false);
        let passthrough = passthrough::Passthrough::new(options.passthrough);
        let (book, generation) = parts.book.unzip();
        let generation = generation.unwrap_or(0);
        let fs = Arc::new(Self {
            tree: parts.tree,
            content: parts.content,
            writeback: parts.writeback,
            remote: parts.remote,
            options,
            runtime,
            files: handle::Files::new(book.clone(), generation),
            dirs: dir::Dirs::new(generation),
            revoke,
            quota: Mutex::new((parts.quota, Instant::now())),
            closing: AtomicBool::new(false),
            failures: failures::Failures::default(),
            sent_away: sent_away::SentAway::default(),
            changing: changing::Changing::default(),
            ways: place::Ways::default(),
            passthrough,
            ahead: ahead::Ahead::default(),
            book: book.clone(),
            telling: Mutex::default(),
            is_whole_drive,
        });
        fs.tree.listen(Arc::new(remote::FromDrive(Arc::downgrade(&fs))));
        fs
    }

    /// How long an answer that is waited for may take.
    pub fn patience(&self) -> Duration {
        self.options.patience
    }

    /// To be kept by a request that has to be waited for, and for which the kernel has locked this.
    pub fn hold(&self, locks: Locks) -> Hold {
        Hold::new(Arc::clone(&self.revoke), locks)
    }

    /// From now on there are no changes any more: the mount is ending.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the mount is ending.
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Refuses changes where there are none to be.
    fn writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Kind::ReadOnly.into());
        }
        if self.closing.load(Ordering::Relaxed) {
            return Err(Kind::Closing.into());
        }
        Ok(())
    }

    /// The entry of a number: as it is open, or as the tree has it, or as it was when it was removed here. Of a number that means
    /// nothing any more the kernel is told that it is *stale*, and not that there is no such file: then it looks the name up again,
    /// which may mean another entry by now.
    fn node(&self, ino: Ino) -> Result<Node> {
        if let Some(node) = self.files.unlinked(ino) {
            return Ok(node);
        }
        let node = self.tree.node(ino)?;
        if let Some(node) = node.as_ref().filter(|node| node.is_linked()) {
            return Ok(node.clone());
        }
        let gone = self.files.replaced(ino).map(|(node, _)| node).or(node).or_else(|| self.dirs.removed(ino));
        gone.ok_or_else(|| Kind::Stale.into())
    }
}
