//! Unlinks files of bytes that nothing owns any more.
//!
//! What is to go is written in the database by the transaction that lets go of it, so nothing is forgotten if the process
//! dies before the file is gone: the next start goes on.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::blobs::Blobs;
use super::error::Result;
use super::store::{Store, contents};

/// Files unlinked between two looks at the database.
const BATCH: i64 = 256;

/// The way to the task that unlinks. The task ends when this is dropped and all is done.
#[derive(Debug, Clone)]
pub(crate) struct Reaper(UnboundedSender<Order>);

#[derive(Debug)]
enum Order {
    /// Something was let go of.
    Look,
    /// This draft came to nothing.
    Abandoned(String),
}

impl Reaper {
    /// Starts the task, which first does what an earlier process left.
    pub(crate) fn start(store: Arc<Store>, blobs: Blobs) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = unbounded_channel();
        let reaper = Self(sender);
        reaper.look();
        let task = tokio::spawn(run(store, blobs, receiver));
        (reaper, task)
    }

    /// Something was let go of.
    pub(crate) fn look(&self) {
        self.send(Order::Look);
    }

    /// This draft came to nothing.
    pub(crate) fn abandoned(&self, blob: String) {
        self.send(Order::Abandoned(blob));
    }

    fn send(&self, order: Order) {
        // The task is gone only when the server is ending; the next start does what is left.
        let _ = self.0.send(order);
    }
}

async fn run(store: Arc<Store>, blobs: Blobs, mut orders: UnboundedReceiver<Order>) {
    let mut received = Vec::new();
    while orders.recv_many(&mut received, 1024).await > 0 {
        let abandoned = received.drain(..).filter_map(|order| match order {
            Order::Look => None,
            Order::Abandoned(blob) => Some(blob),
        });
        if let Err(error) = reap(&store, &blobs, abandoned.collect()).await {
            tracing::warn!(?error, "files of bytes could not be unlinked; the next start tries again");
        }
    }
}

async fn reap(store: &Store, blobs: &Blobs, abandoned: Vec<String>) -> Result<()> {
    if !abandoned.is_empty() {
        let blobs = blobs.clone();
        let let_go = store.write(move |edit| {
            abandoned.iter().try_for_each(|blob| contents::abandon(edit, blob))?;
            // Before the commit: if these bytes are what fills the disk, it has no room for a commit while they are there.
            // Should it fail all the same, they are still nobody's.
            contents::doomed(edit.db, BATCH)?.iter().try_for_each(|blob| blobs.remove(blob))?;
            Ok(())
        });
        let_go.await?;
    }
    loop {
        let doomed = store.read(|db| contents::doomed(db, BATCH)).await?;
        if doomed.is_empty() {
            return Ok(());
        }
        let blobs = blobs.clone();
        let doomed = spawn_blocking(move || {
            doomed.iter().try_for_each(|blob| blobs.remove(blob))?;
            Ok::<_, std::io::Error>(doomed)
        })
        .await??;
        store.write(move |edit| contents::forget_doomed(edit, &doomed)).await?;
    }
}
