//! Where access tokens come from.
//!
//! [`TokenSource`] is all that the rest of the house knows of signing in: it gives a token that is valid now, and is told when
//! the drive refused one. [`open()`] makes one of what a mount was told. These stand behind it:
//!
//! - [`StaticToken`]: a token from a flag or the environment, good until it expires;
//! - [`TokenFile`]: a token in a file that somebody else renews;
//! - [`AuthorizedUser`]: a refresh token in the `authorized_user` file that gcloud and others write, from which this module
//!   makes access tokens itself;
//! - files that say what they are, service accounts among them; the machine that we run on; a program that prints tokens; a
//!   remote of rclone.
//!
//! ```text
//!   open  late                           what a mount is told -> a source, now or when that is possible
//!   static_token  token_file             tokens as they are
//!   renewed                              tokens that are issued anew before they expire, by:
//!   authorized_user  credentials_file    what trades something for them: a file,
//!   metadata_server  token_command       the machine, a program,
//!   rclone                               the configuration of another program
//!   service_account  jwt                 a key, and what is signed with it
//!   brake                                not to ask again and again what is refused
//!   refresh  endpoint                    how that is traded
//!   kept  file                           what stands in a file, and notices that it changed
//!   sign_in  client  accounts            how a person signs in with a browser, and what is stored of it
//!   watched                              a source, and whether somebody has to sign in
//!   secret                               what must not be shown
//! ```
//!
//! No secret leaves this module but by [`Secret::expose`]: none is in a `Debug` or `Display` text, an error or a log line.

mod accounts;
mod authorized_user;
mod brake;
mod client;
mod credentials_file;
mod endpoint;
mod file;
mod jwt;
mod kept;
mod late;
mod metadata_server;
mod open;
mod rclone;
mod refresh;
mod renewed;
mod secret;
mod service_account;
mod sign_in;
mod static_token;
mod token_command;
mod token_file;
mod watched;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

pub use accounts::{Account, Accounts, AccountsError};
pub use authorized_user::AuthorizedUser;
pub use client::SignInClient;
pub use late::LateTokens;
pub use open::{Access, open};
pub use secret::Secret;
pub use sign_in::{Code, PasteError, SignIn, SignInError, SignedIn};
pub use static_token::StaticToken;
pub use token_command::end_programs;
pub use token_file::TokenFile;
pub use watched::Watched;

use crate::error::Kind;

/// Gives access tokens.
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A token that is valid as far as this side can know. Callers may come by the thousand: what it takes to get a new one
    /// is done once for all of them. Dropping the future is fine.
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>>;

    /// The drive answered 401 to this very token: it is not given out again if a newer one can be had. A token that is not
    /// the current one any more is ignored, so every request that failed with it may say so.
    fn reject(&self, token: &AccessToken);

    /// The drive took this very token.
    fn accept(&self, _token: &AccessToken) {}

    /// Who issued the last token. `None` if that is not known.
    fn issuer(&self) -> Option<Url> {
        None
    }

    /// What the last token is good for: scopes separated by spaces. `None` if that is not known.
    fn scopes(&self) -> Option<String> {
        None
    }

    /// What whoever mounts should hear of it, a line each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A bearer token: proof to the drive who we are. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken(Secret);

impl AccessToken {
    /// From its text, surrounding blanks left out. `None` if that is empty or cannot stand in an HTTP header
    /// (RFC 6750, section 2.1, allows only visible ASCII).
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self(Secret::new(text)))
    }

    /// The text for the `Authorization` header. Keep it out of everything else.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Why there is no access token. One sentence for a person, never with a secret in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// The file with the credentials cannot be read.
    #[error("the credentials in {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
    /// The credentials are not of the form expected.
    #[error("the credentials in {place} cannot be used: {why}")]
    Malformed {
        /// The file, the flag or the variable that they come from.
        place: String,
        /// What is wrong with them; does not repeat them.
        why: String,
    },
    /// The sign-in is no longer good: expired, revoked, or never was. Final until the credentials change, if the word is known to
    /// speak of them.
    #[error("the sign-in was refused ({code}: {})", meaning(code))]
    Refused {
        /// The word of the token service for it, e.g. `invalid_grant`.
        code: String,
    },
    /// No token was given, for a reason that is known well enough to say what to do about it, and that may pass without a
    /// change of the credentials.
    #[error("{why}")]
    NotGranted {
        /// Who got none, why, and the remedy.
        why: String,
    },
    /// The program that prints tokens failed.
    #[error("the program of --token-command {why}")]
    Program {
        /// How; a verb and the rest.
        why: String,
        /// It was given up because it took too long.
        is_late: bool,
    },
    /// The token service cannot be reached.
    #[error("the token service cannot be reached: {why}")]
    Unreachable {
        /// What the network said.
        why: String,
    },
    /// The token service did not answer in time.
    #[error("the token service did not answer in time")]
    TimedOut,
    /// The token service failed, or asks for patience.
    #[error("the token service answered {answer}")]
    Failed {
        /// Its HTTP status, or its word for the failure.
        answer: String,
    },
    /// The token service said something that is no answer.
    #[error("the answer of the token service was not understood")]
    Protocol,
}

impl AuthError {
    /// What it means to the rest of the house.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unreadable { .. }
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::NotGranted { .. }
            | Self::Program { is_late: false, .. } => Kind::SignIn,
            Self::Unreachable { .. } => Kind::Unreachable,
            Self::TimedOut | Self::Program { is_late: true, .. } => Kind::TimedOut,
            Self::Failed { .. } => Kind::Server,
            Self::Protocol => Kind::Protocol,
        }
    }
}

/// What a word of a token service means: those of RFC 6749 (section 5.2) and Google's own.
fn meaning(code: &str) -> &'static str {
    match code {
        "invalid_grant" => "it has expired or was revoked",
        "invalid_client" | "deleted_client" | "disabled_client" => {
            "the OAuth client is not known, or its secret is wrong"
        }
        "unauthorized_client" => {
            "the client may not do this; a service account that acts for somebody needs domain-wide delegation"
        }
        "invalid_scope" => "the scope is not known or was not granted",
        "access_denied" => "the person did not allow it",
        "admin_policy_enforced" | "org_internal" => "the administrator of the account does not allow it",
        _ => "the token service says no more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_must_fit_a_header() {
        assert_eq!(AccessToken::new(" ya29.a-b_c\n").expect("a token").expose(), "ya29.a-b_c");
        for bad in ["", "  \n", "two words", "line\nbreak", "naïve"] {
            assert!(AccessToken::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = AccessToken::new("ya29.secret").expect("a token");
        assert_eq!(format!("{token:?}"), "AccessToken(Secret(…))");
    }
}
