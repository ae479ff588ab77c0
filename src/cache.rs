//! The cache: blocks of revisions on the local disk.
//!
//! It knows revisions and blocks, not inodes and not the drive, and promises:
//!
//! - **One sparse file a revision**, in which present blocks stand at their own offsets, plus a map of what is present with a
//!   checksum each. A block is verified when it is first used after a start; a damaged one is dropped and counts as absent,
//!   never served. So are all whose place in the index is not theirs. What somebody does to a file of a cache in use, other than to
//!   cut or remove it, shows when the cache is opened again.
//! - **A hard cap.** Room is made *before* bytes land, by punching holes where the least useful blocks are, in open files too.
//!   It gives way when others fill the disk.
//! - **Only clean bytes.** Everything here can be fetched again, so everything here may be evicted. Unsent bytes live in
//!   [`crate::writeback`] and cannot be evicted by type: this module does not know them. It only leaves them room
//!   ([`Cache::leave_room`]).
//! - **Nothing is lost by a kill.** The maps are written behind the data at most a second late; what a crash forgets is fetched
//!   again.
//!
//! - **What the kernel reads by itself stays whole.** A revision that is [pinned](Cache::pin) is not evicted for as long.
//!
//! Contents that cannot be fetched in parts are kept as whole files beside the blocks ([`Whole`]), within the same cap.

mod clear;
mod disk;
mod entry;
mod index;
mod keep;
mod lru;
mod pin;
mod recall;
mod room;
mod whole;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::disk::Disk;
pub use self::entry::Entry;
use self::entry::{Map, Read, Seal, Sound};
use self::index::Index;
use self::lru::{BlockKey, Lru};
pub use self::pin::Pinned;
use self::recall::Recalled;
use self::whole::Wholes;
pub use self::whole::{Draft, Whole};
use crate::error::Kind;
use crate::remote::Source;

/// Bytes of a block. Small enough that a random read fetches little more than it asked for; a multiple of what file systems
/// can punch.
pub const BLOCK: u64 = 256 * 1024;

/// What file systems give room in: a small file takes no less.
const DISK_UNIT: u64 = 4096;

/// The least cap that is of use: one window of a sequential reader.
pub const LEAST: u64 = 64 * 1024 * 1024;

/// Of a small cap blocks keep one part in so many, however much unsent data there is; of a large one [`LEAST`].
const LEAST_PART: u64 = 4;

/// What it keeps of a disk that others have filled, if it gets that.
const SCRAPS: u64 = 16 * BLOCK;

/// Number of a block within its revision.
pub type BlockIndex = u32;

/// Why the cache failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// A file of the cache could not be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The index failed.
    #[error("index of the cache: {0}")]
    Index(Arc<rusqlite::Error>),
    /// A content that can only be had as a whole is larger than the cache keeps of such.
    #[error("it is larger than the {most} bytes that the cache has for it now; give it more with --cache-size")]
    TooLarge {
        /// What it has.
        most: u64,
    },
    /// All that the cache may take is taken by what must stay for now.
    #[error("the cache is full of what is being read by the kernel itself; give it more with --cache-size")]
    Full,
    /// The index was written by a later version of this program.
    #[error("{path} is of a newer drivemount: use that one, or give this one another --cache-dir", path = path.display())]
    Newer {
        /// The index.
        path: PathBuf,
    },
}

impl CacheError {
    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } => Kind::of_io(source),
            Self::Index(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Kind::DiskFull,
            Self::Index(_) => Kind::Local(libc::EIO),
            Self::TooLarge { .. } | Self::Full => Kind::DiskFull,
            Self::Newer { .. } => Kind::Unsupported,
        }
    }

    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source: Arc::new(source) }
    }
}

impl From<rusqlite::Error> for CacheError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(Arc::new(error))
    }
}

/// Result of a call to the cache.
pub type Result<T> = std::result::Result<T, CacheError>;

/// The cache of one account.
///
/// Locks: `table`, `lru`, `index`, `wholes` and the lock of an entry are each taken alone, never one under another, but for the start,
/// for entries that nobody else has, and for pinning, which takes that of an entry under `lru`. `hollow` may be taken under any. Under `table`, `lru` and `wholes` there is no I/O.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    cap: u64,
    /// Bytes to leave to unsent data, out of the cap.
    room: AtomicU64,
    /// Bytes of whole files beside the blocks.
    kept: AtomicU64,
    /// Bytes of pinned revisions.
    pinned: Arc<AtomicU64>,
    wholes: Mutex<Wholes>,
    disk: Disk,
    index: Mutex<Index>,
    lru: Mutex<Lru>,
    table: Mutex<Table>,
    /// Numbers of entries that ended without a block.
    hollow: Hollow,
}

type Hollow = Arc<Mutex<Vec<u32>>>;

/// Which files there are.
///
/// Invariant: `numbers` and `files` are inverse to each other.
#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<Key, u32>,
    files: HashMap<u32, Known>,
    /// Entries whose map is to be written.
    dirty: HashMap<u32, Arc<Entry>>,
    next_number: u32,
}

#[derive(Debug)]
struct Known {
    key: Key,
    size: u64,
    /// The entry, while somebody uses it.
    entry: Weak<Entry>,
    /// What it knew of its blocks.
    sound: Sound,
}

/// What tells one revision from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    id: String,
    revision: String,
}

impl Key {
    fn of(source: &Source) -> Self {
        Self { id: source.id.0.clone(), revision: source.blob.revision.0.clone() }
    }
}

impl Cache {
    /// Opens the cache in `dir` (made if absent), with at most `cap` bytes of blocks. A damaged index is begun anew.
    pub fn open(dir: &Path, cap: u64) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| CacheError::file(dir, error))?;
        let mut index = Index::open(dir)?;
        let Recalled { table, lru, on_disk } = match Recalled::of(&mut index) {
            Ok(Some(known)) => known,
            Err(error) if !index::is_damage(&error) => return Err(error.into()),
            damaged => {
                let why = damaged.err().map_or_else(|| "it contradicts itself".to_owned(), |error| error.to_string());
                index.begin_anew(&why)?;
                Recalled::default()
            }
        };
        let swollen = index.sweep(|number| on_disk.get(&number).map(|bytes| bytes + BLOCK))?;
        let cache = Self {
            dir: dir.to_owned(),
            cap: cap.max(LEAST),
            room: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            pinned: Arc::default(),
            wholes: Mutex::default(),
            disk: Disk::new(dir.to_owned()),
            index: Mutex::new(index),
            lru: Mutex::new(lru),
            table: Mutex::new(table),
            hollow: Hollow::default(),
        };
        for number in swollen {
            let entry = cache.use_file(&mut cache.table.lock(), number);
            if let Some(entry) = entry {
                cache.load(&entry)?;
                if let Err(error) = entry.clear_gaps() {
                    tracing::warn!(%error, "what a crash left of a file of the cache stays until it is evicted");
                }
            }
        }
        cache.find_wholes()?;
        cache.give_way()?;
        Ok(cache)
    }

    /// Leaves so much of the disk free; `None`: what it leaves by itself.
    #[must_use]
    pub fn leaving(mut self, free: Option<u64>) -> Self {
        if let Some(free) = free {
            self.disk.leave(free);
        }
        self
    }

    /// The entry of a revision, made if there is none. Touches no disk.
    pub fn entry(&self, source: &Source) -> Arc<Entry> {
        let key = Key::of(source);
        let size = source.blob.size;
        let mut table = self.table.lock();
        if let Some(number) = table.numbers.get(&key).copied() {
            // A bit of the one in the index may have been turned over.
            if let Some(known) = table.files.get_mut(&number) {
                known.size = size;
            }
            return self.use_file(&mut table, number).expect("numbers and files are inverse");
        }
        let number = table.next_number;
        table.next_number += 1;
        let path = index::file_path(&self.dir, number);
        let seal = Seal::of(&key, size);
        let entry = Arc::new(Entry::new(number, size, seal, path, Map::new(), Arc::clone(&self.hollow)));
        table.numbers.insert(key.clone(), number);
        table.files.insert(number, Known { key, size, entry: Arc::downgrade(&entry), sound: entry.sound() });
        entry
    }

    /// The number of the entry of a revision, if there is one.
    pub fn number(&self, source: &Source) -> Option<u32> {
        self.table.lock().numbers.get(&Key::of(source)).copied()
    }

    fn use_file(&self, table: &mut Table, number: u32) -> Option<Arc<Entry>> {
        let known = table.files.get_mut(&number)?;
        Some(known.entry.upgrade().unwrap_or_else(|| {
            let path = index::file_path(&self.dir, number);
            let seal = Seal::of(&known.key, known.size);
            let (sound, hollow) = (Arc::clone(&known.sound), Arc::clone(&self.hollow));
            let entry = Arc::new(Entry::stored(number, known.size, seal, path, sound, hollow));
            known.entry = Arc::downgrade(&entry);
            entry
        }))
    }

    /// `length` bytes from `offset` on (not empty, within the size), if all of them are present.
    pub fn read(&self, entry: &Arc<Entry>, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.load(entry)?;
        let blocks = blocks_of(offset..offset + length as u64);
        match entry.read(offset, length, blocks.clone())? {
            Read::Bytes(bytes) => {
                if entry.touched(&blocks) {
                    let mut lru = self.lru.lock();
                    blocks.for_each(|block| lru.touch(BlockKey { file: entry.number(), block }));
                }
                Ok(Some(bytes))
            }
            Read::Absent => Ok(None),
            Read::Damaged(blocks) => {
                self.damaged(entry, &blocks)?;
                Ok(None)
            }
        }
    }

    /// Forgets blocks that the entry has dropped.
    fn damaged(&self, entry: &Arc<Entry>, blocks: &[BlockIndex]) -> Result<()> {
        let file = entry.path().display();
        tracing::warn!(%file, ?blocks, "blocks of the cache were damaged and are fetched again");
        for &block in blocks {
            let key = BlockKey { file: entry.number(), block };
            self.lru.lock().remove(key);
            // They take no room that nobody counts, should the drive not be there to send them again.
            self.evict(key)?;
        }
        Ok(())
    }

    /// Which of `blocks` are not present, as consecutive runs.
    pub fn absent(&self, entry: &Arc<Entry>, blocks: Range<BlockIndex>) -> Result<Vec<Range<BlockIndex>>> {
        self.load(entry)?;
        Ok(entry.absent(blocks))
    }

    /// Stores whole consecutive blocks, from `first` on, whose bytes may come in pieces of any length. Makes room for them first,
    /// and more if the disk turns out to be full.
    pub fn store<P: AsRef<[u8]>>(&self, entry: &Arc<Entry>, first: BlockIndex, pieces: &[P]) -> Result<()> {
        let length: u64 = pieces.iter().map(|piece| piece.as_ref().len() as u64).sum();
        let start = u64::from(first) * BLOCK;
        let blocks = blocks_of(start..start + length);
        let whole = start + length == (u64::from(blocks.end) * BLOCK).min(entry.size());
        assert!(length > 0 && whole, "blocks are stored whole");
        self.load(entry)?;
        let length = blocks.clone().map(|block| u64::from(disk_length(block, entry.size()))).sum();
        let room = self.make_room(length, length)?;
        while let Err(error) = entry.store(blocks.clone(), pieces) {
            let victim = if error.kind() == Kind::DiskFull { self.lru.lock().pop() } else { None };
            self.evict(victim.ok_or(error)?)?;
        }
        room.fill(blocks.map(|block| BlockKey { file: entry.number(), block }), entry.size());
        self.note_dirty(entry);
        Ok(())
    }

    /// Takes a whole content over as a revision: the file at `path` is moved, not copied. A file larger than the cache is not
    /// taken and left where it is (`false`).
    pub fn adopt(&self, source: &Source, path: &Path) -> Result<bool> {
        let size = source.blob.size;
        if size > self.limit() {
            return Ok(false);
        }
        let key = Key::of(source);
        let seal = Seal::of(&key, size);
        let map = Map::of_file(path, size, seal).map_err(|error| CacheError::file(path, error))?;
        let room = match self.make_room(size.next_multiple_of(DISK_UNIT), 0) {
            Err(CacheError::Full) => return Ok(false),
            room => room?,
        };
        self.forget(source)?;
        let number = {
            let mut table = self.table.lock();
            table.next_number += 1;
            table.next_number - 1
        };
        let to = index::file_path(&self.dir, number);
        let folder = to.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder).map_err(|error| CacheError::file(folder, error))?;
        std::fs::rename(path, &to).map_err(|error| CacheError::file(&to, error))?;
        let present = map.present();
        let entry = Arc::new(Entry::new(number, size, seal, to, map, Arc::clone(&self.hollow)));
        {
            let mut table = self.table.lock();
            if let Some(other) = table.numbers.insert(key.clone(), number) {
                table.files.remove(&other);
            }
            table.files.insert(number, Known { key, size, entry: Arc::downgrade(&entry), sound: entry.sound() });
        }
        room.fill(present.into_iter().map(|block| BlockKey { file: number, block }), size);
        self.note_dirty(&entry);
        Ok(true)
    }

    /// Drops a revision that nobody will ask for again. Whoever reads it now goes on; the space returns when they end.
    pub fn forget(&self, source: &Source) -> Result<()> {
        let mut table = self.table.lock();
        let Some(number) = table.numbers.remove(&Key::of(source)) else { return Ok(()) };
        let known = table.files.remove(&number);
        table.dirty.remove(&number);
        drop(table);
        let blocks =
            (0..block_count(known.map_or(0, |known| known.size))).map(|block| BlockKey { file: number, block });
        self.lru.lock().remove_all(blocks);
        self.remove(&[number])
    }

    fn remove(&self, numbers: &[u32]) -> Result<()> {
        self.change_index(|index| index.remove(numbers))?;
        for &number in numbers {
            let path = index::file_path(&self.dir, number);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(CacheError::file(&path, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the maps of all entries that changed, and forgets those that have nothing any more. Blocks on the disk.
    pub fn persist(&self) -> Result<()> {
        let (dirty, keys): (Vec<_>, Vec<_>) = {
            let mut table = self.table.lock();
            let dirty = std::mem::take(&mut table.dirty);
            dirty.into_iter().filter_map(|(number, entry)| Some((entry, table.files.get(&number)?.key.clone()))).unzip()
        };
        let records = dirty.iter().zip(&keys).map(|(entry, key)| index::Record {
            number: entry.number(),
            id: &key.id,
            revision: &key.revision,
            size: entry.size(),
            segments: entry.take_changed(),
        });
        let records: Vec<_> = records.collect();
        if !records.is_empty() {
            self.change_index(|index| index.write(&records))?;
        }
        drop(records);
        drop(dirty);
        self.forget_hollow()
    }

    /// Forgets the entries that ended without a block: who uses one again finds out all that was known of it.
    fn forget_hollow(&self) -> Result<()> {
        let ended = std::mem::take(&mut *self.hollow.lock());
        let mut forgotten = Vec::new();
        for number in ended {
            let Some(entry) = self.use_file(&mut self.table.lock(), number) else { continue };
            self.load(&entry)?;
            let mut table = self.table.lock();
            // If only we have it now, nobody gets it without the table.
            if Arc::strong_count(&entry) == 1
                && entry.is_hollow()
                && let Some(known) = table.files.remove(&number)
            {
                table.numbers.remove(&known.key);
                forgotten.push(number);
            }
        }
        if forgotten.is_empty() { Ok(()) } else { self.remove(&forgotten) }
    }

    /// Makes sure that the map of an entry is in memory.
    fn load(&self, entry: &Entry) -> Result<()> {
        let is_lost = entry.load(|| match self.index.lock().map(entry.number()) {
            Err(error) if index::is_damage(&error) => {
                tracing::warn!(%error, "the index of the cache is damaged: what it says of a file is not used");
                Ok(None)
            }
            map => Ok(Some(map?)),
        })?;
        if is_lost {
            let blocks = 0..block_count(entry.size());
            self.lru.lock().remove_all(blocks.map(|block| BlockKey { file: entry.number(), block }));
        }
        Ok(())
    }

    /// Writes to the index. If that turns out to be damaged, it is begun anew: what it knew is absent at the next start.
    fn change_index(&self, change: impl Fn(&mut Index) -> rusqlite::Result<()>) -> Result<()> {
        let mut index = self.index.lock();
        match change(&mut index) {
            Err(error) if index::is_damage(&error) => {
                index.begin_anew(&error)?;
                Ok(change(&mut index)?)
            }
            changed => Ok(changed?),
        }
    }

    fn note_dirty(&self, entry: &Arc<Entry>) {
        self.table.lock().dirty.insert(entry.number(), Arc::clone(entry));
    }
}

/// The blocks that a range of bytes (not empty) touches.
pub fn blocks_of(bytes: Range<u64>) -> Range<BlockIndex> {
    let number = |offset: u64| BlockIndex::try_from(offset / BLOCK).unwrap_or(BlockIndex::MAX);
    number(bytes.start)..number(bytes.end.saturating_sub(1)) + 1
}

/// How many blocks a revision of `size` bytes has.
pub fn block_count(size: u64) -> BlockIndex {
    BlockIndex::try_from(size.div_ceil(BLOCK)).unwrap_or(BlockIndex::MAX)
}

/// Length of a block of a revision of `size` bytes: the last one may be shorter.
pub fn block_length(block: BlockIndex, size: u64) -> u32 {
    let start = u64::from(block) * BLOCK;
    u32::try_from(size.saturating_sub(start).min(BLOCK)).unwrap_or(u32::MAX)
}

/// What a block takes on the disk.
fn disk_length(block: BlockIndex, size: u64) -> u32 {
    u64::from(block_length(block, size)).next_multiple_of(DISK_UNIT).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
