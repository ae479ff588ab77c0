//! Operations on a real folder.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::dice::Content;
use crate::operation::{Flags, Operation, Outcome, SLOTS, told};

/// Who works below a folder, and what it has open.
pub(crate) struct Process {
    base: PathBuf,
    slots: [Option<File>; SLOTS],
}

impl Process {
    pub(crate) fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), slots: Default::default() }
    }

    pub(crate) fn perform(&mut self, operation: &Operation) -> Outcome {
        self.try_perform(operation).map_err(|error| error.raw_os_error().unwrap_or(0))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn try_perform(&mut self, operation: &Operation) -> io::Result<String> {
        let mut seen = String::new();
        match operation {
            Operation::Write { path, content } => fs::write(self.at(path), content.bytes())?,
            Operation::Create { path, content } => File::create_new(self.at(path))?.write_all(&content.bytes())?,
            Operation::Append { path, content } => {
                OpenOptions::new().append(true).open(self.at(path))?.write_all(&content.bytes())?;
            }
            Operation::WriteAt { path, offset, content } => {
                OpenOptions::new().write(true).open(self.at(path))?.write_all_at(&content.bytes(), *offset)?;
            }
            Operation::Resize { path, size } => truncate(&self.at(path), *size)?,
            Operation::Save { path, content, sync } => {
                let beside = self.at(&format!("{path}.tmp"));
                let mut file = File::create(&beside)?;
                file.write_all(&content.bytes())?;
                if *sync {
                    file.sync_all()?;
                }
                drop(file);
                fs::rename(&beside, self.at(path)).inspect_err(|_| fs::remove_file(&beside).expect("removes"))?;
            }
            Operation::Map { path, offset, content } => map(&self.at(path), *offset, *content)?,
            Operation::CopyRange { from, to, from_offset, to_offset, length } => {
                let from = File::open(self.at(from))?;
                let to = OpenOptions::new().write(true).open(self.at(to))?;
                seen = copy_range(&from, &to, *from_offset, *to_offset, *length)?.to_string();
            }
            Operation::Rename { from, to, replace: true } => fs::rename(self.at(from), self.at(to))?,
            Operation::Rename { from, to, replace: false } => {
                rename_with(&self.at(from), &self.at(to), libc::RENAME_NOREPLACE)?;
            }
            Operation::Exchange { one, other } => rename_with(&self.at(one), &self.at(other), libc::RENAME_EXCHANGE)?,
            Operation::Remove { path } => fs::remove_file(self.at(path))?,
            Operation::MakeFolder { path, mode } => fs::DirBuilder::new().mode(*mode).create(self.at(path))?,
            Operation::RemoveFolder { path } => fs::remove_dir(self.at(path))?,
            Operation::RemoveTree { path } => fs::remove_dir_all(self.at(path))?,
            Operation::SyncFolder { path } => File::open(self.at(path))?.sync_all()?,
            Operation::Fill { path, count, content } => {
                for number in 0..*count {
                    fs::write(self.at(&format!("{path}/n{number:03}")), content.bytes())?;
                }
            }
            Operation::Clear { path } => {
                for entry in fs::read_dir(self.at(path))? {
                    let entry = entry?;
                    if entry.file_type()?.is_file() {
                        fs::remove_file(entry.path())?;
                    }
                }
            }
            Operation::Link { path, target } => symlink(target, self.at(path))?,
            Operation::Name { path, new } => fs::hard_link(self.at(path), self.at(new))?,
            Operation::Mode { path, mode } => {
                fs::set_permissions(self.at(path), fs::Permissions::from_mode(*mode))?;
            }
            Operation::Time { path, nanos } => set_time(&self.at(path), *nanos)?,
            Operation::Stat { path } => seen = stat(&fs::symlink_metadata(self.at(path))?),
            Operation::Read { path } => seen = told(&fs::read(self.at(path))?),
            Operation::ReadLink { path } => seen = fs::read_link(self.at(path))?.to_string_lossy().into_owned(),
            Operation::List { path } => seen = list(fs::read_dir(self.at(path))?, |_| true)?,
            Operation::ListWhile { path, comes, goes } => {
                let mut entries = fs::read_dir(self.at(path))?;
                let begun: Vec<io::Result<fs::DirEntry>> = entries.by_ref().take(2).collect();
                let flags = Flags { write: true, create: true, ..Flags::default() };
                let made = open(&self.at(&format!("{path}/{comes}")), flags).map(drop);
                let gone = fs::remove_file(self.at(&format!("{path}/{goes}")));
                let others = |name: &str| name != comes && name != goes;
                seen = list(begun.into_iter().chain(entries), others)?;
                let errno = |error: io::Error| error.raw_os_error().unwrap_or(0);
                seen = format!("{seen}, {:?}, {:?}", made.map_err(errno), gone.map_err(errno));
            }
            Operation::Open { slot, path, flags } => {
                self.slots[*slot] = None;
                self.slots[*slot] = Some(open(&self.at(path), *flags)?);
            }
            Operation::Close { slot } => self.slots[*slot] = None,
            Operation::ReadOpen { slot, .. }
            | Operation::WriteOpen { slot, .. }
            | Operation::ResizeOpen { slot, .. }
            | Operation::SyncOpen { slot, .. }
            | Operation::StatOpen { slot } => {
                if let Some(file) = &self.slots[*slot] {
                    seen = on_open(file, operation)?;
                }
            }
        }
        Ok(seen)
    }
}

fn on_open(file: &File, operation: &Operation) -> io::Result<String> {
    match operation {
        Operation::ReadOpen { offset, length, .. } => {
            let mut bytes = vec![0; *length];
            let mut count = 0;
            while count < *length {
                match file.read_at(&mut bytes[count..], offset + count as u64)? {
                    0 => break,
                    more => count += more,
                }
            }
            return Ok(told(&bytes[..count]));
        }
        Operation::WriteOpen { offset, content, .. } => file.write_all_at(&content.bytes(), *offset)?,
        Operation::ResizeOpen { size, .. } => file.set_len(*size)?,
        Operation::SyncOpen { data: true, .. } => file.sync_data()?,
        Operation::SyncOpen { .. } => file.sync_all()?,
        Operation::StatOpen { .. } => {
            return Ok(stat(&file.metadata()?));
        }
        _ => {}
    }
    Ok(String::new())
}

fn open(path: &Path, flags: Flags) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(flags.write || flags.append).append(flags.append);
    // The standard library refuses combinations that Linux takes.
    let mut more = 0;
    for (is_set, flag) in [(flags.create, libc::O_CREAT), (flags.new, libc::O_EXCL), (flags.truncate, libc::O_TRUNC)] {
        more |= if is_set { flag } else { 0 };
    }
    options.custom_flags(more).open(path)
}

fn stat(metadata: &fs::Metadata) -> String {
    let mode = metadata.mode() & 0o7777;
    match metadata.file_type() {
        kind if kind.is_dir() => format!("a folder {mode:o}"),
        kind if kind.is_symlink() => format!("a link with {} names", metadata.nlink()),
        _ => format!("a file {mode:o} of {} bytes with {} names", metadata.len(), metadata.nlink()),
    }
}

fn list(
    entries: impl IntoIterator<Item = io::Result<fs::DirEntry>>,
    which: impl Fn(&str) -> bool,
) -> io::Result<String> {
    let names = entries.into_iter().map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
    names.retain(|name| which(name));
    names.sort();
    Ok(names.join(" "))
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero in it")
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn truncate(path: &Path, size: u64) -> io::Result<()> {
    let size = i64::try_from(size).expect("small");
    // SAFETY: the path is a string that ends with zero, and lives until the call is over.
    check(unsafe { libc::truncate(c_path(path).as_ptr(), size) })
}

fn rename_with(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let (from, to) = (c_path(from), c_path(to));
    // SAFETY: as above.
    check(unsafe { libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) })
}

fn set_time(path: &Path, nanos: i64) -> io::Result<()> {
    let time = libc::timespec { tv_sec: nanos.div_euclid(1_000_000_000), tv_nsec: nanos.rem_euclid(1_000_000_000) };
    // SAFETY: as above; the times are two.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, c_path(path).as_ptr(), [time, time].as_ptr(), 0) })
}

/// Writes through a mapping, no further than the file reaches.
fn map(path: &Path, offset: u64, content: Content) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let size = usize::try_from(file.metadata()?.len()).expect("small");
    let start = usize::try_from(offset).expect("small");
    let bytes = content.bytes();
    let bytes = &bytes[..bytes.len().min(size.saturating_sub(start))];
    if bytes.is_empty() {
        return Ok(());
    }
    // SAFETY: the mapping is as long as the file, which nobody else shortens meanwhile, and is used up to there.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast::<u8>().add(start), bytes.len());
        check(libc::msync(at, size, libc::MS_SYNC))?;
        check(libc::munmap(at, size))
    }
}

fn copy_range(from: &File, to: &File, from_offset: u64, to_offset: u64, length: u64) -> io::Result<u64> {
    let mut copied = 0;
    // A copy within a file may make it longer while it is under way.
    let metadata = from.metadata()?;
    let room = metadata.len().saturating_sub(from_offset);
    let length = if metadata.is_file() { length.min(room) } else { length };
    let (mut from_offset, mut to_offset) =
        (i64::try_from(from_offset).expect("small"), i64::try_from(to_offset).expect("small"));
    while copied < length {
        let left = usize::try_from(length - copied).expect("small");
        // SAFETY: both offsets live until the call is over.
        let count = unsafe {
            libc::copy_file_range(from.as_raw_fd(), &raw mut from_offset, to.as_raw_fd(), &raw mut to_offset, left, 0)
        };
        match u64::try_from(count) {
            Ok(0) => break,
            Ok(count) => copied += count,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(copied)
}
