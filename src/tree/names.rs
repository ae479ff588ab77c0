//! Names of the drive made legal and unique.
//!
//! A drive allows any text as a name, and the same name twice in a folder; a file system allows neither. The rule:
//!
//! 1. An entry is shown under its own name, a document with an extension added ([`super::documents`]), if that is a legal file
//!    name, and the oldest on the drive of several with one name keeps it.
//! 2. Any other is shown as `stem (tag).ext`: what is illegal becomes `_`, and the tag comes from its id. Where that is somebody's
//!    own name, or the tag of an older entry, the tag is longer.
//! 3. What this mount has not sent yet keeps the name it was given.
//!
//! So names are the same on every machine, whatever came first there, and stay while younger twins come and go. A name that this
//! mount creates is taken as it is: it is legal and free by construction.
//!
//! Each entry *claims* names, one after the other: its own, then longer and longer tags. A name is held by the entry whose claim
//! comes first in its own row, then by the oldest. That leaves one way to show a folder: if two entries could change places, each
//! would have to hold what is further back in its row than what the other has. So it is enough to look, whenever a name was taken
//! or became free, at who claims that name.

use std::collections::BTreeSet;
use std::fmt::Write;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{Effects, Ino, Node, NodeKind, documents, nodes};
use crate::remote::{FileId, Item, ItemKind};

/// The longest name the kernel takes, in bytes.
pub(super) const NAME_MAX: usize = 255;

/// What is kept behind a tag is no longer than this, the dot included.
const EXTENSION_MAX: usize = 12;

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

/// A place for an item in a folder: the name to show it under, if it wants this one. May give another to an entry whose claim comes
/// behind.
pub(super) fn place(
    db: &Connection,
    folder: Ino,
    wanted: Option<&str>,
    id: &FileId,
    created: i64,
    effects: &mut Effects,
) -> rusqlite::Result<String> {
    let Some(wanted) = wanted else { return Ok(documents::hidden(id)) };
    if is_legal(wanted) && nodes::by_name(db, folder, wanted)?.is_none() {
        return Ok(wanted.to_owned());
    }
    find_place(db, folder, &Claims::of(wanted.to_owned(), Some(id)), 0, (created, Some(id)), effects)
}

/// The first of the claims, from `from` on, that no better one holds.
fn find_place(
    db: &Connection,
    folder: Ino,
    claims: &Claims,
    from: usize,
    (created, id): (i64, Option<&FileId>),
    effects: &mut Effects,
) -> rusqlite::Result<String> {
    // Ends: a folder has fewer entries than a row has claims.
    let mut turn = from;
    loop {
        let Some(name) = claims.name(turn) else {
            turn += 1;
            continue;
        };
        let Some(holder) = nodes::by_name(db, folder, &name)? else { return Ok(name) };
        if id.is_some() && holder.id.as_ref() == id {
            return Ok(name);
        }
        if yields(db, &holder, (turn, created, id))? {
            displace(db, holder, effects)?;
            return Ok(name);
        }
        turn += 1;
    }
}

/// Shows an entry under the best of its names behind the one that it has.
fn displace(db: &Connection, holder: Node, effects: &mut Effects) -> rusqlite::Result<()> {
    let claims = Claims::of_node(db, &holder)?;
    // An older version of this rule may have given it a name that it has no claim to.
    let from = claims.turn(&holder.name).checked_add(1).unwrap_or(0);
    let name = find_place(db, holder.parent, &claims, from, (holder.created, holder.id.as_ref()), effects)?;
    effects.entries.push((holder.parent, name.clone()));
    let drive_name = Some(holder.name_on_drive().to_owned());
    nodes::update(db, &Node { name, drive_name, ..holder })
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

/// Gives all names of a folder to those that they belong to.
pub(super) fn settle(db: &Connection, folder: Ino, effects: &mut Effects) -> rusqlite::Result<()> {
    let names = nodes::names_wanted(db, folder)?;
    names.iter().try_for_each(|name| wanted_anew(db, folder, name, effects))
}

/// Looks at a name of the drive as files and as documents are shown under it.
fn wanted_anew(db: &Connection, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    freed(db, folder, name, effects)?;
    let mut shown = BTreeSet::new();
    for twin in nodes::renamed_children(db, folder, name)? {
        if twin.kind == NodeKind::Document {
            shown.extend(wanted_as(db, &twin, name)?);
        }
    }
    shown.iter().try_for_each(|name| freed(db, folder, name, effects))
}

/// Looks whether the holder of a name, now that the drive has told its age, has the best claim to it, and to none before.
pub(super) fn aged(db: &Connection, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    freed(db, folder, name, effects)?;
    let Some(holder) = nodes::by_name(db, folder, name)?.filter(|holder| holder.drive_name.is_some()) else {
        return Ok(());
    };
    let claims = Claims::of_node(db, &holder)?;
    let mut better = (0..claims.turn(name).min(TAGS.len())).filter_map(|turn| claims.name(turn));
    better.try_for_each(|name| freed(db, folder, &name, effects))
}

/// Gives a name, which became free or whose holder changed, to who has the best claim to it.
pub(super) fn freed(db: &Connection, folder: Ino, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    let Some((turn, claimant)) = best_claimant(db, folder, name)? else { return Ok(()) };
    if let Some(holder) = nodes::by_name(db, folder, name)? {
        if !yields(db, &holder, (turn, claimant.created, claimant.id.as_ref()))? {
            return Ok(());
        }
        displace(db, holder, effects)?;
    }
    let left = claimant.name.clone();
    give(db, claimant, name, effects)?;
    freed(db, folder, &left, effects)
}

/// Of the entries of a folder that claim a name and are shown under one that comes behind it in their row, the one with the best
/// claim, and its place in that row.
fn best_claimant(db: &Connection, folder: Ino, name: &str) -> rusqlite::Result<Option<(usize, Node)>> {
    if is_legal(name) {
        // A document wants its name with an extension.
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let mut twins = nodes::renamed_children(db, folder, name)?;
        twins.extend(nodes::renamed_children(db, folder, stem)?);
        let mut oldest: Option<Node> = None;
        for twin in twins {
            let is_older = oldest.as_ref().is_none_or(|other| (twin.created, &twin.id) < (other.created, &other.id));
            if is_older && twin.name != name && wanted_by(db, &twin)?.as_deref() == Some(name) {
                oldest = Some(twin);
            }
        }
        if let Some(oldest) = oldest {
            return Ok(Some((0, oldest)));
        }
    }
    // Who wants it with its tag is shown with a longer one.
    let Some((first, last)) = longer_tags(name) else { return Ok(None) };
    let mut best: Option<(usize, Node)> = None;
    for node in nodes::children_between(db, folder, &first, &last)? {
        if node.drive_name.is_none() || node.name == name {
            continue;
        }
        let claims = Claims::of_node(db, &node)?;
        let turn = claims.turn(name);
        let is_better = best
            .as_ref()
            .is_none_or(|(other, holder)| (turn, node.created, &node.id) < (*other, holder.created, &holder.id));
        if is_better && turn < claims.turn(&node.name) {
            best = Some((turn, node));
        }
    }
    Ok(best)
}

/// Shows an entry under a name that is free.
fn give(db: &Connection, twin: Node, name: &str, effects: &mut Effects) -> rusqlite::Result<()> {
    effects.entries.push((twin.parent, twin.name.clone()));
    effects.entries.push((twin.parent, name.to_owned()));
    let drive_name = (twin.name_on_drive() != name).then(|| twin.name_on_drive().to_owned());
    nodes::update(db, &Node { name: name.to_owned(), drive_name, ..twin })
}

/// The name that an entry would have if there were no other; `None` if it is hidden.
fn wanted_by(db: &Connection, node: &Node) -> rusqlite::Result<Option<String>> {
    wanted_as(db, node, node.name_on_drive())
}

/// Whether the holder of a name gives it to who has this claim to it: its place in the row of the claimant, and how old that is.
fn yields(db: &Connection, holder: &Node, claim: (usize, i64, Option<&FileId>)) -> rusqlite::Result<bool> {
    let sent = match nodes::base(db, holder.ino)? {
        Some(base) => base.on_drive.is_some_and(|there| there.name == holder.name_on_drive()),
        None => true,
    };
    Ok(sent && claim < (Claims::of_node(db, holder)?.turn(&holder.name), holder.created, holder.id.as_ref()))
}

fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// The names that an entry may be shown under, best first: its own, then those with more and more of its tag.
struct Claims {
    wanted: String,
    /// The same, as far as it is legal.
    legal: String,
    tag: String,
}

/// So many digits of a tag are shown. More than the first is for folders with very many twins; after the last comes a number, for
/// people who name files after our tags.
const TAGS: [usize; 3] = [6, 16, 64];

/// The longest tag with its number, and its frame.
const TAG_MAX: usize = 64 + "-18446744073709551615".len() + " ()".len();

impl Claims {
    /// Those of an item. What has no id is not on the drive, and keeps its name.
    fn of(wanted: String, id: Option<&FileId>) -> Self {
        let legal = wanted.chars().map(|c| if matches!(c, '/' | '\0') { '_' } else { c }).collect();
        let mut tag = String::with_capacity(64);
        for byte in Sha256::digest(id.map_or("", |id| &id.0)) {
            let _ = write!(tag, "{byte:02x}");
        }
        Self { wanted, legal, tag }
    }

    fn of_node(db: &Connection, node: &Node) -> rusqlite::Result<Self> {
        // What is hidden has a name that nothing else wants.
        Ok(Self::of(wanted_by(db, node)?.unwrap_or_default(), node.id.as_ref()))
    }

    /// The name at a place of the row; missing if it is not legal, or the one that stands first in the row already: for people who
    /// name a file after its own tag.
    fn name(&self, turn: usize) -> Option<String> {
        let tagged = match turn {
            0 => return is_legal(&self.wanted).then(|| self.wanted.clone()),
            1..=3 => with_tag(&self.legal, &self.tag[..TAGS[turn - 1]]),
            _ => with_tag(&self.legal, &format!("{}-{}", self.tag, turn - 2)),
        };
        (tagged != self.wanted).then_some(tagged)
    }

    /// The place of a name in the row; behind all if it is not in it.
    fn turn(&self, name: &str) -> usize {
        let number = || name.split_once(&format!("{}-", self.tag))?.1.split_once(')')?.0.parse::<usize>().ok();
        let numbered = number().and_then(|number| number.checked_add(2)).filter(|turn| *turn > TAGS.len());
        (0..=TAGS.len()).chain(numbered).find(|&turn| self.name(turn).as_deref() == Some(name)).unwrap_or(usize::MAX)
    }
}

/// The first and the last of the names that may be those of entries which have the tag of `name`, and more of it.
fn longer_tags(name: &str) -> Option<(String, String)> {
    // Behind the tag is at most an extension, which has no blank.
    let (stem, rest) = name.rsplit_once(" (")?;
    let (tag, extension) = rest.split_once(')')?;
    let digits = tag.split('-').next().filter(|digits| TAGS.contains(&digits.len()))?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    // A longer tag leaves less room for the stem.
    let room = NAME_MAX - extension.len().min(EXTENSION_MAX) - TAG_MAX;
    let first = if stem.len() <= room { format!("{stem} ({digits}") } else { head(stem, room).to_owned() };
    let last = format!("{first}{}", "\u{10ffff}".repeat(NAME_MAX / 4 + 1));
    Some((first, last))
}

fn with_tag(name: &str, tag: &str) -> String {
    let name = if matches!(name, "" | "." | "..") { "_" } else { name };
    // Only what looks like an extension is kept behind the tag: short, without a blank, and not the whole name.
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= EXTENSION_MAX && !name[dot..].contains(' ') => name.split_at(dot),
        _ => (name, ""),
    };
    let room = NAME_MAX - extension.len() - tag.len() - " ()".len();
    format!("{} ({tag}){extension}", head(stem, room))
}

/// As much of the start of a text as fits into so many bytes.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
