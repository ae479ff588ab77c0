//! [`Snapshot`]: content as it was when it was sealed, which is what uploads send; and how its pieces are read.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::journal::Seq;
use super::layers::Piece;
use super::staging::{Sealed, Staging};
use super::{Result, WritebackError};
use crate::content::Reader;

/// Content as it was when it was sealed. Never changes.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) seal: Sealed,
    pub(super) base: Option<Arc<Reader>>,
    pub(super) staging: Arc<Staging>,
}

impl Snapshot {
    /// Length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.seal.layers.size
    }

    /// When it was sealed.
    pub(super) fn seq(&self) -> Seq {
        self.seal.seq
    }

    /// Where the bytes of a range are. What was taken in from the base since the seal is in the staging file.
    fn locate(&self, range: Range<u64>) -> Vec<Piece> {
        let pieces = self.seal.layers.locate(range);
        let inner = self.staging.inner.lock();
        pieces.into_iter().flat_map(|piece| inner.pile.taken_in(&self.seal.layers, piece)).collect()
    }

    /// The pieces of the content that are on the local disk, at most `length` bytes at a time.
    pub(super) fn local_pieces(&self, length: u64) -> impl Iterator<Item = io::Result<(u64, Vec<u8>)>> + '_ {
        let starts = (0..self.size()).step_by(usize::try_from(length).unwrap_or(usize::MAX));
        let pieces = starts.flat_map(move |start| self.locate(start..(start + length).min(self.size())));
        pieces.filter_map(|piece| match piece {
            Piece::Zero(_) => None,
            Piece::Base(range) => {
                let bytes = self.base.as_ref().and_then(|base| base.read_now(range.clone()).ok().flatten());
                bytes.map(|bytes| Ok((range.start, bytes)))
            }
            Piece::Local(_, ref range) => {
                let (start, mut bytes) = (range.start, Vec::new());
                Some(read_local(&mut bytes, &piece).map(|()| (start, bytes)))
            }
        })
    }

    /// Begins to fetch what of a range only the base has.
    pub(super) fn fetch_ahead(&self, range: Range<u64>) {
        fetch(self.locate(range), self.base.as_ref());
    }

    /// Whether its first bytes, so many, are those of a file of a layer.
    pub(super) fn begins_with(&self, file: &Arc<File>, length: u64) -> bool {
        let is_of_it = |piece: &Piece| matches!(piece, Piece::Local(of, _) if Arc::ptr_eq(of, file));
        length <= self.size() && self.seal.layers.locate(0..length).iter().all(is_of_it)
    }

    /// Whether it is this content that is sent while the file is written.
    pub(super) fn is_followed(&self) -> bool {
        self.staging.inner.lock().is_followed(&self.seal)
    }

    /// Whether a range needs nothing of the base.
    pub(super) fn is_here(&self, range: Range<u64>) -> bool {
        !self.locate(range).iter().any(|piece| matches!(piece, Piece::Base(_)))
    }

    /// Whether somebody else has the content open.
    pub(super) fn is_shared(&self, ours: usize) -> bool {
        Arc::strong_count(&self.staging) > ours + 1
    }

    /// The bytes of a range within the size. What comes from the base is kept in the staging file on the way, so that this is
    /// whole when all was read.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = range.end - range.start;
        let keep = |offset, bytes: &[u8]| self.staging.fill(offset, bytes);
        let bytes = assemble(self.locate(range), self.base.as_ref(), keep).await?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(WritebackError::Damaged { ino: self.staging.ino(), why: "the staging file became shorter".to_owned() })
        }
    }
}

/// Begins to fetch those of the pieces that only the base has.
pub(super) fn fetch(pieces: Vec<Piece>, base: Option<&Arc<Reader>>) {
    let Some(base) = base else { return };
    for piece in pieces {
        if let Piece::Base(range) = piece {
            // Whoever needs these bytes hears of it when they read them.
            let _failed = base.fetch_ahead(range);
        }
    }
}

/// The bytes of pieces; `from_base` hears of those that only the base had.
pub(super) async fn assemble(
    pieces: Vec<Piece>,
    base: Option<&Arc<Reader>>,
    mut from_base: impl FnMut(u64, &[u8]),
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match (piece, base) {
            (Piece::Base(range), Some(base)) => {
                let part = base.read(range.clone()).await?;
                from_base(range.start, &part);
                bytes.extend(part);
            }
            (piece, _) => read_local(&mut bytes, &piece)?,
        }
    }
    Ok(bytes)
}

/// Adds the bytes of a piece that is on the local disk.
pub(super) fn read_local(bytes: &mut Vec<u8>, piece: &Piece) -> io::Result<()> {
    let (Piece::Local(_, range) | Piece::Base(range) | Piece::Zero(range)) = piece;
    let start = bytes.len();
    bytes.resize(start + usize::try_from(range.end - range.start).unwrap_or(0), 0);
    if let Piece::Local(file, range) = piece {
        match file.read_exact_at(&mut bytes[start..], range.start) {
            // Cut by a truncation at this very moment: what is beyond the end is gone, and zeros are as right as anything.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => other?,
        }
    }
    Ok(())
}
