//! What somebody asked to have here: how much of it there is, whether it is sound, and having it evicted last.

use std::ops::Range;
use std::sync::Arc;

use super::{BlockIndex, BlockKey, Cache, Entry, Result, block_count, block_length};
use crate::remote::Source;

impl Cache {
    /// How many bytes of a revision are present.
    pub fn present(&self, source: &Source) -> Result<u64> {
        if self.number(source).is_none() {
            return Ok(0);
        }
        let (entry, size) = (self.entry(source), source.blob.size);
        let absent = self.absent(&entry, 0..block_count(size))?.into_iter().flatten();
        Ok(size - absent.map(|block| u64::from(block_length(block, size))).sum::<u64>())
    }

    /// Which of `blocks` are not present or damaged, as consecutive runs. Those that were stored by an earlier process are compared with
    /// their checksums, and dropped if they are not sound. Blocks on the disk.
    pub fn unsound(&self, entry: &Arc<Entry>, blocks: Range<BlockIndex>) -> Result<Vec<Range<BlockIndex>>> {
        self.load(entry)?;
        for block in entry.unverified(blocks.clone()) {
            if !entry.verify(block)? {
                self.damaged(entry, &[block])?;
            }
        }
        Ok(entry.absent(blocks))
    }

    /// Those of `blocks` that are present are evicted after all that was not asked for.
    pub fn keep(&self, entry: &Arc<Entry>, blocks: Range<BlockIndex>) -> Result<()> {
        self.load(entry)?;
        let present = entry.present(blocks);
        let mut lru = self.lru.lock();
        for block in present {
            lru.promote(BlockKey { file: entry.number(), block });
        }
        Ok(())
    }
}
