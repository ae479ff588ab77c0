//! Getting the files of a job: in large requests, many at one time, and again when it may go better.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Running;
use super::find::Item;
use super::job::Job;
use crate::content::{ContentError, REQUEST, Reader};
use crate::error::{Kind, Retry};
use crate::fs::{Need, Result};
use crate::tree::Node;
use crate::writeback::Staging;

/// Requests that are asked for at one time. How many of them are under way is decided where whoever waits goes first.
const AT_ONCE: usize = 32;

/// And of one file: then the next one begins before all of it is here.
const OF_ONE_FILE: usize = 16;

/// Bytes of an edit that are read at a time.
const PIECE: u64 = 1 << 20;

/// How often a file is begun again because it was changed meanwhile.
const TRIES: usize = 10;

/// How often is tried again, in a row, to get anything at all; and how long it waits before the first of these, twice as long before
/// the next.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// What was not got, and why.
type Missed = (Item, String);

/// Gets files; what cannot be had is noted with the job.
pub(super) async fn fetch(running: &Arc<Running>, job: &Arc<Job>, items: Vec<Item>) {
    let mut got = Vec::new();
    let mut left = items;
    let mut in_vain = 0;
    while !left.is_empty() {
        let before = job.progress();
        let missed = round(running, job, left, &mut got).await;
        let Some((_, why)) = missed.first() else { break };
        in_vain = if job.progress() == before { in_vain + 1 } else { 1 };
        if in_vain > ROUNDS {
            for (item, why) in missed {
                job.failed(running.path_of(item.ino), why);
            }
            break;
        }
        job.waiting(why);
        tokio::time::sleep(PAUSE * 2_u32.pow(in_vain - 1)).await;
        job.fetching();
        left = missed.into_iter().map(|(item, _)| item).collect();
    }
    look_again(running, job, got).await;
}

/// What is known while it is tried to get some files.
#[derive(Debug)]
struct Round {
    running: Arc<Running>,
    job: Arc<Job>,
    got: Mutex<Vec<Item>>,
    missed: Mutex<Vec<Missed>>,
    /// How many failed in a row as everything would.
    failing: AtomicUsize,
}

/// Tries to get files; says which it may be worth to try to get again.
async fn round(running: &Arc<Running>, job: &Arc<Job>, items: Vec<Item>, got: &mut Vec<Item>) -> Vec<Missed> {
    let round = Arc::new(Round {
        running: Arc::clone(running),
        job: Arc::clone(job),
        got: Mutex::default(),
        missed: Mutex::default(),
        failing: AtomicUsize::new(0),
    });
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for item in items {
        while let Some(ended) = tasks.try_join_next() {
            ended.unwrap_or_else(resume);
        }
        let requests = usize::try_from(item.bytes.div_ceil(REQUEST)).unwrap_or(OF_ONE_FILE).clamp(1, OF_ONE_FILE);
        let slots = Arc::clone(&slots).acquire_many_owned(u32::try_from(requests).unwrap_or(1)).await;
        if round.failing.load(Ordering::Relaxed) >= AT_ONCE {
            // Nothing comes at all: each that is tried would wait as long to hear that.
            let mut missed = round.missed.lock();
            let why = missed.last().map(|(_, why)| why.clone()).unwrap_or_default();
            missed.push((item, why));
            continue;
        }
        let (round, slots) = (Arc::clone(&round), slots.expect("never closed"));
        tasks.spawn(async move { round.try_to_get(item, slots).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(resume);
    }
    got.append(&mut round.got.lock());
    std::mem::take(&mut *round.missed.lock())
}

/// Goes on with a panic of a task; none of them is aborted while this waits for it.
fn resume(error: tokio::task::JoinError) {
    std::panic::resume_unwind(error.into_panic());
}

impl Round {
    async fn try_to_get(&self, item: Item, slots: OwnedSemaphorePermit) {
        match self.get(&item, slots).await {
            Ok(()) => {
                self.failing.store(0, Ordering::Relaxed);
                self.job.has();
                self.got.lock().push(item);
            }
            Err(error) => {
                let kind = error.kind();
                if kind.retry() == Retry::Soon || kind == Kind::SignIn {
                    self.failing.fetch_add(1, Ordering::Relaxed);
                    self.missed.lock().push((item, error.to_string()));
                    return;
                }
                let why = match kind {
                    Kind::NotFound => "it was removed meanwhile".to_owned(),
                    _ => error.to_string(),
                };
                self.job.failed(self.running.path_of(item.ino), why);
            }
        }
    }

    /// Whether it can be here without pushing out what was fetched before: others may have taken of the disk since, or what is not on the
    /// drive yet.
    fn still_fits(&self, node: &Node, item: &Item) -> Result<()> {
        let room = self.running.parts.content.cache().reach();
        if self.running.prefetches.fit(room) || self.running.fs.here(node, false)? >= item.bytes {
            return Ok(());
        }
        Err(ContentError::Thrashing.into())
    }

    /// Gets the content that a file has now.
    async fn get(&self, item: &Item, mut slots: OwnedSemaphorePermit) -> Result<()> {
        let (tree, fs, ino) = (&self.running.parts.tree, &self.running.fs, item.ino);
        for _ in 0..TRIES {
            let node = tree.node(ino)?.filter(Node::is_linked).ok_or(Kind::NotFound)?;
            let got = match fs.need(&node) {
                Ok(Need::Revision(reader)) => {
                    self.still_fits(&node, item)?;
                    self.get_revision(&reader, &mut slots).await
                }
                Ok(Need::Rest(staging)) => self.get_rest(&staging).await,
                Ok(Need::Export) => fs.have_export(ino).await,
                Ok(Need::Nothing) => Ok(()),
                Err(error) => Err(error),
            };
            match got {
                // What the drive has is another content, of which the tree is about to hear.
                Err(error) if error.kind() == Kind::Stale => tree.look().await?,
                Err(error) => return Err(error),
                Ok(()) => {
                    let now = tree.node(ino)?;
                    let is_same =
                        |now: &Node| now.revision == node.revision || matches!(fs.need(now), Ok(Need::Rest(_)));
                    if now.as_ref().is_none_or(is_same) {
                        return Ok(());
                    }
                }
            }
        }
        Err(Kind::Busy.into())
    }

    async fn get_revision(&self, reader: &Arc<Reader>, slots: &mut OwnedSemaphorePermit) -> Result<()> {
        let mut left = reader.parts().count();
        let have = |part| reader.have(part, |bytes| self.job.came(bytes));
        let mut parts = stream::iter(reader.parts()).map(have).buffer_unordered(slots.num_permits());
        while let Some(part) = parts.next().await {
            part?;
            left -= 1;
            // The next file may begin. One stays: this one may have to begin again.
            if left < slots.num_permits() && slots.num_permits() > 1 {
                drop(slots.split(1));
            }
        }
        Ok(())
    }

    async fn get_rest(&self, staging: &Arc<Staging>) -> Result<()> {
        for range in staging.absent()? {
            staging.fetch_ahead(range.clone());
            let mut at = range.start;
            while at < range.end {
                let piece = at..(at + PIECE).min(range.end);
                at = piece.end;
                let bytes = staging.read(piece).await?;
                self.job.came(bytes.len() as u64);
            }
        }
        Ok(())
    }
}

/// Notes what was here and is not any more: others read and write meanwhile.
async fn look_again(running: &Arc<Running>, job: &Arc<Job>, got: Vec<Item>) {
    let (running, job) = (Arc::clone(running), Arc::clone(job));
    let looked = tokio::task::spawn_blocking(move || {
        for item in &got {
            if job.is_stopped() {
                return;
            }
            // What cannot be told, or was removed, is not told.
            let Ok(Some(node)) = running.parts.tree.node(item.ino) else { continue };
            let Ok(here) = running.fs.here(&node, false) else { continue };
            if here < node.size {
                job.lost(item.bytes.saturating_sub(here));
                let why = "it was changed meanwhile, or pushed out of the cache by what else is read and written";
                job.failed(running.path_of(item.ino), why.to_owned());
            }
        }
    });
    looked.await.unwrap_or_else(resume);
}
