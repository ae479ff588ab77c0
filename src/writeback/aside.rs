//! Content that will not be sent, because nobody can say that it is whole: kept in the folder `unfinished/` of the cache.
//!
//! It is never removed by the mount: whoever lost the program that wrote it may be glad of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Result;
use crate::crash;
use crate::state::State;

/// Something that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The path below the mountpoint of what it was to become.
    pub path: String,
    /// Where it is kept.
    pub kept: PathBuf,
    /// Why it was not sent, as the end of a sentence that begins with the path.
    pub why: String,
}

/// Of what the database knows nothing of.
const UNKNOWN: &str = "was put aside by an earlier mount";

/// The folder. What is in it, and why, stands in the table `aside`; what was taken out of the folder does not count any more.
#[derive(Debug)]
pub(super) struct AsideFolder {
    dir: PathBuf,
    state: Arc<State>,
    new: Mutex<Vec<Aside>>,
}

impl AsideFolder {
    /// Makes the folder with the first thing that is put there.
    pub(super) fn new(dir: PathBuf, state: Arc<State>) -> Self {
        Self { dir, state, new: Mutex::default() }
    }

    /// What was put aside since the start.
    pub(super) fn new_ones(&self) -> Vec<Aside> {
        self.new.lock().clone()
    }

    /// All that is there, by the names of the files.
    pub(super) fn list(&self) -> Result<Vec<Aside>> {
        let files = match fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut known: HashMap<String, (String, String)> = self.state.read(|db| {
            db.prepare_cached("SELECT file, path, why FROM aside")?
                .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
                .collect()
        })?;
        let mut list = Vec::new();
        for file in files {
            let name = file?.file_name().to_string_lossy().into_owned();
            let plain = || name.splitn(3, '-').last().unwrap_or_default().to_owned();
            let (path, why) = known.remove(&name).unwrap_or_else(|| (plain(), UNKNOWN.to_owned()));
            list.push(Aside { path, kept: self.dir.join(&name), why });
        }
        list.sort_by(|one, other| one.kept.cmp(&other.kept));
        if !known.is_empty() {
            self.state.write::<_, rusqlite::Error>(|tx| {
                let mut forget = tx.prepare_cached("DELETE FROM aside WHERE file = ?1")?;
                known.keys().try_for_each(|gone| forget.execute([gone]).map(|_| ()))
            })?;
        }
        Ok(list)
    }

    /// Moves a file of the same file system here.
    pub(super) fn take(&self, path: String, from: &Path, why: &'static str) -> Result<()> {
        let unique = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = self.place(&path, &unique)?;
        crash::point("not-yet-aside");
        fs::rename(from, &kept)?;
        self.note(path, kept, why)
    }

    /// Keeps those pieces that there are; the rest of `size` bytes are holes. `unique` tells it from others of its name.
    pub(super) fn assemble(
        &self,
        path: String,
        unique: &str,
        size: u64,
        pieces: impl Iterator<Item = io::Result<(u64, Vec<u8>)>>,
        why: &'static str,
    ) -> Result<()> {
        let kept = self.place(&path, unique)?;
        let file = File::create(&kept)?;
        file.set_len(size)?;
        for piece in pieces {
            let (offset, bytes) = piece?;
            file.write_all_at(&bytes, offset)?;
        }
        file.sync_all()?;
        self.note(path, kept, why)
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

    fn note(&self, path: String, kept: PathBuf, why: &'static str) -> Result<()> {
        tracing::warn!(path, kept = %kept.display(), "{why}");
        let file = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.state.write::<_, rusqlite::Error>(|tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO aside (file, path, why) VALUES (?1, ?2, ?3)")?
                .execute([&file, &path, why])
        })?;
        self.new.lock().push(Aside { path, kept, why: why.to_owned() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_kept_at_its_place() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = || Arc::new(State::open(&dir.path().join("state.db")).expect("opens"));
        let open = || AsideFolder::new(dir.path().join("unfinished"), state());
        let aside = open();
        let pieces = [Ok((0, b"ab".to_vec())), Ok((6, b"c".to_vec()))];
        aside.assemble("folder/log.txt".to_owned(), "7-1", 8, pieces.into_iter(), "lost its base").expect("kept");
        let long = "ü".repeat(127);
        aside.assemble(long.clone(), "7-2", 0, std::iter::empty(), "lost its base").expect("kept");
        let list = aside.list().expect("lists");
        assert_eq!(list, aside.new_ones());
        assert_eq!(fs::read(&list[0].kept).expect("reads"), b"ab\0\0\0\0c\0");
        assert_eq!(list[0].kept.file_name().and_then(|name| name.to_str()), Some("7-1-log.txt"));
        assert_eq!((list[1].path.as_str(), list.len()), (long.as_str(), 2));
        // The next mount knows of it, until it is taken away; and of what stands there and is in no table.
        let later = open();
        assert_eq!(later.list().expect("lists"), list);
        fs::remove_file(&list[1].kept).expect("removes");
        fs::write(dir.path().join("unfinished/9-3-a-b.txt"), b"x").expect("writes");
        let left = later.list().expect("lists");
        assert_eq!(left[0], list[0]);
        assert_eq!((left[1].path.as_str(), left[1].why.as_str(), left.len()), ("a-b.txt", UNKNOWN, 2));
    }
}
