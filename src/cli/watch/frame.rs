//! One frame of the screen: text that fits, and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};

use super::super::bars::{NARROWEST, Rate, WIDEST, bar, time};
use super::super::output::{at_risk, cache_use, held_back, plain, trouble, wrap};
use super::super::prefetch;
use crate::clock::{self, Instant, Timestamp};
use crate::config::Bytes;
use crate::control::Status;

mod items;

pub(super) use items::brief;

/// The column where what is said begins, after what it is about.
const LABEL: usize = 10;

/// How fast things go.
#[derive(Debug, Default)]
pub(super) struct Rates {
    at: Option<Instant>,
    received: Rate,
    sent: Rate,
    uploads: HashMap<String, Rate>,
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
    let faint = Style::new().dim();
    let (warning, bad) = (Style::new().yellow().bold(), Style::new().red().bold());
    let mut above = head(status, columns);
    above.extend([String::new(), risk(status, rates, columns)]);
    let alarms = alarms(status, silent);
    above.extend(alarms.iter().flat_map(|line| hanging(line, columns)).map(|line| bad.apply_to(line).to_string()));

    let mut below = vec![String::new()];
    below.extend(stores(status, columns));
    below.push(traffic(status, rates, columns));
    below.extend(prefetch::lines(status).iter().flat_map(|line| hanging(line, columns)));
    let trouble = trouble(status);
    below.extend(trouble.iter().flat_map(|line| hanging(line, columns)).map(|line| warning.apply_to(line).to_string()));
    if footer {
        below.extend([String::new(), faint.apply_to("Ctrl-C ends the watching, not the mount").to_string()]);
    }

    let room = rows.saturating_sub(above.len() + below.len());
    let mut lines = above;
    lines.extend(items::lines(status, rates, room, columns));
    lines.extend(below);
    // Better the first lines than the last ones.
    lines.truncate(rows.max(1));
    lines.iter().map(|line| truncate_str(line, columns.max(1), "…").into_owned()).collect()
}

/// What it is, and how it fares; in two lines if one is too short.
fn head(status: &Status, columns: usize) -> Vec<String> {
    let access = if status.read_only { ", read-only" } else { "" };
    let since = age(&status.since);
    let state = match status.state.as_str() {
        "mounted" => format!("mounted {since} ago{access}"),
        "draining" => "unmounting: sending the rest".to_owned(),
        state => format!("mounted {since} ago{access} · {state}"),
    };
    let place = plain(&status.mountpoint.display().to_string());
    let how = plain(&format!("{}  {state}", status.source));
    let fits = measure_text_width(&place) + 2 + measure_text_width(&how) <= columns;
    let (place, how) = (Style::new().bold().apply_to(place), Style::new().dim().apply_to(how));
    if fits { vec![format!("{place}  {how}")] } else { vec![place.to_string(), format!("  {how}")] }
}

/// What is at risk, and for how long if that can be told.
fn risk(status: &Status, rates: &Rates, columns: usize) -> String {
    let unsent = &status.unsent;
    let clean = unsent.entries == 0 && unsent.unsealed_bytes == 0;
    let style = if clean { Style::new().green() } else { Style::new().yellow().bold() };
    let what = at_risk(unsent);
    let (left, rate) = (unsent.bytes.saturating_sub(unsent.unsealed_bytes), rates.sent.get());
    let line = format!("at risk   {}", style.apply_to(&what));
    if unsent.entries == 0 || left == 0 || rate == 0 {
        return line;
    }
    let time = format!("about {} at {}/s", time(left / rate), Bytes(rate));
    let fits = LABEL + measure_text_width(&what) + 3 + time.len() <= columns;
    if fits { format!("{line}   {}", Style::new().dim().apply_to(time)) } else { line }
}

/// How full the cache and the drive are. Bars are as long as there is room beside both texts.
fn stores(status: &Status, columns: usize) -> Vec<String> {
    let (cache, drive) = (&status.cache, &status.drive);
    let cache_text = cache_use(cache);
    let drive_text = match drive.total_bytes {
        Some(total) => format!("{} of {} used", Bytes(drive.used_bytes), Bytes(total)),
        None => format!("{} used, no limit", Bytes(drive.used_bytes)),
    };
    let widest = cache_text.len().max(drive.total_bytes.map_or(0, |_| drive_text.len()));
    // In steps, so that a text which grows by a digit does not move them.
    let cells = columns.saturating_sub(LABEL + 2 + widest).min(WIDEST) / 4 * 4;
    let style = Style::new().cyan();
    let line = |label: &str, used, total: Option<u64>, text: &str| match total {
        Some(total) if cells >= NARROWEST => {
            vec![format!("{label:<LABEL$}{}  {text}", bar(used, total, cells, &style))]
        }
        _ => hanging(&format!("{label:<LABEL$}{text}"), columns),
    };
    let mut lines = line("cache", cache.used_bytes, Some(cache.cap_bytes), &cache_text);
    lines.extend(line("drive", drive.used_bytes, drive.total_bytes, &drive_text));
    lines
}

fn traffic(status: &Status, rates: &Rates, columns: usize) -> String {
    let now = format!("traffic   receiving {}/s, sending {}/s", Bytes(rates.received.get()), Bytes(rates.sent.get()));
    let so_far = format!("({} and {} so far)", Bytes(status.traffic.downloaded_bytes), Bytes(sent(status)));
    let fits = now.len() + 2 + so_far.len() <= columns;
    if fits { format!("{now}  {}", Style::new().dim().apply_to(so_far)) } else { now }
}

/// A line that begins with what it is about, in as many lines as it takes.
fn hanging(line: &str, columns: usize) -> Vec<String> {
    let (label, text) = line.split_at_checked(LABEL).unwrap_or((line, ""));
    let texts = wrap(&plain(text), Some(columns.saturating_sub(LABEL)));
    let first = |number: usize| if number == 0 { label } else { "" };
    texts.iter().enumerate().map(|(number, text)| format!("{:<LABEL$}{text}", first(number))).collect()
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
    alarms.extend(held_back(status));
    if let Some(sign_in) = &status.sign_in {
        alarms.push(format!("sign-in   required: {}", sign_in.remedy));
        alarms.push(format!("{:LABEL$}{}", "", sign_in.reason));
    }
    alarms
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
