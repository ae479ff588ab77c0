//! What is mounted, and with which stored sign-in, of what was said and what was not.

use super::super::stored::{absent, accounts, ending, unusable};
use super::super::{Exit, Failure};
use crate::auth::{Account, Accounts, AccountsError};
use crate::config::{Credentials, DEFAULT_ACCOUNT, MountConfig, Source};

/// Completes a source and credentials. Without credentials it is the stored sign-in `default`, or the only one that fits the
/// source; a source that was not said is that of the sign-in, or else Google. `None` for the credentials: there are none.
pub(super) fn complete(
    source: Option<Source>,
    credentials: Option<Credentials>,
) -> Result<(Source, Option<Credentials>), Failure> {
    let account = match (&source, &credentials) {
        (Some(Source::Local(_)), _) => None,
        (_, Some(Credentials::Account { name, .. })) => Some(named(name)?),
        (_, Some(_)) => None,
        (source, None) => usual(source.as_ref())?,
    };
    let Some(account) = account else { return Ok((source.unwrap_or(Source::Google), credentials)) };
    let own: Source = account.source.parse().map_err(|why| {
        let name = &account.name;
        Failure::new(
            Exit::SignIn,
            format!("the account {name:?} is of {:?}, which is {why}; sign in again", account.source),
        )
    })?;
    if let Some(source) = source.filter(|source| source.to_string() != account.source) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the account {:?} is one of {}, not of {source}; leave the source out, or sign in there with `drivemount login \
                 {source} --account NAME`",
                account.name, account.source
            ),
        ));
    }
    let path = accounts()?.path(&account.name).map_err(|error| unusable(&error))?;
    Ok((own, Some(Credentials::Account { name: account.name, path })))
}

/// What is said of the stored sign-in when it is mounted.
pub(super) fn note(config: &MountConfig) -> Option<String> {
    let Some(Credentials::Account { name, .. }) = &config.credentials else { return None };
    ending(&accounts().ok()?.find(name).ok()??)
}

/// The account that was asked for.
fn named(name: &str) -> Result<Account, Failure> {
    let store = accounts()?;
    let found = store.find(name).map_err(|error| unusable(&error))?;
    found.ok_or_else(|| Failure::new(Exit::SignIn, absent(name, &store.names().unwrap_or_default())))
}

/// The account that is meant when none is named.
fn usual(source: Option<&Source>) -> Result<Option<Account>, Failure> {
    // Without a home there are none.
    let Ok(store) = accounts() else { return Ok(None) };
    let fits = |account: &Account| source.is_none_or(|source| source.to_string() == account.source);
    // One that is damaged may be the one that is meant.
    let stored = all(&store).map_err(|error| unusable(&error))?;
    let mut fitting: Vec<Account> = stored.into_iter().filter(fits).collect();
    if let Some(default) = fitting.iter().position(|account| account.name == DEFAULT_ACCOUNT) {
        return Ok(Some(fitting.swap_remove(default)));
    }
    if fitting.len() > 1 {
        let names: Vec<&str> = fitting.iter().map(|account| &*account.name).collect();
        let message = format!("which account? There are {}: say it with --account NAME", names.join(", "));
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(fitting.pop())
}

fn all(store: &Accounts) -> Result<Vec<Account>, AccountsError> {
    store.names()?.iter().filter_map(|name| store.find(name).transpose()).collect()
}
