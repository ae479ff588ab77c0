//! The mounts of this machine that are ours.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::apart::{Ask, ask};
use super::{Check, LOCAL};
use crate::config::Bytes;
use crate::control::{Client, ClientError, Status};
use crate::mount::mountpoint::{self, MountLine};
use crate::sys;

/// How long a mount may take to say how it fares.
const ANSWER: Duration = Duration::from_secs(3);

/// One check for each.
pub(super) fn look() -> Vec<Check> {
    let table = match mountpoint::mounts() {
        Ok(table) => table,
        Err(error) => {
            let fix = "mount /proc, which tells what is mounted";
            return vec![Check::warning("mounts", format!("the table of mounts cannot be read: {error}"), fix)];
        }
    };
    let ours: Vec<MountLine> = table.into_iter().filter(MountLine::is_ours).collect();
    if ours.is_empty() {
        return vec![Check::ok("mounts", "none now")];
    }
    // All at one time: several may hang.
    thread::scope(|scope| {
        let asking: Vec<_> = ours.iter().map(|mount| scope.spawn(|| check(mount))).collect();
        asking.into_iter().filter_map(|asking| asking.join().ok()).collect()
    })
}

/// How a mount fares, as far as it says so.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Fares {
    Well(Box<Status>),
    Dead,
    Badly(String),
}

/// How a mount fares, if it is this user's and answers in time.
pub(super) fn status(mount: &MountLine) -> Option<Fares> {
    ask(&Ask::Mount(mount.path.clone()), LOCAL + ANSWER)
}

/// Asks a mount. May hang with it.
pub(super) fn look_at(path: &Path) -> Fares {
    let status = || {
        let client = Client::new(path)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ClientError::Failed(error.to_string()))?;
        runtime.block_on(client.status())
    };
    match status() {
        Ok(status) => Fares::Well(Box::new(status)),
        Err(ClientError::Dead { .. }) => Fares::Dead,
        Err(error) => Fares::Badly(error.to_string()),
    }
}

fn check(mount: &MountLine) -> Check {
    let (place, word) = (mount.path.display(), mountpoint::word(&mount.path));
    let (user, _) = sys::user_and_group();
    if let Some(owner) = mount.user.filter(|&owner| user != 0 && owner != user) {
        return Check::skipped("mount", format!("{place}: of another user (number {owner})"));
    }
    let remove = format!("`drivemount unmount {word}` removes it; what was saved is kept, and sent by the next mount");
    match status(mount) {
        Some(Fares::Well(status)) => fares(&status, &word),
        Some(Fares::Dead) => Check::warning("mount", format!("{place}: dead, its daemon is gone"), remove),
        Some(Fares::Badly(error)) => {
            Check::warning("mount", format!("{place}: {error}"), format!("see `drivemount status {word}`"))
        }
        None => Check::warning(
            "mount",
            format!("{place}: does not answer, its daemon hangs"),
            format!(
                "if it stays so, `umount -f {word}` (root) or `fusermount3 -uz {word}` ends it; what was saved is kept"
            ),
        ),
    }
}

fn fares(status: &Status, word: &str) -> Check {
    let unsent = if status.unsent.entries == 0 && status.unsent.unsealed_bytes == 0 {
        "everything is on the drive".to_owned()
    } else {
        format!("{} not on the drive yet", Bytes(status.unsent.bytes))
    };
    let what = format!("{}: {}, {}; {unsent}", status.mountpoint.display(), status.source, status.state);
    let reason = status.unsent.items.iter().find_map(|item| item.reason.as_ref());
    match reason {
        Some(reason) => {
            Check::warning("mount", format!("{what} ({reason})"), format!("see `drivemount status {word}`"))
        }
        None if !matches!(status.state.as_str(), "mounted" | "draining") => {
            Check::warning("mount", what, format!("see `drivemount status {word}`"))
        }
        None => Check::ok("mount", what),
    }
}
