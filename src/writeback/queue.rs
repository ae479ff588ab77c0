//! When which entry is sent.
//!
//! The journal says *what* is to be sent; the queue, which lives in memory only, says *when*:
//!
//! - An entry that changed waits until it has rested, so that what comes in a burst (create, write, rename over) costs one request
//!   and what is gone again costs none; a file that goes on changing waits for longer ([`pace`]). Somebody who waits for the
//!   drive ([`super::flush`]) is not made to wait for that.
//! - One request at a time an entry, many entries at a time. Large uploads are bounded further ([`turns`]), and what waits for
//!   that takes no place from who need not.
//! - An entry that needs another one first waits for exactly that one; one that took over an identity waits until what is under
//!   way for it has ended ([`waits`]).
//! - What failed is tried again, less and less often, for ever ([`failures`]).
//! - Under a deadline those go first that have the least left to send, so that as many as can be are whole when time is up.

mod failures;
mod pace;
mod turns;
mod waits;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::failures::{Failure, Failures};
pub(super) use self::pace::Change;
use self::pace::{Pace, rested};
pub(super) use self::turns::{Turn, Turns};
use self::waits::Waits;
use super::WritebackError;
use super::plan::Outcome;
use crate::tree::Ino;

/// Entries that are sent at one time. Large uploads are bounded further, see [`super::upload`].
pub(super) const AT_ONCE: usize = 24;

/// Entries that may wait for others to be uploaded, beside those.
const PARKED: usize = 200;

/// The same under a deadline, when small ones must get past large ones that wait.
const PARKED_PRESSED: usize = 800;

/// An upload of which the drive has taken nothing for this long is said to hang.
const SILENCE: Duration = Duration::from_secs(10);

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

/// Invariants: `due` and `at` say the same. An entry is in at most one of `at`, `running` and `waits`.
#[derive(Debug, Default)]
pub(super) struct Inner {
    due: BTreeSet<(Instant, Ino)>,
    at: HashMap<Ino, Scheduled>,
    running: HashMap<Ino, Running>,
    /// Those of them that wait for their turn to be uploaded.
    parked: HashSet<Ino>,
    waits: Waits,
    failures: Failures,
    pace: Pace,
    /// How much the drive has of content whose upload was broken off.
    reached: HashMap<Ino, u64>,
    /// How much of an entry's content was ever on its way, over all tries.
    furthest: HashMap<Ino, u64>,
    /// How many wait for the drive: nothing is held back then.
    hurry: usize,
    /// How many of them have a deadline.
    pressed: usize,
}

#[derive(Debug)]
struct Scheduled {
    when: Instant,
    /// When it first changed.
    since: Instant,
    /// Why it is not sent at once, if because it changed.
    change: Option<Change>,
}

#[derive(Debug)]
struct Running {
    cancel: CancellationToken,
    /// It changed meanwhile.
    again: Option<Change>,
    sent: u64,
    /// Since when that is so.
    moved: Instant,
    began: Instant,
    /// The drive took its content, of this size.
    uploaded: Option<u64>,
}

impl Inner {
    fn schedule(&mut self, ino: Ino, when: Instant) {
        self.put(ino, when, Instant::now(), None);
    }

    /// Schedules it anew, or for the first time; `since` in the second case.
    fn put(&mut self, ino: Ino, when: Instant, since: Instant, change: Option<Change>) {
        self.waits.stop(ino);
        let since = self.unschedule(ino).map_or(since, |old| old.since);
        self.due.insert((when, ino));
        self.at.insert(ino, Scheduled { when, since, change });
    }

    fn unschedule(&mut self, ino: Ino) -> Option<Scheduled> {
        let old = self.at.remove(&ino)?;
        self.due.remove(&(old.when, ino));
        Some(old)
    }

    fn settle(&mut self, ino: Ino, change: Change) {
        let now = Instant::now();
        let before = self.at.get(&ino).map(|before| (before.since, before.change));
        let was = before.and_then(|(_, change)| change);
        let mut change = was.map_or(change, |was| was.and(change));
        let mut since = before.map_or(now, |(since, _)| since);
        let when = if self.hurry > 0 {
            // Who waits has what they wait for hastened: this may be a save that has nothing to do with it.
            if change == Change::Temporary { rested(Change::Other, since) } else { now }
        } else if let Some(not_before) = self.pace.not_before(ino, change) {
            not_before.max(rested(change, since))
        } else {
            if matches!(change, Change::Grown { .. }) {
                change = Change::Other;
            }
            if change == Change::Other && was.is_some_and(|was| was != Change::Other) {
                // It was held back, and is not any more: from now on it rests as others do.
                self.unschedule(ino);
                since = now;
            }
            rested(change, since)
        };
        self.put(ino, when, since, Some(change));
    }

    fn wait(&mut self, ino: Ino, other: Ino) {
        self.waits.wait(ino, other);
        // So that there is somebody to wait for.
        let is_known = self.at.contains_key(&other) || self.running.contains_key(&other);
        if !is_known && !self.waits.is_waiting(other) {
            self.schedule(other, Instant::now());
        }
    }

    /// The entries that may run now.
    pub(super) fn take_due(&mut self) -> Vec<(Ino, CancellationToken)> {
        let now = Instant::now();
        let mut taken = Vec::new();
        while self.has_room() {
            let Some(&(_, ino)) = self.due.first().filter(|(when, _)| *when <= now) else { break };
            self.unschedule(ino);
            if self.waits.hold(ino, |other| self.running.contains_key(&other)) {
                continue;
            }
            let cancel = CancellationToken::new();
            let running =
                Running { cancel: cancel.clone(), again: None, sent: 0, moved: now, began: now, uploaded: None };
            self.running.insert(ino, running);
            taken.push((ino, cancel));
        }
        taken
    }

    /// When something may run next.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.has_room() { self.due.first().map(|&(when, _)| when) } else { None }
    }

    fn has_room(&self) -> bool {
        let parked = if self.pressed > 0 { PARKED_PRESSED } else { PARKED };
        self.running.len() - self.parked.len() < AT_ONCE && self.parked.len() < parked
    }

    /// Tries at once to send an entry, or what it waits for, even if that failed before.
    pub(super) fn hasten(&mut self, ino: Ino) {
        self.hasten_to(ino, Instant::now());
    }

    fn hasten_to(&mut self, ino: Ino, when: Instant) {
        let root = self.waits.root(ino);
        self.failures.remove(&root);
        if !self.running.contains_key(&root) {
            self.schedule(root, when);
        }
    }

    /// As [`Self::hasten`], in this order.
    pub(super) fn hasten_in_order(&mut self, inos: &[Ino]) {
        let now = Instant::now();
        for (&ino, behind) in inos.iter().rev().zip(1..) {
            self.hasten_to(ino, now.checked_sub(Duration::from_nanos(behind)).unwrap_or(now));
        }
    }

    /// Tries again at once all that failed before. Says how many that are.
    pub(super) fn hasten_failed(&mut self) -> usize {
        let failed: Vec<Ino> = self.failures.drain().map(|(ino, _)| ino).collect();
        for &ino in &failed {
            if self.at.contains_key(&ino) {
                self.schedule(ino, Instant::now());
            }
        }
        failed.len()
    }

    /// The last of those that an entry waits for: itself, if for none.
    pub(super) fn root(&self, ino: Ino) -> Ino {
        self.waits.root(ino)
    }

    /// Whether sending an entry, or what it waits for, failed for a reason that will not pass by itself.
    pub(super) fn is_hopeless(&self, ino: Ino) -> bool {
        self.failures.get(&self.waits.root(ino)).is_some_and(Failure::is_hopeless)
    }

    /// Why an entry, or what it waits for, was not sent, if it failed.
    pub(super) fn failure(&self, ino: Ino) -> Option<&Failure> {
        self.failures.get(&ino).or_else(|| self.failures.get(&self.waits.root(ino)))
    }

    /// How much of an entry's content the drive has taken, if it is being sent.
    pub(super) fn progress(&self, ino: Ino) -> Option<u64> {
        self.running.get(&ino).filter(|_| !self.parked.contains(&ino)).map(|running| running.sent)
    }

    /// How much of an entry's content the drive has taken, if not all of it, as far as is known.
    pub(super) fn reached(&self, ino: Ino) -> u64 {
        let running = self.running.get(&ino).map_or(0, |running| running.sent);
        running.max(self.reached.get(&ino).copied().unwrap_or(0))
    }

    /// For how long the drive has taken nothing of an entry that is being sent, if that is long.
    pub(super) fn silence(&self, ino: Ino) -> Option<Duration> {
        let running = self.running.get(&ino).filter(|_| !self.parked.contains(&ino))?;
        Some(running.moved.elapsed()).filter(|silence| *silence >= SILENCE)
    }

    /// For how long an entry that goes on changing is still held back, if it is.
    pub(super) fn held_back(&self, ino: Ino) -> Option<Duration> {
        let scheduled = self.at.get(&ino)?;
        let left = scheduled.when.saturating_duration_since(Instant::now());
        let is_paced = matches!(scheduled.change, Some(Change::Grown { .. } | Change::Temporary));
        (is_paced && left > pace::REST).then_some(left)
    }

    pub(super) fn hurry(&mut self) {
        self.hurry += 1;
    }

    pub(super) fn hurry_no_more(&mut self) {
        self.hurry -= 1;
    }

    /// From now on there is a deadline. Says whether there was none before.
    pub(super) fn press(&mut self) -> bool {
        self.pressed += 1;
        self.pressed == 1
    }

    /// One deadline is over, or none any more. Says whether there is none left.
    pub(super) fn press_no_more(&mut self) -> bool {
        self.pressed -= 1;
        self.pressed == 0
    }

    pub(super) fn is_pressed(&self) -> bool {
        self.pressed > 0
    }

    /// Puts those of these entries that are due in this order.
    pub(super) fn reorder(&mut self, inos: &[Ino]) {
        let now = Instant::now();
        let is_due = |ino: &Ino| self.at.get(ino).is_some_and(|at| at.when <= now);
        let due: Vec<Ino> = inos.iter().copied().filter(is_due).collect();
        for (&ino, behind) in due.iter().rev().zip(1..) {
            self.schedule(ino, now.checked_sub(Duration::from_nanos(behind)).unwrap_or(now));
        }
    }

    /// Breaks off what is sent of an entry, to be gone on with when its turn comes.
    pub(super) fn break_off(&self, ino: Ino) {
        if let Some(running) = self.running.get(&ino).filter(|_| !self.parked.contains(&ino)) {
            running.cancel.cancel();
        }
    }
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
        if let Some(ran) = ran {
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
        match result {
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
                    (Outcome::Again, None) => inner.schedule(ino, Instant::now()),
                    (Outcome::Wait(other), None) => inner.wait(ino, other),
                    // It failed just now.
                    (Outcome::After(other), None) if inner.failure(other).is_some() => {
                        inner.schedule(ino, Instant::now());
                    }
                    (Outcome::After(other), None) => {
                        inner.wait(ino, other);
                        inner.waits.unless_it_fails(ino);
                    }
                    (Outcome::Settled | Outcome::Idle, None) => {}
                }
            }
        }
        drop(inner);
        self.ended.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
