//! One step for one entry: look what differs, send that, store the answer.
//!
//! The order in which entries go cannot be wrong and cannot be a circle:
//!
//! 1. an entry is created in, or moved into, a folder only when the drive has that folder;
//! 2. a folder is moved only when all folders above its new place are where they shall be, so from the top down: then the drive
//!    never sees a circle, whatever was moved into what;
//! 3. a folder is removed only after everything that was moved out of it has left, and takes along what was removed in it, but
//!    what may have left it before, by a move that was not answered: that is removed first;
//! 4. what was a temporary item is deleted before the folder that it is in goes to the trash, or it would be in the trash;
//! 5. an item is removed only after the content has been sent that is still read from it, and so are the folders that it is in;
//! 6. a further name is made when the drive has its file, and goes when that has taken its place;
//! 7. content is replaced or removed after the new files that are [copies](super::copies) of it were made, unless they fail.
//!
//! 1 and 2 wait for what is above, 3 for moves, 5 and 6 for uploads, 7 for what is new; a removal that waits for a file is of what no file waits for; nothing waits for a removal but removals.
//!
//! A request that may still arrive is never overtaken by a later one for the same item: whoever takes over the identity of an
//! item waits until what was under way for it has ended.

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::journal::{self, Gone};
use super::plan::{Job, Outcome, Plan, plan};
use super::stragglers::Next;
use super::trash::is_only_ours;
use super::{Result, Writeback, answer, upload};
use crate::crash;
use crate::error::{Kind, Retry};
use crate::remote::{FileId, IdsFor, Pages};
use crate::tree::merge::Differences;
use crate::tree::{Effects, FOR_GOOD, Ino, NEVER_SEEN, Node, NodeKind, OnDrive, asked, nodes};

/// Ids reserved at once. A request for them costs the same whatever their number.
const IDS: usize = 500;

/// Does one step.
pub(super) async fn step(writeback: &Writeback, ino: Ino, cancel: &CancellationToken) -> Result<Outcome> {
    let plan = writeback.state.snapshot(|db| plan(db, ino))?;
    // Since it became due it may have taken over the identity of one that is being sent: two requests for the same item might be
    // carried out in either order.
    if writeback.queue.is_behind(ino) {
        return Ok(Outcome::Again);
    }
    if let Plan::Upload(job) | Plan::Remove(job) = &plan
        && job.base.on_drive.is_some()
        && let Some(outcome) = writeback.copies_first(job).await?
    {
        return Ok(outcome);
    }
    match plan {
        Plan::Settled => {
            writeback.state.write::<_, rusqlite::Error>(|tx| forget(tx, ino))?;
            Ok(Outcome::Settled)
        }
        Plan::Idle => Ok(Outcome::Idle),
        Plan::Wait(other) => Ok(Outcome::Wait(other)),
        Plan::Create(job) => writeback.create_bare(job).await,
        Plan::CreateLink(job, to) => writeback.create_link(job, to).await,
        Plan::ReplaceLink(job) => writeback.replace_link(job).await,
        Plan::Upload(job) => upload::run(writeback, job, cancel).await,
        Plan::Update(job, differences) => writeback.update(job, differences).await,
        Plan::Look(job) => writeback.look_back(&job).await,
        Plan::Remove(job) => writeback.remove_from_drive(job).await,
    }
}

/// Drops the row of an entry that has nothing to send, unless it changed at this very moment.
fn forget(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    if matches!(plan(db, ino)?, Plan::Settled) {
        journal::delete(db, ino)?;
        nodes::delete_base(db, ino)?;
    }
    Ok(())
}

impl Writeback {
    async fn create_bare(&self, job: Job) -> Result<Outcome> {
        let Some(id) = self.assign_id(job.node.ino).await? else { return Ok(Outcome::Again) };
        self.remember().await?;
        let item = match self.remote.create_bare(&job.new_item(id)?).await {
            Ok(item) => item,
            Err(error) => return self.refused(&job, error).await,
        };
        crash::point("folder-answered");
        self.store_answer(&job, &item).await
    }

    async fn update(&self, job: Job, differences: Differences) -> Result<Outcome> {
        let id = job.id()?.clone();
        if self.stragglers.wait(Some(&id), &Next::Metadata(job.wanted()), &self.queue, job.node.ino).await {
            return Ok(Outcome::Again);
        }
        let is_still = self.state.write::<_, rusqlite::Error>(|tx| {
            let is_still = answer::is_still(tx, job.node.ino, &id)?;
            if is_still {
                asked::ask(tx, &id, &job.node, job.folder.clone())?;
            }
            Ok(is_still)
        })?;
        if !is_still {
            return Ok(Outcome::Again);
        }
        match self.remote.update(&id, &job.patch(differences)?).await {
            Ok(item) => {
                crash::point("update-answered");
                self.store_answer(&job, &item).await
            }
            // It may be gone, or in another folder than we thought: look.
            Err(error) if answer::may_be_elsewhere(error.kind) => {
                if self.look(&job, &id).await? {
                    Err(error.into())
                } else {
                    Ok(Outcome::Again)
                }
            }
            Err(error) => {
                self.stragglers.note(&id, &Next::Metadata(job.wanted()), &error);
                Err(error.into())
            }
        }
    }

    /// Makes what is noted of a request survive the loss of power, before it is sent: else its id might be used twice, or what
    /// came of it be taken for the work of somebody else.
    pub(super) async fn remember(&self) -> Result<()> {
        let state = std::sync::Arc::clone(&self.state);
        let synced = tokio::task::spawn_blocking(move || state.sync_log()).await;
        Ok(synced.map_err(std::io::Error::other)??)
    }

    /// Looks what became of a request without an answer, since what it asked for is not wanted any more.
    async fn look_back(&self, job: &Job) -> Result<Outcome> {
        let id = job.id()?;
        self.look(job, id).await?;
        self.state.write::<_, rusqlite::Error>(|tx| asked::looked(tx, id))?;
        Ok(Outcome::Again)
    }

    /// The id for a new item: reserved before the first attempt and kept for all that follow. `None` if the entry is no new one
    /// any more.
    pub(super) async fn assign_id(&self, ino: Ino) -> Result<Option<FileId>> {
        let mut what = IdsFor::Items;
        loop {
            let assigned = self.state.write::<_, rusqlite::Error>(|tx| {
                let is_new = nodes::base(tx, ino)?.is_some_and(|base| base.on_drive.is_none());
                let Some(node) = nodes::by_ino(tx, ino)?.filter(|node| is_new && node.is_linked()) else {
                    return Ok(Some(None));
                };
                if let Some(id) = node.id {
                    return Ok(Some(Some(id)));
                }
                if node.kind == NodeKind::Link {
                    what = IdsFor::Links;
                }
                let Some(id) = journal::take_id(tx, what)? else { return Ok(None) };
                nodes::update(tx, &Node { id: Some(id.clone()), ..node })?;
                Ok(Some(Some(id)))
            })?;
            if let Some(id) = assigned {
                crash::point("id-taken");
                return Ok(id);
            }
            let _one_at_a_time = self.refill.acquire().await;
            if self.state.read(|db| journal::count_ids(db, what))? == 0 {
                let ids = self.remote.reserve_ids(IDS, what).await?;
                crash::point("ids-not-stored");
                self.state.write::<_, rusqlite::Error>(|tx| journal::add_ids(tx, &ids, what))?;
            }
        }
    }

    async fn remove_from_drive(&self, job: Job) -> Result<Outcome> {
        let Some(id) = job.node.id.clone() else {
            self.state.write::<_, rusqlite::Error>(|tx| {
                journal::delete(tx, job.node.ino)?;
                nodes::delete(tx, job.node.ino)
            })?;
            return Ok(Outcome::Settled);
        };
        if self.stragglers.wait(Some(&id), &Next::Removal, &self.queue, job.node.ino).await {
            return Ok(Outcome::Again);
        }
        let mut is_ours = true;
        if job.node.is_folder() {
            match self.left_in(&job.node).await? {
                Left::Nothing => {}
                Left::Changed => is_ours = false,
                Left::MovedOut(ino) => return Ok(Outcome::Wait(ino)),
                Left::Strangers => return self.restore(&job),
            }
        }
        let version = match job.entry.gone {
            Gone::Delete | Gone::Temporary if is_ours && self.delete_for_good(&job, &id).await? => {
                if job.base.on_drive.is_some() { FOR_GOOD } else { NEVER_SEEN }
            }
            _ => match self.remote.trash(&id).await {
                Ok(item) => item.version,
                Err(error) if error.kind == Kind::NotFound => job.node.version,
                Err(error) => return Err(error.into()),
            },
        };
        crash::point("removal-answered");
        self.deleted();
        self.tree.took_away(&id);
        let mut effects = Effects::default();
        self.state.write::<_, rusqlite::Error>(|tx| {
            bury(tx, job.node.ino, version)?;
            // Another of the same name may have it now.
            match &job.base.on_drive {
                Some(OnDrive { parent: Some(folder), name, .. }) => {
                    self.tree.vacated(tx, &job.node, folder, name, &mut effects)
                }
                _ => Ok(()),
            }
        })?;
        crash::point("removal-stored");
        self.tree.tell(effects);
        Ok(Outcome::Settled)
    }

    /// Deletes an item for good, unless that is not ours to do: somebody else wrote it since we last heard, others may see it, or
    /// it belongs to somebody else. Says whether it did.
    async fn delete_for_good(&self, job: &Job, id: &FileId) -> Result<bool> {
        let is_known = job.base.on_drive.is_some();
        if is_known && self.trash.is_careful() {
            match self.remote.get(id).await {
                Ok(item) if is_only_ours(&job.node, &item) => {}
                Err(error) if error.kind == Kind::NotFound => return Ok(true),
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(false),
            }
        }
        match self.remote.delete(id).await {
            Ok(()) => Ok(true),
            Err(error) if is_known && matches!(error.kind, Kind::Denied | Kind::NotPermitted) => {
                tracing::warn!(name = job.node.name, %error, "not deleted for good, but moved to the trash");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a folder that was emptied and removed here still holds on the drive, at any depth.
    async fn left_in(&self, folder: &Node) -> Result<Left> {
        let mut folders = vec![folder.clone()];
        let mut left = Left::Nothing;
        while let Some(folder) = folders.pop() {
            let Some(id) = &folder.id else { continue };
            let mut pages = Pages::new(&*self.remote, std::slice::from_ref(id));
            let mut got_on = false;
            loop {
                let items = match pages.next().await {
                    Ok(Some(items)) => items,
                    Ok(None) => break,
                    Err(error) if error.kind == Kind::NotFound => break,
                    // It goes on where it is: who begins many pages again each time never comes to their end on a bad line.
                    Err(error) if got_on && error.kind.retry() == Retry::Soon => {
                        got_on = false;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                got_on = true;
                for item in &items {
                    let known = self.state.read(|db| nodes::by_id(db, &item.id))?;
                    match known {
                        // A create that was not answered may have made it where it is not any more here.
                        Some(node) if node.is_linked() && self.is_pending(node.ino)? => {
                            return Ok(Left::MovedOut(node.ino));
                        }
                        Some(node) if node.is_linked() => return Ok(Left::Strangers),
                        // Our removal of it got through, and somebody took it out of the trash again.
                        Some(node) if node.version < item.version && !self.is_pending(node.ino)? => {
                            return Ok(Left::Strangers);
                        }
                        Some(node) if node.is_folder() => folders.push(node),
                        Some(node) if is_only_ours(&node, item) => {}
                        Some(_) => left = Left::Changed,
                        None => return Ok(Left::Strangers),
                    }
                }
            }
        }
        Ok(left)
    }

    /// Takes the removal of a folder back: it holds what was put there elsewhere.
    fn restore(&self, job: &Job) -> Result<Outcome> {
        let name = job.base.on_drive.as_ref().map(|there| there.name.clone()).unwrap_or_default();
        tracing::warn!(folder = name, "not removed: it holds entries that were added elsewhere meanwhile");
        let effects = self.state.write::<_, super::WritebackError>(|tx| {
            journal::delete(tx, job.node.ino)?;
            Ok(self.tree.restore(tx, &job.node, job.base.on_drive.as_ref())?)
        })?;
        self.tree.tell(effects);
        Ok(Outcome::Settled)
    }
}

/// What the drive still has in a folder that is to be removed there.
enum Left {
    /// Only what was removed here, too.
    Nothing,
    /// The same, and others changed some of it or may see it: it is not ours to delete for good.
    Changed,
    /// This entry, which is elsewhere here and is about to leave.
    MovedOut(Ino),
    /// Something that was never seen here: removing the folder would remove what nobody here decided about.
    Strangers,
}

/// Notes that the drive removed an item at our request, with all that was removed in it before. Its node stays for a while, to
/// know old news of it from a return; those in it can go, since they could only return in it.
fn bury(db: &Connection, ino: Ino, version: u64) -> rusqlite::Result<()> {
    let Some(node) = nodes::by_ino(db, ino)? else { return journal::delete(db, ino) };
    let mut folders = vec![node.clone()];
    while let Some(folder) = folders.pop() {
        let Some(id) = folder.id.as_ref().filter(|_| folder.is_folder()) else { continue };
        let within: Vec<Ino> = db
            .prepare_cached(
                "SELECT journal.ino FROM journal JOIN base ON base.ino = journal.ino
                 WHERE base.parent = ?1 AND journal.gone <> 0",
            )?
            .query_map([&id.0], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for ino in within {
            folders.extend(nodes::by_ino(db, ino)?);
            journal::delete(db, ino)?;
            nodes::delete(db, ino)?;
        }
    }
    journal::delete(db, ino)?;
    nodes::delete_base(db, ino)?;
    if let Some(id) = &node.id {
        asked::answered(db, id)?;
    }
    nodes::update(db, &Node { version: version.max(node.version), ..node })
}
