//! What a folder holds, to be compared with another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::machine::read;

/// All below a folder, by the way there.
pub(crate) struct Tree {
    folder: PathBuf,
    /// What its paths begin with when a program writes them down.
    place: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(PartialEq, Debug)]
struct Entry {
    /// What kind of entry it is, and who may do what.
    mode: u32,
    owner: (u32, u32),
    /// Of a file, and the text of a link.
    size: u64,
    content: Option<String>,
    /// To the millisecond, as a drive keeps it. Of a folder `None`: that something came or went is not told to the drive.
    changed: Option<i64>,
}

/// What is below `folder` in a place.
pub(crate) fn of(folder: &Path, place: &Path) -> Tree {
    let mut entries = BTreeMap::new();
    walk(folder, folder, &mut entries);
    Tree { folder: folder.to_owned(), place: place.to_owned(), entries }
}

fn walk(top: &Path, folder: &Path, entries: &mut BTreeMap<String, Entry>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("entry").path();
        let metadata = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let content = content(&path, &metadata);
        let entry = Entry {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            size: content.as_ref().map_or(0, |_| metadata.len()),
            content: content.as_deref().map(|content| format!("{:x?}", Sha256::digest(content))),
            changed: (!metadata.is_dir()).then(|| metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000),
        };
        if metadata.is_dir() {
            walk(top, &path, entries);
        }
        entries.insert(path.strip_prefix(top).expect("below").to_string_lossy().into_owned(), entry);
    }
}

fn content(path: &Path, metadata: &fs::Metadata) -> Option<Vec<u8>> {
    if metadata.is_symlink() {
        return Some(fs::read_link(path).expect("reads a link").as_os_str().as_bytes().to_vec());
    }
    metadata.is_file().then(|| read(path))
}

impl Tree {
    /// Where it differs in any way, if it does.
    pub(crate) fn is(&self, other: &Tree) -> Option<String> {
        self.differs(other, &[], |_, mine, theirs| mine == theirs)
    }

    /// Where the tree of another place differs, if it does, but for what differs in any case: contents of the names in `varies`, and
    /// everything below those that end with `/*`.
    pub(crate) fn looks_like(&self, other: &Tree, varies: &[&str], times: bool) -> Option<String> {
        self.differs(other, varies, |name, mine, theirs| {
            let varies = || varies.iter().any(|pattern| matches(pattern, name));
            let same = || {
                mine.size == theirs.size
                    && (mine.content == theirs.content || self.placeless(name) == other.placeless(name))
            };
            (mine.mode, mine.owner) == (theirs.mode, theirs.owner)
                && (!times || mine.changed == theirs.changed)
                && (varies() || same())
        })
    }

    /// A content without the path of its place.
    fn placeless(&self, name: &str) -> Vec<u8> {
        let path = self.folder.join(name);
        let mut bytes = content(&path, &fs::symlink_metadata(&path).expect("is there")).expect("has content");
        let place = self.place.as_os_str().as_bytes();
        let found: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(place)).collect();
        for at in found {
            bytes[at..][..place.len()].fill(b'@');
        }
        bytes
    }

    fn differs(&self, other: &Tree, varies: &[&str], same: impl Fn(&str, &Entry, &Entry) -> bool) -> Option<String> {
        let new = other.entries.keys().filter(|name| !self.entries.contains_key(*name));
        let differences: Vec<String> = (self.entries.keys().chain(new))
            .filter_map(|name| {
                let (mine, theirs) = (self.entries.get(name), other.entries.get(name));
                let both = mine.zip(theirs);
                let differ = both.is_none_or(|(mine, theirs)| !same(name, mine, theirs))
                    && !(varies.iter().any(|pattern| pattern.ends_with("/*") && matches(pattern, name)));
                differ.then(|| {
                    format!(
                        "{name}: {theirs:?} in {}, and not {mine:?} as in {}",
                        other.folder.display(),
                        self.folder.display()
                    )
                })
            })
            .collect();
        let first: Vec<&str> = differences.iter().map(String::as_str).take(10).collect();
        let said = || format!("{} of {} entries differ:\n{}", differences.len(), self.entries.len(), first.join("\n"));
        (!differences.is_empty()).then(said)
    }
}

/// Whether a name is of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).filter(|&at| name.is_char_boundary(at)).any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[test]
fn a_pattern_stands_for_names() {
    assert!(matches("*.git/index", "clone/.git/index") && matches("*", "") && matches("a*c*e", "abcde"));
    assert!(!matches("*.git/index", "index") && !matches("a*c", "abcd"));
}
