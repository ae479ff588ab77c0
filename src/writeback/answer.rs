//! What the drive says to a request, and what it means for the entry, which may have become something else meanwhile.

use std::sync::Arc;

use rusqlite::Connection;

use super::journal;
use super::outgoing::Content;
use super::plan::{Job, Outcome};
use super::{Result, Writeback, WritebackError, outgoing, table};
use crate::crash;
use crate::error::Kind;
use crate::remote::{Blob, FileId, Item, ItemKind, Md5, RemoteError, Source};
use crate::tree::{Effects, Ino, Node, nodes};

/// Folders above each other at most, on any drive.
const DEEPEST: usize = 128;

/// Whether an entry still is what a request was sent for.
pub(super) fn is_still(db: &Connection, ino: Ino, id: &FileId) -> rusqlite::Result<bool> {
    let node = nodes::by_ino(db, ino)?;
    Ok(node.is_some_and(|node| node.is_linked() && node.id.as_ref() == Some(id)))
}

/// Whether a refusal may mean that the item is gone, or in another folder than the request said.
pub(super) fn may_be_elsewhere(kind: Kind) -> bool {
    matches!(kind, Kind::NotFound | Kind::Invalid | Kind::NotPermitted | Kind::Denied)
}

impl Writeback {
    /// Stores the answer to a change of metadata.
    pub(super) async fn store_answer(&self, job: &Job, item: &Item) -> Result<Outcome> {
        if item.trashed {
            return self.trashed_meanwhile(job, item).await;
        }
        let mut effects = Effects::default();
        let stored = self.state.write::<_, WritebackError>(|tx| {
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
            None => self.stray(job, &item.id).await,
        }
    }

    /// Stores that the drive has content, if it is the content.
    pub(super) async fn commit(&self, job: &Job, content: &Content, item: &Item, md5: Md5) -> Result<Outcome> {
        let ino = job.node.ino;
        let blob = match &item.kind {
            ItemKind::File(blob) | ItemKind::Symlink(blob) => blob,
            ItemKind::Folder | ItemKind::Special(_) | ItemKind::Document { .. } | ItemKind::Shortcut { .. } => {
                return Err(mismatch(md5, None));
            }
        };
        if item.trashed {
            // Its session is over, whatever becomes of the entry.
            self.state.write::<_, rusqlite::Error>(|tx| journal::end_one_upload(tx, ino, content.seq()))?;
            return self.trashed_meanwhile(job, item).await;
        }
        let there = Source { id: item.id.clone(), blob: blob.clone() };
        let theirs = if blob.size == content.size() {
            match outgoing::checksum_there(&*self.remote, &there).await {
                // Without a checksum in the answer it takes a moment to learn, and in that somebody gave it another content.
                Err(WritebackError::Remote(error)) if matches!(error.kind, Kind::Stale | Kind::NotFound) => {
                    return Ok(Outcome::Again);
                }
                theirs => Some(theirs?),
            }
        } else {
            blob.md5
        };
        if blob.size != content.size() || theirs != Some(md5) {
            self.state.write::<_, rusqlite::Error>(|tx| journal::end_one_upload(tx, ino, content.seq()))?;
            return Err(mismatch(md5, theirs));
        }
        let source = Source { id: item.id.clone(), blob: Blob { md5: Some(md5), ..blob.clone() } };
        self.queue.uploaded(ino, content.size());
        match self.store_content(job, content, item, &source)? {
            Some(true) => Ok(Outcome::Settled),
            Some(false) => Ok(Outcome::Again),
            None => self.landed(job, content, item, &source).await,
        }
    }

    /// Stores that the drive has content. Says whether nothing is left to send; `None` if the entry is something else by now.
    fn store_content(&self, job: &Job, content: &Content, item: &Item, source: &Source) -> Result<Option<bool>> {
        let ino = job.node.ino;
        let _base = if let Content::Staged(staging, _) = content { Some(staging.hold_base()) } else { None };
        let mut effects = Effects::default();
        let stored = self.state.write::<_, WritebackError>(|tx| {
            if !is_still(tx, ino, &item.id)? {
                return Ok(None);
            }
            let newest = match content {
                Content::Staged(_, snapshot) => table::retire_if_newest(tx, ino, snapshot.seq())?,
                Content::Link(_) => true,
            };
            if !newest {
                table::set_base(tx, ino, Some(source))?;
                table::set_origin(tx, ino, Some(source))?;
            }
            journal::end_upload(tx, ino)?;
            let settled = self.tree.uploaded(tx, ino, item, newest, &mut effects)?;
            crash::point("answer-not-committed");
            Ok(Some(journal::acknowledge(tx, &job.entry.with_content(content.seq()), settled && newest)?))
        })?;
        crash::point("answer-stored");
        if let (Some(_), Content::Staged(staging, snapshot)) = (stored, content) {
            self.stagings.acknowledge(staging, snapshot, source);
        }
        self.tree.tell(effects);
        Ok(stored)
    }

    /// An upload of ours arrived after its entry became something else. If another entry took over the identity of the item,
    /// its content is newer, and ours is what it replaces; if nobody did, the item is not wanted.
    async fn landed(&self, job: &Job, content: &Content, item: &Item, source: &Source) -> Result<Outcome> {
        let heir = loop {
            let heir = self.tree.by_id(&item.id)?.filter(Node::is_linked).map(|heir| heir.ino);
            if self.land(job, content, item, source, heir)? {
                break heir;
            }
        };
        let Some(heir) = heir else { return self.stray(job, &item.id).await };
        self.queue.changed(heir);
        Ok(Outcome::Again)
    }

    /// Notes what landed, for the entry that has the item now. Says whether that is `expected`.
    fn land(&self, job: &Job, content: &Content, item: &Item, source: &Source, expected: Option<Ino>) -> Result<bool> {
        // If it cannot be loaded, nobody can be about to seal it.
        let staging = expected.and_then(|heir| self.stagings.get(heir).ok().flatten());
        // A seal that is under way must not store what the drive had before.
        let _base = staging.as_ref().map(|staging| staging.hold_base());
        let mut effects = Effects::default();
        let landed = self.state.write::<_, WritebackError>(|tx| {
            let there = nodes::by_id(tx, &item.id)?;
            let heir = there.as_ref().filter(|there| there.is_linked()).map(|heir| heir.ino);
            if heir != expected {
                return Ok(false);
            }
            let Some(heir) = heir else {
                // The session of the upload is over, whatever the entry is now. What else is known of the entry may be of another
                // item, whose identity it took over.
                journal::end_one_upload(tx, job.node.ino, content.seq())?;
                if let Some(gone) = there {
                    // What its removal finds there is ours.
                    let revision = Some(source.blob.revision.clone());
                    nodes::update(tx, &Node { revision, md5: source.blob.md5, ..gone })?;
                }
                return Ok(true);
            };
            table::set_origin(tx, heir, Some(source))?;
            journal::end_upload(tx, heir)?;
            self.tree.uploaded(tx, heir, item, false, &mut effects)?;
            Ok(true)
        })?;
        // One that somebody began meanwhile, too.
        let staging = staging.as_ref().map(Arc::clone).or_else(|| self.stagings.in_use(expected?));
        if let Some(staging) = staging.filter(|_| landed) {
            self.stagings.set_origin(&staging, source, false);
        }
        self.tree.tell(effects);
        Ok(landed)
    }

    /// A request was answered whose entry is something else by now: it was removed here or elsewhere. An item that came into
    /// being with it is wanted by nobody.
    async fn stray(&self, job: &Job, id: &FileId) -> Result<Outcome> {
        match self.state.read(|db| nodes::by_id(db, id))? {
            // Its removal is in the journal.
            Some(node) => self.queue.changed(node.ino),
            None if job.base.on_drive.is_none() => self.remote.delete(id).await?,
            // It was there before: what becomes of it is not ours to say.
            None => {}
        }
        Ok(Outcome::Again)
    }

    /// What we changed or made is in the trash: it was put there, or a folder above it was, before our request arrived. What
    /// holds unsent work here is made anew.
    async fn trashed_meanwhile(&self, job: &Job, item: &Item) -> Result<Outcome> {
        // First the folder that is there itself: else what is in it would be made in the trash again and again.
        let mut above = job.folder.clone();
        for _ in 0..DEEPEST {
            let Some(id) = above else { break };
            if self.is_root(&id)? {
                self.root_is_there(&id).await?;
                break;
            }
            let folder = match self.remote.get(&id).await {
                Ok(folder) => Some(folder),
                Err(error) if error.kind == Kind::NotFound => None,
                Err(error) => return Err(error.into()),
            };
            self.tree.merge_news(&id, folder.as_ref())?;
            above = folder.filter(|folder| folder.trashed && !folder.trashed_itself).and_then(|folder| folder.parent);
        }
        self.tree.merge_news(&item.id, Some(item))?;
        Ok(Outcome::Again)
    }

    fn is_root(&self, folder: &FileId) -> Result<bool> {
        Ok(self.tree.by_id(folder)?.is_some_and(|folder| folder.ino == Ino::ROOT))
    }

    /// Fails if the folder that is the root of this mount was removed elsewhere: nobody makes that anew.
    async fn root_is_there(&self, root: &FileId) -> Result<()> {
        match self.remote.get(root).await {
            Ok(root) if root.trashed => Err(root_is_gone().into()),
            Err(error) if error.kind == Kind::NotFound => Err(root_is_gone().into()),
            other => Ok(other.map(drop)?),
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

    /// A create was refused.
    pub(super) async fn refused(&self, job: &Job, error: RemoteError) -> Result<Outcome> {
        let Some(id) = self.tree.node(job.node.ino)?.and_then(|node| node.id) else { return Err(error.into()) };
        match error.kind {
            Kind::Exists => self.made_before(job, &id).await,
            // The drive does not know the id any more, or the folder went: take fresh ids, and look for the folder.
            Kind::Invalid => {
                self.state.write::<_, rusqlite::Error>(|tx| {
                    journal::drop_ids(tx)?;
                    // It may have taken over the identity of another meanwhile, which it keeps.
                    let is_new = nodes::base(tx, job.node.ino)?.is_some_and(|base| base.on_drive.is_none());
                    if let Some(node) = nodes::by_ino(tx, job.node.ino)?.filter(|_| is_new) {
                        // With what was begun under that id.
                        journal::end_upload(tx, job.node.ino)?;
                        nodes::update(tx, &Node { id: None, ..node })?;
                    }
                    Ok(())
                })?;
                Err(error.into())
            }
            Kind::NotFound => {
                let folder = job.folder()?;
                if self.is_root(folder)? {
                    self.root_is_there(folder).await?;
                    return Err(error.into());
                }
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

    /// An earlier try of a create got through, with what the entry was then; its answer was lost. Acknowledges nothing: what was
    /// taken is compared with what is wanted by the next step.
    async fn made_before(&self, job: &Job, id: &FileId) -> Result<Outcome> {
        let item = self.remote.get(id).await?;
        self.is_there(job, &item).await
    }

    /// The item of a new entry is there, with a content that need not be what is wanted.
    pub(super) async fn is_there(&self, job: &Job, item: &Item) -> Result<Outcome> {
        if item.trashed {
            return self.trashed_meanwhile(job, item).await;
        }
        let mut effects = Effects::default();
        let is_ours = self.state.write::<_, WritebackError>(|tx| {
            let is_ours = is_still(tx, job.node.ino, &item.id)?;
            if is_ours {
                self.tree.answered(tx, job.node.ino, item, &mut effects)?;
            }
            Ok(is_ours)
        })?;
        self.tree.tell(effects);
        if is_ours { Ok(Outcome::Again) } else { self.stray(job, &item.id).await }
    }

    /// Content turned out to be on the drive already, or to be an edit of what is there now: notes that.
    pub(super) fn set_origin(
        &self,
        job: &Job,
        staging: &Arc<super::Staging>,
        theirs: &Source,
        is_base: bool,
    ) -> Result<()> {
        let _base = staging.hold_base();
        let is_still = self.state.write::<_, rusqlite::Error>(|tx| {
            // It may have taken over another's identity since the look.
            if !is_still(tx, job.node.ino, &theirs.id)? {
                return Ok(false);
            }
            if is_base && table::has_base(tx, job.node.ino)? {
                table::set_base(tx, job.node.ino, Some(theirs))?;
            }
            table::set_origin(tx, job.node.ino, Some(theirs))?;
            Ok(true)
        })?;
        if is_still {
            self.stagings.set_origin(staging, theirs, is_base);
        }
        Ok(())
    }
}

fn root_is_gone() -> RemoteError {
    let what = "the folder that is the root of this mount was removed on the drive; restore it from the trash there, and what is saved \
                here is sent";
    RemoteError::new(Kind::NotFound, "files.create", what)
}

fn mismatch(ours: Md5, theirs: Option<Md5>) -> WritebackError {
    let theirs = theirs.map_or_else(|| "none".to_owned(), |md5| md5.to_string());
    WritebackError::Mismatch { ours: ours.to_string(), theirs }
}
