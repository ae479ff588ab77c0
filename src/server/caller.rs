//! Who calls: a user, by an application, with a token that reaches so far.

use std::sync::Arc;

use super::error::{ApiError, Result};
use super::store::users::User;

/// Which files a token reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Files {
    None,
    /// What the application made.
    OfApp,
    All,
}

/// Who calls: set by the check of the token. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub user: Arc<User>,
    /// The application, which owns its private properties.
    pub app: Arc<str>,
    pub files: Files,
    /// Id of the hidden folder of the application, if the token reaches it.
    pub app_folder: Option<Arc<str>>,
}

impl Caller {
    /// The real id behind an alias.
    pub(crate) fn resolve<'a>(&'a self, id: &'a str) -> Result<&'a str> {
        match id {
            "root" => Ok(&self.user.root),
            "appDataFolder" => self.app_folder.as_deref().ok_or_else(ApiError::app_data_not_granted),
            id => Ok(id),
        }
    }
}
