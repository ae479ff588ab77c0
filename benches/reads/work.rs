//! What programs do that read. Each says how many seconds it took.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::content::{self, PAGE, PIECE};
use crate::cost::time;

/// What a reader asks for at a time.
const READ: usize = 1 << 20;

/// Opens a file and reads it from its start to its end. Each piece must have its sum, if sums are given.
pub(crate) fn sequential(path: &Path, sums: Option<&[u64]>) -> f64 {
    let mut buffer = vec![0; PIECE];
    let mut pieces = 0;
    let seconds = time(|| {
        let mut file = File::open(path).expect("opens");
        loop {
            let mut filled = 0;
            while filled < PIECE {
                let wanted = (PIECE - filled).min(READ);
                match file.read(&mut buffer[filled..filled + wanted]).expect("reads") {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 {
                break;
            }
            if let Some(sums) = sums {
                assert_eq!(content::sum(&buffer[..filled]), sums[pieces], "piece {pieces} of {}", path.display());
            }
            pieces += 1;
        }
    });
    assert!(sums.is_none_or(|sums| sums.len() == pieces), "{pieces} pieces of {}", path.display());
    seconds
}

/// Opens a file once, and reads it by so many threads, each a part of its own from start to end.
pub(crate) fn parts(path: &Path, threads: usize, sums: &[u64]) -> f64 {
    time(|| {
        let file = &File::open(path).expect("opens");
        std::thread::scope(|scope| {
            let share = sums.len().div_ceil(threads);
            for (thread, sums) in sums.chunks(share).enumerate() {
                scope.spawn(move || {
                    let mut buffer = vec![0; PIECE];
                    for (index, sum) in sums.iter().enumerate() {
                        let piece = thread * share + index;
                        for (number, part) in buffer.chunks_mut(READ).enumerate() {
                            let at = (piece * PIECE + number * READ) as u64;
                            file.read_exact_at(part, at).expect("reads");
                        }
                        assert_eq!(content::sum(&buffer), *sum, "piece {piece} of {}", path.display());
                    }
                });
            }
        });
    })
}

/// Opens a file and reads these pages.
pub(crate) fn random(path: &Path, pages: &[usize]) -> f64 {
    let mut buffer = [0; PAGE];
    time(|| {
        let file = File::open(path).expect("opens");
        for &page in pages {
            file.read_exact_at(&mut buffer, (page * PAGE) as u64).expect("reads");
            assert!(content::is_page(&buffer, page), "page {page} of {}", path.display());
        }
    })
}

/// Opens a file, maps it, and copies it from start to end.
pub(crate) fn mapped(path: &Path) -> f64 {
    let mut buffer = vec![0; READ];
    time(|| {
        let file = File::open(path).expect("opens");
        let map = Map::of(&file);
        for part in map.bytes().chunks(READ) {
            buffer[..part.len()].copy_from_slice(part);
        }
        std::hint::black_box(&buffer);
    })
}

/// Opens a file and reads its first byte.
pub(crate) fn first_byte(path: &Path) -> f64 {
    let mut byte = [0];
    time(|| File::open(path).expect("opens").read_exact(&mut byte).expect("reads"))
}

/// Opens a model and reads the length of its header, and its header.
pub(crate) fn header(path: &Path) -> f64 {
    let (mut length, mut header) = ([0; 8], Vec::new());
    let seconds = time(|| {
        let mut file = File::open(path).expect("opens");
        file.read_exact(&mut length).expect("reads");
        header.resize(length_of(length), 0);
        file.read_exact(&mut header).expect("reads");
    });
    assert!([&length[..], &header].concat() == content::header(), "the header of {}", path.display());
    seconds
}

/// The same by a map, as loaders of models do.
pub(crate) fn mapped_header(path: &Path) -> f64 {
    let mut header = Vec::new();
    let seconds = time(|| {
        let map = Map::of(&File::open(path).expect("opens"));
        let length = length_of(map.bytes()[..8].try_into().expect("eight bytes"));
        header.extend_from_slice(&map.bytes()[..8 + length]);
    });
    assert!(header == content::header(), "the header of {}", path.display());
    seconds
}

fn length_of(bytes: [u8; 8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes)).expect("a length")
}

/// Opens, reads and closes files, one after the other. Says their sums together, too.
pub(crate) fn files<P: AsRef<Path>>(paths: &[P]) -> (f64, u64) {
    let (mut sum, mut buffer) = (0_u64, Vec::new());
    let start = Instant::now();
    for path in paths {
        buffer.clear();
        let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
        file.read_to_end(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
        sum = sum.wrapping_add(content::sum(&buffer));
    }
    (start.elapsed().as_secs_f64(), sum)
}

/// Asks the kernel to forget what it has of all files.
pub(crate) fn drop_caches() {
    sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("drops the caches, which needs the superuser");
}

/// What others have written goes to the disk before the clock starts.
pub(crate) fn sync() {
    // SAFETY: it takes nothing.
    unsafe { libc::sync() };
}

/// A file that is mapped.
struct Map {
    start: *mut libc::c_void,
    length: usize,
}

impl Map {
    fn of(file: &File) -> Self {
        let length = usize::try_from(file.metadata().expect("stat").len()).expect("fits");
        // SAFETY: a new place of that length, for reading alone.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert!(start != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self { start, length }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped until this is dropped, and nobody changes the file.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped once, and unmapped here alone.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
