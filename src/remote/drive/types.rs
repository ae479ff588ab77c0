//! The JSON of Drive, as far as it concerns us.
//!
//! Every field may be absent: the drive leaves out what an item does not have, and what our sign-in may not see.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The fields of an item that [`File`] takes in, for every call that answers with items.
///
/// `spaces` is for the checksum, see [`super::convert`]. All calls use the same set, so that every description of an item is
/// as good as any other.
pub(super) const FILE: &str = "id,name,mimeType,parents,size,md5Checksum,headRevisionId,version,modifiedTime,createdTime,\
    trashed,explicitlyTrashed,ownedByMe,shared,driveId,properties,webViewLink,spaces,shortcutDetails(targetId),\
    capabilities(canModifyContent,canAddChildren,canRename,canTrash,canMoveItemWithinDrive,canMoveItemOutOfDrive)";

/// An item.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) parents: Option<Vec<String>>,
    #[serde(default, deserialize_with = "integer")]
    pub(super) size: Option<u64>,
    pub(super) md5_checksum: Option<String>,
    pub(super) head_revision_id: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    pub(super) version: Option<u64>,
    pub(super) modified_time: Option<String>,
    pub(super) created_time: Option<String>,
    pub(super) trashed: Option<bool>,
    pub(super) shared: Option<bool>,
    /// Put into the trash itself, and not only a folder above it.
    pub(super) explicitly_trashed: Option<bool>,
    pub(super) owned_by_me: Option<bool>,
    /// Of items of shared drives, which are not said to be shared.
    pub(super) drive_id: Option<String>,
    /// In listings of the trash only, and there of items of shared drives only.
    pub(super) trashed_time: Option<String>,
    pub(super) properties: Option<BTreeMap<String, String>>,
    pub(super) web_view_link: Option<String>,
    pub(super) spaces: Option<Vec<String>>,
    /// Asked for alone.
    pub(super) export_links: Option<BTreeMap<String, String>>,
    pub(super) shortcut_details: Option<ShortcutDetails>,
    pub(super) capabilities: Option<Capabilities>,
}

/// Where a shortcut leads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShortcutDetails {
    pub(super) target_id: Option<String>,
}

/// What the account may do with an item.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "Drive's names")]
pub(super) struct Capabilities {
    pub(super) can_modify_content: Option<bool>,
    pub(super) can_add_children: Option<bool>,
    pub(super) can_rename: Option<bool>,
    pub(super) can_trash: Option<bool>,
    pub(super) can_move_item_within_drive: Option<bool>,
    pub(super) can_move_item_out_of_drive: Option<bool>,
}

/// A page of `drives.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriveList {
    #[serde(default)]
    pub(super) drives: Vec<Drive>,
    pub(super) next_page_token: Option<String>,
}

/// A shared drive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drive {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) created_time: Option<String>,
    pub(super) capabilities: Option<DriveCapabilities>,
}

/// What the account may do with what is in a shared drive.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "Drive's names")]
pub(super) struct DriveCapabilities {
    pub(super) can_edit: Option<bool>,
    pub(super) can_add_children: Option<bool>,
    pub(super) can_trash_children: Option<bool>,
    pub(super) can_delete_children: Option<bool>,
}

/// What is said of an item in a create or an update: what is absent stays as it is.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parents: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shortcut_details: Option<NewShortcut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trashed: Option<bool>,
    /// `None` inside clears a key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) properties: BTreeMap<Cow<'static, str>, Option<String>>,
}

/// Where a new shortcut is to lead.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewShortcut<'a> {
    pub(super) target_id: &'a str,
}

/// A page of `files.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileList {
    #[serde(default)]
    pub(super) files: Vec<File>,
    pub(super) next_page_token: Option<String>,
    #[serde(default)]
    pub(super) incomplete_search: bool,
}

/// A page of `changes.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeList {
    #[serde(default)]
    pub(super) changes: Vec<Change>,
    pub(super) next_page_token: Option<String>,
    pub(super) new_start_page_token: Option<String>,
}

/// A change of an item, or of a whole shared drive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    /// `file` or `drive`.
    #[serde(rename = "changeType")]
    pub(super) what: Option<String>,
    #[serde(default)]
    pub(super) removed: bool,
    pub(super) file_id: Option<String>,
    pub(super) drive_id: Option<String>,
    pub(super) file: Option<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartPageToken {
    pub(super) start_page_token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct GeneratedIds {
    pub(super) ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) user: User,
    #[serde(default)]
    pub(super) storage_quota: StorageQuota,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub(super) permission_id: String,
    pub(super) email_address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct StorageQuota {
    /// Absent: no limit.
    #[serde(default, deserialize_with = "integer")]
    pub(super) limit: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(super) usage: Option<u64>,
}

/// 64-bit integers travel as texts, because numbers of JSON lose digits in JavaScript; a number is as welcome.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Integer {
        Text(String),
        Number(u64),
    }
    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Integer::Number(number)) => Ok(Some(number)),
        Some(Integer::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_as_text_or_number_or_not_at_all() {
        for (json, size) in [
            (r#"{"size": "18446744073709551615"}"#, Some(u64::MAX)),
            (r#"{"size": 42}"#, Some(42)),
            (r#"{"size": null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(serde_json::from_str::<File>(json).expect("parses").size, size, "{json}");
        }
        for json in [r#"{"size": "many"}"#, r#"{"size": -1}"#, r#"{"version": "1e9"}"#] {
            assert!(serde_json::from_str::<File>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_not_said_stays_as_it_is_and_what_is_null_is_cleared() {
        let metadata = Metadata {
            name: Some("n"),
            properties: [("drivemount.mode".into(), Some("0755".to_owned())), ("drivemount.owner".into(), None)].into(),
            ..Metadata::default()
        };
        assert_eq!(
            serde_json::to_value(&metadata).expect("is JSON"),
            serde_json::json!({"name": "n", "properties": {"drivemount.mode": "0755", "drivemount.owner": null}})
        );
    }
}
