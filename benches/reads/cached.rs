//! Files that are here already, read with what the kernel keeps of them and without.

use std::path::Path;

use crate::bound::Bound;
use crate::content::PAGE;
use crate::cost;
use crate::drive::{Drive, LARGE, TINY_BYTES, tiny};
use crate::reader::{Reader, Side};
use crate::report::{MEMORY, MEMORY_UNIT, Report, Rounds};
use crate::work::{self, drop_caches};
use crate::{Run, content};

/// The share of the local disk, read from start to end, and at random.
const SEQUENTIAL: f64 = 0.95;
const RANDOM: f64 = 0.9;

/// The same of small files that are opened, read and closed.
const SMALL: f64 = 0.25;

/// Pages that are read at random.
const PAGES: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// It has all of it in memory.
    Warm,
    Dropped,
}

/// A way to read the large file.
struct Way {
    name: &'static str,
    unit: &'static str,
    /// What it does once at a path, and what it makes a second.
    read: fn(&Path, &[usize]) -> f64,
    share: Option<f64>,
}

pub(crate) fn large(run: &Run, report: &mut Report) {
    if !run.wants("cached large") {
        return;
    }
    let drive = &run.drive;
    let size = drive.shape.large;
    let mut readers = Readers::of(run, LARGE, |reader| {
        work::sequential(&reader.at(LARGE), Some(&drive.sums));
    });
    let ways = [
        Way {
            name: "sequential read",
            unit: "GB/s",
            read: |path, _| gigabytes(path) / work::sequential(path, None),
            share: Some(SEQUENTIAL),
        },
        Way {
            name: "sequential read by mmap",
            unit: "GB/s",
            read: |path, _| gigabytes(path) / work::mapped(path),
            share: None,
        },
        Way { name: "random reads of 4 KiB", unit: "thousand/s", read: random, share: Some(RANDOM) },
    ];
    for way in ways {
        for kernel in [Kernel::Warm, Kernel::Dropped] {
            let mut rounds = Rounds::default();
            for round in 0..run.args.rounds {
                let pages = pages(round, size / PAGE);
                readers.take_turns(&mut rounds, |reader| {
                    let path = reader.at(LARGE);
                    match kernel {
                        Kernel::Warm => drop(work::sequential(&path, None)),
                        Kernel::Dropped => drop_caches(),
                    }
                    (way.read)(&path, &pages)
                });
            }
            let state = if kernel == Kernel::Warm { "page cache warm" } else { "page cache dropped" };
            let name = format!("{}, {} MiB cached, {state}", way.name, size >> 20);
            report.rates(&name, way.unit, &rounds, Side::Local, way.share);
            // What the kernel does not have it gets by passthrough alone as fast.
            let share = way.share.filter(|_| kernel == Kernel::Warm);
            report.without_passthrough(way.unit, &rounds, Side::Local, share);
        }
    }
    readers.report(report);
    // Says why, if the first rows are what they are without it.
    report.add("", "open by passthrough", |side| readers.passed(side, LARGE), None);
}

/// Those that have everything of some files.
struct Readers<'a> {
    drive: &'a Drive,
    all: Vec<Reader>,
    /// Contents that each asked for nevertheless.
    asked: [u64; Side::COUNT],
}

impl<'a> Readers<'a> {
    /// All that there are, after `fill` read everything.
    fn of(run: &'a Run, folder: &str, fill: impl Fn(&Reader)) -> Self {
        let drive = &run.drive;
        let sides = run.sides().chain([Side::OursWithout]);
        let all = sides.map(|side| Reader::listed(side, drive, folder)).inspect(fill).collect();
        cost::settle(&drive.cloud);
        Self { drive, all, asked: [0; Side::COUNT] }
    }

    /// Measures one after the other.
    fn take_turns(&mut self, rounds: &mut Rounds, measure: impl Fn(&Reader) -> f64) {
        for reader in &self.all {
            let before = cost::requests(&self.drive.cloud).contents;
            rounds.push(reader.side, measure(reader));
            self.asked[reader.side as usize] += cost::requests(&self.drive.cloud).contents - before;
        }
    }

    #[expect(clippy::cast_precision_loss)]
    fn passed(&self, side: Side, path: &str) -> f64 {
        let reader = self.all.iter().find(|reader| reader.side == side);
        reader.and_then(|reader| reader.passed(path)).map_or(f64::NAN, |files| files as f64)
    }

    /// What they asked for, and the most memory that they had.
    fn report(&self, report: &mut Report) {
        let memory = |wanted| {
            let reader = self.all.iter().find(|reader| reader.side == wanted);
            reader.and_then(|reader| reader.cost(self.drive, 0.0)).map(|(_, cost)| cost.memory)
        };
        #[expect(clippy::cast_precision_loss)]
        let asked = |side| memory(side).map(|_| self.asked[side as usize] as f64);
        // Of ours the one that did worse.
        let worst = |value: &dyn Fn(Side) -> Option<f64>, side| {
            let other = (side == Side::Ours).then(|| value(Side::OursWithout)).flatten();
            value(side).unwrap_or(f64::NAN).max(other.unwrap_or(f64::NAN))
        };
        report.add("", "requests for contents", |side| worst(&asked, side), Some(Bound::AtMost(0.0)));
        report.add("", MEMORY_UNIT, |side| worst(&memory, side), Some(MEMORY));
    }
}

#[expect(clippy::cast_precision_loss)]
fn gigabytes(path: &Path) -> f64 {
    std::fs::metadata(path).expect("stat").len() as f64 / 1e9
}

#[expect(clippy::cast_precision_loss)]
fn random(path: &Path, pages: &[usize]) -> f64 {
    pages.len() as f64 / work::random(path, pages) / 1000.0
}

/// Pages of a file, other ones in each round.
fn pages(round: usize, of: usize) -> Vec<usize> {
    let random = content::small(round, PAGES * 8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let of = of as u64;
    random.chunks_exact(8).map(|bytes| usize::try_from(number(bytes) % of).expect("fits")).collect()
}

pub(crate) fn small(run: &Run, report: &mut Report) {
    if !run.wants("cached small") {
        return;
    }
    let count = run.drive.shape.tiny;
    let expected = (0..count).map(|number| content::sum(&content::small(number, TINY_BYTES)));
    let expected = expected.fold(0, u64::wrapping_add);
    let paths = |reader: &Reader| (0..count).map(|number| reader.at(tiny(number))).collect::<Vec<_>>();
    let mut readers = Readers::of(run, "tiny", |reader| {
        assert_eq!(work::files(&paths(reader)).1, expected, "the files of {}", reader.side.name());
    });
    let mut rounds = Rounds::default();
    for _ in 0..run.args.rounds {
        #[expect(clippy::cast_precision_loss)]
        readers.take_turns(&mut rounds, |reader| count as f64 / work::files(&paths(reader)).0 / 1000.0);
    }
    let name = format!("open, read, close {count} cached files of 4 KiB");
    report.rates(&name, "thousand/s", &rounds, Side::Local, Some(SMALL));
    report.without_passthrough("thousand/s", &rounds, Side::Local, None);
    readers.report(report);
}
