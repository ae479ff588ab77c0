//! The life of one stream.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::upload::RETRY_AFTER_MOST;
use super::piece::Pieces;
use super::rows::{self, Row};
use super::{Handle, Streamed};
use crate::clock::{self, Instant};
use crate::crash;
use crate::error::{Kind, Retry};
use crate::metrics;
use crate::remote::{NewItem, NewKind, Patch, Posix, Progress, RemoteError, UploadSession, Write};
use crate::tree::{Ino, Node, NodeKind, nodes};
use crate::writeback::outgoing::Running;
use crate::writeback::queue::Holder;
use crate::writeback::{Result, Writeback, guess};

/// Pieces that are not the last are multiples of this.
const UNIT: u64 = 256 << 10;

/// A piece is not begun before the file has grown by what the link takes in half a second, within these bounds.
const SHORTEST: RangeInclusive<u64> = (1 << 20)..=(16 << 20);

/// It is no longer than so many of the shortest: each costs a round trip in which nothing is sent, and keeps others waiting.
const LONGEST: u64 = 8;

/// A file that grows slowly is sent so often.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often in a row a piece may fail without the drive having taken a byte.
const FRUITLESS: u32 = 10;

/// What a stream is sent for.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and not for long")]
enum Aim {
    /// The content of this.
    Into(Write),
    /// Not known yet: something else must happen first.
    NotYet,
    /// Nothing.
    Nothing,
}

/// Sends a file that is being written, until it is sealed and sent, changed where it was sent already, or removed.
pub(in crate::writeback) async fn run(writeback: Arc<Writeback>, ino: Ino) {
    let Some(staging) = writeback.stagings.in_use(ino) else { return };
    let Some(followed) = staging.follow() else { return };
    let (tell, end) = watch::channel(None);
    let handle = Handle { stop: CancellationToken::new(), sent: Arc::default(), end };
    let hash: Arc<Mutex<Running>> = Arc::default();
    let (sent, state, queue) = (Arc::clone(&handle.sent), Arc::clone(&writeback.state), Arc::clone(&writeback.queue));
    let pieces = Arc::new(Pieces { ino, staging, followed, state, queue, hash, sent });
    writeback.streams.lock().insert(ino, handle.clone());
    let stream = Stream { writeback: &writeback, pieces: &pieces, handle: &handle };
    let sent = tokio::select! {
        sent = stream.send_all() => sent,
        () = pieces.followed.broken.cancelled() => Ok(None),
    };
    let streamed = match sent {
        Ok(Some((offset, heard))) if !pieces.followed.broken.is_cancelled() => {
            Streamed::Whole { hash: Arc::clone(&pieces.hash), offset, heard, file: Arc::clone(&pieces.followed.file) }
        }
        Ok(_) => Streamed::Broken,
        Err(error) => {
            tracing::debug!(%ino, %error, "a file is not sent before it is closed");
            Streamed::Broken
        }
    };
    if matches!(streamed, Streamed::Broken) {
        forget(&writeback, &pieces, &handle);
    }
    tell.send_replace(Some(streamed));
}

/// Nobody takes a stream over any more. What was begun anew for the same file is left alone.
fn forget(writeback: &Writeback, pieces: &Pieces, handle: &Handle) {
    if !pieces.followed.broken.is_cancelled() {
        pieces.staging.follow_no_more();
    }
    let mut streams = writeback.streams.lock();
    // Whoever took it already forgets the row.
    if !streams.get(&pieces.ino).is_some_and(|other| Arc::ptr_eq(&other.sent, &handle.sent)) {
        return;
    }
    streams.remove(&pieces.ino);
    drop(streams);
    let forgotten = writeback.state.write::<_, rusqlite::Error>(|tx| rows::forget(tx, pieces.ino));
    if let Err(error) = forgotten {
        // Whoever finds the row finds that it does not fit.
        tracing::warn!(%error, "what was sent of a file before it was closed could not be forgotten");
    }
}

/// A stream under way.
struct Stream<'a> {
    writeback: &'a Writeback,
    pieces: &'a Arc<Pieces>,
    handle: &'a Handle,
}

impl Stream<'_> {
    /// Sends until it is told to stop. Says where to go on, if that is known, and what it heard that the drive has; `None` if nothing was
    /// begun.
    async fn send_all(&self) -> Result<Option<(Option<u64>, u64)>> {
        let Some(mut session) = self.begin().await? else { return Ok(None) };
        let (mut offset, mut reached, mut fruitless) = (Some(0), 0, 0);
        let mut shortest = *SHORTEST.start();
        loop {
            let at = offset.unwrap_or(reached);
            let Some(end) = self.grown(at, shortest).await else { return Ok(Some((offset, reached))) };
            let turn = tokio::select! {
                turn = self.turn() => turn,
                () = self.handle.stop.cancelled() => return Ok(Some((offset, reached))),
            };
            let since = Instant::now();
            let sent = async {
                match offset {
                    Some(offset) => {
                        let body = self.pieces.body(offset..end);
                        self.writeback.remote.send(&session, offset, None, body).await
                    }
                    None => self.writeback.remote.progress(&session, None).await,
                }
            };
            let progress = tokio::select! {
                progress = sent => progress,
                // What arrived of the piece is asked for.
                () = self.handle.stop.cancelled() => return Ok(Some((None, reached))),
            };
            drop(turn);
            crash::point("stream-piece-answered");
            match progress {
                // Nobody said how long it is: that cannot be.
                Ok(Progress::Done(_)) => return Err(nonsense().into()),
                Ok(Progress::Stored(stored) | Progress::Moved(stored, _)) if stored > at.max(end) => {
                    return Err(nonsense().into());
                }
                Ok(progress @ (Progress::Stored(stored) | Progress::Moved(stored, _))) => {
                    if let Progress::Moved(_, to) = progress {
                        self.write(|tx| rows::moved(tx, self.pieces.ino, &to))?;
                        session = to;
                    }
                    if offset.is_some() && stored > at {
                        shortest = worth_a_request(stored - at, since.elapsed());
                    }
                    if stored > reached {
                        if offset.is_none() {
                            metrics::UPLOADED.add(stored - reached);
                        }
                        (reached, fruitless) = (stored, 0);
                        self.writeback.queue.moved_on();
                    } else if offset.is_some() {
                        fruitless += 1;
                    }
                    offset = Some(stored);
                    self.pieces.sent.store(stored, Ordering::Relaxed);
                }
                Err(error) if error.kind.retry() == Retry::Soon => {
                    metrics::RETRIES.add(1);
                    fruitless += 1;
                    let wait = error
                        .retry_after
                        .unwrap_or(Duration::from_millis(500 << fruitless.min(6)))
                        .min(RETRY_AFTER_MOST);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.handle.stop.cancelled() => return Ok(Some((None, reached))),
                    }
                    offset = None;
                }
                Err(error) => return Err(error.into()),
            }
            if fruitless > FRUITLESS {
                return Err(nonsense().into());
            }
        }
    }

    /// Waits until at least `shortest` bytes behind `at` can be sent, or, after a while, any. Says up to where; `None` if it is to
    /// stop.
    async fn grown(&self, at: u64, mut shortest: u64) -> Option<u64> {
        let (patience, most) = (tokio::time::sleep(PATIENCE), shortest * LONGEST);
        tokio::pin!(patience);
        loop {
            if self.handle.stop.is_cancelled() {
                return None;
            }
            let can = self.pieces.staging.claimable().saturating_sub(at);
            if can >= shortest {
                return Some(at + (can - can % UNIT).min(most - most % UNIT));
            }
            tokio::select! {
                () = self.pieces.followed.grown.notified() => {}
                () = &mut patience, if shortest > UNIT => shortest = UNIT,
                () = self.handle.stop.cancelled() => return None,
            }
        }
    }

    /// Waits until one more of the large uploads may go.
    async fn turn(&self) -> impl Sized + '_ {
        // Behind all that is closed, if somebody presses. No size: a piece is soon over, and gives way to nobody.
        let holder = Holder { ino: self.pieces.ino, size: 0 };
        (self.writeback.large.take(holder, u64::MAX).await, self.writeback.uploads.take(holder, u64::MAX).await)
    }

    /// Begins the session. `None` if there is nothing to begin it for.
    async fn begin(&self) -> Result<Option<UploadSession>> {
        let write = loop {
            // Before the look: what ends meanwhile is not missed.
            let mut ended = self.writeback.queue.ended.subscribe();
            match self.aim().await? {
                Aim::Into(write) => break write,
                Aim::Nothing => return Ok(None),
                Aim::NotYet => tokio::select! {
                    changed = ended.changed() => if changed.is_err() { return Ok(None) },
                    () = self.handle.stop.cancelled() => return Ok(None),
                },
            }
        };
        let session = tokio::select! {
            session = self.writeback.remote.begin(&write, None) => session?,
            () = self.handle.stop.cancelled() => return Ok(None),
        };
        crash::point("stream-not-stored");
        let row = Row {
            id: write.id().clone(),
            creates: matches!(write, Write::Create(_)),
            session: session.clone(),
            started: clock::now().millis(),
            sent: 0,
            md5: Running::default().so_far().1,
        };
        self.write(|tx| rows::begin(tx, self.pieces.ino, &row))?;
        crash::point("stream-stored");
        Ok(Some(session))
    }

    async fn aim(&self) -> Result<Aim> {
        let ino = self.pieces.ino;
        let Some(node) = self.writeback.tree.node(ino)? else { return Ok(Aim::Nothing) };
        if !node.is_linked() || node.kind != NodeKind::File {
            return Ok(Aim::Nothing);
        }
        let (unsent, folder, target) = self.writeback.state.read(|db| {
            let unsent = nodes::base(db, ino)?.is_some_and(|base| base.on_drive.is_none());
            let folder = nodes::by_ino(db, node.parent)?;
            let there = folder.as_ref().map_or(Ok(false), |folder| is_on_drive(db, folder.ino))?;
            let target = if unsent { self.writeback.habits.target(db, &node)? } else { Some((node.clone(), true)) };
            Ok((unsent, folder.filter(|_| there), target))
        })?;
        let is_busy = |ino| self.writeback.queue.is_busy(ino);
        // An upload of an earlier version would be slowed down, and sees the drive's word of it changed.
        if is_busy(ino) || target.as_ref().is_some_and(|(target, _)| is_busy(target.ino)) {
            return Ok(Aim::NotYet);
        }
        let target = match target {
            // It will be: what is sent for an item of its own until then is sent in vain, and takes the line from that one.
            Some((_, false)) => return Ok(Aim::NotYet),
            target => target.map(|(target, _)| target),
        };
        if let Some(Node { id: Some(id), mtime, .. }) = target {
            let patch = Patch { modified: Some(mtime), ..Patch::default() };
            return Ok(Aim::Into(Write::Update { id, patch }));
        }
        if !unsent {
            return Ok(Aim::Nothing);
        }
        let Some(parent) = folder.and_then(|folder| folder.id) else { return Ok(Aim::NotYet) };
        let Some(id) = self.writeback.assign_id(ino).await? else { return Ok(Aim::Nothing) };
        let posix = Posix { mode: node.mode, owner: node.owner, xattrs: node.xattrs.clone(), ..Posix::default() };
        let name = guess::final_name(node.name_on_drive()).to_owned();
        Ok(Aim::Into(Write::Create(NewItem { id, parent, name, kind: NewKind::File, modified: node.mtime, posix })))
    }

    fn write(&self, work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>) -> Result<()> {
        Ok(self.writeback.state.write::<_, rusqlite::Error>(work)?)
    }
}

fn is_on_drive(db: &rusqlite::Connection, ino: Ino) -> rusqlite::Result<bool> {
    Ok(nodes::base(db, ino)?.is_none_or(|base| base.on_drive.is_some()))
}

/// How many bytes make a request worth its round trip: what went in half a second, as the last piece did.
fn worth_a_request(bytes: u64, time: Duration) -> u64 {
    let half_a_second = u128::from(bytes) * 500 / time.as_millis().max(1);
    u64::try_from(half_a_second).unwrap_or(u64::MAX).clamp(*SHORTEST.start(), *SHORTEST.end())
}

fn nonsense() -> RemoteError {
    RemoteError::new(Kind::Server, "upload", "the drive's word on an upload cannot be")
}
