//! The tree: a durable replica of the drive's metadata, with this mount's own changes already in it.
//!
//! It owns the tables `node` and `base` of [`crate::state`], and promises:
//!
//! - **Local truth is immediate.** A change made here is one transaction and visible at once, whether the network is up or not.
//! - **Remote truth arrives by itself.** All folders are listed in the background ([`crawl`]), first those that somebody asks
//!   for ([`listing`]), and from then on kept true by the feed of changes ([`follow`]), whose cursor is taken before the first
//!   listing. To stay true, nothing is listed again.
//! - **Three sides are merged, never two** ([`merge`]): what is here, what the drive has now, and what it had when we last
//!   agreed (the `base` row). A field changed on one side only follows that side; a field changed on both stays ours until it is
//!   sent; content changed on both is a conflict, which [`crate::writeback`] resolves.
//! - **Old news is no news.** Every description carries the version of its item; an older one never replaces a newer.
//! - **Inode numbers last.** An entry keeps its number over remounts; no number is ever given twice.
//!
//! There is no table of inodes in memory: the rows are looked up in microseconds, so what the kernel forgets costs nothing.

pub mod asked;
pub mod crawl;
pub mod documents;
pub mod drives;
mod feeds;
pub mod follow;
pub mod links;
pub mod listing;
pub mod local;
pub mod merge;
mod names;
mod node;
pub mod nodes;
mod root;
pub mod shortcuts;
pub mod snapshot;
mod targets;
mod trash;
mod unplaced;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rusqlite::Transaction;
use tokio::sync::{Notify, watch};

pub use self::node::{Base, Ino, Node, NodeKind, OnDrive};
use crate::clock;
use crate::error::Kind;
use crate::remote::{FileId, Remote, RemoteError};
use crate::state::{self, State, StateError, Version, request};

/// The version of what was deleted for good: whatever is still heard of it is older. It may have been changed after we last heard,
/// by an upload of ours that was under way when it was removed here.
pub const FOR_GOOD: u64 = i64::MAX.cast_unsigned();

/// The same, of what the drive had not told of before: what is heard of it may also be a request of ours that arrived after all. No
/// other item ever has its id, and nobody else had reason to know it.
pub const NEVER_SEEN: u64 = FOR_GOOD - 1;

/// What a merge changed, for those who have to know: the kernel and the journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Names that mean something else now (or nothing, or something).
    pub entries: Vec<(Ino, String)>,
    /// Entries whose attributes changed.
    pub attributes: Vec<Ino>,
    /// Files whose content changed.
    pub contents: Vec<Ino>,
    /// Entries that others may see.
    pub shared: Vec<Ino>,
    /// Entries that must be sent to the drive again, since it lost them while they held unsent work.
    pub resend: Vec<Ino>,
    /// Removed entries that must be deleted there again, since a request of ours arrived after their removal.
    pub late: Vec<Ino>,
}

/// Who is told what merges change.
pub trait Listener: Send + Sync + fmt::Debug {
    /// Within the transaction of the merge, before it commits.
    fn merging(&self, tx: &Transaction<'_>, effects: &Effects) -> rusqlite::Result<()>;
    /// After the commit.
    fn merged(&self, effects: Effects);
    /// Whether an entry has content that was written here and that the tables do not know of yet. Asked within transactions.
    fn is_edited(&self, ino: Ino) -> bool;
    /// The entries that somebody has open.
    fn in_use(&self) -> Vec<Ino>;
    /// The feed of changes told something of these items, even if it is nothing that shows. After the commit.
    fn heard(&self, items: &HashSet<FileId>);
}

/// Why the tree could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TreeError {
    /// The drive could not be asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The database failed.
    #[error("{0}")]
    State(Arc<StateError>),
    /// The cache folder holds another account.
    #[error(
        "this cache folder belongs to the account {was}, and the drive is {is}: give each account a --cache-dir of its own"
    )]
    Account {
        /// Whose it is.
        was: String,
        /// Who signed in.
        is: String,
    },
    /// The cache folder holds another part of the drive.
    #[error(
        "this cache folder is of {was}, and {is} is to be mounted: give each root a --cache-dir of its own, or leave it out"
    )]
    OtherRoot {
        /// What it holds.
        was: String,
        /// What was asked for.
        is: String,
    },
    /// There is no such folder.
    #[error(
        "the drive has no folder {root}. Give --root the path of a folder as the drive has it, such as data/sets, or its id, which is \
         the last part of its address in a browser"
    )]
    NoRoot {
        /// What was asked for.
        root: String,
    },
    /// It is something else.
    #[error(
        "{root} is not a folder of the drive, and only a folder can be mounted; give --root the folder that it is in"
    )]
    RootIsNoFolder {
        /// What was asked for.
        root: String,
    },
}

impl TreeError {
    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Remote(error) => error.kind,
            Self::State(error) => error.kind(),
            Self::Account { .. } | Self::OtherRoot { .. } => Kind::Denied,
            Self::NoRoot { .. } => Kind::NotFound,
            Self::RootIsNoFolder { .. } => Kind::NotADirectory,
        }
    }
}

impl From<StateError> for TreeError {
    fn from(error: StateError) -> Self {
        Self::State(Arc::new(error))
    }
}

impl From<rusqlite::Error> for TreeError {
    fn from(error: rusqlite::Error) -> Self {
        StateError::from(error).into()
    }
}

/// Result of a call to the tree.
pub type Result<T> = std::result::Result<T, TreeError>;

/// The replica of one drive.
#[derive(Debug)]
pub struct Tree {
    state: Arc<State>,
    remote: Arc<dyn Remote>,
    inos: Mutex<Inos>,
    listings: listing::Listings,
    looks: follow::Looks,
    /// There may be folders to be listed.
    unlisted: Notify,
    /// How far a snapshot is taken in; `None` while none is.
    loading: watch::Sender<Option<snapshot::Loading>>,
    feeds: feeds::Feeds,
    listener: OnceLock<Arc<dyn Listener>>,
}

/// Inode numbers to give out: `next` up to, not including, `reserved`, which stands in the database.
#[derive(Debug)]
struct Inos {
    next: u64,
    reserved: u64,
}

/// Numbers reserved at once, so that not every new entry has to write the counter.
const INO_BATCH: u64 = 4096;

const FACT_ACCOUNT: &str = "account";
/// The root as it was asked for; absent: the drive's own.
const FACT_ROOT: &str = "root";
const FACT_CURSOR: &str = "cursor";
const FACT_NEXT_INO: &str = "next_ino";

impl Tree {
    /// Opens the replica of `account`, or of the folder `root` of it, by path or id. At the very first time it asks the drive for its root and for the end of the feed of
    /// changes; after that it needs no network.
    pub async fn open(
        state: Arc<State>,
        remote: Arc<dyn Remote>,
        account: &str,
        root: Option<&str>,
    ) -> Result<Arc<Self>> {
        match state.fact(FACT_ACCOUNT)? {
            Some(was) if was != account => return Err(TreeError::Account { was, is: account.to_owned() }),
            Some(_) => root::must_match(&state, root)?,
            None => {
                // The cursors first: what changes while folders are listed is then in the feeds.
                let cursor = remote.cursor(None).await?;
                let root::Found { id: folder, drive, access } = root::find(&*remote, root).await?;
                let drive_cursor = match &drive {
                    Some(id) => Some(remote.cursor(Some(id)).await?),
                    None => None,
                };
                state.write::<_, TreeError>(|tx| {
                    if let (Some(id), Some(cursor)) = (&drive, &drive_cursor) {
                        feeds::set_cursor(tx, Some(id), cursor)?;
                    }
                    state::set_fact(tx, FACT_ACCOUNT, account)?;
                    state::set_fact(tx, FACT_CURSOR, &cursor.0)?;
                    state::set_fact(tx, FACT_NEXT_INO, &(Ino::ROOT.0 + 1).to_string())?;
                    if let Some(root) = root {
                        state::set_fact(tx, FACT_ROOT, root)?;
                    }
                    nodes::insert(tx, &Node { drive: drive.clone(), access, ..root_node(folder) })?;
                    Ok(())
                })?;
            }
        }
        let next = state.fact(FACT_NEXT_INO)?.and_then(|text| text.parse().ok()).unwrap_or(Ino::ROOT.0 + 1);
        let tree = Self {
            state,
            remote,
            inos: Mutex::new(Inos { next, reserved: next }),
            listings: listing::Listings::default(),
            looks: follow::Looks::default(),
            unlisted: Notify::new(),
            loading: watch::Sender::default(),
            feeds: feeds::Feeds::default(),
            listener: OnceLock::new(),
        };
        tree.state.write::<_, TreeError>(|tx| {
            nodes::sweep_tombstones(tx, clock::now())?;
            drives::found(tx)?;
            Ok(targets::found(tx)?)
        })?;
        Ok(Arc::new(tree))
    }

    /// Whose drive a database holds, if anybody's; without asking the drive.
    pub fn account(state: &State) -> Result<Option<String>> {
        Ok(state.fact(FACT_ACCOUNT)?)
    }

    /// Tells `listener` from now on what merges change. To be called once, before the first listing.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        assert!(self.listener.set(listener).is_ok(), "a tree has one listener");
    }

    /// The entry of a number; unlinked ones too while they are needed.
    pub fn node(&self, ino: Ino) -> Result<Option<Node>> {
        Ok(self.state.peek(|db| nodes::by_ino(db, ino))?)
    }

    /// What the tree is now, by a number: while that is the same, so is every entry.
    pub fn version(&self) -> Option<Version> {
        self.state.version()
    }

    /// Does something for each entry that can be reached by a path.
    pub fn for_each(&self, work: impl FnMut(Node)) -> Result<()> {
        Ok(self.state.read(|db| nodes::for_each_linked(db, work))?)
    }

    /// Whether a request is done: see [`crate::state::request`].
    pub fn is_done(&self, request: u64) -> Result<bool> {
        Ok(self.state.read(|db| request::is_done(db, request))?)
    }

    /// The entry of an item of the drive.
    pub fn by_id(&self, id: &FileId) -> Result<Option<Node>> {
        Ok(self.state.peek(|db| nodes::by_id(db, id))?)
    }

    /// What a name in a folder means: of a further name, its file. Ask for the folder to be [listed](Self::list) before believing a
    /// `None`.
    pub fn child(&self, parent: Ino, name: &str) -> Result<Option<Node>> {
        Ok(self.state.peek(|db| match nodes::by_name(db, parent, name)? {
            Some(row) => links::meant(db, row).map(Some),
            None => Ok(None),
        })?)
    }

    /// The row of a name in a folder: of a further name, that name itself.
    pub fn row(&self, parent: Ino, name: &str) -> Result<Option<Node>> {
        Ok(self.state.peek(|db| nodes::by_name(db, parent, name))?)
    }

    /// The files of a folder that have a content on the drive of at most `largest` bytes: name, number and length, by name. No more
    /// than `most` of them.
    pub fn files(&self, folder: Ino, largest: u64, most: usize) -> Result<Vec<(String, Ino, u64)>> {
        Ok(self.state.read(|db| nodes::files(db, folder, largest, most))?)
    }

    /// The folders in a folder, by name; no more than `most`.
    pub fn folders(&self, folder: Ino, most: usize) -> Result<Vec<Ino>> {
        Ok(self.state.read(|db| nodes::folders(db, folder, most))?)
    }

    /// How many bytes the files of at most `largest` bytes have that are in the folders of a folder; `None` if they are more than
    /// `most`.
    pub fn bytes_of_files(&self, folder: Ino, largest: u64, most: usize) -> Result<Option<u64>> {
        Ok(self.state.read(|db| nodes::bytes_of_files(db, folder, largest, most))?)
    }

    /// Keeps the log of the database short. Blocks on the disk.
    pub fn checkpoint(&self) -> Result<()> {
        Ok(self.state.checkpoint()?)
    }

    /// The path of an entry below the mountpoint, `a/b`; for people, not for opening: it may be gone the next moment.
    pub fn path(&self, ino: Ino) -> Result<String> {
        Ok(self.state.read(|db| nodes::path(db, ino))?)
    }

    /// Whether `ino` is `scope` or lies in it, at any depth, by any of its names; the names of a file belong to that.
    pub fn belongs(&self, ino: Ino, scope: Ino) -> Result<bool> {
        Ok(self.state.read(|db| links::belongs(db, ino, scope))?)
    }

    /// The further names of a file, with their folders.
    pub fn further_names(&self, file: Ino) -> Result<Vec<(Ino, String)>> {
        Ok(self.state.read(|db| links::entries(db, file))?)
    }

    /// The shared drive that an entry is in, if it is in one.
    pub fn drive_of(&self, ino: Ino) -> Result<Option<FileId>> {
        Ok(self.state.peek(|db| nodes::drive_of(db, ino))?)
    }

    /// How many folders are in a folder, as far as they are known.
    pub fn count_folders(&self, folder: Ino) -> Result<u32> {
        Ok(self.state.peek(|db| nodes::count_folders(db, folder))?)
    }

    /// Keeps the target of a symbolic link, which had to be read from its content.
    pub fn set_target(&self, ino: Ino, target: &str) -> Result<()> {
        self.state.write(|tx| match nodes::by_ino(tx, ino)? {
            Some(node) => Ok(nodes::update(tx, &Node { target: Some(target.to_owned()), ..node })?),
            None => Ok(()),
        })
    }

    /// Gives an entry a new number; the old one means nothing any more. Says what the entry is now.
    pub fn renumber(&self, ino: Ino) -> Result<Option<Node>> {
        let new = self.new_ino()?;
        self.state.write(|tx| {
            nodes::renumber(tx, ino, new)?;
            Ok(nodes::by_ino(tx, new)?)
        })
    }

    /// `count` numbers never given before. Not within a transaction: now and then this is one itself. What is not used is lost,
    /// which does no harm.
    pub fn new_inos(&self, count: usize) -> Result<Range<u64>> {
        let mut inos = self.inos.lock();
        let end = inos.next + count as u64;
        if end > inos.reserved {
            let reserved = end + INO_BATCH;
            self.state.set_fact(FACT_NEXT_INO, &reserved.to_string())?;
            inos.reserved = reserved;
        }
        Ok(std::mem::replace(&mut inos.next, end)..end)
    }

    /// Numbers that were not used after all, so that they stay short. Fine to forget.
    pub(crate) fn give_back(&self, unused: &Range<u64>) {
        let mut inos = self.inos.lock();
        if inos.next == unused.end {
            inos.next = unused.start;
        }
    }

    /// Whether an entry of this number was there and is not any more. A database that was begun anew does not know.
    pub fn is_removed(&self, ino: Ino) -> Result<bool> {
        Ok(ino.0 < self.inos.lock().next && self.node(ino)?.is_none())
    }

    /// One number never given before; as [`Self::new_inos`].
    pub fn new_ino(&self) -> Result<Ino> {
        Ok(Ino(self.new_inos(1)?.start))
    }
}

fn root_node(id: FileId) -> Node {
    let node = Node::new(Ino::ROOT, Ino::NOWHERE, "/".to_owned(), NodeKind::Folder, clock::now());
    Node { id: Some(id), ..node }
}
