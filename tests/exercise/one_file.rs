//! One open file, and what it must hold.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::dice::Dice;

/// A file and its model in memory.
pub(crate) struct OneFile {
    path: PathBuf,
    file: File,
    pub(crate) model: Vec<u8>,
    /// No longer than that.
    most: usize,
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("opens")
}

impl OneFile {
    pub(crate) fn new(path: PathBuf, most: usize) -> Self {
        Self { file: open(&path), path, model: Vec::new(), most }
    }

    /// Closes it, does something, and opens it again.
    pub(crate) fn closed(&mut self, meanwhile: impl FnOnce()) {
        // Something else is open in its place meanwhile.
        self.file = File::open("/dev/null").expect("opens");
        meanwhile();
        self.file = open(&self.path);
    }

    /// Compares all of it, by reading or through a map.
    pub(crate) fn check(&mut self, by_map: bool) {
        let length = self.file.metadata().expect("stat").len();
        assert_eq!(length, self.model.len() as u64, "its length");
        let all = 0..self.model.len();
        self.compare(all, by_map);
    }

    fn compare(&self, range: std::ops::Range<usize>, by_map: bool) {
        if range.is_empty() {
            return;
        }
        let mut seen = vec![0; range.len()];
        if by_map {
            Map::of(&self.file, range.end).read(range.start, &mut seen);
        } else {
            self.file.read_exact_at(&mut seen, range.start as u64).expect("reads");
        }
        let expected = &self.model[range.clone()];
        if let Some(at) = seen.iter().zip(expected).position(|(seen, expected)| seen != expected) {
            let wrong = seen.iter().zip(expected).filter(|(seen, expected)| seen != expected).count();
            panic!(
                "in {range:?} (by map: {by_map}) the byte {} is {} and not {}; {wrong} are wrong",
                range.start + at,
                seen[at],
                expected[at]
            );
        }
    }

    /// A part of what there is.
    fn part(&self, dice: &mut Dice) -> std::ops::Range<usize> {
        let start = dice.size(self.model.len() as u64 + 1);
        let length = dice.size((self.most / 8) as u64);
        start..(start + length).min(self.model.len())
    }

    /// A part of what there can be.
    fn place(&self, dice: &mut Dice) -> std::ops::Range<usize> {
        let start = dice.size(self.most as u64);
        let length = 1 + dice.size((self.most / 8) as u64);
        start..(start + length).min(self.most)
    }

    fn lengthen(&mut self, length: usize) {
        self.model.resize(self.model.len().max(length), 0);
    }

    /// Does something to it, by chance; says what.
    pub(crate) fn step(&mut self, dice: &mut Dice) -> String {
        match dice.below(16) {
            0..=2 => {
                let place = self.place(dice);
                let bytes = dice.content(place.len());
                self.lengthen(place.end);
                self.model[place.clone()].copy_from_slice(&bytes);
                self.file.write_all_at(&bytes, place.start as u64).expect("writes");
                format!("write {place:?}")
            }
            3 => {
                let mut bytes = dice.content(dice_length(self.most));
                bytes.truncate(self.most - self.model.len());
                let flags = if dice.below(2) == 0 { 0 } else { libc::O_DSYNC };
                let mut other = OpenOptions::new().append(true).custom_flags(flags).open(&self.path).expect("opens");
                other.write_all(&bytes).expect("appends");
                self.model.extend_from_slice(&bytes);
                format!("append {} with flags {flags:o}", bytes.len())
            }
            4 => {
                let part = self.part(dice);
                self.compare(part.clone(), false);
                format!("read {part:?}")
            }
            5 => {
                let part = self.part(dice);
                self.compare(part.clone(), true);
                format!("read {part:?} through a map")
            }
            6 | 7 => {
                let part = self.part(dice);
                let (bytes, sync) = (dice.content(part.len()), dice.below(4) == 0);
                if !part.is_empty() {
                    Map::of(&self.file, part.end).write(part.start, &bytes, sync);
                    self.model[part.clone()].copy_from_slice(&bytes);
                }
                format!("write {part:?} through a map, synced: {sync}")
            }
            8 | 9 => {
                let size = if dice.below(10) == 0 { 0 } else { dice.size(self.most as u64) };
                let by_name = dice.below(2) == 0;
                let other = by_name.then(|| OpenOptions::new().write(true).open(&self.path).expect("opens"));
                other.as_ref().unwrap_or(&self.file).set_len(size as u64).expect("resizes");
                self.model.resize(size, 0);
                format!("resize to {size}, by another handle: {by_name}")
            }
            10 => {
                let part = self.part(dice);
                self.allocate(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, &part);
                self.model[part.clone()].fill(0);
                format!("punch {part:?}")
            }
            11 => {
                let place = self.place(dice);
                let keep = dice.below(2) == 0;
                let flags = libc::FALLOC_FL_ZERO_RANGE | if keep { libc::FALLOC_FL_KEEP_SIZE } else { 0 };
                self.allocate(flags, &place);
                if !keep {
                    self.lengthen(place.end);
                }
                let end = place.end.min(self.model.len());
                self.model[place.start.min(end)..end].fill(0);
                format!("zero {place:?}, as long as it is: {keep}")
            }
            12 => {
                let place = self.place(dice);
                let keep = dice.below(2) == 0;
                self.allocate(if keep { libc::FALLOC_FL_KEEP_SIZE } else { 0 }, &place);
                if !keep {
                    self.lengthen(place.end);
                }
                format!("room for {place:?}, as long as it is: {keep}")
            }
            13 => {
                let (part, to) = (self.part(dice), dice.size(self.most as u64));
                let length = part.len().min(self.most - to).min(part.start.abs_diff(to));
                self.copy(part.start, to, length);
                format!("copy {length} from {} to {to}", part.start)
            }
            14 => {
                let synced = if dice.below(2) == 0 { self.file.sync_all() } else { self.file.sync_data() };
                synced.expect("syncs");
                "sync".to_owned()
            }
            _ => {
                self.holes();
                "look for holes".to_owned()
            }
        }
    }

    fn allocate(&self, mode: i32, range: &std::ops::Range<usize>) {
        if range.is_empty() {
            return;
        }
        let offset = |at: usize| i64::try_from(at).expect("small");
        // SAFETY: no memory is handed over.
        let done = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, offset(range.start), offset(range.len())) };
        assert_eq!(done, 0, "fallocate {mode} {range:?}: {}", io::Error::last_os_error());
    }

    fn copy(&mut self, from: usize, to: usize, length: usize) {
        let (mut at, mut there) = (i64::try_from(from).expect("small"), i64::try_from(to).expect("small"));
        let (mut left, fd) = (length, self.file.as_raw_fd());
        while left > 0 {
            // SAFETY: both offsets live until the call is over.
            let copied = unsafe { libc::copy_file_range(fd, &raw mut at, fd, &raw mut there, left, 0) };
            assert!(copied > 0, "copies {copied} of {left}: {}", io::Error::last_os_error());
            left -= usize::try_from(copied).expect("not negative");
        }
        if length > 0 {
            self.lengthen(to + length);
            self.model.copy_within(from..from + length, to);
        }
    }

    /// What is said to be a hole is zeros, and data and holes take turns to the end.
    fn holes(&self) {
        let mut at = 0;
        while at < self.model.len() {
            let Some(data) = self.seek(at, libc::SEEK_DATA) else {
                assert!(self.model[at..].iter().all(|&byte| byte == 0), "a hole from {at} to the end has data");
                return;
            };
            assert!(self.model[at..data].iter().all(|&byte| byte == 0), "the hole {at}..{data} has data");
            let hole = self.seek(data, libc::SEEK_HOLE).expect("the end is a hole");
            assert!(hole > data && hole <= self.model.len(), "data {data}..{hole} of {}", self.model.len());
            at = hole;
        }
        assert_eq!(self.seek(self.model.len(), libc::SEEK_DATA), None);
    }

    /// `None`: there is none.
    fn seek(&self, from: usize, whence: i32) -> Option<usize> {
        // SAFETY: no memory is handed over.
        let found = unsafe { libc::lseek(self.file.as_raw_fd(), i64::try_from(from).expect("small"), whence) };
        let error = io::Error::last_os_error();
        let found = usize::try_from(found).ok();
        assert!(found.is_some() || error.raw_os_error() == Some(libc::ENXIO), "seek from {from}: {error}");
        found
    }
}

/// How much is appended at most.
fn dice_length(most: usize) -> usize {
    most / 16
}

/// The first bytes of a file, mapped and shared.
struct Map {
    at: *mut u8,
    length: usize,
}

impl Map {
    fn of(file: &File, length: usize) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert!(at != libc::MAP_FAILED, "maps: {}", io::Error::last_os_error());
        Self { at: at.cast(), length }
    }

    fn read(&self, from: usize, into: &mut [u8]) {
        assert!(from + into.len() <= self.length);
        // SAFETY: within the mapping, which is no longer than the file.
        unsafe { std::ptr::copy_nonoverlapping(self.at.add(from), into.as_mut_ptr(), into.len()) }
    }

    fn write(&self, to: usize, bytes: &[u8], sync: bool) {
        assert!(to + bytes.len() <= self.length);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(to), bytes.len()) }
        if sync {
            // SAFETY: it is mapped.
            let done = unsafe { libc::msync(self.at.cast(), self.length, libc::MS_SYNC) };
            assert_eq!(done, 0, "msync: {}", io::Error::last_os_error());
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference into it.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}
