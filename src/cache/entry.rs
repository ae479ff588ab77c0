//! One revision in the cache: a sparse file and the map of its blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{BLOCK, BlockIndex, CacheError, Hollow, Key, Result, block_count, block_length};
use crate::sys;

/// Blocks whose checksums are stored together.
pub(super) const SEGMENT: u32 = 1024;

/// A revision in the cache. Holds one open file from its first use on.
#[derive(Debug)]
pub struct Entry {
    number: u32,
    size: u64,
    seal: Seal,
    path: PathBuf,
    /// As long as the revision from the first moment on: one that is shorter was cut by somebody else.
    file: OnceLock<File>,
    /// `None` until the map was read from the index.
    map: Mutex<Option<Map>>,
    /// Every block that is present was written, or compared with its checksum, since the start of the process. Kept by the table, since
    /// an entry ends with its last user.
    sound: Sound,
    /// The block that was read last, so that reading one block in many small pieces counts as one use.
    last: AtomicU32,
    /// Where its number goes when it ends without a block.
    hollow: Hollow,
}

/// Whether all present blocks of a revision are known to be sound.
pub(super) type Sound = Arc<AtomicBool>;

impl Drop for Entry {
    fn drop(&mut self) {
        if self.is_hollow() {
            self.hollow.lock().push(self.number);
        }
    }
}

/// Which blocks are present.
#[derive(Debug, Default)]
pub(super) struct Map {
    segments: BTreeMap<u32, Segment>,
    /// Segments that differ from the index.
    changed: BTreeSet<u32>,
    /// How many blocks were evicted, or dropped because they were damaged: a read during which this moves may have seen a hole.
    evictions: u64,
    /// For how many it must stay whole.
    pins: usize,
}

/// Checksums of up to [`SEGMENT`] blocks, by their place.
pub(super) type Segment = BTreeMap<u16, Block>;

/// A block that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) crc: u32,
    /// Written, or compared with its checksum, since the start of the process.
    pub(super) verified: bool,
}

/// What came of a read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(Vec<u8>),
    Absent,
    /// These were, and are absent now.
    Damaged(Vec<BlockIndex>),
}

/// What the checksums of all blocks of a revision have in common. It stands for the revision: where the index says that a file is
/// of another one than it is, since a bit of it was turned over, no block fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal(u32);

impl Seal {
    pub(super) fn of(key: &Key, size: u64) -> Self {
        Self(checksum(format!("{}\0{}\0{size}", key.id, key.revision).as_bytes()))
    }

    fn checksum(self, bytes: &[u8]) -> u32 {
        checksum(bytes) ^ self.0
    }

    /// That of bytes that come in pieces.
    fn of_digest(self, digest: &crc_fast::Digest) -> u32 {
        narrow(digest.finalize()) ^ self.0
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes))
}

/// CRC-32C fits 32 bits by its definition.
fn narrow(crc: u64) -> u32 {
    u32::try_from(crc).unwrap_or(0)
}

fn place(block: BlockIndex) -> (u32, u16) {
    (block / SEGMENT, u16::try_from(block % SEGMENT).unwrap_or(u16::MAX))
}

impl Map {
    /// Nothing present.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// As stored.
    pub(super) fn of_segments(segments: BTreeMap<u32, Segment>) -> Self {
        Self { segments, ..Self::default() }
    }

    /// Everything present, as it stands in a file.
    pub(super) fn of_file(path: &Path, size: u64, seal: Seal) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut map = Self::new();
        let mut buffer = vec![0; usize::try_from(BLOCK).unwrap_or(0)];
        for block in 0..block_count(size) {
            let bytes = &mut buffer[..block_length(block, size) as usize];
            file.read_exact_at(bytes, u64::from(block) * BLOCK)?;
            map.set(block, Some(Block { crc: seal.checksum(bytes), verified: true }));
        }
        Ok(map)
    }

    /// The blocks that are present, ascending.
    pub(super) fn present(&self) -> Vec<BlockIndex> {
        let blocks = |(&segment, blocks): (&u32, &Segment)| {
            blocks.keys().map(|&place| segment * SEGMENT + BlockIndex::from(place)).collect::<Vec<_>>()
        };
        self.segments.iter().flat_map(blocks).collect()
    }

    fn is_empty(&self) -> bool {
        self.segments.values().all(Segment::is_empty)
    }

    /// From now on each block has to prove itself before it is used again.
    fn distrust(&mut self) {
        self.segments.values_mut().flat_map(Segment::values_mut).for_each(|block| block.verified = false);
    }

    fn get(&self, block: BlockIndex) -> Option<Block> {
        let (segment, place) = place(block);
        self.segments.get(&segment)?.get(&place).copied()
    }

    fn set(&mut self, block: BlockIndex, to: Option<Block>) {
        let (segment, place) = place(block);
        let blocks = self.segments.entry(segment).or_default();
        match to {
            Some(block) => blocks.insert(place, block),
            None => blocks.remove(&place),
        };
        self.changed.insert(segment);
    }
}

impl Entry {
    /// A new entry, with its map.
    pub(super) fn new(number: u32, size: u64, seal: Seal, path: PathBuf, map: Map, hollow: Hollow) -> Self {
        Self::with(number, size, seal, path, Some(map), Arc::new(AtomicBool::new(true)), hollow)
    }

    /// An entry whose map is still in the index.
    pub(super) fn stored(number: u32, size: u64, seal: Seal, path: PathBuf, sound: Sound, hollow: Hollow) -> Self {
        Self::with(number, size, seal, path, None, sound, hollow)
    }

    fn with(number: u32, size: u64, seal: Seal, path: PathBuf, map: Option<Map>, sound: Sound, hollow: Hollow) -> Self {
        let last = AtomicU32::new(BlockIndex::MAX);
        Self { number, size, seal, path, file: OnceLock::new(), map: Mutex::new(map), sound, last, hollow }
    }

    /// Whether all present blocks are known to be sound, for whoever makes the entry again.
    pub(super) fn sound(&self) -> Sound {
        Arc::clone(&self.sound)
    }

    /// Whether it is known to have no block.
    pub(super) fn is_hollow(&self) -> bool {
        self.map.lock().as_ref().is_some_and(Map::is_empty)
    }

    /// The number of its file.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Bytes of the whole revision, present or not.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the map, if it was not yet; says whether all that the cache believes to have of the entry is lost: `read` finds no map
    /// that can be used (`None`), or somebody removed the file. Only the first user of the entry waits for the disk here.
    pub(super) fn load(&self, read: impl FnOnce() -> Result<Option<Map>>) -> Result<bool> {
        let mut map = self.map.lock();
        if map.is_some() {
            return Ok(false);
        }
        let mut stored = read()?;
        if let Some(stored) = stored.as_mut().filter(|_| self.sound.load(Ordering::Relaxed)) {
            stored.segments.values_mut().flat_map(Segment::values_mut).for_each(|block| block.verified = true);
        }
        if let Some(stored) = stored.as_ref().filter(|stored| !stored.is_empty() && !self.path.exists()) {
            *map = Some(Map { changed: stored.segments.keys().copied().collect(), ..Map::new() });
            return Ok(true);
        }
        let is_lost = stored.is_none();
        if is_lost {
            match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CacheError::file(&self.path, error));
                }
                _ => {}
            }
        }
        *map = Some(stored.unwrap_or_default());
        Ok(is_lost)
    }

    fn with_map<T>(&self, work: impl FnOnce(&mut Map) -> T) -> T {
        work(self.map.lock().get_or_insert_default())
    }

    pub(super) fn file(&self) -> Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let open = || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
            self.mend_length(&file)?;
            io::Result::Ok(file)
        };
        let make_folder = || self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = match open() {
            // The first of its folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder().and_then(|()| open()),
            opened => opened,
        };
        let file = file.map_err(|error| CacheError::file(&self.path, error))?;
        // If two came here at once, both opened the same file: either will do.
        Ok(self.file.get_or_init(|| file))
    }

    pub(super) fn absent(&self, blocks: Range<BlockIndex>) -> Vec<Range<BlockIndex>> {
        let mut runs: Vec<Range<BlockIndex>> = Vec::new();
        self.with_map(|map| {
            for block in blocks.filter(|&block| map.get(block).is_none()) {
                match runs.last_mut() {
                    Some(run) if run.end == block => run.end += 1,
                    _ => runs.push(block..block + 1),
                }
            }
        });
        runs
    }

    pub(super) fn read(&self, offset: u64, length: usize, blocks: Range<BlockIndex>) -> Result<Read> {
        let mut doubted = false;
        loop {
            let mut unverified = Vec::new();
            let present = self.with_map(|map| {
                for block in blocks.clone() {
                    if !map.get(block)?.verified {
                        unverified.push(block);
                    }
                }
                Some(map.evictions)
            });
            let Some(evictions) = present else { return Ok(Read::Absent) };
            let mut damaged = Vec::new();
            for block in unverified {
                if !self.verify(block)? {
                    damaged.push(block);
                }
            }
            if !damaged.is_empty() {
                return Ok(Read::Damaged(damaged));
            }
            let read = sys::read_exact_at(self.file()?, length, offset);
            if self.with_map(|map| map.evictions != evictions) {
                continue;
            }
            match read {
                Ok(bytes) => return Ok(Read::Bytes(bytes)),
                Err(error) if doubted => return Err(CacheError::file(&self.path, error)),
                // Somebody cut the file, or the disk has lost it.
                Err(_) => self.distrust(),
            }
            doubted = true;
        }
    }

    /// Those of `blocks` that are present and were not compared with their checksums yet.
    pub(super) fn unverified(&self, blocks: Range<BlockIndex>) -> Vec<BlockIndex> {
        self.with_map(|map| blocks.filter(|&block| map.get(block).is_some_and(|stored| !stored.verified)).collect())
    }

    /// Those of `blocks` that are present.
    pub(super) fn present(&self, blocks: Range<BlockIndex>) -> Vec<BlockIndex> {
        self.with_map(|map| blocks.filter(|&block| map.get(block).is_some()).collect())
    }

    /// Compares a block with its checksum; drops it if they differ.
    pub(super) fn verify(&self, block: BlockIndex) -> Result<bool> {
        let length = block_length(block, self.size) as usize;
        let read = sys::read_exact_at(self.file()?, length, u64::from(block) * BLOCK);
        let found = read.ok().map(|bytes| self.seal.checksum(&bytes));
        Ok(self.with_map(|map| match map.get(block) {
            Some(stored) if found == Some(stored.crc) => {
                // Not `changed`: whether it is verified is not stored.
                let (segment, place) = place(block);
                map.segments.entry(segment).or_default().insert(place, Block { verified: true, ..stored });
                true
            }
            Some(_) => {
                map.set(block, None);
                // Who verifies it at the same time finds none, and looks again.
                map.evictions += 1;
                false
            }
            // Evicted meanwhile; the caller notices.
            None => true,
        }))
    }

    /// Stores whole consecutive blocks, whose bytes may come in pieces of any length.
    pub(super) fn store<P: AsRef<[u8]>>(&self, blocks: Range<BlockIndex>, pieces: &[P]) -> Result<()> {
        let crcs = self.checksums(blocks.clone(), pieces);
        let (file, start) = (self.file()?, u64::from(blocks.start) * BLOCK);
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
        let written = self.mend_length(file).and_then(|()| sys::write_all_at(file, &mut slices, start));
        self.with_map(|map| {
            for (block, crc) in blocks.zip(crcs) {
                if written.is_ok() {
                    map.set(block, Some(Block { crc, verified: true }));
                } else if map.get(block).is_none() {
                    // What was written of it before the disk was full is of no use, and counted nowhere.
                    let start = u64::from(block) * BLOCK;
                    let _stays = sys::punch_hole(file, start..start + BLOCK);
                }
            }
        });
        written.map_err(|error| CacheError::file(&self.path, error))
    }

    /// The checksum of each of some consecutive blocks, from their bytes in pieces.
    fn checksums<P: AsRef<[u8]>>(&self, blocks: Range<BlockIndex>, pieces: &[P]) -> Vec<u32> {
        let mut pieces = pieces.iter().map(AsRef::as_ref);
        let mut piece: &[u8] = &[];
        let of_block = |block| {
            let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            let mut left = block_length(block, self.size) as usize;
            while left > 0 {
                if piece.is_empty() {
                    piece = pieces.next().expect("blocks are stored whole");
                }
                let (ours, rest) = piece.split_at(left.min(piece.len()));
                digest.update(ours);
                left -= ours.len();
                piece = rest;
            }
            self.seal.of_digest(&digest)
        };
        blocks.map(of_block).collect()
    }

    /// Looks whether somebody cut the file: then nothing of it is believed any more.
    pub(super) fn look(&self) -> Result<()> {
        self.mend_length(self.file()?).map_err(|error| CacheError::file(&self.path, error))
    }

    /// From now on no block is evicted, if all are present, and known to be sound. Says whether that is so.
    pub(super) fn pin(&self) -> bool {
        let is_pinned = self.pin_whole(|block| block.verified);
        if is_pinned {
            self.sound.store(true, Ordering::Relaxed);
        }
        is_pinned
    }

    /// The same, if all are present and `is_sound`.
    pub(super) fn pin_whole(&self, is_sound: impl Fn(Block) -> bool) -> bool {
        self.with_map(|map| {
            let is_whole = (0..block_count(self.size)).all(|block| map.get(block).is_some_and(&is_sound));
            map.pins += usize::from(is_whole);
            is_whole
        })
    }

    /// Undoes one [`Self::pin`]. Says whether it was the last.
    pub(super) fn unpin(&self) -> bool {
        self.with_map(|map| {
            map.pins -= 1;
            map.pins == 0
        })
    }

    /// All that is present was found to be sound.
    pub(super) fn is_sound_now(&self) {
        self.sound.store(true, Ordering::Relaxed);
    }

    /// If somebody cut the file, nothing of it is believed any more: what is written behind the cut would turn what is missing into
    /// a hole, which reads as zeros.
    fn mend_length(&self, file: &File) -> io::Result<()> {
        if file.metadata()?.len() >= self.size {
            return Ok(());
        }
        self.distrust();
        file.set_len(self.size)
    }

    fn distrust(&self) {
        self.sound.store(false, Ordering::Relaxed);
        self.with_map(Map::distrust);
    }

    /// Gives the space of a block back. Says `false` if it is pinned, and stays.
    pub(super) fn evict(&self, block: BlockIndex) -> Result<bool> {
        let file = self.file()?;
        // The hole is punched under the lock of the map: who finds the block absent finds it punched too, so that a fetch that
        // follows cannot lose its bytes to a late hole.
        self.with_map(|map| {
            if map.pins > 0 {
                return Ok(false);
            }
            map.set(block, None);
            map.evictions += 1;
            let start = u64::from(block) * BLOCK;
            sys::punch_hole(file, start..start + BLOCK).map(|()| true)
        })
        .map_err(|error| CacheError::file(&self.path, error))
    }

    /// Gives the space back of whatever stands where no block is present: a crash leaves blocks that no map names.
    pub(super) fn clear_gaps(&self) -> Result<()> {
        let file = self.file()?;
        for gap in self.absent(0..block_count(self.size)) {
            let gap = u64::from(gap.start) * BLOCK..u64::from(gap.end) * BLOCK;
            sys::punch_hole(file, gap).map_err(|error| CacheError::file(&self.path, error))?;
        }
        Ok(())
    }

    /// Whether a read of these blocks is a new use of them, rather than the next piece of the same.
    pub(super) fn touched(&self, blocks: &Range<BlockIndex>) -> bool {
        let last = blocks.end.saturating_sub(1);
        self.last.swap(last, Ordering::Relaxed) != last
    }

    /// The segments that differ from the index, which is about to be written.
    pub(super) fn take_changed(&self) -> Vec<(u32, Segment)> {
        self.with_map(|map| {
            let changed = std::mem::take(&mut map.changed);
            changed
                .into_iter()
                .map(|segment| (segment, map.segments.get(&segment).cloned().unwrap_or_default()))
                .collect()
        })
    }
}
