//! Writing: changes are made here first, and sent to the drive behind them.
//!
//! # What it owns
//!
//! The tables `journal`, `staging`, `layer`, `upload`, `stream` and `reserved` of [`crate::state`], and the folders `staging/` and `unfinished/`.
//!
//! # What it promises
//!
//! - **One transaction a change** ([`changes`]): the tree shows it and the journal knows it, or neither.
//! - **Sealed is safe.** After [`Writeback::seal`] the content survives the death of the process, and with
//!   [`Durability::PowerLoss`] more than that. It is sent as it was sealed, never as a mixture with later writes ([`pile`]).
//! - **Sent as it is written** ([`stream`]): a large file is with the drive, but for its end, when it is closed.
//! - **Sent once.** New items are created under ids reserved before; an upload that was cut off goes on where the drive says;
//!   after a crash our own revision is told from somebody else's by its checksum.
//! - **In an order that cannot be wrong** ([`send`]): an entry goes after its folder; a folder is removed after what was moved
//!   out of it, and only if nothing is in it that this mount has not seen; nothing waits in a circle.
//! - **Nothing blocks the rest** ([`queue`]): a failing entry is tried again for ever, less and less often, and shown with its
//!   reason; the others go on.
//! - **Neither side of a conflict is lost** ([`conflict`]).
//!
//! # Crash
//!
//! Start-up is recovery ([`recover`]): the journal *is* the list of what is to be done. If the crash was
//!
//! - before the transaction of a change: the change was never made, nobody was told that it was;
//! - while a request was under way: the drive may still carry it out, which is waited for ([`stragglers`]);
//! - after it, before anything was sent: the row is found and sent;
//! - after the drive took it, before the answer was stored: it is sent again under the same id, or found to be there already;
//! - after the answer was stored, before the staging file was removed: the file is marked as retired, and swept.

mod answer;
mod aside;
mod beside;
pub mod changes;
mod conflict;
mod copies;
mod exchange;
mod flush;
mod growth;
mod guess;
mod journal;
mod layers;
mod leavings;
mod links;
mod made;
mod outgoing;
mod pile;
mod plan;
mod queue;
mod recall;
mod recover;
mod refusals;
mod rename;
mod sealing;
mod send;
mod snapshot;
mod space;
mod staging;
mod stagings;
mod stragglers;
mod stream;
mod table;
mod take_in;
mod temporary;
mod trash;
mod unsealed;
mod upload;
mod waiting;
mod worker;
mod writing;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::aside::Aside;
pub use self::flush::{Pending, Pressed};
pub use self::journal::Seq;
pub use self::rename::Renamed;
pub use self::space::{HeldBack, PATIENCE, Room};
pub use self::staging::{Durability, Opened, Staging};
pub use self::waiting::{Waiting, waiting};
use crate::book::Book;
use crate::cache::CacheError;
use crate::config::UseTrash;
use crate::content::{Content, ContentError};
use crate::error::Kind;
use crate::remote::{Remote, RemoteError};
use crate::state::{State, StateError};
use crate::tree::{Ino, Tree, TreeError};

/// Why a change could not be made, or not be sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WritebackError {
    /// The drive refused, or cannot be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The database failed.
    #[error("{0}")]
    State(Arc<StateError>),
    /// The tree failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Bytes that the change builds on could not be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The staging folder failed.
    #[error("staging: {0}")]
    Io(Arc<io::Error>),
    /// A staging file does not hold what it should.
    #[error("unsent content of entry {ino} is damaged: {why}")]
    Damaged {
        /// Which entry.
        ino: Ino,
        /// In which way.
        why: String,
    },
    /// A step of sending panicked.
    #[error(
        "a mistake in drivemount kept it from being sent; it is safe here and tried again; `drivemount logs` tells more"
    )]
    Mistake,
    /// The change is not possible as things are.
    #[error("{0}")]
    Refused(Kind),
    /// There is no room for more bytes that the drive does not have, and none will come.
    #[error("no room for more that is not on the drive: {why}")]
    NoRoom {
        /// Why none will come.
        why: String,
    },
    /// The drive does not take what was written.
    #[error("{why}")]
    NotTaken {
        /// In which way.
        kind: Kind,
        /// What it said.
        why: String,
    },
    /// What the drive stored has another checksum than what was sent.
    #[error("the drive stored other bytes than were sent (MD5 {theirs} for {ours}); sending again")]
    Mismatch {
        /// What was sent.
        ours: String,
        /// What was stored.
        theirs: String,
    },
}

impl WritebackError {
    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Remote(error) => error.kind,
            Self::State(error) => error.kind(),
            Self::Tree(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Cache(error) => error.kind(),
            Self::Io(error) => Kind::of_io(error),
            Self::Damaged { .. } | Self::Mistake => Kind::Corrupt,
            Self::Refused(kind) | Self::NotTaken { kind, .. } => *kind,
            Self::NoRoom { .. } => Kind::DiskFull,
            Self::Mismatch { .. } => Kind::Server,
        }
    }
}

impl WritebackError {
    /// Whether the drive does not have the bytes any more that a change builds on.
    fn is_of_base(&self) -> bool {
        matches!(self, Self::Content(error) if matches!(error.kind(), Kind::Stale | Kind::NotFound))
    }
}

impl From<StateError> for WritebackError {
    fn from(error: StateError) -> Self {
        Self::State(Arc::new(error))
    }
}

impl From<rusqlite::Error> for WritebackError {
    fn from(error: rusqlite::Error) -> Self {
        StateError::from(error).into()
    }
}

impl From<io::Error> for WritebackError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Result of a change.
pub type Result<T> = std::result::Result<T, WritebackError>;

/// What a mount decides for all that is sent.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How often a file that stays open while it is written is sent.
    pub sync_interval: Duration,
    /// Uploads at one time, if not as many as is usual.
    pub transfers: Option<usize>,
    /// What becomes of what is removed.
    pub use_trash: UseTrash,
}

/// The write-back of one mount.
#[derive(Debug)]
pub struct Writeback {
    state: Arc<State>,
    tree: Arc<Tree>,
    remote: Arc<dyn Remote>,
    stagings: Arc<stagings::Stagings>,
    seqs: journal::Seqs,
    queue: Arc<queue::Queue>,
    /// Held while ids are reserved on the drive.
    refill: Semaphore,
    trash: trash::Trash,
    /// Uploads under way at one time.
    uploads: Arc<queue::Turns>,
    /// Large ones among them.
    large: Arc<queue::Turns>,
    /// What the drive may still be doing for an earlier process.
    stragglers: stragglers::Stragglers,
    /// What is sent of files that are still written.
    streams: stream::Streams,
    /// Files that are worth that; for the worker.
    growing: Mutex<Option<mpsc::UnboundedReceiver<Ino>>>,
    /// What became of files with temporary names.
    habits: guess::Habits,
    aside: aside::AsideFolder,
    beside: beside::Beside,
    refusals: refusals::Refusals,
    /// The drive refused something because it is full.
    full: Notify,
    /// The drive took something away, which may have made room there.
    gave: Notify,
}

/// A collision of an edit here with one made elsewhere; neither was lost.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The path that both edited; it has their version.
    pub path: String,
    /// The name of the copy that has ours, in the same folder.
    pub copy: String,
}

impl Writeback {
    /// Opens the journal and the staging folder, and recovers from whatever the last end was. Sends nothing yet.
    #[expect(clippy::too_many_arguments, reason = "it is what it is made of")]
    pub fn open(
        state: Arc<State>,
        tree: Arc<Tree>,
        content: Arc<Content>,
        remote: Arc<dyn Remote>,
        dir: &Path,
        runtime: Handle,
        book: Option<Arc<Book>>,
        options: Options,
    ) -> Result<Arc<Self>> {
        let (grow, growing) = mpsc::unbounded_channel();
        // What somebody has open is as it was for the daemon that died.
        let open = book.as_deref().map(Book::open_entries).unwrap_or_default();
        let takes_over = book.as_deref().is_some_and(Book::is_mounted);
        let stagings =
            stagings::Stagings::open(dir, Arc::clone(&state), content, runtime, remote.largest(), grow, book)?;
        let seqs = journal::Seqs::open(&state)?;
        let aside = aside::AsideFolder::new(dir.with_file_name("unfinished"), Arc::clone(&state));
        let uploads = options.transfers.unwrap_or(queue::AT_ONCE);
        // However few: one place is for small ones, which would wait for minutes behind large ones.
        let large = options.transfers.map_or(upload::LARGE_AT_ONCE, |transfers| (transfers - 1).max(1));
        let stragglers = state.read(stragglers::Stragglers::find)?;
        let writeback = Self {
            state,
            tree,
            remote,
            stagings,
            seqs,
            queue: Arc::new(queue::Queue::new(options.sync_interval)),
            refill: Semaphore::new(1),
            trash: trash::Trash::new(options.use_trash),
            uploads: queue::Turns::new(uploads, uploads),
            large: queue::Turns::new(large, upload::LARGE_PRESSED),
            stragglers,
            streams: stream::Streams::default(),
            growing: Mutex::new(Some(growing)),
            habits: guess::Habits::default(),
            aside,
            beside: beside::Beside::default(),
            refusals: refusals::Refusals::default(),
            full: Notify::new(),
            gave: Notify::new(),
        };
        let kept = open.into_iter().map(Ino).chain(writeback.stagings.unsealed.entries()).collect();
        writeback.recover(&kept, takes_over)?;
        Ok(Arc::new(writeback))
    }

    /// Sends what the journal holds, until `end`. To be run once, as a task.
    pub async fn run(self: Arc<Self>, end: CancellationToken) {
        worker::run(self, end).await;
    }

    /// Completes when the drive has refused something because it is full, since this was asked last.
    pub async fn heard_full(&self) {
        self.full.notified().await;
    }

    /// Completes when the drive has deleted something at our request, since this was asked last.
    pub async fn heard_gone(&self) {
        self.gave.notified().await;
    }

    /// Something was deleted from the drive.
    pub fn deleted(&self) {
        self.gave.notify_one();
    }

    /// The staging of an entry that has content which the drive has not; readers must use it.
    pub fn unsent(&self, ino: Ino) -> Result<Option<Arc<Staging>>> {
        self.stagings.get(ino)
    }

    /// Writes into a staging.
    pub fn write(&self, staging: &Staging, offset: u64, bytes: &[u8]) -> Result<()> {
        self.stagings.write(staging, offset, bytes)
    }

    /// Sets the size of a staging.
    pub fn resize(&self, staging: &Staging, size: u64) -> Result<()> {
        self.stagings.resize(staging, size)
    }

    /// Makes a range of a staging zeros, as far as it is within the size.
    pub fn zero(&self, staging: &Staging, range: Range<u64>) -> Result<()> {
        self.stagings.zero(staging, range)
    }

    /// Whether a range of a file could be written, as far as can be told now. Takes nothing.
    pub fn has_room(&self, staging: Option<&Staging>, range: Range<u64>) -> Result<()> {
        self.stagings.has_room(staging, range)
    }

    /// Bytes that unsent content takes on the local disk.
    pub fn staged_bytes(&self) -> u64 {
        self.stagings.space.held()
    }

    /// Collisions whose copies still have the names that they were given.
    pub fn conflicts(&self) -> Result<Vec<Conflict>> {
        Ok(self.state.read(conflict::all)?)
    }

    /// What was put aside since the start, and will not be sent.
    pub fn newly_aside(&self) -> Vec<Aside> {
        self.aside.new_ones()
    }

    /// What will not be sent, and is kept on this machine.
    pub fn set_aside(&self) -> Result<Vec<Aside>> {
        self.aside.list()
    }
}
