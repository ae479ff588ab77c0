//! `drivemount status`: how a mount fares, or one file or folder in it.

use std::path::PathBuf;

use super::output::{at_risk, cache_use, count, held_back, item_lines, plain, print, print_json, trouble};
use super::{Exit, Failure, prefetch, small_runtime, target, watch};
use crate::config::Bytes;
use crate::control::{EntryStatus, KeeperStatus, PassthroughStatus, Scope, Status};

/// Show how a mount fares, or a file or folder in it: what is not on the drive yet, and why
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mountpoint, or a file or folder in the mount; without it, the only mount
    path: Option<PathBuf>,
    /// Print JSON; with --watch, a line of it for each change
    #[arg(long)]
    json: bool,
    /// Go on showing it, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let target = target::find(args.path.as_deref())?;
    if args.watch {
        return small_runtime()?.block_on(watch::run(&target, args.json));
    }
    if target.path.is_empty() {
        let status = small_runtime()?.block_on(target.client.status())?;
        if args.json { print_json(&status)? } else { print(&text(&status))? }
    } else {
        let scope = Scope { path: target.path.clone(), timeout_millis: None };
        let entry = small_runtime()?.block_on(target.client.entry(&scope))?;
        if args.json { print_json(&entry)? } else { print(&entry_text(&entry, &target))? }
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
        format!("at risk   {}", at_risk(&status.unsent)),
    ];
    lines.extend(item_lines(&status.unsent.items, status.unsent.entries));
    lines.extend(held_back(status));
    if let Some(sign_in) = &status.sign_in {
        lines.push(format!("sign-in   required: {}", sign_in.remedy));
        lines.push(format!("          {}", sign_in.reason));
    }
    lines.push(format!("account   {}", status.account));
    lines.push(format!("since     {}", status.since));
    let storage = match status.drive.total_bytes {
        Some(total) => format!("{} of {} used", Bytes(status.drive.used_bytes), Bytes(total)),
        None => format!("{} used, no limit", Bytes(status.drive.used_bytes)),
    };
    lines.push(format!("drive     {storage}"));
    lines.push(format!("cache     {}, in {}", cache_use(&status.cache), status.cache.dir.display()));
    lines.push(format!("kernel    {}", passthrough(&status.passthrough)));
    lines.push(format!("daemon    {}", keeper(status.keeper.as_ref())));
    if status.tree.unlisted > 0 {
        let folders = count(usize::try_from(status.tree.unlisted).unwrap_or(usize::MAX), "folder", "folders");
        let when = match status.settings.get("list-ahead").map(String::as_str) {
            Some("all") => "being listed, and more may be found in them",
            _ => "listed when somebody asks for them",
        };
        lines.push(format!("tree      {folders} still to be listed ({when})"));
    }
    let requests: u64 = status.traffic.requests.values().map(|requests| requests.count).sum();
    let units: u64 = status.traffic.requests.values().map(|requests| requests.units).sum();
    lines.push(format!(
        "traffic   {} received, {} sent, {} requests ({units} quota units)",
        Bytes(status.traffic.downloaded_bytes),
        Bytes(status.traffic.uploaded_bytes),
        requests,
    ));
    lines.extend(prefetch::lines(status));
    if let Some(import) = &status.import {
        let moved = count(import.moved, "entry", "entries");
        let left = if import.left > 0 { format!(", {} left in the folder below", import.left) } else { String::new() };
        let why = import.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        lines.push(format!("import    {}: {moved} moved into the drive{left}{why}", import.state));
    }
    lines.extend(trouble(status));
    lines.iter().map(|line| plain(line) + "\n").collect()
}

fn passthrough(status: &PassthroughStatus) -> String {
    match (&status.reason, status.files) {
        (Some(why), _) => format!("reads through the mount ({why})"),
        (None, 0) => "reads large files of the cache by itself (passthrough)".to_owned(),
        (None, files) => format!("reads large files of the cache by itself (passthrough), {files} now"),
    }
}

fn keeper(status: Option<&KeeperStatus>) -> String {
    let Some(keeper) = status else { return "has no keeper: the mount ends with it".to_owned() };
    let deaths = match keeper.restarts {
        0 => "none has died".to_owned(),
        1 => "1 daemon has died, and the mount went on".to_owned(),
        many => format!("{many} daemons have died, and the mount went on"),
    };
    let last =
        keeper.last.as_ref().map_or_else(String::new, |last| format!("; the last at {}: {}", last.at, last.reason));
    format!("another one follows when it dies (keeper {}); {deaths}{last}", keeper.pid)
}

fn entry_text(entry: &EntryStatus, target: &target::Target) -> String {
    let kind = match entry.kind.as_str() {
        "folder" => "folder".to_owned(),
        kind => format!("{kind}, {}", Bytes(entry.size)),
    };
    let mut lines = vec![
        format!("{}  ({kind})", target.client.mountpoint().join(&entry.path).display()),
        format!("at risk   {}", at_risk(&entry.unsent)),
    ];
    if entry.kind == "folder" {
        lines.extend(item_lines(&entry.unsent.items, entry.unsent.entries));
    }
    lines.push(format!("state     {}", entry.state));
    lines.extend(entry.error.as_ref().map(|error| format!("error     {error}")));
    lines.push(format!("id        {}", entry.id.as_deref().unwrap_or("none yet: the drive does not have it")));
    lines.extend(entry.md5.as_ref().map(|md5| format!("md5       {md5}")));
    lines.iter().map(|line| plain(line) + "\n").collect()
}
