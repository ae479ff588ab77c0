//! Going on where another daemon died: open files and handles as the book has them.
//!
//! Before the kernel is served, each open file is made again: what is read from the revision that it was opened on, what is written from
//! its staging ([`crate::writeback`]). What happened to it in the very moment in which the last daemon died is what the tables say: if
//! they do not have the entry any more, it lost its name; if its item has another number by now, it was replaced elsewhere; and if they have a
//! newer content of it, it is replaced now, as the last daemon was about to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::dir::Unknown;
use super::handle::{Bytes, Caching};
use super::kept::{self, HandleSlot, KeptHandle, Record, Sort};
use super::passthrough::{Backing, Passed};
use super::{Answer, Entry, Fs, NodeId, Result};
use crate::book::{Book, Page};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::Source;
use crate::tree::{Ino, Node};
use crate::writeback::Durability;

/// How long it takes at most from a merge in the tables to what it tells the kernel: it takes milliseconds.
const NEWS_TAKE: Duration = Duration::from_secs(5);

/// What the kernel is to be told once it is served.
#[derive(Debug, Default)]
pub struct News {
    /// Names that mean something else now.
    names: Vec<(Ino, String)>,
    /// Nobody knows what else: all.
    all: bool,
}

impl Fs {
    /// Takes over what another daemon had open. `adopt`: what the kernel reads by itself, by its number. To be called once, before
    /// anything is served.
    pub fn take_over(self: &Arc<Self>, book: &Arc<Book>, adopt: &dyn Fn(u32) -> Backing) -> Result<News> {
        // By which ways the kernel came to what it knows, nobody knows any more.
        self.ways.all_used();
        let mut news =
            News { all: book.get(Page::Telling).is_ok_and(|telling| !telling.is_empty()), names: Vec::new() };
        let mut left = kept::left(book);
        let mut handles: HashMap<u64, Vec<(HandleSlot, KeptHandle)>> = HashMap::new();
        for (slot, handle) in left.handles.drain(..) {
            handles.entry(handle.ino).or_default().push((slot, handle));
        }
        let count = handles.len();
        for (ino, handles) in handles {
            let Some((slot, record)) = left.files.remove(&ino) else {
                tracing::error!(ino, "an open file is not known any more: its programs cannot go on with it");
                continue;
            };
            let (folder, name) = (Ino(record.folder), record.name.clone());
            match self.take_over_file(record, slot, handles, adopt) {
                Ok(false) => {}
                // What the kernel was about to hear of it.
                Ok(true) => news.names.push((folder, name)),
                Err(error) => tracing::error!(name, %error, "an open file cannot be gone on with"),
            }
        }
        // Written, and closed before it could be sealed.
        for ino in self.writeback.left_unsealed() {
            if self.tree.is_removed(ino)? {
                // And removed.
                self.writeback.abandon(ino)?;
                continue;
            }
            let sealed = self.node(ino).and_then(|node| {
                let staging = self.writeback.resume(&node)?;
                Ok(self.writeback.seal(ino, &staging, node.mtime, Durability::Process)?)
            });
            if let Err(error) = sealed {
                tracing::error!(%ino, %error, "what was written cannot be gone on with");
            }
        }
        tracing::info!(files = count, "took over what is open");
        Ok(news)
    }

    /// Tells the kernel what the last daemon did not come to tell. To be called once it is served.
    pub fn tell(self: &Arc<Self>, news: News) {
        for (folder, name) in news.names {
            for id in self.ways.to(folder) {
                self.revoke.entry(id, name.clone());
                self.revoke.listing(id);
            }
        }
        if news.all {
            let fs = Arc::clone(self);
            self.runtime.spawn_blocking(move || {
                if let Err(error) = fs.tell_all() {
                    tracing::error!(%error, "the kernel may believe for an hour what is out of date");
                }
            });
        }
    }

    /// Takes over one open file. Says whether its name means something else now.
    fn take_over_file(
        self: &Arc<Self>,
        mut record: Record,
        slot: kept::FileSlot,
        handles: Vec<(HandleSlot, KeptHandle)>,
        adopt: &dyn Fn(u32) -> Backing,
    ) -> Result<bool> {
        let ino = Ino(record.ino);
        let now = self.tree.node(ino)?.filter(Node::is_linked).filter(|_| !record.superseded);
        let mut moved = record.superseded;
        if now.is_none() && !record.unlinked {
            record.unlinked = true;
            let item = record.id().map_or(Ok(None), |id| self.tree.by_id(id))?;
            record.superseded = item.is_some_and(|item| item.is_linked() && item.ino != ino);
            moved = true;
        }
        let node = match now {
            Some(node) if !record.unlinked => node,
            _ => record.node(),
        };
        let bytes = match (record.sort, &record.source) {
            (Sort::Revision, Some((id, blob))) => {
                // It may be written by now, or be what another was renamed to.
                let unsent = if record.unlinked { None } else { self.writeback.unsent(ino)? };
                match unsent {
                    Some(staging) => Bytes::Staged(staging),
                    None => Bytes::Revision(self.content.open(&Source { id: id.clone(), blob: blob.clone() })),
                }
            }
            (Sort::Exported, _) => Bytes::Exported(self.export_at_hand(&node).ok_or(Kind::Stale)?),
            (Sort::Text, _) => Bytes::Text(node.target.clone().unwrap_or_default().as_str().into()),
            (Sort::Staged | Sort::Revision, _) => Bytes::Staged(self.writeback.resume(&node)?),
        };
        let passed = record.backing.map(|number| self.pass_again(adopt(number), &bytes)).transpose()?;
        let outdated = match &bytes {
            Bytes::Revision(reader) if !record.unlinked => {
                node.revision.as_ref() != Some(&reader.source().blob.revision)
            }
            _ => false,
        };
        let dirty = matches!(&bytes, Bytes::Staged(staging) if staging.is_dirty());
        if matches!(bytes, Bytes::Staged(_)) {
            // The drive may have told of another content while it was open, which the last daemon knew.
            self.files.mark_stale(ino);
        }
        let file = self.files.restore(&node, bytes, passed, record, slot);
        for (slot, handle) in handles {
            self.files.restore_handle(&file, handle, slot);
        }
        if dirty {
            file.written();
        }
        if outdated && file.is_only_read(0) {
            self.replace_open(ino)?;
            moved = true;
        }
        Ok(moved)
    }

    /// What the kernel goes on reading by itself.
    fn pass_again(&self, backing: Backing, bytes: &Bytes) -> Result<Passed> {
        let pinned = match bytes {
            Bytes::Revision(reader) => reader.pin_again()?,
            _ => None,
        };
        if pinned.is_none() {
            tracing::error!("what the kernel reads by itself is not whole in the cache any more");
        }
        Ok(self.passed(backing, pinned))
    }

    /// Tells the kernel of everything: the last daemon died while it was telling of something, and nobody knows of what.
    fn tell_all(&self) -> Result<()> {
        let tell = |node: Node| {
            for id in self.ways.to(node.parent) {
                self.revoke.entry(id, node.name.clone());
            }
            if node.is_folder() {
                for id in self.ways.to(node.ino) {
                    self.revoke.listing(id);
                }
            } else if self.files.get(node.ino).is_some() {
                self.revoke.attributes(node.ino.into());
            } else {
                self.revoke.content(node.ino.into());
            }
        };
        Ok(self.tree.for_each(tell)?)
    }

    /// What was noted of news a while ago has been told: the kernel has heard of all that was to be told until then.
    pub fn has_told_old_news(&self) {
        let mut since = self.telling.lock();
        if since.is_some_and(|since| since.elapsed() > NEWS_TAKE) && self.revoke.is_idle() {
            self.has_told();
            *since = None;
        }
    }

    /// Notes, before the tables say so, that the kernel has to be told of news: who takes over before that is done tells of all.
    pub(super) fn is_telling(&self) {
        let Some(book) = &self.book else { return };
        let mut since = self.telling.lock();
        let is_noted = since.is_some();
        *since = Some(Instant::now());
        if !is_noted && let Err(error) = book.set(Page::Telling, b"1") {
            tracing::warn!(%error, "a daemon that takes over now would not know what the kernel was not told");
        }
    }

    fn has_told(&self) {
        if let Some(book) = &self.book
            && let Err(error) = book.set(Page::Telling, b"")
        {
            tracing::debug!(%error, "a daemon that takes over tells more than it must");
        }
    }

    /// Whether an earlier daemon has done what a request asks for, without having answered it.
    pub fn is_done(&self, number: u64) -> bool {
        let done = self.tree.is_done(number);
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "not known whether a request is done");
            false
        })
    }

    /// The answer to an `open` that an earlier daemon did and did not answer; `None` if it did not do it.
    pub fn opened_before(&self, number: u64) -> Option<Result<(u64, Caching)>> {
        let (number, handle) = self.files.unanswered(number)?;
        let caching = handle.file.passed().map(|passed| Caching::Passthrough(passed.backing.clone()));
        let caching = caching.unwrap_or_else(|| self.caching(handle.file.ino));
        Some(Ok((number, caching)))
    }

    /// The same for `create`.
    pub fn created_before(&self, number: u64, folder: NodeId) -> Option<Result<(Entry, u64)>> {
        let (number, handle) = self.files.unanswered(number)?;
        Some(self.node(handle.file.ino).map(|node| (self.entry(folder, &node), number)))
    }

    /// The entry that an earlier daemon made for a request without having answered it; `None` if it made none.
    pub fn made_before(self: &Arc<Self>, number: u64, folder: NodeId, name: &[u8]) -> Option<Answer<Entry>> {
        let name = std::str::from_utf8(name).ok().filter(|_| self.is_done(number))?;
        let entry = self.lookup_now(folder, name, Unknown::Show).ok().flatten()?;
        Some(Answer::Now(Ok(entry)))
    }
}
