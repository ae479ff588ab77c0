//! Room within the cap and on the disk: how much there is, who leaves it to whom, and how it is made.
//!
//! It is made before bytes land: what is set aside counts until it is filled. Unsent content and whole files take theirs out of the
//! same cap, and blocks give way to both, but for the least that reading needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::lru::{BlockKey, Lru};
use super::{Cache, CacheError, LEAST, LEAST_PART, Result, SCRAPS, disk_length};

impl Cache {
    /// Tells how many bytes of the cap unsent data takes now.
    pub fn leave_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    /// The most that unsent data may take of the cap. The rest is kept for what is read, so that reading goes on.
    pub fn most_room(&self) -> u64 {
        self.cap - self.least()
    }

    /// Bytes of pinned revisions: nobody else has them meanwhile.
    pub fn pinned(&self) -> u64 {
        self.pinned.load(Ordering::Relaxed)
    }

    /// What counts them, for who has to know at every moment.
    pub fn pinned_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.pinned)
    }

    /// Whether blocks take more than is left to them.
    pub fn is_crowded(&self) -> bool {
        self.used() > self.limit()
    }

    pub(super) fn least(&self) -> u64 {
        LEAST.min(self.cap / LEAST_PART)
    }

    /// Bytes that blocks take now.
    pub fn used(&self) -> u64 {
        self.lru.lock().bytes()
    }

    /// Bytes that the cache may take, unsent data included.
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// How many bytes of blocks it can hold now, beside those that are pinned.
    pub fn reach(&self) -> u64 {
        let spare = self.disk.spare().unwrap_or(0);
        let reach = self.limit().min(self.used().saturating_add(spare).max(SCRAPS));
        reach.saturating_sub(self.pinned())
    }

    /// How many bytes of blocks it can hold beside those that are read again and again: what comes only on a guess must fit there.
    pub fn reach_of_guesses(&self) -> u64 {
        let protected = self.lru.lock().protected_bytes();
        self.reach().saturating_sub(protected)
    }

    /// Evicts what is more than the cache may take, or than the disk has room for now.
    pub fn give_way(&self) -> Result<()> {
        self.wholes_give_way()?;
        self.make_room(0, 0).map(drop)
    }

    /// Gives up blocks until so much of the disk is free, or none are left.
    pub fn free_disk(&self, wanted: u64) -> Result<()> {
        self.disk.look_again();
        while self.disk.free() < wanted {
            let Some(victim) = self.lru.lock().pop() else { break };
            self.evict(victim)?;
        }
        Ok(())
    }

    /// Bytes that blocks may take of the cap now.
    pub fn limit(&self) -> u64 {
        let (room, kept) = (self.room.load(Ordering::Relaxed), self.kept.load(Ordering::Relaxed));
        let least = self.least() - kept.min(self.least() / 2);
        self.cap.saturating_sub(room.saturating_add(kept)).max(least)
    }

    /// Sets `bytes` aside within the cap, and `new` of them on the disk, by evicting what is least useful. [`CacheError::Full`]: what
    /// is left must stay.
    pub(super) fn make_room(&self, bytes: u64, new: u64) -> Result<Room<'_>> {
        loop {
            let on_disk = self.disk.spare().is_some_and(|spare| new <= spare);
            let victim = {
                let mut lru = self.lru.lock();
                let used = lru.bytes() + lru.reserved + bytes;
                let fits = used <= self.limit() && (on_disk || used <= SCRAPS);
                let victim = if fits { None } else { lru.pop() };
                match victim {
                    Some(victim) => victim,
                    // To set nothing aside takes no room.
                    None if fits || bytes == 0 || self.pinned() == 0 => {
                        lru.reserved += bytes;
                        self.disk.take(new);
                        return Ok(Room { lru: &self.lru, bytes });
                    }
                    None => return Err(CacheError::Full),
                }
            };
            self.evict(victim)?;
        }
    }

    /// Gives the space of a block back that was taken out of the list.
    pub(super) fn evict(&self, victim: BlockKey) -> Result<()> {
        let entry = self.use_file(&mut self.table.lock(), victim.file);
        if let Some(entry) = entry {
            self.load(&entry)?;
            let length = disk_length(victim.block, entry.size());
            if entry.evict(victim.block)? {
                self.note_dirty(&entry);
                self.disk.give_back(u64::from(length));
            } else {
                // Pinned after it was taken out of the list.
                self.lru.lock().insert(victim, length);
            }
        }
        Ok(())
    }
}

/// Bytes set aside for blocks that are about to be stored; given back when dropped.
#[derive(Debug)]
pub(super) struct Room<'a> {
    lru: &'a Mutex<Lru>,
    bytes: u64,
}

impl Room<'_> {
    /// The blocks were stored.
    pub(super) fn fill(self, blocks: impl IntoIterator<Item = BlockKey>, size: u64) {
        let mut lru = self.lru.lock();
        for key in blocks {
            lru.insert(key, disk_length(key.block, size));
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.lru.lock().reserved -= self.bytes;
    }
}
