//! The part of a mount that runs in the background.
//!
//! `drivemount mount` starts this same program again as `drivemount daemon`, gives it the settings on its standard input (so that
//! no secret stands in the list of processes), and waits until it says on its standard output that the mount can be used, or
//! why not. If it ends before that, so does the daemon. After that the two have nothing to do with each other.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::output::{complain, left_lines, say};
use super::{Exit, Failure, log, mount};
use crate::book;
use crate::config::{Keeper, MountConfig, SECRET_VARIABLES};
use crate::control::Left;
use crate::mount::{self as life, FailureSort, Kept, MountError, Ready};
use crate::{keeper, state, sys};

/// Run a mount in the background; started by `drivemount mount`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it is mounted, for people who look at the list of processes
    mountpoint: PathBuf,
    /// Keep the mount for workers; the descriptor of a file with the settings
    #[arg(long, value_name = "NUMBER")]
    keep: Option<i32>,
    /// Be the worker of a mount that is kept: the descriptors of what was handed over
    #[arg(long, value_name = "NUMBERS", conflicts_with = "keep")]
    kept: Option<String>,
    /// Log to the terminal, and say there what somebody wants to know who watches
    #[arg(long, requires = "kept")]
    foreground: bool,
    /// Only say by the exit code whether a mount can be taken over; the descriptor of its book
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["keep", "kept"])]
    can_take_over: Option<i32>,
}

/// What the daemon says when it has started.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Ready(Ready),
    Failed { sort: FailureSort, message: String },
}

/// Starts the daemon, and waits until its mount can be used.
pub(super) fn spawn(config: &MountConfig) -> Result<Ready, Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Failure, format!("{what}: {error}"));
    let program = std::env::current_exe().map_err(|error| failed("this program is not to be found", &error))?;
    let settings = serde_json::to_vec(config).map_err(|error| failed("settings", &error))?;
    let mut daemon = Command::new(program);
    daemon.arg("daemon").arg(&config.mountpoint).current_dir("/");
    let kept = to_keep(config, &settings).map_err(|error| failed("settings", &error))?;
    // The settings have them already.
    for secret in SECRET_VARIABLES {
        daemon.env_remove(secret);
    }
    // Whose service this runs in is another's: the mount is not that service.
    daemon.env_remove(life::NOTIFY_SOCKET);
    daemon.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Somebody may wait for the lock, or for the end of the pipe, that the caller left open.
    sys::keep_files_from_children().map_err(|error| failed("open files cannot be listed", &error))?;
    if let Some(kept) = &kept {
        daemon.args(["--keep", &kept.as_raw_fd().to_string()]);
        sys::give(&mut daemon, vec![kept.as_raw_fd()]);
    }
    let mut daemon = daemon.spawn().map_err(|error| failed("the daemon cannot be started", &error))?;
    // Stays open until the report is there: by its end the daemon knows that nobody waits any more.
    let mut input = daemon.stdin.take();
    if let Some(input) = input.as_mut().filter(|_| kept.is_none()) {
        // If it died already, the missing report tells.
        let _broken = input.write_all(&settings).and_then(|()| input.write_all(b"\n"));
    }
    let mut report = String::new();
    if let Some(output) = daemon.stdout.take() {
        let read = BufReader::new(output).read_line(&mut report);
        read.map_err(|error| failed("the daemon does not answer", &error))?;
    }
    match serde_json::from_str(&report) {
        Ok(Report::Ready(ready)) => Ok(ready),
        Ok(Report::Failed { sort, message }) => Err(Failure::new(sort.into(), message)),
        Err(_) => {
            let status = daemon.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let log = config.log_file();
            Err(Failure::new(
                Exit::Failure,
                format!("the daemon ended before the mount was ready ({status}); see {}", log.display()),
            ))
        }
    }
}

/// The settings in a file that is handed on unread, if the mount is to be kept by a process that outlives its daemon: only who may mount
/// by itself can do that.
fn to_keep(config: &MountConfig, settings: &[u8]) -> io::Result<Option<File>> {
    if config.keeper == Keeper::Never || !sys::may_mount() {
        return Ok(None);
    }
    let file = sys::memory_file("drivemount-settings")?;
    (&file).write_all(settings)?;
    Ok(Some(file))
}

/// Mounts, logs to the terminal, and ends with the mount. This process keeps the mount, or else it is the daemon itself.
pub(super) fn foreground(config: MountConfig) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, format!("settings: {error}"));
    let settings = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
    if let Some(settings) = to_keep(&config, &settings).map_err(|error| failed(&error))? {
        let place = config.mountpoint.clone();
        let kept = keeper::keep(keeper::Keeper { settings, place, foreground: true, hidden: &SECRET_VARIABLES });
        let code = kept.map_err(|error| Failure::new(Exit::Failure, format!("the mount cannot be kept: {error}")))?;
        return Ok(Exit::of_code(code));
    }
    in_sight(config, None)
}

/// A daemon that logs to the terminal.
fn in_sight(config: MountConfig, kept: Option<Kept>) -> Result<Exit, Failure> {
    let shown = config.clone();
    let follows = kept.as_ref().is_some_and(Kept::follows);
    let ready = |ready: &Ready| {
        if !follows {
            say(&mount::banner(ready, &shown));
        }
    };
    let result = log::to_terminal(&config).and_then(|()| run_to_end(life::run(config, kept, ready)));
    let left = result.map_err(|error| Failure::new(error.sort().into(), error.to_string()))?;
    if left.entries == 0 {
        return Ok(Exit::Success);
    }
    complain(&format!("{}\nIt is kept on this machine: mount the same drive again and it is sent.", left_lines(&left)));
    Ok(Exit::Unsent)
}

/// Runs a mount to its end. Does not wait for its threads then: one that serves a file which somebody still has open ends only
/// with the process.
fn run_to_end(life: impl Future<Output = Result<Left, MountError>>) -> Result<Left, MountError> {
    sys::close_to_others();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| MountError::System { what: "starting threads", source })?;
    let result = runtime.block_on(life);
    runtime.shutdown_background();
    result
}

/// The daemon itself.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(number) = args.can_take_over {
        let can = sys::inherited(number).is_ok_and(|book| book::can_be_read(&book.into(), state::FORMAT));
        return Ok(if can { Exit::Success } else { Exit::Failure });
    }
    if let Some(number) = args.keep {
        return Ok(keep(args, number));
    }
    let kept = args.kept.as_deref().map(|numbers| Kept::of_arguments(numbers, args.foreground)).transpose();
    let kept = kept.map_err(|error| Failure::new(Exit::Usage, format!("this is started by a keeper ({error})")))?;
    let settings = if let Some(kept) = &kept {
        kept.settings()
    } else {
        let mut settings = Vec::new();
        io::stdin().lock().take(1 << 20).read_until(b'\n', &mut settings).map(|_| settings)
    };
    let config: Option<MountConfig> = settings.as_ref().ok().and_then(|settings| serde_json::from_slice(settings).ok());
    let Some(config) = config else {
        return Err(Failure::new(Exit::Usage, "this is started by `drivemount mount`, which gives it its settings"));
    };
    drop(settings);
    if args.foreground {
        // Its signals come by way of the keeper, whose terminal it may write to.
        sys::ignore(libc::SIGTTOU);
        return in_sight(config, kept);
    }
    if let Err(error) = sys::leave_terminal() {
        tracing::debug!(%error, "already its own session");
    }
    // Nobody waits for one that follows another.
    let follows = kept.as_ref().is_some_and(Kept::follows);
    let outcome = log::to_file(&config).and_then(|()| {
        let started = Cell::new(false);
        run_to_end(async {
            tokio::select! {
                outcome = life::run(config, kept, |ready| {
                    started.set(true);
                    report(&Report::Ready(ready.clone()));
                }) => outcome,
                // A mount that comes up when nobody waits for it any more would be a surprise.
                () = alone(&started), if !follows => Err(MountError::Abandoned),
            }
        })
    });
    match outcome {
        Ok(left) if left.entries == 0 => Ok(Exit::Success),
        Ok(_) => Ok(Exit::Unsent),
        Err(error) => {
            tracing::error!(%error, "not mounted");
            report(&Report::Failed { sort: error.sort(), message: error.to_string() });
            Ok(error.sort().into())
        }
    }
}

/// Keeps a mount, until it ends.
fn keep(args: &Args, number: i32) -> Exit {
    if let Err(error) = sys::leave_terminal() {
        tracing::debug!(%error, "already its own session");
    }
    let kept = sys::inherited(number).and_then(|settings| {
        let (settings, place) = (settings.into(), args.mountpoint.clone());
        keeper::keep(keeper::Keeper { settings, place, foreground: false, hidden: &[] })
    });
    match kept {
        Ok(code) => Exit::of_code(code),
        Err(error) => {
            report(&Report::Failed { sort: FailureSort::Other, message: format!("the mount cannot be kept: {error}") });
            Exit::Failure
        }
    }
}

/// Waits until whoever started this process ended before the mount was ready.
async fn alone(started: &Cell<bool>) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let watch = move || {
        let _end = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ended = tell.send(());
    };
    let watching = std::thread::Builder::new().name("starter".to_owned()).spawn(watch);
    if watching.is_err() || told.await.is_err() || started.get() {
        std::future::pending::<()>().await;
    }
}

fn report(report: &Report) {
    let mut output = io::stdout().lock();
    // Whoever started us may be gone; the mount is none the worse.
    if let Ok(line) = serde_json::to_string(report) {
        let _gone = writeln!(output, "{line}").and_then(|()| output.flush());
    }
}
