//! What a start finds, whether the last end was clean or not: there is no other kind of start.

use super::{Result, Writeback, journal};
use crate::crash;
use crate::tree::{Base, Ino, nodes};

impl Writeback {
    /// Brings tables and folder into agreement, and puts everything that is to be sent into the queue.
    pub(super) fn recover(&self) -> Result<()> {
        let entries = self.state.read(journal::all)?;
        let mut names = Vec::new();
        for entry in entries {
            if entry.unclosed {
                names.push((entry.ino, self.tree.path(entry.ino)?));
                self.state.write::<_, rusqlite::Error>(|tx| take_back(tx, entry.ino))?;
                crash::point("creation-taken-back");
            } else {
                self.queue.recovered(entry.ino);
            }
        }
        for (ino, path) in self.stagings.sweep()? {
            let name = names.iter().find(|(other, _)| *other == ino).map(|(_, path)| path.clone());
            let name = name.map_or_else(|| self.tree.path(ino), Ok)?;
            // The database that knew it is gone.
            let name = if name.is_empty() { "a file of unknown name".to_owned() } else { name };
            // Written and neither closed nor synced: not promised, so not sent, for the drive never shows a part of a file.
            if std::fs::metadata(&path)?.len() == 0 {
                std::fs::remove_file(&path)?;
            } else {
                self.aside.take(name, &path, "was being written when the last mount was killed")?;
            }
        }
        Ok(())
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
