//! Moving what the mountpoint holds into the drive.
//!
//! The folder that is mounted over was opened before, so its files can still be reached. They are copied in through the mount, by
//! a program as any other; each is removed below only when the drive has it. A crash at any moment loses nothing: a copy gets its name
//! when it is whole, and the next mount finds what is on the drive already by its content. If the drive has another file of the
//! same name, both stay: ours as `NAME (imported)`.

mod copier;
mod copy;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::copier::Copier;
use self::copy::{Below, Sort, Stamp};
use super::running::Running;
use crate::control::ImportStatus;
use crate::fs::NodeId;
use crate::tree::{Ino, Node};

/// How much is copied before it is waited for the drive: so that the local disk never holds everything twice.
const BATCH_BYTES: u64 = 1 << 30;
const BATCH_ENTRIES: usize = 1000;

/// How long the end of the mount waits for files that the drive has, to be removed here.
const LAST: Duration = Duration::from_secs(2);

/// An entry that was copied in.
#[derive(Debug)]
struct Copied {
    path: PathBuf,
    /// The entry in the mount.
    ino: Ino,
    /// What it was below when it was copied; `None`: a folder.
    stamp: Option<Stamp>,
}

/// An import under way.
#[derive(Debug)]
struct Import {
    /// The folder that is mounted over, by its descriptor: that means the same whatever is mounted there.
    below: PathBuf,
    _folder: File,
    copier: Copier,
    entries: std::vec::IntoIter<Below>,
    /// Folders that are not called in the mount as they are below.
    renamed: HashMap<PathBuf, PathBuf>,
    /// The first reason why something stays below.
    trouble: Option<String>,
    kept: usize,
}

/// Moves everything in `below` into the mount, until the end of it. What cannot be moved stays. Who asks how it fares hears of it from
/// the moment of this call on, before the first entry was looked at.
pub(super) fn run(running: Arc<Running>, below: File, end: CancellationToken) -> impl Future<Output = ()> {
    running.import.lock().replace(status(0));
    carry_out(running, below, end)
}

/// What is said of a move of which so many entries are left.
fn status(left: usize) -> ImportStatus {
    ImportStatus { state: "moving".to_owned(), moved: 0, left, reason: None }
}

async fn carry_out(running: Arc<Running>, below: File, end: CancellationToken) {
    let place = running.mountpoint.path().to_owned();
    let work = tokio::task::spawn_blocking(move || Import::begin(below, &place)).await;
    let mut import = match work {
        Ok(Ok(import)) => import,
        Ok(Err(error)) => return give_up(&running, &error.to_string()),
        Err(panic) => return give_up(&running, &panic.to_string()),
    };
    let mut status = status(import.entries.len());
    running.import.lock().replace(status.clone());
    let mut folders = Vec::new();
    loop {
        let here = Arc::clone(&running);
        let batch = tokio::task::spawn_blocking(move || {
            let batch = import.copy_batch(&here);
            (import, batch)
        });
        let Ok((back, batch)) = batch.await else { return give_up(&running, "copying panicked") };
        import = back;
        if batch.is_empty() {
            break;
        }
        let sent = tokio::select! {
            sent = running.fs.flush_to_drive(Ino::ROOT) => sent.is_ok(),
            () = async { end.cancelled().await; tokio::time::sleep(LAST).await } => false,
        };
        if !sent {
            break;
        }
        let here = Arc::clone(&running);
        let removed = tokio::task::spawn_blocking(move || {
            let removed = import.remove(&here, batch, &mut folders);
            (import, removed, folders)
        });
        let Ok((back, removed, back_folders)) = removed.await else { return give_up(&running, "removing panicked") };
        (import, folders) = (back, back_folders);
        status.moved += removed;
        status.left = import.kept + import.entries.len() + folders.len();
        status.reason.clone_from(&import.trouble);
        running.import.lock().replace(status.clone());
    }
    let here = Arc::clone(&running);
    let removed = tokio::task::spawn_blocking(move || {
        let removed = import.remove_folders(&here, folders);
        (import, removed)
    });
    let Ok((import, removed)) = removed.await else { return give_up(&running, "removing panicked") };
    status.moved += removed;
    status.left = import.kept + import.entries.len();
    if status.left == 0 { "done" } else { "incomplete" }.clone_into(&mut status.state);
    status.reason = import.trouble;
    if status.left > 0 && status.reason.is_none() {
        status.reason = Some("the mount ended before all was on the drive".to_owned());
    }
    tracing::info!(moved = status.moved, left = status.left, reason = ?status.reason, "moved what the mountpoint held");
    running.import.lock().replace(status);
}

fn give_up(running: &Running, why: &str) {
    tracing::error!(why, "what the mountpoint holds was not moved");
    let status = ImportStatus { state: "incomplete".to_owned(), moved: 0, left: 0, reason: Some(why.to_owned()) };
    running.import.lock().replace(status);
}

impl Import {
    fn begin(below: File, place: &Path) -> io::Result<Self> {
        // As another process finds it too.
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), below.as_raw_fd()));
        let entries = copy::walk(&path)?.into_iter();
        Ok(Self {
            below: path,
            _folder: below,
            copier: Copier::start(place)?,
            entries,
            renamed: HashMap::new(),
            trouble: None,
            kept: 0,
        })
    }

    /// Copies some entries into the mount; none if none are left, or the mount is about to end.
    fn copy_batch(&mut self, running: &Running) -> Vec<Copied> {
        let (mut copied, mut bytes) = (Vec::new(), 0);
        while copied.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            if running.draining.load(Ordering::Relaxed) {
                break;
            }
            let Some(entry) = self.entries.next() else { break };
            match self.copy(&entry) {
                Ok(done) => {
                    bytes += done.stamp.as_ref().map_or(0, Stamp::size);
                    copied.push(done);
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.keep(&entry.path, "the process that copies has ended");
                    break;
                }
                Err(error) => self.keep(&entry.path, &error.to_string()),
            }
        }
        copied
    }

    fn copy(&mut self, entry: &Below) -> io::Result<Copied> {
        let folder = entry.path.parent().unwrap_or(Path::new(""));
        let folder = self.renamed.get(folder).cloned().unwrap_or_else(|| folder.to_owned());
        let from = self.below.join(&entry.path);
        if let Some(why) = entry.sort.is_for_no_drive() {
            return Err(io::Error::other(why));
        }
        let (name, ino) = self.copier.copy(entry.sort, &from, &folder)?;
        let stamp = if entry.sort == Sort::Folder {
            self.renamed.insert(entry.path.clone(), folder.join(name));
            None
        } else {
            Some(entry.stamp)
        };
        Ok(Copied { path: entry.path.clone(), ino: NodeId(ino).ino(), stamp })
    }

    fn keep(&mut self, path: &Path, why: &str) {
        tracing::warn!(path = %path.display(), why, "not moved into the drive");
        self.kept += 1;
        self.trouble.get_or_insert_with(|| format!("{}: {why}", path.display()));
    }

    /// Removes what the drive has. Says how many entries that were; folders are for later.
    fn remove(&mut self, running: &Running, batch: Vec<Copied>, folders: &mut Vec<Copied>) -> usize {
        let mut removed = 0;
        for copied in batch {
            let Some(stamp) = &copied.stamp else {
                folders.push(copied);
                continue;
            };
            let below = self.below.join(&copied.path);
            let done = if !is_on_drive(running, copied.ino) {
                Err("it is not on the drive yet".to_owned())
            } else if Stamp::of(&below).is_ok_and(|now| now != *stamp) {
                Err("it changed after it was copied".to_owned())
            } else {
                fs::remove_file(&below).map_err(|error| error.to_string())
            };
            match done {
                Ok(()) => removed += 1,
                Err(why) => self.keep(&copied.path, &why),
            }
        }
        removed
    }

    /// Removes the folders that are empty by now, from the innermost on.
    fn remove_folders(&mut self, running: &Running, folders: Vec<Copied>) -> usize {
        let mut removed = 0;
        for copied in folders.into_iter().rev() {
            let sent = is_on_drive(running, copied.ino);
            if sent && fs::remove_dir(self.below.join(&copied.path)).is_ok() {
                removed += 1;
            } else if !sent {
                self.keep(&copied.path, "it is not on the drive yet");
            } else {
                // Its content tells why.
                self.kept += 1;
            }
        }
        removed
    }
}

/// The process that copies, see [`copier`].
pub fn copy_in(orders: impl BufRead, outcomes: impl Write) -> io::Result<()> {
    copier::serve(orders, outcomes)
}

/// Whether the drive has an entry as it is here.
fn is_on_drive(running: &Running, ino: Ino) -> bool {
    let pending = running.parts.writeback.is_pending(ino).unwrap_or(true);
    let there = running.parts.tree.node(ino).ok().flatten();
    !pending && there.is_some_and(|node| Node::is_linked(&node) && node.id.is_some())
}
