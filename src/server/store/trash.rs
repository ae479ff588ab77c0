//! Statements that go through a whole folder: trashing and deleting what is in it.

use rusqlite::Connection;

use super::super::error::Result;
use super::rows::{self, unsigned};
use super::{Edit, changes};

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

/// Deletes an item with all that is in it, as the next change of the drive it is in. Does nothing if it is gone.
pub(crate) fn delete(edit: &Edit<'_>, no: i64, id: &str, drive: Option<i64>) -> Result<()> {
    let drive = drive.map(|drive| rows::id(edit.db, drive)).transpose()?;
    if edit.db.prepare_cached("DELETE FROM items WHERE no = ?")?.execute([no])? == 0 {
        return Ok(());
    }
    changes::leave(edit, id, drive.as_deref())
}

/// Numbers and ids of what was put into the trash of a drive itself, oldest first.
pub(crate) fn explicitly_trashed(db: &Connection, drive: Option<i64>) -> Result<Vec<(i64, String)>> {
    let sql = "SELECT no, id FROM items
               WHERE trashed = 1 AND explicitly_trashed = 1 AND +drive IS ? ORDER BY version";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([drive], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Bytes of the user's quota that the trash holds.
pub(crate) fn used(db: &Connection) -> Result<u64> {
    let sql = "SELECT coalesce(sum(quota_bytes), 0) FROM items WHERE trashed = 1 AND drive IS NULL";
    Ok(unsigned(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}
