//! The rows, and whether what must hold does.

use crate::bound::Bound;
use crate::cost::Cost;
use crate::reader::Side;
use crate::table::{Table, number};

/// The most memory of the daemon, in MiB.
pub(crate) const MEMORY: Bound = Bound::Below(200.0);
pub(crate) const MEMORY_UNIT: &str = "peak memory, MiB";

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Those that have a column.
const COLUMNS: [Side; 4] = [Side::Local, Side::Http, Side::Ours, Side::Rclone];

/// What was measured, round by round, for each side. More is better.
#[derive(Debug, Default)]
pub(crate) struct Rounds([Vec<f64>; Side::COUNT]);

impl Rounds {
    pub(crate) fn push(&mut self, side: Side, value: f64) {
        self.0[side as usize].push(value);
    }

    pub(crate) fn has(&self, side: Side) -> bool {
        !self.0[side as usize].is_empty()
    }

    pub(crate) fn median(&self, side: Side) -> f64 {
        median(self.0[side as usize].clone())
    }

    /// How a side compares with another within the rounds.
    pub(crate) fn share(&self, side: Side, of: Side) -> f64 {
        let pairs = self.0[side as usize].iter().zip(&self.0[of as usize]);
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// What must hold of the requests for something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CostBounds {
    /// Requests for contents.
    pub(crate) contents: Option<Bound>,
    /// MiB of contents.
    pub(crate) fetched: Option<Bound>,
}

#[derive(Debug)]
pub(crate) struct Report {
    table: Table<4>,
    holds: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { table: Table::of(COLUMNS.map(Side::name)), holds: true }
    }

    /// A figure of each side; the bound is for ours.
    pub(crate) fn add(&mut self, what: &str, unit: &str, value: impl Fn(Side) -> f64, bound: Option<Bound>) {
        let values = COLUMNS.map(value);
        let verdict = self.check(values[2], bound);
        self.table.add(what, unit, values, &verdict);
    }

    /// Rates of all sides, and the share that ours is of another's.
    pub(crate) fn rates(&mut self, what: &str, unit: &str, rounds: &Rounds, of: Side, least: Option<f64>) {
        self.share(what, unit, rounds, (Side::Ours, of), least);
    }

    /// The same of ours without passthrough, if that was measured.
    pub(crate) fn without_passthrough(&mut self, unit: &str, rounds: &Rounds, of: Side, least: Option<f64>) {
        if rounds.has(Side::OursWithout) {
            self.share("  without passthrough", unit, rounds, (Side::OursWithout, of), least);
        }
    }

    fn share(&mut self, what: &str, unit: &str, rounds: &Rounds, (ours, of): (Side, Side), least: Option<f64>) {
        let value = |side| rounds.median(if side == Side::Ours { ours } else { side });
        let share = rounds.share(ours, of);
        let bound = self.check(share, least.map(Bound::AtLeast));
        let verdict = format!("{} of {}", number(share), of.name());
        let verdict = if bound.is_empty() { verdict } else { format!("{verdict}, {bound}") };
        eprintln!(
            "{what}, {unit}: {}",
            COLUMNS.map(|side| format!("{} {}", side.name(), number(value(side)))).join(", ")
        );
        self.table.add(what, unit, COLUMNS.map(value), &verdict);
    }

    fn check(&mut self, value: f64, bound: Option<Bound>) -> String {
        let Some(bound) = bound else { return String::new() };
        let (text, holds) = bound.check(value);
        self.holds &= holds;
        text
    }

    /// What the sides took for something, at most in a round: a row each for requests, units, bytes and memory.
    pub(crate) fn costs(&mut self, costs: &[(Side, Cost)], bounds: CostBounds) {
        for (side, cost) in costs {
            eprintln!("    {}: {:.0} MiB, {}", side.name(), cost.memory, cost.requests.kinds);
        }
        let most = |value: &dyn Fn(&Cost) -> f64| {
            COLUMNS.map(|side| {
                let values = costs.iter().filter(|(of, _)| *of == side).map(|(_, cost)| value(cost));
                values.fold(f64::NAN, f64::max)
            })
        };
        #[expect(clippy::cast_precision_loss)]
        let count = |value: fn(&Cost) -> u64| most(&|cost| value(cost) as f64);
        let rows = [
            ("requests", count(|cost| cost.requests.all), None),
            ("of them for contents", count(|cost| cost.requests.contents), bounds.contents),
            ("quota units", count(|cost| cost.requests.units), None),
            ("fetched, MiB", count(|cost| cost.requests.fetched).map(|bytes| bytes / MEBIBYTE), bounds.fetched),
            (MEMORY_UNIT, most(&|cost| cost.memory), Some(MEMORY)),
        ];
        for (unit, values, bound) in rows {
            let verdict = self.check(values[2], bound);
            self.table.add("", unit, values, &verdict);
        }
    }

    /// Prints the table; whether all bounds hold.
    pub(crate) fn print(&self) -> bool {
        self.table.print();
        self.holds
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
