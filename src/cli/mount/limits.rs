//! Flags: how long, how often, how much.

use std::time::Duration;

use crate::config::{Bytes, Fsync, Limits, ReadAhead};
use crate::config::{parse_cache_size, parse_duration, parse_rate};

/// How long, how often, how much.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How much of the disk the cache may take
    #[arg(long, value_name = "SIZE", env = "DRIVEMOUNT_CACHE_SIZE", default_value = "10G", value_parser = parse_cache_size)]
    pub(super) cache_size: Bytes,
    /// How much of its disk the cache leaves free; default: 256M, or a twentieth of a small disk
    #[arg(long, value_name = "SIZE", env = "DRIVEMOUNT_CACHE_MIN_FREE_SPACE")]
    cache_min_free_space: Option<Bytes>,
    /// Which content is fetched before a program asks for it
    #[arg(long, value_name = "WHAT", env = "DRIVEMOUNT_READ_AHEAD", value_enum, default_value_t)]
    pub(super) read_ahead: ReadAhead,
    /// How often to look for changes made elsewhere
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_POLL_INTERVAL", default_value = "5s", value_parser = parse_duration)]
    pub(super) poll_interval: Duration,
    /// How long a program waits for a drive that does not answer, before it gets an error
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_NETWORK_TIMEOUT", default_value = "2m", value_parser = parse_duration)]
    pub(super) network_timeout: Duration,
    /// How often to send files that stay open while they are written
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_SYNC_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    pub(super) sync_interval: Duration,
    /// What fsync waits for, if a program calls it
    #[arg(long, value_name = "WHERE", env = "DRIVEMOUNT_FSYNC", value_enum, default_value_t)]
    pub(super) fsync: Fsync,
    /// How many files are sent at one time; default: 24 small ones, of large ones 4
    #[arg(long, value_name = "COUNT", env = "DRIVEMOUNT_TRANSFERS",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    transfers: Option<u16>,
    /// Bytes of content a second to the drive at most, as 5M; default: as fast as it goes
    #[arg(long, value_name = "RATE", env = "DRIVEMOUNT_MAX_UPLOAD_RATE", value_parser = parse_rate)]
    max_upload_rate: Option<Bytes>,
    /// Bytes of content a second from the drive at most, as 5M; default: as fast as it goes
    #[arg(long, value_name = "RATE", env = "DRIVEMOUNT_MAX_DOWNLOAD_RATE", value_parser = parse_rate)]
    max_download_rate: Option<Bytes>,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            transfers: self.transfers.map(usize::from),
            upload_rate: self.max_upload_rate,
            download_rate: self.max_download_rate,
            free_space: self.cache_min_free_space,
        }
    }
}
