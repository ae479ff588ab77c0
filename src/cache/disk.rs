//! The disk that the cache is on. It belongs to others too: unsent content, the journal, every other program of the machine.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Instant;
use crate::sys;

/// What the cache leaves free.
const RESERVE: u64 = 256 * 1024 * 1024;

/// Of a small disk it leaves one part in so many.
const RESERVE_PART: u64 = 20;

/// How long a look at the disk is good for. What the cache does meanwhile is counted here: some file systems take their time to
/// show what was given back.
const FRESH: Duration = Duration::from_secs(1);

/// How much of the disk is free.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    /// What is left free, if somebody said so.
    reserve: Option<u64>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    free: u64,
    reserve: u64,
}

impl Disk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, reserve: None, seen: Mutex::new(None) }
    }

    /// Leaves so much free, whatever the size of the disk.
    pub(super) fn leave(&mut self, reserve: u64) {
        self.reserve = Some(reserve);
        *self.seen.get_mut() = None;
    }

    /// How many bytes are free beyond those that are left to others; `None` if too few are.
    pub(super) fn spare(&self) -> Option<u64> {
        let now = self.look();
        now.free.checked_sub(now.reserve)
    }

    /// How many bytes are free.
    pub(super) fn free(&self) -> u64 {
        self.look().free
    }

    /// Others changed it just now.
    pub(super) fn look_again(&self) {
        *self.seen.lock() = None;
    }

    fn look(&self) -> Seen {
        let mut seen = self.seen.lock();
        let fresh = seen.filter(|seen| seen.at.elapsed() < FRESH);
        let now = fresh.unwrap_or_else(|| {
            // A disk that does not tell has to say itself when it is full.
            let (free, total) = sys::disk_space(&self.dir).unwrap_or((u64::MAX, u64::MAX));
            Seen { at: Instant::now(), free, reserve: self.reserve.unwrap_or(RESERVE.min(total / RESERVE_PART)) }
        });
        *seen = Some(now);
        now
    }

    /// Bytes are about to be written.
    pub(super) fn take(&self, bytes: u64) {
        self.change(|free| free.saturating_sub(bytes));
    }

    /// Bytes were given back.
    pub(super) fn give_back(&self, bytes: u64) {
        self.change(|free| free.saturating_add(bytes));
    }

    fn change(&self, change: impl FnOnce(u64) -> u64) {
        if let Some(seen) = self.seen.lock().as_mut() {
            seen.free = change(seen.free);
        }
    }
}
