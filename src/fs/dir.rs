//! Finding entries: `lookup` and listing.
//!
//! A listing says which names there were when it began, and tells of what they mean when it comes to them: programs take their
//! time between, and what the kernel is told with a listing it believes as if it had looked it up.
//!
//! A place in a listing is the number of the entry before it. So it means the same in every listing of the folder, and whatever is
//! made or removed: the kernel gives one program what it kept of the listing for another, and asks in the middle when it has dropped
//! that.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::{Answer, Entry, Fs, Locks, NodeId, Result};
use crate::error::Kind;
use crate::tree::listing::{Arriving, Listed};
use crate::tree::{Ino, Node, NodeKind};
use crate::writeback;

/// The longest name, in bytes.
const NAME_MAX: usize = 255;

/// The places of the dots.
const DOTS: u64 = 2;

/// Entries that are looked at together for a listing with attributes. About as many as fit into the smallest reply.
const BATCH: usize = 32;

/// Entries of a folder that is still arriving which are looked at together.
const SOME: usize = 512;

/// Removed folders that are remembered.
const KEPT: usize = 1024;

/// Open folders.
#[derive(Debug)]
pub(super) struct Dirs {
    open: RwLock<HashMap<u64, Arc<OpenDir>>>,
    next: AtomicU64,
    /// Folders that were removed here, the last [`KEPT`]: who has one open, or works in it, can still look at it.
    removed: Mutex<LruCache<Ino, Node>>,
}

/// A handle whose listing may have had places that no other daemon knows.
const ARRIVING: u64 = 1 << 63;

/// The numbers of the handles that one daemon gives away begin with its own.
const NUMBERS: u32 = 40;

impl Dirs {
    /// As the daemon of this number of those that the mount had.
    pub(super) fn new(generation: u64) -> Self {
        Self {
            open: RwLock::default(),
            next: AtomicU64::new(generation << NUMBERS),
            removed: Mutex::new(LruCache::new(KEPT.try_into().expect("not zero"))),
        }
    }
}

/// One opening of a folder.
#[derive(Debug, Default)]
struct OpenDir {
    source: Mutex<Source>,
}

/// What an open folder is read from, so that places in it stay what they are.
#[derive(Debug, Default)]
enum Source {
    /// Nothing was read yet.
    #[default]
    Unread,
    /// The entries that there were when the listing began, by number.
    Known(Arc<Vec<Listed>>),
    /// The entries as the drive gives them.
    Arriving(Arc<Arriving>),
}

impl Dirs {
    fn open(&self, source: Source) -> u64 {
        let arriving = if matches!(source, Source::Arriving(_)) { ARRIVING } else { 0 };
        let number = (self.next.fetch_add(1, Ordering::Relaxed) + 1) | arriving;
        self.open.write().insert(number, Arc::new(OpenDir { source: Mutex::new(source) }));
        number
    }

    /// The open folder of a handle. One that an earlier daemon gave away is opened anew, for a place in a listing means the same to
    /// all of them; only of what was read while it arrived that is not so, and it is read from the start again: a name may come
    /// twice then, and none is missing.
    fn get(&self, handle: u64, from: &mut u64) -> Option<Arc<OpenDir>> {
        if let Some(open) = self.open.read().get(&handle) {
            return Some(Arc::clone(open));
        }
        let generation = |handle: u64| (handle & !ARRIVING) >> NUMBERS;
        if generation(handle) >= generation(self.next.load(Ordering::Relaxed)) {
            return None;
        }
        if handle & ARRIVING != 0 {
            *from = (*from).min(DOTS);
        }
        Some(Arc::clone(self.open.write().entry(handle).or_default()))
    }

    /// Does what removes a folder, and remembers it from before that on: there is no moment in which it is unknown.
    pub(super) fn removing<T>(
        &self,
        folder: Option<&Node>,
        remove: impl FnOnce() -> writeback::Result<T>,
    ) -> writeback::Result<T> {
        let Some(folder) = folder.filter(|node| node.is_folder()) else { return remove() };
        self.removed.lock().put(folder.ino, Node { parent: Ino::NOWHERE, ..folder.clone() });
        remove().inspect_err(|_| drop(self.removed.lock().pop(&folder.ino)))
    }

    /// A folder that was removed here.
    pub(super) fn removed(&self, ino: Ino) -> Option<Node> {
        self.removed.lock().get(&ino).cloned()
    }
}

/// What becomes of a further name of a file that the tree does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The drive is asked for the file.
    Ask,
    /// It was: the name is shown as what it is there, a link that leads nowhere.
    Show,
}

/// An entry of a listing.
#[derive(Debug)]
pub struct DirEntry<'a> {
    /// Where the listing goes on after it.
    pub next: u64,
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub kind: NodeKind,
    /// The number the kernel shall know it by.
    pub id: NodeId,
}

/// The entries of a folder from some place on.
#[derive(Debug)]
pub struct Listing {
    folder: NodeId,
    parent: Ino,
    entries: Arc<Vec<Listed>>,
    places: Places,
    from: u64,
}

/// What the places of a listing are. The first two are those of the dots.
#[derive(Debug, Clone, Copy)]
enum Places {
    /// The numbers of the entries, of which all are here.
    Numbers,
    /// The order of arrival, of which the first of these entries has this one. Good for one opening only.
    Arrivals(u64),
}

impl Listing {
    /// The folder itself, and the one that it is in.
    fn dots(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let dots = [(".", self.folder), ("..", self.folder.child(self.parent, true))];
        let dots = dots.into_iter().zip(1..).filter(|&(_, next)| next > self.from);
        dots.map(|((name, id), next)| DirEntry { next, name, kind: NodeKind::Folder, id })
    }

    /// The entries, each with the place after it.
    fn rest(&self) -> impl Iterator<Item = (&Listed, u64)> {
        let next = |index: usize, listed: &Listed| match self.places {
            Places::Numbers => DOTS + listed.place.0,
            Places::Arrivals(first) => DOTS + first + index as u64 + 1,
        };
        let start = match self.places {
            Places::Numbers => self.entries.partition_point(|listed| next(0, listed) <= self.from),
            Places::Arrivals(_) => 0,
        };
        self.entries.iter().enumerate().skip(start).map(move |(index, listed)| (listed, next(index, listed)))
    }

    /// The entries as they were when the listing began.
    pub fn entries(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let entries = self.rest().map(|(listed, next)| {
            let Listed { name, ino, kind, .. } = listed;
            DirEntry { next, name, kind: *kind, id: self.folder.child(*ino, *kind == NodeKind::Folder) }
        });
        self.dots().chain(entries)
    }
}

/// How many entries arrived before a place.
fn arrival(from: u64) -> usize {
    usize::try_from(from.saturating_sub(DOTS)).unwrap_or(usize::MAX)
}

/// A name that can be stored: `None` if it is not UTF-8.
pub(super) fn name(name: &[u8]) -> Result<&str> {
    if name.len() > NAME_MAX {
        return Err(Kind::NameTooLong.into());
    }
    std::str::from_utf8(name).map_err(|_| Kind::BadName.into())
}

impl Fs {
    /// The entry of a name in a folder.
    pub fn lookup(self: &Arc<Self>, folder: NodeId, name_bytes: &[u8]) -> Answer<Entry> {
        let name = match name(name_bytes) {
            Ok(name) => name,
            // No drive holds such a name, so it is not there.
            Err(error) if error.kind() == Kind::BadName => return Answer::err(Kind::NotFound),
            Err(error) => return Answer::Now(Err(error)),
        };
        self.tree.used(folder.ino());
        match self.lookup_now(folder, name, Unknown::Ask) {
            Ok(None) => {}
            Ok(Some(entry)) => return Answer::Now(Ok(entry)),
            Err(error) => return Answer::Now(Err(error)),
        }
        let (fs, name) = (Arc::clone(self), name.to_owned());
        let answer = Answer::later(async move {
            fs.reach(folder, &name).await?;
            fs.lookup_now(folder, &name, Unknown::Show)?.ok_or_else(|| Kind::NotFound.into())
        });
        answer.holding(|| self.hold(Locks::Lookup(folder)))
    }

    /// The entry, as far as the tree knows; `None` if the drive must be [asked](Self::reach) to tell.
    pub(super) fn lookup_now(&self, folder: NodeId, name: &str, unknown: Unknown) -> Result<Option<Entry>> {
        if let Some(node) = self.tree.child(folder.ino(), name)? {
            let is_lost = node.kind == NodeKind::Link && unknown == Unknown::Ask;
            return Ok(Some(self.entry(folder, &node)).filter(|_| !is_lost));
        }
        let parent = self.node(folder.ino())?;
        if !parent.is_folder() {
            return Err(Kind::NotADirectory.into());
        }
        if parent.ino == Ino::TARGETS || parent.parent == Ino::TARGETS {
            return self.target_now(folder, &parent, name);
        }
        if !parent.listed {
            return Ok(None);
        }
        let Some(alias) = self.alias_of(folder, name) else { return Err(Kind::NotFound.into()) };
        let node = self.node(alias.ino())?;
        Ok(Some(Entry { id: alias, ..self.entry(alias, &node) }))
    }

    /// `opendir`. The first of the folder's entries are in the tree when this is answered; the others are waited for when the
    /// listing gets there. Says whether the kernel may keep the listing.
    pub fn opendir(self: &Arc<Self>, id: NodeId) -> Answer<(u64, bool)> {
        let node = match self.node(id.ino()) {
            Ok(node) if !node.is_folder() => return Answer::err(Kind::NotADirectory),
            Ok(node) => node,
            Err(error) => return Answer::Now(Err(error)),
        };
        self.tree.used(id.ino());
        if node.listed || !node.is_linked() {
            return Answer::Now(Ok((self.dirs.open(Source::Unread), !id.is_alias())));
        }
        let fs = Arc::clone(self);
        Answer::later(async move {
            Ok(match fs.tree.begin(id.ino())? {
                // The kernel would mix what it keeps of two of these, in each of which the places are others.
                Some(arriving) if arriving.begun().await? => (fs.dirs.open(Source::Arriving(arriving)), false),
                _ => (fs.dirs.open(Source::Unread), !id.is_alias()),
            })
        })
    }

    /// `readdir`: the entries from a place on, as they were when that handle was last read from the start, or as they arrive.
    pub fn readdir(&self, id: NodeId, handle: u64, from: u64) -> Answer<Listing> {
        match self.readdir_now(id, handle, from) {
            Ok((listing, None)) => Answer::Now(Ok(listing)),
            Ok((listing, Some(arriving))) => {
                let answer = Answer::later(async move {
                    let entries = Arc::new(arriving.entries(arrival(from), SOME).await?);
                    Ok(Listing { entries, ..listing })
                });
                answer.holding(|| self.hold(Locks::These(vec![id])))
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    /// What can be said at once; and what has to be waited for to say more.
    fn readdir_now(&self, id: NodeId, handle: u64, mut from: u64) -> Result<(Listing, Option<Arc<Arriving>>)> {
        let open = self.dirs.get(handle, &mut from).ok_or(Kind::BadHandle)?;
        let parent = self.tree.node(id.ino())?.map_or(Ino::ROOT, |node| node.parent);
        let parent = if parent == Ino::NOWHERE { Ino::ROOT } else { parent };
        let listing = Listing { folder: id, parent, entries: Arc::default(), places: Places::Numbers, from };
        let is_listed = from == 0 && self.node(id.ino())?.listed;
        let mut source = open.source.lock();
        if is_listed {
            *source = Source::Unread;
        }
        if let Source::Arriving(arriving) = &*source {
            let arriving = Arc::clone(arriving);
            drop(source);
            let listing = Listing { places: Places::Arrivals(from.saturating_sub(DOTS)), ..listing };
            return Ok(match arriving.now(arrival(from), SOME) {
                Some(entries) => (Listing { entries: Arc::new(entries), ..listing }, None),
                None => (listing, Some(arriving)),
            });
        }
        let entries = match &*source {
            Source::Known(entries) if from > 0 => Arc::clone(entries),
            _ => Arc::new(self.tree.entries(id.ino())?),
        };
        *source = Source::Known(Arc::clone(&entries));
        drop(source);
        Ok((Listing { entries, ..listing }, None))
    }

    /// Shows the entries of a listing, as they are now and with attributes, until `show` has enough. What is gone is left out.
    /// Of `.` and `..` the kernel does not want to know more than the names.
    pub fn show_listed(
        &self,
        listing: &Listing,
        mut show: impl FnMut(DirEntry<'_>, Option<Entry>) -> ControlFlow<()>,
    ) -> Result<()> {
        let folder = listing.folder;
        let mut shown = false;
        for dot in listing.dots() {
            shown = true;
            if show(dot, None).is_break() {
                return Ok(());
            }
        }
        let mut rest = listing.rest();
        loop {
            let batch: Vec<_> = rest.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let open: HashSet<Ino> = self.files.all().iter().map(|file| file.ino).collect();
            let nodes = self.tree.named(folder.ino(), batch.iter().map(|(listed, _)| listed.name.as_str()))?;
            for ((Listed { name, .. }, next), node) in batch.into_iter().zip(nodes) {
                let Some(node) = node else { continue };
                let Some(entry) = self.entry_now(folder, name, &node, &open)? else { continue };
                let listed = DirEntry { next, name, kind: entry.attr.kind, id: entry.id };
                shown = true;
                if show(listed, Some(entry)).is_break() {
                    return Ok(());
                }
            }
        }
        let is_part = matches!(listing.places, Places::Arrivals(_));
        if let Some((Listed { name, kind, .. }, next)) = listing.rest().last().filter(|_| !shown && is_part) {
            // All of these are gone by now. To say nothing would say that the listing is at its end.
            let _full = show(DirEntry { next, name, kind: *kind, id: NodeId(0) }, None);
        }
        Ok(())
    }

    /// The entry of a node that was read when these files were open. If it has been closed since, all that was written to it is
    /// in the tree by now, but not in this node.
    fn entry_now(&self, folder: NodeId, name: &str, node: &Node, open: &HashSet<Ino>) -> Result<Option<Entry>> {
        let entry = self.entry(folder, node);
        if !open.contains(&node.ino) || self.files.get(node.ino).is_some() {
            return Ok(Some(entry));
        }
        let node = self.tree.child(folder.ino(), name)?;
        Ok(node.map(|node| self.entry(folder, &node)))
    }

    /// `closedir`.
    pub fn releasedir(&self, handle: u64) {
        self.dirs.open.write().remove(&handle);
    }
}
