//! What cache folders hold that the drive does not have, said where the mount itself cannot say it any more.

use std::fs;
use std::path::{Path, PathBuf};

use super::output::{count, plain};
use super::target;
use crate::config::{self, Bytes, Source};
use crate::mount::caches::{self, Folder};
use crate::mount::mountpoint::word;

/// The cache folders that are where such folders are. What cannot be looked at is passed over: `cache show` names it.
pub(super) fn folders() -> Vec<Folder> {
    let dirs = config::default_cache_root().and_then(|root| caches::below(&root).ok()).unwrap_or_default();
    dirs.iter().filter_map(|dir| Folder::look(dir).ok().flatten()).collect()
}

/// Of some folders, the one that was mounted last at a place.
pub(super) fn last_at<'a>(mountpoint: &Path, folders: &'a [Folder]) -> Option<&'a Folder> {
    let there = folders.iter().filter(|folder| folder.mountpoint().as_deref() == Some(mountpoint));
    // Each mount writes the lock anew.
    there.max_by_key(|folder| fs::metadata(folder.dir.join("lock")).and_then(|lock| lock.modified()).ok())
}

/// What the mount left that was at a place and has no daemon any more, and what sends it; `None`: not known.
pub(super) fn told(mountpoint: &Path) -> Option<String> {
    let place = target::place(mountpoint).unwrap_or_else(|_| mountpoint.to_owned());
    let folders = folders();
    last_at(&place, &folders).map(left_by_dead)
}

/// What a dead mount left in its folder, and what sends it.
pub(super) fn left_by_dead(folder: &Folder) -> String {
    let left = match (folder.waiting.len(), folder.precious.is_empty()) {
        (0, true) => return "everything was on the drive".to_owned(),
        (0, false) => return "everything that was closed or synced was on the drive".to_owned(),
        (1, _) => "is not on the drive",
        _ => "are not on the drive",
    };
    plain(&format!("{} {left}: {} sends it", amount_of(folder), mount_again(folder, folder.mountpoint())))
}

/// How much of a folder is unsent.
pub(super) fn amount_of(folder: &Folder) -> String {
    let all_files = folder.waiting.iter().all(|waiting| waiting.bytes > 0);
    amount(folder.unsent_bytes(), folder.waiting.len(), all_files)
}

/// An amount of what the drive does not have: `26.8 MiB in 1 file`.
pub(super) fn amount(bytes: u64, entries: usize, all_files: bool) -> String {
    match (bytes, entries) {
        (0, 0) => "nothing".to_owned(),
        // Removed, renamed, made: there is no content to it.
        (0, entries) => count(entries, "change", "changes"),
        (bytes, 0) => format!("{} being written", Bytes(bytes)),
        (bytes, entries) if all_files => format!("{} in {}", Bytes(bytes), count(entries, "file", "files")),
        (bytes, entries) => format!("{} in {}", Bytes(bytes), count(entries, "entry", "entries")),
    }
}

/// The command that mounts the drive of a folder again, as words of a sentence.
pub(super) fn mount_again(folder: &Folder, place: Option<PathBuf>) -> String {
    let place = place.map_or_else(|| "MOUNTPOINT".to_owned(), |place| word(&place));
    let source = folder.source.as_deref().unwrap_or("SOURCE");
    // An account, a root or a folder given for the cache has to be given again.
    let usual = source.parse::<Source>().ok().and_then(|source| config::default_cache_dir(&source, None, None));
    let as_before = if usual.as_ref() == Some(&folder.dir) { "" } else { " with the options it had" };
    format!("`drivemount mount {source} {place}`{as_before}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_told_by_what_it_consists_of() {
        assert_eq!(amount(0, 0, true), "nothing");
        assert_eq!(amount(0, 2, false), "2 changes");
        assert_eq!(amount(1000, 0, true), "1000 B being written");
        assert_eq!(amount(1000, 1, true), "1000 B in 1 file");
        assert_eq!(amount(1000, 3, false), "1000 B in 3 entries");
    }
}
