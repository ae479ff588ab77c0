//! Room for unsent bytes: how many there may be, and who waits when there are as many.
//!
//! Unsent bytes and the cache share one cap, and the cache gives way. When unsent bytes alone would take what they may of it, or
//! the disk has no more to give, writers are made to wait until uploads have made room: so they go on as fast as the line does.
//!
//! - **Waiting must help.** A writer waits only while what is closed and can be sent would make room. Bytes of files that are open
//!   cannot go before these are closed, so if it is them that take the room, writes go on until the disk is at its reserve. If it
//!   is bytes that the drive refuses, writes are refused too ([`NoRoom`](super::WritebackError::NoRoom)), and so they are when
//!   nothing was sent for [`PATIENCE`].
//! - **Waiting costs no memory.** What goes over the cap is written first and answered late: the cap is kept a little below what
//!   there is for that ([`SLACK`]). Only what the disk itself has no room for is held in memory, and not more than [`KEPT`] of it.
//! - **A drive that is full is said to everybody** ([`Writeback::full`]), until it has room again, which is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Result, Writeback, WritebackError};
use crate::config::Bytes;
use crate::error::{Kind, Retry};
use crate::tree::Ino;

/// How long writers wait while nothing at all gets to the drive.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// What is left of the cap for writes that are done and not answered yet, one of 1 MiB at most for each writer that waits, and for
/// the databases beside the contents.
const SLACK: u64 = 16 << 20;

/// Of a small cap, one part in so many.
const SLACK_PART: u64 = 8;

/// Bytes of writes that are held in memory because the disk has no room for them.
const KEPT: usize = 32 << 20;

/// How often it is looked whether waiting still helps, and whether somebody still wants to.
const LOOK: Duration = Duration::from_millis(200);

/// A drive that refused a file larger than what it has free may take smaller ones, if it has so much free.
const ROOMY: u64 = 256 << 20;

/// Unsent bytes by entry, and those who wait for fewer of them.
#[derive(Debug)]
pub(super) struct Space {
    /// Bytes that all staging files hold may become so many.
    limit: u64,
    /// What of the cap is left to writes that are done and not answered, and to databases.
    slack: u64,
    /// What the cache and unsent bytes may take together, for people.
    cap: u64,
    held: Mutex<Held>,
    /// Room came, or something else that who waits wants to know.
    freed: Notify,
    /// Who waits.
    waiting: Mutex<Waiting>,
    kept: Arc<Semaphore>,
    short: Mutex<Short>,
    /// How many entries the drive has no room for.
    shorts: AtomicUsize,
}

/// Invariant: `total` is the sum of `by_entry`, and nobody has none of it.
#[derive(Debug, Default)]
struct Held {
    total: u64,
    by_entry: HashMap<Ino, u64>,
}

/// Entries that the drive had no room for, with their sizes.
#[derive(Debug, Default)]
struct Short {
    sizes: HashMap<Ino, u64>,
    /// What the drive said is free, since it refused the last of them.
    free: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    writers: usize,
    /// For what.
    lack: Lack,
    /// What came of the last look.
    outlook: Outlook,
    looked: Option<Instant>,
    /// How far sending was, and since when it is no further while somebody waits.
    progress: (u64, Instant),
    /// How far sending was when somebody waited in vain.
    gave_up: Option<u64>,
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Of the cap.
    Cap,
    /// Of the disk.
    Disk,
}

/// What becomes of a write that there is no room for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outlook {
    /// Room will come.
    Wait,
    /// No room will come, and none is needed but on the disk.
    GoOn,
    /// No room will come: why.
    Refuse(String),
}

/// What a write finds.
#[derive(Debug)]
pub enum Room {
    /// There is room.
    Free,
    /// It can be done, and is to be answered when there is room: [`Writeback::wait_for_room`].
    Late,
    /// It cannot be done before there is room: [`Writeback::wait_to_write`]. Its bytes may be held meanwhile.
    None(OwnedSemaphorePermit),
}

/// Why writes wait, or are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// How many wait now; 0 if writes are refused.
    pub writers: usize,
    /// Why, as a sentence without its end.
    pub reason: String,
}

impl Space {
    /// With so many bytes held already, out of a cap of which unsent bytes may take `most`.
    pub(super) fn new(by_entry: HashMap<Ino, u64>, most: u64, cap: u64) -> Self {
        let now = Instant::now();
        let slack = SLACK.min(most / SLACK_PART);
        Self {
            limit: most - slack,
            slack,
            cap,
            held: Mutex::new(Held { total: by_entry.values().sum(), by_entry }),
            freed: Notify::new(),
            waiting: Mutex::new(Waiting {
                writers: 0,
                lack: Lack::Cap,
                outlook: Outlook::GoOn,
                looked: None,
                progress: (0, now),
                gave_up: None,
            }),
            kept: Arc::new(Semaphore::new(KEPT)),
            short: Mutex::default(),
            shorts: AtomicUsize::new(0),
        }
    }

    /// An entry holds more: not nothing.
    pub(super) fn add(&self, ino: Ino, bytes: u64) {
        let mut held = self.held.lock();
        held.total += bytes;
        *held.by_entry.entry(ino).or_default() += bytes;
    }

    /// An entry holds less.
    pub(super) fn take(&self, ino: Ino, bytes: u64) {
        let mut held = self.held.lock();
        if let Some(its) = held.by_entry.get_mut(&ino) {
            let gone = bytes.min(*its);
            *its -= gone;
            if *its == 0 {
                held.by_entry.remove(&ino);
            }
            held.total -= gone;
        }
        drop(held);
        self.freed.notify_waiters();
    }

    /// What the cache is to leave to all this, with so many bytes more.
    pub(super) fn room(&self, more: u64) -> u64 {
        self.held() + more + self.slack
    }

    /// Bytes that all hold.
    pub(super) fn held(&self) -> u64 {
        self.held.lock().total
    }

    /// Whether so many more go below the cap.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.held() + bytes <= self.limit
    }
}

/// Somebody waits.
struct Waiter<'a>(&'a Space);

impl<'a> Waiter<'a> {
    fn new(space: &'a Space, lack: Lack, progress: u64) -> Self {
        let mut waiting = space.waiting.lock();
        let now = Instant::now();
        if waiting.writers == 0 {
            // That nothing was sent while nobody waited means nothing. But who found once that nothing gets through need not
            // find it again.
            if waiting.gave_up != Some(progress) {
                waiting.progress = (progress, now);
            }
        }
        waiting.lack = lack;
        waiting.writers += 1;
        drop(waiting);
        Self(space)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().writers -= 1;
    }
}

/// What takes the room.
#[derive(Debug, Default)]
struct Takers {
    /// In files that are open.
    open: u64,
    /// In files that can be sent.
    sendable: u64,
    /// In files that the drive refuses.
    stuck: u64,
    /// Why the largest of these is not sent.
    reason: Option<(u64, String)>,
    /// Why one that is tried again soon was not sent.
    trouble: Option<String>,
}

impl Takers {
    /// What they mean for somebody who lacks this.
    fn outlook(self, lack: Lack, limit: u64) -> Outlook {
        let helps = match lack {
            Lack::Cap => self.open + self.stuck <= limit && self.sendable > 0,
            Lack::Disk => self.sendable > 0,
        };
        match lack {
            _ if helps => Outlook::Wait,
            Lack::Cap if self.open >= self.stuck => Outlook::GoOn,
            _ => Outlook::Refuse(match self.reason {
                Some((_, reason)) if self.stuck > 0 => {
                    format!("files that cannot be sent take the room: {reason}")
                }
                _ => "the disk of the cache folder is full".to_owned(),
            }),
        }
    }
}

impl Writeback {
    /// What a write of so many bytes finds. With `late` false it cannot be made to wait.
    pub fn room(&self, bytes: usize, late: bool) -> Result<Room> {
        let space = &self.stagings.space;
        let fits = space.fits(bytes as u64);
        let (outlook, is_fresh) = {
            let waiting = space.waiting.lock();
            (waiting.outlook.clone(), waiting.looked.is_some_and(|at| at.elapsed() < LOOK))
        };
        let claimed = self.stagings.claim(bytes as u64);
        match (&claimed, outlook) {
            (Ok(()), _) if fits || !late => Ok(Room::Free),
            (Ok(()), Outlook::GoOn) if is_fresh => Ok(Room::Free),
            (Ok(()), Outlook::GoOn | Outlook::Wait) => Ok(Room::Late),
            (Err(error), _) if error.kind() != Kind::DiskFull || !late => claimed.map(|()| Room::Free),
            // It may be refused, so it must not be done.
            (Err(_), _) | (Ok(()), Outlook::Refuse(_)) => {
                let kept = u32::try_from(bytes)
                    .ok()
                    .and_then(|bytes| Arc::clone(&space.kept).try_acquire_many_owned(bytes).ok());
                match (kept, claimed) {
                    (Some(kept), _) => Ok(Room::None(kept)),
                    (None, Ok(())) => Ok(Room::Late),
                    (None, Err(error)) => Err(error),
                }
            }
        }
    }

    /// Waits until what was written is within the cap, or until waiting does not help. `enough`: the writer does not want to wait
    /// any longer.
    pub async fn wait_for_room(&self, enough: impl Fn() -> bool) {
        let fits = || self.stagings.space.fits(0);
        let _enough = self.wait(Lack::Cap, fits, enough).await;
    }

    /// Waits until so many bytes can be written. [`WritebackError::NoRoom`] if waiting does not help.
    pub async fn wait_to_write(&self, bytes: usize, enough: impl Fn() -> bool) -> Result<()> {
        let bytes = bytes as u64;
        let space = &self.stagings.space;
        if let Outlook::Refuse(why) = self.wait(Lack::Disk, || self.stagings.claim(bytes).is_ok(), &enough).await? {
            return Err(WritebackError::NoRoom { why });
        }
        match self.wait(Lack::Cap, || space.fits(bytes), &enough).await? {
            Outlook::Refuse(why) => Err(WritebackError::NoRoom { why }),
            Outlook::GoOn | Outlook::Wait => Ok(()),
        }
    }

    /// Waits for `has_room`, or for as long as waiting helps; says what the last look said.
    async fn wait(&self, lack: Lack, has_room: impl Fn() -> bool, enough: impl Fn() -> bool) -> Result<Outlook> {
        let space = &self.stagings.space;
        if has_room() {
            return Ok(Outlook::Wait);
        }
        let _waiter = Waiter::new(space, lack, self.queue.progress_so_far());
        loop {
            let freed = space.freed.notified();
            if has_room() {
                return Ok(Outlook::Wait);
            }
            match self.outlook(lack) {
                Outlook::Wait => {}
                other => return Ok(other),
            }
            if enough() {
                return Err(WritebackError::Refused(Kind::Local(libc::EINTR)));
            }
            // Room says so itself; that somebody gives up waiting does not.
            let _what = tokio::time::timeout(LOOK, freed).await;
        }
    }

    /// What becomes of who lacks something now.
    fn outlook(&self, lack: Lack) -> Outlook {
        let space = &self.stagings.space;
        let progress = self.queue.progress_so_far();
        {
            let mut waiting = space.waiting.lock();
            if waiting.progress.0 != progress {
                waiting.progress = (progress, Instant::now());
            }
            let is_fresh = waiting.looked.is_some_and(|at| at.elapsed() < LOOK / 2);
            if is_fresh && waiting.lack == lack && waiting.progress.1.elapsed() < PATIENCE {
                return waiting.outlook.clone();
            }
        }
        let takers = self.takers();
        let trouble = takers.trouble.clone();
        let mut outlook = takers.outlook(lack, space.limit);
        let mut waiting = space.waiting.lock();
        if outlook == Outlook::Wait && waiting.progress.1.elapsed() >= PATIENCE {
            let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            waiting.gave_up = Some(waiting.progress.0);
            outlook = Outlook::Refuse(format!("nothing got to the drive for {} minutes{why}", PATIENCE.as_secs() / 60));
        }
        (waiting.outlook, waiting.looked, waiting.lack) = (outlook.clone(), Some(Instant::now()), lack);
        outlook
    }

    fn takers(&self) -> Takers {
        let held: Vec<(Ino, u64)> =
            self.stagings.space.held.lock().by_entry.iter().map(|(&ino, &bytes)| (ino, bytes)).collect();
        let open = self.stagings.opened();
        let queue = self.queue.inner.lock();
        let mut takers = Takers::default();
        for (ino, bytes) in held {
            if open.contains(&ino) {
                takers.open += bytes;
            } else if queue.is_hopeless(ino) {
                takers.stuck += bytes;
                let known = takers.reason.as_ref().map_or(0, |(most, _)| *most);
                if let Some(failure) = queue.failure(ino).filter(|_| bytes > known) {
                    takers.reason = Some((bytes, failure.message.clone()));
                }
            } else {
                takers.sendable += bytes;
                if takers.trouble.is_none() {
                    takers.trouble = queue.failure(ino).map(|failure| failure.message.clone());
                }
            }
        }
        takers
    }

    /// Why writes wait or are refused now, if they are.
    pub fn held_back(&self) -> Option<HeldBack> {
        let space = &self.stagings.space;
        if let Some(WritebackError::NotTaken { why, .. }) = self.full(0) {
            let held = Bytes(space.held());
            let reason = format!("{why}; {held} are kept here, and sent when the drive has room");
            return Some(HeldBack { writers: 0, reason });
        }
        let (writers, lack, outlook) = {
            let waiting = space.waiting.lock();
            (waiting.writers, waiting.lack, waiting.outlook.clone())
        };
        let lacks = !space.fits(0) || lack == Lack::Disk && self.stagings.claim(0).is_err();
        match outlook {
            Outlook::Refuse(why) if lacks => Some(HeldBack { writers: 0, reason: why }),
            _ if writers == 0 => None,
            _ => {
                let what = match lack {
                    Lack::Cap => format!(
                        "unsent files take all that they may of the cache's {} (--cache-size)",
                        Bytes(space.cap)
                    ),
                    Lack::Disk => "the disk of the cache folder is full".to_owned(),
                };
                let trouble = self.takers().trouble;
                let but = trouble.map_or_else(String::new, |why| format!(", and now they do not get there: {why}"));
                let reason = format!("{what}; writes go on as fast as these get to the drive{but}");
                Some(HeldBack { writers, reason })
            }
        }
    }

    /// Notes how a step for an entry ended, as far as the drive's storage goes.
    pub(super) fn note_storage(&self, ino: Ino, result: std::result::Result<bool, &WritebackError>) {
        let space = &self.stagings.space;
        let is_full = matches!(result, Err(error) if error.kind() == Kind::StorageFull);
        let size = if is_full { self.tree.node(ino).ok().flatten().map_or(0, |node| node.size) } else { 0 };
        let mut short = space.short.lock();
        match result {
            Err(_) if is_full => {
                short.sizes.insert(ino, size);
                short.free = None;
            }
            Ok(true) => drop(short.sizes.remove(&ino)),
            // For another reason that lasts, so room does not help it.
            Err(error) if error.kind().retry() != Retry::Soon => drop(short.sizes.remove(&ino)),
            Ok(false) | Err(_) => {}
        }
        space.shorts.store(short.sizes.len(), Ordering::Relaxed);
    }

    /// Why no more can be written: the drive is full. `None` if it is not, or if only what is much too large has no room, and
    /// `bytes` more have.
    pub fn full(&self, bytes: u64) -> Option<WritebackError> {
        let space = &self.stagings.space;
        if space.shorts.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let short = space.short.lock();
        let smallest = *short.sizes.values().min()?;
        if let Some(free) = short.free.filter(|&free| free >= ROOMY && smallest > free) {
            let held = space.held.lock();
            let theirs: u64 = short.sizes.keys().filter_map(|ino| held.by_entry.get(ino)).sum();
            if held.total - theirs + bytes <= free {
                return None;
            }
        }
        let count = short.sizes.len();
        let files = if count == 1 { "a file".to_owned() } else { format!("{count} files") };
        Some(WritebackError::NotTaken {
            kind: Kind::StorageFull,
            why: format!("the drive is full and refused {files}: empty its trash or remove something"),
        })
    }

    /// Whether the drive had no room for something that it still does not have.
    pub fn is_short(&self) -> bool {
        self.stagings.space.shorts.load(Ordering::Relaxed) > 0
    }

    /// Takes in what the drive has free now (`None`: it has no limit), and tries again what that is enough for if that is wanted.
    pub fn heard_free(&self, free: Option<u64>, again: bool) {
        let space = &self.stagings.space;
        let sizes = {
            let mut short = space.short.lock();
            short.free = free;
            let mut sizes: Vec<(u64, Ino)> = short.sizes.iter().map(|(&ino, &size)| (size, ino)).collect();
            sizes.sort_unstable();
            sizes
        };
        if !again {
            return;
        }
        let mut left = free.unwrap_or(u64::MAX);
        let mut queue = self.queue.inner.lock();
        for &(size, ino) in &sizes {
            let Some(rest) = left.checked_sub(size) else { break };
            left = rest;
            queue.hasten(ino);
        }
        drop(queue);
        self.queue.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 100;

    fn takers(open: u64, sendable: u64, stuck: u64) -> Takers {
        let reason = (stuck > 0).then(|| (stuck, "no permission".to_owned()));
        Takers { open, sendable, stuck, reason, trouble: None }
    }

    #[test]
    fn waiting_is_for_what_will_make_room() {
        for (takers, expected) in [
            (takers(50, 51, 0), Outlook::Wait),
            (takers(0, 101, 0), Outlook::Wait),
            // What is sent would not be enough, and what is open has no other place.
            (takers(101, 5, 0), Outlook::GoOn),
            (takers(100, 0, 1), Outlook::GoOn),
        ] {
            assert_eq!(takers.outlook(Lack::Cap, LIMIT), expected);
        }
        for (takers, reason) in [(takers(1, 0, 100), "no permission"), (takers(40, 10, 61), "no permission")] {
            assert!(matches!(takers.outlook(Lack::Cap, LIMIT), Outlook::Refuse(why) if why.contains(reason)));
        }
        assert_eq!(takers(1000, 1, 1000).outlook(Lack::Disk, LIMIT), Outlook::Wait, "it is a place on the disk");
        assert!(matches!(takers(1000, 0, 0).outlook(Lack::Disk, LIMIT), Outlook::Refuse(why) if why.contains("disk")));
    }

    #[test]
    fn all_bytes_are_counted_once_and_given_back() {
        let space = Space::new(HashMap::from([(Ino(1), 10)]), 8 * 100, 1000);
        assert_eq!((space.held(), space.limit), (10, 700));
        space.add(Ino(1), 5);
        space.add(Ino(2), 685);
        assert!(space.fits(0) && !space.fits(1));
        space.take(Ino(2), 1000);
        assert_eq!((space.held(), space.room(0)), (15, 115), "no more than there were, and the slack");
        space.take(Ino(1), 15);
        assert!(space.held.lock().by_entry.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_only_used_up_while_somebody_waits_and_nothing_gets_through() {
        let space = Space::new(HashMap::new(), 800, 1000);
        let stalled = |space: &Space| space.waiting.lock().progress.1.elapsed() >= PATIENCE;
        tokio::time::advance(2 * PATIENCE).await;
        let waiter = Waiter::new(&space, Lack::Cap, 0);
        assert!(!stalled(&space), "nobody waited");
        tokio::time::advance(PATIENCE / 2).await;
        let other = Waiter::new(&space, Lack::Cap, 0);
        tokio::time::advance(PATIENCE / 2).await;
        assert!(stalled(&space), "who comes later waits no longer");
        space.waiting.lock().gave_up = Some(0);
        drop((waiter, other));
        let waiter = Waiter::new(&space, Lack::Cap, 0);
        assert!(stalled(&space), "it is known by now");
        drop(waiter);
        let _waiter = Waiter::new(&space, Lack::Cap, 1);
        assert!(!stalled(&space), "something got through since");
    }
}
