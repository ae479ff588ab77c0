//! What became of a mount that has gone while it was watched.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::super::output::{count, trouble};
use crate::clock::Instant;
use crate::config::{Bytes, DEFAULT_ACCOUNT, Source};
use crate::control::Status;
use crate::mount::caches::Folder;
use crate::mount::mountpoint::word;

/// How long a daemon is waited for whose mount has gone: it closes its cache folder after that.
const CLOSING: Duration = Duration::from_secs(5);

/// What is to be said in the end, where a status was seen before.
pub(super) fn lines(place: &Path, last: Option<&Status>) -> Vec<String> {
    let folder = last.and_then(|status| closed(&status.cache.dir));
    let mut lines = vec![sentence(place, last, folder.as_ref())];
    lines.extend(last.into_iter().flat_map(trouble));
    lines
}

/// The cache folder, as soon as nobody uses it, or as it is then.
fn closed(dir: &Path) -> Option<Folder> {
    let until = Instant::now() + CLOSING;
    loop {
        let folder = Folder::look(dir).ok().flatten();
        if folder.as_ref().is_some_and(|folder| !folder.in_use) || Instant::now() >= until {
            return folder;
        }
        // A lock has no event to wait for.
        thread::sleep(Duration::from_millis(50));
    }
}

fn sentence(place: &Path, last: Option<&Status>, folder: Option<&Folder>) -> String {
    let shown = place.display();
    let Some(folder) = folder else { return format!("{shown} is unmounted") };
    if folder.waiting.is_empty() {
        // What has no entry any more, and could not be sent.
        return if folder.precious.is_empty() {
            format!("{shown} is unmounted; everything is on the drive")
        } else {
            format!("{shown} is unmounted; what could not be sent is kept in {}", folder.dir.display())
        };
    }
    let number = folder.waiting.len();
    let files = folder.waiting.iter().all(|waiting| waiting.bytes > 0);
    let things = if files { count(number, "file", "files") } else { count(number, "entry", "entries") };
    let left = format!("{} in {things}", Bytes(folder.unsent_bytes()));
    if folder.in_use {
        return format!("{shown} is unmounted; {left} is still being sent");
    }
    format!("{shown} is unmounted; {left} is only on this machine: `{}` sends it", again(place, last))
}

/// The command that mounts the same drive there again.
fn again(place: &Path, last: Option<&Status>) -> String {
    let source = last.map(|status| &status.source).filter(|source| **source != Source::Google.to_string());
    let name = last.and_then(|status| status.sign_in_name.as_ref()).filter(|name| *name != DEFAULT_ACCOUNT);
    let source = source.map_or_else(String::new, |source| format!("{} ", word(Path::new(source))));
    let name = name.map_or_else(String::new, |name| format!(" --account {}", word(Path::new(name))));
    format!("drivemount mount {source}{}{name}", word(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writeback::Waiting;

    fn folder(waiting: &[u64]) -> Folder {
        let waiting = waiting.iter().map(|&bytes| Waiting { path: "a".to_owned(), bytes, error: None });
        Folder {
            dir: "/cache".into(),
            source: None,
            account: None,
            holder: None,
            in_use: false,
            cached_bytes: 0,
            waiting: waiting.collect(),
            precious: Vec::new(),
        }
    }

    #[test]
    fn what_is_left_of_a_mount_is_what_its_cache_folder_holds() {
        let said = |folder: Option<Folder>| sentence(Path::new("/m"), None, folder.as_ref());
        assert_eq!(said(None), "/m is unmounted");
        assert_eq!(said(Some(folder(&[]))), "/m is unmounted; everything is on the drive");
        assert_eq!(
            said(Some(folder(&[104 << 10]))),
            "/m is unmounted; 104 KiB in 1 file is only on this machine: `drivemount mount /m` sends it"
        );
        let sending = Folder { in_use: true, ..folder(&[1 << 10, 0]) };
        assert_eq!(said(Some(sending)), "/m is unmounted; 1 KiB in 2 entries is still being sent");
        let kept = Folder { precious: vec!["/cache/unfinished/1".into()], ..folder(&[]) };
        assert_eq!(said(Some(kept)), "/m is unmounted; what could not be sent is kept in /cache");
    }
}
