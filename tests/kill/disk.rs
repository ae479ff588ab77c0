//! A disk that can lose its power: a file system of its own in a file, which holds what was written to it and nothing that is only
//! in memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::sh;

/// A file system on a file, mounted. Goes with it.
pub(crate) struct Disk {
    image: PathBuf,
    place: PathBuf,
}

impl Disk {
    /// A new one, mounted at `place`.
    pub(crate) fn new(image: &Path, place: &Path) -> Self {
        File::create(image).and_then(|file| file.set_len(1 << 30)).expect("makes");
        sh(&format!("mkfs.ext4 -q -F -m 0 '{}'", image.display()));
        let disk = Self::mount(image, place);
        fs::remove_dir(place.join("lost+found")).expect("removes");
        disk
    }

    /// One that is there.
    fn mount(image: &Path, place: &Path) -> Self {
        // The file system writes nothing by itself for longer than any test takes.
        sh(&format!("mount -o loop,commit=300 '{}' '{}'", image.display(), place.display()));
        Self { image: image.to_owned(), place: place.to_owned() }
    }

    /// What is on the disk at this moment, without what is only in memory. Nobody may write meanwhile.
    pub(crate) fn copy(&self, to: &Path) -> io::Result<()> {
        let (mut from, to) = (File::open(&self.image)?, File::create(to)?);
        let size = from.metadata()?.len();
        to.set_len(size)?;
        let zeros = vec![0; 1 << 18];
        let mut block = zeros.clone();
        for at in (0..size).step_by(block.len()) {
            from.read_exact(&mut block)?;
            if block != zeros {
                to.write_all_at(&block, at)?;
            }
        }
        Ok(())
    }

    /// Takes another disk in its place.
    pub(crate) fn replace(self, image: &Path) -> Self {
        let (old, place) = (self.image.clone(), self.place.clone());
        drop(self);
        fs::rename(image, &old).expect("renames");
        Self::mount(&old, &place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg(&self.place).stderr(Stdio::null()).status();
        let _gone = Command::new("umount").arg("-l").arg(&self.place).stderr(Stdio::null()).status();
    }
}
