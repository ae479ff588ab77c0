//! From a description of credentials to a source of tokens.

use std::path::PathBuf;
use std::sync::Arc;

use super::credentials_file::CredentialsFile;
use super::metadata_server::MetadataServer;
use super::rclone::RcloneRemote;
use super::token_command::TokenCommand;
use super::{AuthError, AuthorizedUser, StaticToken, TokenFile, TokenSource};
use crate::config::{self, Credentials};

/// What a token shall be good for, where that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking at everything.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

impl Access {
    /// The scope of it, as the Drive API names it (Google's page "Choose Google Drive API scopes").
    pub const fn scope(self) -> &'static str {
        match self {
            Self::ReadOnly => "https://www.googleapis.com/auth/drive.readonly",
            Self::ReadWrite => "https://www.googleapis.com/auth/drive",
        }
    }

    /// The scopes that a person is asked for: with the right to change things comes that to a hidden folder of our own, where what is
    /// known of the drive is kept. Whoever does not grant that loses nothing else.
    pub(super) fn asked_for(self) -> impl Iterator<Item = &'static str> {
        let own = (self == Self::ReadWrite).then_some("https://www.googleapis.com/auth/drive.appdata");
        std::iter::once(self.scope()).chain(own)
    }

    /// Whether these scopes (separated by spaces) are enough for it.
    pub fn is_granted_by(self, scopes: &str) -> bool {
        let has = |access: Self| scopes.split_ascii_whitespace().any(|scope| scope == access.scope());
        has(self) || has(Self::ReadWrite)
    }
}

/// The tokens of `credentials`. What can be known to be wrong without the network is said here.
pub async fn open(credentials: &Credentials, access: Access) -> Result<Arc<dyn TokenSource>, AuthError> {
    let file = async |path: &PathBuf, person: &Option<String>| {
        CredentialsFile::open(path.clone(), access, person.clone()).await
    };
    Ok(match credentials {
        Credentials::Token(token) => Arc::new(StaticToken::new("--token or $DRIVEMOUNT_TOKEN", token)?),
        Credentials::TokenFile(path) => Arc::new(TokenFile::new(path.clone())),
        Credentials::TokenCommand { line, dir } => Arc::new(TokenCommand::new(line, dir.clone())),
        Credentials::File { path, impersonate } | Credentials::ApplicationDefault { file: Some(path), impersonate } => {
            Arc::new(file(path, impersonate).await?)
        }
        Credentials::ApplicationDefault { file: None, impersonate: None } => {
            Arc::new(MetadataServer::open(&config::metadata_host(), access)?)
        }
        Credentials::ApplicationDefault { file: None, impersonate: Some(person) } => {
            return Err(AuthError::NotGranted {
                why: format!(
                    "the service account of a machine has no key and cannot act for {person}: leave out --impersonate, or give a \
                     key with --service-account-file FILE"
                ),
            });
        }
        Credentials::Rclone { remote, config: Some(path) } => {
            Arc::new(RcloneRemote::open(remote, path.clone(), access).await?)
        }
        Credentials::Rclone { config: None, .. } => {
            return Err(AuthError::NotGranted {
                why: "rclone has no configuration here; name its file with --rclone-config FILE".to_owned(),
            });
        }
        Credentials::Account { path, .. } => Arc::new(AuthorizedUser::open(path.clone()).await?),
    })
}
