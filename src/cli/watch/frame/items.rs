//! The entries that are not on the drive, within a frame: figures first, paths last, since a path can be cut and a figure cannot.

use console::{Style, measure_text_width};

use super::super::super::bars::{NARROWEST, WIDEST, bar, end_of, part_of, percent};
use super::super::super::output::{plain, wrap};
use super::Rates;
use crate::config::Bytes;
use crate::control::{Status, UnsentItem};

/// The widest column of paths.
const PATH: usize = 48;

/// A bar leaves so much to the paths.
const NAME: usize = 18;

/// Smaller files are sent before a bar would tell anything.
const LARGE: u64 = 1 << 20;

/// The cells of most rates.
const SPEED: usize = "5.5 MiB/s".len();

/// The least that is shown of a path.
const SHORTEST: usize = 8;

/// Those under way first, then those that fail, then those that wait; in `room` lines.
pub(super) fn lines(status: &Status, rates: &Rates, room: usize, columns: usize) -> Vec<String> {
    let mut items: Vec<&UnsentItem> = status.unsent.items.iter().collect();
    items.sort_by_key(|item| match (item.state.as_str(), item.bytes) {
        ("uploading", 1..) => 0,
        ("retrying" | "refused", _) => 1,
        ("uploading" | "removing", _) => 2,
        _ => 3,
    });
    items.truncate(room);
    let (sending, others): (Vec<&UnsentItem>, Vec<&UnsentItem>) =
        items.into_iter().partition(|item| item.state == "uploading" && item.bytes > 0);
    let mut blocks: Vec<Vec<String>> =
        sending_lines(&sending, rates, columns).into_iter().map(|line| vec![line]).collect();
    let signed_out = status.sign_in.is_some();
    blocks.extend(others.iter().map(|item| waiting_lines(item, signed_out, columns)));

    let all = status.unsent.entries;
    let taken: usize = blocks.iter().map(Vec::len).sum();
    // A line is for those that are not shown.
    let room_left = if blocks.len() == all && taken <= room { room } else { room.saturating_sub(1) };
    let (mut lines, mut shown) = (Vec::new(), 0);
    for block in blocks {
        if lines.len() + block.len() > room_left {
            break;
        }
        lines.extend(block);
        shown += 1;
    }
    if all > shown && room > 0 {
        lines.push(format!("  and {} more", all - shown));
    }
    lines
}

/// Files on their way: how far, how fast, and which.
fn sending_lines(items: &[&UnsentItem], rates: &Rates, columns: usize) -> Vec<String> {
    let rate = |item: &UnsentItem| rates.uploads.get(&item.path).map_or(0, |rate| rate.get());
    let figures: Vec<[String; 2]> =
        items.iter().map(|item| [part_of(item.sent, item.bytes), format!("{}/s", Bytes(rate(item)))]).collect();
    // As wide as they can become, so that nothing moves when they do.
    let parts = items.iter().map(|item| part_of(item.bytes, item.bytes).len()).max().unwrap_or(0);
    let speeds = figures.iter().map(|[_, speed]| speed.len()).max().unwrap_or(0).max(SPEED);
    let paths: Vec<String> = items.iter().map(|item| plain(&item.path)).collect();
    let path = paths.iter().map(|path| measure_text_width(path)).max().unwrap_or(0).min(PATH);
    // `  100 %  ` is before the parts, two cells are after each column.
    let room = columns.saturating_sub(9 + parts + 2 + speeds + 2);
    let cells = if items.iter().all(|item| item.bytes < LARGE) { 0 } else { room_for_bar(room, path) };
    let path = if cells > 0 { room - cells - 2 } else { room };
    let lines = items.iter().zip(&figures).zip(&paths).map(|((item, [part, speed]), name)| {
        let bar = match cells {
            0 => String::new(),
            cells if item.bytes < LARGE => " ".repeat(cells + 2),
            cells => bar(item.sent, item.bytes, cells, &Style::new().green()) + "  ",
        };
        let percent = percent(item.sent, item.bytes);
        format!("  {percent:>3} %  {part:>parts$}  {speed:>speeds$}  {bar}{}", end_of(name, path.max(1)))
    });
    lines.collect()
}

/// The cells of a bar that shares so much room with a path.
fn room_for_bar(room: usize, path: usize) -> usize {
    let beside = room.saturating_sub(path + 2).min(WIDEST);
    if beside >= NARROWEST {
        return beside;
    }
    if room >= NARROWEST + 2 + NAME { NARROWEST } else { 0 }
}

/// An entry that is not on its way: what it waits for, beside it or below.
fn waiting_lines(item: &UnsentItem, signed_out: bool, columns: usize) -> Vec<String> {
    let size = if item.bytes > 0 { format!("  {}", Bytes(item.bytes)) } else { String::new() };
    // Nothing is wrong with the entry then, and why there is no sign-in is said above.
    let (state, reason) = match &item.reason {
        Some(_) if signed_out && item.state == "retrying" => ("waiting for sign-in".to_owned(), None),
        reason => (format!("{:<9}", item.state), reason.as_ref()),
    };
    let style = if reason.is_some() { Style::new().red() } else { Style::new().dim() };
    let again = item.retry_in_seconds.map_or_else(String::new, |seconds| format!("; again in {seconds} s"));
    let before = 2 + state.len() + size.len() + 2;
    let room = columns.saturating_sub(before);
    let path = end_of(&plain(&item.path), room.max(SHORTEST));
    let line = format!("  {}{size}  {path}", style.apply_to(state));
    let later = item.sent_in_seconds.map(|seconds| format!("sent in {seconds} s"));
    let Some(reason) = reason.or(later.as_ref()) else { return vec![line] };
    let reason = plain(&format!("{reason}{again}"));
    if before + measure_text_width(&path) + 2 + measure_text_width(&reason) <= columns {
        return vec![format!("{line}  {reason}")];
    }
    let more = wrap(&reason, Some(columns.saturating_sub(4)));
    std::iter::once(line).chain(more.into_iter().map(|line| format!("    {line}"))).collect()
}

/// What is said of an entry within a line.
pub(in super::super) fn brief(item: &UnsentItem) -> String {
    match (&item.reason, item.bytes) {
        (Some(reason), _) => format!("{} {}: {reason}", item.state, item.path),
        (None, 0) => format!("{} {}", item.state, item.path),
        (None, bytes) => format!("{} {} {} %", item.state, item.path, percent(item.sent, bytes)),
    }
}
