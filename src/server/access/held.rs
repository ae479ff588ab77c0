//! All who have access to one item, and where they have it from.

use super::super::error::Result;
use super::super::item::Place;
use super::super::permission::{Holder, Permission, Role};
use super::super::store::permissions;
use super::super::store::rows;
use super::Access;

/// A permission as it holds for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The highest of those that its holder has.
    pub permission: Permission,
    /// Id of the folder that it comes from; `None` if it was given on the item itself.
    pub inherited_from: Option<String>,
}

impl Access<'_> {
    /// Everybody's permissions on an item: its owner's, then those given, by id.
    pub(crate) fn permissions(&self, place: Place<'_>) -> Result<Vec<Held>> {
        let mut held: Vec<Held> = Vec::new();
        held.extend(
            self.ownership(place.no, place.owner, Role::Owner)
                .map(|permission| Held { permission, inherited_from: None }),
        );
        let mut next = Some((place.no, place.parent, place.owner));
        while let Some((no, parent, owner)) = next {
            let inherited_from = if no == place.no { None } else { Some(rows::id(self.db, no)?) };
            let mut found = permissions::on(self.db, no, self.now())?;
            if inherited_from.is_some() {
                found.extend(self.ownership(no, owner, Role::Writer));
            }
            for permission in found {
                let inherited_from = inherited_from.clone();
                match held.iter_mut().find(|known| known.permission.id == permission.id) {
                    Some(known) if known.permission.role >= permission.role => {}
                    Some(known) => *known = Held { permission, inherited_from },
                    None => held.push(Held { permission, inherited_from }),
                }
            }
            next = match parent {
                Some(parent) => rows::above(self.db, parent)?.map(|(above, owner)| (parent, above, owner)),
                None => None,
            };
        }
        held.sort_by(|one, other| {
            let key = |held: &Held| (held.permission.role != Role::Owner, held.permission.id.clone());
            key(one).cmp(&key(other))
        });
        Ok(held)
    }

    /// The permission that comes with being an owner.
    fn ownership(&self, item: i64, owner: Option<i64>, role: Role) -> Option<Permission> {
        let user = self.identity.user(owner?)?;
        Some(Permission {
            item,
            id: user.permission_id.clone(),
            holder: Holder::User,
            address: Some(user.email.clone()),
            user: Some(user.no),
            role,
            is_found: false,
            expires: None,
            time: self.now(),
            giver: user.no,
        })
    }
}
