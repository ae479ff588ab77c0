//! From a description of credentials to a source of tokens.

use std::sync::Arc;

use super::{AuthError, AuthorizedUser, StaticToken, TokenFile, TokenSource};
use crate::config::Credentials;

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

    /// Whether these scopes (separated by spaces) are enough for it.
    pub fn is_granted_by(self, scopes: &str) -> bool {
        let has = |access: Self| scopes.split_ascii_whitespace().any(|scope| scope == access.scope());
        has(self) || has(Self::ReadWrite)
    }
}

/// The tokens of `credentials`. What can be known to be wrong without the network is said here.
pub async fn open(credentials: &Credentials, _access: Access) -> Result<Arc<dyn TokenSource>, AuthError> {
    Ok(match credentials {
        Credentials::Token(token) => Arc::new(StaticToken::new("--token or $DRIVEMOUNT_TOKEN", token)?),
        Credentials::TokenFile(path) => Arc::new(TokenFile::new(path.clone())),
        Credentials::File { path, .. } | Credentials::Account { path, .. } => {
            Arc::new(AuthorizedUser::open(path.clone()).await?)
        }
        Credentials::TokenCommand(_) | Credentials::ApplicationDefault { .. } | Credentials::Rclone { .. } => {
            return Err(AuthError::Protocol);
        }
    })
}
