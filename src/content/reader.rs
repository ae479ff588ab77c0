//! The reader of one revision.

mod whole;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use parking_lot::Mutex;

pub use self::whole::REQUEST;
use super::fetch::Fetch;
use super::{Content, ContentError, Result};
use crate::cache::{BlockIndex, Entry, Pinned, block_count, blocks_of};
use crate::error::Kind;
use crate::remote::Source;

/// The most that one request asks for. A request costs the same in quota whatever its size, so large is good; several at once
/// are faster than one, so not all in one.
pub(super) const PART_BLOCKS: BlockIndex = 32;

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
}

impl Reader {
    pub(super) fn new(content: Arc<Content>, source: Source, entry: Arc<Entry>) -> Self {
        Self { content, source, entry, fetches: Mutex::default(), verifying: AtomicBool::new(false) }
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
            let fetches = self.fetch(needed.clone())?;
            for fetch in &fetches {
                fetch.demand();
            }
            for fetch in fetches {
                let last = needed.end.min(fetch.blocks.end) - 1;
                fetch.landed(last).await?;
            }
        }
        Err(ContentError::Thrashing)
    }

    /// How far ahead of a handle to fetch at most: so that what came ahead of several is not evicted before they read it.
    pub fn window(&self) -> u64 {
        self.content.cache.reach() / 4
    }

    /// Begins to fetch what of a range (cut off at the end of the content) is neither here nor under way, and does not wait.
    pub fn fetch_ahead(self: &Arc<Self>, range: Range<u64>) -> Result<()> {
        let range = self.clip(range);
        if !range.is_empty() {
            // Whole blocks, so that a following window does not begin in the middle of this one's last block.
            self.fetch(blocks_of(range))?;
        }
        Ok(())
    }

    /// The fetches under way for the absent ones of `blocks`, begun if necessary.
    fn fetch(self: &Arc<Self>, blocks: Range<BlockIndex>) -> Result<Vec<Arc<Fetch>>> {
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
            for run in absent {
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
        for fetch in begun {
            self.start(fetch);
        }
        Ok(waits)
    }

    fn start(self: &Arc<Self>, fetch: Arc<Fetch>) {
        let reader = Arc::downgrade(self);
        let (content, source, entry) = (Arc::clone(&self.content), self.source.clone(), Arc::clone(&self.entry));
        self.content.runtime.spawn(async move {
            fetch.run(&content, &source, &entry, &reader).await;
            if let Some(reader) = reader.upgrade() {
                reader.fetches.lock().retain(|other| !Arc::ptr_eq(other, &fetch));
            }
        });
    }
}
