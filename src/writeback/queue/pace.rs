//! When a file that goes on changing is sent again.
//!
//! A drive takes whole files only, so each time that a log is sent costs all of its size, and the longer it gets the more. What
//! bounds the cost is time: a file that took long to send is not sent again soon. With `t` what its last upload took:
//!
//! - a file that grows and stays open is sent again [an interval](Pace::new) after that upload began, and not before `3 t` after
//!   it ended: so a file takes a quarter of the line at most;
//! - one that was closed, and has grown by less than a tenth since (a log that is opened for each line), `3 t` after it ended,
//!   but no later than an interval: what was closed is not held back for long;
//! - any other change is sent as soon as it has rested ([`REST`]): it is a save, and not one of many;
//! - what is called as if it were to be renamed in a moment rests for longer ([`TEMPORARY`]), for then it is seen by nobody.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::tree::Ino;

/// How long an entry must rest before it is sent.
pub(super) const REST: Duration = Duration::from_millis(400);

/// How long an entry that does not rest is held back at most.
pub(super) const REST_AT_MOST: Duration = Duration::from_secs(3);

/// As [`REST`], for a file with a temporary name.
pub(super) const TEMPORARY: Duration = Duration::from_secs(10);

/// As [`REST_AT_MOST`], for a file with a temporary name.
const TEMPORARY_AT_MOST: Duration = Duration::from_mins(1);

/// What is known of more uploads than this is forgotten as far as it does not matter any more.
const KNOWN: usize = 4096;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::writeback) enum Change {
    /// Bytes were appended to a file, and nothing else.
    Grown {
        /// Its size now.
        size: u64,
        /// Somebody goes on writing it.
        open: bool,
    },
    /// It is a file whose name says that it will be renamed.
    Temporary,
    /// Anything else.
    Other,
}

impl Change {
    /// What two changes are together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Grown { .. }, Self::Grown { .. }) | (_, Self::Temporary) => other,
            // What was temporary has another name by now.
            (Self::Other, _) | (_, Self::Other) => Self::Other,
            (Self::Temporary, Self::Grown { .. }) => Self::Temporary,
        }
    }
}

/// The last upload of a file.
#[derive(Debug, Clone, Copy)]
struct Past {
    began: Instant,
    ended: Instant,
    size: u64,
}

impl Past {
    fn took(&self) -> Duration {
        self.ended.duration_since(self.began)
    }
}

/// What was sent lately.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    past: HashMap<Ino, Past>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), past: HashMap::new() }
    }
}

impl Pace {
    /// `interval`: how often a file that stays open while it is written is to be sent.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, past: HashMap::new() }
    }

    /// A file was sent.
    pub(super) fn sent(&mut self, ino: Ino, began: Instant, size: u64) {
        let now = Instant::now();
        self.past.insert(ino, Past { began, ended: now, size });
        if self.past.len() > KNOWN {
            let interval = self.interval;
            self.past.retain(|_, past| {
                let matters = (past.began + interval).max(past.ended + past.took() * 3);
                // What took no time to send will not take any the next time.
                matters > now && past.took() > REST / 3
            });
        }
    }

    /// Before when a changed file is not sent, whatever else holds; and nothing else if there is an answer.
    pub(super) fn not_before(&self, ino: Ino, change: Change) -> Option<Instant> {
        let Change::Grown { size, open } = change else { return None };
        let past = self.past.get(&ino)?;
        if open {
            return Some((past.began + self.interval).max(past.ended + past.took() * 3));
        }
        let grew_little = size >= past.size && size - past.size < (past.size / 10).max(1);
        grew_little.then(|| past.ended + (past.took() * 3).min(self.interval))
    }
}

/// When an entry that changed is sent: `since` when it waits.
pub(super) fn rested(change: Change, since: Instant) -> Instant {
    let (rest, at_most) = match change {
        Change::Temporary => (TEMPORARY, TEMPORARY_AT_MOST),
        Change::Grown { .. } | Change::Other => (REST, REST_AT_MOST),
    };
    (Instant::now() + rest).min(since + at_most)
}
