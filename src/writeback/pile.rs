//! Content that is being written: a pile of layers over a base revision ([`super::layers`]).
//!
//! What was sealed (by `close` or `fsync`) must not change any more, or a crash, or an upload under way, would see a mixture of
//! before and after. So a write into sealed bytes goes into a new layer on top; a write behind them (a log that grows) stays in
//! the same one.
//!
//! A file that stays open and is sealed again and again (a database) would get a layer each time. So of [`MANY`] layers those on
//! top are made one: the new layer begins as a copy of what they hold, and they go when a seal without them is stored. Each byte is
//! copied as often as layers double, not as often as the file is sealed.
//!
//! This module is arithmetic and local files; it knows neither the database nor the drive.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::layers::{Layer, Layers, Piece, held_in};
use crate::ranges::RangeSet;
use crate::sys;

/// So many layers are not made fewer.
const MANY: usize = 16;

/// The most that is copied at one time, while the file can neither be read nor written.
const MOST_FOLDED: u64 = 64 << 20;

/// A layer that holds less counts as one that holds so much.
const LITTLE: u64 = 4096;

/// What a file holds from its start on without a gap, all of it in the file of one layer.
#[derive(Debug)]
pub(super) struct Prefix {
    /// Number of the layer.
    pub(super) layer: u64,
    /// Its file.
    pub(super) file: Arc<File>,
    /// In bytes.
    pub(super) length: u64,
}

/// Content open for writing.
///
/// Invariant: bytes that `sealed` refers to are never changed in a layer's file, nor is a layer's file removed while `sealed`
/// refers to it.
#[derive(Debug, Default)]
pub(super) struct Pile {
    /// As it is now.
    pub(super) now: Layers,
    /// As it was when it was last sealed, if ever.
    pub(super) sealed: Option<Arc<Layers>>,
    /// Something changed since.
    pub(super) dirty: bool,
    /// Bytes of disk that the layers take.
    held: u64,
    /// Layers whose bytes are in others now, and that an earlier seal may need.
    pub(super) folded: Vec<Layer>,
}

impl Pile {
    /// A pile whose content is sealed as it is.
    pub(super) fn sealed(layers: Layers) -> Self {
        let held = layers.stack.iter().map(Layer::held).sum();
        Self { sealed: Some(Arc::new(layers.clone())), now: layers, dirty: false, held, folded: Vec::new() }
    }

    /// An empty pile, which is content too and was never sealed.
    pub(super) fn new() -> Self {
        Self { dirty: true, ..Self::default() }
    }

    /// Whether a change at `offset` and behind it would change sealed bytes in the top layer.
    fn touches_sealed(&self, offset: u64) -> bool {
        let top = |layers: &Layers| layers.stack.last().map(|layer| layer.number);
        self.sealed.as_ref().is_some_and(|sealed| top(sealed) == top(&self.now) && offset < sealed.size)
    }

    /// Whether a write at `offset` needs a new layer first.
    pub(super) fn needs_layer(&self, offset: u64) -> bool {
        self.now.stack.is_empty() || self.touches_sealed(offset)
    }

    /// Whether it is the first bytes of its base, so many of them, and nothing else; 0: of any.
    pub(super) fn shows(&self) -> Option<u64> {
        self.now.shows()
    }

    /// Lets so many of the first bytes of the base shine through, of which [it shows](Self::shows) fewer now. There must be a
    /// layer.
    pub(super) fn show(&mut self, base_size: u64, size: u64) {
        debug_assert!(self.shows().is_some_and(|now| now <= size) && size <= base_size);
        (self.now.base_size, self.now.size, self.dirty) = (base_size, size, true);
        if let Some(lowest) = self.now.stack.first_mut() {
            lowest.below = size;
        }
    }

    /// Puts a new layer on top, through which all of what is there shines.
    pub(super) fn push(&mut self, layer: Layer) {
        debug_assert!(layer.written.total() == 0);
        self.now.stack.push(layer);
    }

    /// How many layers beneath the top one, which holds nothing yet, are to be [folded](Self::fold) into it, and how many bytes are
    /// copied by that; `None`: none are. `is_followed`: an upload reads the layer of that number while it grows.
    pub(super) fn foldable(&self, is_followed: impl Fn(u64) -> bool) -> Option<(usize, u64)> {
        let (_, beneath) = self.now.stack.split_last().filter(|_| self.now.stack.len() > MANY)?;
        // Not the lowest, into which the base is taken.
        let (mut count, mut bytes, mut weight) = (0, 0, 0);
        for layer in beneath[1..].iter().rev() {
            let (held, counts) = (layer.held(), layer.held().max(LITTLE));
            let is_small = count == 0 || counts <= 2 * weight;
            if !is_small || bytes + held > MOST_FOLDED || is_followed(layer.number) {
                break;
            }
            (count, bytes, weight) = (count + 1, bytes + held, weight + counts);
        }
        (count > 1).then_some((count, bytes))
    }

    /// Copies what so many layers beneath the top one show into that, which holds nothing yet, and takes them out. Changes no byte
    /// that anybody sees. Says how many bytes were copied.
    pub(super) fn fold(&mut self, count: usize) -> io::Result<u64> {
        let Some(top) = self.now.stack.len().checked_sub(1).filter(|&top| count < top) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let group = &self.now.stack[top - count..=top];
        debug_assert!(group[count].written.total() == 0);
        let (mut below, mut written) = (u64::MAX, RangeSet::new());
        for layer in group {
            below = below.min(layer.below);
            written.truncate(layer.below);
            layer.written.iter().for_each(|range| written.insert(range));
        }
        let (file, mut zeros) = (group[count].file(), RangeSet::new());
        let beneath = Layers { size: u64::MAX, stack: group[..count].to_vec(), base_size: 0 };
        for range in written.iter() {
            for piece in beneath.locate(range) {
                match piece {
                    Piece::Local(from, range) => copy(&from, &file, range)?,
                    Piece::Zero(range) | Piece::Base(range) => {
                        lay_zeros(&file, range.clone())?;
                        zeros.insert(range);
                    }
                }
            }
        }
        let gone: Vec<Layer> = self.now.stack.drain(top - count..top).collect();
        let Some(layer) = self.now.stack.last_mut() else { return Err(io::ErrorKind::InvalidInput.into()) };
        (layer.below, layer.written, layer.zeros) = (below, written, zeros);
        let (more, fewer) = (layer.held(), gone.iter().map(Layer::held).sum::<u64>());
        self.held = (self.held + more).saturating_sub(fewer);
        self.folded.extend(gone);
        Ok(more)
    }

    /// So many bytes shine through a layer that is put on top now.
    pub(super) fn shining(&self) -> u64 {
        if self.now.stack.is_empty() { self.now.base_size.min(self.now.size) } else { self.now.size }
    }

    /// Writes into the top layer. [`Self::needs_layer`] must be false. Says how many more bytes are held than before.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        debug_assert!(!self.needs_layer(offset));
        let Some(top) = self.now.stack.last_mut() else { return Err(io::ErrorKind::InvalidInput.into()) };
        top.file.write_all_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        let new = bytes.len() as u64 - held_in(top, offset..end);
        top.written.insert(offset..end);
        top.zeros.remove(offset..end);
        self.now.size = self.now.size.max(end);
        (self.dirty, self.held) = (true, self.held + new);
        Ok(new)
    }

    /// Makes a range within the size zeros. [`Self::needs_layer`] of its start must be false. Says how many fewer bytes are held
    /// than before.
    pub(super) fn zero(&mut self, range: Range<u64>) -> io::Result<u64> {
        debug_assert!(!self.needs_layer(range.start) && range.end <= self.now.size);
        let Some(top) = self.now.stack.last_mut() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let freed = held_in(top, range.clone());
        lay_zeros(&top.file, range.clone())?;
        top.written.insert(range.clone());
        top.zeros.insert(range);
        (self.dirty, self.held) = (true, self.held.saturating_sub(freed));
        Ok(freed)
    }

    /// Sets the size. [`Self::needs_layer`] of the new size must be false if it is smaller than the old one. Says how many fewer
    /// bytes are held than before.
    pub(super) fn resize(&mut self, size: u64) -> io::Result<u64> {
        let mut freed = 0;
        if size < self.now.size {
            debug_assert!(!self.needs_layer(size));
            if let Some(top) = self.now.stack.last_mut() {
                freed = held_in(top, size..self.now.size);
                top.written.truncate(size);
                top.zeros.truncate(size);
                top.below = top.below.min(size);
                if top.file.metadata()?.len() > size {
                    top.file.set_len(size)?;
                }
            }
        }
        self.now.size = size;
        (self.dirty, self.held) = (true, self.held.saturating_sub(freed));
        Ok(freed)
    }

    /// What the top layer holds from the start on, if nothing shines through it.
    pub(super) fn prefix(&self) -> Option<Prefix> {
        let top = self.now.stack.last().filter(|top| top.below == 0)?;
        let first = top.written.iter().next().filter(|first| first.start == 0)?;
        Some(Prefix { layer: top.number, file: top.file(), length: first.end.min(self.now.size) })
    }

    /// Takes bytes of the base into the lowest layer, where it has none of its own. Changes no byte that anybody sees. Says how
    /// many more are held than before.
    pub(super) fn fill(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        let Some(lowest) = self.now.stack.first_mut() else { return Ok(0) };
        let end = (offset + bytes.len() as u64).min(lowest.below);
        if offset >= end {
            return Ok(0);
        }
        let before = lowest.written.total();
        for (piece, written) in lowest.written.pieces(offset..end) {
            if !written {
                let at = |offset_in_file: u64| usize::try_from(offset_in_file - offset).unwrap_or(usize::MAX);
                lowest.file.write_all_at(&bytes[at(piece.start)..at(piece.end)], piece.start)?;
                lowest.written.insert(piece);
            }
        }
        let new = lowest.written.total() - before;
        self.held += new;
        Ok(new)
    }

    /// A piece of an earlier seal, with what was [taken in](Self::fill) since: those bytes are in the lowest layer now. (Nothing
    /// else can be there, since no byte is written where a seal looks through.)
    pub(super) fn taken_in(&self, seal: &Layers, piece: Piece) -> Vec<Piece> {
        match (piece, self.now.stack.first(), seal.stack.first()) {
            (Piece::Base(range), Some(now), Some(then)) if now.number == then.number => {
                let pieces = now.written.pieces(range).into_iter();
                let place =
                    |(range, here)| if here { Piece::Local(Arc::clone(&now.file), range) } else { Piece::Base(range) };
                pieces.map(place).collect()
            }
            (piece, ..) => vec![piece],
        }
    }

    /// Makes one file of all layers: the lowest one's, which then holds exactly the content. `None` if some of it is only in
    /// the base. Changes sealed bytes: only for a pile that is on the drive and that nobody uses any more.
    pub(super) fn squash(&mut self) -> io::Result<Option<&Path>> {
        let mut layers = std::mem::take(&mut self.now.stack).into_iter();
        let Some(mut lowest) = layers.next() else { return Ok(None) };
        for upper in layers {
            lowest.written.truncate(upper.below);
            lowest.below = lowest.below.min(upper.below);
            for range in upper.written.iter() {
                for (piece, zero) in upper.zeros.pieces(range.clone()) {
                    if zero { lay_zeros(&lowest.file, piece)? } else { copy(&upper.file, &lowest.file, piece)? }
                }
                lowest.written.insert(range);
            }
            std::fs::remove_file(&upper.path)?;
        }
        let size = self.now.size;
        lowest.written.truncate(size);
        lowest.file.set_len(size)?;
        let mut whole = true;
        for (gap, written) in lowest.written.pieces(0..size) {
            if !written {
                whole &= gap.start >= lowest.below;
                sys::punch_hole(&lowest.file, gap)?;
            }
        }
        self.now.stack.push(lowest);
        Ok(if whole { Some(&self.now.stack[0].path) } else { None })
    }

    /// Sets what the layers take of the disk.
    pub(super) fn set_held(&mut self, held: u64) {
        self.held = held;
    }

    /// Bytes of disk that the layers take.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// A bound on the bytes of data, as opposed to holes.
    pub(super) fn data(&self) -> u64 {
        let shining = self.now.stack.first().map_or(self.now.size, |lowest| lowest.below).min(self.now.base_size);
        self.now.size.min(self.held + shining)
    }

    /// The files of all layers, to be synced.
    pub(super) fn files(&self) -> Vec<Arc<File>> {
        self.now.stack.iter().map(|layer| Arc::clone(&layer.file)).collect()
    }
}

/// Makes a range of a file zeros, which take no disk space. The file is at least that long then.
fn lay_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    let length = file.metadata()?.len();
    if range.start < length {
        sys::punch_hole(file, range.start..range.end.min(length))?;
    }
    if range.end > length { file.set_len(range.end) } else { Ok(()) }
}

fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from((range.end - at).min(buffer.len() as u64)).unwrap_or(buffer.len());
        from.read_exact_at(&mut buffer[..length], at)?;
        to.write_all_at(&buffer[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
