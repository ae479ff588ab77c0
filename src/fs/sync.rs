//! Waiting for the drive.

use std::collections::HashSet;
use std::sync::Arc;

use super::dir::Unknown;
use super::handle::Handle;
use super::{Answer, Fs, NodeId, Result};
use crate::config::Fsync;
use crate::error::Kind;
use crate::tree::{Ino, Node};
use crate::writeback::Durability;

impl Fs {
    /// `fsync` by a thread: what was written so far survives the loss of power; with [`Fsync::Drive`] that of this machine. Fails
    /// with what keeps it from the drive, if the program has not heard of that.
    pub fn fsync(self: &Arc<Self>, handle: u64, thread: u32) -> Answer<()> {
        let Some(handle) = self.files.handle(handle) else { return Answer::err(Kind::BadHandle) };
        self.synced(thread, Some(Arc::clone(&handle)), move |fs| {
            fs.seal(&handle.file, Durability::PowerLoss)?;
            fs.refusal(&handle)?;
            fs.drive_has_room(&handle)?;
            Ok(if handle.file.is_unlinked() { Vec::new() } else { vec![handle.file.ino] })
        })
    }

    /// `fsync` of a folder by a thread: its entries survive the loss of power, or that of this machine.
    pub fn fsyncdir(self: &Arc<Self>, id: NodeId, thread: u32) -> Answer<()> {
        self.synced(thread, None, move |fs| {
            fs.writeback.sync()?;
            if fs.options.fsync == Fsync::Local {
                return Ok(Vec::new());
            }
            let pending = fs.writeback.pending()?.into_iter().map(|pending| pending.ino);
            let within = |ino: &Ino| {
                let node = fs.tree.node(*ino).ok().flatten();
                *ino == id.ino() || node.is_some_and(|node| node.parent == id.ino())
            };
            Ok(pending.filter(within).collect())
        })
    }

    /// Does what waits for the local disk where nobody else waits for it, then waits for the drive if that is wanted.
    fn synced(
        self: &Arc<Self>,
        thread: u32,
        handle: Option<Arc<Handle>>,
        here: impl FnOnce(&Arc<Self>) -> Result<Vec<Ino>> + Send + 'static,
    ) -> Answer<()> {
        let fs = Arc::clone(self);
        let task = self.runtime.spawn_blocking({
            let fs = Arc::clone(self);
            move || here(&fs)
        });
        let answer = async move {
            let entries = task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            if fs.options.fsync == Fsync::Drive {
                let sent = fs.writeback.wait_for_drive(&entries, || fs.has_enough(thread)).await;
                if let (Err(_), Some(handle)) = (&sent, &handle) {
                    // It hears of it now.
                    let _told = fs.refusal(handle);
                }
                sent?;
            }
            Ok(())
        };
        match self.options.fsync {
            Fsync::Local => Answer::later(answer),
            Fsync::Drive => Answer::in_its_time(answer),
        }
    }

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
            if self.tree.belongs(pending.ino, scope)? {
                within.insert(pending.ino);
            }
        }
        Ok(within)
    }

    /// The entry of a path below the mountpoint, `a/b`.
    pub async fn resolve(self: &Arc<Self>, path: &str) -> Result<Node> {
        let mut id = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if !self.node(id.ino())?.is_folder() {
                return Err(Kind::NotFound.into());
            }
            let mut entry = self.lookup_now(id, name, Unknown::Ask)?;
            if entry.is_none() {
                self.reach(id, name).await?;
                entry = self.lookup_now(id, name, Unknown::Show)?;
            }
            id = entry.ok_or(Kind::NotFound)?.id;
        }
        self.node(id.ino())
    }
}
