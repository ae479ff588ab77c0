#![expect(clippy::cast_possible_truncation, reason = "all of it is small")]

use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use super::*;
use crate::writeback::layers::held_by;

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
            if let Some((count, _)) = self.pile.foldable(|_| false) {
                self.pile.fold(count).expect("folds");
            }
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
    assert_eq!([seek((1 << 30) + 2, true), seek(1 << 39, false), seek(1 << 40, false)], [None, Some(1 << 39), None]);
    assert_eq!(layers.seek(0..2, false), None);
    let written = layers.stack[0].written.clone();
    // A block has been taken for two bytes.
    assert!(held_by(&path, &written) < 1 << 20);
}

#[test]
fn what_is_sealed_again_and_again_has_few_layers_that_hold_little_more_than_it() {
    let base = vec![7; 200_000];
    let mut bench = Bench::new(base.clone());
    let (mut most, mut copied) = (0, 0);
    for number in 0_usize..2000 {
        let at = number * 7919 % 190_000;
        match number % 5 {
            0 => bench.zero(at..at + 3000),
            1 if number % 100 == 1 => bench.resize(at),
            _ => bench.write(at, &[(number % 250 + 1) as u8; 1000]),
        }
        bench.seal();
        most = most.max(bench.pile.now.stack.len());
        for layer in bench.pile.folded.drain(..) {
            copied += layer.held();
            std::fs::remove_file(&layer.path).expect("removes");
        }
        if number % 20 == 0 {
            bench.check();
            bench.reopen();
        }
    }
    bench.check();
    assert!(most <= MANY + 8, "{most} layers");
    assert!(copied < 2000 * 1000 * 12, "{copied} bytes copied");
    let held: u64 = bench.pile.held();
    assert!(held < 3 * 200_000, "{held} bytes held");
    bench.pile.fill(0, &base).expect("fills all");
    let path = bench.pile.squash().expect("squashes").expect("filled, so whole").to_owned();
    assert!(std::fs::read(path).expect("reads") == bench.model);
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
