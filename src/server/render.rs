//! Items as JSON.
//!
//! Only what the mask selects is made at all; a field without a value is left out, never `null`. 64-bit numbers are
//! strings, times have exactly three digits after the second.

mod capabilities;
mod drive;
mod people;

use serde_json::{Map, Value, json};

use super::access::Access;
use super::error::Result;
use super::export;
use super::fields::Mask;
use super::item::{Item, Revision};
use super::media_type::Kind;
use super::permission::Role;
use super::store::changes::Change;
use super::store::rows::ItemRow;

pub(crate) use drive::drive;
pub(crate) use people::{permission, user};

/// Id of the one revision of any document: nobody edits it.
pub(crate) const DOCUMENT_REVISION: &str = "1";

/// What descriptions depend on beside the item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// Who looks.
    pub access: &'a Access<'a>,
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

    /// Adds a field made by something that looks at what is wanted of it, and may fail.
    pub(crate) fn try_nest(&mut self, name: &str, value: impl FnOnce(&Mask) -> Result<Value>) -> Result<()> {
        if let Some(mask) = self.mask.select(name) {
            self.fields.insert(name.to_owned(), value(mask)?);
        }
        Ok(())
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

/// A file.
pub(crate) fn file(item: &Item, view: View<'_>, mask: &Mask) -> Result<Value> {
    let kind = item.kind();
    let access = view.access;
    let me = access.caller.user.no;
    let role = access.role(item.place())?.unwrap_or(Role::Reader);
    let modifier = item.modifier.and_then(|user| access.identity.user(user));
    let modified_by_me = item.modifier == Some(me);
    // A folder that the caller does not see is not told of.
    let shows_parent = match item.parent_no {
        Some(parent) if mask.select("parents").is_some() => access.sees_folder(parent, item.parent_owner)?,
        _ => false,
    };
    let mut file = Object::new(mask);
    file.put("kind", || "drive#file");
    file.put("id", || item.id.as_str());
    file.put("name", || item.name.as_str());
    file.put("mimeType", || item.mime_type.as_str());
    file.put_some("parents", || item.parent.as_ref().filter(|_| shows_parent).map(|parent| json!([parent])));
    file.put("createdTime", || item.created.to_rfc3339());
    file.put("modifiedTime", || item.modified.to_rfc3339());
    file.put_some("modifiedByMeTime", || modified_by_me.then(|| item.modified.to_rfc3339()));
    file.put("modifiedByMe", || modified_by_me);
    file.put_some("viewedByMeTime", || item.viewed.map(crate::clock::Timestamp::to_rfc3339));
    file.put("viewedByMe", || item.viewed.is_some());
    file.put("trashed", || item.trashed);
    file.put("explicitlyTrashed", || item.explicitly_trashed);
    file.put("starred", || item.starred);
    file.put("version", || item.version.to_string());
    file.put("quotaBytesUsed", || item.quota_bytes.to_string());
    file.put("spaces", || json!([if item.app_data.is_some() { "appDataFolder" } else { "drive" }]));
    match &item.drive {
        None => people::owned(&mut file, item, access, role)?,
        Some(drive) => in_shared_drive(&mut file, item, drive, access),
    }
    file.put("isAppAuthorized", || item.app.as_deref() == Some(&*access.caller.app));
    file.put("hasThumbnail", || false);
    file.put("thumbnailVersion", || "0");
    file.try_nest("permissionIds", |_| {
        let held = access.permissions(item.place())?;
        Ok(held.iter().map(|held| held.permission.id.as_str()).collect())
    })?;
    if let Some(modifier) = modifier {
        file.nest("lastModifyingUser", |mask| select(mask, user(modifier, modified_by_me)));
    }
    file.nest("capabilities", |mask| select(mask, capabilities::capabilities(item, role)));
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
    Ok(file.finish())
}

/// What only items of shared drives have. They belong to nobody, and who may see them is a matter of the drive.
fn in_shared_drive(file: &mut Object<'_>, item: &Item, drive: &str, access: &Access<'_>) {
    file.put("driveId", || drive);
    file.put("teamDriveId", || drive);
    file.put("hasAugmentedPermissions", || false);
    if item.explicitly_trashed {
        file.put_some("trashedTime", || item.trashed_time.map(crate::clock::Timestamp::to_rfc3339));
        // Whoever changed it last: little happens to what is in the trash.
        if let Some(trasher) = item.modifier.and_then(|user| access.identity.user(user)) {
            file.nest("trashingUser", |mask| select(mask, user(trasher, trasher.no == access.caller.user.no)));
        }
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

/// A revision of an item.
pub(crate) fn revision(revision: &Revision, item: &ItemRow, access: &Access<'_>, mask: &Mask) -> Value {
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
    last_modifier(&mut object, item, access);
    object.finish()
}

fn last_modifier(object: &mut Object<'_>, item: &ItemRow, access: &Access<'_>) {
    if let Some(modifier) = item.modifier.and_then(|user| access.identity.user(user)) {
        object.nest("lastModifyingUser", |mask| select(mask, user(modifier, modifier.no == access.caller.user.no)));
    }
}

/// The one revision of a document, which has no bytes of its own.
pub(crate) fn document_revision(document: &ItemRow, view: View<'_>, mask: &Mask) -> Value {
    let mut object = Object::new(mask);
    object.put("kind", || "drive#revision");
    object.put("id", || DOCUMENT_REVISION);
    object.put("mimeType", || document.mime_type.as_str());
    object.put("modifiedTime", || document.modified.to_rfc3339());
    object.put("published", || false);
    last_modifier(&mut object, document, view.access);
    export_links(&mut object, &document.id, &document.mime_type, view);
    object.finish()
}

/// An entry of a log of changes.
pub(crate) fn change(change: &Change, view: View<'_>, mask: &Mask) -> Result<Value> {
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
            entry.try_nest("file", |mask| file(item, view, mask))?;
        }
        Change::Removed { id, file: item, .. } => {
            entry.put("fileId", || id.as_str());
            if let Some(item) = item {
                entry.try_nest("file", |mask| file(item, view, mask))?;
            }
        }
        Change::Drive(shared) => {
            entry.put("driveId", || shared.id.as_str());
            entry.put("teamDriveId", || shared.id.as_str());
            let role = view.access.drive_role(shared.no)?.unwrap_or(Role::Reader);
            entry.nest("drive", |mask| drive(shared, role, mask));
        }
        Change::DriveRemoved { id, .. } => {
            entry.put("driveId", || id.as_str());
            entry.put("teamDriveId", || id.as_str());
        }
    }
    Ok(entry.finish())
}
