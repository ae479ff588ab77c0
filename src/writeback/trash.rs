//! What becomes, on the drive, of what is removed here.
//!
//! With [`UseTrash::Auto`] only that is deleted for good which cannot be missed: what is [ours](super::made).

use rusqlite::Connection;

use super::journal::Gone;
use super::made;
use crate::clock;
use crate::config::UseTrash;
use crate::remote::{Item, ItemKind};
use crate::tree::{Node, NodeKind, nodes};

/// Decides where removed entries go.
#[derive(Debug)]
pub(super) struct Trash {
    when: UseTrash,
}

impl Trash {
    pub(super) fn new(when: UseTrash) -> Self {
        Self { when }
    }

    /// Whether what is deleted for good must not be anybody else's work.
    pub(super) fn is_careful(&self) -> bool {
        self.when != UseTrash::Never
    }

    /// What becomes of an entry that the drive has, when it is removed here. To be asked before it is.
    pub(super) fn decide(&self, db: &Connection, node: &Node) -> rusqlite::Result<Gone> {
        match self.when {
            UseTrash::Never => return Ok(Gone::Delete),
            UseTrash::Auto if made::is_ours(db, node.ino, clock::now())? => return Ok(Gone::Delete),
            // It has no content, and what it names goes on.
            UseTrash::Auto if node.kind == NodeKind::Link => return Ok(Gone::Delete),
            // Also for later mounts, which may be told otherwise.
            UseTrash::Auto | UseTrash::Always => {}
        }
        made::forget_above(db, node.parent)?;
        let there = nodes::base(db, node.ino)?.and_then(|base| base.on_drive?.parent);
        if let Some(folder) = there.map_or(Ok(None), |id| nodes::by_id(db, &id))? {
            made::forget_above(db, folder.ino)?;
        }
        Ok(Gone::Trash)
    }
}

/// Whether an item that is to be deleted for good is still what it was when that was decided, and nobody's but ours.
pub(super) fn is_only_ours(node: &Node, item: &Item) -> bool {
    let same = match &item.kind {
        ItemKind::File(blob) => node.revision.as_ref() == Some(&blob.revision),
        _ => true,
    };
    same && !item.shared
}
