//! Which entry waits for which other one.

use std::collections::{HashMap, HashSet};

use crate::tree::Ino;

/// Invariant: `behind` and `waiters` say the same.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Who waits for whom to be sent.
    behind: HashMap<Ino, Ino>,
    waiters: HashMap<Ino, HashSet<Ino>>,
    /// Who of them goes on if that fails.
    unless_failed: HashSet<Ino>,
    /// Whom not to overtake: not to run while one of them runs.
    follows: HashMap<Ino, Vec<Ino>>,
    /// Who is due, and follows one that runs.
    held: HashMap<Ino, HashSet<Ino>>,
}

impl Waits {
    /// Lets `ino` wait until `other` is sent.
    pub(super) fn wait(&mut self, ino: Ino, other: Ino) {
        self.behind.insert(ino, other);
        self.waiters.entry(other).or_default().insert(ino);
    }

    /// Lets it wait no more.
    pub(super) fn stop(&mut self, ino: Ino) {
        self.unless_failed.remove(&ino);
        let Some(other) = self.behind.remove(&ino) else { return };
        if let Some(waiters) = self.waiters.get_mut(&other) {
            waiters.remove(&ino);
            if waiters.is_empty() {
                self.waiters.remove(&other);
            }
        }
    }

    /// Lets one that waits go on if what it waits for fails.
    pub(super) fn unless_it_fails(&mut self, ino: Ino) {
        self.unless_failed.insert(ino);
    }

    /// Who goes on because an entry failed that they, or others in between, wait for.
    pub(super) fn that_go_on(&self, failed: Ino) -> Vec<Ino> {
        self.unless_failed.iter().copied().filter(|&waiter| self.root(waiter) == failed).collect()
    }

    pub(super) fn is_waiting(&self, ino: Ino) -> bool {
        self.behind.contains_key(&ino)
    }

    /// Who waits until an entry is sent.
    pub(super) fn for_it(&self, ino: Ino) -> Vec<Ino> {
        self.waiters.get(&ino).map_or_else(Vec::new, |waiters| waiters.iter().copied().collect())
    }

    /// The last of those that an entry waits for, one behind the other: itself, if for none.
    pub(super) fn root(&self, mut ino: Ino) -> Ino {
        // Folders are not that deep; the bound is for a mistake.
        for _ in 0..4096 {
            match self.behind.get(&ino) {
                Some(&other) => ino = other,
                None => break,
            }
        }
        ino
    }

    /// Lets `ino` not overtake `other`, nor one that `other` must not overtake, of those that run.
    pub(super) fn follow(&mut self, ino: Ino, other: Ino, runs: impl Fn(Ino) -> bool) {
        let mut others = self.follows.get(&other).cloned().unwrap_or_default();
        others.push(other);
        others.retain(|&other| other != ino && runs(other));
        if !others.is_empty() {
            let follows = self.follows.entry(ino).or_default();
            follows.extend(others);
            follows.sort_unstable();
            follows.dedup();
        }
    }

    /// Whether an entry must not overtake one that runs.
    pub(super) fn is_behind(&self, ino: Ino, runs: impl Fn(Ino) -> bool) -> bool {
        self.follows.get(&ino).is_some_and(|others| others.iter().any(|&other| runs(other)))
    }

    /// Holds an entry that is due, if it must not overtake one that runs.
    pub(super) fn hold(&mut self, ino: Ino, runs: impl Fn(Ino) -> bool) -> bool {
        let Some(followed) = self.follows.get_mut(&ino) else { return false };
        followed.retain(|&other| runs(other));
        let Some(&first) = followed.first() else {
            self.follows.remove(&ino);
            return false;
        };
        self.held.entry(first).or_default().insert(ino);
        true
    }

    /// Who was held because of an entry that ran.
    pub(super) fn released(&mut self, ino: Ino) -> HashSet<Ino> {
        self.held.remove(&ino).unwrap_or_default()
    }
}
