//! Operations on the model.

use libc::{EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM};

use crate::memory::{Handle, Ino, Kind, Last, Memory, Modified};
use crate::operation::{Flags, Operation, Outcome, told};

/// What a new file has where the mask is 022.
const FILE_MODE: u32 = 0o644;

type Done<T = ()> = Result<T, i32>;

impl Memory {
    /// What a process does, and what it sees.
    pub(crate) fn apply(&mut self, process: usize, operation: &Operation) -> Outcome {
        let mut seen = String::new();
        match operation {
            Operation::Write { path, content } => {
                let ino =
                    self.open_at(path, Flags { write: true, create: true, truncate: true, ..Flags::default() })?;
                self.write_at(ino, 0, &content.bytes());
            }
            Operation::Create { path, content } => {
                let ino = self.open_at(path, Flags { write: true, create: true, new: true, ..Flags::default() })?;
                self.write_at(ino, 0, &content.bytes());
            }
            Operation::Append { path, content } => {
                let ino = self.open_at(path, Flags { write: true, ..Flags::default() })?;
                self.append(ino, &content.bytes());
            }
            Operation::WriteAt { path, offset, content } => {
                let ino = self.open_at(path, Flags { write: true, ..Flags::default() })?;
                self.write_at(ino, *offset, &content.bytes());
            }
            Operation::Resize { path, size } => {
                let ino = self.find(path, Last::Follow)?;
                self.content(ino)?;
                self.resize(ino, *size);
            }
            Operation::Save { path, content, .. } => {
                let beside = format!("{path}.tmp");
                let flags = Flags { write: true, create: true, truncate: true, ..Flags::default() };
                let ino = self.open_at(&beside, flags)?;
                self.write_at(ino, 0, &content.bytes());
                if let Err(errno) = self.rename(&beside, path, true) {
                    self.remove(&beside)?;
                    return Err(errno);
                }
            }
            Operation::Map { path, offset, content } => {
                let ino = self.open_at(path, Flags { write: true, ..Flags::default() })?;
                let room = (self.content(ino)?.len() as u64).saturating_sub(*offset);
                let mut bytes = content.bytes();
                bytes.truncate(usize::try_from(room).expect("small"));
                self.write_at(ino, *offset, &bytes);
            }
            Operation::CopyRange { from, to, from_offset, to_offset, length } => {
                seen = self.copy_range(from, to, *from_offset, *to_offset, *length)?.to_string();
            }
            Operation::Rename { from, to, replace } => self.rename(from, to, *replace)?,
            Operation::Exchange { one, other } => self.exchange(one, other)?,
            Operation::Remove { path } => self.remove(path)?,
            Operation::MakeFolder { path, mode } => {
                self.make(path, Kind::Folder(std::collections::BTreeMap::new()), *mode)?;
            }
            Operation::RemoveFolder { path } => {
                let place = self.walk(path, Last::Keep)?;
                if !self.entries(place.found.ok_or(ENOENT)?)?.is_empty() {
                    return Err(ENOTEMPTY);
                }
                self.detach(place.folder, &place.name);
            }
            Operation::RemoveTree { path } => {
                let place = self.walk(path, Last::Keep)?;
                self.entries(place.found.ok_or(ENOENT)?)?;
                self.detach_tree(place.folder, &place.name);
            }
            Operation::SyncFolder { path } => {
                self.find(path, Last::Follow)?;
            }
            Operation::Fill { path, count, content } => {
                for number in 0..*count {
                    let flags = Flags { write: true, create: true, truncate: true, ..Flags::default() };
                    let ino = self.open_at(&format!("{path}/n{number:03}"), flags)?;
                    self.write_at(ino, 0, &content.bytes());
                }
            }
            Operation::Clear { path } => {
                let folder = self.find(path, Last::Follow)?;
                for (name, ino) in self.entries(folder)?.clone() {
                    if matches!(self.inode(ino).kind, Kind::File(_)) {
                        self.detach(folder, &name);
                    }
                }
            }
            Operation::Link { path, target } => {
                self.make(path, Kind::Link(target.clone()), 0o777)?;
            }
            Operation::Name { path, new } => {
                let ino = self.find(path, Last::Keep)?;
                let place = self.walk(new, Last::Keep)?;
                match place.found {
                    Some(_) => return Err(EEXIST),
                    None if self.is_folder(ino) => return Err(EPERM),
                    None => self.name(ino, &place),
                }
            }
            Operation::Mode { path, mode } => {
                let ino = self.find(path, Last::Follow)?;
                self.inode_mut(ino).mode = *mode;
            }
            Operation::Time { path, nanos } => {
                let ino = self.find(path, Last::Follow)?;
                self.inode_mut(ino).modified = Modified::At(*nanos);
            }
            Operation::Stat { path } => {
                let ino = self.find(path, Last::Keep)?;
                seen = self.stat(ino);
            }
            Operation::Read { path } => {
                let ino = self.find(path, Last::Follow)?;
                seen = told(self.content(ino)?);
            }
            Operation::ReadLink { path } => {
                let ino = self.find(path, Last::Keep)?;
                let Kind::Link(target) = &self.inode(ino).kind else { return Err(EINVAL) };
                seen.clone_from(target);
            }
            Operation::List { path } => {
                let folder = self.find(path, Last::Follow)?;
                seen = self.list(folder, |_| true)?;
            }
            Operation::ListWhile { path, comes, goes } => {
                let folder = self.find(path, Last::Follow)?;
                self.entries(folder)?;
                seen = self.list(folder, |name| name != comes && name != goes)?;
                let made =
                    self.open_at(&format!("{path}/{comes}"), Flags { write: true, create: true, ..Flags::default() });
                let gone = self.remove(&format!("{path}/{goes}"));
                seen = format!("{seen}, {:?}, {gone:?}", made.map(drop));
            }
            _ => return self.apply_open(process, operation),
        }
        Ok(seen)
    }

    /// What a process does with what it has open. Nothing, if there is nothing.
    fn apply_open(&mut self, process: usize, operation: &Operation) -> Outcome {
        match operation {
            Operation::Open { slot, path, flags } => {
                self.close((process, *slot));
                let ino = self.open_at(path, *flags)?;
                let write = flags.write || flags.append;
                self.open((process, *slot), Handle { ino, write, append: flags.append });
                Ok(String::new())
            }
            Operation::Close { slot } => {
                self.close((process, *slot));
                Ok(String::new())
            }
            Operation::ReadOpen { slot, .. }
            | Operation::WriteOpen { slot, .. }
            | Operation::ResizeOpen { slot, .. }
            | Operation::SyncOpen { slot, .. }
            | Operation::StatOpen { slot } => match self.handles.get(&(process, *slot)).copied() {
                Some(handle) => self.apply_to(handle, operation),
                None => Ok(String::new()),
            },
            other => panic!("{other:?}"),
        }
    }

    fn apply_to(&mut self, handle: Handle, operation: &Operation) -> Outcome {
        let ino = handle.ino;
        match operation {
            Operation::ReadOpen { offset, length, .. } => {
                let content = self.content(ino)?;
                let start = usize::try_from(*offset).expect("small").min(content.len());
                let end = (start + length).min(content.len());
                return Ok(told(&content[start..end]));
            }
            // Linux appends whatever the offset is.
            Operation::WriteOpen { content, .. } if handle.append => self.append(ino, &content.bytes()),
            Operation::WriteOpen { content, .. } if !handle.write && content.length > 0 => return Err(libc::EBADF),
            Operation::WriteOpen { offset, content, .. } => self.write_at(ino, *offset, &content.bytes()),
            Operation::ResizeOpen { .. } if !handle.write => return Err(EINVAL),
            Operation::ResizeOpen { size, .. } => self.resize(ino, *size),
            Operation::StatOpen { .. } => {
                return Ok(self.stat(ino));
            }
            _ => {}
        }
        Ok(String::new())
    }

    /// `open`.
    fn open_at(&mut self, path: &str, flags: Flags) -> Done<Ino> {
        let last = if flags.create && flags.new { Last::Keep } else { Last::Follow };
        let place = self.walk(path, last)?;
        let Some(ino) = place.found else {
            return if flags.create { Ok(self.add(&place, Kind::File(Vec::new()), FILE_MODE)) } else { Err(ENOENT) };
        };
        if flags.create && flags.new {
            return Err(EEXIST);
        }
        if self.is_folder(ino) && (flags.write || flags.append || flags.create) {
            return Err(EISDIR);
        }
        if flags.truncate {
            self.resize(ino, 0);
        }
        Ok(ino)
    }

    fn rename(&mut self, from: &str, to: &str, replace: bool) -> Done {
        let (from, to) = (self.walk(from, Last::Keep)?, self.walk(to, Last::Keep)?);
        let source = from.found.ok_or(ENOENT)?;
        if to.found.is_some() && !replace {
            return Err(EEXIST);
        }
        if to.above.contains(&source) {
            return Err(EINVAL);
        }
        let Some(target) = to.found else {
            self.relocate(&from, &to);
            return Ok(());
        };
        if from.above.contains(&target) {
            return Err(ENOTEMPTY);
        }
        if source == target {
            return Ok(());
        }
        match (self.is_folder(source), self.is_folder(target)) {
            (true, false) => return Err(ENOTDIR),
            (false, true) => return Err(EISDIR),
            (true, true) if !self.entries(target)?.is_empty() => return Err(ENOTEMPTY),
            _ => {}
        }
        self.relocate(&from, &to);
        Ok(())
    }

    fn exchange(&mut self, one: &str, other: &str) -> Done {
        let (one, other) = (self.walk(one, Last::Keep)?, self.walk(other, Last::Keep)?);
        let (first, second) = (one.found.ok_or(ENOENT)?, other.found.ok_or(ENOENT)?);
        if other.above.contains(&first) || one.above.contains(&second) {
            return Err(EINVAL);
        }
        self.swap(&one, &other);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Done {
        let place = self.walk(path, Last::Keep)?;
        if self.is_folder(place.found.ok_or(ENOENT)?) {
            return Err(EISDIR);
        }
        self.detach(place.folder, &place.name);
        Ok(())
    }

    fn copy_range(&mut self, from: &str, to: &str, from_offset: u64, to_offset: u64, length: u64) -> Done<u64> {
        let source = self.open_at(from, Flags::default())?;
        let target = self.open_at(to, Flags { write: true, ..Flags::default() })?;
        if length == 0 {
            return Ok(0);
        }
        let content = self.content(source)?;
        let length = length.min((content.len() as u64).saturating_sub(from_offset));
        if source == target && to_offset + length > from_offset && to_offset < from_offset + length {
            return Err(EINVAL);
        }
        if length > 0 {
            let start = usize::try_from(from_offset).expect("small");
            let bytes = content[start..start + usize::try_from(length).expect("small")].to_vec();
            self.write_at(target, to_offset, &bytes);
        }
        Ok(length)
    }

    fn stat(&self, ino: Ino) -> String {
        let inode = self.inode(ino);
        match &inode.kind {
            Kind::Folder(_) => format!("a folder {:o}", inode.mode),
            Kind::File(content) => {
                format!("a file {:o} of {} bytes with {} names", inode.mode, content.len(), inode.names)
            }
            Kind::Link(_) => format!("a link with {} names", inode.names),
        }
    }

    fn list(&self, folder: Ino, which: impl Fn(&str) -> bool) -> Done<String> {
        let names: Vec<&str> = self.entries(folder)?.keys().map(String::as_str).filter(|name| which(name)).collect();
        Ok(names.join(" "))
    }
}
