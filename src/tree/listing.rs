//! Listing folders of the drive: one that somebody asks for, at once; all others, many at a time, by [`super::crawl`].
//!
//! One listing a folder at a time for whoever asks, however many wait for it. What has arrived can be read before the rest has
//! ([`Arriving`]). A folder is either listed whole or not at all: an error midway leaves it unlisted, and whoever waits gets the
//! error, never a short listing. While listings run, the feed of changes goes on, and so do our own requests; which items they
//! told of is remembered until the last listing ends, so that an older page can neither bring back what is gone nor take away
//! what is new.

mod arriving;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

pub use self::arriving::Arriving;
use super::merge::Merge;
use super::{Effects, Ino, Node, NodeKind, Result, Tree, TreeError, documents, links, nodes};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::{FileId, Item, Pages, RemoteError};

/// Items that are merged in one transaction: others wait no longer for it than a few milliseconds.
const AT_ONCE: usize = 128;

/// So many entries that a listing does not have are asked for by themselves, before they count as gone.
const MOST_CONFIRMED: usize = 50;

/// How long who asks for a folder waits for a snapshot to bring it; and, after the start, for it to be fetched.
const PATIENCE: Duration = Duration::from_secs(3);
const UNTIL_FETCHED: Duration = Duration::from_secs(1);

/// An entry of a folder: what a listing says of it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its number; of a further name, that of the file.
    pub ino: Ino,
    /// The number of the name itself: that of nothing else.
    pub place: Ino,
    /// What it is.
    pub kind: NodeKind,
}

impl Listed {
    /// What a listing says of a node.
    pub(super) fn of(db: &Connection, node: &Node) -> rusqlite::Result<Self> {
        let meant = links::meant(db, node.clone())?;
        Ok(Self { name: node.name.clone(), ino: meant.ino, place: node.ino, kind: meant.kind })
    }
}

/// Listings under way.
#[derive(Debug, Default)]
pub(super) struct Listings {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// Each folder that is being listed for somebody, and what of it is here.
    asked: HashMap<Ino, Arc<Arriving>>,
    /// The folders that are being listed though nobody asked, and how many listings of that sort there are.
    ahead: HashSet<Ino>,
    claims: usize,
    /// All of these folders. Shared with who merges, so that to look at it costs nothing.
    all: Arc<HashSet<Ino>>,
    /// The versions of which the feed and our own requests told since the first of these listings began.
    seen: HashMap<FileId, u64>,
    /// How often the feed began anew, after a gap.
    gaps: u64,
}

impl Running {
    fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.claims == 0
    }

    fn begin(&mut self, folder: Ino) {
        Arc::make_mut(&mut self.all).insert(folder);
    }

    fn end(&mut self, folder: Ino) {
        if !self.asked.contains_key(&folder) && !self.ahead.contains(&folder) {
            Arc::make_mut(&mut self.all).remove(&folder);
        }
    }

    fn tidy(&mut self) {
        if self.is_idle() {
            self.seen = HashMap::new();
        }
    }
}

impl Listings {
    /// The folders that are being listed.
    pub(super) fn folders(&self) -> Arc<HashSet<Ino>> {
        Arc::clone(&self.running.lock().all)
    }

    /// Whether somebody waits for a folder of many pages.
    pub(super) fn somebody_waits(&self) -> bool {
        self.running.lock().asked.values().any(|arriving| arriving.is_long())
    }

    /// Waits while somebody waits for a folder of very many pages: it takes long enough alone.
    async fn give_way(&self) {
        let very_long = || self.running.lock().asked.values().find(|arriving| arriving.is_very_long()).cloned();
        while let Some(arriving) = very_long() {
            let _whatever_came_of_it = arriving.ended().await;
        }
    }

    /// Remembers news of items, if a listing is under way that may know older. To be called before the news is merged.
    pub(super) fn remember(&self, news: impl Iterator<Item = (FileId, u64)>) {
        let mut running = self.running.lock();
        if !running.is_idle() {
            running.seen.extend(news);
        }
    }

    /// Folders, each in no other claim, are being listed though nobody asked, while the claim lives.
    pub(super) fn claim<'a>(&'a self, folders: &'a [(Ino, FileId)]) -> Claim<'a> {
        let mut running = self.running.lock();
        running.claims += 1;
        for (folder, _) in folders {
            running.ahead.insert(*folder);
            running.begin(*folder);
        }
        Claim { listings: self, folders }
    }

    /// What was listed until now may be older than a gap in the feed: what is being listed is listed again.
    pub(super) fn begin_anew(&self) {
        self.running.lock().gaps += 1;
    }

    fn gaps(&self) -> u64 {
        self.running.lock().gaps
    }

    /// Whether it was told of an item since the first listing began.
    fn was_seen(&self, id: &FileId) -> bool {
        self.running.lock().seen.contains_key(id)
    }

    /// Those of some versions that were told of since the first listing began.
    pub(super) fn seen<'a>(&self, ids: impl Iterator<Item = &'a FileId>) -> HashMap<FileId, u64> {
        let running = self.running.lock();
        if running.seen.is_empty() {
            return HashMap::new();
        }
        ids.filter_map(|id| running.seen.get(id).map(|&version| (id.clone(), version))).collect()
    }
}

/// Folders that are being listed, until this is dropped.
pub(super) struct Claim<'a> {
    listings: &'a Listings,
    folders: &'a [(Ino, FileId)],
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut running = self.listings.running.lock();
        running.claims -= 1;
        for (folder, _) in self.folders {
            running.ahead.remove(folder);
            running.end(*folder);
        }
        running.tidy();
    }
}

/// A folder that is being listed for somebody. However that ends, whoever waits hears of it.
struct Asked<'a> {
    tree: &'a Tree,
    folder: Ino,
    arriving: &'a Arriving,
}

impl Asked<'_> {
    fn end(self, result: Result<()>) {
        self.is_over();
        self.arriving.end(result);
        // The folders in it are to be listed.
        self.tree.unlisted.notify_one();
    }

    fn is_over(&self) {
        let mut running = self.tree.listings.running.lock();
        if running.asked.remove(&self.folder).is_some() {
            running.end(self.folder);
            running.tidy();
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.is_over();
        if !self.arriving.has_ended() {
            self.arriving.end(Err(arriving::given_up()));
        }
    }
}

/// What pages brought, for those who have to know.
#[derive(Default)]
struct Brought {
    /// Names that changed in the folders that are listed.
    names: Vec<(Ino, String)>,
    /// What is new, or has another name, in them.
    entries: Vec<Listed>,
    /// An item that none of the folders claims.
    stray: bool,
}

impl Tree {
    /// The entries of a folder, by number.
    pub fn entries(&self, folder: Ino) -> Result<Vec<Listed>> {
        let mut entries = self.state.read(|db| {
            let rows = nodes::names(db, folder)?.into_iter().map(|(name, place, kind, file)| {
                let file = file.map_or(Ok(None), |file| nodes::by_ino(db, file))?;
                let (ino, kind) = file.map_or((place, kind), |file| (file.ino, file.kind));
                Ok(Listed { name, ino, place, kind })
            });
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        entries.sort_unstable_by_key(|entry| entry.place);
        Ok(entries)
    }

    /// What these names in a folder mean, as far as there are such.
    pub fn named<'a>(&self, folder: Ino, names: impl Iterator<Item = &'a str>) -> Result<Vec<Option<Node>>> {
        Ok(self.state.read(|db| {
            let meant = names.map(|name| match nodes::by_name(db, folder, name)? {
                Some(row) => links::meant(db, row).map(Some),
                None => Ok(None),
            });
            meant.collect::<rusqlite::Result<_>>()
        })?)
    }

    /// Makes sure that the children of a folder are in the tree. Asks the drive at most once a folder, and not at all for a
    /// folder that the drive does not have yet.
    pub async fn list(self: &Arc<Self>, folder: Ino) -> Result<()> {
        match self.begin(folder)? {
            Some(arriving) => arriving.ended().await,
            None => Ok(()),
        }
    }

    /// Begins to list a folder, if it is neither listed nor being listed; what of it is here. `None`: it is listed.
    pub fn begin(self: &Arc<Self>, folder: Ino) -> Result<Option<Arc<Arriving>>> {
        let Some(node) = self.node(folder)?.filter(|node| !node.listed) else { return Ok(None) };
        let mut running = self.listings.running.lock();
        if let Some(arriving) = running.asked.get(&folder) {
            return Ok(Some(Arc::clone(arriving)));
        }
        let arriving = Arc::new(Arriving::default());
        running.asked.insert(folder, Arc::clone(&arriving));
        running.begin(folder);
        drop(running);
        let (tree, told) = (Arc::clone(self), Arc::clone(&arriving));
        // A task of its own: the listing goes on when the first who asked goes away. It ends, since each request does.
        tokio::spawn(async move {
            let asked = Asked { tree: &tree, folder, arriving: &told };
            let result = tree.list_now(&node, &told).await;
            asked.end(result);
        });
        Ok(Some(arriving))
    }

    /// Waits until a name of a folder is in the tree, or the folder is listed. If there are many entries, the drive is asked for that name.
    pub async fn find(self: &Arc<Self>, folder: Ino, name: &str) -> Result<()> {
        let Some(arriving) = self.begin(folder)? else { return Ok(()) };
        let mut asked = false;
        let mut pages = 0;
        loop {
            match arriving.page_after(pages).await {
                None => return arriving.ended().await,
                Some(page) => pages = page,
            }
            if self.child(folder, name)?.is_some() {
                return Ok(());
            }
            if !asked && let Some(_turn) = arriving.may_ask() {
                asked = true;
                if self.ask_for(folder, name).await {
                    return Ok(());
                }
            }
        }
    }

    /// Asks the drive for a name in a folder that is being listed. Says whether it is in the tree now: if not, that says nothing.
    async fn ask_for(&self, folder: Ino, name: &str) -> bool {
        let Ok(Some(Node { id: Some(id), .. })) = self.node(folder) else { return false };
        // The listing may end before the answer comes, which must not bring anything back.
        let _claim = self.listings.claim(&[]);
        match self.remote.named(&id, name).await {
            Ok(items) => {
                let merged = self.merge_page(&HashMap::from([(id, folder)]), &items, &mut Brought::default());
                merged.is_ok() && self.child(folder, name).is_ok_and(|child| child.is_some())
            }
            Err(error) => {
                tracing::debug!(%error, "the drive could not be asked for a name");
                false
            }
        }
    }

    async fn list_now(self: &Arc<Self>, folder: &Node, arriving: &Arriving) -> Result<()> {
        if folder.ino == Ino::SHARED_DRIVES {
            return self.list_drives().await;
        }
        let Some(id) = folder.id.clone() else {
            // Not on the drive, so all there can be in it is here.
            return self.state.write(|tx| Ok(nodes::set_listed(tx, folder.ino, true)?));
        };
        self.follow_feed_of(folder.ino).await?;
        if self.is_loaded(folder.ino).await? {
            arriving.add(self.entries(folder.ino)?);
            return Ok(());
        }
        let mut names = Vec::new();
        let folders = [(folder.ino, id)];
        let result = self.list_pages(&folders, &mut names, false, |brought, more| {
            arriving.add(brought);
            arriving.page(more);
        });
        let result = match result.await {
            Ok(_) => self.entries(folder.ino).map(|entries| arriving.add(entries)),
            Err(error) => Err(error),
        };
        // To be told of names, the kernel takes the lock of their folder, and who waits for this listing may have it. So at the
        // end, when there is nobody to wait for any more.
        self.tell(Effects { entries: names, ..Effects::default() });
        result
    }

    /// While a snapshot is taken in, waits a moment for the folder to come with it. Says whether it did.
    async fn is_loaded(&self, folder: Ino) -> Result<bool> {
        let is_listed = || Ok(self.node(folder)?.is_some_and(|node| node.listed));
        let mut loading = self.loading.subscribe();
        let began = Instant::now();
        loop {
            let Some(now) = *loading.borrow_and_update() else { return is_listed() };
            if is_listed()? {
                return Ok(true);
            }
            let until = if now.folders == 0 { now.since + UNTIL_FETCHED } else { began + PATIENCE };
            if tokio::time::timeout_at(until.into(), loading.changed()).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Lists folders with requests for all of them. Says whether what came can be believed to be all: if not, they are not listed, and
    /// each is to be listed by itself.
    pub(super) async fn list_ahead(&self, folders: &[(Ino, FileId)]) -> Result<bool> {
        let claim = self.listings.claim(folders);
        let mut names = Vec::new();
        let listed = self.list_pages(folders, &mut names, true, |_, _| {}).await;
        drop(claim);
        self.tell(Effects { entries: names, ..Effects::default() });
        listed
    }

    /// Lists, and tells of everything but the names in the folders, which it puts into `names`. `ahead`: nobody waits for it. Says as
    /// [`Self::list_ahead`].
    async fn list_pages(
        &self,
        folders: &[(Ino, FileId)],
        names: &mut Vec<(Ino, String)>,
        ahead: bool,
        mut arrived: impl FnMut(Vec<Listed>, bool),
    ) -> Result<bool> {
        let ids: Vec<_> = folders.iter().map(|(_, id)| id.clone()).collect();
        let inos: HashMap<_, _> = folders.iter().map(|(ino, id)| (id.clone(), *ino)).collect();
        loop {
            let gaps = self.listings.gaps();
            let mut pages = Pages::new(&*self.remote, &ids);
            let mut stray = false;
            while let Some(items) = pages.next().await? {
                let mut brought = Brought::default();
                for items in items.chunks(AT_ONCE) {
                    self.merge_page(&inos, items, &mut brought)?;
                }
                stray |= brought.stray;
                names.append(&mut brought.names);
                arrived(brought.entries, !pages.is_at_end());
                if ahead {
                    self.listings.give_way().await;
                }
            }
            let listed = pages.into_ids();
            if folders.len() > 1 && (stray || listed.is_empty()) {
                return Ok(false);
            }
            for (folder, _) in folders {
                self.confirm(*folder, &listed).await?;
            }
            for (folder, _) in folders {
                let mut effects = self.finish_listing(*folder, &listed, gaps)?;
                names.extend(effects.entries.extract_if(.., |(parent, _)| parent == folder));
                self.tell(effects);
            }
            if self.listings.gaps() == gaps {
                return Ok(true);
            }
        }
    }

    /// Asks for what was in a folder before and is not in its listing, if that is little: listings are known to be behind by some
    /// seconds, and what just came may be missing in them.
    async fn confirm(&self, folder: Ino, listed: &HashSet<FileId>) -> Result<()> {
        let missing = self.state.read(|db| {
            nodes::missing(db, folder, MOST_CONFIRMED + 1, |id| !listed.contains(id) && !self.listings.was_seen(id))
        })?;
        if missing.len() > MOST_CONFIRMED {
            return Ok(());
        }
        for id in missing {
            match self.remote.get(&id).await {
                Ok(item) => self.merge_news(&id, Some(&item))?,
                Err(error) if error.kind == Kind::NotFound => self.merge_news(&id, None)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Merges items that are in these folders, and tells of it, but for names in them.
    fn merge_page(&self, folders: &HashMap<FileId, Ino>, items: &[Item], brought: &mut Brought) -> Result<()> {
        let inos = self.new_inos(items.len())?;
        let only = folders.values().next().filter(|_| folders.len() == 1);
        let (mut effects, entries) = self.state.write::<_, TreeError>(|tx| {
            // Within the transaction: what is told before it and what is told after it are both known.
            let (open, seen) = (self.listings.folders(), self.listings.seen(items.iter().map(|item| &item.id)));
            let mut merge = Merge::new(tx, inos, &open, self.listener());
            for item in items {
                // What was shared without its folder may not say which that is.
                let Some(&ino) = item.parent.as_ref().and_then(|id| folders.get(id)).or(only) else {
                    brought.stray = true;
                    continue;
                };
                // Looked up each time: it may have been removed or moved since the listing began.
                if let Some(folder) = nodes::by_ino(tx, ino)?.filter(Node::is_linked) {
                    merge.listed(&folder, item, &seen)?;
                }
            }
            self.merging(tx, &merge.effects)?;
            let mut entries = std::mem::take(&mut merge.placed);
            // If it was listed before, the kernel may keep what it was told then.
            merge.effects.entries.extend(first_placed(&entries));
            for (folder, name) in merge.effects.entries.iter().filter(|(folder, _)| only == Some(folder)) {
                if let Some(node) = nodes::by_name(tx, *folder, name)? {
                    entries.push((*folder, Listed::of(tx, &node)?));
                }
            }
            Ok((merge.effects, entries))
        })?;
        let shown = |folder: &Ino, entry: &Listed| only == Some(folder) && !documents::is_hidden(&entry.name);
        let entries = entries.into_iter().filter(|(folder, entry)| shown(folder, entry));
        brought.entries.extend(entries.map(|(_, entry)| entry));
        let ours = |ino: &Ino| folders.values().any(|folder| folder == ino);
        brought.names.extend(effects.entries.extract_if(.., |(parent, _)| ours(parent)));
        self.tell(effects);
        Ok(())
    }

    /// What was in the folder before and is not in the whole listing is gone.
    fn finish_listing(&self, folder: Ino, ids: &HashSet<FileId>, gaps: u64) -> Result<Effects> {
        self.merge_whole(0, |tx, merge| {
            let to_do = nodes::by_ino(tx, folder)?.filter(|node| node.is_linked() && !node.listed);
            let Some(node) = to_do.filter(|_| self.listings.gaps() == gaps) else { return Ok(()) };
            let gone = nodes::missing(tx, folder, usize::MAX, |id| !ids.contains(id) && !self.listings.was_seen(id))?;
            let is_believed = gone.len() > MOST_CONFIRMED;
            for id in gone.iter().filter(|_| is_believed) {
                if let Some(child) = nodes::by_id(tx, id)? {
                    merge.missing(&child)?;
                }
            }
            nodes::set_listed(tx, folder, true)?;
            // And what the feed told of that the listing did not know yet.
            merge.adopt(&Node { listed: true, ..node })?;
            let placed = first_placed(&merge.placed);
            merge.effects.entries.extend(placed);
            Ok(())
        })
    }
}

/// One name of each folder into which something came.
fn first_placed(placed: &[(Ino, Listed)]) -> Vec<(Ino, String)> {
    let mut folders = HashSet::new();
    let first = placed.iter().filter(|(folder, _)| folders.insert(*folder));
    first.map(|(folder, entry)| (*folder, entry.name.clone())).collect()
}
