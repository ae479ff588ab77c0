//! Our own exerciser: what fsx does, and in between the file is closed, sent, dropped from the caches, and mounted anew.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;

use md5::{Digest, Md5};

use crate::cloud::{Cloud, PROGRAM};
use crate::dice::{Dice, number};
use crate::drive::{has, on_an_empty_cache, trouble, troubled};
use crate::machine::{Machine, run, said, sh};
use crate::one_file::OneFile;

/// Operations, unless more are asked for.
const USUAL: u64 = 200;

/// A run has so many at most.
const RUN: u64 = 2_000;

/// So many of the last are told when something is wrong.
const TOLD: usize = 40;

/// What happens to a file that is closed; says what.
fn meanwhile(cloud: &Cloud, machine: &Machine, dice: &mut Dice, model: &[u8]) -> &'static str {
    match dice.below(24) {
        0..=2 => {
            machine.flush();
            let path = "/drive/v3/files";
            let query = [("q", "name = 'file' and trashed = false"), ("fields", "files(md5Checksum)")];
            // It fails now and then for us, too.
            let found = loop {
                if let (200, found) = cloud.try_call("GET", path, &query, None) {
                    break found;
                }
            };
            let sum = u128::from_be_bytes(Md5::digest(model).into());
            assert_eq!(found["files"][0]["md5Checksum"], format!("{sum:032x}"), "what the drive has");
            "flush"
        }
        3..=5 => {
            let output = run(Command::new(PROGRAM).args(["prefetch", "--evict"]).arg(machine.at("file")));
            assert!(output.status.success(), "{}", said(&output));
            "evict"
        }
        6 => {
            machine.flush();
            let output = run(Command::new(PROGRAM).args(["prefetch", "--evict"]).arg(machine.at("file")));
            assert!(output.status.success(), "{}", said(&output));
            sh("echo 3 > /proc/sys/vm/drop_caches");
            "flush, evict, drop caches"
        }
        7 => {
            sh("echo 3 > /proc/sys/vm/drop_caches");
            "drop caches"
        }
        8 => {
            machine.unmount();
            machine.mount(cloud);
            "mount anew"
        }
        9 if dice.below(2) == 0 => {
            on_an_empty_cache(cloud, machine);
            "mount anew on an empty cache"
        }
        10 => {
            machine.kill();
            machine.mount(cloud);
            "kill, and mount anew"
        }
        _ => "close",
    }
}

fn exercise(seed: u64, operations: u64) {
    let cloud = Cloud::start();
    let machine = troubled(&cloud);
    let mut dice = Dice::new(seed, 0);
    let most = *dice.pick(&[100_000, 300_000, 1_100_000, 6_000_000]);
    let mut file = OneFile::new(machine.at("file"), most);
    let mut last = VecDeque::new();
    let work = AssertUnwindSafe(|| {
        for number in 0..operations {
            let done = if dice.below(5) == 0 {
                let (model, mut done) = (file.model.clone(), "");
                file.closed(|| done = meanwhile(&cloud, &machine, &mut dice, &model));
                file.check(dice.below(3) == 0);
                done.to_owned()
            } else {
                file.step(&mut dice)
            };
            if last.len() == TOLD {
                last.pop_front();
            }
            last.push_back(format!("{number}: {done}"));
        }
        file.check(false);
    });
    if let Err(panic) = catch_unwind(work) {
        eprintln!("seed {seed}, at most {most} bytes; before that:");
        for done in &last {
            eprintln!("  {done}");
        }
        resume_unwind(panic);
    }
    file.closed(|| has(&cloud, &machine, &["file".to_owned()]));
    trouble(&cloud);
    on_an_empty_cache(&cloud, &machine);
    file.closed(|| ());
    file.check(false);
}

#[test]
fn a_file_that_is_closed_sent_dropped_and_mounted_anew_holds_what_was_written() {
    let (first, operations) = (number("DRIVEMOUNT_TEST_SEED", 1), number("DRIVEMOUNT_TEST_REOPENED", USUAL));
    let length = operations.div_ceil(2).min(RUN);
    let seeds: Vec<u64> = (first..first + operations.div_ceil(length)).collect();
    for seeds in seeds.chunks(2) {
        std::thread::scope(|scope| {
            for &seed in seeds {
                scope.spawn(move || exercise(seed, length));
            }
        });
    }
}
