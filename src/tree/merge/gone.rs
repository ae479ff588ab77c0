//! What is gone from the drive, and what of it stays here.

use std::collections::{HashMap, HashSet};

use rusqlite::params;

use super::{Merge, item_of};
use crate::clock;
use crate::remote::{Access, FileId, Item};
use crate::tree::{Base, Ino, Node, NodeKind, links, names, nodes, unplaced};

/// Entries of what went into the trash, or where the tree does not reach, that are kept in case it comes back. Of more only it
/// itself is known then, and its folders have to be listed.
pub(super) const MOST_KEPT: usize = 20_000;

impl Merge<'_> {
    /// An item that was deleted for good, or is not ours to see any more.
    pub(super) fn removed(&mut self, id: &FileId) -> rusqlite::Result<()> {
        if let Some(node) = nodes::by_id(self.db, id)? {
            self.lost(&node, None)?;
        }
        unplaced::gone(self.db, id)
    }

    /// A node that a whole listing of its folder did not have. No news if it is not on the drive yet.
    pub fn missing(&mut self, node: &Node) -> rusqlite::Result<()> {
        if nodes::base(self.db, node.ino)?.is_some() {
            return Ok(());
        }
        let folder = nodes::by_ino(self.db, node.parent)?.and_then(|folder| folder.id);
        match item_of(self.db, node, folder)? {
            // Where it went is not known.
            Some(item) => self.lost(node, Some(&Item { parent: None, ..item })),
            None => self.lost(node, None),
        }
    }

    /// Takes back moves that are not sent, of the folders from `from` up to below `to`: the drive would refuse them, since it has
    /// moved `to` below what they were to move into it.
    pub(super) fn take_back_moves(&mut self, from: Ino, to: Ino) -> rusqlite::Result<()> {
        let mut at = from;
        while at != to {
            let Some(node) = nodes::by_ino(self.db, at)?.filter(Node::is_linked) else { return Ok(()) };
            at = node.parent;
            self.take_back_move(&node, None)?;
        }
        Ok(())
    }

    /// Puts a node that was moved here, and not there yet, back to where the drive has it, unless that is within `lost`. Says
    /// whether it did.
    fn take_back_move(&mut self, node: &Node, lost: Option<Ino>) -> rusqlite::Result<bool> {
        let there = nodes::base(self.db, node.ino)?.and_then(|base| base.on_drive);
        let (Some(there), Some(id)) = (there, &node.id) else { return Ok(false) };
        let home = there.parent.as_ref().map_or(Ok(None), |id| nodes::by_id(self.db, id))?.filter(Node::is_linked);
        let Some(home) = home.filter(|home| home.is_folder() && home.ino != node.parent) else { return Ok(false) };
        for outside in [Some(node.ino), lost].into_iter().flatten() {
            if nodes::is_within(self.db, home.ino, outside)? {
                return Ok(false);
            }
        }
        let wanted = names::wanted_as(self.db, node, &there.name)?;
        let name = names::place(self.db, home.ino, wanted.as_deref(), id, node.created, &mut self.effects)?;
        let drive_name = (name != there.name).then(|| there.name.clone());
        self.effects.entries.push((node.parent, node.name.clone()));
        self.effects.entries.push((home.ino, name.clone()));
        nodes::update(self.db, &Node { parent: home.ino, name, drive_name, ..node.clone() })?;
        names::freed(self.db, node.parent, &node.name, &mut self.effects)?;
        names::aged(self.db, home.ino, wanted.as_deref().unwrap_or_default(), &mut self.effects)?;
        Ok(true)
    }

    /// Whether a node or anything in it is not as the drive has it, or is just being written.
    pub(super) fn has_unsent(&self, node: &Node) -> rusqlite::Result<bool> {
        let mut below = self.db.prepare_cached(
            "WITH RECURSIVE below (ino) AS (
                 SELECT ?1
                 UNION ALL
                 SELECT node.ino FROM node JOIN below ON node.parent = below.ino
             )
             SELECT below.ino, base.ino IS NOT NULL FROM below LEFT JOIN base ON base.ino = below.ino",
        )?;
        let mut rows = below.query([node.ino])?;
        while let Some(row) = rows.next()? {
            let (ino, has_base): (Ino, bool) = (row.get(0)?, row.get(1)?);
            if has_base || self.listener.is_some_and(|listener| listener.is_edited(ino)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A node that is gone from the drive, or from where the tree reaches, with all that is in it. What was not sent yet
    /// survives, and its folders with it. `news`: what the drive has of it; `None`: it is gone for good.
    pub(in crate::tree) fn lost(&mut self, top: &Node, news: Option<&Item>) -> rusqlite::Result<()> {
        if top.ino == Ino::ROOT {
            tracing::warn!(
                "the folder that is the root of this mount was removed elsewhere; what is saved here waits until it is restored"
            );
            return Ok(());
        }
        if !top.is_linked() {
            // Removed here too. If our removal is not sent yet it will find nothing to do; else the tombstone has served.
            if let Some(news) = news {
                nodes::update(self.db, &Node { version: news.version, ..top.clone() })?;
            }
            return Ok(());
        }
        let (count, survivors) = self.survivors(top)?;
        let version = news.map(|news| news.version);
        tracing::debug!(name = top.name, ino = top.ino.0, id = ?top.id, known = top.version, version, "merge: it is gone");
        let is_told_on = news.map_or(Ok(false), |news| self.is_told_on(news))?;
        let kept = is_told_on && count <= MOST_KEPT;
        // What survives loses its identity, so that the folders are not known whole any more.
        let whole = kept && survivors.is_empty();
        if let Some(news) = news
            .filter(|_| is_told_on)
            .filter(|news| top.is_folder() || (news.parent.is_some() && !news.trashed_itself))
        {
            unplaced::put(self.db, news, top.listed && whole)?;
        }
        let mut stack = vec![(top.clone(), None)];
        let mut freed = Vec::new();
        while let Some((node, folder)) = stack.pop() {
            let survives = survivors.contains(&node.ino);
            let moved = !survives && node.ino != top.ino && self.take_back_move(&node, Some(top.ino))?;
            if moved {
                // Put into it here, and not there yet: it did not go with it.
                continue;
            }
            if kept
                && node.ino != top.ino
                && let Some(item) = item_of(self.db, &node, folder)?
            {
                unplaced::put(self.db, &item, node.listed && whole)?;
            }
            if node.is_folder() {
                stack.extend(nodes::children(self.db, node.ino)?.into_iter().map(|child| (child, node.id.clone())));
            }
            if survives {
                self.recreate(node)?;
            } else {
                links::going(self.db, &node, &mut self.effects)?;
                nodes::delete(self.db, node.ino)?;
                // Below an entry that the kernel drops there is nothing left to drop.
                if node.ino == top.ino || survivors.contains(&node.parent) {
                    freed.push((node.parent, node.name.clone()));
                    self.effects.entries.push((node.parent, node.name));
                }
            }
        }
        for (folder, name) in freed {
            names::freed(self.db, folder, &name, &mut self.effects)?;
        }
        if !survivors.contains(&top.ino) {
            nodes::touch_folder(self.db, top.parent, clock::now())?;
            self.effects.attributes.push(top.parent);
        }
        Ok(())
    }

    /// Makes a node that the drive lost into one that it does not have yet.
    fn recreate(&mut self, node: Node) -> rusqlite::Result<()> {
        let mut node = self.bring_home(node)?;
        if node.link.is_some() {
            node.target = None;
        }
        if node.names > 0 {
            links::misled(self.db, node.ino, &mut self.effects)?;
        }
        let base = nodes::base(self.db, node.ino)?;
        // A tag in its name came from the id that it loses: from now on it is a part of the name, on every machine.
        let drive_name = names::on_drive(self.db, &node, &node.name)?;
        if base.as_ref().is_some_and(|base| base.on_drive.is_none()) {
            // If it was made there a moment ago, that went with the rest, and so did what was being sent for it.
            self.effects.resend.push(node.ino);
            return nodes::update(self.db, &Node { id: None, version: 0, drive_name, access: Access::UNKNOWN, ..node });
        }
        // A further name is made anew in any case.
        let rewritten = base.is_some_and(|base| base.rewritten) && node.kind != NodeKind::Link;
        nodes::set_base(self.db, node.ino, &Base::unsent(rewritten))?;
        self.effects.resend.push(node.ino);
        let access = Access::UNKNOWN;
        nodes::update(self.db, &Node { id: None, version: 0, drive_name, access, revision: None, md5: None, ..node })
    }

    /// Puts a node that is to be made anew, and is in no folder of a drive, into the root: a shared drive that was left takes nothing
    /// any more, nor does a place that was only known by its id.
    fn bring_home(&mut self, node: Node) -> rusqlite::Result<Node> {
        if node.parent != Ino::SHARED_DRIVES && !nodes::is_held(self.db, &node)? {
            return Ok(node);
        }
        let (Some(id), drive_name) = (&node.id, node.name_on_drive().to_owned()) else { return Ok(node) };
        let wanted = names::wanted_as(self.db, &node, &drive_name)?;
        let name = names::place(self.db, Ino::ROOT, wanted.as_deref(), id, node.created, &mut self.effects)?;
        self.effects.entries.push((node.parent, node.name.clone()));
        self.effects.entries.push((Ino::ROOT, name.clone()));
        let drive_name = (name != drive_name).then_some(drive_name);
        let access = Access::UNKNOWN;
        let home = Node { parent: Ino::ROOT, name, drive_name, drive: None, access, ..node };
        nodes::update(self.db, &home)?;
        Ok(home)
    }

    /// How many a node and all in it are, and of these those that hold what the drive does not have, with the folders on the way
    /// to them.
    fn survivors(&self, node: &Node) -> rusqlite::Result<(usize, HashSet<Ino>)> {
        let mut statement = self.db.prepare_cached(
            "WITH RECURSIVE below (ino, parent) AS (
                 SELECT ino, parent FROM node WHERE ino = ?1
                 UNION ALL
                 SELECT node.ino, node.parent FROM node JOIN below ON node.parent = below.ino
             )
             SELECT below.ino, below.parent, coalesce(base.rewritten OR NOT base.on_drive, 0)
             FROM below LEFT JOIN base ON base.ino = below.ino",
        )?;
        let rows = statement.query_map(params![node.ino], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(Ino, Ino, bool)> = rows.collect::<rusqlite::Result<_>>()?;
        let count = rows.len();
        let parents: HashMap<Ino, Ino> = rows.iter().map(|&(ino, parent, _)| (ino, parent)).collect();
        let mut survivors = HashSet::new();
        let edited = |ino| self.listener.is_some_and(|listener| listener.is_edited(ino));
        for (mut ino, _, unsent) in rows {
            let unsent = unsent || edited(ino);
            while unsent && survivors.insert(ino) && ino != node.ino {
                match parents.get(&ino) {
                    Some(&parent) => ino = parent,
                    None => break,
                }
            }
        }
        Ok((count, survivors))
    }
}
