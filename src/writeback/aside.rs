//! Content that will not be sent, because nobody can say that it is whole: kept in the folder `unfinished/` of the cache.
//!
//! It is never removed by the mount: whoever lost the program that wrote it may be glad of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::crash;

/// Something that was put aside.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The path below the mountpoint of what it was to become.
    pub path: String,
    /// Where it is kept.
    pub kept: PathBuf,
    /// Why it was not sent, as the end of a sentence that begins with the path.
    pub why: &'static str,
}

/// What was put aside since the start, and where.
#[derive(Debug)]
pub(super) struct AsideFolder {
    dir: PathBuf,
    list: Mutex<Vec<Aside>>,
}

impl AsideFolder {
    /// Makes the folder with the first thing that is put there.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, list: Mutex::default() }
    }

    /// What was put aside since the start.
    pub(super) fn list(&self) -> Vec<Aside> {
        self.list.lock().clone()
    }

    /// Moves a file of the same file system here.
    pub(super) fn take(&self, path: String, from: &Path, why: &'static str) -> io::Result<()> {
        let unique = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = self.place(&path, &unique)?;
        crash::point("not-yet-aside");
        fs::rename(from, &kept)?;
        self.note(path, kept, why);
        Ok(())
    }

    /// Keeps those pieces that there are; the rest of `size` bytes are holes. `unique` tells it from others of its name.
    pub(super) fn assemble(
        &self,
        path: String,
        unique: &str,
        size: u64,
        pieces: impl Iterator<Item = io::Result<(u64, Vec<u8>)>>,
        why: &'static str,
    ) -> io::Result<()> {
        let kept = self.place(&path, unique)?;
        let file = File::create(&kept)?;
        file.set_len(size)?;
        for piece in pieces {
            let (offset, bytes) = piece?;
            file.write_all_at(&bytes, offset)?;
        }
        file.sync_all()?;
        self.note(path, kept, why);
        Ok(())
    }

    fn place(&self, path: &str, unique: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.dir)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let room = 255 - unique.len() - 1;
        let mut end = name.len().min(room);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Ok(self.dir.join(format!("{unique}-{}", &name[..end])))
    }

    fn note(&self, path: String, kept: PathBuf, why: &'static str) {
        tracing::warn!(path, kept = %kept.display(), "{why}");
        self.list.lock().push(Aside { path, kept, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_kept_at_its_place() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let aside = AsideFolder::new(dir.path().join("unfinished"));
        let pieces = [Ok((0, b"ab".to_vec())), Ok((6, b"c".to_vec()))];
        aside.assemble("folder/log.txt".to_owned(), "7-1", 8, pieces.into_iter(), "lost its base").expect("kept");
        let long = "ü".repeat(127);
        aside.assemble(long.clone(), "7-2", 0, std::iter::empty(), "lost its base").expect("kept");
        let list = aside.list();
        assert_eq!(fs::read(&list[0].kept).expect("reads"), b"ab\0\0\0\0c\0");
        assert_eq!(list[0].kept.file_name().and_then(|name| name.to_str()), Some("7-1-log.txt"));
        assert_eq!((list[1].path.as_str(), list.len()), (long.as_str(), 2));
    }
}
