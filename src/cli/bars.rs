//! What tells how far work is: bars, rates, and the time that is left.

use std::time::Duration;

use console::{Style, Term, measure_text_width, truncate_str};

use crate::config::Bytes;

mod fetching;
mod sending;

pub(super) use fetching::Fetching;
pub(super) use sending::Sending;

/// How much of a rate is what was just seen, in percent; the rest is what was seen before, so that figures stand still.
const NEW_PERCENT: u64 = 35;

/// The widest bar, in cells, and the narrowest that tells anything.
pub(super) const WIDEST: usize = 24;
pub(super) const NARROWEST: usize = 6;

/// Less room gets figures without a bar: a terminal of 80 columns, less a spinner, has one.
const ROOM_FOR_BAR: usize = 77;

/// How fast something goes, in bytes a second.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rate {
    bytes: u64,
    /// `None` until two counts are known.
    rate: Option<u64>,
}

impl Rate {
    /// Takes in how far it is now, and how long ago that was asked before.
    pub(super) fn look(&mut self, bytes: u64, passed: Option<Duration>) {
        if let Some(passed) = passed {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
            let now = bytes.saturating_sub(self.bytes).saturating_mul(1000) / millis;
            self.rate = Some(self.rate.map_or(now, |rate| (rate * (100 - NEW_PERCENT) + now * NEW_PERCENT) / 100));
        }
        self.bytes = bytes;
    }

    pub(super) fn get(self) -> u64 {
        // What is left of a rate that ended is no rate.
        self.rate.filter(|&rate| rate >= 64).unwrap_or(0)
    }
}

/// A line of so many columns about work that goes on; what is said last is what is cut.
pub(super) fn line(width: usize, done: u64, total: u64, rate: u64, words: &str) -> String {
    let left = total.saturating_sub(done);
    let percent = percent(done, total);
    if width < ROOM_FOR_BAR {
        let time = left_time(left, rate, "");
        return cut(&format!("{percent:>3} %  {} left{time}", Bytes(left)), width);
    }
    let time = left_time(left, rate, " left");
    let (part, rate) = (part_of(done, total), format!("{}/s", Bytes(rate)));
    let besides = format!("{percent:>3} %  {part}  {rate}    {time}{words}");
    let cells = width.saturating_sub(measure_text_width(&besides)).clamp(NARROWEST, WIDEST);
    let bar = bar(done, total, cells, &Style::new().for_stderr().green());
    cut(&format!("{percent:>3} %  {part}  {rate}  {bar}{time}  {words}"), width)
}

pub(super) fn left_time(left: u64, rate: u64, after: &str) -> String {
    if rate > 0 && left > 0 { format!("  {}{after}", time(left / rate)) } else { String::new() }
}

/// The columns of the terminal that standard error is.
pub(super) fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// As much of a text as fits.
pub(super) fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width.max(1), "…").into_owned()
}

pub(super) fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 { 100 } else { (u128::from(part) * 100 / u128::from(whole)).min(100) as u64 }
}

/// A bar that is full where the part is the whole; told apart by its strokes where there is no colour.
pub(super) fn bar(part: u64, whole: u64, cells: usize, style: &Style) -> String {
    let full = if whole == 0 { 0 } else { u128::from(part) * cells as u128 / u128::from(whole) };
    let full = full.min(cells as u128) as usize;
    let (full, rest) = ("━".repeat(full), "─".repeat(cells - full));
    format!("{}{}", style.apply_to(full), style.clone().dim().apply_to(rest))
}

/// `46 of 286 MiB`: a part in the unit of the whole.
pub(super) fn part_of(part: u64, whole: u64) -> String {
    let shift = (whole.max(1).ilog2() / 10 * 10).min(40);
    let (full, tenths) = (part >> shift, ((part & ((1 << shift) - 1)) * 10) >> shift);
    if tenths == 0 || full >= 10 {
        format!("{full} of {}", Bytes(whole))
    } else {
        format!("{full}.{tenths} of {}", Bytes(whole))
    }
}

/// A time that is a guess, as exact as a guess may be.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{} s", seconds.max(1)),
        60..600 if seconds % 60 < 10 => format!("{} min", seconds / 60),
        60..600 => format!("{} min {} s", seconds / 60, seconds % 60 / 10 * 10),
        600..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// The end of a path, which tells more than its beginning.
pub(super) fn end_of(path: &str, width: usize) -> String {
    if measure_text_width(path) <= width {
        return path.to_owned();
    }
    let fits = |&(start, _): &(usize, char)| measure_text_width(&path[start..]) < width;
    let start = path.char_indices().find(fits).map_or(path.len(), |(start, _)| start);
    format!("…{}", &path[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_what_was_sent_and_end_with_it() {
        let mut rate = Rate::default();
        let second = Some(Duration::from_secs(1));
        rate.look(1_000_000, None);
        assert_eq!(rate.get(), 0, "what was there before is no rate");
        rate.look(2_000_000, second);
        assert_eq!(rate.get(), 1_000_000);
        rate.look(4_000_000, second);
        assert_eq!(rate.get(), 1_350_000);
        (0..40).for_each(|_| rate.look(4_000_000, second));
        assert_eq!(rate.get(), 0);
    }

    #[test]
    fn a_long_path_shows_its_end() {
        assert_eq!(end_of("short", 5), "short");
        assert_eq!(end_of("folder/model.pt", 9), "…model.pt");
        assert_eq!(end_of("名前名前", 5), "…名前");
        assert_eq!(end_of("abc", 1), "…");
    }

    #[test]
    fn a_part_has_the_unit_of_the_whole() {
        assert_eq!(part_of(46 << 20, 286 << 20), "46 of 286 MiB");
        assert_eq!(part_of(3 << 19, 38 << 20), "1.5 of 38 MiB");
        assert_eq!(part_of(5, 900), "5 of 900 B");
        assert_eq!(part_of(0, 0), "0 of 0 B");
    }

    #[test]
    fn a_time_that_is_guessed_is_rounded() {
        let times = [0, 45, 60, 97, 119, 725, 4000, 100_000].map(time);
        assert_eq!(times, ["1 s", "45 s", "1 min", "1 min 30 s", "1 min 50 s", "12 min", "1 h 6 min", "1 d 3 h"]);
    }

    #[test]
    fn a_line_fits_and_has_a_bar_only_where_there_is_room_for_one() {
        let line = |width| {
            console::strip_ansi_codes(&line(width, 46 << 20, 286 << 20, 5 << 20, "sending 1 file")).into_owned()
        };
        assert_eq!(line(50), " 16 %  240 MiB left  48 s");
        assert_eq!(line(100), " 16 %  46 of 286 MiB  5 MiB/s  ━━━─────────────────────  48 s left  sending 1 file");
        assert_eq!(line(77), " 16 %  46 of 286 MiB  5 MiB/s  ━━━────────────────  48 s left  sending 1 file");
        for width in [1, 10, 40, 79, 80, 120] {
            assert!(measure_text_width(&line(width)) <= width, "{width}: {}", line(width));
        }
    }
}
