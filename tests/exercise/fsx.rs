//! fsx: random operations on a file of which it knows each byte.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::dice::number;
use crate::drive::{has, tool, troubled};
use crate::machine::{Machine, run, said, write};

/// Operations, unless more are asked for.
const USUAL: u64 = 6_000;

/// A run has so many at most: what fails can be had again in minutes.
const RUN: u64 = 50_000;

/// What is mapped is synced each time in one run of three, which waits for the disk again and again and so is shorter. (`fsx` asks
/// for no room of no bytes, which every file system refuses, unless it is told that nothing is that short.)
fn settings(seed: u64) -> String {
    let (length, most) = if seed.is_multiple_of(2) { (256 << 10, 64 << 10) } else { (1_500_000, 100_000) };
    let unsynced = !seed.is_multiple_of(3);
    format!(
        "flen = {length}\nnomsyncafterwrite = {unsynced}\n[opsize]\nmin = 1\nmax = {most}\n[weights]\n\
         close_open = 1\ninvalidate = 1\nread = 10\nwrite = 10\nmapread = 10\nmapwrite = 10\ntruncate = 5\nfsync = 0.05\n\
         fdatasync = 0.05\nposix_fallocate = 3\npunch_hole = 3\nsendfile = 3\nposix_fadvise = 1\ncopy_file_range = 5\n"
    )
}

/// Operations of the run of a seed.
fn share(seed: u64, longest: u64) -> u64 {
    if seed.is_multiple_of(3) { longest.div_ceil(10) } else { longest }
}

/// One run; says the name of its file.
fn exercise(machine: &Machine, scratch: &Path, seed: u64, operations: u64) -> String {
    let (name, settings_file) = (format!("exercised-{seed}"), scratch.join(format!("{seed}.toml")));
    write(&settings_file, settings(seed));
    let mut fsx = Command::new(tool("fsx"));
    fsx.arg("-f").arg(&settings_file).arg("-P").arg(scratch);
    fsx.args(["-N", &operations.to_string(), "-S", &seed.to_string()]).arg(machine.at(&name));
    let output = run(&mut fsx);
    assert!(output.status.success(), "{fsx:?}\n{}\n{}", settings(seed), said(&output));
    name
}

#[test]
fn random_operations_on_open_files_see_what_was_written_while_they_are_sent() {
    let (first, operations) = (number("DRIVEMOUNT_TEST_SEED", 1), number("DRIVEMOUNT_TEST_FSX", USUAL));
    let scratch = TempDir::new().expect("temporary folder");
    // Three at one time, on one mount.
    let longest = operations.div_ceil(2).min(RUN);
    let (mut seeds, mut left) = (Vec::new(), operations);
    for seed in first.. {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(share(seed, longest));
        seeds.push(seed);
    }
    for seeds in seeds.chunks(3) {
        let cloud = Cloud::start();
        let machine = troubled(&cloud);
        let names: Vec<String> = std::thread::scope(|scope| {
            let begin = |&seed: &u64| {
                let (machine, scratch) = (&machine, scratch.path());
                scope.spawn(move || exercise(machine, scratch, seed, share(seed, longest)))
            };
            let runs: Vec<_> = seeds.iter().map(begin).collect();
            runs.into_iter().map(|run| run.join().expect("runs")).collect()
        });
        has(&cloud, &machine, &names);
        println!("seeds {seeds:?}: well");
    }
}
