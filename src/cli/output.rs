//! What commands show: bars, tables, lists.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use console::measure_text_width;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::bars::{self, Sending};
use super::target::Target;
use super::{Exit, Failure};
use crate::config::Bytes;
use crate::control::{CacheStatus, Left, Status, Unsent, UnsentItem};

/// How often a bar looks at the mount.
const LOOK: Duration = Duration::from_millis(200);

/// The cells before a text that a spinner takes, and one after it.
const SPINNER: usize = 3;

/// Items of a list that are shown one by one.
const SHOWN: usize = 20;

/// Prints what a command is there to print. A reader that has seen enough and gone away is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says how work went that is done: whether anybody hears it changes nothing about that.
pub(super) fn say(text: &str) {
    if let Err(failure) = print(&format!("{text}\n")) {
        complain(&format!("drivemount: {failure}"));
    }
}

/// As [`say`], on standard error.
pub(super) fn complain(text: &str) {
    let _closed = writeln!(io::stderr(), "{text}");
}

/// `text` as one line that does nothing to a terminal: names of files may hold anything.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// `text` in lines of so many cells, broken between words.
pub(super) fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Prints JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    print(&(json + "\n"))
}

/// Rows with a head, each column as wide as its widest cell; the last one ends where its text ends.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let rows: Vec<[String; N]> =
        std::iter::once(&head).chain(rows).map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - measure_text_width(cell)));
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Asks a question that is answered by yes or no; anything but a yes is a no.
pub(super) fn agrees(question: &str) -> bool {
    let _closed = write!(io::stderr(), "{} [y/N] ", plain(question));
    let mut answer = String::new();
    let read = io::stdin().lock().take(100).read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// A number of things: `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// So many files.
pub(super) fn files(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "file", "files")
}

/// Shows that something is being done, while `work` waits for it.
pub(super) async fn with_spinner<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let spinner = ProgressBar::new_spinner();
    if !io::stderr().is_terminal() {
        spinner.set_draw_target(ProgressDrawTarget::hidden());
    }
    spinner.set_message(what);
    spinner.enable_steady_tick(LOOK);
    let value = work.await;
    spinner.finish_and_clear();
    value
}

/// Shows on a bar how much of a place is not on the drive yet, while `work` waits for it.
pub(super) async fn watch_unsent<T>(target: &Target, verb: &str, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new(0);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.set_message(verb.to_owned());
    let look = async {
        let mut sending = Sending::default();
        loop {
            if let Ok(status) = target.client.status().await {
                let ending = status.state == "draining";
                let unsent = below(&target.path, status.unsent);
                // What is wider than the line leaves rubbish where it was.
                let width = bars::columns().saturating_sub(SPINNER);
                bar.set_message(sending.look(&unsent, ending, verb, width));
            }
            bar.tick();
            tokio::time::sleep(LOOK).await;
        }
    };
    let value = tokio::select! {
        value = work => value,
        () = look => unreachable!("looking has no end"),
    };
    bar.finish_and_clear();
    value
}

/// How much would be lost with this machine, and of how many entries.
pub(super) fn at_risk(unsent: &Unsent) -> String {
    if unsent.entries == 0 && unsent.unsealed_bytes == 0 {
        return "nothing: everything is on the drive".to_owned();
    }
    let open = match (unsent.unsealed_bytes, unsent.entries) {
        (0, _) => String::new(),
        (_, 0) => " in files that are being written".to_owned(),
        (open, _) => format!(", {} of it in files that are being written", Bytes(open)),
    };
    let entries = match unsent.entries {
        0 => String::new(),
        entries => format!(" in {}", things(&unsent.items, entries)),
    };
    format!("{}{entries}{open}", Bytes(unsent.bytes))
}

/// So many entries, called files if content is to be sent for each of them.
pub(super) fn things(items: &[UnsentItem], entries: usize) -> String {
    let files = items.len() >= entries && items.iter().all(|item| item.bytes > 0);
    if files { count(entries, "file", "files") } else { count(entries, "entry", "entries") }
}

/// What the cache takes on the disk, and what waits beside it.
pub(super) fn cache_use(cache: &CacheStatus) -> String {
    let used = format!("{} of {}", Bytes(cache.used_bytes), Bytes(cache.cap_bytes));
    match cache.staged_bytes {
        0 => used,
        staged => format!("{used}, and {} of disk for files being sent", Bytes(staged)),
    }
}

/// Of what is not on the drive, that which lies at or below a path in the mount.
pub(super) fn below(path: &str, unsent: Unsent) -> Left {
    // The root has more names than one; `status` says none of them.
    let path = ["MyDrive", "My Drive"]
        .iter()
        .find_map(|alias| Path::new(path).strip_prefix(alias).ok())
        .unwrap_or(Path::new(path));
    if path.as_os_str().is_empty() {
        return Left { items: unsent.items, entries: unsent.entries, bytes: unsent.bytes };
    }
    let items: Vec<_> = unsent.items.into_iter().filter(|item| Path::new(&item.path).starts_with(path)).collect();
    let bytes = items.iter().map(|item| item.bytes.saturating_sub(item.sent)).sum();
    Left { entries: items.len(), bytes, items }
}

/// The lines that say what is not on the drive, all of it, with what is left to send of each.
pub(super) fn left_lines(left: &Left) -> String {
    let head = format!("not on the drive yet: {}, {}", count(left.entries, "entry", "entries"), Bytes(left.bytes));
    let mut lines = vec![head];
    lines.extend(left.items.iter().map(|item| format!("  {}", left_line(item))));
    lines.extend(and_more(left.items.len(), left.entries));
    lines.join("\n")
}

fn left_line(item: &UnsentItem) -> String {
    let size = match item.bytes.saturating_sub(item.sent) {
        0 => String::new(),
        left if item.sent == 0 => format!("  {}", Bytes(left)),
        left => format!("  {} left of {}", Bytes(left), Bytes(item.bytes)),
    };
    plain(&format!("{:<10} {}{size}{}", item.state, item.path, said(item)))
}

/// Why it is not sent, and when it will be.
fn said(item: &UnsentItem) -> String {
    let later = item.sent_in_seconds.map_or_else(String::new, |seconds| format!("  sent in {seconds} s"));
    let reason = item.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
    let again = item.retry_in_seconds.map_or_else(String::new, |seconds| format!("; again in {seconds} s"));
    format!("{later}{reason}{again}")
}

fn and_more(shown: usize, entries: usize) -> Option<String> {
    (entries > shown).then(|| format!("  and {} more", entries - shown))
}

/// Entries that are not on the drive, a line each; `entries` is how many there are in all.
pub(super) fn item_lines(items: &[UnsentItem], entries: usize) -> Vec<String> {
    let mut lines: Vec<String> = items.iter().take(SHOWN).map(|item| format!("  {}", item_line(item))).collect();
    lines.extend(and_more(lines.len(), entries));
    lines
}

fn item_line(item: &UnsentItem) -> String {
    let size = match (item.bytes, item.sent) {
        (0, _) => String::new(),
        (bytes, 0) => format!("  {}", Bytes(bytes)),
        (bytes, sent) => format!("  {} of {}", Bytes(sent), Bytes(bytes)),
    };
    plain(&format!("{:<10} {}{size}{}", item.state, item.path, said(item)))
}

/// Why writes wait or are refused, in a line, if they are.
pub(super) fn held_back(status: &Status) -> Option<String> {
    let writes = status.writes.as_ref()?;
    Some(match writes.writers {
        0 => format!("writes    {}: {}", writes.state, writes.reason),
        1 => format!("writes    1 writer waits: {}", writes.reason),
        writers => format!("writes    {writers} writers wait: {}", writes.reason),
    })
}

/// Lines about what somebody should look at.
pub(super) fn trouble(status: &Status) -> Vec<String> {
    let conflicts = status.conflicts.iter().map(|conflict| {
        format!("conflict  {}: their version keeps the name, ours is \"{}\"", conflict.path, conflict.copy)
    });
    let aside = status.set_aside.iter();
    let aside = aside.map(|aside| format!("aside     {} {}; kept in {}", aside.path, aside.why, aside.kept.display()));
    let unread = status.unread.iter().map(|unread| plain(&format!("unread    {}: {}", unread.path, unread.reason)));
    conflicts.chain(aside).chain(unread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrap("one two three", Some(8)), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible", Some(8)), ["incomprehensible"]);
        assert_eq!(wrap("one two three", None), ["one two three"]);
    }

    #[test]
    fn a_name_does_nothing_to_the_terminal_that_shows_it() {
        assert_eq!(plain("a\nb\u{1b}[31m\u{9b}c\té"), "a\\nb\\u{1b}[31m\\u{9b}c\\té");
    }
}
