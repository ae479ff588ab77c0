//! `drivemount upgrade-restart`: a running mount by the program that is on the disk now.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::output::{plain, say};
use super::{Exit, Failure, small_runtime, target};
use crate::control::Status;
use crate::mount::mountpoint;
use crate::sys;

/// How long the new daemon may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the keeper may take to ask the new program whether it can go on.
const REFUSAL: Duration = Duration::from_secs(5);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Let the program that is on the disk now serve a running mount, without an unmount: programs that use it go on
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mountpoint; without it, the only mount
    mountpoint: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = target::find(args.mountpoint.as_deref())?;
    let place = target.client.mountpoint();
    let status = small_runtime()?.block_on(target.client.status())?;
    let Some(keeper) = status.keeper else {
        let word = mountpoint::word(place);
        return Err(Failure::new(
            Exit::Failure,
            format!(
                "{} has no keeper, so it ends with its daemon; `drivemount unmount {word}` and mount it again",
                place.display()
            ),
        ));
    };
    sys::signal(keeper.pid, libc::SIGUSR2)
        .map_err(|error| Failure::new(Exit::Failure, format!("the keeper cannot be told: {error}")))?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        // Each time anew: the new daemon has a socket of its own.
        let now = target::find(args.mountpoint.as_deref()).ok();
        let now: Option<Status> = match now {
            Some(target) => small_runtime()?.block_on(target.client.status()).ok(),
            None => None,
        };
        match now {
            Some(now) if now.keeper.as_ref().is_some_and(|now| now.generation > keeper.generation) => {
                say(&plain(&format!("{} is served by drivemount {}", place.display(), now.version)));
                return Ok(Exit::Success);
            }
            Some(_) if began.elapsed() > REFUSAL => {
                let message = "the program on the disk does not take it over; `drivemount logs` says why. The mount goes on as it was";
                return Err(Failure::new(Exit::Failure, message));
            }
            _ => {}
        }
    }
    Err(Failure::new(Exit::Failure, "the new daemon does not answer; see `drivemount logs`"))
}
