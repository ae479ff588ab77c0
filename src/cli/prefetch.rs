//! `drivemount prefetch`: content on this machine before somebody needs it.

mod shown;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgAction;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::SignalKind;

pub(super) use self::shown::lines;
use super::bars::{self, Fetching};
use super::output::{complain, count, files, plain, say};
use super::target::{self, Target};
use super::{Exit, Failure, received, small_runtime};
use crate::clock::Instant;
use crate::config::Bytes;
use crate::control::{Amount, Client, Job, Paths, PrefetchStatus, TOLD, ToFetch};
use crate::mount::mountpoint;

/// How often it is looked how far it is; what is done sooner is looked at sooner.
const LOOK: Duration = Duration::from_millis(200);
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// Fetch files, and all files in folders, into the cache: reading them takes no network then
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how"))]
pub(super) struct Args {
    /// Files and folders in a mount, or in several; what is named first goes first. With --stop, it may be left out
    #[arg(required_unless_present = "stop", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Wait until all of it is here, which is what it does anyway; Ctrl-C ends it
    #[arg(long, group = "how", action = ArgAction::SetTrue)]
    wait: bool,
    /// Return as soon as it is known what there is to fetch; the mount fetches it, and `status` shows how far it is
    #[arg(long, group = "how")]
    background: bool,
    /// Drop what is cached of them instead; what is open, or not on the drive yet, is kept
    #[arg(long, group = "how")]
    evict: bool,
    /// End what fetches anything at or below them instead; what is here stays
    #[arg(long, group = "how")]
    stop: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mounts = mounts(&args.paths)?;
    let runtime = small_runtime()?;
    if args.stop {
        return runtime.block_on(stop(&mounts));
    }
    if args.evict {
        return runtime.block_on(evict(&mounts));
    }
    runtime.block_on(fetch(mounts, args.background))
}

/// A mount, and what is meant in it.
struct Mount {
    client: Client,
    paths: Vec<String>,
}

impl Mount {
    /// A path below it as a person knows it.
    fn place(&self, path: &str) -> String {
        place(self.client.mountpoint(), path)
    }
}

fn place(mountpoint: &Path, path: &str) -> String {
    let place = if path.is_empty() { mountpoint.to_owned() } else { mountpoint.join(path) };
    place.display().to_string()
}

/// The mounts of some places, in the order in which they are named; without any, the only mount.
fn mounts(paths: &[PathBuf]) -> Result<Vec<Mount>, Failure> {
    let mut mounts: Vec<Mount> = Vec::new();
    let targets = match paths {
        [] => vec![target::find(None)?],
        paths => paths.iter().map(|path| target::find(Some(path))).collect::<Result<_, _>>()?,
    };
    for Target { client, path } in targets {
        match mounts.iter_mut().find(|mount| mount.client.mountpoint() == client.mountpoint()) {
            Some(mount) => mount.paths.push(path),
            None => mounts.push(Mount { client, paths: vec![path] }),
        }
    }
    Ok(mounts)
}

async fn stop(mounts: &[Mount]) -> Result<Exit, Failure> {
    let mut stopped = 0;
    for mount in mounts {
        stopped += mount.client.stop_prefetch(&Paths { paths: mount.paths.clone() }).await?;
    }
    say(&match stopped {
        0 => "nothing of that was being fetched".to_owned(),
        stopped => format!("stopped {}; what is here stays", count(stopped, "prefetch", "prefetches")),
    });
    Ok(Exit::Success)
}

async fn evict(mounts: &[Mount]) -> Result<Exit, Failure> {
    let mut exit = Exit::Success;
    let [mut dropped, mut unsent, mut in_use] = [Amount::default(); 3];
    for mount in mounts {
        let evicted = mount.client.evict(&Paths { paths: mount.paths.clone() }).await?;
        dropped = dropped.plus(evicted.dropped);
        unsent = unsent.plus(evicted.unsent);
        in_use = in_use.plus(evicted.in_use);
        for (path, why) in evicted.failures {
            complain(&plain(&format!("not dropped: {}: {why}", mount.place(&path))));
            exit = Exit::Failure;
        }
    }
    say(&match dropped.files {
        0 => "nothing was cached that could be dropped".to_owned(),
        _ => format!("freed {}: what was cached of {}", Bytes(dropped.bytes), files(dropped.files)),
    });
    for (kept, why) in [(unsent, "not on the drive yet"), (in_use, "open, or being fetched")] {
        if kept.files > 0 {
            complain(&format!("kept {}, {}: {why}", files(kept.files), Bytes(kept.bytes)));
        }
    }
    Ok(exit)
}

/// Jobs that were begun for a command, each with how it fares.
struct Begun {
    jobs: Vec<(Mount, PrefetchStatus)>,
    since: Instant,
}

async fn fetch(mounts: Vec<Mount>, background: bool) -> Result<Exit, Failure> {
    let mut begun = Begun { jobs: Vec::new(), since: Instant::now() };
    for mount in mounts {
        let wanted = ToFetch { paths: mount.paths.clone(), background };
        match mount.client.prefetch(&wanted).await {
            Ok(status) => begun.jobs.push((mount, status)),
            Err(error) => {
                begun.leave().await;
                return Err(error.into());
            }
        }
    }
    let bar = bar();
    let followed = tokio::select! {
        followed = begun.follow(&bar, background) => Some(followed),
        () = told_to_end() => None,
    };
    bar.finish_and_clear();
    match followed {
        Some(Ok(())) if background => Ok(begun.begun_in_background()),
        Some(Ok(())) => Ok(begun.summary()),
        Some(Err(failure)) => Err(failure),
        None => {
            begun.leave().await;
            begun.given_up();
            Ok(Exit::Failure)
        }
    }
}

/// Waits for who does not want to wait. Who closes a terminal does not say so.
async fn told_to_end() {
    received(&[SignalKind::interrupt(), SignalKind::terminate()]).await;
}

impl Begun {
    /// Looks until all have ended, or (`until_known`) all that there is to fetch is known.
    async fn follow(&mut self, bar: &ProgressBar, until_known: bool) -> Result<(), Failure> {
        let mut fetching = Fetching::default();
        let mut is_known = false;
        loop {
            if !is_known && self.statuses().all(|status| status.state != "finding") {
                is_known = true;
                bar.suspend(|| self.say_what_does_not_fit());
            }
            if self.statuses().all(PrefetchStatus::has_ended) || is_known && until_known {
                return Ok(());
            }
            let width = bars::columns().saturating_sub(1);
            bar.set_message(fetching.look(self.statuses(), width));
            bar.tick();
            tokio::time::sleep(LOOK.min(FIRST_LOOK + self.since.elapsed() / 4)).await;
            for (mount, status) in self.jobs.iter_mut().filter(|(_, status)| !status.has_ended()) {
                let joined = status.joined;
                let now = mount.client.prefetching(Job { job: status.job }).await;
                let now = now.map_err(|error| match mountpoint::mount_at(mount.client.mountpoint()) {
                    Some(_) => Failure::from(error),
                    None => {
                        Failure::new(Exit::Failure, format!("{} was unmounted; what is here stays", mount.place("")))
                    }
                })?;
                *status = PrefetchStatus { joined, ..now };
            }
        }
    }

    fn statuses(&self) -> impl Iterator<Item = &PrefetchStatus> {
        self.jobs.iter().map(|(_, status)| status)
    }

    fn sum(&self, of: impl Fn(&PrefetchStatus) -> Amount) -> Amount {
        self.statuses().fold(Amount::default(), |sum, status| sum.plus(of(status)))
    }

    fn say_what_does_not_fit(&self) {
        for (mount, status) in self.jobs.iter().filter(|(_, status)| status.unfit().files > 0) {
            let (fits, wanted) = (status.fits, status.wanted);
            let room = status.room.as_deref().unwrap_or("unknown");
            let of = if self.jobs.len() > 1 { format!(" of {}", mount.place("")) } else { String::new() };
            complain(&plain(&format!(
                "{} of {} ({} of {}) fit into the cache{of} ({room}); give it more with --cache-size, or give fewer paths",
                fits.files,
                files(wanted.files),
                Bytes(fits.bytes),
                Bytes(wanted.bytes),
            )));
        }
    }

    /// Says what could not be had. Whether that is anything.
    fn complain_of_failures(&self) -> bool {
        let mut shown = 0;
        for (mount, status) in &self.jobs {
            for (path, why) in status.failures.iter().take(TOLD.saturating_sub(shown)) {
                complain(&plain(&format!("not fetched: {}: {why}", mount.place(path))));
                shown += 1;
            }
        }
        let failed: u64 = self.statuses().map(|status| status.failed).sum();
        let more = failed.saturating_sub(shown as u64);
        if more > 0 {
            complain(&format!("and {more} more"));
        }
        failed > 0
    }

    fn exit(&self, failed: bool) -> Exit {
        let all_fits = self.sum(PrefetchStatus::unfit).files == 0;
        let none_stopped = self.statuses().all(|status| status.state != "stopped");
        if !failed && all_fits && none_stopped { Exit::Success } else { Exit::Failure }
    }

    /// Says what is being done by the mounts, whatever becomes of this command.
    fn begun_in_background(&self) -> Exit {
        let (fits, here) = (self.sum(|status| status.fits), self.sum(|status| status.here));
        let left = fits.minus(self.sum(|status| status.were_here));
        let again = if self.statuses().all(|status| status.joined) { " already" } else { "" };
        if left.files == 0 {
            say(&format!("all of that is here: {}, {}{}", files(fits.files), Bytes(here.bytes), self.skipped()));
        } else {
            let were_here = match fits.files - left.files {
                0 => String::new(),
                here => format!(
                    " ({} here already)",
                    if here == 1 { "1 more is".to_owned() } else { format!("{here} more are") }
                ),
            };
            say(&format!(
                "fetching {}, {}{were_here} in the background{again}{}; `drivemount status` shows how far it is, \
                 `drivemount prefetch --stop PATH` ends it",
                files(left.files),
                Bytes(left.bytes),
                self.skipped()
            ));
        }
        self.exit(self.complain_of_failures())
    }

    fn skipped(&self) -> String {
        match self.statuses().map(|status| status.documents).sum::<u64>() {
            0 => String::new(),
            documents => {
                let documents = usize::try_from(documents).unwrap_or(usize::MAX);
                format!("; skipped {}", count(documents, "document", "documents"))
            }
        }
    }

    /// Says how it went.
    fn summary(&self) -> Exit {
        let here = self.sum(|status| status.here);
        let rate: u64 = self.statuses().map(|status| status.bytes_per_second).sum();
        let took = self.since.elapsed();
        let time =
            if took.as_secs() == 0 { format!("{} ms", took.as_millis()) } else { HumanDuration(took).to_string() };
        let rate = if rate > 0 { format!(" ({}/s)", Bytes(rate)) } else { String::new() };
        let before = match self.sum(|status| status.were_here).files {
            0 => String::new(),
            all if all == here.files => "; all of them were here already".to_owned(),
            some => format!("; {some} of them were here already"),
        };
        say(&format!("{}, {}, in {time}{rate}{before}{}", files(here.files), Bytes(here.bytes), self.skipped()));
        for (mount, status) in self.jobs.iter().filter(|(_, status)| status.state == "stopped") {
            let why = status.reason.as_deref().unwrap_or("it was asked to");
            complain(&plain(&format!("stopped at {}: {why}", mount.place(""))));
        }
        self.exit(self.complain_of_failures())
    }

    /// Nobody waits any more.
    async fn leave(&mut self) {
        for (mount, status) in &mut self.jobs {
            if let Ok(now) = mount.client.leave_prefetch(Job { job: status.job }).await {
                *status = now;
            }
        }
    }

    fn given_up(&self) {
        let (here, fits) = (self.sum(|status| status.here), self.sum(|status| status.fits));
        let so_far = format!("{} of {} are here", here.files, files(fits.files));
        if self.statuses().all(|status| status.state == "stopped") {
            complain(&format!("stopped: {so_far}; the same command goes on from there"));
        } else {
            complain(&format!("not waiting any longer: {so_far}, and it goes on, since others want it too"));
        }
    }
}

/// A line of a terminal, or nothing.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}
