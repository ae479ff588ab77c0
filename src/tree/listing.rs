//! Listing a folder of the drive when somebody first asks for it.
//!
//! One listing a folder at a time, however many wait for it. A folder is either listed whole or not at all: an error midway
//! leaves it unlisted, and whoever waits gets the error, never a short listing. While listings run, the feed of changes goes
//! on, and so do our own requests; which items they told of is remembered until the last listing ends, so that an older page
//! can neither bring back what is gone nor take away what is new.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::merge::Merge;
use super::{Effects, Ino, Node, NodeKind, Result, Tree, TreeError, names, nodes};
use crate::error::Kind;
use crate::remote::{FileId, Item, Pages, RemoteError};

/// An entry of a folder: what a listing says of it.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: NodeKind,
}

/// Listings under way.
#[derive(Debug, Default)]
pub(super) struct Listings {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// Each folder that is being listed, and where its end will be told.
    folders: HashMap<Ino, watch::Receiver<Option<Result<()>>>>,
    /// The versions of which the feed and our own requests told since the first of these listings began.
    seen: HashMap<FileId, u64>,
}

impl Listings {
    /// The folders that are being listed.
    pub(super) fn folders(&self) -> HashSet<Ino> {
        self.running.lock().folders.keys().copied().collect()
    }

    /// Remembers news of items, if a listing is under way that may know older. To be called before the news is merged.
    pub(super) fn remember(&self, news: impl Iterator<Item = (FileId, u64)>) {
        let mut running = self.running.lock();
        if !running.folders.is_empty() {
            running.seen.extend(news);
        }
    }

    fn seen(&self) -> HashMap<FileId, u64> {
        self.running.lock().seen.clone()
    }

    fn end(&self, folder: Ino) {
        let mut running = self.running.lock();
        running.folders.remove(&folder);
        if running.folders.is_empty() {
            running.seen.clear();
        }
    }
}

impl Tree {
    /// The entries of a folder, by name.
    pub fn entries(&self, folder: Ino) -> Result<Vec<Listed>> {
        let names = self.state.read(|db| nodes::names(db, folder))?;
        Ok(names.into_iter().map(|(name, ino, kind)| Listed { name, ino, kind }).collect())
    }

    /// The nodes of a folder with names from `first` to `last`, by name.
    pub fn nodes_between(&self, folder: Ino, first: &str, last: &str) -> Result<Vec<Node>> {
        Ok(self.state.read(|db| nodes::children_between(db, folder, first, last))?)
    }

    /// Makes sure that the children of a folder are in the tree. Asks the drive at most once a folder, and not at all for a
    /// folder that the drive does not have yet.
    pub async fn list(self: &Arc<Self>, folder: Ino) -> Result<()> {
        let Some(node) = self.node(folder)? else { return Ok(()) };
        if node.listed {
            return Ok(());
        }
        let mut end = {
            let mut running = self.listings.running.lock();
            if let Some(end) = running.folders.get(&folder) {
                end.clone()
            } else {
                let (tell, end) = watch::channel(None);
                running.folders.insert(folder, end.clone());
                let tree = Arc::clone(self);
                // A task of its own: the listing goes on when the first who asked goes away. It ends, since each request does.
                tokio::spawn(async move {
                    let result = tree.list_now(&node).await;
                    tree.listings.end(folder);
                    tell.send_replace(Some(result));
                });
                end
            }
        };
        let result = end.wait_for(Option::is_some).await.map(|result| result.clone());
        result.ok().flatten().unwrap_or_else(|| {
            Err(RemoteError::new(Kind::TimedOut, "files.list", "the listing of the folder was given up").into())
        })
    }

    async fn list_now(self: &Arc<Self>, folder: &Node) -> Result<()> {
        let Some(id) = &folder.id else {
            // Not on the drive, so all there can be in it is here.
            return self.state.write(|tx| Ok(nodes::set_listed(tx, folder.ino, true)?));
        };
        let mut names = Vec::new();
        let result = self.list_pages(folder, id, &mut names).await;
        // To be told of names, the kernel takes the lock of their folder, and who waits for this listing may have it. So at the
        // end, when there is nobody to wait for any more.
        self.tell(Effects { entries: names, ..Effects::default() });
        result
    }

    /// Lists, and tells of everything but the names in the folder that changed.
    async fn list_pages(&self, folder: &Node, id: &FileId, names: &mut Vec<(Ino, String)>) -> Result<()> {
        let mut pages = Pages::new(&*self.remote, id);
        let mut tell = |mut effects: Effects| {
            names.extend(effects.entries.extract_if(.., |(parent, _)| *parent == folder.ino));
            self.tell(effects);
        };
        while let Some(items) = pages.next().await? {
            tell(self.merge_page(folder, &items)?);
        }
        tell(self.finish_listing(folder, &pages.into_ids())?);
        Ok(())
    }

    fn merge_page(&self, folder: &Node, items: &[Item]) -> Result<Effects> {
        let inos = self.new_inos(items.len())?;
        let open = self.listings.folders();
        let seen = self.listings.seen();
        self.state.write::<_, TreeError>(|tx| {
            let mut merge = Merge::new(tx, inos, &open, self.listener());
            for item in items {
                merge.listed(folder, item, &seen)?;
            }
            self.merging(tx, &merge.effects)?;
            Ok(merge.effects)
        })
    }

    /// What was in the folder before and is not in the whole listing is gone.
    fn finish_listing(&self, folder: &Node, ids: &HashSet<FileId>) -> Result<Effects> {
        let open = self.listings.folders();
        let seen = self.listings.seen();
        self.state.write::<_, TreeError>(|tx| {
            let mut merge = Merge::new(tx, 0..0, &open, self.listener());
            for child in nodes::children(tx, folder.ino)? {
                if child.id.as_ref().is_some_and(|id| !ids.contains(id) && !seen.contains_key(id)) {
                    merge.missing(&child)?;
                }
            }
            nodes::set_listed(tx, folder.ino, true)?;
            names::settle(tx, folder.ino, &mut merge.effects)?;
            self.merging(tx, &merge.effects)?;
            Ok(merge.effects)
        })
    }
}
