//! Whole files beside the blocks: contents that can only be had as a whole, and with other bytes each time.
//!
//! An export of a document is one. Its blocks could not be fetched again one by one, so it is kept or evicted as a whole, and
//! never evicted while somebody has it open. The files stand in a folder `whole/` of the cache, named after what they are of. They
//! count within the cap: blocks give way to them up to a part of it, and they to each other and to unsent content.
//!
//! A file that an earlier process left is used only if whoever asks knows its length and checksum.

mod draft;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use md5::Md5 as Hasher;
use parking_lot::Condvar;
use sha2::{Digest as _, Sha256};

pub use self::draft::Draft;
use super::{Cache, CacheError, Result, SCRAPS};
use crate::remote::{FileId, Md5, RevisionId};

/// The folder, within that of the blocks.
const FOLDER: &str = "whole";

/// How the names of files begin that are being written.
const DRAFT: &str = "draft-";

/// Of the cap, whole files take one part in so many at most.
const PART: u64 = 4;

/// How often, and for how long each time, is waited for somebody to close one if all are open. Who has just closed one may not be
/// heard of yet: the kernel tells that a file is closed after it was.
const LOOKS: u32 = 10;
const MOMENT: Duration = Duration::from_millis(100);

/// Hexadecimal digits that stand for an id, and as many for a revision.
const DIGITS: usize = 32;

/// A whole content, open. It stays what it is for as long as somebody has it.
#[derive(Debug)]
pub struct Whole {
    file: File,
    size: u64,
    md5: Md5,
    revision: RevisionId,
    closed: Arc<Condvar>,
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.closed.notify_all();
    }
}

impl Whole {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its checksum.
    pub fn md5(&self) -> Md5 {
        self.md5
    }

    /// What it is the content of.
    pub fn revision(&self) -> &RevisionId {
        &self.revision
    }

    /// The bytes of a range, cut off at the end of the content. Blocks on the disk.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

/// The files that there are, by the digests of what they are of.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    files: HashMap<String, Kept>,
    /// The number of the next file: no two have the same name.
    next: u64,
    /// The number of the next use.
    uses: u64,
    /// Told when nobody has one open any more.
    closed: Arc<Condvar>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    size: u64,
    used: u64,
    /// Its checksum, once this process has written or read all of it.
    md5: Option<Md5>,
    /// It, while somebody has it open.
    open: Weak<Whole>,
}

/// What stands for the revision of an item: what stands for the item, and more.
fn digest(id: &FileId, revision: &RevisionId) -> String {
    digest_of(&id.0) + &digest_of(&revision.0)
}

fn digest_of(text: &str) -> String {
    Sha256::digest(text)[..DIGITS / 2].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The digest and the number in the name of a file.
fn parse(name: &str) -> Option<(&str, u64)> {
    let (digest, number) = name.split_once('-')?;
    let is_ours = digest.len() == 2 * DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((digest, number.parse().ok().filter(|_| is_ours)?))
}

impl Cache {
    fn whole_path(&self, name: &str) -> PathBuf {
        self.dir.join(FOLDER).join(name)
    }

    /// Learns which files there are, and removes those that were never finished.
    pub(super) fn find_wholes(&self) -> Result<()> {
        let folder = self.dir.join(FOLDER);
        let wrap = |error| CacheError::file(&folder, error);
        let mut found = Vec::new();
        match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => {
                for entry in entries.map_err(wrap)? {
                    let entry = entry.map_err(wrap)?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.starts_with(DRAFT) {
                        std::fs::remove_file(entry.path()).map_err(wrap)?;
                    } else if let Some((digest, number)) = parse(&name) {
                        let metadata = entry.metadata().map_err(wrap)?;
                        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                        found.push((used, digest.to_owned(), number, metadata.len()));
                    }
                }
            }
        }
        found.sort();
        let mut superseded = Vec::new();
        {
            let mut wholes = self.wholes.lock();
            for (_, digest, number, size) in found {
                wholes.next = wholes.next.max(number + 1);
                wholes.uses += 1;
                let kept = Kept { number, size, used: wholes.uses, md5: None, open: Weak::new() };
                self.kept.fetch_add(size, Ordering::Relaxed);
                superseded.extend(wholes.files.insert(digest.clone(), kept).map(|older| (digest, older)));
            }
        }
        superseded.into_iter().try_for_each(|(digest, kept)| self.remove_whole(&digest, &kept))
    }

    /// The whole content of a revision, if it is here and known to be sound. Opens a file at most.
    pub fn whole(&self, id: &FileId, revision: &RevisionId) -> Option<Arc<Whole>> {
        let digest = digest(id, revision);
        let (number, size, md5, closed) = {
            let mut wholes = self.wholes.lock();
            wholes.uses += 1;
            let (uses, closed) = (wholes.uses, Arc::clone(&wholes.closed));
            let kept = wholes.files.get_mut(&digest)?;
            kept.used = uses;
            if let Some(open) = kept.open.upgrade() {
                return Some(open);
            }
            (kept.number, kept.size, kept.md5?, closed)
        };
        let path = self.whole_path(&format!("{digest}-{number}"));
        let open = || {
            let file = File::open(&path)?;
            // Somebody may have cut it.
            if file.metadata()?.len() == size { Ok(file) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
        };
        let file = match open() {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a file of the cache cannot be opened and is made anew");
                self.forget_whole(&digest, number);
                return None;
            }
        };
        // The order of use, for the next process.
        let _only_an_order = file.set_modified(SystemTime::now());
        let whole = Arc::new(Whole { file, size, md5, revision: revision.clone(), closed });
        let mut wholes = self.wholes.lock();
        // Evicted or replaced meanwhile: then it is not the one that counts.
        let kept = wholes.files.get_mut(&digest).filter(|kept| kept.number == number)?;
        if let Some(open) = kept.open.upgrade() {
            return Some(open);
        }
        kept.open = Arc::downgrade(&whole);
        Some(whole)
    }

    /// The same, if an earlier process may have left it: it is sound if it has this length and checksum. Blocks on the disk.
    pub fn whole_if(&self, id: &FileId, revision: &RevisionId, size: u64, md5: Md5) -> Option<Arc<Whole>> {
        if let Some(whole) = self.whole(id, revision) {
            return Some(whole);
        }
        let digest = digest(id, revision);
        let number = self.wholes.lock().files.get(&digest).filter(|kept| kept.md5.is_none())?.number;
        let path = self.whole_path(&format!("{digest}-{number}"));
        match checksum(&path) {
            Ok(found) if found == (size, md5) => {
                if let Some(kept) = self.wholes.lock().files.get_mut(&digest).filter(|kept| kept.number == number) {
                    kept.md5 = Some(md5);
                }
                self.whole(id, revision)
            }
            found => {
                tracing::debug!(file = %path.display(), ?found, "not the content that was kept");
                self.forget_whole(&digest, number);
                None
            }
        }
    }

    /// Bytes of whole files beside the blocks.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// The most that whole files may take now: a part of the cap, and no more than unsent data leaves; but always half of what is
    /// kept for what is read.
    fn most_kept(&self) -> u64 {
        let left = self.cap.saturating_sub(self.least() + self.room.load(Ordering::Relaxed));
        (self.cap / PART).min(left).max(self.least() / 2)
    }

    /// Gives up what unsent content, or others on the disk, need more.
    pub(super) fn wholes_give_way(&self) -> Result<()> {
        // Blocks go first, since they can be fetched one by one.
        let most = if self.disk.spare().is_none() && self.used() <= SCRAPS { 0 } else { self.most_kept() };
        self.evict_wholes(most).map(|_| ())
    }

    /// Gives up the whole content of a revision; says how many bytes that were. `None`: somebody has it open.
    pub fn drop_whole(&self, id: &FileId, revision: &RevisionId) -> Result<Option<u64>> {
        let digest = digest(id, revision);
        let kept = {
            let mut wholes = self.wholes.lock();
            if wholes.files.get(&digest).is_some_and(|kept| kept.open.strong_count() > 0) {
                return Ok(None);
            }
            wholes.files.remove(&digest)
        };
        let Some(kept) = kept else { return Ok(Some(0)) };
        self.remove_whole(&digest, &kept)?;
        Ok(Some(kept.size))
    }

    /// Gives up all that nobody has open; says how many bytes that were.
    pub fn clear_wholes(&self) -> Result<u64> {
        let before = self.kept();
        self.evict_wholes(0)?;
        Ok(before.saturating_sub(self.kept()))
    }

    /// Evicts the least recently used until the rest takes no more than `most`. Says whether that is so: what is open stays.
    fn evict_wholes(&self, most: u64) -> Result<bool> {
        while self.kept() > most {
            let victim = {
                let mut wholes = self.wholes.lock();
                let unused = wholes.files.iter().filter(|(_, kept)| kept.open.strong_count() == 0);
                let digest = unused.min_by_key(|(_, kept)| kept.used).map(|(digest, _)| digest.clone());
                digest.and_then(|digest| wholes.files.remove_entry(&digest))
            };
            let Some((digest, kept)) = victim else { return Ok(false) };
            self.remove_whole(&digest, &kept)?;
        }
        Ok(true)
    }

    fn forget_whole(&self, digest: &str, number: u64) {
        let kept = {
            let mut wholes = self.wholes.lock();
            let is_it = wholes.files.get(digest).is_some_and(|kept| kept.number == number);
            is_it.then(|| wholes.files.remove(digest)).flatten()
        };
        if let Some(error) = kept.and_then(|kept| self.remove_whole(digest, &kept).err()) {
            tracing::warn!(%error, "a file of the cache could not be removed");
        }
    }

    /// Removes the file of what is not in the table any more.
    fn remove_whole(&self, digest: &str, kept: &Kept) -> Result<()> {
        self.release_kept(kept.size);
        let path = self.whole_path(&format!("{digest}-{}", kept.number));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::file(&path, error)),
            _ => Ok(()),
        }
    }

    fn release_kept(&self, bytes: u64) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
        self.disk.give_back(bytes);
    }

    /// Makes room for so many more bytes of whole files. If there is none even then, they are not counted.
    fn reserve_kept(&self, bytes: u64) -> Result<()> {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        let reserved = match self.evict_patiently() {
            Ok(true) => self.make_room(0, bytes).map(drop),
            Ok(false) => Err(CacheError::TooLarge { most: self.most_kept() }),
            Err(error) => Err(error),
        };
        reserved.inspect_err(|_| self.release_kept(bytes))
    }

    /// Evicts until the rest takes no more than it may; says whether that is so. What is open is waited for a little.
    fn evict_patiently(&self) -> Result<bool> {
        for _ in 0..LOOKS {
            if self.evict_wholes(self.most_kept())? {
                return Ok(true);
            }
            let mut wholes = self.wholes.lock();
            let closed = Arc::clone(&wholes.closed);
            closed.wait_for(&mut wholes, MOMENT);
        }
        self.evict_wholes(self.most_kept())
    }
}

/// Length and checksum of a file.
fn checksum(path: &std::path::Path) -> io::Result<(u64, Md5)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((size, Md5(hasher.finalize().into())));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

#[cfg(test)]
mod tests;
