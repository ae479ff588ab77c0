//! Copies within the mount: the drive makes them where it can.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;

use crate::calls::python;
use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, sh, signal, write};

const SIZE: usize = 12 << 20;

fn count(traffic: &Value, call: &str) -> u64 {
    traffic["requests"][call]["count"].as_u64().unwrap_or(0)
}

/// No byte went down or up.
#[track_caller]
fn assert_copied_by_the_drive(machine: &Machine, copies: u64) {
    let traffic = machine.status()["traffic"].clone();
    assert_eq!((&traffic["downloaded_bytes"], &traffic["uploaded_bytes"]), (&0.into(), &0.into()), "{traffic}");
    assert_eq!(count(&traffic, "files.copy"), copies, "{traffic}");
    assert_eq!(count(&traffic, "upload.begin") + count(&traffic, "upload"), 0, "{traffic}");
}

fn cp(machine: &Machine, from: &str, to: &str) {
    sh(&format!("cp {} {}", machine.at(from).display(), machine.at(to).display()));
}

#[test]
fn a_copy_of_what_the_drive_has_costs_no_byte() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    sh(&format!("chmod 600 {}", machine.at("model").display()));
    machine.flush();
    cp(&machine, "model", "cp");
    fs::copy(machine.at("model"), machine.at("rust")).expect("copies");
    fs::create_dir(machine.at("folder")).expect("makes");
    sh(&format!("cp -p {} {}", machine.at("model").display(), machine.at("folder/preserved").display()));
    // In several calls.
    let script = "import os, sys\n\
                  source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n\
                  while os.copy_file_range(source, target, 5_000_000): pass\n";
    python(script, &[&machine.at("model"), &machine.at("pieces")]);
    machine.flush();
    assert_copied_by_the_drive(&machine, 4);
    for name in ["cp", "rust", "preserved", "pieces"] {
        assert!(cloud.content(&cloud.id(name)) == content, "{name}");
    }
    assert_ne!(cloud.id("cp"), cloud.id("model"));
    let (original, preserved) = (cloud.file("model"), cloud.file("preserved"));
    assert_eq!(preserved["modifiedTime"], original["modifiedTime"]);
    assert_eq!(preserved["parents"][0], cloud.id("folder"));
    // As whoever mounts it elsewhere sees it.
    let other = Machine::with(&cloud);
    for (name, mode) in [("cp", "600"), ("pieces", "755"), ("folder/preserved", "600")] {
        assert_eq!(sh(&format!("stat -c %a {}", other.at(name).display())).trim(), mode, "{name}");
        assert!(read(other.at(name)) == content, "{name}");
    }
    assert!(read(machine.at("cp")) == content);
}

#[test]
fn a_copy_that_is_not_made_yet_can_be_read_and_changed() {
    let cloud = Cloud::start();
    let mut content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["model"]);
    signal(cloud.pid(), "STOP");
    cp(&machine, "model", "copy");
    let changed = OpenOptions::new().read(true).write(true).open(machine.at("copy")).expect("opens");
    changed.write_all_at(b"changed", 1_000_000).expect("writes");
    assert_eq!(machine.status()["cache"]["staged_bytes"], 7);
    signal(cloud.pid(), "CONT");
    content[1_000_000..1_000_007].copy_from_slice(b"changed");
    assert!(read(machine.at("copy")) == content);
    drop(changed);
    machine.flush();
    assert!(cloud.content(&cloud.id("copy")) == content);
    // Some came from what was copied, before the copy was made and became the base of the change.
    assert!(machine.status()["traffic"]["downloaded_bytes"].as_u64() <= Some(2 * SIZE as u64));
}

#[test]
fn copying_onto_a_file_keeps_its_identity_and_is_uploaded() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let id = cloud.upload("there", &cloud.root(), b"another");
    let machine = Machine::with(&cloud);
    cp(&machine, "model", "there");
    machine.flush();
    assert_eq!(cloud.id("there"), id);
    assert!(cloud.content(&id) == content);
    assert_eq!(count(&machine.status()["traffic"], "files.copy"), 0);
}

#[test]
fn ranges_are_copied_between_files_and_within_one() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("cold", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    write(machine.at("target"), vec![1; 1000]);
    // From what is being written, with what was not closed yet; from what the drive has; within one file.
    let script = "import errno, os, sys\n\
        cold, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR)\n\
        def copy(source, target, length, start, place):\n\
        \x20   done = 0\n\
        \x20   while done < length:\n\
        \x20       copied = os.copy_file_range(source, target, length - done, start + done, place + done)\n\
        \x20       if not copied: break\n\
        \x20       done += copied\n\
        \x20   return done\n\
        assert copy(cold, target, 5_000_000, 3_000_000, 500) == 5_000_000\n\
        os.pwrite(target, b'unsealed', 0)\n\
        assert copy(target, target, 100, 0, 6_000_000) == 100\n\
        assert os.copy_file_range(target, target, 1 << 20, 6_000_000, 9_000_000) == 100, 'up to the end'\n\
        assert copy(target, target, 100, 1 << 40, 0) == 0, 'nothing behind it'\n\
        try: os.copy_file_range(target, target, 1000, 0, 999)\n\
        except OSError as error: assert error.errno == errno.EINVAL\n\
        else: assert False\n";
    python(script, &[&machine.at("cold"), &machine.at("target")]);
    let mut expected = vec![1; 500];
    expected.extend(&content[3_000_000..8_000_000]);
    expected.resize(6_000_000, 0);
    expected[..8].copy_from_slice(b"unsealed");
    expected.extend_from_within(..100);
    expected.resize(9_000_000, 0);
    expected.extend_from_within(6_000_000..6_000_100);
    assert!(read(machine.at("target")) == expected);
    machine.flush();
    assert!(cloud.content(&cloud.id("target")) == expected);
}

#[test]
fn a_part_from_the_beginning_is_no_copy_and_grows_by_zeros() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    let script = "import os, sys\n\
                  source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n\
                  assert os.copy_file_range(source, target, 1_000_000) == 1_000_000\n";
    python(script, &[&machine.at("model"), &machine.at("part")]);
    sh(&format!("truncate -s 2000000 {}", machine.at("part").display()));
    let mut expected = content[..1_000_000].to_vec();
    expected.resize(2_000_000, 0);
    assert!(read(machine.at("part")) == expected);
    machine.flush();
    assert!(cloud.content(&cloud.id("part")) == expected);
}

#[test]
fn a_copy_survives_a_kill_and_is_made_once_whatever_answer_was_lost() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    assert_eq!(fs::read_dir(machine.drive()).expect("lists").count(), 1);
    // Every answer to the request is lost.
    cloud.make_trouble(&["files.copy:lose-answer"]);
    cp(&machine, "model", "copy");
    eventually("the copy is there", || cloud.all().iter().any(|file| file["name"] == "copy").then_some(()));
    machine.kill();
    // What it was made of is changed elsewhere before it is known that it was made.
    cloud.rewrite(&cloud.id("model"), b"new");
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert!(cloud.content(&cloud.id("copy")) == content, "and is the only one");
    assert_eq!(machine.status()["traffic"]["downloaded_bytes"], 0);
    assert_eq!(cloud.all().len(), 2, "{:?}", cloud.all());
}

#[test]
fn what_was_copied_can_be_changed_or_removed_at_once() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    for name in ["changed", "replaced", "removed"] {
        cloud.upload(name, &cloud.root(), &content);
    }
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("within", &folder, &content);
    let machine = Machine::with_flags(&cloud, &["--use-trash", "never"]);
    cp(&machine, "changed", "changed.copy");
    OpenOptions::new().append(true).open(machine.at("changed")).expect("opens").write_all_at(b"!", 0).expect("writes");
    cp(&machine, "replaced", "replaced.copy");
    write(machine.at("new"), b"new");
    fs::rename(machine.at("new"), machine.at("replaced")).expect("renames over");
    cp(&machine, "removed", "removed.copy");
    fs::remove_file(machine.at("removed")).expect("removes");
    cp(&machine, "folder/within", "within.copy");
    fs::remove_dir_all(machine.at("folder")).expect("removes");
    machine.flush();
    for name in ["changed.copy", "replaced.copy", "removed.copy", "within.copy"] {
        assert!(cloud.content(&cloud.id(name)) == content, "{name}");
    }
    let traffic = machine.status()["traffic"].clone();
    assert_eq!(count(&traffic, "files.copy"), 4, "each was copied before: {traffic}");
    assert_eq!(cloud.content(&cloud.id("replaced")), b"new");
    assert_eq!(cloud.content(&cloud.id("changed")).len(), SIZE + 1);
    assert_eq!(cloud.all().len(), 6, "{:?}", cloud.all());
}

#[test]
fn what_the_drive_refuses_to_copy_is_uploaded_and_holds_nothing_up() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    let id = cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["files.copy:answer,status=403,reason=cannotCopyFile"]);
    cp(&machine, "model", "copy");
    write(machine.at("model"), b"new");
    machine.flush();
    assert!(cloud.content(&cloud.id("copy")) == content);
    assert_eq!(cloud.content(&id), b"new");
}

#[test]
fn a_copy_that_stays_open_is_made_whole_before_what_it_was_copied_from_is_changed() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    let id = cloud.upload("model", &cloud.root(), &content);
    let machine = Machine::with_flags(&cloud, &["--sync-interval", "1h", "--use-trash", "never"]);
    let script = "import os, sys\n\
                  source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n\
                  while os.copy_file_range(source, target, 1 << 30): pass\n\
                  print('copied', flush=True)\n\
                  sys.stdin.read()\n";
    let mut process = std::process::Command::new("python3")
        .args(["-c", script])
        .args([machine.at("model"), machine.at("copy")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(process.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut said, &mut line).expect("says that it copied");
    fs::remove_file(machine.at("model")).expect("removes");
    eventually("it is gone from the drive", || {
        (cloud.try_call("GET", &format!("/drive/v3/files/{id}"), &[], None).0 == 404).then_some(())
    });
    drop(process.stdin.take());
    assert!(process.wait().expect("ends").success());
    machine.flush();
    assert!(cloud.content(&cloud.id("copy")) == content);
}

#[test]
fn a_copy_of_what_is_gone_leaves_the_file_that_it_was_to_replace() {
    let cloud = Cloud::start();
    let cold = cloud.upload("cold", &cloud.root(), &bytes(1, SIZE));
    let replaced = cloud.upload("replaced", &cloud.root(), b"replaced");
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["cold", "replaced"]);
    cloud.rewrite(&cold, &bytes(2, SIZE));
    cp(&machine, "cold", "new");
    fs::rename(machine.at("new"), machine.at("replaced")).expect("renames over");
    machine.flush();
    let aside = machine.status()["set_aside"][0].clone();
    assert!(aside["why"].as_str().expect("a reason").contains("gone from the drive"), "{aside}");
    assert_eq!(machine.status()["unsent"]["entries"], 0);
    assert_eq!(cloud.content(&replaced), b"replaced", "nothing could be sent");
    assert_eq!(read(machine.at("replaced")), b"replaced");
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(read(machine.at("replaced")), b"replaced");
    assert_eq!(cloud.all().len(), 2, "{:?}", cloud.all());
}

#[test]
fn what_was_copied_and_changed_elsewhere_is_copied_as_it_was_or_said_to_be_gone() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    let ids = ["read", "cold"].map(|name| cloud.upload(name, &cloud.root(), &content));
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["cold", "read"]);
    assert!(read(machine.at("read")) == content);
    for id in ids {
        cloud.rewrite(&id, &bytes(2, SIZE));
    }
    cp(&machine, "read", "read.copy");
    cp(&machine, "cold", "cold.copy");
    machine.flush();
    assert!(cloud.content(&cloud.id("read.copy")) == content, "as it was here");
    assert_eq!(count(&machine.status()["traffic"], "files.copy"), 0);
    assert_eq!(cloud.all().len(), 3, "and no conflict");
    let aside = machine.status()["set_aside"][0].clone();
    assert_eq!(aside["path"], "cold.copy", "{aside}");
    assert!(aside["why"].as_str().is_some_and(|why| why.contains("a copy of a version that is gone")), "{aside}");
}

#[test]
fn a_copy_renamed_over_a_file_keeps_that_ones_identity() {
    let cloud = Cloud::start();
    let content = bytes(1, SIZE);
    cloud.upload("model", &cloud.root(), &content);
    let id = cloud.upload("best", &cloud.root(), b"older");
    let machine = Machine::with(&cloud);
    let (from, to): (&Path, &Path) = (&machine.at("tmp"), &machine.at("best"));
    cp(&machine, "model", "tmp");
    fs::rename(from, to).expect("renames over");
    machine.flush();
    assert_eq!(cloud.id("best"), id);
    assert!(cloud.content(&id) == content);
    assert_eq!(cloud.all().len(), 2);
}
