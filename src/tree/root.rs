//! The folder of the drive that is the root of a mount: all of it, or one that somebody named.
//!
//! Nothing outside of that folder is ever listed, nor does the feed of changes bring it in: an entry is taken in only if its
//! folder is in the tree. So what is moved out disappears, and what is moved in appears, as with any folder.

use super::{FACT_ROOT, Result, Tree, TreeError, nodes};
use crate::error::Kind;
use crate::remote::{FileId, Item, ItemKind, Remote, RemoteError};
use crate::state::State;

/// The drive's own root, as the mount calls it.
const ALIASES: [&str; 2] = ["MyDrive", "My Drive"];

/// The folder that `named` means: a path from the drive's own root, or an id. `None`: the drive's own root.
pub(super) async fn find(remote: &dyn Remote, named: Option<&str>) -> Result<FileId> {
    let top = remote.root().await?;
    let Some(named) = named else { return Ok(top) };
    if let Some(folder) = by_path(remote, &top, named).await? {
        return Ok(folder);
    }
    // An id has no slash; nor has it blanks, so that a path which is not there is not asked for as an id.
    let may_be_id = named.len() >= 8 && named.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if may_be_id {
        return is_folder(named, remote.get(&FileId(named.to_owned())).await);
    }
    Err(TreeError::NoRoot { root: named.to_owned() })
}

async fn by_path(remote: &dyn Remote, top: &FileId, path: &str) -> Result<Option<FileId>> {
    let mut at = top.clone();
    for (depth, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
        let found = remote.named(&at, name).await?.into_iter();
        let folders = found.filter(|item| matches!(item.kind, ItemKind::Folder));
        // Of several of a name the oldest has it here, as in every listing.
        match folders.min_by_key(|folder| (folder.created, folder.id.0.clone())) {
            Some(folder) => at = folder.id,
            None if depth == 0 && ALIASES.contains(&name) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn is_folder(named: &str, item: std::result::Result<Item, RemoteError>) -> Result<FileId> {
    let root = named.to_owned();
    match item {
        Ok(item) if item.trashed => Err(TreeError::NoRoot { root }),
        Ok(Item { id, kind: ItemKind::Folder, .. }) => Ok(id),
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
