//! What POSIX and Linux ask of a file system, by a suite that others wrote: `pjdfstest`, on a disk of this machine and on a mount in the
//! same run. What passes on the disk passes on the mount, while the drive is slow and fails, and in the end the drive has taken everything.
//!
//! `scripts/test` installs the suite. Needs the rights to mount. A test that cannot run fails.

#[path = "support/cloud.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod cloud;
#[path = "support/machine.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod machine;

#[path = "posix/exceptions.rs"]
mod exceptions;
#[path = "posix/suite.rs"]
mod suite;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use cloud::Cloud;
use exceptions::EXCEPTIONS;
use machine::{Disk, Machine, bytes, sh, write};
use suite::Verdict;

/// Cases of the suite that a disk passes: with fewer, it did not run as it should.
const PASSED_BY_A_DISK: usize = 380;

#[test]
fn what_passes_on_a_disk_passes_on_a_mount() {
    let cloud = Cloud::start();
    cloud.make_trouble(&["*:latency,ms=60", "*:answer,status=503,share=0.05"]);
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let folder = machine.drive().parent().expect("folder").to_owned();
    let disk = Disk::ext4(folder.join("disk"), 600);
    sh(&format!("chmod 755 {} {}", folder.display(), disk.path().display()));
    let there = suite::run(&folder, disk.path(), &machine.drive());
    // Uploads run behind all along.
    let (ended, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let here = thread::scope(|scope| {
        scope.spawn(|| {
            std::fs::create_dir(machine.at("behind")).expect("makes");
            while !ended.load(Relaxed) {
                let number = written.fetch_add(1, Relaxed);
                write(machine.at(&format!("behind/{number}")), bytes(number as u64, 10_000));
                thread::sleep(Duration::from_millis(50));
            }
        });
        let here = suite::run(&folder, &machine.drive(), disk.path());
        ended.store(true, Relaxed);
        here
    });

    let passed = there.values().filter(|case| case.verdict == Verdict::Passed).count();
    assert!(passed >= PASSED_BY_A_DISK, "only {passed} cases of {} pass on a disk", there.len());
    let mut wrong = Vec::new();
    for (name, on_disk) in &there {
        let is_excepted = EXCEPTIONS.iter().any(|(excepted, _)| excepted == name);
        let case = here.get(name);
        let passes = case.is_some_and(|case| case.verdict == Verdict::Passed);
        match (is_excepted, passes) {
            (true, true) => wrong.push(format!("{name} passes, and need not be excepted")),
            (false, false) if on_disk.verdict == Verdict::Passed => {
                wrong.push(format!("{name} passes on a disk; here: {case:?}"));
            }
            _ => {}
        }
    }
    wrong.extend(
        EXCEPTIONS.iter().filter(|(name, _)| !there.contains_key(*name)).map(|(name, _)| format!("{name} is no case")),
    );
    assert!(wrong.is_empty(), "{} of {passed}:\n{}", wrong.len(), wrong.join("\n"));

    machine.flush();
    let status = machine.status();
    assert_eq!(status["unsent"]["entries"], 0, "{status}");
    let refused: Vec<String> =
        machine.log().lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned).collect();
    assert!(refused.is_empty(), "{refused:?}");
    cloud.make_trouble(&[]);
    let written = written.into_inner();
    assert!(written > 20, "{written} files were sent meanwhile: that shows nothing");
    let mut left: Vec<String> =
        cloud.all().iter().map(|item| item["name"].as_str().expect("name").to_owned()).collect();
    let mut expected: Vec<String> =
        (0..written).map(|number| number.to_string()).chain(["behind".to_owned()]).collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected, "of the suite itself nothing is left");
}
