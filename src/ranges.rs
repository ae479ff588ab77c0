//! Sets of byte ranges: which parts of a file are there.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets, kept as disjoint half-open ranges.
///
/// Invariants: no range is empty; no two ranges overlap or touch (they would be one).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start of each range to its end.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Everything that overlaps or touches the new range becomes one with it. Such ranges start at or before its end;
        // going downwards, the first that ends before its start is the last to look at.
        while let Some((&near_start, &near_end)) = self.ranges.range(..=end).next_back() {
            if near_end < start {
                break;
            }
            start = start.min(near_start);
            end = end.max(near_end);
            self.ranges.remove(&near_start);
        }
        self.ranges.insert(start, end);
        self.check();
    }

    /// Takes everything from `start` on away.
    pub fn truncate(&mut self, start: u64) {
        self.ranges.split_off(&start);
        if let Some((_, end)) = self.ranges.iter_mut().next_back() {
            *end = (*end).min(start);
        }
        self.check();
    }

    /// Takes a range away.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.ranges.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.ranges.remove(&start);
            if start < range.start {
                self.ranges.insert(start, range.start);
            }
            if end > range.end {
                self.ranges.insert(range.end, end);
            }
        }
        self.check();
    }

    /// Whether all of `range` is in the set. The empty range is.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &end)| end >= range.end)
    }

    /// Cuts `range` into consecutive pieces, each wholly in the set (`true`) or wholly outside.
    pub fn pieces(&self, range: Range<u64>) -> Vec<(Range<u64>, bool)> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        // The one range that may start before ours, then those that start within.
        let first = self.ranges.range(..=range.start).next_back().map_or(range.start, |(&start, _)| start);
        for (&start, &end) in self.ranges.range(first..range.end) {
            if end <= at {
                continue;
            }
            if start > at {
                pieces.push((at..start, false));
                at = start;
            }
            let to = end.min(range.end);
            pieces.push((at..to, true));
            at = to;
        }
        if at < range.end {
            pieces.push((at..range.end, false));
        }
        pieces
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// How many offsets are in the set.
    pub fn total(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// As bytes, for storing: start and end of each range, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        self.iter().flat_map(|range| [range.start.to_le_bytes(), range.end.to_le_bytes()].concat()).collect()
    }

    /// From stored bytes. `None` if they are not a set as [`RangeSet::encode`] writes it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (pairs, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return None;
        }
        let mut set = Self::new();
        let mut least = 0;
        for pair in pairs {
            let start = u64::from_le_bytes(pair[..8].try_into().ok()?);
            let end = u64::from_le_bytes(pair[8..].try_into().ok()?);
            if start < least || start >= end {
                return None;
            }
            set.ranges.insert(start, end);
            least = end.checked_add(1)?;
        }
        Some(set)
    }

    fn check(&self) {
        if cfg!(debug_assertions) {
            let ranges: Vec<_> = self.iter().collect();
            assert!(ranges.iter().all(|range| range.start < range.end), "empty range in {ranges:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "touching ranges in {ranges:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut set = RangeSet::new();
        set.insert(0..10);
        set.insert(20..30);
        set.insert(10..20);
        assert_eq!(set.iter().next(), Some(0..30));
        assert_eq!(set.iter().count(), 1);
        assert!(set.contains(&(0..30)) && !set.contains(&(0..31)) && set.contains(&(99..99)));
    }

    #[test]
    fn pieces_tell_what_is_there_and_what_is_not() {
        let mut set = RangeSet::new();
        set.insert(2..4);
        set.insert(6..8);
        assert_eq!(set.pieces(0..10), [(0..2, false), (2..4, true), (4..6, false), (6..8, true), (8..10, false)]);
        assert_eq!(set.pieces(3..7), [(3..4, true), (4..6, false), (6..7, true)]);
        assert_eq!(set.pieces(4..6), [(4..6, false)]);
        assert_eq!(set.pieces(5..5), []);
    }

    #[test]
    fn damaged_bytes_are_no_set() {
        let mut set = RangeSet::new();
        set.insert(2..4);
        set.insert(6..8);
        let bytes = set.encode();
        assert_eq!(RangeSet::decode(&bytes), Some(set));
        assert_eq!(RangeSet::decode(&bytes[..31]), None);
        assert_eq!(RangeSet::decode(&[&bytes[16..], &bytes[..16]].concat()), None);
        assert_eq!(RangeSet::decode(&[0; 16]), None);
    }

    proptest! {
        #[test]
        fn a_set_is_what_a_row_of_flags_would_be(
            steps in prop::collection::vec((0_u8..5, 0_u64..100, 0_u64..30), 0..40),
            from in 0_u64..130,
            length in 0_u64..130,
        ) {
            let mut set = RangeSet::new();
            let mut flags = vec![false; 300];
            for (step, start, length) in steps {
                let range = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
                match step {
                    0 => {
                        set.truncate(start);
                        flags[range.start..].fill(false);
                    }
                    1 => {
                        set.remove(start..start + length);
                        flags[range].fill(false);
                    }
                    _ => {
                        set.insert(start..start + length);
                        flags[range].fill(true);
                    }
                }
            }
            let range = from..from + length;
            let expected: Vec<bool> =
                range.clone().map(|offset| flags[usize::try_from(offset).unwrap()]).collect();
            let pieces = set.pieces(range.clone());
            let seen: Vec<bool> =
                pieces.iter().flat_map(|(piece, there)| piece.clone().map(move |_| *there)).collect();
            prop_assert_eq!(&seen, &expected);
            prop_assert!(pieces.windows(2).all(|pair| pair[0].1 != pair[1].1), "neighbouring pieces differ");
            prop_assert_eq!(set.contains(&range), expected.iter().all(|&there| there));
            prop_assert_eq!(set.total(), flags.iter().filter(|&&there| there).count() as u64);
            prop_assert_eq!(RangeSet::decode(&set.encode()), Some(set));
        }
    }
}
