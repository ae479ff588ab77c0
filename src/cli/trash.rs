//! `drivemount trash`: what was removed, and can be had back.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{agrees, complain, count, plain, print, print_json, say, table, with_spinner};
use super::target::{self, Target};
use super::{Exit, Failure, small_runtime};
use crate::clock::{self, Timestamp};
use crate::config::{Bytes, parse_age};
use crate::control::{Chosen, TrashItem, TrashList, Wanted, Which};

/// How many are deleted with one request to the mount, so that it can be shown how far it is.
const TOGETHER: usize = 32;

/// What is said while the drive lists its trash.
const LOOKING: &str = "looking into the trash";

/// Things that are shown one by one before they are deleted.
const SHOWN: usize = 20;

/// Show the trash of the drive, take things out of it, or delete what is in it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Which mount, if there are several
    #[arg(long, global = true, value_name = "MOUNTPOINT")]
    mountpoint: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what is in the trash, the last first
    List {
        /// A mountpoint, or a folder of a mount: only what was in it
        #[arg(value_name = "PATH", conflicts_with = "under")]
        place: Option<PathBuf>,
        /// Only what was in this folder of the mount
        #[arg(long, value_name = "DIR")]
        under: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete what is in the trash, for good
    Empty {
        /// Only what is in the trash for so long (12h, 30d)
        #[arg(long, value_name = "TIME", value_parser = parse_age)]
        older_than: Option<Duration>,
        /// Only what was in this folder of the mount
        #[arg(long, value_name = "DIR")]
        under: Option<PathBuf>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Take things out of the trash, back to where they were
    Restore {
        /// Their paths, as `trash list` shows them or from here, or their ids
        #[arg(required = true)]
        what: Vec<PathBuf>,
    },
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mountpoint = args.mountpoint.as_deref();
    match &args.action {
        None => list(mountpoint, None, false),
        Some(Action::List { place, under, json }) => list(mountpoint, place.as_deref().or(under.as_deref()), *json),
        Some(Action::Empty { older_than, under, yes }) => empty(mountpoint, *older_than, under.as_deref(), *yes),
        Some(Action::Restore { what }) => restore(mountpoint, what),
    }
}

/// The mount that is meant, and the folder in it.
fn target(mountpoint: Option<&Path>, under: Option<&Path>) -> Result<Target, Failure> {
    // A place in a mount says which mount.
    if mountpoint.is_none()
        && let Some(Ok(found)) = under.map(|under| target::find(Some(under)))
    {
        return Ok(found);
    }
    let mut target = target::find(mountpoint)?;
    let Some(under) = under else {
        // Of a mount, whatever place in it was given.
        target.path.clear();
        return Ok(target);
    };
    let in_mount = target.client.mountpoint().join(under);
    match target::find(Some(under)) {
        Ok(found) if found.client.mountpoint() == target.client.mountpoint() => Ok(found),
        // As the list shows it: below the mountpoint.
        _ => target::find(Some(&in_mount)),
    }
}

fn list(mountpoint: Option<&Path>, under: Option<&Path>, json: bool) -> Result<Exit, Failure> {
    let target = target(mountpoint, under)?;
    let which = Which { under: target.path.clone(), older_than_millis: None };
    let found = small_runtime()?.block_on(with_spinner(LOOKING, target.client.trash(&which)))?;
    if json {
        print_json(&found)?;
    } else if found.items.is_empty() {
        say("the trash is empty");
    } else {
        let all = format!("{}, {}\n", count(found.items.len(), "thing", "things"), Bytes(found.bytes));
        print(&(rows(&found.items) + &all))?;
    }
    Ok(Exit::Success)
}

fn rows(items: &[TrashItem]) -> String {
    let cells: Vec<[String; 4]> = items
        .iter()
        .map(|item| {
            let path = if item.is_path { item.path.clone() } else { format!("?/{}", item.path) };
            let path = match (item.folder, item.entries) {
                (false, _) => path,
                (true, 0) => format!("{path}/"),
                (true, entries) => format!("{path}/  ({} in it)", count(entries, "entry", "entries")),
            };
            [age(item), Bytes(item.bytes).to_string(), item.id.clone(), path]
        })
        .collect();
    table(["FOR", "SIZE", "ID", "PATH"], &cells)
}

fn empty(
    mountpoint: Option<&Path>,
    older_than: Option<Duration>,
    under: Option<&Path>,
    yes: bool,
) -> Result<Exit, Failure> {
    let target = target(mountpoint, under)?;
    let runtime = small_runtime()?;
    let older_than_millis = older_than.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let which = Which { under: target.path.clone(), older_than_millis };
    let found = runtime.block_on(with_spinner(LOOKING, target.client.trash(&which)))?;
    let younger = match found.younger {
        0 => String::new(),
        younger => {
            format!("\n{} left: not known to be in the trash for so long", count(younger, "thing is", "things are"))
        }
    };
    if found.items.is_empty() {
        say(&format!("there is nothing to delete in the trash{younger}"));
        return Ok(Exit::Success);
    }
    let things = count(found.items.len(), "thing", "things");
    if !yes {
        let shown = &found.items[..found.items.len().min(SHOWN)];
        let mut text = rows(shown);
        let more = found.items.len() - shown.len();
        if more > 0 {
            text = format!("{text}and {more} more\n");
        }
        print(&text)?;
        let what =
            format!("{things}, {}, in the trash of {}", Bytes(found.bytes), target.client.mountpoint().display());
        if !io::stdin().is_terminal() {
            let message = format!("this deletes {what}, for good: say so with --yes");
            return Err(Failure::new(Exit::Usage, message));
        }
        if !agrees(&format!("Delete {what}, for good?")) {
            say("nothing is deleted");
            return Ok(Exit::Failure);
        }
    }
    let (deleted, failed) = runtime.block_on(delete(&target, &found))?;
    for (id, why) in &failed {
        let path = found.items.iter().find(|item| item.id == *id).map_or(id.as_str(), |item| item.path.as_str());
        complain(&plain(&format!("not deleted: {path}: {why}")));
    }
    say(&format!("deleted {} of {things}, {} in all{younger}", deleted, Bytes(found.bytes)));
    Ok(if failed.is_empty() { Exit::Success } else { Exit::Failure })
}

/// Deletes all of a list; says how many are gone, and which are not.
async fn delete(target: &Target, found: &TrashList) -> Result<(usize, Vec<(String, String)>), Failure> {
    let bar = ProgressBar::new(found.items.len() as u64);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("deleting [{bar:24}] {pos}/{len} {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    let (mut deleted, mut failed) = (0, Vec::new());
    for some in found.items.chunks(TOGETHER) {
        let ids = some.iter().map(|item| item.id.clone()).collect();
        let emptied = target.client.empty_trash(&Chosen { ids }).await?;
        deleted += emptied.deleted;
        failed.extend(emptied.failed);
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    Ok((deleted, failed))
}

fn restore(mountpoint: Option<&Path>, what: &[PathBuf]) -> Result<Exit, Failure> {
    let runtime = small_runtime()?;
    let mut exit = Exit::Success;
    for what in what {
        // A path from here, if that is in a mount; else a path as the list shows it, or an id.
        let (target, path) = match target::find(Some(what)) {
            Ok(found) if !found.path.is_empty() => (found, true),
            _ => (target::find(mountpoint)?, false),
        };
        let path = path.then(|| target.path.clone());
        let wanted = Wanted { what: what.to_string_lossy().into_owned(), path };
        match runtime.block_on(with_spinner("restoring", target.client.restore(&wanted))) {
            Ok(restored) => {
                say(&plain(&format!("restored {}", target.client.mountpoint().join(&restored.path).display())));
            }
            // The others may be restored all the same.
            Err(error) => {
                complain(&plain(&format!("drivemount: {error}")));
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

/// How long it has been in the trash.
fn age(item: &TrashItem) -> String {
    let Some(since) = Timestamp::parse_rfc3339(&item.since) else { return "?".to_owned() };
    let minutes = (clock::now().millis() - since.millis()).max(0) / 60_000;
    let age = match (minutes / 1440, minutes / 60) {
        (0, 0) if minutes == 0 => return "a moment".to_owned(),
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    };
    if item.exact { age } else { format!("at least {age}") }
}
