//! Files that are not here yet, read from far away.

use std::path::Path;

use crate::Run;
use crate::bound::Bound;
use crate::content;
use crate::cost;
use crate::drive::{Drive, LARGE, MODEL, Way, first};
use crate::reader::{Reader, Side};
use crate::report::{CostBounds, Report, Rounds};
use crate::work;

/// How late requests are answered, in milliseconds.
const DISTANCES: [u64; 3] = [5, 50, 150];
/// That for which bounds hold.
const DISTANCE: u64 = 50;

/// A line, in bytes a second.
const LINE: &str = "256M";

/// The share of the bare client.
const SHARE: f64 = 0.95;
/// Round trips until the first byte.
const FIRST_BYTE: f64 = 1.2;
/// MiB that may be fetched for a header.
const HEADER: f64 = 2.0;

pub(crate) fn sequential(run: &Run, report: &mut Report) {
    let drive = &run.drive;
    for distance in DISTANCES {
        let name = format!("sequential read, {} MiB cold, {distance} ms away", drive.shape.large >> 20);
        if run.wants(&name) {
            let bound = (distance == DISTANCE).then_some(SHARE);
            whole(run, report, &name, distance.into(), bound, |path| work::sequential(path, Some(&drive.sums)));
        }
    }
    let name =
        format!("sequential read, {} MiB cold, {DISTANCE} ms away, a line of {LINE}B/s", drive.shape.large >> 20);
    if run.wants(&name) {
        let way = Way { milliseconds: DISTANCE, line: Some(LINE) };
        whole(run, report, &name, way, Some(SHARE), |path| work::sequential(path, Some(&drive.sums)));
    }
}

pub(crate) fn threads(run: &Run, report: &mut Report) {
    let drive = &run.drive;
    let name = format!("4 threads on one handle, {} MiB cold, {DISTANCE} ms away", drive.shape.large >> 20);
    if run.wants(&name) {
        whole(run, report, &name, DISTANCE.into(), None, |path| work::parts(path, 4, &drive.sums));
    }
}

/// The large file, read in some way.
fn whole(run: &Run, report: &mut Report, name: &str, way: Way, bound: Option<f64>, read: impl Fn(&Path) -> f64) {
    let Run { drive, http, .. } = run;
    #[expect(clippy::cast_precision_loss)]
    let size = drive.shape.large as f64 / 1e9;
    let (mut rounds, mut unwritten, mut costs) = (Rounds::default(), Rounds::default(), Vec::new());
    let here = tempfile::tempdir().expect("temporary folder");
    let download = |to: Option<&Path>| {
        drive.far_away(way);
        work::sync();
        size / http.download(&drive.ids.large, &drive.sums, to)
    };
    // The server has it in memory then, for everybody.
    download(None);
    for _ in 0..run.cold_rounds() {
        let to = here.path().join("downloaded");
        rounds.push(Side::Http, download(Some(&to)));
        std::fs::remove_file(to).expect("removes");
        unwritten.push(Side::Http, download(None));
        for side in run.mounts() {
            let reader = cold(side, drive, LARGE, way);
            let seconds = read(&reader.at(LARGE));
            rounds.push(side, size / seconds);
            costs.extend(reader.end(drive, seconds));
        }
    }
    report.rates(name, "GB/s", &rounds, Side::Http, bound);
    report.add("  not written to a file", "GB/s", |side| unwritten.median(side), None);
    report.costs(&costs, CostBounds::default());
}

/// A mount that knows of a file and has none of it.
fn cold(side: Side, drive: &Drive, path: &str, way: Way) -> Reader {
    let reader = Reader::listed(side, drive, path);
    cost::settle(&drive.cloud);
    cost::zero(&drive.cloud);
    drive.far_away(way);
    work::sync();
    reader
}

pub(crate) fn first_byte(run: &Run, report: &mut Report) {
    let Run { drive, http, .. } = run;
    for distance in DISTANCES {
        let name = format!("first byte of a cold file, {distance} ms away");
        if !run.wants(&name) {
            continue;
        }
        let mut seconds = Rounds::default();
        for side in run.mounts() {
            let reader = Reader::listed(side, drive, LARGE);
            drive.far_away(distance);
            for (number, id) in drive.ids.firsts.iter().enumerate() {
                seconds.push(Side::Http, http.first_bytes(id, 4096));
                seconds.push(side, work::first_byte(&reader.at(first(number))));
                // What was begun for one file is not in the way of the next.
                cost::settle(&drive.cloud);
            }
        }
        let round_trip = seconds.median(Side::Http);
        report.add(&name, "ms", |side| seconds.median(side) * 1000.0, None);
        let bound = (distance == DISTANCE).then_some(Bound::AtMost(FIRST_BYTE));
        report.add("", "round trips", |side| seconds.median(side) / round_trip, bound);
    }
}

pub(crate) fn header(run: &Run, report: &mut Report) {
    let Run { drive, http, .. } = run;
    let mebibytes = drive.shape.model >> 20;
    for (way, read) in [("read", work::header as fn(&Path) -> f64), ("mapped", work::mapped_header)] {
        let name = format!("header of a model of {mebibytes} MiB, {way}, {DISTANCE} ms away");
        if !run.wants(&name) {
            continue;
        }
        let (mut took, mut costs) = (Rounds::default(), Vec::new());
        for _ in 0..run.cold_rounds() {
            drive.far_away(DISTANCE);
            took.push(Side::Http, http.parts(&drive.ids.model, &[(0, 8), (8, content::header().len() as u64 - 8)]));
            for side in run.mounts() {
                let reader = cold(side, drive, MODEL, DISTANCE.into());
                let seconds = read(&reader.at(MODEL));
                took.push(side, seconds);
                costs.extend(reader.end(drive, seconds));
            }
        }
        report.add(&name, "ms", |side| took.median(side) * 1000.0, None);
        report.costs(&costs, CostBounds { fetched: Some(Bound::AtMost(HEADER)), ..CostBounds::default() });
    }
}
