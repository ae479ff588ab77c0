//! What the programs read: made once, the same every time, and kept.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::machine::{bytes, sh};

/// A repository with so many files in its only commit.
pub(crate) fn repository(inputs: &Path, files: usize) -> PathBuf {
    let at = inputs.join(format!("repository-{files}"));
    if !at.exists() {
        let new = inputs.join("new");
        let _rest = fs::remove_dir_all(&new);
        fill(&new, files, Vec::new());
        sh(&format!(
            "cd {}; git init -q -b main .; git add .; \
             GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' \
             git -c user.name=bench -c user.email=bench@localhost -c gc.auto=0 commit -q -m 'All of it'",
            new.display()
        ));
        fs::rename(new, &at).expect("renames");
    }
    at
}

/// An archive of so many files, with links among them.
pub(crate) fn archive(inputs: &Path, files: usize) -> PathBuf {
    let at = inputs.join(format!("archive-{files}.tar"));
    if !at.exists() {
        let new = inputs.join("new");
        let _rest = fs::remove_dir_all(&new);
        let links = (0..files / 200).map(|number| (format!("link {number}"), format!("{:02}", number % 20))).collect();
        fill(&new, files, links);
        sh(&format!("tar cf {0}.new -C {1} . && mv {0}.new {0}", at.display(), new.display()));
        fs::remove_dir_all(new).expect("removes");
    }
    at
}

/// Small files in nested folders; every twentieth is a program. Sizes as in source trees: most of some kilobytes.
fn fill(at: &Path, files: usize, links: Vec<(String, String)>) {
    for number in 0..files {
        let folder = at.join(format!("{:02}/{:03}", number % 20, number / 20 % 25));
        fs::create_dir_all(&folder).expect("makes");
        let (seed, size) = (number as u64 + 1, [200, 900, 2_000, 4_000, 9_000, 700, 30_000][number % 7]);
        let path = folder.join(format!("file {number}.txt"));
        fs::write(&path, bytes(seed, size)).expect("writes");
        let mode = if number % 20 == 7 { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    for (name, target) in links {
        symlink(target, at.join(name)).expect("links");
    }
}

/// A file of so many bytes.
pub(crate) fn file(inputs: &Path, size: usize) -> PathBuf {
    let at = inputs.join(format!("file-{size}"));
    if !at.exists() {
        let new = inputs.join("new-file");
        fs::write(&new, bytes(7, size)).expect("writes");
        fs::rename(new, &at).expect("renames");
    }
    at
}
