//! The files below paths, and which of them fit into the cache.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Running;
use super::job::Job;
use crate::config::Bytes;
use crate::control::Amount;
use crate::fs::Answer;
use crate::tree::{Ino, Node, NodeKind, Result};

/// Folders that the drive is asked for at one time.
const LISTED_AT_ONCE: usize = 16;

/// Links followed before a path counts as a circle, as for the kernel (`path_resolution(7)`).
const LINKS: usize = 40;

/// A file that is to be here. It has a place in the cache until this is dropped.
#[derive(Debug)]
pub(super) struct Item {
    running: Arc<Running>,
    pub(super) ino: Ino,
    pub(super) bytes: u64,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.running.prefetches.give_place_back(self.ino);
    }
}

/// Finds all files at or below the paths of a job, in the order of the paths and then of the names, and gives places to those that fit.
/// Links are followed if they are named, and not if they are met.
pub(super) async fn find(running: &Arc<Running>, job: &Arc<Job>) -> Vec<Item> {
    let mut tops = Vec::new();
    for path in &job.paths {
        match running.follow(path).await {
            Ok(node) => tops.push(node.ino),
            Err(why) => job.failed(path.clone(), why),
        }
    }
    list_below(running, job, &tops).await;
    let (running, job) = (Arc::clone(running), Arc::clone(job));
    let looked = tokio::task::spawn_blocking(move || {
        let (mut items, mut seen) = (Vec::new(), HashSet::new());
        for top in tops {
            if let Err(error) = look_below(&running, &job, top, &mut seen, &mut items) {
                job.failed(running.parts.tree.path(top).unwrap_or_default(), error.to_string());
            }
        }
        items
    });
    looked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Has all folders at or below some places listed.
async fn list_below(running: &Arc<Running>, job: &Job, tops: &[Ino]) {
    let tree = &running.parts.tree;
    let mut seen: HashSet<Ino> = tops.iter().copied().collect();
    let mut waiting: Vec<Ino> = seen.iter().copied().collect();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < LISTED_AT_ONCE
            && let Some(folder) = waiting.pop()
        {
            let tree = Arc::clone(tree);
            under_way.push(async move {
                let folders = async {
                    tree.list(folder).await?;
                    let entries = tokio::task::spawn_blocking(move || tree.entries(folder)).await;
                    entries.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
                };
                (folder, folders.await)
            });
        }
        match under_way.next().await {
            None => return,
            Some((_, Ok(entries))) => {
                let folders = entries.iter().filter(|entry| entry.kind == NodeKind::Folder).map(|entry| entry.ino);
                waiting.extend(folders.filter(|&folder| seen.insert(folder)));
            }
            Some((folder, Err(error))) => {
                job.failed(tree.path(folder).unwrap_or_default(), format!("it cannot be listed: {error}"));
            }
        }
    }
}

/// Takes what is at or below a place, as far as the tree knows it. Ends early if the job is to end.
fn look_below(
    running: &Arc<Running>,
    job: &Job,
    top: Ino,
    seen: &mut HashSet<Ino>,
    items: &mut Vec<Item>,
) -> Result<()> {
    let tree = &running.parts.tree;
    // The last is the next.
    let mut waiting = vec![top];
    while let Some(ino) = waiting.pop() {
        if job.is_stopped() {
            return Ok(());
        }
        let Some(node) = tree.node(ino)?.filter(|node| node.is_linked() && seen.insert(node.ino)) else { continue };
        match node.kind {
            NodeKind::Folder => {
                let mut entries = tree.entries(ino)?;
                entries.sort_unstable_by(|one, other| other.name.cmp(&one.name));
                waiting.extend(entries.into_iter().map(|entry| entry.ino));
            }
            NodeKind::File => items.extend(take(running, job, &node)),
            NodeKind::Document if node.export_format().is_some() => items.extend(take(running, job, &node)),
            NodeKind::Document => job.tell(|told| told.documents += 1),
            NodeKind::Symlink | NodeKind::Special(_) | NodeKind::Shortcut | NodeKind::Link => {}
        }
    }
    Ok(())
}

/// Takes a file, if it fits.
fn take(running: &Arc<Running>, job: &Job, node: &Node) -> Option<Item> {
    // Whole files that cannot be fetched in parts have room of their own. What of an edit is here is not in the cache.
    let is_document = node.kind == NodeKind::Document;
    let bytes = if node.is_of_unknown_size() { 0 } else { node.size };
    let here = match running.fs.here(node, false) {
        Ok(here) => here.min(bytes),
        Err(error) => {
            tracing::debug!(ino = node.ino.0, %error, "not known what of a file is here");
            0
        }
    };
    let cost = if is_document { 0 } else { bytes };
    let cache = running.parts.content.cache();
    let room = cache.reach();
    let fits = running.prefetches.take_place(node.ino, cost, room);
    let is_whole = if is_document { here > 0 } else { here == bytes };
    job.found(bytes, Amount { files: u64::from(is_whole), bytes: here }, fits);
    if !fits {
        let said = what_there_is(room, cache.cap(), cache.limit());
        job.tell(|told| told.room = Some(said));
        return None;
    }
    let item = Item { running: Arc::clone(running), ino: node.ino, bytes };
    if here > 0
        && let Err(error) = running.fs.here(node, true)
    {
        tracing::debug!(ino = node.ino.0, %error, "what is here of a file may be evicted");
    }
    Some(item)
}

/// What the cache has room for, and why that is not more. `limit`: if there were room on the disk.
fn what_there_is(room: u64, cap: u64, limit: u64) -> String {
    match (Bytes(room), Bytes(cap)) {
        (room, _) if room.0 < limit => {
            format!("{room}: the disk has no room for more beside what is left free on it")
        }
        (room, cap) if room.0 < cap.0 => {
            format!("{room} of its {cap}: the rest is for files that are not on the drive yet, and for exports")
        }
        (room, _) => room.to_string(),
    }
}

impl Running {
    /// The entry that a path leads to, through links too.
    pub(super) async fn follow(self: &Arc<Self>, path: &str) -> std::result::Result<Node, String> {
        let mut way: Vec<String> = Vec::new();
        // The last is the next.
        let mut rest: Vec<String> = parts(Path::new(path));
        let mut links = 0;
        let mut node = self.find("").await?;
        while let Some(part) = rest.pop() {
            if part == ".." {
                way.pop();
            } else {
                way.push(part);
            }
            node = self.find(&way.join("/")).await?;
            if !matches!(node.kind, NodeKind::Symlink | NodeKind::Shortcut | NodeKind::Link) {
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(format!("{path} leads in a circle"));
            }
            let target = match self.fs.readlink(node.ino.into()) {
                Answer::Now(target) => target,
                Answer::Later(target, _) | Answer::InItsTime(target, _) => target.await,
                Answer::Done(target, ..) => Ok(target),
            };
            let target = target.map_err(|error| format!("{}: {error}", way.join("/")))?;
            let target = PathBuf::from(String::from_utf8_lossy(&target).into_owned());
            way.pop();
            let below = if target.is_absolute() {
                way.clear();
                target
                    .strip_prefix(self.mountpoint.path())
                    .map_err(|_| format!("it leads to {}, which is not in this mount", target.display()))?
            } else {
                &target
            };
            rest.extend(parts(below));
            node = self.find(&way.join("/")).await?;
        }
        Ok(node)
    }
}

/// The names of a path, from the last to the first.
fn parts(path: &Path) -> Vec<String> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_why_there_is_no_more_room() {
        assert_eq!(what_there_is(64 << 20, 64 << 20, 64 << 20), "64 MiB");
        assert!(what_there_is(10 << 20, 64 << 20, 64 << 20).starts_with("10 MiB: the disk"));
        assert!(what_there_is(10 << 20, 64 << 20, 10 << 20).starts_with("10 MiB of its 64 MiB: "));
    }
}
