//! One daemon a cache folder.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::MountError;

/// A cache folder that is ours for as long as this lives; the kernel frees it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Keeps the folder until the process ends. The kernel gives it back when nothing of the process can touch it any more, which
    /// the process itself cannot say of all its threads.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Makes the folder if it is not there, closes it to other users, and takes it.
    pub fn take(dir: &Path, mountpoint: &Path) -> Result<Self, MountError> {
        let unusable = |source| MountError::CacheDir { dir: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        let path: PathBuf = dir.join("lock");
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unreadable = file.read_to_string(&mut holder);
                let by = holder.lines().next().map_or_else(String::new, |holder| format!(" ({holder})"));
                return Err(MountError::InUse { dir: dir.to_owned(), by });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let line = format!("process {}, mounted at {}\n", std::process::id(), mountpoint.display());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
        written.map_err(unusable)?;
        Ok(Self { _file: file })
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
}
