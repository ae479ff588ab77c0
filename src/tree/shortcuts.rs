//! Where a shortcut leads, as the text of a symbolic link.
//!
//! A shortcut knows the id of an item, and the item may be anywhere, and move. So the text is made each time that it is read: the way
//! from the shortcut's folder to where the item is now; if the tree does not have it, the way into the folder [`TARGETS`], in which it is
//! looked up by its id when somebody follows the link. The text asks for nothing, so `ls -l` costs no request, and neither does a dangling
//! shortcut until it is followed.

use rusqlite::Connection;

use super::{Ino, Node, Result, Tree, drives, nodes};
use crate::remote::FileId;

/// The folder in the root, which is not listed, in which items are found by their ids; as Google's own mounts call it.
pub const TARGETS: &str = ".shortcut-targets-by-id";

/// Levels of a tree; more than any drive allows (100): the bound is for a damaged table.
const LEVELS: usize = 4096;

impl Tree {
    /// The text of the link that a shortcut is shown as.
    pub fn link_of(&self, shortcut: &Node) -> Result<String> {
        Ok(self.state.peek(|db| link(db, shortcut))?)
    }
}

fn link(db: &Connection, shortcut: &Node) -> rusqlite::Result<String> {
    let id = FileId(shortcut.target.clone().unwrap_or_default());
    let from = way(db, shortcut.parent)?.unwrap_or_default();
    let to = match nodes::by_id(db, &id)?.filter(Node::is_linked) {
        Some(target) => way(db, target.ino)?,
        None => None,
    };
    let to = to.unwrap_or_else(|| vec![TARGETS.to_owned(), id.0, shortcut.name.clone()]);
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let link = up.chain(to[common..].iter().map(String::as_str)).collect::<Vec<_>>().join("/");
    Ok(if link.is_empty() { ".".to_owned() } else { link })
}

/// The names from the root to an entry. `None` if no path leads there, since an entry of the root has the name of a folder on the way.
fn way(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Vec<String>>> {
    let mut names = Vec::new();
    let mut at = ino;
    while at != Ino::ROOT && names.len() < LEVELS {
        let Some(node) = nodes::by_ino(db, at)? else { return Ok(None) };
        if at.is_top() {
            let name = if at == Ino::SHARED_DRIVES { drives::NAME } else { TARGETS };
            if nodes::by_name(db, Ino::ROOT, name)?.is_some() {
                return Ok(None);
            }
            names.push(name.to_owned());
            break;
        }
        if !node.is_linked() {
            return Ok(None);
        }
        names.push(node.name);
        at = node.parent;
    }
    names.reverse();
    Ok(Some(names))
}
