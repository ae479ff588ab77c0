//! Which mount a command is for.

use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::config;
use crate::control::Client;
use crate::mount::mountpoint::{self, MountLine};

/// A place in a mount.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    /// The place below the mountpoint; empty: the mount itself.
    pub(super) path: String,
}

/// The mount that `path` lies in; without a path, the one around the working folder, or the only one there is.
pub(super) fn find(path: Option<&Path>) -> Result<Target, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failure, format!("the table of mounts cannot be read: {error}"));
    let Some(path) = path else {
        let here = std::env::current_dir().ok().and_then(|here| mountpoint::mount_of(&here).ok().flatten());
        if let Some(mount) = here.filter(MountLine::is_ours) {
            return open(&mount.path, &mount.path);
        }
        let ours: Vec<MountLine> =
            mountpoint::mounts().map_err(failed)?.into_iter().filter(MountLine::is_ours).collect();
        return match ours.as_slice() {
            [] => {
                Err(Failure::new(Exit::Failure, "nothing is mounted; `drivemount mount` or `drivemount demo` does it"))
            }
            [only] => open(&only.path, &only.path),
            several => {
                let places: Vec<String> = several.iter().map(|mount| mount.path.display().to_string()).collect();
                Err(Failure::new(Exit::Usage, format!("which one? Mounted are {}", places.join(", "))))
            }
        };
    };
    let place = resolve(path);
    match mountpoint::mount_of(&place).map_err(failed)? {
        Some(mount) if mount.is_ours() => open(&mount.path, &place),
        _ => Err(Failure::new(Exit::Failure, format!("{} is not in a drivemount", path.display()))),
    }
}

/// The real place of a path, as far as that can be told: of a dead mount it cannot.
fn resolve(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| config::absolute(path))
}

fn open(mountpoint: &Path, place: &Path) -> Result<Target, Failure> {
    let client = Client::new(mountpoint)?;
    let path = place.strip_prefix(mountpoint).unwrap_or(Path::new("")).to_string_lossy().into_owned();
    Ok(Target { client, path })
}
