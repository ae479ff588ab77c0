//! `drivemount logout`: makes a stored sign-in worthless, and forgets it.

use std::time::Duration;

use super::output::{plain, say};
use super::stored::{absent, accounts, unusable};
use super::target::{self, Answer};
use super::{Exit, Failure, small_runtime};
use crate::auth::AccountsError;
use crate::config::DEFAULT_ACCOUNT;

/// How long mounts may take to say whether they need it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Revoke a stored sign-in, and forget it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which, if it is not the only one of no name
    #[arg(long, value_name = "NAME", env = "DRIVEMOUNT_ACCOUNT")]
    account: Option<String>,
    /// Forget it on this machine even if it cannot be revoked, or if a mount still needs it
    #[arg(long)]
    forget: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = accounts()?;
    let name = args.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
    let account = match store.find(name) {
        Ok(Some(account)) => account,
        Ok(None) => return Err(Failure::new(Exit::Usage, absent(name, &store.names().unwrap_or_default()))),
        Err(AccountsError::Malformed(_)) if args.forget => {
            store.remove(name).map_err(|error| unusable(&error))?;
            say(&format!("forgot the account {name:?}, which was damaged"));
            return Ok(Exit::Success);
        }
        Err(error) => return Err(unusable(&error)),
    };
    let mut ending = Vec::new();
    for other in store.names().unwrap_or_default().iter().filter(|other| *other != name) {
        let other = store.find(other).ok().flatten().filter(|other| account.shares_its_end_with(other));
        ending.extend(other.map(|other| other.name));
    }
    if !args.forget {
        nothing_waits(name, &ending)?;
    }
    let revoked = small_runtime()?.block_on(account.revoke());
    if let Err(error) = &revoked
        && !args.forget
    {
        return Err(Failure::new(
            Exit::Unreachable,
            format!(
                "not revoked: {error}. Try again later; or forget it on this machine only with --forget, and revoke it at \
                 https://myaccount.google.com/permissions"
            ),
        ));
    }
    store.remove(name).map_err(|error| unusable(&error))?;
    let email = &account.email;
    match revoked {
        Ok(()) => say(&plain(&format!("signed out: {email} is revoked and forgotten here"))),
        Err(error) => say(&plain(&format!(
            "forgot {email} here, but it is not revoked ({error}): do that at https://myaccount.google.com/permissions"
        ))),
    }
    if !ending.is_empty() {
        say(&format!("note: with it end the sign-ins of the same person under other names: {}", ending.join(", ")));
    }
    Ok(Exit::Success)
}

/// Refuses to end a sign-in that a mount needs for what it has not sent yet.
fn nothing_waits(name: &str, ending: &[String]) -> Result<(), Failure> {
    for found in target::ask_all(PATIENCE)? {
        let Answer::Fares(status) = found.answer else { continue };
        let uses = status.sign_in_name.as_ref().is_some_and(|used| used == name || ending.contains(used));
        if uses && status.sign_in.is_none() && (status.unsent.entries > 0 || status.unsent.unsealed_bytes > 0) {
            let place = status.mountpoint.display();
            return Err(Failure::new(
                Exit::Unsent,
                format!(
                    "the mount at {place} uses it and has not sent everything yet: `drivemount flush {place}` first, or say \
                     --forget, and what is left waits for the next sign-in",
                ),
            ));
        }
    }
    Ok(())
}
