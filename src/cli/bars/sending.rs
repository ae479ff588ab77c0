//! What is shown while a command waits until everything is on the drive.

use std::time::Duration;

use super::super::output::{plain, things};
use super::{Rate, cut, line};
use crate::clock::Instant;
use crate::config::Bytes;
use crate::control::Left;

/// Rates are of so much time at least: what is sent is counted by the piece.
const SPAN: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Debug, Default)]
pub(in super::super) struct Sending {
    /// The most that was left at one time.
    most: u64,
    rate: Rate,
    looked: Option<Instant>,
}

impl Sending {
    /// Takes in what is left, and says how to show that in so many columns. `ending`: the mount is to end after that.
    pub(in super::super) fn look(&mut self, left: &Left, ending: bool, verb: &str, width: usize) -> String {
        self.most = self.most.max(left.bytes);
        let done = self.most - left.bytes;
        let passed = self.looked.map(|at| at.elapsed());
        if passed.is_none_or(|passed| passed >= SPAN) {
            self.rate.look(done, passed);
            self.looked = Some(Instant::now());
        }
        self.text(left, ending, verb, width)
    }

    fn text(&self, left: &Left, ending: bool, verb: &str, width: usize) -> String {
        if left.entries == 0 {
            let closing = "everything is on the drive; closing (a program may still have a file of it open)";
            return cut(if ending { closing } else { verb }, width);
        }
        let rate = self.rate.get();
        let things = things(&left.items, left.entries);
        let reason = left.items.iter().find_map(|item| item.reason.as_deref());
        match reason {
            Some(reason) if rate == 0 => cut(&stuck(left, &things, reason), width),
            // No bar tells how far names are.
            _ if self.most == 0 => cut(&format!("{verb} {things}"), width),
            reason => {
                let reason = reason.map_or_else(String::new, |reason| format!(" ({})", plain(reason)));
                line(width, self.most - left.bytes, self.most, rate, &format!("{verb} {things}{reason}"))
            }
        }
    }
}

/// What is said while nothing moves.
fn stuck(left: &Left, things: &str, reason: &str) -> String {
    let next = match left.items.iter().filter_map(|item| item.retry_in_seconds).min() {
        Some(seconds @ 1..) => format!("; next try in {seconds} s"),
        Some(0) => "; trying again".to_owned(),
        None => String::new(),
    };
    let (bytes, reason) = (Bytes(left.bytes), plain(reason));
    format!("waiting: {bytes} in {things} not on the drive{next} ({reason}) (Ctrl-C stops waiting; nothing is lost)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::UnsentItem;

    fn left(bytes: &[u64], reason: Option<&str>) -> Left {
        let item = |&bytes: &u64| UnsentItem {
            path: "a".to_owned(),
            state: "retrying".to_owned(),
            bytes,
            sent: 0,
            reason: reason.map(str::to_owned),
            retry_in_seconds: reason.map(|_| 12),
            sent_in_seconds: None,
        };
        Left { items: bytes.iter().map(item).collect(), entries: bytes.len(), bytes: bytes.iter().sum() }
    }

    fn shown(left: &Left, ending: bool, width: usize) -> String {
        console::strip_ansi_codes(&Sending::default().look(left, ending, "sending", width)).into_owned()
    }

    #[test]
    fn where_nothing_moves_it_is_said_why_and_that_waiting_can_stop() {
        let stuck = left(&[3 << 20, 1 << 20], Some("drive failed: Backend Error\n"));
        let all = "waiting: 4 MiB in 2 files not on the drive; next try in 12 s (drive failed: Backend Error\\n) \
                   (Ctrl-C stops waiting; nothing is lost)";
        assert_eq!(shown(&stuck, false, 200), all);
        assert_eq!(shown(&stuck, false, 40), "waiting: 4 MiB in 2 files not on the dr…");
    }

    #[test]
    fn what_moves_has_a_bar_and_what_has_no_content_has_none() {
        assert!(shown(&left(&[3 << 20], None), false, 100).starts_with("  0 %  0 of 3 MiB  0 B/s  ──"));
        assert_eq!(shown(&left(&[3 << 20], None), false, 50), "  0 %  3 MiB left");
        assert_eq!(shown(&left(&[0], None), false, 80), "sending 1 entry");
    }

    #[test]
    fn an_unmount_with_nothing_left_says_what_it_may_wait_for() {
        let closing = "everything is on the drive; closing (a program may still have a file of it open)";
        assert_eq!(shown(&left(&[], None), true, 100), closing);
        assert_eq!(shown(&left(&[], None), false, 100), "sending");
    }
}
