//! Room for unsent bytes: how many there may be, and who waits when there are as many.
//!
//! Unsent bytes and the cache share one cap, and the cache gives way. When unsent bytes alone would take what they may of it, or
//! the disk has no more to give, writers are made to wait until uploads have made room: so they go on as fast as the line does.
//!
//! - **Waiting must help.** A writer waits only while what is closed and can be sent would make room. Bytes of files that are open
//!   cannot go before these are closed, so if it is them that take the room, writes go on until the disk is at its reserve. If it
//!   is bytes that the drive refuses, writes are refused too ([`NoRoom`](super::WritebackError::NoRoom)), and so they are when
//!   nothing was sent for [`PATIENCE`].
//! - **Waiting costs no memory.** What goes over the cap is written first and answered late: the cap is kept a little below what
//!   there is for that ([`SLACK`]). Only what the disk itself has no room for is held in memory, and not more than [`KEPT`] of it.
//! - **A drive that is full is said to everybody** ([`Writeback::full`](super::Writeback::full)), until it has room again, which is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use self::drive::Storage;
use self::waiting::Waiting;
pub use self::waiting::{HeldBack, PATIENCE, Room};
use self::waiting::{Lack, Outlook};
use crate::tree::Ino;

mod drive;
mod takers;
mod waiting;

/// What is left of the cap for writes that are done and not answered yet, one of 1 MiB at most for each writer that waits, and for
/// the databases beside the contents.
const SLACK: u64 = 16 << 20;

/// Of a small cap, one part in so many.
const SLACK_PART: u64 = 8;

/// Bytes of writes that are held in memory because the disk has no room for them.
const KEPT: usize = 32 << 20;

/// Unsent bytes by entry, and those who wait for fewer of them.
#[derive(Debug)]
pub(super) struct Space {
    /// Bytes that all staging files hold may become so many, but for what is pinned.
    limit: u64,
    /// Bytes that the cache cannot give up now, as it counts them.
    pinned: Arc<AtomicU64>,
    /// What of the cap is left to writes that are done and not answered, and to databases.
    slack: u64,
    /// What the cache and unsent bytes may take together, for people.
    cap: u64,
    held: Mutex<Held>,
    /// Room came, or something else that who waits wants to know.
    freed: Notify,
    /// Who waits.
    waiting: Mutex<Waiting>,
    kept: Arc<Semaphore>,
    /// What the drive itself has.
    storage: Storage,
}

/// Invariant: `total` is the sum of `by_entry`, and nobody has none of it.
#[derive(Debug, Default)]
struct Held {
    total: u64,
    by_entry: HashMap<Ino, u64>,
}

impl Space {
    /// With so many bytes held already, out of a cap of which unsent bytes may take `most`, but for what is `pinned`.
    pub(super) fn new(by_entry: HashMap<Ino, u64>, most: u64, cap: u64, pinned: Arc<AtomicU64>) -> Self {
        let slack = SLACK.min(most / SLACK_PART);
        Self {
            limit: most - slack,
            pinned,
            slack,
            cap,
            held: Mutex::new(Held { total: by_entry.values().sum(), by_entry }),
            freed: Notify::new(),
            waiting: Mutex::new(Waiting::new(Instant::now())),
            kept: Arc::new(Semaphore::new(KEPT)),
            storage: Storage::default(),
        }
    }

    /// An entry holds more: not nothing.
    pub(super) fn add(&self, ino: Ino, bytes: u64) {
        let mut held = self.held.lock();
        held.total += bytes;
        *held.by_entry.entry(ino).or_default() += bytes;
    }

    /// An entry holds less.
    pub(super) fn take(&self, ino: Ino, bytes: u64) {
        let mut held = self.held.lock();
        if let Some(its) = held.by_entry.get_mut(&ino) {
            let gone = bytes.min(*its);
            *its -= gone;
            if *its == 0 {
                held.by_entry.remove(&ino);
            }
            held.total -= gone;
        }
        drop(held);
        self.freed.notify_waiters();
    }

    /// What the cache is to leave to all this, with so many bytes more.
    pub(super) fn room(&self, more: u64) -> u64 {
        self.held() + more + self.slack
    }

    /// Bytes that all hold.
    pub(super) fn held(&self) -> u64 {
        self.held.lock().total
    }

    /// Whether so many more go below the cap.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.held() + bytes <= self.limit()
    }

    /// Bytes that all staging files hold may become so many.
    fn limit(&self) -> u64 {
        self.limit.saturating_sub(self.pinned.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_counted_once_and_given_back() {
        let pinned = Arc::new(AtomicU64::new(0));
        let space = Space::new(HashMap::from([(Ino(1), 10)]), 8 * 100, 1000, Arc::clone(&pinned));
        assert_eq!((space.held(), space.limit()), (10, 700));
        pinned.store(600, Ordering::Relaxed);
        assert!(space.fits(90) && !space.fits(91), "what cannot be given up is not there for others");
        pinned.store(0, Ordering::Relaxed);
        space.add(Ino(1), 5);
        space.add(Ino(2), 685);
        assert!(space.fits(0) && !space.fits(1));
        space.take(Ino(2), 1000);
        assert_eq!((space.held(), space.room(0)), (15, 115), "no more than there were, and the slack");
        space.take(Ino(1), 15);
        assert!(space.held.lock().by_entry.is_empty());
    }
}
