//! Files that are far larger on the drive than on its disk, of known bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::cloud::Cloud;
use crate::machine::{sh, write};

/// Each piece of so many bytes begins with a number that is its own; the rest is zeros.
const PIECE: u64 = 256 << 10;

/// A file of the drive that is zeros but for its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Sparse {
    pub(crate) name: String,
    pub(crate) size: u64,
    seed: u64,
}

impl Sparse {
    /// Gives a drive files of these sizes in its root. It is started anew.
    pub(crate) fn make(cloud: &mut Cloud, files: &[(&str, u64)]) -> Vec<Self> {
        let root = cloud.root();
        let ids: Vec<String> = files.iter().map(|(name, _)| cloud.upload(name, &root, b"longer")).collect();
        cloud.kill();
        let database = cloud.data("drive.db").display().to_string();
        let made = files.iter().zip(ids).zip(1..).map(|((&(name, size), id), seed)| {
            let item = format!("(SELECT no FROM items WHERE id = '{id}')");
            let blob = sh(&format!("sqlite3 {database} \"SELECT blob FROM revisions WHERE item = {item}\""));
            let blob = cloud.data("blobs").join(&blob[..2]).join(blob.trim());
            let sparse = Self { name: name.to_owned(), size, seed };
            sparse.fill(&blob);
            let md5 = sh(&format!("md5sum < {}", blob.display()));
            let md5 = &md5[..32];
            let statements = format!(
                "UPDATE revisions SET size = {size}, md5 = '{md5}' WHERE item = {item}; \
                 UPDATE items SET quota_bytes = {size} WHERE no = {item}"
            );
            sh(&format!("sqlite3 {database} \"{statements}\""));
            sparse
        });
        let made = made.collect();
        cloud.restart();
        made
    }

    fn fill(&self, path: &Path) {
        write(path, b"");
        let file = File::options().write(true).open(path).expect("opens");
        file.set_len(self.size).expect("lengthens");
        for start in (0..self.size.saturating_sub(8)).step_by(256 << 10) {
            file.write_all_at(&self.number(start / PIECE).to_le_bytes(), start).expect("writes");
        }
    }

    fn number(&self, piece: u64) -> u64 {
        self.seed << 40 | (piece + 1)
    }

    /// Panics unless these are the bytes of the file from an offset on.
    #[track_caller]
    pub(crate) fn check(&self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let mut at = offset;
        while at < end {
            let start = at - at % PIECE;
            let stop = end.min(start + PIECE);
            let is_numbered = start + 8 < self.size;
            let number = if is_numbered { self.number(start / PIECE) } else { 0 }.to_le_bytes();
            let local = |at: u64| usize::try_from(at - offset).expect("small");
            let (head, zeros) = bytes[local(at)..local(stop)].split_at(local((start + 8).clamp(at, stop)) - local(at));
            let from = usize::try_from(at - start).expect("small").min(8);
            assert!(*head == number[from..from + head.len()], "{}: the number at {at}", self.name);
            assert!(zeros.iter().all(|&byte| byte == 0), "{}: zeros behind {at}", self.name);
            at = stop;
        }
    }
}
