//! May it be mounted here?

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Occupied;
use crate::fs::CONTROL_XATTR;
use crate::sys;

/// What the table of mounts calls the file system of ours, after this.
const FUSE: &str = "fuse.";

/// Entries named in a message.
const NAMED: usize = 3;

/// Why a place cannot be mounted at.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    /// It is not there, and neither is its folder.
    #[error("{path} does not exist; make it with `mkdir -p {word}`", path = path.display(), word = word(path))]
    Missing {
        /// The place.
        path: PathBuf,
    },
    /// It is a link to something that does not exist.
    #[error("{path} is a link to {target}, which does not exist; make that folder, or give another", path = path.display(), target = target.display())]
    Dangling {
        /// The place.
        path: PathBuf,
        /// What the link says.
        target: PathBuf,
    },
    /// It is not a folder.
    #[error("{path} is not a folder; give the path of an empty folder", path = path.display())]
    NotAFolder {
        /// The place.
        path: PathBuf,
    },
    /// It has entries.
    #[error(
        "{path} is not empty (it holds {names}); mount at an empty folder, move what is there into the drive with \
         --import-existing, or hide it for as long as the drive is mounted with --allow-non-empty",
        path = path.display()
    )]
    NotEmpty {
        /// The place.
        path: PathBuf,
        /// Some of what is in it.
        names: String,
    },
    /// A drive is mounted there.
    #[error(
        "{source_name} is mounted at {path} already; `drivemount status {word}` shows it, `drivemount unmount {word}` ends it",
        path = path.display(), word = word(path)
    )]
    Mounted {
        /// The place.
        path: PathBuf,
        /// What is mounted.
        source_name: String,
    },
    /// Something dead is mounted there that cannot be removed.
    #[error(
        "a dead mount is in the way at {path} and cannot be removed ({why}); try `fusermount3 -uz {word}` or `umount -l {word}`",
        path = path.display(), word = word(path)
    )]
    Dead {
        /// The place.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It cannot be looked at.
    #[error("{path} cannot be used: {source}", path = path.display())]
    Unusable {
        /// The place.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A place that can be mounted at.
#[derive(Debug)]
pub struct Mountpoint {
    path: PathBuf,
    /// It was made for the mount, and is still to go with it.
    made: AtomicBool,
    /// A dead mount was found there and removed.
    pub buried: bool,
    /// The folder itself, if it holds files: once it is mounted over, there is no other way to them.
    below: Option<fs::File>,
}

/// A line of the table of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// Where.
    pub path: PathBuf,
    /// What, as the mount says.
    pub source: String,
    /// Who mounted it, if the kernel says so.
    pub user: Option<u32>,
    kind: String,
}

impl MountLine {
    /// Whether it is a mount of ours.
    pub fn is_ours(&self) -> bool {
        self.kind.strip_prefix(FUSE) == Some(crate::fuse::NAME)
    }

    /// One of ours, to be looked for.
    #[cfg(test)]
    pub(crate) fn ours(path: &Path) -> Self {
        let kind = format!("{FUSE}{}", crate::fuse::NAME);
        Self { path: path.to_owned(), source: "google".to_owned(), user: None, kind }
    }
}

impl Mountpoint {
    /// Looks at a place, removes a dead mount from it, and makes the folder if only it is missing. A folder that holds files is
    /// refused, or kept at hand, as `occupied` says.
    pub fn prepare(path: &Path, occupied: Occupied) -> Result<Self, MountpointError> {
        let buried = bury_dead(path)?;
        let unusable = |source| MountpointError::Unusable { path: path.to_owned(), source };
        let made = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => return Err(MountpointError::NotAFolder { path: path.to_owned() }),
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Ok(target) = path.read_link() {
                    return Err(MountpointError::Dangling { path: path.to_owned(), target });
                }
                if !path.parent().is_some_and(Path::is_dir) {
                    return Err(MountpointError::Missing { path: path.to_owned() });
                }
                fs::create_dir(path).map_err(unusable)?;
                true
            }
            Err(error) => return Err(unusable(error)),
        };
        let path = path.canonicalize().map_err(unusable)?;
        if let Some(mount) = mount_at(&path).filter(MountLine::is_ours) {
            return Err(MountpointError::Mounted { path, source_name: mount.source });
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(unusable)?.take(NAMED + 1) {
            names.push(entry.map_err(unusable)?.file_name().to_string_lossy().into_owned());
        }
        if names.is_empty() || occupied == Occupied::Hide {
            return Ok(Self { path, made: AtomicBool::new(made), buried, below: None });
        }
        if occupied == Occupied::Import {
            let below = Some(fs::File::open(&path).map_err(unusable)?);
            return Ok(Self { path, made: AtomicBool::new(made), buried, below });
        }
        let more = if names.len() > NAMED { " and more" } else { "" };
        names.truncate(NAMED);
        Err(MountpointError::NotEmpty { path, names: names.join(", ") + more })
    }

    /// A place that is mounted already, by an earlier daemon of the same mount. To look at it would be to ask ourselves.
    pub(super) fn taken(path: PathBuf, made: bool) -> Self {
        Self { path, made: AtomicBool::new(made), buried: false, below: None }
    }

    /// It was made for the mount, and is still to go with it.
    pub(super) fn is_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// The place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that is mounted over, if it holds files to import; once.
    pub fn take_below(&mut self) -> Option<fs::File> {
        self.below.take()
    }

    /// Removes the mount. If somebody uses it still, it is detached: gone from the tree at once, and for those when they end.
    pub fn unmount(&self) -> io::Result<()> {
        if mount_at(&self.path).is_none_or(|mount| !mount.is_ours()) {
            return Ok(());
        }
        detach(&self.path)
    }

    /// Removes the folder if it was made for the mount and nothing is mounted there any more; once. Also done when this is dropped,
    /// if it was not: a folder that is there after it was given back is somebody else's, who may be about to mount at it.
    pub fn give_back(&self) {
        if self.made.swap(false, Ordering::Relaxed) && mount_at(&self.path).is_none() {
            // Only if it is empty, so nothing can be lost.
            let _not_empty = fs::remove_dir(&self.path);
        }
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A path as one word of a command that can be pasted into a shell.
pub fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Detaches what is left of a mount whose daemon is gone. Says whether there was one.
pub fn bury_dead(path: &Path) -> Result<bool, MountpointError> {
    let mut buried = false;
    // Several may be stacked.
    while is_dead(path) {
        detach(path).map_err(|error| MountpointError::Dead { path: path.to_owned(), why: error.to_string() })?;
        buried = true;
    }
    Ok(buried)
}

/// Whether a daemon should answer here and does not. Asks for something that the kernel never answers by itself: attributes it
/// remembers for long after the daemon's death.
fn is_dead(path: &Path) -> bool {
    let asked = sys::get_xattr(path, CONTROL_XATTR);
    // The second is the answer if the daemon dies at this very moment.
    asked.is_err_and(|error| matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)))
}

fn detach(path: &Path) -> io::Result<()> {
    match sys::unmount_lazily(path) {
        // Not root: the set-uid helper may.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let done = Command::new("fusermount3").arg("-uz").arg("--").arg(path).output()?;
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            if done.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
        }
        other => other,
    }
}

/// All mounts that this process sees, in their order.
pub fn mounts() -> io::Result<Vec<MountLine>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// What is mounted exactly here; the topmost.
pub fn mount_at(path: &Path) -> Option<MountLine> {
    mounts().ok()?.into_iter().rev().find(|mount| mount.path == path)
}

/// The mount that a path lies in, whatever of it exists; of several at one place, the topmost.
pub fn innermost<'a>(path: &Path, table: &'a [MountLine]) -> Option<&'a MountLine> {
    let around = table.iter().filter(|mount| path.starts_with(&mount.path));
    around.max_by_key(|mount| mount.path.components().count())
}

/// The table as proc(5) describes it: `36 35 98:0 /root /point opts tag:1 - type source superopts`, blanks as `\040`.
fn parse(table: &[u8]) -> Vec<MountLine> {
    let line = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
        let options = text(fields.get(dash + 3)?);
        let mut options = options.split(',');
        Some(MountLine {
            path: PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.get(4)?))),
            source: text(fields.get(dash + 2)?),
            user: options.find_map(|option| option.strip_prefix("user_id=")?.parse().ok()),
            kind: text(fields.get(dash + 1)?),
        })
    };
    table.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_mounts_is_understood() {
        let table = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      40 22 0:35 / /content/my\\040drive rw,nosuid - fuse.drivemount google rw,user_id=7,group_id=0\n";
        let mounts = parse(table);
        assert_eq!(mounts.len(), 2);
        assert!(!mounts[0].is_ours() && mounts[1].is_ours());
        assert_eq!(mounts[1].path, Path::new("/content/my drive"));
        assert_eq!(mounts[1].source, "google");
        assert_eq!((mounts[0].user, mounts[1].user), (None, Some(7)));
    }

    #[test]
    fn each_bad_place_has_a_sentence_of_its_own() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"x").expect("writes");
        fs::create_dir(path("full")).expect("makes");
        fs::write(path("full/a"), b"x").expect("writes");
        let sentence = |place: PathBuf| Mountpoint::prepare(&place, Occupied::Refuse).expect_err("refused").to_string();
        assert!(sentence(path("file")).contains("not a folder"));
        assert!(sentence(path("full")).contains("not empty (it holds a)"));
        for name in ["b", "c", "d"] {
            fs::write(path("full").join(name), b"x").expect("writes");
        }
        let held = sentence(path("full"));
        assert!(held.contains(" and more)") && !held.contains(", more"), "{held}");
        std::os::unix::fs::symlink("nowhere", path("link")).expect("links");
        assert!(sentence(path("link")).contains("is a link to nowhere"));
        assert!(
            sentence(path("no ne/it's")).contains(&format!("`mkdir -p '{}/no ne/it'\\''s'`", dir.path().display()))
        );
        assert!(sentence(path("none/none")).contains("mkdir -p"));
        assert!(sentence(path("file/none")).contains("cannot be used"));
    }

    #[test]
    fn a_folder_that_was_made_goes_again() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let place = dir.path().join("made");
        let mountpoint = Mountpoint::prepare(&place, Occupied::Refuse).expect("prepared");
        assert!(place.is_dir());
        drop(mountpoint);
        assert!(!place.exists());
    }

    #[test]
    fn what_somebody_else_makes_after_a_folder_was_given_back_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let place = dir.path().join("made");
        let first = Mountpoint::prepare(&place, Occupied::Refuse).expect("prepares");
        first.give_back();
        assert!(!place.exists());
        let _second = Mountpoint::prepare(&place, Occupied::Refuse).expect("prepares");
        drop(first);
        assert!(place.exists(), "it is about to be mounted at");
    }
}
