//! What one caller may see and do.
//!
//! A role on an item comes from being its owner, from a permission on it or on a folder above it, or from owning a folder
//! above it. A caller sees what it has a role on, as far as its token reaches: one that was granted `drive.file` sees what its
//! application made, one without `drive.appdata` does not see the hidden folder of its application.

mod held;
mod keepers;

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::Connection;

use super::caller::{Caller, Files};
use super::error::{ApiError, Result};
use super::item::{Item, Place, SharedDrive};
use super::permission::{Holder, Permission, Role};
use super::store::rows::{self, ItemRow};
use super::store::{Identity, drives, permissions};
use crate::clock::{self, Timestamp};

pub(crate) use held::Held;
pub(crate) use keepers::keepers;

/// How somebody stands to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// By being named.
    pub named: Option<Role>,
    /// By knowing where it is.
    pub by_link: Option<Role>,
    /// Whether others than its owner have access.
    pub is_shared: bool,
}

impl Standing {
    const NONE: Self = Self { named: None, by_link: None, is_shared: false };

    pub(crate) fn role(self) -> Option<Role> {
        self.named.max(self.by_link)
    }

    /// With one permission more.
    fn with(mut self, permission: &Permission, user: i64) -> Self {
        self.is_shared = true;
        match permission.holder {
            Holder::User if permission.user == Some(user) => self.named = self.named.max(Some(permission.role)),
            Holder::Anyone => self.by_link = self.by_link.max(Some(permission.role)),
            // Nobody here is a member of a group or of a domain.
            Holder::User | Holder::Group | Holder::Domain => {}
        }
        self
    }

    /// As it is on an item of `owner`, if the folder above and the permissions on it come to this.
    fn on_item_of(self, owner: Option<i64>, user: i64) -> Self {
        match self.named {
            _ if owner == Some(user) => Self { named: Some(Role::Owner), ..self },
            // What others put into one's folder is theirs.
            Some(Role::Owner) => Self { named: Some(Role::Writer), is_shared: true, ..self },
            _ => self,
        }
    }
}

/// The roles of one user, looked up once for each folder.
#[derive(Debug)]
pub(crate) struct Roles<'a> {
    db: &'a Connection,
    user: i64,
    now: Timestamp,
    folders: RefCell<HashMap<i64, Standing>>,
}

impl<'a> Roles<'a> {
    pub(crate) fn new(db: &'a Connection, user: i64) -> Self {
        Self { db, user, now: clock::now(), folders: RefCell::default() }
    }

    pub(crate) fn standing(&self, no: i64, parent: Option<i64>, owner: Option<i64>) -> Result<Standing> {
        let above = parent.map_or(Ok(Standing::NONE), |parent| self.folder(parent))?;
        let own = permissions::on(self.db, no, self.now)?;
        let own = own.iter().fold(above, |standing, permission| standing.with(permission, self.user));
        Ok(own.on_item_of(owner, self.user))
    }

    fn folder(&self, no: i64) -> Result<Standing> {
        if let Some(known) = self.folders.borrow().get(&no) {
            return Ok(*known);
        }
        let standing = match rows::above(self.db, no)? {
            Some((parent, owner)) => self.standing(no, parent, owner)?,
            None => Standing::NONE,
        };
        self.folders.borrow_mut().insert(no, standing);
        Ok(standing)
    }
}

/// What one caller may see and do, at one moment of the drive.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    pub db: &'a Connection,
    pub identity: &'a Identity,
    pub caller: &'a Caller,
    roles: Roles<'a>,
}

impl<'a> Access<'a> {
    pub(crate) fn new(db: &'a Connection, identity: &'a Identity, caller: &'a Caller) -> Self {
        Self { db, identity, caller, roles: Roles::new(db, caller.user.no) }
    }

    /// The item `id` as the caller sees it, wherever it is; `None` if there is none that it sees.
    pub(crate) fn seen(&self, id: &str) -> Result<Option<Item>> {
        let Some(item) = rows::get(self.db, &self.caller.app, id)? else { return Ok(None) };
        Ok(self.role(item.place())?.map(|_| item))
    }

    /// The item `id` as the caller sees it, wherever it is.
    pub(crate) fn get(&self, id: &str) -> Result<Item> {
        self.seen(id)?.ok_or_else(|| ApiError::file_not_found(id))
    }

    /// The writable part of the item `id`, wherever it is, and what the caller may do with it.
    pub(crate) fn find(&self, id: &str) -> Result<(ItemRow, Role)> {
        let row = rows::find(self.db, id)?;
        match self.role(row.place())? {
            Some(role) => Ok((row, role)),
            None => Err(ApiError::file_not_found(id)),
        }
    }

    pub(crate) fn standing(&self, place: Place<'_>) -> Result<Standing> {
        self.roles.standing(place.no, place.parent, place.owner)
    }

    /// The role of the caller, if it sees the item.
    pub(crate) fn role(&self, place: Place<'_>) -> Result<Option<Role>> {
        if !self.is_in_reach(place) {
            return Ok(None);
        }
        // The common case, which needs no look-up.
        if place.owner == Some(self.caller.user.no) {
            return Ok(Some(Role::Owner));
        }
        Ok(self.standing(place)?.role())
    }

    /// Whether an item is among what the caller has, as opposed to what it can reach by an id alone.
    pub(crate) fn has(&self, place: Place<'_>) -> Result<bool> {
        let is_own = place.owner == Some(self.caller.user.no);
        Ok(self.is_in_reach(place) && (is_own || self.standing(place)?.named.is_some()))
    }

    /// The role that the caller has on all that is in a shared drive, by its top folder.
    pub(crate) fn drive_role(&self, top: i64) -> Result<Option<Role>> {
        let is_reached = self.caller.files == Files::All;
        Ok(if is_reached { self.roles.folder(top)?.named } else { None })
    }

    /// The shared drive with this id, and the role that the caller has in it.
    pub(crate) fn drive(&self, id: &str) -> Result<(SharedDrive, Role)> {
        let drive = drives::find(self.db, id)?;
        let role = self.drive_role(drive.no)?;
        role.map(|role| (drive, role)).ok_or_else(|| ApiError::drive_not_found(id))
    }

    /// Whether the caller sees the folder `no`.
    pub(crate) fn sees_folder(&self, no: i64, owner: Option<i64>) -> Result<bool> {
        let is_own = owner == Some(self.caller.user.no);
        Ok(is_own || self.roles.folder(no)?.role().is_some())
    }

    fn now(&self) -> Timestamp {
        self.roles.now
    }

    fn is_in_reach(&self, place: Place<'_>) -> bool {
        let is_own_app = |app: Option<&str>| app == Some(&*self.caller.app);
        if place.app_data.is_some() {
            let is_own = place.owner == Some(self.caller.user.no);
            return self.caller.app_folder.is_some() && is_own && is_own_app(place.app_data);
        }
        match self.caller.files {
            Files::All => true,
            Files::OfApp => is_own_app(place.app),
            Files::None => false,
        }
    }
}
