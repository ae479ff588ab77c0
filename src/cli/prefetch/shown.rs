//! What `status` says of what is fetched ahead.

use super::super::bars::{left_time, part_of};
use super::super::output::files;
use crate::config::Bytes;
use crate::control::{PrefetchStatus, Status};

/// A line for each job.
pub(in super::super) fn lines(status: &Status) -> Vec<String> {
    status.prefetches.iter().map(|job| format!("prefetch  {}: {}", name(job), parts(job).join("; "))).collect()
}

fn name(job: &PrefetchStatus) -> String {
    let first = job.paths.first().map(String::as_str).filter(|path| !path.is_empty()).unwrap_or("all of it");
    if job.paths.len() > 1 { format!("{first} and {} more", job.paths.len() - 1) } else { first.to_owned() }
}

/// How far it is, and what is not as it should be.
fn parts(job: &PrefetchStatus) -> Vec<String> {
    let (here, fits, unfit) = (job.here, job.fits, job.unfit());
    let so_far = format!("{} of {}, {}", here.files, files(fits.files), part_of(here.bytes, fits.bytes));
    let mut parts = vec![match job.state.as_str() {
        "finding" => format!("looking for files, {} so far", job.wanted.files),
        "fetching" => {
            let left = left_time(fits.bytes.saturating_sub(here.bytes), job.bytes_per_second, " left");
            format!("{so_far}, {}/s{left}", Bytes(job.bytes_per_second))
        }
        "done" if here == fits => format!("done, {}, {}", files(fits.files), Bytes(fits.bytes)),
        state => format!("{state}, {so_far}"),
    }];
    parts.extend(job.reason.clone());
    if unfit.files > 0 {
        parts.push(format!("{}, {} do not fit into the cache", files(unfit.files), Bytes(unfit.bytes)));
    }
    if let Some((path, why)) = job.failures.first() {
        let more = if job.failed > 1 { format!(" and {} more", job.failed - 1) } else { String::new() };
        parts.push(format!("not fetched: {path}{more}: {why}"));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Amount;

    #[test]
    fn each_job_has_a_line_that_says_what_is_missing_and_why() {
        let amount = |files, bytes| Amount { files, bytes };
        let mut job = PrefetchStatus {
            paths: vec!["data".to_owned(), "more".to_owned()],
            state: "fetching".to_owned(),
            wanted: amount(10, 10 << 20),
            fits: amount(8, 8 << 20),
            here: amount(1, 2 << 20),
            bytes_per_second: 1 << 20,
            ..PrefetchStatus::default()
        };
        let line = |job: &PrefetchStatus| format!("{}: {}", name(job), parts(job).join("; "));
        assert_eq!(
            line(&job),
            "data and 1 more: 1 of 8 files, 2 of 8 MiB, 1 MiB/s  6 s left; 2 files, 2 MiB do not fit into the cache"
        );
        (job.state, job.reason) = ("waiting".to_owned(), Some("drive not reachable".to_owned()));
        assert!(
            line(&job).starts_with("data and 1 more: waiting, 1 of 8 files, 2 of 8 MiB; drive not reachable; 2 files")
        );
        job = PrefetchStatus { paths: vec![String::new()], state: "done".to_owned(), fits: job.fits, ..job };
        (job.wanted, job.here, job.reason) = (job.fits, job.fits, None);
        assert_eq!(line(&job), "all of it: done, 8 files, 8 MiB");
        (job.here.files, job.failed, job.failures) = (5, 3, vec![("a".to_owned(), "no permission".to_owned())]);
        assert_eq!(line(&job), "all of it: done, 5 of 8 files, 8 of 8 MiB; not fetched: a and 2 more: no permission");
    }
}
