//! `drivemount logs`: what a mount in the background has to say.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::target::{self, Answer};
use super::{Exit, Failure};
use crate::config;
use crate::mount::caches::{self, Folder};

/// How long a mount may take to say where its log is, before it is looked for without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often to look for new lines.
const LOOK: Duration = Duration::from_millis(200);

/// How much is read at a time.
const PIECE: u64 = 64 * 1024;

/// Show what a mount in the background logged
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mountpoint (it need not be mounted now) or the cache folder; without it, the only one
    mountpoint: Option<PathBuf>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines to show
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100)]
    lines: usize,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let path = find(args.mountpoint.as_deref())?;
    let unreadable = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::NotFound {
            "; a mount in the foreground logs to its terminal"
        } else {
            ""
        };
        Failure::new(Exit::Failure, format!("{} cannot be read: {error}{hint}", path.display()))
    };
    let mut file = File::open(&path).map_err(unreadable)?;
    let start = start_of_last(&mut file, args.lines).map_err(unreadable)?;
    let mut at = copy(&mut file, start).map_err(unreadable)?;
    if !args.follow {
        return Ok(Exit::Success);
    }
    loop {
        thread::sleep(LOOK);
        // Put aside by the next mount, and begun anew.
        let other = std::fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|was| was.ino() != now.ino()));
        at = copy(&mut file, at).map_err(unreadable)?;
        if other {
            file = File::open(&path).map_err(unreadable)?;
            at = copy(&mut file, 0).map_err(unreadable)?;
        }
    }
}

/// Prints what a file holds from a place on, as it is; says where that ends.
fn copy(file: &mut File, from: u64) -> io::Result<u64> {
    let from = if file.metadata()?.len() < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let mut output = io::stdout().lock();
    match io::copy(file, &mut output).and_then(|copied| output.flush().map(|()| copied)) {
        Ok(copied) => Ok(from + copied),
        // Who reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(error),
    }
}

/// Where the last lines of a file begin.
fn start_of_last(file: &mut File, lines: usize) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let length = end;
    let mut found = 0;
    while end > 0 {
        let begin = end.saturating_sub(PIECE);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.take(end - begin).read_to_end(&mut piece)?;
        for (place, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = begin + place as u64 + 1;
            // The one that ends the last line begins none.
            if after < length {
                found += 1;
            }
            if found == lines {
                return Ok(after);
            }
        }
        end = begin;
    }
    Ok(if lines == 0 { length } else { 0 })
}

/// The log of a mount that runs, or of the last one that did.
fn find(place: Option<&Path>) -> Result<PathBuf, Failure> {
    let place = place.map(config::absolute);
    if let Some(dir) = place.as_ref().filter(|dir| dir.join("state.db").is_file()) {
        return Ok(log_in(dir));
    }
    let mut running = Vec::new();
    for found in target::ask_all(PATIENCE)? {
        if let Answer::Fares(status) = found.answer {
            running.push((status.mountpoint, status.log_file));
        }
    }
    let around = place.clone().or_else(|| std::env::current_dir().ok());
    if let Some(inside) = around {
        let inside = target::place(&inside)?;
        let within = |(mountpoint, _): &&(PathBuf, PathBuf)| inside.starts_with(mountpoint);
        if let Some((_, log)) = running.iter().find(within) {
            return Ok(log.clone());
        }
    }
    let root = config::default_cache_root();
    let dirs = root.map(|root| caches::below(&root).unwrap_or_default()).unwrap_or_default();
    if let Some(place) = place {
        let of_place = |dir: &&PathBuf| {
            let folder = Folder::look(dir).ok().flatten();
            folder.and_then(|folder| folder.mountpoint()).is_some_and(|mountpoint| mountpoint == place)
        };
        let missing = || {
            let message = format!("no log of {} is known; give the cache folder of that mount", place.display());
            Failure::new(Exit::Failure, message)
        };
        return dirs.iter().find(of_place).map(|dir| log_in(dir)).ok_or_else(missing);
    }
    let mut logs: Vec<PathBuf> = running.into_iter().map(|(_, log)| log).collect();
    if logs.is_empty() {
        logs.extend(dirs.iter().map(|dir| log_in(dir)).filter(|log| log.is_file()));
    }
    match logs.as_slice() {
        [] => Err(Failure::new(Exit::Failure, "there is no log: nothing was mounted in the background yet")),
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|log| log.display().to_string()).collect();
            let message = format!("which one? Give a mountpoint or a cache folder; there are {}", names.join(", "));
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn log_in(dir: &Path) -> PathBuf {
    dir.join(config::LOG_FILE)
}
