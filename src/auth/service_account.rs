//! [`ServiceAccount`]: access tokens for an account that belongs to a program and has a key instead of a password.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rsa::PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use super::authorized_user::{TOKEN_URI, web_address};
use super::brake::Brake;
use super::endpoint::{Endpoint, Reply, patiently};
use super::renewed::Issued;
use super::{Access, AuthError, jwt, meaning};
use crate::clock;

/// The grant of RFC 7523, section 2.1.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// An assertion is good for an hour at most, which is what Google's libraries ask for.
const LIFE_SECONDS: i64 = 3600;

/// A refusal is not asked for again for this long. Setting a clock or granting a right takes longer.
const HOLD: Duration = Duration::from_secs(10);

/// Clocks that differ by less than this are not the reason for a refusal: Google allows some minutes.
const SKEW_SECONDS: i64 = 120;

/// The key of a service account, as Google's console hands it out.
#[derive(Clone)]
pub(super) struct ServiceAccount {
    email: String,
    /// What an administrator grants rights to.
    client_id: Option<String>,
    key_id: Option<String>,
    key: Arc<SigningKey<Sha256>>,
    endpoint: Endpoint,
    /// A key that is put in the place of this one has another.
    brake: Arc<Brake>,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.email)
    }
}

impl ServiceAccount {
    /// Of the JSON that the key came in. What is wrong is said without repeating the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Fields {
            client_email: Option<String>,
            client_id: Option<String>,
            private_key_id: Option<String>,
            private_key: Option<String>,
            token_uri: Option<String>,
        }
        let fields: Fields = serde_json::from_str(text).map_err(|error| {
            format!("no JSON of the expected form (line {}, column {})", error.line(), error.column())
        })?;
        let need = |field: Option<String>, name: &str| {
            field.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{name}` is missing"))
        };
        let email = need(fields.client_email, "client_email")?;
        let pem = need(fields.private_key, "private_key")?;
        let key = PrivateKey::from_pkcs8_pem(pem.trim()).map_err(|_| {
            "its `private_key` is no RSA key (PEM, PKCS #8): it was cut or changed on the way here; copy the file again, or \
             make another key in Google's console"
        })?;
        let token_uri =
            web_address(fields.token_uri.as_deref().unwrap_or(TOKEN_URI)).ok_or("`token_uri` is no web address")?;
        Ok(Self {
            email,
            client_id: fields.client_id,
            key_id: fields.private_key_id,
            key: Arc::new(SigningKey::new(key)),
            endpoint: Endpoint::new(token_uri).map_err(|error| error.to_string())?,
            brake: Arc::default(),
        })
    }

    /// A token for `access`: for the service account itself, or for a person it may act for.
    pub(super) async fn issue(self, access: Access, person: Option<String>) -> Result<Issued, AuthError> {
        let person = person.as_deref();
        let work = async {
            match patiently(|| self.ask(access, person)).await? {
                Reply::Issued(issued) => {
                    let scopes = issued.scopes.or_else(|| Some(access.scope().to_owned()));
                    Ok(Issued { scopes, issuer: Some(self.endpoint.uri.clone()), ..issued })
                }
                Reply::Refused { code, ahead_seconds } => Err(self.refused(&code, ahead_seconds, access, person)),
            }
        };
        self.brake.attempt(HOLD, work).await
    }

    async fn ask(&self, access: Access, person: Option<&str>) -> Result<Reply, AuthError> {
        let assertion = self.assertion(access, person).await?;
        self.endpoint.ask(&[("grant_type", GRANT), ("assertion", &assertion)]).await
    }

    async fn assertion(&self, access: Access, person: Option<&str>) -> Result<String, AuthError> {
        let now = clock::now().millis() / 1000;
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.key_id {
            header["kid"] = id.as_str().into();
        }
        let mut claims = json!({
            "iss": self.email,
            "scope": access.scope(),
            "aud": self.endpoint.uri,
            "iat": now,
            "exp": now + LIFE_SECONDS,
        });
        if let Some(person) = person {
            claims["sub"] = person.into();
        }
        let key = Arc::clone(&self.key);
        let signed = tokio::task::spawn_blocking(move || jwt::signed(&header, &claims, &key)).await;
        signed.map_err(|_| AuthError::Protocol)
    }

    fn refused(&self, code: &str, ahead_seconds: Option<i64>, access: Access, person: Option<&str>) -> AuthError {
        let email = &self.email;
        let off = ahead_seconds.filter(|ahead| ahead.abs() >= SKEW_SECONDS);
        let why = match (code, off, person) {
            ("invalid_grant", Some(ahead), _) => {
                let way = if ahead > 0 { "ahead of" } else { "behind" };
                let time = rough(ahead.unsigned_abs());
                format!(
                    "the clock of this machine is {time} {way} that of the token service: set it right (`date -u` shows it)"
                )
            }
            ("invalid_grant", None, None) => {
                "the key or the account was deleted or disabled, or the clock of this machine is off: check the clock \
                 (`date -u`), else make another key in Google's console"
                    .to_owned()
            }
            ("invalid_grant", None, Some(person)) => format!(
                "the key was deleted or disabled, there is no {person} at that domain, or the clock of this machine is off: \
                 check the name, the clock (`date -u`) and the key"
            ),
            ("unauthorized_client", _, Some(person)) => {
                let id = self.client_id.as_deref().unwrap_or("of the service account");
                let scope = access.scope();
                format!(
                    "it may not act for {person}. An administrator of that domain must grant it domain-wide delegation \
                     (admin.google.com, Security, API controls, Domain-wide delegation): client id {id}, scope {scope}"
                )
            }
            (_, _, Some(person)) => format!("acting for {person}: {}", meaning(code)),
            (_, _, None) => meaning(code).to_owned(),
        };
        AuthError::NotGranted { why: format!("the service account {email} got no token ({code}): {why}") }
    }
}

/// A time in the largest unit of which it has one.
fn rough(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let number = seconds / size;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
