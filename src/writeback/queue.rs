//! When which entry is sent.
//!
//! The journal says *what* is to be sent; the queue, which lives in memory only, says *when*:
//!
//! - An entry that changed waits for [`SETTLE`], so that what comes in a burst (create, write, rename over) costs one request
//!   and what is gone again costs none; but no longer than [`SETTLE_AT_MOST`]. Somebody who waits for the drive
//!   ([`super::flush`]) is not made to wait for that.
//! - One request at a time an entry, many entries at a time.
//! - An entry that needs another one first waits for exactly that one; one that took over an identity waits until what is under
//!   way for it has ended.
//! - What failed is tried again, less and less often, for ever.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::WritebackError;
use super::plan::Outcome;
use crate::error::{Kind, Retry};
use crate::tree::Ino;

/// How long an entry must rest before it is sent.
const SETTLE: Duration = Duration::from_millis(400);

/// How long an entry that does not rest is held back at most.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3);

/// Entries that are sent at one time. Large uploads are bounded further, see [`super::upload`].
pub(super) const AT_ONCE: usize = 24;

/// Entries that may wait for others to be uploaded, beside those.
const PARKED: usize = 200;

/// Why an entry was not sent.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) message: String,
    pub(super) attempts: u32,
    /// When it is tried again.
    pub(super) next: Instant,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) inner: Mutex<Inner>,
    pub(super) wake: Notify,
    /// Moves with every entry that was sent or failed.
    pub(super) ended: watch::Sender<u64>,
}

/// Invariants: `due` and `at` say the same; so do `waits_for` and `waiters`. An entry is in at most one of `at`, `running` and
/// `waits_for`.
#[derive(Debug, Default)]
pub(super) struct Inner {
    due: BTreeSet<(Instant, Ino)>,
    at: HashMap<Ino, Scheduled>,
    running: HashMap<Ino, Running>,
    /// Those of them that wait for their turn to be uploaded.
    parked: HashSet<Ino>,
    /// Who waits for whom to be sent.
    waits_for: HashMap<Ino, Ino>,
    waiters: HashMap<Ino, HashSet<Ino>>,
    /// Who of them goes on if that fails.
    unless_failed: HashSet<Ino>,
    /// Whom not to overtake: not to run while one of them runs.
    follows: HashMap<Ino, Vec<Ino>>,
    /// Who is due, and follows one that runs.
    held: HashMap<Ino, HashSet<Ino>>,
    failures: HashMap<Ino, Failure>,
    /// How many wait for the drive: nothing is held back then.
    hurry: usize,
}

#[derive(Debug)]
struct Scheduled {
    when: Instant,
    /// When it first changed.
    since: Instant,
}

#[derive(Debug)]
struct Running {
    cancel: CancellationToken,
    /// It changed meanwhile.
    again: bool,
    sent: u64,
}

impl Inner {
    fn schedule(&mut self, ino: Ino, when: Instant) {
        self.stop_waiting(ino);
        let since = self.unschedule(ino).map_or_else(Instant::now, |old| old.since);
        self.due.insert((when, ino));
        self.at.insert(ino, Scheduled { when, since });
    }

    fn unschedule(&mut self, ino: Ino) -> Option<Scheduled> {
        let old = self.at.remove(&ino)?;
        self.due.remove(&(old.when, ino));
        Some(old)
    }

    fn settle(&mut self, ino: Ino) {
        let now = Instant::now();
        let since = self.at.get(&ino).map_or(now, |scheduled| scheduled.since);
        let when = if self.hurry > 0 { now } else { (now + SETTLE).min(since + SETTLE_AT_MOST) };
        self.schedule(ino, when);
    }

    fn wait(&mut self, ino: Ino, other: Ino) {
        self.waits_for.insert(ino, other);
        self.waiters.entry(other).or_default().insert(ino);
        // So that there is somebody to wait for.
        let is_known = self.at.contains_key(&other) || self.running.contains_key(&other);
        if !is_known && !self.waits_for.contains_key(&other) {
            self.schedule(other, Instant::now());
        }
    }

    fn stop_waiting(&mut self, ino: Ino) {
        self.unless_failed.remove(&ino);
        let Some(other) = self.waits_for.remove(&ino) else { return };
        if let Some(waiters) = self.waiters.get_mut(&other) {
            waiters.remove(&ino);
            if waiters.is_empty() {
                self.waiters.remove(&other);
            }
        }
    }

    /// One that `ino` must not overtake and that runs.
    fn followed(&mut self, ino: Ino) -> Option<Ino> {
        let followed = self.follows.get_mut(&ino)?;
        followed.retain(|other| self.running.contains_key(other));
        let first = followed.first().copied();
        if first.is_none() {
            self.follows.remove(&ino);
        }
        first
    }

    /// The entries that may run now.
    pub(super) fn take_due(&mut self) -> Vec<(Ino, CancellationToken)> {
        let now = Instant::now();
        let mut taken = Vec::new();
        while self.has_room() {
            let Some(&(_, ino)) = self.due.first().filter(|(when, _)| *when <= now) else { break };
            self.unschedule(ino);
            if let Some(other) = self.followed(ino) {
                self.held.entry(other).or_default().insert(ino);
                continue;
            }
            let cancel = CancellationToken::new();
            self.running.insert(ino, Running { cancel: cancel.clone(), again: false, sent: 0 });
            taken.push((ino, cancel));
        }
        taken
    }

    /// When something may run next.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.has_room() { self.due.first().map(|&(when, _)| when) } else { None }
    }

    fn has_room(&self) -> bool {
        self.running.len() - self.parked.len() < AT_ONCE && self.parked.len() < PARKED
    }

    /// The last of those that an entry waits for, one behind the other: itself, if for none.
    fn root(&self, mut ino: Ino) -> Ino {
        // Folders are not that deep; the bound is for a mistake.
        for _ in 0..4096 {
            match self.waits_for.get(&ino) {
                Some(&other) => ino = other,
                None => break,
            }
        }
        ino
    }

    /// Tries at once to send an entry, or what it waits for, even if that failed before.
    pub(super) fn hasten(&mut self, ino: Ino) {
        let root = self.root(ino);
        self.failures.remove(&root);
        if !self.running.contains_key(&root) {
            self.schedule(root, Instant::now());
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

    /// Whether sending an entry, or what it waits for, failed for a reason that will not pass by itself.
    pub(super) fn is_hopeless(&self, ino: Ino) -> bool {
        self.failures.get(&self.root(ino)).is_some_and(|failure| failure.kind.retry() != Retry::Soon)
    }

    /// Why an entry, or what it waits for, was not sent, if it failed.
    pub(super) fn failure(&self, ino: Ino) -> Option<&Failure> {
        self.failures.get(&ino).or_else(|| self.failures.get(&self.root(ino)))
    }

    /// How much of an entry's content the drive has taken, if it is being sent.
    pub(super) fn progress(&self, ino: Ino) -> Option<u64> {
        self.running.get(&ino).filter(|_| !self.parked.contains(&ino)).map(|running| running.sent)
    }

    pub(super) fn hurry(&mut self) {
        self.hurry += 1;
    }

    pub(super) fn hurry_no_more(&mut self) {
        self.hurry -= 1;
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
        self.queue.inner.lock().parked.remove(&self.ino);
    }
}

impl Queue {
    /// An entry has something to send.
    pub(super) fn changed(&self, ino: Ino) {
        let mut inner = self.inner.lock();
        inner.failures.remove(&ino);
        match inner.running.get_mut(&ino) {
            Some(running) => running.again = true,
            None => inner.settle(ino),
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
        let mut others = inner.follows.get(&other).cloned().unwrap_or_default();
        others.push(other);
        others.retain(|&other| other != ino && inner.running.contains_key(&other));
        if !others.is_empty() {
            let follows = inner.follows.entry(ino).or_default();
            follows.extend(others);
            follows.sort_unstable();
            follows.dedup();
        }
    }

    /// Notes how much of an entry's content the drive has taken.
    pub(super) fn sent(&self, ino: Ino, bytes: u64) {
        if let Some(running) = self.inner.lock().running.get_mut(&ino) {
            running.sent = bytes;
        }
    }

    /// How often in a row sending an entry failed.
    pub(super) fn attempts(&self, ino: Ino) -> u32 {
        self.inner.lock().failures.get(&ino).map_or(0, |failure| failure.attempts)
    }

    /// A step for an entry ended.
    pub(super) fn finish(&self, ino: Ino, result: Result<Outcome, &WritebackError>, attempts: u32) {
        let mut inner = self.inner.lock();
        let again = inner.running.remove(&ino).is_some_and(|running| running.again);
        for follower in inner.held.remove(&ino).unwrap_or_default() {
            inner.schedule(follower, Instant::now());
        }
        match result {
            Err(error) => {
                let next = Instant::now() + backoff(error.kind(), attempts);
                let failure = Failure { kind: error.kind(), message: error.to_string(), attempts, next };
                inner.failures.insert(ino, failure);
                inner.schedule(ino, next);
                let waiters: Vec<Ino> = inner.unless_failed.iter().copied().collect();
                for waiter in waiters {
                    if inner.root(waiter) == ino {
                        inner.schedule(waiter, Instant::now());
                    }
                }
            }
            Ok(outcome) => {
                inner.failures.remove(&ino);
                if matches!(outcome, Outcome::Settled | Outcome::Again) {
                    for waiter in inner.waiters.get(&ino).cloned().unwrap_or_default() {
                        inner.schedule(waiter, Instant::now());
                    }
                }
                match outcome {
                    Outcome::Again => inner.schedule(ino, Instant::now()),
                    _ if again => inner.settle(ino),
                    Outcome::Wait(other) => inner.wait(ino, other),
                    // It failed just now.
                    Outcome::After(other) if inner.failure(other).is_some() => inner.schedule(ino, Instant::now()),
                    Outcome::After(other) => {
                        inner.wait(ino, other);
                        inner.unless_failed.insert(ino);
                    }
                    Outcome::Settled | Outcome::Idle => {}
                }
            }
        }
        drop(inner);
        self.ended.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }
}

/// How long to wait before trying again.
fn backoff(kind: Kind, attempts: u32) -> Duration {
    let (first, most) = match kind.retry() {
        Retry::Soon => (Duration::from_secs(1), Duration::from_mins(1)),
        Retry::Seldom | Retry::Never => (Duration::from_secs(15), Duration::from_mins(10)),
    };
    let whole = first.saturating_mul(1 << attempts.min(10)).min(most);
    // Half of it at random, so that what failed together does not come back together.
    whole / 2 + whole.mul_f64(rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::RemoteError;

    fn ino(number: u64) -> Ino {
        Ino(number)
    }

    /// Everything that may run now, as it is taken.
    fn take(queue: &Queue) -> Vec<u64> {
        queue.inner.lock().take_due().into_iter().map(|(ino, _)| ino.0).collect()
    }

    #[test]
    fn what_failed_is_tried_again_when_somebody_asks() {
        let queue = Queue::default();
        queue.inner.lock().hurry();
        queue.changed(ino(1));
        queue.changed(ino(2));
        assert_eq!(take(&queue), [1, 2]);
        queue.finish(ino(1), Err(&refusal()), 1);
        queue.finish(ino(2), Ok(Outcome::Settled), 0);
        assert!(take(&queue).is_empty(), "not before its time");
        assert_eq!(queue.inner.lock().hasten_failed(), 1);
        assert_eq!(take(&queue), [1]);
        assert_eq!(queue.inner.lock().hasten_failed(), 0);
        assert!(take(&queue).is_empty());
    }

    fn refusal() -> WritebackError {
        RemoteError::new(Kind::Denied, "files.create", "no permission").into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_rests_before_it_is_sent_but_not_for_ever() {
        let queue = Queue::default();
        let mut waited = Duration::ZERO;
        queue.changed(ino(1));
        while take(&queue).is_empty() {
            tokio::time::advance(Duration::from_millis(100)).await;
            waited += Duration::from_millis(100);
            queue.changed(ino(1));
        }
        assert!(waited >= SETTLE && waited <= SETTLE_AT_MOST + Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_run_and_the_rest_keeps_its_turn() {
        let queue = Queue::default();
        for number in 0..100 {
            queue.recovered(ino(number));
        }
        let first = take(&queue);
        assert_eq!(first.len(), AT_ONCE);
        assert!(take(&queue).is_empty());
        queue.finish(ino(first[0]), Ok(Outcome::Settled), 0);
        assert_eq!(take(&queue).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_turn_to_be_uploaded_keeps_nothing_else_from_being_sent() {
        let queue = Queue::default();
        for number in 0..1000 {
            queue.recovered(ino(number));
        }
        let first = take(&queue);
        let parked: Vec<_> = first.iter().map(|&number| Parked::new(&queue, ino(number))).collect();
        assert_eq!(take(&queue).len(), AT_ONCE);
        assert!(take(&queue).is_empty());
        drop(parked);
        assert!(take(&queue).is_empty(), "they run again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_runs_when_the_other_was_sent_and_not_when_it_failed() {
        let queue = Queue::default();
        queue.recovered(ino(1));
        assert_eq!(take(&queue), [1]);
        queue.finish(ino(1), Ok(Outcome::Wait(ino(2))), 0);
        assert_eq!(take(&queue), [2], "so that there is somebody to wait for");
        queue.finish(ino(2), Err(&refusal()), 1);
        assert!(take(&queue).is_empty());
        assert!(queue.inner.lock().is_hopeless(ino(1)));
        queue.inner.lock().hasten(ino(1));
        assert_eq!(take(&queue), [2]);
        queue.finish(ino(2), Ok(Outcome::Settled), 0);
        assert_eq!(take(&queue), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_lets_another_go_first_goes_on_when_that_or_what_it_waits_for_fails() {
        let queue = Queue::default();
        queue.recovered(ino(1));
        take(&queue);
        queue.finish(ino(1), Ok(Outcome::After(ino(2))), 0);
        assert_eq!(take(&queue), [2]);
        queue.finish(ino(2), Ok(Outcome::Wait(ino(3))), 0);
        assert_eq!(take(&queue), [3]);
        queue.finish(ino(3), Err(&refusal()), 1);
        assert_eq!(take(&queue), [1]);
        assert!(queue.inner.lock().failure(ino(2)).is_some(), "and can see why");
        queue.finish(ino(1), Ok(Outcome::Settled), 0);
        queue.inner.lock().hasten(ino(2));
        assert_eq!(take(&queue), [3]);
        queue.finish(ino(3), Err(&refusal()), 2);
        assert!(take(&queue).is_empty(), "who does not wait is not woken");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_round_in_a_circle_behind_one_that_is_idle() {
        let queue = Queue::default();
        queue.recovered(ino(1));
        take(&queue);
        queue.finish(ino(1), Ok(Outcome::Wait(ino(2))), 0);
        take(&queue);
        queue.finish(ino(2), Ok(Outcome::Idle), 0);
        assert!(take(&queue).is_empty());
        queue.changed(ino(2));
        tokio::time::advance(SETTLE).await;
        assert_eq!(take(&queue), [2]);
        queue.finish(ino(2), Ok(Outcome::Settled), 0);
        assert_eq!(take(&queue), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_save_never_overtakes_the_first_one_under_way() {
        let queue = Queue::default();
        queue.recovered(ino(1));
        take(&queue);
        // 2 takes over from 1, then 3 from 2.
        queue.follow(ino(2), ino(1));
        queue.follow(ino(3), ino(2));
        queue.recovered(ino(2));
        queue.recovered(ino(3));
        assert!(take(&queue).is_empty());
        assert_eq!(queue.inner.lock().next(), None, "and nothing spins");
        queue.finish(ino(1), Ok(Outcome::Settled), 0);
        assert_eq!(take(&queue), [2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn hopelessness_is_seen_through_all_who_wait() {
        let queue = Queue::default();
        for number in 1..=3 {
            queue.recovered(ino(number));
        }
        take(&queue);
        queue.finish(ino(3), Ok(Outcome::Wait(ino(2))), 0);
        queue.finish(ino(2), Ok(Outcome::Wait(ino(1))), 0);
        assert!(!queue.inner.lock().is_hopeless(ino(3)));
        queue.finish(ino(1), Err(&refusal()), 1);
        assert!(queue.inner.lock().is_hopeless(ino(3)));
        assert!(queue.inner.lock().failure(ino(3)).is_some());
    }
}
