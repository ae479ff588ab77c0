//! What is shown of entries that carry no owner and no permission bits of their own: nearly all that came from elsewhere.

use serde::{Deserialize, Serialize};

use crate::sys;

/// What a file may be made with before the mask takes bits away, as `open(2)` has it.
const FILES: u32 = 0o666;

/// The same for folders.
const FOLDERS: u32 = 0o777;

/// The mask that most systems begin with.
pub const UMASK: u32 = 0o022;

/// Owner and permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// User and group.
    pub owner: (u32, u32),
    /// Permission bits of files.
    pub file_mode: u32,
    /// Permission bits of folders.
    pub dir_mode: u32,
}

impl Shown {
    /// The user who mounts, unless another is named; the bits that the mask leaves, unless they are given.
    pub fn new(uid: Option<u32>, gid: Option<u32>, umask: u32, file_mode: Option<u32>, dir_mode: Option<u32>) -> Self {
        let (user, group) = sys::user_and_group();
        Self {
            owner: (uid.unwrap_or(user), gid.unwrap_or(group)),
            file_mode: file_mode.unwrap_or(FILES & !umask),
            dir_mode: dir_mode.unwrap_or(FOLDERS & !umask),
        }
    }
}

/// Parses permission bits in octal: `640`, `0755`, `0o700`.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    let octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let bits = octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    match bits {
        Some(bits) if bits <= 0o777 => Ok(bits),
        Some(_) => Err("more than permission bits, which go from 000 to 777".to_owned()),
        None => Err("no permission bits; write them in octal, as 644 or 0755".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_are_read_in_octal() {
        for (text, bits) in [("644", 0o644), ("0755", 0o755), ("0o700", 0o700), ("0", 0), (" 022 ", 0o022)] {
            assert_eq!(parse_mode(text), Ok(bits), "{text:?}");
        }
        for text in ["", "0o", "rw-r--r--", "u=rw", "888", "-1", "+7", "6 4 4", "99999999999999"] {
            assert!(parse_mode(text).expect_err(text).contains("in octal, as 644"), "{text:?}");
        }
        for text in ["1777", "4755", "1000"] {
            assert!(parse_mode(text).expect_err(text).contains("000 to 777"), "{text:?}");
        }
    }

    #[test]
    fn the_mask_gives_way_to_bits_that_are_given() {
        let shown = Shown::new(Some(7), None, 0o077, None, Some(0o755));
        assert_eq!((shown.file_mode, shown.dir_mode), (0o600, 0o755));
        assert_eq!(shown.owner, (7, sys::user_and_group().1));
        let usual = Shown::new(None, None, UMASK, None, None);
        assert_eq!((usual.file_mode, usual.dir_mode, usual.owner), (0o644, 0o755, sys::user_and_group()));
    }
}
