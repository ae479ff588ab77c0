//! What is read here and there until most of it was wanted is fetched to the end: a request for each small piece costs the drive, and
//! who reads, more than all of it in large ones.

use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::reader::{PART_BLOCKS, Reader};
use crate::cache::{BLOCK, BlockIndex, block_count, blocks_of};

/// Of a file up to this size, which is one request, so many places are fetched one by one, the last one with all the rest.
const SMALL: u64 = PART_BLOCKS as u64 * BLOCK;
const PLACES: u32 = 3;

/// Of a larger one a part of so many.
const PART_WANTED: BlockIndex = 4;

/// How much of the rest is asked for at one time.
const AT_ONCE: BlockIndex = 4 * PART_BLOCKS;

/// A gap of so many blocks that are here is fetched again rather than making two requests of one.
const GAP: BlockIndex = 4;

/// How a revision was read that nobody reads from one end to the other.
#[derive(Debug, Default)]
pub(super) struct Strewn(Mutex<Reads>);

#[derive(Debug, Default)]
struct Reads {
    /// How many reads had to be waited for at a place that did not follow from the one before, and of how many blocks.
    places: u32,
    blocks: BlockIndex,
    /// The rest is being fetched.
    fetching: bool,
}

impl Strewn {
    /// Notes a read; whether to fetch the rest now.
    fn read(&self, blocks: BlockIndex, size: u64) -> bool {
        let mut reads = self.0.lock();
        reads.places += 1;
        reads.blocks = reads.blocks.saturating_add(blocks);
        let is_wanted =
            if size <= SMALL { reads.places >= PLACES } else { reads.blocks >= block_count(size) / PART_WANTED };
        is_wanted && !std::mem::replace(&mut reads.fetching, true)
    }

    /// The rest is here, or could not be had: what is read from now on counts anew.
    fn ended(&self) {
        *self.0.lock() = Reads::default();
    }
}

impl Reader {
    /// Notes that bytes have to be waited for at a place where nobody read before.
    pub(super) fn strewn_read(self: &Arc<Self>, range: Range<u64>) {
        let size = self.source().blob.size;
        if size <= self.most_ahead() && self.strewn.read(blocks_of(range).count().try_into().unwrap_or(0), size) {
            self.spawn(fetch_rest(Arc::downgrade(self)));
        }
    }
}

/// Fetches what is absent, in order, for as long as somebody has it open.
async fn fetch_rest(reader: Weak<Reader>) {
    let mut at = 0;
    while let Some(open) = reader.upgrade() {
        let end = block_count(open.source().blob.size).min(at + AT_ONCE);
        let begun = if at < end { open.fetch(at..end, 0..0, GAP) } else { Ok(Vec::new()) };
        if at == end || begun.is_err() {
            return open.strewn.ended();
        }
        // Not kept open by what waits.
        drop(open);
        for fetch in begun.unwrap_or_default() {
            if let Err(error) = fetch.landed(fetch.blocks.end - 1).await {
                tracing::debug!(%error, "the rest of a file that was read here and there could not be fetched");
                if let Some(open) = reader.upgrade() {
                    open.strewn.ended();
                }
                return;
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_wanted_at_its_third_place() {
        let strewn = Strewn::default();
        let reads: Vec<bool> = (0..5).map(|_| strewn.read(1, SMALL)).collect();
        assert_eq!(reads, [false, false, true, false, false]);
        strewn.ended();
        assert!(!strewn.read(1, SMALL));
    }

    #[test]
    fn a_large_file_is_wanted_when_a_quarter_of_it_was() {
        let strewn = Strewn::default();
        let size = 4000 * BLOCK;
        assert_eq!((0..1000).filter(|_| strewn.read(2, size)).count(), 1);
        let few = Strewn::default();
        assert!(!(0..499).any(|_| few.read(2, size)));
    }
}
