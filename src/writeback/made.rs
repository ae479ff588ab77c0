//! What this mount made lately: the table `made`.
//!
//! An item that this mount made is ours to delete for good, within a day and as long as nobody else had to do with it: nobody
//! can miss it. What is known of that survives the mount, and is forgotten when in doubt: when somebody else changed the item,
//! when others may see it, when something went to the trash in it, and when the clock is not to be trusted.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::Timestamp;
use crate::tree::{Ino, nodes};

/// For how long.
const OURS: Duration = Duration::from_hours(24);

/// After so many new entries, those that were made too long ago are forgotten.
pub(super) const SWEPT_EVERY: u64 = 8192;

/// An entry was made here just now.
pub(super) fn note(db: &Connection, ino: Ino, now: Timestamp) -> rusqlite::Result<()> {
    set(db, ino, now.millis())
}

fn set(db: &Connection, ino: Ino, since: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO made (ino, since) VALUES (?1, ?2)")?
        .execute(params![ino, since])
        .map(|_| ())
}

fn since(db: &Connection, ino: Ino) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT since FROM made WHERE ino = ?1")?.query_row([ino], |row| row.get(0)).optional()
}

/// Whether an entry was made here within the last day, and nobody else had to do with it since.
pub(super) fn is_ours(db: &Connection, ino: Ino, now: Timestamp) -> rusqlite::Result<bool> {
    let age = since(db, ino)?.map(|since| now.millis().saturating_sub(since));
    Ok(age.and_then(|age| u64::try_from(age).ok()).is_some_and(|age| Duration::from_millis(age) < OURS))
}

/// It is not ours alone any more, or gone.
pub(super) fn forget(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM made WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// `source` became, on the drive, what `target` was, and the other way round: so did what is known of them.
pub(super) fn swap(db: &Connection, source: Ino, target: Ino) -> rusqlite::Result<()> {
    let (of_source, of_target) = (since(db, source)?, since(db, target)?);
    for (ino, since) in [(source, of_target), (target, of_source)] {
        match since {
            Some(since) => set(db, ino, since)?,
            None => forget(db, ino)?,
        }
    }
    Ok(())
}

/// Forgets a folder and all above it: something in it went to the trash, and would be deleted with it.
pub(super) fn forget_above(db: &Connection, folder: Ino) -> rusqlite::Result<()> {
    let mut at = folder;
    while let Some(node) = nodes::by_ino(db, at)? {
        forget(db, at)?;
        at = node.parent;
    }
    Ok(())
}

/// Forgets what was made too long ago to matter.
pub(super) fn sweep(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let oldest = now.millis() - i64::try_from(OURS.as_millis()).unwrap_or(i64::MAX);
    db.prepare_cached("DELETE FROM made WHERE since < ?1")?.execute([oldest]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn what_was_made_is_ours_for_a_day_and_not_before_it_was_made() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let noon = Timestamp::from_millis(1_800_000_000_000);
        state.write(|tx| note(tx, Ino(2), noon)).expect("notes");
        let ours = |now| state.read(|db| is_ours(db, Ino(2), now)).expect("reads");
        assert!(ours(noon) && ours(noon.after(OURS / 2)));
        assert!(!ours(noon.after(OURS)) && !ours(Timestamp::from_millis(0)));
        state.write(|tx| sweep(tx, noon.after(OURS / 2))).expect("sweeps");
        assert!(ours(noon));
        state.write(|tx| sweep(tx, noon.after(OURS * 2))).expect("sweeps");
        assert!(!ours(noon));
    }

    #[test]
    fn what_took_the_place_of_an_old_file_is_as_old() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let now = Timestamp::from_millis(1_800_000_000_000);
        let ours = |ino| state.read(|db| is_ours(db, Ino(ino), now)).expect("reads");
        let work = |tx: &rusqlite::Transaction<'_>| {
            [2, 3, 4].into_iter().try_for_each(|ino| note(tx, Ino(ino), now))?;
            swap(tx, Ino(2), Ino(9))?;
            swap(tx, Ino(3), Ino(4))
        };
        state.write(work).expect("writes");
        assert!(!ours(2) && ours(9), "the old file is where the new one was, and the other way round");
        assert!(ours(3) && ours(4));
    }
}
