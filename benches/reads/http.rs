//! A bare client that downloads as fast as the drive gives: many requests at a time, each for a piece, to a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::client::{Connection, Target};
use crate::content::{PIECE, digest};
use crate::load::{Load, Question};

pub(crate) struct Http {
    target: Target,
    /// Requests at a time.
    pub(crate) in_flight: usize,
    runtime: tokio::runtime::Runtime,
}

impl Http {
    pub(crate) fn of(target: Target, in_flight: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
        Self { target, in_flight, runtime }
    }

    /// Seconds until the last byte of a file is there, and in `to` if that is given. Each piece must have its sum.
    pub(crate) fn download(&self, id: &str, sums: &[u64], to: Option<&Path>) -> f64 {
        let file = to.map(|path| Arc::new(File::create(path).expect("creates")));
        self.runtime.block_on(self.pieces(id, sums.to_vec().into(), file)).expect("downloads")
    }

    async fn pieces(&self, id: &str, sums: Arc<[u64]>, file: Option<Arc<File>>) -> io::Result<f64> {
        let (path, next) = (path(id), Arc::new(AtomicUsize::new(0)));
        let mut connections = Vec::new();
        for _ in 0..self.in_flight {
            connections.push(Connection::open(&self.target).await?);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            let (target, path, next) = (self.target.clone(), path.clone(), next.clone());
            let (sums, file) = (sums.clone(), file.clone());
            tasks.spawn(async move {
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&sum) = sums.get(piece) else { return Ok::<_, io::Error>(()) };
                    let first = (piece * PIECE) as u64;
                    let (mut at, mut found, mut written) = (first, digest(), Ok(()));
                    connection.send(&range(&target, &path, first, PIECE as u64)).await?;
                    let answer = connection.receive(|bytes| {
                        found.update(bytes);
                        if let (Some(file), Ok(())) = (&file, &written) {
                            written = file.write_all_at(bytes, at);
                        }
                        at += bytes.len() as u64;
                    });
                    let status = answer.await?.status;
                    written?;
                    assert!(status == 206 && found.finalize() == sum, "piece {piece}: {status}");
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.map_err(io::Error::other)??;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of one request for the first bytes, on a connection that is open.
    pub(crate) fn first_bytes(&self, id: &str, length: u64) -> f64 {
        self.parts(id, &[(0, length)])
    }

    /// Seconds of requests one after the other.
    pub(crate) fn parts(&self, id: &str, parts: &[(u64, u64)]) -> f64 {
        let ask = async {
            let mut connection = Connection::open(&self.target).await?;
            let start = Instant::now();
            for &(first, length) in parts {
                let answer = connection.ask(&range(&self.target, &path(id), first, length)).await?;
                assert_eq!((answer.status, answer.length), (206, length));
            }
            Ok::<_, io::Error>(start.elapsed().as_secs_f64())
        };
        self.runtime.block_on(ask).expect("answers")
    }

    /// Whole files in a second, so many requests in flight. Nothing is written.
    pub(crate) fn files(&self, ids: &[String]) -> f64 {
        let question = |id: &String| Question { path: path(id), file: String::new(), range: None };
        let load =
            Load { questions: ids.iter().map(question).collect(), connections: self.in_flight, requests: ids.len() };
        let outcome = self.runtime.block_on(load.run(&self.target, true)).expect("answers");
        assert_eq!(outcome.errors, 0);
        outcome.requests_per_second()
    }
}

fn path(id: &str) -> String {
    format!("/drive/v3/files/{id}?alt=media")
}

fn range(target: &Target, path: &str, first: u64, length: u64) -> Vec<u8> {
    let range = format!("bytes={first}-{}", first + length - 1);
    target.request("GET", path, &[("range", &range)], b"")
}
