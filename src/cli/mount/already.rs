//! A mount that is there already: the same as is asked for, or another.

use std::time::Duration;

use super::super::{Exit, Failure, small_runtime, target};
use crate::config::{self, MountConfig, Settings};
use crate::control::Status;
use crate::mount::mountpoint::{self, MountLine};

/// How long a mount that is there may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a mount that is there already says of itself, if it is as `config` asks. `None` if there is none, or none that answers:
/// then mounting tells what is in the way. An error if it is another.
pub(super) fn mounted(config: &MountConfig) -> Result<Option<Status>, Failure> {
    let place = config::real(&config.mountpoint);
    if mountpoint::mount_at(&place).as_ref().is_none_or(|mount| !MountLine::is_ours(mount)) {
        return Ok(None);
    }
    let Ok(target) = target::find_within(Some(&place), Some(PATIENCE)) else { return Ok(None) };
    let Ok(status) = small_runtime()?.block_on(target.client.status()) else { return Ok(None) };
    let word = mountpoint::word(&place);
    let at = place.display();
    if status.state == "draining" {
        let message = format!(
            "{} is still mounted at {at}, and about to end when all is sent; wait for that with `drivemount unmount {word}`, then \
             mount again",
            status.source
        );
        return Err(Failure::new(Exit::CannotMount, message));
    }
    if status.settings.is_empty() {
        return Ok(None);
    }
    let asked = config.settings();
    let source = |settings: &Settings| settings.get("source").cloned().unwrap_or_default();
    if source(&status.settings) != source(&asked) {
        // All else differs with it.
        let message = format!(
            "{at} already shows {}; to mount {} there, first `drivemount unmount {word}`",
            status.source, config.source
        );
        return Err(Failure::new(Exit::CannotMount, message));
    }
    let differences = config::differences(&status.settings, &asked);
    if differences.is_empty() {
        return Ok(Some(status));
    }
    let message = format!(
        "{} is mounted at {at} already, with other settings: {}. `drivemount status {word}` shows it; to mount it with these, end \
         it first with `drivemount unmount {word}`",
        status.source,
        differences.join("; ")
    );
    Err(Failure::new(Exit::CannotMount, message))
}
