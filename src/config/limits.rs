//! How much of the line and of the disk a mount may take.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// Bounds; `None`: what the rooms do by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Uploads at one time.
    pub transfers: Option<usize>,
    /// Bytes of content a second to the drive.
    pub upload_rate: Option<Bytes>,
    /// Bytes of content a second from the drive.
    pub download_rate: Option<Bytes>,
    /// What the cache leaves free on its disk.
    pub free_space: Option<Bytes>,
}

/// With less than this what a program reads takes minutes to come, and programs and servers give up.
const LEAST_RATE: Bytes = Bytes(128 << 10);

/// Parses bytes a second: `5M`, `500K`, also `5M/s`.
pub fn parse_rate(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let size: Bytes = text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| bad_rate())?;
    if size < LEAST_RATE {
        return Err(format!("too slow to move anything in time; give {LEAST_RATE} a second or more"));
    }
    Ok(size)
}

fn bad_rate() -> String {
    "not a rate; write bytes a second as 500K or 5M".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bytes_a_second() {
        for (text, bytes) in [("5M", 5 << 20), ("500K", 500 << 10), ("5M/s", 5 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(parse_rate(text), Ok(Bytes(bytes)), "{text:?}");
        }
        for text in ["", "fast", "5M/h", "-5M"] {
            assert!(parse_rate(text).expect_err(text).contains("bytes a second"), "{text:?}");
        }
        assert!(parse_rate("1K").expect_err("slow").contains("128 KiB a second or more"));
    }
}
