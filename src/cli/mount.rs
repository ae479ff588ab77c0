//! `drivemount mount`.

mod access;
mod account;
mod already;
mod credentials;
mod limits;
mod logging;
mod place;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use url::Url;

use self::access::AccessArgs;
use self::credentials::CredentialArgs;
use self::limits::LimitArgs;
use self::logging::LoggingArgs;
use self::place::PlaceArgs;
use super::output::{count, plain, say};
use super::settings::FileArgs;
use super::{Exit, Failure, daemon};
use crate::config::{self, MountConfig, Occupied, Source, parse_web_address};
use crate::mount::{Ready, mountpoint};

/// Mount a drive
///
/// Goes to the background when the mount can be used. What is written is kept on this machine at once and sent to the drive
/// behind it; `flush` waits for that, `status` shows it, `unmount` waits and ends the mount.
///
/// What a program has closed is safe against a crash of the mount; what it has synced (fsync) is also safe against a loss of power
/// of this machine. On the drive, where it is safe against the end of this machine, it is seconds later.
#[derive(Debug, clap::Args)]
#[command(override_usage = "drivemount mount [OPTIONS] [SOURCE] MOUNTPOINT")]
pub(super) struct Args {
    /// Where to mount, and before that what: `google`, `local:DIR` (an embedded drive with its data in DIR) or `http://HOST:PORT`
    /// (any server that speaks the Drive API). Left out, it is `$DRIVEMOUNT_SOURCE`, or the drive of the account, or google
    #[arg(value_name = "MOUNTPOINT", num_args = 1..=2, required = true)]
    what_and_where: Vec<PathBuf>,
    /// Stay in the foreground, and log to the terminal
    #[arg(long, short)]
    foreground: bool,
    #[command(flatten)]
    options: MountArgs,
}

/// What is common to all commands that mount.
#[derive(Debug, clap::Args)]
pub(super) struct MountArgs {
    #[command(flatten)]
    _settings: FileArgs,
    /// Address of the Drive API, if it is not that of the source
    #[arg(long, value_name = "URL", env = "DRIVEMOUNT_API_URL", value_parser = parse_web_address)]
    api_url: Option<Url>,
    /// Folder for the cache, unsent content, journal and log; default: one for each source in ~/.cache/drivemount
    #[arg(long, value_name = "DIR", env = "DRIVEMOUNT_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    logging: LoggingArgs,
    // Last, because its heading would be that of what follows.
    #[command(flatten)]
    credentials: CredentialArgs,
}

/// The variable for the source, which is no flag.
const SOURCE_VARIABLE: &str = "DRIVEMOUNT_SOURCE";

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let (source, mountpoint) = match args.what_and_where.as_slice() {
        [mountpoint] => (source(None)?, mountpoint.clone()),
        [word, mountpoint] => (source(Some(word))?, mountpoint.clone()),
        _ => return Err(Failure::new(Exit::Usage, "give a source and a mountpoint")),
    };
    let config = args.options.config(source, &mountpoint)?;
    if let Some(there) = already::mounted(&config)? {
        say(&plain(&format!("already mounted: {} at {}", there.source, there.mountpoint.display())));
        return Ok(Exit::Success);
    }
    if args.foreground {
        return daemon::foreground(config);
    }
    let ready = daemon::spawn(&config)?;
    say(&banner(&ready, &config));
    Ok(Exit::Success)
}

/// The source that a word means; without a word, the one that the variable names, if it does.
pub(super) fn source(word: Option<&PathBuf>) -> Result<Option<Source>, Failure> {
    let variable = || std::env::var(SOURCE_VARIABLE).ok().filter(|source| !source.is_empty());
    let text = word.map(|word| word.to_string_lossy().into_owned()).or_else(variable);
    text.map(|text| text.parse().map_err(|why| Failure::new(Exit::Usage, format!("{text:?} is {why}")))).transpose()
}

impl MountArgs {
    pub(super) fn config(self, source: Option<Source>, mountpoint: &Path) -> Result<MountConfig, Failure> {
        let impersonate = self.credentials.impersonate();
        let credentials = self.credentials.given(mountpoint)?;
        let (source, credentials) = account::complete(source, credentials)?;
        let credentials = credentials::settled(&source, credentials, impersonate)?;
        let source = match source {
            Source::Local(dir) => Source::Local(config::absolute(&dir)),
            other => other,
        };
        let root =
            self.place.root.clone().map(|root| root.trim_matches('/').to_owned()).filter(|root| !root.is_empty());
        let cache_dir =
            self.cache_dir.or_else(|| config::default_cache_dir(&source, credentials.as_ref(), root.as_deref()));
        let cache_dir = match cache_dir {
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
        let occupied = self.place.occupied();
        if occupied == Occupied::Import && self.access.read_only {
            let message = "nothing can be moved into a drive that is mounted read-only; leave out --import-existing or --read-only";
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(MountConfig {
            source,
            mountpoint,
            api_url: self.api_url,
            credentials,
            cache_dir,
            cache_size: self.limits.cache_size,
            poll_interval: self.limits.poll_interval,
            network_timeout: self.limits.network_timeout,
            sync_interval: self.limits.sync_interval,
            read_only: self.access.read_only,
            allow_other: self.access.allow_other,
            log: self.logging.log(),
            log_level: self.logging.log_level,
            shown: self.access.shown(),
            occupied,
            limits: self.limits.limits(),
            use_trash: self.place.use_trash,
            list_ahead: self.place.list_ahead,
            read_ahead: self.limits.read_ahead,
            tree_snapshot: self.place.tree_snapshot,
            passthrough: self.place.passthrough,
            docs: self.place.docs,
            keeper: self.place.keeper,
            fsync: self.limits.fsync,
            root,
            metrics: self.logging.metrics,
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

/// The lines after mounting: where, who, how, and when what is saved is on the drive.
pub(super) fn banner(ready: &Ready, config: &MountConfig) -> String {
    let mode = if config.read_only { "read-only" } else { "read and write" };
    let mut lines = vec![format!(
        "mounted {}{} at {} ({}, {mode}, cache up to {})",
        config.root.as_ref().map_or_else(String::new, |root| format!("the folder {root} of ")),
        ready.source,
        ready.mountpoint.display(),
        ready.account,
        config.cache_size
    )];
    if !config.read_only {
        lines.push(
            "Saved files are on the drive seconds later; before this machine ends, `drivemount flush` waits for that."
                .to_owned(),
        );
    }
    if ready.recovered > 0 {
        let are = if ready.recovered == 1 { "is" } else { "are" };
        let changes = count(ready.recovered, "change", "changes");
        lines.push(format!("{changes} left by the last mount {are} being sent"));
    }
    let notes = ready.notes.iter().cloned().chain(open_secret(config)).chain(account::note(config));
    lines.extend(notes.map(|note| format!("note: {note}")));
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// What is said of credentials that everybody can read. In a container with one user that means nothing, so it is no error.
fn open_secret(config: &MountConfig) -> Option<String> {
    let path = config.credentials.as_ref()?.file()?;
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
        let config = options.config(Some(Source::Google), Path::new("/content/drive")).expect("valid");
        assert_eq!(config.cache_size, CACHE_SIZE);
        assert_eq!(config.poll_interval, POLL_INTERVAL);
        assert_eq!(config.network_timeout, NETWORK_TIMEOUT);
        assert_eq!(config.sync_interval, SYNC_INTERVAL);
    }
}
