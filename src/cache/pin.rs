//! Revisions that must stay whole for a while, because the kernel reads their files by itself.
//!
//! A hole that is punched into such a file would be read as zeros. So what is pinned is no longer in reach of whoever looks for
//! something to evict, for as long as somebody holds the [`Pinned`].

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Cache, Entry, Result, block_count};

/// Of what the cache may hold, so large a part may be pinned: the rest is for what is read in all other ways.
const PART: u64 = 2;

/// A revision all of whose blocks are here, sound, and stay until this is dropped.
#[derive(Debug)]
pub struct Pinned {
    cache: Arc<Cache>,
    entry: Arc<Entry>,
}

impl Pinned {
    /// The file that its bytes are in, at their own offsets. Touches the disk only if it was not opened yet.
    pub fn file(&self) -> Result<&File> {
        self.entry.file()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut lru = self.cache.lru.lock();
        if self.entry.unpin() {
            lru.unpin(self.entry.number());
            self.cache.pinned.fetch_sub(self.entry.size(), Ordering::Relaxed);
        }
    }
}

impl Cache {
    /// Pins a revision that an earlier process had pinned, and that the kernel goes on reading by itself. It was found to be sound then.
    pub fn pin_again(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Option<Pinned>> {
        self.load(entry)?;
        let mut lru = self.lru.lock();
        let is_pinned = lru.is_pinned(entry.number());
        if !entry.pin_whole(|_| true) {
            return Ok(None);
        }
        if !is_pinned {
            lru.pin(entry.number());
            self.pinned.fetch_add(entry.size(), Ordering::Relaxed);
        }
        drop(lru);
        Ok(Some(Pinned { cache: Arc::clone(self), entry: Arc::clone(entry) }))
    }

    /// Pins a revision, if all of it is here, was found to be sound, and leaves enough to all else. Touches the disk only if the
    /// entry was not used yet.
    pub fn pin(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Option<Pinned>> {
        self.load(entry)?;
        entry.look()?;
        // A process that takes over must know of all of it: what it does not know of it clears away.
        if self.table.lock().dirty.contains_key(&entry.number()) {
            self.persist()?;
        }
        {
            // Both under one lock, so that the last of those who end and the first of those who begin do not meet.
            let mut lru = self.lru.lock();
            let is_pinned = lru.is_pinned(entry.number());
            if !is_pinned {
                let pinned = self.pinned.load(Ordering::Relaxed).saturating_add(entry.size());
                if pinned > self.limit() / PART {
                    return Ok(None);
                }
            }
            if !entry.pin() {
                return Ok(None);
            }
            if !is_pinned {
                lru.pin(entry.number());
                self.pinned.fetch_add(entry.size(), Ordering::Relaxed);
            }
        }
        Ok(Some(Pinned { cache: Arc::clone(self), entry: Arc::clone(entry) }))
    }

    /// Compares all blocks of a revision that were not yet with their checksums. Reads them from the disk.
    pub fn verify(&self, entry: &Arc<Entry>) -> Result<()> {
        self.unsound(entry, 0..block_count(entry.size()))?;
        // What came since was written by us.
        entry.is_sound_now();
        Ok(())
    }
}
