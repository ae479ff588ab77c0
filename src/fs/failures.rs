//! Why operations on entries failed last: for the attribute `user.drivemount.error`, and for `status`, which names what could not be
//! read.

use lru::LruCache;
use parking_lot::Mutex;

use super::{Fs, FsError};
use crate::tree::Ino;

/// Reasons kept, for that many entries.
const KEPT: usize = 1024;

/// Files that could not be read and are named, the last ones.
const NAMED: usize = 10;

/// Why operations on entries failed last.
#[derive(Debug)]
pub(super) struct Failures(Mutex<LruCache<Ino, Failure>>);

#[derive(Debug)]
struct Failure {
    reason: String,
    /// It was a read, and none went well since.
    unread: bool,
}

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT.try_into().expect("not zero"))))
    }
}

impl Failures {
    pub(super) fn note(&self, ino: Ino, reason: &str) {
        tracing::debug!(ino = ino.0, reason, "a program was told of an error");
        self.0.lock().put(ino, Failure { reason: reason.to_owned(), unread: false });
    }

    /// Notes that a file could not be read; whether that is news.
    fn note_unread(&self, ino: Ino, reason: &str) -> bool {
        let before = self.0.lock().put(ino, Failure { reason: reason.to_owned(), unread: true });
        !before.is_some_and(|before| before.unread && before.reason == reason)
    }

    /// What had to be fetched of a file was, and read.
    pub(super) fn was_read(&self, ino: Ino) {
        let mut failures = self.0.lock();
        if failures.peek(&ino).is_some_and(|failure| failure.unread) {
            failures.pop(&ino);
        }
    }

    pub(super) fn get(&self, ino: Ino) -> Option<String> {
        self.0.lock().peek(&ino).map(|failure| failure.reason.clone())
    }

    fn unread(&self) -> Vec<(Ino, String)> {
        let failures = self.0.lock();
        let unread = failures.iter().filter(|(_, failure)| failure.unread);
        unread.take(NAMED).map(|(&ino, failure)| (ino, failure.reason.clone())).collect()
    }
}

impl Fs {
    /// Notes that a program was told of an error when it read.
    pub(super) fn note_unread(&self, ino: Ino, error: &FsError) {
        let reason = error.to_string();
        if self.failures.note_unread(ino, &reason) {
            let path = self.tree.path(ino).unwrap_or_default();
            tracing::warn!(path, reason, "a file could not be read");
        }
    }

    /// The files that could not be read when a program tried last, with the reasons: the last ten.
    pub fn unread(&self) -> Vec<(String, String)> {
        let named = |(ino, reason)| Some((self.tree.path(ino).ok()?, reason));
        self.failures.unread().into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_named_until_it_can() {
        let failures = Failures::default();
        assert!(failures.note_unread(Ino(5), "limit"));
        assert!(!failures.note_unread(Ino(5), "limit"), "said once");
        failures.note(Ino(6), "refused");
        (10..30).for_each(|ino| assert!(failures.note_unread(Ino(ino), "away")));
        assert_eq!(failures.unread().len(), NAMED);
        (10..30).for_each(|ino| failures.was_read(Ino(ino)));
        failures.was_read(Ino(6));
        assert_eq!(failures.unread(), [(Ino(5), "limit".to_owned())]);
        assert_eq!((failures.get(Ino(6)).as_deref(), failures.get(Ino(10))), (Some("refused"), None));
    }
}
