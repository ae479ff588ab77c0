//! The command line: one file a command, no logic but arguments, output and exit code.

mod serve;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mount your cloud drive at /content/drive on any Linux runtime.
#[derive(Debug, Parser)]
#[command(name = "drivemount", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(args) => serve::run(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("drivemount: {failure}");
            failure.exit.into()
        }
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
    /// The cache folder cannot be used: unreadable, in use, of another account or of a newer version.
    Cache = 6,
    /// The drive cannot be reached.
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
