//! Files whose content is just being replaced by the drive's news.
//!
//! Between the commit of a merge and the moment in which the kernel has forgotten what it keeps of a file, who opens it would read the new
//! content where the kernel has no pages, and the old one where it has. So from before the commit on such a file is noted here. Whoever
//! opened it looks here *after* that, and if it is noted, is answered only when the kernel has forgotten. Who opened the new content
//! opened it after the commit, and so finds the note, unless the kernel has forgotten by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Answer, Caching, Fs, NodeId, OpenFlags, Outdated, Register};
use crate::clock::Instant;
use crate::tree::Ino;

/// A merge that failed leaves its notes. None takes nearly as long.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// The notes.
#[derive(Debug, Default)]
pub(super) struct Changing(Mutex<HashMap<Ino, Instant>>);

/// Files that were noted, and when.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    files: Vec<Ino>,
    at: Instant,
}

impl Changing {
    /// Before the commit.
    pub(super) fn begin(&self, files: Vec<Ino>) -> Noted {
        let at = Instant::now();
        let mut notes = self.0.lock();
        notes.retain(|_, since| at.saturating_duration_since(*since) < FORGOTTEN);
        notes.extend(files.iter().map(|&file| (file, at)));
        Noted { files, at }
    }

    /// Of these files those that are noted now.
    fn noted(&self, files: &[Ino]) -> Noted {
        let notes = self.0.lock();
        let files = files.iter().copied().filter(|file| notes.contains_key(file)).collect();
        Noted { files, at: Instant::now() }
    }

    /// The kernel has forgotten what it kept then. What was noted since stays.
    pub(super) fn end(&self, noted: &Noted) {
        let mut notes = self.0.lock();
        for file in &noted.files {
            if notes.get(file).is_some_and(|since| *since <= noted.at) {
                notes.remove(file);
            }
        }
    }

    pub(super) fn has(&self, file: Ino) -> bool {
        let notes = self.0.lock();
        !notes.is_empty() && notes.get(&file).is_some_and(|since| since.elapsed() < FORGOTTEN)
    }
}

impl Fs {
    /// `open`.
    pub fn open(self: &Arc<Self>, id: NodeId, flags: OpenFlags, register: Register<'_>) -> Answer<(u64, Caching)> {
        match self.open_unchanged(id, flags, register) {
            Answer::Now(Ok((number, Caching::Keep | Caching::Drop))) if self.changing.has(id.ino()) => {
                let revoked = self.revoke.revoke_now(vec![Outdated::Content(id)]);
                Answer::later(async move {
                    revoked.await;
                    // By then it may have pages again, of whatever it was told.
                    Ok((number, Caching::Drop))
                })
            }
            // The news may have come to its end since it was opened.
            Answer::Now(Ok((number, Caching::Keep))) => Answer::Now(Ok((number, self.caching(id.ino())))),
            opened => opened,
        }
    }

    /// After the commit: has the kernel forget, and then the notes.
    pub(super) fn changed(self: &Arc<Self>, files: &[Ino], outdated: Vec<Outdated>) {
        let noted = self.changing.noted(files);
        if noted.files.is_empty() {
            return;
        }
        let (fs, revoked) = (Arc::clone(self), self.revoke.revoke_now(outdated));
        self.runtime.spawn(async move {
            revoked.await;
            fs.changing.end(&noted);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_noted_from_before_the_commit_until_the_kernel_has_forgotten() {
        let changing = Changing::default();
        assert!(!changing.has(Ino(7)));
        let first = changing.begin(vec![Ino(7), Ino(8)]);
        assert!(changing.has(Ino(7)) && changing.has(Ino(8)) && !changing.has(Ino(9)));
        let second = changing.begin(vec![Ino(8)]);
        changing.end(&first);
        assert!(!changing.has(Ino(7)) && (changing.has(Ino(8)) || first.at == second.at), "noted again since");
        changing.end(&second);
        assert!(!changing.has(Ino(8)));
        changing.begin(vec![Ino(7)]);
        let noted = changing.noted(&[Ino(7), Ino(9)]);
        assert_eq!(noted.files, [Ino(7)]);
    }
}
