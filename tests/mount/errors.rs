//! What the drive refuses reaches the program that wrote it, and goes on by itself when it is not refused any more.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, sh, signal, write};

const NO_PERMISSION: &str = "uploads.*:answer,status=403,reason=insufficientFilePermissions";

/// Waits until the first entry that is not sent has a reason that holds a word.
#[track_caller]
fn refused(machine: &Machine, word: &str) {
    eventually("it is refused", || {
        let items = machine.status()["unsent"]["items"].clone();
        let reasons = items.as_array()?.iter().filter_map(|item| item["reason"].as_str());
        reasons.into_iter().any(|reason| reason.contains(word)).then_some(())
    });
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.expect_err("is refused").raw_os_error()
}

fn attribute(machine: &Machine, path: &str, name: &str) -> String {
    sh(&format!("getfattr --absolute-names --only-values -n user.drivemount.{name} {}", machine.at(path).display()))
}

#[test]
fn a_refusal_is_told_once_to_each_handle_and_to_the_first_of_those_that_come_later() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[NO_PERMISSION]);
    let mut writing = File::create(machine.at("file")).expect("creates");
    let reading = File::open(machine.at("file")).expect("opens");
    writing.write_all(b"first").expect("writes");
    writing.sync_all().expect("is safe here");
    refused(&machine, "no permission");
    assert_eq!(code(writing.write_all(b"second")), Some(libc::EACCES), "told at the next write");
    writing.write_all(b" second").expect("and not again");
    writing.sync_all().expect("nor here");
    assert_eq!(code(reading.sync_all()), Some(libc::EACCES), "each handle hears it");
    reading.sync_all().expect("once");
    drop((writing, reading));
    let late = File::options().append(true).open(machine.at("file")).expect("opens");
    late.sync_all().expect("somebody heard it");
    drop(late);
    eventually("it is refused again", || attribute(&machine, "file", "state").starts_with("retrying: ").then_some(()));
    assert!(attribute(&machine, "file", "error").contains("no permission"));

    // Nobody has it open when it is refused.
    write(machine.at("closed"), b"content");
    eventually("it is refused", || attribute(&machine, "closed", "state").contains("no permission").then_some(()));
    let first = File::open(machine.at("closed")).expect("opens");
    let second = File::open(machine.at("closed")).expect("opens");
    assert_eq!(code(first.sync_all()), Some(libc::EACCES));
    assert_eq!(code(second.sync_all()), Some(libc::EACCES), "opened before anybody was told");
    File::open(machine.at("closed")).expect("opens").sync_all().expect("others are not");

    cloud.make_trouble(&[]);
    let output = run(Command::new(PROGRAM).arg("refresh").arg(machine.drive()));
    assert!(output.status.success(), "{}", said(&output));
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"first second");
    assert_eq!(cloud.content(&cloud.id("closed")), b"content");
}

#[test]
fn close_tells_of_a_refusal_and_keeps_what_was_written_all_the_same() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[NO_PERMISSION]);
    let script = "import os, sys, time\n\
                  file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n\
                  os.write(file, b'first'); os.fsync(file)\n\
                  print('synced', flush=True); input()\n\
                  try: os.close(file)\n\
                  except OSError as error: print(error.errno)\n";
    let mut program = Command::new("python3");
    program.args(["-c", script]).arg(machine.at("file"));
    program.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut program = program.spawn().expect("starts");
    refused(&machine, "no permission");
    program.stdin.take().expect("piped").write_all(b"\n").expect("goes on");
    let output = program.wait_with_output().expect("ends");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&libc::EACCES.to_string()), "{}", said(&output));
    assert_eq!(read(machine.at("file")), b"first");
    machine.kill();
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"first");
}

#[test]
fn what_was_refused_is_sent_when_the_drive_tells_something_new_of_its_folder() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[NO_PERMISSION]);
    write(machine.at("folder/file"), b"content");
    refused(&machine, "no permission");
    cloud.make_trouble(&[]);
    let began = Instant::now();
    let anyone = json!({"type": "anyone", "role": "reader"});
    cloud.call("POST", &format!("/drive/v3/files/{folder}/permissions"), &[], Some(anyone));
    eventually("it is sent", || cloud.all().iter().any(|file| file["name"] == "file").then_some(()));
    assert!(began.elapsed() < Duration::from_secs(6), "and not when its time came: {:?}", began.elapsed());
}

#[test]
fn a_full_drive_is_said_to_every_writer_and_what_waits_goes_on_when_there_is_room() {
    let cloud = Cloud::start_with(&["--quota", "10M"]);
    let theirs = cloud.upload("theirs", &cloud.root(), &bytes(1, 8 << 20));
    let machine = Machine::with(&cloud);
    let mut open = File::create(machine.at("open")).expect("creates");
    open.write_all(b"small").expect("writes");
    write(machine.at("too much"), bytes(2, 4 << 20));
    refused(&machine, "drive full");

    assert_eq!(code(open.write_all(b"more")), Some(libc::EDQUOT), "writes of any file");
    assert_eq!(code(open.sync_all()), Some(libc::EDQUOT));
    assert_eq!(code(open.sync_all()), Some(libc::EDQUOT), "for as long as it lasts");
    assert_eq!(code(fs::write(machine.at("another"), b"content")), Some(libc::EDQUOT));
    let status = machine.status();
    assert_eq!(status["writes"]["state"], "refused", "{status}");
    let text = String::from_utf8(run(Command::new(PROGRAM).arg("status").arg(machine.drive())).stdout).expect("text");
    assert!(text.contains("writes    refused: the drive is full") && text.contains("too much"), "{text}");
    // The rest goes on.
    assert!(read(machine.at("theirs")) == bytes(1, 8 << 20));
    assert!(read(machine.at("too much")) == bytes(2, 4 << 20));
    fs::rename(machine.at("theirs"), machine.at("renamed")).expect("renames");
    fs::create_dir(machine.at("folder")).expect("makes a folder");
    eventually("it is renamed there", || cloud.all().iter().any(|file| file["name"] == "renamed").then_some(()));
    drop(open);

    let began = Instant::now();
    cloud.call("DELETE", &format!("/drive/v3/files/{theirs}"), &[], None);
    eventually("it is sent", || cloud.all().iter().any(|file| file["name"] == "too much").then_some(()));
    eprintln!("sent {:?} after there was room", began.elapsed());
    assert!(cloud.content(&cloud.id("too much")) == bytes(2, 4 << 20));
    eventually("writes go on", || fs::write(machine.at("another"), b"content").ok());
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("open")), b"small");
    assert!(machine.status()["writes"].is_null());
}

#[test]
fn room_that_is_made_here_is_found_at_once() {
    let cloud = Cloud::start_with(&["--quota", "10M"]);
    cloud.upload("theirs", &cloud.root(), &bytes(1, 8 << 20));
    let machine = Machine::with_flags(&cloud, &["--use-trash", "never"]);
    assert_eq!(names(machine.drive()), ["theirs"]);
    write(machine.at("too much"), bytes(2, 4 << 20));
    refused(&machine, "drive full");
    let began = Instant::now();
    fs::remove_file(machine.at("theirs")).expect("removes");
    eventually("it is sent", || cloud.all().iter().any(|file| file["name"] == "too much").then_some(()));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn a_large_file_that_has_no_room_keeps_no_small_one_from_being_written() {
    let cloud = Cloud::start_with(&["--quota", "400M"]);
    let machine = Machine::with(&cloud);
    let file = File::create(machine.at("large")).expect("creates");
    file.set_len(500 << 20).expect("grows");
    drop(file);
    refused(&machine, "drive full");
    eventually("the drive tells what it has", || fs::write(machine.at("small"), b"content").ok());
    eventually("it is sent", || cloud.all().iter().any(|file| file["name"] == "small").then_some(()));
    fs::remove_file(machine.at("large")).expect("removes");
    machine.flush();
}

#[test]
fn fsync_that_waits_for_the_drive_says_what_keeps_it() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--fsync", "drive"]);
    let mut file = File::create(machine.at("file")).expect("creates");
    file.write_all(b"one").expect("writes");
    file.sync_all().expect("syncs");
    assert_eq!(cloud.content(&cloud.id("file")), b"one", "it is there when fsync returns");
    file.write_all(b" two").expect("writes");
    file.sync_data().expect("syncs");
    assert_eq!(cloud.content(&cloud.id("file")), b"one two");
    drop(file);
    fs::create_dir(machine.at("folder")).expect("makes a folder");
    File::open(machine.drive()).expect("opens").sync_all().expect("syncs a folder");
    cloud.file("folder");

    // As programs ask for it when they open a file.
    for flag in [libc::O_SYNC, libc::O_DSYNC] {
        use std::os::unix::fs::OpenOptionsExt;
        let name = format!("flag {flag}");
        let mut file =
            File::options().create(true).write(true).custom_flags(flag).open(machine.at(&name)).expect("opens");
        file.write_all(b"content").expect("writes");
        assert_eq!(cloud.content(&cloud.id(&name)), b"content");
    }

    cloud.make_trouble(&[NO_PERMISSION]);
    let mut file = File::create(machine.at("refused")).expect("creates");
    file.write_all(b"content").expect("writes");
    assert_eq!(code(file.sync_all()), Some(libc::EACCES));
    cloud.make_trouble(&[]);

    // What is not synced waits for nothing, and who waits can be ended.
    signal(cloud.pid(), "STOP");
    let mut waiting = Command::new("sync").arg(machine.at("refused")).spawn().expect("starts");
    std::thread::sleep(Duration::from_secs(1));
    assert!(waiting.try_wait().expect("waits").is_none());
    let began = Instant::now();
    write(machine.at("other"), b"content");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    waiting.kill().expect("kills");
    waiting.wait().expect("waits");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    signal(cloud.pid(), "CONT");
    machine.flush();
}

#[test]
fn sync_of_all_file_systems_waits_for_no_drive() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--fsync", "drive"]);
    assert!(names(machine.drive()).is_empty());
    signal(cloud.pid(), "STOP");
    write(machine.at("file"), b"content");
    // The kernel tells of `syncfs` only file systems that are on a disk of this machine.
    sh(&format!("timeout 10 sync -f {}", machine.drive().display()));
    signal(cloud.pid(), "CONT");
    machine.flush();
}
