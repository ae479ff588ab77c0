//! Content comes down: exactly the revision asked for, or an error.
//!
//! Drive cannot be asked for the current revision by name: `alt=media` gives whatever content the file has at that moment. So what comes is
//! proved to be the right one, in the cheapest way that the request allows:
//!
//! - A whole file of at most [`WHOLE`] bytes whose checksum is known is taken in as a whole and checked against it. That is
//!   one request.
//! - Anything else is asked for by the name of its revision, which can give no other content, in the one round trip that a
//!   request takes.
//! - The drive promises that only of revisions that somebody told it to keep, and to those who may see them. Where it refuses one by
//!   its name that is the current one, it is asked that way no more: what it has now is asked for, and checked by asking for the
//!   file's revision *after* the head of the answer has arrived, while the first bytes come in; no byte is given out before
//!   the check is done. A file goes from one revision to the next and never back, and one answer gives one content. So if the
//!   revision is still ours after the answer has begun, the answer is of ours. (A check before the request would prove
//!   nothing about the moment after it.) It is asked for by name then only when it is not the current one any more.
//!
//! A broken answer is continued by another request from the first missing byte on, checked the same way; whatever brings
//! bytes makes patient again.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use http::header::{HeaderValue, RANGE};
use http::{Method, StatusCode};
use md5::{Digest, Md5};

use super::answer::Answer;
use super::client::Client;
use super::convert::{self, nonsense};
use super::errors::Attempt;
use super::items;
use super::request::{DOWNLOAD, Request, item};
use super::retry::Retry;
use crate::error::Kind;
use crate::metrics;
use crate::remote::{self, ByteStream, RemoteError, Result, Source};

/// Up to this length a whole file is held in memory for its checksum, which saves the question for its revision and the
/// round trip that the first byte would wait for it.
const WHOLE: u64 = 8 << 20;

/// A whole file that does not match its checksum is fetched this often before it counts as corrupt.
const CHECKSUM_TRIES: usize = 3;

pub(super) async fn read(client: &Arc<Client>, source: &Source, range: Range<u64>) -> Result<ByteStream> {
    let size = source.blob.size;
    if range.is_empty() || range.end > size {
        let message = format!("there are no bytes {}..{} in {size}", range.start, range.end);
        return Err(RemoteError::new(Kind::Invalid, DOWNLOAD.name, message));
    }
    let is_named = convert::is_named(&source.blob.revision);
    let whole_md5 = source.blob.md5.filter(|_| range == (0..size) && size <= WHOLE);
    let by_name = is_named && whole_md5.is_none() && client.gives_by_name();
    if by_name {
        match proved(client, source, range.clone(), Proof::Name).await {
            Err(error) if is_refusal(&error) => {}
            read => return read,
        }
    }
    let current = match whole_md5 {
        Some(md5) => whole(client, source, md5).await.map(|bytes| stream::iter([Ok(bytes)]).boxed()),
        None => proved(client, source, range.clone(), Proof::Revision).await,
    };
    match current {
        Ok(read) => {
            if by_name {
                // It is the current one, so the name was right.
                client.refuses_names();
            }
            Ok(read)
        }
        Err(stale) if stale.kind == Kind::Stale && is_named && !by_name => {
            match proved(client, source, range, Proof::Name).await {
                // Gone, or not to be had: what matters is that the file moved on.
                Err(error) if is_refusal(&error) => Err(stale),
                kept => kept,
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the drive does not give a revision by its name.
fn is_refusal(error: &RemoteError) -> bool {
    matches!(error.kind, Kind::NotFound | Kind::Denied | Kind::Invalid)
}

async fn proved(client: &Arc<Client>, source: &Source, range: Range<u64>, proof: Proof) -> Result<ByteStream> {
    let mut download = Download::new(client, source, range, proof);
    let first = download.next().await?;
    let rest = stream::try_unfold(download, |mut download| async {
        let piece = download.next().await?;
        Ok(piece.map(|piece| (piece, download)))
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

/// A whole file, proved by its checksum.
async fn whole(client: &Arc<Client>, source: &Source, md5: remote::Md5) -> Result<Bytes> {
    let _memory = client.whole_files.acquire_many(u32::try_from(source.blob.size >> 10).unwrap_or(0)).await;
    for attempt in 0..CHECKSUM_TRIES {
        metrics::RETRIES.add(u64::from(attempt > 0));
        let mut download = Download::new(client, source, 0..source.blob.size, Proof::Checksum);
        let mut bytes = BytesMut::with_capacity(usize::try_from(source.blob.size).unwrap_or_default());
        let mut digest = Md5::new();
        while let Some(piece) = download.next().await? {
            digest.update(&piece);
            bytes.extend_from_slice(&piece);
        }
        if remote::Md5(digest.finalize().into()) == md5 {
            return Ok(bytes.freeze());
        }
        confirm(client, source).await?;
        tracing::debug!(file = %source.id, "a download does not match the checksum of its file");
    }
    Err(RemoteError::new(
        Kind::Corrupt,
        DOWNLOAD.name,
        "what the drive sends does not match the checksum that it gives",
    ))
}

/// Whether the file still has this content.
async fn confirm(client: &Client, source: &Source) -> Result<()> {
    let now = convert::revision(&items::content(client, &source.id).await?);
    if now == source.blob.revision {
        return Ok(());
    }
    Err(RemoteError::new(Kind::Stale, DOWNLOAD.name, "the file has a newer content on the drive"))
}

/// How the content is proved to be the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Each answer, by asking for the revision.
    Revision,
    /// In the end, by the caller.
    Checksum,
    /// By being asked for by the name of its revision.
    Name,
}

/// A range on its way.
///
/// INVARIANT: `answer`, if there is one, goes on behind `came`.
struct Download {
    client: Arc<Client>,
    source: Source,
    proof: Proof,
    /// The next byte to give out, and the one after the last.
    at: u64,
    end: u64,
    answer: Option<Answer>,
    /// Bytes from `at` on that came and are not given out yet.
    came: Bytes,
    retry: Retry,
    /// Bytes were given out since the last failure.
    progress: bool,
}

impl Download {
    fn new(client: &Arc<Client>, source: &Source, range: Range<u64>, proof: Proof) -> Self {
        Self {
            client: Arc::clone(client),
            source: source.clone(),
            proof,
            at: range.start,
            end: range.end,
            answer: None,
            came: Bytes::new(),
            retry: client.retry(),
            progress: false,
        }
    }

    /// The next bytes; `None` at the end of the range.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.end {
            if !self.came.is_empty() {
                let bytes = self.came.split_to(self.client.download_rate.portion(self.came.len()));
                self.at += bytes.len() as u64;
                // Meanwhile the connection is full, and so the drive sends no faster.
                self.client.download_rate.pass(bytes.len()).await;
                return Ok(Some(bytes));
            }
            match self.attempt().await {
                Ok(Some(bytes)) => {
                    self.came = bytes;
                    self.progress = true;
                }
                // The drive gave less than was asked for, and said so: the rest is the matter of another request.
                Ok(None) => self.answer = None,
                Err(failure) => {
                    self.answer = None;
                    if std::mem::take(&mut self.progress) {
                        self.retry.reset();
                    }
                    self.retry.after(failure).await?;
                }
            }
        }
        Ok(None)
    }

    async fn attempt(&mut self) -> Attempt<Option<Bytes>> {
        let answer = match self.answer.take() {
            Some(answer) => answer,
            None => self.ask().await?,
        };
        self.answer.insert(answer).next().await
    }

    /// Asks for what is missing.
    async fn ask(&mut self) -> Attempt<Answer> {
        let id = item(&self.source.id)?;
        let url = match self.proof {
            Proof::Revision | Proof::Checksum => self.client.addresses.of(&["files", id]),
            Proof::Name => self.client.addresses.of(&["files", id, "revisions", &self.source.blob.revision.0]),
        };
        let mut request = Request::raw(DOWNLOAD, Method::GET, url).query("alt", "media").all_drives();
        if self.at > 0 || self.end < self.source.blob.size {
            let range = HeaderValue::try_from(format!("bytes={}-{}", self.at, self.end - 1));
            request = request.header(RANGE, range.map_err(|error| nonsense(DOWNLOAD, error))?);
        }
        let reply = self.client.exchange(&request).await?;
        if !reply.status().is_success() && reply.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(self.client.failure(reply).await);
        }
        let mut answer = match Answer::new(reply, self.at..self.end, self.source.blob.size) {
            Ok(answer) => answer,
            Err(error) => {
                if self.proof != Proof::Name {
                    // Most likely the file has another length by now.
                    confirm(&self.client, &self.source).await?;
                }
                return Err(error.into());
            }
        };
        if self.proof == Proof::Revision {
            let (client, source) = (Arc::clone(&self.client), self.source.clone());
            answer.hold_back_until(async move { confirm(&client, &source).await }.boxed());
        }
        Ok(answer)
    }
}
