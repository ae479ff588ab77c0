//! What a cloud drive can do, in the words of ids and revisions.
//!
//! [`Remote`] is the contract between the house and any drive. It knows no paths, no inodes, no cache; it promises:
//!
//! - **Identity.** Everything is addressed by [`FileId`], which never changes in the life of an item. New items are created
//!   under ids that the caller reserved before, so that a create repeated after a lost answer cannot make a second item.
//! - **Revisions.** Content is replaced as a whole; each content has a [`RevisionId`]. [`Remote::read`] gives bytes of the
//!   revision asked for or fails with [`Kind::Stale`], never bytes of another.
//! - **Order.** [`Item::version`] grows with every change of an item, so that of two descriptions the newer is known.
//! - **Retries.** Temporary failures are retried inside, with backoff, up to the time that the implementation was configured
//!   with. What comes out as an error is worth reporting. The exception is [`Remote::send`], whose caller resumes.
//! - **Nothing blocks.** All methods are async; dropping a future cancels the request.
//!
//! [`drive`] is Google Drive v3 (and whatever speaks it). Other stores can sit beside it.

mod access;
pub mod drive;
mod pages;
mod special;
mod writing;
pub mod xattrs;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Kind;

pub use access::Access;
pub use pages::{Pages, all_drives, all_trashed};
pub use special::{Device, Special};
pub use writing::{Body, IdsFor, Move, NewItem, NewKind, Patch, Progress, Write};
pub use xattrs::Xattrs;

/// Identity of an item on the drive. Opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId(pub String);

/// Identity of one content of one file. Opaque; equal ids mean equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RevisionId(pub String);

/// A place in the feed of changes. Opaque; does not expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A place within a listing. Opaque; good for hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub String);

/// MD5 of a whole content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Md5(pub [u8; 16]);

/// The address of an upload under way. Whoever knows it can write to the file: a secret, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadSession(pub String);

/// An item as the drive describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its identity.
    pub id: FileId,
    /// Its name: any text at all. Not unique among siblings, maybe empty, maybe with slashes.
    pub name: String,
    /// The folder it is in; `None` for the root and for what was shared without its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<FileId>,
    /// What it is, with its content.
    pub kind: ItemKind,
    /// Grows with every change of this item, of content or of metadata.
    pub version: u64,
    /// Last modification, to the millisecond.
    pub modified: Timestamp,
    /// Creation, to the millisecond.
    pub created: Timestamp,
    /// In the trash (itself, or a folder above it).
    #[serde(default, skip_serializing_if = "is_false")]
    pub trashed: bool,
    /// Put there itself, and not only a folder above it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trashed_itself: bool,
    /// It belongs to the person of the account.
    #[serde(default, skip_serializing_if = "is_false")]
    pub owned: bool,
    /// Others may see it: it, or a folder above it, is shared, or it is in a drive of several people.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
    /// The shared drive that it is in; `None` for what is in people's own drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<FileId>,
    /// What this account may do with it.
    #[serde(default, skip_serializing_if = "Access::is_unknown")]
    pub access: Access,
    /// What POSIX knows of a file and a drive does not.
    #[serde(default, skip_serializing_if = "Posix::is_unset")]
    pub posix: Posix,
}

/// The kinds of item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemKind {
    /// Holds other items.
    Folder,
    /// Has content.
    File(Blob),
    /// A symbolic link; its content is the target's path.
    Symlink(Blob),
    /// A fifo, socket or device: a name for what machines do among themselves, without content.
    Special(Special),
    /// Leads to another item, which may be gone or out of reach.
    Shortcut {
        /// That item.
        target: FileId,
        /// It is a further name of that item, a file: a hard link.
        #[serde(default, skip_serializing_if = "is_false")]
        hard: bool,
    },
    /// An item without bytes of its own: a document of an online editor.
    Document {
        /// Its media type, e.g. `application/vnd.google-apps.document`.
        media_type: String,
        /// Where a person can open it.
        link: Option<String>,
    },
}

/// One content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Length in bytes.
    pub size: u64,
    /// Checksum of all bytes, where the drive knows it.
    pub md5: Option<Md5>,
    /// Its identity.
    pub revision: RevisionId,
}

/// Attributes that the drive keeps for us without understanding them. `None`: never set, the mount's default holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posix {
    /// Permission bits, `0..=0o7777`.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Target of a symbolic link, if it was short enough to be kept beside the content.
    pub target: Option<String>,
    /// The numbers of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Extended attributes.
    #[serde(default, skip_serializing_if = "Xattrs::is_empty")]
    pub xattrs: Xattrs,
}

impl Posix {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Items, maybe none even if more pages follow.
    pub items: Vec<Item>,
    /// The next page; `None` only at the end of the listing.
    pub next: Option<PageToken>,
}

/// Something in the trash of the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// What it is.
    pub item: Item,
    /// It was put there itself, and not only a folder above it.
    pub itself: bool,
    /// When it was put there, where the drive tells.
    pub since: Option<Timestamp>,
}

/// One page of what is in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashPage {
    /// What is in it, maybe nothing even if more pages follow.
    pub items: Vec<Trashed>,
    /// The next page; `None` only at the end.
    pub next: Option<PageToken>,
}

/// One page of the feed of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Oldest first; one entry an item at most.
    pub changes: Vec<Change>,
    /// Where to go on, once this page is applied.
    pub next: Cursor,
    /// Whether more is waiting right now.
    pub more: bool,
    /// When the drive said so, by its own clock, at most a second too early; `None`: it does not tell.
    pub at: Option<Timestamp>,
}

/// A drive of several people. What is in it belongs to none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDrive {
    /// Its identity, and that of the folder at its top.
    pub id: FileId,
    /// Its name: any text at all, not unique.
    pub name: String,
    /// When it was made, to the millisecond.
    pub created: Timestamp,
    /// What this account may do with the folder at its top, and what tells its role: with all that is in it.
    pub access: Access,
}

/// One page of the shared drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrivePage {
    /// Drives, maybe none even if more pages follow.
    pub drives: Vec<SharedDrive>,
    /// The next page; `None` only at the end.
    pub next: Option<PageToken>,
}

/// That something changed, and what it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub enum Change {
    /// Its current state, which may be `trashed`.
    Present(Item),
    /// Deleted for good, or not ours to see any more.
    Removed(FileId),
    /// This shared drive was joined, left, renamed, or otherwise changed as a whole.
    Drive(FileId),
}

/// The account behind a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Identity of the account, the same for ever; a cache belongs to exactly one.
    pub account: String,
    /// How people call it: a mail address.
    pub email: String,
    /// Storage of the account.
    pub quota: Quota,
}

/// Storage of an account, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// All that there is; `None`: no limit.
    pub limit: Option<u64>,
    /// What is used.
    pub used: u64,
}

/// One content, with what is needed to read exactly it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub id: FileId,
    /// Which of its contents.
    pub blob: Blob,
}

/// A cloud drive. See the head of this module for what every implementation promises.
pub trait Remote: Send + Sync + fmt::Debug + 'static {
    /// The account, its quota. Costs a request.
    fn about(&self) -> BoxFuture<'_, Result<About>>;

    /// The folder at the top.
    fn root(&self) -> BoxFuture<'_, Result<FileId>>;

    /// One item, trashed or not. [`Kind::NotFound`] if there is none or it is not ours to see.
    fn get<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>>;

    /// One page of the children of some folders (1 to 50), the trashed left out, in no order. An empty listing does not prove
    /// that a folder exists; one of several folders, if all of it is empty, does not even prove that they are: Drive is known to
    /// answer so at times. [`Kind::Invalid`] if the page token has gone stale: begin again, as [`Pages`] does.
    fn list<'a>(&'a self, folders: &'a [FileId], page: Option<&'a PageToken>) -> BoxFuture<'a, Result<Page>>;

    /// The items of exactly this name in a folder, the trashed left out. What was just made or named may be missing.
    fn named<'a>(&'a self, folder: &'a FileId, name: &'a str) -> BoxFuture<'a, Result<Vec<Item>>>;

    /// The files of a name that this program keeps on the drive for itself, where people do not see them, the last modified first.
    /// [`Kind::Denied`]: our sign-in does not allow that.
    fn hidden<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Item>>>;

    /// A fresh id for a file that is hidden, and the folder that it goes into.
    fn reserve_hidden(&self) -> BoxFuture<'_, Result<(FileId, FileId)>>;

    /// One page of the shared drives of this account. [`Kind::Invalid`] as for [`Remote::list`].
    fn drives<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<DrivePage>>;

    /// The end of a feed of changes as it is now: the account's own, which has nothing for certain of what is in shared drives, or
    /// that of one of these. Take it before the first listing and nothing is missed. [`Kind::NotFound`], [`Kind::Denied`]: that
    /// drive is gone, or not this account's.
    fn cursor<'a>(&'a self, drive: Option<&'a FileId>) -> BoxFuture<'a, Result<Cursor>>;

    /// What changed in a feed since `cursor`, our own changes included. [`Kind::Invalid`] if the drive no longer knows the cursor;
    /// else as [`Remote::cursor`].
    fn changes<'a>(&'a self, drive: Option<&'a FileId>, cursor: &'a Cursor) -> BoxFuture<'a, Result<Changes>>;

    /// Whether the drive asked for fewer requests a moment ago: what can wait should.
    fn is_scarce(&self) -> bool;

    /// Whether content comes no faster than it was told to, so that who reads first keeps others waiting.
    fn holds_rate(&self) -> bool;

    /// Whether it has requests to spare for what nobody waits for: it refused none a moment ago, and of the budget so much is left
    /// that who comes with something to do need not wait.
    fn has_spare(&self) -> bool;

    /// `count` (1 to 1000) fresh ids for [`NewItem::id`].
    fn reserve_ids(&self, count: usize, what: IdsFor) -> BoxFuture<'_, Result<Vec<FileId>>>;

    /// Creates what has no content: a folder or a special file. If an earlier try with this id got through, its result is the answer.
    fn create_bare<'a>(&'a self, new: &'a NewItem) -> BoxFuture<'a, Result<Item>>;

    /// Gives an item a further name. If an earlier try with this id got through, its result is the answer. [`Kind::NotFound`]: the
    /// item is not there, or the folder is not.
    fn create_link<'a>(&'a self, new: &'a NewItem) -> BoxFuture<'a, Result<Item>>;

    /// Changes metadata.
    fn update<'a>(&'a self, id: &'a FileId, patch: &'a Patch) -> BoxFuture<'a, Result<Item>>;

    /// Moves an item, with all that is in it, to the trash. Fine if it is there already.
    fn trash<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>>;

    /// Takes an item out of the trash, with all that went there with it. Fine if it is not there. What lies in a folder that is
    /// itself in the trash stays there with it: [`Item::trashed`] tells.
    fn untrash<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>>;

    /// One page of what this account has in the trash, what lies in trashed folders included, in no order. [`Kind::Invalid`] as
    /// for [`Remote::list`].
    fn trashed<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<TrashPage>>;

    /// Deletes an item, with all that is in it, for good. Fine if it is gone already.
    fn delete<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<()>>;

    /// Uploads a small content (at most [`Remote::small`] bytes) in one request; the item comes into being whole or not at
    /// all. If an earlier create with this id got through with the same bytes, its result is the answer;
    /// [`Kind::Exists`] if it has other bytes.
    fn put<'a>(&'a self, write: &'a Write, content: Bytes) -> BoxFuture<'a, Result<Item>>;

    /// The largest content for [`Remote::put`], in bytes.
    fn small(&self) -> u64;

    /// The largest content of a file, in bytes.
    fn largest(&self) -> u64;

    /// Makes a new file of a content that the drive has, which no byte has to travel for. What the drive copies is the content
    /// that the file has at that moment: compare the checksum of what comes with that of `source`. If an earlier try with this id
    /// got through with the same bytes, its result is the answer; [`Kind::Exists`] if it has other bytes.
    /// [`Kind::NotFound`]: the source is not there any more, or the folder is not. [`Kind::NotPermitted`], [`Kind::Denied`]: it
    /// may not be copied.
    fn copy<'a>(&'a self, source: &'a Source, new: &'a NewItem) -> BoxFuture<'a, Result<Item>>;

    /// Begins an upload of any size; nothing is visible on the drive until the last byte has arrived. `total` is the size
    /// if it is known already. A session lives for days.
    ///
    /// [`Kind::Exists`], here or with the last piece: the id of the new item is in use, most likely by an upload of ours
    /// whose last answer got lost. [`Remote::get`] tells whether that is so.
    fn begin<'a>(&'a self, write: &'a Write, total: Option<u64>) -> BoxFuture<'a, Result<UploadSession>>;

    /// Sends bytes from `offset` on (which must be what the drive has, see [`Remote::progress`]). `total` makes this the last
    /// piece if it reaches it; other pieces must be multiples of 256 KiB long. The drive may take less than was sent: go on
    /// where the answer says, even if that is where this piece began. Not retried inside: after an error ask for the progress
    /// and go on there.
    /// [`Kind::NotFound`]: the session is gone, begin again.
    fn send<'a>(
        &'a self,
        session: &'a UploadSession,
        offset: u64,
        total: Option<u64>,
        body: Body,
    ) -> BoxFuture<'a, Result<Progress>>;

    /// How far an upload is. [`Kind::NotFound`]: the session is gone, begin again.
    fn progress<'a>(&'a self, session: &'a UploadSession, total: Option<u64>) -> BoxFuture<'a, Result<Progress>>;

    /// The bytes of `range` (not empty, within the size) of exactly this content, in order, resumed inside after a broken
    /// connection. [`Kind::Stale`], at once or between two pieces, if the drive no longer has this content as the current
    /// one of the file.
    fn read<'a>(&'a self, source: &'a Source, range: Range<u64>) -> BoxFuture<'a, Result<ByteStream>>;

    /// A document in the format of this media type, as the drive makes it at that moment: all of it, of a length that nobody knows
    /// before its end. No two exports need have the same bytes, so one that breaks cannot be continued: it begins anew, and says so.
    /// [`Kind::Unsupported`]: there is no such format of it, or it is too large to be exported.
    fn export<'a>(&'a self, id: &'a FileId, media_type: &'a str) -> BoxFuture<'a, Result<ExportStream>>;
}

/// Bytes as they arrive.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// An export as it arrives.
pub type ExportStream = BoxStream<'static, Result<ExportPiece>>;

/// What comes next of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportPiece {
    /// More bytes; never none.
    Bytes(Bytes),
    /// It broke and begins anew: what came so far is of no use.
    Anew,
}

/// Result of a call to a remote.
pub type Result<T> = std::result::Result<T, RemoteError>;

/// A call to the drive that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({call})")]
pub struct RemoteError {
    /// What it means.
    pub kind: Kind,
    /// Which call: `files.list`, `upload`, `token`.
    pub call: &'static str,
    /// Status of the HTTP answer, if there was one.
    pub status: Option<u16>,
    /// The drive's own word for it, e.g. `userRateLimitExceeded`.
    pub reason: Option<String>,
    /// One sentence for a person. Never holds a secret.
    pub message: String,
    /// The drive asked to wait this long.
    pub retry_after: Option<Duration>,
}

impl RemoteError {
    /// An error that did not come as an HTTP answer.
    pub fn new(kind: Kind, call: &'static str, message: impl Into<String>) -> Self {
        Self { kind, call, status: None, reason: None, message: message.into(), retry_after: None }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadSession(…)")
    }
}

impl Md5 {
    /// Parses 32 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut digest = [0; 16];
        if hex.len() != 32 || !hex.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl From<Md5> for String {
    fn from(md5: Md5) -> Self {
        md5.to_string()
    }
}

impl TryFrom<String> for Md5 {
    type Error = &'static str;

    fn try_from(hex: String) -> std::result::Result<Self, Self::Error> {
        Self::parse(&hex).ok_or("not the 32 digits of an MD5")
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Md5({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_survives_text() {
        let hex = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(Md5::parse(hex).expect("parses").to_string(), hex);
        for bad in ["", "d41d", "g41d8cd98f00b204e9800998ecf8427e", "€41d8cd98f00b204e9800998ecf8427"] {
            assert_eq!(Md5::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_upload_session_is_not_shown() {
        assert!(!format!("{:?}", UploadSession("http://host/?upload_id=secret".into())).contains("secret"));
    }
}
