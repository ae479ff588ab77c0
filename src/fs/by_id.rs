//! Finding what is known by its id: below `.shortcut-targets-by-id`, where the links lead to that shortcuts are shown as.

use std::sync::Arc;
use std::time::Duration;

use super::attr::attr_ttl;
use super::{Entry, Fs, NodeId, Result};
use crate::error::Kind;
use crate::remote::FileId;
use crate::tree::{Ino, Node, NodeKind};

/// Whether a name may be an id: programs look for all sorts of names, and the drive is asked for none of them.
fn may_be_id(name: &str) -> bool {
    name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Fs {
    /// Makes the tree know what a name in a folder means.
    pub(super) async fn reach(self: &Arc<Self>, folder: NodeId, name: &str) -> Result<()> {
        let node = self.node(folder.ino())?;
        let row = self.tree.row(folder.ino(), name)?.filter(|row| row.kind == NodeKind::Link);
        if let Some(target) = row.and_then(|row| row.target) {
            self.tree.hold(&FileId(target)).await?;
        } else if node.ino == Ino::TARGETS {
            self.tree.hold(&FileId(name.to_owned())).await?;
        } else if node.parent == Ino::TARGETS {
            self.tree.hold(&FileId(node.name)).await?;
        } else {
            self.tree.find(node.ino, name).await?;
        }
        Ok(())
    }

    /// As [`Fs::lookup_now`], of what is not in the tree as an entry of `parent`, which is the folder of ids or that of one.
    pub(super) fn target_now(&self, folder: NodeId, parent: &Node, name: &str) -> Result<Option<Entry>> {
        if parent.ino == Ino::TARGETS {
            return if may_be_id(name) { Ok(None) } else { Err(Kind::NotFound.into()) };
        }
        if let Some(node) = self.tree.target(parent, name)? {
            let id = NodeId::by_id(node.ino, node.is_folder());
            self.ways.used(id);
            // It is somewhere else, and may go from there. This is not where that is told.
            let attr_ttl = attr_ttl(id, &node);
            return Ok(Some(Entry { id, name_ttl: Duration::ZERO, attr_ttl, ..self.entry(folder, &node) }));
        }
        let is_there = self.tree.by_id(&FileId(parent.name.clone()))?.is_some();
        if is_there { Err(Kind::NotFound.into()) } else { Ok(None) }
    }
}
