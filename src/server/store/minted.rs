//! Ids that were handed out before the items that will bear them.

use rusqlite::{Connection, OptionalExtension};

use super::super::error::Result;
use super::Edit;

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Minted {
    /// Never handed out.
    Unknown,
    /// Handed out and free.
    Free { shortcut: bool },
    /// An item was created with it, which may be gone.
    Used,
}

/// Remembers new ids, for shortcuts or for everything else.
pub(crate) fn add(edit: &Edit<'_>, ids: &[String], shortcut: bool) -> Result<()> {
    let mut statement = edit.db.prepare_cached("INSERT INTO minted (id, shortcut, used) VALUES (?, ?, 0)")?;
    for id in ids {
        statement.execute((id, shortcut))?;
    }
    Ok(())
}

pub(crate) fn state(db: &Connection, id: &str) -> Result<Minted> {
    let mut statement = db.prepare_cached("SELECT used, shortcut FROM minted WHERE id = ?")?;
    let row: Option<(bool, bool)> = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match row {
        None => Minted::Unknown,
        Some((true, _)) => Minted::Used,
        Some((false, shortcut)) => Minted::Free { shortcut },
    })
}

/// An item was created with it.
pub(crate) fn spend(edit: &Edit<'_>, id: &str) -> Result<()> {
    edit.db.prepare_cached("UPDATE minted SET used = 1 WHERE id = ?")?.execute([id])?;
    Ok(())
}
