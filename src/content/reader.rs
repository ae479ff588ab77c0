//! The reader of one revision.

mod whole;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use parking_lot::Mutex;

pub use self::whole::REQUEST;
use super::fetch::Fetch;
use super::rest::Strewn;
use super::session::{Advance, Session};
use super::{Content, ContentError, Result};
use crate::cache::{BLOCK, BlockIndex, Entry, Pinned, block_count, blocks_of};
use crate::error::Kind;
use crate::remote::Source;

/// The most that one request asks for. A request costs the same in quota whatever its size, so large is good; several at once
/// are faster than one, so not all in one.
pub(super) const PART_BLOCKS: BlockIndex = 32;

/// The same in bytes.
pub(super) const PART: u64 = PART_BLOCKS as u64 * BLOCK;

/// A file of this size is fetched whole when it is read from its beginning.
const SMALL: u64 = 8 * BLOCK;

/// How often a read starts over because its blocks were evicted before it came to read them.
const ROUNDS: usize = 8;

/// One revision, open for reading.
#[derive(Debug)]
pub struct Reader {
    content: Arc<Content>,
    source: Source,
    entry: Arc<Entry>,
    /// Fetches under way. No two have a block in common.
    fetches: Mutex<Vec<Arc<Fetch>>>,
    /// What is here of it is being compared with its checksums, or was.
    verifying: AtomicBool,
    /// Why the last fetch failed, if it did: until one goes well, nothing is fetched that nobody waits for.
    trouble: Mutex<Option<ContentError>>,
    /// What was read of it here and there.
    pub(super) strewn: Strewn,
}

impl Reader {
    pub(super) fn new(content: Arc<Content>, source: Source, entry: Arc<Entry>) -> Self {
        Self {
            content,
            source,
            entry,
            fetches: Mutex::default(),
            verifying: AtomicBool::new(false),
            trouble: Mutex::default(),
            strewn: Strewn::default(),
        }
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Which revision it reads.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Cuts a range off at the end of the content.
    fn clip(&self, range: Range<u64>) -> Range<u64> {
        let end = range.end.min(self.source.blob.size);
        range.start.min(end)..end
    }

    /// The bytes of a range (cut off at the end of the content), if all of them are on the local disk.
    pub fn read_now(&self, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        let range = self.clip(range);
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(self.content.cache.read(&self.entry, range.start, length)?)
    }

    /// Keeps all of it here, if it is here and known to be sound. If it is here and not known to be, that is found out beside, for
    /// whoever comes next.
    pub fn pin(self: &Arc<Self>) -> Result<Option<Pinned>> {
        let cache = &self.content.cache;
        let pinned = cache.pin(&self.entry)?;
        let all = 0..block_count(self.source.blob.size);
        if pinned.is_none()
            && !self.verifying.load(Ordering::Relaxed)
            && cache.absent(&self.entry, all)?.is_empty()
            && !self.verifying.swap(true, Ordering::Relaxed)
        {
            let (cache, entry) = (Arc::clone(cache), Arc::clone(&self.entry));
            self.content.runtime.spawn_blocking(move || {
                if let Err(error) = cache.verify(&entry) {
                    tracing::warn!(%error, "a file of the cache could not be verified");
                }
            });
        }
        Ok(pinned)
    }

    /// Keeps all of it here again, after another process did.
    pub fn pin_again(&self) -> Result<Option<Pinned>> {
        Ok(self.content.cache.pin_again(&self.entry)?)
    }

    /// As [`Self::read_now`], as the next read of a handle: begins to fetch what is absent, and what the handle will want next, and
    /// waits for nothing. Only what is asked for, if nothing is to be read ahead.
    pub fn read_on(
        self: &Arc<Self>,
        session: &Mutex<Session>,
        range: Range<u64>,
        reads_ahead: bool,
    ) -> Result<Option<Vec<u8>>> {
        let bytes = self.read_now(range.clone())?;
        let Advance { ahead, jumps } = session.lock().advance(&range, bytes.is_some(), |counted| self.share(counted));
        if bytes.is_none() {
            // A file that is not much larger than what would be fetched with its beginning is one request.
            let all = if range.start == 0 && self.source.blob.size <= SMALL { SMALL } else { 0 };
            let until =
                if !reads_ahead || self.trouble().is_some() { range.end } else { range.end.max(ahead.end).max(all) };
            // First what is asked for, then what may be: the drive is asked in that order.
            let wanted = self.clip(range.start..until);
            self.fetch(blocks_of(wanted), blocks_of(self.clip(range.clone())), 0)?;
            if jumps && reads_ahead {
                self.strewn_read(range);
            }
        } else if reads_ahead && !ahead.is_empty() && self.trouble().is_none() {
            self.fetch_ahead(ahead)?;
        }
        Ok(bytes)
    }

    /// Whether all bytes of a range (cut off at the end of the content) are on the local disk.
    pub fn is_here(&self, range: Range<u64>) -> Result<bool> {
        let range = self.clip(range);
        Ok(range.is_empty() || self.content.cache.absent(&self.entry, blocks_of(range))?.is_empty())
    }

    /// The bytes of a range (cut off at the end of the content), fetched as far as necessary.
    pub async fn read(self: &Arc<Self>, range: Range<u64>) -> Result<Vec<u8>> {
        let range = self.clip(range);
        match self.read_by_cache(range.clone()).await {
            // The bytes are what counts; that they cannot be kept only costs time.
            Err(error) if error.kind() == Kind::DiskFull => self.read_past_cache(range).await,
            result => result,
        }
    }

    async fn read_past_cache(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let _turn = self.content.downloads.turn(0, std::future::ready(())).await;
        let mut stream = self.content.remote.read(&self.source, range).await?;
        let mut bytes = Vec::new();
        while let Some(more) = stream.next().await {
            bytes.extend_from_slice(&more?);
        }
        Ok(bytes)
    }

    async fn read_by_cache(self: &Arc<Self>, range: Range<u64>) -> Result<Vec<u8>> {
        for _ in 0..ROUNDS {
            if let Some(bytes) = self.read_now(range.clone())? {
                return Ok(bytes);
            }
            let needed = blocks_of(range.clone());
            for fetch in self.fetch(needed.clone(), needed.clone(), 0)? {
                let last = needed.end.min(fetch.blocks.end) - 1;
                fetch.landed(last).await?;
            }
        }
        Err(ContentError::Thrashing)
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn trouble(&self) -> Option<ContentError> {
        self.trouble.lock().clone()
    }

    /// How far ahead of one place to fetch at most, so that what came ahead of several is not evicted before they read it, and the line
    /// brings it before it is wanted. `counted`: what this left there when it was asked for the same place the last time.
    fn share(&self, counted: &mut u64) -> u64 {
        let among = self.content.census.count(counted);
        // Where the line is slow for so many, they have a large request each, and take turns.
        let of_line = (self.content.downloads.horizon() / among).max(PART);
        of_line.min(self.most_ahead() / among)
    }

    /// How much of what is fetched unasked the cache can hold at one time.
    pub(super) fn most_ahead(&self) -> u64 {
        self.content.cache.reach() / 4
    }

    /// Begins to fetch what of a range (cut off at the end of the content) is neither here nor under way, and does not wait.
    pub fn fetch_ahead(self: &Arc<Self>, range: Range<u64>) -> Result<()> {
        let range = self.clip(range);
        if !range.is_empty() {
            // Whole blocks, so that a following window does not begin in the middle of this one's last block.
            self.fetch(blocks_of(range), 0..0, 0)?;
        }
        Ok(())
    }

    /// The fetches under way for the absent ones of `blocks`, begun if necessary; somebody waits for those of the blocks that are
    /// `needed`. So few present ones as `gap` between absent ones are fetched again, to make one request of two.
    pub(super) fn fetch(
        self: &Arc<Self>,
        blocks: Range<BlockIndex>,
        needed: Range<BlockIndex>,
        gap: BlockIndex,
    ) -> Result<Vec<Arc<Fetch>>> {
        let blocks = blocks.start..blocks.end.min(block_count(self.source.blob.size));
        // Loads the map, if this is the first use of the entry: not under the lock.
        if self.content.cache.absent(&self.entry, blocks.clone())?.is_empty() {
            return Ok(Vec::new());
        }
        let mut waits = Vec::new();
        let mut begun = Vec::new();
        {
            let mut fetches = self.fetches.lock();
            // Asked again under it: a fetch leaves the list only after its blocks are present.
            let absent = self.content.cache.absent(&self.entry, blocks)?;
            for run in joined(absent, gap) {
                let mut at = run.start;
                while at < run.end {
                    let covering = fetches.iter().find(|fetch| fetch.blocks.contains(&at));
                    let fetch = if let Some(fetch) = covering {
                        Arc::clone(fetch)
                    } else {
                        let next = fetches.iter().map(|fetch| fetch.blocks.start).filter(|&start| start > at).min();
                        let end = run.end.min(at + PART_BLOCKS).min(next.unwrap_or(BlockIndex::MAX));
                        let fetch = Arc::new(Fetch::new(at..end));
                        fetches.push(Arc::clone(&fetch));
                        begun.push(Arc::clone(&fetch));
                        fetch
                    };
                    at = fetch.blocks.end;
                    waits.push(fetch);
                }
            }
        }
        // Before they begin: what nobody waits for is given up where it is in vain.
        for fetch in waits.iter().filter(|fetch| fetch.blocks.start < needed.end && needed.start < fetch.blocks.end) {
            fetch.demand(&self.content.downloads);
        }
        for fetch in begun {
            self.start(fetch);
        }
        Ok(waits)
    }

    /// Does something for as long as this revision is open.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.content.runtime.spawn(work);
    }

    fn start(self: &Arc<Self>, fetch: Arc<Fetch>) {
        let reader = Arc::downgrade(self);
        let (content, source, entry) = (Arc::clone(&self.content), self.source.clone(), Arc::clone(&self.entry));
        self.content.runtime.spawn(async move {
            let trouble = fetch.run(&content, &source, &entry, &reader).await.err();
            if let Some(reader) = reader.upgrade() {
                *reader.trouble.lock() = trouble;
                reader.fetches.lock().retain(|other| !Arc::ptr_eq(other, &fetch));
            }
        });
    }
}

/// Makes one of runs with a gap of at most so many blocks between them.
fn joined(runs: Vec<Range<BlockIndex>>, gap: BlockIndex) -> Vec<Range<BlockIndex>> {
    let mut joined: Vec<Range<BlockIndex>> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start - last.end <= gap => last.end = run.end,
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_over_small_gaps() {
        let runs = [0..2, 3..4, 6..7, 20..21];
        assert_eq!(joined(runs.to_vec(), 0), runs);
        assert_eq!(joined(runs.to_vec(), 2), [0..7, 20..21]);
    }
}
