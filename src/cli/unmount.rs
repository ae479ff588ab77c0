//! `drivemount unmount`: everything to the drive, then the end.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{complain, left_lines, plain, say, watch_unsent};
use super::target::Target;
use super::{Exit, Failure, kept, small_runtime, target};
use crate::config::parse_duration;
use crate::control::{ClientError, Ending, SignInStatus};
use crate::mount::mountpoint;

/// How often it is asked how the sign-in fares.
const LOOK: Duration = Duration::from_millis(200);

/// Send everything to the drive, then unmount
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mountpoint; without it, the only mount
    mountpoint: Option<PathBuf>,
    /// Unmount after this time (30s, 5m) even if not everything is on the drive; the next mount sends the rest
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = match target::find(args.mountpoint.as_deref()) {
        Ok(target) => target,
        Err(failure) => return bury(args.mountpoint.as_deref(), failure),
    };
    if !target.path.is_empty() {
        let (place, mountpoint) = (args.mountpoint.as_deref().unwrap_or(Path::new("")), target.client.mountpoint());
        let message = format!(
            "{} is not a mountpoint, it lies in the mount at {}; `drivemount unmount {}` ends all of that",
            place.display(),
            mountpoint.display(),
            mountpoint::word(mountpoint)
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let timeout_millis = args.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let ending = Ending { timeout_millis };
    let sign_in = RefCell::new(None);
    let unmounted = async {
        tokio::select! {
            left = target.client.unmount(&ending) => left,
            () = watch_sign_in(&target, &sign_in) => unreachable!("looking has no end"),
        }
    };
    let left = small_runtime()?.block_on(watch_unsent(&target, "sending", unmounted));
    let left = left.map_err(|error| match error {
        ClientError::NoAnswer { path, why } => Failure::new(
            Exit::Failure,
            format!(
                "the daemon of {} ended before it answered ({why}); `drivemount mount` goes on with what it left",
                path.display()
            ),
        ),
        error => error.into(),
    })?;
    let place = target.client.mountpoint().display();
    if left.entries == 0 {
        say(&format!("unmounted {place}; everything is on the drive"));
        return Ok(Exit::Success);
    }
    let next = match sign_in.take() {
        Some(SignInStatus { remedy, .. }) if !remedy.is_empty() => {
            // Some remedies are a mount themselves.
            let mount = if remedy.starts_with("mount again") { "" } else { ", then mount the same drive again" };
            plain(&format!("It is kept on this machine. To send it: {remedy}{mount}."))
        }
        _ => "It is kept on this machine: mount the same drive again and it is sent.".to_owned(),
    };
    complain(&format!("unmounted {place}, but {}\n{next}", left_lines(&left)));
    Ok(Exit::Unsent)
}

/// Notes whether the drive refuses the sign-in, for as long as the mount can be asked.
async fn watch_sign_in(target: &Target, sign_in: &RefCell<Option<SignInStatus>>) {
    loop {
        if let Ok(status) = target.client.status().await {
            sign_in.replace(status.sign_in);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A dead mount has no daemon to ask: it is only taken away. What it left, its folder says.
fn bury(path: Option<&Path>, failure: Failure) -> Result<Exit, Failure> {
    let Some(path) = path else { return Err(failure) };
    let left = kept::told(path);
    match mountpoint::bury_dead(path) {
        Ok(true) => {
            let left = left.unwrap_or_else(|| "mount the same drive again and what it left unsent is sent".to_owned());
            say(&format!("{} was a dead mount and is removed; {left}", path.display()));
            Ok(Exit::Success)
        }
        Ok(false) => Err(failure),
        Err(error) => Err(Failure::new(Exit::Failure, error.to_string())),
    }
}
