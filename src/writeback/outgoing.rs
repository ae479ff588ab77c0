//! What is sent of an entry, and what is known of it while it is sent.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use md5::{Digest, Md5 as Hash};
use parking_lot::Mutex;

use super::snapshot::Snapshot;
use super::staging::Staging;
use super::{Result, Writeback, WritebackError, journal};
use crate::crash;
use crate::remote::{Body, Md5, Remote, Source};

/// Bytes read from the disk at a time.
pub(super) const PIECE: u64 = 256 * 1024;

/// Bytes of the base that are asked for ahead of what is read: so that they come in few requests.
const AHEAD: u64 = 32 * 1024 * 1024;

/// What is sent.
pub(super) enum Content {
    /// Of a file.
    Staged(Arc<Staging>, Snapshot),
    /// The target of a symbolic link.
    Link(Bytes),
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Staged(_, snapshot) => snapshot.size(),
            Self::Link(target) => target.len() as u64,
        }
    }

    /// The seq it was sealed at.
    pub(super) fn seq(&self) -> journal::Seq {
        match self {
            Self::Staged(_, snapshot) => snapshot.seq(),
            Self::Link(_) => journal::Seq::default(),
        }
    }

    /// Whether its first bytes, so many, are those of a staging file.
    pub(super) fn begins_with(&self, file: &Arc<File>, length: u64) -> bool {
        matches!(self, Self::Staged(_, snapshot) if snapshot.begins_with(file, length))
    }

    /// Whether it is this content that is sent while the file is written, and not one that was begun anew since.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Self::Staged(_, snapshot) if snapshot.is_followed())
    }

    /// Whether a range needs nothing of the base.
    pub(super) fn is_here(&self, range: Range<u64>) -> bool {
        matches!(self, Self::Staged(_, snapshot) if snapshot.is_here(range))
    }

    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Staged(_, snapshot) => Ok(snapshot.read(range).await?.into()),
            Self::Link(target) => {
                let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(target.slice(at(range.start)..at(range.end)))
            }
        }
    }
}

/// What is known of a body: the checksum of what was sent so far, from the start without a gap.
#[derive(Default, Clone)]
pub(super) struct Running {
    hash: Hash,
    until: u64,
    /// Why what was to be sent could not be read.
    pub(super) unreadable: Option<WritebackError>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Running {
    /// How many bytes were added, and their checksum.
    pub(super) fn so_far(&self) -> (u64, Md5) {
        (self.until, Md5(self.hash.clone().finalize().into()))
    }

    /// Adds bytes that stand at an offset.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) {
        // Sent a second time after a broken connection: hashed already. Sent from further on: `finish` reads the rest.
        let Some(skip) = self.until.checked_sub(offset).and_then(|skip| usize::try_from(skip).ok()) else { return };
        if let Some(new) = bytes.get(skip..) {
            self.hash.update(new);
            self.until += new.len() as u64;
        }
    }
}

/// Whether the last bytes of a request are handed on. Before that it can be broken off, and nothing comes of it; after that the
/// drive may do it though nobody listens.
#[derive(Debug, Clone, Default)]
pub(super) struct LastPiece(Arc<OnceLock<bool>>);

impl LastPiece {
    /// Holds it back for ever, unless it was handed on already. Says whether it is held back.
    pub(super) fn hold_back(&self) -> bool {
        !self.0.get_or_init(|| false)
    }

    fn hand_on(&self) -> bool {
        *self.0.get_or_init(|| true)
    }
}

/// The bytes of a range, read as they are sent.
pub(super) fn body(
    content: &Content,
    hash: &Arc<Mutex<Running>>,
    range: Range<u64>,
    writeback: &Writeback,
    ino: crate::tree::Ino,
    last: &LastPiece,
) -> Body {
    let length = range.end - range.start;
    let end = range.end;
    let pieces = content.pieces(range);
    let hash = Arc::clone(hash);
    let queue = Arc::clone(&writeback.queue);
    let last = last.clone();
    let stream = pieces.map(move |piece| {
        let (offset, bytes) = piece.map_err(|error| {
            hash.lock().unreadable = Some(error.clone());
            std::io::Error::other(error)
        })?;
        if offset + bytes.len() as u64 >= end && !last.hand_on() {
            return Err(std::io::Error::other("given up"));
        }
        hash.lock().add(offset, &bytes);
        queue.sent(ino, offset);
        crash::point("piece-handed-on");
        Ok(bytes)
    });
    Body { length, stream: stream.boxed() }
}

impl Content {
    /// The pieces of a range with their offsets.
    pub(super) fn pieces(&self, range: Range<u64>) -> futures_util::stream::BoxStream<'static, Result<(u64, Bytes)>> {
        let Self::Staged(_, snapshot) = self else {
            let whole = self.read(range.clone()).now_or_never().unwrap_or_else(|| Ok(Bytes::new()));
            return futures_util::stream::iter([whole.map(|bytes| (range.start, bytes))]).boxed();
        };
        let snapshot = snapshot.clone();
        let Range { start, end } = range;
        futures_util::stream::unfold(start, move |offset| {
            let snapshot = snapshot.clone();
            async move {
                if offset >= end {
                    return None;
                }
                if (offset - start).is_multiple_of(AHEAD / 2) {
                    snapshot.fetch_ahead(offset..(offset + AHEAD).min(end));
                }
                let next = (offset + PIECE).min(end);
                let bytes = snapshot.read(offset..next).await;
                Some((bytes.map(|bytes| (offset, Bytes::from(bytes))), next))
            }
        })
        .boxed()
    }
}

/// The checksum of all of it: what was not hashed while it was sent is read now.
pub(super) async fn finish(content: &Content, hash: &Arc<Mutex<Running>>, total: u64) -> Result<Md5> {
    let until = hash.lock().until;
    let mut rest = content.pieces(until..total);
    while let Some(piece) = rest.next().await {
        let (offset, bytes) = piece?;
        hash.lock().add(offset, &bytes);
    }
    let hash = std::mem::take(&mut hash.lock().hash);
    Ok(Md5(hash.finalize().into()))
}

/// The checksum of sealed content.
pub(super) async fn checksum(snapshot: &Snapshot) -> Result<Md5> {
    if let Some(md5) = snapshot.shows_whole().and_then(|source| source.blob.md5) {
        return Ok(md5);
    }
    let mut hash = Hash::new();
    let mut offset = 0;
    while offset < snapshot.size() {
        let next = (offset + PIECE).min(snapshot.size());
        hash.update(snapshot.read(offset..next).await?);
        offset = next;
    }
    Ok(Md5(hash.finalize().into()))
}

/// The checksum of a content on the drive: the one that the drive gives, else that of the bytes, which it must send for that.
pub(super) async fn checksum_there(remote: &dyn Remote, source: &Source) -> Result<Md5> {
    if let Some(md5) = source.blob.md5 {
        return Ok(md5);
    }
    let mut hash = Hash::new();
    if source.blob.size > 0 {
        let mut bytes = remote.read(source, 0..source.blob.size).await?;
        while let Some(piece) = bytes.try_next().await? {
            hash.update(&piece);
        }
    }
    Ok(Md5(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_on_is_not_held_back_and_what_is_held_back_is_not_handed_on() {
        let last = LastPiece::default();
        assert!(last.hand_on() && !last.hold_back());
        let last = LastPiece::default();
        assert!(last.hold_back() && last.hold_back() && !last.hand_on());
    }
}
