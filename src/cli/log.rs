//! Where the log of a mount goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::panic;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, MountConfig};
use crate::mount::{self, MountError};
use crate::sys;

/// A log of ours that is longer than this is put aside when a mount starts; one old one is kept.
const LONG_LOG: u64 = 10 * 1024 * 1024;

/// Logs to the terminal, or to the file that was asked for.
pub(super) fn to_terminal(config: &MountConfig) -> Result<(), MountError> {
    match &config.log.file {
        Some(file) => write_to(open(file)?, false, config),
        None => write_to(io::stderr, io::stderr().is_terminal(), config),
    }
    Ok(())
}

/// Logs to the file that was asked for, or to the one in the cache folder.
pub(super) fn to_file(config: &MountConfig) -> Result<(), MountError> {
    let dir = &config.cache_dir;
    mount::prepare_cache_dir(dir)?;
    let file = if let Some(file) = &config.log.file {
        // Whoever names it looks after its length too.
        open(file)?
    } else {
        let path = config.log_file();
        let unusable = |source| MountError::CacheDir { dir: dir.clone(), source };
        if fs::metadata(&path).is_ok_and(|log| log.len() > LONG_LOG) {
            fs::rename(&path, path.with_extension("log.old")).map_err(unusable)?;
        }
        add_to(&path).map_err(unusable)?
    };
    // What ends this process without a word of ours, such as a stack that is too small, is told there.
    sys::complain_to(&file).map_err(|source| MountError::System { what: "the standard error", source })?;
    write_to(file, false, config);
    Ok(())
}

fn open(path: &Path) -> Result<File, MountError> {
    add_to(path).map_err(|source| MountError::LogFile { path: path.to_owned(), source })
}

fn add_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write_to<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(writer: W, colours: bool, config: &MountConfig) {
    // A terminal that is gone takes no lines, and the complaint about that would end the process before its files are sent.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(config)).with_writer(writer).log_internal_errors(false);
    // One that is set already is as good.
    let _already = match config.log.format {
        LogFormat::Text => lines.with_ansi(colours).finish().try_init(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).finish().try_init(),
    };
    log_panics();
}

/// Has panics logged, with the time. They are told on the standard error, too: a thread may have files of its own, and not the log.
fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |told| {
        tracing::error!(%told, "a mistake in drivemount");
        before(told);
    }));
}

/// What is logged. Each request of the kernel, and each step of HTTP, only if asked for by name.
fn filter(config: &MountConfig) -> EnvFilter {
    // A request that was interrupted may be one that the kernel does not want an answer to any more.
    let quiet = "fuser=warn,fuser::reply=off,hyper_util=info,reqwest=info,h2=info";
    EnvFilter::try_new(format!("{quiet},{}", config.log_level)).unwrap_or_default()
}
