//! Requests without an answer that the drive may still be carrying out.
//!
//! What a process has given to its sockets is delivered though it is killed, or has closed them, and the drive does what is asked. So
//! content that a killed mount was sending can arrive after the next mount has sent something newer for the same item, and be on
//! top of it; or after the item was removed, and be there again; and so can a name. The tables know these items: their requests have
//! no answer. For a while after the start nothing else is done about them on the drive; then what arrived is seen and known as
//! ours ([`super::conflict`], [`asked`]). The same holds for a request of this process whose connection broke off.
//!
//! To send the very same again does no harm, and waits for nothing.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::time::Instant;

use super::journal::Seq;
use super::queue::{Parked, Queue};
use crate::error::{Kind, Retry};
use crate::remote::{FileId, RemoteError};
use crate::tree::nodes::from_sql;
use crate::tree::{Ino, OnDrive, asked};

/// How long that may take: what fits into the buffers of a connection (some megabytes) goes over a line of a megabyte a second.
const QUIET: Duration = Duration::from_secs(5);

/// The content that was sent for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// One of the entry that has the item now.
    One(Seq),
    /// Several, or of another entry that had the item before.
    Unknown,
}

/// What was sent for an item and has no answer.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    content: Option<Content>,
    metadata: Option<OnDrive>,
    /// It will not arrive after that.
    until: Instant,
}

/// What is to be sent for an item now.
#[derive(Debug)]
pub(super) enum Next {
    Content(Seq, OnDrive),
    Metadata(OnDrive),
    /// What is asked of an item in the trash leaves it there.
    Removal,
}

impl Next {
    fn parts(&self) -> (Option<Content>, Option<&OnDrive>) {
        match self {
            Self::Content(seq, metadata) => (Some(Content::One(*seq)), Some(metadata)),
            Self::Metadata(metadata) => (None, Some(metadata)),
            Self::Removal => (None, None),
        }
    }
}

impl Sent {
    fn nothing() -> Self {
        Self { content: None, metadata: None, until: Instant::now() + QUIET }
    }

    /// Whether it must not arrive after `next`.
    fn is_in_the_way_of(&self, next: &Next) -> bool {
        let (content, metadata) = next.parts();
        let other_content = self.content.is_some_and(|sent| sent == Content::Unknown || Some(sent) != content);
        let other_metadata = self.metadata.as_ref().zip(metadata).is_some_and(|(sent, now)| sent != now);
        other_content || other_metadata
    }
}

/// The items, and what was sent for each.
#[derive(Debug)]
pub(super) struct Stragglers(Mutex<HashMap<FileId, Sent>>);

impl Stragglers {
    /// Those that this start finds.
    pub(super) fn find(db: &Connection) -> rusqlite::Result<Self> {
        let mut items: HashMap<FileId, Sent> = HashMap::new();
        // CROSS: in this order, and not through all of the tree.
        let mut unanswered = db.prepare(
            "SELECT node.id, upload.seq, upload.inherited FROM upload CROSS JOIN node ON node.ino = upload.ino
             WHERE node.id IS NOT NULL",
        )?;
        let mut rows = unanswered.query([])?;
        while let Some(row) = rows.next()? {
            let inherited: bool = row.get(2)?;
            let sent = items.entry(FileId(row.get(0)?)).or_insert_with(Sent::nothing);
            sent.content = Some(match sent.content {
                None if !inherited => Content::One(Seq(from_sql(row.get(1)?))),
                _ => Content::Unknown,
            });
        }
        for (id, asked) in asked::all(db)? {
            items.entry(id).or_insert_with(Sent::nothing).metadata = Some(asked.wanted);
        }
        Ok(Self(Mutex::new(items)))
    }

    /// Notes what was sent for an item and failed, if it may have been carried out, or still be.
    pub(super) fn note(&self, id: &FileId, sent: &Next, error: &RemoteError) {
        if error.kind.retry() != Retry::Soon || error.kind == Kind::RateLimited {
            return;
        }
        let now = Instant::now();
        let mut items = self.0.lock();
        items.retain(|_, sent| sent.until > now);
        let noted = items.entry(id.clone()).or_insert_with(Sent::nothing);
        noted.until = now + QUIET;
        let (content, metadata) = sent.parts();
        if let Some(content) = content {
            let is_other = noted.content.is_some_and(|before| before != content);
            noted.content = Some(if is_other { Content::Unknown } else { content });
        }
        noted.metadata = metadata.cloned().or(noted.metadata.take());
    }

    /// Waits as long as something may still arrive at an item that is not what is to be sent now. Says whether it waited: then the
    /// drive may know more.
    pub(super) async fn wait(&self, id: Option<&FileId>, next: &Next, queue: &Queue, ino: Ino) -> bool {
        let Some(id) = id else { return false };
        let until = match self.0.lock().get(id) {
            Some(sent) if sent.until > Instant::now() && sent.is_in_the_way_of(next) => sent.until,
            _ => return false,
        };
        // Takes no place from who need not wait.
        let _parked = Parked::new(queue, ino);
        tokio::time::sleep_until(until).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn named(name: &str) -> OnDrive {
        OnDrive {
            parent: None,
            name: name.to_owned(),
            mtime: Timestamp::from_millis(0),
            mode: None,
            owner: None,
            xattrs: crate::remote::Xattrs::default(),
        }
    }

    fn sent(content: Option<Content>, metadata: Option<&str>) -> Sent {
        Sent { content, metadata: metadata.map(named), ..Sent::nothing() }
    }

    #[test]
    fn nothing_else_may_be_sent_and_the_very_same_may() {
        let (one, unknown) = (sent(Some(Content::One(Seq(7))), None), sent(Some(Content::Unknown), None));
        let content = |seq, name| Next::Content(Seq(seq), named(name));
        assert!(!one.is_in_the_way_of(&content(7, "a")), "the same again");
        assert!(one.is_in_the_way_of(&content(8, "a")) && one.is_in_the_way_of(&Next::Removal));
        assert!(unknown.is_in_the_way_of(&content(7, "a")), "it was of another");
        let moved = sent(None, Some("a"));
        assert!(!moved.is_in_the_way_of(&content(7, "a")) && !moved.is_in_the_way_of(&Next::Metadata(named("a"))));
        assert!(moved.is_in_the_way_of(&content(7, "b")) && moved.is_in_the_way_of(&Next::Metadata(named("b"))));
        assert!(!moved.is_in_the_way_of(&Next::Removal), "it is in the trash under any name");
        let both = sent(Some(Content::One(Seq(7))), Some("a"));
        assert!(!both.is_in_the_way_of(&content(7, "a")) && both.is_in_the_way_of(&content(7, "b")));
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_item_that_may_still_change_waits_and_only_for_a_while() {
        let items = HashMap::from([(FileId("one".to_owned()), sent(Some(Content::One(Seq(7))), None))]);
        let stragglers = Stragglers(Mutex::new(items));
        let queue = Queue::default();
        let wait = async |id: &str, seq: u64| {
            let (start, next) = (Instant::now(), Next::Content(Seq(seq), named("a")));
            (stragglers.wait(Some(&FileId(id.to_owned())), &next, &queue, Ino(2)).await, start.elapsed())
        };
        assert_eq!(wait("other", 8).await, (false, Duration::ZERO));
        assert_eq!(wait("one", 8).await, (true, QUIET));
        assert_eq!(wait("one", 8).await, (false, Duration::ZERO), "it is over");
        let fail = |kind, seq| {
            let error = RemoteError::new(kind, "upload", "as the test wants it");
            stragglers.note(&FileId("two".to_owned()), &Next::Content(Seq(seq), named("a")), &error);
        };
        fail(Kind::Denied, 7);
        fail(Kind::RateLimited, 7);
        assert_eq!(wait("two", 8).await, (false, Duration::ZERO), "it was refused");
        fail(Kind::TimedOut, 7);
        assert_eq!(wait("two", 7).await, (false, Duration::ZERO), "the same again");
        assert_eq!(wait("two", 8).await, (true, QUIET));
        fail(Kind::Unreachable, 8);
        fail(Kind::Server, 9);
        assert_eq!(wait("two", 9).await, (true, QUIET), "of two contents the first may be the last to arrive");
    }
}
