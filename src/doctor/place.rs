//! The place to mount at, and the disk for the cache.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::apart::{Ask, ask};
use super::{Check, LOCAL, Obstacle};
use crate::config::{self, Bytes, LEAST_CACHE, MountConfig, Occupied};
use crate::fs::CONTROL_XATTR;
use crate::mount::mountpoint::{self, MountpointError};
use crate::mount::prepare_cache_dir;
use crate::sys::{self, Disk};

/// With less than this free, a training that saves its checkpoints soon waits for the network.
const LITTLE: Bytes = Bytes(1 << 30);

/// With fewer free inodes than this the disk is full while it still has space.
const FEW_FILES: u64 = 10_000;

/// Entries named in a message.
const NAMED: usize = 3;

/// What is found at a place to mount at.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Found {
    Empty,
    ToBeMade,
    Dead,
    Ours,
    /// As [`MountpointError`] says it.
    Unfit(String),
    /// A folder that holds something; as [`MountpointError`] says it.
    Occupied(String),
    NotWritable,
}

/// What is found of a cache folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Cache {
    Unfit { what: String, fix: String },
    On { free_bytes: u64, free_files: Option<u64>, is_memory: bool },
}

/// What to do if the cache folder cannot be used.
const ELSEWHERE: &str = "give another folder with --cache-dir";

/// The place to mount at, and what was said of what it may hold. Makes nothing and removes nothing.
pub(super) fn mountpoint(path: &Path, occupied: Occupied) -> Check {
    let path = config::absolute(path);
    match (ask(&Ask::Place(path.clone()), LOCAL), occupied) {
        (Some(Found::Occupied(_)), Occupied::Hide) => {
            Check::ok("mountpoint", format!("{} holds files, which a mount hides", path.display()))
        }
        (Some(Found::Occupied(_)), Occupied::Import) => {
            Check::ok("mountpoint", format!("{} holds files, which a mount moves into the drive", path.display()))
        }
        (found, _) => judge(&path, found),
    }
}

fn judge(path: &Path, found: Option<Found>) -> Check {
    let (place, word) = (path.display(), mountpoint::word(path));
    let problem = |what: String, fix: String| Check::problem("mountpoint", Obstacle::CannotMount, what, fix);
    match found {
        Some(Found::Empty) => Check::ok("mountpoint", format!("{place} is an empty folder")),
        Some(Found::ToBeMade) => Check::ok("mountpoint", format!("{place} will be made by `mount`")),
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
        Some(Found::Unfit(text) | Found::Occupied(text)) => {
            // These sentences say themselves what to do, after a semicolon.
            let (what, fix) = text.split_once("; ").unwrap_or((&text, "mount somewhere else"));
            problem(what.to_owned(), fix.to_owned())
        }
        None => problem(
            format!("the mount at {place} does not answer: its daemon hangs"),
            format!("end it with `umount -f {word}` (root) or `fusermount3 -uz {word}`, and mount again"),
        ),
    }
}

/// Looks at a place. May hang if a mount is there.
pub(super) fn look(path: &Path) -> Found {
    match sys::get_xattr(path, CONTROL_XATTR) {
        Ok(_) => return Found::Ours,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) => return Found::Dead,
        Err(_) => {}
    }
    free(path).unwrap_or_else(|error| match error {
        MountpointError::NotEmpty { .. } => Found::Occupied(error.to_string()),
        error => Found::Unfit(error.to_string()),
    })
}

fn free(path: &Path) -> Result<Found, MountpointError> {
    let owned = || path.to_owned();
    let unusable = |source| MountpointError::Unusable { path: owned(), source };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(MountpointError::NotAFolder { path: owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Ok(target) = path.read_link() {
                return Err(MountpointError::Dangling { path: owned(), target });
            }
            let above = path.parent().filter(|above| above.is_dir());
            let Some(above) = above else { return Err(MountpointError::Missing { path: owned() }) };
            return Ok(if sys::is_writable(above) { Found::ToBeMade } else { Found::NotWritable });
        }
        Err(error) => return Err(unusable(error)),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unusable)?.take(NAMED + 1) {
        names.push(entry.map_err(unusable)?.file_name().to_string_lossy().into_owned());
    }
    if names.is_empty() {
        return Ok(if sys::is_writable(path) { Found::Empty } else { Found::NotWritable });
    }
    let more = if names.len() > NAMED { " and more" } else { "" };
    names.truncate(NAMED);
    Err(MountpointError::NotEmpty { path: owned(), names: names.join(", ") + more })
}

/// The cache folder, and the disk that it lies on.
pub(super) fn cache(config: &MountConfig) -> Check {
    judge_cache(&config.cache_dir, config.cache_size, ask(&Ask::Cache(config.cache_dir.clone()), LOCAL))
}

/// Looks at a cache folder. May hang if it is on a disk of another machine.
pub(super) fn look_at_disk(dir: &Path) -> Cache {
    let unfit = |what: String| Cache::Unfit { what, fix: ELSEWHERE.to_owned() };
    let place = dir.display();
    if dir.exists()
        && let Err(error) = prepare_cache_dir(dir)
    {
        // These sentences say themselves what to do, in a sentence of its own.
        let text = error.to_string();
        let (what, fix) = text.split_once(". ").unwrap_or((&text, ELSEWHERE));
        return Cache::Unfit { what: what.to_owned(), fix: fix.to_owned() };
    }
    let Some(there) = dir.ancestors().find(|above| above.exists()) else {
        return unfit(format!("{place} cannot be made"));
    };
    if !sys::is_writable(there) {
        return unfit(format!("{place} cannot be used: no permission to write in {}", there.display()));
    }
    match sys::disk(there) {
        Ok(Disk { free_bytes, free_files, is_memory, .. }) => Cache::On { free_bytes, free_files, is_memory },
        Err(error) => unfit(format!("{place}: {error}")),
    }
}

fn judge_cache(dir: &Path, cap: Bytes, found: Option<Cache>) -> Check {
    let place = dir.display();
    let problem = |what: String, fix: &str| Check::problem("cache", Obstacle::Cache, what, fix);
    let (free_bytes, free_files, is_memory) = match found {
        None => return problem(format!("the disk of {place} does not answer"), ELSEWHERE),
        Some(Cache::Unfit { what, fix }) => return problem(what, &fix),
        Some(Cache::On { free_bytes, free_files, is_memory }) => (free_bytes, free_files, is_memory),
    };
    let free = Bytes(free_bytes);
    if free < LEAST_CACHE {
        return problem(
            format!("{place}: only {free} free, and a cache takes {LEAST_CACHE} at least"),
            "free some space, or give a folder on another disk with --cache-dir",
        );
    }
    let state = format!("{place}: {free} free, the cache takes up to {cap}");
    let warning = |but: String, fix: &str| Check::warning("cache", state.clone() + &but, fix);
    if is_memory {
        let but = "; but this is memory and no disk, which programs lack then, and which is lost with the machine";
        return warning(but.to_owned(), "give a folder on a disk with --cache-dir");
    }
    if let Some(files) = free_files.filter(|&files| files < FEW_FILES) {
        let but = format!("; but the disk can take only {files} more files (inodes)");
        return warning(but, "remove small files, or give a folder on another disk with --cache-dir");
    }
    if free < LITTLE || free < cap {
        return warning(
            String::new(),
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
            let check = judge(&at(name), Some(look(&at(name))));
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
        let judge = |cap| judge_cache(&cache, Bytes(cap), Some(look_at_disk(&cache)));
        let check = judge(u64::MAX >> 1);
        assert_eq!(check.outcome, Outcome::Warning, "{check:?}");
        assert!(!cache.exists());
        fs::create_dir(&cache).expect("makes");
        fs::write(cache.join("letter"), b"x").expect("writes");
        let check = judge(1);
        assert_eq!(check.outcome, Outcome::Problem(Obstacle::Cache), "{check:?}");
        assert!(check.what.contains("holds something else (letter)"), "{check:?}");
        let memory = Cache::On { free_bytes: 1 << 40, free_files: None, is_memory: true };
        assert!(judge_cache(&cache, Bytes(1), Some(memory)).what.contains("this is memory"));
        let few = Cache::On { free_bytes: 1 << 40, free_files: Some(7), is_memory: false };
        assert!(judge_cache(&cache, Bytes(1), Some(few)).what.contains("only 7 more files"));
        let little = Cache::On { free_bytes: 1 << 20, free_files: None, is_memory: false };
        assert_eq!(judge_cache(&cache, Bytes(1), Some(little)).outcome, Outcome::Problem(Obstacle::Cache));
    }
}
