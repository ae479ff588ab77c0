//! Who somebody is to the drive, as a mount is told it: which of the ways to get a token, and where it finds what it needs.
//!
//! Says nothing about tokens themselves; [`crate::auth`] opens what is described here.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::application_default::{GOOGLE_CREDENTIALS, gcloud_file};

/// Where the token comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// Itself, from a flag or the environment. A secret.
    Token(String),
    /// A file that holds it, and is read again when it changes.
    TokenFile(PathBuf),
    /// A program that prints one.
    TokenCommand {
        /// A line for the shell. It may hold a secret.
        line: String,
        /// The folder that it is run in.
        dir: PathBuf,
    },
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
        /// The file, if there is one; else it is the machine.
        file: Option<PathBuf>,
        /// The person for whom a service account acts, if not for itself.
        impersonate: Option<String>,
    },
    /// The sign-in of a remote of rclone.
    Rclone {
        /// Its name in rclone's configuration.
        remote: String,
        /// rclone's configuration file, if there is any.
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
            Self::Rclone { remote, .. } => Some(format!("rclone:{remote}")),
            Self::File { impersonate: Some(person), .. }
            | Self::ApplicationDefault { impersonate: Some(person), .. } => Some(person.clone()),
            Self::Token(_)
            | Self::TokenFile(_)
            | Self::TokenCommand { .. }
            | Self::File { .. }
            | Self::ApplicationDefault { .. } => None,
        }
    }

    /// What they are and where, for people, without what they hold.
    pub fn describe(&self) -> String {
        match self {
            Self::Token(_) => "a token from --token or $DRIVEMOUNT_TOKEN".to_owned(),
            Self::TokenFile(path) => format!("the token in {}", path.display()),
            Self::TokenCommand { .. } => "the program of --token-command".to_owned(),
            Self::File { path, .. } => format!("the sign-in in {}", path.display()),
            Self::ApplicationDefault { file: Some(path), .. } => {
                format!("the application default credentials in {}", path.display())
            }
            Self::ApplicationDefault { file: None, .. } => "the service account of this machine".to_owned(),
            Self::Rclone { remote, .. } => format!("rclone's remote {remote}"),
            Self::Account { name, .. } => format!("the account {name}, which `drivemount login` stored"),
        }
    }

    /// What a person does when the drive refuses them, as the end of a sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Token(_) => {
                "mount again with a fresh token, better in a file (--token-file), which is read again".into()
            }
            Self::TokenFile(path) => {
                format!("write a fresh token into {} (--token-file); it is read at once", path.display())
            }
            Self::TokenCommand { .. } => {
                "mend the program of --token-command, or what it signs in with; it is run again for the next request"
                    .into()
            }
            Self::File { path, .. } => {
                format!("put good credentials into {}; they are read at once", path.display())
            }
            Self::ApplicationDefault { file: Some(file), .. } if !is_of_gcloud(file) => {
                format!("put good credentials into {}, which ${GOOGLE_CREDENTIALS} names", file.display())
            }
            Self::ApplicationDefault { .. } => format!("sign in again with {GCLOUD_LOGIN}, or give other credentials"),
            Self::Rclone { remote, .. } => format!("sign in again with `rclone config reconnect {remote}:`"),
            Self::Account { name, .. } => format!("sign in again with {}", login(name)),
        }
    }

    /// What a person does when they are good, but not for everything that was asked of them, as the end of a sentence. `scope`
    /// is what is missing.
    pub fn wider(&self, scope: &str) -> String {
        match self {
            Self::Token(_) | Self::TokenFile(_) => format!("give a token with the scope {scope}"),
            Self::TokenCommand { .. } => format!("let the program of --token-command ask for the scope {scope}"),
            Self::File { path, .. } if !is_of_gcloud(path) => {
                format!("put credentials with the scope {scope} into {}", path.display())
            }
            Self::ApplicationDefault { file: Some(file), .. } if !is_of_gcloud(file) => {
                format!("put credentials with the scope {scope} into {}", file.display())
            }
            Self::ApplicationDefault { file: None, .. } => {
                format!(
                    "give this machine's service account the scope {scope}, or give its key with --service-account-file"
                )
            }
            Self::File { .. } | Self::ApplicationDefault { .. } => format!("sign in again with {GCLOUD_LOGIN}"),
            Self::Rclone { remote, .. } => {
                let short = scope.rsplit('/').next().unwrap_or(scope);
                format!("run `rclone config update {remote} scope {short}` and `rclone config reconnect {remote}:`")
            }
            Self::Account { name, .. } => format!("sign in again with {}, which asks for {scope}", login(name)),
        }
    }

    /// A file with a secret in it that others may be able to read.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::TokenFile(path) | Self::File { path, .. } | Self::Account { path, .. } => Some(path),
            Self::Rclone { config: file, .. } | Self::ApplicationDefault { file, .. } => file.as_ref(),
            Self::Token(_) | Self::TokenCommand { .. } => None,
        }
    }
}

fn login(name: &str) -> String {
    if name == DEFAULT_ACCOUNT { "`drivemount login`".into() } else { format!("`drivemount login --account {name}`") }
}

fn is_of_gcloud(file: &Path) -> bool {
    gcloud_file().is_some_and(|of_gcloud| of_gcloud == file)
}

/// How a person signs in with gcloud for Google Drive. Without a client of one's own, Google refuses that scope to gcloud.
pub const GCLOUD_LOGIN: &str = "`gcloud auth application-default login --client-id-file=CLIENT.json \
                                --scopes=https://www.googleapis.com/auth/drive,https://www.googleapis.com/auth/cloud-platform`";

/// The name of a stored sign-in when none is given.
pub const DEFAULT_ACCOUNT: &str = "default";

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            // It may hold a password.
            Self::TokenCommand { .. } => f.write_str("TokenCommand(…)"),
            Self::TokenFile(path) => write!(f, "TokenFile({})", path.display()),
            Self::File { path, impersonate } => write!(f, "File({}, for {impersonate:?})", path.display()),
            Self::ApplicationDefault { file, impersonate } => {
                write!(f, "ApplicationDefault({file:?}, for {impersonate:?})")
            }
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
        let command = Credentials::TokenCommand { line: "print secret".into(), dir: "/".into() };
        for secret in [Credentials::Token("secret".into()), command] {
            assert!(!format!("{secret:?}").contains("secret"));
        }
    }
}
