//! One frame of the screen: text that fits, and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};

use super::super::output::{at_risk, plain};
use super::super::status::trouble;
use crate::clock::{self, Instant, Timestamp};
use crate::config::Bytes;
use crate::control::{Status, UnsentItem};

/// How much of a rate is what was just seen, in percent; the rest is what was seen before, so that figures stand still.
const NEW_PERCENT: u64 = 35;

/// Cells of a bar.
const BAR: usize = 24;

/// The widest column of paths.
const PATH: usize = 48;

/// How fast things go, in bytes a second.
#[derive(Debug, Default)]
pub(super) struct Rates {
    at: Option<Instant>,
    received: Rate,
    sent: Rate,
    uploads: HashMap<String, Rate>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    bytes: u64,
    /// `None` until two counts are known.
    rate: Option<u64>,
}

impl Rate {
    fn look(&mut self, bytes: u64, passed: Option<Duration>) {
        if let Some(passed) = passed {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
            let now = bytes.saturating_sub(self.bytes).saturating_mul(1000) / millis;
            self.rate = Some(self.rate.map_or(now, |rate| (rate * (100 - NEW_PERCENT) + now * NEW_PERCENT) / 100));
        }
        self.bytes = bytes;
    }

    fn get(self) -> u64 {
        // What is left of a rate that ended is no rate.
        self.rate.filter(|&rate| rate >= 64).unwrap_or(0)
    }
}

impl Rates {
    /// Takes in how far everything is now.
    pub(super) fn look(&mut self, status: &Status) {
        let now = Instant::now();
        let passed = self.at.map(|at| now - at);
        self.at = Some(now);
        self.received.look(status.traffic.downloaded_bytes, passed);
        self.sent.look(sent(status), passed);
        let mut uploads = HashMap::new();
        for item in status.unsent.items.iter().filter(|item| item.state == "uploading") {
            let before = self.uploads.remove(&item.path);
            let mut rate = before.unwrap_or_default();
            rate.look(item.sent, passed.filter(|_| before.is_some()));
            uploads.insert(item.path.clone(), rate);
        }
        self.uploads = uploads;
    }
}

/// The lines of a frame that is not larger than `size`: rows and columns. `silent`: for how long the mount has not answered.
pub(super) fn lines(
    status: &Status,
    rates: &Rates,
    silent: Option<Duration>,
    (rows, columns): (usize, usize),
    footer: bool,
) -> Vec<String> {
    let (strong, faint) = (Style::new().bold(), Style::new().dim());
    let (good, warning, bad) = (Style::new().green(), Style::new().yellow().bold(), Style::new().red().bold());
    let unsent = &status.unsent;
    let access = if status.read_only { ", read-only" } else { "" };
    let head = format!(
        "{}  {}",
        strong.apply_to(plain(&status.mountpoint.display().to_string())),
        faint.apply_to(plain(&format!("{}  {}{access} for {}", status.source, status.state, age(&status.since))))
    );
    let clean = unsent.entries == 0 && unsent.unsealed_bytes == 0;
    let risk = if clean { &good } else { &warning };
    let mut above = vec![head, String::new(), format!("at risk   {}", risk.apply_to(at_risk(unsent)))];
    above.extend(alarms(status, silent).into_iter().map(|line| bad.apply_to(plain(&line)).to_string()));

    let mut below = vec![String::new()];
    below.push(format!(
        "cache     {}  {} of {}, and {} waiting to be sent",
        bar(status.cache.used_bytes, status.cache.cap_bytes, &Style::new().cyan()),
        Bytes(status.cache.used_bytes),
        Bytes(status.cache.cap_bytes),
        Bytes(status.cache.staged_bytes)
    ));
    if let Some(total) = status.drive.total_bytes {
        let used = status.drive.used_bytes;
        let drawn = bar(used, total, &Style::new().cyan());
        below.push(format!("drive     {drawn}  {} of {} used", Bytes(used), Bytes(total)));
    } else {
        below.push(format!("drive     {} used, no limit", Bytes(status.drive.used_bytes)));
    }
    below.push(format!(
        "traffic   receiving {}/s, sending {}/s  {}",
        Bytes(rates.received.get()),
        Bytes(rates.sent.get()),
        faint.apply_to(format!("({} and {} so far)", Bytes(status.traffic.downloaded_bytes), Bytes(sent(status))))
    ));
    below.extend(trouble(status).iter().map(|line| warning.apply_to(plain(line)).to_string()));
    if footer {
        below.extend([String::new(), faint.apply_to("Ctrl-C ends the watching, not the mount").to_string()]);
    }

    let room = rows.saturating_sub(above.len() + below.len());
    let shown = items(status, rates, room, columns);
    let mut lines = above;
    lines.extend(shown);
    lines.extend(below);
    // Better the first lines than the last ones.
    lines.truncate(rows.max(1));
    lines.iter().map(|line| truncate_str(line, columns.max(1), "…").into_owned()).collect()
}

/// Bytes that went to the drive: an upload is counted when it is done, so those under way come on top.
fn sent(status: &Status) -> u64 {
    status.traffic.uploaded_bytes + status.unsent.items.iter().map(|item| item.sent).sum::<u64>()
}

/// What is not as it should be.
fn alarms(status: &Status, silent: Option<Duration>) -> Vec<String> {
    let mut alarms = Vec::new();
    if let Some(silent) = silent {
        alarms.push(format!(
            "silent    the daemon does not answer since {} s; this is what it said last",
            silent.as_secs()
        ));
    }
    if let Some(sign_in) = &status.sign_in {
        alarms.push(format!("sign-in   required: {}; {}", sign_in.reason, sign_in.remedy));
    }
    alarms
}

/// The entries that are not on the drive: those under way first, then those that fail, then those that wait.
fn items(status: &Status, rates: &Rates, room: usize, columns: usize) -> Vec<String> {
    let mut items: Vec<&UnsentItem> = status.unsent.items.iter().collect();
    items.sort_by_key(|item| match (item.state.as_str(), item.bytes) {
        ("uploading", 1..) => 0,
        ("retrying" | "refused", _) => 1,
        ("uploading" | "removing", _) => 2,
        _ => 3,
    });
    let all = status.unsent.entries;
    let shown = if all <= room { all.min(items.len()) } else { room.saturating_sub(1).min(items.len()) };
    let path = items.iter().take(shown).map(|item| measure_text_width(&plain(&item.path))).max().unwrap_or(0);
    let path = path.min(PATH).min(columns / 2).max(1);
    let mut lines: Vec<String> = items.iter().take(shown).map(|item| item_line(item, rates, path)).collect();
    if all > shown && room > 0 {
        lines.push(format!("  and {} more", all - shown));
    }
    lines
}

fn item_line(item: &UnsentItem, rates: &Rates, width: usize) -> String {
    let path = end_of(&plain(&item.path), width);
    let path = format!("  {path}{}", " ".repeat(width.saturating_sub(measure_text_width(&path))));
    if item.state == "uploading" && item.bytes > 0 {
        let rate = rates.uploads.get(&item.path).map_or(0, |rate| rate.get());
        return format!(
            "{path}  {}  {:>3} %  {:>9}/s  of {}",
            bar(item.sent, item.bytes, &Style::new().green()),
            percent(item.sent, item.bytes),
            Bytes(rate).to_string(),
            Bytes(item.bytes)
        );
    }
    let size = if item.bytes > 0 { format!("  {}", Bytes(item.bytes)) } else { String::new() };
    let style = if item.reason.is_some() { Style::new().red() } else { Style::new().dim() };
    let state = style.apply_to(format!("{:<9}", item.state));
    let reason = item.reason.as_ref().map_or_else(String::new, |reason| format!("  {}", plain(reason)));
    let again = item.retry_in_seconds.map_or_else(String::new, |seconds| format!("; again in {seconds} s"));
    format!("{path}  {state}{size}{reason}{again}")
}

/// What is said of an entry within a line.
pub(super) fn brief(item: &UnsentItem) -> String {
    match (&item.reason, item.bytes) {
        (Some(reason), _) => format!("{} {}: {reason}", item.state, item.path),
        (None, 0) => format!("{} {}", item.state, item.path),
        (None, bytes) => format!("{} {} {} %", item.state, item.path, percent(item.sent, bytes)),
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 { 100 } else { (u128::from(part) * 100 / u128::from(whole)).min(100) as u64 }
}

/// A bar that is full where the part is the whole; told apart by its strokes where there is no colour.
fn bar(part: u64, whole: u64, style: &Style) -> String {
    let full =
        if whole == 0 { 0 } else { (u128::from(part) * BAR as u128 / u128::from(whole)).min(BAR as u128) as usize };
    let (full, rest) = ("━".repeat(full), "─".repeat(BAR - full));
    format!("{}{}", style.apply_to(full), Style::new().dim().apply_to(rest))
}

/// The end of a path, which tells more than its beginning.
fn end_of(path: &str, width: usize) -> String {
    if measure_text_width(path) <= width {
        return path.to_owned();
    }
    let fits = |&(start, _): &(usize, char)| measure_text_width(&path[start..]) < width;
    let start = path.char_indices().find(fits).map_or(path.len(), |(start, _)| start);
    format!("…{}", &path[start..])
}

/// How long ago that was.
fn age(since: &str) -> String {
    let Some(since) = Timestamp::parse_rfc3339(since) else { return "a while".to_owned() };
    let seconds = (clock::now().millis() - since.millis()).max(0) / 1000;
    match (seconds / 86400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests;
