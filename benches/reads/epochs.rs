//! Small files by the thousand, read in shuffled order by several processes, as loaders of training data do: for the first time,
//! and again.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::Args;
use crate::bound::Bound;
use crate::content;
use crate::cost::{self, Cost};
use crate::drive::{Drive, PICTURE_BYTES, picture};
use crate::http::{Http, IN_FLIGHT};
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

/// Of that many files rclone reads one: with all it would be busy for half an hour.
const RCLONE_PART: usize = 20;

/// What is measured of an epoch.
#[derive(Default)]
struct Measured {
    rates: Rounds,
    costs: Vec<(Side, Cost)>,
}

pub(crate) fn run(args: &Args, drive: &Drive, http: &Http, report: &mut Report) {
    let order = shuffled(drive.shape.pictures);
    let part = &order[..(order.len() / RCLONE_PART).max(PROCESSES)];
    let (mut cold, mut warm, mut again) = (Measured::default(), Measured::default(), Measured::default());
    let round_trip = bare(drive, http, &order, &mut cold);
    let mut sides = Side::all(!args.without_rclone);
    sides.retain(|side| *side != Side::OursWithout);
    for side in sides {
        let files = if side == Side::Rclone { part } else { &order };
        let reader = Reader::listed(side, drive, "pictures");
        if side == Side::Local {
            // It has no first time.
            epoch(&reader, files);
        } else {
            cold.epoch(&reader, drive, files);
        }
        warm.epoch(&reader, drive, files);
        drive.near();
        let reader = reader.again(drive);
        reader.list("pictures");
        work::drop_caches();
        again.epoch(&reader, drive, files);
    }
    let files = format!("{} files of 20 KB, {DISTANCE} ms away, {PROCESSES} processes", order.len());
    #[expect(clippy::cast_precision_loss)]
    let most = IN_FLIGHT as f64 / round_trip;
    report.rates(&format!("cold epoch, {files}"), "files/s", &cold.rates, Side::Http, None);
    let unit = format!("share of {IN_FLIGHT} requests in flight, each {} ms", number(round_trip * 1000.0));
    report.add("", &unit, |side| cold.rates.median(side) / most, Some(Bound::AtLeast(SHARE)));
    if !args.without_rclone {
        let rclone = cold.rates.median(Side::Rclone);
        let unit = format!("times rclone, which read {}", part.len());
        report.add("", &unit, |side| cold.rates.median(side) / rclone, Some(Bound::AtLeast(OF_RCLONE)));
    }
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
fn bare(drive: &Drive, http: &Http, order: &[usize], cold: &mut Measured) -> f64 {
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
        let rate = files.len() as f64 / seconds;
        eprintln!("an epoch of {} files, {}: {rate:.0} files/s", files.len(), reader.side.name());
        self.rates.push(reader.side, rate);
        self.costs.extend(reader.cost(drive, seconds));
    }
}

/// Seconds until all processes have read their share of the files.
fn epoch(reader: &Reader, files: &[usize]) -> f64 {
    let here = tempfile::tempdir().expect("temporary folder");
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|process| {
            let files = files.iter().skip(process).step_by(PROCESSES).map(|&number| reader.at(picture(number)));
            Process::start(&here.path().join(process.to_string()), files)
        })
        .collect();
    for process in &mut processes {
        assert_eq!(process.line(), "ready");
    }
    let start = Instant::now();
    processes.iter_mut().for_each(Process::go);
    let sums: Vec<u64> = processes.iter_mut().map(|process| process.line().parse().expect("a sum")).collect();
    let seconds = start.elapsed().as_secs_f64();
    let expected = files.iter().map(|&number| content::sum(&content::small(number, PICTURE_BYTES)));
    let sum = sums.into_iter().fold(0, u64::wrapping_add);
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

/// The first argument of a process that reads.
const READ: &str = "read-files";

/// A process that reads the files of a list.
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn start(list: &Path, files: impl Iterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = files.map(PathBuf::into_os_string).collect();
        fs::write(list, paths.join(&OsString::from("\n")).as_bytes()).expect("writes");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(READ).arg(list).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("says something");
        line.trim().to_owned()
    }

    fn go(&mut self) {
        // It begins when this is closed.
        drop(self.child.stdin.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What such a process does. False: this is not one.
pub(crate) fn is_reader() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != READ) {
        return false;
    }
    let list = fs::read(arguments.next().expect("a list")).expect("reads the list");
    let paths: Vec<&Path> =
        list.split(|&byte| byte == b'\n').map(|path| Path::new(std::ffi::OsStr::from_bytes(path))).collect();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("waits");
    println!("{}", work::files(&paths).1);
    true
}
