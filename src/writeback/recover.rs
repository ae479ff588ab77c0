//! What a start finds, whether the last end was clean or not: there is no other kind of start.

use std::collections::HashSet;

use super::{Result, Writeback, conflict, journal, made, table};
use crate::clock;
use crate::crash;
use crate::remote::Blob;
use crate::tree::{Base, Ino, Node, asked, nodes};

/// When the machine was started that the cache was last mounted on.
const FACT_BOOT: &str = "boot";

impl Writeback {
    /// Brings tables and folder into agreement, and puts everything that is to be sent into the queue.
    /// `kept`: what is open, and goes on as it was. `takes_over`: from a daemon of the same mount, so there is nothing else that somebody
    /// could miss.
    pub(super) fn recover(&self, kept: &HashSet<Ino>, takes_over: bool) -> Result<()> {
        self.give_up_what_power_took()?;
        let entries = self.state.read(journal::all)?;
        let mut names = Vec::new();
        for entry in entries {
            if entry.unclosed && kept.contains(&entry.ino) {
                continue;
            }
            if entry.unclosed {
                names.push((entry.ino, self.tree.path(entry.ino)?));
                self.state.write::<_, rusqlite::Error>(|tx| take_back(tx, entry.ino))?;
                crash::point("creation-taken-back");
            } else {
                self.queue.recovered(entry.ino);
            }
        }
        let now = clock::now();
        self.state.write::<_, rusqlite::Error>(|tx| {
            made::sweep(tx, now)?;
            asked::sweep(tx)?;
            conflict::sweep(tx)
        })?;
        for (ino, path) in self.stagings.sweep(kept)? {
            let name = names.iter().find(|(other, _)| *other == ino).map(|(_, path)| path.clone());
            let name = name.map_or_else(|| self.tree.path(ino), Ok)?;
            // The database that knew it is gone.
            let name = if name.is_empty() { "a file of unknown name".to_owned() } else { name };
            let is_unwanted = takes_over && self.tree.is_removed(ino)?;
            // Written and neither closed nor synced: not promised, so not sent, for the drive never shows a part of a file.
            if is_unwanted || std::fs::metadata(&path)?.len() == 0 {
                std::fs::remove_file(&path)?;
            } else {
                self.aside.take(name, &path, "was being written when the last mount was killed")?;
            }
        }
        Ok(())
    }
}

impl Writeback {
    /// If the machine was started anew since the last mount, what was closed and not synced may be damaged, and nothing says so.
    /// It is not sent: the entry is what the drive has of it, or was never made. What there is of it is found by the sweep.
    fn give_up_what_power_took(&self) -> Result<()> {
        let boot = crash::boot();
        let before = self.state.fact(FACT_BOOT)?;
        if before.as_ref() == Some(&boot) {
            return Ok(());
        }
        if before.is_some() {
            for ino in self.state.read(table::unsent)? {
                if self.stagings.is_in_doubt(ino)? {
                    let path = self.tree.path(ino)?;
                    tracing::warn!(
                        path,
                        "was closed and not yet synced when the machine went down: it is as the drive has it"
                    );
                    // Its files are found by the sweep then.
                    self.state.write::<_, rusqlite::Error>(|tx| {
                        fall_back(tx, ino)?;
                        table::forget(tx, ino)
                    })?;
                } else {
                    // Whoever sees what outlived one loss of power relies on it: it is not given up for what may not outlive another.
                    self.state.write::<_, rusqlite::Error>(|tx| table::promise(tx, ino))?;
                }
            }
        }
        Ok(self.state.set_fact(FACT_BOOT, &boot)?)
    }
}

/// Makes an entry what the drive had when it was edited here, under the name that it has here. Says whether there is one. What becomes
/// of its staging is for the caller to say.
pub(super) fn fall_back(db: &rusqlite::Connection, ino: Ino) -> rusqlite::Result<bool> {
    let origin = table::stored(db, ino)?.and_then(|stored| stored.origin);
    let (node, base) = (nodes::by_ino(db, ino)?, nodes::base(db, ino)?);
    match (node, base, origin) {
        (Some(node), Some(Base { on_drive: Some(there), timed, .. }), Some(origin)) if node.is_linked() => {
            let Blob { size, md5, revision } = origin.blob;
            // The drive may have something newer, and have told so: whatever it tells next counts, and it is asked.
            nodes::update(db, &Node { size, md5, revision: Some(revision), version: 0, ..node })?;
            if let Some(folder) = there.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(db, id))? {
                nodes::set_listed(db, folder.ino, false)?;
            }
            nodes::set_base(db, ino, &Base { on_drive: Some(there), rewritten: false, timed })?;
            journal::forget_content(db, ino)?;
            Ok(true)
        }
        _ => take_back(db, ino).map(|()| false),
    }
}

/// Takes back the creation of a file that was never closed.
fn take_back(db: &rusqlite::Connection, ino: Ino) -> rusqlite::Result<()> {
    let node = nodes::by_ino(db, ino)?;
    let base = nodes::base(db, ino)?;
    journal::delete(db, ino)?;
    if let Some(node) = node {
        nodes::delete(db, ino)?;
        if matches!(base, Some(Base { on_drive: Some(_), .. })) {
            // It had replaced a file that the drive still has: that one is found when the folder is listed again.
            nodes::set_listed(db, node.parent, false)?;
        }
    }
    Ok(())
}
