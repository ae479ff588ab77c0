//! How one handle reads, and how far ahead to fetch for it.

use std::ops::Range;

use crate::cache::BLOCK;

/// What is fetched ahead of a handle that just began at the start of a file. One request's worth of small change: most files
/// are smaller, and a header read of a huge file costs no more than this.
const FIRST_WINDOW: u64 = 4 * BLOCK;

/// The most that is fetched ahead of one handle. At 100 ms of delay this keeps 640 MB/s in flight.
const LARGEST_WINDOW: u64 = 64 * 1024 * 1024;

/// How far from the expected place a read still counts as reading on: the kernel's readahead sends neighbouring requests in
/// any order.
const SLACK: u64 = 1024 * 1024;

/// The reading of one handle.
///
/// Invariant: `window` is 0 (no reading on seen) or at most the largest.
#[derive(Debug, Default)]
pub struct Session {
    /// The end of the furthest read so far, since reading on began.
    expected: u64,
    /// How far ahead to fetch.
    window: u64,
    /// Up to where fetching was asked for.
    asked: u64,
}

impl Session {
    /// Notes a read, and says which bytes beyond it should be fetched now, no further ahead than `most`. May be empty; may pass
    /// the end of the file.
    pub fn advance(&mut self, read: &Range<u64>, most: u64) -> Range<u64> {
        let begins = self.expected == 0 && read.start == 0;
        let goes_on = self.expected > 0 && read.start <= self.expected + SLACK && read.end + SLACK >= self.expected;
        if begins {
            self.window = FIRST_WINDOW;
            self.asked = read.end;
        } else if !goes_on {
            // Somewhere else: exactly what is read, until it reads on from there.
            *self = Self { expected: read.end, window: 0, asked: read.end };
            return read.end..read.end;
        } else if self.window == 0 {
            self.window = FIRST_WINDOW;
        }
        self.window = self.window.min(most);
        self.expected = self.expected.max(read.end);
        self.asked = self.asked.max(self.expected);
        // Ask for more when half of the window is used up, so that requests are large and the pipe never runs dry.
        if self.asked - self.expected > self.window / 2 {
            return read.end..read.end;
        }
        let until = self.expected + self.window;
        let ahead = self.asked..until;
        self.asked = until;
        self.window = (self.window * 2).min(LARGEST_WINDOW);
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    #[test]
    fn reading_on_grows_the_window_and_never_asks_twice() {
        let mut session = Session::default();
        let (mut asked, mut at) = (0, 0);
        let mut largest = 0;
        while at < 1 << 30 {
            let read = at..at + 128 * KIB;
            let ahead = session.advance(&read, u64::MAX);
            if !ahead.is_empty() {
                assert!(ahead.start >= asked, "{ahead:?} was asked for up to {asked}");
                asked = ahead.end;
                largest = largest.max(ahead.end - read.end);
            }
            assert!(at == 0 || asked > read.start, "the reader is never ahead of what was asked for");
            at = read.end;
        }
        assert_eq!(largest, LARGEST_WINDOW);
    }

    #[test]
    fn a_header_read_fetches_little() {
        let mut session = Session::default();
        assert!(session.advance(&(0..128 * KIB), u64::MAX).end <= 2 * KIB * KIB);
    }

    #[test]
    fn random_reads_fetch_nothing_ahead() {
        let mut session = Session::default();
        for at in [700, 3, 512, 90, 1] {
            let at = at * 1024 * KIB * 3;
            assert!(session.advance(&(at..at + 4096), u64::MAX).is_empty());
        }
    }

    #[test]
    fn requests_that_overtake_each_other_still_read_on() {
        let mut session = Session::default();
        session.advance(&(0..128 * KIB), u64::MAX);
        session.advance(&(256 * KIB..384 * KIB), u64::MAX);
        session.advance(&(128 * KIB..256 * KIB), u64::MAX);
        assert!(session.window >= FIRST_WINDOW);
    }
}
