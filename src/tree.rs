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

use crate::clock::{self, Timestamp};
use crate::error::Kind;
use crate::remote::{Access, Device, FileId, Item, Md5, Remote, RemoteError, RevisionId, Special, Xattrs};
use crate::state::{self, State, StateError, Version, request};

/// The version of what was deleted for good: whatever is still heard of it is older. It may have been changed after we last heard,
/// by an upload of ours that was under way when it was removed here.
pub const FOR_GOOD: u64 = i64::MAX.cast_unsigned();

/// The same, of what the drive had not told of before: what is heard of it may also be a request of ours that arrived after all. No
/// other item ever has its id, and nobody else had reason to know it.
pub const NEVER_SEEN: u64 = FOR_GOOD - 1;

/// Number of an entry; what the kernel calls `nodeid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);
    /// The folder of what is in no folder: the root, the two below, and what was unlinked and is still needed.
    pub const NOWHERE: Self = Self(0);
    /// The folder of the shared drives ([`drives`]), which no drive has. Numbers are given out from the other end, and the kernel
    /// adapter needs the bits above.
    pub const SHARED_DRIVES: Self = Self((1 << 58) - 1);
    /// The folder of what is known by its id alone ([`shortcuts`]), which no drive has either.
    pub const TARGETS: Self = Self((1 << 58) - 2);

    /// Whether it is at the top of the tree, in no other folder.
    pub const fn is_top(self) -> bool {
        matches!(self, Self::ROOT | Self::SHARED_DRIVES | Self::TARGETS)
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Holds other entries.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device.
    Special(Special),
    /// Leads to another entry, by the id of its item, wherever that is; a symbolic link to programs.
    Shortcut,
    /// A further name of a file, symbolic link or special file ([`links`]): what its name means is that entry, as long as the tree has it.
    Link,
    /// A document of an online editor: shown as a small read-only file that holds its address, or as what it is exported as.
    Document,
}

impl NodeKind {
    /// Whether the drive has a content of it that comes from here.
    pub const fn has_content(self) -> bool {
        matches!(self, Self::File | Self::Symlink)
    }
}

/// An entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub ino: Ino,
    /// Its identity on the drive; `None` until one is reserved for it.
    pub id: Option<FileId>,
    /// The folder it is in; [`Ino::NOWHERE`] for what is at the top and for what is unlinked.
    pub parent: Ino,
    /// The name it is shown under: legal and unique in its folder.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits; `None`: the mount's default.
    pub mode: Option<u32>,
    /// User and group; `None`: the mount's.
    pub owner: Option<(u32, u32)>,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// Last change of content, or (folders) of entries.
    pub mtime: Timestamp,
    /// Last access, as far as programs set it.
    pub atime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Creation on the drive, in milliseconds.
    pub created: i64,
    /// The name on the drive where it is not [`Node::name`].
    pub drive_name: Option<String>,
    /// The content that the drive has, as far as we know. Of a document: see [`documents`].
    pub revision: Option<RevisionId>,
    /// Checksum of that content.
    pub md5: Option<Md5>,
    /// Version of the state that the drive last told us; 0: never.
    pub version: u64,
    /// Target of a symbolic link, if known; of a shortcut or a further name, the id of the item that the drive has it lead to; the text of
    /// the link file of a document; of a device, its numbers.
    pub target: Option<String>,
    /// A folder whose children are all in the tree.
    pub listed: bool,
    /// What this account may do with it, as far as the drive told.
    pub access: Access,
    /// The shared drive that it is in, of what no other folder of the tree holds; for all else, the folders above tell.
    pub drive: Option<FileId>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
    /// Of a further name: the file, as long as that has a place in the tree.
    pub link: Option<Ino>,
    /// How many further names it had when it was read.
    pub names: u32,
}

impl Node {
    /// Its name on the drive.
    pub fn name_on_drive(&self) -> &str {
        self.drive_name.as_deref().unwrap_or(&self.name)
    }

    /// Whether it can be reached by a path (if its folder can).
    pub fn is_linked(&self) -> bool {
        self.parent != Ino::NOWHERE || self.ino.is_top()
    }

    /// The number of the file that it stands for: of a further name, the file's.
    pub fn file(&self) -> Ino {
        self.link.unwrap_or(self.ino)
    }

    /// Whether this account may take a name of it away.
    pub fn may_lose_name(&self) -> bool {
        // If there is another one, it goes there.
        if self.names > 0 { self.access.may_rename() && self.access.may_move() } else { self.access.may_trash() }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == NodeKind::Folder
    }

    /// The numbers of a device.
    pub fn device(&self) -> Option<Device> {
        match self.kind {
            NodeKind::Special(special) if special.is_device() => self.target.as_deref()?.parse().ok(),
            _ => None,
        }
    }
}

/// What the drive has of an entry that is not the same here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// What the drive knows; `None`: it does not have the entry yet.
    pub on_drive: Option<OnDrive>,
    /// The content here is newer than the drive's.
    pub rewritten: bool,
    /// The modification time of a folder was set here, not only moved on by its entries, which is not worth a request.
    pub timed: bool,
}

impl Base {
    /// The base of an entry that the drive does not have.
    pub const fn unsent(rewritten: bool) -> Self {
        Self { on_drive: None, rewritten, timed: false }
    }
}

/// Metadata of an entry as the drive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDrive {
    /// Its folder.
    pub parent: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Its modification time, to the millisecond.
    pub mtime: Timestamp,
    /// Its permission bits.
    pub mode: Option<u32>,
    /// Its user and group.
    pub owner: Option<(u32, u32)>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
}

impl OnDrive {
    /// The metadata of an item.
    pub fn of(item: &Item) -> Self {
        Self {
            parent: item.parent.clone(),
            name: item.name.clone(),
            mtime: item.modified,
            mode: item.posix.mode,
            owner: item.posix.owner,
            xattrs: item.posix.xattrs.clone(),
        }
    }

    /// The metadata of a node that both sides agree on.
    pub fn of_clean(node: &Node, folder: Option<FileId>) -> Self {
        Self {
            parent: folder,
            name: node.name_on_drive().to_owned(),
            mtime: Timestamp::from_millis(node.mtime.millis()),
            mode: node.mode,
            owner: node.owner,
            xattrs: node.xattrs.clone(),
        }
    }
}

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

    /// One number never given before; as [`Self::new_inos`].
    pub fn new_ino(&self) -> Result<Ino> {
        Ok(Ino(self.new_inos(1)?.start))
    }
}

fn root_node(id: FileId) -> Node {
    let now = clock::now();
    Node {
        ino: Ino::ROOT,
        id: Some(id),
        parent: Ino::NOWHERE,
        name: "/".to_owned(),
        kind: NodeKind::Folder,
        mode: None,
        owner: None,
        size: 0,
        mtime: now,
        atime: now,
        ctime: now,
        created: now.millis(),
        drive_name: None,
        revision: None,
        md5: None,
        version: 0,
        target: None,
        listed: false,
        access: Access::UNKNOWN,
        drive: None,
        xattrs: Xattrs::default(),
        link: None,
        names: 0,
    }
}
