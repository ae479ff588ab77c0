//! Uploads of an earlier process that the drive may still be carrying out.
//!
//! What a process has given to its sockets is delivered though it is killed, and the drive does what is asked. So content that a killed
//! mount was sending can arrive after the next mount has sent something newer for the same item, and be on top of it; or after the
//! item was removed, and be there again. The journal knows these items: their uploads have no answer. For a while after the start
//! nothing else is done about them on the drive; then what arrived is seen and known as ours ([`super::conflict`]).
//!
//! To send the very same content again does no harm, and waits for nothing.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::time::Instant;

use super::journal::Seq;
use super::queue::{Parked, Queue};
use crate::remote::FileId;
use crate::tree::Ino;
use crate::tree::nodes::from_sql;

/// How long that may take: what fits into the buffers of a connection (some megabytes) goes over a line of a megabyte a second.
const QUIET: Duration = Duration::from_secs(5);

/// The items, and what was sent for each if that is known to be one content of the entry that has it now.
#[derive(Debug)]
pub(super) struct Stragglers {
    until: Instant,
    items: Mutex<HashMap<FileId, Option<Seq>>>,
}

impl Stragglers {
    /// Those that this start finds.
    pub(super) fn find(db: &Connection) -> rusqlite::Result<Self> {
        let mut items = HashMap::new();
        let mut unanswered = db.prepare(
            "SELECT node.id, upload.seq, upload.inherited FROM upload JOIN node ON node.ino = upload.ino
             WHERE node.id IS NOT NULL",
        )?;
        let mut rows = unanswered.query([])?;
        while let Some(row) = rows.next()? {
            let inherited: bool = row.get(2)?;
            let seq = Some(Seq(from_sql(row.get(1)?))).filter(|_| !inherited);
            items.entry(FileId(row.get(0)?)).and_modify(|known| *known = None).or_insert(seq);
        }
        Ok(Self { until: Instant::now() + QUIET, items: Mutex::new(items) })
    }

    /// Waits as long as something may still arrive at an item that is not what is to be sent now: `content`, or a removal. Says
    /// whether it waited: then the drive may know more.
    pub(super) async fn wait(&self, id: Option<&FileId>, content: Option<Seq>, queue: &Queue, ino: Ino) -> bool {
        let Some(id) = id else { return false };
        let Some(sent) = self.items.lock().get(id).copied() else { return false };
        if sent.is_some() && sent == content {
            return false;
        }
        // Takes no place from who need not wait.
        let _parked = Parked::new(queue, ino);
        tokio::time::sleep_until(self.until).await;
        self.items.lock().clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stragglers(items: &[(&str, Option<u64>)]) -> Stragglers {
        let items = items.iter().map(|&(id, seq)| (FileId(id.to_owned()), seq.map(Seq))).collect();
        Stragglers { until: Instant::now() + QUIET, items: Mutex::new(items) }
    }

    #[tokio::test(start_paused = true)]
    async fn only_something_else_for_an_item_that_may_still_change_waits_and_only_for_a_while() {
        let (stragglers, queue) = (stragglers(&[("one", Some(7)), ("two", None)]), Queue::default());
        let wait = async |id: &str, content: Option<u64>| {
            let (start, id) = (Instant::now(), FileId(id.to_owned()));
            (stragglers.wait(Some(&id), content.map(Seq), &queue, Ino(2)).await, start.elapsed())
        };
        assert_eq!(wait("other", Some(7)).await, (false, Duration::ZERO));
        assert_eq!(wait("one", Some(7)).await, (false, Duration::ZERO), "the same again");
        assert_eq!(wait("two", None).await, (true, QUIET), "a removal is not what was sent");
        assert_eq!(wait("one", Some(8)).await, (false, Duration::ZERO), "it is over");
    }
}
