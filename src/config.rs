//! Settings of a mount: one validated [`MountConfig`], whatever it was said by.
//!
//! Flags, and the environment variables of the same names, are read by [`crate::cli`]; this module knows what they mean, which
//! values make sense, and each default with its reason. The whole can be written down and read again, to be handed to the daemon
//! without showing its secrets in the list of processes.

mod application_default;
mod choices;
mod credentials;
mod limits;
mod rclone;
mod settings;
mod shown;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

pub use self::application_default::{GOOGLE_CREDENTIALS, application_default, gcloud_file, metadata_host};
pub use self::choices::{LogFormat, Logging, Occupied, UseTrash, parse_metrics_address};
pub use self::credentials::{Credentials, DEFAULT_ACCOUNT, GCLOUD_LOGIN};
pub use self::limits::{Limits, parse_rate};
pub use self::rclone::rclone_config;
pub use self::settings::{Settings, differences};
pub use self::shown::{Shown, UMASK, parse_mode};

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

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Google Drive.
    Google,
    /// A folder of this machine, served by an embedded drive within the mount.
    Local(PathBuf),
    /// Any server that speaks the Drive API.
    Http(Url),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "google" {
            return Ok(Self::Google);
        }
        if let Some(dir) = text.strip_prefix("local:") {
            return if dir.is_empty() {
                Err("local: needs a folder, as in local:/path/to/folder".into())
            } else {
                Ok(Self::Local(dir.into()))
            };
        }
        let url = parse_web_address(text);
        url.map(Self::Http).map_err(|_| "not a source; it is `google`, `local:DIR` or `http://HOST:PORT`".to_owned())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Google => f.write_str("google"),
            Self::Local(dir) => write!(f, "local:{}", dir.display()),
            // Userinfo in an address is a secret, and nobody needs the rest of it.
            Self::Http(url) => f.write_str(&url.origin().ascii_serialization()),
        }
    }
}

impl Source {
    /// A name for the folder of its cache: readable, and different for different sources.
    fn key(&self) -> String {
        match self {
            Self::Google => "google".to_owned(),
            Self::Local(dir) => {
                let name = dir.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
                format!("local-{}-{}", tame(&name), digest(dir.as_os_str().as_encoded_bytes()))
            }
            Self::Http(url) => {
                let host = url.host_str().unwrap_or("host");
                let origin = url.origin().ascii_serialization() + url.path();
                format!("{}-{}-{}", url.scheme(), tame(host), digest(origin.as_bytes()))
            }
        }
    }
}

fn tame(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(40)
        .collect()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..4].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

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

/// The cache folder of a source when none is given: in the user's cache folder, one for each, for each account, and for each root
/// of it.
pub fn default_cache_dir(source: &Source, credentials: Option<&Credentials>, root: Option<&str>) -> Option<PathBuf> {
    let label = credentials.and_then(Credentials::label).map_or_else(String::new, |label| format!("-{}", tame(&label)));
    let root = root.map_or_else(String::new, |root| {
        let name = root.rsplit('/').next().unwrap_or(root);
        format!("-root-{}-{}", tame(name), digest(root.as_bytes()))
    });
    Some(default_cache_root()?.join(source.key() + &label + &root))
}

/// The folder in which cache folders are when none is given.
pub fn default_cache_root() -> Option<PathBuf> {
    Some(user_dir("XDG_CACHE_HOME", ".cache")?.join("drivemount"))
}

/// Where sign-ins and settings of this user are.
pub fn config_dir() -> Option<PathBuf> {
    Some(user_dir("XDG_CONFIG_HOME", ".config")?.join("drivemount"))
}

/// The folder that the XDG rules give to a variable: its value if that is absolute, or a place below the home folder.
pub fn user_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = std::env::var_os(variable).map(PathBuf::from).and_then(absolute);
    // What starts with the machine (fstab, a service) has no `HOME`; the system knows the place all the same.
    named.or_else(|| std::env::home_dir().and_then(absolute).map(|home| home.join(below_home)))
}

/// `path` made absolute, without asking the disk about its parts.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// `path` with its links followed, as far as it exists.
pub fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|known| Some((known.canonicalize().ok()?, path.strip_prefix(known).ok()?)));
    known.map_or_else(|| path.to_owned(), |(real, rest)| real.join(rest).components().collect())
}

/// A number of bytes, written as `10G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bytes(pub u64);

const UNITS: [(char, u32); 5] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "not a size; write it as 500M or 10G".to_owned();
        let trimmed = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i', 'I']);
        let unit = trimmed.chars().next_back().map(|c| c.to_ascii_uppercase());
        let shift = UNITS.iter().find(|(letter, _)| Some(*letter) == unit).map(|&(_, shift)| shift);
        let digits = if shift.is_some() { &trimmed[..trimmed.len() - 1] } else { trimmed };
        let number: u64 = digits.trim().parse().map_err(|_| bad())?;
        let bytes = number.checked_mul(1 << shift.unwrap_or(0)).filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Bytes {
    /// With the unit that leaves one to three digits before the point: `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((letter, shift)) = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let (whole, tenths) = (self.0 >> shift, ((self.0 & ((1 << shift) - 1)) * 10) >> shift);
        if tenths == 0 || whole >= 100 {
            write!(f, "{whole} {letter}iB")
        } else {
            write!(f, "{whole}.{tenths} {letter}iB")
        }
    }
}

/// Parses a time, written as `5s`, `200ms`, `10m` or `1h`; a number alone is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || "not a time; write it as 200ms, 5s or 10m".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let millis = match text[split..].trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let millis = number.checked_mul(millis).filter(|&millis| millis > 0 && millis <= 30 * 24 * 3_600_000);
    millis.map(Duration::from_millis).ok_or_else(bad)
}

/// Parses how long ago something was, written as a time or as `30d`.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.trim().parse::<u64>().ok());
    match days {
        Some(days) if days <= 36_500 => Ok(Duration::from_hours(24 * days)),
        Some(_) => Err("too long ago".to_owned()),
        None => parse_duration(text).map_err(|_| "not a time; write it as 30m, 12h or 30d".to_owned()),
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
    fn sources_are_read_and_shown() {
        for text in ["google", "local:/tmp/drive", "http://127.0.0.1:8080", "https://drive.example"] {
            assert_eq!(text.parse::<Source>().expect("parses").to_string(), text);
        }
        for text in ["", "gogle", "local:", "ftp://host", "http://", "/tmp/drive"] {
            assert!(text.parse::<Source>().is_err(), "{text:?}");
        }
        let secret: Source = "https://me:password@host/".parse().expect("parses");
        assert!(!secret.to_string().contains("password"));
    }

    #[test]
    fn each_source_has_a_cache_of_its_own() {
        let keys = ["google", "local:/a/x", "local:/b/x", "http://h:1", "http://h:2", "https://h:1"];
        let keys: std::collections::HashSet<_> =
            keys.iter().map(|text| text.parse::<Source>().expect("parses").key()).collect();
        assert_eq!(keys.len(), 6);
        assert!(keys.iter().all(|key| !key.contains(['/', ':'])), "{keys:?}");
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0 B"),
            ("1023", 1023, "1023 B"),
            ("64k", 64 << 10, "64 KiB"),
            ("10G", 10 << 30, "10 GiB"),
            ("1536 MiB", 1536 << 20, "1.5 GiB"),
            ("2TB", 2 << 40, "2 TiB"),
        ] {
            let size: Bytes = text.parse().expect("parses");
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        for text in ["", "G", "-1", "1.5G", "ten", "99999999999P"] {
            assert!(text.parse::<Bytes>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, millis) in [("5", 5000), ("5s", 5000), ("200ms", 200), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "s", "-5s", "0", "5 years", "999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ages_may_be_days() {
        for (text, hours) in [("0d", 0), ("30d", 720), ("12h", 12), ("90m", 1)] {
            assert_eq!(parse_age(text).expect("parses").as_secs() / 3600, hours, "{text}");
        }
        for text in ["", "d", "-1d", "99999d", "1 week"] {
            assert!(parse_age(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn log_levels_are_told_from_other_words() {
        for text in ["info", "ERROR", "drivemount::writeback=debug", "warn,drivemount::fs=trace", "off"] {
            assert!(parse_log_level(text).is_ok(), "{text:?}");
        }
        for text in ["", "loud", "verbose=loud=very", "info,loud", "drivemount=loud"] {
            assert!(parse_log_level(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_real_place_of_a_path_is_found_as_far_as_it_exists() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().canonicalize().expect("real");
        std::os::unix::fs::symlink(&root, root.join("link")).expect("links");
        assert_eq!(real(&root.join("link/none/none")), root.join("none/none"));
        assert_eq!(real(&root.join("link")), root);
    }
}
