//! Disk space that is kept for bad times.
//!
//! A disk that is full refuses every change of the database, removals among them, which alone could make room again. So a file
//! beside the database holds a little of the disk, and is given up when a transaction fails because there is nothing left. Until it
//! could be made again, nothing new is to be begun ([`Reserve::is_held`]): what it gave is for ending what was begun, and for
//! removals.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// How much it holds. A removal takes some pages of the database's log, which is used again from its beginning when it was moved
/// into the database; that may grow by as much.
const BYTES: u64 = 8 << 20;

/// Of a small disk, one part in so many.
const PART: u64 = 20;

/// With less than this free, a failed transaction is taken to have failed for it.
const NOTHING: u64 = 256 << 10;

/// The file.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: AtomicBool,
    given: AtomicBool,
}

impl Reserve {
    /// Beside a database. Holds nothing yet.
    pub(super) fn beside(database: &Path) -> Self {
        Self { path: database.with_file_name("reserve"), held: AtomicBool::new(false), given: AtomicBool::new(false) }
    }

    /// Whether the disk had room for it when that was last tried.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether it was given up, and is not back.
    pub(super) fn was_given(&self) -> bool {
        self.given.load(Ordering::Relaxed) && !self.is_held()
    }

    /// Sets the space aside, if it is not and the disk has it.
    pub(super) fn fill(&self) {
        if self.is_held() {
            return;
        }
        let Some(dir) = self.path.parent() else { return };
        let Ok((free, total)) = sys::disk_space(dir) else { return };
        let bytes = BYTES.min(total / PART);
        // Not the last of it: then it would be needed at once.
        if free < bytes + NOTHING {
            return;
        }
        let file = File::options().write(true).create(true).truncate(false).open(&self.path);
        match file.and_then(|file| sys::allocate(&file, bytes)) {
            Ok(()) => self.held.store(true, Ordering::Relaxed),
            // Where space cannot be set aside, there is none to give up; that is no reason to refuse anything.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => self.held.store(true, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(%error, "no disk space could be set aside");
                self.give();
            }
        }
    }

    /// Whether the disk is so full that a transaction may have failed for it.
    pub(super) fn is_needed(&self) -> bool {
        let space = self.path.parent().and_then(|dir| sys::disk_space(dir).ok());
        space.is_some_and(|(free, _)| free < NOTHING)
    }

    /// Gives the space up.
    pub(super) fn give(&self) {
        if self.held.swap(false, Ordering::Relaxed) {
            tracing::warn!("the disk of the cache folder is full; nothing new is taken until there is room");
        }
        self.given.store(true, Ordering::Relaxed);
        let _absent = std::fs::remove_file(&self.path);
    }
}
