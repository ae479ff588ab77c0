//! Two machines change the same drive at random, neither waiting for the other. When all is sent and heard of, they show the same.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, PROGRAM};
use crate::dice::{Content, Dice};
use crate::machine::{Machine, run, said};
use crate::operation::{Flags, Operation};
use crate::perform::Process;
use crate::picture;

/// How long the last change may take to be seen everywhere.
const HEARD: Duration = Duration::from_mins(1);

#[test]
fn two_machines_agree_in_the_end() {
    let first = crate::setting("DRIVEMOUNT_TEST_SEED").unwrap_or(1);
    for seed in first..first + crate::seeds(3) {
        run_two(seed, 250);
    }
}

fn run_two(seed: u64, steps: u32) {
    let cloud = Cloud::start();
    let machines = [Machine::with(&cloud), Machine::with(&cloud)];
    let process = |machine: &Machine| Process::new(&machine.drive());
    let mut processes = [process(&machines[0]), process(&machines[1])];
    let mut dice = Dice::new(seed);
    for _ in 0..steps {
        let on = dice.index(2);
        let operation = operation(&mut dice);
        // What is possible depends on what was heard of by now.
        let _any = processes[on].perform(&operation);
        match dice.below(100) {
            0..=4 => {
                // What is open and builds on what the other machine replaced cannot be sent, and a flush says so.
                processes[on] = process(&machines[on]);
                flush(&machines[on], seed);
            }
            5 => {
                processes[on] = process(&machines[on]);
                machines[on].kill();
                machines[on].mount(&cloud);
            }
            _ => {}
        }
    }
    drop(processes);
    for machine in &machines {
        flush(machine, seed);
    }
    let fresh = Machine::with(&cloud);
    for (number, machine) in machines.iter().enumerate() {
        let until = Instant::now() + HEARD;
        while let Err(difference) = same(&fresh.drive(), &machine.drive()) {
            if Instant::now() >= until {
                let drive: Vec<String> = cloud.all().iter().map(ToString::to_string).collect();
                panic!(
                    "DRIVEMOUNT_TEST_SEED={seed}: machine {number} does not show what a new one does:\n{difference}\non the drive \
                     are\n{}",
                    drive.join("\n"),
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(machine.status()["unsent"]["entries"], 0, "DRIVEMOUNT_TEST_SEED={seed}");
    }
}

fn flush(machine: &Machine, seed: u64) {
    let output = run(Command::new(PROGRAM).arg("flush").arg(machine.drive()));
    assert!(output.status.success(), "DRIVEMOUNT_TEST_SEED={seed}: {}", said(&output));
}

/// Says how two folders differ.
fn same(one: &Path, other: &Path) -> Result<(), String> {
    let shown = |base: &Path| picture::texts(base).map_err(|error| error.to_string());
    let (one, other) = (shown(one)?, shown(other)?);
    let names = one.keys().chain(other.keys());
    let differ = names.filter(|name| one.get(*name) != other.get(*name));
    let differ: Vec<String> =
        differ.map(|name| format!("{name}: {:?}, not {:?}", other.get(name), one.get(name))).collect();
    if differ.is_empty() { Ok(()) } else { Err(differ.join("\n")) }
}

/// Few names, so that both machines often mean the same.
fn path(dice: &mut Dice) -> String {
    let depth = 1 + dice.below(3);
    (0..depth).map(|_| *dice.choose(&["a", "b", "c", "d", "e"])).collect::<Vec<_>>().join("/")
}

fn content(dice: &mut Dice) -> Content {
    let length = if dice.once_in(4) { *dice.choose(&[0, 1, 70_000, 300_000]) } else { dice.below(2000) };
    dice.content_of(length)
}

fn operation(dice: &mut Dice) -> Operation {
    let path = path(dice);
    let slot = dice.index(3);
    match dice.below(34) {
        0..=4 => Operation::Write { path, content: content(dice) },
        5 | 6 => Operation::Append { path, content: content(dice) },
        7 | 8 => Operation::WriteAt { path, offset: dice.below(5000), content: content(dice) },
        9 => Operation::Resize { path, size: dice.below(100_000) },
        10..=12 => Operation::Save { path, content: content(dice), sync: true },
        13 if dice.once_in(2) => Operation::Exchange { one: path, other: self::path(dice) },
        13..=15 => Operation::Rename { from: path, to: self::path(dice), replace: true },
        16 | 17 => Operation::Remove { path },
        18..=20 => Operation::MakeFolder { path, mode: 0o755 },
        21 => Operation::RemoveFolder { path },
        22 if dice.once_in(2) => Operation::Name { path, new: self::path(dice) },
        22 => Operation::Link { path, target: format!("../{}", self::path(dice)) },
        23 if dice.once_in(2) => Operation::Mode { path, mode: *dice.choose(&[0o755, 0o700, 0o711]) },
        23 => Operation::Time { path, nanos: (1_000_000_000 + dice.below(1 << 29).cast_signed()) * 1_000_000_000 },
        24..=26 => {
            let create = dice.once_in(2);
            Operation::Open { slot, path, flags: Flags { write: true, create, ..Flags::default() } }
        }
        27 | 28 => Operation::ReadOpen { slot, offset: dice.below(5000), length: 70_000 },
        29..=31 => Operation::WriteOpen { slot, offset: dice.below(5000), content: content(dice) },
        32 => Operation::ResizeOpen { slot, size: dice.below(100_000) },
        _ => Operation::SyncOpen { slot, data: false },
    }
}
