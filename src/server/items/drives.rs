//! Shared drives: how they come, change and go. Who makes one organizes it.

use serde_json::Map;

use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::item::SharedDrive;
use super::super::media_type::Kind;
use super::super::metadata::drive::DriveBody;
use super::super::permission::{Holder, Permission, Role};
use super::super::store::changes::{self, Keeper};
use super::super::store::rows::{self, ItemRow};
use super::super::store::{drives, permissions, users};
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
        let no = drives::insert(self.edit, &id, name, request, details)?;
        let me = &self.caller.user;
        let member = Permission {
            item: no,
            id: me.permission_id.clone(),
            holder: Holder::User,
            address: Some(me.email.clone()),
            user: Some(me.no),
            role: Role::Organizer,
            is_found: false,
            expires: None,
            time: self.edit.now,
            giver: me.no,
        };
        permissions::put(self.edit, &member)?;
        Ok(id)
    }

    /// The shared drive, if the caller organizes it.
    fn organized(&self, id: &str) -> Result<SharedDrive> {
        match self.access().drive(id)? {
            (drive, Role::Organizer) => Ok(drive),
            _ => Err(ApiError::insufficient_file_permissions()),
        }
    }

    /// Changes a shared drive. Saying nothing changes nothing.
    pub(crate) fn update_drive(&self, id: &str, body: &DriveBody) -> Result<()> {
        let drive = self.organized(id)?;
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
        let (drive, _) = self.access().drive(id)?;
        self.save_drive(&drive, &SharedDrive { hidden, ..drive.clone() })
    }

    fn save_drive(&self, before: &SharedDrive, after: &SharedDrive) -> Result<()> {
        let same = (&before.name, before.hidden, &before.details) == (&after.name, after.hidden, &after.details);
        if same { Ok(()) } else { drives::save(self.edit, after) }
    }

    /// Deletes a shared drive with its trash. Nothing else may be in it.
    pub(crate) fn delete_drive(&self, id: &str) -> Result<()> {
        let drive = self.organized(id)?;
        if drives::is_in_use(self.edit.db, drive.no)? {
            return Err(ApiError::drive_not_empty());
        }
        let permissions = permissions::on(self.edit.db, drive.no, self.edit.now)?;
        drives::delete(self.edit, &drive)?;
        let mut members = permissions.iter().filter_map(|permission| permission.user);
        members.try_for_each(|member| changes::lose_drive(self.edit, &drive.id, member))
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

    /// Lets all that is in a folder follow it into the drive, or to the owner, that it has now. Each of them leaves the log that
    /// it was in, and enters others.
    fn bring_along(&self, folder: &ItemRow) -> Result<()> {
        permissions::lower(self.edit, folder.no)?;
        for id in drives::below(self.edit.db, folder.no)? {
            let before = rows::find(self.edit.db, &id)?;
            permissions::lower(self.edit, before.no)?;
            // Those above it are there already, so what log it was in is asked of the drive alone.
            let left = match before.drive {
                Some(drive) => vec![Keeper::Drive(rows::id(self.edit.db, drive)?)],
                None => Vec::new(),
            };
            let after = ItemRow { drive: folder.drive, owner: folder.owner, ..before };
            rows::save(self.edit, &after)?;
            changes::change_keepers(self.edit, &id, &left, &self.keepers(&after)?)?;
        }
        Ok(())
    }

    /// Does what else there is to do when an item is in another folder than `before`, and maybe in another drive; `keepers` are
    /// the logs that it was in. Fails if it takes more storage of the user's than there is.
    pub(super) fn emigrate(&self, row: &ItemRow, before: &ItemRow, keepers: &[Keeper]) -> Result<()> {
        changes::change_keepers(self.edit, &row.id, keepers, &self.keepers(row)?)?;
        if row.drive == before.drive {
            return Ok(());
        }
        self.bring_along(row)?;
        let used = row.owner.map_or(Ok(0), |owner| users::used(self.edit.db, owner))?;
        if self.limits.storage.is_some_and(|limit| used > limit) {
            return Err(ApiError::storage_quota_exceeded());
        }
        Ok(())
    }
}
