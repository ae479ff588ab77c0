//! The trash of the drive, as the mount shows it: under the paths that things had here.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::running::Running;
use crate::clock;
use crate::control::{Chosen, Emptied, Restored, TrashItem, TrashList, Wanted, Which};
use crate::error::Kind;
use crate::fs::NodeId;
use crate::remote::{self, FileId, Item, ItemKind, Trashed};
use crate::tree::Node;

/// How long what was just removed here may take on its way to the trash before the trash is shown without it.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// Requests at one time.
const AT_ONCE: usize = 8;

/// Folders that are asked for to know a path, in all: what lies deeper is shown by its name.
const FOLDERS: usize = 200;

/// All that is in the trash, and what is known of the folders around it.
struct Bin {
    all: HashMap<FileId, Trashed>,
    /// Paths of folders; `None`: not known.
    paths: HashMap<FileId, Option<String>>,
    /// Folders that may still be asked for.
    left: usize,
}

impl Running {
    /// What is in the trash. Waits a moment for what was just removed here.
    pub(super) async fn list_trash(self: &Arc<Self>, which: &Which) -> Result<TrashList, String> {
        self.send_removals().await;
        let mut bin = self.bin().await?;
        let tops: HashSet<FileId> =
            bin.all.values().filter(|found| found.itself).map(|found| found.item.id.clone()).collect();
        let known = self.parts.tree.known_trashed(&tops).map_err(|error| error.to_string())?;
        let mut within: HashMap<FileId, (u64, usize)> = HashMap::new();
        for found in bin.all.values().filter(|found| !found.itself) {
            if let Some(top) = bin.top(&found.item) {
                let sum = within.entry(top).or_default();
                *sum = (sum.0 + bytes(&found.item), sum.1 + 1);
            }
        }
        let under = NodeId::below_alias(&which.under);
        let before = which.older_than_millis.map(|millis| clock::now().millis().saturating_sub_unsigned(millis));
        let mut list = TrashList::default();
        for id in tops {
            let Some(found) = bin.all.get(&id).cloned() else { continue };
            let folder = self.path_of_parent(&found.item, &mut bin).await;
            let path = join(folder.as_deref(), &found.item.name);
            let is_under = folder.is_some() && Path::new(&path).starts_with(under);
            if !under.is_empty() && !is_under {
                continue;
            }
            let since = found.since.or(known.get(&id).copied()).unwrap_or_else(clock::now);
            if before.is_some_and(|before| since.millis() > before) {
                list.younger += 1;
                continue;
            }
            let (more, entries) = within.get(&id).copied().unwrap_or_default();
            list.items.push(TrashItem {
                path,
                is_path: folder.is_some(),
                folder: found.item.kind == ItemKind::Folder,
                bytes: bytes(&found.item) + more,
                entries,
                since: since.to_rfc3339(),
                exact: found.since.is_some(),
                id: id.0,
            });
        }
        list.items.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.path.cmp(&b.path)));
        list.bytes = list.items.iter().map(|item| item.bytes).sum();
        Ok(list)
    }

    /// Deletes for good what is in the trash still.
    pub(super) async fn delete_trashed(self: &Arc<Self>, chosen: Chosen) -> Result<Emptied, String> {
        self.must_be_writable("deleted")?;
        let delete = |id: String| async move {
            let file = FileId(id.clone());
            let done = match self.parts.remote.get(&file).await {
                // Somebody took it out since it was shown.
                Ok(item) if !item.trashed => Err("is not in the trash any more".to_owned()),
                Ok(_) => self.parts.remote.delete(&file).await.map_err(|error| error.to_string()),
                // It was in a folder that was deleted.
                Err(error) if error.kind == Kind::NotFound => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            (id, done)
        };
        let mut emptied = Emptied::default();
        let mut work = stream::iter(chosen.ids.into_iter().map(delete)).buffer_unordered(AT_ONCE);
        while let Some((id, done)) = work.next().await {
            match done {
                Ok(()) => emptied.deleted += 1,
                Err(why) => emptied.failed.push((id, why)),
            }
        }
        if emptied.deleted > 0 {
            self.parts.writeback.deleted();
        }
        Ok(emptied)
    }

    /// Takes something out of the trash, and shows it in the mount.
    pub(super) async fn restore_trashed(self: &Arc<Self>, wanted: &Wanted) -> Result<Restored, String> {
        self.must_be_writable("restored")?;
        self.send_removals().await;
        let mut bin = self.bin().await?;
        let (item, path) = self.choose(wanted, &mut bin).await?;
        let folder = item.parent.as_ref().and_then(|parent| bin.all.get(parent));
        if let Some(folder) = folder.map(|folder| folder.item.clone()) {
            let folder = join(self.path_of_parent(&folder, &mut bin).await.as_deref(), &folder.name);
            return Err(format!("{path} lies in {folder}, which is in the trash itself: restore that"));
        }
        let item = self.parts.remote.untrash(&item.id).await.map_err(|error| format!("{path}: {error}"))?;
        let tree = &self.parts.tree;
        tree.merge_news(&item.id, Some(&item)).map_err(|error| error.to_string())?;
        // The feed tells what came back with a folder.
        if let Err(error) = tree.look().await {
            tracing::warn!(%error, "what was restored is here, but not all that is new on the drive");
        }
        let node = tree.by_id(&item.id).map_err(|error| error.to_string())?.filter(Node::is_linked);
        let shown = node.map(|node| tree.path(node.ino)).transpose().map_err(|error| error.to_string())?;
        Ok(Restored { id: item.id.0, path: shown.unwrap_or(path) })
    }

    /// What is meant: by its identity, or by the path that it had.
    async fn choose(self: &Arc<Self>, wanted: &Wanted, bin: &mut Bin) -> Result<(Item, String), String> {
        if let Some(found) = bin.all.get(&FileId(wanted.what.clone())) {
            let item = found.item.clone();
            let folder = self.path_of_parent(&item, bin).await;
            let path = join(folder.as_deref(), &item.name);
            return Ok((item, path));
        }
        let paths = [wanted.path.as_deref(), Some(wanted.what.as_str())].into_iter().flatten();
        let paths: Vec<&str> = paths.map(NodeId::below_alias).collect();
        let name = |path: &&str| path.rsplit('/').next().map(str::to_owned);
        let names: HashSet<String> = paths.iter().filter_map(name).collect();
        let named: Vec<Item> =
            bin.all.values().filter(|found| names.contains(&found.item.name)).map(|found| found.item.clone()).collect();
        let mut matching = Vec::new();
        for item in named {
            let path = join(self.path_of_parent(&item, bin).await.as_deref(), &item.name);
            if paths.contains(&path.as_str()) {
                matching.push((item, path));
            }
        }
        match matching.len() {
            0 => {
                Err(format!("{} is not in the trash of the drive; `drivemount trash list` shows what is", wanted.what))
            }
            1 => Ok(matching.swap_remove(0)),
            _ => {
                let ids: Vec<&str> = matching.iter().map(|(item, _)| item.id.0.as_str()).collect();
                let ids = ids.join(", ");
                Err(format!("{} is in the trash more than once; say which one by its id: {ids}", wanted.what))
            }
        }
    }

    async fn bin(&self) -> Result<Bin, String> {
        let all = remote::all_trashed(&*self.parts.remote).await;
        let all = all.map_err(|error| format!("the trash of the drive cannot be listed: {error}"))?;
        Ok(Bin { all, paths: HashMap::new(), left: FOLDERS })
    }

    /// Waits a moment for what was removed here to be removed there.
    async fn send_removals(&self) {
        let Ok(pending) = self.parts.writeback.pending() else { return };
        let gone: HashSet<_> = pending.iter().filter(|item| item.gone).map(|item| item.ino).collect();
        if !gone.is_empty() {
            let sent = self.parts.writeback.flush(|ino| gone.contains(&ino));
            let _in_time = tokio::time::timeout(ON_THE_WAY, sent).await;
        }
    }

    fn must_be_writable(&self, done: &str) -> Result<(), String> {
        if self.config.read_only {
            return Err(format!(
                "the mount is read-only, so nothing can be {done} through it; mount it without --read-only"
            ));
        }
        Ok(())
    }

    /// The path of the folder that an item is in, or was.
    async fn path_of_parent(&self, item: &Item, bin: &mut Bin) -> Option<String> {
        // From the inside out, to the first folder whose path is known.
        let mut names: Vec<(FileId, String)> = Vec::new();
        let mut at = item.parent.clone()?;
        let path = loop {
            if let Some(known) = bin.paths.get(&at) {
                break known.clone();
            }
            if let Some(node) = self.parts.tree.by_id(&at).ok().flatten().filter(Node::is_linked) {
                break self.parts.tree.path(node.ino).ok();
            }
            let folder = match bin.all.get(&at) {
                Some(folder) => Some(folder.item.clone()),
                None if bin.left == 0 => None,
                None => {
                    bin.left -= 1;
                    self.parts.remote.get(&at).await.ok()
                }
            };
            let Some((folder, parent)) = folder.and_then(|folder| folder.parent.clone().map(|parent| (folder, parent)))
            else {
                break None;
            };
            // A circle cannot be; a drive that says one is not followed for ever.
            if names.iter().any(|(id, _)| *id == at) {
                break None;
            }
            names.push((at, folder.name));
            at = parent;
        };
        let mut path = path;
        bin.paths.insert(at, path.clone());
        for (id, name) in names.into_iter().rev() {
            path = path.map(|path| join(Some(&path), &name));
            bin.paths.insert(id, path.clone());
        }
        path
    }
}

impl Bin {
    /// The thing that was put into the trash with this in it.
    fn top(&self, item: &Item) -> Option<FileId> {
        let mut at = item.parent.as_ref()?;
        for _ in 0..self.all.len() {
            let folder = self.all.get(at)?;
            if folder.itself {
                return Some(folder.item.id.clone());
            }
            at = folder.item.parent.as_ref()?;
        }
        None
    }
}

fn bytes(item: &Item) -> u64 {
    match &item.kind {
        ItemKind::File(blob) | ItemKind::Symlink(blob) => blob.size,
        ItemKind::Folder | ItemKind::Special(_) | ItemKind::Document { .. } | ItemKind::Shortcut { .. } => 0,
    }
}

fn join(folder: Option<&str>, name: &str) -> String {
    match folder {
        None | Some("") => name.to_owned(),
        Some(folder) => format!("{folder}/{name}"),
    }
}
