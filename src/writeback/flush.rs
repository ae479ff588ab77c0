//! How far sending is, and waiting for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::queue::Queue;
use super::space::PATIENCE;
use super::{Writeback, WritebackError, journal};
use crate::error::Kind;
use crate::tree::Ino;

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
                sent: progress.unwrap_or(0),
                running: progress.is_some(),
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
            _ if entry.unclosed => "dirty".to_owned(),
            _ => "queued".to_owned(),
        })
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
        {
            let mut inner = self.queue.inner.lock();
            for &ino in left.keys() {
                inner.hasten(ino);
            }
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
