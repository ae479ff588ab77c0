//! `drivemount accounts`: the sign-ins that are stored here.

use serde_json::json;

use super::login::{accounts, unusable};
use super::output::{print, table};
use super::{Exit, Failure};
use crate::auth::{Access, Account};
use crate::clock::{self, Timestamp};

/// A sign-in that ends within this time is worth a word. Google gives applications in testing seven days.
const SOON_MILLIS: i64 = 8 * 24 * 3_600_000;

/// List the sign-ins that are stored here
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = accounts()?;
    let (mut found, mut damaged) = (Vec::new(), None);
    for name in store.names().map_err(|error| unusable(&error))? {
        match store.find(&name) {
            Ok(account) => found.extend(account),
            Err(error) => damaged = Some(error),
        }
    }
    if args.json {
        let list: Vec<_> = found
            .iter()
            .map(|account| {
                json!({
                    "name": account.name,
                    "email": account.email,
                    "source": account.source,
                    "read_only": is_read_only(account),
                    "ends": account.ends.map(Timestamp::to_rfc3339),
                })
            })
            .collect();
        print(&format!("{:#}\n", json!(list)))?;
    } else if found.is_empty() && damaged.is_none() {
        print("nobody is signed in here; `drivemount login` does it\n")?;
    } else {
        let rows: Vec<_> = found.iter().map(row).collect();
        print(&table(["NAME", "WHO", "DRIVE", "GOOD FOR"], &rows))?;
    }
    // The others are none the worse.
    damaged.map_or(Ok(Exit::Success), |error| Err(unusable(&error)))
}

fn row(account: &Account) -> [String; 4] {
    let good_for = if is_read_only(account) { "reading" } else { "everything" };
    let until = account.ends.map_or_else(String::new, |ends| format!(", until {}", day(ends)));
    [account.name.clone(), account.email.clone(), account.source.clone(), format!("{good_for}{until}")]
}

fn is_read_only(account: &Account) -> bool {
    !Access::ReadWrite.is_granted_by(&account.scopes)
}

fn day(moment: Timestamp) -> String {
    let text = moment.to_rfc3339();
    text.split('T').next().unwrap_or(&text).to_owned()
}

/// What is said of a sign-in that ends soon by itself.
pub(super) fn ending(account: &Account) -> Option<String> {
    let ends = account.ends?;
    let left = ends.millis() - clock::now().millis();
    if left > SOON_MILLIS {
        return None;
    }
    let again = if account.name == crate::config::DEFAULT_ACCOUNT {
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
