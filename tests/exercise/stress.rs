//! stress-ng: what it has for file systems finds nothing on the mount that it does not find on ext4.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::drive::troubled;
use crate::machine::{Disk, run, said};

/// What does something else than use files of a folder.
const ELSEWHERE: [&str; 5] = ["bind-mount", "binderfs", "eventfd", "ioprio", "procfs"];

/// What fails on the mount and not on ext4, and why. docs/SEMANTICS.md says more.
const EXCEPTIONS: [(&str, &str); 1] =
    [("fiemap", "where the bytes of a file are on a disk is no question to a drive; `lseek` tells holes")];

/// What runs always.
const FEW: [&str; 7] = ["dentry", "fallocate", "flock", "getdent", "inotify", "iomix", "rename"];

/// What came of a stressor.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Well,
    /// It did not run, or not once to its end.
    Nothing(String),
    Failed(String),
}

fn stress(folder: &Path, stressor: &str, seconds: u64) -> Outcome {
    let work = folder.join(format!("stress-{stressor}"));
    std::fs::create_dir(&work).expect("makes a folder");
    let mut command = Command::new("stress-ng");
    command.args([&format!("--{stressor}"), "2", "--timeout", &format!("{seconds}s"), "--verify", "--metrics"]);
    if stressor == "chdir" {
        // Else it makes folders for most of the time.
        command.args(["--chdir-dirs", "64"]);
    }
    let output = run(command.arg("--temp-path").arg(&work).current_dir(&work));
    let text = said(&output);
    let lines = |word: &str| text.lines().filter(|line| line.contains(word)).collect::<Vec<_>>().join("\n");
    let failed = lines("fail: ");
    // What it did not remove itself, as it must when time is up.
    let removed = std::fs::remove_dir_all(&work);
    if let Err(error) = removed {
        return Outcome::Failed(format!("{}: {error}", work.display()));
    }
    match output.status.code() {
        Some(0) if failed.is_empty() && !text.contains("skipping") => Outcome::Well,
        // Without resources, and not implemented.
        Some(0 | 3 | 4) if failed.is_empty() => Outcome::Nothing(lines("info: ")),
        _ => Outcome::Failed(text),
    }
}

#[test]
fn stressors_of_file_systems_find_nothing_that_they_do_not_find_on_ext4() {
    let all = run(Command::new("stress-ng").args(["--class", "filesystem?"]));
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let (_, all) = all.split_once("stressors: ").expect("a list of stressors");
    let all = all.split_whitespace().filter(|stressor| !ELSEWHERE.contains(stressor));
    let (stressors, seconds) = match std::env::var("DRIVEMOUNT_TEST_STRESS") {
        Ok(seconds) => {
            let all: Vec<&str> = all.collect();
            let seconds: u64 = seconds.parse().expect("DRIVEMOUNT_TEST_STRESS in seconds");
            let each = seconds.div_ceil(all.len() as u64);
            (all, each)
        }
        Err(_) => (all.filter(|stressor| FEW.contains(stressor)).collect(), 1),
    };
    let scratch = TempDir::new().expect("temporary folder");
    let disk = Disk::ext4(scratch.path().join("disk"), 1024);
    let cloud = Cloud::start();
    let machine = troubled(&cloud);
    let mut wrong = Vec::new();
    for stressor in stressors {
        let here = stress(&machine.drive(), stressor, seconds);
        // What is well on the mount need not be asked of ext4.
        let there = if here == Outcome::Well { Outcome::Well } else { stress(disk.path(), stressor, seconds) };
        let excepted = EXCEPTIONS.iter().any(|&(name, _)| name == stressor);
        let is_worse = here != Outcome::Well && there == Outcome::Well;
        println!("{stressor}: {}", if is_worse { "not as on ext4" } else { "as on ext4" });
        if is_worse && !excepted {
            wrong.push(format!("{stressor} fails here and not on ext4: {here:?}"));
        } else if excepted && !is_worse {
            wrong.push(format!("{stressor} is an exception and does not fail"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    machine.flush();
}
