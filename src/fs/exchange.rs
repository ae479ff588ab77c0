//! `RENAME_EXCHANGE`.

use std::sync::Arc;

use super::change::First;
use super::dir::name;
use super::{Answer, Fs, NodeId, Result};
use crate::error::Kind;

impl Fs {
    /// Lets two entries change places, of whatever kinds they are.
    pub fn exchange(self: &Arc<Self>, one: (NodeId, &[u8]), other: (NodeId, &[u8])) -> Answer<()> {
        let checked = self.may_exchange_in(one).and_then(|one| Ok((one, self.may_exchange_in(other)?)));
        let ((one, one_name), (other, other_name)) = match checked {
            Ok(checked) => checked,
            Err(error) => return Answer::Now(Err(error)),
        };
        let first = [(one, &one_name), (other, &other_name)].map(|(folder, name)| self.sync_first(folder, name, true));
        let first: Vec<First> = match first.into_iter().collect::<Result<Vec<_>>>() {
            Ok(first) => first.into_iter().flatten().collect(),
            Err(error) => return Answer::Now(Err(error)),
        };
        let first =
            (!first.is_empty()).then(|| -> First { Box::new(|| first.into_iter().try_for_each(|first| first())) });
        self.in_listed_after(first, vec![one, other], move |fs| {
            for (from, name, to) in [(one, &one_name, other), (other, &other_name, one)] {
                let node = fs.tree.row(from.ino(), name)?.ok_or(Kind::NotFound)?;
                fs.may_move(&node, from.ino(), to.ino())?;
            }
            fs.writeback.exchange((one.ino(), &one_name), (other.ino(), &other_name))?;
            Ok(((), vec![(one, one_name), (other, other_name)]))
        })
    }

    /// A place that an entry may leave and another take.
    fn may_exchange_in(&self, (folder, given): (NodeId, &[u8])) -> Result<(NodeId, String)> {
        self.writable()?;
        let name = name(given)?.to_owned();
        if self.tree.child(folder.ino(), &name)?.is_none() && self.alias_of(folder, &name).is_some() {
            return Err(Kind::Busy.into());
        }
        self.may_change_entries(folder)?;
        Ok((folder, name))
    }
}
