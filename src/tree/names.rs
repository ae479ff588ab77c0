//! Names of the drive made legal and unique.
//!
//! A drive allows any text as a name, and the same name twice in a folder; a file system allows neither. The rule:
//!
//! 1. An entry is shown under its own name, a document with an extension added ([`super::documents`]), if that is a legal file
//!    name, and the oldest on the drive of several with one name keeps it.
//! 2. Any other is shown as `stem (tag).ext`: what is illegal becomes `_`, and the tag comes from its id.
//! 3. What this mount has not sent yet keeps the name it was given.
//!
//! So names are the same on every machine, and stay while younger twins come and go. A name that this mount creates is taken
//! as it is: it is legal and free by construction.

use std::fmt::Write;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{Effects, Ino, Node, NodeKind, documents, nodes};
use crate::remote::{FileId, Item, ItemKind};

/// The longest name the kernel takes, in bytes.
pub(super) const NAME_MAX: usize = 255;

/// The name an item would have if there were no other; legal or not. `None` if it is hidden.
pub(super) fn wanted(db: &Connection, item: &Item) -> rusqlite::Result<Option<String>> {
    match &item.kind {
        ItemKind::Document { media_type, .. } => Ok(documents::name(documents::shown(db)?, &item.name, media_type)),
        _ => Ok(Some(item.name.clone())),
    }
}

/// The same of a node, had it this name on the drive.
pub(super) fn wanted_as(db: &Connection, node: &Node, drive_name: &str) -> rusqlite::Result<Option<String>> {
    match node.kind {
        NodeKind::Document => documents::name_of(db, node, drive_name),
        _ => Ok(Some(drive_name.to_owned())),
    }
}

/// The name on the drive of an entry that is given a name here, if it is another: a document's extension is ours.
pub(super) fn on_drive(db: &Connection, node: &Node, name: &str) -> rusqlite::Result<Option<String>> {
    match node.kind {
        NodeKind::Document => documents::without_extension(db, node, name),
        _ => Ok(None),
    }
}

/// A place for an item in a folder: the name to show it under, if it wants this one. May rename a younger twin to make room.
pub(super) fn place(
    db: &Connection,
    folder: Ino,
    wanted: Option<&str>,
    id: &FileId,
    created: i64,
    effects: &mut Effects,
) -> rusqlite::Result<String> {
    let Some(wanted) = wanted else { return Ok(documents::hidden(id)) };
    if is_legal(wanted) {
        let Some(holder) = nodes::by_name(db, folder, wanted)? else { return Ok(wanted.to_owned()) };
        if holder.id.as_ref() == Some(id) {
            return Ok(wanted.to_owned());
        }
        if yields(db, &holder, created, id)? {
            let name = tagged(db, folder, wanted, holder.id.as_ref().unwrap_or(id))?;
            effects.entries.push((folder, name.clone()));
            let drive_name = Some(holder.name_on_drive().to_owned());
            nodes::update(db, &Node { name, drive_name, ..holder })?;
            return Ok(wanted.to_owned());
        }
    }
    tagged(db, folder, wanted, id)
}

/// Gives a plain name that became free to the oldest of those that want it.
pub(super) fn freed(db: &Connection, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    if !is_legal(name) || nodes::by_name(db, folder, name)?.is_some() {
        return Ok(());
    }
    match oldest_twin(db, folder, name)? {
        Some(twin) => give(db, twin, name, effects),
        None => Ok(()),
    }
}

/// As [`freed`], for a name of the drive that a node had in one of its folders.
pub(super) fn vacated(
    db: &Connection,
    node: &Node,
    folder: &FileId,
    drive_name: &str,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    match (nodes::by_id(db, folder)?.filter(Node::is_linked), wanted_as(db, node, drive_name)?) {
        (Some(folder), Some(name)) => freed(db, folder.ino, &name, effects),
        _ => Ok(()),
    }
}

/// Gives all plain names of a folder to those that they belong to.
pub(super) fn settle(db: &Connection, folder: Ino, effects: &mut Effects) -> rusqlite::Result<()> {
    for name in nodes::names_wanted(db, folder)? {
        freed(db, folder, &name, effects)?;
        aged(db, folder, &name, effects)?;
    }
    Ok(())
}

/// Looks whether the holder of a plain name, now that the drive has told its age, is the oldest of those that want it.
pub(super) fn aged(db: &Connection, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    if !is_legal(name) {
        return Ok(());
    }
    let (Some(holder), Some(twin)) = (nodes::by_name(db, folder, name)?, oldest_twin(db, folder, name)?) else {
        return Ok(());
    };
    let (Some(id), Some(holder_id)) = (&twin.id, &holder.id) else { return Ok(()) };
    if !yields(db, &holder, twin.created, id)? {
        return Ok(());
    }
    let tagged = tagged(db, folder, name, holder_id)?;
    effects.entries.push((folder, tagged.clone()));
    let drive_name = Some(holder.name_on_drive().to_owned());
    nodes::update(db, &Node { name: tagged, drive_name, ..holder })?;
    give(db, twin, name, effects)
}

/// The oldest of the entries that want a plain name and are shown under another.
fn oldest_twin(db: &Connection, folder: Ino, name: &str) -> rusqlite::Result<Option<Node>> {
    let mut twins = nodes::renamed_children(db, folder, name)?;
    twins.retain(|twin| twin.kind != NodeKind::Document);
    // A document wants its name with an extension.
    if let Some((stem, _)) = name.rsplit_once('.') {
        for twin in nodes::renamed_children(db, folder, stem)? {
            if twin.kind == NodeKind::Document && wanted_as(db, &twin, stem)?.as_deref() == Some(name) {
                twins.push(twin);
            }
        }
    }
    twins.retain(|twin| twin.name != name);
    Ok(twins.into_iter().min_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id))))
}

/// Shows an entry under a plain name that is free.
fn give(db: &Connection, twin: Node, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    effects.entries.push((twin.parent, twin.name.clone()));
    effects.entries.push((twin.parent, name.to_owned()));
    let drive_name = (twin.name_on_drive() != name).then(|| twin.name_on_drive().to_owned());
    nodes::update(db, &Node { name: name.to_owned(), drive_name, ..twin })
}

/// Whether the holder of a name gives it to an item of that age.
fn yields(db: &Connection, holder: &Node, created: i64, id: &FileId) -> rusqlite::Result<bool> {
    let sent = match nodes::base(db, holder.ino)? {
        Some(base) => base.on_drive.is_some_and(|there| there.name == holder.name_on_drive()),
        None => true,
    };
    Ok(sent && (created, Some(id)) < (holder.created, holder.id.as_ref()))
}

fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// `stem (tag).ext`, with as much of the tag as makes it unique in the folder.
fn tagged(db: &Connection, folder: Ino, wanted: &str, id: &FileId) -> rusqlite::Result<String> {
    let legal: String = wanted.chars().map(|c| if matches!(c, '/' | '\0') { '_' } else { c }).collect();
    let digest = Sha256::digest(&id.0);
    let mut hex = String::with_capacity(64);
    for byte in digest {
        let _ = write!(hex, "{byte:02x}");
    }
    for length in [6, 16, 64] {
        let name = with_tag(&legal, &hex[..length]);
        match nodes::by_name(db, folder, &name)? {
            Some(other) if other.id.as_ref() != Some(id) => {}
            _ => return Ok(name),
        }
    }
    // 256 bits of another id, or somebody who names files after our digests: whichever, the id itself is unique.
    Ok(with_tag("_", &hex[..32]) + &hex[32..])
}

fn with_tag(name: &str, tag: &str) -> String {
    let name = if matches!(name, "" | "." | "..") { "_" } else { name };
    // Only what looks like an extension is kept behind the tag: short, without a blank, and not the whole name.
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 12 && !name[dot..].contains(' ') => name.split_at(dot),
        _ => (name, ""),
    };
    let room = NAME_MAX - extension.len() - tag.len() - " ()".len();
    let mut end = stem.len().min(room);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ({tag}){extension}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_are_what_the_kernel_takes() {
        for name in ["a", ".hidden", "ü", "a b", " ", "a\nb", "...", &"x".repeat(255)] {
            assert!(is_legal(name), "{name:?}");
        }
        for name in ["", ".", "..", "a/b", "/", "a\0", &"x".repeat(256), &"ü".repeat(128)] {
            assert!(!is_legal(name), "{name:?}");
        }
    }

    #[test]
    fn tagged_names_are_legal_and_keep_their_extension() {
        assert_eq!(with_tag("photo.jpg", "abc123"), "photo (abc123).jpg");
        assert_eq!(with_tag("archive.tar.gz", "t"), "archive.tar (t).gz");
        assert_eq!(with_tag(".bashrc", "t"), ".bashrc (t)");
        assert_eq!(with_tag("Dr. Who and friends", "t"), "Dr. Who and friends (t)");
        assert_eq!(with_tag("", "t"), "_ (t)");
        for name in ["x".repeat(300), "ü".repeat(200), format!("{}.jpg", "€".repeat(100)), ".".to_owned()] {
            let tagged = with_tag(&name, "abc123");
            assert!(is_legal(&tagged), "{tagged:?}");
        }
    }
}
