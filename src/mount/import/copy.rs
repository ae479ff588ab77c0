//! Copying one entry into the mount, under a name that is free or that has the same content already.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys;

/// What a copy is called until it is whole. One a folder will do: they are made one after the other.
const UNFINISHED: &str = ".drivemount-importing";

/// Names that are tried beside the own one.
const NAMES: usize = 100;

/// The longest name, in bytes.
const NAME_MAX: usize = 255;

/// An entry of the folder that is mounted over.
#[derive(Debug)]
pub(super) struct Below {
    /// Its path in that folder.
    pub(super) path: PathBuf,
    pub(super) sort: Sort,
    pub(super) stamp: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sort {
    Folder,
    File,
    Link,
    Mount,
    Pipe,
    Device,
}

impl Sort {
    /// Why it cannot be on a drive, if it cannot.
    pub(super) const fn is_for_no_drive(self) -> Option<&'static str> {
        match self {
            Self::Folder | Self::File | Self::Link => None,
            Self::Mount => Some("something is mounted there"),
            Self::Pipe => Some("pipes and sockets cannot be on a drive"),
            Self::Device => Some("devices cannot be on a drive"),
        }
    }
}

/// By which it is known that an entry is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    mtime: (i64, i64),
    ino: u64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::symlink_metadata(path)?))
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), mtime: (metadata.mtime(), metadata.mtime_nsec()), ino: metadata.ino() }
    }
}

/// All entries in a folder, each after the folder that it is in. What is mounted in it is not entered.
pub(super) fn walk(root: &Path) -> io::Result<Vec<Below>> {
    let device = fs::metadata(root)?.dev();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut names: Vec<OsString> =
            fs::read_dir(root.join(&folder))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = folder.join(name);
            let metadata = fs::symlink_metadata(root.join(&path))?;
            let kind = metadata.file_type();
            let sort = if metadata.dev() != device {
                Sort::Mount
            } else if kind.is_dir() {
                folders.push(path.clone());
                Sort::Folder
            } else if kind.is_symlink() {
                Sort::Link
            } else if kind.is_file() {
                Sort::File
            } else if kind.is_fifo() || kind.is_socket() {
                Sort::Pipe
            } else {
                Sort::Device
            };
            found.push(Below { path, sort, stamp: Stamp::from(&metadata) });
        }
    }
    Ok(found)
}

/// Makes a folder in `into` like `from`, or takes the one that is there. Says its name and number.
pub(super) fn folder(from: &Path, into: &Path) -> io::Result<(OsString, u64)> {
    let there = |path: &Path| Ok(fs::symlink_metadata(path)?.is_dir());
    let make = |path: &Path| {
        fs::create_dir(path)?;
        like(&fs::symlink_metadata(from)?, path)
    };
    place(from, into, there, make)
}

/// Copies a link.
pub(super) fn link(from: &Path, into: &Path) -> io::Result<(OsString, u64)> {
    let target = fs::read_link(from)?;
    let there = |path: &Path| Ok(fs::symlink_metadata(path)?.is_symlink() && fs::read_link(path)? == target);
    place(from, into, there, |path| std::os::unix::fs::symlink(&target, path))
}

/// Copies a file.
pub(super) fn file(from: &Path, into: &Path) -> io::Result<(OsString, u64)> {
    let there = |path: &Path| {
        let metadata = fs::symlink_metadata(path)?;
        Ok(metadata.is_file() && metadata.len() == fs::symlink_metadata(from)?.len() && same(from, path)?)
    };
    let make = |path: &Path| {
        let unfinished = path.with_file_name(UNFINISHED);
        let mut source = File::open(from)?;
        let metadata = source.metadata()?;
        let mut copy = File::create(&unfinished)?;
        io::copy(&mut source, &mut copy)?;
        like(&metadata, &unfinished)?;
        copy.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        drop(copy);
        sys::rename_new(&unfinished, path)
    };
    place(from, into, there, make)
}

/// Owner and permission bits of the original. An owner that may not be set stays who copies.
fn like(metadata: &Metadata, path: &Path) -> io::Result<()> {
    let now = fs::symlink_metadata(path)?;
    if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
        let _not_allowed = std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()));
    }
    fs::set_permissions(path, metadata.permissions())
}

/// Finds a name in `into` that is free, and makes the entry there; or one that has it already.
fn place(
    from: &Path,
    into: &Path,
    there: impl Fn(&Path) -> io::Result<bool>,
    make: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<(OsString, u64)> {
    let own = from.file_name().unwrap_or_default();
    for number in 0..NAMES {
        let name = name(own, number);
        let path = into.join(&name);
        let done = match make_if_free(&path, &make) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => there(&path)?,
            result => result.map(|()| true)?,
        };
        if done {
            let ino = fs::symlink_metadata(&path)?.ino();
            return Ok((name, ino));
        }
    }
    Err(io::Error::other("the drive has too many others of this name"))
}

/// Looks first, so that nothing is copied for a name that is taken.
fn make_if_free(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

/// The name itself, `NAME (imported).txt`, `NAME (imported 2).txt`, and so on.
fn name(own: &OsStr, number: usize) -> OsString {
    let mark = match number {
        0 => return own.to_owned(),
        1 => " (imported)".to_owned(),
        _ => format!(" (imported {number})"),
    };
    let Some(text) = own.to_str() else { return own.to_owned() };
    let (stem, extension) = match text.rfind('.') {
        Some(dot) if dot > 0 && text.len() - dot <= 16 => text.split_at(dot),
        _ => (text, ""),
    };
    let room = NAME_MAX - mark.len() - extension.len();
    let end = (0..=stem.len().min(room)).rev().find(|&end| stem.is_char_boundary(end)).unwrap_or(0);
    format!("{}{mark}{extension}", &stem[..end]).into()
}

/// Whether two files of the same length have the same content.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(other.read(&mut right[..1])? == 0);
        }
        match other.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_with_another_content_keeps_its_name_and_the_same_is_not_copied_twice() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (from, into) = (dir.path().join("from"), dir.path().join("into"));
        fs::create_dir(&from).expect("makes");
        fs::create_dir(&into).expect("makes");
        let original = from.join("a.txt");
        fs::write(&original, b"ours").expect("writes");
        fs::write(into.join("a.txt"), b"theirs").expect("writes");
        for _ in 0..2 {
            assert_eq!(file(&original, &into).expect("copies").0, "a (imported).txt");
        }
        assert_eq!(fs::read(into.join("a.txt")).expect("reads"), b"theirs");
        assert_eq!(fs::read_dir(&into).expect("lists").count(), 2);
        fs::write(&original, b"ours2").expect("writes");
        assert_eq!(file(&original, &into).expect("copies").0, "a (imported 2).txt");
    }

    #[test]
    fn a_name_beside_a_long_one_stays_legal() {
        let long = OsString::from("ü".repeat(125) + ".tar");
        let beside = name(&long, 12);
        assert!(beside.len() <= NAME_MAX, "{}", beside.len());
        assert!(beside.to_str().expect("UTF-8").ends_with(" (imported 12).tar"));
        assert_eq!(name(OsStr::new(".hidden"), 1), ".hidden (imported)");
    }
}
