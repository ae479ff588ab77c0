//! Files that are copies of what the drive has: the drive makes them itself, and no byte travels.
//!
//! The content of such a file is the revision that it was copied from, as its base; there is nothing in its staging. So the copy is
//! made at once, wherever the bytes are, and survives what every sealed content survives. When it is sent, the drive is asked to
//! copy; if it does not, or the file that it was copied from has another content by then, the base is
//! [taken in](super::take_in), and uploaded.
//!
//! The base must not be lost meanwhile. So before the content of a file is replaced on the drive, or the file is removed there,
//! the copies of it are made; and if one cannot be made, or is still open, its base is taken in first. A change made elsewhere
//! cannot be held up: then the drive is asked for the old revision, which it keeps for a while.
//!
//! Only what becomes a new item is copied in this way: the drive cannot give an item that it has the content of another.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::layers::Layers;
use super::outgoing::Content;
use super::plan::{Job, Outcome};
use super::snapshot::Snapshot;
use super::staging::{Inner, Staging};
use super::stagings::Stagings;
use super::unsealed::Change;
use super::{Result, Writeback, journal, take_in};
use crate::clock;
use crate::error::Kind;
use crate::remote::{Blob, FileId, Item, ItemKind, NewItem, Source};
use crate::state::{State, StateError};
use crate::tree::{Ino, Node, nodes};

/// Of which other file on the drive a file may still need the content. Some may not any more.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<HashMap<Ino, FileId>>);

impl Copies {
    /// Those that wait to be sent.
    pub(super) fn open(state: &State) -> std::result::Result<Self, StateError> {
        let copies = state.read(|db| {
            db.prepare(
                "SELECT ino, base_id FROM staging
                 WHERE retired = 0 AND base_id IS NOT NULL AND base_id IS NOT origin_id",
            )?
            .query_map([], |row| Ok((row.get(0)?, FileId(row.get(1)?))))?
            .collect::<rusqlite::Result<_>>()
        })?;
        Ok(Self(Mutex::new(copies)))
    }

    fn all(&self) -> Vec<(Ino, FileId)> {
        self.0.lock().iter().map(|(&ino, id)| (ino, id.clone())).collect()
    }

    /// A file needs no other any more.
    pub(super) fn end(&self, ino: Ino) {
        self.0.lock().remove(&ino);
    }
}

impl Stagings {
    /// Makes a range of a revision the end of a new file, if that is the beginning of the same revision so far. Says whether it
    /// did. Needs no bytes.
    pub(super) fn show(&self, staging: &Staging, source: &Source, range: Range<u64>, at: u64) -> Result<bool> {
        let mut inner = staging.inner.lock();
        let goes_on = inner.pile.shows() == Some(at)
            && (at == 0 || inner.base.as_ref().is_some_and(|base| base.source() == source));
        // Of an item that the drive has this would be an edit, whose base must be the item's own.
        let is_new = inner.origin.is_none() && inner.on_drive.is_none() && !inner.discarded;
        // Without a checksum it could not be told whether the copy is right.
        if !goes_on || !is_new || range.start != at || range.is_empty() || source.blob.md5.is_none() {
            return Ok(false);
        }
        self.fits(range.end)?;
        self.layer_for(staging.ino(), &mut inner, at)?;
        if inner.pile.shows() != Some(at) {
            return Ok(false);
        }
        inner.base = Some(self.content.open(source));
        inner.pile.show(source.blob.size, range.end);
        inner.note(staging.ino(), Change::Show(source.blob.size, range.end))?;
        drop(inner);
        self.copies.0.lock().insert(staging.ino(), source.id.clone());
        Ok(true)
    }
}

impl Staging {
    /// What its sealed content is a copy of, which the drive can make, as long as it was not tried in vain.
    pub(super) fn is_copy_of(&self) -> Option<Source> {
        let inner = self.inner.lock();
        is_copy_of(&inner, &inner.stored.as_ref()?.layers)
    }

    /// From now on its content is sent like any other.
    fn never_copy(&self) {
        self.inner.lock().no_copy = true;
    }
}

impl Snapshot {
    /// As [`Staging::is_copy_of`].
    fn is_copy_of(&self) -> Option<Source> {
        is_copy_of(&self.staging.inner.lock(), &self.seal.layers)
    }

    /// The base, if the content is that and nothing else.
    pub(super) fn shows_whole(&self) -> Option<&Source> {
        let base = self.base.as_ref()?.source();
        (self.seal.layers.shows() == Some(base.blob.size)).then_some(base)
    }
}

fn is_copy_of(inner: &Inner, layers: &Layers) -> Option<Source> {
    let base = inner.base.as_ref()?.source();
    let is_it = layers.shows() == Some(base.blob.size) && inner.origin.is_none() && !inner.no_copy;
    is_it.then(|| base.clone())
}

/// Lets the drive make the copy. `None`: it has to be uploaded.
pub(super) async fn run(
    writeback: &Writeback,
    job: &Job,
    staging: &Arc<Staging>,
    snapshot: &Snapshot,
    new: &NewItem,
) -> Result<Option<Outcome>> {
    let Some((source, md5)) = snapshot.is_copy_of().and_then(|source| source.blob.md5.map(|md5| (source, md5))) else {
        return Ok(None);
    };
    let (remote, ino) = (&writeback.remote, job.node.ino);
    let content = Content::Staged(Arc::clone(staging), snapshot.clone());
    let is_it = |there: &Blob| there.size == source.blob.size && there.md5.is_none_or(|theirs| theirs == md5);
    let tried = writeback.state.read(|db| journal::uploads(db, ino))?;
    if tried.iter().any(|upload| upload.md5 == Some(md5) && upload.seq == snapshot.seq()) {
        // Then it may be there, whatever became of what it is a copy of.
        match remote.get(&new.id).await {
            Ok(item) if matches!(&item.kind, ItemKind::File(there) if is_it(there)) => {
                return writeback.commit(job, &content, &item, md5).await.map(Some);
            }
            Err(error) if error.kind != Kind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let current = match remote.get(&source.id).await {
        Ok(Item { kind: ItemKind::File(there), trashed: false, .. }) => there.revision == source.blob.revision,
        Ok(_) => false,
        Err(error) if error.kind == Kind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    if current {
        writeback.begin_copy(job, snapshot, md5)?;
        writeback.remember().await?;
        match remote.copy(&source, new).await {
            Ok(item) if matches!(&item.kind, ItemKind::File(there) if is_it(there)) => {
                return writeback.commit(job, &content, &item, md5).await.map(Some);
            }
            Ok(item) => return another(writeback, job, staging, &item).await.map(Some),
            Err(error) if error.kind == Kind::Exists => {
                let item = remote.get(&new.id).await?;
                // The time that we gave it: nobody has touched it since.
                if item.modified.millis() == new.modified.millis() {
                    return another(writeback, job, staging, &item).await.map(Some);
                }
            }
            Err(error) if is_refusal(error.kind) => tracing::debug!(%error, "not copied by the drive; uploading"),
            Err(error) => return Err(error.into()),
        }
    }
    staging.never_copy();
    if current {
        writeback.stagings.secure(staging);
        return Ok(None);
    }
    // At once: the drive may not have it for long.
    match take_in::take_in(staging).await {
        Err(error) if !error.is_of_base() => Err(error),
        _ => Ok(None),
    }
}

/// Whether the drive will not copy, though it may take the bytes.
fn is_refusal(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NotFound
            | Kind::Denied
            | Kind::NotPermitted
            | Kind::Invalid
            | Kind::TooLarge
            | Kind::Unsupported
            | Kind::DownloadLimit
    )
}

/// The drive copied a later content, which came between our look and the copy. The item is ours all the same: the right content
/// becomes its next revision.
async fn another(writeback: &Writeback, job: &Job, staging: &Arc<Staging>, item: &Item) -> Result<Outcome> {
    staging.never_copy();
    if let ItemKind::File(blob) = &item.kind {
        let there = Source { id: item.id.clone(), blob: blob.clone() };
        writeback.set_origin(job, staging, &there, false)?;
    }
    writeback.is_there(job, item).await
}

impl Writeback {
    /// Makes a range of a revision the end of a new file without any of its bytes, if it can be. Says whether it did.
    pub fn copy(&self, staging: &Staging, source: &Source, range: Range<u64>, at: u64) -> Result<bool> {
        self.stagings.show(staging, source, range, at)
    }

    /// Sees to it that no copy needs what a job is about to replace on the drive, or to remove. `None`: none does.
    pub(super) async fn copies_first(&self, job: &Job) -> Result<Option<Outcome>> {
        for (ino, source) in self.stagings.copies.all() {
            if job.node.id.as_ref() == Some(&source) || (job.node.is_folder() && self.is_removed(&source)?) {
                if let Some(outcome) = self.copy_first(ino, &source).await? {
                    return Ok(Some(outcome));
                }
                self.stagings.copies.end(ino);
            }
        }
        Ok(None)
    }

    /// Whether a file was removed here: if so, it may be in a folder that was.
    fn is_removed(&self, id: &FileId) -> Result<bool> {
        Ok(!self.tree.by_id(id)?.as_ref().is_some_and(Node::is_linked))
    }

    async fn copy_first(&self, ino: Ino, source: &FileId) -> Result<Option<Outcome>> {
        let needs = |staging: &Arc<Staging>| {
            let base = staging.wanted_base();
            base.is_some_and(|base| base.source().id == *source) && !staging.only_in_base(0..u64::MAX).is_empty()
        };
        let Some(staging) = self.stagings.get(ino)?.filter(needs) else { return Ok(None) };
        let is_new = self.state.read(|db| Ok(nodes::base(db, ino)?.is_some_and(|base| base.on_drive.is_none())))?;
        if is_new && staging.is_copy_of().is_some() && !staging.is_dirty() && self.failure(ino).is_none() {
            return Ok(Some(Outcome::After(ino)));
        }
        staging.never_copy();
        match take_in::take_in(&staging).await {
            // Then it is lost already.
            Err(error) if error.is_of_base() => Ok(None),
            taken => taken.map(|()| None),
        }
    }

    /// Notes that the drive is about to be asked for a copy.
    fn begin_copy(&self, job: &Job, snapshot: &Snapshot, md5: crate::remote::Md5) -> Result<()> {
        let upload = journal::Upload {
            seq: snapshot.seq(),
            size: snapshot.size(),
            md5: Some(md5),
            session: None,
            started: clock::now().millis(),
            inherited: false,
        };
        Ok(self.state.write::<_, rusqlite::Error>(|tx| journal::begin_upload(tx, job.node.ino, &upload))?)
    }
}
