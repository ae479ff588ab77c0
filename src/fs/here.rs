//! Having the content of entries on this machine before anybody opens them, and giving it up again.

use std::sync::Arc;

use super::{Fs, FsError, Result};
use crate::content::Reader;
use crate::error::Kind;
use crate::remote::Source;
use crate::tree::{Node, NodeKind};
use crate::writeback::Staging;

/// What it takes to have the content of an entry here.
#[derive(Debug)]
pub enum Need {
    /// All of a revision.
    Revision(Arc<Reader>),
    /// Of an edit, what was not changed.
    Rest(Arc<Staging>),
    /// The export of a document.
    Export,
    /// Nothing: it has no content, or one that is made up here.
    Nothing,
}

/// What came of giving the content of an entry up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// So many bytes were dropped.
    Bytes(u64),
    /// The drive does not have it yet.
    Unsent,
    /// Somebody has it open.
    InUse,
}

impl Fs {
    /// What it takes to have the content of an entry here.
    pub fn need(&self, node: &Node) -> Result<Need> {
        if node.export_format().is_some() {
            return Ok(Need::Export);
        }
        if node.kind != NodeKind::File {
            return Ok(Need::Nothing);
        }
        if let Some(staging) = self.writeback.unsent(node.ino)? {
            return Ok(Need::Rest(staging));
        }
        // Else it is sent between the two looks.
        Ok(Need::Revision(self.reader(node).ok_or(Kind::Busy)?))
    }

    /// How many bytes of the content of an entry are here; those that are in the cache are evicted last from now on if `keep`.
    pub fn here(&self, node: &Node, keep: bool) -> Result<u64> {
        match self.need(node)? {
            Need::Revision(reader) => {
                let bytes =
                    self.content.cache().present(reader.source()).map_err(crate::content::ContentError::from)?;
                if keep && bytes > 0 {
                    reader.keep()?;
                }
                Ok(bytes)
            }
            Need::Rest(staging) => {
                let absent: u64 = staging.absent()?.into_iter().map(|range| range.end - range.start).sum();
                Ok(node.size.saturating_sub(absent))
            }
            Need::Export => Ok(self.export_at_hand(node).map_or(0, |whole| whole.size())),
            Need::Nothing => Ok(0),
        }
    }

    /// Drops the content of an entry that is here only because it was fetched. Blocks on the disk.
    pub fn give_up(&self, node: &Node) -> Result<GivenUp> {
        let in_cache = |error| FsError::Content(crate::content::ContentError::Cache(error));
        if node.kind == NodeKind::File && self.writeback.unsent(node.ino)?.is_some() {
            return Ok(GivenUp::Unsent);
        }
        if self.files.get(node.ino).is_some() {
            return Ok(GivenUp::InUse);
        }
        let bytes = match (node.export_format(), Self::source(node)) {
            (Some(_), Some(Source { id, blob })) => self.content.cache().drop_whole(&id, &blob.revision),
            (None, Some(source)) if node.kind == NodeKind::File => self.content.give_up(&source),
            _ => Ok(Some(0)),
        };
        Ok(bytes.map_err(in_cache)?.map_or(GivenUp::InUse, GivenUp::Bytes))
    }
}
