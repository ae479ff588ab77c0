//! What is held by its id alone: the targets of shortcuts that are nowhere else in the tree.
//!
//! [`Ino::TARGETS`] has a folder for each id that was looked up, which no drive has either, and in it is the item under its own name: a
//! file or a folder like any other, listed on demand, written through, and kept true by the feeds. An item that the tree comes to have
//! in its real place moves there, and stays what it was.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Transaction};

use super::merge::new_node;
use super::{Effects, Ino, Node, Result, Tree, TreeError, drives, links, names, nodes, root_node, unplaced};
use crate::clock;
use crate::error::Kind;
use crate::remote::{FileId, Item, RemoteError};

/// How often an item is asked for again because feeds told something meanwhile.
const TRIES: usize = 10;

/// Makes the folder, if it is not there, and removes what nothing is in any more.
pub(super) fn found(db: &Connection) -> rusqlite::Result<()> {
    drives::made(db, Ino::TARGETS, super::shortcuts::TARGETS, true)?;
    db.execute(
        "DELETE FROM node WHERE parent = ?1 AND NOT EXISTS (SELECT 1 FROM node AS held WHERE held.parent = node.ino)",
        [Ino::TARGETS],
    )
    .map(|_| ())
}

/// What became of an item that was asked for.
enum Taken {
    /// The folder of its id.
    In(Ino),
    /// The item may have changed since.
    AskAgain,
}

impl Tree {
    /// The folder of an id in [`Ino::TARGETS`], if there is an item of that id anywhere: it is in the tree then. Asks the drive only
    /// for what is not.
    pub async fn hold(self: &Arc<Self>, id: &FileId) -> Result<Option<Ino>> {
        for _ in 0..TRIES {
            match self.by_id(id)? {
                Some(node) if node.is_linked() => return self.folder_of(id).map(Some),
                // Removed here, and on its way to the trash.
                Some(_) => return Ok(None),
                None => {}
            }
            let pages = self.feeds.pages.load(Ordering::SeqCst);
            let item = match self.remote.get(id).await {
                Ok(item) if !item.trashed => item,
                Ok(_) => return Ok(None),
                Err(error) if matches!(error.kind, Kind::NotFound | Kind::Denied) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if let Some(drive) = &item.drive {
                if self.follow_feed(drive).await? {
                    // What changed before that is in no feed.
                    continue;
                }
                if drive == id && self.is_whole_drive()? {
                    // A shared drive as a whole has its own place.
                    self.list(Ino::SHARED_DRIVES).await?;
                    if self.by_id(id)?.is_some() {
                        continue;
                    }
                }
            }
            match self.take_in(item, pages)? {
                Taken::In(folder) => return Ok(Some(folder)),
                Taken::AskAgain => {}
            }
        }
        Err(RemoteError::new(Kind::TimedOut, "files.get", "the item changes too often to be looked at; try again")
            .into())
    }

    /// The folder of an id whose item is in the tree.
    fn folder_of(&self, id: &FileId) -> Result<Ino> {
        if let Some(folder) = self.child(Ino::TARGETS, &id.0)? {
            return Ok(folder.ino);
        }
        let ino = self.new_ino()?;
        self.state.write::<_, TreeError>(|tx| Ok(folder_of(tx, id, ino)?))
    }

    /// Puts an item into the folder of its id, unless the tree has it by now. `pages` of the feeds were merged when it was asked for.
    fn take_in(&self, item: Item, pages: u64) -> Result<Taken> {
        let inos = self.new_inos(2)?;
        let (taken, effects) = self.state.write::<_, TreeError>(|tx| {
            if self.feeds.pages.load(Ordering::SeqCst) != pages || nodes::by_id(tx, &item.id)?.is_some() {
                return Ok((Taken::AskAgain, Effects::default()));
            }
            let folder = folder_of(tx, &item.id, Ino(inos.start))?;
            let mut effects = Effects::default();
            let (wanted, created) = (names::wanted(tx, &item)?, item.created.millis());
            let name = names::place(tx, folder, wanted.as_deref(), &item.id, created, &mut effects)?;
            let node = new_node(Ino(inos.start + 1), folder, name, &item);
            unplaced::placed(tx, &item.id)?;
            let mut node = Node { drive: item.drive, ..node };
            nodes::insert(tx, &node)?;
            links::came(tx, &mut node, &mut effects)?;
            Ok((Taken::In(folder), effects))
        })?;
        self.tell(effects);
        Ok(taken)
    }

    /// What a name means in the folder of an id: the entry of the item, if that is its name, or the name of a shortcut to it.
    pub fn target(&self, folder: &Node, name: &str) -> Result<Option<Node>> {
        let id = FileId(folder.name.clone());
        let Some(node) = self.by_id(&id)?.filter(Node::is_linked) else { return Ok(None) };
        if node.name == name || self.state.read(|db| nodes::names_of_shortcuts(db, &id))?.iter().any(|of| of == name) {
            return Ok(Some(node));
        }
        Ok(None)
    }

    /// Whether the root of this mount is that of the account's own drive, beside which the shared ones are.
    pub fn is_whole_drive(&self) -> Result<bool> {
        Ok(self.state.fact(super::FACT_ROOT)?.is_none())
    }
}

fn folder_of(tx: &Transaction<'_>, id: &FileId, ino: Ino) -> rusqlite::Result<Ino> {
    if let Some(folder) = nodes::by_name(tx, Ino::TARGETS, &id.0)? {
        return Ok(folder.ino);
    }
    let like = root_node(id.clone());
    let now = clock::now();
    let folder = Node { ino, id: None, parent: Ino::TARGETS, name: id.0.clone(), listed: true, mtime: now, ..like };
    nodes::insert(tx, &folder)?;
    Ok(ino)
}
