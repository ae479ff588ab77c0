//! Small files by the thousand, read in shuffled order by several processes, as loaders of training data do: for the first time,
//! and again.

use std::path::PathBuf;

use crate::Run;
use crate::bound::Bound;
use crate::content;
use crate::cost::{self, Cost};
use crate::drive::{Drive, PICTURE_BYTES, picture};
use crate::processes;
use crate::reader::{Reader, Side};
use crate::report::{CostBounds, Report, Rounds, median};
use crate::table::number;
use crate::work;

/// How late requests are answered, in milliseconds.
const DISTANCE: u64 = 60;

const PROCESSES: usize = 8;

/// The share of what so many requests in flight can bring.
const SHARE: f64 = 0.8;

/// Times the rate of rclone.
const OF_RCLONE: f64 = 10.0;

/// Quota units a file: one request for its content, and hardly a look at the changes.
const UNITS: f64 = 201.0;

/// Of that many files rclone reads one: with all it would be busy for half an hour.
const RCLONE_PART: usize = 20;

/// What is measured of an epoch.
#[derive(Default)]
struct Measured {
    rates: Rounds,
    /// Quota units that a file cost.
    units: Rounds,
    costs: Vec<(Side, Cost)>,
}

pub(crate) fn run(run: &Run, report: &mut Report) {
    if !run.wants("epochs") {
        return;
    }
    let drive = &run.drive;
    let order = shuffled(drive.shape.pictures);
    let part = &order[..(order.len() / RCLONE_PART).max(PROCESSES)];
    let (mut cold, mut warm, mut again) = (Measured::default(), Measured::default(), Measured::default());
    let round_trip = bare(run, &order, &mut cold);
    for side in run.sides() {
        let files = if side == Side::Rclone { part } else { &order };
        let reader = Reader::listed(side, drive, "pictures");
        if side == Side::Local {
            // It has no first time.
            epoch(&reader, files);
        } else {
            cold.epoch(&reader, drive, files);
        }
        warm.epoch(&reader, drive, files);
        if side == Side::Rclone {
            // Nothing hangs on what it finds again.
            continue;
        }
        drive.near();
        let reader = reader.again(drive);
        reader.list("pictures");
        work::drop_caches();
        again.epoch(&reader, drive, files);
    }
    let files = format!("{} files of 20 KB, {DISTANCE} ms away, {PROCESSES} processes", order.len());
    #[expect(clippy::cast_precision_loss)]
    let most = run.http.in_flight as f64 / round_trip;
    report.rates(&format!("cold epoch, {files}"), "files/s", &cold.rates, Side::Http, None);
    let unit = format!("share of {} requests in flight, each {} ms", run.http.in_flight, number(round_trip * 1000.0));
    report.add("", &unit, |side| cold.rates.median(side) / most, Some(Bound::AtLeast(SHARE)));
    if !run.args.without_rclone {
        let rclone = cold.rates.median(Side::Rclone);
        let unit = format!("times rclone, which read {}", part.len());
        report.add("", &unit, |side| cold.rates.median(side) / rclone, Some(Bound::AtLeast(OF_RCLONE)));
    }
    report.add("", "quota units a file", |side| cold.units.median(side), Some(Bound::AtMost(UNITS)));
    #[expect(clippy::cast_precision_loss)]
    let once = Some(Bound::AtMost(order.len() as f64));
    report.costs(&cold.costs, CostBounds { contents: once, ..CostBounds::default() });
    let never = CostBounds { contents: Some(Bound::AtMost(0.0)), ..CostBounds::default() };
    report.rates(&format!("warm epoch, {files}"), "files/s", &warm.rates, Side::Local, None);
    report.costs(&warm.costs, never);
    report.rates("the same after another mount, page cache dropped", "files/s", &again.rates, Side::Local, None);
    report.costs(&again.costs, never);
}

/// What the bare client can do. Says how long one request takes alone.
fn bare(Run { drive, http, .. }: &Run, order: &[usize], cold: &mut Measured) -> f64 {
    let ids: Vec<String> = order.iter().map(|&number| drive.ids.pictures[number].clone()).collect();
    // The server has them in memory then, for everybody.
    drive.near();
    http.files(&ids);
    drive.far_away(DISTANCE);
    let round_trip = median((0..5).map(|_| http.first_bytes(&ids[0], PICTURE_BYTES as u64)).collect());
    cold.rates.push(Side::Http, http.files(&ids));
    round_trip
}

impl Measured {
    /// Measures one epoch.
    fn epoch(&mut self, reader: &Reader, drive: &Drive, files: &[usize]) {
        cost::settle(&drive.cloud);
        cost::zero(&drive.cloud);
        drive.far_away(DISTANCE);
        work::sync();
        let seconds = epoch(reader, files);
        cost::settle(&drive.cloud);
        #[expect(clippy::cast_precision_loss)]
        let (count, units) = (files.len() as f64, |cost: &Cost| cost.requests.units as f64);
        let rate = count / seconds;
        eprintln!("an epoch of {} files, {}: {rate:.0} files/s", files.len(), reader.side.name());
        self.rates.push(reader.side, rate);
        if let Some((side, cost)) = reader.cost(drive, seconds) {
            self.units.push(side, units(&cost) / count);
            self.costs.push((side, cost));
        }
    }
}

/// Seconds until all processes have read their share of the files.
fn epoch(reader: &Reader, files: &[usize]) -> f64 {
    let paths: Vec<PathBuf> = files.iter().map(|&number| reader.at(picture(number))).collect();
    let (seconds, sum) = processes::read(PROCESSES, &paths);
    let expected = files.iter().map(|&number| content::sum(&content::small(number, PICTURE_BYTES)));
    assert_eq!(sum, expected.fold(0, u64::wrapping_add), "what was read by {}", reader.side.name());
    seconds
}

/// All numbers up to `count`, in an order that is the same every time.
fn shuffled(count: usize) -> Vec<usize> {
    let random = content::small(0, count * 8);
    let mut keyed: Vec<(&[u8], usize)> = random.chunks_exact(8).zip(0..count).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}
