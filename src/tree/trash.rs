//! Since when things are in the trash of the drive, as far as this mount knows.
//!
//! A drive tells that for shared drives only. So it is noted, as facts of [`crate::state`], when something was first heard or seen
//! to be there. That is never too early: what the feed of changes tells of it again counts anew, for it may have been taken out in
//! between.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Transaction};

use super::{Result, Tree, TreeError};
use crate::clock::{self, Timestamp};
use crate::remote::{Change, FileId};
use crate::state;

/// What the names of these facts begin with; the identity of the item follows.
const PREFIX: &str = "trashed:";

/// Notes what an entry of the feed says of the trash.
pub(super) fn heard(tx: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Present(item) if item.trashed => note(tx, &item.id, clock::now()),
        Change::Present(item) => forget(tx, &item.id),
        Change::Removed(id) => forget(tx, id),
        Change::Drive(_) => Ok(()),
    }
}

/// Forgets all of it: something may have been missed.
pub(super) fn forget_all(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM fact WHERE name GLOB ?1", [format!("{PREFIX}*")]).map(|_| ())
}

fn note(db: &Connection, id: &FileId, when: Timestamp) -> rusqlite::Result<()> {
    state::set_fact(db, &format!("{PREFIX}{id}"), &when.millis().to_string())
}

fn forget(db: &Connection, id: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM fact WHERE name = ?1")?.execute([format!("{PREFIX}{id}")]).map(|_| ())
}

fn all(db: &Connection) -> rusqlite::Result<HashMap<FileId, Timestamp>> {
    db.prepare_cached("SELECT name, value FROM fact WHERE name GLOB ?1")?
        .query_map([format!("{PREFIX}*")], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
        .filter_map(|row| match row {
            Ok((name, value)) => {
                let id = name.strip_prefix(PREFIX)?.to_owned();
                Some(Ok((FileId(id), Timestamp::from_millis(value.parse().ok()?))))
            }
            Err(error) => Some(Err(error)),
        })
        .collect()
}

impl Tree {
    /// Since when these, which are all that the trash holds now, are known to be there; what was not known of is noted.
    pub fn known_trashed(&self, there: &HashSet<FileId>) -> Result<HashMap<FileId, Timestamp>> {
        self.state.write::<_, TreeError>(|tx| {
            let mut known = all(tx)?;
            for gone in known.extract_if(|id, _| !there.contains(id)) {
                forget(tx, &gone.0)?;
            }
            for id in there {
                if !known.contains_key(id) {
                    let now = clock::now();
                    note(tx, id, now)?;
                    known.insert(id.clone(), now);
                }
            }
            Ok(known)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Item, ItemKind, Posix};
    use crate::state::State;

    #[test]
    fn what_comes_back_and_goes_again_counts_from_then() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let item = |trashed| Item {
            id: FileId("f".to_owned()),
            name: "f".to_owned(),
            parent: None,
            kind: ItemKind::Folder,
            version: 1,
            modified: Timestamp::default(),
            created: Timestamp::default(),
            trashed,
            trashed_itself: trashed,
            owned: true,
            shared: false,
            drive: None,
            access: crate::remote::Access::UNKNOWN,
            posix: Posix::default(),
        };
        let known = || state.read(all).expect("reads").get(&FileId("f".to_owned())).copied();
        let hear = |change: &Change| {
            let heard: state::Result<()> = state.write(|tx| Ok(heard(tx, change)?));
            heard.expect("writes");
        };
        state.set_fact("trashed:f", "1000").expect("writes");
        state.set_fact("trashed", "no such thing").expect("writes");
        assert_eq!(known(), Some(Timestamp::from_millis(1000)));
        hear(&Change::Present(item(true)));
        assert!(known() > Some(Timestamp::from_millis(1000)), "it may have been out in between");
        hear(&Change::Present(item(false)));
        assert_eq!(known(), None);
        hear(&Change::Present(item(true)));
        hear(&Change::Removed(FileId("f".to_owned())));
        assert_eq!(known(), None);
        hear(&Change::Present(item(true)));
        let forgotten: state::Result<()> = state.write(|tx| Ok(forget_all(tx)?));
        forgotten.expect("writes");
        assert_eq!((known(), state.fact("trashed").expect("reads")), (None, Some("no such thing".to_owned())));
    }
}
