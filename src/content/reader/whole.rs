//! Having a whole revision here before anybody reads it, and giving it up again.

use std::ops::Range;
use std::sync::Arc;

use super::{PART_BLOCKS, ROUNDS, Reader};
use crate::cache::{self, BlockIndex, block_count, block_length};
use crate::content::{Content, ContentError, Result};
use crate::remote::Source;

/// Bytes that one request asks for at most.
pub const REQUEST: u64 = PART_BLOCKS as u64 * cache::BLOCK;

impl Reader {
    /// What is asked for with a request each, in order.
    pub fn parts(&self) -> impl Iterator<Item = Range<BlockIndex>> + use<> {
        let count = block_count(self.source.blob.size);
        (0..count).step_by(PART_BLOCKS as usize).map(move |start| start..(start + PART_BLOCKS).min(count))
    }

    /// Fetches what of a part is not here, behind all that somebody waits for, and has it evicted last. What is here is compared with
    /// its checksums. `came` is told of bytes as they arrive.
    pub async fn have(self: &Arc<Self>, part: Range<BlockIndex>, came: impl Fn(u64)) -> Result<()> {
        // What went wrong before is no reason not to try.
        *self.trouble.lock() = None;
        for _ in 0..ROUNDS {
            let (reader, blocks) = (Arc::clone(self), part.clone());
            let looked = tokio::task::spawn_blocking(move || reader.look_at(blocks)).await;
            if looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))? {
                return Ok(());
            }
            for fetch in self.fetch(part.clone(), 0..0, 0)? {
                for block in fetch.blocks.start.max(part.start)..fetch.blocks.end.min(part.end) {
                    fetch.landed(block).await?;
                    // At once: many are under way, and one that is evicted before the others are here would be fetched for nothing.
                    self.content.cache.keep(&self.entry, block..block + 1)?;
                    came(u64::from(block_length(block, self.source.blob.size)));
                }
            }
        }
        Err(ContentError::Thrashing)
    }

    /// Whether all of a part is here and sound; then it is kept.
    fn look_at(&self, part: Range<BlockIndex>) -> cache::Result<bool> {
        let cache = &self.content.cache;
        let is_here = cache.unsound(&self.entry, part.clone())?.is_empty();
        if is_here {
            cache.keep(&self.entry, part)?;
        }
        Ok(is_here)
    }

    /// Has what of it is here evicted last.
    pub fn keep(&self) -> Result<()> {
        Ok(self.content.cache.keep(&self.entry, 0..block_count(self.source.blob.size))?)
    }
}

impl Content {
    /// Drops what is cached of a revision; says how many bytes that were. `None`: somebody has it open.
    pub fn give_up(&self, source: &Source) -> cache::Result<Option<u64>> {
        let Some(number) = self.cache.number(source) else { return Ok(Some(0)) };
        if self.readers.lock().get(&number).is_some_and(|reader| reader.strong_count() > 0) {
            return Ok(None);
        }
        let bytes = self.cache.present(source)?;
        self.cache.forget(source)?;
        Ok(Some(bytes))
    }
}
