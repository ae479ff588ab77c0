//! What is to be sent for an entry: the difference between what is here and what the drive has, as the tables say at one moment.

use rusqlite::{Connection, params};

use super::WritebackError::Remote;
use super::journal::{self, Entry, Gone};
use super::{Result, WritebackError, links};
use crate::error::Kind;
use crate::remote::{FileId, Item, Move, NewItem, NewKind, Patch, Posix, RemoteError};
use crate::tree::merge::Differences;
use crate::tree::{Base, Ino, Node, NodeKind, OnDrive, asked, nodes};

/// What came of one step for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is left to send.
    Settled,
    /// Something was sent or learned, and more is left.
    Again,
    /// This other entry must go first.
    Wait(Ino),
    /// This other entry goes first, unless it fails.
    After(Ino),
    /// Nothing can be sent until the entry changes once more.
    Idle,
    /// Too many wait for their turn to be uploaded.
    Crowded,
}

/// What is to be done for an entry, as one consistent view of the database has it.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing, and nothing will be.
    Settled,
    /// Nothing now.
    Idle,
    /// Another entry goes first.
    Wait(Ino),
    /// The drive gets a new item without content.
    Create(Job),
    /// The drive gets a further name of this item.
    CreateLink(Job, FileId),
    /// The drive loses a name that leads to another item than it shall.
    ReplaceLink(Job),
    /// The drive gets content, in a new item or as a new revision.
    Upload(Job),
    /// The drive gets new metadata.
    Update(Job, Differences),
    /// What became of an earlier request must be known first.
    Look(Job),
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

/// Looks what is to be done.
pub(super) fn plan(db: &Connection, ino: Ino) -> rusqlite::Result<Plan> {
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
    if job.node.kind == NodeKind::Link && (job.base.on_drive.is_none() || job.base.rewritten) {
        return links::plan(db, job);
    }
    if job.base.on_drive.is_none() {
        return Ok(if job.node.kind.has_content() { Plan::Upload(job) } else { Plan::Create(job) });
    }
    let asked = job.node.id.as_ref().map_or(Ok(None), |id| asked::get(db, id))?;
    if asked.is_some_and(|asked| asked.is_taken_back(&job.node, &job.base, job.folder.as_ref())) {
        return Ok(Plan::Look(job));
    }
    if differences.place && job.node.is_folder() {
        let mut above = folder.ino;
        while !above.is_top() {
            let Some(node) = nodes::by_ino(db, above)? else { return Ok(Plan::Settled) };
            let grand = nodes::by_ino(db, node.parent)?.and_then(|grand| grand.id);
            if nodes::base(db, above)?.is_some_and(|base| base.differs(&node, grand.as_ref()).place) {
                return Ok(Plan::Wait(above));
            }
            above = node.parent;
        }
    }
    if job.entry.content.is_some() || job.base.rewritten {
        return Ok(Plan::Upload(job));
    }
    Ok(if differences.any() { Plan::Update(job, differences) } else { Plan::Settled })
}

pub(super) fn is_on_drive(db: &Connection, ino: Ino) -> rusqlite::Result<bool> {
    Ok(nodes::base(db, ino)?.is_none_or(|base| base.on_drive.is_some()))
}

fn plan_removal(db: &Connection, job: Job) -> rusqlite::Result<Plan> {
    if let Some(file) = links::heir(db, &job)? {
        return Ok(Plan::Wait(file));
    }
    let parent = job.base.on_drive.as_ref().and_then(|there| there.parent.as_ref());
    if let Some(folder) = parent.map_or(Ok(None), |id| nodes::by_id(db, id))?
        && let Some(above) = journal::get(db, folder.ino)?
        && takes_along(above.gone, job.entry.gone)
        && !may_have_left(db, &job)?
    {
        return Ok(Plan::Wait(folder.ino));
    }
    if let Some(id) = &job.node.id
        && let Some(ino) = first_to_end(db, job.node.ino, id, job.entry.gone)?
    {
        return Ok(Plan::Wait(ino));
    }
    if let Some(id) = job.node.id.as_ref().filter(|_| job.node.is_folder()) {
        // Also of the folders that were removed in it, and go with it.
        let moved_out = db
            .prepare_cached(
                "WITH RECURSIVE within (id) AS (
                     SELECT ?1
                     UNION
                     SELECT node.id FROM within JOIN base ON base.parent = within.id
                                                JOIN node ON node.ino = base.ino
                                                JOIN journal ON journal.ino = base.ino AND journal.gone <> 0
                     WHERE node.id IS NOT NULL
                 )
                 SELECT node.ino FROM within JOIN base ON base.parent = within.id JOIN node ON node.ino = base.ino
                 WHERE node.parent <> 0",
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

/// Whether an item that was removed may be in another folder than the drive has told: it was changed before that, without an answer.
fn may_have_left(db: &Connection, job: &Job) -> rusqlite::Result<bool> {
    Ok(job.node.id.as_ref().map_or(Ok(None), |id| asked::get(db, id))?.is_some())
}

/// Whether the removal of a folder does for what was removed in it too.
fn takes_along(folder: Gone, within: Gone) -> bool {
    match folder {
        Gone::No => false,
        // That has to go before any folder goes to the trash, also one that holds this one.
        _ => within != Gone::Temporary,
    }
}

/// What must be done before an item is removed, with all that was removed in it: the upload of content that is still read from
/// one of them, the removal of what [may have left it](may_have_left), and of what must not come into the trash with it.
fn first_to_end(db: &Connection, ino: Ino, id: &FileId, gone: Gone) -> rusqlite::Result<Option<Ino>> {
    let first = |sql: &str| db.prepare_cached(sql)?.query_map(params![id.0, ino], |row| row.get(0))?.next().transpose();
    let within = "WITH RECURSIVE within (id, ino, gone) AS (
                      SELECT ?1, ?2, 0
                      UNION
                      SELECT node.id, node.ino, journal.gone
                      FROM within JOIN base ON base.parent = within.id
                                  JOIN node ON node.ino = base.ino
                                  JOIN journal ON journal.ino = base.ino AND journal.gone <> 0
                      WHERE node.id IS NOT NULL
                  )";
    let reader = "SELECT staging.ino FROM within JOIN staging ON staging.base_id = within.id
                  WHERE staging.retired = 0 AND staging.ino <> within.ino
                        AND EXISTS (SELECT 1 FROM journal WHERE journal.ino = staging.ino AND journal.gone = 0)";
    if let Some(ino) = first(&format!("{within} {reader}"))? {
        return Ok(Some(ino));
    }
    let left = "SELECT within.ino FROM within JOIN asked ON asked.id = within.id WHERE within.ino <> ?2";
    if let Some(ino) = first(&format!("{within} {left}"))? {
        return Ok(Some(ino));
    }
    if gone == Gone::Trash { first(&format!("{within} SELECT ino FROM within WHERE gone = 3")) } else { Ok(None) }
}

impl Job {
    /// POSIX attributes as they shall be.
    pub(super) fn posix(&self) -> Posix {
        let target = self.node.target.clone().filter(|_| self.node.kind == NodeKind::Symlink);
        Posix {
            mode: self.node.mode,
            owner: self.node.owner,
            target,
            device: self.node.device(),
            xattrs: self.node.xattrs.clone(),
        }
    }

    /// The metadata as it shall be on the drive.
    pub(super) fn wanted(&self) -> OnDrive {
        OnDrive::of_clean(&self.node, self.folder.clone())
    }

    /// What the drive is to make, under an id reserved for it.
    pub(super) fn new_item(&self, id: FileId) -> Result<NewItem> {
        let kind = match self.node.kind {
            NodeKind::Folder => NewKind::Folder,
            NodeKind::Symlink => NewKind::Symlink,
            NodeKind::Special(special) => NewKind::Special(special),
            NodeKind::File | NodeKind::Document | NodeKind::Shortcut | NodeKind::Link => NewKind::File,
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
        self.patch_of(self.base.on_drive.as_ref(), differences)
    }

    /// What the drive is to change of the metadata of an item, if anything, for it to be as it was to be sent.
    pub(super) fn rest(&self, item: &Item) -> Result<Option<Patch>> {
        let base = Base { on_drive: Some(OnDrive::of(item)), ..self.base.clone() };
        // What differs and was not to be changed was changed elsewhere, and is for the merge to know.
        let differences = base.differs(&self.node, self.folder.as_ref()).and(self.differences());
        differences.any().then(|| self.patch_of(base.on_drive.as_ref(), differences)).transpose()
    }

    fn patch_of(&self, there: Option<&OnDrive>, differences: Differences) -> Result<Patch> {
        let parent = match there.and_then(|there| there.parent.as_ref()) {
            // What is held by its id alone is in no folder here, and goes nowhere.
            Some(from) if differences.place && Some(from) != self.folder.as_ref() => {
                Some(Move { from: from.clone(), to: self.folder()?.clone() })
            }
            _ => None,
        };
        let name = self.node.name_on_drive();
        Ok(Patch {
            name: there.is_some_and(|there| differences.place && there.name != name).then(|| name.to_owned()),
            parent,
            // Always: a drive sets the time to now with any change that does not say it.
            modified: Some(self.node.mtime),
            posix: (differences.mode || differences.owner).then(|| self.posix()),
            xattrs: there
                .filter(|_| differences.xattrs)
                .map(|there| self.node.xattrs.since(&there.xattrs))
                .unwrap_or_default(),
        })
    }

    /// The differences to the drive at the time of the plan.
    pub(super) fn differences(&self) -> Differences {
        self.base.differs(&self.node, self.folder.as_ref())
    }

    pub(super) fn id(&self) -> Result<&FileId> {
        self.node.id.as_ref().ok_or_else(|| lost("the id of an entry"))
    }

    pub(super) fn folder(&self) -> Result<&FileId> {
        self.folder.as_ref().ok_or_else(|| lost("the id of a folder"))
    }
}

fn lost(what: &str) -> WritebackError {
    Remote(RemoteError::new(Kind::Corrupt, "journal", format!("{what} is missing in the journal")))
}
