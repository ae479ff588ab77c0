//! What an entry is: its number, its kind, its row, and what the drive has of it.

use std::fmt;

use crate::clock::Timestamp;
use crate::remote::{Access, Device, FileId, Item, Md5, RevisionId, Special, Xattrs};

/// Number of an entry; what the kernel calls `nodeid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);
    /// The folder of what is in no folder: the root, the two below, and what was unlinked and is still needed.
    pub const NOWHERE: Self = Self(0);
    /// The folder of the shared drives ([`drives`](super::drives)), which no drive has. Numbers are given out from the other end, and the kernel
    /// adapter needs the bits above.
    pub const SHARED_DRIVES: Self = Self((1 << 58) - 1);
    /// The folder of what is known by its id alone ([`shortcuts`](super::shortcuts)), which no drive has either.
    pub const TARGETS: Self = Self((1 << 58) - 2);

    /// Whether it is at the top of the tree, in no other folder.
    pub const fn is_top(self) -> bool {
        matches!(self, Self::ROOT | Self::SHARED_DRIVES | Self::TARGETS)
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Holds other entries.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device.
    Special(Special),
    /// Leads to another entry, by the id of its item, wherever that is; a symbolic link to programs.
    Shortcut,
    /// A further name of a file, symbolic link or special file ([`links`](super::links)): what its name means is that entry, as long as the tree has it.
    Link,
    /// A document of an online editor: shown as a small read-only file that holds its address, or as what it is exported as.
    Document,
}

impl NodeKind {
    /// Whether the drive has a content of it that comes from here.
    pub const fn has_content(self) -> bool {
        matches!(self, Self::File | Self::Symlink)
    }
}

/// An entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub ino: Ino,
    /// Its identity on the drive; `None` until one is reserved for it.
    pub id: Option<FileId>,
    /// The folder it is in; [`Ino::NOWHERE`] for what is at the top and for what is unlinked.
    pub parent: Ino,
    /// The name it is shown under: legal and unique in its folder.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits; `None`: the mount's default.
    pub mode: Option<u32>,
    /// User and group; `None`: the mount's.
    pub owner: Option<(u32, u32)>,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// Last change of content, or (folders) of entries.
    pub mtime: Timestamp,
    /// Last access, as far as programs set it.
    pub atime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Creation on the drive, in milliseconds.
    pub created: i64,
    /// The name on the drive where it is not [`Node::name`].
    pub drive_name: Option<String>,
    /// The content that the drive has, as far as we know. Of a document: see [`documents`](super::documents).
    pub revision: Option<RevisionId>,
    /// Checksum of that content.
    pub md5: Option<Md5>,
    /// Version of the state that the drive last told us; 0: never.
    pub version: u64,
    /// Target of a symbolic link, if known; of a shortcut or a further name, the id of the item that the drive has it lead to; the text of
    /// the link file of a document; of a device, its numbers.
    pub target: Option<String>,
    /// A folder whose children are all in the tree.
    pub listed: bool,
    /// What this account may do with it, as far as the drive told.
    pub access: Access,
    /// The shared drive that it is in, of what no other folder of the tree holds; for all else, the folders above tell.
    pub drive: Option<FileId>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
    /// Of a further name: the file, as long as that has a place in the tree.
    pub link: Option<Ino>,
    /// How many further names it had when it was read.
    pub names: u32,
}

impl Node {
    /// An entry of which nothing is known but what is said here, and that the drive does not have.
    pub fn new(ino: Ino, parent: Ino, name: String, kind: NodeKind, now: Timestamp) -> Self {
        Self {
            ino,
            id: None,
            parent,
            name,
            kind,
            mode: None,
            owner: None,
            size: 0,
            mtime: now,
            atime: now,
            ctime: now,
            created: now.millis(),
            drive_name: None,
            revision: None,
            md5: None,
            version: 0,
            target: None,
            listed: false,
            access: Access::UNKNOWN,
            drive: None,
            xattrs: Xattrs::default(),
            link: None,
            names: 0,
        }
    }

    /// Its name on the drive.
    pub fn name_on_drive(&self) -> &str {
        self.drive_name.as_deref().unwrap_or(&self.name)
    }

    /// Whether it can be reached by a path (if its folder can).
    pub fn is_linked(&self) -> bool {
        self.parent != Ino::NOWHERE || self.ino.is_top()
    }

    /// The number of the file that it stands for: of a further name, the file's.
    pub fn file(&self) -> Ino {
        self.link.unwrap_or(self.ino)
    }

    /// Whether this account may take a name of it away.
    pub fn may_lose_name(&self) -> bool {
        // If there is another one, it goes there.
        if self.names > 0 { self.access.may_rename() && self.access.may_move() } else { self.access.may_trash() }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == NodeKind::Folder
    }

    /// The numbers of a device.
    pub fn device(&self) -> Option<Device> {
        match self.kind {
            NodeKind::Special(special) if special.is_device() => self.target.as_deref()?.parse().ok(),
            _ => None,
        }
    }
}

/// What the drive has of an entry that is not the same here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// What the drive knows; `None`: it does not have the entry yet.
    pub on_drive: Option<OnDrive>,
    /// The content here is newer than the drive's.
    pub rewritten: bool,
    /// The modification time of a folder was set here, not only moved on by its entries, which is not worth a request.
    pub timed: bool,
}

impl Base {
    /// The base of an entry that the drive does not have.
    pub const fn unsent(rewritten: bool) -> Self {
        Self { on_drive: None, rewritten, timed: false }
    }
}

/// Metadata of an entry as the drive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDrive {
    /// Its folder.
    pub parent: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Its modification time, to the millisecond.
    pub mtime: Timestamp,
    /// Its permission bits.
    pub mode: Option<u32>,
    /// Its user and group.
    pub owner: Option<(u32, u32)>,
    /// Its extended attributes.
    pub xattrs: Xattrs,
}

impl OnDrive {
    /// The metadata of an item.
    pub fn of(item: &Item) -> Self {
        Self {
            parent: item.parent.clone(),
            name: item.name.clone(),
            mtime: item.modified,
            mode: item.posix.mode,
            owner: item.posix.owner,
            xattrs: item.posix.xattrs.clone(),
        }
    }

    /// The metadata of a node that both sides agree on.
    pub fn of_clean(node: &Node, folder: Option<FileId>) -> Self {
        Self {
            parent: folder,
            name: node.name_on_drive().to_owned(),
            mtime: Timestamp::from_millis(node.mtime.millis()),
            mode: node.mode,
            owner: node.owner,
            xattrs: node.xattrs.clone(),
        }
    }
}
