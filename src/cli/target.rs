//! Which mount a command is for.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Exit, Failure, small_runtime};
use crate::control::{Client, ClientError, Status};
use crate::doctor::apart::{self, Ask};
use crate::mount::mountpoint::{self, MountLine};
use crate::{config, sys};

/// Links followed before a path counts as a circle, as for the kernel (`path_resolution(7)`).
const LINKS: usize = 40;

/// A place in a mount.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    /// The place below the mountpoint; empty: the mount itself.
    pub(super) path: String,
}

/// The mount that `path` lies in; without a path, the one around the working folder, or the only one there is.
pub(super) fn find(path: Option<&Path>) -> Result<Target, Failure> {
    let (mount, path) = locate(path)?;
    Ok(Target { client: Client::new(&mount)?, path })
}

/// As [`find`], but not for longer than some time: it asks the daemon where to reach it, and a daemon that hangs never answers.
pub(super) fn find_within(path: Option<&Path>, time: Option<Duration>) -> Result<Target, Failure> {
    let Some(time) = time else { return find(path) };
    let (mount, path) = locate(path)?;
    let silent = || {
        Failure::new(Exit::Unsent, "the mount does not answer, so it is not known what the drive has; try again later")
    };
    // In this process, a question without an answer would keep it from ending.
    let whereabouts = apart::ask(&Ask::Whereabouts(mount.clone()), time).ok_or_else(silent)?;
    Ok(Target { client: Client::at(&mount, whereabouts)?, path })
}

/// The mountpoint of the mount that `path` lies in, and the place below it. Touches no mount of ours.
fn locate(path: Option<&Path>) -> Result<(PathBuf, String), Failure> {
    let table = table()?;
    let ours = || table.iter().filter(|mount| mount.is_ours());
    let Some(path) = path else {
        if let Some(mount) = std::env::current_dir().ok().and_then(|here| around(&here, &table)) {
            return own(mount, Path::new(""));
        }
        let places: Vec<String> = ours().map(|mount| mount.path.display().to_string()).collect();
        return match (ours().next(), places.len()) {
            (None, _) => {
                Err(Failure::new(Exit::Failure, "nothing is mounted; `drivemount mount` or `drivemount demo` does it"))
            }
            (Some(only), 1) => own(only, Path::new("")),
            _ => Err(Failure::new(Exit::Usage, format!("which one? Mounted are {}", places.join(", ")))),
        };
    };
    let place = resolve(path, &table);
    match around(&place, &table) {
        Some(mount) => own(mount, place.strip_prefix(&mount.path).unwrap_or(Path::new(""))),
        None => Err(Failure::new(Exit::Failure, format!("{} is not in a drivemount", path.display()))),
    }
}

/// A mount of this machine, and how it fares as far as it answers.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) line: MountLine,
    pub(super) answer: Answer,
}

/// What a mount answers that is asked how it fares.
#[derive(Debug)]
pub(super) enum Answer {
    Fares(Box<Status>),
    /// Its daemon is gone.
    Dead,
    /// It does not answer in time, or makes no sense.
    Silent,
    /// It is another user's, who alone may ask it.
    OfUser(u32),
}

/// All mounts of ours, in the order of the table; asked at the same time, and for no longer than some time.
pub(super) fn ask_all(time: Duration) -> Result<Vec<Found>, Failure> {
    let until = Instant::now() + time;
    let mut table = table()?;
    table.retain(MountLine::is_ours);
    // Of several at one place only the last can be reached.
    let mut seen = HashSet::new();
    let mut lines: Vec<MountLine> = table.into_iter().rev().filter(|line| seen.insert(line.path.clone())).collect();
    lines.reverse();
    let (user, _) = sys::user_and_group();
    let asked: Vec<_> = lines
        .into_iter()
        .map(|line| {
            if let Some(owner) = line.user.filter(|&owner| user != 0 && owner != user) {
                return (line, Err(owner));
            }
            let (tell, told) = mpsc::channel();
            let path = line.path.clone();
            thread::spawn(move || tell.send(ask_one(&path, time)));
            (line, Ok(told))
        })
        .collect();
    let answer = |(line, told): (MountLine, Result<mpsc::Receiver<Answer>, u32>)| {
        let answer = match told {
            Ok(told) => {
                let left = until.saturating_duration_since(Instant::now());
                told.recv_timeout(left).unwrap_or(Answer::Silent)
            }
            Err(owner) => Answer::OfUser(owner),
        };
        Found { line, answer }
    };
    Ok(asked.into_iter().map(answer).collect())
}

/// How one mount fares, asked for no longer than some time.
pub(super) fn ask_one(mountpoint: &Path, time: Duration) -> Answer {
    let until = Instant::now() + time;
    let Some(whereabouts) = apart::ask(&Ask::Whereabouts(mountpoint.to_owned()), time) else { return Answer::Silent };
    let client = match Client::at(mountpoint, whereabouts) {
        Ok(client) => client,
        Err(ClientError::Dead { .. }) => return Answer::Dead,
        Err(_) => return Answer::Silent,
    };
    let Ok(runtime) = small_runtime() else { return Answer::Silent };
    let left = until.saturating_duration_since(Instant::now());
    let status = runtime.block_on(async { tokio::time::timeout(left, client.status()).await });
    status.ok().and_then(Result::ok).map_or(Answer::Silent, |status| Answer::Fares(Box::new(status)))
}

/// The real place of a path, found without a look at any mount of ours.
pub(super) fn place(path: &Path) -> Result<PathBuf, Failure> {
    Ok(resolve(path, &table()?))
}

fn table() -> Result<Vec<MountLine>, Failure> {
    mountpoint::mounts().map_err(|error| {
        Failure::new(Exit::Failure, format!("the table of mounts cannot be read: {error}; is /proc mounted?"))
    })
}

/// The mount of ours that a place lies in.
fn around<'a>(place: &Path, table: &'a [MountLine]) -> Option<&'a MountLine> {
    mountpoint::innermost(place, table).filter(|mount| mount.is_ours())
}

/// The real place of a path. Links are followed on the way to a mount of ours and not within it: its files are on the drive, which
/// may not answer.
fn resolve(path: &Path, table: &[MountLine]) -> PathBuf {
    let mut place = PathBuf::from("/");
    // The last part first.
    let mut parts: Vec<PathBuf> = split(&config::absolute(path));
    let mut links = 0;
    while let Some(part) = parts.pop() {
        match part.components().next() {
            Some(Component::ParentDir) => drop(place.pop()),
            Some(Component::RootDir) => place = PathBuf::from("/"),
            Some(Component::Normal(name)) => {
                place.push(name);
                let link = if around(&place, table).is_some() { None } else { place.read_link().ok() };
                if let Some(target) = link.filter(|_| links < LINKS) {
                    links += 1;
                    place.pop();
                    parts.extend(split(&target));
                }
            }
            _ => {}
        }
    }
    place
}

/// The parts of a path, from the last to the first.
fn split(path: &Path) -> Vec<PathBuf> {
    path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

/// A place in a mount, if this user may ask the mount.
fn own(mount: &MountLine, path: &Path) -> Result<(PathBuf, String), Failure> {
    let (user, _) = sys::user_and_group();
    if let Some(owner) = mount.user.filter(|&owner| user != 0 && owner != user) {
        let place = mount.path.display();
        let message =
            format!("{place} was mounted by another user (number {owner}); only that one, and root, can do this");
        return Err(Failure::new(Exit::Failure, message));
    }
    Ok((mount.path.clone(), path.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_place_is_found_through_links_and_without_a_look_at_the_mount() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().canonicalize().expect("real");
        std::os::unix::fs::symlink("drive/sub", root.join("link")).expect("links");
        std::os::unix::fs::symlink(root.join("link"), root.join("further")).expect("links");
        std::os::unix::fs::symlink("circle", root.join("circle")).expect("links");
        // What lies in the mount would be followed if it were looked at.
        fs::create_dir(root.join("drive")).expect("makes");
        std::os::unix::fs::symlink("/", root.join("drive/sub")).expect("links");
        let table = [MountLine::ours(&root.join("drive"))];
        for (path, place) in [
            ("drive", "drive"),
            ("drive/sub/file", "drive/sub/file"),
            ("drive/a/../b", "drive/b"),
            ("drive/..", ""),
            ("./link/file", "drive/sub/file"),
            ("further/x", "drive/sub/x"),
            ("none/../drive", "drive"),
        ] {
            assert_eq!(resolve(&root.join(path), &table), root.join(place).components().collect::<PathBuf>(), "{path}");
        }
        assert!(around(&resolve(&root.join("circle"), &table), &table).is_none());
    }
}
