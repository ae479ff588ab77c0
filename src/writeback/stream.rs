//! Sending a file while it is still written, so that little is left to send when it is closed.
//!
//! # What it owns
//!
//! The table `stream`, and the uploads that are under way for files that are open.
//!
//! # What it promises
//!
//! - **The drive sees a file only when it is whole.** A stream sends the bytes from the start on as pieces of a session of
//!   unknown length, and never the last piece: that is for [`super::upload`], which [takes](take) the session over when the file
//!   is sealed. For which item it is meant, a stream only guesses ([`super::guess`]); if it guessed wrong, the session is
//!   forgotten, and cost nothing but what was sent.
//! - **What was sent is what the file holds.** Bytes are claimed before they are read ([`super::growth`]); a write into them ends
//!   the stream. Before they are sent, the table knows their checksum, so that after a crash nothing is built on bytes that the
//!   file does not hold.
//! - **It comes second.** It takes a turn among the large uploads for each piece.

mod piece;
mod rows;
mod task;

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::rows::Row;
pub(super) use self::rows::forget;
pub(super) use self::task::run;
use super::journal::{self, Upload};
use super::outgoing::{Content, Running};
use super::plan::Job;
use super::{Result, Writeback, answer};
use crate::crash;
use crate::remote::{UploadSession, Write};
use crate::tree::{Ino, asked};

/// The streams of a mount, by the entry that is written.
pub(super) type Streams = Mutex<HashMap<Ino, Handle>>;

/// A stream, as others know it.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    /// No more is to be sent.
    stop: CancellationToken,
    /// How many bytes were sent.
    sent: Arc<AtomicU64>,
    /// What it came to; `None` before it ended.
    end: watch::Receiver<Option<Streamed>>,
}

/// What a stream came to.
#[derive(Debug, Clone)]
enum Streamed {
    /// Nothing of it is good for anything.
    Broken,
    /// It can be gone on with.
    Whole {
        /// Of what was claimed.
        hash: Arc<Mutex<Running>>,
        /// Where to go on; `None`: the drive must be asked.
        offset: Option<u64>,
        /// What it heard that the drive has.
        heard: u64,
        /// Where the claimed bytes are.
        file: Arc<File>,
    },
}

impl Handle {
    /// Lets it end at once: who takes it over has its own turn, and must not wait for a piece so long that the file is saved
    /// again meanwhile.
    async fn end(mut self) -> Streamed {
        self.stop.cancel();
        let end = self.end.wait_for(Option::is_some).await;
        // Without an end it was dropped with the mount.
        end.ok().and_then(|end| end.clone()).unwrap_or(Streamed::Broken)
    }
}

/// An upload that was begun before the file was sealed.
pub(super) struct Begun {
    pub(super) session: UploadSession,
    /// Where to go on; `None`: the drive must be asked.
    pub(super) offset: Option<u64>,
    /// Of what was sent.
    pub(super) hash: Arc<Mutex<Running>>,
    /// What this process heard that the drive has.
    pub(super) heard: Option<u64>,
}

/// Takes over what was sent of a file before it was sealed, if `content` begins with it and `write` is what it was sent for. Else
/// it is forgotten.
pub(super) async fn take(writeback: &Writeback, job: &Job, write: &Write, content: &Content) -> Result<Option<Begun>> {
    let ino = job.node.ino;
    if !content.is_followed() {
        return Ok(None);
    }
    let live = writeback.streams.lock().remove(&ino);
    let streamed = match live {
        Some(stream) => Some(stream.end().await),
        None => None,
    };
    if let Some(staging) = writeback.stagings.in_use(ino) {
        staging.follow_no_more();
    }
    let Some(row) = writeback.state.read(|db| rows::get(db, ino))? else { return Ok(None) };
    let fits = row.is_for(write) && row.sent <= content.size() && content.size() > writeback.remote.small();
    let begun = match streamed {
        Some(Streamed::Whole { hash, offset, heard, file }) if fits && content.begins_with(&file, row.sent) => {
            Some(Begun { session: row.session.clone(), offset, hash, heard: Some(heard) })
        }
        None if fits => verified(&row, content).await?,
        _ => None,
    };
    if begun.is_none() {
        tracing::debug!(%ino, sent = row.sent, "what was sent of a file before it was closed is of no use");
    }
    let is_still = writeback.state.write::<_, rusqlite::Error>(|tx| {
        rows::forget(tx, ino)?;
        let Some(Begun { session, .. }) = &begun else { return Ok(false) };
        if !answer::is_still(tx, ino, write.id())? {
            // Somebody else took over the identity.
            return Ok(false);
        }
        let (seq, size) = (content.seq(), content.size());
        let session = Some(session.clone());
        let upload = Upload { seq, size, md5: None, session, started: row.started, inherited: false };
        journal::begin_upload(tx, ino, &upload)?;
        if let Write::Update { id, .. } = write {
            asked::ask(tx, id, &job.node, job.folder.clone())?;
        }
        Ok(true)
    })?;
    crash::point("stream-taken");
    if is_still {
        writeback.remember().await?;
    }
    Ok(begun.filter(|_| is_still))
}

/// Forgets what is sent of a file before it is sealed.
pub(super) async fn end(writeback: &Writeback, ino: Ino) -> Result<()> {
    let live = writeback.streams.lock().remove(&ino);
    if let Some(stream) = live {
        stream.end().await;
        writeback.state.write::<_, rusqlite::Error>(|tx| rows::forget(tx, ino))?;
    }
    Ok(())
}

/// What was sent before the last start, if it is what `content` begins with.
async fn verified(row: &Row, content: &Content) -> Result<Option<Begun>> {
    if !content.is_here(0..row.sent) {
        return Ok(None);
    }
    let hash: Arc<Mutex<Running>> = Arc::default();
    let mut pieces = content.pieces(0..row.sent);
    while let Some((offset, bytes)) = pieces.try_next().await? {
        hash.lock().add(offset, &bytes);
    }
    let same = hash.lock().so_far() == (row.sent, row.md5);
    Ok(same.then(|| Begun { session: row.session.clone(), offset: None, hash, heard: None }))
}

impl Writeback {
    /// How many bytes of a file were sent before it was closed.
    pub fn streamed(&self, ino: Ino) -> u64 {
        self.streams.lock().get(&ino).map_or(0, |stream| stream.sent.load(Ordering::Relaxed))
    }
}
