//! In which logs of changes an item is.

use rusqlite::Connection;

use super::super::error::Result;
use super::super::store::Identity;
use super::super::store::changes::Keeper;
use super::super::store::rows::{self, ItemRow};
use super::Roles;

/// The log of the shared drive that an item is in; of an item in My Drive, that of each user who has it.
pub(crate) fn keepers(db: &Connection, identity: &Identity, row: &ItemRow) -> Result<Vec<Keeper>> {
    if let Some(drive) = row.drive {
        return Ok(vec![Keeper::Drive(rows::id(db, drive)?)]);
    }
    let mut keepers = Vec::new();
    for user in identity.users.iter() {
        let has = row.owner == Some(user.no)
            || Roles::new(db, user.no).standing(row.no, row.parent, row.owner)?.named.is_some();
        if has {
            keepers.push(Keeper::User(user.no));
        }
    }
    Ok(keepers)
}
