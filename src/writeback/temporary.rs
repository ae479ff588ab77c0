//! Names that say of a file that it will be renamed in a moment, over the file that is saved.
//!
//! Only a guess: a file that is taken for a temporary one is sent a few seconds later than it could be, and that is all.

use rusqlite::Connection;

use super::queue::Change;
use crate::tree::{Node, NodeKind, nodes};

/// What such names end with, after the name of the file that is saved.
const ENDS: [&str; 12] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".incomplete",
    ".lock",
    ".new",
    ".swp",
    "~",
    ".saving",
];

/// What they begin with.
const BEGINNINGS: [&str; 7] = ["tmp-", "tmp_", "tmp.", "temp-", "temp_", ".tmp", ".goutputstream-"];

/// The letters that Python's `tempfile` puts after `tmp`.
const PYTHON: usize = 8;

/// Whether a name alone says so.
pub(super) fn likely_temporary(name: &str) -> bool {
    let lower = name.to_lowercase();
    let named = ENDS.iter().any(|end| lower.len() > end.len() && lower.ends_with(end))
        || BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
    // `last.ckpt.tmp.1234`, `last.ckpt.tmpAb3d`
    let within = lower.split('.').skip(1).any(|part| part.strip_prefix("tmp").is_some_and(|rest| rest.len() <= 12));
    let python =
        lower.strip_prefix("tmp").is_some_and(|rest| rest.chars().count() == PYTHON && rest.chars().all(is_letter));
    named || within || python || is_rsync(name)
}

/// `.NAME.Ab3dEf`
fn is_rsync(name: &str) -> bool {
    let end = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    end.is_some_and(|(name, end)| !name.is_empty() && end.len() == 6 && is_random(end))
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Letters that no word and no number has: of more kinds than one.
fn is_random(text: &str) -> bool {
    let has = |is: fn(&char) -> bool| usize::from(text.chars().any(|c| is(&c)));
    let kinds = has(char::is_ascii_lowercase) + has(char::is_ascii_uppercase) + has(char::is_ascii_digit);
    text.len() >= 6 && text.chars().all(|c| c.is_ascii_alphanumeric()) && kinds >= 2
}

/// Whether a file is beside one of its name without something at random at the end: `last.ckpt.8f3a9c1b`.
fn has_sibling(db: &Connection, node: &Node) -> rusqlite::Result<bool> {
    let Some((name, end)) = node.name.rsplit_once(['.', '-', '_']) else { return Ok(false) };
    Ok(is_random(end) && nodes::by_name(db, node.parent, name)?.is_some_and(|sibling| sibling.kind == NodeKind::File))
}

/// What a change of an entry means for when it is sent.
pub(super) fn change_of(db: &Connection, node: &Node) -> rusqlite::Result<Change> {
    let temporary = node.kind == NodeKind::File && (likely_temporary(&node.name) || has_sibling(db, node)?);
    Ok(if temporary { Change::Temporary } else { Change::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_temporary_files_are_known_by_what_programs_add() {
        for name in [
            "last.ckpt.tmp",
            "last.ckpt~",
            "model.safetensors.incomplete",
            ".last.ckpt.Xy12Ab",
            "tmpab12cd34",
            "index.lock",
            "last.ckpt.tmp.1234",
            "last.ckpt.tmp-3f",
            "last.tmpAb3d.ckpt",
            ".tmp-last.ckpt",
            "tmp_last.ckpt",
            "A.PART",
            ".goutputstream-AB12CD",
        ] {
            assert!(likely_temporary(name), "{name}");
        }
        for name in [
            "last.ckpt",
            "template.html",
            "notes.template",
            "archive.part1.rar",
            "temperature.csv",
            ".gitignore",
            ".vimrc.config",
            "~",
            ".tm",
            "data.2024-01-01",
            "tmpfs.conf",
            "events.out.tfevents.1700000000.host",
        ] {
            assert!(!likely_temporary(name), "{name}");
        }
        assert!(is_random("8f3a9c1b") && !is_random("123456") && !is_random("backup") && !is_random("v2"));
    }
}
