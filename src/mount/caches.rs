//! The cache folders of this machine: which there are, what is in them, and giving up what can be fetched again.
//!
//! For folders whose mount runs, that mount is to be asked ([`crate::control`]): what is here works under the lock of a folder that
//! nobody uses, or only looks.

use std::collections::BTreeSet;
use std::fs::{self, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::start::HANDOVER;
use super::{Lock, MountError};
use crate::clock::Instant;
use crate::config::CONTROL_SOCKET;
use crate::control::Cleared;
use crate::state::{State, StateError};
use crate::tree::Tree;
use crate::writeback::{self, Waiting};

/// How deep below the folder of all caches one may lie.
const DEPTH: usize = 2;

/// Where the state of a mount is, within its cache folder.
const STATE: &str = "state.db";

/// Where cached content is.
const BLOCKS: &str = "blocks";

/// Folders of content that is nowhere else.
const PRECIOUS: [&str; 2] = ["staging", "unfinished"];

/// Something that the start of a mount notes for people: what is mounted.
pub const FACT_SOURCE: &str = "source";

/// Whose drive it is, for people, where a mount noted that.
pub(super) const FACT_PERSON: &str = "person";

/// A cache folder.
#[derive(Debug)]
pub struct Folder {
    /// Where.
    pub dir: PathBuf,
    /// What was mounted with it last, if that is known.
    pub source: Option<String>,
    /// Whose drive it holds.
    pub account: Option<String>,
    /// Who uses it, or used it last, as the lock says: process and mountpoint.
    pub holder: Option<String>,
    /// Somebody uses it.
    pub in_use: bool,
    /// What cached content takes on the disk.
    pub cached_bytes: u64,
    /// What the drive does not have yet.
    pub waiting: Vec<Waiting>,
    /// Files of content that is nowhere else: unsent, or put aside because it cannot be sent.
    pub precious: Vec<PathBuf>,
}

impl Folder {
    /// Looks at a folder; `None` if it is no cache of ours. Changes nothing.
    pub fn look(dir: &Path) -> Result<Option<Self>, MountError> {
        if !dir.join(STATE).is_file() {
            return Ok(None);
        }
        let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
        let lock = fs::File::open(dir.join("lock"));
        let in_use = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        let holder = fs::read_to_string(dir.join("lock")).ok();
        let holder = holder.and_then(|text| text.lines().next().map(str::to_owned));
        let state = State::open(&dir.join(STATE))?;
        let damaged = |what: StateError| MountError::of_state(what, dir);
        let mut precious = Vec::new();
        for folder in PRECIOUS {
            files(&dir.join(folder), &mut |path, metadata| {
                if metadata.len() > 0 {
                    precious.push(path.to_owned());
                }
            })
            .map_err(unusable)?;
        }
        let person = state.fact(FACT_PERSON).map_err(damaged)?;
        let account = person.map_or_else(|| Tree::account(&state), |person| Ok(Some(person)));
        Ok(Some(Self {
            dir: dir.to_owned(),
            source: state.fact(FACT_SOURCE).map_err(damaged)?,
            account: account.map_err(MountError::Tree)?,
            holder,
            in_use,
            cached_bytes: on_disk(&dir.join(BLOCKS)).map_err(unusable)?,
            waiting: writeback::waiting(&state).map_err(damaged)?,
            precious,
        }))
    }

    /// Bytes that the drive does not have yet.
    pub fn unsent_bytes(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.bytes).sum()
    }

    /// Where it was mounted last.
    pub fn mountpoint(&self) -> Option<PathBuf> {
        self.holder.as_deref()?.split_once(", mounted at ").map(|(_, path)| PathBuf::from(path))
    }
}

/// The cache folders below the folder of all caches, by their paths.
pub fn below(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![(root.to_owned(), DEPTH)];
    while let Some((dir, depth)) = folders.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.join(STATE).is_file() {
                found.insert(path);
            } else if depth > 1 && path.is_dir() && !path.is_symlink() {
                folders.push((path, depth - 1));
            }
        }
    }
    Ok(found)
}

/// Drops the cached content of a folder that nobody uses.
pub fn clear(dir: &Path) -> Result<Cleared, MountError> {
    let _lock = take(dir)?;
    let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
    let blocks = dir.join(BLOCKS);
    let dropped_bytes = on_disk(&blocks).map_err(unusable)?;
    match fs::remove_dir_all(&blocks) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    let state = State::open(&dir.join(STATE))?;
    let waiting = writeback::waiting(&state)?;
    let unsent_bytes = waiting.iter().map(|waiting| waiting.bytes).sum();
    Ok(Cleared { dropped_bytes, unsent_bytes, unsent_entries: waiting.len() })
}

/// Removes a folder that nobody uses and that holds nothing which is nowhere else; says how many bytes it took, or what it holds.
pub fn remove(dir: &Path) -> Result<Result<u64, Folder>, MountError> {
    let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
    let _lock = take(dir)?;
    let not_ours = || unusable(io::Error::new(io::ErrorKind::NotFound, "it is no cache folder"));
    let folder = Folder::look(dir)?.ok_or_else(not_ours)?;
    if !folder.waiting.is_empty() || !folder.precious.is_empty() {
        return Ok(Err(folder));
    }
    let bytes = on_disk(dir).map_err(unusable)?;
    fs::remove_dir_all(dir).map_err(unusable)?;
    Ok(Ok(bytes))
}

/// Takes a folder that nobody uses. A daemon whose mount has ended, which shows by its socket, is waited for.
fn take(dir: &Path) -> Result<Lock, MountError> {
    let until = Instant::now() + HANDOVER;
    loop {
        match Lock::take_unused(dir) {
            // A lock has no event to wait for.
            Err(MountError::InUse { .. }) if !dir.join(CONTROL_SOCKET).exists() && Instant::now() < until => {
                thread::sleep(Duration::from_millis(50));
            }
            taken => return taken,
        }
    }
}

/// What the files below a folder take on the disk; they may be sparse.
fn on_disk(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    files(dir, &mut |_, metadata| bytes += metadata.blocks() * 512)?;
    Ok(bytes)
}

/// All files below a folder, which need not be there. What vanishes meanwhile is passed over.
fn files(dir: &Path, each: &mut impl FnMut(&Path, &fs::Metadata)) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => files(&path, each)?,
            Ok(metadata) => each(&path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
