//! Files that are here already, read with what the kernel keeps of them and without.

use std::path::Path;

use crate::content::PAGE;
use crate::cost::{self, Cost};
use crate::drive::{Drive, LARGE, TINY_BYTES, tiny};
use crate::reader::{Reader, Side};
use crate::report::{CostBounds, Report, Rounds};
use crate::work::{self, drop_caches};
use crate::{Args, bound::Bound, content};

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

pub(crate) fn large(args: &Args, drive: &Drive, report: &mut Report) {
    let size = drive.shape.large;
    let readers: Vec<Reader> = Side::all(!args.without_rclone)
        .into_iter()
        .map(|side| {
            let reader = Reader::listed(side, drive, LARGE);
            work::sequential(&reader.at(LARGE), Some(&drive.sums));
            reader
        })
        .collect();
    cost::settle(&drive.cloud);
    cost::zero(&drive.cloud);
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
            for round in 0..args.rounds {
                let pages = pages(round, size / PAGE);
                for reader in &readers {
                    let path = reader.at(LARGE);
                    match kernel {
                        Kernel::Warm => drop(work::sequential(&path, None)),
                        Kernel::Dropped => drop_caches(),
                    }
                    rounds.push(reader.side, (way.read)(&path, &pages));
                }
            }
            let state = if kernel == Kernel::Warm { "page cache warm" } else { "page cache dropped" };
            let name = format!("{}, {} MiB cached, {state}", way.name, size >> 20);
            report.rates(&name, way.unit, &rounds, Side::Local, way.share);
            // What the kernel does not have it gets by passthrough alone as fast.
            let share = way.share.filter(|_| kernel == Kernel::Warm);
            report.without_passthrough(way.unit, &rounds, Side::Local, share);
        }
    }
    // Nothing was asked for, by whomever.
    nothing_fetched(&readers, drive, report);
}

fn nothing_fetched(readers: &[Reader], drive: &Drive, report: &mut Report) {
    let costs: Vec<(Side, Cost)> = readers.iter().filter_map(|reader| reader.cost(drive, 0.0)).collect();
    report.costs(&costs, CostBounds { contents: Some(Bound::AtMost(0.0)), ..CostBounds::default() });
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

pub(crate) fn small(args: &Args, drive: &Drive, report: &mut Report) {
    let count = drive.shape.tiny;
    let expected = (0..count).map(|number| content::sum(&content::small(number, TINY_BYTES)));
    let expected = expected.fold(0, u64::wrapping_add);
    let readers: Vec<_> = Side::all(!args.without_rclone)
        .into_iter()
        .map(|side| {
            let reader = Reader::listed(side, drive, "tiny");
            let paths: Vec<_> = (0..count).map(|number| reader.at(tiny(number))).collect();
            assert_eq!(work::files(&paths).1, expected, "the files of {}", side.name());
            (reader, paths)
        })
        .collect();
    cost::settle(&drive.cloud);
    cost::zero(&drive.cloud);
    let mut rounds = Rounds::default();
    for _ in 0..args.rounds {
        for (reader, paths) in &readers {
            #[expect(clippy::cast_precision_loss)]
            rounds.push(reader.side, count as f64 / work::files(paths).0 / 1000.0);
        }
    }
    let name = format!("open, read, close {count} cached files of 4 KiB");
    report.rates(&name, "thousand/s", &rounds, Side::Local, Some(SMALL));
    report.without_passthrough("thousand/s", &rounds, Side::Local, None);
    let readers: Vec<Reader> = readers.into_iter().map(|(reader, _)| reader).collect();
    nothing_fetched(&readers, drive, report);
}
