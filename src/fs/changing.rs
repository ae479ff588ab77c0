//! Files whose content is just being replaced by the drive's news.
//!
//! Between the commit of a merge and the moment in which the kernel has forgotten what it keeps of a file, who opens it would read the new
//! content where the kernel has no pages, and the old one where it has. So from before the commit on such a file is noted here; who
//! opens it has the kernel forget first, and if even then it is noted still, reads past the kernel's pages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Answer, Caching, Fs, NodeId, OpenFlags, Outdated};
use crate::clock::Instant;
use crate::tree::Ino;

/// A merge that failed leaves its notes. None takes nearly as long.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// The notes.
#[derive(Debug, Default)]
pub(super) struct Changing(Mutex<HashMap<Ino, Instant>>);

impl Changing {
    /// Before the commit.
    pub(super) fn begin(&self, files: &[Ino]) {
        if files.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut notes = self.0.lock();
        notes.retain(|_, since| now.saturating_duration_since(*since) < FORGOTTEN);
        notes.extend(files.iter().map(|&file| (file, now)));
    }

    /// The kernel has forgotten.
    fn end(&self, files: &[Ino]) {
        let mut notes = self.0.lock();
        for file in files {
            notes.remove(file);
        }
    }

    pub(super) fn has(&self, file: Ino) -> bool {
        let notes = self.0.lock();
        !notes.is_empty() && notes.get(&file).is_some_and(|since| since.elapsed() < FORGOTTEN)
    }
}

impl Fs {
    /// `open`.
    pub fn open(self: &Arc<Self>, id: NodeId, flags: OpenFlags) -> Answer<(u64, Caching)> {
        if !self.changing.has(id.ino()) {
            return self.open_unchanged(id, flags);
        }
        let fs = Arc::clone(self);
        Answer::later(async move {
            fs.revoke.revoke_now(vec![Outdated::Content(id)]).await;
            let opened = match fs.open_unchanged(id, flags) {
                Answer::Now(opened) => opened,
                Answer::Later(opened, _) | Answer::InItsTime(opened, _) => opened.await,
            };
            let is_changing = fs.changing.has(id.ino());
            opened.map(|(number, caching)| (number, if is_changing { Caching::Direct } else { caching }))
        })
    }

    /// After the commit: has the kernel forget, and then the notes.
    pub(super) fn changed(self: &Arc<Self>, files: Vec<Ino>, outdated: Vec<Outdated>) {
        if files.is_empty() {
            return;
        }
        let (fs, revoked) = (Arc::clone(self), self.revoke.revoke_now(outdated));
        self.runtime.spawn(async move {
            revoked.await;
            fs.changing.end(&files);
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
        changing.begin(&[Ino(7), Ino(8)]);
        assert!(changing.has(Ino(7)) && changing.has(Ino(8)) && !changing.has(Ino(9)));
        changing.end(&[Ino(7)]);
        assert!(!changing.has(Ino(7)) && changing.has(Ino(8)));
    }
}
