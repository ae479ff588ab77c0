//! What commands ask of a mount that runs, beside its status and its end.

use std::sync::Arc;

use super::running::Running;
use crate::control::{Cleared, EntryStatus, Refreshed, Unsent};
use crate::error::Kind;
use crate::remote::Special;
use crate::tree::{Ino, Node, NodeKind};

impl Running {
    /// Hears all that is new on the drive, and has tried again what could not be sent. A path must be there then.
    pub(super) async fn refresh_all(self: &Arc<Self>, path: &str) -> Result<Refreshed, String> {
        let retried = self.parts.writeback.retry_now();
        let heard = tokio::select! {
            heard = self.parts.tree.look() => heard.map_err(|error| error.to_string()),
            () = self.over() => Err("the mount is ending".to_owned()),
        };
        heard.map_err(|why| format!("the drive does not tell what is new: {why}"))?;
        self.find(path).await?;
        Ok(Refreshed { retried })
    }

    /// How the entry of a path fares, with all that is in it.
    pub(super) async fn entry_at(self: &Arc<Self>, path: &str) -> Result<EntryStatus, String> {
        let node = self.find(path).await?;
        let unsent = self.unsent_within(node.ino)?;
        let clean = unsent.entries == 0 && unsent.unsealed_bytes == 0;
        Ok(EntryStatus {
            path: self.parts.tree.path(node.ino).map_err(|error| error.to_string())?,
            kind: match node.kind {
                NodeKind::Folder => "folder",
                NodeKind::File => "file",
                NodeKind::Symlink => "link",
                NodeKind::Special(Special::Fifo) => "fifo",
                NodeKind::Special(Special::Socket) => "socket",
                NodeKind::Special(Special::CharDevice | Special::BlockDevice) => "device",
                NodeKind::Shortcut | NodeKind::Link => "shortcut",
                NodeKind::Document => "document",
            }
            .to_owned(),
            size: node.size,
            md5: node.md5.filter(|_| clean && node.kind == NodeKind::File).map(|md5| md5.to_string()),
            state: self.fs.state_of(node.ino).map_err(|error| error.to_string())?,
            error: self.fs.failure_of(node.ino),
            id: node.id.map(|id| id.0),
            unsent,
        })
    }

    /// What the drive does not have yet of an entry and of what is in it.
    fn unsent_within(&self, scope: Ino) -> Result<Unsent, String> {
        if scope == Ino::ROOT {
            return self.unsent();
        }
        let tree = &self.parts.tree;
        let mut pending = self.parts.writeback.pending().map_err(|error| error.to_string())?;
        pending.retain(|item| tree.belongs(item.ino, scope).unwrap_or(false));
        let unsealed = self.fs.unsealed().into_iter();
        let unsealed = unsealed.filter(|(ino, _)| tree.belongs(*ino, scope).unwrap_or(false));
        let streamed = |ino| self.parts.writeback.streamed(ino);
        let unsealed_bytes = unsealed.map(|(ino, bytes)| bytes.saturating_sub(streamed(ino))).sum();
        let bytes = pending.iter().map(|item| item.bytes.saturating_sub(item.sent)).sum::<u64>() + unsealed_bytes;
        Ok(Unsent { entries: pending.len(), bytes, unsealed_bytes, items: self.items(pending) })
    }

    /// Drops what can be fetched again.
    pub(super) fn drop_cached(&self) -> Result<Cleared, String> {
        let dropped_bytes = self.parts.content.cache().clear().map_err(|error| error.to_string())?;
        let unsent = self.unsent()?;
        Ok(Cleared { dropped_bytes, unsent_bytes: unsent.bytes, unsent_entries: unsent.entries })
    }

    /// The entry of a path below the mountpoint.
    pub(super) async fn find(self: &Arc<Self>, path: &str) -> Result<Node, String> {
        self.fs.resolve(path).await.map_err(|error| match error.kind() {
            Kind::NotFound => format!("{path} is not there, neither here nor on the drive"),
            _ => format!("{path}: {error}"),
        })
    }

    /// Completes when the mount is over: nobody follows the drive any more.
    async fn over(&self) {
        let mut ended = self.ended.subscribe();
        let _over = ended.wait_for(Option::is_some).await;
    }
}
