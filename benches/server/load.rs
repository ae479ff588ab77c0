//! Requests, many at a time, and how long they took.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::{Connection, Target};

/// Something to ask of both servers: of ours by its path, of nginx by the name of the file that holds the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub path: String,
    pub file: String,
    /// First and last byte, if not all are asked for.
    pub range: Option<(u64, u64)>,
}

/// What is asked in one round.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Asked in turn, from the first again after the last.
    pub questions: Vec<Question>,
    /// Requests in flight.
    pub connections: usize,
    /// Requests in all.
    pub requests: usize,
}

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub elapsed: Duration,
    pub bytes: u64,
    /// Of the requests that were answered; sorted.
    pub latencies: Vec<Duration>,
    /// Requests that were not, or not with success.
    pub errors: usize,
}

impl Outcome {
    pub(crate) fn bytes_per_second(&self) -> f64 {
        per_second(self.bytes, self.elapsed)
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        per_second(self.latencies.len() as u64, self.elapsed)
    }

    /// The time in milliseconds in which `percent` of the requests were answered.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 here")]
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

impl Load {
    /// One round.
    pub(crate) async fn run(&self, target: &Target, is_ours: bool) -> io::Result<Outcome> {
        let requests: Arc<Vec<_>> = Arc::new(self.questions.iter().map(|it| it.request(target, is_ours)).collect());
        let (next, total) = (Arc::new(AtomicUsize::new(0)), self.requests);
        // The clock starts when all are connected.
        let start = Arc::new(Barrier::new(self.connections + 1));
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let mut connection = Connection::open(target).await?;
            let (requests, next, start) = (requests.clone(), next.clone(), start.clone());
            tasks.spawn(async move {
                start.wait().await;
                let mut outcome = Outcome::default();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= total {
                        return outcome;
                    }
                    let asked = Instant::now();
                    match connection.ask(&requests[index % requests.len()]).await {
                        Ok(answer) if matches!(answer.status, 200 | 206) => {
                            outcome.latencies.push(asked.elapsed());
                            outcome.bytes += answer.length;
                        }
                        Ok(_) => outcome.errors += 1,
                        // Nothing more can be asked here; the others go on.
                        Err(_) => {
                            outcome.errors += 1;
                            return outcome;
                        }
                    }
                }
            });
        }
        start.wait().await;
        let started = Instant::now();
        let mut sum = Outcome::default();
        while let Some(part) = tasks.join_next().await {
            let part = part.map_err(io::Error::other)?;
            sum.bytes += part.bytes;
            sum.errors += part.errors;
            sum.latencies.extend(part.latencies);
        }
        sum.elapsed = started.elapsed();
        sum.latencies.sort_unstable();
        Ok(sum)
    }
}

impl Question {
    fn request(&self, target: &Target, is_ours: bool) -> Vec<u8> {
        let path = if is_ours { self.path.clone() } else { format!("/{}", self.file) };
        let range = self.range.map(|(first, last)| format!("bytes={first}-{last}"));
        let headers: Vec<_> = range.iter().map(|range| ("range", range.as_str())).collect();
        target.request("GET", &path, &headers, b"")
    }
}
