//! How many read on at this time: what may be fetched ahead over the whole mount is shared between them.
//!
//! Who opened a file and reads it no more has no part in it. So those are counted who were seen in the last moments, by asking each
//! to be counted when it comes by.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Instant;

/// How long a count goes on.
const COUNTING: Duration = Duration::from_secs(1);

/// Counts those who read on.
#[derive(Debug)]
pub(super) struct Census(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    since: Instant,
    /// The number of the count that goes on, from 1.
    number: u64,
    /// How many it has so far, and how many the one before had.
    so_far: u64,
    before: u64,
}

impl Default for Census {
    fn default() -> Self {
        Self(Mutex::new(Counts { since: Instant::now(), number: 1, so_far: 0, before: 0 }))
    }
}

impl Census {
    /// Counts somebody, whose last count was that of the number `counted`; says how many there are, them included.
    pub(super) fn count(&self, counted: &mut u64) -> u64 {
        self.count_at(counted, Instant::now())
    }

    fn count_at(&self, counted: &mut u64, now: Instant) -> u64 {
        let mut counts = self.0.lock();
        let took = now.saturating_duration_since(counts.since);
        if took >= COUNTING {
            let before = if took < 2 * COUNTING { counts.so_far } else { 0 };
            *counts = Counts { since: now, number: counts.number + 1, so_far: 0, before };
        }
        if *counted != counts.number {
            *counted = counts.number;
            counts.so_far += 1;
        }
        counts.so_far.max(counts.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_count_who_came_by_lately_and_each_once() {
        let census = Census::default();
        let mut now = Instant::now();
        let mut streams = [0; 64];
        for _ in 0..3 {
            for stream in &mut streams {
                census.count_at(stream, now);
            }
        }
        assert_eq!(census.count_at(&mut streams[0], now), 64);
        now += COUNTING;
        assert_eq!(census.count_at(&mut streams[0], now), 64, "the others may come yet");
        now += COUNTING;
        assert_eq!(census.count_at(&mut streams[0], now), 1, "they did not");
        for stream in &mut streams {
            census.count_at(stream, now);
        }
        now += 5 * COUNTING;
        assert_eq!(census.count_at(&mut streams[0], now), 1);
    }
}
