//! A writer: one program that saves files, in every way that programs have, until the drive it saves to is gone.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::manifest::Manifest;
use crate::points::Hint;

/// How temporary names begin.
pub(crate) const TEMPORARY: &str = ".save-";

/// Stays open for as long as its writer lives.
const LOG: &str = "log";

const MIB: usize = 1 << 20;

/// What a writer saves beside small files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    /// Content that just needs a session.
    Medium,
    /// Content that is still sent when the next kill comes, and the one after.
    Large,
}

pub(crate) struct Writer<'a> {
    folder: PathBuf,
    manifest: &'a mut Manifest,
    dice: Dice,
    size: Size,
    hint: Hint,
    log: Option<(File, Vec<u8>)>,
    round: u64,
    saves: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(folder: PathBuf, manifest: &'a mut Manifest, dice: Dice, size: Size, round: u64) -> Self {
        Self { folder, manifest, dice, size, hint: Hint::Any, log: None, round, saves: 0 }
    }

    /// Begins with what leads to a step.
    pub(crate) fn hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    /// Works until a call fails; says how.
    pub(crate) fn run(mut self) -> io::Error {
        self.manifest.note(format!("-- round {}", self.round));
        let error = self.work().err().unwrap_or_else(|| io::Error::other("a writer ended by itself"));
        self.manifest.note(format!("-- {error}"));
        error
    }

    fn work(&mut self) -> io::Result<()> {
        self.clear_away()?;
        if self.size == Size::Small || self.hint == Hint::Any {
            self.open_log()?;
        }
        loop {
            match self.hint {
                Hint::Any => self.anything()?,
                Hint::Large | Hint::Stream if self.size == Size::Small => self.anything()?,
                Hint::Large => self.large(6 * MIB)?,
                Hint::Stream => self.large(24 * MIB)?,
                Hint::Patch => self.patch()?,
                Hint::Folder => self.folder()?,
                Hint::Rename => self.rename()?,
                Hint::Exchange => self.exchange()?,
                Hint::Remove => self.remove()?,
                Hint::Save => self.save()?,
            }
            if self.dice.below(3) == 0 {
                self.hint = Hint::Any;
            }
            std::thread::sleep(Duration::from_millis(self.dice.below(12)));
        }
    }

    fn anything(&mut self) -> io::Result<()> {
        match (self.size, self.dice.below(100)) {
            (Size::Large, 0..6) => {
                let length = (24 + self.dice.size(40)) * MIB + self.dice.size(1000);
                self.large(length)
            }
            (Size::Medium, 0..4) => {
                let length = (5 + self.dice.size(4)) * MIB + 1 + self.dice.size(1000);
                self.large(length)
            }
            (_, 0..28) => self.whole(),
            (_, 28..38) => self.append(),
            (_, 38..48) => self.patch(),
            (_, 48..54) => self.cut(),
            (_, 54..60) => self.rename(),
            (_, 60..62) => self.exchange(),
            (_, 62..74) => self.save(),
            (_, 74..80) => self.remove(),
            (_, 80..83) => self.write_without_a_name(),
            (_, 83..88) => self.folder(),
            (_, 88..94) => self.log(),
            _ => self.read(),
        }
    }

    /// Removes what saves left that were killed.
    fn clear_away(&mut self) -> io::Result<()> {
        let left: Vec<String> = self.manifest.now.keys().filter(|path| path.starts_with(TEMPORARY)).cloned().collect();
        for path in left {
            self.manifest.removed.insert(path.clone());
            self.remove_file(&path)?;
        }
        Ok(())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// A file that is there and is nobody's but these calls', with its content; the large ones seldom.
    fn file(&mut self) -> Option<(String, Arc<Vec<u8>>)> {
        let files = self.manifest.now.iter().filter(|(path, _)| *path != LOG);
        let files: Vec<_> = files.filter_map(|(path, content)| Some((path, content.as_ref()?))).collect();
        if files.is_empty() {
            return None;
        }
        let (path, content) = *self.dice.pick(&files);
        let skipped = content.len() > MIB && self.dice.below(4) > 0;
        (!skipped).then(|| (path.clone(), Arc::clone(content)))
    }

    /// A path for a file, taken or not.
    fn path(&mut self) -> String {
        let name = *self.dice.pick(&["a", "b", "c", "d", "e", "f"]);
        let folders: Vec<_> = self.manifest.now.iter().filter(|(_, content)| content.is_none()).collect();
        if folders.is_empty() || self.dice.below(3) > 0 {
            return name.to_owned();
        }
        let folder = self.dice.pick(&folders).0.clone();
        format!("{folder}/{name}")
    }

    fn some(&mut self) -> Vec<u8> {
        let length = match self.dice.below(10) {
            0 => 0,
            1 => 4096,
            2 | 3 => 100_000 + self.dice.size(200_000),
            _ => self.dice.size(5000),
        };
        self.dice.content(length)
    }

    /// Writes, as programs do: in pieces.
    fn write(&mut self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let pieces = 1 + self.dice.size(3);
        for piece in bytes.chunks((bytes.len() / pieces).max(1)) {
            file.write_all(piece)?;
        }
        Ok(())
    }

    fn whole(&mut self) -> io::Result<()> {
        let (path, content) = (self.path(), self.some());
        let sync = self.dice.below(4) == 0;
        self.manifest.note(format!(
            "write {path}: {} bytes{}",
            content.len(),
            if sync { ", synced halfway" } else { "" }
        ));
        let file = File::create(self.at(&path))?;
        let half = if sync { content.len() / 2 } else { 0 };
        self.write(&file, &content[..half])?;
        if sync {
            self.sync(&file, &path, &Arc::new(content[..half].to_vec()))?;
        }
        self.write(&file, &content[half..])?;
        self.close(file, &path, &Arc::new(content))
    }

    fn append(&mut self) -> io::Result<()> {
        let Some((path, content)) = self.file() else { return Ok(()) };
        let more = self.some();
        self.manifest.note(format!("append {path}: {} bytes", more.len()));
        let file = OpenOptions::new().append(true).open(self.at(&path))?;
        self.write(&file, &more)?;
        let content = [content.as_slice(), &more].concat();
        self.close(file, &path, &Arc::new(content))
    }

    /// Changes a part in place, which may begin behind the end.
    fn patch(&mut self) -> io::Result<()> {
        let Some((path, content)) = self.file() else { return self.whole() };
        let more = self.some();
        let offset = self.dice.size(content.len() as u64 + 5000);
        self.manifest.note(format!("patch {path}: {} bytes at {offset}", more.len()));
        let mut content = content.to_vec();
        let file = OpenOptions::new().write(true).open(self.at(&path))?;
        let times = if self.dice.below(5) == 0 { 2 } else { 1 };
        for time in 0..times {
            // The second time into what was synced the first time.
            let offset = offset + time * (more.len() / 2);
            if !more.is_empty() {
                content.resize(content.len().max(offset + more.len()), 0);
                content[offset..offset + more.len()].copy_from_slice(&more);
            }
            file.write_all_at(&more, offset as u64)?;
            if time + 1 < times {
                self.sync(&file, &path, &Arc::new(content.clone()))?;
            }
        }
        self.close(file, &path, &Arc::new(content))
    }

    /// Cuts a file off, or makes it longer.
    fn cut(&mut self) -> io::Result<()> {
        let Some((path, content)) = self.file() else { return Ok(()) };
        let size = self.dice.size(content.len() as u64 * 5 / 4 + 100);
        self.manifest.note(format!("cut {path} to {size}"));
        let file = OpenOptions::new().write(true).open(self.at(&path))?;
        file.set_len(size as u64)?;
        let mut content = content.to_vec();
        content.resize(size, 0);
        self.close(file, &path, &Arc::new(content))
    }

    fn rename(&mut self) -> io::Result<()> {
        let (Some((from, _)), to) = (self.file(), self.path()) else { return self.whole() };
        self.rename_file(&from, &to)
    }

    fn exchange(&mut self) -> io::Result<()> {
        let (Some((one, _)), Some((other, _))) = (self.file(), self.file()) else { return self.whole() };
        if one == other {
            return self.whole();
        }
        self.manifest.note(format!("exchange {one} and {other}"));
        let paths = [self.at(&one), self.at(&other)]
            .map(|path| CString::new(path.into_os_string().into_vec()).expect("no zero"));
        let next = self.manifest.exchanged(&one, &other);
        self.manifest.step(next, || {
            let (at, [one, other]) = (libc::AT_FDCWD, &paths);
            // SAFETY: both are C strings that outlive the call.
            let done = unsafe { libc::renameat2(at, one.as_ptr(), at, other.as_ptr(), libc::RENAME_EXCHANGE) };
            if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        })
    }

    fn rename_file(&mut self, from: &str, to: &str) -> io::Result<()> {
        if from == to || matches!(self.manifest.now.get(to), Some(None)) {
            return Ok(());
        }
        self.manifest.note(format!("rename {from} to {to}"));
        let (here, there) = (self.at(from), self.at(to));
        let next = self.manifest.moved(from, to);
        self.manifest.step(next, || fs::rename(here, there))
    }

    /// Renames what is open and was not synced. What was written of it is a promise from then on if it replaces one.
    fn rename_open(&mut self, from: &str, to: &str, content: &Arc<Vec<u8>>) -> io::Result<()> {
        let steps = if self.manifest.now.contains_key(to) {
            vec![self.manifest.with(from, content), self.manifest.with(to, content)]
        } else {
            vec![self.manifest.now.clone()]
        };
        self.manifest.note(format!("rename {from} to {to}, open"));
        let (here, there) = (self.at(from), self.at(to));
        self.manifest.steps(steps, || fs::rename(here, there))
    }

    /// Saves as careful programs do, and as those that are less careful.
    fn save(&mut self) -> io::Result<()> {
        let (path, content) = (self.path(), Arc::new(self.some()));
        self.saves += 1;
        let beside = format!("{TEMPORARY}{}-{}", self.round, self.saves);
        let (synced, closed_first) = (self.dice.below(3) > 0, self.dice.below(4) > 0);
        self.manifest.note(format!("save {path} by {beside}: {} bytes, synced: {synced}", content.len()));
        let file = File::create(self.at(&beside))?;
        self.write(&file, &content)?;
        if synced {
            self.sync(&file, &beside, &content)?;
        }
        if closed_first {
            self.close(file, &beside, &content)?;
            self.rename_file(&beside, &path)?;
        } else if synced {
            self.rename_file(&beside, &path)?;
            self.close(file, &path, &content)?;
        } else {
            self.rename_open(&beside, &path, &content)?;
            self.close(file, &path, &content)?;
        }
        if synced {
            // What is promised of power alone.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn remove(&mut self) -> io::Result<()> {
        match self.file() {
            Some((path, _)) => self.remove_file(&path),
            None => self.whole(),
        }
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        self.manifest.note(format!("remove {path}"));
        let (next, at) = (self.manifest.without(path), self.at(path));
        self.manifest.step(next, || fs::remove_file(at))
    }

    /// Writes into a file that is removed under it.
    fn write_without_a_name(&mut self) -> io::Result<()> {
        let Some((path, _)) = self.file() else { return Ok(()) };
        let mut file = OpenOptions::new().append(true).open(self.at(&path))?;
        let more = self.some();
        file.write_all(&more)?;
        self.remove_file(&path)?;
        file.write_all(&more)
    }

    fn folder(&mut self) -> io::Result<()> {
        let (path, other) = (format!("folder {}", self.dice.below(2)), format!("folder {}", self.dice.below(2)));
        let is_there = self.manifest.now.contains_key(&path);
        let at = self.at(&path);
        if !is_there {
            self.manifest.note(format!("make {path}"));
            let mut next = self.manifest.now.clone();
            next.insert(path, None);
            return self.manifest.step(next, || fs::create_dir(at));
        }
        let within = format!("{path}/");
        if !self.manifest.now.keys().any(|path| path.starts_with(&within)) {
            self.manifest.note(format!("remove {path}"));
            let next = self.manifest.without(&path);
            return self.manifest.step(next, || fs::remove_dir(at));
        }
        if path == other || self.manifest.now.contains_key(&other) {
            return Ok(());
        }
        self.manifest.note(format!("rename {path} to {other}"));
        let (next, to) = (self.manifest.moved(&path, &other), self.at(&other));
        self.manifest.step(next, || fs::rename(at, to))
    }

    fn open_log(&mut self) -> io::Result<()> {
        let content = self.manifest.now.get(LOG).and_then(|content| content.as_ref()).map(|content| content.to_vec());
        self.manifest.note("open log".to_owned());
        let file = OpenOptions::new().append(true).create(true).open(self.at(LOG))?;
        self.log = Some((file, content.unwrap_or_default()));
        Ok(())
    }

    /// A line for the log; now and then it is synced, or begun anew.
    fn log(&mut self) -> io::Result<()> {
        let line = self.some();
        let sync = self.dice.below(3) == 0;
        let Some((mut file, mut content)) = self.log.take() else { return Ok(()) };
        self.manifest.note(format!("log {} bytes{}", line.len(), if sync { ", synced" } else { "" }));
        if content.len() > 600_000 {
            file.set_len(0)?;
            content.clear();
        }
        file.write_all(&line)?;
        content.extend_from_slice(&line);
        if sync {
            self.sync(&file, LOG, &Arc::new(content.clone()))?;
        }
        self.log = Some((file, content));
        Ok(())
    }

    /// A large file, slowly, so that it is sent while it is written. The one before goes.
    fn large(&mut self, length: usize) -> io::Result<()> {
        let old: Vec<String> = self.manifest.now.keys().filter(|path| path.starts_with("large")).cloned().collect();
        if old.len() > 1 {
            self.remove_file(&old[0])?;
        }
        let path = format!("large {}", self.dice.below(4));
        let content = Arc::new(self.dice.content(length));
        let (pause, sync) = (self.dice.below(25), self.dice.below(3) == 0);
        self.manifest.note(format!("write {path}: {length} bytes, {pause} ms a piece, synced halfway: {sync}"));
        let mut file = File::create(self.at(&path))?;
        for (number, piece) in content.chunks(MIB).enumerate() {
            file.write_all(piece)?;
            let end = number * MIB + piece.len();
            if sync && number == length / MIB / 2 {
                self.sync(&file, &path, &Arc::new(content[..end].to_vec()))?;
            }
            std::thread::sleep(Duration::from_millis(pause));
        }
        self.close(file, &path, &content)
    }

    /// What was written is there.
    fn read(&mut self) -> io::Result<()> {
        let Some((path, content)) = self.file() else { return Ok(()) };
        let mut is = Vec::new();
        File::open(self.at(&path))?.read_to_end(&mut is)?;
        assert!(is == *content, "{path} is not what was written a moment ago: {} bytes of {}", is.len(), content.len());
        Ok(())
    }

    fn sync(&mut self, file: &File, path: &str, content: &Arc<Vec<u8>>) -> io::Result<()> {
        self.manifest.note(format!("  sync {path}: {} bytes {}", content.len(), crate::manifest::sum(content)));
        let next = self.manifest.with(path, content);
        self.manifest.step(next, || file.sync_all())
    }

    fn close(&mut self, file: File, path: &str, content: &Arc<Vec<u8>>) -> io::Result<()> {
        self.manifest.note(format!("  close {path}: {} bytes {}", content.len(), crate::manifest::sum(content)));
        let next = self.manifest.with(path, content);
        self.manifest.step(next, || close(file))
    }
}

/// `close`, of which the standard library does not say whether it failed.
fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor is ours alone, and nobody uses it after this.
    if unsafe { libc::close(file.into_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal. Not by a program: a child inherits the open files of all writers and gives them back, for which it waits for the
/// daemon.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory is passed. The process may have ended meanwhile, which does no harm.
    let _gone = unsafe { libc::kill(pid, signal) };
}

/// Whether a call failed because the daemon is gone.
pub(crate) fn is_of_the_end(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED | libc::EIO))
}

/// The folder of a writer.
pub(crate) fn folder(drive: &Path, number: usize) -> PathBuf {
    drive.join(format!("writer {number}"))
}
