//! [`SignInClient`]: the OAuth client in whose name somebody signs in.
//!
//! It is the user's own: a client that we shipped would share its limits, and its fate, with everybody. docs/SIGN-IN.md shows how
//! one is made.

use serde_json::{Value, json};
use url::Url;

use super::Secret;
use super::authorized_user::{TOKEN_URI, web_address};
use crate::net;

/// Where a person is asked, if the description does not say (Google's OAuth 2.0 documentation for installed applications).
const AUTH_URI: &str = "https://accounts.google.com/o/oauth2/v2/auth";

/// An OAuth client of the kind that Google calls "desktop app".
#[derive(Debug, Clone)]
pub struct SignInClient {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) auth_uri: Url,
    pub(super) token_uri: Url,
}

impl SignInClient {
    /// A client at Google, by its id and its secret.
    pub fn google(id: &str, secret: &str) -> Result<Self, String> {
        Self::new(id, secret, AUTH_URI, TOKEN_URI)
    }

    fn new(id: &str, secret: &str, auth_uri: &str, token_uri: &str) -> Result<Self, String> {
        let address = |name: &str, text: &str| web_address(text).ok_or(format!("its `{name}` is no web address"));
        let (auth_uri, token_uri) = (address("auth_uri", auth_uri)?, address("token_uri", token_uri)?);
        if id.trim().is_empty() || secret.trim().is_empty() {
            return Err("a client has an id and a secret".to_owned());
        }
        Ok(Self { id: id.trim().to_owned(), secret: Secret::new(secret.trim()), auth_uri, token_uri })
    }

    /// From the JSON file that Google's console hands out. What is wrong is said without repeating the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("it is no JSON (line {}, column {})", error.line(), error.column()))?;
        if value.get("web").is_some() {
            return Err("it describes a client for web sites; make one of the type \"Desktop app\"".to_owned());
        }
        if value.get("type").and_then(Value::as_str) == Some("service_account") {
            return Err(
                "it is the key of a service account, which needs no sign-in: mount with --service-account-file"
                    .to_owned(),
            );
        }
        let Some(client) = value.get("installed") else {
            return Err("it is not the file of an OAuth client of the type \"Desktop app\"".to_owned());
        };
        let text = |name: &str| client.get(name).and_then(Value::as_str);
        let need = |name: &str| text(name).ok_or_else(|| format!("its `{name}` is missing"));
        let (auth_uri, token_uri) = (text("auth_uri").unwrap_or(AUTH_URI), text("token_uri").unwrap_or(TOKEN_URI));
        Self::new(need("client_id")?, need("client_secret")?, auth_uri, token_uri)
    }

    /// Whether what it gets is Google's.
    pub fn is_googles(&self) -> bool {
        net::is_googles(&self.token_uri)
    }

    /// The same form, to be kept. A secret.
    pub(super) fn to_json(&self) -> Value {
        json!({ "installed": {
            "client_id": self.id,
            "client_secret": self.secret.expose(),
            "auth_uri": self.auth_uri,
            "token_uri": self.token_uri,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_googles_console_is_understood_and_kept() {
        let text = r#"{"installed": {"client_id": "1-a.apps.example", "project_id": "p", "client_secret": "GOCSPX-x",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
            "redirect_uris": ["http://localhost"]}}"#;
        let client = SignInClient::parse(text).expect("a client");
        assert_eq!(client.id, "1-a.apps.example");
        assert!(!format!("{client:?}").contains("GOCSPX"));
        let kept = SignInClient::parse(&client.to_json().to_string()).expect("a client");
        assert_eq!((kept.secret.expose(), kept.auth_uri), ("GOCSPX-x", client.auth_uri));
    }

    #[test]
    fn what_is_no_desktop_client_is_named() {
        for (text, hint) in [
            ("GOCSPX-x", "no JSON"),
            (r#"{"web": {"client_id": "a"}}"#, "Desktop app"),
            (r#"{"type": "service_account"}"#, "--service-account-file"),
            (r#"{"installed": {"client_id": "a"}}"#, "client_secret"),
            (
                r#"{"installed": {"client_id": "a", "client_secret": "GOCSPX-x", "token_uri": "file:///x"}}"#,
                "token_uri",
            ),
        ] {
            let error = SignInClient::parse(text).expect_err("no client");
            assert!(error.contains(hint) && !error.contains("GOCSPX"), "{error}");
        }
    }
}
