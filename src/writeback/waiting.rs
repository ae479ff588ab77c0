//! What the journal of a mount that does not run holds.

use super::journal;
use crate::state::{self, State};
use crate::tree::nodes;

/// An entry that the next mount will send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its path below the mountpoint.
    pub path: String,
    /// Bytes of its content, if that is to be sent.
    pub bytes: u64,
    /// Why it was not sent yet, if that was tried.
    pub error: Option<String>,
}

/// All entries that the drive does not have as they are here, oldest change first.
pub fn waiting(state: &State) -> state::Result<Vec<Waiting>> {
    state.snapshot(|db| {
        let mut waiting = Vec::new();
        for entry in journal::all(db)?.into_iter().filter(|entry| !entry.unclosed) {
            let size = if entry.content.is_some() { nodes::by_ino(db, entry.ino)?.map(|node| node.size) } else { None };
            waiting.push(Waiting { path: nodes::path(db, entry.ino)?, bytes: size.unwrap_or(0), error: entry.error });
        }
        Ok(waiting)
    })
}
