//! The table.

use super::load::Outcome;
use super::work::{Bound, Figure, Work};

/// Rounds of both servers, in turn.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub ours: Vec<Outcome>,
    pub nginx: Vec<Outcome>,
}

/// Rows of Markdown, and whether what must hold does.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<[String; 6]>,
    holds: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        let titles = ["what", "unit", "drivemount", "nginx", "ratio", "bound"].map(str::to_owned);
        Self { rows: vec![titles], holds: true }
    }

    pub(crate) fn add(&mut self, work: &Work, rounds: &Rounds) {
        for (index, figure) in work.figures.iter().enumerate() {
            let of = |outcomes: &[Outcome]| outcomes.iter().map(figure.of).collect::<Vec<_>>();
            let (ours, nginx) = (of(&rounds.ours), of(&rounds.nginx));
            let ratio = median(ours.iter().zip(&nginx).map(|(ours, nginx)| figure.ratio(*ours, *nginx)).collect());
            let (ours, nginx) = (median(ours), median(nginx));
            let bound = self.judge(figure.bound, ours, ratio);
            let name = if index == 0 { work.name.clone() } else { String::new() };
            self.rows.push([name, figure.name.into(), number(ours), number(nginx), number(ratio), bound]);
        }
        let errors = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.errors).sum::<usize>();
        let (ours, nginx) = (errors(&rounds.ours), errors(&rounds.nginx));
        if work.load.connections >= 200 || ours > 0 {
            self.holds &= ours == 0;
            let bound = if ours == 0 { "0: holds" } else { "0: BROKEN" };
            self.rows.push([
                String::new(),
                "errors".into(),
                ours.to_string(),
                nginx.to_string(),
                String::new(),
                bound.into(),
            ]);
        }
    }

    /// A row that has no counterpart.
    pub(crate) fn add_ours(&mut self, name: &str, unit: &str, value: f64, bound: Option<Bound>) {
        let bound = self.judge(bound, value, f64::NAN);
        self.rows.push([name.into(), unit.into(), number(value), String::new(), String::new(), bound]);
    }

    fn judge(&mut self, bound: Option<Bound>, ours: f64, ratio: f64) -> String {
        let (text, holds) = match bound {
            None => return String::new(),
            Some(Bound::Share(share)) => (format!("ratio ≥ {share}"), ratio >= share),
            Some(Bound::Below(limit)) => (format!("< {limit}"), ours < limit),
        };
        self.holds &= holds;
        format!("{text}: {}", if holds { "holds" } else { "BROKEN" })
    }

    /// Prints the table; whether all bounds hold.
    pub(crate) fn print(&self) -> bool {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .enumerate()
                .map(
                    |(column, (cell, width))| {
                        if (2..5).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
                    },
                )
                .collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                println!("| --- | --- | ---: | ---: | ---: | --- |");
            }
        }
        self.holds
    }
}

impl Figure {
    /// How fast we are as a share of nginx: 1 is as fast, less is slower, for times, too.
    fn ratio(&self, ours: f64, nginx: f64) -> f64 {
        if self.is_time { nginx / ours } else { ours / nginx }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
