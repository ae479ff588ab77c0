//! Items as JSON.
//!
//! Only what the mask selects is made at all; a field without a value is left out, never `null`. 64-bit numbers are
//! strings, times have exactly three digits after the second.

mod capabilities;
mod drive;

use serde_json::{Map, Value, json};

use super::export;
use super::fields::Mask;
use super::item::{Item, Revision};
use super::media_type::Kind;
use super::store::Identity;
use super::store::changes::Change;
use super::store::rows::ItemRow;

pub(crate) use drive::drive;

/// The one user's mail address. No mail arrives there.
pub(crate) const EMAIL: &str = "owner@drive.localhost";
/// Id of the one revision of any document: nobody edits it.
pub(crate) const DOCUMENT_REVISION: &str = "1";
const DISPLAY_NAME: &str = "Drive Owner";

/// What descriptions depend on beside the item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub identity: &'a Identity,
    /// Scheme and authority by which the caller reached this server, for links.
    pub origin: &'a str,
}

/// An object under construction, of which `mask` says what is wanted.
#[derive(Debug)]
pub(crate) struct Object<'m> {
    mask: &'m Mask,
    fields: Map<String, Value>,
}

impl<'m> Object<'m> {
    pub(crate) fn new(mask: &'m Mask) -> Self {
        Self { mask, fields: Map::new() }
    }

    /// Adds a field, if it is wanted; `value` is asked only then.
    pub(crate) fn put<T: Into<Value>>(&mut self, name: &str, value: impl FnOnce() -> T) {
        if self.mask.select(name).is_some() {
            self.fields.insert(name.to_owned(), value().into());
        }
    }

    /// Adds a field, if it is wanted and has a value.
    pub(crate) fn put_some<T: Into<Value>>(&mut self, name: &str, value: impl FnOnce() -> Option<T>) {
        if self.mask.select(name).is_some()
            && let Some(value) = value()
        {
            self.fields.insert(name.to_owned(), value.into());
        }
    }

    /// Adds a field made by something that looks at what is wanted of it.
    pub(crate) fn nest(&mut self, name: &str, value: impl FnOnce(&Mask) -> Value) {
        if let Some(mask) = self.mask.select(name) {
            self.fields.insert(name.to_owned(), value(mask));
        }
    }

    pub(crate) fn finish(self) -> Value {
        Value::Object(self.fields)
    }
}

/// What `mask` selects of a plain value.
pub(crate) fn select(mask: &Mask, value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let selected = fields.into_iter().filter_map(|(name, value)| {
                let mask = mask.select(&name)?;
                Some((name, select(mask, value)))
            });
            Value::Object(selected.collect())
        }
        Value::Array(elements) => elements.into_iter().map(|element| select(mask, element)).collect(),
        plain => plain,
    }
}

/// The one user.
pub(crate) fn user(identity: &Identity) -> Value {
    json!({
        "kind": "drive#user",
        "displayName": DISPLAY_NAME,
        "emailAddress": EMAIL,
        "permissionId": identity.permission_id,
        "me": true,
    })
}

fn permission(identity: &Identity) -> Value {
    json!({
        "kind": "drive#permission",
        "id": identity.permission_id,
        "type": "user",
        "role": "owner",
        "displayName": DISPLAY_NAME,
        "emailAddress": EMAIL,
        "deleted": false,
        "pendingOwner": false,
    })
}

/// A file.
pub(crate) fn file(item: &Item, view: View<'_>, mask: &Mask) -> Value {
    let kind = item.kind();
    let identity = view.identity;
    let mut file = Object::new(mask);
    file.put("kind", || "drive#file");
    file.put("id", || item.id.as_str());
    file.put("name", || item.name.as_str());
    file.put("mimeType", || item.mime_type.as_str());
    file.put_some("parents", || item.parent.as_ref().map(|parent| json!([parent])));
    file.put("createdTime", || item.created.to_rfc3339());
    file.put("modifiedTime", || item.modified.to_rfc3339());
    file.put("modifiedByMeTime", || item.modified.to_rfc3339());
    file.put("modifiedByMe", || true);
    file.put_some("viewedByMeTime", || item.viewed.map(crate::clock::Timestamp::to_rfc3339));
    file.put("viewedByMe", || item.viewed.is_some());
    file.put("trashed", || item.trashed);
    file.put("explicitlyTrashed", || item.explicitly_trashed);
    file.put("starred", || item.starred);
    file.put("version", || item.version.to_string());
    file.put("quotaBytesUsed", || item.quota_bytes.to_string());
    file.put("spaces", || json!(["drive"]));
    match &item.drive {
        None => {
            file.put("ownedByMe", || true);
            file.put("shared", || false);
            file.nest("owners", |mask| select(mask, json!([user(identity)])));
            file.nest("permissions", |mask| select(mask, json!([permission(identity)])));
        }
        Some(drive) => in_shared_drive(&mut file, item, drive, identity),
    }
    file.put("isAppAuthorized", || true);
    file.put("hasThumbnail", || false);
    file.put("thumbnailVersion", || "0");
    file.put("permissionIds", || json!([identity.permission_id]));
    file.nest("lastModifyingUser", |mask| select(mask, user(identity)));
    file.nest("capabilities", |mask| select(mask, capabilities::capabilities(item)));
    details(&mut file, item);
    for (name, properties) in [("properties", &item.properties), ("appProperties", &item.app_properties)] {
        if !properties.is_empty() {
            file.nest(name, |mask| select(mask, properties.clone().into()));
        }
    }
    if let Some(shortcut) = &item.shortcut {
        file.nest("shortcutDetails", |mask| {
            let details = json!({ "targetId": shortcut.target, "targetMimeType": shortcut.target_mime_type });
            select(mask, details)
        });
    }
    if let Some(head) = item.head.as_ref().filter(|_| kind == Kind::File) {
        content(&mut file, item, head);
    }
    export_links(&mut file, &item.id, &item.mime_type, view);
    file.put("webViewLink", || match kind {
        Kind::Folder => format!("{}/drive/folders/{}", view.origin, item.id),
        Kind::Document => format!("{}/document/d/{}/edit", view.origin, item.id),
        Kind::Shortcut | Kind::File => format!("{}/file/d/{}/view", view.origin, item.id),
    });
    file.finish()
}

/// What only items of shared drives have. They belong to nobody, and who may see them is a matter of the drive.
fn in_shared_drive(file: &mut Object<'_>, item: &Item, drive: &str, identity: &Identity) {
    file.put("driveId", || drive);
    file.put("teamDriveId", || drive);
    file.put("hasAugmentedPermissions", || false);
    if item.explicitly_trashed {
        file.put_some("trashedTime", || item.trashed_time.map(crate::clock::Timestamp::to_rfc3339));
        file.nest("trashingUser", |mask| select(mask, user(identity)));
    }
}

/// Where a document can be had in other formats.
fn export_links(object: &mut Object<'_>, id: &str, mime_type: &str, view: View<'_>) {
    let formats = export::formats::formats(mime_type);
    if formats.is_empty() {
        return;
    }
    object.nest("exportLinks", |mask| {
        let links = formats.iter().map(|format| {
            (format.mime_type.to_owned(), Value::String(export::link(view.origin, id, format.mime_type)))
        });
        select(mask, Value::Object(links.collect()))
    });
}

/// Fields that the user set and the drive only keeps, with the values that they have before.
fn details(file: &mut Object<'_>, item: &Item) {
    for name in ["description", "folderColorRgb", "contentRestrictions"] {
        if let Some(value) = item.details.get(name) {
            file.nest(name, |mask| select(mask, value.clone()));
        }
    }
    let flag = |name: &str, default: bool| item.details.get(name).and_then(Value::as_bool).unwrap_or(default);
    if item.drive.is_none() {
        file.put("writersCanShare", || flag("writersCanShare", true));
    }
    file.put("copyRequiresWriterPermission", || flag("copyRequiresWriterPermission", false));
    file.put("viewersCanCopyContent", || !flag("copyRequiresWriterPermission", false));
}

/// Fields of files that have content.
fn content(file: &mut Object<'_>, item: &Item, head: &Revision) {
    file.put("headRevisionId", || head.id.as_str());
    file.put("size", || head.size.to_string());
    file.put("md5Checksum", || head.md5.as_str());
    file.put("sha1Checksum", || head.sha1.as_str());
    file.put("sha256Checksum", || head.sha256.as_str());
    file.put("originalFilename", || head.original_filename.as_str());
    file.put_some("fileExtension", || item.name.rsplit_once('.').map(|(_, extension)| extension));
    file.put_some("fullFileExtension", || item.name.split_once('.').map(|(_, extension)| extension));
}

/// A revision.
pub(crate) fn revision(revision: &Revision, identity: &Identity, mask: &Mask) -> Value {
    let mut object = Object::new(mask);
    object.put("kind", || "drive#revision");
    object.put("id", || revision.id.as_str());
    object.put("mimeType", || revision.mime_type.as_str());
    object.put("modifiedTime", || revision.modified.to_rfc3339());
    object.put("keepForever", || revision.keep_forever);
    object.put("published", || false);
    object.put("size", || revision.size.to_string());
    object.put("md5Checksum", || revision.md5.as_str());
    object.put("originalFilename", || revision.original_filename.as_str());
    object.nest("lastModifyingUser", |mask| select(mask, user(identity)));
    object.finish()
}

/// The one revision of a document, which has no bytes of its own.
pub(crate) fn document_revision(document: &ItemRow, view: View<'_>, mask: &Mask) -> Value {
    let mut object = Object::new(mask);
    object.put("kind", || "drive#revision");
    object.put("id", || DOCUMENT_REVISION);
    object.put("mimeType", || document.mime_type.as_str());
    object.put("modifiedTime", || document.modified.to_rfc3339());
    object.put("published", || false);
    object.nest("lastModifyingUser", |mask| select(mask, user(view.identity)));
    export_links(&mut object, &document.id, &document.mime_type, view);
    object.finish()
}

/// An entry of a log of changes.
pub(crate) fn change(change: &Change, view: View<'_>, mask: &Mask) -> Value {
    let mut entry = Object::new(mask);
    entry.put("kind", || "drive#change");
    let (what, time, removed) = match change {
        Change::Present(item) => ("file", item.changed, false),
        Change::Removed { time, .. } => ("file", *time, true),
        Change::Drive(drive) => ("drive", drive.changed, false),
        Change::DriveRemoved { time, .. } => ("drive", *time, true),
    };
    entry.put("type", || what);
    entry.put("changeType", || what);
    entry.put("time", || time.to_rfc3339());
    entry.put("removed", || removed);
    match change {
        Change::Present(item) => {
            entry.put("fileId", || item.id.as_str());
            entry.nest("file", |mask| file(item, view, mask));
        }
        Change::Removed { id, file: item, .. } => {
            entry.put("fileId", || id.as_str());
            if let Some(item) = item {
                entry.nest("file", |mask| file(item, view, mask));
            }
        }
        Change::Drive(shared) => {
            entry.put("driveId", || shared.id.as_str());
            entry.put("teamDriveId", || shared.id.as_str());
            entry.nest("drive", |mask| drive(shared, mask));
        }
        Change::DriveRemoved { id, .. } => {
            entry.put("driveId", || id.as_str());
            entry.put("teamDriveId", || id.as_str());
        }
    }
    entry.finish()
}
