//! The place to mount at, and the disk for the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Check, LOCAL, Obstacle, within};
use crate::config::{self, Bytes, LEAST_CACHE, MountConfig};
use crate::fs::CONTROL_XATTR;
use crate::mount::mountpoint::{self, MountpointError};
use crate::mount::prepare_cache_dir;
use crate::sys;

/// With less than this free, a training that saves its checkpoints soon waits for the network.
const LITTLE: Bytes = Bytes(1 << 30);

/// With fewer free inodes than this the disk is full while it still has space.
const FEW_FILES: u64 = 10_000;

/// Entries named in a message.
const NAMED: usize = 3;

/// What is found at a place.
#[derive(Debug)]
enum Found {
    Free { missing: bool },
    Dead,
    Ours,
    Unfit(MountpointError),
    NotWritable,
}

/// The place to mount at. Makes nothing and removes nothing.
pub(super) fn mountpoint(path: &Path) -> Check {
    let path = config::absolute(path);
    let asked = path.clone();
    let (place, word) = (path.display(), mountpoint::word(&path));
    let problem = |what: String, fix: String| Check::problem("mountpoint", Obstacle::CannotMount, what, fix);
    match within(LOCAL, move || look(&asked)) {
        Some(Found::Free { missing: false }) => Check::ok("mountpoint", format!("{place} is an empty folder")),
        Some(Found::Free { missing: true }) => Check::ok("mountpoint", format!("{place} will be made by `mount`")),
        Some(Found::Ours) => Check::ok("mountpoint", format!("{place} is a mount of drivemount already")),
        Some(Found::Dead) => Check::warning(
            "mountpoint",
            format!("a dead mount is at {place}"),
            format!("`drivemount mount` there removes it and goes on; `drivemount unmount {word}` only removes it"),
        ),
        Some(Found::NotWritable) => problem(
            format!("{place} belongs to somebody else, and only root may mount over that"),
            "mount at a folder of your own, as ~/drive, or as root".to_owned(),
        ),
        Some(Found::Unfit(error)) => {
            // These sentences say themselves what to do, after a semicolon.
            let text = error.to_string();
            let (what, fix) = text.split_once("; ").unwrap_or((&text, "mount somewhere else"));
            problem(what.to_owned(), fix.to_owned())
        }
        None => problem(
            format!("the mount at {place} does not answer: its daemon hangs"),
            format!("remove it with `umount -l {word}` or `fusermount3 -uz {word}`, and mount again"),
        ),
    }
}

fn look(path: &Path) -> Found {
    match sys::get_xattr(path, CONTROL_XATTR) {
        Ok(_) => return Found::Ours,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) => return Found::Dead,
        Err(_) => {}
    }
    let path = path.to_owned();
    let unusable = |path: PathBuf| move |source: io::Error| Found::Unfit(MountpointError::Unusable { path, source });
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_dir() => return Found::Unfit(MountpointError::NotAFolder { path }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Ok(target) = path.read_link() {
                return Found::Unfit(MountpointError::Dangling { path, target });
            }
            return match path.parent() {
                Some(above) if !above.is_dir() => Found::Unfit(MountpointError::Missing { path }),
                Some(above) if !sys::is_writable(above) => Found::NotWritable,
                _ => Found::Free { missing: true },
            };
        }
        Err(error) => return unusable(path)(error),
    }
    let names = fs::read_dir(&path).and_then(|entries| {
        entries
            .take(NAMED + 1)
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
    });
    match names {
        Err(error) => unusable(path)(error),
        Ok(names) if names.is_empty() && !sys::is_writable(&path) => Found::NotWritable,
        Ok(names) if names.is_empty() => Found::Free { missing: false },
        Ok(mut names) => {
            let more = if names.len() > NAMED { " and more" } else { "" };
            names.truncate(NAMED);
            Found::Unfit(MountpointError::NotEmpty { path, names: names.join(", ") + more })
        }
    }
}

/// The cache folder, and the disk that it lies on.
pub(super) fn cache(config: &MountConfig) -> Check {
    let (dir, cap) = (config.cache_dir.clone(), config.cache_size);
    let shown = dir.display().to_string();
    within(LOCAL, move || cache_at(&dir, cap)).unwrap_or_else(|| {
        let elsewhere = "give a folder on a disk of this machine with --cache-dir";
        Check::problem("cache", Obstacle::Cache, format!("the disk of {shown} does not answer"), elsewhere)
    })
}

fn cache_at(dir: &Path, cap: Bytes) -> Check {
    let place = dir.display();
    let problem = |what: String, fix: &str| Check::problem("cache", Obstacle::Cache, what, fix);
    let elsewhere = "give another folder with --cache-dir";
    if dir.exists()
        && let Err(error) = prepare_cache_dir(dir)
    {
        let text = error.to_string();
        let (what, fix) = text.split_once(". ").unwrap_or((&text, elsewhere));
        return problem(what.to_owned(), fix);
    }
    let Some(there) = dir.ancestors().find(|above| above.exists()) else {
        return problem(format!("{place} cannot be made"), elsewhere);
    };
    if !sys::is_writable(there) {
        return problem(format!("{place} cannot be used: no permission to write in {}", there.display()), elsewhere);
    }
    let disk = match sys::disk(there) {
        Ok(disk) => disk,
        Err(error) => return problem(format!("{place}: {error}"), elsewhere),
    };
    let free = Bytes(disk.free_bytes);
    if free < LEAST_CACHE {
        return problem(
            format!("{place}: only {free} free, and a cache takes {LEAST_CACHE} at least"),
            "free some space, or give a folder on another disk with --cache-dir",
        );
    }
    let state = format!("{place}: {free} free, the cache takes up to {cap}");
    if disk.is_memory {
        return Check::warning(
            "cache",
            format!(
                "{state}; but this is memory and no disk, which takes it from programs and loses it with the machine"
            ),
            "give a folder on a disk with --cache-dir",
        );
    }
    if let Some(files) = disk.free_files.filter(|&files| files < FEW_FILES) {
        return Check::warning(
            "cache",
            format!("{state}; but the disk can take only {files} more files (inodes)"),
            "remove small files, or give a folder on another disk with --cache-dir",
        );
    }
    if free < LITTLE || free < cap {
        return Check::warning(
            "cache",
            state,
            "let the cache take less with --cache-size, free some space, or use another disk with --cache-dir",
        );
    }
    Check::ok("cache", state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_place_is_judged_and_left_as_it_is() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("full/x")).expect("makes");
        fs::create_dir(at("empty")).expect("makes");
        fs::write(at("file"), b"x").expect("writes");
        for (name, outcome, words) in [
            ("empty", Outcome::Ok, "is an empty folder"),
            ("new", Outcome::Ok, "will be made"),
            ("full", Outcome::Problem(Obstacle::CannotMount), "is not empty (it holds x)"),
            ("file", Outcome::Problem(Obstacle::CannotMount), "is not a folder"),
            ("none/none", Outcome::Problem(Obstacle::CannotMount), "does not exist"),
        ] {
            let check = mountpoint(&at(name));
            assert_eq!(check.outcome, outcome, "{check:?}");
            assert!(check.what.contains(words), "{check:?}");
            assert_eq!(check.fix.is_some(), outcome != Outcome::Ok, "{check:?}");
        }
        assert!(!at("new").exists());
    }

    #[test]
    fn a_cache_folder_is_judged_and_not_made() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cache = dir.path().join("cache");
        let check = cache_at(&cache, Bytes(u64::MAX >> 1));
        assert_eq!(check.outcome, Outcome::Warning, "{check:?}");
        assert!(!cache.exists());
        fs::create_dir(&cache).expect("makes");
        fs::write(cache.join("letter"), b"x").expect("writes");
        let check = cache_at(&cache, Bytes(1));
        assert_eq!(check.outcome, Outcome::Problem(Obstacle::Cache), "{check:?}");
        assert!(check.what.contains("holds something else (letter)"), "{check:?}");
    }
}
