//! Files that are far larger on the drive than on its disk, of known bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::cloud::Cloud;
use crate::machine::{sh, write};

/// Each piece of so many bytes begins with a number that is its own; the rest is zeros.
const PIECE: u64 = 256 << 10;

/// Files from this size on have no true checksum.
const HUGE: u64 = 1 << 30;

/// A file of the drive that is zeros but for its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Sparse {
    pub(crate) name: String,
    pub(crate) size: u64,
    seed: u64,
}

/// Gives a drive files in its root, which are made in its own folder: nothing is sent. It is started anew.
pub(crate) fn place(cloud: &mut Cloud, names: &[&str], make: impl Fn(usize, &Path)) {
    let root = cloud.root();
    let ids: Vec<String> = names.iter().map(|name| cloud.upload(name, &root, b"longer")).collect();
    cloud.kill();
    let database = cloud.data("drive.db").display().to_string();
    for (number, id) in ids.iter().enumerate() {
        let item = format!("(SELECT no FROM items WHERE id = '{id}')");
        let blob = sh(&format!("sqlite3 {database} \"SELECT blob FROM revisions WHERE item = {item}\""));
        let blob = cloud.data("blobs").join(&blob[..2]).join(blob.trim());
        make(number, &blob);
        let size = std::fs::metadata(&blob).expect("stat").len();
        // The sum of a huge one takes minutes, and the mount compares none of what it reads by parts.
        let md5 = if size < HUGE { sh(&format!("md5sum < {}", blob.display())) } else { "0".repeat(32) };
        let md5 = &md5[..32];
        let statements = format!(
            "UPDATE revisions SET size = {size}, md5 = '{md5}' WHERE item = {item}; \
             UPDATE items SET quota_bytes = {size} WHERE no = {item}"
        );
        sh(&format!("sqlite3 {database} \"{statements}\""));
    }
    cloud.restart();
}

impl Sparse {
    /// Gives a drive files of these sizes in its root. It is started anew.
    pub(crate) fn make(cloud: &mut Cloud, files: &[(&str, u64)]) -> Vec<Self> {
        let made = files.iter().zip(1..).map(|(&(name, size), seed)| Self { name: name.to_owned(), size, seed });
        let made: Vec<Self> = made.collect();
        let names: Vec<&str> = files.iter().map(|&(name, _)| name).collect();
        place(cloud, &names, |number, path| made[number].fill(path));
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
