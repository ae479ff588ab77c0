//! How far sending is, and waiting for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::Queue;
use super::space::PATIENCE;
use super::{Writeback, WritebackError, journal, upload};
use crate::error::Kind;
use crate::tree::Ino;
use crate::tree::nodes::from_sql;

/// How often it is looked whether somebody still wants to wait.
const LOOK: Duration = Duration::from_millis(200);

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
    /// For how many seconds it is held back, because it goes on changing.
    pub held_back: Option<u64>,
    /// For how many seconds the drive has said nothing of it, although it is being sent.
    pub silence: Option<u64>,
}

impl Writeback {
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
            let progress = inner.progress(entry.ino);
            let error = inner.failure(entry.ino).map(|failure| {
                let wait = failure.next.saturating_duration_since(Instant::now());
                (failure.kind, failure.message.clone(), wait.as_secs())
            });
            Pending {
                ino: entry.ino,
                bytes: sizes.get(&entry.ino).copied().unwrap_or(0),
                sent: inner.reached(entry.ino).max(self.streamed(entry.ino)),
                running: progress.is_some(),
                gone: entry.gone != journal::Gone::No,
                error,
                held_back: inner.held_back(entry.ino).map(|left| left.as_secs().max(1)),
                silence: inner.silence(entry.ino).map(|silence| silence.as_secs()),
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
        self.queue.inner.lock().failure(ino).map(|failure| failure.message.clone())
    }

    /// How an entry fares, in one line.
    pub fn state_of(&self, ino: Ino) -> super::Result<String> {
        let Some(entry) = self.state.read(|db| journal::get(db, ino))? else { return Ok("clean".to_owned()) };
        let size = self.tree.node(ino)?.map_or(0, |node| node.size);
        let inner = self.queue.inner.lock();
        Ok(match (inner.failure(ino), inner.progress(ino)) {
            (Some(failure), _) => format!("retrying: {}", failure.message),
            (None, Some(sent)) if entry.content.is_some() => {
                format!("uploading {}%", sent.saturating_mul(100) / size.max(1))
            }
            _ if self.streamed(ino) > 0 => {
                format!("uploading {}%", self.streamed(ino).saturating_mul(100) / size.max(1))
            }
            _ if entry.unclosed => "dirty".to_owned(),
            _ => match inner.held_back(ino) {
                Some(left) => format!("waiting, sent in {} s", left.as_secs().max(1)),
                None => "queued".to_owned(),
            },
        })
    }

    /// The entries that are not on the drive as they are here, those with the least left to send first.
    fn smallest_first(&self) -> super::Result<Vec<Unsent>> {
        let mut left: Vec<Unsent> = self.state.read(|db| {
            // CROSS: in this order. The other way round it would read all of the tree for the few that are left.
            db.prepare_cached(
                "SELECT journal.ino, journal.seq, iif(content IS NULL, 0, size)
                 FROM journal CROSS JOIN node ON node.ino = journal.ino",
            )?
            .query_map([], |row| {
                let size = from_sql(row.get(2)?);
                Ok(Unsent { left: size, seq: from_sql(row.get(1)?), ino: row.get(0)?, size })
            })?
            .collect::<rusqlite::Result<_>>()
        })?;
        let inner = self.queue.inner.lock();
        for unsent in &mut left {
            unsent.left = unsent.size.saturating_sub(inner.reached(unsent.ino));
        }
        drop(inner);
        left.sort_unstable();
        Ok(left)
    }

    /// From now on, until this is dropped, there is a deadline: those entries are sent first that have the least left to send,
    /// and few large ones at a time, so that as many as can be are whole when it comes.
    pub fn press(self: &Arc<Self>) -> Pressed {
        let first = self.queue.inner.lock().press();
        let pressed = Pressed(Arc::clone(self));
        if first {
            self.uploads.press(true);
            self.large.press(true);
            match self.smallest_first() {
                Ok(unsent) => self.put_in_order(&unsent),
                Err(error) => tracing::warn!(%error, "sent in the usual order, although time is short"),
            }
        }
        pressed
    }

    fn put_in_order(&self, smallest_first: &[Unsent]) {
        let inos: Vec<Ino> = smallest_first.iter().map(|unsent| unsent.ino).collect();
        let mut inner = self.queue.inner.lock();
        inner.reorder(&inos);
        // Large ones that take the line from smaller ones go on later, from where they are.
        let large = smallest_first.iter().filter(|unsent| unsent.size > self.remote.small());
        large.skip(upload::LARGE_PRESSED).for_each(|unsent| inner.break_off(unsent.ino));
        drop(inner);
        self.queue.wake.notify_one();
    }

    /// Tries again at once what could not be sent and waits for its next attempt, for whatever reason. Says how much that is.
    pub fn retry_now(&self) -> usize {
        let failed = self.queue.inner.lock().hasten_failed();
        self.queue.wake.notify_one();
        failed
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
        let order = if self.queue.inner.lock().is_pressed() { self.smallest_first()? } else { Vec::new() };
        {
            let mut inner = self.queue.inner.lock();
            for &ino in left.keys() {
                inner.hasten(ino);
            }
            let smallest_first = order.iter().map(|unsent| unsent.ino).filter(|ino| left.contains_key(ino));
            inner.hasten_in_order(&smallest_first.collect::<Vec<_>>());
        }
        self.queue.wake.notify_one();
        loop {
            let began = Instant::now();
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
                left.keys().all(|&ino| inner.is_hopeless(ino))
            };
            if hopeless {
                return Ok(left.into_keys().collect());
            }
            // Looking costs time with each entry that is left, and must not take what sending needs.
            tokio::time::sleep((began.elapsed() * 10).min(Duration::from_secs(1))).await;
            if ended.changed().await.is_err() {
                return Ok(left.into_keys().collect());
            }
        }
    }
}

impl Writeback {
    /// Waits until the drive has these entries as they are now, as far as they are sealed. Fails with what keeps one of them from it:
    /// at once if that does not pass by itself, and when nothing got to the drive for [`PATIENCE`]. `enough`: whoever waits is not
    /// to wait any longer.
    pub async fn wait_for_drive(&self, entries: &[Ino], enough: impl Fn() -> bool) -> super::Result<()> {
        let mut ended = self.queue.ended.subscribe();
        let _hurry = Hurry::new(&self.queue);
        let mut left: Vec<(Ino, journal::Seq)> = self.state.read(|db| {
            let entries = entries.iter().filter_map(|&ino| journal::get(db, ino).transpose());
            entries.map(|entry| entry.map(|entry| (entry.ino, entry.seq))).collect()
        })?;
        {
            let mut inner = self.queue.inner.lock();
            for &(ino, _) in &left {
                inner.hasten(ino);
            }
        }
        self.queue.wake.notify_one();
        let mut progress = (self.queue.progress_so_far(), Instant::now());
        loop {
            left = self.state.read(|db| {
                let mut open = Vec::new();
                for &(ino, seq) in &left {
                    if journal::get(db, ino)?.is_some_and(|entry| entry.acked < seq) {
                        open.push((ino, seq));
                    }
                }
                Ok(open)
            })?;
            let Some(&(first, _)) = left.first() else { return Ok(()) };
            let refused = {
                let inner = self.queue.inner.lock();
                let hopeless = left.iter().find(|(ino, _)| inner.is_hopeless(*ino));
                hopeless.and_then(|(ino, _)| inner.failure(*ino).cloned())
            };
            if let Some(failure) = refused {
                return Err(WritebackError::NotTaken { kind: failure.kind, why: failure.message });
            }
            let now = self.queue.progress_so_far();
            if now != progress.0 {
                progress = (now, Instant::now());
            }
            if progress.1.elapsed() >= PATIENCE {
                let why = self.failure(first).map_or_else(String::new, |why| format!(": {why}"));
                let why = format!("nothing got to the drive for {} minutes{why}", PATIENCE.as_secs() / 60);
                return Err(WritebackError::NotTaken { kind: Kind::TimedOut, why });
            }
            if enough() {
                return Err(WritebackError::Refused(Kind::Local(libc::EINTR)));
            }
            // That somebody gives up waiting does not say itself.
            let _what = tokio::time::timeout(LOOK, ended.changed()).await;
        }
    }
}

/// What is left to send of an entry. Ordered by that, and then by age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unsent {
    left: u64,
    seq: u64,
    ino: Ino,
    size: u64,
}

/// There is a deadline.
#[derive(Debug)]
pub struct Pressed(Arc<Writeback>);

impl Drop for Pressed {
    fn drop(&mut self) {
        if self.0.queue.inner.lock().press_no_more() {
            self.0.uploads.press(false);
            self.0.large.press(false);
        }
    }
}

/// Somebody waits for the drive.
struct Hurry<'a>(&'a Queue);

impl<'a> Hurry<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.inner.lock().hurry();
        Self(queue)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().hurry_no_more();
    }
}
