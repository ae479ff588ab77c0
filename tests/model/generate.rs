//! Operations at random: mostly possible ones, on what is there.

use crate::dice::{Content, Dice};
use crate::memory::{Ino, Kind, Last, Memory};
use crate::operation::{Flags, Operation, SLOTS};

const NAMES: [&str; 10] = ["a", "b", "c", "d.txt", "e.tar.gz", "f g", "ü (1)", ".h", "MODEL.safetensors", "x~"];

/// As many entries a part of the tree holds, about.
const CROWDED: usize = 140;

/// Where somebody works: a folder that stays.
pub(crate) struct Part<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) home: &'a str,
}

impl Part<'_> {
    fn ino(&self) -> Ino {
        self.memory.find(self.home, Last::Keep).expect("the home stays")
    }

    /// The path of something that is there, if there is anything; `folder` if it must be one, which the home is too.
    pub(crate) fn existing(&self, dice: &mut Dice, folder: bool) -> String {
        let mut path = self.home.to_owned();
        let mut ino = self.ino();
        while let Kind::Folder(entries) = &self.memory.inode(ino).kind {
            let is_home = path.len() == self.home.len();
            if entries.is_empty() || (dice.once_in(3) && (folder || !is_home)) {
                break;
            }
            let (name, &next) = entries.iter().nth(dice.index(entries.len())).expect("one of them");
            if folder && !self.memory.is_folder(next) {
                break;
            }
            path = format!("{path}/{name}");
            ino = next;
        }
        if !folder && path.len() == self.home.len() { format!("{path}/a") } else { path }
    }

    /// A path that may be free, in a folder that is there.
    fn name(&self, dice: &mut Dice) -> String {
        format!("{}/{}", self.existing(dice, true), dice.choose(&NAMES))
    }

    /// A path of either sort, seldom of a folder that is none.
    fn path(&self, dice: &mut Dice) -> String {
        match dice.below(20) {
            0 => format!("{}/{}", self.existing(dice, false), dice.choose(&NAMES)),
            1..=12 => self.existing(dice, false),
            _ => self.name(dice),
        }
    }

    fn target(dice: &mut Dice) -> String {
        // One step up at most: links are in the home at least, so none leads out of the folder that holds the home.
        let up = if dice.once_in(2) { "../" } else { "" };
        let down = if dice.once_in(3) { format!("/{}", dice.choose(&NAMES)) } else { String::new() };
        format!("{up}{}{down}", dice.choose(&NAMES))
    }

    pub(crate) fn operation(&self, dice: &mut Dice) -> Operation {
        if dice.once_in(10) && self.memory.count(self.ino()) > CROWDED {
            let folder = dice.once_in(2);
            let path = self.existing(dice, folder);
            let ino = self.memory.find(&path, Last::Keep);
            return match ino.map(|ino| self.memory.is_folder(ino)) {
                Ok(true) if path == self.home => Operation::Clear { path },
                Ok(true) => Operation::RemoveTree { path },
                _ => Operation::Remove { path },
            };
        }
        let path = self.path(dice);
        match dice.below(100) {
            0..=13 => Operation::Write { path, content: dice.content() },
            14..=15 => Operation::Create { path: self.name(dice), content: dice.content() },
            16..=19 => Operation::Append { path, content: dice.content() },
            20..=23 => Operation::WriteAt { path, offset: offset(dice), content: dice.content() },
            24..=25 => Operation::Resize { path, size: size(dice) },
            26..=33 => Operation::Save { path, content: dice.content(), sync: dice.once_in(4) },
            34..=35 => Operation::Map { path, offset: offset(dice), content: dice.content() },
            36..=37 => self.copy_range(dice),
            38..=46 => {
                let to = if dice.once_in(12) { path.clone() } else { self.path(dice) };
                match dice.below(8) {
                    0 => Operation::Exchange { one: path, other: to },
                    1 => Operation::Rename { from: path, to, replace: false },
                    _ => Operation::Rename { from: path, to, replace: true },
                }
            }
            47..=51 => Operation::Remove { path },
            52..=53 => Operation::Name { path: self.existing(dice, false), new: self.name(dice) },
            54..=56 => {
                let mode = *dice.choose(&[0o755, 0o755, 0o750, 0o700]);
                Operation::MakeFolder { path: self.name(dice), mode }
            }
            57..=58 => Operation::RemoveFolder { path },
            59 => Operation::SyncFolder { path: self.existing(dice, true) },
            60 => self.crowd(dice),
            61 => Operation::Link { path: self.name(dice), target: Self::target(dice) },
            62 => Operation::Name { path, new: self.path(dice) },
            63..=64 => {
                // Nobody but the superuser gets into a folder without the right to.
                let is_file = self.memory.find(&path, Last::Follow).is_ok_and(|ino| !self.memory.is_folder(ino));
                let modes = if is_file { [0o644, 0o600, 0o640, 0o755] } else { [0o755, 0o700, 0o750, 0o711] };
                Operation::Mode { path, mode: *dice.choose(&modes) }
            }
            65..=66 => Operation::Time { path, nanos: time(dice) },
            67..=70 => Operation::Stat { path },
            71..=74 => Operation::Read { path },
            75 => Operation::ReadLink { path },
            76..=77 => Operation::List { path },
            78 => {
                let path = self.existing(dice, true);
                let comes = format!("comes {}", dice.below(3));
                let goes = self.existing(dice, false);
                let goes = goes.rsplit('/').next().unwrap_or_default().to_owned();
                Operation::ListWhile { path, comes, goes }
            }
            _ => Self::on_open(dice, path),
        }
    }

    fn copy_range(&self, dice: &mut Dice) -> Operation {
        Operation::CopyRange {
            from: self.path(dice),
            to: self.path(dice),
            from_offset: offset(dice) / 2,
            to_offset: offset(dice) / 2,
            length: size(dice),
        }
    }

    fn crowd(&self, dice: &mut Dice) -> Operation {
        let path = self.existing(dice, true);
        match dice.below(4) {
            0 => Operation::Clear { path },
            1 if dice.once_in(8) => Operation::Fill { path, count: 300, content: Content { seed: 1, length: 10 } },
            _ => {
                let (count, length) = (1 + dice.below(20), dice.below(300));
                Operation::Fill { path, count: u32::try_from(count).expect("small"), content: dice.content_of(length) }
            }
        }
    }

    fn on_open(dice: &mut Dice, path: String) -> Operation {
        let slot = dice.index(SLOTS);
        match dice.below(21) {
            0..=5 => {
                let write = !dice.once_in(4);
                let flags = Flags {
                    write,
                    append: dice.once_in(5),
                    create: dice.once_in(2),
                    new: dice.once_in(8),
                    truncate: write && dice.once_in(5),
                };
                Operation::Open { slot, path, flags: Flags { new: flags.new && flags.create, ..flags } }
            }
            6..=7 => Operation::ReadOpen { slot, offset: offset(dice), length: dice.index(70_000) },
            8..=13 => Operation::WriteOpen { slot, offset: offset(dice), content: dice.content() },
            14 => Operation::ResizeOpen { slot, size: size(dice) },
            15..=16 => Operation::SyncOpen { slot, data: dice.once_in(2) },
            17..=18 => Operation::StatOpen { slot },
            _ => Operation::Close { slot },
        }
    }
}

fn offset(dice: &mut Dice) -> u64 {
    match dice.below(40) {
        0 => dice.below(2_000_000),
        1..=10 => 0,
        11..=15 => dice.below(300_000),
        _ => dice.below(5000),
    }
}

fn size(dice: &mut Dice) -> u64 {
    match dice.below(20) {
        0 => dice.below(1_000_000),
        1..=4 => 0,
        5..=9 => dice.below(100_000),
        _ => dice.below(3000),
    }
}

/// Between 2001 and 2018, in nanoseconds since 1970.
fn time(dice: &mut Dice) -> i64 {
    i64::try_from(1_000_000_000_000_000_000 + dice.below(1 << 29) * 1_000_000_000 + dice.below(1_000_000_000))
        .expect("before 2262")
}
