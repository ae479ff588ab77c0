//! Waiting for the drive.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Fs, NodeId, Result};
use crate::error::Kind;
use crate::tree::{Ino, Node};

impl Fs {
    /// Waits until the drive has everything that was changed so far in `scope` and below it, open files included, or until
    /// what is left cannot be sent for a reason that will not pass by itself. Says what is left. To bound the wait, drop the
    /// future.
    pub async fn flush_to_drive(self: &Arc<Self>, scope: Ino) -> Result<Vec<Ino>> {
        self.seal_open();
        if scope == Ino::ROOT {
            return Ok(self.writeback.flush(|_| true).await?);
        }
        let within = self.pending_within(scope)?;
        Ok(self.writeback.flush(|ino| within.contains(&ino)).await?)
    }

    /// The entries with something to send that are `scope` or lie in it.
    fn pending_within(&self, scope: Ino) -> Result<HashSet<Ino>> {
        let mut within = HashSet::new();
        for pending in self.writeback.pending()? {
            if self.tree.is_within(pending.ino, scope)? {
                within.insert(pending.ino);
            }
        }
        Ok(within)
    }

    /// The entry of a path below the mountpoint, `a/b`.
    pub async fn resolve(self: &Arc<Self>, path: &str) -> Result<Node> {
        let mut id = NodeId::ROOT;
        let mut node = self.node(id.ino())?;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            self.tree.list(node.ino).await?;
            node = match self.tree.child(node.ino, name)? {
                Some(child) => child,
                None if id.alias_of(name).is_some() => self.node(Ino::ROOT)?,
                None => return Err(Kind::NotFound.into()),
            };
            id = id.child(node.ino, true);
        }
        Ok(node)
    }
}
