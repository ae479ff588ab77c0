//! The table.

/// Rows of Markdown.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 6]>,
}

impl Table {
    /// A figure of the three sides, and what is said of ours.
    pub(crate) fn add(&mut self, what: &str, unit: &str, values: [f64; 3], verdict: &str) {
        let [local, ours, rclone] = values.map(number);
        self.rows.push([what.to_owned(), unit.to_owned(), local, ours, rclone, verdict.to_owned()]);
    }

    pub(crate) fn print(&self) {
        let titles = ["what", "unit", "local disk", "drivemount", "rclone", "bound"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(&titles).chain(&self.rows).collect();
        let widths: [usize; 6] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        println!();
        for (index, row) in rows.iter().enumerate() {
            let cell = |column: usize| {
                let (cell, width) = (&row[column], widths[column]);
                if (2..5).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            };
            println!("| {} |", (0..6).map(cell).collect::<Vec<_>>().join(" | "));
            if index == 0 {
                println!("| --- | --- | ---: | ---: | ---: | --- |");
            }
        }
    }
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
