//! What the drive holds, as its answers describe it.

use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::media_type::Kind;

/// A file, a folder, a shortcut or a document, in its current state.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its row.
    pub no: i64,
    /// Its id.
    pub id: String,
    /// Id of the folder that it is in; `None` for a folder at the top of a drive.
    pub parent: Option<String>,
    /// Any text.
    pub name: String,
    pub mime_type: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub viewed: Option<Timestamp>,
    pub starred: bool,
    /// In the trash, itself or with a folder above it.
    pub trashed: bool,
    /// Put into the trash itself.
    pub explicitly_trashed: bool,
    /// Fields that are kept and given back, nothing more.
    pub details: Map<String, Value>,
    /// Properties that all applications see.
    pub properties: Map<String, Value>,
    /// Properties that the asking application alone sees.
    pub app_properties: Map<String, Value>,
    /// Bytes that count against the quota.
    pub quota_bytes: u64,
    /// Number of its last change.
    pub version: i64,
    /// Time of its last change.
    pub changed: Timestamp,
    pub shortcut: Option<Shortcut>,
    /// Its content, if it is a file.
    pub head: Option<Revision>,
    /// Id of the shared drive that it is in; `None` in My Drive.
    pub drive: Option<String>,
    /// When it was put into the trash itself.
    pub trashed_time: Option<Timestamp>,
    /// Number and owner of the folder that it is in.
    pub parent_no: Option<i64>,
    pub parent_owner: Option<i64>,
    /// The user that owns it; `None` in a shared drive.
    pub owner: Option<i64>,
    /// The user who changed it last.
    pub modifier: Option<i64>,
    /// The application that made it.
    pub app: Option<String>,
    /// The application whose hidden folder it is in.
    pub app_data: Option<String>,
}

impl Item {
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(&self.mime_type)
    }

    /// Whether its content and its name are not to be changed.
    pub(crate) fn is_locked(&self) -> bool {
        is_locked(&self.details)
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            no: self.no,
            parent: self.parent_no,
            owner: self.owner,
            app: self.app.as_deref(),
            app_data: self.app_data.as_deref(),
        }
    }
}

/// Whether these fields of an item say that its content and its name are not to be changed.
pub(crate) fn is_locked(details: &Map<String, Value>) -> bool {
    is_read_only(details.get("contentRestrictions"))
}

/// Whether one of some content restrictions makes read-only.
pub(crate) fn is_read_only(restrictions: Option<&Value>) -> bool {
    let mut restrictions = restrictions.and_then(Value::as_array).into_iter().flatten();
    restrictions.any(|restriction| restriction["readOnly"] == true)
}

/// Where an item is and whose it is: what roles on it depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub no: i64,
    pub parent: Option<i64>,
    pub owner: Option<i64>,
    /// The application that made it.
    pub app: Option<&'a str>,
    /// The application whose hidden folder it is in.
    pub app_data: Option<&'a str>,
}

/// Where a shortcut leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortcut {
    /// Id of an item, which may be gone.
    pub target: String,
    /// What the target was when the shortcut was made.
    pub target_mime_type: String,
}

/// One content of a file.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    pub id: String,
    /// The file of its bytes; `None` if it has none, or none any more.
    pub blob: Option<String>,
    pub size: u64,
    pub md5: String,
    pub sha1: String,
    pub sha256: String,
    pub mime_type: String,
    pub original_filename: String,
    pub modified: Timestamp,
    pub keep_forever: bool,
}

/// A shared drive.
#[derive(Debug, Clone)]
pub(crate) struct SharedDrive {
    /// Number of its top folder.
    pub no: i64,
    /// Its id, which is that of its top folder.
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub hidden: bool,
    /// Fields that are kept and given back, nothing more.
    pub details: Map<String, Value>,
    /// Number and time of the last change of the drive itself.
    pub version: i64,
    pub changed: Timestamp,
}
