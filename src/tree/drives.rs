//! The shared drives, each a folder under its name.
//!
//! They are in a folder of their own, [`Ino::SHARED_DRIVES`], which is at the top of the tree as the root is, so that whatever walks
//! the root does not walk what belongs to others. The list is asked for when the tree is first made or that folder first looked
//! into, and again whenever a feed of changes tells of a drive as a whole, or a drive is gone, until that succeeds. Names are made
//! legal and unique as all names are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::merge::Merge;
use super::{Effects, Ino, Node, Result, Tree, TreeError, feeds, names, nodes, root_node};
use crate::remote::{self, FileId, SharedDrive};

/// The name of the folder.
pub const NAME: &str = "Shareddrives";

/// Makes the folder, if it is not there.
pub(super) fn found(db: &Connection) -> rusqlite::Result<()> {
    made(db, Ino::SHARED_DRIVES, NAME, false)
}

/// Makes a folder at the top of the tree that no drive has, if it is not there.
pub(super) fn made(db: &Connection, ino: Ino, name: &str, listed: bool) -> rusqlite::Result<()> {
    if nodes::by_ino(db, ino)?.is_some() {
        return Ok(());
    }
    let like = root_node(FileId(String::new()));
    nodes::insert(db, &Node { ino, id: None, name: name.to_owned(), listed, ..like })
}

impl Tree {
    /// Lists the shared drives. To be called as the listing of their folder.
    pub(super) async fn list_drives(self: &Arc<Self>) -> Result<()> {
        loop {
            let heard = self.feeds.drives_changed.load(Ordering::SeqCst);
            let drives = remote::all_drives(&*self.remote).await?;
            let effects = self.merge_drives(drives, heard)?;
            self.tell(effects);
            if self.feeds.drives_changed.load(Ordering::SeqCst) == heard {
                self.feeds.drives_stale.store(false, Ordering::SeqCst);
                return Ok(());
            }
        }
    }

    fn merge_drives(&self, mut drives: HashMap<FileId, SharedDrive>, heard: u64) -> Result<Effects> {
        let inos = self.new_inos(drives.len())?;
        let open = self.listings.folders();
        self.state.write::<_, TreeError>(|tx| {
            let mut merge = Merge::new(tx, 0..0, &open, self.listener());
            for known in nodes::children(tx, Ino::SHARED_DRIVES)? {
                if let Some(drive) = known.id.as_ref().and_then(|id| drives.remove(id)) {
                    merge.drive(known, &drive)?;
                    continue;
                }
                if let Some(id) = &known.id {
                    feeds::forget(tx, id)?;
                }
                merge.lost(&known, None)?;
            }
            for (drive, ino) in drives.into_values().zip(inos) {
                merge.new_drive(Ino(ino), &drive)?;
            }
            if self.feeds.drives_changed.load(Ordering::SeqCst) == heard {
                nodes::set_listed(tx, Ino::SHARED_DRIVES, true)?;
            }
            names::settle(tx, Ino::SHARED_DRIVES, &mut merge.effects)?;
            self.merging(tx, &merge.effects)?;
            Ok(merge.effects)
        })
    }

    /// How many shared drives there are; `None` if the drive was not asked yet.
    pub fn count_drives(&self) -> Result<Option<usize>> {
        let is_known = self.node(Ino::SHARED_DRIVES)?.is_some_and(|folder| folder.listed);
        Ok(if is_known { Some(self.entries(Ino::SHARED_DRIVES)?.len()) } else { None })
    }
}

impl Merge<'_> {
    /// A shared drive that is known.
    fn drive(&mut self, node: Node, drive: &SharedDrive) -> rusqlite::Result<()> {
        let (db, before) = (self.db, node.clone());
        self.allowed(&node, drive.access)?;
        let mut node = nodes::by_ino(db, node.ino)?.unwrap_or(node);
        node.created = drive.created.millis();
        if node.name_on_drive() != drive.name {
            let folder = Ino::SHARED_DRIVES;
            node.name = names::place(db, folder, Some(&drive.name), &drive.id, node.created, &mut self.effects)?;
            node.drive_name = (node.name != drive.name).then(|| drive.name.clone());
            self.effects.entries.push((folder, before.name.clone()));
            self.effects.entries.push((folder, node.name.clone()));
        }
        nodes::update(db, &node)?;
        if node.name == before.name { Ok(()) } else { names::freed(db, before.parent, &before.name, &mut self.effects) }
    }

    /// A shared drive that was not known, or by its id alone.
    fn new_drive(&mut self, ino: Ino, drive: &SharedDrive) -> rusqlite::Result<()> {
        let (db, folder, created) = (self.db, Ino::SHARED_DRIVES, drive.created.millis());
        let held = nodes::by_id(db, &drive.id)?;
        if held.as_ref().is_some_and(|node| node.ino == Ino::ROOT) {
            return Ok(());
        }
        let name = names::place(db, folder, Some(&drive.name), &drive.id, created, &mut self.effects)?;
        let drive_name = (name != drive.name).then(|| drive.name.clone());
        self.effects.entries.push((folder, name.clone()));
        if let Some(held) = held {
            self.effects.entries.push((held.parent, held.name.clone()));
            let node = Node { parent: folder, name, drive_name, created, drive: held.id.clone(), ..held };
            return nodes::update(db, &node);
        }
        let like = root_node(drive.id.clone());
        let (mtime, drive_id) = (drive.created, Some(drive.id.clone()));
        nodes::insert(
            db,
            &Node {
                ino,
                parent: folder,
                name,
                drive_name,
                created,
                mtime,
                atime: mtime,
                ctime: mtime,
                access: drive.access,
                drive: drive_id,
                ..like
            },
        )
    }
}
