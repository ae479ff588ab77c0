//! `copy_file_range`: copying within the mount.
//!
//! What the drive has whole becomes a copy without any of its bytes, where that is possible (`writeback::copies`). Else bytes are read
//! and written here, and holes stay holes.

use std::ops::Range;
use std::sync::Arc;

use super::handle::{Bytes, Handle};
use super::{Answer, Fs, Result};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::Source;
use crate::writeback::Staging;

/// The most that the kernel can be told to have been copied at once, in whole pages.
const MOST: u64 = u32::MAX as u64 & !4095;

/// Bytes that are read and written at a time.
const PIECE: u64 = 1 << 20;

/// Bytes that are fetched ahead of them.
const AHEAD: u64 = 16 << 20;

/// A place in an open file.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its handle.
    pub handle: u64,
    /// From which byte on.
    pub offset: u64,
}

impl Fs {
    /// `copy_file_range`, by a thread. Says how much was copied, which may be less than asked for.
    pub fn copy_range(self: &Arc<Self>, from: Place, to: Place, length: u64, thread: u32) -> Answer<u32> {
        match self.begin_copy(from, to, length, thread) {
            Ok(Begun::Done(length)) => Answer::Now(Ok(length)),
            Ok(Begun::Copy(copy)) => {
                let fs = Arc::clone(self);
                self.wait_for(copy.target.file.ino, async move { copy.run(&fs).await })
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn begin_copy(&self, from: Place, to: Place, length: u64, thread: u32) -> Result<Begun> {
        self.writable()?;
        let source = self.files.handle(from.handle).ok_or(Kind::BadHandle)?;
        let target = self.files.handle(to.handle).filter(|target| target.write).ok_or(Kind::BadHandle)?;
        let length = length.min(MOST).min(source.file.size().saturating_sub(from.offset));
        // As copy_file_range(2) has it.
        if source.file.ino == target.file.ino && from.offset.abs_diff(to.offset) < length {
            return Err(Kind::Invalid.into());
        }
        to.offset.checked_add(length).ok_or(Kind::TooLarge)?;
        if length == 0 {
            return Ok(Begun::Done(0));
        }
        let bytes = source.file.bytes();
        let staging = self.stage(&target.file)?;
        target.owners.add(thread);
        let range = from.offset..from.offset + length;
        if let Some(whole) = on_drive(&bytes).filter(|_| !source.file.is_unlinked())
            && self.writeback.copy(&staging, &whole, range.clone(), to.offset)?
        {
            target.file.written();
            return Ok(Begun::Done(count(length)));
        }
        Ok(Begun::Copy(Copy { bytes, target, staging, range, to: to.offset }))
    }
}

enum Begun {
    Done(u32),
    Copy(Copy),
}

/// The revision on the drive that has exactly these bytes, if one has.
fn on_drive(bytes: &Bytes) -> Option<Source> {
    match bytes {
        Bytes::Revision(reader) => Some(reader.source().clone()),
        Bytes::Staged(staging) => staging.on_drive(),
        Bytes::Exported(_) | Bytes::Text(_) => None,
    }
}

fn count(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Bytes to be read and written.
struct Copy {
    bytes: Bytes,
    target: Arc<Handle>,
    staging: Arc<Staging>,
    range: Range<u64>,
    to: u64,
}

impl Copy {
    /// Copies until the end, or for as long as one answer may take: the program goes on by itself.
    async fn run(self, fs: &Arc<Fs>) -> Result<u32> {
        let (start, began) = (self.range.start, Instant::now());
        let mut at = start;
        while at < self.range.end && (at == start || began.elapsed() < fs.patience() / 4) {
            match self.step(fs, at).await {
                // It became shorter.
                Ok(0) => break,
                Ok(copied) => at += copied,
                // The next call meets it again.
                Err(_) if at > start => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count(at - start))
    }

    /// Copies one piece; says how long it is.
    async fn step(&self, fs: &Arc<Fs>, at: u64) -> Result<u64> {
        let rest = at..self.range.end;
        if let Bytes::Staged(source) = &self.bytes {
            let data = source.seek(rest.clone(), true).unwrap_or(rest.end.min(source.size()));
            if data > at {
                return self.leave_out(fs, at..data);
            }
        }
        let ahead = at..(at + AHEAD).min(rest.end);
        let piece = at..(at + PIECE).min(rest.end);
        let bytes = match &self.bytes {
            Bytes::Revision(reader) => {
                reader.fetch_ahead(ahead)?;
                reader.read(piece).await?
            }
            Bytes::Staged(source) => {
                source.fetch_ahead(ahead);
                let end = source.seek(piece.clone(), false).unwrap_or(piece.end);
                source.read(piece.start..end).await?
            }
            Bytes::Exported(whole) => {
                let whole = Arc::clone(whole);
                let read = tokio::task::spawn_blocking(move || whole.read(piece)).await;
                let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                read.map_err(|error| Kind::of_io(&error))?
            }
            Bytes::Text(text) => {
                let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                text.as_bytes()[place(piece.start)..place(piece.end)].to_vec()
            }
        };
        let (length, to) = (bytes.len() as u64, self.to + (at - self.range.start));
        if length > 0 {
            let (fs, staging) = (Arc::clone(fs), Arc::clone(&self.staging));
            let written = tokio::task::spawn_blocking(move || fs.writeback.write(&staging, to, &bytes));
            written.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            self.target.file.written();
        }
        Ok(length)
    }

    /// Makes a hole where the source has one.
    fn leave_out(&self, fs: &Fs, hole: Range<u64>) -> Result<u64> {
        let place = |offset: u64| self.to + (offset - self.range.start);
        let there = place(hole.start)..place(hole.end);
        let size = self.staging.size();
        if there.end > size {
            fs.writeback.resize(&self.staging, there.end)?;
        }
        fs.writeback.zero(&self.staging, there.start..there.end.min(size))?;
        self.target.file.written();
        Ok(hole.end - hole.start)
    }
}
