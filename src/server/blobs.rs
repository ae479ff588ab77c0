//! Files of bytes in the data folder.
//!
//! A blob is written once, from its start to its end, and never again. Its name is known to the database before the file
//! exists, and belongs to a revision only when the file is complete (the tables say which owns what); so no crash leaves
//! a file that nobody knows, or a revision without its bytes. Content is hashed as it is written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::page::hex;

/// An upload goes on only at multiples of this many bytes.
pub(crate) const UPLOAD_UNIT: u64 = 256 * 1024;
/// First bytes of a content that are looked at to guess its type.
const START_BYTES: usize = 512;

/// The folder of all blobs. Its methods block.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: PathBuf,
}

/// Bytes that are complete and can become a revision.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// The file that holds them; `None` if there are none.
    pub blob: Option<String>,
    pub size: u64,
    /// Lower-case hexadecimal digits, like the other two.
    pub md5: String,
    pub sha1: String,
    pub sha256: String,
    /// The first bytes.
    pub start: Vec<u8>,
}

impl Blobs {
    /// Opens the folder, creating it with its subfolders if need be.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        // The folder around it may be one that everybody can look into; the contents are for this user alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        for index in 0..=u8::MAX {
            fs::create_dir_all(root.join(hex(&[index])))?;
        }
        Ok(Self { root })
    }

    fn path(&self, blob: &str) -> PathBuf {
        self.root.join(&blob[..2]).join(blob)
    }

    /// Opens a complete blob for reading.
    pub(crate) fn read(&self, blob: &str) -> io::Result<File> {
        File::open(self.path(blob))
    }

    /// Starts a new blob.
    pub(crate) fn create(&self, blob: &str) -> io::Result<Sink> {
        Sink::open(&self.path(blob), Progress::default())
    }

    /// Goes on with an interrupted blob where `progress` says, or, if that is not known (any more), with the whole units
    /// that are there, reading them to hash them.
    pub(crate) fn resume(&self, blob: &str, progress: Option<Progress>) -> io::Result<Sink> {
        match progress {
            Some(progress) => Sink::open(&self.path(blob), progress),
            None => Sink::reread(&self.path(blob), self.stored(blob)?),
        }
    }

    /// How many bytes of an interrupted blob count: whole units.
    pub(crate) fn stored(&self, blob: &str) -> io::Result<u64> {
        match fs::metadata(self.path(blob)) {
            Ok(metadata) => Ok(whole_units(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Gives back what an interrupted blob has beyond its first `length` bytes.
    pub(crate) fn shorten(&self, blob: &str, length: u64) -> io::Result<()> {
        match OpenOptions::new().write(true).open(self.path(blob)) {
            Ok(file) if file.metadata()?.len() > length => file.set_len(length),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Unlinks a blob, if it exists. Whoever has it open can go on reading.
    pub(crate) fn remove(&self, blob: &str) -> io::Result<()> {
        match fs::remove_file(self.path(blob)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn whole_units(bytes: u64) -> u64 {
    bytes - bytes % UPLOAD_UNIT
}

impl Content {
    /// No bytes at all.
    pub(crate) fn empty() -> Self {
        Self::hashed(None, 0, Hashers::default(), Vec::new())
    }

    fn hashed(blob: Option<String>, size: u64, hashers: Hashers, start: Vec<u8>) -> Self {
        Self {
            blob,
            size,
            md5: hex(&hashers.md5.finalize()),
            sha1: hex(&hashers.sha1.finalize()),
            sha256: hex(&hashers.sha256.finalize()),
            start,
        }
    }

    /// Stands in for `size` bytes yet to come, when a change is rehearsed.
    pub(crate) fn expected(size: u64) -> Self {
        Self { size, ..Self::empty() }
    }
}

#[derive(Debug, Clone, Default)]
struct Hashers {
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }
}

/// How far a blob is, without the file.
///
/// INVARIANT: `hashers` have seen exactly the first `length` bytes, and `unit` holds their state at the last whole unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    length: u64,
    hashers: Hashers,
    unit: (u64, Hashers),
    start: Vec<u8>,
}

impl Progress {
    /// Bytes written.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What was written, as the content that the blob of this name holds.
    pub(crate) fn content(&self, blob: &str) -> Content {
        let blob = (self.length > 0).then(|| blob.to_owned());
        Content::hashed(blob, self.length, self.hashers.clone(), self.start.clone())
    }

    /// Counts and hashes the next bytes of the file, remembering the hashes at each whole unit.
    fn note(&mut self, mut bytes: &[u8]) {
        let missing = START_BYTES.saturating_sub(self.start.len()).min(bytes.len());
        self.start.extend_from_slice(&bytes[..missing]);
        while !bytes.is_empty() {
            let room = usize::try_from(UPLOAD_UNIT - self.length % UPLOAD_UNIT).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hashers.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(UPLOAD_UNIT) {
                self.unit = (self.length, self.hashers.clone());
            }
            bytes = later;
        }
    }
}

/// A blob being written. The file may be longer than the progress says after a failed write; what lies beyond does not
/// count and is overwritten.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    progress: Progress,
}

impl Sink {
    fn open(path: &Path, progress: Progress) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, progress })
    }

    fn reread(path: &Path, stored: u64) -> io::Result<Self> {
        let Self { file, mut progress } = Self::open(path, Progress::default())?;
        let mut piece = vec![0; 256 * 1024];
        while progress.length < stored {
            let read = file.read_at(&mut piece, progress.length)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            progress.note(&piece[..read]);
        }
        let mut sink = Self { file, progress };
        sink.round_down()?;
        Ok(sink)
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Closes the file, to go on later.
    pub(crate) fn pause(self) -> Progress {
        self.progress
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.progress.length)?;
        self.progress.note(bytes);
        Ok(())
    }

    /// Forgets the bytes after the last whole unit.
    pub(crate) fn round_down(&mut self) -> io::Result<()> {
        let (length, hashers) = self.progress.unit.clone();
        self.file.set_len(length)?;
        self.progress.start.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.progress.length = length;
        self.progress.hashers = hashers;
        Ok(())
    }
}

/// Reads the next `limit` bytes of a file, or what is left of it.
pub(crate) fn read_piece(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    // `read_to_end` fills the spare capacity without zeroing it first, and `take` spares it the look for the end.
    let mut piece = Vec::with_capacity(usize::try_from(limit).map_err(io::Error::other)?);
    file.take(limit).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: usize = 256 * 1024;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::open(folder.path().join("blobs")).expect("opens");
        (folder, blobs)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from(index * 7 % 251).unwrap_or(0)).collect()
    }

    fn whole(data: &[u8]) -> Content {
        let (_folder, blobs) = blobs();
        let mut sink = blobs.create("00").expect("creates");
        sink.append(data).expect("writes");
        sink.progress().content("00")
    }

    #[test]
    fn hashes_are_those_of_the_content_however_it_was_cut() {
        let data = bytes(2 * UNIT + 12345);
        let expected = whole(&data);
        let (_folder, blobs) = blobs();
        let mut sink = blobs.create("00").expect("creates");
        for piece in data.chunks(100_001) {
            sink.append(piece).expect("writes");
        }
        let content = sink.progress().content("00");
        assert_eq!((content.size, &content.md5, &content.sha256), (data.len() as u64, &expected.md5, &expected.sha256));
        assert_eq!(Content::empty().md5, "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(whole(b"abc").sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn an_interrupted_blob_goes_on_at_a_whole_unit_with_the_right_hashes() {
        let data = bytes(3 * UNIT);
        let expected = whole(&data);
        let (_folder, blobs) = blobs();
        let mut sink = blobs.create("00").expect("creates");
        sink.append(&data[..UNIT + 1000]).expect("writes");
        sink.round_down().expect("truncates");
        assert_eq!(sink.progress().length(), UNIT as u64);
        sink.append(&data[UNIT..2 * UNIT + 5]).expect("writes");
        drop(sink);

        assert_eq!(blobs.stored("00").expect("is there"), 2 * UNIT as u64);
        let mut sink = blobs.resume("00", None).expect("opens");
        sink.append(&data[2 * UNIT..3 * UNIT - 7]).expect("writes");
        let paused = sink.pause();
        let mut sink = blobs.resume("00", Some(paused)).expect("opens");
        sink.append(&data[3 * UNIT - 7..]).expect("writes");
        let content = sink.progress().content("00");
        assert_eq!((content.md5, content.sha1), (expected.md5, expected.sha1));
        let file = blobs.read("00").expect("opens");
        assert_eq!(read_piece(&file, data.len() as u64 + 1).expect("reads"), data);
    }

    #[test]
    fn removing_twice_is_fine_and_an_open_file_stays_readable() {
        let (_folder, blobs) = blobs();
        blobs.create("00").expect("creates").append(b"abc").expect("writes");
        let file = blobs.read("00").expect("opens");
        blobs.remove("00").expect("removes");
        blobs.remove("00").expect("does nothing");
        assert_eq!(read_piece(&file, 10).expect("reads"), b"abc");
    }

    #[test]
    fn shortening_makes_nothing_longer() {
        let (_folder, blobs) = blobs();
        blobs.shorten("00", 1).expect("does nothing");
        blobs.create("00").expect("creates").append(&bytes(3 * UNIT)).expect("writes");
        for (length, left) in [(UNIT, UNIT), (2 * UNIT, UNIT), (0, 0)] {
            blobs.shorten("00", length as u64).expect("shortens");
            assert_eq!(blobs.stored("00").expect("is there"), left as u64);
        }
    }
}
