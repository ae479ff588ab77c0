//! One step for one entry: look what differs, send that, store the answer.
//!
//! The order in which entries go cannot be wrong and cannot be a circle:
//!
//! 1. an entry is created in, or moved into, a folder only when the drive has that folder;
//! 2. a folder is moved only when all folders above its new place are where they shall be, so from the top down: then the drive
//!    never sees a circle, whatever was moved into what;
//! 3. a folder is removed only after everything that was moved out of it has left, and takes along what was removed in it.
//!
//! 1 and 2 wait for what is above, 3 for moves; nothing waits for a removal but removals below it.
//!
//! A request that may still arrive is never overtaken by a later one for the same item: whoever takes over the identity of an
//! item waits until what was under way for it has ended.

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::WritebackError::Remote;
use super::journal::{self, Entry, Gone};
use super::queue::Outcome;
use super::{Result, Writeback, upload};
use crate::error::Kind;
use crate::remote::{FileId, Item, Move, NewItem, NewKind, Patch, Posix, RemoteError};
use crate::tree::merge::Differences;
use crate::tree::{Base, Effects, Ino, Node, NodeKind, nodes};

/// Ids reserved at once. A request for them costs the same whatever their number.
const IDS: usize = 500;

/// What is to be done for an entry, as one consistent view of the database has it.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing, and nothing will be.
    Settled,
    /// Nothing now.
    Idle,
    /// Another entry goes first.
    Wait(Ino),
    /// The drive gets a new folder.
    CreateFolder(Job),
    /// The drive gets content, in a new item or as a new revision.
    Upload(Job),
    /// The drive gets new metadata.
    Update(Job, Differences),
    /// The drive loses an item.
    Remove(Job),
}

/// An entry to send, with all that the request needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) node: Node,
    pub(super) base: Base,
    /// Id of the folder it is in; that of the drive's root for what is in no folder.
    pub(super) folder: Option<FileId>,
}

pub(super) async fn step(writeback: &Writeback, ino: Ino, cancel: &CancellationToken) -> Result<Outcome> {
    match writeback.state.snapshot(|db| plan(db, ino))? {
        Plan::Settled => {
            writeback.state.write::<_, rusqlite::Error>(|tx| forget(tx, ino))?;
            Ok(Outcome::Settled)
        }
        Plan::Idle => Ok(Outcome::Idle),
        Plan::Wait(other) => Ok(Outcome::Wait(other)),
        Plan::CreateFolder(job) => writeback.create_folder(job).await,
        Plan::Upload(job) => upload::run(writeback, job, cancel).await,
        Plan::Update(job, differences) => writeback.update(job, differences).await,
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

fn plan(db: &Connection, ino: Ino) -> rusqlite::Result<Plan> {
    let Some(entry) = journal::get(db, ino)? else { return Ok(Plan::Settled) };
    let (Some(node), Some(base)) = (nodes::by_ino(db, ino)?, nodes::base(db, ino)?) else { return Ok(Plan::Settled) };
    if entry.gone != Gone::No {
        return plan_removal(db, Job { entry, node, base, folder: None });
    }
    if entry.unclosed {
        return Ok(Plan::Idle);
    }
    let Some(folder) = nodes::by_ino(db, node.parent)? else { return Ok(Plan::Settled) };
    if !is_on_drive(db, folder.ino)? {
        return Ok(Plan::Wait(folder.ino));
    }
    let differences = base.differs(&node, folder.id.as_ref());
    let job = Job { entry, node, base, folder: folder.id };
    if job.base.on_drive.is_none() {
        return Ok(if job.node.is_folder() { Plan::CreateFolder(job) } else { Plan::Upload(job) });
    }
    if differences.place && job.node.is_folder() {
        let mut above = folder.ino;
        while above != Ino::ROOT {
            let Some(node) = nodes::by_ino(db, above)? else { return Ok(Plan::Settled) };
            let grand = nodes::by_ino(db, node.parent)?.and_then(|grand| grand.id);
            if nodes::base(db, above)?.is_some_and(|base| base.differs(&node, grand.as_ref()).place) {
                return Ok(Plan::Wait(above));
            }
            above = node.parent;
        }
    }
    if job.entry.content.is_some() {
        return Ok(Plan::Upload(job));
    }
    Ok(if differences.any() { Plan::Update(job, differences) } else { Plan::Settled })
}

fn is_on_drive(db: &Connection, ino: Ino) -> rusqlite::Result<bool> {
    Ok(nodes::base(db, ino)?.is_none_or(|base| base.on_drive.is_some()))
}

fn plan_removal(db: &Connection, job: Job) -> rusqlite::Result<Plan> {
    let parent = job.base.on_drive.as_ref().and_then(|there| there.parent.as_ref());
    if let Some(folder) = parent.map_or(Ok(None), |id| nodes::by_id(db, id))?
        && journal::get(db, folder.ino)?.is_some_and(|entry| entry.gone != Gone::No)
    {
        return Ok(Plan::Wait(folder.ino));
    }
    if let Some(id) = job.node.id.as_ref().filter(|_| job.node.is_folder()) {
        let moved_out = db
            .prepare_cached(
                "SELECT node.ino FROM base JOIN node ON node.ino = base.ino WHERE base.parent = ?1 AND node.parent <> 0",
            )?
            .query_map([&id.0], |row| row.get(0))?
            .next()
            .transpose()?;
        if let Some(ino) = moved_out {
            return Ok(Plan::Wait(ino));
        }
    }
    Ok(Plan::Remove(job))
}

impl Job {
    /// POSIX attributes as they shall be.
    pub(super) fn posix(&self) -> Posix {
        let target = self.node.target.clone().filter(|_| self.node.kind == NodeKind::Symlink);
        Posix { mode: self.node.mode, owner: self.node.owner, target }
    }

    /// What the drive is to make, under an id reserved for it.
    pub(super) fn new_item(&self, id: FileId) -> Result<NewItem> {
        let kind = match self.node.kind {
            NodeKind::Folder => NewKind::Folder,
            NodeKind::Symlink => NewKind::Symlink,
            NodeKind::File | NodeKind::Document => NewKind::File,
        };
        Ok(NewItem {
            id,
            parent: self.folder()?.clone(),
            name: self.node.name_on_drive().to_owned(),
            kind,
            modified: self.node.mtime,
            posix: self.posix(),
        })
    }

    /// What the drive is to change of the metadata.
    pub(super) fn patch(&self, differences: Differences) -> Result<Patch> {
        let there = self.base.on_drive.as_ref();
        let folder = self.folder()?;
        let parent = match there.and_then(|there| there.parent.as_ref()) {
            Some(from) if from != folder => Some(Move { from: from.clone(), to: folder.clone() }),
            _ => None,
        };
        let name = self.node.name_on_drive();
        Ok(Patch {
            name: there.is_some_and(|there| there.name != name).then(|| name.to_owned()),
            parent,
            // Always: a drive sets the time to now with any change that does not say it.
            modified: Some(self.node.mtime),
            posix: (differences.mode || differences.owner).then(|| self.posix()),
        })
    }

    /// The differences to the drive at the time of the plan.
    pub(super) fn differences(&self) -> Differences {
        self.base.differs(&self.node, self.folder.as_ref())
    }

    pub(super) fn id(&self) -> Result<&FileId> {
        self.node.id.as_ref().ok_or_else(|| lost("the id of an entry"))
    }

    fn folder(&self) -> Result<&FileId> {
        self.folder.as_ref().ok_or_else(|| lost("the id of a folder"))
    }
}

fn lost(what: &str) -> super::WritebackError {
    Remote(RemoteError::new(Kind::Corrupt, "journal", format!("{what} is missing in the journal")))
}

impl Writeback {
    async fn create_folder(&self, job: Job) -> Result<Outcome> {
        let id = self.assign_id(&job).await?;
        let item = match self.remote.create_folder(&job.new_item(id)?).await {
            Ok(item) => item,
            Err(error) => return self.refused(&job, error).await,
        };
        self.store_answer(&job, &item).await
    }

    async fn update(&self, job: Job, differences: Differences) -> Result<Outcome> {
        let id = job.id()?.clone();
        match self.remote.update(&id, &job.patch(differences)?).await {
            Ok(item) => self.store_answer(&job, &item).await,
            // It may be gone, or in another folder than we thought: look.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => {
                if self.look(&job, &id).await? {
                    Err(error.into())
                } else {
                    Ok(Outcome::Again)
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the state of an item that a request was refused for, and merges it. Says whether that told nothing new.
    pub(super) async fn look(&self, job: &Job, id: &FileId) -> Result<bool> {
        let item = match self.remote.get(id).await {
            Ok(item) => Some(item),
            Err(error) if error.kind == Kind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let nothing_new = item.as_ref().is_some_and(|item| !item.trashed && item.version == job.node.version);
        self.tree.merge_news(id, item.as_ref())?;
        Ok(nothing_new)
    }

    /// Stores the answer to a change of metadata.
    pub(super) async fn store_answer(&self, job: &Job, item: &Item) -> Result<Outcome> {
        let mut effects = Effects::default();
        let stored = self.state.write::<_, super::WritebackError>(|tx| {
            if !is_still(tx, job.node.ino, &item.id)? {
                return Ok(None);
            }
            let settled = self.tree.answered(tx, job.node.ino, item, &mut effects)?;
            Ok(Some(journal::acknowledge(tx, &job.entry, settled)?))
        })?;
        self.tree.tell(effects);
        match stored {
            Some(true) => Ok(Outcome::Settled),
            Some(false) => Ok(Outcome::Again),
            None => self.stray(&item.id).await,
        }
    }

    /// An item came into being that no entry wants any more: it was removed, or became something else, while the request was
    /// under way.
    pub(super) async fn stray(&self, id: &FileId) -> Result<Outcome> {
        match self.state.read(|db| nodes::by_id(db, id))? {
            // Its removal is in the journal.
            Some(node) => self.queue.changed(node.ino),
            None => self.remote.delete(id).await?,
        }
        Ok(Outcome::Again)
    }

    /// The id for a new item: reserved before the first attempt and kept for all that follow.
    pub(super) async fn assign_id(&self, job: &Job) -> Result<FileId> {
        if let Some(id) = &job.node.id {
            return Ok(id.clone());
        }
        loop {
            let assigned = self.state.write::<_, rusqlite::Error>(|tx| {
                let Some(node) = nodes::by_ino(tx, job.node.ino)? else { return Ok(None) };
                if let Some(id) = node.id {
                    return Ok(Some(id));
                }
                let Some(id) = journal::take_id(tx)? else { return Ok(None) };
                nodes::update(tx, &Node { id: Some(id.clone()), ..node })?;
                Ok(Some(id))
            })?;
            if let Some(id) = assigned {
                return Ok(id);
            }
            let _one_at_a_time = self.refill.acquire().await;
            if self.state.read(journal::count_ids)? == 0 {
                let ids = self.remote.reserve_ids(IDS).await?;
                self.state.write::<_, rusqlite::Error>(|tx| journal::add_ids(tx, &ids))?;
            }
        }
    }

    /// A create was refused.
    pub(super) async fn refused(&self, job: &Job, error: RemoteError) -> Result<Outcome> {
        let Some(id) = self.tree.node(job.node.ino)?.and_then(|node| node.id) else { return Err(error.into()) };
        match error.kind {
            // An earlier try got through, with what the entry was then.
            Kind::Exists => {
                let item = self.remote.get(&id).await?;
                self.store_answer(job, &item).await?;
                Ok(Outcome::Again)
            }
            // The drive does not know the id any more, or the folder went: take fresh ids, and look for the folder.
            Kind::Invalid => {
                self.state.write::<_, rusqlite::Error>(|tx| {
                    journal::drop_ids(tx)?;
                    match nodes::by_ino(tx, job.node.ino)? {
                        Some(node) => nodes::update(tx, &Node { id: None, ..node }),
                        None => Ok(()),
                    }
                })?;
                Err(error.into())
            }
            Kind::NotFound => {
                let folder = job.folder()?;
                let gone = matches!(self.remote.get(folder).await, Err(e) if e.kind == Kind::NotFound);
                if gone {
                    self.tree.merge_news(folder, None)?;
                    return Ok(Outcome::Again);
                }
                Err(error.into())
            }
            _ => Err(error.into()),
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
        if job.node.is_folder() && job.base.on_drive.is_some() && self.holds_strangers(&job.node).await? {
            return self.restore(&job);
        }
        let version = match job.entry.gone {
            Gone::Delete => {
                self.remote.delete(&id).await?;
                job.node.version
            }
            Gone::No | Gone::Trash => match self.remote.trash(&id).await {
                Ok(item) => item.version,
                Err(error) if error.kind == Kind::NotFound => job.node.version,
                Err(error) => return Err(error.into()),
            },
        };
        self.tree.took_away(&id);
        self.state.write::<_, rusqlite::Error>(|tx| bury(tx, job.node.ino, version))?;
        Ok(Outcome::Settled)
    }

    /// Whether a folder that was emptied and removed here holds something on the drive that was never seen here, at any depth:
    /// then removing it would remove what nobody here decided about.
    async fn holds_strangers(&self, folder: &Node) -> Result<bool> {
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            let Some(id) = &folder.id else { continue };
            let mut page = None;
            loop {
                let listed = match self.remote.list(id, page.as_ref()).await {
                    Ok(listed) => listed,
                    Err(error) if error.kind == Kind::NotFound => break,
                    Err(error) => return Err(error.into()),
                };
                for item in &listed.items {
                    let known = self.state.read(|db| removed_here(db, &item.id))?;
                    match known {
                        Some(node) if node.is_folder() => folders.push(node),
                        Some(_) => {}
                        None => return Ok(true),
                    }
                }
                page = listed.next;
                if page.is_none() {
                    break;
                }
            }
        }
        Ok(false)
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

/// Whether an entry still is what a request was sent for.
pub(super) fn is_still(db: &Connection, ino: Ino, id: &FileId) -> rusqlite::Result<bool> {
    let node = nodes::by_ino(db, ino)?;
    Ok(node.is_some_and(|node| node.is_linked() && node.id.as_ref() == Some(id)))
}

/// The node of an item that was removed here, whether the drive knows already or not.
fn removed_here(db: &Connection, id: &FileId) -> rusqlite::Result<Option<Node>> {
    Ok(nodes::by_id(db, id)?.filter(|node| !node.is_linked()))
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
    nodes::update(db, &Node { version: version.max(node.version), ..node })
}
