//! A whole content on its way into the cache.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use md5::Md5 as Hasher;
use sha2::Digest as _;

use super::{DIGITS, DRAFT, FOLDER, Kept, Whole, digest};
use crate::cache::{Cache, CacheError, Result};
use crate::remote::{FileId, Md5, RevisionId};

impl Cache {
    /// Begins to take in a content of unknown length.
    pub fn draft(self: &Arc<Self>) -> Result<Draft> {
        let number = {
            let mut wholes = self.wholes.lock();
            wholes.next += 1;
            wholes.next - 1
        };
        let path = self.whole_path(&format!("{DRAFT}{number}"));
        let folder = self.dir.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|error| CacheError::file(&folder, error))?;
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|error| CacheError::file(&path, error))?;
        Ok(Draft { cache: Arc::clone(self), number, path, file: Some(file), size: 0, hasher: Hasher::new() })
    }
}

/// A content that is being taken in. Nothing is left of one that is dropped.
#[derive(Debug)]
pub struct Draft {
    cache: Arc<Cache>,
    number: u64,
    path: PathBuf,
    /// Until it is finished.
    file: Option<File>,
    size: u64,
    hasher: Hasher,
}

impl Draft {
    /// Adds bytes. Makes room for them first. Blocks on the disk.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.cache.reserve_kept(length)?;
        self.size += length;
        self.hasher.update(bytes);
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        written.map_err(|error| CacheError::file(&self.path, error))
    }

    /// Forgets all that was added. Blocks on the disk.
    pub fn begin_anew(&mut self) -> Result<()> {
        self.cache.release_kept(std::mem::take(&mut self.size));
        self.hasher = Hasher::new();
        let emptied = self.file.as_mut().map_or(Ok(()), |file| file.set_len(0).and_then(|()| file.rewind()));
        emptied.map_err(|error| CacheError::file(&self.path, error))
    }

    /// Makes it the whole content of a revision, and gives up what is kept of others of the item. Blocks on the disk.
    pub fn finish(mut self, id: &FileId, revision: &RevisionId) -> Result<Arc<Whole>> {
        let cache = Arc::clone(&self.cache);
        let digest = digest(id, revision);
        let path = cache.whole_path(&format!("{digest}-{}", self.number));
        std::fs::rename(&self.path, &path).map_err(|error| CacheError::file(&path, error))?;
        let file = self.file.take().expect("it is finished once");
        let md5 = Md5(std::mem::take(&mut self.hasher).finalize().into());
        let closed = Arc::clone(&cache.wholes.lock().closed);
        let whole = Arc::new(Whole { file, size: self.size, md5, revision: revision.clone(), closed });
        let superseded: Vec<_> = {
            let mut wholes = cache.wholes.lock();
            wholes.uses += 1;
            let (number, size, used) = (self.number, self.size, wholes.uses);
            let of_item = |other: &str| other.starts_with(&digest[..DIGITS]);
            let outdated = wholes.files.extract_if(|other, kept| of_item(other) && kept.open.strong_count() == 0);
            let mut outdated: Vec<_> = outdated.collect();
            let kept = Kept { number, size, used, md5: Some(md5), open: Arc::downgrade(&whole) };
            outdated.extend(wholes.files.insert(digest.clone(), kept).map(|older| (digest.clone(), older)));
            outdated
        };
        for (digest, kept) in superseded {
            cache.remove_whole(&digest, &kept)?;
        }
        Ok(whole)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.cache.release_kept(self.size);
            let _gone_with_the_next_start = std::fs::remove_file(&self.path);
        }
    }
}
