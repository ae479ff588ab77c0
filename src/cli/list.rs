//! `drivemount list`: all mounts of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::output::{count, plain, print, print_json, table};
use super::target::{self, Answer, Found};
use super::{Exit, Failure};
use crate::config::{self, Bytes};
use crate::mount::caches::{self, Folder};
use crate::mount::mountpoint::word;

/// How long a mount may take to answer before it counts as one that does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// List all drivemounts of this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said of one mount.
#[derive(Debug, Serialize)]
struct Row {
    mountpoint: PathBuf,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// As `status` has it, or `dead`, `no answer` or `of another user`.
    state: String,
    /// Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_risk_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsent_entries: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// What to do about a mount that cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let rows: Vec<Row> = target::ask_all(PATIENCE)?.into_iter().map(row).collect();
    if args.json {
        print_json(&rows)?;
    } else {
        print(&text(&rows))?;
    }
    Ok(Exit::Success)
}

fn row(found: Found) -> Row {
    let Found { line, answer } = found;
    let place = word(&line.path);
    let mut row = Row {
        mountpoint: line.path,
        source: line.source,
        account: None,
        state: String::new(),
        at_risk_bytes: None,
        unsent_entries: None,
        read_only: None,
        pid: None,
        remedy: None,
    };
    match answer {
        Answer::Fares(status) => {
            row.source = status.source;
            row.account = Some(status.account);
            row.state = status.state;
            row.at_risk_bytes = Some(status.unsent.bytes);
            row.unsent_entries = Some(status.unsent.entries);
            row.read_only = Some(status.read_only);
            row.pid = Some(status.pid);
        }
        Answer::Dead => {
            "dead".clone_into(&mut row.state);
            if let Some(folder) = folder_of(&row.mountpoint) {
                row.at_risk_bytes = Some(folder.unsent_bytes());
                row.unsent_entries = Some(folder.waiting.len());
                row.account = folder.account;
            }
            row.remedy = Some(format!(
                "its daemon is gone: mount the same drive there again and what it left unsent is sent, or take it away with \
                 `drivemount unmount {place}`"
            ));
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

/// The cache folder that a dead mount left, if it is where such folders are.
fn folder_of(mountpoint: &Path) -> Option<Folder> {
    let dirs = caches::below(&config::default_cache_root()?).ok()?;
    let folders = dirs.iter().filter_map(|dir| Folder::look(dir).ok().flatten());
    folders.into_iter().find(|folder| folder.mountpoint().as_deref() == Some(mountpoint))
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing is mounted; `drivemount mount` or `drivemount demo` does it\n".to_owned();
    }
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let at_risk = match (row.at_risk_bytes, row.unsent_entries) {
                (None, _) => "not known".to_owned(),
                (Some(0), Some(0)) => "nothing".to_owned(),
                (Some(bytes), entries) => {
                    format!("{} in {}", Bytes(bytes), count(entries.unwrap_or(0), "entry", "entries"))
                }
            };
            let access = if row.read_only == Some(true) { ", read-only" } else { "" };
            let account = row.account.clone().unwrap_or_else(|| "-".to_owned());
            [
                row.mountpoint.display().to_string(),
                row.source.clone(),
                account,
                format!("{}{access}", row.state),
                at_risk,
            ]
        })
        .collect();
    let mut text = table(["MOUNTPOINT", "SOURCE", "ACCOUNT", "STATE", "AT RISK"], &cells);
    for row in rows {
        if let Some(remedy) = &row.remedy {
            text.push_str(&plain(&format!("{}: {remedy}", row.mountpoint.display())));
            text.push('\n');
        }
    }
    text
}
