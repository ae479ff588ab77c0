//! Special files: what `mknod(2)` makes beside regular files.
//!
//! Their names and attributes are kept; what goes through them stays on the machine that they are used on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of special file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// Where a process listens, or did.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl Special {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fifo, Self::Socket, Self::CharDevice, Self::BlockDevice];

    /// Whether it has device numbers.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }
}

/// Which device a device file stands for; as text, `MAJOR:MINOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its driver.
    pub major: u32,
    /// One of that driver's.
    pub minor: u32,
}

impl Device {
    /// From the number that the kernel and FUSE pass: 12 bits for the driver, amid 20 for the other.
    pub const fn from_kernel(number: u32) -> Self {
        Self { major: number >> 8 & 0xfff, minor: number & 0xff | number >> 12 & 0xf_ff00 }
    }

    /// That number.
    pub const fn to_kernel(self) -> u32 {
        (self.minor & 0xff) | (self.major & 0xfff) << 8 | (self.minor & 0xf_ff00) << 12
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once(':').ok_or(())?;
        let device = Self { major: major.parse().map_err(drop)?, minor: minor.parse().map_err(drop)? };
        // What no kernel could name is none.
        if Self::from_kernel(device.to_kernel()) == device { Ok(device) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_devices_go_both_ways() {
        for (major, minor) in [(0, 0), (1, 3), (7, 255), (8, 256), (0xfff, 0xf_ffff)] {
            let device = Device { major, minor };
            assert_eq!(Device::from_kernel(device.to_kernel()), device);
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!(Device { major: 1, minor: 3 }.to_kernel(), 0x103);
        for text in ["", "1", "1:", ":3", "1:3:5", "-1:3", "4096:0", "0:1048576"] {
            assert_eq!(text.parse::<Device>(), Err(()), "{text:?}");
        }
    }
}
