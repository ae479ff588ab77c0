//! `Content-Range` of upload requests.
//!
//! ```text
//! bytes 0-524287/2000000      a piece; the content is 2000000 bytes long
//! bytes 0-524287/*            a piece; the length is not known yet, so it is not the last
//! bytes */2000000             no piece: a question, or "that was all"
//! bytes */*                   no piece: a question
//! ```

/// What an upload request says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// The bytes from `first` to `last`, both included.
    Piece { first: u64, last: u64, total: Option<u64> },
    /// No bytes.
    Query { total: Option<u64> },
}

impl ContentRange {
    /// Parses the header. `None` if it is malformed or contradicts itself.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']).split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        if range.trim() == "*" {
            return Some(Self::Query { total });
        }
        let (first, last) = range.trim().split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let fits = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        fits.then_some(Self::Piece { first, last, total })
    }
}

/// Digits only: `parse` alone would take a plus sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_are_read() {
        for (text, expected) in [
            ("bytes 0-524287/2000000", ContentRange::Piece { first: 0, last: 524_287, total: Some(2_000_000) }),
            ("bytes 0-524287/*", ContentRange::Piece { first: 0, last: 524_287, total: None }),
            ("bytes */2000000", ContentRange::Query { total: Some(2_000_000) }),
            ("bytes */*", ContentRange::Query { total: None }),
            ("bytes */0", ContentRange::Query { total: Some(0) }),
        ] {
            assert_eq!(ContentRange::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "bytes",
            "bytes 0-1",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes -1/10",
            "bytes 0-/10",
            "bytes +0-1/10",
            "items 0-1/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-1/x",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(bytes )?[0-9*/ -]{0,30}|.{0,30}") {
            let _ = ContentRange::parse(&text);
        }
    }
}
