//! The meter: what was asked of the server and what it cost, by method and request by request. It never sees a query, which
//! can hold a token or the secret of an upload.
//!
//! A request is counted when its answer has been sent, or cut off. The log is bounded, and forgets the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::methods;
use crate::clock::{self, Instant, Timestamp};

/// Requests that the log holds.
const MAX_ENTRIES: usize = 10_000;

/// What was counted since the meter was last set to zero.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    since: Timestamp,
    methods: BTreeMap<&'static str, Count>,
    log: VecDeque<Entry>,
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Count {
    requests: u64,
    refused: u64,
    bytes_in: u64,
    bytes_out: u64,
    micros: u64,
}

#[derive(Debug)]
struct Entry {
    time: Timestamp,
    method: &'static str,
    request: String,
    /// 0: the connection was cut before there was an answer.
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    micros: u64,
}

impl Counts {
    fn new() -> Self {
        Self { since: clock::now(), methods: BTreeMap::new(), log: VecDeque::new(), forgotten: 0 }
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counts::new()))
    }

    /// Sets it to zero. Requests under way will be counted.
    pub(crate) fn reset(&self) {
        *self.0.lock() = Counts::new();
    }

    /// Begins to count a request.
    pub(crate) fn begin(self: &Arc<Self>, method: &'static str, request: &Request<Body>) -> Tally {
        let told = format!("{} {}", request.method(), request.uri().path());
        Tally(Arc::new(UnderWay {
            meter: self.clone(),
            method,
            request: told,
            time: clock::now(),
            started: Instant::now(),
            status: AtomicU16::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }))
    }

    /// Sums by method.
    pub(crate) fn show(&self) -> Value {
        let counts = self.0.lock();
        let row = |(method, count): (&&'static str, &Count)| {
            let row = json!({
                "requests": count.requests,
                "refused": count.refused,
                "units": count.requests * methods::units(method),
                "bytesIn": count.bytes_in,
                "bytesOut": count.bytes_out,
                "milliseconds": count.micros / 1000,
            });
            ((*method).to_owned(), row)
        };
        let sum = |value: fn(&Count) -> u64| counts.methods.values().map(value).sum::<u64>();
        json!({
            "since": counts.since.to_rfc3339(),
            "requests": sum(|count| count.requests),
            "units": counts.methods.iter().map(|(method, count)| count.requests * methods::units(method)).sum::<u64>(),
            "bytesIn": sum(|count| count.bytes_in),
            "bytesOut": sum(|count| count.bytes_out),
            "methods": counts.methods.iter().map(row).collect::<serde_json::Map<_, _>>(),
        })
    }

    /// The requests one by one, in the order in which they ended.
    pub(crate) fn log(&self) -> Value {
        let counts = self.0.lock();
        let entry = |entry: &Entry| {
            json!({
                "time": entry.time.to_rfc3339(),
                "method": entry.method,
                "request": entry.request,
                "status": (entry.status != 0).then_some(entry.status),
                "units": methods::units(entry.method),
                "bytesIn": entry.bytes_in,
                "bytesOut": entry.bytes_out,
                "microseconds": entry.micros,
            })
        };
        json!({ "forgotten": counts.forgotten, "entries": counts.log.iter().map(entry).collect::<Vec<_>>() })
    }

    fn add(&self, entry: Entry) {
        let mut counts = self.0.lock();
        let count = counts.methods.entry(entry.method).or_default();
        count.requests += 1;
        count.refused += u64::from(entry.status == 0 || entry.status >= 400);
        count.bytes_in += entry.bytes_in;
        count.bytes_out += entry.bytes_out;
        count.micros += entry.micros;
        if counts.log.len() >= MAX_ENTRIES {
            counts.log.pop_front();
            counts.forgotten += 1;
        }
        counts.log.push_back(entry);
    }
}

/// A request that is being counted. It is done when the last copy is gone, those in its bodies included.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Arc<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    meter: Arc<Meter>,
    method: &'static str,
    request: String,
    time: Timestamp,
    started: Instant,
    status: AtomicU16,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Tally {
    /// Counts the bytes of the request.
    pub(crate) fn asked(&self, request: Request<Body>) -> Request<Body> {
        request.map(|body| Body::new(Counted { body, tally: self.clone(), is_answer: false }))
    }

    /// Counts the bytes of the answer.
    pub(crate) fn answered(self, response: Response) -> Response {
        self.0.status.store(response.status().as_u16(), Ordering::Relaxed);
        response.map(|body| Body::new(Counted { body, tally: self, is_answer: true }))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.add(Entry {
            time: self.time,
            method: self.method,
            request: std::mem::take(&mut self.request),
            status: *self.status.get_mut(),
            bytes_in: *self.bytes_in.get_mut(),
            bytes_out: *self.bytes_out.get_mut(),
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
    }
}

/// A body whose bytes are counted on their way.
struct Counted {
    body: Body,
    tally: Tally,
    is_answer: bool,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let counts = &self.tally.0;
            let counter = if self.is_answer { &counts.bytes_out } else { &counts.bytes_in };
            counter.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_request_is_counted_when_its_answer_has_been_sent() {
        let meter = Arc::new(Meter::new());
        let request = Request::post("/drive/v3/files?access_token=secret").body(Body::from("four")).expect("a request");
        let tally = meter.begin("files.create", &request);
        let request = tally.asked(request);
        to_bytes(request.into_body(), usize::MAX).await.expect("comes");
        let response = tally.answered(Response::new(Body::from("answer")));
        assert_eq!(meter.show()["requests"], 0);
        to_bytes(response.into_body(), usize::MAX).await.expect("comes");
        let shown = meter.show();
        assert_eq!((&shown["requests"], &shown["units"]), (&json!(1), &json!(50)));
        let create = &shown["methods"]["files.create"];
        assert_eq!((&create["bytesIn"], &create["bytesOut"], &create["refused"]), (&json!(4), &json!(6), &json!(0)));
        let log = meter.log();
        assert_eq!(log["entries"][0]["request"], "POST /drive/v3/files");
        assert_eq!(log["entries"][0]["status"], 200);
        meter.reset();
        assert_eq!(meter.show()["methods"], json!({}));
    }

    #[test]
    fn the_log_forgets_the_oldest_and_a_cut_has_no_status() {
        let meter = Arc::new(Meter::new());
        for _ in 0..MAX_ENTRIES + 3 {
            drop(meter.begin("files.get", &Request::new(Body::empty())));
        }
        let log = meter.log();
        assert_eq!(log["forgotten"], 3);
        assert_eq!(log["entries"].as_array().map(Vec::len), Some(MAX_ENTRIES));
        assert_eq!(log["entries"][0]["status"], Value::Null);
        assert_eq!(meter.show()["methods"]["files.get"]["refused"], MAX_ENTRIES + 3);
    }
}
