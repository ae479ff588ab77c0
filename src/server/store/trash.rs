//! Statements that go through a whole folder: trashing and deleting what is in it.

use rusqlite::Connection;

use super::super::error::Result;
use super::Edit;
use super::changes::{self, Keeper};
use super::rows::{ItemRow, unsigned};

/// Makes what lies in the folder `no` follow it into the trash, or out of it.
///
/// Into: what is trashed already is left alone, with all below it. Out: what was trashed by itself stays, likewise. The
/// descendants are not changed in the sense of the feed: what changed is the folder.
pub(crate) fn spread(edit: &Edit<'_>, no: i64, trashed: bool) -> Result<()> {
    let sql = if trashed {
        "WITH RECURSIVE below (no) AS (
             SELECT no FROM items WHERE parent = ?1 AND trashed = 0
             UNION ALL SELECT items.no FROM items JOIN below ON items.parent = below.no WHERE items.trashed = 0)
         UPDATE items SET trashed = 1 WHERE no IN below"
    } else {
        "WITH RECURSIVE below (no) AS (
             SELECT no FROM items WHERE parent = ?1 AND explicitly_trashed = 0
             UNION ALL SELECT items.no FROM items JOIN below ON items.parent = below.no
             WHERE items.explicitly_trashed = 0)
         UPDATE items SET trashed = 0 WHERE no IN below"
    };
    edit.db.prepare_cached(sql)?.execute([no])?;
    Ok(())
}

/// Deletes an item with all that is in it, as the next change in each log that it is in.
pub(crate) fn delete(edit: &Edit<'_>, row: &ItemRow, keepers: &[Keeper]) -> Result<()> {
    edit.db.prepare_cached("DELETE FROM items WHERE no = ?")?.execute([row.no])?;
    changes::change_keepers(edit, &row.id, keepers, &[])
}

/// Whose trash.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trash {
    /// What this user owns.
    User(i64),
    /// What is in this shared drive.
    Drive(i64),
}

/// Ids of what was put into a trash itself, oldest first.
pub(crate) fn explicitly_trashed(db: &Connection, trash: Trash) -> Result<Vec<String>> {
    let (column, number) = match trash {
        Trash::User(user) => ("owner", user),
        Trash::Drive(drive) => ("drive", drive),
    };
    // The plus keeps the index of trashed items in use.
    let sql =
        format!("SELECT id FROM items WHERE trashed = 1 AND explicitly_trashed = 1 AND +{column} = ? ORDER BY version");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([number], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Bytes of a user's quota that the trash holds.
pub(crate) fn used(db: &Connection, user: i64) -> Result<u64> {
    let sql = "SELECT coalesce(sum(quota_bytes), 0) FROM items WHERE trashed = 1 AND +owner = ?";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([user], |row| row.get(0))?))
}
