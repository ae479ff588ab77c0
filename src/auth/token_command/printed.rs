//! What programs print who are asked for a token.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::renewed::Issued;
use super::super::{AccessToken, Secret};
use crate::clock::{self, Timestamp};

/// A token, and until when it holds.
#[derive(Debug)]
pub(in super::super) struct Printed {
    pub(in super::super) token: AccessToken,
    pub(in super::super) refresh_token: Option<Secret>,
    lifetime: Option<Duration>,
    expires: Option<Timestamp>,
    scopes: Option<String>,
}

/// The names in use, by gcloud (`print-access-token`, `config-helper`), rclone, oauth2l, Google's libraries and the API of
/// service accounts.
#[derive(Deserialize)]
struct Fields {
    #[serde(alias = "token", alias = "accessToken")]
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Value>,
    #[serde(alias = "token_expiry", alias = "expires_at", alias = "expireTime")]
    expiry: Option<Value>,
    scope: Option<String>,
    /// `gcloud config config-helper` has it one level below.
    credential: Option<Box<Fields>>,
}

impl Printed {
    /// How long it still holds; `None` if that is not known.
    pub(in super::super) fn left(&self) -> Option<Duration> {
        let by_clock = self.expires.map(|expires| expires.millis().saturating_sub(clock::now().millis()));
        self.lifetime.or_else(|| by_clock.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0))))
    }

    /// As a token to be used from now on.
    pub(in super::super) fn issued(self) -> Result<Issued, String> {
        let lifetime = self.left();
        if lifetime == Some(Duration::ZERO) {
            return Err("printed a token that has expired".to_owned());
        }
        Ok(Issued { lifetime, scopes: self.scopes, ..Issued::bare(self.token) })
    }
}

/// What is wrong is said as a verb and the rest, without repeating the text.
pub(in super::super) fn printed(text: &str) -> Result<Printed, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("printed nothing".to_owned());
    }
    if !text.starts_with('{') {
        let token = AccessToken::new(text).ok_or("printed something else than one token")?;
        return Ok(Printed { token, refresh_token: None, lifetime: None, expires: None, scopes: None });
    }
    let mut fields: Fields = serde_json::from_str(text).map_err(|error| {
        format!("printed no JSON of the expected form (line {}, column {})", error.line(), error.column())
    })?;
    if let Some(inner) = fields.credential.take() {
        fields = *inner;
    }
    let token = fields.access_token.as_deref().and_then(AccessToken::new);
    Ok(Printed {
        token: token.ok_or("printed JSON without an `access_token`")?,
        refresh_token: fields.refresh_token.as_deref().filter(|text| !text.is_empty()).map(Secret::new),
        lifetime: fields.expires_in.as_ref().and_then(seconds).map(Duration::from_secs),
        expires: fields.expiry.as_ref().and_then(moment),
        scopes: fields.scope.filter(|scopes| !scopes.is_empty()),
    })
}

/// A number, or a text that is one.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A moment as text, or in seconds since 1970. The zero of Go (the year 1) is out of range and means that there is no end.
fn moment(value: &Value) -> Option<Timestamp> {
    let since_1970 = || Some(Timestamp::from_millis(i64::try_from(seconds(value)?).ok()?.saturating_mul(1000)));
    value.as_str().and_then(Timestamp::parse_rfc3339).or_else(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_alone_and_the_forms_of_known_programs_are_read() {
        for (text, left) in [
            ("ya29.token\n", None),
            (r#"{"token": "ya29.token"}"#, None),
            (r#"{"access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer"}"#, Some(3599)),
            (r#"{"access_token": "ya29.token", "expires_in": "120"}"#, Some(120)),
            (r#"{"access_token": "ya29.token", "refresh_token": "1//x", "expiry": "0001-01-01T00:00:00Z"}"#, None),
            (r#"{"credential": {"access_token": "ya29.token", "token_expiry": "2001-01-01T00:00:00Z"}}"#, Some(0)),
            (r#"{"accessToken": "ya29.token", "expireTime": "2001-01-01T02:00:00.123456789+01:00"}"#, Some(0)),
            (r#"{"access_token": "ya29.token", "expires_at": 978307200}"#, Some(0)),
        ] {
            let printed = printed(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(printed.token.expose(), "ya29.token");
            assert_eq!(printed.left().map(|left| left.as_secs()), left, "{text}");
            assert_eq!(printed.issued().is_err(), left == Some(0), "{text}");
        }
        let hour = Timestamp::from_millis(clock::now().millis() + 3_600_000).to_rfc3339();
        let printed = printed(&format!(r#"{{"access_token": "x", "expiry": "{hour}"}}"#)).expect("reads");
        assert!((3590..=3600).contains(&printed.left().expect("has an end").as_secs()));
    }

    #[test]
    fn what_is_no_token_is_told_without_repeating_it() {
        for (text, hint) in [
            (" \n", "nothing"),
            ("Please sign in, secret", "something else"),
            ("{secret", "no JSON"),
            (r#"{"id_token": "secret"}"#, "access_token"),
            (r#"{"access_token": "two secrets"}"#, "access_token"),
        ] {
            let why = printed(text).expect_err("no token");
            assert!(why.contains(hint) && !why.contains("secret"), "{why}");
        }
    }
}
