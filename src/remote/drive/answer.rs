//! [`Answer`]: the bytes that one answer brings to a download.
//!
//! Checks from the head of the answer that they are the bytes asked for, leaves out what comes before and after them, and can
//! hold them back until somebody has confirmed which revision they are of.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};

use super::convert::nonsense;
use super::errors::{Again, Attempt, Failure};
use super::reply::Reply;
use super::request::DOWNLOAD;
use crate::error::Kind;
use crate::metrics;
use crate::remote::{RemoteError, Result};

/// Bytes taken in while they are held back: what arrives within a round trip or two on a good line.
const HELD_BACK: usize = 1 << 20;

/// One answer with content.
pub(super) struct Answer {
    reply: Reply,
    /// Bytes that come before ours: all of them, if the drive does not know ranges.
    skip: u64,
    /// Bytes of ours that the network still owes.
    left: u64,
    /// Bytes of ours that are held back.
    held: VecDeque<Bytes>,
    /// Until when they are.
    confirmation: Option<BoxFuture<'static, Result<()>>>,
    /// What comes after them, if the network has no more bytes.
    broken: Option<Failure>,
}

impl Answer {
    /// The answer to a request for the bytes of `range` of a content of `size`. It may bring fewer, from the start of the
    /// range on. [`Kind::Protocol`] if these are no bytes of such a content.
    pub(super) fn new(reply: Reply, range: Range<u64>, size: u64) -> Result<Self> {
        let (first, last) = given(&reply, range.start, size).map_err(|why| nonsense(DOWNLOAD, why))?;
        let left = (last + 1).min(range.end) - range.start;
        Ok(Self { reply, skip: range.start - first, left, held: VecDeque::new(), confirmation: None, broken: None })
    }

    /// No byte is given out before `confirmation` is there, none at all if it is an error.
    pub(super) fn hold_back_until(&mut self, confirmation: BoxFuture<'static, Result<()>>) {
        self.confirmation = Some(confirmation);
    }

    /// The next bytes of ours; `None` when all that this answer has are given out.
    pub(super) async fn next(&mut self) -> Attempt<Option<Bytes>> {
        while let Some(confirmation) = &mut self.confirmation {
            let held: usize = self.held.iter().map(Bytes::len).sum();
            let receives = self.left > 0 && held < HELD_BACK && self.broken.is_none();
            tokio::select! {
                confirmed = confirmation => {
                    confirmed?;
                    self.confirmation = None;
                }
                bytes = receive(&mut self.reply, &mut self.skip, &mut self.left), if receives => match bytes {
                    Ok(bytes) => self.held.push_back(bytes),
                    // What came before it is worth a confirmation all the same.
                    Err(failure) if held > 0 => self.broken = Some(failure),
                    Err(failure) => return Err(failure),
                },
            }
        }
        if let Some(bytes) = self.held.pop_front() {
            return Ok(Some(bytes));
        }
        match self.broken.take() {
            Some(failure) => Err(failure),
            None if self.left == 0 => Ok(None),
            None => receive(&mut self.reply, &mut self.skip, &mut self.left).await.map(Some),
        }
    }
}

/// The first and the last byte that an answer gives, `start` among them; or why it gives none of ours.
fn given(reply: &Reply, start: u64, size: u64) -> std::result::Result<(u64, u64), &'static str> {
    if reply.header(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err("the content is compressed");
    }
    let (first, last) = match (reply.status(), reply.header(CONTENT_RANGE)) {
        (StatusCode::PARTIAL_CONTENT, Some(range)) => {
            content_range(range, size).ok_or("these bytes are of another content")?
        }
        (StatusCode::OK, _) => (0, size - 1),
        _ => return Err("the content is shorter than it says"),
    };
    let length: Option<u64> = reply.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    match length {
        Some(length) if length != last - first + 1 => Err("the content has another length than it says"),
        _ if reply.status() == StatusCode::PARTIAL_CONTENT && first != start => {
            Err("these are other bytes than those asked for")
        }
        _ => Ok((first, last)),
    }
}

/// The first and the last byte of `bytes 0-9/10`, if the length is `size` or not known.
fn content_range(text: &str, size: u64) -> Option<(u64, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let right_length = length == "*" || length.parse() == Ok(size);
    (right_length && first <= last && last < size).then_some((first, last))
}

/// The next bytes of ours from the network, never none. May be dropped and called again.
async fn receive(reply: &mut Reply, skip: &mut u64, left: &mut u64) -> Attempt<Bytes> {
    loop {
        let Some(mut bytes) = reply.chunk().await? else {
            let error = RemoteError::new(Kind::Unreachable, DOWNLOAD.name, "the answer of the drive ended too early");
            return Err(Failure::new(error, Again::Soon));
        };
        metrics::DOWNLOADED.add(bytes.len() as u64);
        let before = bytes.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
        *skip -= before as u64;
        drop(bytes.split_to(before));
        bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= bytes.len() as u64;
        if *left == 0 {
            // Lets a body without a length come to its end, so that its connection can serve again.
            drop(reply.chunk().now_or_never());
        }
        if !bytes.is_empty() {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::{StreamExt, stream};
    use tokio::sync::oneshot;

    use super::*;
    use crate::auth::AccessToken;
    use crate::remote::drive::pace::Pacer;

    /// An answer of `pieces` pieces of 64 KiB, and how many of them were taken in so far.
    async fn answer(pieces: usize) -> (Answer, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let body = stream::iter(0..pieces).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::io::Result::Ok(Bytes::from_static(&BYTES))
        });
        let response = http::Response::new(reqwest::Body::wrap_stream(body)).into();
        let token = AccessToken::new("token").expect("a token");
        let admitted = Pacer::new(None, Duration::ZERO).admit(0).await;
        let reply = Reply::new(DOWNLOAD, response, Duration::from_secs(1), token, admitted);
        let size = (pieces * PIECE) as u64;
        (Answer::new(reply, 0..size, size).expect("ours"), taken)
    }

    const PIECE: usize = 64 * 1024;
    static BYTES: [u8; PIECE] = [7; PIECE];

    #[tokio::test]
    async fn little_is_taken_in_while_the_bytes_are_held_back() {
        let (mut answer, taken) = answer(100).await;
        let (confirm, confirmed) = oneshot::channel();
        answer.hold_back_until(async { confirmed.await.expect("is confirmed") }.boxed());
        let mut first = Box::pin(answer.next());
        for _ in 0..200 {
            assert!(futures_util::poll!(&mut first).is_pending());
        }
        let held = taken.load(Ordering::Relaxed) * PIECE;
        assert!((HELD_BACK..=HELD_BACK + PIECE).contains(&held), "{held}");

        confirm.send(Ok(())).expect("is waited for");
        let mut length = first.await.expect("bytes").expect("bytes").len();
        while let Some(bytes) = answer.next().await.expect("bytes") {
            length += bytes.len();
        }
        assert_eq!(length, 100 * PIECE);
    }

    #[tokio::test]
    async fn what_came_before_a_break_is_given_out_once_it_is_confirmed() {
        let (mut answer, _) = answer(2).await;
        answer.left += 1;
        let (confirm, confirmed) = oneshot::channel();
        answer.hold_back_until(async { confirmed.await.expect("is confirmed") }.boxed());
        let mut first = Box::pin(answer.next());
        for _ in 0..10 {
            assert!(futures_util::poll!(&mut first).is_pending());
        }
        confirm.send(Ok(())).expect("is waited for");
        assert_eq!(first.await.expect("bytes").expect("bytes").len(), PIECE);
        assert_eq!(answer.next().await.expect("bytes").expect("bytes").len(), PIECE);
        assert_eq!(answer.next().await.expect_err("broke").again, Again::Soon);
    }

    #[test]
    fn the_range_of_an_answer_must_be_of_our_content() {
        assert_eq!(content_range("bytes 0-9/10", 10), Some((0, 9)));
        assert_eq!(content_range("bytes 5-7/*", 10), Some((5, 7)));
        for bad in
            ["bytes 0-9/11", "bytes 5-10/*", "bytes 7-5/10", "0-9/10", "bytes */10", "bytes 0-9", "bytes -1-3/10"]
        {
            assert_eq!(content_range(bad, 10), None, "{bad}");
        }
    }
}
