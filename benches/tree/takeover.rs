//! The pause that a program sees when the daemon is killed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Args;
use crate::bound::Bound;
use crate::cost::find;
use crate::drives::{self, LARGE, Shape};
use crate::machine::{Machine, keep_asking, keeper_of, signal};
use crate::place::Place;
use crate::report::Report;
use crate::side::Kind;

/// The longest pause, in milliseconds.
const PAUSE: f64 = 300.0;

const KILLS: usize = 30;

/// Programs that work meanwhile.
const READERS: usize = 8;
const WRITERS: usize = 4;

pub(crate) fn run(args: &Args, report: &mut Report) {
    let shape = Shape::with_large_folder(args.entries / 10);
    let cloud = drives::open(&args.data, shape);
    let (place, _) = Place::fresh(Kind::Ours, &cloud);
    // All of it is known then.
    find(&place.at(), shape.found());
    cloud.make_trouble(&[]);
    let Place::Ours(machine) = place else { unreachable!("it was ours that was asked for") };
    let title = format!("a kill, {} entries", shape.found() - 1);
    row(report, &format!("{title}: pause of a program"), pauses(&machine), Some(Bound::Below(PAUSE)));
    let (end, root) = (AtomicBool::new(false), machine.drive());
    let busy = std::thread::scope(|scope| {
        let (end, root) = (&end, &root);
        (0..READERS).for_each(|number| drop(scope.spawn(move || read(root, number, shape, end))));
        (0..WRITERS).for_each(|number| drop(scope.spawn(move || write(root, number, end))));
        let pauses = pauses(&machine);
        end.store(true, Ordering::Relaxed);
        pauses
    });
    row(report, &format!("  while {READERS} others read and {WRITERS} write"), busy, None);
    // The drive may be kept for other runs.
    for number in 0..WRITERS {
        for name in ["log", "now", "new"] {
            drop(fs::remove_file(root.join(format!("{name} {number}"))));
        }
    }
    machine.unmount();
}

fn row(report: &mut Report, what: &str, mut pauses: Vec<Duration>, bound: Option<Bound>) {
    pauses.sort();
    let millis = |pause: &Duration| pause.as_secs_f64() * 1000.0;
    let none = f64::NAN;
    report.add(what, "median, ms", [none, millis(&pauses[pauses.len() / 2]), none], None);
    let worst = pauses.last().map_or(none, millis);
    report.add("", "worst, ms", [none, worst, none], bound);
}

/// Kills the daemon again and again, and says for each time how long the longest call took of a program that asks without a pause.
fn pauses(machine: &Machine) -> Vec<Duration> {
    let keeper = keeper_of(machine.pid()).expect("is kept");
    let root = machine.drive();
    let (calls, called) = mpsc::channel();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            keep_asking(&root, &end, |began, took| {
                let _over = calls.send((began, took));
            });
        });
        let pauses = (0..KILLS).map(|_| {
            let pid = machine.pid();
            let killed = Instant::now();
            signal(pid, "KILL");
            // Answered by the next one.
            assert_ne!(machine.pid(), pid);
            assert_eq!(keeper_of(machine.pid()), Some(keeper));
            // What it does beside the answers, it does then.
            std::thread::sleep(Duration::from_secs(1));
            let since = called.try_iter().filter(|(began, took)| *began + *took >= killed);
            since.map(|(_, took)| took).max().expect("it asks all the time")
        });
        let pauses = pauses.collect();
        end.store(true, Ordering::Relaxed);
        pauses
    })
}

fn read(root: &Path, number: usize, shape: Shape, end: &AtomicBool) {
    let mut at = number;
    while !end.load(Ordering::Relaxed) {
        at = (at + 7919) % shape.large;
        let name = root.join(LARGE).join(format!("picture {at:07}.jpg"));
        fs::read(&name).expect("reads");
        fs::metadata(root.join(format!("folder {}", at % shape.folders))).expect("stat");
    }
}

fn write(root: &Path, number: usize, end: &AtomicBool) {
    let (name, new) = (root.join(format!("log {number}")), root.join(format!("new {number}")));
    let log = File::create(name).expect("creates");
    for at in 0_u64.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        log.write_all_at(&[7; 1000], at * 1000 % 10_000_000).expect("writes");
        fs::write(&new, vec![1; 50_000]).expect("writes");
        fs::rename(&new, root.join(format!("now {number}"))).expect("renames");
    }
}
