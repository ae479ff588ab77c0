//! Listing all folders before anybody asks.
//!
//! [`crawl`] runs for the life of a mount and ends with it. It lists the folders that are not listed, the oldest in the tree first,
//! which is breadth first, many with one request, a few requests at a time; then it sleeps until there are more. Who asks for a
//! folder does not wait for it: see [`super::listing`]. When it is done, nothing has to be asked any more but what changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Ino, Result, Tree, TreeError, nodes};
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
    let mut rest = FIRST_REST;
    loop {
        let outcome = tokio::select! {
            outcome = tree.list_unlisted() => outcome,
            () = end.cancelled() => return,
        };
        // New ones are tried at once; those that failed, when it is time.
        let again = match outcome {
            Ok(count) => {
                if count > 0 {
                    tracing::debug!(count, "listed ahead");
                }
                rest = FIRST_REST;
                None
            }
            Err(error) => {
                tracing::debug!(%error, "folders could not be listed ahead; trying again in {rest:?}");
                let now = rest;
                rest = (rest * 2).min(LONGEST_REST);
                Some(now)
            }
        };
        tokio::select! {
            () = tree.unlisted.notified(), if again.is_none() => {}
            () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
            () = end.cancelled() => return,
        }
    }
}

impl Tree {
    /// How many folders are known by name alone.
    pub fn unlisted(&self) -> Result<u64> {
        Ok(self.state.read(nodes::count_unlisted)?)
    }

    /// Lists all folders that are not listed, and those that are found in them. Says how many; the first error, when all others are
    /// listed.
    async fn list_unlisted(self: &Arc<Self>) -> Result<usize> {
        let mut tried = HashSet::new();
        let mut tasks: JoinSet<Result<()>> = JoinSet::new();
        let (mut count, mut failed) = (0, None);
        loop {
            let at_once = if self.listings.somebody_waits() { 1 } else { AT_ONCE };
            while tasks.len() < at_once {
                let folders = self.next_unlisted(&mut tried)?;
                if folders.is_empty() {
                    break;
                }
                count += folders.len();
                let tree = Arc::clone(self);
                tasks.spawn(async move { tree.list_together(&folders).await });
            }
            match tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => failed = failed.or(Some(error)),
                Some(Err(panic)) => tracing::error!(%panic, "listing ahead"),
                None => return failed.map_or(Ok(count), Err),
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
