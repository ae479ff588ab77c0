//! What is read in no order: all of it is wanted sooner or later.

use std::collections::VecDeque;

use super::roster::Suffix;
use crate::tree::Ino;

/// The small files of a folder, or of the folders in one, that are to be fetched.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// Folders whose files are not among the ones below yet.
    pub(super) folders: VecDeque<Ino>,
    /// Files to fetch.
    pub(super) files: VecDeque<Ino>,
    /// What they are called at their end.
    pub(super) like: Vec<Suffix>,
    /// Bytes of all that may be fetched.
    pub(super) bytes: u64,
    /// Files that programs have read.
    reads: u64,
    /// Files that were taken out to be fetched.
    taken: u64,
}

impl Epoch {
    pub(super) fn new(bytes: u64, reads: u64, like: Vec<Suffix>) -> Self {
        Self { like, bytes, reads, ..Self::default() }
    }

    /// Notes a read.
    pub(super) fn read(&mut self) {
        self.reads += 1;
    }

    /// How many files may be fetched ahead in all for so many reads. It may be an accident that a dozen files of one place were
    /// read; not that hundreds were.
    fn credit(&self) -> u64 {
        self.reads * self.reads / 8
    }

    /// Whether it may have more, if there is more.
    pub(super) fn has_credit(&self) -> bool {
        self.taken < self.credit()
    }

    /// Whether all is taken out.
    pub(super) fn is_done(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// The next file.
    pub(super) fn take(&mut self) -> Option<Ino> {
        let file = if self.has_credit() { self.files.pop_front()? } else { return None };
        self.taken += 1;
        Some(file)
    }

    /// It was here already, and cost nothing.
    pub(super) fn was_here(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_reads_fetch_a_little_and_many_everything() {
        let mut epoch = Epoch::new(0, 6, Vec::new());
        epoch.files.extend((0..20_000).map(Ino));
        let taken = |epoch: &mut Epoch| std::iter::from_fn(|| epoch.take()).count();
        assert_eq!(taken(&mut epoch), 4);
        (6..50).for_each(|_| epoch.read());
        assert_eq!(taken(&mut epoch), 312 - 4);
        (50..400).for_each(|_| epoch.read());
        assert_eq!(taken(&mut epoch), 20_000 - 312);
        assert!(epoch.is_done());
    }
}
