//! What becomes, on the drive, of what is removed here.
//!
//! With [`UseTrash::Auto`] only that is deleted for good which cannot be missed: what this mount made, within the last hour, and
//! nobody else changed since. What is known of that is in memory only, and forgotten when in doubt: then it goes to the trash. In
//! particular it is forgotten of every folder in which something went to the trash, since that would be deleted with the folder.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::journal::Gone;
use crate::clock::Instant;
use crate::config::UseTrash;
use crate::tree::{Ino, Node, nodes};

/// For how long what was made here is known to be ours to delete.
const OURS: Duration = Duration::from_hours(1);

/// Of how many entries that is known; the oldest are forgotten first.
const KNOWN: usize = 100_000;

/// Decides where removed entries go.
#[derive(Debug)]
pub(super) struct Trash {
    when: UseTrash,
    made: Mutex<Made>,
}

/// Entries that were made here. INVARIANT: `order` has each of `when`, oldest first, and maybe some that are forgotten.
#[derive(Debug, Default)]
struct Made {
    when: HashMap<Ino, Instant>,
    order: VecDeque<(Ino, Instant)>,
}

impl Trash {
    pub(super) fn new(when: UseTrash) -> Self {
        Self { when, made: Mutex::default() }
    }

    /// Whether it depends on the entry.
    pub(super) fn is_auto(&self) -> bool {
        self.when == UseTrash::Auto
    }

    /// An entry was made here just now.
    pub(super) fn made(&self, ino: Ino) {
        self.made_at(ino, Instant::now());
    }

    fn made_at(&self, ino: Ino, now: Instant) {
        if !self.is_auto() {
            return;
        }
        let mut made = self.made.lock();
        while let Some(&(oldest, since)) = made.order.front() {
            if made.order.len() < KNOWN && now.saturating_duration_since(since) < OURS {
                break;
            }
            made.order.pop_front();
            if made.when.get(&oldest) == Some(&since) {
                made.when.remove(&oldest);
            }
        }
        made.when.insert(ino, now);
        made.order.push_back((ino, now));
    }

    /// `source` became, on the drive, what `target` was.
    pub(super) fn took_over(&self, source: Ino, target: Ino) {
        let mut made = self.made.lock();
        if !made.when.contains_key(&target) {
            made.when.remove(&source);
        }
    }

    /// Somebody else changed an entry.
    pub(super) fn changed_elsewhere(&self, ino: Ino) {
        self.made.lock().when.remove(&ino);
    }

    /// What becomes of an entry that the drive has, when it is removed here. To be asked before it is.
    pub(super) fn decide(&self, db: &Connection, node: &Node) -> rusqlite::Result<Gone> {
        match self.when {
            UseTrash::Always => return Ok(Gone::Trash),
            UseTrash::Never => return Ok(Gone::Delete),
            UseTrash::Auto => {}
        }
        let ours = self.made.lock().when.get(&node.ino).is_some_and(|since| since.elapsed() < OURS);
        if ours {
            return Ok(Gone::Delete);
        }
        self.forget_above(db, node.parent)?;
        let there = nodes::base(db, node.ino)?.and_then(|base| base.on_drive?.parent);
        if let Some(folder) = there.map_or(Ok(None), |id| nodes::by_id(db, &id))? {
            self.forget_above(db, folder.ino)?;
        }
        Ok(Gone::Trash)
    }

    /// Forgets a folder and all above it.
    fn forget_above(&self, db: &Connection, folder: Ino) -> rusqlite::Result<()> {
        let mut at = folder;
        while let Some(node) = nodes::by_ino(db, at)? {
            self.made.lock().when.remove(&at);
            at = node.parent;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(trash: &Trash, ino: u64) -> bool {
        trash.made.lock().when.contains_key(&Ino(ino))
    }

    #[test]
    fn what_was_made_is_known_for_an_hour_and_not_of_too_many() {
        let trash = Trash::new(UseTrash::Auto);
        let now = Instant::now();
        trash.made_at(Ino(2), now);
        trash.made_at(Ino(3), now + OURS / 2);
        trash.made_at(Ino(4), now + OURS);
        assert!(!is_known(&trash, 2) && is_known(&trash, 3) && is_known(&trash, 4));
        for ino in 10..10 + KNOWN as u64 {
            trash.made_at(Ino(ino), now + OURS);
        }
        assert!(!is_known(&trash, 3) && is_known(&trash, 10));
        assert!(trash.made.lock().order.len() <= KNOWN);
    }

    #[test]
    fn what_took_the_place_of_an_old_file_is_as_old() {
        let trash = Trash::new(UseTrash::Auto);
        for ino in [2, 3, 4] {
            trash.made(Ino(ino));
        }
        trash.took_over(Ino(2), Ino(9));
        trash.took_over(Ino(3), Ino(4));
        assert!(!is_known(&trash, 2) && is_known(&trash, 3));
    }
}
