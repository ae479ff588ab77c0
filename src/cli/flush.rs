//! `drivemount flush`: waits until everything is on the drive.

use std::path::PathBuf;
use std::time::Duration;

use super::output::{below, complain, left_lines, say, watch_unsent};
use super::{Exit, Failure, small_runtime, target};
use crate::config::parse_duration;
use crate::control::Scope;

/// Wait until what was saved is on the drive; the mount stays as it is
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file or folder in the mount, or the mountpoint; without it, all of the only mount
    path: Option<PathBuf>,
    /// Give up waiting after this time (30s, 5m); what is left is still sent
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = target::find_within(args.path.as_deref(), args.timeout)?;
    small_runtime()?.block_on(async {
        let timeout_millis = args.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let scope = Scope { path: target.path.clone(), timeout_millis };
        let flush = watch_unsent(&target, "sending", target.client.flush(&scope));
        let timeout = args.timeout.unwrap_or(Duration::MAX);
        let left = match tokio::time::timeout(timeout, flush).await {
            Ok(left) => left?,
            Err(_) => match below(&target.path, target.client.status().await?.unsent) {
                left if left.entries > 0 => left,
                _ => {
                    complain("not known yet whether the drive has everything: it did not answer in time");
                    return Ok(Exit::Unsent);
                }
            },
        };
        if left.entries == 0 {
            say("everything is on the drive");
            return Ok(Exit::Success);
        }
        complain(&format!("{}\nIt is kept on this machine, and sent as soon as that is possible.", left_lines(&left)));
        Ok(Exit::Unsent)
    })
}
