//! What merges of the drive's news mean for handles and for the kernel.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};

use rusqlite::Transaction;

use super::handle::{Bytes, OpenFile};
use super::{Fs, Outdated};
use crate::remote::FileId;
use crate::tree::{Effects, Ino, Listener, NodeKind, nodes};

/// The file system's ear.
pub(super) struct FromDrive(pub(super) Weak<Fs>);

impl fmt::Debug for FromDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromDrive")
    }
}

impl Listener for FromDrive {
    fn merging(&self, tx: &Transaction<'_>, effects: &Effects) -> rusqlite::Result<()> {
        let Some(fs) = self.0.upgrade() else { return Ok(()) };
        let mut files = Vec::new();
        for &ino in &effects.contents {
            // Documents have a way of their own: see `fs::documents`.
            files.extend(nodes::by_ino(tx, ino)?.filter(|node| node.kind != NodeKind::Document).map(|node| node.ino));
        }
        fs.changing.begin(files);
        if !(effects.entries.is_empty() && effects.attributes.is_empty() && effects.contents.is_empty()) {
            fs.is_telling();
        }
        fs.writeback.resend(tx, effects)
    }

    fn is_edited(&self, ino: Ino) -> bool {
        self.0.upgrade().is_some_and(|fs| fs.writeback.is_edited(ino))
    }

    fn in_use(&self) -> Vec<Ino> {
        let open = |fs: std::sync::Arc<Fs>| fs.files.all().iter().map(|file| file.ino).collect();
        self.0.upgrade().map(open).unwrap_or_default()
    }

    fn heard(&self, items: &HashSet<FileId>) {
        if let Some(fs) = self.0.upgrade() {
            // Its permissions may be others now, which shows nowhere else.
            fs.writeback.reconsider(|ino| fs.is_within_any(ino, items));
        }
    }

    fn merged(&self, effects: Effects) {
        if let Some(fs) = self.0.upgrade() {
            fs.merged(effects);
        }
    }
}

impl Fs {
    /// Whether an entry is one of some items or lies in one.
    fn is_within_any(&self, ino: Ino, items: &HashSet<FileId>) -> bool {
        let mut at = Some(ino);
        while let Some(node) = at.and_then(|ino| self.tree.node(ino).ok().flatten()) {
            if node.id.as_ref().is_some_and(|id| items.contains(id)) {
                return true;
            }
            at = Some(node.parent).filter(|&parent| parent != node.ino && node.is_linked());
        }
        false
    }

    fn merged(self: &Arc<Self>, mut effects: Effects) {
        let mut replaced = Vec::new();
        for &ino in &effects.contents {
            if self.files.get(ino).is_some_and(|file| file.is_only_read(0)) {
                match self.replace_open(ino) {
                    Ok(entry) => replaced.extend(entry),
                    Err(error) => tracing::error!(%error, "a file that is open was replaced elsewhere"),
                }
            }
        }
        effects.entries.extend(replaced.iter().map(|(_, folder, name)| (*folder, name.clone())));
        for (ino, _, _) in &replaced {
            effects.entries.extend(self.tree.further_names(*ino).unwrap_or_default());
        }
        for (folder, name) in &effects.entries {
            for id in self.ways.to(*folder) {
                self.revoke.entry(id, name.clone());
            }
            for id in self.ways.to(*folder) {
                self.revoke.listing(id);
            }
        }
        effects.attributes.sort_unstable();
        effects.attributes.dedup();
        for &ino in &effects.attributes {
            for id in self.ways.to(ino) {
                self.revoke.attributes(id);
            }
        }
        let mut outdated = Vec::new();
        for &ino in &effects.contents {
            match self.files.get(ino) {
                // The pages belong to who has it open; the next one after them must not see them.
                Some(file) if !self.reads_current(&file) => self.files.mark_stale(ino),
                _ if self.changing.has(ino) => outdated.push(Outdated::Content(ino.into())),
                // Opened since the commit, it reads the new content already, but the kernel has pages of the old one.
                _ => self.revoke.content(ino.into()),
            }
        }
        self.changed(&effects.contents, outdated);
        self.writeback.resent(&effects);
    }

    /// Whether an open file reads the content that the drive has now.
    fn reads_current(&self, file: &OpenFile) -> bool {
        let bytes = file.bytes();
        let revision = match &bytes {
            Bytes::Revision(reader) => &reader.source().blob.revision,
            Bytes::Exported(whole) => whole.revision(),
            Bytes::Staged(_) | Bytes::Text(_) => return false,
        };
        let node = self.tree.node(file.ino).ok().flatten();
        node.is_some_and(|node| node.revision.as_ref() == Some(revision))
    }

    /// Gives a file whose content was replaced elsewhere a new number, so that who has the old one open keeps what they
    /// opened, as after a rename over it. Says which that is, and where its place is; all its names mean that one now.
    pub(super) fn replace_open(&self, ino: Ino) -> super::Result<Option<(Ino, Ino, String)>> {
        let Some(node) = self.tree.renumber(ino)? else { return Ok(None) };
        self.files.supersede(&crate::tree::Node { ino, ..node.clone() });
        self.writeback.renumbered(node.ino)?;
        Ok(Some((node.ino, node.parent, node.name)))
    }
}
