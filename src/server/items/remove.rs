//! The end of items.

use super::super::error::{ApiError, Result};
use super::super::store::trash;
use super::Rules;

impl Rules<'_> {
    /// Deletes an item for good, with all that is in it.
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        let row = self.find(id)?;
        if row.parent.is_none() {
            return Err(ApiError::insufficient_file_permissions());
        }
        trash::delete(self.edit, row.no, &row.id)
    }

    /// Deletes all that was put into the trash of the user (of a shared drive, of which there are none).
    pub(crate) fn empty_trash(&self, shared_drive: Option<&str>) -> Result<()> {
        if let Some(id) = shared_drive {
            return Err(ApiError::drive_not_found(id));
        }
        for (no, id) in trash::explicitly_trashed(self.edit.db)? {
            trash::delete(self.edit, no, &id)?;
        }
        Ok(())
    }
}
