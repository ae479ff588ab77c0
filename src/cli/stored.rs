//! The stored sign-ins, as commands speak of them.

use super::{Exit, Failure};
use crate::auth::{Account, Accounts, AccountsError};
use crate::clock::{self, Timestamp};
use crate::config::{self, DEFAULT_ACCOUNT};

/// A sign-in that ends within this time is worth a word. Google gives applications in testing seven days.
const SOON_MILLIS: i64 = 8 * 24 * 3_600_000;

/// The stored sign-ins of this user.
pub(super) fn accounts() -> Result<Accounts, Failure> {
    let dir = config::config_dir().ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no home folder to keep sign-ins in; set HOME or XDG_CONFIG_HOME".to_owned())
    })?;
    Ok(Accounts::new(&dir))
}

/// What a store that cannot be used is to a command.
pub(super) fn unusable(error: &AccountsError) -> Failure {
    let exit = match error {
        AccountsError::Name(_) => Exit::Usage,
        AccountsError::Malformed(_) => Exit::SignIn,
        AccountsError::Io { .. } => Exit::Failure,
    };
    Failure::new(exit, error.to_string())
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

/// What is said of a sign-in that ends soon by itself.
pub(super) fn ending(account: &Account) -> Option<String> {
    let ends = account.ends?;
    let left = ends.millis() - clock::now().millis();
    if left > SOON_MILLIS {
        return None;
    }
    let again = if account.name == DEFAULT_ACCOUNT {
        "`drivemount login`".to_owned()
    } else {
        format!("`drivemount login --account {}`", account.name)
    };
    Some(format!(
        "this sign-in ends by itself on {}: Google gives an app that is \"in testing\" seven days. Publish the app in Google's \
         console (docs/SIGN-IN.md) and sign in again with {again}, then it lasts",
        day(ends)
    ))
}

/// The day of a moment, for people.
pub(super) fn day(moment: Timestamp) -> String {
    let text = moment.to_rfc3339();
    text.split('T').next().unwrap_or(&text).to_owned()
}
