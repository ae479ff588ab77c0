//! Permissions: what somebody may do with an item and with all that is in it.

use crate::clock::Timestamp;

/// What one may do, from little to much: each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Reader,
    Commenter,
    Writer,
    /// Of a shared drive: also moves and trashes.
    FileOrganizer,
    /// Of a shared drive: also deletes, and says who its members are.
    Organizer,
    /// Of an item in My Drive. Nobody is given this: it comes with the item.
    Owner,
}

const ROLES: [(Role, &str); 6] = [
    (Role::Reader, "reader"),
    (Role::Commenter, "commenter"),
    (Role::Writer, "writer"),
    (Role::FileOrganizer, "fileOrganizer"),
    (Role::Organizer, "organizer"),
    (Role::Owner, "owner"),
];

impl Role {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        ROLES.iter().find(|(_, known)| *known == name).map(|(role, _)| *role)
    }

    pub(crate) fn name(self) -> &'static str {
        ROLES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// Whether there is such a role in a shared drive, or in My Drive.
    pub(crate) fn is_in(self, shared_drive: bool) -> bool {
        match self {
            Self::Reader | Self::Commenter | Self::Writer => true,
            Self::FileOrganizer | Self::Organizer => shared_drive,
            Self::Owner => !shared_drive,
        }
    }
}

/// Who holds a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    User,
    Group,
    Domain,
    /// Whoever knows the id.
    Anyone,
}

const HOLDERS: [(Holder, &str); 4] =
    [(Holder::User, "user"), (Holder::Group, "group"), (Holder::Domain, "domain"), (Holder::Anyone, "anyone")];

impl Holder {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        HOLDERS.iter().find(|(_, known)| *known == name).map(|(holder, _)| *holder)
    }

    pub(crate) fn name(self) -> &'static str {
        HOLDERS.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }
}

/// One permission, where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    /// Number of the item that it was given on.
    pub item: i64,
    /// The same wherever its holder has one.
    pub id: String,
    pub holder: Holder,
    /// The mail address of a person or group, or the domain.
    pub address: Option<String>,
    /// The person, if they have a My Drive here.
    pub user: Option<i64>,
    pub role: Role,
    /// Whether searches find the item, for a domain and anyone.
    pub is_found: bool,
    pub expires: Option<Timestamp>,
    pub time: Timestamp,
    /// The user who gave it.
    pub giver: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_what_they_name_and_back() {
        for (role, name) in ROLES {
            assert_eq!((Role::parse(name), role.name()), (Some(role), name));
        }
        for (holder, name) in HOLDERS {
            assert_eq!((Holder::parse(name), holder.name()), (Some(holder), name));
        }
        assert!(ROLES.is_sorted() && Role::parse("admin").is_none() && Holder::parse("").is_none());
    }
}
