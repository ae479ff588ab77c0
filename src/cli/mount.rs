//! `drivemount mount`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use url::Url;

use super::output::{count, plain, say};
use super::settings::FileArgs;
use super::{Exit, Failure, daemon};
use crate::config::{self, Bytes, Credentials, MountConfig, Source};
use crate::config::{parse_cache_size, parse_duration, parse_log_level, parse_web_address};
use crate::mount::{Ready, mountpoint};

/// Mount a drive
///
/// Goes to the background when the mount can be used. What is written is kept on this machine at once and sent to the drive
/// behind it; `flush` waits for that, `status` shows it, `unmount` waits and ends the mount.
#[derive(Debug, clap::Args)]
#[command(override_usage = "drivemount mount [OPTIONS] [SOURCE] MOUNTPOINT")]
pub(super) struct Args {
    /// Where to mount, and before that what: `google` (which may be left out), `local:DIR` (an embedded drive with its data in
    /// DIR) or `http://HOST:PORT` (any server that speaks the Drive API)
    #[arg(value_name = "MOUNTPOINT", num_args = 1..=2, required = true)]
    what_and_where: Vec<PathBuf>,
    #[command(flatten)]
    options: MountArgs,
    /// Stay in the foreground, and log to the terminal
    #[arg(long, short)]
    foreground: bool,
}

/// What is common to all commands that mount.
#[derive(Debug, clap::Args)]
pub(super) struct MountArgs {
    #[command(flatten)]
    _settings: FileArgs,
    /// Access token. Other users of the machine can see arguments: better use --token-file or the variable
    #[arg(long, value_name = "TOKEN", env = "DRIVEMOUNT_TOKEN", hide_env_values = true, group = "credential",
          value_parser = NonEmptyStringValueParser::new())]
    token: Option<String>,
    /// File that holds the access token; read again when it changes
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_TOKEN_FILE", group = "credential")]
    token_file: Option<PathBuf>,
    /// Sign-in file of type `authorized_user`, as `gcloud auth application-default login` writes it
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_CREDENTIALS", group = "credential")]
    credentials: Option<PathBuf>,
    /// Address of the Drive API, if it is not that of the source
    #[arg(long, value_name = "URL", env = "DRIVEMOUNT_API_URL", value_parser = parse_web_address)]
    api_url: Option<Url>,
    /// Folder for the cache, unsent content, journal and log; default: one for each source in ~/.cache/drivemount
    #[arg(long, value_name = "DIR", env = "DRIVEMOUNT_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// How much of the disk the cache may take
    #[arg(long, value_name = "SIZE", env = "DRIVEMOUNT_CACHE_SIZE", default_value = "10G", value_parser = parse_cache_size)]
    cache_size: Bytes,
    /// How often to look for changes made elsewhere
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_POLL_INTERVAL", default_value = "5s", value_parser = parse_duration)]
    poll_interval: Duration,
    /// How long a program waits for a drive that does not answer, before it gets an error
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_NETWORK_TIMEOUT", default_value = "2m", value_parser = parse_duration)]
    network_timeout: Duration,
    /// How often to send files that stay open while they are written
    #[arg(long, value_name = "TIME", env = "DRIVEMOUNT_SYNC_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    sync_interval: Duration,
    /// Mount without the right to change anything
    #[arg(long, env = "DRIVEMOUNT_READ_ONLY", value_parser = BoolishValueParser::new())]
    read_only: bool,
    /// Let other users of the machine use the mount
    #[arg(long, env = "DRIVEMOUNT_ALLOW_OTHER", value_parser = BoolishValueParser::new())]
    allow_other: bool,
    /// What to log: error, warn, info, debug, trace, or by part (`drivemount::writeback=debug`)
    #[arg(long, value_name = "LEVEL", env = "DRIVEMOUNT_LOG_LEVEL", default_value = "info",
          value_parser = parse_log_level)]
    log_level: String,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let (source, mountpoint) = match args.what_and_where.as_slice() {
        [mountpoint] => (Source::Google, mountpoint.clone()),
        [source, mountpoint] => {
            let text = source.to_string_lossy();
            let source = text.parse().map_err(|error| Failure::new(Exit::Usage, format!("{text:?} is {error}")))?;
            (source, mountpoint.clone())
        }
        _ => return Err(Failure::new(Exit::Usage, "give a source and a mountpoint")),
    };
    let config = args.options.config(source, &mountpoint)?;
    if args.foreground {
        return daemon::foreground(config);
    }
    let ready = daemon::spawn(&config)?;
    say(&banner(&ready, &config));
    Ok(Exit::Success)
}

impl MountArgs {
    pub(super) fn config(self, source: Source, mountpoint: &Path) -> Result<MountConfig, Failure> {
        let source = match source {
            Source::Local(dir) => Source::Local(config::absolute(&dir)),
            other => other,
        };
        let cache_dir = match self.cache_dir.or_else(|| config::default_cache_dir(&source)) {
            Some(dir) => config::absolute(&dir),
            None => {
                return Err(Failure::new(
                    Exit::Usage,
                    "there is no home folder to keep the cache in; give one with --cache-dir",
                ));
            }
        };
        let mountpoint = config::absolute(mountpoint);
        if mountpoint.to_str().is_none() {
            let message = format!("the name of {} is not UTF-8; mount at a folder whose name is", mountpoint.display());
            return Err(Failure::new(Exit::CannotMount, message));
        }
        if let Source::Local(data) = &source {
            apart(data, &mountpoint)?;
        }
        if cache_dir.starts_with(&mountpoint) {
            let message = format!(
                "the cache folder {} lies in the mountpoint; give another with --cache-dir",
                cache_dir.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let credentials = self.token.map(Credentials::Token);
        let credentials = credentials.or(self.token_file.map(|path| Credentials::TokenFile(config::absolute(&path))));
        let credentials =
            credentials.or(self.credentials.map(|path| Credentials::AuthorizedUser(config::absolute(&path))));
        Ok(MountConfig {
            source,
            mountpoint,
            api_url: self.api_url,
            credentials,
            cache_dir,
            cache_size: self.cache_size,
            poll_interval: self.poll_interval,
            network_timeout: self.network_timeout,
            sync_interval: self.sync_interval,
            read_only: self.read_only,
            allow_other: self.allow_other,
            log_level: self.log_level,
        })
    }
}

/// A drive whose data lie below its own mountpoint waits for itself, and one that is mounted among its data spoils them.
fn apart(data: &Path, mountpoint: &Path) -> Result<(), Failure> {
    let (real_data, real_mountpoint) = (config::real(data), config::real(mountpoint));
    if !real_data.starts_with(&real_mountpoint) && !real_mountpoint.starts_with(&real_data) {
        return Ok(());
    }
    let message = format!(
        "the drive's data in {} and the mountpoint {} cannot be in one another; mount at a folder beside the data",
        data.display(),
        mountpoint.display()
    );
    Err(Failure::new(Exit::Usage, message))
}

/// The lines after mounting: where, who, how, and what `close` and `fsync` mean.
pub(super) fn banner(ready: &Ready, config: &MountConfig) -> String {
    let mode = if config.read_only { "read-only" } else { "read and write" };
    let mut lines = vec![format!(
        "mounted {} at {} ({mode}, cache up to {})",
        ready.source,
        ready.mountpoint.display(),
        config.cache_size
    )];
    if !config.read_only {
        lines.push(
            "close: safe against a crash of the mount; fsync: also against loss of power; on the drive: seconds later, see `drivemount status`"
                .to_owned(),
        );
    }
    if ready.recovered > 0 {
        let are = if ready.recovered == 1 { "is" } else { "are" };
        let changes = count(ready.recovered, "change", "changes");
        lines.push(format!("{changes} left by the last mount {are} being sent"));
    }
    lines.extend(ready.notes.iter().cloned().chain(open_secret(config)).map(|note| format!("note: {note}")));
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// What is said of credentials that everybody can read. In a container with one user that means nothing, so it is no error.
fn open_secret(config: &MountConfig) -> Option<String> {
    let (Credentials::TokenFile(path) | Credentials::AuthorizedUser(path)) = config.credentials.as_ref()? else {
        return None;
    };
    let open = fs::metadata(path).ok()?.mode() & 0o004 != 0;
    let word = mountpoint::word(path);
    open.then(|| format!("every user of this machine can read {}; `chmod 600 {word}` ends that", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{CACHE_SIZE, NETWORK_TIMEOUT, POLL_INTERVAL, SYNC_INTERVAL};

    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_config() {
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            options: MountArgs,
        }
        let options = Only::parse_from(["mount", "--cache-dir", "/cache", "--token-file", "t"]).options;
        let config = options.config(Source::Google, Path::new("/content/drive")).expect("valid");
        assert_eq!(config.cache_size, CACHE_SIZE);
        assert_eq!(config.poll_interval, POLL_INTERVAL);
        assert_eq!(config.network_timeout, NETWORK_TIMEOUT);
        assert_eq!(config.sync_interval, SYNC_INTERVAL);
    }
}
