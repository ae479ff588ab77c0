//! `drivemount prefetch`: content on this machine before somebody needs it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bars::{self, Rate};
use super::output::{complain, count, plain, say};
use super::{Exit, Failure, small_runtime, target};
use crate::clock::Instant;
use crate::config::Bytes;
use crate::prefetch::{self, Failed, Progress};

/// Files that could not be read, shown one by one.
const SHOWN: usize = 20;

/// How often the bar looks.
const LOOK: Duration = Duration::from_millis(200);

/// Rates are of so much time at least.
const SPAN: Duration = Duration::from_millis(500);

/// Fetch files, and all files in folders, into the cache
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files and folders in a mount
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How many files to fetch at one time
    #[arg(long, short, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    // The smallest of the caches that are meant.
    let mut cap = u64::MAX;
    let runtime = small_runtime()?;
    for path in &args.paths {
        let target = target::find(Some(path))?;
        cap = cap.min(runtime.block_on(target.client.status())?.cache.cap_bytes);
    }
    let jobs = usize::from(args.jobs);
    let began = Instant::now();
    let looking = shown(ProgressBar::new_spinner());
    looking.set_message("looking for files");
    looking.enable_steady_tick(LOOK);
    let found = prefetch::find(&args.paths, jobs);
    looking.finish_and_clear();
    if found.bytes > cap {
        complain(&format!(
            "{} are more than the cache holds ({}): what comes last pushes out what came first. Mount with a larger \
             --cache-size, or give fewer paths",
            Bytes(found.bytes),
            Bytes(cap)
        ));
    }
    let progress = Progress::default();
    let bar = bar();
    let (mut rate, mut looked) = (Rate::default(), None);
    let mut failed = std::thread::scope(|scope| {
        let reading = scope.spawn(|| prefetch::read(&found.files, jobs, &progress));
        while !reading.is_finished() {
            let bytes = progress.bytes.load(Ordering::Relaxed);
            let passed = looked.map(|at: Instant| at.elapsed());
            if passed.is_none_or(|passed| passed >= SPAN) {
                rate.look(bytes, passed);
                looked = Some(Instant::now());
            }
            let files = format!("{} of {} files", progress.files.load(Ordering::Relaxed), found.files.len());
            let width = bars::columns().saturating_sub(1);
            bar.set_message(bars::line(width, bytes, found.bytes, rate.get(), &files));
            bar.tick();
            std::thread::sleep(LOOK.min(Duration::from_millis(20) + began.elapsed() / 4));
        }
        reading.join().unwrap_or_default()
    });
    bar.finish_and_clear();
    failed.extend(found.failed);
    summary(&progress, found.documents, began.elapsed());
    complain_of(&failed);
    Ok(if failed.is_empty() { Exit::Success } else { Exit::Failure })
}

fn shown(bar: ProgressBar) -> ProgressBar {
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

fn bar() -> ProgressBar {
    let bar = shown(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

fn summary(progress: &Progress, documents: usize, took: Duration) {
    let (files, bytes) = (progress.files.load(Ordering::Relaxed), progress.bytes.load(Ordering::Relaxed));
    let millis = took.as_millis().max(1);
    let rate = u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX);
    let skipped = match documents {
        0 => String::new(),
        documents => format!("; skipped {}", count(documents, "document", "documents")),
    };
    let time = if millis < 1000 { format!("{millis} ms") } else { HumanDuration(took).to_string() };
    say(&format!("{}, {}, in {time} ({}/s){skipped}", count(files, "file", "files"), Bytes(bytes), Bytes(rate)));
}

fn complain_of(failed: &[Failed]) {
    for failed in failed.iter().take(SHOWN) {
        complain(&plain(&format!("not fetched: {}: {}", failed.path.display(), failed.why)));
    }
    if failed.len() > SHOWN {
        complain(&format!("and {} more", failed.len() - SHOWN));
    }
}
