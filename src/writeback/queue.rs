//! When which entry is sent.
//!
//! The journal says *what* is to be sent; the queue, which lives in memory only, says *when*:
//!
//! - An entry that changed waits for [`SETTLE`], so that what comes in a burst (create, write, rename over) costs one request
//!   and what is gone again costs none; but no longer than [`SETTLE_AT_MOST`]. Somebody who waits for the drive
//!   ([`Writeback::flush`]) is not made to wait for that.
//! - One request at a time an entry, many entries at a time.
//! - An entry that needs another one first waits for exactly that one.
//! - What failed is tried again, less and less often, for ever.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Writeback, WritebackError, journal, send};
use crate::clock::Instant;
use crate::error::{Kind, Retry};
use crate::tree::Ino;

/// How long an entry must rest before it is sent.
const SETTLE: Duration = Duration::from_millis(400);

/// How long an entry that does not rest is held back at most.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3);

/// Entries that are sent at one time. Large uploads are bounded further, see [`super::upload`].
const AT_ONCE: usize = 24;

/// What came of one step for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is left to send.
    Settled,
    /// Something was sent, and more is left.
    Again,
    /// This other entry must go first.
    Wait(Ino),
    /// Nothing can be sent until the entry changes once more.
    Idle,
}

/// Why an entry was not sent.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) message: String,
    pub(super) attempts: u32,
    pub(super) next: Instant,
}

/// An entry that is not on the drive as it is here.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Which.
    pub ino: Ino,
    /// Its size, if its content is to be sent.
    pub bytes: u64,
    /// How much of that the drive has taken.
    pub sent: u64,
    /// Whether it is sent right now.
    pub running: bool,
    /// Whether it was removed here.
    pub gone: bool,
    /// Why it was not sent yet, and in how many seconds it is tried again.
    pub error: Option<(Kind, String, u64)>,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
    /// Moves with every entry that was sent or failed.
    ended: watch::Sender<u64>,
}

/// Invariants: `due` and `at` say the same; an entry is in `at` or in `running` or in neither, never in both.
#[derive(Debug, Default)]
struct Inner {
    due: BTreeSet<(Instant, Ino)>,
    at: HashMap<Ino, Scheduled>,
    running: HashMap<Ino, Running>,
    /// Who waits for whom.
    waiting: HashMap<Ino, Vec<Ino>>,
    /// Not to run while the other one runs.
    follows: HashMap<Ino, Ino>,
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

    /// The entries that may run now.
    fn take_due(&mut self) -> Vec<(Ino, CancellationToken)> {
        let now = Instant::now();
        let mut taken = Vec::new();
        let ready: Vec<Ino> = self.due.iter().take_while(|(when, _)| *when <= now).map(|&(_, ino)| ino).collect();
        for ino in ready {
            if self.running.len() >= AT_ONCE {
                break;
            }
            match self.follows.get(&ino) {
                Some(other) if self.running.contains_key(other) => continue,
                Some(_) => drop(self.follows.remove(&ino)),
                None => {}
            }
            self.unschedule(ino);
            let cancel = CancellationToken::new();
            self.running.insert(ino, Running { cancel: cancel.clone(), again: false, sent: 0 });
            taken.push((ino, cancel));
        }
        taken
    }

    /// When something may run next.
    fn next(&self) -> Option<Instant> {
        if self.running.len() >= AT_ONCE { None } else { self.due.first().map(|&(when, _)| when) }
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

    /// Lets `ino` not run while `other` still does.
    pub(super) fn follow(&self, ino: Ino, other: Ino) {
        self.inner.lock().follows.insert(ino, other);
    }

    /// Notes how much of an entry's content the drive has taken.
    pub(super) fn sent(&self, ino: Ino, bytes: u64) {
        if let Some(running) = self.inner.lock().running.get_mut(&ino) {
            running.sent = bytes;
        }
    }

    fn finish(&self, ino: Ino, result: Result<Outcome, &WritebackError>, attempts: u32) {
        let mut inner = self.inner.lock();
        let again = inner.running.remove(&ino).is_some_and(|running| running.again);
        match result {
            Err(error) => {
                let next = Instant::now() + backoff(error.kind(), attempts);
                let failure = Failure { kind: error.kind(), message: error.to_string(), attempts, next };
                inner.failures.insert(ino, failure);
                inner.schedule(ino, next);
            }
            Ok(outcome) => {
                inner.failures.remove(&ino);
                match outcome {
                    Outcome::Again => inner.schedule(ino, Instant::now()),
                    _ if again => inner.settle(ino),
                    Outcome::Wait(other) => {
                        inner.waiting.entry(other).or_default().push(ino);
                        // So that there is somebody to wait for.
                        if !inner.at.contains_key(&other) && !inner.running.contains_key(&other) {
                            inner.schedule(other, Instant::now());
                        }
                    }
                    Outcome::Settled | Outcome::Idle => {}
                }
                if !matches!(outcome, Outcome::Wait(_)) {
                    for waiter in inner.waiting.remove(&ino).unwrap_or_default() {
                        inner.schedule(waiter, Instant::now());
                    }
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

/// Sends entries as they come due, until `end`; then lets those under way end, or not, as the runtime goes.
pub(super) async fn run(writeback: Arc<Writeback>, end: CancellationToken) {
    let mut jobs = JoinSet::new();
    loop {
        for (ino, cancel) in writeback.queue.inner.lock().take_due() {
            let writeback = Arc::clone(&writeback);
            jobs.spawn(async move { writeback.work(ino, &cancel).await });
        }
        let next = writeback.queue.inner.lock().next();
        let pause = async {
            match next {
                Some(when) => tokio::time::sleep_until(when.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            () = writeback.queue.wake.notified() => {}
            Some(_) = jobs.join_next(), if !jobs.is_empty() => {}
            () = end.cancelled() => break,
        }
    }
    jobs.shutdown().await;
}

impl Writeback {
    async fn work(&self, ino: Ino, cancel: &CancellationToken) {
        let result = send::step(self, ino, cancel).await;
        let mut attempts = 0;
        if let Err(error) = &result {
            attempts = self.queue.inner.lock().failures.get(&ino).map_or(0, |failure| failure.attempts) + 1;
            let path = self.tree.path(ino).unwrap_or_default();
            tracing::warn!(path, %error, attempts, "not sent yet");
            if let Err(error) = self.state.write::<_, rusqlite::Error>(|tx| journal::fail(tx, ino, &error.to_string()))
            {
                tracing::error!(%error, "the reason could not be stored");
            }
        }
        self.queue.finish(ino, result.as_ref().copied(), attempts);
    }

    /// All entries that are not on the drive as they are here, oldest change first.
    pub fn pending(&self) -> super::Result<Vec<Pending>> {
        let (entries, sizes) = self.state.read(|db| {
            let sizes = db
                .prepare_cached(
                    "SELECT ino, size FROM node WHERE ino IN (SELECT ino FROM journal WHERE content IS NOT NULL)",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
                .collect::<rusqlite::Result<HashMap<Ino, u64>>>()?;
            Ok((journal::all(db)?, sizes))
        })?;
        let inner = self.queue.inner.lock();
        let pending = |entry: journal::Entry| {
            let running = inner.running.get(&entry.ino);
            let error = inner.failures.get(&entry.ino).map(|failure| {
                let wait = failure.next.saturating_duration_since(Instant::now());
                (failure.kind, failure.message.clone(), wait.as_secs())
            });
            Pending {
                ino: entry.ino,
                bytes: sizes.get(&entry.ino).copied().unwrap_or(0),
                sent: running.map_or(0, |running| running.sent),
                running: running.is_some(),
                gone: entry.gone != journal::Gone::No,
                error,
            }
        };
        Ok(entries.into_iter().filter(|entry| !entry.unclosed).map(pending).collect())
    }

    /// Whether an entry has something to send.
    pub fn is_pending(&self, ino: Ino) -> super::Result<bool> {
        Ok(self.state.read(|db| journal::get(db, ino))?.is_some())
    }

    /// Why an entry was not sent, if it failed.
    pub fn failure(&self, ino: Ino) -> Option<String> {
        self.queue.inner.lock().failures.get(&ino).map(|failure| failure.message.clone())
    }

    /// How an entry fares, in one line.
    pub fn state_of(&self, ino: Ino) -> super::Result<String> {
        let Some(entry) = self.state.read(|db| journal::get(db, ino))? else { return Ok("clean".to_owned()) };
        let size = self.tree.node(ino)?.map_or(0, |node| node.size);
        let inner = self.queue.inner.lock();
        Ok(match (inner.failures.get(&ino), inner.running.get(&ino)) {
            (Some(failure), _) => format!("retrying: {}", failure.message),
            (None, Some(running)) if entry.content.is_some() => {
                format!("uploading {}%", running.sent.saturating_mul(100) / size.max(1))
            }
            _ if entry.unclosed => "dirty".to_owned(),
            _ => "queued".to_owned(),
        })
    }

    /// Waits until the drive has everything that was changed so far and that `wanted` picks, or until each entry that is left
    /// has failed for a reason that will not pass by itself. What is left is still to be sent, and is said. To bound the wait,
    /// drop the future. Content must be sealed to count.
    pub async fn flush(&self, wanted: impl Fn(Ino) -> bool) -> super::Result<Vec<Ino>> {
        let mut ended = self.queue.ended.subscribe();
        let _hurry = Hurry::new(&self.queue);
        let entries = self.state.read(journal::all)?;
        let mut left: HashMap<Ino, journal::Seq> = entries
            .into_iter()
            .filter(|entry| !entry.unclosed && entry.acked < entry.seq && wanted(entry.ino))
            .map(|entry| (entry.ino, entry.seq))
            .collect();
        {
            let mut inner = self.queue.inner.lock();
            for &ino in left.keys() {
                inner.failures.remove(&ino);
                if !inner.running.contains_key(&ino) && !inner.waiting.values().flatten().any(|&waiter| waiter == ino) {
                    inner.schedule(ino, Instant::now());
                }
            }
        }
        self.queue.wake.notify_one();
        loop {
            let open: HashSet<Ino> = self.state.read(|db| {
                let mut open = HashSet::new();
                for (&ino, &seq) in &left {
                    if journal::get(db, ino)?.is_some_and(|entry| entry.acked < seq) {
                        open.insert(ino);
                    }
                }
                Ok(open)
            })?;
            left.retain(|ino, _| open.contains(ino));
            let hopeless = {
                let inner = self.queue.inner.lock();
                let fails = |ino: &Ino| inner.failures.get(ino).is_some_and(|f| f.kind.retry() != Retry::Soon);
                left.keys()
                    .all(|ino| fails(ino) || inner.waiting.iter().any(|(on, who)| fails(on) && who.contains(ino)))
            };
            if hopeless {
                return Ok(left.into_keys().collect());
            }
            if ended.changed().await.is_err() {
                return Ok(left.into_keys().collect());
            }
        }
    }
}

/// Somebody waits for the drive.
struct Hurry<'a>(&'a Queue);

impl<'a> Hurry<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.inner.lock().hurry += 1;
        Self(queue)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().hurry -= 1;
    }
}
