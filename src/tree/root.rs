//! The folder of the drive that is the root of a mount: all of it, or one that somebody named.
//!
//! Nothing outside of that folder is ever listed, nor does the feed of changes bring it in: an entry is taken in only if its
//! folder is in the tree. So what is moved out disappears, and what is moved in appears, as with any folder.

use super::{FACT_ROOT, Result, Tree, TreeError, drives, nodes};
use crate::error::Kind;
use crate::remote::{self, Access, FileId, Item, ItemKind, Remote, RemoteError};
use crate::state::State;

/// The drive's own root, as the mount calls it.
const ALIASES: [&str; 2] = ["MyDrive", "My Drive"];

/// The folder of the shared drives, as the mount calls it.
const SHARED_DRIVES: [&str; 2] = [drives::NAME, "Shared drives"];

/// A folder, and the shared drive that it is in.
pub(super) struct Found {
    pub(super) id: FileId,
    pub(super) drive: Option<FileId>,
    pub(super) access: Access,
}

impl Found {
    /// The folder at the top of a drive.
    const fn top(id: FileId, drive: Option<FileId>, access: Access) -> Self {
        Self { id, drive, access }
    }
}

/// The folder that `named` means: a path from the drive's own root or through the folder of the shared drives, or an id. `None`: the
/// drive's own root.
pub(super) async fn find(remote: &dyn Remote, named: Option<&str>) -> Result<Found> {
    let top = remote.root().await?;
    let Some(named) = named else { return Ok(Found::top(top, None, Access::UNKNOWN)) };
    if let Some(folder) = by_path(remote, Found::top(top, None, Access::UNKNOWN), named).await? {
        return Ok(folder);
    }
    if let Some(folder) = in_shared_drive(remote, named).await? {
        return Ok(folder);
    }
    // An id has no slash; nor has it blanks, so that a path which is not there is not asked for as an id.
    let may_be_id = named.len() >= 8 && named.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if may_be_id {
        return is_folder(named, remote.get(&FileId(named.to_owned())).await);
    }
    Err(TreeError::NoRoot { root: named.to_owned() })
}

/// The folder of a path through the folder of the shared drives.
async fn in_shared_drive(remote: &dyn Remote, path: &str) -> Result<Option<Found>> {
    let mut path = path.trim_start_matches('/');
    for alias in ALIASES {
        path = path.strip_prefix(alias).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    }
    let below = SHARED_DRIVES.iter().find_map(|name| path.strip_prefix(name)?.strip_prefix('/'));
    let Some(below) = below.map(|below| below.trim_start_matches('/')).filter(|below| !below.is_empty()) else {
        return Ok(None);
    };
    let (name, rest) = below.split_once('/').unwrap_or((below, ""));
    let drives = remote::all_drives(remote).await?.into_values().filter(|drive| drive.name == name);
    // Of several of a name the oldest has it here.
    let Some(drive) = drives.min_by_key(|drive| (drive.created, drive.id.0.clone())) else { return Ok(None) };
    by_path(remote, Found::top(drive.id.clone(), Some(drive.id), drive.access), rest).await
}

async fn by_path(remote: &dyn Remote, top: Found, path: &str) -> Result<Option<Found>> {
    let mut at = top;
    for (depth, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
        let found = remote.named(&at.id, name).await?.into_iter();
        let folders = found.filter(|item| matches!(item.kind, ItemKind::Folder));
        // Of several of a name the oldest has it here, as in every listing.
        match folders.min_by_key(|folder| (folder.created, folder.id.0.clone())) {
            Some(folder) => at = Found { id: folder.id, access: folder.access, ..at },
            None if depth == 0 && ALIASES.contains(&name) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn is_folder(named: &str, item: std::result::Result<Item, RemoteError>) -> Result<Found> {
    let root = named.to_owned();
    match item {
        Ok(item) if item.trashed => Err(TreeError::NoRoot { root }),
        Ok(Item { id, kind: ItemKind::Folder, drive, access, .. }) => Ok(Found { id, drive, access }),
        Ok(_) => Err(TreeError::RootIsNoFolder { root }),
        Err(error) if error.kind == Kind::NotFound => Err(TreeError::NoRoot { root }),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a replica that has another root than the one asked for.
pub(super) fn must_match(state: &State, named: Option<&str>) -> Result<()> {
    let was = state.fact(FACT_ROOT)?;
    if was.as_deref() == named {
        return Ok(());
    }
    let shown =
        |root: Option<&str>| root.map_or_else(|| "the whole drive".to_owned(), |root| format!("the folder {root}"));
    Err(TreeError::OtherRoot { was: shown(was.as_deref()), is: shown(named) })
}

impl Tree {
    /// Asks the drive whether the folder that is the root of this mount is still there. If it cannot say, it is taken to be.
    pub async fn confirm_root(&self, named: &str) -> Result<()> {
        let root = self.state.read(|db| nodes::by_ino(db, super::Ino::ROOT))?;
        match root.and_then(|root| root.id) {
            Some(id) => match is_folder(named, self.remote.get(&id).await) {
                Err(TreeError::Remote(error)) => {
                    tracing::warn!(%error, "not known whether the root of the mount is still there");
                    Ok(())
                }
                answer => answer.map(drop),
            },
            None => Ok(()),
        }
    }
}
