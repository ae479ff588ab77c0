//! What commands show: bars, tables, lists.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Exit, Failure};
use crate::config::Bytes;
use crate::control::{Client, Left, Unsent, UnsentItem};

/// How often a bar looks at the mount.
const LOOK: Duration = Duration::from_millis(200);

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

/// A number of things: `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Shows on a bar how much is not on the drive yet, while `work` waits for it.
pub(super) async fn watch_unsent<T>(client: &Client, verb: &str, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new(0);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = |template: &str| ProgressStyle::with_template(template).map(|style| style.progress_chars("=> "));
    // The words come last: they are cut where the line ends.
    let of_bytes = style("{spinner} [{bar:12}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}");
    // As long as nothing is known, a bar would be full.
    if let Ok(style) = style("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_message(verb.to_owned());
    let look = async {
        let mut most = 0;
        loop {
            if let Ok(status) = client.status().await {
                let unsent = status.unsent;
                if most == 0
                    && unsent.bytes > 0
                    && let Ok(style) = &of_bytes
                {
                    bar.set_style(style.clone());
                }
                most = most.max(unsent.bytes);
                bar.set_length(most);
                bar.set_position(most - unsent.bytes);
                let entries = count(unsent.entries, "entry", "entries");
                bar.set_message(plain(&format!("{verb} {entries}{}", trouble(&unsent))));
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

fn trouble(unsent: &Unsent) -> String {
    unsent.items.iter().find_map(|item| item.reason.as_ref()).map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// The lines that say what is not on the drive.
pub(super) fn left_lines(left: &Left) -> String {
    let head = format!("not on the drive yet: {}, {}", count(left.entries, "entry", "entries"), Bytes(left.bytes));
    let mut lines = vec![head];
    lines.extend(item_lines(&left.items, left.entries));
    lines.join("\n")
}

/// Entries that are not on the drive, a line each; `entries` is how many there are in all.
pub(super) fn item_lines(items: &[UnsentItem], entries: usize) -> Vec<String> {
    let mut lines: Vec<String> = items.iter().take(SHOWN).map(|item| format!("  {}", item_line(item))).collect();
    if entries > lines.len() {
        lines.push(format!("  and {} more", entries - lines.len()));
    }
    lines
}

fn item_line(item: &UnsentItem) -> String {
    let size = match (item.bytes, item.sent) {
        (0, _) => String::new(),
        (bytes, 0) => format!("  {}", Bytes(bytes)),
        (bytes, sent) => format!("  {} of {}", Bytes(sent), Bytes(bytes)),
    };
    let reason = item.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
    let again = item.retry_in_seconds.map_or_else(String::new, |seconds| format!("; again in {seconds} s"));
    plain(&format!("{:<10} {}{size}{reason}{again}", item.state, item.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_nothing_to_the_terminal_that_shows_it() {
        assert_eq!(plain("a\nb\u{1b}[31m\u{9b}c\té"), "a\\nb\\u{1b}[31m\\u{9b}c\\té");
    }
}
