//! Changes of an item: metadata, content, place, trash, all in one step.

use super::super::error::{ApiError, Result};
use super::super::export::formats;
use super::super::item::{is_locked, is_read_only};
use super::super::media_type::{self, Kind};
use super::super::metadata::{Metadata, Patch};
use super::super::permission::Role;
use super::super::store::contents::{self, About};
use super::super::store::rows::{self, ItemRow};
use super::super::store::trash;
use super::{Moves, Rules, Upload, import};

impl Rules<'_> {
    /// Changes an item. The modification time becomes that of the change, unless the client gives one. Saying nothing
    /// changes nothing.
    pub(crate) fn update(
        &self,
        id: &str,
        metadata: &Metadata,
        moves: Moves<'_>,
        upload: Option<&Upload<'_>>,
    ) -> Result<()> {
        let (mut row, role) = self.find(id)?;
        if metadata.parents.is_some() {
            return Err(ApiError::parents_not_writable());
        }
        if metadata.names_read_only_field {
            return Err(ApiError::fields_not_writable());
        }
        if metadata.empty && moves.add.is_empty() && moves.remove.is_empty() && upload.is_none() {
            return Ok(());
        }
        if upload.is_some() && !is_writable(&row) {
            return Err(ApiError::never_writable());
        }
        let renamed = metadata.name != Patch::Keep;
        if role < Role::Writer {
            return Err(ApiError::insufficient_file_permissions());
        }
        if metadata.trashed.is_some() {
            check_trashing(&row, role)?;
        }
        let is_root = row.parent.is_none();
        if is_root && (renamed || metadata.trashed.is_some()) {
            return Err(ApiError::insufficient_file_permissions());
        }
        if (renamed || upload.is_some()) && is_locked(&row.details) && !unlocks(metadata) {
            return Err(ApiError::insufficient_file_permissions());
        }
        let before = row.clone();
        let keepers = self.keepers(&before)?;
        self.move_item(&mut row, role, moves)?;
        row.modifier = Some(self.caller.user.no);
        if let Some(trashed) = metadata.trashed.filter(|trashed| *trashed != row.explicitly_trashed) {
            row.explicitly_trashed = trashed;
            row.trashed_time = trashed.then_some(self.edit.now);
        }
        row.trashed = row.explicitly_trashed || self.is_parent_trashed(&row)?;
        self.set_fields(&mut row, metadata)?;
        let content_type = upload.map(|upload| revised_type(&row, metadata, upload)).transpose()?;
        let kind = Kind::of(&row.mime_type);
        if let Some(content_type) = content_type.as_ref().filter(|_| kind == Kind::File) {
            row.mime_type.clone_from(content_type);
        }
        rows::save(self.edit, &row)?;
        if row.parent != before.parent {
            self.emigrate(&row, &before, &keepers)?;
        }
        if row.trashed != before.trashed && Kind::of(&row.mime_type) == Kind::Folder {
            trash::spread(self.edit, row.no, row.trashed)?;
        }
        self.set_properties(row.no, metadata)?;
        if let Some(name) = &metadata.original_filename {
            contents::set_original_filename(self.edit, row.no, name)?;
        }
        if let (Some(upload), Some(content_type)) = (upload, &content_type) {
            let head = contents::head(self.edit.db, row.no)?;
            let about = About {
                mime_type: content_type,
                original_filename: head.as_ref().map_or(&row.name, |head| &head.original_filename),
                modified: row.modified,
                keep_forever: kind == Kind::File && upload.keep_forever,
            };
            self.set_content(row.no, row.owner, upload.content, about)?;
        }
        Ok(())
    }

    fn set_fields(&self, row: &mut ItemRow, metadata: &Metadata) -> Result<()> {
        match &metadata.name {
            Patch::Keep => {}
            Patch::Clear => row.name = String::from("Untitled"),
            Patch::Set(name) => row.name.clone_from(name),
        }
        self.check_name(&row.name)?;
        row.modified = metadata.modified.unwrap_or(self.edit.now);
        match metadata.viewed {
            Patch::Keep => {}
            Patch::Clear => row.viewed = None,
            Patch::Set(time) => row.viewed = Some(time),
        }
        row.starred = metadata.starred.unwrap_or(row.starred);
        match &metadata.indexable_text {
            Patch::Keep => {}
            Patch::Clear => row.indexable_text = None,
            Patch::Set(text) => row.indexable_text = Some(text.clone()),
        }
        for (name, value) in &metadata.details {
            row.details.insert((*name).to_owned(), value.clone());
        }
        row.details.retain(|_, value| !value.is_null());
        Ok(())
    }

    fn is_parent_trashed(&self, row: &ItemRow) -> Result<bool> {
        row.parent.map_or(Ok(false), |parent| rows::is_trashed(self.edit.db, parent))
    }

    /// Puts an item where `moves` says, if that leaves it in exactly one folder.
    fn move_item(&self, row: &mut ItemRow, role: Role, moves: Moves<'_>) -> Result<()> {
        if moves.add.is_empty() && moves.remove.is_empty() {
            return Ok(());
        }
        let Some(current) = row.parent else {
            return Err(ApiError::insufficient_file_permissions());
        };
        let mut removed = false;
        for id in moves.remove {
            removed |= self.find_or_root(id)?.no == current;
        }
        let mut target: Option<ItemRow> = None;
        for id in moves.add {
            let folder = self.folder(id)?;
            let stays = folder.no == current && !removed;
            match &target {
                _ if stays => {}
                None => target = Some(folder),
                Some(other) if other.no == folder.no => {
                    return Err(ApiError::bad_request("A parent was given twice."));
                }
                Some(_) => return Err(second_parent(row, &folder)),
            }
        }
        let target = match target {
            Some(target) if !removed => return Err(second_parent(row, &target)),
            Some(target) => target,
            None if removed && row.drive.is_some() => return Err(ApiError::one_parent_exactly()),
            // An item of My Drive that loses its last parent goes to the root.
            None if removed => self.folder("root")?,
            None => return Ok(()),
        };
        if target.no == current {
            return Ok(());
        }
        check_moving(row, role, &target)?;
        if rows::is_within(self.edit.db, target.no, row.no)? {
            return Err(ApiError::bad_request("A folder cannot be moved into itself or into a folder within it."));
        }
        if target.drive != row.drive {
            self.check_emigration(row, &target)?;
        }
        let levels = match Kind::of(&row.mime_type) {
            Kind::Folder => 1 + rows::height(self.edit.db, row.no)?,
            Kind::Shortcut | Kind::Document | Kind::File => 0,
        };
        self.check_room(&target, levels)?;
        if target.drive != row.drive {
            row.owner = self.owner_in(&target);
            self.check_ownership(row.owner, Kind::of(&row.mime_type))?;
        }
        (row.parent, row.drive) = (Some(target.no), target.drive);
        Ok(())
    }

    /// An item that others are taken out of.
    fn find_or_root(&self, id: &str) -> Result<ItemRow> {
        let is_root = id == "root" || id == self.caller.user.root;
        if is_root { rows::find(self.edit.db, &self.caller.user.root) } else { Ok(self.find(id)?.0) }
    }
}

/// Whether a role includes putting an item into the trash, and taking it out.
fn check_trashing(row: &ItemRow, role: Role) -> Result<()> {
    let needed = if row.drive.is_some() { Role::FileOrganizer } else { Role::Owner };
    if row.app_data.is_some() {
        return Err(ApiError::not_for_app_data());
    }
    if role < needed { Err(ApiError::insufficient_file_permissions()) } else { Ok(()) }
}

/// Whether a role includes moving an item there.
fn check_moving(row: &ItemRow, role: Role, target: &ItemRow) -> Result<()> {
    if row.app_data != target.app_data {
        return Err(ApiError::not_for_app_data());
    }
    let needed = match row.drive {
        None => Role::Owner,
        Some(_) if target.drive == row.drive => Role::FileOrganizer,
        Some(_) => Role::Organizer,
    };
    if role < needed { Err(ApiError::insufficient_file_permissions()) } else { Ok(()) }
}

/// An item shall have one parent more.
fn second_parent(row: &ItemRow, folder: &ItemRow) -> ApiError {
    let is_shared = row.drive.is_some() || folder.drive.is_some();
    if is_shared { ApiError::one_parent_exactly() } else { ApiError::cannot_add_parent() }
}

/// Whether an update lifts them in the same step.
fn unlocks(metadata: &Metadata) -> bool {
    let restrictions = metadata.details.iter().find(|(name, _)| *name == "contentRestrictions");
    restrictions.is_some_and(|(_, value)| !is_read_only(Some(value)))
}

/// Whether an item takes content.
fn is_writable(row: &ItemRow) -> bool {
    match Kind::of(&row.mime_type) {
        Kind::File => true,
        Kind::Document => formats::is_importable(&row.mime_type),
        Kind::Folder | Kind::Shortcut => false,
    }
}

/// The type of new content: what the client says, else what the content was declared as, else as before. A document stays
/// one, and is made anew of what was sent.
fn revised_type(row: &ItemRow, metadata: &Metadata, upload: &Upload<'_>) -> Result<String> {
    if Kind::of(&row.mime_type) == Kind::Document {
        return import::source_type(&row.mime_type, upload, &row.name);
    }
    let declared = upload.media_type.filter(|declared| *declared != media_type::OCTET_STREAM);
    let mime_type = metadata.mime_type.as_deref().or(declared).unwrap_or(&row.mime_type);
    if Kind::of(mime_type) != Kind::File {
        return Err(ApiError::bad_request(format!("Content cannot be converted to {mime_type}.")));
    }
    Ok(mime_type.to_owned())
}
