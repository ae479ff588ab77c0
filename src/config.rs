//! Settings of a mount: one validated [`MountConfig`], whatever it was said by.
//!
//! Flags, and the environment variables of the same names, are read by [`crate::cli`]; this module knows what they mean, which
//! values make sense, and each default with its reason. The whole can be written down and read again, to be handed to the daemon
//! without showing its secrets in the list of processes.

mod application_default;
mod choices;
mod credentials;
mod limits;
mod places;
mod rclone;
mod settings;
mod shown;
mod source;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

pub use self::application_default::{GOOGLE_CREDENTIALS, application_default, gcloud_file, metadata_host};
pub use self::choices::{
    Docs, Fsync, Keeper, ListAhead, LogFormat, Logging, Occupied, Passthrough, ReadAhead, TreeSnapshot, UseTrash,
    parse_metrics_address,
};
pub use self::credentials::{Credentials, DEFAULT_ACCOUNT, GCLOUD_LOGIN};
pub use self::limits::{Limits, parse_rate};
pub use self::places::{absolute, config_dir, default_cache_dir, default_cache_root, real, user_dir};
pub use self::rclone::rclone_config;
pub use self::settings::{Settings, differences};
pub use self::shown::{Shown, UMASK, parse_mode};
pub use self::source::Source;
pub use self::units::{Bytes, parse_age, parse_duration};

/// Variables that hold secrets: what we start is not told them.
pub const SECRET_VARIABLES: [&str; 3] = ["DRIVEMOUNT_TOKEN", "DRIVEMOUNT_TOKEN_COMMAND", "DRIVEMOUNT_CLIENT_SECRET"];

/// Google's own address.
pub const GOOGLE: &str = "https://www.googleapis.com";

/// The cache takes this much of the disk. Enough for the data set of a tutorial and for the checkpoints of a training; small
/// against the disks of rented machines (tens to hundreds of gigabytes).
pub const CACHE_SIZE: Bytes = Bytes(10 << 30);

/// With less than this a cache holds a few blocks of the files that are being read, and fetches them again and again.
pub const LEAST_CACHE: Bytes = Bytes(crate::cache::LEAST);

/// How often the drive is asked for changes made elsewhere. One request of 100 quota units each time: at this interval 0.4 % of
/// what an account may use.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How long somebody who reads waits for a drive that does not answer. Longer than the usual hiccup of a network or the pause
/// after a rate limit, short enough to get an error rather than to give up on the machine.
pub const NETWORK_TIMEOUT: Duration = Duration::from_mins(2);

/// How often content that is written and not closed is put into the journal and sent: what a machine that is lost in the middle
/// of a long-running log costs at most.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(30);

/// The name of the socket of a running mount within its cache folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The name of the log within a cache folder.
pub const LOG_FILE: &str = "drivemount.log";

/// Everything that a mount is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// What.
    pub source: Source,
    /// Where: absolute.
    pub mountpoint: PathBuf,
    /// Address of the API, if it is not that of the source.
    pub api_url: Option<Url>,
    /// Who; a local source needs nobody.
    pub credentials: Option<Credentials>,
    /// Cache, staging, journal and log: absolute.
    pub cache_dir: PathBuf,
    /// How much of the disk the cache may take.
    pub cache_size: Bytes,
    /// How often to ask for changes made elsewhere.
    pub poll_interval: Duration,
    /// How long to wait for a drive that does not answer.
    pub network_timeout: Duration,
    /// How often to send what is written and not closed.
    pub sync_interval: Duration,
    /// No changes at all.
    pub read_only: bool,
    /// Other users may use it too.
    pub allow_other: bool,
    /// What to log, as `tracing` has it: `info`, `debug`, `drivemount::writeback=debug`.
    pub log_level: String,
    /// Where the log goes.
    pub log: Logging,
    /// Owner and permission bits of what has none of its own.
    pub shown: Shown,
    /// What becomes of files that are in the mountpoint.
    pub occupied: Occupied,
    /// How much of the line and of the disk it may take.
    pub limits: Limits,
    /// What becomes of what is removed.
    pub use_trash: UseTrash,
    /// Which folders are listed though nobody asked.
    pub list_ahead: ListAhead,
    /// What is fetched though nobody asked.
    pub read_ahead: ReadAhead,
    /// What becomes of what is known of the drive.
    pub tree_snapshot: TreeSnapshot,
    /// Whether the kernel may read files of the cache by itself.
    pub passthrough: Passthrough,
    /// Whether the mount outlives its daemon.
    #[serde(default)]
    pub keeper: Keeper,
    /// What `fsync` waits for.
    pub fsync: Fsync,
    /// What documents of online editors are shown as.
    pub docs: Docs,
    /// The folder of the drive that is shown as its root, by path or id; `None`: all of it.
    pub root: Option<String>,
    /// Where numbers are served.
    pub metrics: Option<SocketAddr>,
}

impl MountConfig {
    /// Where commands reach the mount.
    pub fn control_socket(&self) -> PathBuf {
        self.cache_dir.join(CONTROL_SOCKET)
    }

    /// Where the drive is, for people.
    pub fn address(&self) -> String {
        match (&self.source, &self.api_url) {
            (Source::Local(_), _) => self.source.to_string(),
            (Source::Http(url), None) | (_, Some(url)) => url.origin().ascii_serialization(),
            (Source::Google, None) => GOOGLE.to_owned(),
        }
    }

    /// Where a mount in the background writes what it has to say.
    pub fn log_file(&self) -> PathBuf {
        self.log.file.clone().unwrap_or_else(|| self.cache_dir.join(LOG_FILE))
    }
}

/// Parses the size of a cache, which has a least one.
pub fn parse_cache_size(text: &str) -> Result<Bytes, String> {
    let size: Bytes = text.parse()?;
    if size < LEAST_CACHE {
        return Err(format!("too small for a cache to be of use; give {LEAST_CACHE} or more"));
    }
    Ok(size)
}

/// Parses the address of a web server.
pub fn parse_web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "not the address of a web server; write it as http://HOST:PORT".to_owned())
}

/// Checks what to log: a level, or levels by part.
pub fn parse_log_level(text: &str) -> Result<String, String> {
    // `tracing` takes any other word for the name of a part, of which it then logs everything.
    let is_level = |level: &str| !level.is_empty() && level.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let known = |directive: &str| match directive.split_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(directive) || directive.starts_with(env!("CARGO_PKG_NAME")),
    };
    let known = text.split(',').all(|directive| known(directive.trim()));
    if known && tracing_subscriber::EnvFilter::try_new(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("no log level; it is error, warn, info, debug or trace, or as `drivemount::writeback=debug`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_levels_are_told_from_other_words() {
        for text in ["info", "ERROR", "drivemount::writeback=debug", "warn,drivemount::fs=trace", "off"] {
            assert!(parse_log_level(text).is_ok(), "{text:?}");
        }
        for text in ["", "loud", "verbose=loud=very", "info,loud", "drivemount=loud"] {
            assert!(parse_log_level(text).is_err(), "{text:?}");
        }
    }
}
