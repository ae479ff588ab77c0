//! The mount against a model of a file system in memory: random operations of several processes at once, with edits made elsewhere,
//! trouble on the way to the drive, kills, remounts and lost machines. What programs see at each step, what the mount shows and what
//! the drive holds must be what the model says.
//!
//! `DRIVEMOUNT_TEST_OPERATIONS` says how many operations (8,000), `DRIVEMOUNT_TEST_LANES` how many runs of them go on at the same
//! time (1), since they mostly wait, `DRIVEMOUNT_TEST_SEED` with which seed it begins, and `DRIVEMOUNT_TEST_SEEDS` how many seeds the
//! tests try that take a seed each. A failure says how to have it again.
//!
//! Needs the rights to mount. A test that cannot run fails.

#[path = "support/cloud.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod cloud;
#[path = "support/machine.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod machine;

#[path = "model/against_linux.rs"]
mod against_linux;
#[path = "model/apply.rs"]
mod apply;
#[path = "model/dice.rs"]
mod dice;
#[path = "model/elsewhere.rs"]
mod elsewhere;
#[path = "model/events.rs"]
mod events;
#[path = "model/generate.rs"]
mod generate;
#[path = "model/memory.rs"]
mod memory;
#[path = "model/operation.rs"]
mod operation;
#[path = "model/perform.rs"]
mod perform;
#[path = "model/picture.rs"]
mod picture;
#[path = "model/run.rs"]
mod run;
#[path = "model/two.rs"]
mod two;
#[path = "model/worker.rs"]
mod worker;

use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

/// Operations, unless more are asked for: about a minute on two processors.
const USUAL: u64 = 8_000;

/// A run has so many operations at most: what fails can be had again in minutes.
const RUN: u64 = 20_000;

#[test]
fn several_processes_see_on_a_mount_what_the_model_says() {
    let operations = setting("DRIVEMOUNT_TEST_OPERATIONS").unwrap_or(USUAL);
    let first = setting("DRIVEMOUNT_TEST_SEED").unwrap_or(1);
    let runs = operations.div_ceil(RUN);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let lane = || {
            while !failed.load(SeqCst) {
                let number = next.fetch_add(1, SeqCst);
                if number >= runs {
                    return;
                }
                let seed = first + number;
                let work = || {
                    let start = Instant::now();
                    let mut run = run::Run::begin(seed);
                    run.work(RUN.min(operations - number * RUN));
                    println!("seed {seed}, {:.0?}: {:?}", start.elapsed(), run.counts);
                };
                if let Err(panic) = catch_unwind(work) {
                    failed.store(true, SeqCst);
                    resume_unwind(panic);
                }
            }
        };
        for _ in 0..setting("DRIVEMOUNT_TEST_LANES").unwrap_or(1) {
            scope.spawn(lane);
        }
    });
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// How many seeds to try.
fn seeds(usual: u64) -> u64 {
    setting("DRIVEMOUNT_TEST_SEEDS").unwrap_or(usual)
}
