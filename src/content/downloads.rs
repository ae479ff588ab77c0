//! Whose turn it is to fetch: what somebody waits for comes before what may be of use.
//!
//! Read-ahead leaves some requests free for those who wait, and takes no more of the line than it can give back soon: what is
//! under way ahead, over the whole mount, is what arrives in about [`AHEAD`]. On a fast line that is a lot, on a slow one
//! little, so that a small file is not kept waiting by the windows of large ones.
//!
//! Requests for one block, which is all of a small file, are under way for a round trip and hardly longer. So more of them are:
//! they have places of their own besides. Those ahead take a place only when one is free and nobody waits for it; they stand in
//! no queue that somebody who waits could come to stand behind.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::reader::PART_BLOCKS;
use crate::cache::{BLOCK, BlockIndex};
use crate::clock::Instant;

/// Requests under way at one time for whoever comes first.
const SHARED: usize = 16;

/// And for those who wait, besides.
const RESERVED: usize = 4;

/// And for one block each, besides: with those above, 36 small files at one time.
const SMALL: usize = 16;

/// Read-ahead under way is what arrives in this time. Far longer than the delay of any network, so that it never runs dry.
const AHEAD: Duration = Duration::from_secs(2);

/// But at least this many blocks: two requests, so that one is under way when the other ends.
const LEAST_AHEAD: u32 = 2 * PART_BLOCKS;

/// And at most this many.
const MOST_AHEAD: u32 = 32 * PART_BLOCKS;

/// How often the pace is measured.
const TICK: Duration = Duration::from_millis(100);

/// All requests for content of one mount.
#[derive(Debug)]
pub(super) struct Downloads {
    shared: Semaphore,
    reserved: Semaphore,
    small: Semaphore,
    /// A place became free.
    freed: Notify,
    /// Blocks that may be under way ahead.
    ahead: Semaphore,
    pace: Mutex<Pace>,
    /// How many fetches are under way, or wait for their turn, that somebody waits for.
    demands: watch::Sender<usize>,
}

/// How fast blocks arrive.
#[derive(Debug)]
struct Pace {
    since: Instant,
    bytes: u64,
    /// Requests under way: where there are none, nothing is measured.
    turns: usize,
    /// How many blocks may be under way ahead.
    target: u32,
    /// How many permits there are for that: more than the target until they are given back.
    permits: u32,
}

/// The right to make one request.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    downloads: &'a Downloads,
    slot: Option<SemaphorePermit<'a>>,
    ahead: Option<SemaphorePermit<'a>>,
}

impl Default for Downloads {
    fn default() -> Self {
        // Of a line that nobody has used yet the best is believed: it is known after a tick or two, and what is asked for until then
        // is bounded by how far a window grows with a round trip.
        let pace = Pace { since: Instant::now(), bytes: 0, turns: 0, target: MOST_AHEAD, permits: MOST_AHEAD };
        Self {
            shared: Semaphore::new(SHARED),
            reserved: Semaphore::new(RESERVED),
            small: Semaphore::new(SMALL),
            freed: Notify::new(),
            ahead: Semaphore::new(MOST_AHEAD as usize),
            pace: Mutex::new(pace),
            demands: watch::Sender::new(0),
        }
    }
}

impl Downloads {
    /// Waits for the turn of a request for so many blocks. It is read-ahead until `demanded` completes.
    pub(super) async fn turn(&self, blocks: BlockIndex, demanded: impl Future<Output = ()>) -> Turn<'_> {
        tokio::select! {
            biased;
            () = demanded => self.turn_on_demand(blocks).await,
            turn = self.turn_ahead(blocks) => turn,
        }
    }

    async fn turn_on_demand(&self, blocks: BlockIndex) -> Turn<'_> {
        let slot = tokio::select! {
            biased;
            slot = self.small.acquire(), if blocks <= 1 => slot,
            slot = self.shared.acquire() => slot,
            slot = self.reserved.acquire() => slot,
        };
        self.turn_with(slot.expect("never closed"), None)
    }

    async fn turn_ahead(&self, blocks: BlockIndex) -> Turn<'_> {
        if blocks <= 1 {
            return self.turn_small_ahead().await;
        }
        let ahead = self.ahead.acquire_many(blocks.min(LEAST_AHEAD)).await.expect("never closed");
        let slot = self.shared.acquire().await.expect("never closed");
        self.turn_with(slot, Some(ahead))
    }

    async fn turn_small_ahead(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            // A permit for which somebody waits is handed to them, and is not there to be taken.
            if let Ok(slot) = self.small.try_acquire().or_else(|_| self.shared.try_acquire()) {
                return self.turn_with(slot, None);
            }
            freed.await;
        }
    }

    fn turn_with<'a>(&'a self, slot: SemaphorePermit<'a>, ahead: Option<SemaphorePermit<'a>>) -> Turn<'a> {
        let mut pace = self.pace.lock();
        if pace.turns == 0 {
            (pace.since, pace.bytes) = (Instant::now(), 0);
        }
        pace.turns += 1;
        Turn { downloads: self, slot: Some(slot), ahead }
    }

    /// Notes that somebody waits for one more fetch, or for one less.
    pub(super) fn demanded(&self, more: bool) {
        self.demands.send_modify(|demands| if more { *demands += 1 } else { *demands -= 1 });
    }

    /// Waits until nobody waits for any fetch.
    pub(super) async fn undemanded(&self) {
        // We hold the sender.
        let mut demands = self.demands.subscribe();
        let _never_closed = demands.wait_for(|demands| *demands == 0).await;
    }

    /// How many bytes may be under way ahead over the whole mount.
    pub(super) fn horizon(&self) -> u64 {
        u64::from(self.pace.lock().target) * BLOCK
    }

    /// Notes that bytes have arrived.
    pub(super) fn landed(&self, bytes: u64) {
        self.landed_at(bytes, Instant::now());
    }

    fn landed_at(&self, bytes: u64, now: Instant) {
        let mut pace = self.pace.lock();
        pace.bytes += bytes;
        let took = now.saturating_duration_since(pace.since);
        if took < TICK {
            return;
        }
        let in_time = u128::from(pace.bytes) * AHEAD.as_millis() / took.as_millis() / u128::from(BLOCK);
        let in_time = u32::try_from(in_time).unwrap_or(u32::MAX);
        // A pause between two answers is not a slow line: down only step by step.
        pace.target = in_time.max(pace.target / 2).clamp(LEAST_AHEAD, MOST_AHEAD);
        (pace.since, pace.bytes) = (now, 0);
        let (more, fewer) = (pace.target.saturating_sub(pace.permits), pace.permits.saturating_sub(pace.target));
        self.ahead.add_permits(more as usize);
        // Those in use follow when they are given back.
        let unused = self.ahead.forget_permits(fewer as usize);
        pace.permits = pace.permits + more - u32::try_from(unused).unwrap_or(fewer);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.slot.take());
        self.downloads.freed.notify_one();
        let mut pace = self.downloads.pace.lock();
        pace.turns -= 1;
        let Some(mut ahead) = self.ahead.take() else { return };
        let excess =
            u32::try_from(ahead.num_permits()).unwrap_or(u32::MAX).min(pace.permits.saturating_sub(pace.target));
        if let Some(excess) = ahead.split(excess as usize) {
            excess.forget();
        }
        pace.permits -= excess;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    fn ahead(downloads: &Downloads, blocks: BlockIndex) -> Option<Turn<'_>> {
        downloads.turn(blocks, pending()).now_or_never()
    }

    /// All that may be under way ahead at one time.
    fn fill(downloads: &Downloads, blocks: BlockIndex) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| ahead(downloads, blocks)).collect()
    }

    #[test]
    fn whoever_waits_goes_before_any_read_ahead() {
        let downloads = Downloads::default();
        let under_way = fill(&downloads, 2);
        assert_eq!(under_way.len(), SHARED);
        let waited_for: Vec<_> = std::iter::from_fn(|| downloads.turn(PART_BLOCKS, ready(())).now_or_never()).collect();
        assert_eq!(waited_for.len(), RESERVED);
        drop(under_way);
        assert!(downloads.turn(PART_BLOCKS, ready(())).now_or_never().is_some(), "any request will do for it");
    }

    #[tokio::test]
    async fn small_files_have_places_of_their_own_and_keep_nobody_waiting() {
        let downloads = Downloads::default();
        let mut under_way = fill(&downloads, 1);
        assert_eq!(under_way.len(), SMALL + SHARED);
        let mut next = Box::pin(downloads.turn(1, pending()));
        assert!(next.as_mut().now_or_never().is_none());
        let waited_for: Vec<_> = std::iter::from_fn(|| downloads.turn(1, ready(())).now_or_never()).collect();
        assert_eq!(waited_for.len(), RESERVED);
        let mut waits = Box::pin(downloads.turn(1, ready(())));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(under_way.pop());
        assert!(next.as_mut().now_or_never().is_none(), "who waits is served first, though they came later");
        let _served = waits.as_mut().now_or_never().expect("a place");
        drop(under_way.pop());
        next.await;
    }

    #[tokio::test]
    async fn read_ahead_that_is_waited_for_does_not_wait_in_its_queue() {
        let downloads = Downloads::default();
        let _under_way = fill(&downloads, PART_BLOCKS);
        let (demand, demanded) = oneshot::channel::<()>();
        let mut turn = Box::pin(downloads.turn(PART_BLOCKS, demanded.map(|_| ())));
        assert!(turn.as_mut().now_or_never().is_none(), "queued");
        demand.send(()).expect("waits");
        turn.await;
    }

    #[test]
    fn what_is_under_way_ahead_follows_the_pace() {
        let downloads = Downloads::default();
        let size = || fill(&downloads, PART_BLOCKS).len();
        assert_eq!(size(), SHARED, "the best is believed at first");
        let mut now = Instant::now();
        let mut tick = |bytes| {
            now += TICK;
            downloads.landed_at(bytes, now);
        };
        (0..2).for_each(|_| tick(4 << 20));
        assert_eq!(size(), 10, "80 MiB in two seconds");
        assert_eq!(downloads.horizon(), 80 << 20);
        tick(1 << 30);
        assert_eq!(size(), SHARED);
        assert_eq!(downloads.ahead.available_permits(), MOST_AHEAD as usize);

        let under_way = fill(&downloads, PART_BLOCKS);
        (0..10).for_each(|_| tick(500_000));
        assert!(ahead(&downloads, 2).is_none());
        drop(under_way);
        assert_eq!(downloads.ahead.available_permits(), LEAST_AHEAD as usize, "what was granted is taken back");
        assert_eq!(size(), 2);
    }
}
