//! What can be known of a sign-in before the first request that needs it: that there is a token, that it reaches far enough, and
//! that who signed in can own files. Said at the start, with the remedy, rather than by a program that cannot write.

use std::time::Duration;

use url::Url;

use super::MountError;
use crate::auth::{Access, AuthError, TokenSource};
use crate::config::{Credentials, MountConfig};
use crate::error::Kind;
use crate::net;
use crate::remote::About;

/// How long a start waits for a token.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same for one that a program prints: longer than the program may take, which then is told as what it is.
const PATIENCE_WITH_PROGRAM: Duration = Duration::from_secs(35);

/// The scope that reaches only what an application made itself, or was handed. The root is not among that.
const OWN_FILES: &str = "https://www.googleapis.com/auth/drive.file";

/// Gets a token. A failure that may pass is left to whoever asks the drive next, who knows how to go on without it.
pub(super) async fn token(config: &MountConfig, tokens: &dyn TokenSource, url: &str) -> Result<(), MountError> {
    let is_program = matches!(config.credentials, Some(Credentials::TokenCommand { .. }));
    let patience = if is_program { PATIENCE_WITH_PROGRAM } else { PATIENCE };
    match tokio::time::timeout(patience, tokens.token()).await {
        Ok(Err(error)) if error.kind() == Kind::SignIn => Err(refused(config, url, &error)),
        Ok(Err(error @ AuthError::Program { .. })) => Err(refused(config, url, &error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What a refusal of the token service, or of the drive, comes to.
fn refused(config: &MountConfig, url: &str, error: &AuthError) -> MountError {
    if let AuthError::NotGranted { why } = error {
        return MountError::NotGranted { why: why.clone() };
    }
    MountError::Refused { url: url.to_owned(), why: error.to_string(), remedy: remedy(config.credentials.as_ref()) }
}

/// What a person does about a sign-in that is not good, as a sentence.
pub(super) fn remedy(credentials: Option<&Credentials>) -> String {
    sentence(&credentials.map_or_else(|| "sign in with `drivemount login`".to_owned(), Credentials::remedy))
}

/// What a person does about a sign-in that is good, but does not reach far enough, as the end of a sentence.
fn wider(credentials: Option<&Credentials>, access: Access) -> String {
    credentials.map_or_else(|| "sign in with `drivemount login`".to_owned(), |own| own.wider(access.scope()))
}

/// What a person does about a drive that lets a sign-in do nothing, as a sentence.
pub(super) fn enable(config: &MountConfig) -> String {
    let access = if config.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let wider = sentence(&wider(config.credentials.as_ref(), access));
    format!("{wider}; the project that it belongs to must have the Google Drive API enabled")
}

/// Whether the drive is one that the sign-in may be shown to: Google's are for Google alone, whoever else speaks its language.
pub(super) fn check_place(
    credentials: Option<&Credentials>,
    tokens: &dyn TokenSource,
    drive: &Url,
) -> Result<(), MountError> {
    let is_googles = tokens.issuer().is_some_and(|issuer| net::is_googles(&issuer));
    if !is_googles || net::is_googles(drive) {
        return Ok(());
    }
    let (what, place) = (credentials.map_or_else(String::new, Credentials::describe), drive.origin());
    let why = format!(
        "{what}: it is a sign-in at Google, and {} is another server, which is not shown it. Give the credentials of that one, or \
         leave out its address (--api-url, $DRIVEMOUNT_API_URL)",
        place.ascii_serialization()
    );
    Err(MountError::NotGranted { why })
}

/// Whether the sign-in reaches what the mount is for, if that is known.
pub(super) fn check_scopes(config: &MountConfig, tokens: &dyn TokenSource, url: &str) -> Result<(), MountError> {
    let Some(scopes) = tokens.scopes() else { return Ok(()) };
    let has = |scope: &str| scopes.split_ascii_whitespace().any(|granted| granted == scope);
    let can_write = has(Access::ReadWrite.scope());
    let can_read = can_write || has(Access::ReadOnly.scope());
    let (needs, is_enough) =
        if config.read_only { (Access::ReadOnly, can_read) } else { (Access::ReadWrite, can_write) };
    if is_enough {
        return Ok(());
    }
    let wider = wider(config.credentials.as_ref(), needs);
    let (why, remedy) = if can_read {
        ("it may only look at the drive", format!("Mount with --read-only, or {wider}"))
    } else if has(OWN_FILES) {
        ("it reaches only the files that its own application made (drive.file)", sentence(&wider))
    } else {
        ("it was made without any scope of Google Drive", sentence(&wider))
    };
    Err(MountError::Scope { url: url.to_owned(), why: why.to_owned(), remedy })
}

/// What is worth a line about a sign-in that works.
pub(super) fn notes(config: &MountConfig, tokens: &dyn TokenSource, about: &About) -> Vec<String> {
    let mut notes = tokens.notes();
    if about.quota.limit == Some(0) && !config.read_only {
        notes.push(format!(
            "{} has no storage and cannot own files: the drive will refuse new ones. Act for a person with --impersonate PERSON \
             (a service account with domain-wide delegation), or sign in as one with `drivemount login`",
            about.email
        ));
    }
    notes
}

/// `text` with a large first letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::auth::AccessToken;

    /// Tokens of an issuer.
    #[derive(Debug)]
    struct Of(&'static str);

    impl TokenSource for Of {
        fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
            async { Err(AuthError::Protocol) }.boxed()
        }

        fn reject(&self, _token: &AccessToken) {}

        fn issuer(&self) -> Option<Url> {
            self.0.parse().ok()
        }
    }

    #[test]
    fn what_google_gives_is_shown_to_google_alone() {
        const GOOGLE: &str = "https://oauth2.googleapis.com/token";
        for (issuer, drive, is_shown) in [
            (GOOGLE, "https://www.googleapis.com", true),
            (GOOGLE, "http://nas:8080", false),
            (GOOGLE, "http://127.0.0.1:8080", false),
            (GOOGLE, "https://www.googleapis.com.example", false),
            ("http://nas:8080/token", "http://nas:8080", true),
            ("", "http://nas:8080", true),
        ] {
            let drive: Url = drive.parse().expect("an address");
            assert_eq!(check_place(None, &Of(issuer), &drive).is_ok(), is_shown, "{issuer} {drive}");
        }
    }
}
