//! Who somebody is to the drive, as a mount is told it: which of the ways to get a token, and where it finds what it needs.
//!
//! Says nothing about tokens themselves; [`crate::auth`] opens what is described here.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the token comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// Itself, from a flag or the environment. A secret.
    Token(String),
    /// A file that holds it, and is read again when it changes.
    TokenFile(PathBuf),
    /// A program that prints one, as a line for the shell.
    TokenCommand(String),
    /// A file of JSON that says what it is: `authorized_user` as gcloud and others write it, or `service_account` as Google's
    /// console hands it out.
    File {
        /// Where it is.
        path: PathBuf,
        /// The person for whom a service account acts, if not for itself.
        impersonate: Option<String>,
    },
    /// What Google's libraries would use (application default credentials): the file that `$GOOGLE_APPLICATION_CREDENTIALS`
    /// names, that of `gcloud auth application-default login`, or the service account of the machine.
    ApplicationDefault {
        /// The person for whom a service account acts, if not for itself.
        impersonate: Option<String>,
    },
    /// The sign-in of a remote of rclone.
    Rclone {
        /// Its name in rclone's configuration.
        remote: String,
        /// rclone's configuration file, if it is not at one of the usual places.
        config: Option<PathBuf>,
    },
    /// A sign-in that `drivemount login` stored.
    Account {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

impl Credentials {
    /// A name for whose they are, for the folder of the cache: the same for the same credentials, without a look at them. `None`:
    /// they say nothing, and somebody else's may stand in the same place tomorrow.
    pub fn label(&self) -> Option<String> {
        match self {
            Self::Account { name, .. } if name == DEFAULT_ACCOUNT => None,
            Self::Account { name, .. } => Some(name.clone()),
            Self::Rclone { remote, .. } => Some(format!("rclone-{remote}")),
            Self::File { impersonate: Some(person), .. } | Self::ApplicationDefault { impersonate: Some(person) } => {
                Some(person.clone())
            }
            Self::Token(_)
            | Self::TokenFile(_)
            | Self::TokenCommand(_)
            | Self::File { .. }
            | Self::ApplicationDefault { .. } => None,
        }
    }

    /// What a person does when the drive refuses them, as the end of a sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Token(_) => {
                "mount again with a fresh token, better in a file (--token-file), which is read again".into()
            }
            Self::TokenFile(path) => format!("write a fresh token into {}; it is read at once", path.display()),
            Self::TokenCommand(_) => "mend the program of --token-command; it is run again at the next request".into(),
            Self::File { path, .. } => {
                format!("put good credentials into {}; they are read at once", path.display())
            }
            Self::ApplicationDefault { .. } => {
                "sign in again with `gcloud auth application-default login`, or give other credentials".into()
            }
            Self::Rclone { remote, .. } => format!("sign in again with `rclone config reconnect {remote}:`"),
            Self::Account { name, .. } if name == DEFAULT_ACCOUNT => "sign in again with `drivemount login`".into(),
            Self::Account { name, .. } => format!("sign in again with `drivemount login --account {name}`"),
        }
    }

    /// A file with a secret in it that others may be able to read.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::TokenFile(path) | Self::File { path, .. } | Self::Account { path, .. } => Some(path),
            Self::Rclone { config, .. } => config.as_ref(),
            Self::Token(_) | Self::TokenCommand(_) | Self::ApplicationDefault { .. } => None,
        }
    }
}

/// The name of a stored sign-in when none is given.
pub const DEFAULT_ACCOUNT: &str = "default";

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            // It may hold a password.
            Self::TokenCommand(_) => f.write_str("TokenCommand(…)"),
            Self::TokenFile(path) => write!(f, "TokenFile({})", path.display()),
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::ApplicationDefault { .. } => f.write_str("ApplicationDefault"),
            Self::Rclone { remote, .. } => write!(f, "Rclone({remote})"),
            Self::Account { name, .. } => write!(f, "Account({name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        for secret in [Credentials::Token("secret".into()), Credentials::TokenCommand("print secret".into())] {
            assert!(!format!("{secret:?}").contains("secret"));
        }
    }
}
