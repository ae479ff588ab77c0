//! Changing what a staging holds, within the room that there is: the drive's limits, the cap of the cache, and the local disk, of
//! which the journal keeps what it needs to send and to remove what is there.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::layers::Layer;
use super::staging::{Inner, Staging};
use super::stagings::Stagings;
use super::unsealed::Change;
use super::{Result, WritebackError};
use crate::crash;
use crate::error::Kind;
use crate::sys;
use crate::tree::Ino;

/// What unsent content leaves free of the disk, for the journal. Much less than what the cache leaves to unsent content.
const RESERVE: u64 = 64 << 20;

/// Of a small disk it leaves one part in so many.
const RESERVE_PART: u64 = 40;

/// The most that is written between two looks at the disk.
const CLAIM: u64 = 32 << 20;

impl Stagings {
    /// Writes. Blocks on the local disk only. Fails before the disk is full: what was written before must still be sent.
    pub(super) fn write(&self, staging: &Staging, offset: u64, bytes: &[u8]) -> Result<()> {
        self.fits(offset.saturating_add(bytes.len() as u64))?;
        self.claim(bytes.len() as u64)?;
        self.make_way(bytes.len() as u64);
        let mut inner = staging.inner.lock();
        inner.growth.changing(offset);
        self.layer_for(staging.ino(), &mut inner, offset)?;
        let new = inner.pile.write(offset, bytes)?;
        crash::point("bytes-written");
        inner.on_drive = None;
        let top = inner.top();
        inner.note(staging.ino(), Change::Write(top, offset, offset + bytes.len() as u64))?;
        let Inner { growth, pile, .. } = &mut *inner;
        let worth_an_upload = growth.written(pile);
        drop(inner);
        self.account(staging.ino(), new);
        if worth_an_upload {
            // Nobody listens after the end.
            let _ended = self.growing.send(staging.ino());
        }
        Ok(())
    }

    /// Sets the size.
    pub(super) fn resize(&self, staging: &Staging, size: u64) -> Result<()> {
        let mut inner = staging.inner.lock();
        if size > inner.pile.now.size {
            self.fits(size)?;
        }
        if size == 0 {
            inner.growth.emptied();
        } else {
            inner.growth.changing(size);
        }
        // One that only grows needs a layer too, if it is the first: into that the base is taken.
        let from = size.min(inner.pile.now.size);
        if from < inner.pile.now.size || (inner.pile.now.stack.is_empty() && inner.pile.now.base_size > 0) {
            self.layer_for(staging.ino(), &mut inner, from)?;
        }
        let freed = inner.pile.resize(size)?;
        inner.on_drive = None;
        inner.note(staging.ino(), Change::Size(size))?;
        drop(inner);
        self.account_gone(staging.ino(), freed);
        Ok(())
    }

    /// Makes a range zeros, as far as it is within the size. They take no room on the disk.
    pub(super) fn zero(&self, staging: &Staging, range: Range<u64>) -> Result<()> {
        let mut inner = staging.inner.lock();
        let range = range.start..range.end.min(inner.pile.now.size);
        if range.is_empty() {
            return Ok(());
        }
        inner.growth.changing(range.start);
        self.layer_for(staging.ino(), &mut inner, range.start)?;
        let freed = inner.pile.zero(range.clone())?;
        inner.on_drive = None;
        let top = inner.top();
        inner.note(staging.ino(), Change::Zero(top, range.start, range.end))?;
        drop(inner);
        self.account_gone(staging.ino(), freed);
        Ok(())
    }

    /// Whether the drive takes a file of that size.
    pub(super) fn fits(&self, size: u64) -> Result<()> {
        if size <= self.largest { Ok(()) } else { Err(WritebackError::Refused(Kind::TooLarge)) }
    }

    /// Whether a range of a file could be written, as the drive's limits and the local disk are now. Takes nothing.
    pub(super) fn has_room(&self, staging: Option<&Staging>, range: Range<u64>) -> Result<()> {
        self.fits(range.end)?;
        let here = staging.map_or(0, |staging| staging.inner.lock().pile.held());
        if self.spare()? < (range.end - range.start).saturating_sub(here) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        Ok(())
    }

    pub(super) fn layer_for(&self, ino: Ino, inner: &mut Inner, offset: u64) -> Result<()> {
        if inner.pile.needs_layer(offset) {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let layer = Layer::create(number, self.path(ino, number), inner.pile.shining())?;
            crash::point("staging-made");
            let below = layer.below;
            inner.pile.push(layer);
            if self.fold(ino, inner) {
                // What was noted of the layers that are gone would be made again in others.
                inner.note_all(ino)?;
            } else {
                inner.note(ino, Change::Layer(number, below))?;
            }
        }
        Ok(())
    }

    /// Makes fewer layers of many, if there is room for what is copied until the old ones are gone. Says whether it did.
    fn fold(&self, ino: Ino, inner: &mut Inner) -> bool {
        let Inner { pile, growth, .. } = inner;
        let Some((count, bytes)) = pile.foldable(|layer| growth.is_of(layer)) else { return false };
        if !self.space.fits(bytes) || self.claim(bytes).is_err() {
            return false;
        }
        match pile.fold(count) {
            Ok(copied) => {
                self.account(ino, copied);
                true
            }
            Err(error) => {
                // Without it everything is still right.
                tracing::debug!(%error, "layers of a staging were not made fewer");
                false
            }
        }
    }

    /// Makes sure that so many bytes leave the journal the room that it needs to send and to remove what is there.
    pub(super) fn claim(&self, bytes: u64) -> Result<()> {
        let claimed = self.claimable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if claimed.is_ok() {
            return Ok(());
        }
        let mut spare = self.spare()?;
        if spare < bytes {
            // What can be fetched again goes first.
            let (_, total) = sys::disk_space(&self.dir)?;
            self.content.cache().free_disk(RESERVE.min(total / RESERVE_PART) + bytes)?;
            spare = self.spare()?;
        }
        if spare < bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        // Others write to the disk too, so not all of it at once.
        self.claimable.store((spare - bytes).min(CLAIM) / 2, Ordering::Relaxed);
        Ok(())
    }

    /// What of the disk may be written, as it is now.
    fn spare(&self) -> Result<u64> {
        let (free, total) = sys::disk_space(&self.dir)?;
        Ok(free.saturating_sub(RESERVE.min(total / RESERVE_PART)))
    }

    /// Notes that a staging file holds more.
    pub(super) fn account(&self, ino: Ino, more: u64) {
        if more > 0 {
            self.space.add(ino, more);
            self.content.cache().leave_room(self.space.room(0));
        }
    }

    /// Has the cache give way for so many bytes that are about to be written.
    fn make_way(&self, bytes: u64) {
        let cache = self.content.cache();
        cache.leave_room(self.space.room(bytes));
        if cache.is_crowded()
            && let Err(error) = cache.give_way()
        {
            tracing::warn!(%error, "the cache could not give way to unsent content");
        }
    }

    pub(super) fn account_gone(&self, ino: Ino, less: u64) {
        if less > 0 {
            self.space.take(ino, less);
            self.content.cache().leave_room(self.space.room(0));
        }
    }
}
