//! Users and permissions as JSON, and what an item in My Drive shows of them.

use serde_json::{Value, json};

use super::super::access::{Access, Held};
use super::super::error::Result;
use super::super::fields::Mask;
use super::super::item::Item;
use super::super::permission::{Holder, Role};
use super::super::store::rows::ItemRow;
use super::super::store::users::User;
use super::super::store::{Identity, permissions};
use super::{Object, select};
use crate::clock::Timestamp;

/// A user. `me`: whether it is the caller.
pub(crate) fn user(user: &User, me: bool) -> Value {
    json!({
        "kind": "drive#user",
        "displayName": user.name,
        "emailAddress": user.email,
        "permissionId": user.permission_id,
        "me": me,
    })
}

/// A permission as it holds for an item, with what `mask` wants of it.
pub(crate) fn permission(held: &Held, item: &ItemRow, identity: &Identity, mask: &Mask) -> Value {
    describe(held, item.drive == Some(item.no), item.drive.is_some(), identity, mask)
}

/// `is_top`: whether the item is the top of a shared drive, whose permissions make members.
fn describe(held: &Held, is_top: bool, in_drive: bool, identity: &Identity, mask: &Mask) -> Value {
    let Held { permission, inherited_from } = held;
    let mut object = Object::new(mask);
    object.put("kind", || "drive#permission");
    object.put("id", || permission.id.as_str());
    object.put("type", || permission.holder.name());
    object.put("role", || permission.role.name());
    let user = permission.user.and_then(|user| identity.user(user));
    match permission.holder {
        Holder::User | Holder::Group => {
            object.put_some("emailAddress", || permission.address.as_deref());
            object.put_some("displayName", || user.map(|user| user.name.as_str()).or(permission.address.as_deref()));
            object.put("deleted", || false);
            object.put("pendingOwner", || false);
        }
        Holder::Domain => {
            object.put_some("domain", || permission.address.as_deref());
            object.put_some("displayName", || permission.address.as_deref());
            object.put("allowFileDiscovery", || permission.is_found);
        }
        Holder::Anyone => object.put("allowFileDiscovery", || permission.is_found),
    }
    object.put_some("expirationTime", || permission.expires.map(Timestamp::to_rfc3339));
    if in_drive {
        let is_member = is_top || inherited_from.is_some();
        for (list, kind) in
            [("permissionDetails", "permissionType"), ("teamDrivePermissionDetails", "teamDrivePermissionType")]
        {
            object.nest(list, |mask| {
                let mut details = json!({
                    kind: if is_member { "member" } else { "file" },
                    "role": permission.role.name(),
                    "inherited": inherited_from.is_some(),
                });
                if let Some(from) = inherited_from {
                    details["inheritedFrom"] = from.as_str().into();
                }
                select(mask, json!([details]))
            });
        }
    }
    object.finish()
}

/// What an item in somebody's My Drive shows of people, to who has `role` on it.
pub(super) fn owned(file: &mut Object<'_>, item: &Item, access: &Access<'_>, role: Role) -> Result<()> {
    let me = &access.caller.user;
    let is_mine = item.owner == Some(me.no);
    file.put("ownedByMe", || is_mine);
    if let Some(owner) = item.owner.and_then(|owner| access.identity.user(owner)) {
        file.nest("owners", |mask| select(mask, json!([user(owner, is_mine)])));
    }
    file.try_nest("shared", |_| Ok(access.standing(item.place())?.is_shared.into()))?;
    if role >= Role::Writer {
        file.try_nest("permissions", |mask| {
            let held = access.permissions(item.place())?;
            Ok(held.iter().map(|held| describe(held, false, false, access.identity, mask)).collect())
        })?;
    }
    if !is_mine && let Some((time, giver)) = permissions::given(access.db, item.no, me.no)? {
        file.put("sharedWithMeTime", || time.to_rfc3339());
        if let Some(giver) = access.identity.user(giver) {
            file.nest("sharingUser", |mask| select(mask, user(giver, giver.no == me.no)));
        }
    }
    Ok(())
}
