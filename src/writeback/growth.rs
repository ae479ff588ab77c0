//! How much of a content that is written from its start on is with an upload already.
//!
//! An upload that begins while a file is still written *claims* its bytes before it reads them: they are what the file shall
//! hold. A write into what is claimed breaks the claim, and with it the upload. So what an unbroken claim covers is what the
//! layer's file holds.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::pile::Pile;
use crate::clock::Instant;

/// A file that has so many bytes from the start on, and is still written, is worth an upload before it is closed.
pub(super) const WORTH_IT: u64 = 16 << 20;

/// A file that grows by less than a tenth in an interval is one that grows for ever (a log), and not one that is being saved.
const TENTH: u64 = 10;

/// For how many intervals a file can be one that is being saved.
const INTERVALS: u32 = 10;

/// What is sent of one content before it is closed.
#[derive(Debug, Default)]
pub(super) enum Growth {
    /// Nothing yet.
    #[default]
    Idle,
    /// An upload was asked for.
    Asked,
    /// An upload is under way.
    Claimed(Claim),
    /// Nothing, and nothing will be, unless it begins from empty again.
    Over,
}

/// What an upload has taken of a layer.
#[derive(Debug)]
pub(super) struct Claim {
    layer: u64,
    until: u64,
    grown: Arc<Notify>,
    broken: CancellationToken,
    /// When it was looked at last how fast the file grows, how long it was then, and how often that was.
    looked: (Instant, u64, u32),
}

/// How an upload hears of the file that it follows.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    /// Its file, of which it holds the bytes from the start on.
    pub(super) file: Arc<File>,
    /// It grew.
    pub(super) grown: Arc<Notify>,
    /// What was sent is not what it holds any more.
    pub(super) broken: CancellationToken,
}

impl Growth {
    /// Something was written. Says whether an upload shall be begun.
    pub(super) fn written(&mut self, pile: &Pile) -> bool {
        match self {
            Self::Claimed(claim) => claim.grown.notify_one(),
            Self::Idle if pile.prefix().is_some_and(|prefix| prefix.length >= WORTH_IT) => {
                *self = Self::Asked;
                return true;
            }
            Self::Idle | Self::Asked | Self::Over => {}
        }
        false
    }

    /// Bytes from `offset` on are about to change.
    pub(super) fn changing(&mut self, offset: u64) {
        if let Self::Claimed(claim) = self
            && offset < claim.until
        {
            self.end();
        }
    }

    /// All of it is about to be cut off: whoever does that writes it anew from the start on.
    pub(super) fn emptied(&mut self) {
        self.end();
        *self = Self::Idle;
    }

    /// No more of it is sent before it is closed. What is claimed stays with who has it, unless that is not what it holds.
    pub(super) fn end(&mut self) {
        if let Self::Claimed(claim) = std::mem::replace(self, Self::Over) {
            claim.broken.cancel();
        }
    }

    /// Whether what is claimed is of this layer.
    pub(super) fn is_of(&self, layer: u64) -> bool {
        matches!(self, Self::Claimed(claim) if claim.layer == layer)
    }

    /// Begins to claim. `None` if there is nothing (any more) that an upload could follow.
    pub(super) fn begin(&mut self, pile: &Pile) -> Option<Followed> {
        let prefix = pile.prefix().filter(|_| matches!(self, Self::Asked))?;
        let followed = Followed { file: prefix.file, grown: Arc::default(), broken: CancellationToken::new() };
        *self = Self::Claimed(Claim {
            layer: prefix.layer,
            until: 0,
            grown: Arc::clone(&followed.grown),
            broken: followed.broken.clone(),
            looked: (Instant::now(), prefix.length, 0),
        });
        Some(followed)
    }

    /// Whether the file is just being saved, so that what there is by now is of no use to anybody: it is sent as it grows, and did
    /// so by a good part in the last `interval`.
    pub(super) fn is_save(&mut self, pile: &Pile, interval: Duration) -> bool {
        let length = self.claimable(pile);
        let Self::Claimed(claim) = self else { return false };
        let (since, before, times) = claim.looked;
        if since.elapsed() < interval {
            return true;
        }
        claim.looked = (Instant::now(), length, times + 1);
        times < INTERVALS && length - before.min(length) > before / TENTH
    }

    /// How many bytes from the start on can be claimed.
    pub(super) fn claimable(&self, pile: &Pile) -> u64 {
        let Self::Claimed(claim) = self else { return 0 };
        // A write into sealed bytes goes into a layer above: what lies behind it in ours may not be what the file holds.
        pile.prefix().filter(|prefix| prefix.layer == claim.layer).map_or(claim.until, |prefix| prefix.length)
    }

    /// Claims the bytes up to `until`. Says whether that is done.
    pub(super) fn claim(&mut self, pile: &Pile, until: u64) -> bool {
        let can = until <= self.claimable(pile);
        if let Self::Claimed(claim) = self
            && can
        {
            claim.until = claim.until.max(until);
        }
        can
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "all of it is small")]
mod tests {
    use super::*;
    use crate::writeback::layers::Layer;

    struct Bench {
        _dir: tempfile::TempDir,
        pile: Pile,
        growth: Growth,
    }

    impl Bench {
        /// A file of which the first bytes are written.
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("temporary folder");
            let mut pile = Pile::default();
            pile.push(Layer::create(1, dir.path().join("1"), 0).expect("creates"));
            Self { _dir: dir, pile, growth: Growth::Idle }
        }

        fn write(&mut self, offset: u64, length: usize) -> bool {
            self.growth.changing(offset);
            self.pile.write(offset, &vec![1; length]).expect("writes");
            self.growth.written(&self.pile)
        }

        fn follow(&mut self) -> Followed {
            assert!(self.write(0, WORTH_IT as usize), "it is asked for");
            self.growth.begin(&self.pile).expect("begins")
        }
    }

    #[test]
    fn what_is_written_from_the_start_on_is_asked_for_once() {
        let mut bench = Bench::new();
        assert!(!bench.write(0, 100));
        assert!(!bench.write(WORTH_IT, 100), "there is a gap before it");
        assert!(bench.write(100, WORTH_IT as usize));
        assert!(!bench.write(WORTH_IT + 200, 100), "once");
    }

    #[test]
    fn a_write_into_what_is_claimed_breaks_it_and_one_behind_does_not() {
        let mut bench = Bench::new();
        let followed = bench.follow();
        assert!(bench.growth.claim(&bench.pile, 1000));
        bench.write(1000, 10);
        assert!(!followed.broken.is_cancelled());
        bench.write(999, 1);
        assert!(followed.broken.is_cancelled());
        assert!(!bench.growth.claim(&bench.pile, 2000), "and nothing is claimed any more");
    }

    #[test]
    fn what_is_not_written_is_not_claimed() {
        let mut bench = Bench::new();
        bench.follow();
        assert!(!bench.growth.claim(&bench.pile, WORTH_IT + 1));
        bench.write(WORTH_IT + 10, 10);
        assert!(!bench.growth.claim(&bench.pile, WORTH_IT + 15), "there is a gap before it");
        bench.write(WORTH_IT, 10);
        assert!(bench.growth.claim(&bench.pile, WORTH_IT + 15));
    }

    #[test]
    fn a_save_grows_by_a_good_part_and_not_for_ever() {
        let mut bench = Bench::new();
        bench.follow();
        assert!(bench.growth.is_save(&bench.pile, Duration::from_hours(1)));
        bench.write(WORTH_IT, WORTH_IT as usize / 5);
        assert!(bench.growth.is_save(&bench.pile, Duration::ZERO));
        bench.write(WORTH_IT * 6 / 5, 1000);
        assert!(!bench.growth.is_save(&bench.pile, Duration::ZERO), "a log");
        let mut at = WORTH_IT * 6 / 5 + 1000;
        for _ in 0..INTERVALS {
            bench.write(at, (WORTH_IT / 2) as usize);
            at += WORTH_IT / 2;
            bench.growth.is_save(&bench.pile, Duration::ZERO);
        }
        assert!(!bench.growth.is_save(&bench.pile, Duration::ZERO), "it was sealed often enough before");
    }

    #[test]
    fn a_file_that_is_emptied_begins_anew() {
        let mut bench = Bench::new();
        let followed = bench.follow();
        assert!(bench.growth.claim(&bench.pile, 1000));
        bench.growth.emptied();
        bench.pile.resize(0).expect("empties");
        assert!(followed.broken.is_cancelled());
        assert!(bench.write(0, WORTH_IT as usize));
    }
}
