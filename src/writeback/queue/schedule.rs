//! [`Inner`]: which entries are due when, which are under way, and what is known of how they fare.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failures::{Failure, Failures};
use super::pace::{self, Change, Pace, rested};
use super::turns::Holder;
use super::waits::Waits;
use crate::tree::Ino;

/// Entries that are sent at one time. Large uploads are bounded further, see [`crate::writeback::upload`].
pub(in crate::writeback) const AT_ONCE: usize = 24;

/// Entries that may wait for others to be uploaded, beside those.
const PARKED: usize = 200;

/// The same under a deadline, when small ones must get past large ones that wait.
const PARKED_PRESSED: usize = 800;

/// Steps in a row that bring an entry nowhere, and for how long it rests after the next; each time for twice as long, up to half a
/// minute.
const FRUITLESS: u32 = 16;
const BRAKE: Duration = Duration::from_millis(100);

/// An upload of which the drive has taken nothing for this long is said to hang.
const SILENCE: Duration = Duration::from_secs(10);

/// Invariants: `due` and `at` say the same. An entry is in at most one of `at`, `running`, `waits` and `crowd`. While somebody is in
/// `crowd`, somebody is parked or due who [lets one in](Inner::let_one_in) when it ends.
#[derive(Debug, Default)]
pub(in crate::writeback) struct Inner {
    pub(super) due: BTreeSet<(Instant, Ino)>,
    pub(super) at: HashMap<Ino, Scheduled>,
    pub(super) running: HashMap<Ino, Running>,
    /// Those of them that wait for their turn to be uploaded.
    pub(super) parked: HashSet<Ino>,
    /// Those that will when there is room for it, and the order in which they came; what is in the second alone has gone.
    crowd: HashSet<Ino>,
    arrivals: VecDeque<Ino>,
    pub(super) waits: Waits,
    pub(super) failures: Failures,
    pub(super) pace: Pace,
    /// How much the drive has of content whose upload was broken off.
    pub(super) reached: HashMap<Ino, u64>,
    /// How many steps in a row brought an entry nowhere.
    pub(super) fruitless: HashMap<Ino, u32>,
    /// How much of an entry's content was ever on its way, over all tries.
    pub(super) furthest: HashMap<Ino, u64>,
    /// How many wait for the drive: nothing is held back then.
    pub(super) hurry: usize,
    /// How many of them have a deadline.
    pub(super) pressed: usize,
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) when: Instant,
    /// When it first changed.
    pub(super) since: Instant,
    /// Why it is not sent at once, if because it changed.
    pub(super) change: Option<Change>,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) cancel: CancellationToken,
    /// It changed meanwhile.
    pub(super) again: Option<Change>,
    pub(super) sent: u64,
    /// Since when that is so.
    pub(super) moved: Instant,
    pub(super) began: Instant,
    /// The drive took its content, of this size.
    pub(super) uploaded: Option<u64>,
}

impl Inner {
    pub(super) fn schedule(&mut self, ino: Ino, when: Instant) {
        self.put(ino, when, Instant::now(), None);
    }

    /// Schedules it anew, or for the first time; `since` in the second case.
    pub(super) fn put(&mut self, ino: Ino, when: Instant, since: Instant, change: Option<Change>) {
        self.waits.stop(ino);
        self.crowd.remove(&ino);
        let since = self.unschedule(ino).map_or(since, |old| old.since);
        self.due.insert((when, ino));
        self.at.insert(ino, Scheduled { when, since, change });
    }

    pub(super) fn unschedule(&mut self, ino: Ino) -> Option<Scheduled> {
        let old = self.at.remove(&ino)?;
        self.due.remove(&(old.when, ino));
        Some(old)
    }

    pub(super) fn settle(&mut self, ino: Ino, change: Change) {
        let now = Instant::now();
        let before = self.at.get(&ino).map(|before| (before.since, before.change));
        let was = before.and_then(|(_, change)| change);
        let mut change = was.map_or(change, |was| was.and(change));
        let mut since = before.map_or(now, |(since, _)| since);
        let when = if self.hurry > 0 {
            // Who waits has what they wait for hastened: this may be a save that has nothing to do with it.
            if change == Change::Temporary { rested(Change::Other, since) } else { now }
        } else if let Some(not_before) = self.pace.not_before(ino, change) {
            not_before.max(rested(change, since))
        } else {
            if matches!(change, Change::Grown { .. }) {
                change = Change::Other;
            }
            if change == Change::Other && was.is_some_and(|was| was != Change::Other) {
                // It was held back, and is not any more: from now on it rests as others do.
                self.unschedule(ino);
                since = now;
            }
            rested(change, since)
        };
        self.put(ino, when, since, Some(change));
    }

    pub(super) fn wait(&mut self, ino: Ino, other: Ino) {
        // Two that need each other first: no view of the tables says so, and one of them looked before something changed.
        let is_outdated = self.waits.root(other) == ino;
        self.waits.wait(ino, other);
        // So that there is somebody to wait for.
        let is_known = self.at.contains_key(&other) || self.running.contains_key(&other) || self.crowd.contains(&other);
        if is_outdated {
            let when = self.braked(other);
            self.schedule(other, when);
        } else if !is_known && !self.waits.is_waiting(other) {
            self.schedule(other, Instant::now());
        }
    }

    /// When an entry may go on after a step that brought it nowhere: at once, but not for ever. What leads nowhere again and again is
    /// a mistake, of the drive or of this program, and must not become a storm of requests.
    pub(super) fn braked(&mut self, ino: Ino) -> Instant {
        let count = self.fruitless.entry(ino).or_default();
        *count += 1;
        let pause = count.checked_sub(FRUITLESS).map_or(Duration::ZERO, |over| BRAKE * 2_u32.pow(over.min(8)));
        Instant::now() + pause
    }

    /// The entries that may run now.
    pub(in crate::writeback) fn take_due(&mut self) -> Vec<(Ino, CancellationToken)> {
        let now = Instant::now();
        let mut taken = Vec::new();
        while self.has_room() {
            let Some(&(_, ino)) = self.due.first().filter(|(when, _)| *when <= now) else { break };
            self.unschedule(ino);
            if self.waits.hold(ino, |other| self.running.contains_key(&other)) {
                continue;
            }
            let cancel = CancellationToken::new();
            let running =
                Running { cancel: cancel.clone(), again: None, sent: 0, moved: now, began: now, uploaded: None };
            self.running.insert(ino, running);
            taken.push((ino, cancel));
        }
        taken
    }

    /// When something may run next.
    pub(in crate::writeback) fn next(&self) -> Option<Instant> {
        if self.has_room() { self.due.first().map(|&(when, _)| when) } else { None }
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() - self.parked.len() < AT_ONCE
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.parked.len() >= if self.pressed > 0 { PARKED_PRESSED } else { PARKED }
    }

    /// Keeps an entry until there is room to wait.
    pub(super) fn keep_out(&mut self, ino: Ino) {
        if self.crowd.insert(ino) {
            self.arrivals.push_back(ino);
        }
    }

    /// Lets the one go on that has been kept out for longest, if there is room to wait.
    pub(super) fn let_one_in(&mut self) {
        while !self.is_crowded()
            && let Some(ino) = self.arrivals.pop_front()
        {
            if self.crowd.remove(&ino) {
                return self.schedule(ino, Instant::now());
            }
        }
    }

    /// Tries at once to send an entry, or what it waits for, even if that failed before.
    pub(in crate::writeback) fn hasten(&mut self, ino: Ino) {
        self.hasten_to(ino, Instant::now());
    }

    pub(super) fn hasten_to(&mut self, ino: Ino, when: Instant) {
        let root = self.waits.root(ino);
        self.failures.remove(&root);
        // Who is in the crowd waits for nothing but its turn.
        if !self.running.contains_key(&root) && !self.crowd.contains(&root) {
            self.schedule(root, when);
        }
    }

    /// As [`Self::hasten`], in this order.
    pub(in crate::writeback) fn hasten_in_order(&mut self, inos: &[Ino]) {
        let now = Instant::now();
        for (&ino, behind) in inos.iter().rev().zip(1..) {
            self.hasten_to(ino, now.checked_sub(Duration::from_nanos(behind)).unwrap_or(now));
        }
    }

    /// Tries again at once all that failed before. Says how many that are.
    pub(in crate::writeback) fn hasten_failed(&mut self) -> usize {
        let failed: Vec<Ino> = self.failures.drain().map(|(ino, _)| ino).collect();
        for &ino in &failed {
            if self.at.contains_key(&ino) {
                self.schedule(ino, Instant::now());
            }
        }
        failed.len()
    }

    /// The last of those that an entry waits for: itself, if for none.
    pub(in crate::writeback) fn root(&self, ino: Ino) -> Ino {
        self.waits.root(ino)
    }

    /// Whether sending an entry, or what it waits for, failed for a reason that will not pass by itself.
    pub(in crate::writeback) fn is_hopeless(&self, ino: Ino) -> bool {
        self.failures.get(&self.waits.root(ino)).is_some_and(Failure::is_hopeless)
    }

    /// Why an entry, or what it waits for, was not sent, if it failed.
    pub(in crate::writeback) fn failure(&self, ino: Ino) -> Option<&Failure> {
        self.failures.get(&ino).or_else(|| self.failures.get(&self.waits.root(ino)))
    }

    /// How much of an entry's content the drive has taken, if it is being sent.
    pub(in crate::writeback) fn progress(&self, ino: Ino) -> Option<u64> {
        self.running.get(&ino).filter(|_| !self.parked.contains(&ino)).map(|running| running.sent)
    }

    /// How much of an entry's content the drive has taken, if not all of it, as far as is known.
    pub(in crate::writeback) fn reached(&self, ino: Ino) -> u64 {
        let running = self.running.get(&ino).map_or(0, |running| running.sent);
        running.max(self.reached.get(&ino).copied().unwrap_or(0))
    }

    /// For how long the drive has taken nothing of an entry that is being sent, if that is long.
    pub(in crate::writeback) fn silence(&self, ino: Ino) -> Option<Duration> {
        let running = self.running.get(&ino).filter(|_| !self.parked.contains(&ino))?;
        Some(running.moved.elapsed()).filter(|silence| *silence >= SILENCE)
    }

    /// For how long an entry that goes on changing is still held back, if it is.
    pub(in crate::writeback) fn held_back(&self, ino: Ino) -> Option<Duration> {
        let scheduled = self.at.get(&ino)?;
        let left = scheduled.when.saturating_duration_since(Instant::now());
        let is_paced = matches!(scheduled.change, Some(Change::Grown { .. } | Change::Temporary));
        (is_paced && left > pace::REST).then_some(left)
    }

    pub(in crate::writeback) fn hurry(&mut self) {
        self.hurry += 1;
    }

    pub(in crate::writeback) fn hurry_no_more(&mut self) {
        self.hurry -= 1;
    }

    /// From now on there is a deadline. Says whether there was none before.
    pub(in crate::writeback) fn press(&mut self) -> bool {
        self.pressed += 1;
        // Those go first that have the least left, and it is not known who that is.
        for ino in std::mem::take(&mut self.arrivals) {
            if self.crowd.remove(&ino) {
                self.schedule(ino, Instant::now());
            }
        }
        self.pressed == 1
    }

    /// One deadline is over, or none any more. Says whether there is none left.
    pub(in crate::writeback) fn press_no_more(&mut self) -> bool {
        self.pressed -= 1;
        self.pressed == 0
    }

    pub(in crate::writeback) fn is_pressed(&self) -> bool {
        self.pressed > 0
    }

    /// Puts those of these entries that are due in this order.
    pub(in crate::writeback) fn reorder(&mut self, inos: &[Ino]) {
        let now = Instant::now();
        let is_due = |ino: &Ino| self.at.get(ino).is_some_and(|at| at.when <= now);
        let due: Vec<Ino> = inos.iter().copied().filter(is_due).collect();
        for (&ino, behind) in due.iter().rev().zip(1..) {
            self.schedule(ino, now.checked_sub(Duration::from_nanos(behind)).unwrap_or(now));
        }
    }

    /// Of these, breaks off the one that has the most left to send, if that is more than `left`, and if no less than `places` of
    /// them would go on.
    pub(in crate::writeback) fn make_way(&self, holders: &[Holder], left: u64, places: usize) {
        let goes_on = |ino| self.running.get(&ino).is_some_and(|running: &Running| !running.cancel.is_cancelled());
        let on: Vec<_> = holders.iter().filter(|holder| goes_on(holder.ino)).collect();
        let most = on.iter().map(|holder| (holder.size.saturating_sub(self.reached(holder.ino)), holder.ino)).max();
        if let Some((most, ino)) = most.filter(|_| on.len() >= places)
            && most > left
        {
            self.break_off(ino);
        }
    }

    /// Breaks off what is sent of an entry, to be gone on with when its turn comes.
    pub(in crate::writeback) fn break_off(&self, ino: Ino) {
        if let Some(running) = self.running.get(&ino).filter(|_| !self.parked.contains(&ino)) {
            running.cancel.cancel();
        }
    }
}
