//! [`AuthorizedUser`]: access tokens made from a refresh token.

use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use url::Url;

use super::kept::Kept;
use super::refresh::{self, Grant, Owner};
use super::renewed::{Issued, Issuer, Renewed};
use super::{AccessToken, AuthError, Secret, TokenSource};

/// Where a refresh token is traded if the file does not say (the endpoint of Google's OAuth 2.0 documentation).
pub(super) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A person's sign-in in the `authorized_user` form that gcloud and other tools write:
/// `{"type": "authorized_user", "client_id": …, "client_secret": …, "refresh_token": …, "token_uri": …}`, the last one
/// optional.
///
/// - Callers that need a new token at the same time wait for one and the same request.
/// - As long as the old token holds, a failing token service is not noticed by anybody.
/// - A sign-in that was refused for good is not shown to the token service again before the file changes (its times count: `touch` makes
///   it be tried again).
/// - The sign-in of somebody else that is put in its place is refused.
#[derive(Debug)]
pub struct AuthorizedUser(Renewed<Trade>);

/// Trades the refresh token in a file.
#[derive(Debug)]
struct Trade {
    kept: Kept<Grant>,
    /// Whose it was when it was opened. What waits is theirs, and is sent as nobody else, nor elsewhere.
    owner: Option<Owner>,
}

impl AuthorizedUser {
    /// Of the file at `path`; reads it, so that a wrong one is noticed here and not at the first request.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, AuthError> {
        let kept = Kept::open(path.into(), parse).await?;
        let owner = kept.attempt(async |grant: Grant| Ok(grant.owner)).await?;
        Ok(Self(Renewed::new(Trade { kept, owner })))
    }
}

impl TokenSource for AuthorizedUser {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        self.0.token()
    }

    fn reject(&self, token: &AccessToken) {
        self.0.reject(token);
    }

    fn scopes(&self) -> Option<String> {
        self.0.scopes()
    }
}

impl Trade {
    /// Refuses the sign-in of somebody else that was put in the place of this one.
    fn check_owner(&self, grant: &Grant) -> Result<(), AuthError> {
        match (&self.owner, &grant.owner) {
            (Some(then), Some(now)) if then != now => Err(AuthError::NotGranted {
                why: format!(
                    "the sign-in is that of {now} now, and this mount is of {then}: sign in as that one, or unmount"
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl Issuer for Trade {
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
        async {
            let work = async |grant: Grant| {
                self.check_owner(&grant)?;
                refresh::refresh(grant).await
            };
            let issued = self.kept.attempt(work).await?;
            if let Some(next) = &issued.refresh_token {
                self.kept.amend(|login| login.refresh_token = next.clone());
            }
            Ok(issued)
        }
        .boxed()
    }
}

/// What is wrong is said without repeating the text; the words of a JSON parser would.
pub(super) fn parse(text: &str) -> Result<Grant, String> {
    #[derive(Deserialize)]
    struct Fields {
        r#type: Option<String>,
        client_id: Option<String>,
        client_secret: Option<String>,
        refresh_token: Option<String>,
        token_uri: Option<String>,
        account: Option<String>,
        id: Option<String>,
        source: Option<String>,
    }
    let fields: Fields = serde_json::from_str(text)
        .map_err(|error| format!("no JSON of the expected form (line {}, column {})", error.line(), error.column()))?;
    if fields.r#type.as_deref() != Some("authorized_user") {
        return Err("its `type` is not `authorized_user`".to_owned());
    }
    let need = |field: Option<String>, name: &str| {
        field.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{name}` is missing"))
    };
    let token_uri = fields.token_uri.as_deref().unwrap_or(TOKEN_URI);
    let owner = match (fields.id, fields.account, fields.source) {
        (Some(id), Some(email), Some(source)) => Some(Owner { id, email, source }),
        _ => None,
    };
    let grant = Grant::new(
        need(fields.client_id, "client_id")?,
        Secret::new(&need(fields.client_secret, "client_secret")?),
        Secret::new(&need(fields.refresh_token, "refresh_token")?),
        web_address(token_uri).ok_or("`token_uri` is no web address")?,
    )?;
    Ok(Grant { owner, ..grant })
}

/// The address of a web server, if it is one.
pub(super) fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

#[cfg(test)]
mod tests;
