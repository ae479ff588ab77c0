//! Attributes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Answer, Entry, Fs, NodeId, Outdated, Result, TTL, permits};
use crate::clock::{self, Instant, Timestamp};
use crate::error::Kind;
use crate::remote::{Device, Quota};
use crate::tree::local::Attributes;
use crate::tree::{Ino, Node, NodeKind};

/// Attributes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// What it is.
    pub kind: NodeKind,
    /// Length in bytes.
    pub size: u64,
    /// How much of that is data, as opposed to holes. Known of open files only; nothing else is said to have holes, but for documents
    /// of which nobody knows how long they are.
    pub data: u64,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Number of names.
    pub links: u32,
    /// Numbers of a device.
    pub device: Option<Device>,
}

/// New values for attributes; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Access time.
    pub atime: Option<Timestamp>,
    /// Modification time.
    pub mtime: Option<Timestamp>,
}

/// Space, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All that there is.
    pub total: u64,
    /// What is free.
    pub free: u64,
}

/// Permission bits that a file made with need not carry over to other mounts: theirs show the same, unless they were told not to.
pub(super) const FILE_MODE: u32 = 0o644;
/// The same of a folder.
pub(super) const FOLDER_MODE: u32 = 0o755;
/// Permission bits of every symbolic link.
const LINK_MODE: u32 = 0o777;
/// Permission bits of a document, which nobody can write, as far as files have them.
const DOCUMENT_MODE: u32 = 0o444;

/// What a drive without a limit is said to hold.
const UNLIMITED: u64 = 1 << 50;

/// How old the drive's word on its storage may be before it is asked again.
pub const QUOTA_AGE: Duration = Duration::from_mins(1);

impl Fs {
    /// Permission bits of what has none of its own.
    pub(super) fn default_mode(&self, kind: NodeKind) -> u32 {
        match kind {
            NodeKind::Folder => self.options.dir_mode,
            NodeKind::File | NodeKind::Special(_) => self.options.file_mode,
            NodeKind::Symlink | NodeKind::Shortcut | NodeKind::Link => LINK_MODE,
            NodeKind::Document => self.options.file_mode & DOCUMENT_MODE,
        }
    }

    /// The attributes of an entry, with what an open handle has changed.
    pub(super) fn attr(&self, node: &Node) -> Attr {
        let open = self.files.get(node.ino);
        let (size, mtime) = match &open {
            Some(file) => file.overlay(node),
            None if matches!(node.kind, NodeKind::Shortcut | NodeKind::Link) => {
                (self.tree.link_of(node).map_or(0, |link| link.len() as u64), node.mtime)
            }
            None => (node.size, node.mtime),
        };
        let mode = node.mode.unwrap_or_else(|| self.default_mode(node.kind));
        Attr {
            kind: node.kind,
            size,
            // What nobody knows the length of takes nothing yet.
            data: match &open {
                Some(file) => file.data().min(size),
                None if node.is_of_unknown_size() => 0,
                None => size,
            },
            mtime,
            atime: node.atime,
            ctime: node.ctime.max(mtime.min(clock::now())),
            mode: if permits::is_writable(node) { mode } else { mode & permits::UNWRITABLE },
            owner: node.owner.unwrap_or(self.options.owner),
            links: match (node.is_linked(), node.kind) {
                (false, _) => 0,
                // Its own two names, and `..` in each folder that is in it.
                (true, NodeKind::Folder) => self.tree.count_folders(node.ino).unwrap_or(0).saturating_add(2),
                (true, _) => 1 + node.names,
            },
            device: node.device(),
        }
    }

    /// An entry for the kernel, reached from `folder`.
    pub(super) fn entry(&self, folder: NodeId, node: &Node) -> Entry {
        // Beside the one that the kernel knows of, an alias has other ways in which its entries change.
        let name_ttl = if folder.is_alias() { Duration::ZERO } else { TTL };
        let id = folder.child(node.ino, node.is_folder());
        Entry { id, attr: self.attr(node), name_ttl, attr_ttl: attr_ttl(id, node) }
    }

    /// `fstat`, or `stat` if there is no handle. A handle may be of an entry that has another number by now, since others have the
    /// one that was opened.
    pub fn getattr_of(&self, id: NodeId, handle: Option<u64>) -> Result<(Attr, Duration)> {
        let handle = handle.and_then(|number| self.files.handle(number));
        match (self.getattr(id), handle) {
            (Err(error), Some(handle)) if error.kind() == Kind::Stale => {
                Ok((self.attr(&self.node(handle.file.ino)?), Duration::ZERO))
            }
            (got, _) => got,
        }
    }

    /// `stat`.
    pub fn getattr(&self, id: NodeId) -> Result<(Attr, Duration)> {
        let node = self.node(id.ino())?;
        Ok((self.attr(&node), attr_ttl(id, &node)))
    }

    /// `chmod`, `chown`, `truncate`, `utimens`.
    pub fn setattr(self: &Arc<Self>, id: NodeId, set: SetAttr) -> Answer<(Attr, Duration)> {
        if let Err(error) = self.writable() {
            return Answer::Now(Err(error));
        }
        self.changed_attributes(id, self.setattr_now(id, set))
    }

    /// Answers a change of attributes: what was changed through an alias the kernel must not remember of the plain entry.
    pub(super) fn changed_attributes<T: Send + 'static>(self: &Arc<Self>, id: NodeId, result: Result<T>) -> Answer<T> {
        if id.is_alias() && result.is_ok() {
            let revoked = self.revoke.revoke_now(vec![Outdated::Attributes(id.ino().into())]);
            return Answer::later(async move {
                revoked.await;
                result
            });
        }
        Answer::Now(result)
    }

    fn setattr_now(self: &Arc<Self>, id: NodeId, set: SetAttr) -> Result<(Attr, Duration)> {
        let ino = id.ino();
        self.must_be_current(ino)?;
        let node = self.node(ino)?;
        if let Some(size) = set.size {
            permits::may_write(&node)?;
            self.truncate(&node, size)?;
        }
        if let (Some(mtime), Some(file)) = (set.mtime, self.files.get(ino)) {
            file.set_mtime(mtime);
        }
        let was = node.owner.unwrap_or(self.options.owner);
        let owner = (set.uid.unwrap_or(was.0), set.gid.unwrap_or(was.1));
        let mode = set.mode.map(|mode| mode & 0o7777);
        let changes = Attributes {
            // What is as it was is no change, and costs no request.
            mode: mode.filter(|&mode| mode != node.mode.unwrap_or_else(|| self.default_mode(node.kind))),
            owner: (owner != was).then_some(owner),
            mtime: set.mtime,
            atime: set.atime,
        };
        if changes == Attributes::default() {
            return self.getattr(id);
        }
        if changes.concern_drive() {
            permits::may_set_attributes(&node)?;
        }
        if node.kind == NodeKind::Document && (changes.mode.is_some() || changes.owner.is_some()) {
            return Err(Kind::NotPermitted.into());
        }
        if !node.is_linked() && ino != NodeId::ROOT.ino() {
            self.files.change_unlinked(ino, changes);
        } else {
            self.writeback.set_attributes(ino, changes)?.ok_or(Kind::NotFound)?;
        }
        self.getattr(id)
    }

    /// The drive's storage, as it was last asked.
    pub fn quota(&self) -> Quota {
        self.quota.lock().0
    }

    /// The drive said what its storage is now.
    pub fn heard_quota(&self, quota: Quota) {
        *self.quota.lock() = (quota, Instant::now());
    }

    /// `statfs`: the storage of the drive that an entry is in, as of a minute ago at most, but never waiting for it. That of a shared
    /// drive is not the account's, and is not told.
    pub fn space(self: &Arc<Self>, id: NodeId) -> Result<Space> {
        if id.ino() == Ino::SHARED_DRIVES || self.tree.drive_of(id.ino())?.is_some() {
            return Ok(Space { total: UNLIMITED, free: UNLIMITED });
        }
        self.refresh_quota(QUOTA_AGE);
        let quota = self.quota();
        let total = quota.limit.unwrap_or(UNLIMITED);
        Ok(Space { total, free: total.saturating_sub(quota.used) })
    }

    /// Asks the drive for its storage, if it was asked longer ago than some time. Does not wait for the answer.
    pub fn refresh_quota(self: &Arc<Self>, age: Duration) {
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        {
            let mut quota = self.quota.lock();
            if quota.1.elapsed() < age {
                return;
            }
            // Whoever asks next finds it asked for.
            quota.1 = Instant::now();
        }
        let fs = Arc::clone(self);
        self.runtime.spawn(async move {
            match fs.remote.about().await {
                Ok(about) => fs.quota.lock().0 = about.quota,
                Err(error) => tracing::debug!(%error, "storage of the drive not known"),
            }
        });
    }
}

/// How long the kernel may believe attributes.
pub(super) fn attr_ttl(id: NodeId, node: &Node) -> Duration {
    // How long the link is that a shortcut is depends on where others are. A length that is none it must not keep.
    let is_shortcut = matches!(node.kind, NodeKind::Shortcut | NodeKind::Link);
    let is_kept = !id.is_alias() && !is_shortcut && !node.is_of_unknown_size();
    if is_kept { TTL } else { Duration::ZERO }
}
