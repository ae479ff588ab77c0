//! Telling programs that what they wrote does not get to the drive.

use std::sync::atomic::Ordering;

use super::handle::Handle;
use super::{Fs, Result};
use crate::tree::Ino;

impl Fs {
    /// What the drive refused of a file, if this handle has not heard of it. It has, then.
    pub(super) fn refusal(&self, handle: &Handle) -> Result<()> {
        let ino = handle.file.ino;
        match self.writeback.tell_refusal(ino, handle.heard.load(Ordering::Relaxed)) {
            Some((number, error)) => {
                handle.heard.store(number, Ordering::Relaxed);
                self.failures.note(ino, &error.to_string());
                Err(error.into())
            }
            None => Ok(()),
        }
    }

    /// Fails while the drive is full and does not have what was written to this file.
    pub(super) fn drive_has_room(&self, handle: &Handle) -> Result<()> {
        let is_unsent = handle.file.staging().is_some_and(|staging| staging.is_dirty() || !staging.is_on_drive());
        let counts = |ino| is_unsent && !handle.file.is_unlinked() && !self.is_in_shared_drive(ino);
        match self.writeback.full(0).filter(|_| counts(handle.file.ino)) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Whether an entry is in a shared drive, whose storage is not the account's.
    pub(super) fn is_in_shared_drive(&self, ino: Ino) -> bool {
        self.tree.drive_of(ino).is_ok_and(|drive| drive.is_some())
    }

    /// What a handle that is opened now has heard.
    pub(super) fn heard_so_far(&self, ino: Ino) -> u64 {
        self.writeback.refusal_told(ino)
    }
}
