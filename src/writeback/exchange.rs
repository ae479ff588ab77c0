//! Exchanges: two entries change places at once.
//!
//! Each keeps its identity on the drive, its content and what is under way for it; what differs is its name and its folder. A drive
//! has no exchange, but takes two items of one name: so either can go first, and a crash in between is two entries of which one is
//! still to be sent. As one is never moved into the other, no folder has to wait for what waits for it ([`super::send`]).

use rusqlite::Transaction;

use super::WritebackError::Refused;
use super::changes::folder;
use super::temporary::change_of;
use super::{Result, Writeback, WritebackError, journal, table};
use crate::clock;
use crate::crash;
use crate::error::Kind;
use crate::state::request;
use crate::tree::{Ino, Node, local, nodes};

impl Writeback {
    /// Lets two entries change places, as `renameat2(2)` with `RENAME_EXCHANGE` does.
    pub fn exchange(&self, one: (Ino, &str), other: (Ino, &str)) -> Result<()> {
        self.beside.changed();
        let both =
            self.state.read(|db| Ok((nodes::by_name(db, one.0, one.1)?, nodes::by_name(db, other.0, other.1)?)))?;
        let (Some(first), Some(second)) = both else { return Err(Refused(Kind::NotFound)) };
        // Each takes the place of something: what is removed after that, as the old version of a file, must not have been the only
        // one that survives the loss of power.
        for node in [&first, &second] {
            self.sync_before_it_replaces(node.file())?;
        }
        let (changed, promised) = self.state.write::<_, WritebackError>(|tx| {
            let first = nodes::by_name(tx, one.0, one.1)?.ok_or(Refused(Kind::NotFound))?;
            let second = nodes::by_name(tx, other.0, other.1)?.ok_or(Refused(Kind::NotFound))?;
            // Two names of one file: both stay.
            if first.file() == second.file() {
                return Ok((Vec::new(), Vec::new()));
            }
            may_exchange(tx, &first, &second)?;
            let promised = table::is_promised(tx, first.file())? || table::is_promised(tx, second.file())?;
            local::exchange(tx, &first, &second, clock::now())?;
            let mut changed = Vec::new();
            if promised {
                table::promise(tx, first.file())?;
                table::promise(tx, second.file())?;
            }
            for ino in [first.ino, second.ino] {
                journal::touch(tx, ino, self.seqs.next())?;
                if let Some(now) = nodes::by_ino(tx, ino)? {
                    changed.push((ino, change_of(tx, &now)?));
                }
            }
            request::note(tx)?;
            crash::point("exchange-not-committed");
            Ok((changed, if promised { vec![first.file(), second.file()] } else { Vec::new() }))
        })?;
        crash::point("exchanged");
        for staging in promised.into_iter().filter_map(|ino| self.stagings.in_use(ino)) {
            staging.promise();
        }
        for (ino, change) in changed {
            self.queue.changed_so(ino, change);
        }
        Ok(())
    }
}

/// [`Kind::Invalid`] if one of them is in the other.
fn may_exchange(tx: &Transaction<'_>, one: &Node, other: &Node) -> Result<()> {
    for (node, place) in [(one, other), (other, one)] {
        folder(tx, place.parent)?;
        if node.is_folder() && nodes::is_within(tx, place.parent, node.ino)? {
            return Err(Refused(Kind::Invalid));
        }
    }
    Ok(())
}
