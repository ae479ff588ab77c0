//! `drivemount refresh`: what is new on the drive, now.

use std::path::PathBuf;

use super::output::{count, plain, say, with_spinner};
use super::{Exit, Failure, small_runtime, target};
use crate::control::Scope;

/// Ask the drive for changes now, and try again at once what could not be sent
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file or folder in the mount that must be there then, or the mountpoint; without it, the only mount
    path: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = target::find(args.path.as_deref())?;
    let scope = Scope { path: target.path.clone(), timeout_millis: None };
    let refreshed = small_runtime()?.block_on(with_spinner("asking the drive", target.client.refresh(&scope)))?;
    let again = match refreshed.retried {
        0 => String::new(),
        retried => format!("; {} that could not be sent before: trying again now", count(retried, "entry", "entries")),
    };
    say(&plain(&format!("{} is up to date with the drive{again}", target.client.mountpoint().display())));
    Ok(Exit::Success)
}
