//! The book: what the kernel holds of a mount and only memory knows, for the worker that follows.
//!
//! A file in memory (memfd) that the [keeper](crate::keeper) made and that each worker has open: it outlives every one of them, and
//! ends with the mount. In it stand open handles and what they were opened on, what was written and is in no table yet, and how the
//! conversation with the kernel began. It is read once, when a worker takes over; else it is only written.
//!
//! # Why a record is whole
//!
//! A worker can be killed at any instruction. Each record is written with *one* call of pwrite(2) and lies within one page of memory;
//! the kernel copies the bytes of one page without looking for signals. So a record is there or not, and never in
//! part. That takes about a third of a microsecond and no shared memory, whose order of writes one would have to argue about.
//!
//! # What is in it
//!
//! Three tables of slots, far apart in a file that is mostly hole; a slot that begins with zero is free. Freed slots are used
//! again first, so the book is as large as the most that was open at one time. It is written and read on one machine within
//! one mount: numbers are in the order of the machine. [`FORMAT`] is raised with each change of what stands in it; a program of
//! another format does not take over.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sys;

/// Version of the book.
pub const FORMAT: u32 = 1;

/// What stands at fixed places, each in a page of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// How the mount was made.
    Facts = 0,
    /// The first request of the kernel.
    Init = 1,
    /// The answer to it.
    Answer = 2,
    /// How the last worker ended; the keeper writes it.
    Death = 3,
    /// How many workers there were.
    Generation = 4,
    /// The kernel is being told of news.
    Telling = 5,
    /// The formats of what the last worker writes.
    Formats = 6,
}

const PAGE: u64 = 4096;

/// Length of a slot of an open handle.
pub const HANDLE: usize = 64;
/// Length of a slot of an open file.
pub const FILE: usize = 1024;
/// Length of a slot of what was written and is not sealed.
pub const UNSEALED: usize = 4096;

/// Where the tables begin. A slot never crosses a page.
const HANDLES_AT: u64 = 1 << 20;
const FILES_AT: u64 = 1 << 32;
const UNSEALED_AT: u64 = 1 << 40;
const END: u64 = 1 << 42;

/// How a worker ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Death {
    /// So many have died.
    pub deaths: u32,
    /// So many in a row died as soon as they served.
    pub quick: u32,
    /// 0 died by itself, 1 said nothing for too long, 2 made way for another program.
    pub cause: u32,
    /// The signal that killed it; 0: none.
    pub signal: i32,
    /// The exit code.
    pub code: i32,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Writes how a worker ended. For the keeper, which has no book of its own.
pub fn record_death(file: &File, death: &Death) -> io::Result<()> {
    let mut bytes = [0; 36];
    bytes[..4].copy_from_slice(&28_u32.to_ne_bytes());
    let numbers = [death.deaths, death.quick, death.cause];
    for (at, number) in numbers.iter().enumerate() {
        bytes[4 + at * 4..8 + at * 4].copy_from_slice(&number.to_ne_bytes());
    }
    bytes[16..20].copy_from_slice(&death.signal.to_ne_bytes());
    bytes[20..24].copy_from_slice(&death.code.to_ne_bytes());
    bytes[24..32].copy_from_slice(&death.at.to_ne_bytes());
    file.write_all_at(&bytes, Page::Death as u64 * PAGE)
}

/// Whether a program that knows databases up to this format can go on from a book. Only reads.
pub fn can_be_read(file: &File, state: i64) -> bool {
    let mut bytes = [0; 20];
    let read = file.read_exact_at(&mut bytes, Page::Formats as u64 * PAGE);
    let theirs = i64::try_from(number(&bytes[12..])).unwrap_or(i64::MAX);
    read.is_ok() && number(&bytes[4..]) == u64::from(FORMAT) && theirs <= state
}

/// The book of one mount.
#[derive(Debug)]
pub struct Book {
    file: Arc<File>,
    /// Open handles.
    pub handles: Slots,
    /// Open files.
    pub files: Slots,
    /// What was written of them and not sealed.
    pub unsealed: Slots,
}

impl Book {
    /// Opens it, and finds which slots are taken.
    pub fn open(file: File) -> io::Result<Self> {
        if file.metadata()?.len() < END {
            file.set_len(END)?;
        }
        let file = Arc::new(file);
        let taken = filled(&file)?;
        let slots = |at, end, length| Slots::open(&file, at..end, length, &taken);
        Ok(Self {
            handles: slots(HANDLES_AT, FILES_AT, HANDLE)?,
            files: slots(FILES_AT, UNSEALED_AT, FILE)?,
            unsealed: slots(UNSEALED_AT, END, UNSEALED)?,
            file,
        })
    }

    /// Writes one of the fixed pages.
    pub fn set(&self, page: Page, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| u64::from(*length) <= PAGE - 4);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.file.write_all_at(&[&length.to_ne_bytes(), bytes].concat(), page as u64 * PAGE)
    }

    /// What one of the fixed pages holds; nothing if it was never written.
    pub fn get(&self, page: Page) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, page as u64 * PAGE)?;
        let length = u32::from_ne_bytes(length).min(4092);
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, page as u64 * PAGE + 4)?;
        Ok(bytes)
    }

    /// How the last worker ended; `None`: there was none.
    pub fn death(&self) -> io::Result<Option<Death>> {
        let bytes = self.get(Page::Death)?;
        let Some(bytes) = bytes.first_chunk::<28>() else { return Ok(None) };
        let four = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        Ok(Some(Death {
            deaths: u32::from_ne_bytes(four(0)),
            quick: u32::from_ne_bytes(four(4)),
            cause: u32::from_ne_bytes(four(8)),
            signal: i32::from_ne_bytes(four(12)),
            code: i32::from_ne_bytes(four(16)),
            at: number(&bytes[20..]),
        }))
    }

    /// Notes the formats of what this worker writes: of the book, and of the database.
    pub fn note_formats(&self, state: i64) -> io::Result<()> {
        self.set(Page::Formats, &[u64::from(FORMAT).to_ne_bytes(), state.to_ne_bytes()].concat())
    }

    /// Whether a worker has begun to serve the mount.
    pub fn is_mounted(&self) -> bool {
        self.get(Page::Answer).is_ok_and(|answer| !answer.is_empty())
    }

    /// The numbers of the entries that were open when it was opened: the second word of each handle.
    pub fn open_entries(&self) -> Vec<u64> {
        self.handles.found.lock().iter().map(|(_, bytes)| number(&bytes[8..])).collect()
    }

    /// The number of this worker, the first being 1; to be called once by each.
    pub fn begin(&self) -> io::Result<u64> {
        let before = self.get(Page::Generation)?;
        let generation = if before.is_empty() { 1 } else { number(&before) + 1 };
        self.set(Page::Generation, &generation.to_ne_bytes())?;
        Ok(generation)
    }
}

/// A number of eight bytes; 0 if there are not so many.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The parts of the file that are no holes.
fn filled(file: &File) -> io::Result<Vec<std::ops::Range<u64>>> {
    let mut filled = Vec::new();
    let mut at = 0;
    for hole in sys::holes(file)? {
        if hole.start > at {
            filled.push(at..hole.start);
        }
        at = hole.end;
    }
    filled.push(at..END);
    filled.retain(|range| !range.is_empty());
    Ok(filled)
}

/// A table of slots of one length.
#[derive(Debug)]
pub struct Slots {
    file: Arc<File>,
    at: u64,
    length: usize,
    free: Mutex<Free>,
    /// Those that were taken when the book was opened.
    found: Mutex<Vec<(u64, Vec<u8>)>>,
}

#[derive(Debug, Default)]
struct Free {
    /// Those before `next` that are free.
    slots: Vec<u64>,
    next: u64,
}

impl Slots {
    fn open(
        file: &Arc<File>,
        table: std::ops::Range<u64>,
        length: usize,
        filled: &[std::ops::Range<u64>],
    ) -> io::Result<Self> {
        let (mut free, mut found) = (Free::default(), Vec::new());
        for part in filled {
            let part = part.start.max(table.start)..part.end.min(table.end);
            for at in part.step_by(length) {
                let slot = (at - table.start) / length as u64;
                free.slots.extend(free.next..slot);
                free.next = slot + 1;
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at)?;
                if number(&bytes) == 0 { free.slots.push(slot) } else { found.push((slot, bytes)) }
            }
        }
        free.slots.reverse();
        Ok(Self { file: Arc::clone(file), at: table.start, length, free: Mutex::new(free), found: Mutex::new(found) })
    }

    /// What stood in it when it was opened; once.
    pub fn take_found(&self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.found.lock())
    }

    /// Takes a slot and writes it. The first eight bytes are not all zero.
    pub fn put(&self, bytes: &[u8]) -> io::Result<u64> {
        let slot = {
            let mut free = self.free.lock();
            free.slots.pop().unwrap_or_else(|| {
                free.next += 1;
                free.next - 1
            })
        };
        self.set(slot, 0, bytes).inspect_err(|_| self.free.lock().slots.push(slot))?;
        Ok(slot)
    }

    /// Writes a part of a slot.
    pub fn set(&self, slot: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        if offset + bytes.len() > self.length {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all_at(bytes, self.at + slot * self.length as u64 + offset as u64)
    }

    /// Frees a slot.
    pub fn clear(&self, slot: u64) {
        // All of it: what is put there next may be shorter.
        if self.file.write_all_at(&[0; UNSEALED][..self.length], self.at + slot * self.length as u64).is_ok() {
            self.free.lock().slots.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_wrote_the_next_one_finds() {
        let memory = sys::memory_file("book").expect("made");
        let open = || Book::open(memory.try_clone().expect("clones")).expect("opens");
        let book = open();
        assert_eq!(book.begin().expect("counts"), 1);
        let slots: Vec<u64> = (1..=200_u64).map(|n| book.handles.put(&n.to_ne_bytes()).expect("puts")).collect();
        for slot in &slots[50..60] {
            book.handles.clear(*slot);
        }
        book.unsealed.put(&[7; UNSEALED]).expect("puts");
        book.set(Page::Init, b"hello").expect("sets");
        assert!(book.set(Page::Init, &[0; 4093]).is_err() && book.files.put(&[1; FILE + 1]).is_err());
        let next = open();
        assert_eq!(next.begin().expect("counts"), 2);
        next.note_formats(4).expect("notes");
        assert!(can_be_read(&memory, 4) && can_be_read(&memory, 5) && !can_be_read(&memory, 3));
        assert_eq!(next.get(Page::Init).expect("reads"), b"hello");
        let found = next.handles.take_found();
        assert_eq!(found.len(), 190);
        assert!(found.iter().all(|(slot, bytes)| number(bytes) == slot + 1));
        assert_eq!(next.unsealed.take_found(), [(0, vec![7; UNSEALED])]);
        assert!(next.files.take_found().is_empty());
        let again = next.handles.put(&9_u64.to_ne_bytes()).expect("puts");
        assert!((50..60).contains(&again), "freed slots first, and not {again}");
        let death = Death { deaths: 3, quick: 1, cause: 1, signal: 9, code: 0, at: 77 };
        assert_eq!(next.death().expect("reads"), None);
        record_death(&memory, &death).expect("writes");
        assert_eq!(next.death().expect("reads"), Some(death));
    }
}
