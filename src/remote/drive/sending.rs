//! [`Sending`]: a body on its way up.
//!
//! An upload may take hours, so no time limit holds for it as a whole; what must not happen is that the network takes nothing
//! for long. HTTP libraries do not tell the two waits of an upload apart, for the network and for the bytes of the caller
//! (who may be writing the file just now). This stream does, since it stands between them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::rate::Rate;
use crate::remote::Body;

/// The network takes a body in pieces of this length at most, so that one piece is soon gone even on a slow line.
const SLICE: usize = 256 * 1024;

/// So many times as long as usual is the line borne to take nothing of one body while it takes others: two dozen then get on at 64 KB
/// a second. Not for ever, since a drive may hang at one request and answer all others.
const MOST_PATIENCE: u32 = 8;

/// The line, as all bodies know it that are being sent. While it takes those of others, one of many waits for its turn on a slow line.
#[derive(Debug)]
pub(super) struct Line {
    /// How many there are.
    bodies: AtomicU32,
    /// When it took something of any of them.
    moved: Mutex<Instant>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { bodies: AtomicU32::new(0), moved: Mutex::new(Instant::now()) }
    }
}

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    state: Arc<Mutex<State>>,
    line: Arc<Line>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.line.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct State {
    /// Since when the network owes us something; `None` while we wait for the bytes of the caller.
    network_since: Option<Instant>,
    /// What went wrong on our side.
    error: Option<io::Error>,
}

impl Sending {
    /// `body` as a stream for the network, and what watches it. The stream fails if the bytes are not as many as announced.
    /// No more bytes pass than `rate` allows.
    pub(super) fn new(
        body: Body,
        rate: Arc<Rate>,
        line: Arc<Line>,
    ) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Self) {
        line.bodies.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(Mutex::new(State { network_since: Some(Instant::now()), error: None }));
        let sending = Self { state: Arc::clone(&state), line: Arc::clone(&line) };
        let Body { length: mut left, stream: mut source } = body;
        let mut rest = Bytes::new();
        let mut turn: Option<Pin<Box<Sleep>>> = None;
        let stream = stream::poll_fn(move |context| {
            while rest.is_empty() {
                match source.poll_next_unpin(context) {
                    Poll::Pending => {
                        state.lock().network_since = None;
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok(bytes))) if bytes.len() as u64 <= left => rest = bytes,
                    Poll::Ready(Some(Ok(_))) => return Poll::Ready(Some(Err(state.lock().fail(longer())))),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(state.lock().fail(error)))),
                    Poll::Ready(None) if left > 0 => return Poll::Ready(Some(Err(state.lock().fail(shorter(left))))),
                    Poll::Ready(None) => return Poll::Ready(None),
                }
            }
            let length = rest.len().min(rate.piece(SLICE));
            if turn.is_none() {
                turn = rate.take(length).map(|due| Box::pin(sleep_until(due)));
            }
            if let Some(sleep) = &mut turn {
                if sleep.as_mut().poll(context).is_pending() {
                    state.lock().network_since = None;
                    return Poll::Pending;
                }
                turn = None;
            }
            let slice = rest.split_to(length);
            left -= slice.len() as u64;
            let now = Instant::now();
            state.lock().network_since = Some(now);
            *line.moved.lock() = now;
            Poll::Ready(Some(Ok(slice)))
        });
        (stream, sending)
    }

    /// Ends when the network has taken nothing, and answered nothing, for as long as `idle`. While it takes other bodies, this one
    /// has that time for each of them, up to [`MOST_PATIENCE`].
    pub(super) async fn stalled(&self, idle: Duration) {
        loop {
            let since = self.state.lock().network_since.unwrap_or_else(Instant::now);
            let moved = *self.line.moved.lock();
            let bodies = self.line.bodies.load(Ordering::Relaxed).clamp(1, MOST_PATIENCE);
            let due = (since + idle * bodies).min(since.max(moved) + idle);
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// What went wrong on our side, if it was our side.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.state.lock().error.take()
    }
}

impl State {
    /// Keeps the error for [`Sending::take_error`], and gives the network another one.
    fn fail(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.error = Some(error);
        kind.into()
    }
}

fn longer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "there are more bytes to send than announced")
}

fn shorter(left: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("{left} bytes to send are missing"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn body(length: u64, pieces: &[usize]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|len| Ok(Bytes::from(vec![7; *len]))).collect();
        Body { length, stream: stream::iter(pieces).boxed() }
    }

    fn line() -> Arc<Line> {
        Arc::new(Line::new())
    }

    fn unbounded() -> Arc<Rate> {
        Arc::new(Rate::new(None))
    }

    #[tokio::test]
    async fn bytes_pass_in_slices_of_bounded_length() {
        let (stream, sending) = Sending::new(body(SLICE as u64 * 2 + 3, &[1, 0, SLICE * 2 + 2]), unbounded(), line());
        let lengths: Vec<_> = stream.map(|slice| slice.expect("bytes").len()).collect().await;
        assert_eq!(lengths, [1, SLICE, SLICE, 2]);
        assert!(sending.take_error().is_none());
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_announced_fails_on_our_side() {
        for (length, pieces) in [(5, [3, 3]), (7, [3, 3])] {
            let (stream, sending) = Sending::new(body(length, &pieces), unbounded(), line());
            let results: Vec<_> = stream.take(4).collect().await;
            assert!(results.iter().any(Result::is_err), "{length}");
            assert!(sending.take_error().is_some(), "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_for_the_network_counts_as_a_stall() {
        let idle = Duration::from_mins(1);
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let source = stream::unfold(receiver, async |mut receiver| Some((Ok(receiver.recv().await?), receiver)));
        let (stream, sending) = Sending::new(Body { length: 2, stream: source.boxed() }, unbounded(), line());
        let mut stream = Box::pin(stream);

        assert!(stream.next().now_or_never().is_none(), "the caller has no bytes yet");
        let start = Instant::now();
        let mut stalled = Box::pin(sending.stalled(idle));
        assert!(tokio::time::timeout(10 * idle, &mut stalled).await.is_err(), "the caller may take its time");

        sender.send(Bytes::from_static(b"a")).await.expect("is received");
        assert!(stream.next().await.is_some());
        let taken = start.elapsed();
        stalled.await;
        assert!(start.elapsed() >= taken + idle && start.elapsed() <= taken + 2 * idle, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_ones_turn_is_no_stall() {
        let rate = Arc::new(Rate::new(Some(128 << 10)));
        let length = 512 << 10;
        let (stream, sending) = Sending::new(body(length as u64, &[length]), rate, line());
        let start = Instant::now();
        let collect = async { stream.map(|slice| slice.expect("bytes").len()).collect::<Vec<_>>().await };
        let lengths = tokio::select! {
            lengths = collect => lengths,
            () = sending.stalled(Duration::from_millis(500)) => panic!("stalled"),
        };
        assert_eq!(lengths.iter().sum::<usize>(), length);
        assert!(start.elapsed() >= Duration::from_millis(3700), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_slow_line_each_of_many_has_the_time_that_all_need() {
        let (idle, line) = (Duration::from_secs(25), line());
        let [one, other] =
            [0, 1].map(|_| Sending::new(body(SLICE as u64 * 9, &[SLICE; 9]), unbounded(), Arc::clone(&line)));
        let ((_waits, watch), (stream, _other)) = (one, other);
        let mut stream = Box::pin(stream);
        let start = Instant::now();
        let stalled = watch.stalled(idle);
        tokio::pin!(stalled);
        while start.elapsed() < idle * 3 / 2 {
            assert!(stream.next().await.is_some());
            assert!(
                tokio::time::timeout(Duration::from_secs(10), &mut stalled).await.is_err(),
                "the line takes the other"
            );
        }
        stalled.await;
        assert!(start.elapsed() <= idle * 2 + Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
