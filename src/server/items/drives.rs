//! Shared drives: how they come, change and go. The one user organizes all of them.

use serde_json::Map;

use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::item::SharedDrive;
use super::super::media_type::Kind;
use super::super::metadata::drive::DriveBody;
use super::super::store::drives;
use super::super::store::rows::ItemRow;
use super::super::store::totals;
use super::Rules;

impl Rules<'_> {
    /// Creates a shared drive, once for each `request`; its id.
    pub(crate) fn create_drive(&self, request: &str, body: &DriveBody) -> Result<String> {
        if drives::is_requested(self.edit.db, request)? {
            return Err(ApiError::drive_exists());
        }
        let name = body.name.as_deref().ok_or_else(|| ApiError::required("name"))?;
        self.check_name(name)?;
        let mut details = Map::new();
        body.put_details(&mut details);
        let id = ids::root();
        drives::insert(self.edit, &id, name, request, details)?;
        Ok(id)
    }

    /// Changes a shared drive. Saying nothing changes nothing.
    pub(crate) fn update_drive(&self, id: &str, body: &DriveBody) -> Result<()> {
        let drive = drives::find(self.edit.db, id)?;
        let mut changed = drive.clone();
        if let Some(name) = &body.name {
            self.check_name(name)?;
            changed.name.clone_from(name);
        }
        body.put_details(&mut changed.details);
        self.save_drive(&drive, &changed)
    }

    /// Hides a shared drive from the user's default view, or shows it there again.
    pub(crate) fn hide_drive(&self, id: &str, hidden: bool) -> Result<()> {
        let drive = drives::find(self.edit.db, id)?;
        self.save_drive(&drive, &SharedDrive { hidden, ..drive.clone() })
    }

    fn save_drive(&self, before: &SharedDrive, after: &SharedDrive) -> Result<()> {
        let same = (&before.name, before.hidden, &before.details) == (&after.name, after.hidden, &after.details);
        if same { Ok(()) } else { drives::save(self.edit, after) }
    }

    /// Deletes a shared drive with its trash. Nothing else may be in it.
    pub(crate) fn delete_drive(&self, id: &str) -> Result<()> {
        let drive = drives::find(self.edit.db, id)?;
        if drives::is_in_use(self.edit.db, drive.no)? {
            return Err(ApiError::drive_not_empty());
        }
        drives::delete(self.edit, &drive)
    }

    /// Whether the drive that `folder` is in can take one more item.
    pub(super) fn check_items(&self, folder: &ItemRow) -> Result<()> {
        match folder.drive {
            Some(drive) if drives::items(self.edit.db, drive)? >= self.limits.drive_items => {
                Err(ApiError::drive_full())
            }
            _ => Ok(()),
        }
    }

    /// Whether an item may go to a folder of another drive than its own.
    pub(super) fn check_emigration(&self, row: &ItemRow, target: &ItemRow) -> Result<()> {
        if row.trashed {
            let error = if target.drive.is_some() { ApiError::trashed_move_in } else { ApiError::trashed_move_out };
            return Err(error());
        }
        if target.drive.is_some() && Kind::of(&row.mime_type) == Kind::Folder {
            return Err(ApiError::folder_move_in());
        }
        self.check_items(target)
    }

    /// Does what else there is to do when an item is in another drive than before. Fails if it takes more storage of the
    /// user's than there is.
    pub(super) fn emigrate(&self, row: &ItemRow, from: Option<i64>) -> Result<()> {
        if row.drive == from {
            return Ok(());
        }
        drives::change_logs(self.edit, row, from)?;
        let used = totals(self.edit.db)?.used;
        if row.drive.is_none() && self.limits.storage.is_some_and(|limit| used > limit) {
            return Err(ApiError::storage_quota_exceeded());
        }
        Ok(())
    }
}
