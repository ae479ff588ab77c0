//! `drivemount cache`: what is kept on this machine, and giving up what can be fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::output::{complain, count, plain, print, print_json, say, table};
use super::target::{self, Answer};
use super::{Exit, Failure, small_runtime};
use crate::config::{self, Bytes};
use crate::control::{Cleared, Client, Status};
use crate::mount::caches::{self, Folder};
use crate::mount::{MountError, mountpoint};

/// How long a mount may take to say what it keeps.
const PATIENCE: Duration = Duration::from_secs(3);

/// Entries of a list that are shown one by one.
const SHOWN: usize = 20;

/// Show what is kept on this machine, or drop what can be fetched again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the cache folders: what they hold, of which drive, and what of it is not on the drive yet
    Show {
        /// A mountpoint or a cache folder; without it, all that there are
        place: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop cached content that the drive has; what is not on the drive yet is kept
    Clear {
        /// A mountpoint or a cache folder; without it, the only one that there is
        place: Option<PathBuf>,
        /// Do it for all cache folders
        #[arg(long, conflicts_with_all = ["place", "remove"])]
        all: bool,
        /// Remove this cache folder altogether, if nothing is mounted with it and nothing in it is unsent
        #[arg(long, value_name = "DIR", conflicts_with = "place")]
        remove: Option<PathBuf>,
    },
}

/// What is said of a cache folder.
#[derive(Debug, Serialize)]
struct Row {
    dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    cached_bytes: u64,
    unsent_entries: usize,
    unsent_bytes: u64,
    in_use: bool,
    /// Where it is mounted, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<PathBuf>,
    /// Why it cannot be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.action {
        None => show(None, false),
        Some(Action::Show { place, json }) => show(place.as_deref(), *json),
        Some(Action::Clear { remove: Some(dir), .. }) => remove(dir),
        Some(Action::Clear { place, all, .. }) => clear(place.as_deref(), *all),
    }
}

/// The cache folders that there are, and the mounts that use them.
struct Caches {
    dirs: BTreeSet<PathBuf>,
    running: BTreeMap<PathBuf, Box<Status>>,
}

impl Caches {
    fn find() -> Result<Self, Failure> {
        let mut running = BTreeMap::new();
        for found in target::ask_all(PATIENCE)? {
            if let Answer::Fares(status) = found.answer {
                running.insert(status.cache.dir.clone(), status);
            }
        }
        let mut dirs: BTreeSet<PathBuf> = running.keys().cloned().collect();
        if let Some(root) = config::default_cache_root() {
            let below = caches::below(&root);
            dirs.extend(below.map_err(|error| {
                Failure::new(Exit::Cache, format!("the cache folders in {} cannot be listed: {error}", root.display()))
            })?);
        }
        Ok(Self { dirs, running })
    }

    /// The cache folder that a mountpoint, or the folder itself, stands for.
    fn at(&self, place: &Path) -> Result<PathBuf, Failure> {
        let place = target::place(place)?;
        if self.dirs.contains(&place) || place.join("state.db").is_file() {
            return Ok(place);
        }
        let mounted = self.running.iter().find(|(_, status)| place.starts_with(&status.mountpoint));
        if let Some((dir, _)) = mounted {
            return Ok(dir.clone());
        }
        let was_there = |dir: &&PathBuf| {
            let folder = Folder::look(dir).ok().flatten();
            folder.and_then(|folder| folder.mountpoint()).is_some_and(|mountpoint| mountpoint == place)
        };
        self.dirs.iter().find(was_there).cloned().ok_or_else(|| {
            let message = format!(
                "{} is neither a mountpoint nor a cache folder; `drivemount cache show` lists them",
                place.display()
            );
            Failure::new(Exit::Failure, message)
        })
    }

    fn row(&self, dir: &Path) -> Row {
        let mut row = Row {
            dir: dir.to_owned(),
            source: None,
            account: None,
            cached_bytes: 0,
            unsent_entries: 0,
            unsent_bytes: 0,
            in_use: false,
            mountpoint: None,
            error: None,
        };
        if let Some(status) = self.running.get(dir) {
            row.source = Some(status.source.clone());
            row.account = Some(status.account.clone());
            row.cached_bytes = status.cache.used_bytes;
            row.unsent_entries = status.unsent.entries;
            row.unsent_bytes = status.unsent.bytes;
            row.in_use = true;
            row.mountpoint = Some(status.mountpoint.clone());
            return row;
        }
        match Folder::look(dir) {
            Ok(Some(folder)) => {
                row.cached_bytes = folder.cached_bytes;
                row.unsent_entries = folder.waiting.len();
                row.unsent_bytes = folder.unsent_bytes();
                row.in_use = folder.in_use;
                row.mountpoint = folder.mountpoint();
                (row.source, row.account) = (folder.source, folder.account);
            }
            Ok(None) => row.error = Some("it is no cache folder".to_owned()),
            Err(error) => row.error = Some(error.to_string()),
        }
        row
    }
}

fn show(place: Option<&Path>, json: bool) -> Result<Exit, Failure> {
    let found = Caches::find()?;
    let dirs = match place {
        Some(place) => BTreeSet::from([found.at(place)?]),
        None => found.dirs.clone(),
    };
    let rows: Vec<Row> = dirs.iter().map(|dir| found.row(dir)).collect();
    if json {
        print_json(&rows)?;
        return Ok(Exit::Success);
    }
    if rows.is_empty() {
        print("there is no cache folder: nothing was mounted yet\n")?;
        return Ok(Exit::Success);
    }
    let unknown = || "-".to_owned();
    let cells: Vec<[String; 6]> = rows
        .iter()
        .map(|row| {
            let used = match (&row.mountpoint, row.in_use) {
                (Some(mountpoint), true) => format!("yes, at {}", mountpoint.display()),
                (None, true) => "yes".to_owned(),
                (_, false) => "no".to_owned(),
            };
            let unsent = match row.unsent_entries {
                0 if row.unsent_bytes == 0 => "nothing".to_owned(),
                entries => format!("{} in {}", Bytes(row.unsent_bytes), count(entries, "entry", "entries")),
            };
            [
                row.source.clone().unwrap_or_else(unknown),
                row.account.clone().unwrap_or_else(unknown),
                Bytes(row.cached_bytes).to_string(),
                unsent,
                used,
                row.dir.display().to_string(),
            ]
        })
        .collect();
    let mut text = table(["DRIVE", "ACCOUNT", "CACHED", "UNSENT", "IN USE", "FOLDER"], &cells);
    for row in &rows {
        if let Some(error) = &row.error {
            text += &plain(&format!("{}: {error}", row.dir.display()));
            text.push('\n');
        }
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn clear(place: Option<&Path>, all: bool) -> Result<Exit, Failure> {
    let found = Caches::find()?;
    let dirs: Vec<PathBuf> = match place {
        Some(place) => vec![found.at(place)?],
        None => found.dirs.iter().cloned().collect(),
    };
    match dirs.as_slice() {
        [] => {
            say("there is no cache folder, so there is nothing to clear");
            return Ok(Exit::Success);
        }
        [_, _, ..] if !all => {
            let names: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let message =
                format!("which one? Give a mountpoint or a cache folder, or --all; there are {}", names.join(", "));
            return Err(Failure::new(Exit::Usage, message));
        }
        _ => {}
    }
    let mut worst = Ok(Exit::Success);
    for dir in &dirs {
        let cleared = match found.running.get(dir) {
            Some(status) => ask_to_clear(&status.mountpoint),
            None => caches::clear(dir).map_err(Failure::from),
        };
        match cleared {
            Ok(cleared) => say(&plain(&told(dir, cleared))),
            Err(failure) if dirs.len() == 1 => return Err(failure),
            Err(failure) => {
                complain(&plain(&format!("drivemount: {failure}")));
                worst = Ok(failure.exit);
            }
        }
    }
    worst
}

fn ask_to_clear(mountpoint: &Path) -> Result<Cleared, Failure> {
    let client = Client::new(mountpoint)?;
    Ok(small_runtime()?.block_on(client.clear_cache())?)
}

fn told(dir: &Path, cleared: Cleared) -> String {
    let dropped = format!("{}: {} dropped", dir.display(), Bytes(cleared.dropped_bytes));
    match cleared.unsent_entries {
        0 if cleared.unsent_bytes == 0 => dropped,
        entries => format!(
            "{dropped}; {} in {} kept, because the drive does not have it yet",
            Bytes(cleared.unsent_bytes),
            count(entries, "entry is", "entries are")
        ),
    }
}

fn remove(dir: &Path) -> Result<Exit, Failure> {
    let dir = target::place(dir)?;
    let folder = match caches::remove(&dir)? {
        Ok(bytes) => {
            say(&plain(&format!("{} is removed; {} are free again", dir.display(), Bytes(bytes))));
            return Ok(Exit::Success);
        }
        Err(folder) => folder,
    };
    let mut lines = vec![format!("{} is not removed: what is in it is nowhere else", dir.display())];
    let waiting = folder.waiting.iter();
    let mut kept: Vec<String> = waiting
        .map(|waiting| {
            let why = waiting.error.as_ref().map_or_else(String::new, |error| format!("  {error}"));
            format!("  unsent     {}  {}{why}", waiting.path, Bytes(waiting.bytes))
        })
        .collect();
    if kept.is_empty() {
        kept.extend(folder.precious.iter().map(|path| format!("  unfinished {}", path.display())));
    }
    let more = kept.len().saturating_sub(SHOWN);
    lines.extend(kept.into_iter().take(SHOWN));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines.push(match (folder.waiting.is_empty(), &folder.source) {
        (true, _) => "Copy what you need from there and remove those files, then it can go.".to_owned(),
        (false, source) => {
            let place = folder.mountpoint().map_or_else(|| "MOUNTPOINT".to_owned(), |path| mountpoint::word(&path));
            let source = source.as_deref().unwrap_or("SOURCE");
            format!("Mount the same drive again and it is sent: `drivemount mount {source} {place}`.")
        }
    });
    complain(&lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n"));
    Ok(Exit::Unsent)
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Self::new(error.sort().into(), error.to_string())
    }
}
