//! Files that the kernel reads by itself: what they are, and what becomes of them while they are open.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, read, run, said, wait_for_end, write};

const SIZE: usize = (6 << 20) + 1234;

/// A file of the drive that was changed long ago.
fn upload(cloud: &Cloud, name: &str, content: &[u8]) -> String {
    let id = cloud.upload(name, &cloud.root(), content);
    cloud.patch(&id, &[], json!({ "modifiedTime": "2020-02-03T04:05:06.789Z" }));
    id
}

/// Waits until a file is there as it was uploaded, and reads it.
fn arrives(machine: &Machine, name: &str, content: &[u8]) {
    let is_old = |metadata: fs::Metadata| metadata.mtime() < 1_600_000_000;
    eventually("it is heard of", || fs::metadata(machine.at(name)).is_ok_and(is_old).then_some(()));
    assert!(read(machine.at(name)) == content);
}

/// How many files the kernel reads by itself now.
fn passed(machine: &Machine) -> u64 {
    machine.status()["passthrough"]["files"].as_u64().expect("a number")
}

/// Opens a file that is whole in the cache, and that the kernel reads by itself as soon as it has told that nobody has it open in
/// another way.
fn open_passed(machine: &Machine, name: &str) -> File {
    eventually("it reads no other", || (passed(machine) == 0).then_some(()));
    eventually(&format!("the kernel reads {name} by itself"), || {
        let file = File::open(machine.at(name)).expect("opens");
        (passed(machine) == 1).then_some(file)
    })
}

fn all_of(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("seeks");
    file.read_to_end(&mut bytes).expect("reads");
    bytes
}

fn run_python(script: &str, machine: &Machine, name: &str) {
    let output = run(Command::new("python3").args(["-c", script]).arg(machine.at(name)));
    assert!(output.status.success(), "{}", said(&output));
}

/// A machine that has a file in its cache.
fn cached(cloud: &Cloud, seed: u64) -> Machine {
    upload(cloud, "model", &bytes(seed, SIZE));
    let machine = Machine::with(cloud);
    arrives(&machine, "model", &bytes(seed, SIZE));
    machine
}

#[test]
fn a_large_file_that_is_whole_in_the_cache_is_read_by_the_kernel_itself() {
    let mut cloud = Cloud::start();
    let machine = cached(&cloud, 1);
    assert_eq!(machine.status()["passthrough"]["on"], true, "{}", machine.status()["passthrough"]);
    cloud.kill();
    let file = open_passed(&machine, "model");
    let second = File::open(machine.at("model")).expect("opens");
    assert_eq!(passed(&machine), 1, "one file, however many have it open");
    assert!(all_of(&file) == bytes(1, SIZE) && all_of(&second) == bytes(1, SIZE));
    assert_eq!(file.metadata().expect("stat").len(), SIZE as u64);
    drop((file, second));
    eventually("it is closed", || (passed(&machine) == 0).then_some(()));
    let text = said(&run(Command::new(PROGRAM).arg("status").arg(machine.drive())));
    assert!(text.contains("kernel    reads large files of the cache by itself (passthrough)\n"), "{text}");
    run_python(
        "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); \
         assert m[:] == open(sys.argv[1], 'rb').read()",
        &machine,
        "model",
    );
}

#[test]
fn what_is_small_or_new_or_not_wanted_is_read_through_the_mount() {
    let cloud = Cloud::start();
    upload(&cloud, "small", &bytes(1, 100_000));
    cloud.upload("new", &cloud.root(), &bytes(2, SIZE));
    upload(&cloud, "large", &bytes(3, SIZE));
    let machine = Machine::with(&cloud);
    for (name, content) in [("small", bytes(1, 100_000)), ("new", bytes(2, SIZE))] {
        assert!(read(machine.at(name)) == content);
        let again = File::open(machine.at(name)).expect("opens");
        assert_eq!(passed(&machine), 0, "{name}");
        assert!(all_of(&again) == content);
    }
    // Who may write it has it open already: all have it in the same way.
    assert!(read(machine.at("large")) == bytes(3, SIZE));
    let writer = OpenOptions::new().write(true).open(machine.at("large")).expect("opens");
    let reader = File::open(machine.at("large")).expect("opens");
    assert_eq!(passed(&machine), 0);
    writer.write_all_at(b"changed", 100).expect("writes");
    let mut there = [0; 7];
    reader.read_exact_at(&mut there, 100).expect("reads");
    assert_eq!(&there, b"changed");

    let machine = Machine::with_flags(&cloud, &["--passthrough", "never"]);
    assert!(read(machine.at("large")) == bytes(3, SIZE));
    let again = File::open(machine.at("large")).expect("opens");
    assert!(all_of(&again) == bytes(3, SIZE));
    let status = machine.status();
    assert_eq!((&status["passthrough"]["on"], &status["passthrough"]["files"]), (&false.into(), &0.into()), "{status}");
    let text = said(&run(Command::new(PROGRAM).arg("status").arg(machine.drive())));
    assert!(
        text.contains("kernel    reads through the mount (the mount was told not to, with --passthrough never)"),
        "{text}"
    );
}

#[test]
fn who_writes_a_file_that_the_kernel_reads_by_itself_leaves_its_readers_what_they_opened() {
    for how in ["append", "truncate", "by name", "mapped"] {
        let cloud = Cloud::start();
        let machine = cached(&cloud, 1);
        let reader = open_passed(&machine, "model");
        let mut expected = bytes(1, SIZE);
        let path = machine.at("model");
        match how {
            "append" => {
                let mut log = OpenOptions::new().append(true).open(&path).expect("opens");
                log.write_all(b"one more line\n").expect("writes");
                expected.extend(b"one more line\n");
                assert!(read(&path) == expected, "{how}: whoever opens it now sees it at once");
            }
            "truncate" => {
                write(&path, b"anew");
                expected = b"anew".to_vec();
            }
            "by name" => {
                run_python("import os, sys; os.truncate(sys.argv[1], 1000)", &machine, "model");
                expected.truncate(1000);
            }
            _ => {
                run_python(
                    "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); m[5000:5003] = b'new'; m.flush()",
                    &machine,
                    "model",
                );
                expected[5000..5003].copy_from_slice(b"new");
            }
        }
        assert!(read(&path) == expected, "{how}");
        assert_eq!(fs::metadata(&path).expect("stat").len(), expected.len() as u64, "{how}");
        assert!(all_of(&reader) == bytes(1, SIZE), "{how}: who had it open has what they opened");
        assert_eq!(reader.metadata().expect("stat").len(), SIZE as u64, "{how}");
        assert_ne!(reader.metadata().expect("stat").ino(), fs::metadata(&path).expect("stat").ino(), "{how}");
        machine.flush();
        assert!(cloud.content(&cloud.id("model")) == expected, "{how}");
        assert!(all_of(&reader) == bytes(1, SIZE), "{how}: also when the drive has it");
        drop(reader);
        assert!(read(&path) == expected, "{how}");
        assert_eq!(cloud.files("name = 'model'").len(), 1, "{how}");
    }
}

#[test]
fn removal_renaming_and_changes_elsewhere_leave_who_has_it_open_what_they_opened() {
    let cloud = Cloud::start();
    let machine = cached(&cloud, 1);
    // Renamed, and replaced by another.
    let reader = open_passed(&machine, "model");
    fs::rename(machine.at("model"), machine.at("old")).expect("renames");
    write(machine.at("new"), bytes(2, 5000));
    fs::rename(machine.at("new"), machine.at("old")).expect("replaces");
    assert!(read(machine.at("old")) == bytes(2, 5000));
    assert!(all_of(&reader) == bytes(1, SIZE));
    machine.flush();
    assert!(all_of(&reader) == bytes(1, SIZE));
    drop(reader);
    // Removed.
    upload(&cloud, "second", &bytes(3, SIZE));
    arrives(&machine, "second", &bytes(3, SIZE));
    let reader = open_passed(&machine, "second");
    fs::remove_file(machine.at("second")).expect("removes");
    machine.flush();
    assert!(all_of(&reader) == bytes(3, SIZE));
    drop(reader);
    // Changed elsewhere.
    let id = upload(&cloud, "third", &bytes(4, SIZE));
    arrives(&machine, "third", &bytes(4, SIZE));
    let reader = open_passed(&machine, "third");
    cloud.rewrite(&id, &bytes(5, SIZE));
    eventually("the change arrives", || (read(machine.at("third")) == bytes(5, SIZE)).then_some(()));
    assert!(all_of(&reader) == bytes(4, SIZE));
}

#[test]
fn what_the_kernel_reads_by_itself_is_not_evicted_and_the_cap_holds() {
    const CAP: u64 = 64 << 20;
    let cloud = Cloud::start();
    upload(&cloud, "model", &bytes(1, 20 << 20));
    upload(&cloud, "second", &bytes(2, 20 << 20));
    upload(&cloud, "much", &bytes(3, 150 << 20));
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    assert!(read(machine.at("model")) == bytes(1, 20 << 20));
    assert!(read(machine.at("second")) == bytes(2, 20 << 20));
    let model = open_passed(&machine, "model");
    let second = File::open(machine.at("second")).expect("opens");
    assert_eq!(passed(&machine), 1, "more than half of the cache is not given away");
    for round in 0..2 {
        assert!(read(machine.at("much")) == bytes(3, 150 << 20), "{round}");
        let used = machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
        assert!(used <= CAP, "{used} bytes");
        assert!(all_of(&model) == bytes(1, 20 << 20), "{round}");
    }
    assert!(all_of(&second) == bytes(2, 20 << 20));
    let cleared = run(Command::new(PROGRAM).args(["cache", "clear"]).arg(machine.drive()));
    assert!(cleared.status.success(), "{}", said(&cleared));
    assert!(all_of(&model) == bytes(1, 20 << 20), "nor cleared away");
    drop(model);
    eventually("it may be evicted again", || {
        let cleared = run(Command::new(PROGRAM).args(["cache", "clear"]).arg(machine.drive()));
        assert!(cleared.status.success(), "{}", said(&cleared));
        (machine.status()["cache"]["used_bytes"] == 0).then_some(())
    });
    assert!(read(machine.at("model")) == bytes(1, 20 << 20));
}

#[test]
fn after_a_start_nothing_is_given_to_the_kernel_before_it_was_compared_with_its_checksums() {
    let cloud = Cloud::start();
    let machine = cached(&cloud, 1);
    let open = open_passed(&machine, "model");
    machine.kill();
    drop(open);
    machine.mount(&cloud);
    let first = File::open(machine.at("model")).expect("opens");
    assert_eq!(passed(&machine), 0, "not known to be sound yet");
    drop(first);
    eventually("it was compared", || {
        let file = File::open(machine.at("model")).expect("opens");
        assert!(all_of(&file) == bytes(1, SIZE));
        (passed(&machine) == 1).then_some(())
    });
    machine.unmount();

    let pid = machine.try_mount(&cloud);
    assert!(pid.status.success(), "{}", said(&pid));
    machine.unmount();
    // A bit is flipped in the file that the cache keeps.
    let mut files = Vec::new();
    for folder in fs::read_dir(machine.cache().join("blocks")).expect("lists").flatten().filter(|it| it.path().is_dir())
    {
        files.extend(fs::read_dir(folder.path()).expect("lists").flatten().map(|file| file.path()));
    }
    let largest = files.iter().max_by_key(|file| fs::metadata(file).expect("stat").len()).expect("a file");
    let damaged = OpenOptions::new().read(true).write(true).open(largest).expect("opens");
    let mut byte = [0];
    damaged.read_exact_at(&mut byte, 3_000_000).expect("reads");
    damaged.write_all_at(&[byte[0] ^ 4], 3_000_000).expect("writes");
    drop(damaged);
    machine.mount(&cloud);
    eventually("it was compared, and mended", || {
        let file = File::open(machine.at("model")).expect("opens");
        let is_passed = passed(&machine) == 1;
        assert!(all_of(&file) == bytes(1, SIZE), "passed: {is_passed}");
        is_passed.then_some(())
    });
}

#[test]
fn a_mount_ends_while_the_kernel_reads_a_file_by_itself() {
    let cloud = Cloud::start();
    let machine = cached(&cloud, 1);
    let reader = open_passed(&machine, "model");
    let pid = machine.pid();
    let unmounted = run(Command::new(PROGRAM).arg("unmount").arg(machine.drive()));
    assert!(unmounted.status.success(), "{}", said(&unmounted));
    assert!(all_of(&reader) == bytes(1, SIZE), "it needs nobody any more");
    drop(reader);
    wait_for_end(pid);
    machine.mount(&cloud);
    assert!(read(machine.at("model")) == bytes(1, SIZE));
}
