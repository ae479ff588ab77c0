//! Rows of permissions: who may do what with an item and all that is in it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::clock::Timestamp;

use super::super::error::Result;
use super::super::permission::{Holder, Permission, Role};
use super::Edit;

const COLUMNS: &str = "item, id, kind, address, user, role, found, expires, time, giver";

fn permission(row: &Row<'_>) -> rusqlite::Result<Option<Permission>> {
    let (kind, role): (String, String) = (row.get(2)?, row.get(5)?);
    // Only what is known is ever written.
    let Some((holder, role)) = Holder::parse(&kind).zip(Role::parse(&role)) else { return Ok(None) };
    Ok(Some(Permission {
        item: row.get(0)?,
        id: row.get(1)?,
        holder,
        address: row.get(3)?,
        user: row.get(4)?,
        role,
        is_found: row.get(6)?,
        expires: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        time: Timestamp::from_millis(row.get(8)?),
        giver: row.get(9)?,
    }))
}

/// Those given on the item itself, by id.
pub(crate) fn on(db: &Connection, item: i64, now: Timestamp) -> Result<Vec<Permission>> {
    let sql = format!("SELECT {COLUMNS} FROM permissions WHERE item = ? AND ifnull(expires > ?, 1) ORDER BY id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([item, now.millis()], permission)?;
    Ok(rows.filter_map(rusqlite::Result::transpose).collect::<rusqlite::Result<_>>()?)
}

/// Writes one, in place of that which the same holder has on the same item.
pub(crate) fn put(edit: &Edit<'_>, permission: &Permission) -> Result<()> {
    let sql = format!("INSERT OR REPLACE INTO permissions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    edit.db.prepare_cached(&sql)?.execute(params![
        permission.item,
        permission.id,
        permission.holder.name(),
        permission.address,
        permission.user,
        permission.role.name(),
        permission.is_found,
        permission.expires.map(Timestamp::millis),
        permission.time.millis(),
        permission.giver,
    ])?;
    Ok(())
}

/// Takes one away.
pub(crate) fn remove(edit: &Edit<'_>, item: i64, id: &str) -> Result<()> {
    edit.db.prepare_cached("DELETE FROM permissions WHERE item = ? AND id = ?")?.execute(params![item, id])?;
    Ok(())
}

/// Leaves of what was given on an item what there is anywhere: some roles are of shared drives alone.
pub(crate) fn lower(edit: &Edit<'_>, item: i64) -> Result<()> {
    let sql = "UPDATE permissions SET role = 'writer' WHERE item = ? AND role = 'fileOrganizer'";
    edit.db.prepare_cached(sql)?.execute([item])?;
    Ok(())
}

/// When an item itself was shared with a user, and by whom.
pub(crate) fn given(db: &Connection, item: i64, user: i64) -> Result<Option<(Timestamp, i64)>> {
    let sql = "SELECT time, giver FROM permissions WHERE item = ? AND user = ?";
    let given = |row: &Row<'_>| Ok((Timestamp::from_millis(row.get(0)?), row.get(1)?));
    Ok(db.prepare_cached(sql)?.query_row([item, user], given).optional()?)
}
