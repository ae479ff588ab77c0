//! When which entry is sent.
//!
//! The journal says *what* is to be sent; the queue, which lives in memory only, says *when*:
//!
//! - An entry that changed waits until it has rested, so that what comes in a burst (create, write, rename over) costs one request
//!   and what is gone again costs none ([`schedule`]); a file that goes on changing waits for longer ([`pace`]). Somebody who waits for the
//!   drive ([`super::flush`]) is not made to wait for that.
//! - One request at a time an entry, many entries at a time. Large uploads are bounded further ([`turns`]), and what waits for
//!   that takes no place from who need not.
//! - Of uploads that wait for their turn there may be very many; so many are held in memory with what they need, the others as a number,
//!   in the order in which they came.
//! - An entry that needs another one first waits for exactly that one; one that took over an identity waits until what is under
//!   way for it has ended ([`waits`]).
//! - What failed is tried again, less and less often, for ever ([`failures`]).
//! - Under a deadline those go first that have the least left to send, so that as many as can be are whole when time is up.

mod failures;
mod pace;
mod schedule;
mod turns;
mod waits;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::failures::Failure;
pub(super) use self::pace::Change;
use self::pace::Pace;
pub(super) use self::schedule::{AT_ONCE, Inner};
pub(super) use self::turns::{Holder, Turn, Turns};
use super::WritebackError;
use super::plan::Outcome;
use crate::tree::Ino;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) inner: Mutex<Inner>,
    pub(super) wake: Notify,
    /// Moves with every entry that was sent or failed.
    pub(super) ended: watch::Sender<u64>,
    /// Moves with everything that gets to the drive for the first time.
    progress: AtomicU64,
}

/// An entry that waits for others to be uploaded first, and keeps none of the rest from being sent.
#[derive(Debug)]
pub(super) struct Parked<'a> {
    queue: &'a Queue,
    ino: Ino,
}

impl<'a> Parked<'a> {
    pub(super) fn new(queue: &'a Queue, ino: Ino) -> Self {
        let mut inner = queue.inner.lock();
        if inner.running.contains_key(&ino) {
            inner.parked.insert(ino);
        }
        drop(inner);
        queue.wake.notify_one();
        Self { queue, ino }
    }

    /// `None` if so many are parked that memory must be thought of.
    pub(super) fn try_new(queue: &'a Queue, ino: Ino) -> Option<Self> {
        (!queue.is_crowded()).then(|| Self::new(queue, ino))
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut inner = self.queue.inner.lock();
        inner.parked.remove(&self.ino);
        if let Some(running) = inner.running.get_mut(&self.ino) {
            // What it waited for others is not what it takes.
            running.began = Instant::now();
            running.moved = running.began;
        }
        inner.let_one_in();
        drop(inner);
        self.queue.wake.notify_one();
    }
}

impl Queue {
    /// `sync_interval`: how often a file that stays open while it is written is to be sent.
    pub(super) fn new(sync_interval: Duration) -> Self {
        let queue = Self::default();
        queue.inner.lock().pace = Pace::new(sync_interval);
        queue
    }

    /// An entry has something to send.
    pub(super) fn changed(&self, ino: Ino) {
        self.changed_so(ino, Change::Other);
    }

    /// An entry has something to send, and it is known what.
    pub(super) fn changed_so(&self, ino: Ino, change: Change) {
        let mut inner = self.inner.lock();
        inner.failures.remove(&ino);
        inner.fruitless.remove(&ino);
        inner.reached.remove(&ino);
        let before = inner.next();
        match inner.running.get_mut(&ino) {
            Some(running) => running.again = Some(running.again.map_or(change, |before| before.and(change))),
            None => inner.settle(ino, change),
        }
        let is_sooner = inner.next().is_some_and(|when| before.is_none_or(|before| when < before));
        drop(inner);
        // Most changes are due after others: no reason to wake anybody for each.
        if is_sooner {
            self.wake.notify_one();
        }
    }

    /// Nobody writes a file any more: it is held back no longer than what is closed.
    pub(super) fn closed(&self, ino: Ino) {
        let mut inner = self.inner.lock();
        let closed = |change| match change {
            Change::Grown { size, .. } => Change::Grown { size, open: false },
            other => other,
        };
        if let Some(running) = inner.running.get_mut(&ino) {
            running.again = running.again.map(closed);
        } else if let Some(change @ Change::Grown { open: true, .. }) = inner.at.get(&ino).and_then(|at| at.change) {
            inner.settle(ino, closed(change));
        } else {
            // Who only read it wakes nobody: that would be most of what closing a file costs.
            return;
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// An entry from before the start has something to send.
    pub(super) fn recovered(&self, ino: Ino) {
        self.inner.lock().schedule(ino, Instant::now());
    }

    /// What is being sent of an entry is not wanted any more. Takes effect where that is safe, see [`super::upload`].
    pub(super) fn cancel(&self, ino: Ino) {
        if let Some(running) = self.inner.lock().running.get(&ino) {
            running.cancel.cancel();
        }
    }

    /// Lets `ino` not run while `other`, or one that `other` must not overtake, still does.
    pub(super) fn follow(&self, ino: Ino, other: Ino) {
        let mut inner = self.inner.lock();
        let Inner { waits, running, .. } = &mut *inner;
        waits.follow(ino, other, |other| running.contains_key(&other));
    }

    /// Whether `ino` must not overtake one that is under way. It may have come to that since it became due.
    pub(super) fn is_behind(&self, ino: Ino) -> bool {
        let inner = self.inner.lock();
        inner.waits.is_behind(ino, |other| inner.running.contains_key(&other))
    }

    /// Whether so many are parked that one more must not be.
    pub(super) fn is_crowded(&self) -> bool {
        self.inner.lock().is_crowded()
    }

    /// Whether somebody waits for the drive.
    pub(super) fn is_hurried(&self) -> bool {
        self.inner.lock().hurry > 0
    }

    /// Notes how much of an entry's content the drive has taken.
    pub(super) fn sent(&self, ino: Ino, bytes: u64) {
        let mut inner = self.inner.lock();
        if let Some(running) = inner.running.get_mut(&ino) {
            if bytes > running.sent {
                running.moved = Instant::now();
            }
            running.sent = bytes;
            let furthest = inner.furthest.entry(ino).or_default();
            // What is sent again because it got lost is no progress.
            if bytes > *furthest {
                *furthest = bytes;
                self.progress.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether something is being sent of an entry, or of one that it must not overtake.
    pub(super) fn is_busy(&self, ino: Ino) -> bool {
        let inner = self.inner.lock();
        let runs = |ino| inner.running.contains_key(&ino);
        runs(ino) || inner.waits.is_behind(ino, runs)
    }

    /// Notes that the drive has an entry's content, of this size.
    pub(super) fn uploaded(&self, ino: Ino, size: u64) {
        if let Some(running) = self.inner.lock().running.get_mut(&ino) {
            running.uploaded = Some(size);
        }
    }

    /// Notes that something got to the drive for the first time.
    pub(super) fn moved_on(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that grows as long as anything gets to the drive.
    pub(super) fn progress_so_far(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// How often in a row sending an entry failed.
    pub(super) fn attempts(&self, ino: Ino) -> u32 {
        self.inner.lock().failures.get(&ino).map_or(0, |failure| failure.attempts)
    }

    /// A step for an entry ended.
    pub(super) fn finish(&self, ino: Ino, result: Result<Outcome, &WritebackError>, attempts: u32) {
        let mut inner = self.inner.lock();
        let ran = inner.running.remove(&ino);
        let again = ran.as_ref().and_then(|running| running.again);
        if let Some(ran) = &ran {
            match ran.uploaded {
                Some(size) => inner.pace.sent(ino, ran.began, size),
                None if ran.sent > 0 && again.is_none() => drop(inner.reached.insert(ino, ran.sent)),
                None => {}
            }
            if ran.uploaded.is_some() || again.is_some() {
                inner.reached.remove(&ino);
            }
        }
        for follower in inner.waits.released(ino) {
            inner.schedule(follower, Instant::now());
        }
        let got_on = match result {
            Ok(Outcome::Again) => ran.as_ref().is_some_and(|ran| ran.uploaded.is_some()),
            Ok(Outcome::Wait(_)) => false,
            _ => true,
        };
        if got_on || again.is_some() {
            inner.fruitless.remove(&ino);
        }
        match result {
            // It is something else by now, of which that says nothing.
            Err(_) if let Some(change) = again => inner.settle(ino, change),
            Err(error) => {
                let failure = Failure::new(error, attempts);
                let next = failure.next;
                inner.failures.insert(ino, failure);
                inner.schedule(ino, next);
                for waiter in inner.waits.that_go_on(ino) {
                    inner.schedule(waiter, Instant::now());
                }
            }
            Ok(outcome) => {
                inner.failures.remove(&ino);
                if outcome == Outcome::Settled {
                    inner.furthest.remove(&ino);
                    self.progress.fetch_add(1, Ordering::Relaxed);
                }
                if matches!(outcome, Outcome::Settled | Outcome::Again) {
                    for waiter in inner.waits.for_it(ino) {
                        inner.schedule(waiter, Instant::now());
                    }
                }
                if outcome == Outcome::Settled {
                    inner.reached.remove(&ino);
                }
                match (outcome, again) {
                    (_, Some(change)) => inner.settle(ino, change),
                    (Outcome::Again, None) => {
                        let when = inner.braked(ino);
                        inner.schedule(ino, when);
                    }
                    (Outcome::Wait(other), None) => inner.wait(ino, other),
                    // It failed just now.
                    (Outcome::After(other), None) if inner.failure(other).is_some() => {
                        inner.schedule(ino, Instant::now());
                    }
                    (Outcome::After(other), None) => {
                        inner.wait(ino, other);
                        inner.waits.unless_it_fails(ino);
                    }
                    (Outcome::Crowded, None) => inner.keep_out(ino),
                    (Outcome::Settled | Outcome::Idle, None) => {}
                }
            }
        }
        inner.let_one_in();
        drop(inner);
        self.ended.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
