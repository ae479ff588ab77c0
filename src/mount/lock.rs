//! One daemon a cache folder.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::MountError;

/// A file that tells a cache folder of ours: either does.
const MARKS: [&str; 2] = ["lock", "state.db"];

/// What a start that came to nothing leaves.
const LOGS: [&str; 2] = ["drivemount.log", "drivemount.log.old"];

/// The bits of a mode that let other users change what is in a folder.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Entries named in a message.
const NAMED: usize = 3;

/// Makes a cache folder, closed to other users. One that is there must be a cache of ours or empty, and nobody else's to change;
/// its mode stays as it is, since somebody may have had a reason for it.
pub fn prepare(dir: &Path) -> Result<(), MountError> {
    let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
    let mode = match fs::metadata(dir) {
        Ok(there) => there.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable);
        }
        Err(error) => return Err(unusable(error)),
    };
    let mut strangers = Vec::new();
    for entry in fs::read_dir(dir).map_err(unusable)? {
        let name = entry.map_err(unusable)?.file_name().to_string_lossy().into_owned();
        if !LOGS.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    let ours = MARKS.iter().any(|mark| dir.join(mark).is_file());
    if !ours && !strangers.is_empty() {
        strangers.sort();
        if strangers.len() > NAMED {
            strangers.truncate(NAMED);
            strangers.push("more".to_owned());
        }
        return Err(MountError::NotACache { dir: dir.to_owned(), names: strangers.join(", ") });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(MountError::CacheOpenToOthers { dir: dir.to_owned() });
    }
    Ok(())
}

/// A cache folder that is ours for as long as this lives; the kernel frees it with the process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The folder itself, locked as well: whoever removes the file does not free it.
    folder: File,
}

impl Lock {
    /// A folder that an earlier worker took, which handed it on.
    pub(super) fn inherited([file, folder]: [OwnedFd; 2]) -> Self {
        Self { file: file.into(), folder: folder.into() }
    }

    /// What holds it, to be handed on.
    pub(super) fn files(&self) -> [BorrowedFd<'_>; 2] {
        [self.file.as_fd(), self.folder.as_fd()]
    }

    /// Keeps the folder until the process ends. The kernel gives it back when nothing of the process can touch it any more, which
    /// the process itself cannot say of all its threads.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Takes a folder that is there, for work in it while nothing is mounted. Who held it last stays written in it.
    pub fn take_unused(dir: &Path) -> Result<Self, MountError> {
        let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
        // `prepare` makes what is missing.
        fs::metadata(dir).map_err(unusable)?;
        prepare(dir)?;
        Self::open(dir)
    }

    /// Makes the folder if it is not there, and takes it.
    pub fn take(dir: &Path, mountpoint: &Path) -> Result<Self, MountError> {
        let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
        prepare(dir)?;
        let mut lock = Self::open(dir)?;
        let line = format!("process {}, mounted at {}\n", std::process::id(), mountpoint.display());
        let file = &mut lock.file;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
        written.map_err(unusable)?;
        Ok(lock)
    }

    fn open(dir: &Path) -> Result<Self, MountError> {
        let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
        let options = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("lock"));
        let mut file = options.map_err(unusable)?;
        let folder = File::open(dir).map_err(unusable)?;
        let file_lock = file.try_lock();
        match (&file_lock, folder.try_lock()) {
            (Err(TryLockError::WouldBlock), _) | (_, Err(TryLockError::WouldBlock)) => {
                let mut holder = String::new();
                let _unreadable = file.read_to_string(&mut holder);
                let by = holder.lines().next().map_or_else(String::new, |holder| format!(" ({holder})"));
                return Err(MountError::InUse { dir: dir.to_owned(), by });
            }
            // There are file systems that lock no folders.
            (_, Err(TryLockError::Error(_)) | Ok(())) => {}
        }
        match file_lock {
            Err(TryLockError::Error(source)) => Err(unusable(source)),
            _ => Ok(Self { file, folder }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_its_holder_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cache = dir.path().join("cache");
        let lock = Lock::take(&cache, Path::new("/content/drive")).expect("taken");
        assert_eq!(fs::metadata(&cache).expect("stat").permissions().mode() & 0o777, 0o700);
        let error = Lock::take(&cache, Path::new("/other")).expect_err("in use").to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())) && error.contains("/content/drive"),
            "{error}"
        );
        drop(lock);
        Lock::take(&cache, Path::new("/other")).expect("free again");
    }

    #[test]
    fn a_folder_that_was_there_keeps_its_mode_and_its_content_is_respected() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let make = |name: &str, mode: u32| {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).expect("makes");
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("sets the mode");
            folder
        };
        let mode = |folder: &Path| fs::metadata(folder).expect("stat").permissions().mode() & 0o7777;
        let take = |folder: &Path| Lock::take(folder, Path::new("/drive"));

        let empty = make("empty", 0o755);
        fs::write(empty.join("drivemount.log"), b"what was wrong").expect("writes");
        drop(take(&empty).expect("an empty one will do"));
        drop(take(&empty).expect("and is a cache of ours then"));
        assert_eq!(mode(&empty), 0o755);

        let full = make("full", 0o755);
        fs::write(full.join("precious"), b"x").expect("writes");
        fs::create_dir(full.join("lock")).expect("a folder is no mark");
        let refused = take(&full).expect_err("not ours").to_string();
        assert!(refused.contains("lock, precious") && refused.contains("--cache-dir"), "{refused}");
        assert_eq!(fs::read_dir(&full).expect("lists").count(), 2);

        let public = make("public", 0o1777);
        let refused = take(&public).expect_err("anybody may write").to_string();
        assert!(refused.contains("other users") && refused.contains("--cache-dir"), "{refused}");
        assert_eq!(mode(&public), 0o1777);
    }
}
