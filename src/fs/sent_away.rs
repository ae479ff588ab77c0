//! Who was told that a number is stale: the kernel looks the name up anew then, and opens again. It does so once.
//!
//! So who comes a second time must not be sent away again: a program would see the error. `open` asks here whether it is the second time.

use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;

use crate::clock::Instant;

/// Threads that are remembered.
const KEPT: usize = 1024;

/// How soon the kernel opens again: at once. Who comes later means something else.
const MOMENT: Duration = Duration::from_secs(1);

/// Threads that were sent away, and when.
#[derive(Debug)]
pub(super) struct SentAway(Mutex<LruCache<u32, Instant>>);

impl Default for SentAway {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT.try_into().expect("not zero"))))
    }
}

impl SentAway {
    /// A thread is told that a number is stale.
    pub(super) fn told(&self, thread: u32) {
        self.0.lock().put(thread, Instant::now());
    }

    /// Whether a thread opens again; asked for once.
    pub(super) fn is_again(&self, thread: u32) -> bool {
        self.0.lock().pop(&thread).is_some_and(|told| told.elapsed() < MOMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_sent_away_comes_again_once() {
        let sent_away = SentAway::default();
        sent_away.told(7);
        assert!(!sent_away.is_again(8));
        assert!(sent_away.is_again(7));
        assert!(!sent_away.is_again(7));
    }
}
