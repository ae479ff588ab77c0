//! The mount and a folder of the local disk get the same operations, at random, by path and through handles that stay open; they
//! must agree at every step, and after the daemon was killed, the mount was ended, or the machine was lost after a flush.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::machine::{Machine, bytes};

/// Random numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        (0..depth)
            .map(|_| ["a", "b", "c", "d", "e"][usize::try_from(self.below(5)).expect("small")])
            .collect::<Vec<_>>()
            .join("/")
    }

    fn content(&mut self) -> Vec<u8> {
        let size = if self.below(4) == 0 {
            [0, 1, 70_000, 300_000][usize::try_from(self.below(4)).expect("small")]
        } else {
            self.below(2000)
        };
        bytes(self.0, usize::try_from(size).expect("small"))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(String, Vec<u8>),
    Append(String, Vec<u8>),
    WriteAt(String, u64, Vec<u8>),
    Resize(String, u64),
    Save(String, Vec<u8>),
    Rename(String, String),
    Remove(String),
    MakeFolder(String),
    RemoveFolder(String),
    Link(String, String),
    Mode(String, u32),
    Time(String, i64),
    /// Opens a file, new or not, and keeps it open in a slot; what was open there is closed.
    Open(usize, String, bool),
    ReadOpen(usize, u64),
    WriteOpen(usize, u64, Vec<u8>),
    ResizeOpen(usize, u64),
    SyncOpen(usize),
}

/// Files that are kept open on one side.
type Slots = [Option<fs::File>; 3];

fn step(dice: &mut Dice) -> Step {
    let path = dice.path();
    let slot = usize::try_from(dice.below(3)).expect("small");
    match dice.below(34) {
        24..=26 => Step::Open(slot, path, dice.below(2) == 0),
        27 | 28 => Step::ReadOpen(slot, dice.below(5000)),
        29..=31 => Step::WriteOpen(slot, dice.below(5000), dice.content()),
        32 => Step::ResizeOpen(slot, dice.below(100_000)),
        33 => Step::SyncOpen(slot),
        0..=4 => Step::Write(path, dice.content()),
        5 | 6 => Step::Append(path, dice.content()),
        7 | 8 => Step::WriteAt(path, dice.below(5000), dice.content()),
        9 => Step::Resize(path, dice.below(100_000)),
        10..=12 => Step::Save(path, dice.content()),
        13..=15 => Step::Rename(path, dice.path()),
        16 | 17 => Step::Remove(path),
        18..=20 => Step::MakeFolder(path),
        21 => Step::RemoveFolder(path),
        22 => Step::Link(path, dice.path()),
        _ if dice.below(2) == 0 => {
            Step::Mode(path, [0o644, 0o755, 0o600][usize::try_from(dice.below(3)).expect("small")])
        }
        _ => Step::Time(path, 1_000_000_000 + i64::try_from(dice.below(1 << 30)).expect("small")),
    }
}

/// Does a step below a folder; says what was read, or the errno if it cannot be done.
fn apply(base: &Path, slots: &mut Slots, step: &Step) -> Result<Vec<u8>, i32> {
    let mut seen = Vec::new();
    let at = |path: &String| base.join(path);
    let plain = |path: &String| fs::symlink_metadata(at(path)).map(|metadata| metadata.is_file());
    let done = match step {
        Step::Write(path, content) => fs::write(at(path), content),
        Step::Append(path, content) => {
            OpenOptions::new().append(true).open(at(path)).and_then(|mut file| file.write_all(content))
        }
        Step::WriteAt(path, offset, content) => {
            OpenOptions::new().write(true).open(at(path)).and_then(|file| file.write_all_at(content, *offset))
        }
        Step::Resize(path, size) => OpenOptions::new().write(true).open(at(path)).and_then(|file| file.set_len(*size)),
        Step::Save(path, content) => (|| {
            let beside = base.join(format!("{path}.tmp"));
            let mut file = fs::File::create(&beside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, at(path)).inspect_err(|_| fs::remove_file(&beside).expect("removes"))
        })(),
        Step::Rename(from, to) => fs::rename(at(from), at(to)),
        Step::Remove(path) => fs::remove_file(at(path)),
        Step::MakeFolder(path) => fs::create_dir(at(path)),
        Step::RemoveFolder(path) => fs::remove_dir(at(path)),
        Step::Link(path, target) => symlink(format!("../{target}"), at(path)),
        Step::Mode(path, mode) => plain(path).and_then(|plain| {
            if plain { fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)) } else { Ok(()) }
        }),
        Step::Time(path, seconds) => plain(path).and_then(|plain| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
            if plain { OpenOptions::new().write(true).open(at(path))?.set_modified(time) } else { Ok(()) }
        }),
        Step::Open(slot, path, create) => {
            slots[*slot] = None;
            let opened = OpenOptions::new().read(true).write(true).create(*create).open(at(path));
            opened.map(|file| slots[*slot] = Some(file))
        }
        Step::ReadOpen(slot, offset) => slots[*slot].as_ref().map_or(Ok(()), |file| {
            seen = vec![0; 70_000];
            let count = file.read_at(&mut seen, *offset)?;
            seen.truncate(count);
            seen.extend(file.metadata()?.len().to_le_bytes());
            Ok(())
        }),
        Step::WriteOpen(slot, offset, content) => {
            slots[*slot].as_ref().map_or(Ok(()), |file| file.write_all_at(content, *offset))
        }
        Step::ResizeOpen(slot, size) => slots[*slot].as_ref().map_or(Ok(()), |file| file.set_len(*size)),
        Step::SyncOpen(slot) => slots[*slot].as_ref().map_or(Ok(()), fs::File::sync_all),
    };
    done.map(|()| seen).map_err(|error| error.raw_os_error().unwrap_or(0))
}

/// All that is below a folder: kind and mode, target or content. Fails if something goes while it is looked at.
fn picture(base: &Path) -> io::Result<BTreeMap<String, (u32, Vec<u8>)>> {
    let mut picture = BTreeMap::new();
    let mut folders = vec![base.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let metadata = fs::symlink_metadata(&path).map_err(named)?;
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).map_err(named)?.into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).map_err(named)?
            };
            let name = path.strip_prefix(base).expect("below").to_string_lossy().into_owned();
            picture.insert(name, (metadata.mode(), content));
        }
    }
    Ok(picture)
}

/// The names of what is not the same in two folders.
fn differences(one: &Path, other: &Path) -> io::Result<Vec<String>> {
    let (one, other) = (picture(one)?, picture(other)?);
    let names = one.keys().chain(other.keys());
    Ok(names.filter(|name| one.get(*name) != other.get(*name)).cloned().collect())
}

fn compare(local: &Path, machine: &Machine, when: &str) {
    let names = differences(local, &machine.drive()).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert!(names.is_empty(), "{when}: these differ: {names:?}");
}

fn run(seed: u64, steps: u32) {
    let cloud = Cloud::start();
    let local = tempfile::tempdir().expect("temporary folder");
    let machine = Machine::with(&cloud);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut here, mut there) = (Slots::default(), Slots::default());
    for number in 0..steps {
        let step = step(&mut dice);
        let (expected, found) = (apply(local.path(), &mut here, &step), apply(&machine.drive(), &mut there, &step));
        assert!(found == expected, "seed {seed}, step {number}: {step:?}");
        let when = format!("seed {seed}, after step {number}");
        match dice.below(100) {
            0..=2 => compare(local.path(), &machine, &when),
            3 => {
                machine.flush();
                compare(local.path(), &machine, &format!("{when}, flushed"));
            }
            4 => {
                (here, there) = Default::default();
                machine.kill();
                machine.mount(&cloud);
                compare(local.path(), &machine, &format!("{when}, killed"));
            }
            5 if dice.below(2) == 0 => {
                (here, there) = Default::default();
                machine.unmount();
                machine.lose_cache();
                machine.mount(&cloud);
                compare(local.path(), &machine, &format!("{when}, on a new machine"));
            }
            _ => {}
        }
    }
    drop((here, there));
    machine.flush();
    compare(local.path(), &Machine::with(&cloud), &format!("seed {seed}, at the end, on another machine"));
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]), "seed {seed}");
}

#[test]
fn a_mount_does_what_a_local_folder_does() {
    // scripts/test --full asks for more.
    let seeds = std::env::var("DRIVEMOUNT_TEST_SEEDS").map_or(3, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        run(seed, 250);
    }
}

/// Two machines change the same drive at random, neither waiting for the other. When all is sent and heard of, they show the same.
fn run_two(seed: u64, steps: u32) {
    let cloud = Cloud::start();
    let machines = [Machine::with(&cloud), Machine::with(&cloud)];
    let mut slots: [Slots; 2] = Default::default();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..steps {
        let on = usize::try_from(dice.below(2)).expect("small");
        let step = step(&mut dice);
        // What is possible depends on what was heard of by now.
        let _ = apply(&machines[on].drive(), &mut slots[on], &step);
        match dice.below(100) {
            0..=4 => {
                // What is open and builds on what the other machine replaced cannot be sent, and a flush says so.
                slots[on] = Slots::default();
                machines[on].flush();
            }
            5 => {
                slots[on] = Slots::default();
                machines[on].kill();
                machines[on].mount(&cloud);
            }
            _ => {}
        }
    }
    drop(slots);
    machines.iter().for_each(Machine::flush);
    let fresh = Machine::with(&cloud);
    for (number, machine) in machines.iter().enumerate() {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let differ = differences(&fresh.drive(), &machine.drive());
            if differ.as_ref().is_ok_and(Vec::is_empty) {
                break;
            }
            if Instant::now() >= until {
                let names = |machine: &Machine| {
                    picture(&machine.drive()).map(|picture| picture.into_keys().collect::<Vec<_>>())
                };
                let drive: Vec<String> = cloud.all().iter().map(ToString::to_string).collect();
                panic!(
                    "seed {seed}: machine {number} does not show what the drive has: {differ:?}; it shows {:?}, a new one \
                     {:?}; on the drive are\n{}",
                    names(machine),
                    names(&fresh),
                    drive.join("\n"),
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(machine.status()["unsent"]["entries"], 0, "seed {seed}");
    }
}

#[test]
fn two_machines_agree_in_the_end() {
    let seeds = std::env::var("DRIVEMOUNT_TEST_SEEDS").map_or(3, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        run_two(seed, 250);
    }
}
