//! What a folder holds, to be compared with what another, or the drive, has.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use md5::{Digest, Md5};

use crate::cloud::Cloud;

/// Entries by path.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    Link(String),
    File { size: u64, executable: bool, md5: Option<String> },
}

/// How much of the files is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Names, kinds, sizes, exec bits.
    Attributes,
    /// Contents, too.
    Contents,
}

/// What lies below a folder.
pub(crate) fn read(folder: &Path, depth: Depth) -> Tree {
    let mut tree = Tree::new();
    walk(folder, folder, depth, &mut tree);
    tree
}

fn walk(top: &Path, folder: &Path, depth: Depth, tree: &mut Tree) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("entry").path();
        let metadata = fs::symlink_metadata(&path).expect("stat");
        let name = path.strip_prefix(top).expect("is below").to_string_lossy().into_owned();
        let entry = if metadata.is_dir() {
            walk(top, &path, depth, tree);
            Entry::Folder
        } else if metadata.is_symlink() {
            Entry::Link(fs::read_link(&path).expect("target").to_string_lossy().into_owned())
        } else {
            let md5 = (depth == Depth::Contents).then(|| md5_of(&fs::read(&path).expect("reads")));
            Entry::File { size: metadata.len(), executable: metadata.permissions().mode() & 0o111 != 0, md5 }
        };
        tree.insert(name, entry);
    }
}

pub(crate) fn md5_of(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _always = write!(text, "{byte:02x}");
        text
    })
}

/// How two trees differ, entries with contents that nobody can foretell aside.
pub(crate) fn differences(expected: &Tree, found: &Tree, depth: Depth) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, entry) in expected {
        match found.get(path) {
            None => differences.push(format!("{path}: missing")),
            Some(other) if !is_same(entry, other, depth) => {
                differences.push(format!("{path}: {other:?}, not {entry:?}"));
            }
            Some(_) => {}
        }
    }
    differences
        .extend(found.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("{path}: too many")));
    differences
}

fn is_same(one: &Entry, two: &Entry, depth: Depth) -> bool {
    match (one, two) {
        (
            Entry::File { size, executable, md5 },
            Entry::File { size: other_size, executable: other_executable, md5: other_md5 },
        ) => {
            let executable = executable == other_executable;
            if depth == Depth::Contents { executable && size == other_size && md5 == other_md5 } else { executable }
        }
        _ => one == two,
    }
}

/// How what is on a drive differs from a tree, by names, kinds and contents.
pub(crate) fn differences_on(cloud: &Cloud, expected: &Tree) -> Vec<String> {
    let items = cloud.all();
    let root = cloud.root();
    let of = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let by_id: HashMap<String, (String, String)> = items
        .iter()
        .map(|item| (of(item, "id"), (of(item, "name"), item["parents"][0].as_str().unwrap_or_default().to_owned())))
        .collect();
    let path = |id: &str| {
        let (mut names, mut at) = (Vec::new(), id.to_owned());
        while at != root {
            let Some((name, parent)) = by_id.get(&at) else { break };
            names.push(name.clone());
            at.clone_from(parent);
        }
        names.reverse();
        names.join("/")
    };
    let mut differences = Vec::new();
    let mut found: HashMap<String, &serde_json::Value> = HashMap::new();
    for item in &items {
        if let Some(twin) = found.insert(path(&of(item, "id")), item) {
            differences.push(format!("{}: there twice", path(&of(twin, "id"))));
        }
    }
    for (path, entry) in expected {
        let Some(item) = found.remove(path) else {
            differences.push(format!("{path}: not on the drive"));
            continue;
        };
        let is_folder = of(item, "mimeType") == "application/vnd.google-apps.folder";
        let is_right = match entry {
            Entry::Folder => is_folder,
            Entry::Link(_) => !is_folder,
            Entry::File { md5, .. } => md5.as_ref().is_none_or(|md5| of(item, "md5Checksum") == *md5),
        };
        if !is_right {
            differences.push(format!("{path}: {item}, not {entry:?}"));
        }
    }
    differences.extend(found.into_keys().map(|path| format!("{path}: on the drive alone")));
    differences
}
