//! Reading files of a mount ahead of time, so that their content is on this machine when somebody needs it.
//!
//! It reads as any program does, through the mount, with several threads at a time and one small buffer each. Nothing is kept of
//! what was read: the cache of the mount has it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Bytes of the buffer of each thread: what the kernel reads ahead at once.
const BUFFER: usize = 1 << 20;

/// Endings of the names of documents of online editors, and of shortcuts, which have no content of their own.
const DOCUMENTS: [&str; 7] = ["gdoc", "gsheet", "gslides", "gdraw", "gform", "gshortcut", "glink"];

/// The mode of documents: who gives such a name to a file of his own can write it.
const WRITABLE: u32 = 0o222;

/// A file to read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, in no order.
    pub files: Vec<Wanted>,
    /// Their bytes.
    pub bytes: u64,
    /// Documents, which need no content.
    pub documents: usize,
    /// What could not be looked at.
    pub failed: Vec<Failed>,
}

/// Something that could not be read.
#[derive(Debug)]
pub struct Failed {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub why: io::Error,
}

/// How far it is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files that were read to their ends.
    pub files: AtomicUsize,
    /// Bytes that were read.
    pub bytes: AtomicU64,
}

/// Finds all files that are `paths` or lie below them, with up to `jobs` folders listed at one time. Links are followed if they are
/// given, and not if they are met.
pub fn find(paths: &[PathBuf], jobs: usize) -> Found {
    let paths = paths.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
    let work = Work { state: Mutex::new((paths, 0)), more: Condvar::new() };
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(path) = work.take() {
                    let below = look(&path, &found).unwrap_or_else(|why| {
                        found.lock().failed.push(Failed { path, why });
                        Vec::new()
                    });
                    work.done(below);
                }
            });
        }
    });
    let mut found = found.into_inner();
    found.bytes = found.files.iter().map(|file| file.size).sum();
    found
}

/// Reads files to their ends, `jobs` at one time; says what could not be read.
pub fn read(files: &[Wanted], jobs: usize, progress: &Progress) -> Vec<Failed> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, files.len().max(1)) {
            scope.spawn(|| {
                let mut buffer = vec![0; BUFFER];
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match read_one(&file.path, &mut buffer, progress) {
                        Ok(()) => drop(progress.files.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => failed.lock().push(Failed { path: file.path.clone(), why }),
                    }
                }
            });
        }
    });
    failed.into_inner()
}

/// Folders that are to be looked at, and how many are being looked at.
struct Work {
    state: Mutex<(Vec<PathBuf>, usize)>,
    more: Condvar,
}

impl Work {
    /// The next place; `None` when there will be no more.
    fn take(&self) -> Option<PathBuf> {
        let mut state = self.state.lock();
        loop {
            if let Some(path) = state.0.pop() {
                state.1 += 1;
                return Some(path);
            }
            if state.1 == 0 {
                return None;
            }
            self.more.wait(&mut state);
        }
    }

    /// One was looked at, and these were in it.
    fn done(&self, below: Vec<PathBuf>) {
        let mut state = self.state.lock();
        state.0.extend(below);
        state.1 -= 1;
        self.more.notify_all();
    }
}

/// Looks at a place; says what folders are in it.
fn look(path: &Path, found: &Mutex<Found>) -> io::Result<Vec<PathBuf>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        note(path, &metadata, found);
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => note(&entry.path(), &metadata, found),
            Err(why) => found.lock().failed.push(Failed { path: entry.path(), why }),
        }
    }
    Ok(folders)
}

fn note(path: &Path, metadata: &fs::Metadata, found: &Mutex<Found>) {
    if !metadata.is_file() {
        return;
    }
    if is_document(path, metadata) {
        found.lock().documents += 1;
    } else {
        found.lock().files.push(Wanted { path: path.to_owned(), size: metadata.len() });
    }
}

fn is_document(path: &Path, metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let extension = path.extension().and_then(|extension| extension.to_str());
    metadata.permissions().mode() & WRITABLE == 0 && extension.is_some_and(|extension| DOCUMENTS.contains(&extension))
}

fn read_one(path: &Path, buffer: &mut [u8], progress: &Progress) -> io::Result<()> {
    let mut file = File::open(path)?;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => drop(progress.bytes.fetch_add(read as u64, Ordering::Relaxed)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_at_any_depth_and_read_to_their_ends() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("a/b/c")).expect("makes");
        for (path, size) in [("a/one", 10), ("a/b/two", 3_000_000), ("a/b/c/three", 0), ("other", 7)] {
            fs::write(at(path), vec![1; size]).expect("writes");
        }
        std::os::unix::fs::symlink("/", at("a/link")).expect("links");
        std::os::unix::fs::symlink("a", at("way")).expect("links");
        fs::write(at("a/notes.gdoc"), b"mine: I can write it").expect("writes");
        let found = find(&[at("way"), at("other"), at("none")], 4);
        assert_eq!((found.files.len(), found.bytes, found.documents), (5, 3_000_037, 0));
        assert_eq!(found.failed.len(), 1);
        let mut files = found.files;
        files.push(Wanted { path: at("vanished"), size: 5 });
        let progress = Progress::default();
        let failed = read(&files, 3, &progress);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].path, at("vanished"));
        assert_eq!((progress.files.into_inner(), progress.bytes.into_inner()), (5, 3_000_037));
    }

    #[test]
    fn no_files_are_read_at_once() {
        assert!(find(&[], 8).files.is_empty());
        assert!(read(&[], 8, &Progress::default()).is_empty());
    }
}
