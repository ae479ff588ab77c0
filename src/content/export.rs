//! Exports of documents: made once for each version, and kept as whole files.
//!
//! However many open a document at one time, one export is made, which goes on when they go away, as long as anything comes of it. What was made is a
//! [`Whole`] of the cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::{Content, ContentError, Result};
use crate::cache::{BLOCK, Draft, Whole};
use crate::error::Kind;
use crate::remote::{ExportPiece, FileId, Md5, RemoteError, RevisionId};

/// Exports made at one time. A drive takes seconds to make one, in which no byte comes; few at a time leave it time for all else.
const AT_ONCE: usize = 4;

/// A version of a document, in the format that it is had in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The document.
    pub id: FileId,
    /// Which version, and in which format.
    pub revision: RevisionId,
    /// The format.
    pub media_type: &'static str,
    /// Length and checksum of the export that was made of it last, if one was.
    pub known: Option<(u64, Md5)>,
}

/// How an export fares.
#[derive(Debug, Default)]
struct Fare {
    /// Bytes that came, once it is its turn.
    came: Option<u64>,
    /// How it ended, once it has.
    end: Option<Result<Arc<Whole>>>,
}

/// An export under way.
#[derive(Debug, Clone)]
struct Running {
    fare: watch::Receiver<Fare>,
    task: AbortHandle,
}

/// Exports under way.
#[derive(Debug)]
pub(super) struct Exports {
    running: Mutex<HashMap<(FileId, RevisionId), Running>>,
    turns: Semaphore,
}

impl Default for Exports {
    fn default() -> Self {
        Self { running: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Content {
    /// The export of a version, if it is here and known to be sound. Opens a file at most.
    pub fn exported(&self, version: &Version) -> Option<Arc<Whole>> {
        self.cache.whole(&version.id, &version.revision)
    }

    /// The export of a version, made if it is not here. One of which nothing comes for as long as `patience`, when it is its turn,
    /// is given up: whoever asks next has another one begun.
    pub async fn export(self: &Arc<Self>, version: &Version, patience: Duration) -> Result<Arc<Whole>> {
        let Running { mut fare, task } = self.join_export(version);
        loop {
            let is_its_turn = {
                let fare = fare.borrow_and_update();
                if let Some(end) = &fare.end {
                    return end.clone();
                }
                fare.came.is_some()
            };
            let silence = if is_its_turn { patience } else { Duration::MAX };
            if !matches!(tokio::time::timeout(silence, fare.changed()).await, Ok(Ok(()))) {
                // Silent for too long, or ended without a word.
                task.abort();
                self.exports.end(version, &fare);
                return Err(given_up());
            }
        }
    }

    /// The export of a version that is under way, begun if none is.
    fn join_export(self: &Arc<Self>, version: &Version) -> Running {
        let mut running = self.exports.running.lock();
        if let Some(running) = running.get(&key(version)) {
            return running.clone();
        }
        let (tell, fare) = watch::channel(Fare::default());
        let (content, asked) = (Arc::clone(self), version.clone());
        // A task of its own, since it serves all who wait. It ends, since each request does.
        let task = self.runtime.spawn(async move {
            let result = content.find_or_make(&asked, &tell).await;
            // First: who comes from now on finds it in the cache.
            content.exports.end(&asked, &tell.subscribe());
            tell.send_modify(|fare| fare.end = Some(result));
        });
        let begun = Running { fare, task: task.abort_handle() };
        running.insert(key(version), begun.clone());
        begun
    }

    async fn find_or_make(&self, version: &Version, tell: &watch::Sender<Fare>) -> Result<Arc<Whole>> {
        let (cache, asked) = (Arc::clone(&self.cache), version.clone());
        let found = blocking(move || match asked.known {
            Some((size, md5)) => cache.whole_if(&asked.id, &asked.revision, size, md5),
            None => cache.whole(&asked.id, &asked.revision),
        });
        match found.await {
            Some(whole) => Ok(whole),
            None => self.make(version, tell).await,
        }
    }

    async fn make(&self, version: &Version, tell: &watch::Sender<Fare>) -> Result<Arc<Whole>> {
        let _turn = self.exports.turns.acquire().await.expect("never closed");
        let came = |bytes: usize| tell.send_modify(|fare| *fare.came.get_or_insert_default() += bytes as u64);
        came(0);
        let mut stream = self.remote.export(&version.id, version.media_type).await?;
        let cache = Arc::clone(&self.cache);
        let mut draft = blocking(move || cache.draft()).await?;
        let mut buffer = BytesMut::new();
        while let Some(piece) = stream.next().await {
            match piece? {
                ExportPiece::Bytes(bytes) => {
                    came(bytes.len());
                    buffer.extend_from_slice(&bytes);
                    if buffer.len() as u64 >= BLOCK {
                        draft = add(draft, buffer.split()).await?;
                    }
                }
                ExportPiece::Anew => {
                    buffer.clear();
                    draft = blocking(move || draft.begin_anew().map(|()| draft)).await?;
                }
            }
        }
        draft = add(draft, buffer).await?;
        let Version { id, revision, .. } = version.clone();
        Ok(blocking(move || draft.finish(&id, &revision)).await?)
    }
}

impl Exports {
    /// Forgets an export that is over, if it is still the one of its version.
    fn end(&self, version: &Version, fare: &watch::Receiver<Fare>) {
        let mut running = self.running.lock();
        if running.get(&key(version)).is_some_and(|running| running.fare.same_channel(fare)) {
            running.remove(&key(version));
        }
    }
}

fn key(version: &Version) -> (FileId, RevisionId) {
    (version.id.clone(), version.revision.clone())
}

fn given_up() -> ContentError {
    RemoteError::new(
        Kind::TimedOut,
        "files.export",
        "the drive did not make the export in time; open it again, or mount with a longer --network-timeout",
    )
    .into()
}

async fn add(mut draft: Draft, bytes: BytesMut) -> Result<Draft> {
    Ok(blocking(move || draft.write(&bytes).map(|()| draft)).await?)
}

/// Does what blocks on the disk where it holds up no connection.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
