//! Who has a My Drive: the person whose drive this is, and others that it can be shared with.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::error::Result;
use super::super::ids;
use super::Edit;
use super::rows::{self, ItemRow, unsigned};

/// The person whose drive this is.
pub(crate) const OWNER: i64 = 1;
/// Their mail address. No mail arrives there.
pub(crate) const OWNER_EMAIL: &str = "owner@drive.localhost";
const OWNER_NAME: &str = "Drive Owner";

/// Somebody with a My Drive. Nothing of this ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub no: i64,
    pub email: String,
    pub name: String,
    /// Id of the account, which is that of each permission that it has.
    pub permission_id: String,
    /// Id of the folder at the top of My Drive.
    pub root: String,
    /// Whether they can own contents. Service accounts cannot.
    pub has_storage: bool,
}

/// All there are, in the order of their numbers.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Arc<User>>> {
    let sql = "SELECT users.no, email, users.name, permission_id, items.id, has_storage
               FROM users JOIN items ON items.no = users.root ORDER BY users.no";
    let user = |row: &Row<'_>| {
        Ok(Arc::new(User {
            no: row.get(0)?,
            email: row.get(1)?,
            name: row.get(2)?,
            permission_id: row.get(3)?,
            root: row.get(4)?,
            has_storage: row.get(5)?,
        }))
    };
    db.prepare_cached(sql)?.query_map([], user)?.collect()
}

/// Adds the person whose drive this is.
pub(super) fn add_owner(edit: &Edit<'_>) -> Result<()> {
    add(edit, OWNER, OWNER_EMAIL, OWNER_NAME, true).map(drop)
}

/// Adds a service account, if it is not there.
pub(super) fn add_service_account(edit: &Edit<'_>, email: &str) -> Result<()> {
    if edit.db.prepare_cached("SELECT 1 FROM users WHERE email = ?")?.exists([email])? {
        return Ok(());
    }
    let no = edit.db.prepare_cached("SELECT max(no) + 1 FROM users")?.query_row([], |row| row.get(0))?;
    let permission_id = add(edit, no, email, email, false)?;
    // What was shared with the address before is now shared with somebody.
    let sql = "UPDATE permissions SET user = ?, id = ? WHERE kind = 'user' AND address = ? COLLATE NOCASE";
    edit.db.prepare_cached(sql)?.execute(params![no, permission_id, email])?;
    Ok(())
}

/// Adds a user; the id of the account, which no other drive has, whatever the address.
fn add(edit: &Edit<'_>, no: i64, email: &str, name: &str, has_storage: bool) -> Result<String> {
    let top = ItemRow { owner: Some(no), ..ItemRow::folder(&ids::root(), "My Drive", edit.now) };
    let root = rows::insert(edit, &top)?;
    let sql =
        "INSERT INTO users (no, email, name, permission_id, root, has_storage, used) VALUES (?, ?, ?, ?, ?, ?, 0)";
    let permission_id = ids::account();
    let values = params![no, email, name, permission_id, root, has_storage];
    edit.db.prepare_cached(sql)?.execute(values)?;
    Ok(permission_id)
}

/// Bytes that count against the quota of a user.
pub(crate) fn used(db: &Connection, user: i64) -> Result<u64> {
    let sql = "SELECT used FROM users WHERE no = ?";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([user], |row| row.get(0))?))
}

/// The hidden folder that an application has in the drive of a user.
pub(crate) fn app_folder(db: &Connection, user: i64, app: &str) -> Result<Option<String>> {
    let sql = "SELECT id FROM items WHERE app_data = ? AND owner = ? AND parent IS NULL";
    Ok(db.prepare_cached(sql)?.query_row(params![app, user], |row| row.get(0)).optional()?)
}

/// Makes the hidden folder of an application, if there is none yet; its id.
pub(crate) fn make_app_folder(edit: &Edit<'_>, user: i64, app: &str) -> Result<String> {
    if let Some(id) = app_folder(edit.db, user, app)? {
        return Ok(id);
    }
    let id = ids::file();
    let top = ItemRow::folder(&id, "Application Data", edit.now);
    rows::insert(edit, &ItemRow { owner: Some(user), app_data: Some(app.to_owned()), ..top })?;
    Ok(id)
}
