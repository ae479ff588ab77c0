//! Making, removing and renaming entries.

use std::sync::Arc;

use super::attr::{FILE_MODE, FOLDER_MODE};
use super::dir::name;
use super::handle::{Bytes, OpenFile, OpenFlags};
use super::{Answer, Caller, Entry, Fs, FsError, Locks, NodeId, Outdated, Result, permits};
use crate::error::Kind;
use crate::remote::Device;
use crate::tree::{Node, NodeKind};
use crate::writeback::Durability;
use crate::writeback::changes::NewEntry;

/// The longest target of a symbolic link, in bytes: the kernel takes no longer path.
const TARGET_MAX: u64 = 4095;

/// What a request does first, where it may block on the disk.
pub(super) type First = Box<dyn FnOnce() -> Result<()> + Send>;

/// What may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Folder,
    Other,
}

/// What the kernel remembers and should not after it changed these names, if it did so through an alias.
fn outdated(changed: Vec<(NodeId, String)>) -> Vec<Outdated> {
    if !changed.iter().any(|(folder, _)| folder.is_alias()) {
        return Vec::new();
    }
    let outdated = changed.into_iter().flat_map(|(folder, name)| {
        let plain = NodeId::from(folder.ino());
        // An entry that was moved into an alias may still be believed for as long as where it was before.
        let here = folder.is_alias().then(|| Outdated::Entry(folder, name.clone()));
        here.into_iter().chain([Outdated::Entry(plain, name), Outdated::Listing(plain)])
    });
    outdated.collect()
}

impl Fs {
    /// `mkdir`.
    pub fn mkdir(self: &Arc<Self>, caller: Caller, folder: NodeId, name: &[u8], mode: u32) -> Answer<Entry> {
        self.make(folder, name, move |fs, folder, name| {
            let new = fs.new_entry(caller, folder, name, NodeKind::Folder, Some((mode, FOLDER_MODE)), None)?;
            let (node, _) = fs.writeback.create(new)?;
            Ok(fs.entry(folder, &node))
        })
    }

    /// `symlink`.
    pub fn symlink(self: &Arc<Self>, caller: Caller, folder: NodeId, name: &[u8], target: &[u8]) -> Answer<Entry> {
        let Ok(target) = String::from_utf8(target.to_vec()) else { return Answer::err(Kind::BadName) };
        self.make(folder, name, move |fs, folder, name| {
            let new = fs.new_entry(caller, folder, name, NodeKind::Symlink, None, Some(target))?;
            let (node, _) = fs.writeback.create(new)?;
            Ok(fs.entry(folder, &node))
        })
    }

    /// `open` with `O_CREAT` of a name that is free.
    pub fn create(self: &Arc<Self>, caller: Caller, folder: NodeId, name: &[u8], mode: u32) -> Answer<(Entry, u64)> {
        self.make(folder, name, move |fs, folder, name| {
            let new = fs.new_entry(caller, folder, name, NodeKind::File, Some((mode, FILE_MODE)), None)?;
            let (node, staging) = fs.writeback.create(new)?;
            let staging = staging.ok_or(Kind::Invalid)?;
            let flags = OpenFlags { write: true, thread: caller.thread };
            let (handle, open) = fs.files.open(&node, flags, Bytes::Staged(staging), None, 0);
            open.file.written();
            Ok((fs.entry(folder, &node), handle))
        })
    }

    /// `mknod` of a regular file: as `create`, and closed at once.
    pub fn mknod(self: &Arc<Self>, caller: Caller, folder: NodeId, name: &[u8], mode: u32) -> Answer<Entry> {
        self.make(folder, name, move |fs, folder, name| {
            let new = fs.new_entry(caller, folder, name, NodeKind::File, Some((mode, FILE_MODE)), None)?;
            let (node, staging) = fs.writeback.create(new)?;
            let staging = staging.ok_or(Kind::Invalid)?;
            fs.writeback.seal(node.ino, &staging, node.mtime, Durability::Process)?;
            Ok(fs.entry(folder, &node))
        })
    }

    /// `mknod` of a special file.
    pub fn mkspecial(
        self: &Arc<Self>,
        caller: Caller,
        folder: NodeId,
        name: &[u8],
        mode: u32,
        (kind, device): (NodeKind, Option<Device>),
    ) -> Answer<Entry> {
        self.make(folder, name, move |fs, folder, name| {
            let numbers = device.map(|device| device.to_string());
            let new = fs.new_entry(caller, folder, name, kind, Some((mode, FILE_MODE)), numbers)?;
            let (node, _) = fs.writeback.create(new)?;
            Ok(fs.entry(folder, &node))
        })
    }

    /// `link`: a further name of a file.
    pub fn link(self: &Arc<Self>, id: NodeId, folder: NodeId, new_name: &[u8]) -> Answer<Entry> {
        let is_current = self.must_be_current(id.ino()).and_then(|()| self.node(id.ino()));
        match is_current {
            Ok(node) if !node.is_linked() => return Answer::err(Kind::NotFound),
            Ok(_) => {}
            Err(error) => return Answer::Now(Err(error)),
        }
        self.make(folder, new_name, move |fs, folder, name| {
            let node = fs.writeback.link(id.ino(), folder.ino(), name)?;
            Ok(fs.entry(folder, &node))
        })
    }

    /// What a new entry shall be: of its maker, and of the group of a folder with the setgid bit, which its folders have, too.
    fn new_entry(
        &self,
        caller: Caller,
        folder: NodeId,
        name: &str,
        kind: NodeKind,
        mode: Option<(u32, u32)>,
        target: Option<String>,
    ) -> Result<NewEntry> {
        let within = self.node(folder.ino())?;
        let is_setgid = within.mode.is_some_and(|mode| mode & libc::S_ISGID != 0);
        let group = within.owner.map_or(self.options.owner.1, |(_, group)| group);
        let owner = (caller.uid, if is_setgid { group } else { caller.gid });
        let inherited = if is_setgid && kind == NodeKind::Folder { libc::S_ISGID } else { 0 };
        Ok(NewEntry {
            folder: folder.ino(),
            name: name.to_owned(),
            kind,
            // What every mount shows anyway need not be kept on the drive.
            mode: mode
                .map(|(mode, usual)| ((mode | inherited) & 0o7777, usual))
                .filter(|(mode, usual)| mode != usual || *mode != self.default_mode(kind))
                .map(|(mode, _)| mode),
            owner: (owner != self.options.owner).then_some(owner),
            target,
        })
    }

    /// Makes an entry in a folder, which must be known whole for that: else the name might be taken on the drive.
    fn make<T: Send + 'static>(
        self: &Arc<Self>,
        folder: NodeId,
        new_name: &[u8],
        make: impl FnOnce(&Arc<Self>, NodeId, &str) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        let new_name = match self.may_change_entries(folder).and_then(|()| name(new_name)) {
            Ok(name) => name.to_owned(),
            Err(error) => return Answer::Now(Err(error)),
        };
        self.in_listed(vec![folder], move |fs| {
            let made = make(fs, folder, &new_name)?;
            Ok((made, vec![(folder, new_name)]))
        })
    }

    /// Refuses changes of a folder's entries where there are none to be.
    pub(super) fn may_change_entries(&self, folder: NodeId) -> Result<()> {
        self.writable()?;
        permits::may_change_entries(&self.node(folder.ino())?)
    }

    /// Does something in folders that must be known whole.
    ///
    /// What the kernel cannot know by itself, since it happened through an alias, is revoked before the answer. Only what it
    /// remembers of the folders that the request names is revoked right after the answer: the request holds their locks.
    fn in_listed<T: Send + 'static>(
        self: &Arc<Self>,
        folders: Vec<NodeId>,
        work: impl FnOnce(&Arc<Self>) -> Result<(T, Vec<(NodeId, String)>)> + Send + 'static,
    ) -> Answer<T> {
        self.in_listed_after(None, folders, work)
    }

    /// The same, after something that blocks on the disk.
    pub(super) fn in_listed_after<T: Send + 'static>(
        self: &Arc<Self>,
        first: Option<First>,
        folders: Vec<NodeId>,
        work: impl FnOnce(&Arc<Self>) -> Result<(T, Vec<(NodeId, String)>)> + Send + 'static,
    ) -> Answer<T> {
        let mut unlisted = Vec::new();
        for folder in &folders {
            match self.node(folder.ino()) {
                Ok(node) if !node.is_folder() => return Answer::err(Kind::NotADirectory),
                Ok(node) if !node.listed => unlisted.push(node.ino),
                Ok(_) => {}
                Err(error) => return Answer::Now(Err(error)),
            }
        }
        if !unlisted.is_empty() || first.is_some() {
            let fs = Arc::clone(self);
            let answer = Answer::later(async move {
                if let Some(first) = first {
                    let first = fs.runtime.spawn_blocking(first).await;
                    first.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
                }
                for folder in unlisted {
                    fs.tree.list(folder).await?;
                }
                let (value, changed) = work(&fs)?;
                // Not waited for: what is done must not be called failed because the time was up just then.
                fs.runtime.spawn(fs.revoke.revoke_now(outdated(changed)));
                Ok(value)
            });
            return answer.holding(|| self.hold(Locks::These(folders)));
        }
        let (value, changed) = match work(self) {
            Ok(done) => done,
            Err(error) => return Answer::Now(Err(error)),
        };
        let outdated = outdated(changed);
        if outdated.is_empty() {
            return Answer::Now(Ok(value));
        }
        let hold = self.hold(Locks::These(folders));
        let revoked = self.revoke.revoke_now(outdated);
        Answer::Done(value, revoked, Some(hold))
    }

    /// `unlink`.
    pub fn unlink(self: &Arc<Self>, folder: NodeId, name: &[u8]) -> Answer<()> {
        self.remove(folder, name, Sort::Other)
    }

    /// `rmdir`.
    pub fn rmdir(self: &Arc<Self>, folder: NodeId, name: &[u8]) -> Answer<()> {
        self.remove(folder, name, Sort::Folder)
    }

    fn remove(self: &Arc<Self>, folder: NodeId, old_name: &[u8], sort: Sort) -> Answer<()> {
        let old_name = match self.writable().and_then(|()| name(old_name)) {
            Ok(name) => name.to_owned(),
            Err(error) => return Answer::Now(Err(error)),
        };
        let (mut folders, mut found) = (vec![folder], None);
        match self.tree.child(folder.ino(), &old_name) {
            Ok(Some(node)) if sort == Sort::Folder && node.is_folder() => {
                // A folder must be known whole to be known empty.
                folders.push(folder.child(node.ino, true));
                found = Some(node);
            }
            Ok(None) if self.alias_of(folder, &old_name).is_some() => return Answer::err(Kind::Busy),
            Ok(_) => {}
            Err(error) => return Answer::Now(Err(error.into())),
        }
        if let Err(error) = self.may_change_entries(folder) {
            return Answer::Now(Err(error));
        }
        self.in_listed(folders, move |fs| {
            let allowed = move |node: &Node| match (sort, node.is_folder()) {
                (Sort::Folder, false) => Err(Kind::NotADirectory),
                (Sort::Other, true) => Err(Kind::IsADirectory),
                _ if !node.may_lose_name() => Err(Kind::Denied),
                _ => Ok(()),
            };
            let remove = || fs.writeback.remove(folder.ino(), &old_name, allowed);
            let node = fs.dirs.removing(found.as_ref(), remove)?;
            fs.files.unlink(&node);
            fs.give_back(&node);
            Ok(((), vec![(folder, old_name)]))
        })
    }

    /// Drops what is cached of a file that was removed, if nobody has it open: who removes something wants its room.
    pub(super) fn give_back(&self, node: &Node) {
        let is_there = || self.tree.node(node.ino).ok().flatten().is_some_and(|node| node.is_linked());
        if node.kind != NodeKind::File || self.files.get(node.ino).is_some() || is_there() {
            return;
        }
        if let Some(source) = Self::source(node) {
            let content = Arc::clone(&self.content);
            self.runtime.spawn_blocking(move || {
                if let Err(error) = content.forget(&source) {
                    tracing::debug!(%error, "a removed file stays in the cache until its turn to go");
                }
            });
        }
    }

    /// `rename`; with `replace` false, as `RENAME_NOREPLACE`.
    pub fn rename(self: &Arc<Self>, from: (NodeId, &[u8]), to: (NodeId, &[u8]), replace: bool) -> Answer<()> {
        let names = self.writable().and_then(|()| Ok((name(from.1)?.to_owned(), name(to.1)?.to_owned())));
        let (old_name, new_name) = match names {
            Ok(names) => names,
            Err(error) => return Answer::Now(Err(error)),
        };
        let (old_folder, new_folder) = (from.0, to.0);
        let mut folders = vec![old_folder, new_folder];
        let mut replaces = false;
        match self.tree.child(new_folder.ino(), &new_name) {
            // It is replaced only if it is empty.
            Ok(Some(node)) if node.is_folder() => folders.push(new_folder.child(node.ino, true)),
            Ok(None) if self.alias_of(new_folder, &new_name).is_some() => return Answer::err(Kind::Busy),
            Ok(target) => replaces = target.is_some(),
            Err(error) => return Answer::Now(Err(error.into())),
        }
        if let Ok(None) = self.tree.child(old_folder.ino(), &old_name)
            && self.alias_of(old_folder, &old_name).is_some()
        {
            return Answer::err(Kind::Busy);
        }
        if let Err(error) = self.may_change_entries(old_folder).and_then(|()| self.may_change_entries(new_folder)) {
            return Answer::Now(Err(error));
        }
        let first = match self.sync_first(old_folder, &old_name, replaces) {
            Ok(first) => first,
            Err(error) => return Answer::Now(Err(error)),
        };
        self.in_listed_after(first, folders, move |fs| {
            let from = (old_folder.ino(), old_name.as_str());
            if let Some(source) = fs.tree.row(from.0, from.1)? {
                fs.may_move(&source, from.0, new_folder.ino())?;
            }
            let target = fs.tree.child(new_folder.ino(), &new_name)?;
            let remembered = target.as_ref().map_or(Ok(None), |target| fs.remember_replaced(target))?;
            let rename = || fs.writeback.rename(from, (new_folder.ino(), &new_name), replace);
            let renamed = fs.dirs.removing(target.as_ref(), rename);
            if let (Err(_), Some(ino)) = (&renamed, remembered) {
                fs.files.forget_replaced(ino);
            }
            let renamed = renamed?;
            if let Err(error) = fs.go_on_staged(renamed.source.ino) {
                // The next who opens it tries again.
                tracing::debug!(%error, "read from where it was read before");
            }
            if let Some(target) = &renamed.target {
                fs.files.unlink(target);
            }
            Ok(((), vec![(old_folder, old_name), (new_folder, new_name)]))
        })
    }

    /// What has to be on stable storage before it replaces something, if it is not: no thread that serves requests waits for that.
    /// What is written and not sealed is sealed by it. For whoever renames a file over another says that it is the one to keep, and
    /// the other, which was promised, is gone with that: a kill before the close must not leave neither.
    pub(super) fn sync_first(self: &Arc<Self>, folder: NodeId, name: &str, replaces: bool) -> Result<Option<First>> {
        let source = if replaces { self.tree.child(folder.ino(), name)? } else { None };
        let Some(Node { ino, .. }) = source else { return Ok(None) };
        let is_edited = |file: &Arc<OpenFile>| file.staging().is_some_and(|staging| staging.is_dirty());
        let edited = self.files.get(ino).filter(is_edited);
        if edited.is_none() && !self.writeback.replacing_waits(ino)? {
            return Ok(None);
        }
        let fs = Arc::clone(self);
        Ok(Some(Box::new(move || match edited {
            Some(file) => fs.seal(&file, Durability::PowerLoss),
            None => Ok(fs.writeback.prepare_to_replace(ino)?),
        })))
    }

    /// `readlink`.
    pub fn readlink(self: &Arc<Self>, id: NodeId) -> Answer<Vec<u8>> {
        let node = match self.node(id.ino()) {
            Ok(node) if matches!(node.kind, NodeKind::Shortcut | NodeKind::Link) => {
                return Answer::Now(self.tree.link_of(&node).map(String::into_bytes).map_err(FsError::from));
            }
            Ok(node) if node.kind != NodeKind::Symlink => return Answer::err(Kind::Invalid),
            Ok(node) => node,
            Err(error) => return Answer::Now(Err(error)),
        };
        if let Some(target) = node.target {
            return Answer::Now(Ok(target.into_bytes()));
        }
        // Too long for the drive to keep beside the content: it is the content, and may be anything.
        if !(1..=TARGET_MAX).contains(&node.size) {
            tracing::warn!(
                path = self.tree.path(node.ino).unwrap_or_default(),
                size = node.size,
                "no target of a link"
            );
            return Answer::err(Kind::Protocol);
        }
        let Some(reader) = self.reader(&node) else { return Answer::err(Kind::NotFound) };
        let fs = Arc::clone(self);
        let answer = Answer::later(async move {
            let target = reader.read(0..reader.source().blob.size).await?;
            let text = String::from_utf8(target).map_err(|_| FsError::from(Kind::Protocol))?;
            fs.tree.set_target(node.ino, &text)?;
            Ok(text.into_bytes())
        });
        answer.holding(|| self.hold(Locks::These(vec![id])))
    }
}
