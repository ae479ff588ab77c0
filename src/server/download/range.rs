//! `Range` of downloads: one range of bytes.

/// The part of a content that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range was asked for, or none that this server understands (which HTTP allows it to ignore).
    Whole,
    /// From `first`, `length` (at least one) bytes.
    Range { first: u64, length: u64 },
    /// Nothing of what was asked for exists.
    Unsatisfiable,
}

/// What the header asks of a content of `size` bytes.
pub(crate) fn part(header: Option<&str>, size: u64) -> Part {
    let Some((first, last)) = header.and_then(parse) else { return Part::Whole };
    let (first, end) = match (first, last) {
        (Bound::At(first), Bound::At(last)) if last < first => return Part::Whole,
        (Bound::At(first), Bound::At(last)) => (first, last.saturating_add(1).min(size)),
        (Bound::At(first), Bound::Open) => (first, size),
        (Bound::Open, Bound::At(length)) => (size.saturating_sub(length), size),
        (Bound::Open, Bound::Open) => return Part::Whole,
    };
    if first < end { Part::Range { first, length: end - first } } else { Part::Unsatisfiable }
}

/// One side of a range.
enum Bound {
    At(u64),
    Open,
}

fn parse(header: &str) -> Option<(Bound, Bound)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    Some((bound(first)?, bound(last)?))
}

/// `None` for anything but digits.
fn bound(text: &str) -> Option<Bound> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number beyond all numbers is beyond every size.
    Some(if text.is_empty() { Bound::Open } else { Bound::At(text.parse().unwrap_or(u64::MAX)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_range_selects_what_http_says() {
        let range = |first, length| Part::Range { first, length };
        for (header, size, expected) in [
            ("bytes=0-0", 10, range(0, 1)),
            ("bytes=2-5", 10, range(2, 4)),
            ("bytes=2-500", 10, range(2, 8)),
            ("bytes=2-", 10, range(2, 8)),
            ("bytes=-3", 10, range(7, 3)),
            ("bytes=-300", 10, range(0, 10)),
            ("Bytes = 2-5", 10, range(2, 4)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=-1", 0, Part::Unsatisfiable),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=0-1,4-5", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=x-", 10, Part::Whole),
            ("items=0-1", 10, Part::Whole),
            ("bytes", 10, Part::Whole),
        ] {
            assert_eq!(part(Some(header), size), expected, "{header} of {size}");
        }
        assert_eq!(part(None, 10), Part::Whole);
    }

    proptest! {
        #[test]
        fn a_range_always_lies_within_the_content(header in "bytes=[0-9]{0,20}-[0-9]{0,20}|.{0,20}", size: u64) {
            if let Part::Range { first, length } = part(Some(&header), size) {
                prop_assert!(length > 0 && first.checked_add(length).is_some_and(|end| end <= size));
            }
        }
    }
}
