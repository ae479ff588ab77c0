//! What must hold.

use crate::table::number;

/// What must hold of a figure of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Below(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    /// What is said of a figure, and whether it holds.
    pub(crate) fn check(self, value: f64) -> (String, bool) {
        let (text, holds) = match self {
            Self::Below(limit) => (format!("< {limit}"), value < limit),
            Self::AtMost(limit) => (format!("≤ {}", number(limit)), value <= limit),
            Self::AtLeast(limit) => (format!("≥ {limit}"), value >= limit),
        };
        (format!("{text}: {}", if holds { "holds" } else { "BROKEN" }), holds)
    }
}
