//! `drivemount status`: how a mount fares.

use std::path::PathBuf;

use super::output::{count, item_lines, plain, print};
use super::{Exit, Failure, small_runtime, target};
use crate::config::Bytes;
use crate::control::Status;

/// Show how a mount fares: what is not on the drive yet, and why
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mountpoint, or a path in the mount; without it, the only mount
    mountpoint: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = target::find(args.mountpoint.as_deref())?;
    let status = small_runtime()?.block_on(target.client.status())?;
    if args.json {
        let json = serde_json::to_string_pretty(&status);
        print(&(json.map_err(|error| Failure::new(Exit::Failure, error.to_string()))? + "\n"))?;
    } else {
        print(&text(&status))?;
    }
    Ok(Exit::Success)
}

fn text(status: &Status) -> String {
    let root = status.settings.get("root").map_or_else(String::new, |root| format!("the folder {root} of "));
    let access = if status.read_only { ", read-only" } else { "" };
    let mut lines = vec![
        format!(
            "{}  {root}{}  ({}{access}, process {})",
            status.mountpoint.display(),
            status.source,
            status.state,
            status.pid
        ),
        format!("account   {}", status.account),
        format!("since     {}", status.since),
    ];
    let storage = match status.drive.total_bytes {
        Some(total) => format!("{} of {} used", Bytes(status.drive.used_bytes), Bytes(total)),
        None => format!("{} used, no limit", Bytes(status.drive.used_bytes)),
    };
    lines.push(format!("drive     {storage}"));
    lines.push(format!(
        "cache     {} of {}, and {} waiting to be sent, in {}",
        Bytes(status.cache.used_bytes),
        Bytes(status.cache.cap_bytes),
        Bytes(status.cache.staged_bytes),
        status.cache.dir.display(),
    ));
    let requests: u64 = status.traffic.requests.values().map(|requests| requests.count).sum();
    let units: u64 = status.traffic.requests.values().map(|requests| requests.units).sum();
    lines.push(format!(
        "traffic   {} received, {} sent, {} requests ({units} quota units)",
        Bytes(status.traffic.downloaded_bytes),
        Bytes(status.traffic.uploaded_bytes),
        requests,
    ));
    let unsent = &status.unsent;
    if unsent.entries == 0 && unsent.unsealed_bytes == 0 {
        lines.push("unsent    nothing: everything is on the drive".to_owned());
    } else {
        let open = if unsent.unsealed_bytes > 0 {
            format!(", {} of it in files that are being written", Bytes(unsent.unsealed_bytes))
        } else {
            String::new()
        };
        let entries = count(unsent.entries, "entry", "entries");
        lines.push(format!("unsent    {entries}, {} at risk{open}", Bytes(unsent.bytes)));
        lines.extend(item_lines(&unsent.items, unsent.entries));
    }
    if let Some(import) = &status.import {
        let moved = count(import.moved, "entry", "entries");
        let left = if import.left > 0 { format!(", {} left in the folder below", import.left) } else { String::new() };
        let why = import.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        lines.push(format!("import    {}: {moved} moved into the drive{left}{why}", import.state));
    }
    for conflict in &status.conflicts {
        lines.push(format!("conflict  {}: their version keeps the name, ours is \"{}\"", conflict.path, conflict.copy));
    }
    for aside in &status.set_aside {
        lines.push(format!("aside     {} {}; kept in {}", aside.path, aside.why, aside.kept.display()));
    }
    lines.iter().map(|line| plain(line) + "\n").collect()
}
