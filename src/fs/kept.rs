//! What the book knows of open files and handles, as it is written and as the next daemon finds it: see [`crate::book`].

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::handle::Bytes;
use crate::book::{self, Book};
use crate::clock::Timestamp;
use crate::remote::{Blob, FileId, RevisionId, Source};
use crate::state::request;
use crate::tree::{Ino, Node, NodeKind};

/// What the bytes of an open file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sort {
    Revision,
    Staged,
    Exported,
    Text,
}

/// An open file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) ino: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    pub(super) folder: u64,
    pub(super) document: bool,
    pub(super) sort: Sort,
    /// The item, if the drive has it.
    id: Option<FileId>,
    /// The content of the item when it was opened.
    blob: Option<Blob>,
    /// What is read, if that is a content that the drive has.
    pub(super) source: Option<(FileId, Blob)>,
    size: u64,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    times: [i64; 3],
    pub(super) unlinked: bool,
    pub(super) superseded: bool,
    /// The kernel reads it by itself, under this number.
    pub(super) backing: Option<u32>,
}

impl Record {
    pub(super) fn new(node: &Node, bytes: &Bytes, backing: Option<u32>) -> Self {
        let blob = |revision: RevisionId| Blob { size: node.size, md5: node.md5, revision };
        let mut record = Self {
            ino: node.ino.0,
            name: node.name.clone(),
            folder: node.parent.0,
            document: node.kind == NodeKind::Document,
            sort: Sort::Staged,
            id: node.id.clone(),
            blob: node.revision.clone().map(blob),
            source: None,
            size: node.size,
            mode: node.mode,
            owner: node.owner,
            times: [node.mtime, node.atime, node.ctime].map(Timestamp::nanos),
            unlinked: false,
            superseded: false,
            backing,
        };
        record.set_bytes(bytes);
        record
    }

    pub(super) fn set_bytes(&mut self, bytes: &Bytes) {
        (self.sort, self.source) = match bytes {
            Bytes::Revision(reader) => {
                let Source { id, blob } = reader.source().clone();
                (Sort::Revision, Some((id, blob)))
            }
            Bytes::Staged(_) => (Sort::Staged, None),
            Bytes::Exported(_) => (Sort::Exported, None),
            Bytes::Text(_) => (Sort::Text, None),
        };
    }

    /// Notes what it is when it loses its name.
    pub(super) fn set_node(&mut self, node: &Node) {
        (self.mode, self.owner, self.size) = (node.mode, node.owner, node.size);
        self.times = [node.mtime, node.atime, node.ctime].map(Timestamp::nanos);
    }

    /// What it was, for who has it open, if the tree does not know it any more.
    pub(super) fn node(&self) -> Node {
        let blob = self.blob.as_ref();
        let [mtime, atime, ctime] = self.times.map(Timestamp::from_nanos);
        let kind = if self.document { NodeKind::Document } else { NodeKind::File };
        Node {
            id: self.id.clone(),
            mode: self.mode,
            owner: self.owner,
            size: self.size,
            atime,
            ctime,
            revision: blob.map(|blob| blob.revision.clone()),
            md5: blob.and_then(|blob| blob.md5),
            ..Node::new(Ino(self.ino), Ino::NOWHERE, self.name.clone(), kind, mtime)
        }
    }

    /// The item that it is of.
    pub(super) fn id(&self) -> Option<&FileId> {
        self.id.as_ref()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let encode = |record: &Self| {
            let text = serde_json::to_vec(record).ok()?;
            let length = text.len() as u64;
            Some([&length.to_ne_bytes()[..], &text].concat()).filter(|bytes| bytes.len() <= book::FILE)
        };
        // A name of many odd letters is the only thing that may be too long, and only for people.
        encode(self).or_else(|| encode(&Self { name: String::new(), ..self.clone() }))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(book::number(bytes)).ok()?;
        serde_json::from_slice(bytes.get(8..8 + length)?).ok()
    }
}

/// A file's place in the book.
#[derive(Debug)]
pub(super) struct FileSlot {
    book: Arc<Book>,
    slot: u64,
}

impl FileSlot {
    pub(super) fn write(&self, record: &Record) {
        let written = record.encode().map(|bytes| self.book.files.set(self.slot, 0, &bytes));
        if !matches!(written, Some(Ok(()))) {
            tracing::warn!(ino = record.ino, "an open file could not be noted for a daemon that takes over");
        }
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        self.book.files.clear(self.slot);
    }
}

/// A handle's place in the book, until the handle is gone.
#[derive(Debug)]
pub(super) struct HandleSlot {
    book: Arc<Book>,
    slot: u64,
}

impl Drop for HandleSlot {
    fn drop(&mut self) {
        self.book.handles.clear(self.slot);
    }
}

/// A handle, as the book has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptHandle {
    pub(super) number: u64,
    pub(super) ino: u64,
    /// The request that opened it.
    pub(super) request: u64,
    pub(super) write: bool,
    pub(super) thread: u32,
    pub(super) heard: u64,
}

impl KeptHandle {
    fn encode(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let flags = u64::from(self.write) << 32 | u64::from(self.thread);
        for (at, value) in [self.number, self.ino, self.request, flags, self.heard].into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let value = |at: usize| book::number(bytes.get(at * 8..).unwrap_or_default());
        let thread = u32::try_from(value(3) & u64::from(u32::MAX)).unwrap_or(0);
        Self { number: value(0), ino: value(1), request: value(2), write: value(3) >> 32 == 1, thread, heard: value(4) }
    }
}

/// Notes an open file.
pub(super) fn keep_file(book: Option<&Arc<Book>>, record: &Record) -> Option<FileSlot> {
    let book = book?;
    let slot = record.encode().and_then(|bytes| book.files.put(&bytes).ok());
    if slot.is_none() {
        tracing::warn!(ino = record.ino, "an open file could not be noted for a daemon that takes over");
    }
    Some(FileSlot { book: Arc::clone(book), slot: slot? })
}

/// Notes a handle that is being opened by the request that this thread works for.
pub(super) fn keep_handle(book: Option<&Arc<Book>>, handle: KeptHandle) -> Option<HandleSlot> {
    let book = book?;
    let request = request::current();
    let slot = book.handles.put(&KeptHandle { request, ..handle }.encode()).ok();
    Some(HandleSlot { book: Arc::clone(book), slot: slot? })
}

/// What a daemon left: files with their handles, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) files: HashMap<u64, (FileSlot, Record)>,
    pub(super) handles: Vec<(HandleSlot, KeptHandle)>,
}

/// Takes what a daemon left out of the book. What is dropped of it is out of the book, too.
pub(super) fn left(book: &Arc<Book>) -> Left {
    let mut left = Left::default();
    for (slot, bytes) in book.files.take_found() {
        let slot = FileSlot { book: Arc::clone(book), slot };
        if let Some(record) = Record::decode(&bytes) {
            left.files.insert(record.ino, (slot, record));
        }
    }
    for (slot, bytes) in book.handles.take_found() {
        left.handles.push((HandleSlot { book: Arc::clone(book), slot }, KeptHandle::decode(&bytes)));
    }
    left
}
