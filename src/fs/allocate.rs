//! Room and holes: `fallocate`, and `lseek` for data and for holes.

use std::ops::Range;
use std::sync::Arc;

use super::handle::Bytes;
use super::{Answer, Fs, Outdated, Result};
use crate::error::Kind;

/// What `fallocate` does to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocate {
    /// It can be written from now on. A promise nobody can give for a drive; so it is looked whether it could be now.
    Room,
    /// It is zeros.
    Zeros,
}

impl Fs {
    /// `fallocate`, by a thread. The file becomes as long as the end of the range if it `grows`.
    pub fn fallocate(&self, handle: u64, thread: u32, range: Range<u64>, how: Allocate, grows: bool) -> Result<()> {
        self.writable()?;
        let handle = self.files.handle(handle).filter(|handle| handle.write).ok_or(Kind::BadHandle)?;
        if range.is_empty() {
            return Err(Kind::Invalid.into());
        }
        if how == Allocate::Room {
            self.writeback.has_room(handle.file.staging().as_deref(), range.clone())?;
        }
        let size = handle.file.size();
        let (lengthens, empties) = (grows && range.end > size, how == Allocate::Zeros && range.start < size);
        if !lengthens && !empties {
            return Ok(());
        }
        let staging = self.stage(&handle.file)?;
        if empties {
            self.writeback.zero(&staging, range.clone())?;
        }
        if lengthens {
            self.writeback.resize(&staging, range.end)?;
        }
        handle.file.written();
        handle.owners.add(thread);
        Ok(())
    }

    /// `lseek` with `SEEK_DATA`, or with `SEEK_HOLE` if it is not for data: where the next byte of that sort is.
    pub fn seek(self: &Arc<Self>, handle: u64, offset: u64, data: bool) -> Answer<u64> {
        let Some(handle) = self.files.handle(handle) else { return Answer::err(Kind::BadHandle) };
        let size = handle.file.size();
        let found = move |found: Option<u64>| found.ok_or_else(|| Kind::Local(libc::ENXIO).into());
        let staging = match handle.file.bytes() {
            Bytes::Staged(staging) if offset < size => staging,
            // What the drive has is data all over.
            _ => return found((offset < size).then_some(if data { offset } else { size })).into(),
        };
        let is_whole = if data { Some(offset) } else { Some(size) };
        let first = staging.seek(offset..u64::MAX, data);
        if first == is_whole || !handle.file.has_writers() {
            return found(first).into();
        }
        // Pages that a program has mapped may be changed where we know of a hole: the kernel sends them when it is told to
        // forget them.
        let written = self.revoke.revoke_now(vec![Outdated::Content(handle.file.ino.into())]);
        Answer::later(async move {
            written.await;
            found(staging.seek(offset..u64::MAX, data))
        })
    }
}
