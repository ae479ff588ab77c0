//! The command line: one file a command, no logic but arguments, output and exit code.

// They panic when nobody reads: `output` has what does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod accounts;
mod arguments;
mod ask;
mod bars;
mod cache;
mod completions;
mod copy_in;
mod daemon;
mod demo;
mod doctor;
mod flush;
mod helper;
mod kept;
mod list;
mod log;
mod login;
mod logout;
mod logs;
mod man;
mod model;
mod mount;
mod output;
mod prefetch;
mod reference;
mod refresh;
mod serve;
mod settings;
mod status;
mod stored;
mod target;
mod trash;
mod unmount;
mod upgrade_restart;
mod watch;

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

use self::helper::Call;
use self::settings::Settings;
use crate::control::ClientError;
use crate::mount::{FailureSort, mountpoint};

/// Mount your cloud drive at /content/drive on any Linux runtime.
#[derive(Debug, Parser)]
#[command(name = "drivemount", version, propagate_version = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Try it without an account:\n  drivemount demo --at /content/drive\n\n\
                          Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 sign-in required, 4 cannot be mounted here,\n\
                          5 done but not everything is on the drive yet, 6 cache or data folder unusable, 7 drive not reachable";

#[derive(Debug, Subcommand)]
enum Command {
    Mount(Box<mount::Args>),
    #[command(visible_alias = "umount")]
    Unmount(unmount::Args),
    Flush(flush::Args),
    Status(status::Args),
    Login(login::Args),
    Logout(logout::Args),
    Accounts(accounts::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Refresh(refresh::Args),
    Prefetch(prefetch::Args),
    Cache(cache::Args),
    Trash(trash::Args),
    Logs(logs::Args),
    UpgradeRestart(upgrade_restart::Args),
    Demo(demo::Args),
    Serve(serve::Args),
    Doctor(Box<doctor::Args>),
    Completions(completions::Args),
    Man(man::Args),
    /// Print the version
    Version,
    #[command(hide = true)]
    Reference(reference::Args),
    #[command(hide = true)]
    Ask(ask::Args),
    /// The part of a mount that runs in the background; reads its settings from standard input
    #[command(hide = true)]
    Daemon(daemon::Args),
    /// The part of a mount that copies what its folder held; reads what to copy from standard input
    #[command(hide = true)]
    CopyIn,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match run(std::env::args_os().collect()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::complain(&output::plain(&format!("drivemount: {failure}")));
            failure.exit.into()
        }
    }
}

fn run(line: Vec<OsString>) -> Result<Exit, Failure> {
    let line = match helper::read(line)? {
        Call::Line(line) => line,
        Call::Nothing => return Ok(Exit::Success),
    };
    let settings = match Settings::of(&line) {
        // What is wrong with the file is one of its answers.
        Err(_) if line.get(1).is_some_and(|command| command == "doctor") => Settings::default(),
        settings => settings?,
    };
    let cli: Cli = arguments::parse(&line, &settings);
    match cli.command {
        Command::Mount(args) => mount::run(*args),
        Command::Unmount(args) => unmount::run(&args),
        Command::Flush(args) => flush::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Logout(args) => logout::run(&args),
        Command::Accounts(args) => accounts::run(&args),
        Command::List(args) => list::run(&args),
        Command::Refresh(args) => refresh::run(&args),
        Command::Prefetch(args) => prefetch::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Trash(args) => trash::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::UpgradeRestart(args) => upgrade_restart::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Doctor(args) => doctor::run(*args, &line),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Version => {
            output::say(&format!("drivemount {}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Success)
        }
        Command::Reference(args) => reference::run(&args),
        Command::Ask(args) => ask::run(&args),
        Command::Daemon(args) => daemon::run(&args),
        Command::CopyIn => copy_in::run(),
    }
}

/// What the exit code of a command tells a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// Failed for a reason without a code of its own.
    Failure = 1,
    /// Wrong arguments (the code that `clap` uses).
    Usage = 2,
    /// Nobody is signed in, or the token was refused.
    SignIn = 3,
    /// It cannot be mounted here: the mountpoint, or the kernel, or the rights.
    CannotMount = 4,
    /// Done, but not everything is on the drive yet.
    Unsent = 5,
    /// The cache folder cannot be used: unreadable, in use, of another account or of a newer version. So is the data folder of an
    /// embedded drive.
    Cache = 6,
    /// The drive cannot be reached.
    Unreachable = 7,
}

impl Exit {
    /// The exit that another process of this program told by its code.
    fn of_code(code: u8) -> Self {
        let all = [
            Self::Success,
            Self::Failure,
            Self::Usage,
            Self::SignIn,
            Self::CannotMount,
            Self::Unsent,
            Self::Cache,
            Self::Unreachable,
        ];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Self::Failure)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<FailureSort> for Exit {
    fn from(sort: FailureSort) -> Self {
        match sort {
            FailureSort::SignIn => Self::SignIn,
            FailureSort::CannotMount => Self::CannotMount,
            FailureSort::Cache => Self::Cache,
            FailureSort::Unreachable => Self::Unreachable,
            FailureSort::Other => Self::Failure,
        }
    }
}

/// Why a command failed: a sentence that says what to do, and the exit code.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = match &error {
            // The mount cannot tell any more what it had not sent; its folder can.
            ClientError::Dead { path } => kept::told(path).map(|left| {
                let word = mountpoint::word(path);
                format!(
                    "the daemon of {} is gone; {left}. `drivemount unmount {word}` only removes the dead mount",
                    path.display()
                )
            }),
            _ => None,
        };
        Self::new(Exit::Failure, message.unwrap_or_else(|| error.to_string()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Waits for the first of these signals. One that cannot be heeded does what it does by itself.
async fn received(kinds: &[SignalKind]) {
    let one = |&kind: &SignalKind| {
        async move {
            match signal(kind) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    };
    select_all(kinds.iter().map(one)).await;
}

/// A runtime for a command that asks a daemon something.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failure, format!("cannot start: {error}")))
}
