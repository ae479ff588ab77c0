//! [`RcloneRemote`]: the sign-in of a remote of rclone.
//!
//! Read from rclone's configuration, which is never written: an access token that rclone got is used while it holds, and after
//! that the refresh token is traded under the client of the remote. A remote without a client of its own was made under that of
//! rclone, whose secret is not ours to use.

mod config;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use url::Url;

use self::config::{Remotes, Section};
use super::authorized_user::{TOKEN_URI, web_address};
use super::kept::Kept;
use super::refresh::{self, Grant};
use super::renewed::{Issued, Issuer, Renewed};
use super::service_account::ServiceAccount;
use super::token_command::{Printed, printed};
use super::{Access, AccessToken, AuthError, Secret};

/// A token of rclone's that ends sooner than this is not worth beginning with.
const LEAST_LEFT: Duration = Duration::from_mins(1);

/// The sign-in of one remote.
#[derive(Debug)]
pub(super) struct RcloneRemote {
    name: String,
    path: PathBuf,
    kept: Kept<Remotes>,
    access: Access,
    /// The access token in the file that was given out. Who asks again needs another one.
    used: Mutex<Option<AccessToken>>,
    /// The key of a service account as it was last used, with what it was made of: it holds back requests after a refusal.
    key: Mutex<Option<(Secret, ServiceAccount)>>,
    notes: Vec<String>,
}

/// What a remote signs in with.
enum Login {
    Person { found: Printed, refresh: Grant },
    Service { account: ServiceAccount, person: Option<String> },
}

impl Login {
    fn service(section: &Section, account: ServiceAccount) -> Self {
        Self::Service { account, person: section.get("impersonate").map(str::to_owned) }
    }
}

impl RcloneRemote {
    /// Of the remote `name` in the configuration file `path`; reads it, so that a wrong one is noticed here.
    pub(super) async fn open(name: &str, path: PathBuf, access: Access) -> Result<Renewed<Self>, AuthError> {
        let kept = Kept::open(path.clone(), config::parse).await?;
        let name = name.trim_end_matches(':').to_owned();
        let (used, key, notes) = (Mutex::default(), Mutex::default(), Vec::new());
        let mut remote = Self { name, path, kept, access, used, key, notes };
        remote.notes = remote
            .kept
            .attempt(async |remotes| {
                let section = remote.section(&remotes)?;
                remote.login(section).await?;
                Ok(notes_of(section, &remote.name))
            })
            .await?;
        Ok(Renewed::new(remote))
    }

    fn section<'r>(&self, remotes: &'r Remotes) -> Result<&'r Section, AuthError> {
        let (name, path) = (&self.name, self.path.display());
        let section = remotes.get(name).ok_or_else(|| {
            let drives: Vec<&str> = remotes.of_type("drive").collect();
            let hint = if drives.is_empty() {
                "there is none for Google Drive".to_owned()
            } else {
                format!("those for Google Drive are {}", drives.join(", "))
            };
            AuthError::NotGranted { why: format!("rclone's configuration {path} has no remote {name:?}; {hint}") }
        })?;
        match section.get("type") {
            Some("drive") => Ok(section),
            other => Err(AuthError::NotGranted {
                why: format!(
                    "the remote {name:?} of rclone's configuration {path} is of the type {:?}; give one of the type \"drive\"",
                    other.unwrap_or("")
                ),
            }),
        }
    }

    async fn login(&self, section: &Section) -> Result<Login, AuthError> {
        let (name, rclone) = (&self.name, self.program());
        let unusable = |why: String| AuthError::NotGranted {
            why: format!("the remote {name:?} of {} {why}", self.path.display()),
        };
        let reconnect = format!("run `{rclone} config reconnect {name}:`");
        if let Some(text) = section.get("service_account_credentials") {
            let account = self.account(text);
            let account =
                account.map_err(|why| unusable(format!("has unusable service_account_credentials: {why}")))?;
            return Ok(Login::service(section, account));
        }
        if let Some(file) = section.get("service_account_file") {
            let file = config::expanded(file);
            let of_file = |what: String| unusable(format!("names the key {}, which {what}", file.display()));
            let text = tokio::fs::read_to_string(&file).await;
            let text = text.map_err(|error| of_file(format!("cannot be read: {error}")))?;
            let account = self.account(&text).map_err(|why| of_file(format!("cannot be used: {why}")))?;
            return Ok(Login::service(section, account));
        }
        if section.get("env_auth").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(unusable("takes the credentials of the machine: mount with --application-default".to_owned()));
        }
        let token = section.get("token").ok_or_else(|| unusable(format!("is not signed in: {reconnect}")))?;
        let found = printed(token).map_err(|_| unusable(format!("has a damaged token: {reconnect}")))?;
        let (Some(id), Some(secret)) = (section.get("client_id"), section.get("client_secret")) else {
            return Err(unusable(format!(
                "has no client_id and client_secret of its own, and rclone's are for rclone alone. Let rclone renew the token: \
                 --token-command '{}'; or give the remote your own client: `{rclone} config update {name} client_id ID \
                 client_secret SECRET`, then {reconnect}",
                config::printing(&rclone, name)
            )));
        };
        let refresh_token = found.refresh_token.clone();
        let refresh_token = refresh_token.ok_or_else(|| unusable(format!("has no refresh token: {reconnect}")))?;
        let token_uri = web_address(section.get("token_url").unwrap_or(TOKEN_URI));
        let token_uri = token_uri.ok_or_else(|| unusable("has a token_url that is no web address".to_owned()))?;
        let refresh = Grant::new(id.to_owned(), Secret::new(secret), refresh_token, token_uri).map_err(unusable)?;
        Ok(Login::Person { found, refresh })
    }

    /// The service account of a key: the same one for as long as the key is the same.
    fn account(&self, text: &str) -> Result<ServiceAccount, String> {
        let mut key = self.key.lock();
        if let Some((_, account)) = key.as_ref().filter(|(known, _)| known.expose() == text) {
            return Ok(account.clone());
        }
        let account = ServiceAccount::parse(text)?;
        *key = Some((Secret::new(text), account.clone()));
        Ok(account)
    }

    /// rclone as a command line, for this configuration.
    fn program(&self) -> String {
        let is_usual = crate::config::rclone_config().is_some_and(|usual| usual == self.path);
        if is_usual { "rclone".to_owned() } else { format!("rclone --config {}", self.path.display()) }
    }

    /// The token that rclone left, if it can be used and was not.
    fn take_found(&self, found: Printed, scopes: &str, issuer: &Url) -> Option<Issued> {
        if found.left().is_some_and(|left| left <= LEAST_LEFT) {
            return None;
        }
        let mut used = self.used.lock();
        if used.as_ref() == Some(&found.token) {
            return None;
        }
        *used = Some(found.token.clone());
        let issued = found.issued().ok()?;
        Some(Issued { scopes: Some(scopes.to_owned()), issuer: Some(issuer.clone()), ..issued })
    }

    async fn issue_anew(&self) -> Result<Issued, AuthError> {
        self.kept
            .attempt(async |remotes| {
                let section = self.section(&remotes)?;
                let scopes = section.scopes();
                let (found, refresh) = match self.login(section).await? {
                    Login::Service { account, person } => return account.issue(self.access, person).await,
                    Login::Person { found, refresh } => (found, refresh),
                };
                if let Some(issued) = self.take_found(found, &scopes, &refresh.endpoint.uri) {
                    return Ok(issued);
                }
                let issued = refresh::refresh(refresh).await?;
                let granted = issued.scopes.or(Some(scopes));
                Ok(Issued { scopes: granted, ..issued })
            })
            .await
    }
}

impl Issuer for RcloneRemote {
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
        async {
            let issued = self.issue_anew().await?;
            if let Some(next) = &issued.refresh_token {
                let token = json!({ "access_token": issued.token.expose(), "refresh_token": next.expose() });
                *self.used.lock() = Some(issued.token.clone());
                self.kept.amend(|remotes| remotes.set(&self.name, "token", &token.to_string()));
            }
            Ok(issued)
        }
        .boxed()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// What the remote says that a mount does not follow.
fn notes_of(section: &Section, name: &str) -> Vec<String> {
    let set = |key: &str| section.get(key).filter(|value| !value.eq_ignore_ascii_case("false")).map(|_| key.to_owned());
    let set: Vec<String> = ["root_folder_id", "team_drive", "shared_with_me"].into_iter().filter_map(set).collect();
    if set.is_empty() {
        return Vec::new();
    }
    let set = set.join(" and ");
    vec![format!(
        "of the remote {name} only the sign-in is used: its {set} is not followed, all of the drive is mounted"
    )]
}

#[cfg(test)]
mod tests;
