//! Programs that read while somebody else changes the drive. Entries may go under their hands. What they read is one version of a
//! file from the first byte to the last, or an error.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::AddAssign;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use crate::contents::whole;
use crate::dice::Dice;

/// What all readers look at.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    pub(crate) stop: AtomicBool,
    /// Grows when the mount is killed, and when it is there again: so it is odd in between.
    pub(crate) upheavals: AtomicU64,
    /// What a reader saw that it should not.
    pub(crate) wrong: Mutex<Option<String>>,
}

/// What readers did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) walks: u64,
    pub(crate) looks: u64,
    /// Contents that were whole.
    pub(crate) reads: u64,
    /// So many of them by a descriptor that was open for a while.
    pub(crate) slow: u64,
    /// Entries that were gone when they were looked at.
    pub(crate) gone: u64,
    /// Contents that the drive did not have any more when they were read.
    pub(crate) lost: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.walks += other.walks;
        self.looks += other.looks;
        self.reads += other.reads;
        self.slow += other.slow;
        self.gone += other.gone;
        self.lost += other.lost;
    }
}

/// A reader, of one kind or another.
pub(crate) struct Reader<'a> {
    drive: &'a Path,
    signs: &'a Signs,
    dice: Dice,
    /// The files that the last walk met.
    files: Vec<PathBuf>,
    tally: Tally,
}

/// Files that are open for a while at a time.
const OPEN: usize = 6;

/// How long, in milliseconds, at most: beyond the time in which news arrives.
const A_WHILE: u64 = 1500;

impl<'a> Reader<'a> {
    pub(crate) fn new(drive: &'a Path, signs: &'a Signs, dice: Dice) -> Self {
        Self { drive, signs, dice, files: Vec::new(), tally: Tally::default() }
    }

    /// Reads until the sign, or until something is wrong.
    pub(crate) fn run(mut self, kind: usize) -> Tally {
        while !self.signs.stop.load(SeqCst) {
            let before = self.signs.upheavals.load(SeqCst);
            if !before.is_multiple_of(2) {
                // There is no mount for a moment.
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let done = self.walk().and_then(|()| match kind % 3 {
                0 => Ok(()),
                1 => (0..40).try_for_each(|_| self.read_at_once()),
                _ => self.read_for_a_while(),
            });
            if let Err(wrong) = done {
                let after = self.signs.upheavals.load(SeqCst);
                if before == after || wrong.is_mixed {
                    self.signs.wrong.lock().get_or_insert(wrong.what);
                    break;
                }
            }
        }
        self.tally
    }

    fn walk(&mut self) -> Result<(), Wrong> {
        self.files.clear();
        let mut folders = vec![self.drive.to_owned()];
        while let Some(folder) = folders.pop() {
            let Some(entries) = self.unless_gone(fs::read_dir(&folder).and_then(Iterator::collect), &folder)? else {
                continue;
            };
            let entries: Vec<fs::DirEntry> = entries;
            for path in entries.into_iter().map(|entry| entry.path()) {
                let Some(metadata) = self.unless_gone(fs::symlink_metadata(&path), &path)? else { continue };
                self.tally.looks += 1;
                if metadata.is_dir() { folders.push(path) } else { self.files.push(path) }
            }
        }
        self.tally.walks += 1;
        Ok(())
    }

    fn open(&mut self) -> Result<Option<(File, PathBuf)>, Wrong> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let path = self.dice.pick(&self.files).clone();
        let file = self.unless_gone(File::open(&path), &path)?;
        Ok(file.map(|file| (file, path)))
    }

    fn read_at_once(&mut self) -> Result<(), Wrong> {
        let Some((mut file, path)) = self.open()? else { return Ok(()) };
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes).map(|_| bytes);
        let Some(bytes) = self.unless_lost(read, &path)? else { return Ok(()) };
        is_whole(&bytes, &path)?;
        self.tally.reads += 1;
        Ok(())
    }

    /// Reads the start of some files, and the rest later, through the same descriptors; then all of it again.
    fn read_for_a_while(&mut self) -> Result<(), Wrong> {
        let mut begun = Vec::new();
        for _ in 0..OPEN {
            let Some((mut file, path)) = self.open()? else { continue };
            let mut start = vec![0; self.dice.size(20_000)];
            let read = read_full(&mut file, &mut start);
            let Some(length) = self.unless_lost(read, &path)? else { continue };
            start.truncate(length);
            begun.push((file, path, start));
        }
        std::thread::sleep(Duration::from_millis(self.dice.below(A_WHILE)));
        for (mut file, path, mut bytes) in begun {
            let read = file.read_to_end(&mut bytes).map(|_| bytes);
            let Some(bytes) = self.unless_lost(read, &path)? else { continue };
            is_whole(&bytes, &path)?;
            let mut again = vec![0; bytes.len() + 1];
            let at = self.dice.size(bytes.len() as u64);
            let read = file.read_at(&mut again, at as u64);
            let Some(length) = self.unless_lost(read, &path)? else { continue };
            if bytes.get(at..at + length) != Some(&again[..length]) {
                let what = format!("{}: other bytes at {at} when read again by one descriptor", path.display());
                return Err(Wrong { what, is_mixed: true });
            }
            self.tally.reads += 1;
            self.tally.slow += 1;
        }
        Ok(())
    }

    /// Counts what is gone; anything else is wrong.
    fn unless_gone<T>(&mut self, result: io::Result<T>, path: &Path) -> Result<Option<T>, Wrong> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE)) => {
                self.tally.gone += 1;
                Ok(None)
            }
            Err(error) => Err(Wrong { what: format!("{}: {error}", path.display()), is_mixed: false }),
        }
    }

    /// Counts what the drive has no more: a version that nobody read to its end before it was replaced or removed. The name that was
    /// opened may also be that of a folder by now.
    fn unless_lost<T>(&mut self, result: io::Result<T>, path: &Path) -> Result<Option<T>, Wrong> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESTALE | libc::EIO | libc::ENOENT)) => {
                self.tally.lost += 1;
                Ok(None)
            }
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
                self.tally.gone += 1;
                Ok(None)
            }
            Err(error) => Err(Wrong { what: format!("{}: {error}", path.display()), is_mixed: false }),
        }
    }
}

/// What should not have been seen.
struct Wrong {
    what: String,
    /// Not even while the mount dies.
    is_mixed: bool,
}

fn is_whole(bytes: &[u8], path: &Path) -> Result<(), Wrong> {
    match whole(bytes) {
        Ok(_) => Ok(()),
        Err(what) => Err(Wrong { what: format!("{}: {what}", path.display()), is_mixed: true }),
    }
}

/// As many bytes as there are, up to the end of the buffer.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..])? {
            0 => return Ok(filled),
            count => filled += count,
        }
    }
}
