//! [`Sending`]: a body on its way up.
//!
//! An upload may take hours, so no time limit holds for it as a whole; what must not happen is that the network takes nothing
//! for long. HTTP libraries do not tell the two waits of an upload apart, for the network and for the bytes of the caller
//! (who may be writing the file just now). This stream does, since it stands between them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
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

/// What is known of a body that is being sent.
#[derive(Debug, Clone)]
pub(super) struct Sending(Arc<Mutex<State>>);

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
    pub(super) fn new(body: Body, rate: Arc<Rate>) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Self) {
        let sending = Self(Arc::new(Mutex::new(State { network_since: Some(Instant::now()), error: None })));
        let watch = sending.clone();
        let Body { length: mut left, stream: mut source } = body;
        let mut rest = Bytes::new();
        let mut turn: Option<Pin<Box<Sleep>>> = None;
        let stream = stream::poll_fn(move |context| {
            while rest.is_empty() {
                match source.poll_next_unpin(context) {
                    Poll::Pending => {
                        watch.0.lock().network_since = None;
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok(bytes))) if bytes.len() as u64 <= left => rest = bytes,
                    Poll::Ready(Some(Ok(_))) => return Poll::Ready(Some(Err(watch.fail(longer())))),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(watch.fail(error)))),
                    Poll::Ready(None) if left > 0 => return Poll::Ready(Some(Err(watch.fail(shorter(left))))),
                    Poll::Ready(None) => return Poll::Ready(None),
                }
            }
            let length = rest.len().min(rate.piece(SLICE));
            if turn.is_none() {
                turn = rate.take(length).map(|due| Box::pin(sleep_until(due)));
            }
            if let Some(sleep) = &mut turn {
                if sleep.as_mut().poll(context).is_pending() {
                    watch.0.lock().network_since = None;
                    return Poll::Pending;
                }
                turn = None;
            }
            let slice = rest.split_to(length);
            left -= slice.len() as u64;
            watch.0.lock().network_since = Some(Instant::now());
            Poll::Ready(Some(Ok(slice)))
        });
        (stream, sending)
    }

    /// Ends when the network has taken nothing, and answered nothing, for as long as `idle`.
    pub(super) async fn stalled(&self, idle: Duration) {
        loop {
            let since = self.0.lock().network_since;
            let due = since.unwrap_or_else(Instant::now) + idle;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// What went wrong on our side, if it was our side.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.0.lock().error.take()
    }

    /// Keeps the error for [`Sending::take_error`], and gives the network another one.
    fn fail(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.0.lock().error = Some(error);
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

    fn unbounded() -> Arc<Rate> {
        Arc::new(Rate::new(None))
    }

    #[tokio::test]
    async fn bytes_pass_in_slices_of_bounded_length() {
        let (stream, sending) = Sending::new(body(SLICE as u64 * 2 + 3, &[1, 0, SLICE * 2 + 2]), unbounded());
        let lengths: Vec<_> = stream.map(|slice| slice.expect("bytes").len()).collect().await;
        assert_eq!(lengths, [1, SLICE, SLICE, 2]);
        assert!(sending.take_error().is_none());
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_announced_fails_on_our_side() {
        for (length, pieces) in [(5, [3, 3]), (7, [3, 3])] {
            let (stream, sending) = Sending::new(body(length, &pieces), unbounded());
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
        let (stream, sending) = Sending::new(Body { length: 2, stream: source.boxed() }, unbounded());
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
        let (stream, sending) = Sending::new(body(length as u64, &[length]), rate);
        let start = Instant::now();
        let collect = async { stream.map(|slice| slice.expect("bytes").len()).collect::<Vec<_>>().await };
        let lengths = tokio::select! {
            lengths = collect => lengths,
            () = sending.stalled(Duration::from_millis(500)) => panic!("stalled"),
        };
        assert_eq!(lengths.iter().sum::<usize>(), length);
        assert!(start.elapsed() >= Duration::from_millis(3700), "{:?}", start.elapsed());
    }
}
