//! Sending the content of one entry.
//!
//! Small content goes in one request. Large content goes in a session that can be resumed, over broken connections and over
//! restarts, from where the drive says it is. What the drive stored is compared with what was sent by checksum; until they
//! are equal the content stays here.
//!
//! An upload that nobody wants any more is given up only before its last bytes are handed on, when it is known that nothing came
//! of it. A request that was sent whole is waited for, since the drive may do it even if nobody listens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use md5::{Digest, Md5 as Hash};
use tokio_util::sync::CancellationToken;

use super::journal::{self, Upload};
use super::outgoing::{Content, LastPiece, PIECE, body, finish};
use super::plan::{Job, Outcome};
use super::queue::{Holder, Parked, Turn, Turns};
use super::snapshot::Snapshot;
use super::staging::Staging;
use super::stragglers::Next;
use super::stream::{self, Begun};
use super::{Result, Writeback, WritebackError, answer, conflict, copies, recover, table};
use crate::clock;
use crate::crash;
use crate::error::{Kind, Retry};
use crate::metrics;
use crate::remote::{Item, Md5, Progress, UploadSession, Write};
use crate::tree::{Effects, NodeKind, asked, nodes};

/// Large uploads under way at one time: enough to fill a link, few enough that each gets done.
pub(super) const LARGE_AT_ONCE: usize = 4;

/// The same under a deadline: fewer at a time means that the first of them are whole sooner. Not one alone, for one connection
/// may not fill the line.
pub(super) const LARGE_PRESSED: usize = 2;

/// A session lives for a week; one that is older than this is not asked for again.
const SESSION_MILLIS: i64 = 6 * 24 * 60 * 60 * 1000;

/// A drive may ask for more patience than this; a place among the few large uploads is not held for longer.
pub(super) const RETRY_AFTER_MOST: Duration = Duration::from_mins(1);

/// How often in a row an upload may fail without the drive having taken a byte before the queue is told.
const FRUITLESS: u32 = 4;

/// Uploads the sealed content of an entry, with whatever of its metadata differs.
pub(super) async fn run(writeback: &Writeback, job: Job, cancel: &CancellationToken) -> Result<Outcome> {
    let content = if job.node.kind == NodeKind::Symlink {
        Content::Link(job.node.target.clone().unwrap_or_default().into())
    } else {
        let staging = writeback.stagings.get(job.node.ino)?;
        let staged = staging.and_then(|staging| staging.snapshot().map(|snapshot| (staging, snapshot)));
        let Some((staging, snapshot)) = staged else {
            let unchanged = writeback.state.read(|db| journal::get(db, job.node.ino))?.as_ref() == Some(&job.entry);
            if !unchanged {
                // Removed since the plan, or what was there of it went with a rename.
                return Ok(Outcome::Again);
            }
            let why = "its staging file is not recorded".to_owned();
            return Err(WritebackError::Damaged { ino: job.node.ino, why });
        };
        Content::Staged(staging, snapshot)
    };
    let next = Next::Content(content.seq(), job.wanted());
    if is_crowded(writeback, content.size()) {
        return Ok(Outcome::Crowded);
    }
    if writeback.stragglers.wait(job.node.id.as_ref(), &next, &writeback.queue, job.node.ino).await {
        return Ok(Outcome::Again);
    }
    let write = if job.base.on_drive.is_some() {
        if let Content::Staged(staging, snapshot) = &content
            && let Some(outcome) = conflict::check(writeback, &job, staging, snapshot).await?
        {
            return Ok(outcome);
        }
        Write::Update { id: job.id()?.clone(), patch: job.patch(job.differences())? }
    } else {
        let Some(id) = writeback.assign_id(job.node.ino).await? else { return Ok(Outcome::Again) };
        let new = job.new_item(id)?;
        if let Content::Staged(staging, snapshot) = &content
            && let Some(outcome) = copies::run(writeback, &job, staging, snapshot, &new).await?
        {
            return Ok(outcome);
        }
        Write::Create(new)
    };
    let ino = job.node.ino;
    let holder = Holder { ino, size: content.size() };
    let sent = if content.size() <= writeback.remote.small() {
        stream::end(writeback, ino).await?;
        let Some(_turn) = turn(writeback, &writeback.uploads, holder, content.size()).await else {
            return Ok(Outcome::Crowded);
        };
        put(writeback, &job, &write, &content).await
    } else {
        let begun = stream::take(writeback, &job, &write, &content).await?;
        let left = content.size().saturating_sub(writeback.queue.inner.lock().reached(ino));
        // Under a deadline who comes late has its turn all the same, if it can be whole sooner: what gives way goes on later.
        let in_the_way = writeback.large.in_the_way();
        writeback.queue.inner.lock().make_way(&in_the_way, left, LARGE_PRESSED);
        let Some(_turn) = turn(writeback, &writeback.large, holder, left).await else { return Ok(Outcome::Crowded) };
        let Some(_turn) = turn(writeback, &writeback.uploads, holder, left).await else { return Ok(Outcome::Crowded) };
        match resume(writeback, &job, &write, &content, begun, cancel).await {
            Ok(Some((item, md5))) => say_the_rest(writeback, &job, item).await.map(|item| Some((item, md5))),
            other => other,
        }
    };
    match sent {
        Ok(None) => Ok(Outcome::Again),
        Ok(Some((item, md5))) => writeback.commit(&job, &content, &item, md5).await,
        Err(WritebackError::Remote(error)) => {
            writeback.stragglers.note(write.id(), &next, &error);
            match write {
                Write::Create(_) => writeback.refused(&job, error).await,
                // It may be gone, or in another folder than we thought: look.
                Write::Update { id, .. } if answer::may_be_elsewhere(error.kind) => {
                    if writeback.look(&job, &id).await? { Err(error.into()) } else { Ok(Outcome::Again) }
                }
                Write::Update { .. } => Err(error.into()),
            }
        }
        Err(error) => match &content {
            Content::Staged(staging, snapshot) if error.is_of_base() => {
                let moved_on =
                    matches!(write, Write::Update { .. }) && conflict::moved_on(writeback, &job, staging).await?;
                if moved_on { Ok(Outcome::Again) } else { give_up(writeback, &job, staging, snapshot, error) }
            }
            _ => Err(error),
        },
    }
}

/// Whether content of that size would have to wait for its turn, and too many do.
fn is_crowded(writeback: &Writeback, size: u64) -> bool {
    let is_large = size > writeback.remote.small();
    let waits = writeback.uploads.is_full() || (is_large && writeback.large.is_full());
    waits && writeback.queue.is_crowded()
}

/// Waits until one more may go. What waits takes no place in the queue from who need not. `None`: too many wait.
async fn turn(writeback: &Writeback, turns: &Arc<Turns>, holder: Holder, left: u64) -> Option<Turn> {
    if let Some(free) = turns.try_take(holder) {
        return Some(free);
    }
    let _parked = Parked::try_new(&writeback.queue, holder.ino)?;
    turns.take(holder, left).await
}

/// What to do about content that builds on a revision which the drive does not have any more and which is not here either:
/// what is here of it is put aside, for it can never be sent whole, and the entry is what the drive has under its identity, if it
/// has one. Not while somebody has it open, who would go on writing for nothing; they may also overwrite what is missing.
fn give_up(
    writeback: &Writeback,
    job: &Job,
    staging: &Arc<Staging>,
    snapshot: &Snapshot,
    error: WritebackError,
) -> Result<Outcome> {
    // Ours are the one that is sent, the one in `snapshot`, and that of who takes in the base.
    let ours = 1 + usize::from(staging.securing.load(Ordering::Relaxed));
    if snapshot.is_shared(ours) {
        return Err(error);
    }
    let (ino, why) = match snapshot.shows_whole() {
        Some(_) => (job.node.ino, "could not be sent: it is a copy of a version that is gone from the drive"),
        None => (job.node.ino, "could not be sent: it changes a part of a version that is gone from the drive"),
    };
    let path = writeback.tree.path(ino)?;
    let unique = format!("{:x}-{}", ino.0, snapshot.seq().0);
    let pieces = snapshot.local_pieces(PIECE);
    tokio::task::block_in_place(|| writeback.aside.assemble(path, &unique, snapshot.size(), pieces, why))?;
    let mut effects = Effects::default();
    let gone = writeback.state.write::<_, rusqlite::Error>(|tx| {
        let Some(node) = nodes::by_ino(tx, ino)? else { return Ok(true) };
        if !table::is_newest(tx, ino, snapshot.seq())? {
            return Ok(false);
        }
        let names = nodes::further_names(tx, ino)?;
        let is_there = recover::fall_back(tx, ino)?;
        table::retire(tx, ino)?;
        if is_there {
            // Programs that look again get the drive's.
            effects.attributes.push(ino);
            effects.contents.push(ino);
        } else {
            nodes::touch_folder(tx, node.parent, clock::now())?;
            effects.attributes.push(node.parent);
            effects.entries.extend(names.into_iter().map(|name| (name.parent, name.name)));
        }
        effects.entries.push((node.parent, node.name));
        writeback.tree.merging(tx, &effects)?;
        Ok(true)
    })?;
    if gone {
        staging.discard();
    }
    writeback.tree.tell(effects);
    Ok(Outcome::Again)
}

/// Sends small content. `None`: the entry became something else before that.
async fn put(writeback: &Writeback, job: &Job, write: &Write, content: &Content) -> Result<Option<(Item, Md5)>> {
    let bytes = content.read(0..content.size()).await?;
    let md5 = Md5(Hash::digest(&bytes).into());
    if let Content::Staged(staging, _) = content
        && staging.wanted_base().is_some()
    {
        // All of the base is here now. Once the drive has the new content it may not have the old one any more, and what is not
        // known to be here after a crash would be gone.
        let staging = Arc::clone(staging);
        let stored = tokio::task::spawn_blocking(move || staging.owner().store_taken_in(&staging)).await;
        stored.map_err(std::io::Error::other)??;
    }
    if !begin(writeback, job, write, content, Some(md5), None)? {
        return Ok(None);
    }
    writeback.remember().await?;
    crash::point("put-noted");
    let item = writeback.remote.put(write, bytes).await?;
    crash::point("put-answered");
    Ok(Some((item, md5)))
}

/// Notes what is about to be sent. Says `false` if it must not be: somebody else took over the identity of the entry since the
/// plan, or it is gone. What is sent for an item must be known to whoever has its identity, before it is sent and after a crash.
fn begin(
    writeback: &Writeback,
    job: &Job,
    write: &Write,
    content: &Content,
    md5: Option<Md5>,
    session: Option<&UploadSession>,
) -> Result<bool> {
    let upload = Upload {
        seq: content.seq(),
        size: content.size(),
        md5,
        session: session.cloned(),
        started: clock::now().millis(),
        inherited: false,
    };
    let id = write.id();
    Ok(writeback.state.write::<_, rusqlite::Error>(|tx| {
        let is_still = answer::is_still(tx, job.node.ino, id)?;
        if is_still {
            journal::begin_upload(tx, job.node.ino, &upload)?;
        }
        if is_still && let Write::Update { id, .. } = write {
            asked::ask(tx, id, &job.node, job.folder.clone())?;
        }
        Ok(is_still)
    })?)
}

/// Sends large content, from where an earlier try left off. `None`: given up, and nothing came of it.
async fn resume(
    writeback: &Writeback,
    job: &Job,
    write: &Write,
    content: &Content,
    begun: Option<Begun>,
    cancel: &CancellationToken,
) -> Result<Option<(Item, Md5)>> {
    let (ino, total) = (job.node.ino, content.size());
    // Where to go on; no offset: the drive must be asked.
    let (mut session, mut offset, mut hash, mut heard) = match begun {
        Some(Begun { session, offset, hash, heard }) => (Some(session), offset, hash, heard),
        None => (usable_session(writeback, job, content)?, None, Arc::default(), None),
    };
    // What turns out to have arrived of what was sent without an answer. Of an earlier try it is not known what that counted.
    let found = |heard: Option<u64>, stored: u64| {
        metrics::UPLOADED.add(heard.map_or(0, |heard| stored.saturating_sub(heard)));
    };
    let (mut reached, mut fruitless) = (0, 0);
    loop {
        let current = if let Some(current) = &session {
            current.clone()
        } else {
            let begun = writeback.remote.begin(write, Some(total)).await?;
            crash::point("session-not-stored");
            if !begin(writeback, job, write, content, None, Some(&begun))? {
                return Ok(None);
            }
            writeback.remember().await?;
            crash::point("session-stored");
            (offset, reached, hash, heard) = (Some(0), 0, Arc::default(), Some(0));
            session.insert(begun).clone()
        };
        let (progress, is_asked) = match offset.filter(|&offset| offset < total) {
            Some(offset) => {
                let last = LastPiece::default();
                let body = body(content, &hash, offset..total, writeback, ino, &last);
                let sent = {
                    let sending = writeback.remote.send(&current, offset, Some(total), body);
                    tokio::pin!(sending);
                    tokio::select! {
                        sent = &mut sending => Some(sent),
                        () = cancel.cancelled() => if last.hold_back() { None } else { Some(sending.await) },
                    }
                };
                let is_asked = sent.is_none();
                let sent = match sent {
                    Some(sent) => sent,
                    // What came of it is asked for.
                    None => writeback.remote.progress(&current, Some(total)).await,
                };
                // That the request broke off is not the reason then.
                if let Some(error) = hash.lock().unreadable.take() {
                    return Err(error);
                }
                (sent, is_asked)
            }
            None => (writeback.remote.progress(&current, Some(total)).await, true),
        };
        let stored = match &progress {
            Ok(Progress::Done(_)) => Some(total),
            Ok(Progress::Stored(stored) | Progress::Moved(stored, _)) => Some(*stored),
            Err(_) => None,
        };
        if let Some(stored) = stored {
            if is_asked {
                found(heard, stored);
            }
            heard = Some(stored);
        }
        if let Ok(Progress::Moved(_, to)) = &progress {
            // If it is something else by now: what was sent at the old address is known all the same.
            begin(writeback, job, write, content, None, Some(to))?;
            session = Some(to.clone());
        }
        match progress {
            Ok(Progress::Done(item)) => {
                crash::point("session-answered");
                let md5 = finish(content, &hash, total).await?;
                return Ok(Some((*item, md5)));
            }
            _ if cancel.is_cancelled() => return Ok(None),
            Ok(Progress::Stored(stored) | Progress::Moved(stored, _)) => {
                writeback.queue.sent(ino, stored);
                if stored > reached {
                    (reached, fruitless) = (stored, 0);
                } else if offset.is_some() {
                    fruitless += 1;
                }
                offset = Some(stored);
                if fruitless > FRUITLESS {
                    return Err(stuck().into());
                }
            }
            Err(error) if error.kind == Kind::NotFound => {
                // The session is gone, or the file is: a new one will tell.
                session = None;
                fruitless += 1;
                if fruitless > FRUITLESS {
                    return Err(error.into());
                }
            }
            Err(error) if error.kind.retry() == Retry::Soon && fruitless < FRUITLESS => {
                metrics::RETRIES.add(1);
                writeback.stragglers.note(write.id(), &Next::Content(content.seq(), job.wanted()), &error);
                let pause = error.retry_after.unwrap_or(Duration::from_millis(500 << fruitless)).min(RETRY_AFTER_MOST);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = cancel.cancelled() => {}
                }
                fruitless += 1;
                // The drive knows best what arrived.
                offset = None;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a session says of an item beside its content is as old as the session. Says what has changed since, before anything is
/// concluded from the item.
async fn say_the_rest(writeback: &Writeback, job: &Job, item: Item) -> Result<Item> {
    match job.rest(&item)? {
        Some(patch) if !item.trashed => {
            let folder = job.folder.clone();
            writeback.state.write::<_, rusqlite::Error>(|tx| asked::ask(tx, &item.id, &job.node, folder))?;
            Ok(writeback.remote.update(&item.id, &patch).await?)
        }
        _ => Ok(item),
    }
}

fn stuck() -> crate::remote::RemoteError {
    crate::remote::RemoteError::new(Kind::Server, "upload", "the drive takes no more bytes of an upload")
}

/// The session of an earlier try for the same content, if it is young enough.
fn usable_session(writeback: &Writeback, job: &Job, content: &Content) -> Result<Option<UploadSession>> {
    let uploads = writeback.state.read(|db| journal::uploads(db, job.node.ino))?;
    let young = |upload: &Upload| clock::now().millis() - upload.started < SESSION_MILLIS;
    let same = |upload: &Upload| upload.seq == content.seq() && upload.size == content.size() && young(upload);
    Ok(uploads.into_iter().find(same).and_then(|upload| upload.session))
}
