//! What this account may change, as the drive told it: asked before anything is changed here, so that a program hears of it at once,
//! and from the operation that is not allowed.
//!
//! What is not known counts as allowed; then the drive says no when it is sent ([`super::errors`]).

use super::{Fs, Result};
use crate::error::Kind;
use crate::tree::{Ino, Node, NodeKind};

/// Whether an entry is one of the folders that no drive has.
fn is_made_up(node: &Node) -> bool {
    matches!(node.ino, Ino::SHARED_DRIVES | Ino::TARGETS) || node.parent == Ino::TARGETS
}

/// Permission bits of what may not be written.
pub(super) const UNWRITABLE: u32 = 0o7777 & !0o222;

/// Whether there is anything to be written to an entry, as its permission bits show it.
pub(super) fn is_writable(node: &Node) -> bool {
    match node.kind {
        NodeKind::Folder => node.access.may_add() && !is_made_up(node),
        NodeKind::File => node.access.may_write(),
        NodeKind::Symlink | NodeKind::Special(_) | NodeKind::Shortcut | NodeKind::Link | NodeKind::Document => true,
    }
}

/// Whether the content of a file may be changed.
pub(super) fn may_write(node: &Node) -> Result<()> {
    allow(node.kind != NodeKind::File || node.access.may_write())
}

/// Whether entries of a folder may come and go.
pub(super) fn may_change_entries(folder: &Node) -> Result<()> {
    allow(!folder.is_folder() || is_writable(folder))
}

/// Whether attributes of an entry may be changed.
pub(super) fn may_set_attributes(node: &Node) -> Result<()> {
    // The top of a shared drive keeps nothing for us.
    allow(node.access.may_rename() && !is_made_up(node) && node.parent != Ino::SHARED_DRIVES)
}

fn allow(allowed: bool) -> Result<()> {
    if allowed { Ok(()) } else { Err(Kind::Denied.into()) }
}

impl Fs {
    /// Whether an entry may go from one folder to another, or get another name in its own. [`Kind::OtherDrive`] of what no drive moves,
    /// so that programs copy it.
    pub(super) fn may_move(&self, node: &Node, from: Ino, to: Ino) -> Result<()> {
        allow(node.access.may_rename())?;
        if from == to {
            return Ok(());
        }
        let (here, there) = (self.tree.drive_of(from)?, self.tree.drive_of(to)?);
        if here == there {
            return allow(node.access.may_move());
        }
        // All names of a file are in one drive.
        if (node.is_folder() && there.is_some()) || node.names > 0 || node.link.is_some() {
            return Err(Kind::OtherDrive.into());
        }
        allow(node.access.may_leave())
    }
}
