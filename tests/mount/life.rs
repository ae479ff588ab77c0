//! Mounting, unmounting, and what is in between.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM, SOON, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, sh, signal, wait_for_end, write};

pub(crate) fn is_mounted(machine: &Machine) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("table of mounts");
    table.contains(machine.drive().to_str().expect("UTF-8"))
}

#[test]
fn every_way_to_end_sends_everything_first() {
    for way in ["unmount", "SIGTERM", "SIGINT", "umount", "fusermount3"] {
        let cloud = Cloud::start();
        let machine = Machine::with(&cloud);
        let pid = machine.pid();
        write(machine.at("last"), bytes(1, 10_000_000));
        let place = machine.drive().display().to_string();
        match way {
            "unmount" => machine.unmount(),
            "umount" => drop(sh(&format!("umount {place}"))),
            "fusermount3" => drop(sh(&format!("fusermount3 -u {place}"))),
            name => signal(pid, name.trim_start_matches("SIG")),
        }
        wait_for_end(pid);
        assert!(!is_mounted(&machine), "{way}");
        assert!(cloud.content(&cloud.id("last")) == bytes(1, 10_000_000), "{way}");
    }
}

#[test]
fn an_end_with_a_deadline_says_what_is_left_and_the_next_mount_sends_it() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("sent"), b"sent");
    machine.flush();
    cloud.kill();
    write(machine.at("left behind"), b"kept");
    let flush = run(Command::new(PROGRAM).args(["flush", "--timeout", "1s"]).arg(machine.drive()));
    assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
    assert!(said(&flush).contains("left behind"), "{}", said(&flush));
    let unmount = run(Command::new(PROGRAM).args(["unmount", "--timeout", "1s"]).arg(machine.drive()));
    assert_eq!(unmount.status.code(), Some(5), "{}", said(&unmount));
    assert!(said(&unmount).contains("left behind") && !said(&unmount).contains("sent\n"), "{}", said(&unmount));
    assert!(!is_mounted(&machine));

    // The server is away still, but the drive was mounted here before.
    let mount = machine.try_mount(&cloud);
    assert!(mount.status.success(), "{}", said(&mount));
    for told in ["1 change left by the last mount", "cannot be reached", "is kept and sent later"] {
        assert!(said(&mount).contains(told), "{told}: {}", said(&mount));
    }
    assert_eq!(read(machine.at("left behind")), b"kept");
    assert_eq!(read(machine.at("sent")), b"sent", "cached");
    cloud.restart();
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("left behind")), b"kept");
}

#[test]
fn the_daemon_ends_with_its_mount_even_if_somebody_has_a_file_open() {
    let cloud = Cloud::start();
    cloud.upload("file", &cloud.root(), &bytes(1, 8_000_000));
    let machine = Machine::with(&cloud);
    let open = fs::File::open(machine.at("file")).expect("opens");
    let mut first = [0; 1000];
    open.read_exact_at(&mut first, 0).expect("reads");
    let pid = machine.pid();
    machine.unmount();
    wait_for_end(pid);
    let refused = open.read_exact_at(&mut first, 7_000_000).expect_err("there is nobody to read from");
    assert_eq!(refused.raw_os_error(), Some(libc::ENOTCONN), "{refused}");
    machine.mount(&cloud);
    assert!(read(machine.at("file")) == bytes(1, 8_000_000));
}

#[test]
fn of_several_who_want_the_end_the_least_patient_counts_and_nobody_waits_longer() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("sent"), b"sent");
    machine.flush();
    cloud.kill();
    write(machine.at("left behind"), b"kept");
    let pid = machine.pid();
    let start = |command: &str| {
        Inside(Command::new(PROGRAM).arg(command).arg(machine.drive()).stderr(Stdio::piped()).spawn().expect("starts"))
    };
    let flush = start("flush");
    let mut patient = start("unmount");
    eventually("it is about to end", || (machine.status()["state"] == "draining").then_some(()));
    patient.0.kill().expect("is given up");
    let unmount = run(Command::new(PROGRAM).args(["unmount", "--timeout", "500ms"]).arg(machine.drive()));
    assert_eq!(unmount.status.code(), Some(5), "{}", said(&unmount));
    wait_for_end(pid);
    let flush = flush.output();
    assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
    assert!(said(&flush).contains("left behind"), "{}", said(&flush));
}

/// A process that lives in the mount, or beside it.
struct Inside(std::process::Child);

impl Inside {
    /// Waits for its end.
    fn output(mut self) -> std::process::Output {
        let mut stderr = Vec::new();
        let pipe = self.0.stderr.as_mut().expect("piped");
        std::io::Read::read_to_end(pipe, &mut stderr).expect("reads");
        std::process::Output { status: self.0.wait().expect("ends"), stdout: Vec::new(), stderr }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn a_dead_mount_is_replaced() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"x");
    machine.flush();
    // A working folder inside, as a shell has it.
    let inside = Inside(
        Command::new("sleep").arg("1000").current_dir(machine.drive()).stdout(Stdio::null()).spawn().expect("starts"),
    );
    machine.kill();
    let refused = fs::read(machine.at("file")).expect_err("dead");
    assert!(matches!(refused.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)), "{refused}");
    let status = run(Command::new(PROGRAM).arg("status").arg(machine.drive()));
    assert!(
        !status.status.success() && said(&status).contains("daemon") && said(&status).contains("is gone"),
        "{}",
        said(&status)
    );
    let mount = machine.try_mount(&cloud);
    assert!(mount.status.success() && said(&mount).contains("dead mount"), "{}", said(&mount));
    assert_eq!(read(machine.at("file")), b"x");
    drop(inside);
    // And a dead mount that nobody wants again can be taken away.
    machine.kill();
    let unmount = run(Command::new(PROGRAM).arg("unmount").arg(machine.drive()));
    assert!(unmount.status.success() && said(&unmount).contains("dead mount"), "{}", said(&unmount));
    assert!(!is_mounted(&machine));
}

#[test]
fn numbers_last_over_remounts() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("theirs", &folder, b"theirs");
    let machine = Machine::with(&cloud);
    write(machine.at("folder/ours"), b"ours");
    let number = |path: &str| fs::metadata(machine.at(path)).expect("stat").ino();
    let before = ["folder", "folder/theirs", "folder/ours"].map(number);
    machine.flush();
    assert_eq!(["folder", "folder/theirs", "folder/ours"].map(number), before, "over sending");
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(["folder", "folder/theirs", "folder/ours"].map(number), before, "over an unmount");
    machine.kill();
    machine.mount(&cloud);
    assert_eq!(["folder", "folder/theirs", "folder/ours"].map(number), before, "over a kill");
    write(machine.at("folder/new"), b"new");
    assert!(!before.contains(&number("folder/new")), "none is used twice");
}

#[test]
fn a_second_mount_lists_and_fetches_nothing_again() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("file", &folder, &bytes(1, 1_000_000));
    let machine = Machine::with(&cloud);
    assert!(read(machine.at("folder/file")) == bytes(1, 1_000_000));
    machine.unmount();
    machine.mount(&cloud);
    assert!(read(machine.at("folder/file")) == bytes(1, 1_000_000));
    let traffic = machine.status()["traffic"].clone();
    assert_eq!(traffic["downloaded_bytes"], 0, "{traffic}");
    assert_eq!(traffic["requests"]["files.list"], Value::Null, "{traffic}");
}

#[test]
fn a_mount_without_the_right_to_change_sends_no_change() {
    let cloud = Cloud::start();
    cloud.upload("file", &cloud.root(), b"theirs");
    let mut machine = Machine::new();
    machine.arguments.push("--read-only".to_owned());
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"theirs");
    for refused in [
        fs::write(machine.at("file"), b"ours"),
        fs::write(machine.at("new"), b"ours"),
        fs::create_dir(machine.at("folder")),
        fs::remove_file(machine.at("file")),
        fs::rename(machine.at("file"), machine.at("other")),
    ] {
        assert_eq!(refused.expect_err("read-only").raw_os_error(), Some(libc::EROFS));
    }
    machine.unmount();
    assert_eq!(cloud.content(&cloud.id("file")), b"theirs");
}

/// A mount in the foreground, started by a shell that says `before` first.
fn in_the_foreground(machine: &Machine, cloud: &Cloud, before: &str) -> Inside {
    // Tests may run in the background of a shell, or under nohup: then they ignore signals, and so would the program.
    let mut command = Command::new("env");
    command.args(["--default-signal", "bash", "-c", &format!("{before}; exec \"$0\" \"$@\""), PROGRAM]);
    command.args(["mount", "--foreground", &cloud.url]).arg(machine.drive());
    command.arg("--token-file").arg(cloud.token_file()).arg("--cache-dir").arg(machine.cache());
    let mut process =
        Inside(command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().expect("starts"));
    let mut line = String::new();
    let output = process.0.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("reads");
    assert!(line.starts_with("mounted http://"), "{line}");
    process
}

#[test]
fn a_mount_in_the_foreground_says_when_it_is_ready_and_ends_with_ctrl_c() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let mut process = in_the_foreground(&machine, &cloud, "true");
    write(machine.at("file"), b"x");
    signal(i32::try_from(process.0.id()).expect("pid"), "INT");
    assert!(process.0.wait().expect("ends").success());
    assert_eq!(cloud.content(&cloud.id("file")), b"x");
    assert!(!is_mounted(&machine));
}

#[test]
fn a_mount_in_the_foreground_that_was_told_so_outlives_its_terminal() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let mut process = in_the_foreground(&machine, &cloud, "trap '' HUP");
    let pid = i32::try_from(process.0.id()).expect("pid");
    signal(pid, "HUP");
    write(machine.at("later"), b"x");
    machine.flush();
    assert_eq!(machine.status()["state"], "mounted");
    signal(pid, "TERM");
    assert!(process.0.wait().expect("ends").success());
}

#[test]
fn a_folder_of_this_machine_is_mounted_with_a_drive_of_its_own() {
    let machine = Machine::new();
    let data = machine.cache().with_file_name("data");
    let mount = || {
        let source = format!("local:{}", data.display());
        let mut command = Command::new(PROGRAM);
        command.args(["mount", &source]).arg(machine.drive()).arg("--cache-dir").arg(machine.cache());
        let output = run(&mut command);
        assert!(output.status.success(), "{}", said(&output));
    };
    mount();
    write(machine.at("file"), b"kept in the folder");
    machine.unmount();
    machine.lose_cache();
    mount();
    assert_eq!(read(machine.at("file")), b"kept in the folder");
    assert_eq!(names(machine.drive()), ["file"]);
    // SIGKILL takes the embedded drive along; what it acknowledged is there.
    write(machine.at("second"), b"sent");
    machine.flush();
    machine.kill();
    machine.lose_cache();
    mount();
    assert_eq!(names(machine.drive()), ["file", "second"]);
    machine.unmount();
}

#[test]
fn the_status_says_what_is_at_risk() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    assert_eq!(machine.status()["unsent"]["bytes"], 0);
    assert_eq!(names(machine.drive()), Vec::<String>::new(), "so the folder is known");
    cloud.kill();
    write(machine.at("one"), bytes(1, 1000));
    write(machine.at("two"), bytes(2, 500));
    let open = fs::File::create(machine.at("open")).expect("creates");
    std::os::unix::fs::FileExt::write_all_at(&open, &[1; 250], 0).expect("writes");
    let unsent = machine.status()["unsent"].clone();
    assert_eq!(unsent["bytes"], 1750, "{unsent}");
    assert_eq!(unsent["unsealed_bytes"], 250, "{unsent}");
    let failing = eventually("the reason is known", || {
        let unsent = machine.status()["unsent"].clone();
        unsent["items"].as_array()?.iter().find(|item| item["reason"].is_string()).cloned()
    });
    assert_eq!(failing["state"], "retrying", "{failing}");
    let text = String::from_utf8(run(Command::new(PROGRAM).arg("status").arg(machine.drive())).stdout).expect("UTF-8");
    assert!(text.contains("at risk") && text.contains("one") && text.contains("again in"), "{text}");
    drop(open);
    cloud.restart();
    machine.flush();
    assert_eq!(machine.status()["unsent"]["bytes"], 0);
}

#[test]
fn what_was_removed_is_called_so_until_the_drive_has_heard_of_it() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"x");
    fs::create_dir(machine.at("folder")).expect("makes");
    machine.flush();
    cloud.kill();
    fs::remove_file(machine.at("file")).expect("removes");
    fs::remove_dir(machine.at("folder")).expect("removes");
    let items = machine.status()["unsent"]["items"].clone();
    let mut paths: Vec<&str> =
        items.as_array().expect("items").iter().filter_map(|item| item["path"].as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["(a removed file)", "(a removed folder)"], "{items}");
}

#[test]
fn a_full_drive_shows_in_the_status_how_full_it_is() {
    let cloud = Cloud::start_with(&["--quota", "1M"]);
    let machine = Machine::with(&cloud);
    assert_eq!(machine.status()["drive"]["used_bytes"], 0);
    cloud.upload("theirs", &cloud.root(), &bytes(1, 1_000_000));
    write(machine.at("ours"), bytes(2, 500_000));
    let began = std::time::Instant::now();
    let status = eventually("it is refused, and why shows", || {
        let status = machine.status();
        let reason = status["unsent"]["items"][0]["reason"].as_str()?;
        (reason.contains("drive full") && status["drive"]["used_bytes"] == 1_000_000).then_some(status)
    });
    assert_eq!(status["drive"]["total_bytes"], 1 << 20, "{status}");
    assert!(began.elapsed() < SOON / 2, "at once, and not after a minute: {:?}", began.elapsed());
}

#[test]
fn a_drive_that_goes_away_makes_readers_wait_and_then_says_why() {
    let mut cloud = Cloud::start();
    cloud.upload("remote", &cloud.root(), &bytes(1, 2_000_000));
    let machine = Machine::with_flags(&cloud, &["--network-timeout", "2s"]);
    assert_eq!(names(machine.drive()), ["remote"]);
    cloud.kill();
    let start = std::time::Instant::now();
    let error = fs::read(machine.at("remote")).expect_err("no drive");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(start.elapsed() < SOON, "not for ever");
    let place = machine.at("remote");
    let why = sh(&format!("getfattr --absolute-names --only-values -n user.drivemount.error {}", place.display()));
    assert!(!why.is_empty(), "the reason can be had");
    cloud.restart();
    assert!(read(machine.at("remote")) == bytes(1, 2_000_000), "and all is well again");
}

#[test]
fn a_daemon_that_still_sends_leaves_the_next_mount_alone() {
    let cloud = Cloud::start();
    let other = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"content");
    let first = machine.pid();
    signal(cloud.pid(), "STOP");
    sh(&format!("umount {}", machine.drive().display()));
    let second = Machine::new();
    let mut command = Command::new(PROGRAM);
    command.args(["mount", &other.url]).arg(machine.drive()).arg("--token-file").arg(other.token_file());
    let output = run(command.arg("--cache-dir").arg(second.cache()));
    signal(cloud.pid(), "CONT");
    assert!(output.status.success(), "{}", said(&output));
    wait_for_end(first);
    assert_eq!(cloud.content(&cloud.id("file")), b"content");
    assert_eq!(machine.status()["source"], other.url.as_str());
}
