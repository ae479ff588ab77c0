//! One request for consecutive blocks of a revision, and its way into the cache.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::reader::Reader;
use super::{Content, Result};
use crate::cache::{BLOCK, BlockIndex, Entry, block_length};
use crate::error::Kind;
use crate::remote::{RemoteError, Source};

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
    pub(super) fn demand(&self) {
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.demanded, true));
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
    pub(super) async fn run(&self, content: &Content, source: &Source, entry: &Arc<Entry>, reader: &Weak<Reader>) {
        let result = self.transfer(content, source, entry, reader).await;
        self.progress.send_modify(|progress| progress.end = Some(result));
    }

    async fn transfer(
        &self,
        content: &Content,
        source: &Source,
        entry: &Arc<Entry>,
        reader: &Weak<Reader>,
    ) -> Result<()> {
        let blocks = self.blocks.end - self.blocks.start;
        let _turn = content.downloads.turn(blocks, self.demanded()).await;
        if reader.strong_count() == 0 {
            return Ok(());
        }
        let start = u64::from(self.blocks.start) * BLOCK;
        let end = (u64::from(self.blocks.end) * BLOCK).min(source.blob.size);
        let mut stream = content.remote.read(source, start..end).await?;
        let mut buffer = BytesMut::new();
        let mut block = self.blocks.start;
        while let Some(bytes) = stream.next().await {
            buffer.extend_from_slice(&bytes?);
            while block < self.blocks.end && buffer.len() >= block_length(block, source.blob.size) as usize {
                let whole = buffer.split_to(block_length(block, source.blob.size) as usize).freeze();
                content.downloads.landed(whole.len() as u64);
                let (cache, entry) = (Arc::clone(&content.cache), Arc::clone(entry));
                // The disk may be slow or throttled: not on a thread that drives connections.
                let stored = tokio::task::spawn_blocking(move || cache.store(&entry, block, &whole)).await;
                stored.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
                block += 1;
                self.progress.send_modify(|progress| progress.landed = block);
            }
            if reader.strong_count() == 0 {
                return Ok(());
            }
        }
        if block < self.blocks.end {
            return Err(RemoteError::new(Kind::Protocol, "files.get", "the drive sent less than it announced").into());
        }
        Ok(())
    }
}
