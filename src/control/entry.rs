//! What is said of one file or folder, and of the cache.

use serde::{Deserialize, Serialize};

use super::Unsent;

/// The drive was asked for all that is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// How many entries that could not be sent are tried again now.
    pub retried: usize,
}

/// How one file or folder fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryStatus {
    /// Its path below the mountpoint.
    pub path: String,
    /// `folder`, `file`, `link` or `document`.
    pub kind: String,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// Its identity on the drive, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Checksum of the content that the drive has, if it has this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// `clean`, `dirty`, `queued`, `waiting, sent in 12 s`, `uploading 37%`, `retrying: reason`; as `user.drivemount.state`.
    pub state: String,
    /// Why the last read or upload failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the drive does not have yet of it, and of what is in it.
    pub unsent: Unsent,
}

/// What came of clearing a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// Bytes that were dropped: the drive has them.
    pub dropped_bytes: u64,
    /// Bytes that are kept because the drive does not have them yet.
    pub unsent_bytes: u64,
    /// Entries that they belong to.
    pub unsent_entries: usize,
}
