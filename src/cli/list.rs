//! `drivemount list`: all mounts of this machine, and what unmounted drives left on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::output::{plain, print, print_json, table};
use super::target::{self, Answer, Found};
use super::{Exit, Failure, kept};
use crate::clock::Instant;
use crate::mount::caches::Folder;
use crate::mount::mountpoint::word;

/// How long a mount may take to answer before it counts as one that does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a daemon that has unmounted may still hold its folder.
const HANDOVER: Duration = Duration::from_secs(3);

/// List all drivemounts of this machine, and what of unmounted drives is not sent yet
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said of one mount, or of a folder that one left.
#[derive(Debug, Default, Serialize)]
struct Row {
    /// Where it is, or was last if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// As `status` has it, or `dead`, `no answer`, `of another user`, `not mounted`.
    state: String,
    /// Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_risk_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsent_entries: Option<usize>,
    /// The same in words.
    #[serde(skip)]
    at_risk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The folder that holds what is unsent, where no mount can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_dir: Option<PathBuf>,
    /// What to do about a mount that cannot be used, or about what one left.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let found = target::ask_all(PATIENCE)?;
    // After the mounts: what one gives up meanwhile is then seen here.
    let folders = kept::folders();
    let mut rows: Vec<Row> = found.into_iter().map(|found| row(found, &folders)).collect();
    let left = left(&folders, &rows);
    rows.extend(left);
    if args.json {
        print_json(&rows)?;
    } else {
        print(&text(&rows))?;
    }
    Ok(Exit::Success)
}

fn row(found: Found, folders: &[Folder]) -> Row {
    let Found { line, answer } = found;
    let place = word(&line.path);
    let mut row = Row { mountpoint: Some(line.path.clone()), source: Some(line.source), ..Row::default() };
    match answer {
        Answer::Fares(status) => {
            let unsent = &status.unsent;
            let all_files = unsent.items.len() == unsent.entries && unsent.items.iter().all(|item| item.bytes > 0);
            row.at_risk = Some(kept::amount(unsent.bytes, unsent.entries, all_files));
            row.at_risk_bytes = Some(unsent.bytes);
            row.unsent_entries = Some(unsent.entries);
            row.source = Some(status.source);
            row.account = Some(status.account);
            row.state = status.state;
            row.read_only = Some(status.read_only);
            row.pid = Some(status.pid);
            row.cache_dir = Some(status.cache.dir);
        }
        Answer::Dead => {
            "dead".clone_into(&mut row.state);
            let folder = kept::last_at(&line.path, folders);
            if let Some(folder) = folder {
                row.holds(folder);
            }
            let left = folder.map_or_else(
                || "mount the same drive there again and what it left unsent is sent".to_owned(),
                kept::left_by_dead,
            );
            row.remedy =
                Some(format!("its daemon is gone; {left}. `drivemount unmount {place}` only removes the mount"));
        }
        Answer::Silent => {
            "no answer".clone_into(&mut row.state);
            row.remedy = Some(format!(
                "its daemon does not answer within {} s: see `drivemount logs {place}`; if it stays so, `umount -l {place}` takes \
                 it away, and the next mount sends what is unsent",
                PATIENCE.as_secs()
            ));
        }
        Answer::OfUser(user) => {
            "of another user".clone_into(&mut row.state);
            row.remedy = Some(format!("it is of the user with the number {user}, who alone can ask it, and root"));
        }
    }
    row
}

impl Row {
    /// Notes what a folder without a mount says.
    fn holds(&mut self, folder: &Folder) {
        self.at_risk = Some(kept::amount_of(folder));
        self.at_risk_bytes = Some(folder.unsent_bytes());
        self.unsent_entries = Some(folder.waiting.len());
        self.account.clone_from(&folder.account);
        self.cache_dir = Some(folder.dir.clone());
    }
}

/// What drives left that are not mounted: only this machine has it, and no mount tells of it.
fn left(folders: &[Folder], mounts: &[Row]) -> Vec<Row> {
    let tells = |row: &Row, folder: &Folder| match &row.cache_dir {
        Some(dir) => *dir == folder.dir,
        // One that does not answer.
        None => row.mountpoint.is_some() && row.mountpoint == folder.mountpoint(),
    };
    let told = |folder: &Folder| mounts.iter().any(|row| tells(row, folder));
    let taken = |place: &Path| mounts.iter().any(|row| row.mountpoint.as_deref() == Some(place));
    let left = folders.iter().filter(|folder| !folder.waiting.is_empty() && !told(folder));
    left.map(|folder| {
        let mut row = Row { mountpoint: folder.mountpoint(), source: folder.source.clone(), ..Row::default() };
        row.holds(folder);
        if !is_given_back(folder) {
            "in use".clone_into(&mut row.state);
            let holder = folder.holder.as_deref().unwrap_or("a process");
            row.remedy = Some(format!("used by a mount that is not seen here ({holder}), which sends what is unsent"));
            return row;
        }
        "not mounted".clone_into(&mut row.state);
        let is = if folder.waiting.len() == 1 { "is" } else { "are" };
        row.remedy = Some(format!(
            "not mounted, and {} {is} only on this machine: {} sends it",
            kept::amount_of(folder),
            kept::mount_again(folder, folder.mountpoint().filter(|place| !taken(place)))
        ));
        row
    })
    .collect()
}

/// Whether nobody uses a folder. A daemon says that it is unmounted just before its process ends, and with it gives its folder
/// back: that is waited for.
fn is_given_back(folder: &Folder) -> bool {
    let until = Instant::now() + HANDOVER;
    let mut in_use = folder.in_use;
    while in_use && Instant::now() < until {
        // A lock has no event to wait for.
        thread::sleep(Duration::from_millis(20));
        in_use = Folder::look(&folder.dir).ok().flatten().is_none_or(|now| now.in_use);
    }
    !in_use
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing is mounted; `drivemount mount` or `drivemount demo` does it\n".to_owned();
    }
    let unknown = || "-".to_owned();
    let place = |row: &Row| row.mountpoint.as_ref().map(|place| place.display().to_string());
    // What matters most comes first: a narrow terminal breaks what is last.
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let access = if row.read_only == Some(true) { ", read-only" } else { "" };
            [
                row.at_risk.clone().unwrap_or_else(|| "not known".to_owned()),
                format!("{}{access}", row.state),
                place(row).unwrap_or_else(unknown),
                row.source.clone().unwrap_or_else(unknown),
                row.account.clone().unwrap_or_else(unknown),
            ]
        })
        .collect();
    let accounts: BTreeSet<&String> = rows.iter().filter_map(|row| row.account.as_ref()).collect();
    let mut text = if accounts.len() > 1 {
        table(["AT RISK", "STATE", "MOUNTPOINT", "DRIVE", "ACCOUNT"], &cells)
    } else {
        // Of a single account it says nothing.
        let cells: Vec<[String; 4]> =
            cells.into_iter().map(|[risk, state, place, drive, _]| [risk, state, place, drive]).collect();
        table(["AT RISK", "STATE", "MOUNTPOINT", "DRIVE"], &cells)
    };
    for row in rows {
        if let Some(remedy) = &row.remedy {
            let of = place(row).or_else(|| Some(row.cache_dir.as_ref()?.display().to_string())).unwrap_or_else(unknown);
            text.push_str(&plain(&format!("{of}: {remedy}")));
            text.push('\n');
        }
    }
    text
}
