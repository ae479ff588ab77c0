//! What is said of the trash of the drive.

use serde::{Deserialize, Serialize};

/// Which part of the trash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// Only what was in this folder, a path below the mountpoint; empty: everything.
    #[serde(default)]
    pub under: String,
    /// Only what is known to be in the trash for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_millis: Option<u64>,
}

/// What is in the trash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashList {
    /// What was put there, the last first. What lies in a folder that was put there is part of it.
    pub items: Vec<TrashItem>,
    /// The sum of their bytes.
    pub bytes: u64,
    /// Of what was asked for, how many are not in the list because they are not known to be there for so long.
    #[serde(default)]
    pub younger: usize,
}

/// Something in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashItem {
    /// Its identity on the drive.
    pub id: String,
    /// The path that it had below the mountpoint, or its name if its folder is not known.
    pub path: String,
    /// Whether `path` is more than the name.
    pub is_path: bool,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes of it, with all that is in it.
    pub bytes: u64,
    /// How many things are in it.
    pub entries: usize,
    /// When it was put there, as RFC 3339.
    pub since: String,
    /// Whether the drive told that, or it is when this mount first knew of it.
    pub exact: bool,
}

/// What is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Identities on the drive.
    pub ids: Vec<String>,
}

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emptied {
    /// How many of them are gone.
    pub deleted: usize,
    /// Those that are not, each with the reason.
    pub failed: Vec<(String, String)>,
}

/// What is to be taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its identity on the drive, or the path that it had below the mountpoint.
    pub what: String,
    /// The same as a path below the mountpoint, if `what` may be one seen from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What was taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its identity on the drive.
    pub id: String,
    /// Where it is now, below the mountpoint.
    pub path: String,
}
