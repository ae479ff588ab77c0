//! Who else may do what with an item, and who is a member of a shared drive.

use std::sync::Arc;

use super::super::access::Held;
use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::metadata::Patch;
use super::super::permission::{Holder, Permission, Role};
use super::super::store::rows::{self, ItemRow};
use super::super::store::users::User;
use super::super::store::{Identity, changes, drives, permissions};
use super::Rules;
use crate::clock::Timestamp;

/// A permission that somebody wants to give.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub holder: Holder,
    /// The mail address of a person or group, or the domain.
    pub address: Option<String>,
    pub role: Role,
    pub is_found: bool,
    pub expires: Option<Timestamp>,
}

impl Grant {
    /// The account of its holder, if they have one here.
    fn user<'a>(&self, identity: &'a Identity) -> Option<&'a User> {
        let is_theirs =
            |user: &&Arc<User>| self.address.as_ref().is_some_and(|mail| user.email.eq_ignore_ascii_case(mail));
        identity.users.iter().filter(|_| self.holder == Holder::User).find(is_theirs).map(|user| &**user)
    }

    fn id(&self) -> String {
        let address = self.address.as_deref().unwrap_or_default();
        match self.holder {
            Holder::User | Holder::Group => ids::permission_of(address),
            Holder::Domain => format!("{}k", ids::permission_of(address)),
            Holder::Anyone if self.is_found => "anyone".to_owned(),
            Holder::Anyone => "anyoneWithLink".to_owned(),
        }
    }

    /// Whether somebody like its holder can have its role on an item.
    fn is_possible(&self, row: &ItemRow) -> bool {
        let is_named = matches!(self.holder, Holder::User | Holder::Group);
        let fits = match self.role {
            Role::Reader | Role::Commenter | Role::Writer => true,
            Role::FileOrganizer => is_named,
            Role::Organizer => is_named && is_top(row),
            Role::Owner => false,
        };
        fits && self.role.is_in(row.drive.is_some()) && (is_named || !is_top(row))
    }
}

/// Whether an item is the top folder of a shared drive, whose permissions make members.
fn is_top(row: &ItemRow) -> bool {
    row.drive == Some(row.no)
}

impl Rules<'_> {
    /// Gives a permission on an item, or changes that which its holder has; its id.
    pub(crate) fn share(&self, item: &str, grant: &Grant) -> Result<String> {
        let (row, role) = self.find(item)?;
        check_sharing(&row, role)?;
        self.check_grant(grant, &row)?;
        let holder = grant.user(self.identity);
        let id = holder.map_or_else(|| grant.id(), |user| user.permission_id.clone());
        // Its owner has more than could be given.
        if row.owner.is_some() && row.owner == holder.map(|user| user.no) {
            return Ok(id);
        }
        let permission = Permission {
            item: row.no,
            id: id.clone(),
            holder: grant.holder,
            address: grant.address.clone(),
            user: holder.map(|user| user.no),
            role: grant.role,
            is_found: grant.is_found,
            expires: grant.expires,
            time: self.edit.now,
            giver: self.caller.user.no,
        };
        self.sharing(&row, || permissions::put(self.edit, &permission))?;
        Ok(id)
    }

    /// Changes a permission that was given on the item itself.
    pub(crate) fn change_permission(
        &self,
        item: &str,
        id: &str,
        role: Option<Role>,
        expires: &Patch<Timestamp>,
    ) -> Result<()> {
        let (row, own_role) = self.find(item)?;
        check_sharing(&row, own_role)?;
        let before = self.given(&row, id)?;
        let mut after = before.clone();
        after.role = role.unwrap_or(before.role);
        match expires {
            Patch::Keep => {}
            Patch::Clear => after.expires = None,
            Patch::Set(time) => after.expires = Some(*time),
        }
        let (holder, address) = (after.holder, after.address.clone());
        let grant = Grant { holder, address, role: after.role, is_found: after.is_found, expires: after.expires };
        self.check_grant(&grant, &row)?;
        self.check_organizers(&row, &before, Some(after.role))?;
        if after == before { Ok(()) } else { self.sharing(&row, || permissions::put(self.edit, &after)) }
    }

    /// Takes a permission away that was given on the item itself. Everybody may give up their own.
    pub(crate) fn unshare(&self, item: &str, id: &str) -> Result<()> {
        let (row, role) = self.find(item)?;
        if id != self.caller.user.permission_id {
            check_sharing(&row, role)?;
        }
        let permission = self.given(&row, id)?;
        self.check_organizers(&row, &permission, None)?;
        self.sharing(&row, || permissions::remove(self.edit, row.no, id))
    }

    fn check_grant(&self, grant: &Grant, row: &ItemRow) -> Result<()> {
        if !grant.is_possible(row) {
            return Err(ApiError::role_not_possible());
        }
        let is_named = matches!(grant.holder, Holder::User | Holder::Group);
        match grant.expires {
            Some(time) if !is_named || row.drive.is_some() || time <= self.edit.now => {
                Err(ApiError::expiration_not_allowed())
            }
            _ => Ok(()),
        }
    }

    /// The permission with this id, if it was given on the item itself.
    fn given(&self, row: &ItemRow, id: &str) -> Result<Permission> {
        let held = self.access().permissions(row.place())?.into_iter().find(|held| held.permission.id == id);
        match held {
            None => Err(ApiError::permission_not_found(id)),
            Some(Held { permission, .. }) if permission.role == Role::Owner => {
                Err(ApiError::insufficient_file_permissions())
            }
            Some(Held { inherited_from: Some(_), .. }) if row.drive.is_some() => {
                Err(ApiError::drive_permission_is_inherited())
            }
            Some(Held { inherited_from: Some(_), .. }) => Err(ApiError::permission_is_inherited()),
            Some(Held { permission, inherited_from: None }) => Ok(permission),
        }
    }

    /// A shared drive keeps somebody who organizes it, if `permission` gets another role or (`None`) goes.
    fn check_organizers(&self, row: &ItemRow, permission: &Permission, role: Option<Role>) -> Result<()> {
        if !is_top(row) || permission.role != Role::Organizer || role == Some(Role::Organizer) {
            return Ok(());
        }
        let members = permissions::on(self.edit.db, row.no, self.edit.now)?;
        let organizes = |member: &&Permission| member.role == Role::Organizer && member.id != permission.id;
        members.iter().find(organizes).map(drop).ok_or_else(ApiError::insufficient_file_permissions)
    }

    /// Does `change` to the permissions on an item, which is a change of the item, and begins or ends its life in the logs of
    /// those whom it concerns.
    fn sharing(&self, row: &ItemRow, change: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = self.keepers(row)?;
        let members = self.members(row)?;
        change()?;
        rows::save(self.edit, row)?;
        changes::change_keepers(self.edit, &row.id, &before, &self.keepers(row)?)?;
        if is_top(row) {
            for (user, (was, is)) in self.identity.users.iter().zip(members.into_iter().zip(self.members(row)?)) {
                match (was, is) {
                    (true, false) => changes::lose_drive(self.edit, &row.id, user.no)?,
                    (false, true) => changes::gain_drive(self.edit, &row.id, user.no)?,
                    _ => {}
                }
            }
            // Who is a member now hears of the drive.
            drives::save(self.edit, &drives::find(self.edit.db, &row.id)?)?;
        }
        Ok(())
    }

    /// Which of the users are members of the drive that a top folder is of.
    fn members(&self, row: &ItemRow) -> Result<Vec<bool>> {
        let on = permissions::on(self.edit.db, row.no, self.edit.now)?;
        let is_member = |no: i64| on.iter().any(|permission| permission.user == Some(no));
        Ok(self.identity.users.iter().map(|user| is_member(user.no)).collect())
    }
}

/// Whether a role includes that an item is shared with others.
fn check_sharing(row: &ItemRow, role: Role) -> Result<()> {
    if row.app_data.is_some() {
        return Err(ApiError::not_for_app_data());
    }
    let writers_can = row.details.get("writersCanShare").and_then(serde_json::Value::as_bool).unwrap_or(true);
    let needed = match row.drive {
        Some(_) if is_top(row) => Role::Organizer,
        Some(_) => Role::FileOrganizer,
        None if writers_can => Role::Writer,
        None => Role::Owner,
    };
    let is_root = row.drive.is_none() && row.parent.is_none();
    if role < needed || is_root { Err(ApiError::insufficient_file_permissions()) } else { Ok(()) }
}
