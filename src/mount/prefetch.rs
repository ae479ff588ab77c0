//! Fetching content before somebody reads it: jobs of the daemon, which commands begin, look at and end.
//!
//! ```text
//!   job    what is known of one, and who wants it       find   the files below paths, and which of them fit
//!   fetch  getting them, and trying again               evict  the opposite
//! ```
//!
//! A job goes behind all that programs wait for: what it fetches is read-ahead to [`crate::content`]. It takes no more than the cache
//! holds, first come first: what was fetched for a job is evicted after all else, and never for the rest of it. It ends with the
//! mount.

mod evict;
mod fetch;
mod find;
mod job;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use self::job::{Ended, Job};
use super::running::Running;
use crate::control::{PrefetchStatus, ToFetch};
use crate::fs::NodeId;
use crate::tree::Ino;

/// Jobs at one time. Each remembers the files that it is to fetch.
const MOST: usize = 16;

/// Jobs that have ended and can still be asked about.
const REMEMBERED: usize = 16;

/// All jobs of a mount.
#[derive(Debug, Default)]
pub(super) struct Prefetches {
    table: Mutex<Table>,
    end: CancellationToken,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// The oldest first.
    jobs: Vec<Arc<Job>>,
    places: Places,
}

/// The places in the cache that the jobs under way have taken: bytes of files, each counted once however many jobs want it.
#[derive(Debug, Default)]
struct Places {
    files: HashMap<Ino, Place>,
    bytes: u64,
}

#[derive(Debug)]
struct Place {
    bytes: u64,
    jobs: u32,
}

impl Places {
    /// Takes a place for a file, if no more than `room` is taken then. Says whether it has one.
    fn take(&mut self, ino: Ino, bytes: u64, room: u64) -> bool {
        if let Some(place) = self.files.get_mut(&ino) {
            place.jobs += 1;
            return true;
        }
        if self.bytes.saturating_add(bytes) > room {
            return false;
        }
        self.files.insert(ino, Place { bytes, jobs: 1 });
        self.bytes += bytes;
        true
    }

    fn give_back(&mut self, ino: Ino) {
        let Some(place) = self.files.get_mut(&ino) else { return };
        place.jobs -= 1;
        if place.jobs == 0 {
            self.bytes -= place.bytes;
            self.files.remove(&ino);
        }
    }
}

impl Prefetches {
    /// The job of a number.
    pub(super) fn get(&self, number: u64) -> Result<Arc<Job>, String> {
        let table = self.table.lock();
        let job = table.jobs.iter().find(|job| job.number == number);
        job.cloned().ok_or_else(|| format!("nothing is known of a prefetch with the number {number}"))
    }

    /// Those that are under way, and those that ended a while ago and that nobody waited for.
    pub(super) fn shown(&self) -> Vec<PrefetchStatus> {
        let jobs = self.table.lock().jobs.clone();
        jobs.iter().filter(|job| job.is_shown()).map(|job| job.status()).collect()
    }

    /// Ends those that fetch something at or below these paths; says how many.
    pub(super) fn stop(&self, paths: &[String]) -> usize {
        let meant = |asked: &str| paths.iter().any(|path| Path::new(asked).starts_with(NodeId::below_alias(path)));
        let table = self.table.lock();
        let jobs = table.jobs.iter().filter(|job| !job.has_ended());
        jobs.filter(|job| job.key.iter().any(|asked| meant(asked))).map(|job| job.stop("it was asked to")).count()
    }

    /// Ends all, and takes no more.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// The job for these paths: one that is under way, or a new one (`true`).
    fn join_or_begin(&self, wanted: ToFetch) -> Result<(Arc<Job>, bool), String> {
        let key = job::key(&wanted.paths);
        let mut table = self.table.lock();
        if self.end.is_cancelled() {
            return Err(job::ENDING.to_owned());
        }
        if let Some(job) = table.jobs.iter().find(|job| job.key == key && job.join(wanted.background)) {
            return Ok((Arc::clone(job), false));
        }
        let running = table.jobs.iter().filter(|job| !job.has_ended()).count();
        if running >= MOST {
            return Err(format!(
                "{running} prefetches are under way already; wait for one of them, or end it with `drivemount prefetch --stop`"
            ));
        }
        if table.jobs.len() - running >= REMEMBERED
            && let Some(oldest) = table.jobs.iter().position(|job| job.has_ended())
        {
            table.jobs.remove(oldest);
        }
        table.last += 1;
        let job = Arc::new(Job::new(table.last, wanted, key, self.end.child_token()));
        table.jobs.push(Arc::clone(&job));
        Ok((job, true))
    }

    fn take_place(&self, ino: Ino, bytes: u64, room: u64) -> bool {
        self.table.lock().places.take(ino, bytes, room)
    }

    fn give_place_back(&self, ino: Ino) {
        self.table.lock().places.give_back(ino);
    }

    /// Whether no more places are taken than there is room for.
    fn fit(&self, room: u64) -> bool {
        self.table.lock().places.bytes <= room
    }
}

/// Ends a job that panicked: whoever looks at it waits for its end.
struct AtLast(Arc<Job>);

impl Drop for AtLast {
    fn drop(&mut self) {
        self.0.stop("it failed by itself; the log says how");
    }
}

impl Running {
    /// Begins to fetch something, or joins who does.
    pub(super) fn begin_prefetch(self: &Arc<Self>, wanted: ToFetch) -> Result<PrefetchStatus, String> {
        let (job, is_new) = self.prefetches.join_or_begin(wanted)?;
        if is_new {
            let (running, job) = (Arc::clone(self), Arc::clone(&job));
            // A task of its own: it goes on when who began it goes away. It ends at the latest with the mount.
            tokio::spawn(async move {
                let _end = AtLast(Arc::clone(&job));
                let ended = tokio::select! {
                    biased;
                    () = job.stopped() => Ended::Stopped,
                    () = running.carry_out(&job) => Ended::Done,
                };
                job.end(ended);
            });
        }
        Ok(PrefetchStatus { joined: !is_new, ..job.status() })
    }

    async fn carry_out(self: &Arc<Self>, job: &Arc<Job>) {
        let items = find::find(self, job).await;
        job.fetching();
        fetch::fetch(self, job, items).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_two_jobs_want_takes_one_place_until_neither_does() {
        let mut places = Places::default();
        assert!(places.take(Ino(1), 60, 100));
        assert!(places.take(Ino(1), 60, 100), "it has one already");
        assert!(!places.take(Ino(2), 50, 100));
        assert!(places.take(Ino(3), 40, 100), "a smaller one fits");
        places.give_back(Ino(1));
        assert!(!places.take(Ino(2), 50, 100));
        places.give_back(Ino(1));
        places.give_back(Ino(1));
        assert!(places.take(Ino(2), 50, 100));
        assert_eq!(places.bytes, 90);
    }

    fn wanted(paths: &[&str], background: bool) -> ToFetch {
        ToFetch { paths: paths.iter().map(|&path| path.to_owned()).collect(), background }
    }

    #[test]
    fn who_wants_the_same_joins_and_it_ends_when_nobody_wants_it() {
        let jobs = Prefetches::default();
        let (first, is_new) = jobs.join_or_begin(wanted(&["a", "MyDrive/b/"], false)).expect("begins");
        assert!(is_new);
        let (second, is_new) = jobs.join_or_begin(wanted(&["b", "a", "a"], false)).expect("joins");
        assert!(!is_new && first.number == second.number);
        first.leave();
        assert!(!first.is_stopped(), "another still waits for it");
        second.leave();
        assert!(first.is_stopped());
        let (third, is_new) = jobs.join_or_begin(wanted(&["a", "b"], true)).expect("begins");
        assert!(is_new, "what was stopped is not joined");
        jobs.join_or_begin(wanted(&["a", "b"], false)).expect("joins");
        third.leave();
        assert!(!third.is_stopped(), "it was to go on in the background");
        assert_eq!(jobs.stop(&["c".to_owned(), "ab".to_owned()]), 0);
        assert_eq!(jobs.stop(&[String::new()]), 1);
        assert!(third.is_stopped());
        jobs.end();
        assert!(jobs.join_or_begin(wanted(&["a"], true)).is_err(), "the mount is ending");
    }

    #[test]
    fn jobs_are_bounded_and_those_that_ended_are_forgotten_the_oldest_first() {
        let jobs = Prefetches::default();
        let begin = |number: usize| jobs.join_or_begin(wanted(&[&number.to_string()], false));
        let begun: Vec<_> = (0..MOST).map(|number| begin(number).expect("begins").0).collect();
        assert!(begin(MOST).expect_err("too many").contains("--stop"));
        for job in &begun {
            job.end(Ended::Done);
        }
        begin(MOST).expect("begins");
        assert!(jobs.get(begun[0].number).is_err());
        assert!(jobs.get(begun[1].number).is_ok_and(|job| job.status().has_ended()));
        assert!(jobs.shown().len() == 1, "what somebody waited for is not shown any more");
    }
}
