//! [`CredentialsFile`]: a file of JSON that says itself what sort of credentials it holds.
//!
//! It is the form that Google's libraries share: `type` is `authorized_user` for the sign-in of a person, `service_account` for
//! a key. A file may be replaced by one of the other sort.

use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::kept::Kept;
use super::refresh::{self, Grant};
use super::renewed::{Issued, Issuer, Renewed};
use super::service_account::ServiceAccount;
use super::{Access, AuthError, authorized_user};

/// Trades what is in the file.
#[derive(Debug)]
pub(super) struct CredentialsFile {
    path: PathBuf,
    kept: Kept<Login>,
    access: Access,
    /// For whom a service account acts, if not for itself.
    person: Option<String>,
}

#[derive(Debug, Clone)]
enum Login {
    Person(Grant),
    Service(ServiceAccount),
}

impl CredentialsFile {
    /// Of the file at `path`; reads it, so that a wrong one is noticed here and not at the first request.
    pub(super) async fn open(
        path: PathBuf,
        access: Access,
        person: Option<String>,
    ) -> Result<Renewed<Self>, AuthError> {
        let kept = Kept::open(path.clone(), parse).await?;
        let file = Self { path, kept, access, person };
        file.kept.attempt(async |login| file.fits(&login)).await?;
        Ok(Renewed::new(file))
    }

    /// A person acts for nobody else.
    fn fits(&self, login: &Login) -> Result<(), AuthError> {
        match (login, &self.person) {
            (Login::Person(_), Some(person)) => {
                let path = self.path.display();
                Err(AuthError::NotGranted {
                    why: format!(
                        "{path} is the sign-in of a person, which cannot act for {person}: leave out --impersonate, or give the \
                         key of a service account"
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

impl Issuer for CredentialsFile {
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
        async {
            let work = async |login| {
                self.fits(&login)?;
                match login {
                    Login::Person(login) => refresh::refresh(login).await,
                    Login::Service(account) => account.issue(self.access, self.person.clone()).await,
                }
            };
            let issued = self.kept.attempt(work).await?;
            if let Some(next) = &issued.refresh_token {
                self.kept.amend(|login| {
                    if let Login::Person(login) = login {
                        login.refresh_token = next.clone();
                    }
                });
            }
            Ok(issued)
        }
        .boxed()
    }
}

/// What is wrong is said without repeating the text; the words of a JSON parser would.
fn parse(text: &str) -> Result<Login, String> {
    #[derive(Deserialize)]
    struct Head {
        r#type: Option<String>,
        installed: Option<serde::de::IgnoredAny>,
        web: Option<serde::de::IgnoredAny>,
    }
    let head: Head = serde_json::from_str(text)
        .map_err(|error| format!("no JSON of the expected form (line {}, column {})", error.line(), error.column()))?;
    match head.r#type.as_deref() {
        Some("authorized_user") => authorized_user::parse(text).map(Login::Person),
        Some("service_account") => ServiceAccount::parse(text).map(Login::Service),
        Some(other @ ("external_account" | "external_account_authorized_user" | "impersonated_service_account")) => {
            Err(format!(
                "its `type` is `{other}`, which drivemount does not speak; let gcloud do it, with --token-command 'gcloud auth \
                 application-default print-access-token --scopes={}'",
                Access::ReadWrite.scope()
            ))
        }
        None if head.installed.is_some() || head.web.is_some() => Err(
            "it describes an OAuth client and nobody's sign-in; sign in with it: `drivemount login --client-file FILE`"
                .to_owned(),
        ),
        Some("gdch_service_account") => {
            Err("its `type` is `gdch_service_account`, which has no Google Drive".to_owned())
        }
        // Not repeated: it may be anything.
        _ => Err("its `type` is neither `authorized_user` nor `service_account`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_and_is_not_is_said_without_repeating_it() {
        for (text, hint) in [
            ("secret", "line 1"),
            (r#"{"type": "secret"}"#, "neither"),
            (r#"{"private_key": "secret"}"#, "neither"),
            (r#"{"type": "external_account", "audience": "secret"}"#, "`external_account`"),
            (r#"{"type": "impersonated_service_account", "source_credentials": "secret"}"#, "--token-command"),
            (r#"{"type": "gdch_service_account"}"#, "no Google Drive"),
            (r#"{"installed": {"client_id": "x", "client_secret": "secret"}}"#, "drivemount login --client-file"),
            (
                r#"{"type": "authorized_user", "client_id": "x", "client_secret": "secret"}"#,
                "`refresh_token` is missing",
            ),
            (r#"{"type": "service_account", "client_email": "x@y"}"#, "`private_key` is missing"),
            (r#"{"type": "service_account", "client_email": "x@y", "private_key": "secret"}"#, "is no RSA key"),
        ] {
            let error = parse(text).expect_err("not usable");
            assert!(error.contains(hint) && !error.contains("secret"), "{error}");
        }
    }
}
