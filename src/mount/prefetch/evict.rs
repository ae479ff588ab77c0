//! Dropping what is cached of files.

use std::collections::HashSet;
use std::sync::Arc;

use super::Running;
use crate::control::{Evicted, TOLD};
use crate::fs::GivenUp;
use crate::tree::{Ino, NodeKind};

impl Running {
    /// Drops what is cached of the files at or below some paths, as far as the tree knows them: of others nothing is here.
    pub(in super::super) async fn evict_below(self: &Arc<Self>, paths: &[String]) -> Result<Evicted, String> {
        let (mut evicted, mut tops) = (Evicted::default(), Vec::new());
        for path in paths {
            match self.follow(path).await {
                Ok(node) => tops.push(node.ino),
                Err(why) => evicted.failures.push((path.clone(), why)),
            }
        }
        let running = Arc::clone(self);
        let dropped = tokio::task::spawn_blocking(move || {
            running.drop_below(tops, &mut evicted);
            evicted
        });
        dropped.await.map_err(|panic| panic.to_string())
    }

    fn drop_below(&self, mut waiting: Vec<Ino>, evicted: &mut Evicted) {
        let mut seen = HashSet::new();
        while let Some(ino) = waiting.pop() {
            if seen.insert(ino)
                && let Err(why) = self.drop_one(ino, &mut waiting, evicted)
                && evicted.failures.len() < TOLD
            {
                evicted.failures.push((self.path_of(ino), why));
            }
        }
    }

    /// Drops what is cached of an entry; what is in it is to be looked at then.
    fn drop_one(&self, ino: Ino, waiting: &mut Vec<Ino>, evicted: &mut Evicted) -> Result<(), String> {
        let tree = &self.parts.tree;
        let Some(node) = tree.node(ino).map_err(|error| error.to_string())? else { return Ok(()) };
        if node.kind == NodeKind::Folder {
            let entries = tree.entries(ino).map_err(|error| error.to_string())?;
            waiting.extend(entries.into_iter().map(|entry| entry.ino));
            return Ok(());
        }
        match self.fs.give_up(&node).map_err(|error| error.to_string())? {
            GivenUp::Bytes(0) => {}
            GivenUp::Bytes(bytes) => evicted.dropped = evicted.dropped.and(bytes),
            GivenUp::Unsent => evicted.unsent = evicted.unsent.and(node.size),
            GivenUp::InUse => evicted.in_use = evicted.in_use.and(node.size),
        }
        Ok(())
    }
}
