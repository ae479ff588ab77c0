//! When the drive's content moved on while it was edited here.
//!
//! A drive has no compare-and-swap, so before a new revision is uploaded the drive is asked what it has now. If that is not what
//! the edit began from, and not our own work either, both are kept: theirs under the name, which others know it by, ours as a
//! *conflict copy* beside it, named after this machine and the time. Programs that have the file open keep writing to their
//! own content, which is the copy now.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::outgoing::{self, Content};
use super::plan::{Job, Outcome};
use super::snapshot::Snapshot;
use super::staging::Staging;
use super::{Conflict, Result, Writeback, WritebackError, answer, journal};
use crate::clock;
use crate::error::Kind;
use crate::remote::{Access, Blob, Item, ItemKind, Md5, Progress, Source};
use crate::tree::{Base, Effects, Ino, Node, links, nodes};

/// Looks whether the content of an edit may go to the drive. `None`: it may. Else something else was done in its place.
pub(super) async fn check(
    writeback: &Writeback,
    job: &Job,
    staging: &Arc<Staging>,
    snapshot: &Snapshot,
) -> Result<Option<Outcome>> {
    let id = job.id()?;
    let item = match writeback.remote.get(id).await {
        Ok(item) if !item.trashed => item,
        Ok(item) => {
            writeback.tree.merge_news(id, Some(&item))?;
            return Ok(Some(Outcome::Again));
        }
        Err(error) if error.kind == Kind::NotFound => {
            writeback.tree.merge_news(id, None)?;
            return Ok(Some(Outcome::Again));
        }
        Err(error) => return Err(error.into()),
    };
    let ItemKind::File(theirs) = &item.kind else { return Ok(None) };
    let origin = staging.origin();
    if origin.as_ref().is_some_and(|origin| origin.blob.revision == theirs.revision) {
        return Ok(None);
    }
    // Ours, but its answer was lost?
    if theirs.size == snapshot.size() {
        let md5 = match (sent_before(writeback, job, snapshot)?, outgoing::checksum(snapshot)) {
            (Some(md5), _) => Some(md5),
            (None, read) => match read.await {
                Ok(md5) => Some(md5),
                // What it builds on is gone from the drive, perhaps for a content of ours, which has the same bytes there.
                Err(error) if error.is_of_base() => None,
                Err(error) => return Err(error),
            },
        };
        let theirs = Source { id: id.clone(), blob: theirs.clone() };
        let there = match outgoing::checksum_there(&*writeback.remote, &theirs).await {
            // It changed again meanwhile.
            Err(WritebackError::Remote(error)) if matches!(error.kind, Kind::Stale | Kind::NotFound) => {
                return Ok(Some(Outcome::Again));
            }
            there => there?,
        };
        if let Some(md5) = md5.filter(|&md5| md5 == there) {
            let content = Content::Staged(Arc::clone(staging), snapshot.clone());
            return writeback.commit(job, &content, &item, md5).await.map(Some);
        }
    }
    let source = Source { id: id.clone(), blob: theirs.clone() };
    if origin.is_some_and(|origin| same_bytes(theirs, origin.blob.size, origin.blob.md5)) {
        writeback.set_origin(job, staging, &source, false)?;
        return Ok(None);
    }
    if let Some(inherited) = is_our_own(writeback, job, theirs).await? {
        writeback.set_origin(job, staging, &source, !inherited)?;
        return Ok(None);
    }
    keep_both(writeback, job, &item)?;
    Ok(Some(Outcome::Again))
}

/// The checksum of this very content, if it was sent before. What arrived without an answer has replaced what the content builds on:
/// then the drive has it whole, and nobody else has every byte of it.
fn sent_before(writeback: &Writeback, job: &Job, snapshot: &Snapshot) -> Result<Option<Md5>> {
    let sent = writeback.state.read(|db| journal::uploads(db, job.node.ino))?;
    let same = sent.into_iter().find(|sent| sent.seq == snapshot.seq() && sent.size == snapshot.size());
    Ok(same.and_then(|sent| sent.md5))
}

/// Whether the drive has another content by now than the edit began from, or none.
pub(super) async fn moved_on(writeback: &Writeback, job: &Job, staging: &Staging) -> Result<bool> {
    match writeback.remote.get(job.id()?).await {
        Ok(Item { kind: ItemKind::File(theirs), trashed: false, .. }) => {
            Ok(staging.origin().is_none_or(|origin| origin.blob.revision != theirs.revision))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind == Kind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether a revision is known to hold these bytes. Nobody's work can be lost by replacing what the edit began from, be it a
/// revision of its own: somebody uploaded the same again, or a request of ours that was cut off arrived after its repetition.
fn same_bytes(theirs: &Blob, size: u64, md5: Option<Md5>) -> bool {
    md5.is_some() && theirs.md5 == md5 && theirs.size == size
}

/// Whether the drive's content is one that we sent earlier, whose answer did not arrive; `true` in it: for another file, whose
/// identity the entry took over.
async fn is_our_own(writeback: &Writeback, job: &Job, theirs: &Blob) -> Result<Option<bool>> {
    for sent in writeback.state.read(|db| journal::uploads(db, job.node.ino))? {
        if sent.md5.is_some() {
            if same_bytes(theirs, sent.size, sent.md5) {
                return Ok(Some(sent.inherited));
            }
            continue;
        }
        let Some(session) = sent.session else { continue };
        match writeback.remote.progress(&session, Some(sent.size)).await {
            Ok(Progress::Done(item)) => {
                // A drive may answer with what the file is by now, which need not be what that session brought.
                let is_ours = |done: &Blob| done.revision == theirs.revision && done.size == sent.size;
                if matches!(&item.kind, ItemKind::File(done) if is_ours(done)) {
                    return Ok(Some(sent.inherited));
                }
            }
            Ok(Progress::Stored(_) | Progress::Moved(..)) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Makes our content a new entry beside theirs.
fn keep_both(writeback: &Writeback, job: &Job, item: &Item) -> Result<()> {
    let mut effects = Effects::default();
    let tree = &writeback.tree;
    let inos = tree.new_inos(1)?;
    let kept = writeback.state.write::<_, WritebackError>(|tx| {
        // It may have taken over another's identity since the look: then what was found is none of its business.
        if !answer::is_still(tx, job.node.ino, &item.id)? {
            return Ok(None);
        }
        let Some(node) = nodes::by_ino(tx, job.node.ino)? else { return Ok(None) };
        let home = home(tx, &node)?;
        let copy = free_name(tx, home, &node.name)?;
        effects.entries.push((node.parent, node.name.clone()));
        effects.entries.push((home, copy.clone()));
        let ours = Node {
            id: None,
            parent: home,
            access: Access::UNKNOWN,
            drive: None,
            name: copy.clone(),
            drive_name: None,
            revision: None,
            md5: None,
            version: 0,
            created: clock::now().millis(),
            ..node.clone()
        };
        nodes::update(tx, &ours)?;
        nodes::set_base(tx, node.ino, &Base::unsent(true))?;
        journal::end_upload(tx, node.ino)?;
        journal::touch(tx, node.ino, writeback.seqs.next())?;
        // What both edited is theirs by all of its names.
        effects.entries.extend(nodes::further_names(tx, node.ino)?.into_iter().map(|name| (name.parent, name.name)));
        links::leave_to(tx, node.ino, &item.id)?;
        tree.merge_within(tx, item, inos.clone(), &mut effects)?;
        // Theirs may have another name or folder by now.
        tree.freed(tx, node.parent, &node.name, &mut effects)?;
        let folder = nodes::path(tx, node.parent)?;
        let name = node.name;
        let path = joined(&folder, &name);
        tx.prepare_cached("INSERT OR REPLACE INTO conflict (folder, copy, name) VALUES (?1, ?2, ?3)")?
            .execute(params![home, copy, name])?;
        Ok(Some(Conflict { path, copy }))
    })?;
    tree.tell(effects);
    if let Some(conflict) = kept {
        tracing::warn!(
            path = conflict.path,
            copy = conflict.copy,
            "edited here and elsewhere at the same time: their version keeps the name, ours is the copy"
        );
    }
    Ok(())
}

/// Where our side of a conflict goes: beside theirs, or into the root of the mount if that takes nothing of ours.
fn home(db: &Connection, node: &Node) -> rusqlite::Result<Ino> {
    let takes = nodes::by_ino(db, node.parent)?.is_some_and(|folder| folder.access.may_add());
    Ok(if takes && !nodes::is_held(db, node)? { node.parent } else { Ino::ROOT })
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// All collisions, the oldest first, whose copies still have the names that they were given: who renames one or removes it has
/// looked at it.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Conflict>> {
    let rows: Vec<(Ino, String, String)> = db
        // CROSS: in this order, and not through all of the tree.
        .prepare_cached(
            "SELECT folder, conflict.copy, conflict.name
             FROM conflict CROSS JOIN node ON node.parent = conflict.folder AND node.name = conflict.copy ORDER BY node.ino",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let conflict = |(folder, copy, name): (Ino, String, String)| {
        Ok(Conflict { path: joined(&nodes::path(db, folder)?, &name), copy })
    };
    rows.into_iter().map(conflict).collect()
}

/// Forgets those that were looked at.
pub(super) fn sweep(db: &Connection) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM conflict
         WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.parent = conflict.folder AND node.name = conflict.copy)",
        [],
    )
    .map(|_| ())
}

/// `stem (conflict HOST TIME).ext`, and a number if that is taken.
fn free_name(db: &Connection, folder: Ino, of: &str) -> rusqlite::Result<String> {
    let now = clock::now().to_rfc3339().replace('T', " ").replace(':', ".");
    let when = now.split_once('.').map_or(now.as_str(), |_| &now[..19]);
    let host = host();
    for number in 1.. {
        let suffix = if number == 1 { String::new() } else { format!(" {number}") };
        let name = copy_name(of, &format!(" (conflict {host} {when}{suffix})"));
        if nodes::by_name(db, folder, &name)?.is_none() {
            return Ok(name);
        }
    }
    unreachable!("numbers do not end")
}

fn copy_name(name: &str, mark: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 12 => name.split_at(dot),
        _ => (name, ""),
    };
    let room = 255_usize.saturating_sub(extension.len() + mark.len());
    let mut end = stem.len().min(room);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{extension}", &stem[..end])
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !matches!(c, '/' | '\0')).take(64).collect();
    if name.is_empty() { "this machine".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_copy_keeps_its_extension_and_stays_legal() {
        let mark = " (conflict box 2026-11-23 06.13.45)";
        assert_eq!(copy_name("notes.txt", mark), "notes (conflict box 2026-11-23 06.13.45).txt");
        assert_eq!(copy_name("Makefile", mark), "Makefile (conflict box 2026-11-23 06.13.45)");
        assert_eq!(copy_name(".profile", mark), ".profile (conflict box 2026-11-23 06.13.45)");
        assert!(copy_name(&"ü".repeat(127), mark).len() <= 255);
    }
}
