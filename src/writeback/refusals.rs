//! What the drive refused for good, until the programs that wrote it have heard of it.
//!
//! As Linux does it for disks (errseq): an error of an upload is told once to each handle of the file that was open when it came,
//! at its next `fsync`, `close` or `write`; and if nobody was told, to the first that is opened later. It stays until the drive has
//! the file, whoever was told, so that `status` and attributes can show it.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::{Writeback, WritebackError};
use crate::error::Kind;
use crate::tree::Ino;

/// All refusals that last.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_entry: HashMap<Ino, Refusal>,
    /// How many there ever were.
    last: u64,
}

#[derive(Debug, Clone)]
struct Refusal {
    number: u64,
    kind: Kind,
    why: String,
    /// The files whose programs were told: itself, or what waits for it.
    told: HashSet<Ino>,
}

impl Refusals {
    /// Notes how a step for an entry ended: whether nothing is left to send, or why it failed.
    pub(super) fn note(&self, ino: Ino, result: Result<bool, &WritebackError>) {
        let mut inner = self.0.lock();
        match result {
            Ok(true) => drop(inner.by_entry.remove(&ino)),
            Err(error) if is_told(error.kind()) => {
                let (kind, why) = (error.kind(), error.to_string());
                if let Some(refusal) = inner.by_entry.get_mut(&ino).filter(|refusal| refusal.kind == kind) {
                    // Refused once more: no news.
                    refusal.why = why;
                    return;
                }
                inner.last += 1;
                let number = inner.last;
                inner.by_entry.insert(ino, Refusal { number, kind, why, told: HashSet::new() });
            }
            Ok(false) | Err(_) => {}
        }
    }

    /// The entries that were refused.
    fn entries(&self) -> Vec<Ino> {
        self.0.lock().by_entry.keys().copied().collect()
    }
}

impl Writeback {
    /// The number of the last refusal of a file that its programs were told of; 0 if there is none. What a handle that is opened
    /// now has heard.
    pub fn refusal_told(&self, ino: Ino) -> u64 {
        let root = self.queue.inner.lock().root(ino);
        let inner = self.refusals.0.lock();
        let told = |of: Ino| inner.by_entry.get(&of).filter(|refusal| refusal.told.contains(&ino));
        told(ino).or_else(|| told(root)).map_or(0, |refusal| refusal.number)
    }

    /// The refusal of a file, or of a folder that it waits for, if it is another than the one numbered `heard`, with its number.
    /// Counts as told.
    pub fn tell_refusal(&self, ino: Ino, heard: u64) -> Option<(u64, WritebackError)> {
        // Nearly always.
        if self.refusals.0.lock().by_entry.is_empty() {
            return None;
        }
        let root = self.queue.inner.lock().root(ino);
        let mut inner = self.refusals.0.lock();
        let of = if inner.by_entry.contains_key(&ino) { ino } else { root };
        let refusal = inner.by_entry.get_mut(&of).filter(|refusal| refusal.number != heard)?;
        refusal.told.insert(ino);
        Some((refusal.number, WritebackError::NotTaken { kind: refusal.kind, why: refusal.why.clone() }))
    }

    /// Tries again what was refused and may not be any more: `has_changed` says whether the drive told something new of an entry
    /// or of a folder above it.
    pub fn reconsider(&self, has_changed: impl Fn(Ino) -> bool) {
        let refused = self.refusals.entries();
        if refused.is_empty() {
            return;
        }
        let changed: Vec<Ino> = refused.into_iter().filter(|&ino| has_changed(ino)).collect();
        let mut queue = self.queue.inner.lock();
        for ino in changed {
            queue.hasten(ino);
        }
        drop(queue);
        self.queue.wake.notify_one();
    }
}

/// Whether programs are told: of what does not pass by itself, and is the drive's word on this very file or place. A sign-in that
/// ended is none of theirs, and what is retried with another request next time (a lost id, an entry that went) is no refusal yet.
fn is_told(kind: Kind) -> bool {
    match kind {
        Kind::Denied
        | Kind::NotPermitted
        | Kind::ReadOnly
        | Kind::NameTooLong
        | Kind::TooLarge
        | Kind::StorageFull
        | Kind::TooManyEntries
        | Kind::UploadLimit
        | Kind::AttributesFull
        | Kind::Corrupt => true,
        Kind::NotFound
        | Kind::Exists
        | Kind::NotADirectory
        | Kind::IsADirectory
        | Kind::NotEmpty
        | Kind::BadName
        | Kind::Invalid
        | Kind::OtherDrive
        | Kind::DiskFull
        | Kind::DownloadLimit
        | Kind::SignIn
        | Kind::Unreachable
        | Kind::TimedOut
        | Kind::RateLimited
        | Kind::Server
        | Kind::Protocol
        | Kind::Stale
        | Kind::Unsupported
        | Kind::NoAttribute
        | Kind::Range
        | Kind::BadHandle
        | Kind::Busy
        | Kind::Closing
        | Kind::Local(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind) -> WritebackError {
        WritebackError::NotTaken { kind, why: kind.to_string() }
    }

    #[test]
    fn what_is_refused_again_is_no_news_and_what_is_refused_otherwise_is() {
        let refusals = Refusals::default();
        let number = || refusals.0.lock().by_entry.get(&Ino(1)).map(|refusal| refusal.number);
        refusals.note(Ino(1), Err(&error(Kind::Denied)));
        let first = number();
        refusals.note(Ino(1), Err(&error(Kind::Unreachable)));
        refusals.note(Ino(1), Ok(false));
        refusals.note(Ino(1), Err(&error(Kind::Denied)));
        assert!(first.is_some() && number() == first);
        refusals.note(Ino(1), Err(&error(Kind::TooLarge)));
        assert!(number() > first);
        refusals.note(Ino(1), Ok(true));
        assert_eq!(number(), None);
    }
}
