//! `drivemount accounts`: the sign-ins that are stored here.

use serde_json::json;

use super::login::{accounts, unusable};
use super::output::{plain, print};
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
    let mut found = Vec::new();
    for name in store.names().map_err(|error| unusable(&error))? {
        found.extend(store.find(&name).map_err(|error| unusable(&error))?);
    }
    if args.json {
        let list: Vec<_> = found
            .iter()
            .map(|account| {
                json!({
                    "name": account.name,
                    "email": account.email,
                    "source": account.source,
                    "read_only": !Access::ReadWrite.is_granted_by(&account.scopes),
                    "ends": account.ends.map(Timestamp::to_rfc3339),
                })
            })
            .collect();
        print(&format!("{:#}\n", json!(list)))?;
    } else if found.is_empty() {
        print("nobody is signed in here; `drivemount login` does it\n")?;
    } else {
        let width = found.iter().map(|account| account.name.len()).max().unwrap_or(0);
        for account in &found {
            print(&format!("{}\n", plain(&line(account, width))))?;
        }
    }
    Ok(Exit::Success)
}

fn line(account: &Account, width: usize) -> String {
    let mut line = format!("{:<width$}  {}  {}", account.name, account.email, account.source);
    if !Access::ReadWrite.is_granted_by(&account.scopes) {
        line += "  read-only";
    }
    if let Some(ends) = account.ends {
        line.extend(["  until ", &ends.to_rfc3339()]);
    }
    line
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
    let when = ends.to_rfc3339();
    let day = when.split('T').next().unwrap_or(&when);
    Some(format!(
        "this sign-in ends by itself on {day}: Google gives an app that is \"in testing\" seven days. Publish the app in Google's \
         console (docs/SIGN-IN.md) and sign in again with {again}, then it lasts"
    ))
}
