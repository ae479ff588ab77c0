//! `drivemount flush`: waits until everything is on the drive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{complain, left_lines, say, watch_unsent};
use super::{Exit, Failure, small_runtime, target};
use crate::config::parse_duration;
use crate::control::{Left, Scope, Unsent};

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
        let scope = Scope { path: target.path.clone() };
        let flush = watch_unsent(&target.client, "sending", target.client.flush(&scope));
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

/// Of what is not on the drive, that which lies at or below a path in the mount.
pub(super) fn below(path: &str, unsent: Unsent) -> Left {
    // The root has more names than one; `status` says none of them.
    let path = ["MyDrive", "My Drive"]
        .iter()
        .find_map(|alias| Path::new(path).strip_prefix(alias).ok())
        .unwrap_or(Path::new(path));
    if path.as_os_str().is_empty() {
        return Left { items: unsent.items, entries: unsent.entries, bytes: unsent.bytes };
    }
    let items: Vec<_> = unsent.items.into_iter().filter(|item| Path::new(&item.path).starts_with(path)).collect();
    let bytes = items.iter().map(|item| item.bytes.saturating_sub(item.sent)).sum();
    Left { entries: items.len(), bytes, items }
}
