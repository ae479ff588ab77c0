//! Renames, and whose identity a file has on the drive after one.
//!
//! The usual way to save is to write a new file and to rename it over the old one. On the drive that shall be a new revision of
//! the old item, which keeps its links, its shares and its history, and the temporary name shall not be seen. So a file that is
//! renamed over another takes over its identity:
//!
//! - If the drive does not have the new file yet, nothing ever goes there under the temporary name.
//! - If it has (the program rested between writing and renaming), the content is sent once more, as a revision of the old item,
//!   and the temporary item is deleted for good *after* that ([`super::plan`]). Who looks at the drive sees the old content or
//!   the new one, whole, and at no time neither. This costs an upload; so it is done only with what this mount made within the
//!   last day (an older file that is renamed over another is no temporary one, but an item of its own), and only if all of the
//!   content is on the local disk. Else the new item is moved into the place of the old one, which goes to the trash.
//!
//! A crash changes nothing about it: that the content is to be sent, and that the temporary item is to be deleted after, are
//! rows of the transaction of the rename; until the upload is acknowledged, the temporary item is also where the content can be
//! had from, should the cache lose it.

use std::sync::Arc;

use rusqlite::Transaction;

use super::WritebackError::Refused;
use super::changes::{folder, is_there};
use super::journal::{self, Gone};
use super::queue::Change;
use super::staging::Staging;
use super::stagings::Recalled;
use super::table::Safety;
use super::temporary::change_of;
use super::{Result, Writeback, made, table};
use crate::clock;
use crate::crash;
use crate::error::Kind;
use crate::remote::Source;
use crate::state::request;
use crate::tree::local;
use crate::tree::{Effects, Ino, Node, NodeKind, nodes};

/// What a rename did.
#[derive(Debug, PartialEq, Eq)]
pub struct Renamed {
    /// What was moved, as it was before.
    pub source: Node,
    /// What was replaced: the row that is gone. Of a file that has further names that is one of them.
    pub target: Option<Node>,
}

/// What became of the identities on the drive.
#[derive(Debug)]
enum Identity {
    /// Each kept its own.
    Kept,
    /// The source is what the target was: its content goes on from this one.
    TookOver(Option<Source>),
    /// The same, and its content is to be sent once more.
    SentAgain(Option<Source>, journal::Seq),
}

impl Writeback {
    /// Gives an entry another name or folder, as `rename(2)` says. What has the name already is replaced if `replace` allows.
    pub fn rename(&self, from: (Ino, &str), to: (Ino, &str), replace: bool) -> Result<Renamed> {
        self.beside.changed();
        let (source, target) =
            self.state.read(|db| Ok((nodes::by_name(db, from.0, from.1)?, nodes::by_name(db, to.0, to.1)?)))?;
        if let (Some(source), Some(_)) = (&source, &target) {
            self.sync_before_it_replaces(source.file())?;
        }
        let both = source.as_ref().zip(target.as_ref()).filter(|(source, target)| are_files(source, target));
        // Held, so that it stays where it is until all is done.
        let content = both.and_then(|(source, _)| match self.stagings.settled(source.ino) {
            Ok(staging) => staging,
            Err(error) => {
                // That is for who reads or sends it.
                tracing::debug!(%error, name = source.name, "renamed without its content");
                None
            }
        });
        // If the source is open for writing, no seal must store an older origin while it changes.
        let no_seal = content.as_ref().map(|staging| staging.hold_seals());
        // Nor may what is replaced be answered for between the look at it and the transaction: what the drive has then would be
        // taken for the work of somebody else.
        let replaced = content.as_ref().and(target.as_ref()).and_then(|target| self.stagings.in_use(target.ino));
        let bases = hold_bases(content.as_ref(), replaced.as_ref());
        let recalled = match (&content, both) {
            (Some(staging), Some((source, _))) if self.may_send_again(source)? => self.stagings.recall(staging)?,
            _ => None,
        };
        // What an edit of the target that is not sealed yet began from.
        let edited = replaced.as_ref().and_then(|staging| staging.origin());
        let mut identity = Identity::Kept;
        let (mut change, mut is_new) = (Change::Other, false);
        let mut effects = Effects::default();
        // What takes the place of something that was promised is all that is left of that promise.
        let mut promised = false;
        // The row that went with what was replaced, and a file that goes on under another name.
        let (mut replaced_row, mut moved) = (None, None);
        let renamed = self.state.write(|tx| {
            let source = nodes::by_name(tx, from.0, from.1)?.ok_or(Refused(Kind::NotFound))?;
            let target = nodes::by_name(tx, to.0, to.1)?.filter(|target| target.ino != source.ino);
            folder(tx, to.0)?;
            if source.is_folder() && nodes::is_within(tx, to.0, source.ino)? {
                return Err(Refused(Kind::Invalid));
            }
            let was_sent = is_on_drive(tx, source.ino)?;
            let was_there = is_there(tx, &source)?;
            if let Some(target) = &target {
                promised = table::is_promised(tx, target.ino)?;
            }
            let is_same = |target: &Node| target.file() == source.file();
            match &target {
                Some(_) if !replace => return Err(Refused(Kind::Exists)),
                // Two names of one file: both stay.
                Some(target) if is_same(target) => return Ok(Renamed { source, target: None }),
                None if from == to => return Ok(Renamed { source, target }),
                Some(target) if source.is_folder() && !target.is_folder() => return Err(Refused(Kind::NotADirectory)),
                Some(target) if !source.is_folder() && target.is_folder() => return Err(Refused(Kind::IsADirectory)),
                // It has no content here that could be replaced: what a program means to be a new version would end the document.
                Some(target) if target.kind == NodeKind::Document && source.kind != NodeKind::Document => {
                    return Err(Refused(Kind::Denied));
                }
                Some(target)
                    if target.access.may_write()
                        && has_identity(tx, &source, target)?
                        && (!was_sent || can_be_sent_again(tx, recalled.as_ref(), &source)?) =>
                {
                    let recalled = recalled.as_ref().filter(|_| was_sent);
                    identity = self.take_over(tx, &source, target, edited.clone(), recalled)?;
                }
                target => {
                    if let Some(target) = target {
                        if !target.may_lose_name() {
                            return Err(Refused(Kind::Denied));
                        }
                        let gone = self.unname(tx, target)?;
                        replaced_row = Some(gone.row.clone());
                        moved = gone.moved;
                    }
                    local::relocate(tx, &source, to.0, to.1, clock::now())?;
                }
            }
            if promised {
                table::promise(tx, source.file())?;
            }
            is_new = !was_sent && source.kind == NodeKind::File;
            if !was_there {
                // Only this mount knew it under the old name.
                self.tree.freed(tx, from.0, from.1, &mut effects)?;
            }
            journal::touch(tx, source.ino, self.seqs.next())?;
            if let Some(now) = nodes::by_ino(tx, source.ino)? {
                change = change_of(tx, &now)?;
            }
            if let Some(target) = &target {
                // They may have changed identities: neither may overtake what is under way for the other. Before anybody can see
                // that they did.
                self.queue.follow(source.ino, target.ino);
                self.queue.follow(target.ino, source.ino);
            }
            request::note(tx)?;
            crash::point("rename-not-committed");
            Ok(Renamed { source, target: replaced_row.clone().or(target) })
        });
        if renamed.is_ok() {
            crash::point("renamed");
        }
        if let Some(staging) = &content {
            let done = renamed.as_ref().is_ok_and(|renamed: &Renamed| renamed.source.ino == staging.ino());
            self.settle_identity(staging, recalled, done, &identity);
        }
        if let (Ok(renamed), true) = (&renamed, promised)
            && let Some(staging) = self.stagings.in_use(renamed.source.file())
        {
            staging.promise();
        }
        drop((bases, no_seal));
        let renamed = renamed?;
        self.tree.tell(effects);
        if let Some(target) = &renamed.target {
            if !matches!(identity, Identity::Kept) {
                // It was to become an item of its own.
                self.queue.cancel(renamed.source.ino);
            }
            // An upload for what was taken over goes on: of files that are saved more often than the link can send them, nothing
            // would ever arrive otherwise.
            self.removed(target.ino, matches!(identity, Identity::Kept));
        }
        if let Some(file) = moved {
            self.queue.changed(file);
        }
        if is_new && from.0 == to.0 {
            self.habits.renamed(from.0, from.1, to.1);
        }
        self.queue.changed_so(renamed.source.ino, change);
        Ok(renamed)
    }

    /// Makes content that replaces another survive the loss of power first: else that might leave neither. Programs that save by
    /// rename and do not sync rely on it, and other file systems do the same for them.
    pub(super) fn sync_before_it_replaces(&self, source: Ino) -> Result<()> {
        match self.sealed_unsafely(source)? {
            Some(seq) => self.stagings.sync_one(source, seq),
            None => Ok(()),
        }
    }

    fn sealed_unsafely(&self, ino: Ino) -> Result<Option<journal::Seq>> {
        let stored = self.state.read(|db| table::stored(db, ino))?;
        Ok(stored.filter(|stored| stored.safety == Safety::None).map(|stored| stored.seq))
    }

    /// Whether [renaming](Self::rename) a file over another has to wait for the disk.
    pub fn replacing_waits(&self, source: Ino) -> Result<bool> {
        Ok(self.sealed_unsafely(source)?.is_some())
    }

    /// Does that waiting in advance, for who must not block in [`Self::rename`].
    pub fn prepare_to_replace(&self, source: Ino) -> Result<()> {
        self.sync_before_it_replaces(source)
    }

    /// Whether the content of a file that is renamed over another may have to be sent again: looked at before the rename,
    /// because what is sent again must be found on the disk first.
    fn may_send_again(&self, source: &Node) -> Result<bool> {
        Ok(self.state.read(|db| is_temporary(db, source))?)
    }

    /// Lets `source` be on the drive what `target` was.
    fn take_over(
        &self,
        tx: &Transaction<'_>,
        source: &Node,
        target: &Node,
        edited: Option<Source>,
        recalled: Option<&Recalled>,
    ) -> Result<Identity> {
        made::swap(tx, source.ino, target.ino)?;
        let unsent = table::stored(tx, target.ino)?.and_then(|stored| stored.origin);
        let origin = edited.or(unsent).or_else(|| table::source_of(target));
        let removal = local::supersede(tx, source, target, clock::now())?;
        // What was sent last for the target may arrive yet, and is ours.
        journal::inherit_upload(tx, source.ino, target.ino)?;
        let identity = if let Some(recalled) = recalled {
            let seq = self.seqs.next();
            let Recalled { layers, base, safety, .. } = recalled;
            table::store(tx, source.ino, layers, base.as_ref(), origin.as_ref(), seq, *safety)?;
            journal::touch_content(tx, source.ino, seq)?;
            Identity::SentAgain(origin, seq)
        } else {
            table::set_origin(tx, source.ino, origin.as_ref())?;
            Identity::TookOver(origin)
        };
        // Of an item that nobody ever knew, or only as a temporary one.
        self.after_removal(tx, target.ino, removal, Gone::Temporary)?;
        Ok(identity)
    }

    /// Notes in memory what the tables say since the rename.
    fn settle_identity(&self, staging: &Arc<Staging>, recalled: Option<Recalled>, done: bool, identity: &Identity) {
        match (identity, recalled) {
            (Identity::SentAgain(origin, seq), Some(recalled)) if done => {
                self.stagings.send_again(staging, recalled, origin.clone(), *seq);
            }
            (_, Some(recalled)) => {
                if let Err(error) = staging.let_be(&recalled) {
                    tracing::debug!(%error, "an empty staging file stays until the next start");
                }
            }
            (_, None) => {}
        }
        if let (Identity::TookOver(origin), true) = (identity, done) {
            staging.begin_from(origin.clone());
        }
    }
}

/// [Holds](Staging::hold_base) what both files build on, always in the same order.
fn hold_bases<'a>(one: Option<&'a Arc<Staging>>, other: Option<&'a Arc<Staging>>) -> Vec<impl Drop + 'a> {
    let mut both: Vec<_> = one.into_iter().chain(other).collect();
    both.sort_unstable_by_key(|staging| staging.ino());
    both.dedup_by_key(|staging| staging.ino());
    both.into_iter().map(|staging| staging.hold_base()).collect()
}

fn are_files(source: &Node, target: &Node) -> bool {
    source.kind == NodeKind::File && target.kind == NodeKind::File && source.ino != target.ino
}

fn is_on_drive(tx: &Transaction<'_>, ino: Ino) -> rusqlite::Result<bool> {
    Ok(nodes::base(tx, ino)?.is_none_or(|base| base.on_drive.is_some()))
}

/// Whether a file that replaces another can become its next revision: if the drive has that one, or may have it in a moment.
fn has_identity(tx: &Transaction<'_>, source: &Node, target: &Node) -> rusqlite::Result<bool> {
    // What goes on under another name keeps what it is, and who has several is no new version of one.
    let have_one_name = source.names == 0 && target.names == 0;
    Ok(have_one_name && are_files(source, target) && (target.id.is_some() || is_on_drive(tx, target.ino)?))
}

/// Whether a file that the drive has is a temporary one, so that nobody misses its item.
fn is_temporary(db: &rusqlite::Connection, source: &Node) -> rusqlite::Result<bool> {
    made::is_ours(db, source.ino, clock::now())
}

/// Whether the content of a file that the drive has can be sent once more, for another item, and its own can go then.
fn can_be_sent_again(tx: &Transaction<'_>, recalled: Option<&Recalled>, source: &Node) -> rusqlite::Result<bool> {
    Ok(is_of(recalled, source) && source.access.may_trash() && is_temporary(tx, source)?)
}

/// Whether what was recalled is of this file, and it did not change hands since.
fn is_of(recalled: Option<&Recalled>, source: &Node) -> bool {
    recalled.is_some_and(|recalled| {
        let is_whole = recalled.layers.size == source.size;
        is_whole
            && recalled.ino == source.ino
            && recalled.base.as_ref().is_none_or(|base| Some(&base.id) == source.id.as_ref())
    })
}
