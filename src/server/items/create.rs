//! New items: from metadata, with content, and as copies.

use serde_json::{Map, Value};

use super::super::blobs::Content;
use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::item::{Revision, Shortcut};
use super::super::media_type::{self, Kind};
use super::super::metadata::{Metadata, Patch};
use super::super::permission::Role;
use super::super::store::contents::{self, About};
use super::super::store::minted::{self, Minted};
use super::super::store::rows::{self, ItemRow};
use super::{Rules, Upload, import};

impl Rules<'_> {
    /// Creates an item; its id. A file without content is empty.
    pub(crate) fn create(&self, metadata: &Metadata, upload: Option<&Upload<'_>>) -> Result<String> {
        let shortcut = self.shortcut(metadata)?;
        let name = match (&metadata.name, &shortcut) {
            (Patch::Set(name), _) => name.clone(),
            (_, Some((_, target))) => target.name.clone(),
            (_, None) => String::from("Untitled"),
        };
        let mime_type = new_mime_type(metadata, upload, &name);
        let kind = Kind::of(&mime_type);
        let content_type = match upload {
            Some(upload) if kind == Kind::Document => import::source_type(&mime_type, upload, &name)?,
            _ => mime_type.clone(),
        };
        match kind {
            Kind::File => {}
            Kind::Document if upload.is_some() => {}
            _ if upload.is_some() => {
                return Err(ApiError::bad_request(format!("Content cannot be converted to {mime_type}.")));
            }
            Kind::Document if !media_type::is_creatable_document(&mime_type) => {
                return Err(ApiError::invalid("mimeType", format!("Items of type {mime_type} cannot be created.")));
            }
            Kind::Folder | Kind::Shortcut | Kind::Document => {}
        }
        let id = self.new_id(metadata, &mime_type)?;
        let parent = self.new_parent(metadata, None)?;
        let explicitly_trashed = metadata.trashed.unwrap_or(false);
        let row = ItemRow {
            no: 0,
            id,
            parent: Some(parent.no),
            mime_type,
            created: metadata.created.unwrap_or(self.edit.now),
            modified: metadata.modified.unwrap_or(self.edit.now),
            viewed: match metadata.viewed {
                Patch::Set(time) => Some(time),
                Patch::Keep | Patch::Clear => None,
            },
            starred: metadata.starred.unwrap_or(false),
            trashed: explicitly_trashed || parent.trashed,
            explicitly_trashed,
            details: Map::new(),
            indexable_text: None,
            shortcut: shortcut.map(|(shortcut, _)| shortcut),
            name,
            children: 0,
            drive: parent.drive,
            trashed_time: explicitly_trashed.then_some(self.edit.now),
            owner: self.owner_in(&parent),
            modifier: Some(self.caller.user.no),
            app: Some(self.caller.app.to_string()),
            app_data: parent.app_data.clone(),
        };
        if row.app_data.is_some() && explicitly_trashed {
            return Err(ApiError::not_for_app_data());
        }
        self.check_ownership(row.owner, kind)?;
        self.check_items(&parent)?;
        self.check_room(&parent, u64::from(kind == Kind::Folder))?;
        let empty = Content::empty();
        let content = upload.map_or(&empty, |upload| upload.content);
        let has_content = kind == Kind::File || upload.is_some();
        // Of a document there is one revision, which can be exported and nothing else.
        let keep_forever = kind == Kind::File && upload.is_some_and(|upload| upload.keep_forever);
        let upload = Upload { content, media_type: Some(&content_type), keep_forever };
        self.add(row, metadata, None, has_content.then_some(upload))
    }

    /// Copies an item (no folder); the id of the copy.
    pub(crate) fn copy(&self, source: &str, metadata: &Metadata, keep_forever: bool) -> Result<String> {
        let (source, role) = self.find(source)?;
        let kind = Kind::of(&source.mime_type);
        if kind == Kind::Folder || !may_take(&source, role) {
            return Err(ApiError::cannot_copy());
        }
        let id = self.new_id(metadata, &source.mime_type)?;
        let parent = self.new_parent(metadata, source.parent)?;
        let owner = self.owner_in(&parent);
        self.check_ownership(owner, kind)?;
        self.check_items(&parent)?;
        self.check_room(&parent, 0)?;
        let content = contents::head(self.edit.db, source.no)?.map(|head| {
            let Revision { blob, size, md5, sha1, sha256, mime_type, .. } = head;
            (Content { blob, size, md5, sha1, sha256, start: Vec::new() }, mime_type)
        });
        let mut details = source.details.clone();
        // A copy is its owner's to change.
        details.remove("contentRestrictions");
        let row = ItemRow {
            id,
            details,
            parent: Some(parent.no),
            name: match &metadata.name {
                Patch::Set(name) => name.clone(),
                Patch::Keep | Patch::Clear => format!("Copy of {}", source.name),
            },
            created: metadata.created.unwrap_or(self.edit.now),
            modified: metadata.modified.unwrap_or(self.edit.now),
            viewed: None,
            starred: metadata.starred.unwrap_or(false),
            trashed: parent.trashed,
            explicitly_trashed: false,
            drive: parent.drive,
            trashed_time: None,
            owner,
            modifier: Some(self.caller.user.no),
            app: Some(self.caller.app.to_string()),
            app_data: parent.app_data.clone(),
            ..source.clone()
        };
        let keep_forever = kind == Kind::File && keep_forever;
        let upload =
            content.as_ref().map(|(content, mime_type)| Upload { content, media_type: Some(mime_type), keep_forever });
        self.add(row, metadata, Some(source.no), upload)
    }

    /// Stores a new item with all that belongs to it, its content of the type that `content` says among it.
    fn add(
        &self,
        mut row: ItemRow,
        metadata: &Metadata,
        source: Option<i64>,
        content: Option<Upload<'_>>,
    ) -> Result<String> {
        self.check_name(&row.name)?;
        for (name, value) in &metadata.details {
            row.details.insert((*name).to_owned(), value.clone());
        }
        row.details.retain(|_, value| !value.is_null());
        if let Patch::Set(text) = &metadata.indexable_text {
            row.indexable_text = Some(text.clone());
        }
        let no = rows::insert(self.edit, &row)?;
        minted::spend(self.edit, &row.id)?;
        if let Some(source) = source {
            rows::copy_properties(self.edit, &self.caller.app, source, no)?;
        }
        self.set_properties(no, metadata)?;
        if let Some(Upload { content, media_type, keep_forever }) = content {
            let original_filename = metadata.original_filename.as_deref().unwrap_or(&row.name);
            let mime_type = media_type.unwrap_or(&row.mime_type);
            let about = About { mime_type, original_filename, modified: row.modified, keep_forever };
            self.set_content(no, row.owner, content, about)?;
        }
        Ok(row.id)
    }

    /// Where a new shortcut leads, and the item there. `None` if the item shall be no shortcut.
    fn shortcut(&self, metadata: &Metadata) -> Result<Option<(Shortcut, ItemRow)>> {
        if metadata.mime_type.as_deref() != Some(media_type::SHORTCUT) {
            return Ok(None);
        }
        let target =
            metadata.shortcut_target.as_deref().ok_or_else(|| ApiError::required("shortcutDetails.targetId"))?;
        let (target, _) = self.find(target)?;
        if Kind::of(&target.mime_type) == Kind::Shortcut {
            return Err(ApiError::shortcut_target_invalid());
        }
        let shortcut = Shortcut { target: target.id.clone(), target_mime_type: target.mime_type.clone() };
        Ok(Some((shortcut, target)))
    }

    /// The id of a new item: the one that the client brought, or a fresh one.
    fn new_id(&self, metadata: &Metadata, mime_type: &str) -> Result<String> {
        let Some(id) = &metadata.id else { return Ok(ids::file()) };
        let kind = Kind::of(mime_type);
        if kind == Kind::Document && !media_type::is_third_party(mime_type) {
            return Err(ApiError::generated_id_not_supported());
        }
        match minted::state(self.edit.db, id)? {
            Minted::Used => Err(ApiError::id_in_use()),
            Minted::Free { shortcut } if shortcut == (kind == Kind::Shortcut) => Ok(id.clone()),
            Minted::Unknown if rows::exists(self.edit.db, id)? => Err(ApiError::id_in_use()),
            Minted::Free { .. } | Minted::Unknown => Err(ApiError::id_not_usable()),
        }
    }

    /// The folder of a new item: the one asked for, else that of the item copied, if the caller may write there, else the root.
    fn new_parent(&self, metadata: &Metadata, source: Option<i64>) -> Result<ItemRow> {
        match metadata.parents.as_deref().unwrap_or_default() {
            [] => {
                let beside = source.map(|no| rows::id(self.edit.db, no)).transpose()?;
                match beside.map(|id| self.access().find(&id)) {
                    Some(Ok((folder, role))) if role >= Role::Writer => Ok(folder),
                    _ => self.folder("root"),
                }
            }
            [parent] => self.folder(parent),
            _ => Err(ApiError::invalid("parents", "A file cannot have more than one parent.")),
        }
    }
}

/// Whether a role includes that the content of an item is taken along.
pub(crate) fn may_take(row: &ItemRow, role: Role) -> bool {
    let is_kept = row.details.get("copyRequiresWriterPermission").and_then(Value::as_bool).unwrap_or(false);
    !is_kept || role >= Role::Writer
}

/// What the client says, else what its content says it is, else what it looks like.
fn new_mime_type(metadata: &Metadata, upload: Option<&Upload<'_>>, name: &str) -> String {
    let declared = upload.and_then(|upload| upload.media_type).filter(|declared| *declared != media_type::OCTET_STREAM);
    let start = upload.map_or(&[][..], |upload| &upload.content.start);
    match (&metadata.mime_type, declared) {
        (Some(mime_type), _) => mime_type.clone(),
        (None, Some(declared)) => declared.to_owned(),
        (None, None) => media_type::guess(name, start).to_owned(),
    }
}
