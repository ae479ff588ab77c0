//! What is to be sent for an entry: the difference between what is here and what the drive has, as the tables say at one moment.

use rusqlite::Connection;

use super::WritebackError::Remote;
use super::journal::{self, Entry, Gone};
use super::{Result, WritebackError};
use crate::error::Kind;
use crate::remote::{FileId, Move, NewItem, NewKind, Patch, Posix, RemoteError};
use crate::tree::merge::Differences;
use crate::tree::{Base, Ino, Node, NodeKind, nodes};

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
    if job.entry.content.is_some() || job.base.rewritten {
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

    pub(super) fn folder(&self) -> Result<&FileId> {
        self.folder.as_ref().ok_or_else(|| lost("the id of a folder"))
    }
}

fn lost(what: &str) -> WritebackError {
    Remote(RemoteError::new(Kind::Corrupt, "journal", format!("{what} is missing in the journal")))
}
