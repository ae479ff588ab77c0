//! The bytes of one piece: claimed, read, hashed and noted block by block, and only then handed on.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;

use super::rows;
use crate::crash;
use crate::remote::Body;
use crate::state::State;
use crate::tree::Ino;
use crate::writeback::growth::Followed;
use crate::writeback::outgoing::Running;
use crate::writeback::queue::Queue;
use crate::writeback::staging::Staging;

/// Bytes that are claimed at a time, and held in memory while they are sent. Each is a row in the table.
const BLOCK: u64 = 4 << 20;

/// Where the pieces of one stream come from.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) ino: Ino,
    pub(super) staging: Arc<Staging>,
    pub(super) followed: Followed,
    pub(super) state: Arc<State>,
    pub(super) queue: Arc<Queue>,
    /// Of what was claimed.
    pub(super) hash: Arc<Mutex<Running>>,
    /// How far it is, for whoever asks.
    pub(super) sent: Arc<AtomicU64>,
}

impl Pieces {
    /// The bytes of a range, which must be claimable and begin within what is claimed.
    pub(super) fn body(self: &Arc<Self>, range: Range<u64>) -> Body {
        let Range { start, end } = range;
        let pieces = Arc::clone(self);
        let stream = futures_util::stream::unfold(start, move |at| {
            let pieces = Arc::clone(&pieces);
            async move {
                if at >= end {
                    return None;
                }
                let next = (at + BLOCK).min(end);
                pieces.sent.store(at, Ordering::Relaxed);
                // Who took it over waits for the end of the piece.
                pieces.queue.sent(pieces.ino, at);
                let block = tokio::task::spawn_blocking(move || pieces.block(at..next)).await;
                Some((block.unwrap_or_else(|panic| Err(io::Error::other(panic))), next))
            }
        });
        Body { length: end - start, stream: stream.boxed() }
    }

    /// Blocks on the local disk.
    fn block(&self, range: Range<u64>) -> io::Result<Bytes> {
        let changed = || io::Error::other("the file is not what was sent of it any more");
        if !self.staging.claim(range.end) {
            return Err(changed());
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.followed.file.read_exact_at(&mut bytes, range.start)?;
        // Whoever writes into what is claimed breaks the claim first.
        if self.followed.broken.is_cancelled() {
            return Err(changed());
        }
        let (until, md5) = {
            let mut hash = self.hash.lock();
            hash.add(range.start, &bytes);
            hash.so_far()
        };
        // What is sent a second time is noted already.
        if until == range.end {
            let noted = self.state.write::<_, rusqlite::Error>(|tx| rows::claim(tx, self.ino, until, md5));
            noted.map_err(io::Error::other)?;
            crash::point("stream-claimed");
        }
        Ok(bytes.into())
    }
}
