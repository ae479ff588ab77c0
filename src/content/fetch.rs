//! One request for consecutive blocks of a revision, and its way into the cache.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::downloads::Downloads;
use super::reader::Reader;
use super::{Content, Result};
use crate::cache::{BLOCK, BlockIndex, Entry, block_length};
use crate::error::Kind;
use crate::remote::{ByteStream, RemoteError, Source};

/// So many blocks are stored at one time at most, and so many bytes taken in meanwhile.
const RUN: BlockIndex = 4;
const HELD: usize = 1 << 20;

/// A fetch under way. Blocks land in order.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) blocks: Range<BlockIndex>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone)]
struct Progress {
    /// The first block that has not landed.
    landed: BlockIndex,
    /// Somebody waits for it.
    demanded: bool,
    /// How it ended, once it has.
    end: Option<Result<()>>,
}

impl Fetch {
    pub(super) fn new(blocks: Range<BlockIndex>) -> Self {
        let progress = watch::Sender::new(Progress { landed: blocks.start, demanded: false, end: None });
        Self { blocks, progress }
    }

    /// From now on somebody waits for it: it goes before those that nobody waits for.
    pub(super) fn demand(&self, downloads: &Downloads) {
        self.progress.send_if_modified(|progress| {
            let begins = !progress.demanded && progress.end.is_none();
            if begins {
                progress.demanded = true;
                downloads.demanded(true);
            }
            begins
        });
    }

    async fn demanded(&self) {
        // We hold the sender.
        let mut progress = self.progress.subscribe();
        let _never_closed = progress.wait_for(|progress| progress.demanded).await;
    }

    /// Waits until `block` has landed, or the fetch has failed before.
    pub(super) async fn landed(&self, block: BlockIndex) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let progress = progress.wait_for(|progress| progress.landed > block || progress.end.is_some()).await;
        match progress.as_deref() {
            Ok(Progress { landed, .. }) if *landed > block => Ok(()),
            Ok(Progress { end: Some(end), .. }) => end.clone(),
            _ => Err(RemoteError::new(Kind::TimedOut, "files.get", "the download was given up").into()),
        }
    }

    /// Fetches all blocks and says how it ended. Ends early when nobody has the revision open any more.
    pub(super) async fn run(
        &self,
        content: &Arc<Content>,
        source: &Source,
        entry: &Arc<Entry>,
        reader: &Weak<Reader>,
    ) -> Result<()> {
        let result = self.transfer(content, source, entry, reader).await;
        self.progress.send_modify(|progress| {
            progress.end = Some(result.clone());
            if progress.demanded {
                content.downloads.demanded(false);
            }
        });
        result
    }

    async fn transfer(
        &self,
        content: &Arc<Content>,
        source: &Source,
        entry: &Arc<Entry>,
        reader: &Weak<Reader>,
    ) -> Result<()> {
        let blocks = self.blocks.end - self.blocks.start;
        let _turn = content.downloads.turn(blocks, self.demanded()).await;
        let Some(open) = reader.upgrade() else { return Ok(()) };
        if let Some(trouble) = open.trouble()
            && !self.progress.borrow().demanded
        {
            return Err(trouble);
        }
        drop(open);
        let start = u64::from(self.blocks.start) * BLOCK;
        let end = (u64::from(self.blocks.end) * BLOCK).min(source.blob.size);
        let mut stream = content.remote.read(source, start..end).await?;
        let mut gathered = Gathered::default();
        // The first block that nobody stores yet; what is being stored ends there.
        let mut next = self.blocks.start;
        let mut storing: Option<JoinHandle<Result<()>>> = None;
        let mut end = None;
        while reader.strong_count() > 0 {
            if storing.is_none() {
                let whole = gathered.whole_blocks(next..self.blocks.end, source.blob.size);
                if !whole.is_empty() {
                    let pieces = gathered.take(whole.clone().map(|block| block_length(block, source.blob.size)).sum());
                    let (content, entry) = (Arc::clone(content), Arc::clone(entry));
                    next = whole.end;
                    // The disk may be slow or throttled: not on a thread that drives connections.
                    storing = Some(tokio::task::spawn_blocking(move || {
                        content.downloads.landed(pieces.iter().map(|piece| piece.len() as u64).sum());
                        Ok(content.cache.store(&entry, whole.start, &pieces)?)
                    }));
                } else if let Some(end) = end {
                    return match end {
                        Ok(()) if next < self.blocks.end => Err(short().into()),
                        end => end,
                    };
                }
            }
            tokio::select! {
                stored = finish(&mut storing), if storing.is_some() => {
                    stored?;
                    storing = None;
                    self.progress.send_modify(|progress| progress.landed = next);
                }
                bytes = self.receive(content, &mut stream), if end.is_none() && gathered.length < HELD => match bytes {
                    Some(Ok(bytes)) => gathered.push(bytes),
                    // What came before it is stored first.
                    Some(Err(error)) => end = Some(Err(error.into())),
                    None => end = Some(Ok(())),
                }
            }
        }
        Ok(())
    }

    /// The next bytes. Where downloads are held to a rate, those that somebody waits for take all of it.
    async fn receive(&self, content: &Content, stream: &mut ByteStream) -> Option<crate::remote::Result<Bytes>> {
        if content.remote.holds_rate() {
            tokio::select! {
                biased;
                () = content.downloads.undemanded() => {}
                () = self.demanded() => {}
            }
        }
        stream.next().await
    }
}

/// Waits until what is being stored is.
async fn finish(storing: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match storing {
        Some(storing) => storing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())),
        None => Ok(()),
    }
}

fn short() -> RemoteError {
    RemoteError::new(Kind::Protocol, "files.get", "the drive sent less than it announced")
}

/// Bytes that came and are not being stored yet, as they came.
#[derive(Debug, Default)]
struct Gathered {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl Gathered {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push_back(piece);
    }

    /// Those of `blocks` that are here whole, a run at most.
    fn whole_blocks(&self, blocks: Range<BlockIndex>, size: u64) -> Range<BlockIndex> {
        let run = blocks.start..blocks.end.min(blocks.start + RUN);
        let mut left = self.length;
        let fits = |block: &BlockIndex| {
            let length = block_length(*block, size) as usize;
            let fits = length <= left;
            left -= if fits { length } else { 0 };
            fits
        };
        let whole = run.clone().take_while(fits).count();
        run.start..run.start + BlockIndex::try_from(whole).unwrap_or(0)
    }

    /// Takes the first so many bytes out.
    fn take(&mut self, length: u32) -> Vec<Bytes> {
        let mut left = length as usize;
        let mut taken = Vec::new();
        while left > 0
            && let Some(mut piece) = self.pieces.pop_front()
        {
            if piece.len() > left {
                self.pieces.push_front(piece.split_off(left));
            }
            left -= piece.len();
            taken.push(piece);
        }
        self.length -= length as usize - left;
        taken
    }
}
