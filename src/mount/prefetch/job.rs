//! What is known of a job, and who wants it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Instant;
use crate::control::{Amount, PrefetchStatus, TOLD, ToFetch};
use crate::fs::NodeId;

/// How long `status` shows how a job in the background ended.
const SHOWN: Duration = Duration::from_hours(1);

/// Why there are no more jobs.
pub(super) const ENDING: &str = "the mount is ending";

/// What fetches some files.
#[derive(Debug)]
pub(in super::super) struct Job {
    pub(super) number: u64,
    /// What was named, in the order in which it was.
    pub(super) paths: Vec<String>,
    /// The same, as it is compared.
    pub(super) key: Vec<String>,
    end: CancellationToken,
    /// Bytes here that are wanted and fit.
    bytes: AtomicU64,
    /// Bytes that arrived.
    received: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    phase: Phase,
    /// How many wait for it.
    waiting: usize,
    background: bool,
    /// Of [`PrefetchStatus`], what only grows.
    told: PrefetchStatus,
    fetching_since: Option<Instant>,
    ended: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Finding,
    Fetching,
    Waiting,
    Over(Ended),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Stopped,
}

/// Paths as they are compared: in order, each once, and without the other names of the root.
pub(super) fn key(paths: &[String]) -> Vec<String> {
    let mut key: Vec<String> = paths.iter().map(|path| NodeId::below_alias(path).to_owned()).collect();
    key.sort_unstable();
    key.dedup();
    key
}

impl Job {
    pub(super) fn new(number: u64, wanted: ToFetch, key: Vec<String>, end: CancellationToken) -> Self {
        let ToFetch { paths, background } = wanted;
        Self {
            number,
            paths,
            key,
            end,
            bytes: AtomicU64::new(0),
            received: AtomicU64::new(0),
            known: Mutex::new(Known {
                phase: Phase::Finding,
                waiting: usize::from(!background),
                background,
                told: PrefetchStatus::default(),
                fetching_since: None,
                ended: None,
            }),
        }
    }

    /// One more wants it. Says whether it still goes on.
    pub(super) fn join(&self, background: bool) -> bool {
        let mut known = self.known.lock();
        if self.end.is_cancelled() || matches!(known.phase, Phase::Over(_)) {
            return false;
        }
        known.waiting += usize::from(!background);
        known.background |= background;
        true
    }

    /// One who waited for it does not want it any more. It ends if nobody else does.
    pub(in super::super) fn leave(&self) {
        let mut known = self.known.lock();
        known.waiting = known.waiting.saturating_sub(1);
        let is_wanted = known.waiting > 0 || known.background;
        drop(known);
        if !is_wanted {
            self.stop("who waited for it gave up");
        }
    }

    /// Ends it.
    pub(super) fn stop(&self, why: &str) {
        let mut known = self.known.lock();
        if !matches!(known.phase, Phase::Over(_)) {
            known.told.reason = Some(why.to_owned());
            known.phase = Phase::Over(Ended::Stopped);
            known.ended = Some(Instant::now());
        }
        drop(known);
        self.end.cancel();
    }

    /// Completes when it is to end.
    pub(super) async fn stopped(&self) {
        self.end.cancelled().await;
    }

    /// Whether it is to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.end.is_cancelled()
    }

    /// It has ended.
    pub(super) fn end(&self, how: Ended) {
        let mut known = self.known.lock();
        if !matches!(known.phase, Phase::Over(_)) {
            known.phase = Phase::Over(how);
            known.ended = Some(Instant::now());
            known.told.reason = (how == Ended::Stopped).then(|| ENDING.to_owned());
        }
        drop(known);
        let PrefetchStatus { here, fits, failed, state, .. } = self.status();
        let (job, files, bytes) = (self.number, here.files, here.bytes);
        tracing::info!(job, state, files, of = fits.files, bytes, failed, "a prefetch has ended");
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.known.lock().phase, Phase::Over(_))
    }

    /// Whether `status` shows it.
    pub(super) fn is_shown(&self) -> bool {
        let known = self.known.lock();
        known.ended.is_none_or(|at| known.background && at.elapsed() < SHOWN)
    }

    /// Changes what is told of it.
    pub(super) fn tell(&self, change: impl FnOnce(&mut PrefetchStatus)) {
        change(&mut self.known.lock().told);
    }

    /// A file that is wanted was found, with what of it is here (one file, if all is), and whether it fits.
    pub(super) fn found(&self, bytes: u64, here: Amount, fits: bool) {
        let told = &mut self.known.lock().told;
        told.wanted = told.wanted.and(bytes);
        if fits {
            told.fits = told.fits.and(bytes);
            told.were_here = told.were_here.plus(here);
            self.bytes.fetch_add(here.bytes, Ordering::Relaxed);
        }
    }

    /// All that there is to fetch is known.
    pub(super) fn fetching(&self) {
        self.go_on(Phase::Fetching, None);
    }

    /// It is tried again in a while.
    pub(super) fn waiting(&self, why: &str) {
        self.go_on(Phase::Waiting, Some(why.to_owned()));
    }

    fn go_on(&self, phase: Phase, reason: Option<String>) {
        let mut known = self.known.lock();
        if !matches!(known.phase, Phase::Over(_)) {
            known.phase = phase;
            known.told.reason = reason;
            known.fetching_since.get_or_insert_with(Instant::now);
        }
    }

    /// Bytes arrived.
    pub(super) fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file is here.
    pub(super) fn has(&self) {
        self.known.lock().told.here.files += 1;
    }

    /// A file that was here is not any more.
    pub(super) fn lost(&self, bytes: u64) {
        self.known.lock().told.here.files -= 1;
        let _before =
            self.bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, |all| Some(all.saturating_sub(bytes)));
    }

    /// Something could not be fetched.
    pub(super) fn failed(&self, path: String, why: String) {
        tracing::info!(job = self.number, path, why, "not fetched");
        let told = &mut self.known.lock().told;
        told.failed += 1;
        if told.failures.len() < TOLD {
            told.failures.push((path, why));
        }
    }

    /// Files and bytes that came so far; grows while it gets on.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.known.lock().told.here.files, self.received.load(Ordering::Relaxed))
    }

    /// How it fares.
    pub(in super::super) fn status(&self) -> PrefetchStatus {
        let known = self.known.lock();
        let mut status = known.told.clone();
        status.job = self.number;
        status.paths.clone_from(&self.paths);
        status.background = known.background;
        let state = match known.phase {
            Phase::Finding => "finding",
            Phase::Fetching => "fetching",
            Phase::Waiting => "waiting",
            Phase::Over(Ended::Done) => "done",
            Phase::Over(Ended::Stopped) => "stopped",
        };
        state.clone_into(&mut status.state);
        // What was damaged came twice.
        status.here.bytes = self.bytes.load(Ordering::Relaxed).min(status.fits.bytes);
        let until = known.ended.unwrap_or_else(Instant::now);
        let millis = known.fetching_since.map_or(0, |since| until.saturating_duration_since(since).as_millis());
        let per_second = u128::from(self.received.load(Ordering::Relaxed)) * 1000 / millis.max(1);
        status.bytes_per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
        status
    }
}
