//! The end of items.

use super::super::error::{ApiError, Result};
use super::super::store::{drives, trash};
use super::Rules;

impl Rules<'_> {
    /// Deletes an item for good, with all that is in it.
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        let row = self.find(id)?;
        if row.parent.is_none() {
            return Err(ApiError::insufficient_file_permissions());
        }
        trash::delete(self.edit, row.no, &row.id, row.drive)
    }

    /// Deletes all that was put into the trash of the user or of a shared drive.
    pub(crate) fn empty_trash(&self, shared_drive: Option<&str>) -> Result<()> {
        let drive = shared_drive.map(|id| drives::find(self.edit.db, id).map(|drive| drive.no)).transpose()?;
        for (no, id) in trash::explicitly_trashed(self.edit.db, drive)? {
            trash::delete(self.edit, no, &id, drive)?;
        }
        Ok(())
    }
}
