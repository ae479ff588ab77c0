//! How one handle reads, and how far ahead to fetch for it.
//!
//! A handle is read at several places at one time: by the threads of a pool, through a map, by the kernel, whose readahead sends
//! neighbouring requests in any order. So a session follows several *streams*, each with a window of its own.

use std::ops::Range;

use super::reader::PART;
use crate::cache::BLOCK;

/// How many places of one handle are followed; the least recently read is forgotten for a new one.
const STREAMS: usize = 8;

/// What is fetched ahead at first of who begins at the start of a file, or reads on anywhere. One request's worth of small change:
/// most files are smaller, and a header read of a huge file costs no more than this.
const FIRST_WINDOW: u64 = 4 * BLOCK;

/// The most that is fetched ahead of one stream. At 150 ms of delay this keeps 800 MB/s in flight.
const LARGEST_WINDOW: u64 = 128 * 1024 * 1024;

/// How much larger a window is after who reads had to wait: two steps from the first to the largest, since each costs a round trip.
/// Who stops reading has had so much more fetched than they read at most.
const GROWTH: u64 = 16;

/// So large a window becomes without any waiting, for the sake of large requests: half of it is asked for at a time.
const UNHURRIED_WINDOW: u64 = 2 * PART;

/// How far from the expected place a read still counts as reading on: the kernel's readahead sends neighbouring requests in
/// any order.
const SLACK: u64 = 1024 * 1024;

/// The reading of one handle.
#[derive(Debug, Default)]
pub struct Session {
    /// The places that are read, the last one read last.
    streams: Vec<Stream>,
}

/// One place of a handle that is read on from.
///
/// INVARIANT: `window` is 0 as long as nobody read on.
#[derive(Debug, Default)]
struct Stream {
    /// Where it began.
    start: u64,
    /// The end of the furthest read so far.
    end: u64,
    /// How far ahead to fetch.
    window: u64,
    /// Up to where fetching was asked for.
    asked: u64,
    /// Up to where it was when the window last grew: who waits for that does not wait for want of a larger one.
    asked_before: u64,
    /// When it was last counted among those who read on.
    counted: u64,
}

/// What a read tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advance {
    /// Which bytes should be fetched now, those that are here or under way left out by who fetches. May be empty; may pass the end
    /// of the file.
    pub(super) ahead: Range<u64>,
    /// It is at a place where nobody read before.
    pub(super) jumps: bool,
}

impl Session {
    /// Notes a read, of bytes that were `here` or are waited for. `share` says how far ahead of a stream to fetch at most; it gets what
    /// it left there the last time.
    pub(super) fn advance(&mut self, read: &Range<u64>, here: bool, share: impl FnOnce(&mut u64) -> u64) -> Advance {
        let goes_on = |stream: &Stream| read.start <= stream.end + SLACK && read.end + SLACK >= stream.end;
        let nearest = |number: &usize| self.streams[*number].end.abs_diff(read.start);
        let followed = (0..self.streams.len()).filter(|&number| goes_on(&self.streams[number])).min_by_key(nearest);
        let Some(followed) = followed else { return self.begin(read, share) };
        // The last one read is the last of the list.
        self.streams[followed..].rotate_left(1);
        let ahead = self.streams.last_mut().map_or(read.end..read.end, |stream| stream.advance(read, here, share));
        Advance { ahead, jumps: false }
    }

    /// A read at a new place: exactly what is read, until somebody reads on from there. Only who begins at the start of the file
    /// most likely will.
    fn begin(&mut self, read: &Range<u64>, share: impl FnOnce(&mut u64) -> u64) -> Advance {
        if self.streams.len() == STREAMS {
            self.streams.remove(0);
        }
        let mut stream =
            Stream { start: read.start, end: read.end, asked: read.end, asked_before: read.end, ..Stream::default() };
        if read.start == 0 {
            stream.window = FIRST_WINDOW.min(share(&mut stream.counted));
            stream.asked += stream.window;
            stream.asked_before = stream.asked;
        }
        let ahead = read.end..stream.asked;
        self.streams.push(stream);
        Advance { ahead, jumps: true }
    }
}

impl Stream {
    fn advance(&mut self, read: &Range<u64>, here: bool, share: impl FnOnce(&mut u64) -> u64) -> Range<u64> {
        self.end = self.end.max(read.end);
        let most = share(&mut self.counted).min(LARGEST_WINDOW);
        let waits_for_more = !here && read.end > self.asked_before && self.window > 0;
        let grown = if self.window == 0 {
            FIRST_WINDOW
        } else if waits_for_more {
            self.asked_before = self.asked;
            self.window * GROWTH
        } else if self.window < UNHURRIED_WINDOW && self.end - self.start >= 2 * self.window {
            self.window * 2
        } else {
            self.window
        };
        self.window = grown.min(most);
        self.asked = self.asked.max(self.end);
        let asked = self.asked;
        // More when half of the window is used up, so that requests are large and the pipe never runs dry.
        if self.asked - self.end <= self.window / 2 {
            self.asked = self.end + self.window;
        }
        // All of it again for who waits: what was asked for before may have failed, or be evicted.
        if here { asked..self.asked } else { read.end..self.asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    const READ: u64 = 128 * KIB;

    fn no_bound(_: &mut u64) -> u64 {
        u64::MAX
    }

    /// A line with a delay: what is asked for arrives one trip later, however much it is. One trip passes while a reader waits.
    #[derive(Default)]
    struct Line {
        session: Session,
        /// What is here, and what is under way.
        here: Vec<Range<u64>>,
        under_way: Vec<Range<u64>>,
        trips: u32,
        fetched: u64,
    }

    impl Line {
        fn has(&self, read: &Range<u64>) -> bool {
            self.here.iter().any(|range| range.start <= read.start && read.end <= range.end)
        }

        /// Reads; says how far beyond the read was asked for.
        fn read(&mut self, read: Range<u64>) -> u64 {
            let here = self.has(&read);
            let Advance { ahead, .. } = self.session.advance(&read, here, no_bound);
            let wanted = if here { ahead } else { read.start..read.end.max(ahead.end) };
            for at in (wanted.start / READ..wanted.end.div_ceil(READ)).map(|number| number * READ) {
                let piece = at..at + READ;
                if !self.has(&piece) && !self.under_way.contains(&piece) {
                    self.fetched += READ;
                    self.under_way.push(piece);
                }
            }
            if !here {
                self.trips += 1;
                self.here.append(&mut self.under_way);
                self.here.sort_by_key(|range| range.start);
                self.here.dedup_by(|next, range| {
                    let joins = next.start <= range.end;
                    range.end = if joins { range.end.max(next.end) } else { range.end };
                    joins
                });
                assert!(self.has(&read), "{read:?} was asked for");
            }
            wanted.end.saturating_sub(read.end)
        }
    }

    #[test]
    fn who_waits_has_more_fetched_ahead_until_nothing_is_waited_for() {
        let mut line = Line::default();
        let most = (0..1024 * MIB / READ).map(|number| line.read(number * READ..(number + 1) * READ)).max();
        // The first three trips bring 1, 16 and 128 MiB.
        assert!((9..=14).contains(&line.trips), "{} trips", line.trips);
        assert_eq!(most, Some(LARGEST_WINDOW));
        assert!(line.fetched <= 1024 * MIB + LARGEST_WINDOW, "nothing is fetched twice");
    }

    #[test]
    fn who_never_waits_has_no_more_fetched_ahead_than_makes_large_requests() {
        let mut session = Session::default();
        let mut at = 0;
        let mut asked = Vec::new();
        while at < 1024 * MIB {
            let Advance { ahead, .. } = session.advance(&(at..at + READ), true, no_bound);
            assert!(ahead.is_empty() || ahead.end <= at + READ + UNHURRIED_WINDOW, "{ahead:?} at {at}");
            asked.extend((!ahead.is_empty()).then_some(ahead));
            at += READ;
        }
        assert!(asked.windows(2).all(|two| two[0].end == two[1].start), "without a gap, and nothing twice");
        assert!(asked.len() < 140, "{} requests", asked.len());
    }

    #[test]
    fn several_places_of_one_handle_are_read_on_each_for_itself() {
        let mut line = Line::default();
        let quarter = 256 * MIB;
        // All four wait at one time, so their trips overlap: here they are counted one by one.
        for number in 0..quarter / READ {
            for part in 0..4 {
                let at = part * quarter + number * READ;
                line.read(at..at + READ);
            }
        }
        assert!(line.trips <= 4 * 8, "{} trips", line.trips);
        assert!(line.fetched <= 4 * quarter + LARGEST_WINDOW, "nothing is fetched twice");
    }

    #[test]
    fn places_that_were_left_long_ago_are_forgotten() {
        let mut session = Session::default();
        let place = |number: u64| number * 64 * MIB..number * 64 * MIB + READ;
        for number in 1..=STREAMS as u64 {
            assert!(session.advance(&place(number), true, no_bound).jumps);
        }
        let on = |number| place(number).end..place(number).end + READ;
        assert!(!session.advance(&on(1), true, no_bound).jumps);
        assert!(session.advance(&place(20), true, no_bound).jumps);
        assert!(!session.advance(&(on(1).end..on(1).end + READ), true, no_bound).jumps, "it was read just before");
        assert!(session.advance(&on(2), true, no_bound).jumps, "the oldest had to go");
        assert_eq!(session.streams.len(), STREAMS);
    }

    #[test]
    fn a_header_read_fetches_little() {
        let mut line = Line::default();
        for read in [0..16 * KIB, 16 * KIB..48 * KIB, 48 * KIB..112 * KIB] {
            line.read(read);
        }
        assert!(line.fetched <= 2 * MIB, "{}", line.fetched);
    }

    #[test]
    fn random_reads_fetch_nothing_ahead() {
        let mut session = Session::default();
        for at in [700, 3, 512, 90, 1, 600, 30, 50, 70, 300, 20] {
            let at = at * 3 * MIB;
            let advance = session.advance(&(at..at + 4096), false, no_bound);
            assert!(advance.ahead.is_empty() && advance.jumps);
        }
    }

    #[test]
    fn who_seeks_begins_anew() {
        let mut line = Line::default();
        for number in 0..512 {
            line.read(number * READ..(number + 1) * READ);
        }
        assert_eq!(line.read(512 * MIB..512 * MIB + READ), 0);
        assert_eq!(line.read(512 * MIB + READ..512 * MIB + 2 * READ), FIRST_WINDOW);
    }

    #[test]
    fn requests_that_overtake_each_other_still_read_on() {
        let mut line = Line::default();
        let mut order: Vec<u64> = (0..800).collect();
        order.chunks_mut(4).for_each(|four| four.swap(1, 2));
        for number in order {
            line.read(number * READ..(number + 1) * READ);
        }
        assert_eq!(line.session.streams.len(), 1);
        assert!(line.trips <= 6, "{} trips", line.trips);
    }

    #[test]
    fn no_more_is_fetched_ahead_than_the_share() {
        let mut session = Session::default();
        for number in 0..1000 {
            let read = number * READ..(number + 1) * READ;
            let Advance { ahead, .. } = session.advance(&read, number % 3 == 0, |_| 3 * MIB);
            assert!(ahead.end <= read.end + 3 * MIB);
        }
    }
}
