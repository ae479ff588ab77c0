//! The rows, and whether what must hold does.

use crate::bound::Bound;
use crate::cost::Cost;
use crate::side::Kind;
use crate::table::Table;

#[derive(Debug)]
pub(crate) struct Report {
    table: Table,
    holds: bool,
    pub(crate) kinds: Vec<Kind>,
}

impl Report {
    pub(crate) fn new(with_rclone: bool) -> Self {
        let kinds = if with_rclone { vec![Kind::Ours, Kind::Rclone] } else { vec![Kind::Ours] };
        Self { table: Table::default(), holds: true, kinds }
    }

    /// A figure of both sides.
    pub(crate) fn add(&mut self, what: &str, unit: &str, [local, ours, rclone]: [f64; 3], bound: Option<Bound>) {
        let verdict = bound.map_or_else(String::new, |bound| {
            let (text, holds) = bound.check(ours);
            self.holds &= holds;
            text
        });
        self.table.add(what, unit, [local, ours, rclone], &verdict);
    }

    /// What both sides took for something: a row each for time, requests, listings, units and memory.
    pub(crate) fn costs(&mut self, what: &str, local: f64, costs: &[Cost], bounds: Bounds) {
        for (kind, cost) in self.kinds.iter().zip(costs) {
            let Cost { seconds, requests, memory } = cost;
            eprintln!(
                "{what}, {}: {seconds:.3} s, {} units, {memory:.0} MiB: {}",
                kind.name(),
                requests.units,
                requests.kinds
            );
        }
        #[expect(clippy::cast_precision_loss)]
        let of = |value: &dyn Fn(&Cost) -> u64| sides(costs, |cost| value(cost) as f64);
        let [_, ours, rclone] = sides(costs, |cost| cost.seconds);
        self.add(what, "s", [local, ours, rclone], bounds.seconds);
        self.add("", "requests", of(&|cost| cost.requests.all), None);
        self.add("", "of them files.list", of(&|cost| cost.requests.lists), bounds.lists);
        self.add("", "quota units", of(&|cost| cost.requests.units), bounds.units);
        self.add("", "peak memory, MiB", sides(costs, |cost| cost.memory), bounds.memory);
    }

    /// Prints the table; whether all bounds hold.
    pub(crate) fn print(&self) -> bool {
        self.table.print();
        self.holds
    }
}

/// What must hold of the cost of something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    pub(crate) seconds: Option<Bound>,
    pub(crate) lists: Option<Bound>,
    pub(crate) units: Option<Bound>,
    pub(crate) memory: Option<Bound>,
}

/// A figure of ours, and of rclone's if that was measured; the local disk has none.
pub(crate) fn sides<T>(measured: &[T], value: impl Fn(&T) -> f64) -> [f64; 3] {
    let of = |index: usize| measured.get(index).map_or(f64::NAN, &value);
    [f64::NAN, of(0), of(1)]
}
