//! The small files of one folder, and how they are read.
//!
//! Programs walk a folder in one of two orders: by name, if they sort, or by number, which is how we list it. A [`Walk`] is one
//! place in one of these that moves on. Several may do so at one time: the workers of a loader each have a part of the folder, or
//! each take the next.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::tree::Ino;

/// Reads that move on before anything is fetched ahead of them. Two may come one after the other by accident.
const STEPS: u32 = 3;

/// How far from its place a walk still expects a read, at most: files of other sorts stand between, and of several readers one is
/// a little ahead of the other. In a small folder it is less: there anything is near to something.
const NEAR: usize = 8;

/// Of so many files of a folder one is near.
const NEAR_PART: usize = 64;

/// Walks of one folder that are followed in each order.
const MOST_WALKS: usize = 8;

/// Files that are fetched ahead of a walk at most: twice as many as are under way at one time.
pub(super) const MOST_AHEAD: usize = 64;

/// Of how many files ahead of a walk that are of no interest one of interest is looked for.
const SKIP: usize = 4;

/// Reads of a folder that no walk expected, after which it counts as read in no order.
const SCATTERED: u32 = 6;

/// An order of the files of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Number,
}

/// What files are called at their end, by which those are known that a reader is interested in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suffix(u32);

impl Suffix {
    pub(super) fn of(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        Path::new(name).extension().hash(&mut hasher);
        // Half of it tells them apart.
        Self(u32::try_from(hasher.finish() >> 32).unwrap_or_default())
    }
}

/// A file of the roster.
#[derive(Debug, Clone, Copy)]
struct Member {
    ino: Ino,
    suffix: Suffix,
    state: Progress,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    /// It is fetched ahead.
    Asked,
    /// A program read it.
    Read,
}

impl Member {
    /// Notes that it is asked for. Says whether it was untouched so far.
    fn ask(&mut self) -> bool {
        let is_first = self.state == Progress::Untouched;
        if is_first {
            self.state = Progress::Asked;
        }
        is_first
    }
}

/// The small files of a folder.
#[derive(Debug)]
pub(super) struct Roster {
    /// By name.
    members: Vec<Member>,
    /// Places in `members`, by number.
    by_number: Vec<u32>,
    /// Bytes of all.
    pub(super) bytes: u64,
    /// Of what was read.
    suffixes: Vec<Suffix>,
    walks: [Vec<Walk>; 2],
    reads: u32,
    scattered: u32,
}

/// A place in an order that moves on. The walks of an order stand in the order of their last use.
#[derive(Debug, Clone, Copy)]
struct Walk {
    at: usize,
    steps: u32,
}

/// What is to be fetched after a read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// These files.
    pub(super) files: Vec<Ino>,
    /// A walk in this order, with so many steps, comes so close to the end that so many more would be files of the next folder.
    pub(super) beyond: Option<(Order, u32, usize)>,
    /// It is a walk, in this order, with so many steps.
    pub(super) walk: Option<(Order, u32)>,
}

impl Roster {
    /// Of files by name.
    pub(super) fn new(files: impl IntoIterator<Item = (String, Ino, u64)>) -> Self {
        let mut bytes = 0;
        let member = |(name, ino, size): (String, Ino, u64)| {
            bytes += size;
            Member { ino, suffix: Suffix::of(&name), state: Progress::Untouched }
        };
        let members: Vec<Member> = files.into_iter().map(member).collect();
        let mut by_number: Vec<u32> = (0..).take(members.len()).collect();
        by_number.sort_unstable_by_key(|&place| members[place as usize].ino);
        Self { members, by_number, bytes, suffixes: Vec::new(), walks: Default::default(), reads: 0, scattered: 0 }
    }

    /// How many files it has.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// How many of them were read.
    pub(super) fn reads(&self) -> u32 {
        self.reads
    }

    /// Whether it is read, but in no order.
    pub(super) fn is_scattered(&self) -> bool {
        self.scattered >= SCATTERED
    }

    fn place(&self, order: Order, rank: usize) -> usize {
        match order {
            Order::Name => rank,
            Order::Number => self.by_number[rank] as usize,
        }
    }

    /// Notes a read. If it is at the beginning, and another folder was walked just before with so many steps, it goes on with
    /// that.
    pub(super) fn read(&mut self, ino: Ino, before: Option<(Order, u32)>) -> Ahead {
        let by_number = self.by_number.binary_search_by_key(&ino, |&place| self.members[place as usize].ino);
        let Ok(by_number) = by_number else { return Ahead::default() };
        let by_name = self.by_number[by_number] as usize;
        let member = &mut self.members[by_name];
        if std::mem::replace(&mut member.state, Progress::Read) == Progress::Read {
            // Several read the same.
            return Ahead::default();
        }
        if !self.suffixes.contains(&member.suffix) {
            self.suffixes.push(member.suffix);
        }
        self.reads += 1;
        let steps = [(Order::Name, by_name), (Order::Number, by_number)].map(|(order, rank)| {
            let before = before.filter(|&(other, _)| other == order && rank < NEAR).map_or(0, |(_, steps)| steps);
            let Walk { at, steps } = self.step(order, rank, before);
            (steps, order, at)
        });
        let Some(&(steps, order, at)) = steps.iter().max_by_key(|(steps, ..)| *steps) else {
            return Ahead::default();
        };
        if steps == 1 {
            self.scattered += 1;
        }
        if steps < STEPS {
            return Ahead::default();
        }
        let most = usize::try_from(2 * steps).unwrap_or(MOST_AHEAD).min(MOST_AHEAD);
        let (files, found) = self.next(order, at + 1, most);
        let beyond = (at + 1 + found * SKIP >= self.len() && found < most).then_some((order, steps, most - found));
        Ahead { files, beyond, walk: Some((order, steps)) }
    }

    /// Moves a walk on, or begins one. A read that was overtaken by others belongs to the walk, but is no step of it.
    fn step(&mut self, order: Order, rank: usize, before: u32) -> Walk {
        let near = (self.len() / NEAR_PART).clamp(2, NEAR);
        let walks = &mut self.walks[order as usize];
        let walk = match walks.iter().position(|walk| walk.at.abs_diff(rank) <= near) {
            Some(index) => {
                let walk = walks.remove(index);
                Walk { at: walk.at.max(rank), steps: walk.steps.saturating_add(u32::from(rank > walk.at)) }
            }
            None => Walk { at: rank, steps: before + 1 },
        };
        if walks.len() == MOST_WALKS {
            walks.remove(0);
        }
        walks.push(walk);
        walk
    }

    /// Of the files from a place of an order on the first of interest, up to `most`; of these those that are not asked for yet. And
    /// how many of the first there are.
    fn next(&mut self, order: Order, from: usize, most: usize) -> (Vec<Ino>, usize) {
        let mut files = Vec::new();
        let mut found = 0;
        for rank in from..self.len().min(from + most * SKIP) {
            if found == most {
                break;
            }
            let place = self.place(order, rank);
            let member = &mut self.members[place];
            if self.suffixes.contains(&member.suffix) {
                found += 1;
                if member.ask() {
                    files.push(member.ino);
                }
            }
        }
        (files, found)
    }

    /// Of the first files in an order that are called as what was read in another folder, up to `most`, those that are not asked for
    /// yet. And how many of the first there are.
    pub(super) fn first(&mut self, order: Order, most: usize, like: &[Suffix]) -> (Vec<Ino>, usize) {
        let suffixes = std::mem::replace(&mut self.suffixes, like.to_vec());
        let first = self.next(order, 0, most);
        self.suffixes = suffixes;
        first
    }

    /// What the files that were read are called at their end.
    pub(super) fn suffixes(&self) -> &[Suffix] {
        &self.suffixes
    }

    /// All files that are called like this at their end and are not asked for, by name. They are from now on.
    pub(super) fn take_rest(&mut self, like: &[Suffix]) -> Vec<Ino> {
        let wanted = self.members.iter_mut().filter(|member| like.contains(&member.suffix));
        wanted.filter_map(|member| member.ask().then_some(member.ino)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files whose numbers run against their names.
    fn roster(count: u64) -> Roster {
        Roster::new((0..count).map(|index| (format!("{index:06}.jpg"), Ino(10 * (count - index)), 10)))
    }

    fn by_name(count: u64, rank: u64) -> Ino {
        Ino(10 * (count - rank))
    }

    #[test]
    fn a_walk_fetches_ahead_from_its_third_step_on_and_further_with_each() {
        for order in [Order::Name, Order::Number] {
            let mut roster = roster(1000);
            let file = |rank: u64| if order == Order::Name { by_name(1000, rank) } else { Ino(10 * (rank + 1)) };
            assert_eq!(roster.read(file(0), None), Ahead::default());
            assert_eq!(roster.read(file(1), None), Ahead::default());
            let mut asked: Vec<Ino> = vec![file(0), file(1), file(2)];
            for rank in 2..900 {
                let ahead = roster.read(file(rank), None);
                assert_eq!(ahead.walk, Some((order, u32::try_from(rank).expect("small") + 1)));
                asked.extend(ahead.files);
                let reach = usize::try_from(rank + 1 + (2 * (rank + 1)).min(64)).expect("small");
                assert_eq!(asked.len(), reach, "after {rank}");
                assert_eq!(ahead.beyond, None);
            }
            let sorted: Vec<Ino> = (0..asked.len() as u64).map(file).collect();
            assert_eq!(asked, sorted, "each once, in order");
        }
    }

    #[test]
    fn near_the_end_a_walk_goes_on_in_the_next_folder() {
        let mut roster = roster(10);
        let mut last = None;
        for rank in 0..10 {
            last = roster.read(by_name(10, rank), None).beyond;
        }
        assert_eq!(last, Some((Order::Name, 10, 20)));

        let mut next = self::roster(10);
        let ahead = next.read(by_name(10, 0), Some((Order::Name, 10)));
        assert_eq!((ahead.files.len(), ahead.walk), (9, Some((Order::Name, 11))));
        let mut middle = self::roster(100);
        assert_eq!(middle.read(by_name(100, 50), Some((Order::Name, 10))), Ahead::default());
    }

    #[test]
    fn files_of_other_sorts_are_left_out() {
        let name = |index: u64| format!("{index:06}.{}", if index.is_multiple_of(2) { "jpg" } else { "txt" });
        let mut roster = Roster::new((0..100).map(|index| (name(index), Ino(index + 10), 10)));
        for index in [0, 2] {
            roster.read(Ino(index + 10), None);
        }
        let ahead = roster.read(Ino(4 + 10), None);
        assert_eq!(ahead.files, [6, 8, 10, 12, 14, 16].map(|index| Ino(index + 10)));
        assert!(roster.take_rest(&[Suffix::of("x.jpg")]).iter().all(|ino| ino.0 % 2 == 0));
    }

    #[test]
    fn several_readers_of_one_folder_are_followed_each() {
        let mut roster = roster(10_000);
        let mut asked = 0;
        for step in 0..20 {
            for reader in 0..8 {
                asked += roster.read(by_name(10_000, reader * 1000 + step), None).files.len();
            }
        }
        assert_eq!(asked, 8 * (20 - 3 + 40), "all that is ahead of each, twice as far as it came");

        // Each takes the next: they overtake each other.
        let mut roster = self::roster(10_000);
        let mut asked = 0;
        for round in 0..10 {
            for reader in [3, 0, 7, 1, 2, 6, 5, 4] {
                asked += roster.read(by_name(10_000, round * 8 + reader), None).files.len();
            }
        }
        assert!(asked > 80, "{asked}");
        assert_eq!(roster.scattered, 1);
    }

    #[test]
    fn a_few_reads_here_and_there_fetch_nothing_and_more_are_no_walk() {
        let mut roster = roster(10_000);
        for (count, rank) in [700, 9000, 30, 4000, 2500, 6000].into_iter().enumerate() {
            assert!(!roster.is_scattered(), "after {count}");
            assert_eq!(roster.read(by_name(10_000, rank), None), Ahead::default());
        }
        assert!(roster.is_scattered());
        let like = roster.suffixes().to_vec();
        assert_eq!(roster.take_rest(&like).len(), 10_000 - 6);
    }
}
