//! A drive with very many entries, and a very large folder on it.

use std::fs;

use crate::Args;
use crate::bound::Bound;
use crate::cost::{self, Cost, find, list, time};
use crate::drives::{self, LARGE, Shape};
use crate::place::Place;
use crate::report::{Bounds, Report, sides};
use crate::walks::USABLE;

/// The most memory of the daemon, in MiB.
const MEMORY: f64 = 200.0;

/// What was measured on one side.
struct Measured {
    usable: Cost,
    /// The first entry of the large folder, and the last.
    listed: [Cost; 2],
    known: Cost,
    cold: Cost,
    warm: Cost,
    again: Cost,
}

pub(crate) fn run(args: &Args, report: &mut Report) {
    let shape = Shape::with_large_folder(args.entries);
    let cloud = drives::open(&args.data, shape);
    let entries = shape.found();
    let measured: Vec<Measured> = report
        .kinds
        .clone()
        .into_iter()
        .map(|kind| {
            let (place, seconds) = Place::fresh(kind, &cloud);
            let usable = place.cost(&cloud, seconds);
            // Asked for at once, as by who knows where their file is.
            let name = place.at().join(LARGE).join(format!("picture {:07}.jpg", shape.large / 2));
            let seconds = time(|| {
                fs::metadata(&name).expect("stat");
            });
            let known = place.cost(&cloud, seconds);
            drop(place);
            let (place, _) = Place::fresh(kind, &cloud);
            let [first, last] = list(&place.at().join(LARGE), shape.large);
            let listed = [place.cost(&cloud, first), place.cost(&cloud, last)];
            drop(place);
            let (place, _) = Place::fresh(kind, &cloud);
            let cold = place.find(&cloud, entries, 0.0);
            cost::zero(&cloud);
            let seconds = find(&place.at(), entries);
            let warm = place.cost(&cloud, seconds);
            let (place, ready) = place.again(&cloud);
            let again = place.find(&cloud, entries, ready);
            drop(place);
            Measured { usable, listed, known, cold, warm, again }
        })
        .collect();
    let all =
        |of: &dyn Fn(&Measured) -> &Cost| measured.iter().map(|measured| of(measured).clone()).collect::<Vec<_>>();
    let none = f64::NAN;
    let memory = Some(Bound::Below(MEMORY));
    let bounds = Bounds { seconds: Some(Bound::Below(USABLE)), memory, ..Bounds::default() };
    let title = format!("{} entries", entries - 1);
    report.costs(&format!("{title}: until it can be used"), none, &all(&|measured| &measured.usable), bounds);
    let of_memory = Bounds { memory, ..Bounds::default() };
    let folder = format!("folder of {}", shape.large);
    report.costs(&format!("stat of a name in a {folder}"), none, &all(&|measured| &measured.known), of_memory);
    report.add(
        &format!("ls -f of a {folder}"),
        "first entry, s",
        sides(&measured, |measured| measured.listed[0].seconds),
        None,
    );
    report.costs("  to its last entry", none, &all(&|measured| &measured.listed[1]), of_memory);
    report.costs(&format!("find through {title}, the first time"), none, &all(&|measured| &measured.cold), of_memory);
    let known = Bounds { lists: Some(Bound::AtMost(0.0)), memory, ..Bounds::default() };
    report.costs("find, once more", none, &all(&|measured| &measured.warm), known);
    report.costs("mount again and find", none, &all(&|measured| &measured.again), known);
}
