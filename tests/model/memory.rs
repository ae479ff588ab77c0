//! A file system in memory, which does what Linux does: the model. `against_linux` holds it to that.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use libc::{EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR};

/// The number of an inode.
pub(crate) type Ino = u64;

pub(crate) const ROOT: Ino = 1;

/// As many symbolic links Linux follows on one way.
const LINKS_FOLLOWED: u32 = 40;

/// When a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modified {
    /// Not before.
    Since(SystemTime),
    /// Set, in nanoseconds since 1970.
    At(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder(BTreeMap<String, Ino>),
    File(Vec<u8>),
    Link(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) modified: Modified,
    /// How many names it has.
    pub(crate) names: usize,
}

/// Who has a file open: a process, and the slot that it keeps it in.
pub(crate) type Slot = (usize, usize);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle {
    pub(crate) ino: Ino,
    pub(crate) write: bool,
    pub(crate) append: bool,
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: Ino,
    pub(crate) name: String,
    pub(crate) found: Option<Ino>,
    /// The folders from the root to `folder`.
    pub(crate) above: Vec<Ino>,
}

pub(crate) struct Memory {
    inodes: BTreeMap<Ino, Inode>,
    last: Ino,
    pub(crate) handles: BTreeMap<Slot, Handle>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let mut memory = Self { inodes: BTreeMap::new(), last: ROOT, handles: BTreeMap::new() };
        memory.inodes.insert(ROOT, inode(Kind::Folder(BTreeMap::new()), 0o755));
        memory
    }

    pub(crate) fn inode(&self, ino: Ino) -> &Inode {
        &self.inodes[&ino]
    }

    pub(crate) fn inode_mut(&mut self, ino: Ino) -> &mut Inode {
        self.inodes.get_mut(&ino).expect("an inode")
    }

    pub(crate) fn inodes(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.inodes.values_mut()
    }

    pub(crate) fn entries(&self, ino: Ino) -> Result<&BTreeMap<String, Ino>, i32> {
        match &self.inode(ino).kind {
            Kind::Folder(entries) => Ok(entries),
            _ => Err(ENOTDIR),
        }
    }

    fn entries_mut(&mut self, ino: Ino) -> &mut BTreeMap<String, Ino> {
        match &mut self.inode_mut(ino).kind {
            Kind::Folder(entries) => entries,
            _ => panic!("not a folder"),
        }
    }

    pub(crate) fn is_folder(&self, ino: Ino) -> bool {
        matches!(self.inode(ino).kind, Kind::Folder(_))
    }

    pub(crate) fn content(&self, ino: Ino) -> Result<&[u8], i32> {
        match &self.inode(ino).kind {
            Kind::File(content) => Ok(content),
            Kind::Folder(_) => Err(EISDIR),
            Kind::Link(_) => Err(EINVAL),
        }
    }

    fn content_mut(&mut self, ino: Ino) -> &mut Vec<u8> {
        let inode = self.inode_mut(ino);
        inode.modified = now();
        match &mut inode.kind {
            Kind::File(content) => content,
            _ => panic!("not a file"),
        }
    }

    /// Walks a path.
    pub(crate) fn walk(&self, path: &str, last: Last) -> Result<Place, i32> {
        let mut ahead: VecDeque<&str> = path.split('/').collect();
        let mut above = vec![ROOT];
        let mut followed = 0;
        while let Some(name) = ahead.pop_front() {
            let folder = *above.last().expect("the root at least");
            let entries = self.entries(folder)?;
            if name == ".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let is_last = ahead.is_empty();
            let found = entries.get(name).copied();
            match found.map(|ino| &self.inode(ino).kind) {
                Some(Kind::Link(target)) if !is_last || last == Last::Follow => {
                    followed += 1;
                    if followed > LINKS_FOLLOWED {
                        return Err(ELOOP);
                    }
                    for part in target.rsplit('/') {
                        ahead.push_front(part);
                    }
                }
                _ if is_last => return Ok(Place { folder, name: name.to_owned(), found, above }),
                None => return Err(ENOENT),
                Some(Kind::Folder(_)) => above.extend(found),
                Some(_) => return Err(ENOTDIR),
            }
        }
        panic!("{path:?} ends in no name")
    }

    /// What a path leads to.
    pub(crate) fn find(&self, path: &str, last: Last) -> Result<Ino, i32> {
        self.walk(path, last)?.found.ok_or(ENOENT)
    }

    /// A new entry at a place that is free.
    pub(crate) fn add(&mut self, place: &Place, kind: Kind, mode: u32) -> Ino {
        self.last += 1;
        let ino = self.last;
        self.inodes.insert(ino, inode(kind, mode));
        self.entries_mut(place.folder).insert(place.name.clone(), ino);
        ino
    }

    /// A new entry, unless there is one of the name.
    pub(crate) fn make(&mut self, path: &str, kind: Kind, mode: u32) -> Result<Ino, i32> {
        let place = self.walk(path, Last::Keep)?;
        if place.found.is_some() { Err(EEXIST) } else { Ok(self.add(&place, kind, mode)) }
    }

    /// Gives an entry one more name, which is free.
    pub(crate) fn name(&mut self, ino: Ino, place: &Place) {
        self.inode_mut(ino).names += 1;
        self.entries_mut(place.folder).insert(place.name.clone(), ino);
    }

    /// Whether anything at or below an entry has more than one name.
    pub(crate) fn shares_names(&self, ino: Ino) -> bool {
        match &self.inode(ino).kind {
            Kind::Folder(entries) => entries.values().any(|&entry| self.shares_names(entry)),
            _ => self.inode(ino).names > 1,
        }
    }

    /// Takes an entry out of its folder.
    pub(crate) fn detach(&mut self, folder: Ino, name: &str) {
        let ino = self.entries_mut(folder).remove(name).expect("an entry");
        self.inode_mut(ino).names -= 1;
        self.forget(ino);
    }

    /// Takes an entry out of its folder, with all that is in it.
    pub(crate) fn detach_tree(&mut self, folder: Ino, name: &str) {
        let ino = self.entries(folder).expect("a folder")[name];
        if let Kind::Folder(entries) = &self.inode(ino).kind {
            for name in entries.keys().cloned().collect::<Vec<_>>() {
                self.detach_tree(ino, &name);
            }
        }
        self.detach(folder, name);
    }

    /// Gives an entry another place; what is there goes.
    pub(crate) fn relocate(&mut self, from: &Place, to: &Place) {
        if to.found.is_some() {
            self.detach(to.folder, &to.name);
        }
        let ino = self.entries_mut(from.folder).remove(&from.name).expect("an entry");
        self.entries_mut(to.folder).insert(to.name.clone(), ino);
    }

    /// Lets two entries change places.
    pub(crate) fn swap(&mut self, one: &Place, other: &Place) {
        let (first, second) = (one.found.expect("an entry"), other.found.expect("an entry"));
        self.entries_mut(one.folder).insert(one.name.clone(), second);
        self.entries_mut(other.folder).insert(other.name.clone(), first);
    }

    /// Forgets what has neither a name nor anybody who has it open.
    fn forget(&mut self, ino: Ino) {
        if self.inode(ino).names == 0 && !self.handles.values().any(|handle| handle.ino == ino) {
            self.inodes.remove(&ino);
        }
    }

    pub(crate) fn write_at(&mut self, ino: Ino, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = usize::try_from(offset).expect("small");
        let content = self.content_mut(ino);
        if content.len() < start + bytes.len() {
            content.resize(start + bytes.len(), 0);
        }
        content[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn append(&mut self, ino: Ino, bytes: &[u8]) {
        let end = self.content(ino).expect("a file").len() as u64;
        self.write_at(ino, end, bytes);
    }

    pub(crate) fn resize(&mut self, ino: Ino, size: u64) {
        self.content_mut(ino).resize(usize::try_from(size).expect("small"), 0);
    }

    pub(crate) fn open(&mut self, slot: Slot, handle: Handle) {
        self.handles.insert(slot, handle);
    }

    pub(crate) fn close(&mut self, slot: Slot) {
        if let Some(handle) = self.handles.remove(&slot) {
            self.forget(handle.ino);
        }
    }

    /// Ends all that is open, as the end of a mount does.
    pub(crate) fn close_all(&mut self) {
        while let Some((&slot, _)) = self.handles.first_key_value() {
            self.close(slot);
        }
    }

    /// How many files, folders and links are in a folder, at any depth.
    pub(crate) fn count(&self, ino: Ino) -> usize {
        match &self.inode(ino).kind {
            Kind::Folder(entries) => entries.values().map(|&entry| 1 + self.count(entry)).sum(),
            _ => 0,
        }
    }
}

fn inode(kind: Kind, mode: u32) -> Inode {
    Inode { kind, mode, modified: now(), names: 1 }
}

fn now() -> Modified {
    Modified::Since(SystemTime::now())
}
