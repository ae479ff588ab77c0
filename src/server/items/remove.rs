//! The end of items.

use super::super::error::{ApiError, Result};
use super::super::permission::Role;
use super::super::store::rows;
use super::super::store::trash::{self, Trash};
use super::Rules;

impl Rules<'_> {
    /// Deletes an item for good, with all that is in it.
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        let (row, role) = self.find(id)?;
        let needed = if row.drive.is_some() { Role::Organizer } else { Role::Owner };
        if row.parent.is_none() || role < needed {
            return Err(ApiError::insufficient_file_permissions());
        }
        trash::delete(self.edit, &row, &self.keepers(&row)?)
    }

    /// Deletes all that was put into the trash of the user or of a shared drive.
    pub(crate) fn empty_trash(&self, shared_drive: Option<&str>) -> Result<()> {
        let trash = match shared_drive {
            None => Trash::User(self.caller.user.no),
            Some(id) => match self.access().drive(id)? {
                (drive, Role::Organizer) => Trash::Drive(drive.no),
                _ => return Err(ApiError::insufficient_file_permissions()),
            },
        };
        for id in trash::explicitly_trashed(self.edit.db, trash)? {
            // What was in another of them went with it.
            if rows::exists(self.edit.db, &id)? {
                let row = rows::find(self.edit.db, &id)?;
                trash::delete(self.edit, &row, &self.keepers(&row)?)?;
            }
        }
        Ok(())
    }
}
