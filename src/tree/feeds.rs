//! The feeds of changes: the account's own, and one of each shared drive that somebody looked into.
//!
//! A feed is followed from the moment at which its cursor is stored: for a shared drive that is before anything of it is first listed.
//! From then on it is read in the rhythm that [`pause`] says. A drive that nobody used for a while is read less often; then its name is
//! revoked, so that whoever uses it next asks for it, which is noticed ([`Tree::used`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Notify;

use super::{Effects, FACT_CURSOR, Ino, Result, Tree, TreeError, nodes, unplaced};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::{Cursor, FileId, RemoteError};
use crate::state;

/// A shared drive that was not used for so long is read less often.
const UNUSED_AFTER: Duration = Duration::from_mins(10);
/// How much less often.
const UNUSED: u32 = 12;
/// How much less often all feeds are read for a moment after the drive asked for fewer requests.
const SCARCE: u32 = 4;
/// The longest pause that comes of it, unless more was wanted.
const LONGEST: Duration = Duration::from_mins(2);

/// How long after one reading of a feed the next begins.
pub(super) fn pause(interval: Duration, unused_for: Duration, is_scarce: bool) -> Duration {
    let unused = if unused_for < UNUSED_AFTER { 1 } else { UNUSED };
    let scarce = if is_scarce { SCARCE } else { 1 };
    (interval * unused * scarce).min(LONGEST.max(interval))
}

/// What is known of the use of shared drives, and what is to be done for their list.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    drives: Mutex<HashMap<FileId, Use>>,
    /// How many of them nobody uses.
    unused: AtomicUsize,
    /// Somebody uses one of them again.
    pub(super) used: Notify,
    /// How often a feed told of shared drives as a whole.
    pub(super) drives_changed: AtomicU64,
    /// Their list was not asked for since.
    pub(super) drives_stale: AtomicBool,
    /// How many pages of feeds were merged.
    pub(super) pages: AtomicU64,
}

/// The use of one shared drive.
#[derive(Debug)]
struct Use {
    last: Instant,
    read: Option<Instant>,
    is_unused: bool,
}

/// Which feeds of shared drives are to be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    /// Now.
    now: Vec<FileId>,
    /// Less often from now on, unless somebody uses them in a way that is not noticed.
    unused: Vec<FileId>,
}

impl Feeds {
    /// Notes that somebody uses a drive. If nobody did, it is read at once.
    fn use_now(&self, drive: &FileId, now: Instant) {
        if let Some(known) = self.drives.lock().get_mut(drive) {
            known.last = now;
            if known.is_unused {
                known.is_unused = false;
                known.read = None;
                self.unused.fetch_sub(1, Ordering::Relaxed);
                self.used.notify_one();
            }
        }
    }

    /// Notes that nobody uses a drive.
    fn rest(&self, drive: &FileId) {
        if let Some(known) = self.drives.lock().get_mut(drive).filter(|known| !known.is_unused) {
            known.is_unused = true;
            self.unused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Which of the drives that are followed are due, and notes that these are read.
    fn due(&self, followed: Vec<FileId>, interval: Duration, all: bool, is_scarce: bool, now: Instant) -> Due {
        let mut drives = self.drives.lock();
        drives.retain(|drive, known| {
            let stays = followed.contains(drive);
            if !stays && known.is_unused {
                self.unused.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
        let mut due = Due::default();
        for drive in followed {
            let known = drives.entry(drive.clone()).or_insert_with(|| Use { last: now, read: None, is_unused: false });
            let unused_for = now.saturating_duration_since(known.last);
            if unused_for >= UNUSED_AFTER && !known.is_unused {
                due.unused.push(drive.clone());
            }
            let pause = pause(interval, if known.is_unused { unused_for } else { Duration::ZERO }, is_scarce);
            // It is looked once an interval: what is due before the next look is due now.
            if all || known.read.is_none_or(|read| now.saturating_duration_since(read) + interval / 2 >= pause) {
                known.read = Some(now);
                due.now.push(drive);
            }
        }
        due
    }
}

fn name_of(drive: Option<&FileId>) -> String {
    drive.map_or_else(|| FACT_CURSOR.to_owned(), |drive| format!("{FACT_CURSOR}:{drive}"))
}

/// The place in a feed.
pub(super) fn cursor(db: &Connection, drive: Option<&FileId>) -> rusqlite::Result<Option<Cursor>> {
    db.prepare_cached("SELECT value FROM fact WHERE name = ?1")?
        .query_row([name_of(drive)], |row| row.get(0).map(Cursor))
        .optional()
}

/// Whether a feed is read.
pub(super) fn is_followed(db: &Connection, drive: Option<&FileId>) -> rusqlite::Result<bool> {
    Ok(cursor(db, drive)?.is_some())
}

/// Follows a feed from there.
pub(super) fn set_cursor(db: &Connection, drive: Option<&FileId>, cursor: &Cursor) -> rusqlite::Result<()> {
    state::set_fact(db, &name_of(drive), &cursor.0)
}

/// Follows the feed of a shared drive no more.
pub(super) fn forget(db: &Connection, drive: &FileId) -> rusqlite::Result<()> {
    // What is kept of it is not told on.
    unplaced::forget(db)?;
    db.prepare_cached("DELETE FROM fact WHERE name = ?1")?.execute([name_of(Some(drive))]).map(|_| ())
}

/// The shared drives whose feeds are followed.
fn followed(db: &Connection) -> rusqlite::Result<Vec<FileId>> {
    let prefix = format!("{FACT_CURSOR}:");
    db.prepare_cached("SELECT name FROM fact WHERE name GLOB ?1")?
        .query_map([format!("{prefix}*")], |row| row.get::<_, String>(0))?
        .map(|name| name.map(|name| FileId(name.trim_start_matches(&prefix).to_owned())))
        .collect()
}

impl Tree {
    /// The shared drives whose feeds are followed.
    pub(super) fn followed_drives(&self) -> Result<Vec<FileId>> {
        Ok(self.state.read(followed)?)
    }

    /// Makes sure that the feed of the shared drive that a folder is in is followed, if it is in one: to be called before the folder is
    /// listed.
    pub(super) async fn follow_feed_of(&self, folder: Ino) -> Result<()> {
        let Some(drive) = self.state.read(|db| nodes::drive_of(db, folder))? else { return Ok(()) };
        if self.follow_feed(&drive).await? {
            return Ok(());
        }
        let (is_followed, top) =
            self.state.read(|db| Ok((is_followed(db, Some(&drive))?, nodes::by_id(db, &drive)?)))?;
        if !is_followed && top.is_some_and(|top| top.parent == Ino::SHARED_DRIVES) {
            // What is listed of it would stay as it is for ever.
            self.feeds.drives_stale.store(true, Ordering::SeqCst);
            let message = "the shared drive is gone, or was left; what was not sent of it is in the root of the mount";
            return Err(RemoteError::new(Kind::NotFound, "changes.getStartPageToken", message).into());
        }
        Ok(())
    }

    /// Makes sure that the feed of a shared drive is followed, if this account may. Says whether that began now.
    pub(super) async fn follow_feed(&self, drive: &FileId) -> Result<bool> {
        if self.state.read(|db| is_followed(db, Some(drive)))? {
            return Ok(false);
        }
        let cursor = match self.remote.cursor(Some(drive)).await {
            Ok(cursor) => cursor,
            // A single item of it was shared. The account's own feed may tell of that.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Denied | Kind::NotPermitted) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.state.write::<_, TreeError>(|tx| {
            if !is_followed(tx, Some(drive))? {
                set_cursor(tx, Some(drive), &cursor)?;
            }
            Ok(true)
        })
    }

    /// The feed of a shared drive cannot be read, for the reason given: the drive is gone, or was left.
    pub(super) async fn lost_feed(self: &Arc<Self>, drive: &FileId, why: RemoteError) -> Result<()> {
        let was_known = self.state.write::<_, TreeError>(|tx| {
            let tops = nodes::tops_of(tx, Some(drive))?;
            let is_listed = tops.iter().any(|top| top.parent == Ino::SHARED_DRIVES);
            if tops.iter().any(|top| top.ino == Ino::ROOT) {
                return Ok(None);
            }
            if !is_listed {
                // What is held of it by id alone goes on without, and is listed by who asks.
                for top in &tops {
                    for folder in nodes::listed_within(tx, top.ino)? {
                        nodes::set_listed(tx, folder, false)?;
                    }
                }
                forget(tx, drive)?;
            }
            Ok(Some(is_listed))
        })?;
        tracing::info!(drive = drive.0, "a shared drive does not tell its changes any more");
        if was_known == Some(true) {
            self.hear_drives().await?;
        }
        // Nobody leaves the root of a mount.
        if self.state.read(|db| is_followed(db, Some(drive)))? { Err(why.into()) } else { Ok(()) }
    }

    /// Notes that the list of shared drives is not up to date. Part of the caller's transaction.
    pub(super) fn drives_changed(&self, db: &Connection) -> rusqlite::Result<()> {
        self.feeds.drives_changed.fetch_add(1, Ordering::SeqCst);
        self.feeds.drives_stale.store(true, Ordering::SeqCst);
        nodes::set_listed(db, Ino::SHARED_DRIVES, false)
    }

    /// Asks for the shared drives again.
    pub(super) async fn hear_drives(self: &Arc<Self>) -> Result<()> {
        self.state.write::<_, TreeError>(|tx| Ok(self.drives_changed(tx)?))?;
        self.list(Ino::SHARED_DRIVES).await
    }

    /// Notes that somebody uses an entry. Costs nothing while all drives are in use.
    pub fn used(&self, ino: Ino) {
        if self.feeds.unused.load(Ordering::Relaxed) == 0 {
            return;
        }
        match self.state.peek(|db| nodes::drive_of(db, ino)) {
            Ok(Some(drive)) => self.feeds.use_now(&drive, Instant::now()),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "not known what is in use"),
        }
    }

    /// The shared drives whose feeds are to be read now, and notes that they are. `all`: whether it is time or not.
    pub(super) fn due(&self, interval: Duration, all: bool) -> Result<Vec<FileId>> {
        let Due { now, unused } =
            self.feeds.due(self.followed_drives()?, interval, all, self.remote.is_scarce(), Instant::now());
        for drive in unused {
            self.rest(&drive)?;
        }
        Ok(now)
    }

    /// Reads a drive less often that nobody used for long, unless somebody has something of it open.
    fn rest(&self, drive: &FileId) -> Result<()> {
        for ino in self.listener().map(super::Listener::in_use).unwrap_or_default() {
            if self.state.read(|db| nodes::drive_of(db, ino))?.as_ref() == Some(drive) {
                self.feeds.use_now(drive, Instant::now());
                return Ok(());
            }
        }
        let tops = self.state.read(|db| nodes::tops_of(db, Some(drive)))?;
        if tops.iter().any(|top| top.ino == Ino::ROOT) {
            // Its name is nobody's to revoke.
            return Ok(());
        }
        self.feeds.rest(drive);
        let entries = tops.into_iter().map(|top| (top.parent, top.name)).collect();
        self.tell(Effects { entries, ..Effects::default() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_read_in_the_interval_and_what_is_not_less_often() {
        let (five, hour) = (Duration::from_secs(5), Duration::from_hours(1));
        assert_eq!(pause(five, Duration::ZERO, false), five);
        assert_eq!(pause(five, UNUSED_AFTER / 2, false), five);
        assert_eq!(pause(five, UNUSED_AFTER, false), Duration::from_mins(1));
        assert_eq!(pause(five, Duration::ZERO, true), Duration::from_secs(20), "units are scarce");
        assert_eq!(pause(five, UNUSED_AFTER, true), LONGEST);
        assert_eq!(pause(hour, UNUSED_AFTER, true), hour, "who wants to wait longer does");
    }

    #[test]
    fn a_drive_that_nobody_uses_rests_and_is_read_at_once_when_somebody_does() {
        let (feeds, five, start) = (Feeds::default(), Duration::from_secs(5), Instant::now());
        let (team, other) = (FileId("team".to_owned()), FileId("other".to_owned()));
        let due = |seconds: u64, all: bool| {
            let now = start + Duration::from_secs(seconds);
            feeds.due(vec![team.clone(), other.clone()], five, all, false, now)
        };
        assert_eq!(due(0, false).now, [team.clone(), other.clone()]);
        assert_eq!(due(1, false), Due::default(), "just read");
        assert_eq!(due(5, false).now.len(), 2);
        feeds.use_now(&other, start + Duration::from_mins(5));
        let rested = due(600, false);
        assert_eq!((rested.now.len(), &rested.unused), (2, &vec![team.clone()]), "the other was used");
        feeds.rest(&team);
        feeds.rest(&team);
        assert_eq!((feeds.unused.load(Ordering::Relaxed), due(605, false).now), (1, vec![other.clone()]));
        assert_eq!(due(606, true).now.len(), 2, "somebody wants to know");
        assert_eq!(due(670, false).now.len(), 2, "and now and then all the same");
        feeds.use_now(&team, start + Duration::from_secs(671));
        assert_eq!((feeds.unused.load(Ordering::Relaxed), due(671, false).now), (0, vec![team.clone()]));
        feeds.rest(&team);
        feeds.due(vec![other.clone()], five, false, false, start);
        assert_eq!(feeds.unused.load(Ordering::Relaxed), 0, "what is not followed is not waited for");
    }
}
