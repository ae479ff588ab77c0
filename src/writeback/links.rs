//! Further names of files: making one, what happens when the place of a file goes, and how the drive gets a name.
//!
//! A name is sent after its file is on the drive, as a shortcut to it, under an id reserved for that. If a file is made anew and has
//! another id then, its shortcuts cannot follow, since a drive does not let them lead elsewhere: each is deleted, and made anew.

use rusqlite::{Connection, Transaction};

use super::WritebackError::Refused;
use super::changes::{NewEntry, folder, new_node};
use super::plan::{Job, Outcome, Plan, is_on_drive};
use super::{Result, Writeback, WritebackError, answer, journal, made};
use crate::clock;
use crate::crash;
use crate::error::Kind;
use crate::remote::{FileId, NewItem, NewKind};
use crate::state::request;
use crate::tree::local::{self, Removal};
use crate::tree::{Base, Effects, Ino, Node, NodeKind, links, nodes};

/// What went when a name was removed.
pub(super) struct Unnamed {
    /// The row that is gone: that of the name, or of the further name whose place the file has now.
    pub(super) row: Node,
    pub(super) removal: Removal,
    /// The file, if it goes on under another name and has to be sent for that.
    pub(super) moved: Option<Ino>,
}

impl Writeback {
    /// Gives a file a further name, which must be free. Says what the file is then.
    pub fn link(&self, file: Ino, to: Ino, name: &str) -> Result<Node> {
        if !self.state.has_room() {
            return Err(Refused(Kind::DiskFull));
        }
        self.beside.changed();
        let ino = self.tree.new_ino()?;
        let linked = self.state.write(|tx| {
            let node = nodes::by_ino(tx, file)?.filter(Node::is_linked).ok_or(Refused(Kind::NotFound))?;
            folder(tx, to)?;
            if nodes::by_name(tx, to, name)?.is_some() {
                return Err(Refused(Kind::Exists));
            }
            if !links::may_have(node.kind) {
                return Err(Refused(Kind::NotPermitted));
            }
            if node.names + 1 >= links::MOST {
                return Err(Refused(Kind::TooManyEntries));
            }
            // Its place could not be moved to the name when that is all that is left.
            if nodes::drive_of(tx, node.parent)? != nodes::drive_of(tx, to)? {
                return Err(Refused(Kind::OtherDrive));
            }
            let new = NewEntry {
                folder: to,
                name: name.to_owned(),
                kind: NodeKind::Link,
                mode: None,
                owner: None,
                target: None,
            };
            let row = Node { link: Some(file), ..new_node(ino, new) };
            local::create(tx, &row)?;
            made::note(tx, ino, row.ctime)?;
            links::touch(tx, file, row.ctime)?;
            journal::touch(tx, ino, self.seqs.next())?;
            request::note(tx)?;
            crash::point("link-not-committed");
            nodes::by_ino(tx, file)?.ok_or(Refused(Kind::NotFound))
        })?;
        crash::point("linked");
        self.queue.changed(ino);
        Ok(linked)
    }

    /// Removes what a name means: the entry; or, if that has another name, the name alone.
    pub(super) fn unname(&self, tx: &Transaction<'_>, node: &Node) -> Result<Unnamed> {
        let now = clock::now();
        if let Some(heir) = nodes::further_names(tx, node.ino)?.into_iter().next() {
            // Item, history and shares stay the file's: only its place is another.
            let removal = self.remove_within(tx, &heir)?;
            local::relocate(tx, node, heir.parent, &heir.name, now)?;
            journal::touch(tx, node.ino, self.seqs.next())?;
            return Ok(Unnamed { row: heir, removal, moved: Some(node.ino) });
        }
        let removal = self.remove_within(tx, node)?;
        if let Some(file) = node.link {
            links::touch(tx, file, now)?;
        }
        Ok(Unnamed { row: node.clone(), removal, moved: None })
    }

    /// After the transaction.
    pub(super) fn unnamed(&self, gone: &Unnamed) {
        self.removed(gone.row.ino, true);
        if let Some(file) = gone.moved {
            self.queue.changed(file);
        }
    }

    /// Gives an item on the drive a further name.
    pub(super) async fn create_link(&self, job: Job, to: FileId) -> Result<Outcome> {
        let Some(id) = self.assign_id(job.node.ino).await? else { return Ok(Outcome::Again) };
        self.remember().await?;
        let new = NewItem { kind: NewKind::Link(to.clone()), ..job.new_item(id)? };
        match self.remote.create_link(&new).await {
            Ok(item) => {
                crash::point("link-answered");
                self.store_answer(&job, &item).await
            }
            Err(error) if error.kind == Kind::NotFound => match self.remote.get(&to).await {
                Err(gone) if gone.kind == Kind::NotFound => self.drop_name(&job, &to),
                _ => self.refused(&job, error).await,
            },
            Err(error) => self.refused(&job, error).await,
        }
    }

    /// The file that a new name was to lead to is gone from the drive for good. If it holds nothing that is to be sent, its name is gone,
    /// too.
    fn drop_name(&self, job: &Job, to: &FileId) -> Result<Outcome> {
        self.tree.merge_news(to, None)?;
        let mut effects = Effects::default();
        self.state.write::<_, WritebackError>(|tx| {
            let Some(row) = nodes::by_ino(tx, job.node.ino)?.filter(|row| row.is_linked() && row.link.is_none()) else {
                return Ok(());
            };
            effects.entries.push((row.parent, row.name.clone()));
            effects.attributes.push(row.parent);
            nodes::delete(tx, row.ino)?;
            nodes::touch_folder(tx, row.parent, clock::now())?;
            journal::delete(tx, row.ino)?;
            Ok(self.tree.freed(tx, row.parent, &row.name, &mut effects)?)
        })?;
        self.tree.tell(effects);
        Ok(Outcome::Again)
    }

    /// Takes the shortcut of a name away that leads to another item than it shall; it is made anew next.
    pub(super) async fn replace_link(&self, job: Job) -> Result<Outcome> {
        let id = job.id()?.clone();
        self.remote.delete(&id).await?;
        crash::point("link-deleted");
        self.tree.took_away(&id);
        self.state.write::<_, rusqlite::Error>(|tx| {
            if !answer::is_still(tx, job.node.ino, &id)? {
                return Ok(());
            }
            let Some(row) = nodes::by_ino(tx, job.node.ino)? else { return Ok(()) };
            let target = if row.link.is_some() { None } else { row.target.clone() };
            nodes::update(tx, &Node { id: None, version: 0, target, ..row })?;
            nodes::set_base(tx, job.node.ino, &Base::unsent(false))
        })?;
        Ok(Outcome::Again)
    }
}

/// The file that is to get the place of a name which is removed for that: it goes first, so that nobody else sees a moment without either.
pub(super) fn heir(db: &Connection, job: &Job) -> rusqlite::Result<Option<Ino>> {
    let (NodeKind::Link, Some(target), Some(there)) = (job.node.kind, &job.node.target, &job.base.on_drive) else {
        return Ok(None);
    };
    let Some(file) = nodes::by_id(db, &FileId(target.clone()))?.filter(Node::is_linked) else { return Ok(None) };
    let folder = nodes::by_ino(db, file.parent)?.and_then(|folder| folder.id);
    let takes_it = folder == there.parent && file.name_on_drive() == there.name;
    let is_to_move = nodes::base(db, file.ino)?.is_some_and(|base| base.differs(&file, folder.as_ref()).place);
    Ok((takes_it && is_to_move).then_some(file.ino))
}

/// What is to be done for a name that the drive does not have, or has for another item.
pub(super) fn plan(db: &Connection, job: Job) -> rusqlite::Result<Plan> {
    if let Some(file) = job.node.link.filter(|_| job.base.on_drive.is_none() || job.base.rewritten)
        && !is_on_drive(db, file)?
    {
        return Ok(Plan::Wait(file));
    }
    if job.base.on_drive.is_some() {
        return Ok(Plan::ReplaceLink(job));
    }
    Ok(match links::goal(db, &job.node)? {
        Some(goal) => Plan::CreateLink(job, goal),
        None => Plan::Settled,
    })
}
