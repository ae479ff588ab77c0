//! The rules of the drive: what may be done to items, and what it brings about.
//!
//! [`Rules`] is one change under way, inside one transaction. Every way to create, update, copy or delete, with or without
//! content, ends here, so that each rule is written once: who may do it, one parent an item, no folder within itself, an id
//! used once, the limits on depth, children, properties and storage, and what follows a folder into the trash.

mod create;
mod drives;
mod import;
#[cfg(test)]
mod model;
mod remove;
mod revise;
mod share;
#[cfg(test)]
mod sharing_model;
mod update;

pub(crate) use create::may_take;
pub(crate) use share::Grant;

use super::Limits;
use super::access::{Access, keepers};
use super::blobs::Content;
use super::caller::Caller;
use super::error::{ApiError, Result};
use super::media_type::Kind;
use super::metadata::Metadata;
use super::permission::Role;
use super::store::changes::Keeper;
use super::store::rows::{self, ItemRow};
use super::store::{Edit, Identity, contents, users};

/// Public properties of an item, and private ones of each application.
const MAX_PROPERTIES_PER_APP: u64 = 30;
/// Properties of an item in all.
const MAX_PROPERTIES: u64 = 100;

/// One change by one caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub edit: &'a Edit<'a>,
    pub identity: &'a Identity,
    pub limits: &'a Limits,
    pub caller: &'a Caller,
    /// Whether it knows of shared drives. If not, it does not find what is in them.
    pub all_drives: bool,
}

/// Content that comes with a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload<'a> {
    pub content: &'a Content,
    /// As the client declared it, if it did.
    pub media_type: Option<&'a str>,
    /// Whether this revision shall be kept when others follow.
    pub keep_forever: bool,
}

/// Which folders an update puts an item into and takes it out of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moves<'a> {
    pub add: &'a [String],
    pub remove: &'a [String],
}

impl Rules<'_> {
    /// What the caller sees and may do as things are now.
    pub(crate) fn access(&self) -> Access<'_> {
        Access::new(self.edit.db, self.identity, self.caller)
    }

    fn find(&self, id: &str) -> Result<(ItemRow, Role)> {
        let (row, role) = self.find_anywhere(id)?;
        if row.drive.is_some() && !self.all_drives { Err(ApiError::file_not_found(&row.id)) } else { Ok((row, role)) }
    }

    /// For the calls that have no way to say whether the caller knows of shared drives.
    fn find_anywhere(&self, id: &str) -> Result<(ItemRow, Role)> {
        self.access().find(self.caller.resolve(id)?)
    }

    /// The item that new or moved items shall go into.
    fn folder(&self, id: &str) -> Result<ItemRow> {
        // Whoever may make files may put them at the top, even if that is not the application's to look at.
        let (folder, role) = if id == "root" || id == self.caller.user.root {
            (rows::find(self.edit.db, &self.caller.user.root)?, Role::Owner)
        } else {
            self.find(id)?
        };
        if Kind::of(&folder.mime_type) != Kind::Folder {
            return Err(ApiError::parent_not_a_folder());
        }
        if role < Role::Writer {
            return Err(ApiError::insufficient_parent_permissions());
        }
        Ok(folder)
    }

    /// Who owns what is put into a folder: who puts it there, but in a shared drive nobody.
    fn owner_in(&self, folder: &ItemRow) -> Option<i64> {
        if folder.drive.is_some() { None } else { Some(self.caller.user.no) }
    }

    /// The logs that an item is in.
    fn keepers(&self, row: &ItemRow) -> Result<Vec<Keeper>> {
        keepers(self.edit.db, self.identity, row)
    }

    /// Whether `folder` has room for one more child, which holds `levels` levels of folders (0 if it is none itself).
    fn check_room(&self, folder: &ItemRow, levels: u64) -> Result<()> {
        let is_free = folder.parent.is_none() || folder.drive.is_some();
        if !is_free && folder.children >= self.limits.children {
            return Err(ApiError::too_many_children());
        }
        if levels > 0 && rows::depth(self.edit.db, folder.no)? + levels > self.limits.depth {
            return Err(if folder.drive.is_some() { ApiError::drive_too_deep() } else { ApiError::too_deep() });
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if name.len() > self.limits.name_bytes {
            return Err(ApiError::invalid("name", "The name is too long."));
        }
        Ok(())
    }

    fn set_properties(&self, item: i64, metadata: &Metadata) -> Result<()> {
        for (app, properties) in [("", &metadata.properties), (&*self.caller.app, &metadata.app_properties)] {
            for (key, value) in properties {
                rows::set_property(self.edit, item, app, key, value.as_deref())?;
            }
        }
        if metadata.properties.is_empty() && metadata.app_properties.is_empty() {
            return Ok(());
        }
        let (public, private, all) = rows::count_properties(self.edit.db, item, &self.caller.app)?;
        if public > MAX_PROPERTIES_PER_APP || private > MAX_PROPERTIES_PER_APP || all > MAX_PROPERTIES {
            return Err(ApiError::too_many_properties());
        }
        Ok(())
    }

    /// Gives an item new content. Fails if that takes more storage than its owner has.
    fn set_content(&self, item: i64, owner: Option<i64>, content: &Content, about: contents::About<'_>) -> Result<()> {
        if about.keep_forever {
            self.check_kept(item)?;
        }
        let used = || owner.map_or(Ok(0), |owner| users::used(self.edit.db, owner));
        let before = used()?;
        contents::add(self.edit, item, content, about)?;
        let after = used()?;
        // A file may shrink even on a drive that is over its limit already.
        if after > before && self.limits.storage.is_some_and(|limit| after > limit) {
            return Err(ApiError::storage_quota_exceeded());
        }
        Ok(())
    }

    /// Whether the caller may own something of this kind.
    fn check_ownership(&self, owner: Option<i64>, kind: Kind) -> Result<()> {
        let has_storage = self.caller.user.has_storage || owner != Some(self.caller.user.no);
        let takes_storage = matches!(kind, Kind::File | Kind::Document);
        if takes_storage && !has_storage { Err(ApiError::no_storage()) } else { Ok(()) }
    }
}
