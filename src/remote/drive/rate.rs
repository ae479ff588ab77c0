//! [`Rate`]: bytes a second in one direction, for all transfers together.
//!
//! A bucket that fills at the rate. Bytes are taken out when they are passed on, be they there or not; who took more than there
//! was waits until the bucket is level again. So the bound holds however large the pieces are, who comes first goes first, and
//! what is left unused for a moment is made up for, but not more than [`SAVED`] of it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long what is not used is saved up.
const SAVED: Duration = Duration::from_millis(250);

/// Bytes that are passed on together at any rate.
const LEAST_PORTION: usize = 4096;

/// A bound on bytes a second; none, if there is no rate.
#[derive(Debug)]
pub(super) struct Rate {
    bytes: Option<u64>,
    /// When the bucket is level.
    level: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(bytes: Option<u64>) -> Self {
        Self { bytes, level: Mutex::new(None) }
    }

    /// Whether there is one.
    pub(super) fn is_set(&self) -> bool {
        self.bytes.is_some()
    }

    /// Bytes to pass on at once, at most `most`: at a low rate fewer, so that a transfer never pauses for long.
    pub(super) fn piece(&self, most: usize) -> usize {
        let Some(rate) = self.bytes else { return most };
        usize::try_from(rate / 8).unwrap_or(most).clamp(1, most)
    }

    /// Of so many bytes that came, those to pass on at once: so few that a dozen transfers which had their turn just before do not keep
    /// the next one waiting for long.
    pub(super) fn portion(&self, came: usize) -> usize {
        if self.is_set() { self.piece(came).div_ceil(4).max(LEAST_PORTION).min(came) } else { came }
    }

    /// Takes bytes, and says when they may be passed on; `None`: at once.
    pub(super) fn take(&self, bytes: usize) -> Option<Instant> {
        let rate = self.bytes?;
        let now = Instant::now();
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut level = self.level.lock();
        // The first bytes go at once: nothing is saved up before there was anything to save from.
        let from = level.map_or(now, |level| level.max(now.checked_sub(SAVED).unwrap_or(now)));
        let due = from + cost;
        *level = Some(due);
        (due > now).then_some(due)
    }

    /// Takes bytes, and waits until they may be passed on.
    pub(super) async fn pass(&self, bytes: usize) {
        if let Some(due) = self.take(bytes) {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_transfers_together_keep_to_the_rate() {
        let rate = Arc::new(Rate::new(Some(1_000_000)));
        let start = Instant::now();
        let transfers = (0..10).map(|_| {
            let rate = Arc::clone(&rate);
            tokio::spawn(async move {
                for _ in 0..10 {
                    rate.pass(50_000).await;
                }
            })
        });
        for transfer in transfers.collect::<Vec<_>>() {
            transfer.await.expect("passes");
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(4700) && took <= Duration::from_millis(5100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_saved_for_a_moment_only() {
        let rate = Rate::new(Some(1_000_000));
        rate.pass(1).await;
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(rate.take(200_000), None);
        assert!(rate.take(200_000).is_some());
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let rate = Rate::new(None);
        assert_eq!((rate.take(usize::MAX), rate.piece(1 << 20)), (None, 1 << 20));
        assert_eq!(rate.portion(1 << 20), 1 << 20);
        let rate = Rate::new(Some(256 << 10));
        assert_eq!((rate.piece(1 << 20), rate.portion(1 << 20), rate.portion(100)), (32 << 10, 8 << 10, 100));
    }
}
