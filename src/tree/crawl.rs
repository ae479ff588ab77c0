//! Listing all folders before anybody asks.
//!
//! [`crawl`] runs for the life of a mount and ends with it. It lists the folders that are not listed, the oldest in the tree first,
//! which is breadth first, many with one request, a few requests at a time; then it sleeps until there are more. Who asks for a
//! folder does not wait for it: see [`super::listing`]. When it is done, nothing has to be asked any more but what changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Ino, Result, Tree, TreeError, nodes};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::FileId;

/// Requests under way at one time. Pages of one listing come one after the other, so with fewer a fast line would be idle; with
/// more, whoever asks for something would wait for them.
const AT_ONCE: usize = 4;

/// Folders of one request: at most, as `rclone` has it, and at least, if there are that many.
const FOLDERS: std::ops::RangeInclusive<usize> = 10..=50;

/// Folders that are looked at together to choose from.
const CANDIDATES: usize = 1024;

/// How long it rests after a failure, at first and at most.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Lists what is not listed, until `end`.
pub async fn crawl(tree: Arc<Tree>, end: CancellationToken) {
    let mut failed = Failed::default();
    loop {
        let listed = tokio::select! {
            listed = tree.list_unlisted(&mut failed) => listed,
            () = end.cancelled() => return,
        };
        match listed {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "listed ahead"),
            Err(error) => tracing::warn!(%error, "it could not be read which folders are to be listed ahead"),
        }
        // New ones are tried at once; those that failed, when it is time.
        let again = failed.next();
        tokio::select! {
            () = tree.unlisted.notified() => {}
            () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now).into()), if again.is_some() => {}
            () = end.cancelled() => return,
        }
    }
}

/// Folders that could not be listed: until when each rests, and for how long.
#[derive(Debug, Default)]
struct Failed(HashMap<Ino, (Instant, Duration)>);

impl Failed {
    fn add(&mut self, folder: Ino, now: Instant) {
        let rest = self.0.get(&folder).map_or(FIRST_REST, |(_, rest)| (*rest * 2).min(LONGEST_REST));
        self.0.insert(folder, (now + rest, rest));
    }

    /// Those that still rest. The others are tried now; one that is not, for whatever reason, is not looked at again soon.
    fn resting(&mut self, now: Instant) -> HashSet<Ino> {
        let (resting, due): (Vec<_>, Vec<_>) = self.0.iter_mut().partition(|(_, (until, _))| *until > now);
        for (_, (until, _)) in due {
            *until = now + LONGEST_REST;
        }
        resting.into_iter().map(|(folder, _)| *folder).collect()
    }

    fn next(&self) -> Option<Instant> {
        self.0.values().map(|(until, _)| *until).min()
    }
}

impl Tree {
    /// How many folders are known by name alone.
    pub fn unlisted(&self) -> Result<u64> {
        Ok(self.state.read(nodes::count_unlisted)?)
    }

    /// Lists all folders that are not listed, and those that are found in them, but for those that rest after a failure. Says how
    /// many.
    async fn list_unlisted(self: &Arc<Self>, failed: &mut Failed) -> Result<usize> {
        let mut tried = failed.resting(Instant::now());
        failed.0.retain(|folder, _| self.node(*folder).is_ok_and(|node| node.is_some_and(|node| !node.listed)));
        let mut tasks = JoinSet::new();
        let mut count = 0;
        loop {
            let at_once = if self.listings.somebody_waits() { 1 } else { AT_ONCE };
            while tasks.len() < at_once {
                let folders = self.next_unlisted(&mut tried)?;
                if folders.is_empty() {
                    break;
                }
                count += folders.len();
                let tree = Arc::clone(self);
                tasks.spawn(async move {
                    let listed = tree.list_together(&folders).await;
                    (folders, listed)
                });
            }
            match tasks.join_next().await {
                Some(Ok((_, Ok(())))) => {}
                Some(Ok((folders, Err(error)))) => {
                    tracing::debug!(%error, "folders could not be listed ahead; they are tried again");
                    let now = Instant::now();
                    for (folder, _) in &folders {
                        failed.add(*folder, now);
                    }
                }
                Some(Err(panic)) => tracing::error!(%panic, "listing ahead"),
                None => return Ok(count),
            }
        }
    }

    /// Some folders that are not listed and were not tried yet.
    fn next_unlisted(&self, tried: &mut HashSet<Ino>) -> Result<Vec<(Ino, FileId)>> {
        let being_listed = self.listings.folders();
        let mut after = Ino::NOWHERE;
        let mut found = Vec::new();
        while found.len() < *FOLDERS.end() * AT_ONCE {
            let candidates = self.state.read(|db| nodes::unlisted(db, after, CANDIDATES))?;
            let Some((last, _)) = candidates.last() else { break };
            after = *last;
            found.extend(candidates.into_iter().filter(|(ino, _)| !tried.contains(ino) && !being_listed.contains(ino)));
        }
        // All that there are, shared among as many requests as go at one time.
        found.truncate(found.len().div_ceil(AT_ONCE).clamp(*FOLDERS.start(), *FOLDERS.end()));
        tried.extend(found.iter().map(|(ino, _)| *ino));
        Ok(found)
    }

    /// Lists folders with as few requests as the drive allows.
    async fn list_together(self: &Arc<Self>, folders: &[(Ino, FileId)]) -> Result<()> {
        // Listings of several folders of shared drives are said to be behind by up to an hour.
        let is_shared = |(folder, _): &&(Ino, FileId)| {
            Ok::<_, TreeError>(self.state.read(|db| nodes::drive_of(db, *folder))?.is_some())
        };
        let mut own = Vec::new();
        let mut failed = Ok(());
        for folder in folders {
            if is_shared(&folder)? { failed = failed.and(self.list(folder.0).await) } else { own.push(folder.clone()) }
        }
        if own.is_empty() { failed } else { failed.and(self.list_own_together(&own).await) }
    }

    async fn list_own_together(self: &Arc<Self>, folders: &[(Ino, FileId)]) -> Result<()> {
        match self.list_ahead(folders).await {
            Ok(true) => return Ok(()),
            Ok(false) => tracing::debug!(folders = folders.len(), "listed one by one, since together they seem empty"),
            // One of them may be what the drive does not like.
            Err(TreeError::Remote(error)) if folders.len() > 1 && is_about_one(error.kind) => {
                tracing::debug!(%error, folders = folders.len(), "listed one by one");
            }
            Err(error) => return Err(error),
        }
        let mut failed = Ok(());
        for (folder, _) in folders {
            failed = failed.and(self.list(*folder).await);
        }
        failed
    }

    /// Lists all of some folders again. Fails if one could not be listed, when all others are.
    pub(super) async fn list_again(self: &Arc<Self>, folders: Vec<Ino>) -> Result<()> {
        let mut known = Vec::new();
        for folder in folders {
            let node = self.node(folder)?.filter(|node| !node.listed && node.is_linked());
            known.extend(node.and_then(|node| node.id).map(|id| (folder, id)));
        }
        let mut failed = Ok(());
        for folders in known.chunks(*FOLDERS.end()) {
            failed = failed.and(self.list_together(folders).await);
        }
        failed
    }
}

/// Whether an error of a request for several folders may be about one of them.
const fn is_about_one(kind: Kind) -> bool {
    matches!(kind, Kind::NotFound | Kind::Denied | Kind::NotPermitted | Kind::Invalid | Kind::Protocol)
}
