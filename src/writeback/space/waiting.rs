//! Who waits for room, for how long, and what they are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Space;
use crate::config::Bytes;
use crate::error::Kind;
use crate::writeback::{Result, Writeback, WritebackError};

/// How long writers wait while nothing at all gets to the drive.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// How often it is looked whether waiting still helps, and whether somebody still wants to.
const LOOK: Duration = Duration::from_millis(200);

/// Those who wait, and what was found when it was looked the last time.
#[derive(Debug)]
pub(super) struct Waiting {
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
pub(in crate::writeback) enum Lack {
    /// Of the cap.
    Cap,
    /// Of the disk.
    Disk,
}

/// What becomes of a write that there is no room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outlook {
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

impl Waiting {
    /// Nobody, since `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { writers: 0, lack: Lack::Cap, outlook: Outlook::GoOn, looked: None, progress: (0, now), gave_up: None }
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

impl Space {
    /// What the last look said does not hold any more.
    pub(in crate::writeback) fn look_again(&self) {
        self.waiting.lock().looked = None;
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
        let mut outlook = takers.outlook(lack, space.limit());
        let mut waiting = space.waiting.lock();
        if outlook == Outlook::Wait && waiting.progress.1.elapsed() >= PATIENCE {
            let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            waiting.gave_up = Some(waiting.progress.0);
            outlook = Outlook::Refuse(format!("nothing got to the drive for {} minutes{why}", PATIENCE.as_secs() / 60));
        }
        (waiting.outlook, waiting.looked, waiting.lack) = (outlook.clone(), Some(Instant::now()), lack);
        outlook
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
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_is_only_used_up_while_somebody_waits_and_nothing_gets_through() {
        let space = Space::new(HashMap::new(), 800, 1000, Arc::default());
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
