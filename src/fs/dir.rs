//! Finding entries: `lookup` and listing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{Answer, Entry, Fs, Locks, NodeId, Result};
use crate::error::Kind;
use crate::tree::{Ino, Node, NodeKind};

/// The longest name, in bytes.
const NAME_MAX: usize = 255;

/// Open folders.
#[derive(Debug, Default)]
pub(super) struct Dirs {
    open: RwLock<HashMap<u64, Arc<OpenDir>>>,
    next: AtomicU64,
}

/// One opening of a folder.
#[derive(Debug, Default)]
struct OpenDir {
    /// The entries as they were when the listing began, so that places in it stay what they are.
    entries: Mutex<Option<Arc<Vec<Node>>>>,
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
    /// Its node; `None` for `.` and `..`.
    node: Option<&'a Node>,
}

/// The entries of a folder from some place on.
#[derive(Debug)]
pub struct Listing {
    folder: NodeId,
    parent: Ino,
    entries: Arc<Vec<Node>>,
    from: u64,
}

impl Listing {
    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let dots = [(".", self.folder), ("..", self.folder.child(self.parent, true))];
        let dots = dots.into_iter().map(|(name, id)| (name, NodeKind::Folder, id, None));
        let nodes = self.entries.iter();
        let nodes = nodes
            .map(|node| (node.name.as_str(), node.kind, self.folder.child(node.ino, node.is_folder()), Some(node)));
        let skip = usize::try_from(self.from).unwrap_or(usize::MAX);
        let all = dots.chain(nodes).zip(1..).skip(skip);
        all.map(|((name, kind, id, node), next)| DirEntry { next, name, kind, id, node })
    }
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
        match self.lookup_now(folder, name) {
            Ok(None) => {}
            Ok(Some(entry)) => return Answer::Now(Ok(entry)),
            Err(error) => return Answer::Now(Err(error)),
        }
        let (fs, name) = (Arc::clone(self), name.to_owned());
        let answer = Answer::later(async move {
            fs.tree.list(folder.ino()).await?;
            fs.lookup_now(folder, &name)?.ok_or_else(|| Kind::NotFound.into())
        });
        answer.holding(|| self.hold(Locks::Lookup(folder)))
    }

    /// The entry, as far as the tree knows; `None` if the folder must be listed to tell.
    fn lookup_now(&self, folder: NodeId, name: &str) -> Result<Option<Entry>> {
        if let Some(node) = self.tree.child(folder.ino(), name)? {
            return Ok(Some(self.entry(folder, &node)));
        }
        let parent = self.node(folder.ino())?;
        if !parent.is_folder() {
            return Err(Kind::NotADirectory.into());
        }
        if !parent.listed {
            return Ok(None);
        }
        let Some(alias) = folder.alias_of(name) else { return Err(Kind::NotFound.into()) };
        Ok(Some(Entry { id: alias, ..self.entry(alias, &parent) }))
    }

    /// `opendir`. The folder's entries are in the tree when this is answered. Says whether the kernel may keep the listing.
    pub fn opendir(self: &Arc<Self>, id: NodeId) -> Answer<(u64, bool)> {
        let node = match self.node(id.ino()) {
            Ok(node) if !node.is_folder() => return Answer::err(Kind::NotADirectory),
            Ok(node) => node,
            Err(error) => return Answer::Now(Err(error)),
        };
        let number = self.dirs.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.dirs.open.write().insert(number, Arc::default());
        let answer = (number, !id.is_alias());
        if node.listed || !node.is_linked() {
            return Answer::Now(Ok(answer));
        }
        let fs = Arc::clone(self);
        Answer::later(async move {
            if let Err(error) = fs.tree.list(id.ino()).await {
                fs.dirs.open.write().remove(&number);
                return Err(error.into());
            }
            Ok(answer)
        })
    }

    /// `readdir`: the entries from a place on, as they were when that handle was last read from the start.
    pub fn readdir(&self, id: NodeId, handle: u64, from: u64) -> Result<Listing> {
        let open = self.dirs.open.read().get(&handle).cloned().ok_or(Kind::BadHandle)?;
        let known = open.entries.lock().clone().filter(|_| from > 0);
        let entries = match known {
            Some(entries) => entries,
            None => Arc::new(self.tree.children(id.ino())?),
        };
        *open.entries.lock() = Some(Arc::clone(&entries));
        let parent = self.tree.node(id.ino())?.map_or(Ino::ROOT, |node| node.parent);
        let parent = if parent == Ino::NOWHERE { Ino::ROOT } else { parent };
        Ok(Listing { folder: id, parent, entries, from })
    }

    /// An entry of a listing, with attributes; `None` for `.` and `..`, which the kernel does not want to know more of.
    pub fn listed_entry(&self, folder: NodeId, listed: &DirEntry<'_>) -> Option<Entry> {
        listed.node.map(|node| self.entry(folder, node))
    }

    /// `closedir`.
    pub fn releasedir(&self, handle: u64) {
        self.dirs.open.write().remove(&handle);
    }
}
