//! What a drive is asked to make, to change, and to take.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{FileId, Item, Posix, Special, UploadSession};
use crate::clock::Timestamp;

/// What a new item shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// An id from [`Remote::reserve_ids`](super::Remote::reserve_ids), not used before.
    pub id: FileId,
    /// The folder it goes into; must exist on the drive.
    pub parent: FileId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NewKind,
    /// Its modification time.
    pub modified: Timestamp,
    /// Its POSIX attributes.
    pub posix: Posix,
}

/// The kinds of item that we create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewKind {
    /// Holds other items.
    Folder,
    /// Has content.
    File,
    /// A symbolic link; the content uploaded is the target's path.
    Symlink,
    /// A fifo, socket or device, without content.
    Special(Special),
    /// A further name of this item, under an id that was reserved for a shortcut.
    Link(FileId),
}

/// What ids are reserved for: a drive tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdsFor {
    /// Items with content, and folders.
    Items,
    /// Further names of items.
    Links,
}

/// A change of metadata; `None` leaves a part as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// A new name.
    pub name: Option<String>,
    /// From which folder to which.
    pub parent: Option<Move>,
    /// The modification time. A patch without one keeps the old time only if the drive does; so give it always.
    pub modified: Option<Timestamp>,
    /// All POSIX attributes anew (a `None` inside clears that attribute), but for the extended ones.
    pub posix: Option<Posix>,
    /// Properties of [extended attributes](super::Xattrs::since) to set, or to clear.
    pub xattrs: BTreeMap<String, Option<String>>,
}

/// From which folder to which an item goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The folder it is in now.
    pub from: FileId,
    /// The folder it shall be in; must exist on the drive.
    pub to: FileId,
}

/// Where uploaded content goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Into a new item.
    Create(NewItem),
    /// Into an existing file, as its next revision, with a change of metadata in the same step.
    Update {
        /// The file.
        id: FileId,
        /// What else changes.
        patch: Patch,
    },
}

impl Write {
    /// The id of the item that is written.
    pub fn id(&self) -> &FileId {
        match self {
            Self::Create(new) => &new.id,
            Self::Update { id, .. } => id,
        }
    }
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The drive holds this many bytes from the start; the next byte to send is at this offset.
    Stored(u64),
    /// The same, and from now on the upload is at this address; the one before may not know it any more.
    Moved(u64, UploadSession),
    /// All bytes arrived and are the file's content now.
    Done(Box<Item>),
}

/// A piece of content to send: its length, and its bytes in any partition.
pub struct Body {
    /// Bytes that `stream` yields in all.
    pub length: u64,
    /// The bytes, in order.
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length).finish_non_exhaustive()
    }
}
