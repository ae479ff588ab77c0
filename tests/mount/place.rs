//! Where it is mounted: over files, and over a mount.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, sh, signal, wait_for_end, write};

/// A machine whose mountpoint holds files.
fn occupied() -> Machine {
    let machine = Machine::new();
    let at = |path: &str| machine.at(path);
    fs::create_dir_all(at("folder/deep")).expect("makes");
    fs::create_dir(at("folder/empty")).expect("makes");
    write(at("both"), b"ours");
    write(at("same"), b"same");
    write(at("folder/deep/large"), bytes(1, 7_000_000));
    write(at("folder/private"), b"x");
    fs::set_permissions(at("folder/private"), fs::Permissions::from_mode(0o600)).expect("chmod");
    std::os::unix::fs::symlink("deep/large", at("folder/link")).expect("links");
    sh(&format!("touch -d 2020-02-02T02:02:02Z {}", at("both").display()));
    machine
}

fn told(mut machine: Machine, flag: &str) -> Machine {
    machine.arguments.push(flag.to_owned());
    machine
}

fn import(machine: &Machine) -> Value {
    eventually("the end of the move", || {
        let import = machine.status()["import"].clone();
        (import["state"] != "moving").then_some(import)
    })
}

/// Everything below the mountpoint, when nothing is mounted there.
fn below(machine: &Machine) -> String {
    sh(&format!("cd {} && find . -mindepth 1 | sort", machine.drive().display()))
}

#[test]
fn a_folder_with_files_is_refused_with_both_ways_out() {
    let cloud = Cloud::start();
    let machine = occupied();
    let refused = machine.try_mount(&cloud);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    for told in ["is not empty", "both", "--import-existing", "--allow-non-empty"] {
        assert!(said(&refused).contains(told), "{}", said(&refused));
    }
}

#[test]
fn files_that_are_mounted_over_are_hidden_and_come_back() {
    let cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), b"theirs");
    let machine = told(occupied(), "--allow-non-empty");
    let before = below(&machine);
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["theirs"]);
    write(machine.at("both"), b"on the drive");
    machine.unmount();
    assert_eq!(below(&machine), before);
    assert_eq!(read(machine.at("both")), b"ours");
}

#[test]
fn what_the_folder_held_is_moved_into_the_drive_and_collisions_keep_both() {
    let cloud = Cloud::start();
    cloud.upload("both", &cloud.root(), b"theirs");
    cloud.upload("same", &cloud.root(), b"same");
    let machine = told(occupied(), "--import-existing");
    sh(&format!("mkfifo {}", machine.at("pipe").display()));
    let mount = machine.try_mount(&cloud);
    assert!(mount.status.success() && said(&mount).contains("is being moved into the drive"), "{}", said(&mount));
    let moved = import(&machine);
    assert_eq!((&moved["state"], &moved["left"]), (&Value::from("incomplete"), &Value::from(1)), "{moved}");
    assert!(moved["reason"].as_str().is_some_and(|why| why.starts_with("pipe: ")), "{moved}");
    assert_eq!(names(machine.drive()), ["both", "both (imported)", "folder", "same"]);
    assert_eq!((read(machine.at("both")), read(machine.at("both (imported)"))), (b"theirs".to_vec(), b"ours".to_vec()));
    assert_eq!(fs::metadata(machine.at("both (imported)")).expect("stat").mtime(), 1_580_608_922);
    assert_eq!(fs::metadata(machine.at("folder/private")).expect("stat").mode() & 0o777, 0o600);
    assert_eq!(fs::read_link(machine.at("folder/link")).expect("a link"), PathBuf::from("deep/large"));
    assert_eq!(names(machine.at("folder")), ["deep", "empty", "link", "private"]);
    assert!(cloud.content(&cloud.id("large")) == bytes(1, 7_000_000));
    machine.unmount();
    assert_eq!(below(&machine), "./pipe\n");
    assert_eq!(cloud.all().iter().filter(|file| file["name"] == "same").count(), 1);
}

#[test]
fn a_crash_while_files_are_moved_loses_none_and_doubles_none() {
    let cloud = Cloud::start();
    let machine = told(occupied(), "--import-existing");
    for number in 0..60 {
        write(machine.at(&format!("folder/deep/{number}")), bytes(number, 200_000));
    }
    let expected = sh(&format!("cd {} && find . -type f -exec md5sum {{}} + | sort", machine.drive().display()));
    for pause in [0.05, 0.2, 0.5] {
        machine.mount(&cloud);
        std::thread::sleep(std::time::Duration::from_secs_f64(pause));
        machine.kill();
        sh(&format!("umount -l {}", machine.drive().display()));
    }
    machine.mount(&cloud);
    let moved = import(&machine);
    // If the last kill came too late, there was nothing left to move.
    assert!(moved.is_null() || moved["state"] == "done", "{moved}");
    let found = sh(&format!("cd {} && find . -type f -exec md5sum {{}} + | sort", machine.drive().display()));
    assert_eq!(found, expected);
    machine.unmount();
    assert_eq!(below(&machine), "");
}

#[test]
fn what_the_drive_does_not_have_stays_in_the_folder() {
    let cloud = Cloud::start();
    let machine = told(occupied(), "--import-existing");
    machine.mount(&cloud);
    let pid = machine.pid();
    // From now on it is known what is there.
    names(machine.drive());
    signal(cloud.pid(), "STOP");
    write(machine.at("new"), b"x");
    let unmount = run(Command::new(PROGRAM).args(["unmount", "--timeout", "100ms"]).arg(machine.drive()));
    signal(cloud.pid(), "CONT");
    wait_for_end(pid);
    // Whatever was cut off: each file is below, or on the drive.
    let on_drive = cloud.all();
    for (path, name) in [("both", "both"), ("folder/private", "private"), ("folder/deep/large", "large")] {
        let there = on_drive.iter().any(|file| file["name"] == name);
        assert!(machine.at(path).exists() || there, "{path}: {}", said(&unmount));
    }
}

#[test]
fn the_same_mount_again_is_no_error_and_another_one_says_what_differs() {
    let cloud = Cloud::start();
    let mut machine = Machine::with(&cloud);
    let pid = machine.pid();
    let again = machine.try_mount(&cloud);
    assert!(again.status.success() && said(&again).contains("already mounted"), "{}", said(&again));
    // Through a link it is the same place.
    let link = machine.cache().with_file_name("link");
    std::os::unix::fs::symlink(machine.drive(), &link).expect("links");
    let mut command = Command::new(PROGRAM);
    command.args(["mount", &cloud.url]).arg(&link).arg("--token-file").arg(cloud.token_file());
    command.env("DRIVEMOUNT_LIST_AHEAD", "none").env("DRIVEMOUNT_TREE_SNAPSHOT", "none");
    command.env("DRIVEMOUNT_KEEPER", machine.keeper);
    let again = run(command.arg("--cache-dir").arg(machine.cache()).args(&machine.arguments));
    assert!(again.status.success() && said(&again).contains("already mounted"), "{}", said(&again));
    machine.arguments.extend(["--cache-size".to_owned(), "20G".to_owned(), "--read-only".to_owned()]);
    let other = machine.try_mount(&cloud);
    assert_eq!(other.status.code(), Some(4), "{}", said(&other));
    for told in ["with other settings", "cache-size is 10 GiB, and not 20 GiB", "read-only is not set, and not true"] {
        assert!(said(&other).contains(told), "{}", said(&other));
    }
    let other_drive = Cloud::start();
    let other = machine.try_mount(&other_drive);
    assert_eq!(other.status.code(), Some(4), "{}", said(&other));
    let place = machine.drive().display().to_string();
    let told = format!(
        "{place} already shows {}; to mount {} there, first `drivemount unmount {place}`\n",
        cloud.url, other_drive.url
    );
    assert!(said(&other).ends_with(&told), "{}", said(&other));
    assert_eq!(machine.pid(), pid, "it is left alone");
}
