//! Contents that a file had: which are kept, and the end of them.

use super::super::error::{ApiError, Result};
use super::super::media_type::Kind;
use super::super::permission::Role;
use super::super::store::contents;
use super::super::store::rows;
use super::Rules;

impl Rules<'_> {
    /// Sets whether a revision is kept for ever. What is kept can be deleted, but not be made ordinary again.
    pub(crate) fn keep_revision(&self, item: &str, revision: &str, keep: Option<bool>) -> Result<()> {
        let (row, role) = self.find_anywhere(item)?;
        if role < Role::Writer {
            return Err(ApiError::insufficient_file_permissions());
        }
        match Kind::of(&row.mime_type) {
            Kind::File => {}
            Kind::Document => return Err(ApiError::fields_not_writable()),
            Kind::Folder | Kind::Shortcut => return Err(ApiError::revisions_not_supported()),
        }
        let current = contents::get(self.edit.db, row.no, revision)?;
        match keep {
            Some(false) if current.keep_forever => Err(ApiError::not_unkeepable()),
            Some(true) if !current.keep_forever => {
                self.check_kept(row.no)?;
                contents::keep(self.edit, row.no, revision)?;
                // What counts against the quota is a field of the item.
                rows::save(self.edit, &row)
            }
            _ => Ok(()),
        }
    }

    /// Deletes a revision for good, but never the current one.
    pub(crate) fn delete_revision(&self, item: &str, revision: &str) -> Result<()> {
        let (row, role) = self.find_anywhere(item)?;
        if role < Role::Writer {
            return Err(ApiError::insufficient_file_permissions());
        }
        match Kind::of(&row.mime_type) {
            Kind::File => {}
            Kind::Document => return Err(ApiError::revision_not_deletable()),
            Kind::Folder | Kind::Shortcut => return Err(ApiError::revisions_not_supported()),
        }
        let revision = contents::get(self.edit.db, row.no, revision)?;
        if contents::head(self.edit.db, row.no)?.is_some_and(|head| head.id == revision.id) {
            return Err(ApiError::revision_not_deletable());
        }
        contents::remove(self.edit, row.no, &revision.id)?;
        rows::save(self.edit, &row)
    }

    /// Whether one more revision of a file can be kept for ever.
    pub(super) fn check_kept(&self, item: i64) -> Result<()> {
        let kept = contents::kept(self.edit.db, item)?;
        if kept < MAX_KEPT { Ok(()) } else { Err(ApiError::too_many_kept()) }
    }
}

/// Revisions of a file that can be kept for ever.
const MAX_KEPT: i64 = 200;
