//! What is shown while content is fetched before somebody reads it.

use std::time::Duration;

use super::super::output::{files, plain};
use super::{Rate, cut, line};
use crate::clock::Instant;
use crate::config::Bytes;
use crate::control::{Amount, PrefetchStatus};

/// Rates are of so much time at least.
const SPAN: Duration = Duration::from_millis(500);

/// How far it is.
#[derive(Debug, Default)]
pub(in super::super) struct Fetching {
    rate: Rate,
    looked: Option<Instant>,
}

impl Fetching {
    /// Takes in how jobs fare that are shown as one, and says how to show that in so many columns.
    pub(in super::super) fn look<'a>(
        &mut self,
        jobs: impl Iterator<Item = &'a PrefetchStatus>,
        width: usize,
    ) -> String {
        let [mut fits, mut here, mut wanted] = [Amount::default(); 3];
        let (mut is_finding, mut reason) = (false, None);
        for job in jobs {
            (fits, here, wanted) = (fits.plus(job.fits), here.plus(job.here), wanted.plus(job.wanted));
            is_finding |= job.state == "finding";
            reason = reason.or(job.reason.as_deref().filter(|_| job.state == "waiting"));
        }
        if is_finding {
            let found = format!("looking for files: {}, {} so far", files(wanted.files), Bytes(wanted.bytes));
            return cut(&found, width);
        }
        let passed = self.looked.map(|at| at.elapsed());
        if passed.is_none_or(|passed| passed >= SPAN) {
            self.rate.look(here.bytes, passed);
            self.looked = Some(Instant::now());
        }
        let so_far = format!("{} of {}", here.files, files(fits.files));
        match reason {
            Some(reason) => {
                let words = format!("waiting to try again: {so_far} are here ({}) (Ctrl-C ends it)", plain(reason));
                cut(&words, width)
            }
            None => line(width, here.bytes, fits.bytes, self.rate.get(), &so_far),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: &str) -> PrefetchStatus {
        let (fits, here) = (Amount { files: 2000, bytes: 40 << 20 }, Amount { files: 500, bytes: 10 << 20 });
        PrefetchStatus { state: state.to_owned(), fits, here, wanted: fits, ..PrefetchStatus::default() }
    }

    fn shown(job: &PrefetchStatus, width: usize) -> String {
        console::strip_ansi_codes(&Fetching::default().look([job, job].into_iter(), width)).into_owned()
    }

    #[test]
    fn files_bytes_and_what_it_waits_for_are_shown_of_all_jobs_together() {
        assert_eq!(shown(&job("finding"), 60), "looking for files: 4000 files, 80 MiB so far");
        let line = shown(&job("fetching"), 100);
        assert!(
            line.starts_with(" 25 %  20 of 80 MiB  0 B/s  ━━━━━━") && line.ends_with("  1000 of 4000 files"),
            "{line}"
        );
        assert_eq!(shown(&job("fetching"), 40), " 25 %  60 MiB left");
        let mut waiting = job("waiting");
        waiting.reason = Some("drive not\nreachable".to_owned());
        assert!(shown(&waiting, 200).contains("1000 of 4000 files are here (drive not\\nreachable)"));
        for width in [1, 20, 40, 80, 120] {
            assert!(console::measure_text_width(&shown(&waiting, width)) <= width);
        }
    }
}
