//! Bodies that come slowly, or not to their end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Sleep;

use super::Severed;
use crate::clock::Instant;

/// What was sent before a cut gets this long to leave: the server's side of the connection drops what it still holds.
const LEAVE: Duration = Duration::from_millis(50);
/// Slow bodies go in pieces that take this long.
const BEATS_PER_SECOND: u64 = 20;
const MAX_PIECE: u64 = 256 * 1024;
/// While what came is handled, a line goes on carrying what the buffers at its ends hold: at most so many bytes, or so long.
const BUFFERED: u64 = 4 << 20;
const BUFFERED_FOR: Duration = Duration::from_millis(50);

/// A line of limited bandwidth. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bytes a second; `None`: no limit.
    rate: Option<u64>,
    /// When it has carried all that was put on it.
    free: Arc<Mutex<Instant>>,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, free: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The slower of two lines; `None` if neither limits anything.
    pub(super) fn slower(self, other: Option<Self>) -> Option<Self> {
        let slowest = [Some(self), other].into_iter().flatten().filter(|pace| pace.rate.is_some());
        slowest.min_by_key(|pace| pace.rate)
    }

    /// Bytes of a piece.
    fn piece(&self) -> u64 {
        self.rate.map_or(MAX_PIECE, |rate| (rate / BEATS_PER_SECOND).clamp(1, MAX_PIECE))
    }

    /// Puts bytes on the line: when they have arrived. `goes_on`: they follow others of the same body, and are on their way already if
    /// there was time for that.
    fn carry(&self, bytes: u64, goes_on: bool, now: Instant) -> Instant {
        let Some(rate) = self.rate else { return now };
        let time = |bytes: u64| {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let ahead = if goes_on { time(BUFFERED).min(BUFFERED_FOR) } else { Duration::ZERO };
        let mut free = self.free.lock();
        *free = (*free).max(now.checked_sub(ahead).unwrap_or(now)) + time(bytes);
        *free
    }
}

/// A body with trouble on its way.
pub(super) struct Rough {
    body: Body,
    pace: Option<Pace>,
    /// Something of it was carried already.
    goes_on: bool,
    /// Bytes until the cut.
    left: Option<u64>,
    /// Told when the cut comes.
    is_cut: Arc<AtomicBool>,
    /// Received and not passed on.
    held: Bytes,
    /// To be passed on when the wait is over.
    due: Option<Bytes>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Rough {
    /// A body that comes at `pace`, and breaks off (saying so in `is_cut`) where more than `left` bytes would come.
    pub(super) fn new(body: Body, pace: Option<Pace>, left: Option<u64>, is_cut: Arc<AtomicBool>) -> Self {
        Self { body, pace, goes_on: false, left, is_cut, held: Bytes::new(), due: None, wait: None }
    }

    fn cut(&mut self) {
        self.is_cut.store(true, Ordering::Release);
        self.wait = Some(Box::pin(tokio::time::sleep(LEAVE)));
    }

    /// The next piece of what is held; `None` if it is to wait first, or the end is here.
    fn pass(&mut self) -> Option<Bytes> {
        let mut length = self.held.len() as u64;
        if let Some(left) = &mut self.left {
            if *left == 0 {
                self.cut();
                return None;
            }
            length = length.min(*left);
        }
        if let Some(pace) = &self.pace {
            length = length.min(pace.piece());
        }
        if let Some(left) = &mut self.left {
            *left -= length;
        }
        let piece = self.held.split_to(usize::try_from(length).unwrap_or(self.held.len()));
        let Some(pace) = &self.pace else { return Some(piece) };
        let arrives = pace.carry(length, self.goes_on, Instant::now());
        self.goes_on = true;
        self.wait = Some(Box::pin(tokio::time::sleep_until(arrives.into())));
        self.due = Some(piece);
        None
    }
}

impl HttpBody for Rough {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(wait) = &mut this.wait {
                ready!(wait.as_mut().poll(context));
                this.wait = None;
            }
            if let Some(piece) = this.due.take() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.is_cut.load(Ordering::Acquire) {
                return Poll::Ready(Some(Err(axum::Error::new(Severed))));
            }
            if this.held.is_empty() {
                match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => this.held = data,
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                    end => return Poll::Ready(end),
                }
            } else if let Some(piece) = this.pass() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.due.is_none() && self.wait.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let here = (self.held.len() + self.due.as_ref().map_or(0, Bytes::len)) as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + here);
        }
        hint.set_lower(rest.lower() + here);
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    async fn receive(rough: Rough) -> (usize, bool) {
        let mut stream = Body::new(rough).into_data_stream();
        let mut received = 0;
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => received += piece.len(),
                Err(_) => return (received, false),
            }
        }
        (received, true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_breaks_off_where_more_would_come() {
        for (left, expected) in [(0, (0, false)), (99, (99, false)), (100, (100, true)), (101, (100, true))] {
            let is_cut = Arc::new(AtomicBool::new(false));
            let rough = Rough::new(Body::from(vec![7; 100]), None, Some(left), is_cut.clone());
            assert_eq!(receive(rough).await, expected, "{left}");
            assert_eq!(is_cut.load(Ordering::Acquire), !expected.1);
        }
        let rough = Rough::new(Body::empty(), None, Some(0), Arc::default());
        assert_eq!(receive(rough).await, (0, true));
    }

    #[test]
    fn a_line_carries_one_thing_after_the_other() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        assert!(pace.carry(500, false, now) >= now + Duration::from_millis(500));
        assert!(pace.clone().carry(500, true, now) >= now + Duration::from_secs(1));
        let later = now + Duration::from_mins(1);
        assert_eq!(
            pace.carry(100, false, later),
            later + Duration::from_millis(100),
            "what was not used is not saved up"
        );
        let handled = later + Duration::from_millis(130);
        assert_eq!(
            pace.carry(100, true, handled),
            later + Duration::from_millis(200),
            "it came while that was handled"
        );
        let late = later + Duration::from_mins(1);
        assert_eq!(pace.carry(100, true, late), late + Duration::from_millis(50), "as far as there was room for it");
        assert_eq!(pace.slower(Some(Pace::new(Some(7)))).and_then(|pace| pace.rate), Some(7));
        assert!(Pace::new(None).slower(None).is_none());
    }
}
