//! Sending beside programs that change things.
//!
//! To send a small entry takes some processor time and some transactions, which programs that make thousands of files would
//! wait for. So while programs change entries, only so many a second are begun to be sent: about as many as a drive allows an
//! account anyway, and no burden to anybody. A moment after the last change, or when somebody waits for the drive, there is no
//! bound any more.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long after a change programs count as busy.
const BUSY: Duration = Duration::from_millis(250);

/// From one beginning to the next while they are: a hundred a second.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether programs change things, and when the next entry may be sent beside them.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    changed: Option<Instant>,
    next: Option<Instant>,
}

impl Beside {
    /// A program changed something.
    pub(super) fn changed(&self) {
        self.0.lock().changed = Some(Instant::now());
    }

    /// When one more may be begun; `None`: now.
    fn turn(&self) -> Option<Instant> {
        let mut times = self.0.lock();
        let now = Instant::now();
        if times.changed.is_none_or(|changed| now >= changed + BUSY) {
            times.next = None;
            return None;
        }
        let turn = times.next.map_or(now, |next| next.max(now));
        times.next = Some(turn + PAUSE);
        Some(turn).filter(|&turn| turn > now)
    }

    /// Waits until one more may be begun.
    pub(super) async fn wait(&self) {
        if let Some(turn) = self.turn() {
            tokio::time::sleep_until(turn).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes until so many were begun.
    async fn take(beside: &Beside, count: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..count {
            beside.wait().await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn only_beside_changes_is_there_a_bound() {
        let beside = Beside::default();
        assert_eq!(take(&beside, 1000).await, Duration::ZERO);
        beside.changed();
        let took = take(&beside, 11).await;
        assert!(took >= 10 * PAUSE && took < 11 * PAUSE, "{took:?}");
        tokio::time::advance(BUSY).await;
        assert_eq!(take(&beside, 1000).await, Duration::ZERO);
    }
}
