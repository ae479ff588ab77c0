//! Who may do what, and what is shown of whom.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::cloud::{Cloud, PROGRAM};
use crate::machine::{Machine, run, said, sh, write};

/// User, group and permission bits.
fn shown(machine: &Machine, path: &str) -> (u32, u32, u32) {
    let metadata = fs::metadata(machine.at(path)).expect("stat");
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[test]
fn what_has_no_owner_and_no_bits_of_its_own_is_shown_as_the_mount_was_told() {
    let cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), b"x");
    cloud.make_folder("folder", &cloud.root());
    let machine = Machine::with_flags(&cloud, &["--uid", "1234", "--gid", "2345", "--umask", "077"]);
    assert_eq!(shown(&machine, "theirs"), (1234, 2345, 0o600));
    assert_eq!(shown(&machine, "folder"), (1234, 2345, 0o700));
    assert_eq!(shown(&machine, ""), (1234, 2345, 0o700));
    machine.unmount();
    // rclone's names for the same.
    let machine = Machine::with_flags(&cloud, &["--file-perms", "0604", "--dir-perms", "705"]);
    assert_eq!((shown(&machine, "theirs").2, shown(&machine, "folder").2), (0o604, 0o705));
    machine.unmount();
    let machine = Machine::with_flags(&cloud, &["--umask", "077", "--file-mode", "0640", "--dir-mode", "750"]);
    assert_eq!((shown(&machine, "theirs").2, shown(&machine, "folder").2), (0o640, 0o750));
    // What is set stays set, and other mounts show it too.
    fs::set_permissions(machine.at("theirs"), fs::Permissions::from_mode(0o604)).expect("chmod");
    sh(&format!("cd {} && umask 022 && touch usual && umask 077 && touch private", machine.drive().display()));
    let seen = |machine: &Machine| ["theirs", "usual", "private"].map(|name| shown(machine, name).2);
    assert_eq!(seen(&machine), [0o604, 0o644, 0o600]);
    machine.unmount();
    assert_eq!(seen(&Machine::with(&cloud)), [0o604, 0o644, 0o600]);
}

#[test]
fn the_kernel_keeps_to_the_bits_that_are_shown() {
    let cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), b"x");
    let machine = Machine::with_flags(&cloud, &["--allow-other", "--uid", "65534", "--gid", "65534", "--umask", "027"]);
    sh(&format!("chmod 755 {}", machine.drive().parent().expect("folder").display()));
    let place = machine.at("theirs").display().to_string();
    sh(&format!("setpriv --reuid 65534 --clear-groups cat {place}"));
    let stranger = run(Command::new("setpriv")
        .args(["--reuid", "65533", "--regid", "65533", "--clear-groups", "cat"])
        .arg(&place));
    assert!(said(&stranger).contains("Permission denied"), "{}", said(&stranger));
    write(machine.at("of root"), b"x");
    assert_eq!(shown(&machine, "of root").0, 0, "who makes a file owns it");
}

#[test]
fn bits_that_are_none_are_refused_by_name() {
    for (flag, value, told) in [
        ("--umask", "rwx", "in octal, as 644"),
        ("--file-mode", "888", "in octal, as 644"),
        ("--dir-mode", "1777", "from 000 to 777"),
    ] {
        let output = run(Command::new(PROGRAM).args(["mount", "local:/none", "/none/mnt", flag, value]));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(flag) && said(&output).contains(told), "{}", said(&output));
    }
    let mut command = Command::new(PROGRAM);
    let output = run(command.args(["mount", "local:/none", "/none/mnt"]).env("DRIVEMOUNT_UMASK", "9"));
    assert!(said(&output).contains("the variable DRIVEMOUNT_UMASK is set"), "{}", said(&output));
}
