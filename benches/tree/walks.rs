//! Walks through a drive of many folders: the first, the next, on the same machine later, and on another.

use crate::bound::Bound;
use crate::cost::{self, Cost, find};
use crate::drives::{self, Shape};
use crate::place::Place;
use crate::report::{Bounds, Report, sides};
use crate::side::Kind;
use crate::{Args, cost::Requests};

/// The most time until a mount can be used, in seconds.
pub(crate) const USABLE: f64 = 2.0;

/// The share of a walk through the local file system.
const SHARE: f64 = 0.5;

/// What another machine may cost, of what the first did.
const SECOND_MACHINE: f64 = 0.05;

/// Units that a mount and the fetch of one file cost in any case. Of a drive so small that a listing costs little more, nothing is saved.
const MOUNT: f64 = 600.0;

/// Walks through what is known already, in turns with the local disk.
const ROUNDS: usize = 5;

/// What was measured on one side.
struct Walks {
    usable: Cost,
    cold: Cost,
    warm: Cost,
    /// Of the local disk, in turns with that.
    local: f64,
    again: Cost,
    other: Cost,
}

pub(crate) fn run(args: &Args, report: &mut Report) {
    let shape = Shape::of_folders(args.entries / 5);
    let cloud = drives::open(&args.data, shape);
    let local = drives::local(&args.data, shape);
    let entries = shape.found();
    let mut has_snapshot = false;
    let walks: Vec<Walks> = report
        .kinds
        .clone()
        .into_iter()
        .map(|kind| {
            let (place, seconds) = Place::fresh(kind, &cloud);
            let usable = place.cost(&cloud, seconds);
            let cold = place.find(&cloud, entries, 0.0);
            has_snapshot |= kind == Kind::Ours && drives::has_snapshot(&cloud);
            cost::zero(&cloud);
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                there.push(find(&local, entries));
                here.push(find(&place.at(), entries));
            }
            let warm = place.cost(&cloud, median(here));
            let (place, ready) = place.again(&cloud);
            let again = place.find(&cloud, entries, ready);
            place.end();
            let (place, ready) = Place::fresh(kind, &cloud);
            let other = place.find(&cloud, entries, ready);
            place.end();
            Walks { usable, cold, warm, local: median(there), again, other }
        })
        .collect();
    let all = |of: fn(&Walks) -> &Cost| walks.iter().map(|walks| of(walks).clone()).collect::<Vec<_>>();
    let none = f64::NAN;
    let title = format!("{} files in {} folders", shape.rest, shape.folders);
    let bounds = Bounds { seconds: Some(Bound::Below(USABLE)), ..Bounds::default() };
    report.costs(&format!("{title}: until it can be used"), none, &all(|walks| &walks.usable), bounds);
    report.costs("find, the first time", none, &all(|walks| &walks.cold), Bounds::default());
    let bounds = Bounds { lists: Some(Bound::AtMost(0.0)), ..Bounds::default() };
    report.costs("find, once more", walks[0].local, &all(|walks| &walks.warm), bounds);
    let share = sides(&walks, |walks| walks.local / walks.warm.seconds);
    report.add("", "share of the local disk", [1.0, share[1], share[2]], Some(Bound::AtLeast(SHARE)));
    report.costs("mount again and find", none, &all(|walks| &walks.again), bounds);
    let cold: &Requests = &walks[0].cold.requests;
    #[expect(clippy::cast_precision_loss)]
    let units = cold.units as f64 * SECOND_MACHINE;
    let units = (units > MOUNT).then_some(Bound::AtMost(units));
    let how = if has_snapshot { "with a snapshot" } else { "no snapshot was left for it" };
    let bounds = Bounds { units, ..Bounds::default() };
    report.costs(&format!("mount on another machine and find, {how}"), none, &all(|walks| &walks.other), bounds);
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
