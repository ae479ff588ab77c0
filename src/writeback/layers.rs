//! The layers of a content: each a file with what was written at one time, and what of it is read where.
//!
//! Reading looks from the top down:
//!
//! - what a layer has *written* is read from its file; some of it may be known to be zeros, which take no room in the file;
//! - elsewhere, the first *below* bytes of what lies beneath shine through, and beyond them there are zeros;
//! - beneath the lowest layer lies the base revision.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ranges::RangeSet;
use crate::sys;

/// One layer.
///
/// Invariant: `zeros` is a part of `written`.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Number of its file.
    pub(super) number: u64,
    /// Where its file is.
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// So many bytes of what lies beneath shine through.
    pub(super) below: u64,
    /// What it holds.
    pub(super) written: RangeSet,
    /// What of that is zeros for which the file has no room taken. Not stored: the file tells by its holes.
    pub(super) zeros: RangeSet,
}

impl Layer {
    /// A new layer, its file made.
    pub(super) fn create(number: u64, path: PathBuf, below: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { number, path, file: Arc::new(file), below, written: RangeSet::new(), zeros: RangeSet::new() })
    }

    /// Its file.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// A layer as it was stored. Fails if its file does not hold what the layer says.
    pub(super) fn open(number: u64, path: PathBuf, below: u64, written: RangeSet) -> io::Result<Self> {
        // One that holds nothing is as good when it is made anew: it was not worth a sync.
        let file = File::options().read(true).write(true).create(written.total() == 0).truncate(false).open(&path)?;
        let needed = written.iter().last().map_or(0, |range| range.end);
        if file.metadata()?.len() < needed {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the staging file is shorter than what it must hold",
            ));
        }
        let zeros = hollow(&file, &written)?;
        Ok(Self { number, path, file: Arc::new(file), below, written, zeros })
    }

    /// Bytes of disk that it takes.
    pub(super) fn held(&self) -> u64 {
        self.written.total() - self.zeros.total()
    }
}

/// What of a layer is in holes of its file.
pub(super) fn hollow(file: &File, written: &RangeSet) -> io::Result<RangeSet> {
    let mut zeros = RangeSet::new();
    // In blocks of 512 bytes, as stat(2) says.
    if file.metadata()?.blocks() * 512 < written.total() {
        for hole in sys::holes(file)? {
            let pieces = written.pieces(hole).into_iter();
            pieces.filter(|(_, written)| *written).for_each(|(piece, _)| zeros.insert(piece));
        }
    }
    Ok(zeros)
}

/// Bytes of disk that a layer takes, as the tables have it.
pub(super) fn held_by(path: &Path, written: &RangeSet) -> u64 {
    let zeros = File::open(path).and_then(|file| hollow(&file, written));
    written.total() - zeros.map_or(0, |zeros| zeros.total())
}

/// Where bytes are.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// In the file of a layer.
    Local(Arc<File>, Range<u64>),
    /// In the base revision.
    Base(Range<u64>),
    /// Nowhere: they are zero.
    Zero(Range<u64>),
}

/// All bytes of one version of a file. Immutable once sealed.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// Length in bytes.
    pub(super) size: u64,
    /// Lowest first.
    pub(super) stack: Vec<Layer>,
    /// Bytes of the base that shine through if there is no layer.
    pub(super) base_size: u64,
}

impl Layers {
    /// Where the bytes of a range (cut off at the end) are, in order.
    pub(super) fn locate(&self, range: Range<u64>) -> Vec<Piece> {
        let end = range.end.min(self.size);
        let mut pieces = Vec::new();
        if range.start < end {
            self.locate_below(self.stack.len(), range.start..end, &mut pieces);
        }
        pieces
    }

    /// Whether bytes were appended, and nothing else, since `before`; if there was no seal before, to the base.
    pub(super) fn only_grew(&self, before: Option<&Self>) -> bool {
        if let Some(before) = before {
            let numbers = |layers: &Self| layers.stack.iter().map(|layer| layer.number).collect::<Vec<_>>();
            return self.size >= before.size && numbers(self) == numbers(before);
        }
        let [layer] = self.stack.as_slice() else { return false };
        let is_behind = layer.written.iter().next().is_none_or(|first| first.start >= self.base_size);
        self.base_size > 0 && layer.below == self.base_size && is_behind && self.size >= self.base_size
    }

    /// Whether they are the first bytes of the base, so many of them, and nothing else; 0: of any.
    pub(super) fn shows(&self) -> Option<u64> {
        let is_it = match &self.stack[..] {
            [] => self.size == 0,
            [only] => only.written.total() == 0 && only.below == self.size,
            _ => false,
        };
        is_it.then_some(self.size)
    }

    /// The first byte in a range that is data (or of a hole, the end of the content being one). `None`: there is none.
    pub(super) fn seek(&self, range: Range<u64>, data: bool) -> Option<u64> {
        let (offset, end) = (range.start, range.end);
        let found = self.locate(range).into_iter().find_map(|piece| {
            let (is_data, range) = match piece {
                Piece::Local(_, range) | Piece::Base(range) => (true, range),
                Piece::Zero(range) => (false, range),
            };
            (is_data == data).then_some(range.start)
        });
        found.or_else(|| (!data && offset < self.size && end > self.size).then_some(self.size))
    }

    /// Looks for a range beneath the layer `level`.
    fn locate_below(&self, level: usize, range: Range<u64>, pieces: &mut Vec<Piece>) {
        let Some(layer) = level.checked_sub(1).map(|at| &self.stack[at]) else {
            let split = range.end.min(self.base_size).max(range.start);
            if range.start < split {
                pieces.push(Piece::Base(range.start..split));
            }
            if split < range.end {
                pieces.push(Piece::Zero(split..range.end));
            }
            return;
        };
        for (piece, written) in layer.written.pieces(range) {
            if written {
                let place = |(piece, zero)| {
                    if zero { Piece::Zero(piece) } else { Piece::Local(Arc::clone(&layer.file), piece) }
                };
                pieces.extend(layer.zeros.pieces(piece).into_iter().map(place));
                continue;
            }
            let split = piece.end.min(layer.below).max(piece.start);
            if piece.start < split {
                self.locate_below(level - 1, piece.start..split, pieces);
            }
            if split < piece.end {
                pieces.push(Piece::Zero(split..piece.end));
            }
        }
    }
}

/// Bytes of a range that take disk space in a layer.
pub(super) fn held_in(layer: &Layer, range: Range<u64>) -> u64 {
    let count = |set: &RangeSet| -> u64 {
        set.pieces(range.clone()).iter().filter(|(_, is_in)| *is_in).map(|(piece, _)| piece.end - piece.start).sum()
    };
    count(&layer.written) - count(&layer.zeros)
}
