//! What a file that is being written will be called in the end.
//!
//! Programs that save with care write a new file and rename it over the old one. Who sends the new file while it is written must
//! know the old one, since that is what gets the content. A guess that is wrong costs bandwidth, nothing else.
//!
//! Two things tell: the name (`model.ckpt.tmp` is to be `model.ckpt`), and what became of the last file of such a name in the same
//! folder ([`Habits`]).

use std::collections::HashMap;

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::tree::{Ino, Node, NodeKind, nodes};

/// What temporary names end with, dot and case aside.
const MARKS: [&str; 12] = [
    "tmp",
    "temp",
    "part",
    "partial",
    "new",
    "swp",
    "lock",
    "saving",
    "download",
    "crdownload",
    "incomplete",
    "writing",
];

/// What nobody but programs that save begins names with.
const RANDOM: &str = ".goutputstream-";

/// Of how many kinds of names it is known what became of them.
const KNOWN: usize = 1000;

/// What files with temporary names were renamed to.
#[derive(Debug, Default)]
pub(super) struct Habits(Mutex<HashMap<(Ino, String), String>>);

impl Habits {
    /// A file that was new was renamed within its folder.
    pub(super) fn renamed(&self, folder: Ino, from: &str, to: &str) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert((folder, sort(from)), to.to_owned());
    }

    /// The file that a new one is likely to replace, and whether the drive has it by now.
    pub(super) fn target(&self, db: &Connection, node: &Node) -> rusqlite::Result<Option<(Node, bool)>> {
        let habit = self.0.lock().get(&(node.parent, sort(&node.name))).cloned();
        for name in habit.as_deref().into_iter().chain(stem(&node.name)) {
            let target = nodes::by_name(db, node.parent, name)?
                .filter(|target| target.kind == NodeKind::File && target.ino != node.ino);
            if let Some(target) = target {
                let is_there = nodes::base(db, target.ino)?.is_none_or(|base| base.on_drive.is_some());
                return Ok(Some((target, is_there)));
            }
        }
        Ok(None)
    }
}

/// Names that differ in numbers and random letters only are of one sort.
fn sort(name: &str) -> String {
    let is_random = name.strip_prefix("tmp").is_some_and(|rest| {
        rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    // As Python's `tempfile` makes them.
    if is_random { "tmp*".to_owned() } else { name.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect() }
}

/// What a file will be called if its name is a temporary one; its name, if not.
pub(super) fn final_name(name: &str) -> &str {
    stem(name).unwrap_or(name)
}

/// Whether a name is one that files have while they are written.
pub(super) fn is_temporary(name: &str) -> bool {
    stem(name).is_some() || sort(name) == "tmp*" || name.starts_with(RANDOM)
}

/// The name that a temporary name was made from.
fn stem(name: &str) -> Option<&str> {
    let stem = rsync(name).or_else(|| marked(name)).or_else(|| {
        let prefixes = [".tmp-", ".tmp_", ".tmp.", "tmp-", "tmp_", "tmp.", "temp-", "temp_", ".~", ".#"];
        prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))
    })?;
    let stem = stem
        .strip_prefix('.')
        .filter(|_| name.starts_with('.') && stem.len() > 1 && !stem.starts_with(".."))
        .unwrap_or(stem);
    (!stem.is_empty() && stem != "." && stem != "..").then_some(stem)
}

/// `.NAME.Ab12Cd`, as rsync makes them.
fn rsync(name: &str) -> Option<&str> {
    let (stem, random) = name.strip_prefix('.')?.rsplit_once('.')?;
    // Six letters of one kind may as well be a kind of file.
    (random.len() == 6 && is_random(random) && !stem.is_empty()).then_some(stem)
}

/// `NAME.tmp`, `NAME.tmp.123`, `NAME.123.tmp`, `NAME.tmp123`, `NAME~`.
fn marked(name: &str) -> Option<&str> {
    if let Some(stem) = name.strip_suffix('~') {
        return Some(stem);
    }
    let (before, last) = split(name)?;
    if is_mark(last) {
        let stem = before.rsplit_once(['.', '-']).filter(|(_, random)| is_number(random));
        return Some(stem.map_or(before, |(stem, _)| stem));
    }
    let (stem, mark) = split(before)?;
    (is_number(&last[1..]) && is_mark(mark)).then_some(stem)
}

/// A name in front of its last dot, dash or underscore, and what stands from there on.
fn split(name: &str) -> Option<(&str, &str)> {
    name.rfind(['.', '-', '_']).map(|at| name.split_at(at))
}

/// Whether the end of a name, from its last dot, dash or underscore on, marks a temporary one.
fn is_mark(end: &str) -> bool {
    let word = &end[1..];
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    // `tmpAb3d`
    let random = word.strip_prefix("tmp").is_some_and(|rest| rest.len() <= 12 && is_random(rest));
    // Behind a dash or an underscore other words may well belong to the name: `model_new`, `outside-temp`.
    random
        || letters.eq_ignore_ascii_case("tmp")
        || end.starts_with('.') && MARKS.iter().any(|mark| mark.eq_ignore_ascii_case(letters))
}

/// Letters that no word and no number has: of more kinds than one.
pub(super) fn is_random(text: &str) -> bool {
    let has = |is: fn(&char) -> bool| usize::from(text.chars().any(|c| is(&c)));
    let kinds = has(char::is_ascii_lowercase) + has(char::is_ascii_uppercase) + has(char::is_ascii_digit);
    text.chars().all(|c| c.is_ascii_alphanumeric()) && kinds >= 2
}

/// A process id, a time, something random in hexadecimal digits.
fn is_number(word: &str) -> bool {
    let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    !word.is_empty() && hex && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_tell_what_they_are_for() {
        for (name, expected) in [
            ("last.ckpt.tmp", "last.ckpt"),
            ("last.ckpt.tmp.4711", "last.ckpt"),
            ("last.ckpt.4711.tmp", "last.ckpt"),
            ("last.ckpt.a1b2c3.part", "last.ckpt"),
            ("last.ckpt.tmp12", "last.ckpt"),
            ("last.ckpt.PARTIAL", "last.ckpt"),
            ("last.ckpt~", "last.ckpt"),
            ("last.ckpt_tmp", "last.ckpt"),
            (".last.ckpt.aB3dE6", "last.ckpt"),
            (".last.ckpt.tmp", "last.ckpt"),
            ("tmp-last.ckpt", "last.ckpt"),
            (".tmp_last.ckpt", "last.ckpt"),
            (".#notes", "notes"),
            ("index.lock", "index"),
            ("last.ckpt.tmp-3f", "last.ckpt"),
            ("A.PART", "A"),
        ] {
            assert_eq!(stem(name), Some(expected), "{name}");
            assert!(is_temporary(name));
        }
        for name in [
            "last.ckpt",
            "notes",
            "archive.tar.gz",
            ".profile",
            "a.b",
            "tmp",
            ".tmp",
            "~",
            "model-7.bin",
            ".x.config",
            "news",
            "template.html",
            "notes.template",
            "archive.part1.rar",
            "temperature.csv",
            ".vimrc.config",
            ".tm",
            "data.2024-01-01",
            "tmpfs.conf",
            "model_new",
            "outside-temp",
            "events.out.tfevents.1700000000.host",
        ] {
            assert_eq!(stem(name), None, "{name}");
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn names_of_one_sort_differ_in_numbers_only() {
        assert_eq!(sort("step-100.ckpt"), sort("step-200.ckpt"));
        assert_ne!(sort("step-100.ckpt"), sort("stop-100.ckpt"));
        assert_eq!(sort("tmpab12_xyz"), sort("tmp00000000"));
        assert!(is_temporary("tmpab12_xyz") && is_temporary(".goutputstream-AB12CD"));
        assert!(is_random("8f3a9c1b") && !is_random("123456") && !is_random("backup"));
    }
}
