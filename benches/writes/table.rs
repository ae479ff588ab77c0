//! The table.

/// Rows of Markdown, with a column for each side.
#[derive(Debug)]
pub(crate) struct Table<const SIDES: usize = 3> {
    sides: [&'static str; SIDES],
    rows: Vec<Vec<String>>,
}

impl Default for Table {
    fn default() -> Self {
        Self::of(["local disk", "drivemount", "rclone"])
    }
}

impl<const SIDES: usize> Table<SIDES> {
    /// Of these sides.
    pub(crate) fn of(sides: [&'static str; SIDES]) -> Self {
        Self { sides, rows: Vec::new() }
    }

    /// A figure of each side, and what is said of ours.
    pub(crate) fn add(&mut self, what: &str, unit: &str, values: [f64; SIDES], verdict: &str) {
        self.rows.push(line(what, unit, values.map(number), verdict));
    }

    pub(crate) fn print(&self) {
        let titles = line("what", "unit", self.sides.map(str::to_owned), "bound");
        let rows: Vec<_> = std::iter::once(&titles).chain(&self.rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        println!();
        for (index, row) in rows.iter().enumerate() {
            let cell = |(column, cell): (usize, &String)| {
                let width = widths[column];
                if (2..2 + SIDES).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            };
            println!("| {} |", row.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | "));
            if index == 0 {
                println!("| --- | --- |{} --- |", " ---: |".repeat(SIDES));
            }
        }
    }
}

fn line<const SIDES: usize>(what: &str, unit: &str, sides: [String; SIDES], verdict: &str) -> Vec<String> {
    [what.to_owned(), unit.to_owned()].into_iter().chain(sides).chain([verdict.to_owned()]).collect()
}

/// Three digits; nothing for what was not measured.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => String::new(),
        value if value == 0.0 || value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
