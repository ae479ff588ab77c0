//! `drivemount accounts`: the sign-ins that are stored here.

use serde_json::json;

use super::output::{print, table};
use super::stored::{accounts, day, unusable};
use super::{Exit, Failure};
use crate::auth::{Access, Account};
use crate::clock::Timestamp;

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
