//! Following the drive's feeds of changes.
//!
//! [`follow`] runs for the life of a mount and ends with it. Each page of the feed is merged in one transaction together with
//! its cursor, so that after a crash the same page is merged again, which does no harm.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rusqlite::Transaction;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::merge::{self, Merge};
use super::{
    Effects, Ino, Listener, Node, OnDrive, Result, Tree, TreeError, feeds, names, nodes, snapshot, trash, unplaced,
};
use crate::error::Kind;
use crate::remote::{Change, Changes, FileId, Item, RemoteError};

/// Pages in a row that lead nowhere: one is no sign of anything, this many are a feed that does not end.
const FRUITLESS: u32 = 100;

/// The clocks of a drive, of which there are many, agree to that, and its answers say the time to the second.
const SLACK: Duration = Duration::from_secs(2);
/// Feeds of shared drives that are read at one time.
const AT_ONCE: usize = 4;

/// Who wants the feed to be read at once, and how the last reading ended.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How often it was wanted.
    wanted: AtomicU64,
    wake: Notify,
    /// The last reading: how often it had been wanted when it began, and why it failed, if it did.
    ended: watch::Sender<(u64, Option<TreeError>)>,
}

/// Asks for changes every `interval`, and whenever somebody [wants that](Tree::look), until `end`.
pub async fn follow(tree: Arc<Tree>, interval: Duration, end: CancellationToken) {
    let mut reported = false;
    let mut seen = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(feeds::pause(interval, Duration::ZERO, tree.is_scarce())) => {}
            () = tree.looks.wake.notified() => {}
            () = tree.feeds.used.notified() => {}
            () = end.cancelled() => return,
        }
        let wanted = tree.looks.wanted.load(Ordering::SeqCst);
        let due = tree.due(interval, wanted > seen);
        seen = wanted;
        let caught_up = tokio::select! {
            result = async { tree.catch_up_with(due?).await } => result,
            () = end.cancelled() => return,
        };
        tree.looks.ended.send_replace((wanted, caught_up.as_ref().err().cloned()));
        match caught_up {
            Ok(()) if reported => {
                tracing::info!("changes of the drive arrive again");
                reported = false;
            }
            Err(error) if !reported => {
                tracing::warn!(%error, "changes of the drive do not arrive; trying again every {interval:?}");
                reported = true;
            }
            _ => {}
        }
    }
}

impl Tree {
    /// Has the feed of changes read now, and waits until it was read once to its end. Needs [`follow`] to run.
    pub async fn look(&self) -> Result<()> {
        let mut ended = self.looks.ended.subscribe();
        let number = self.looks.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        self.looks.wake.notify_one();
        match ended.wait_for(|(wanted, _)| *wanted >= number).await {
            Ok(last) => last.1.clone().map_or(Ok(()), Err),
            Err(_) => Err(RemoteError::new(Kind::Closing, "changes.list", "the mount is ending").into()),
        }
    }

    fn is_scarce(&self) -> bool {
        self.remote.is_scarce()
    }

    /// Merges all changes that the drive has for us now.
    pub async fn catch_up(self: &Arc<Self>) -> Result<()> {
        self.catch_up_with(self.followed_drives()?).await
    }

    /// Merges what the account's own feed has for us now, and those of some shared drives. One that fails keeps no other waiting.
    async fn catch_up_with(self: &Arc<Self>, drives: Vec<FileId>) -> Result<()> {
        let own = self.read(None).await;
        let read = |drive: FileId| async move {
            match self.read(Some(&drive)).await {
                Err(TreeError::Remote(error)) if is_gone(&error) => self.lost_feed(&drive, error).await,
                read => read,
            }
        };
        let mut rest = stream::iter(drives.into_iter().map(read)).buffer_unordered(AT_ONCE);
        let mut all = own;
        while let Some(read) = rest.next().await {
            all = all.and(read);
        }
        if self.feeds.drives_stale.load(Ordering::SeqCst) {
            // Until it succeeds.
            all = all.and(self.hear_drives().await);
        }
        all
    }

    /// Reads one feed to its end.
    async fn read(self: &Arc<Self>, feed: Option<&FileId>) -> Result<()> {
        let (mut seen, mut fruitless) = (HashSet::new(), 0);
        loop {
            let cursor = self.state.read(|db| feeds::cursor(db, feed))?;
            if cursor.is_none() && feed.is_some() {
                // The drive was left meanwhile.
                return Ok(());
            }
            let cursor = cursor.ok_or_else(|| {
                RemoteError::new(Kind::Corrupt, "changes.list", "the place in the feed of changes is not stored")
            })?;
            let changes = match self.remote.changes(feed, &cursor).await {
                Ok(changes) => changes,
                Err(error) if error.kind == Kind::Invalid => return self.start_over(feed).await,
                Err(error) => return Err(error.into()),
            };
            let more = changes.more;
            if !changes.changes.is_empty() || changes.next != cursor || !self.is_dated()? {
                let effects = self.merge_changes(feed, &changes)?;
                self.tell(effects);
                if let Some(listener) = self.listener() {
                    let items = changes.changes.iter().map(|change| match change {
                        Change::Present(item) => item.id.clone(),
                        Change::Removed(id) | Change::Drive(id) => id.clone(),
                    });
                    listener.heard(&items.collect());
                }
            }
            if !more {
                return Ok(());
            }
            let is_fruitless = changes.changes.is_empty() || seen.contains(&changes.next.0);
            seen.insert(changes.next.0);
            fruitless = if is_fruitless { fruitless + 1 } else { 0 };
            if fruitless > FRUITLESS {
                let message = "the feed of changes goes on without end";
                return Err(RemoteError::new(Kind::Protocol, "changes.list", message).into());
            }
        }
    }

    /// Whether it is known from when on new folders are known whole.
    fn is_dated(&self) -> Result<bool> {
        Ok(self.state.peek(|db| Ok(unplaced::whole_since(db)?.is_some()))?)
    }

    /// Merges up to so many items in one transaction, with what is kept of the folders that come with them. Says what changed, which is
    /// to be [told](Self::tell).
    pub(super) fn merge_whole(
        &self,
        items: usize,
        work: impl FnOnce(&Transaction<'_>, &mut Merge<'_>) -> rusqlite::Result<()>,
    ) -> Result<Effects> {
        let adoptable = self.state.peek(|db| merge::adoptable(db, items))?;
        let inos = self.new_inos(items + adoptable)?;
        let (unused, effects) = self.state.write::<_, TreeError>(|tx| {
            let open = self.listings.folders();
            let mut merge = Merge::adopting(tx, items, inos, &open, self.listener());
            work(tx, &mut merge)?;
            self.merging(tx, &merge.effects)?;
            Ok((merge.unused(), merge.effects))
        })?;
        self.give_back(&unused);
        Ok(effects)
    }

    fn merge_changes(&self, feed: Option<&FileId>, changes: &Changes) -> Result<Effects> {
        let count = changes.changes.len();
        self.listings.remember(changes.changes.iter().filter_map(|change| match change {
            Change::Present(item) => Some((item.id.clone(), item.version)),
            Change::Removed(id) => Some((id.clone(), u64::MAX)),
            Change::Drive(_) => None,
        }));
        let merged = self.merge_whole(count, |tx, merge| {
            for change in &changes.changes {
                merge.told(feed, change)?;
                trash::heard(tx, change)?;
            }
            let is_of_drives = changes.changes.iter().any(|change| matches!(change, Change::Drive(_)));
            let is_known = |folder: Node| folder.listed || self.listings.folders().contains(&folder.ino);
            if is_of_drives && nodes::by_ino(tx, Ino::SHARED_DRIVES)?.is_some_and(is_known) {
                self.drives_changed(tx)?;
            }
            self.feeds.pages.fetch_add(1, Ordering::SeqCst);
            unplaced::tidy(tx, changes.at.map(|at| at.after(SLACK)))?;
            if feed.is_none() {
                snapshot::owe(tx, count)?;
            }
            if feed.is_none() || feeds::is_followed(tx, feed)? {
                feeds::set_cursor(tx, feed, &changes.next)?;
            }
            Ok(())
        });
        if count > 0 {
            // Among what is new may be folders of which not all is known.
            self.unlisted.notify_one();
        }
        merged
    }

    /// Merges the state of one item that was asked for; `None`: the drive does not have it any more.
    pub fn merge_news(&self, id: &FileId, item: Option<&Item>) -> Result<()> {
        let change = item.map_or_else(|| Change::Removed(id.clone()), |item| Change::Present(item.clone()));
        let version = item.map_or(u64::MAX, |item| item.version);
        self.listings.remember(std::iter::once((id.clone(), version)));
        let effects = self.merge_whole(1, |_, merge| merge.change(&change))?;
        self.tell(effects);
        self.unlisted.notify_one();
        Ok(())
    }

    /// Merges the state of one item within a transaction of the caller's; `inos` holds a number for it.
    pub fn merge_within(
        &self,
        tx: &Transaction<'_>,
        item: &Item,
        inos: Range<u64>,
        effects: &mut Effects,
    ) -> rusqlite::Result<()> {
        self.listings.remember(std::iter::once((item.id.clone(), item.version)));
        let open = self.listings.folders();
        let mut merge = Merge::new(tx, inos, &open, self.listener());
        merge.heard(item)?;
        self.merging(tx, &merge.effects)?;
        effects.extend(merge.effects);
        Ok(())
    }

    /// Puts a folder that was removed here back to where the drive has it; what is in it is to be listed anew. Part of the
    /// caller's transaction.
    pub fn restore(&self, tx: &Transaction<'_>, node: &Node, there: Option<&OnDrive>) -> rusqlite::Result<Effects> {
        let open = self.listings.folders();
        let mut merge = Merge::new(tx, 0..0, &open, self.listener());
        merge.restore(node, there)?;
        Ok(merge.effects)
    }

    /// The drive no longer knows our place in a feed: take a new one, and have all listed again that was listed of what the feed is of.
    /// That is not waited for: the feed goes on meanwhile, and what fails is listed when somebody asks, or ahead.
    async fn start_over(self: &Arc<Self>, feed: Option<&FileId>) -> Result<()> {
        let drive = feed.map(|id| id.0.as_str());
        tracing::warn!(drive, "the drive lost our place in its feed of changes; listing all known folders again");
        let cursor = self.remote.cursor(feed).await?;
        let folders = self.state.write::<_, TreeError>(|tx| {
            let mut folders = Vec::new();
            for top in nodes::tops_of(tx, feed)? {
                folders.extend(nodes::listed_within(tx, top.ino)?);
            }
            if feed.is_none() && nodes::by_ino(tx, Ino::SHARED_DRIVES)?.is_some_and(|folder| folder.listed) {
                // Which there are is told by this feed.
                folders.push(Ino::SHARED_DRIVES);
            }
            for &folder in &folders {
                nodes::set_listed(tx, folder, false)?;
            }
            trash::forget_all(tx)?;
            unplaced::forget(tx)?;
            feeds::set_cursor(tx, feed, &cursor)?;
            // What listings under way have listed so far may be from before the gap.
            self.listings.begin_anew();
            Ok(folders)
        })?;
        let tree = Arc::clone(self);
        // It ends, since each request does.
        tokio::spawn(async move {
            if let Err(error) = tree.list_again(folders).await {
                tracing::warn!(%error, "not all folders could be listed again yet");
            }
            tree.unlisted.notify_one();
        });
        Ok(())
    }

    /// Merges the answer to a request of ours that changed the metadata of an entry. Says whether both sides agree now; then
    /// nothing is left to send. Part of the caller's transaction; `effects` are to be [told](Self::tell) after it.
    pub fn answered(
        &self,
        tx: &Transaction<'_>,
        ino: Ino,
        item: &Item,
        effects: &mut Effects,
    ) -> rusqlite::Result<bool> {
        self.answer(tx, ino, item, effects, |merge, node| merge.answered(node, item))
    }

    /// As [`Self::answered`], for an upload of content. `newest` if nothing was written here since.
    pub fn uploaded(
        &self,
        tx: &Transaction<'_>,
        ino: Ino,
        item: &Item,
        newest: bool,
        effects: &mut Effects,
    ) -> rusqlite::Result<bool> {
        self.answer(tx, ino, item, effects, |merge, node| merge.uploaded(node, item, newest))
    }

    fn answer(
        &self,
        tx: &Transaction<'_>,
        ino: Ino,
        item: &Item,
        effects: &mut Effects,
        work: impl FnOnce(&mut Merge<'_>, Node) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<bool> {
        self.listings.remember(std::iter::once((item.id.clone(), item.version)));
        let Some(node) = nodes::by_ino(tx, ino)? else { return Ok(true) };
        let open = self.listings.folders();
        let mut merge = Merge::new(tx, 0..0, &open, self.listener());
        let agreed = work(&mut merge, node)?;
        self.merging(tx, &merge.effects)?;
        effects.extend(merge.effects);
        Ok(agreed)
    }

    /// Remembers that the drive took an item away at our request, so that an older listing does not bring it back.
    pub fn took_away(&self, id: &FileId) {
        self.listings.remember(std::iter::once((id.clone(), u64::MAX)));
    }

    /// Tells the listener what merges changed. After the commit, and never while a lock is held that it may need.
    pub fn tell(&self, effects: Effects) {
        if let Some(listener) = self.listener.get()
            && effects != Effects::default()
        {
            listener.merged(effects);
        }
    }

    /// A name of the drive that a node had in one of its folders became free. Part of the caller's transaction.
    pub fn vacated(
        &self,
        tx: &Transaction<'_>,
        node: &Node,
        folder: &FileId,
        name: &str,
        effects: &mut Effects,
    ) -> rusqlite::Result<()> {
        names::vacated(tx, node, folder, name, effects)
    }

    /// A name that only this mount knew became free. Part of the caller's transaction.
    pub fn freed(&self, tx: &Transaction<'_>, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
        names::freed(tx, folder, name, effects)
    }

    pub(super) fn listener(&self) -> Option<&dyn Listener> {
        self.listener.get().map(Arc::as_ref)
    }

    pub(crate) fn merging(&self, tx: &Transaction<'_>, effects: &Effects) -> rusqlite::Result<()> {
        self.listener.get().map_or(Ok(()), |listener| listener.merging(tx, effects))
    }
}

/// Whether the feed of a shared drive can be read no more.
fn is_gone(error: &RemoteError) -> bool {
    matches!(error.kind, Kind::NotFound | Kind::Denied | Kind::NotPermitted)
}

impl Effects {
    /// Adds those of another merge.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.attributes.extend(other.attributes);
        self.contents.extend(other.contents);
        self.shared.extend(other.shared);
        self.resend.extend(other.resend);
        self.late.extend(other.late);
    }
}
