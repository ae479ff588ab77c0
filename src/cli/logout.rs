//! `drivemount logout`: makes a stored sign-in worthless, and forgets it.

use super::login::{accounts, unusable};
use super::output::say;
use super::{Exit, Failure, small_runtime};
use crate::auth::AccountsError;
use crate::config::DEFAULT_ACCOUNT;

/// Revoke a stored sign-in, and forget it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which, if it is not the only one of no name
    #[arg(long, value_name = "NAME", env = "DRIVEMOUNT_ACCOUNT")]
    account: Option<String>,
    /// Forget it on this machine even if it cannot be revoked
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
        Ok(()) => say(&format!("signed out: {email} is revoked and forgotten here")),
        Err(error) => say(&format!(
            "forgot {email} here, but it is not revoked ({error}): do that at https://myaccount.google.com/permissions"
        )),
    }
    Ok(Exit::Success)
}

/// What is said of an account that is not there.
pub(super) fn absent(name: &str, names: &[String]) -> String {
    let others = if names.is_empty() {
        "nobody is signed in here".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    let login = if name == DEFAULT_ACCOUNT { String::new() } else { format!(" --account {name}") };
    format!("there is no account {name:?}; {others}. `drivemount login{login}` makes one")
}
