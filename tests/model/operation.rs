//! What programs do to a file system, and what they see of it.

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::dice::Content;

/// How many files a process keeps open at most.
pub(crate) const SLOTS: usize = 4;

/// How a file is opened that stays open: for reading, and for more if so said.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Flags {
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) create: bool,
    /// Only if it is new.
    pub(crate) new: bool,
    pub(crate) truncate: bool,
}

/// One thing that a program does. Paths are relative to the folder that is tested.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Operation {
    Write {
        path: String,
        content: Content,
    },
    /// Only if it is new.
    Create {
        path: String,
        content: Content,
    },
    Append {
        path: String,
        content: Content,
    },
    WriteAt {
        path: String,
        offset: u64,
        content: Content,
    },
    Resize {
        path: String,
        size: u64,
    },
    /// A new file beside it, synced or not, renamed over it.
    Save {
        path: String,
        content: Content,
        sync: bool,
    },
    /// Writes through a mapping of the file, as much as there is of it.
    Map {
        path: String,
        offset: u64,
        content: Content,
    },
    /// `copy_file_range`.
    CopyRange {
        from: String,
        to: String,
        from_offset: u64,
        to_offset: u64,
        length: u64,
    },
    Rename {
        from: String,
        to: String,
        replace: bool,
    },
    /// Lets two entries change places.
    Exchange {
        one: String,
        other: String,
    },
    Remove {
        path: String,
    },
    MakeFolder {
        path: String,
        mode: u32,
    },
    RemoveFolder {
        path: String,
    },
    /// With all that is in it.
    RemoveTree {
        path: String,
    },
    SyncFolder {
        path: String,
    },
    /// Many small files.
    Fill {
        path: String,
        count: u32,
        content: Content,
    },
    /// All files of a folder.
    Clear {
        path: String,
    },
    Link {
        path: String,
        target: String,
    },
    /// `link`: one more name of what is there.
    Name {
        path: String,
        new: String,
    },
    Mode {
        path: String,
        mode: u32,
    },
    /// In nanoseconds since 1970.
    Time {
        path: String,
        nanos: i64,
    },
    Stat {
        path: String,
    },
    Read {
        path: String,
    },
    ReadLink {
        path: String,
    },
    List {
        path: String,
    },
    /// Lists while one entry comes and another goes.
    ListWhile {
        path: String,
        comes: String,
        goes: String,
    },
    Open {
        slot: usize,
        path: String,
        flags: Flags,
    },
    ReadOpen {
        slot: usize,
        offset: u64,
        length: usize,
    },
    WriteOpen {
        slot: usize,
        offset: u64,
        content: Content,
    },
    ResizeOpen {
        slot: usize,
        size: u64,
    },
    SyncOpen {
        slot: usize,
        data: bool,
    },
    StatOpen {
        slot: usize,
    },
    Close {
        slot: usize,
    },
}

/// What was seen, or the errno if it could not be done.
pub(crate) type Outcome = Result<String, i32>;

/// How content is told: by its length and its MD5.
pub(crate) fn told(content: &[u8]) -> String {
    format!("{} bytes {}", content.len(), md5(content))
}

pub(crate) fn md5(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Md5::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writes");
        text
    })
}
