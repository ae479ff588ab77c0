//! Names that say of a file that it will be renamed in a moment, over the file that is saved.
//!
//! Only a guess: a file that is taken for a temporary one is sent a few seconds later than it could be, and that is all.

use rusqlite::Connection;

use super::guess::{is_random, is_temporary};
use super::queue::Change;
use crate::tree::{Node, NodeKind, nodes};

/// Whether a file is beside one of its name without something at random at the end: `last.ckpt.8f3a9c1b`.
fn has_sibling(db: &Connection, node: &Node) -> rusqlite::Result<bool> {
    let Some((name, end)) = node.name.rsplit_once(['.', '-', '_']) else { return Ok(false) };
    Ok(end.len() >= 6
        && is_random(end)
        && nodes::by_name(db, node.parent, name)?.is_some_and(|sibling| sibling.kind == NodeKind::File))
}

/// What a change of an entry means for when it is sent.
pub(super) fn change_of(db: &Connection, node: &Node) -> rusqlite::Result<Change> {
    let temporary = node.kind == NodeKind::File && (is_temporary(&node.name) || has_sibling(db, node)?);
    Ok(if temporary { Change::Temporary } else { Change::Other })
}
