//! Content that is being written: a pile of layers over a base revision.
//!
//! What was sealed (by `close` or `fsync`) must not change any more, or a crash, or an upload under way, would see a mixture of
//! before and after. So a write into sealed bytes goes into a new layer on top; a write behind them (a log that grows) stays in
//! the same one. Reading looks from the top down:
//!
//! - what a layer has *written* is read from its file; some of it may be known to be zeros, which take no room in the file;
//! - elsewhere, the first *below* bytes of what lies beneath shine through, and beyond them there are zeros;
//! - beneath the lowest layer lies the base revision.
//!
//! This module is arithmetic and local files; it knows neither the database nor the drive.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
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
    file: Arc<File>,
    /// So many bytes of what lies beneath shine through.
    pub(super) below: u64,
    /// What it holds.
    pub(super) written: RangeSet,
    /// What of that is zeros for which the file has no room taken. Not stored: the file tells by its holes.
    zeros: RangeSet,
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
    fn held(&self) -> u64 {
        self.written.total() - self.zeros.total()
    }
}

/// What of a layer is in holes of its file.
fn hollow(file: &File, written: &RangeSet) -> io::Result<RangeSet> {
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
}

impl Pile {
    /// A pile whose content is sealed as it is.
    pub(super) fn sealed(layers: Layers) -> Self {
        let held = layers.stack.iter().map(Layer::held).sum();
        Self { sealed: Some(Arc::new(layers.clone())), now: layers, dirty: false, held }
    }

    /// An empty pile, which is content too and was never sealed.
    pub(super) fn new() -> Self {
        Self { dirty: true, ..Self::default() }
    }

    /// Whether a change at `offset` and behind it would change sealed bytes in the top layer.
    fn touches_sealed(&self, offset: u64) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.stack.len() == self.now.stack.len() && offset < sealed.size)
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

/// Bytes of a range that take disk space in a layer.
fn held_in(layer: &Layer, range: Range<u64>) -> u64 {
    let count = |set: &RangeSet| -> u64 {
        set.pieces(range.clone()).iter().filter(|(_, is_in)| *is_in).map(|(piece, _)| piece.end - piece.start).sum()
    };
    count(&layer.written) - count(&layer.zeros)
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

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "all of it is small")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pile with its base, beside the plain bytes it should equal.
    struct Bench {
        dir: tempfile::TempDir,
        pile: Pile,
        base: Vec<u8>,
        numbers: u64,
        model: Vec<u8>,
        sealed: Option<Vec<u8>>,
    }

    impl Bench {
        fn new(base: Vec<u8>) -> Self {
            let mut pile = Pile::default();
            pile.now.base_size = base.len() as u64;
            pile.now.size = base.len() as u64;
            let dir = tempfile::tempdir().expect("temporary folder");
            Self { dir, pile, model: base.clone(), base, numbers: 0, sealed: None }
        }

        fn layer_for(&mut self, offset: u64) {
            if self.pile.needs_layer(offset) {
                self.numbers += 1;
                let path = self.dir.path().join(self.numbers.to_string());
                self.pile.push(Layer::create(self.numbers, path, self.pile.shining()).expect("creates"));
            }
        }

        fn write(&mut self, offset: usize, bytes: &[u8]) {
            self.layer_for(offset as u64);
            self.pile.write(offset as u64, bytes).expect("writes");
            self.model.resize(self.model.len().max(offset + bytes.len()), 0);
            self.model[offset..offset + bytes.len()].copy_from_slice(bytes);
        }

        fn zero(&mut self, range: Range<usize>) {
            let range = range.start.min(self.model.len())..range.end.min(self.model.len());
            if !range.is_empty() {
                self.layer_for(range.start as u64);
                self.pile.zero(range.start as u64..range.end as u64).expect("makes zeros");
                self.model[range].fill(0);
            }
        }

        /// As copies within a mount are made: what is a hole there is one here.
        fn copy(&mut self, from: Range<usize>, to: usize) {
            let mut model = self.model[from.start.min(self.model.len())..from.end.min(self.model.len())].to_vec();
            for piece in self.pile.now.locate(from.start as u64..from.end as u64) {
                let (Piece::Local(_, range) | Piece::Base(range) | Piece::Zero(range)) = piece.clone();
                let at = to + (range.start as usize - from.start);
                let bytes: Vec<u8> = model.drain(..(range.end - range.start) as usize).collect();
                if matches!(piece, Piece::Zero(_)) {
                    let end = at + bytes.len();
                    if end > self.model.len() {
                        self.resize(end);
                    }
                    self.zero(at..end);
                } else {
                    self.write(at, &bytes);
                }
            }
        }

        fn resize(&mut self, size: usize) {
            if size < self.model.len() {
                self.layer_for(size as u64);
            }
            self.pile.resize(size as u64).expect("resizes");
            self.model.resize(size, 0);
        }

        fn seal(&mut self) {
            self.pile.sealed = Some(Arc::new(self.pile.now.clone()));
            self.pile.dirty = false;
            self.sealed = Some(self.model.clone());
        }

        fn read(&self, layers: &Layers, range: Range<u64>) -> Vec<u8> {
            let mut bytes = Vec::new();
            for piece in layers.locate(range) {
                match piece {
                    Piece::Local(file, range) => {
                        let mut part = vec![0; (range.end - range.start) as usize];
                        file.read_exact_at(&mut part, range.start).expect("reads");
                        bytes.extend(part);
                    }
                    Piece::Base(range) => bytes.extend(&self.base[range.start as usize..range.end as usize]),
                    Piece::Zero(range) => bytes.resize(bytes.len() + (range.end - range.start) as usize, 0),
                }
            }
            bytes
        }

        fn check(&self) {
            let all = 0..1 << 20;
            assert_eq!(self.read(&self.pile.now, all.clone()), self.model);
            if let (Some(layers), Some(model)) = (&self.pile.sealed, &self.sealed) {
                assert_eq!(&self.read(layers, all), model, "what was sealed stays");
            }
            let layers = &self.pile.now;
            let held: u64 = layers.stack.iter().map(Layer::held).sum();
            assert_eq!(self.pile.held(), held, "what is held is counted");
            // Where there is data and where there is a hole is as the pieces have it, and all that is not zero is data.
            let mut data = vec![false; self.model.len()];
            let mut at = 0;
            while let Some(start) = layers.seek(at..u64::MAX, true) {
                at = layers.seek(start..u64::MAX, false).expect("the end is a hole");
                data[start as usize..at as usize].fill(true);
            }
            assert!(self.model.iter().zip(&data).all(|(&byte, &data)| byte == 0 || data));
            assert!(data.iter().filter(|&&data| data).count() as u64 <= self.pile.data());
        }

        /// Opens the layers of a seal anew, as the next process does.
        fn reopen(&mut self) {
            if let (Some(sealed), Some(model)) = (self.pile.sealed.clone(), self.sealed.clone()) {
                let mut layers = Layers { stack: Vec::new(), ..(*sealed).clone() };
                for layer in &sealed.stack {
                    let (path, written) = (layer.path.clone(), layer.written.clone());
                    layers.stack.push(Layer::open(layer.number, path, layer.below, written).expect("opens"));
                }
                (self.pile, self.model) = (Pile::sealed(layers), model);
            }
        }
    }

    #[test]
    fn a_log_that_grows_stays_one_layer() {
        let mut bench = Bench::new(Vec::new());
        for line in 0..100 {
            bench.write(bench.model.len(), format!("line {line}\n").as_bytes());
            bench.seal();
        }
        bench.check();
        assert_eq!(bench.pile.now.stack.len(), 1);
    }

    #[test]
    fn a_write_into_sealed_bytes_leaves_them_as_they_were() {
        let mut bench = Bench::new(b"0123456789".to_vec());
        bench.write(2, b"ab");
        bench.seal();
        bench.write(3, b"XY");
        bench.check();
        assert_eq!(bench.model, b"01aXY56789");
        assert_eq!(bench.sealed.as_deref(), Some(&b"01ab456789"[..]));
        bench.resize(4);
        bench.resize(8);
        bench.check();
        assert_eq!(bench.model, b"01aX\0\0\0\0");
    }

    #[test]
    fn zeros_take_no_room_and_are_holes() {
        let mut bench = Bench::new(b"0123456789".to_vec());
        bench.layer_for(0);
        assert_eq!(bench.pile.resize(1 << 40).expect("resizes"), 0);
        assert_eq!(bench.pile.zero(2..1 << 39).expect("makes zeros"), 0);
        assert_eq!((bench.pile.held(), bench.pile.data()), (0, 10));
        let path = bench.pile.now.stack[0].path.clone();
        assert!(std::fs::metadata(&path).expect("stat").blocks() < 100, "the file is sparse");
        bench.pile.write(1 << 30, b"xy").expect("writes");
        let layers = &bench.pile.now;
        let seek = |offset, data| layers.seek(offset..u64::MAX, data);
        assert_eq!([seek(0, true), seek(0, false), seek(2, true)], [Some(0), Some(2), Some(1 << 30)]);
        assert_eq!(
            [seek((1 << 30) + 2, true), seek(1 << 39, false), seek(1 << 40, false)],
            [None, Some(1 << 39), None]
        );
        assert_eq!(layers.seek(0..2, false), None);
        let written = layers.stack[0].written.clone();
        // A block has been taken for two bytes.
        assert!(held_by(&path, &written) < 1 << 20);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize, Vec<u8>),
        Resize(usize),
        Seal,
        Fill(usize, usize),
        Zero(usize, usize),
        Copy(usize, usize, usize),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..120, prop::collection::vec(1_u8..255, 1..40)).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            2 => (0_usize..160).prop_map(Step::Resize),
            2 => Just(Step::Seal),
            1 => (0_usize..100, 1_usize..50).prop_map(|(at, length)| Step::Fill(at, length)),
            2 => (0_usize..120, 1_usize..50).prop_map(|(at, length)| Step::Zero(at, length)),
            1 => (0_usize..120, 0_usize..120, 1_usize..50).prop_map(|(from, to, length)| Step::Copy(from, to, length)),
            1 => Just(Step::Reopen),
        ]
    }

    proptest! {
        #[test]
        fn a_pile_is_what_plain_bytes_would_be(
            base in prop::collection::vec(1_u8..255, 0..100),
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let mut bench = Bench::new(base);
            for step in steps {
                match step {
                    Step::Write(at, bytes) => bench.write(at, &bytes),
                    Step::Resize(size) => bench.resize(size),
                    Step::Seal => bench.seal(),
                    Step::Zero(at, length) => bench.zero(at..at + length),
                    // Linux refuses copies onto what is copied.
                    Step::Copy(from, to, length) if from.abs_diff(to) < length => {}
                    Step::Copy(from, to, length) => bench.copy(from..from + length, to),
                    Step::Reopen => bench.reopen(),
                    Step::Fill(at, length) => {
                        let end = (at + length).min(bench.base.len());
                        if at < end {
                            let bytes = bench.base[at..end].to_vec();
                            bench.pile.fill(at as u64, &bytes).expect("fills");
                        }
                    }
                }
                bench.check();
            }
            let base = bench.base.clone();
            bench.pile.fill(0, &base).expect("fills all");
            bench.check();
            let path = bench.pile.squash().expect("squashes").map(Path::to_owned);
            if let Some(path) = path {
                prop_assert_eq!(std::fs::read(path).expect("reads"), bench.model);
            } else {
                prop_assert!(bench.pile.now.stack.is_empty(), "filled, so whole");
            }
        }
    }
}
