//! Bytes on their way from a connection into a blob.
//!
//! Memory is bounded by two batches: one is written and hashed on a thread that may block while the next is received. A
//! slow sender holds no such thread between its batches.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::super::blobs::Sink;

/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 512 * 1024;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it arrived.
    Complete,
    /// It went on beyond the limit.
    TooLong,
    /// The connection broke, the body was malformed, or another request took over.
    Broken,
}

/// Appends a body of at most `limit` bytes to `sink`. Everything that arrived is in the sink when this returns; `Err` is a
/// failure to write.
pub(crate) async fn receive<S, E>(
    sink: Sink,
    mut body: S,
    limit: u64,
    stop: &CancellationToken,
) -> io::Result<(Sink, End)>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut writer = Writer::Idle(Box::new(sink));
    let mut batch = Vec::new();
    let mut gathered = 0;
    let mut total = 0;
    let end = loop {
        let piece = tokio::select! {
            // What has arrived counts, even if another request is waiting.
            biased;
            piece = body.next() => piece,
            () = stop.cancelled() => break End::Broken,
        };
        match piece {
            None => break End::Complete,
            Some(Err(_)) => break End::Broken,
            Some(Ok(bytes)) => {
                total += bytes.len() as u64;
                if total > limit {
                    break End::TooLong;
                }
                gathered += bytes.len();
                batch.push(bytes);
                if gathered >= BATCH_BYTES {
                    gathered = 0;
                    writer = writer.write(std::mem::take(&mut batch)).await?;
                }
            }
        }
    };
    let sink = writer.write(batch).await?.idle().await?;
    Ok((*sink, end))
}

/// A sink, or somebody who has it and brings it back.
enum Writer {
    Idle(Box<Sink>),
    Busy(JoinHandle<io::Result<Box<Sink>>>),
}

impl Writer {
    async fn idle(self) -> io::Result<Box<Sink>> {
        match self {
            Self::Idle(sink) => Ok(sink),
            Self::Busy(job) => job.await.map_err(io::Error::other)?,
        }
    }

    /// Begins to write a batch, once the one before is written.
    async fn write(self, batch: Vec<Bytes>) -> io::Result<Self> {
        let mut sink = self.idle().await?;
        if batch.is_empty() {
            return Ok(Self::Idle(sink));
        }
        Ok(Self::Busy(spawn_blocking(move || {
            for bytes in batch {
                sink.append(&bytes)?;
            }
            Ok(sink)
        })))
    }
}
