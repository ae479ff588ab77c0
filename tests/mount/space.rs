//! Room for what is not on the drive: writers that wait for it, and what they wait for.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Disk, Machine, bytes, disk_use, names, read, run, sh, signal, write};

const MIB: u64 = 1 << 20;

/// What unsent files may take of a cache of 128 MiB: a quarter is kept for reading, and an eighth of the rest for the last writes.
const OF_128: u64 = 84 * MIB;

/// What a mount takes of the disk, but for what it keeps of it for bad times.
fn contents(machine: &Machine) -> u64 {
    disk_use(&machine.cache()) - disk_use(&machine.cache().join("reserve"))
}

/// Starts a program that writes a file of so many MiB.
fn writer(path: &Path, mebibytes: u64) -> Child {
    // Who starts this test in the background of a shell has interrupts ignored, which programs inherit.
    let mut command = Command::new("env");
    command.args(["--default-signal", "dd", "if=/dev/zero", "bs=1M", "status=none"]).arg(format!("count={mebibytes}"));
    command.arg(format!("of={}", path.display())).spawn().expect("starts")
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().expect("waits").is_some()
}

#[test]
fn writers_go_on_as_fast_as_the_line_when_unsent_files_take_what_they_may() {
    const FILE: u64 = 16 * MIB;
    const FILES: u64 = 14;
    const RATE: u64 = 16 * MIB;
    let cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), &bytes(99, 8 << 20));
    let mut machine = Machine::new();
    machine.arguments.extend(["--cache-size", "128M"].map(str::to_owned));
    let _disk = Disk::ext4(machine.cache(), 512);
    machine.mount(&cloud);
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M,shared=true"]);
    let (end, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let (took, waited) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                most.fetch_max(contents(&machine), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let seen = scope.spawn(|| {
            let waits = eventually("writers wait", || {
                let status = machine.status();
                (status["writes"]["state"] == "waiting").then_some(status["writes"].clone())
            });
            // Reading goes on.
            assert!(read(machine.at("theirs")) == bytes(99, 8 << 20));
            waits
        });
        let writing = scope.spawn(|| {
            let began = Instant::now();
            for number in 0..FILES {
                write(machine.at(&format!("file {number}")), bytes(number, 16 << 20));
            }
            began.elapsed()
        });
        let (took, seen) = (writing.join(), seen.join());
        end.store(true, Ordering::Relaxed);
        (took.expect("no error"), seen.expect("waits"))
    });
    let reason = waited["reason"].as_str().expect("reason");
    assert!(reason.contains("--cache-size") && reason.contains("128 MiB"), "{reason}");
    assert!(most.load(Ordering::Relaxed) <= 128 * MIB, "{} MiB on the disk", most.load(Ordering::Relaxed) / MIB);
    let least = Duration::from_secs((FILES * FILE - OF_128) / RATE);
    assert!(took > least.mul_f64(0.7), "{took:?}, and the line takes {least:?}");
    eprintln!("{took:?} for what takes the line {least:?}, and at most {} MiB", most.load(Ordering::Relaxed) / MIB);
    machine.flush();
    for number in 0..FILES {
        assert!(cloud.content(&cloud.id(&format!("file {number}"))) == bytes(number, 16 << 20), "file {number}");
    }
    assert!(machine.status()["writes"].is_null());

    assert!(contents(&machine) > 64 * MIB);
    for name in names(machine.drive()) {
        fs::remove_file(machine.at(&name)).expect("removes");
    }
    let began = Instant::now();
    eventually("the room comes back", || (contents(&machine) < 8 * MIB).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn writers_wait_for_a_disk_that_is_smaller_than_the_cache_may_be() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let _disk = Disk::ext4(machine.cache(), 96);
    machine.mount(&cloud);
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M,shared=true"]);
    for number in 0..12 {
        write(machine.at(&format!("file {number}")), bytes(number, 12 << 20));
    }
    machine.flush();
    for number in 0..12 {
        assert!(cloud.content(&cloud.id(&format!("file {number}"))) == bytes(number, 12 << 20), "file {number}");
    }
}

#[test]
fn a_file_that_is_open_is_not_waited_for() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    assert!(names(machine.drive()).is_empty());
    signal(cloud.pid(), "STOP");
    let mut file = File::create(machine.at("large")).expect("creates");
    for _ in 0..100 {
        file.write_all(&vec![7; 1 << 20]).expect("nothing could be sent before it is closed");
    }
    assert!(machine.status()["writes"].is_null());
    drop(file);
    signal(cloud.pid(), "CONT");
    machine.flush();
    assert_eq!(cloud.file("large")["size"], (100 * MIB).to_string());
}

#[test]
fn a_writer_that_waits_can_be_ended_and_one_that_is_patient_goes_on() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    assert!(names(machine.drive()).is_empty());
    signal(cloud.pid(), "STOP");
    // As much as may be unsent, less a little.
    write(machine.at("first"), vec![1; 40 << 20]);
    let [mut killed, mut interrupted, mut patient] =
        ["killed", "interrupted", "patient"].map(|name| writer(&machine.at(name), 5));
    let status = eventually("three writers wait", || {
        let status = machine.status();
        (status["writes"]["writers"] == 3).then_some(status)
    });
    let said = String::from_utf8(run(Command::new(crate::cloud::PROGRAM).arg("status").arg(machine.drive())).stdout)
        .expect("text");
    assert!(said.contains("writes    3 writers wait: unsent files take all"), "{said}\n{status}");
    signal(i32::try_from(killed.id()).expect("pid"), "KILL");
    signal(i32::try_from(interrupted.id()).expect("pid"), "INT");
    let began = Instant::now();
    eventually("they end", || (ended(&mut killed) && ended(&mut interrupted)).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!ended(&mut patient));
    signal(cloud.pid(), "CONT");
    assert!(patient.wait().expect("waits").success());
    machine.flush();
    assert_eq!(cloud.file("patient")["size"], (5 * MIB).to_string());
}

#[test]
fn what_the_drive_refuses_makes_nobody_wait() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    cloud.make_trouble(&["uploads.*:answer,status=403,reason=insufficientFilePermissions"]);
    write(machine.at("refused"), vec![1; 41 << 20]);
    eventually("it is refused", || {
        let reason = machine.status()["unsent"]["items"][0]["reason"].as_str()?.to_owned();
        reason.contains("no permission").then_some(())
    });
    let error = fs::write(machine.at("more"), vec![2; 4 << 20]).expect_err("no room will come");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    let writes = machine.status()["writes"].clone();
    assert_eq!(writes["state"], "refused", "{writes}");
    assert!(writes["reason"].as_str().is_some_and(|reason| reason.contains("no permission")), "{writes}");
    fs::remove_file(machine.at("refused")).expect("removes");
    write(machine.at("more"), vec![2; 4 << 20]);
    assert!(machine.status()["writes"].is_null());
}

#[test]
fn a_disk_that_names_alone_fill_still_takes_removals() {
    let mut cloud = Cloud::start();
    let machine = Machine::new();
    let disk = Disk::ext4(machine.cache(), 24);
    machine.mount(&cloud);
    assert!(names(machine.drive()).is_empty());
    cloud.kill();
    let mut made = 0;
    let refusal = loop {
        match fs::create_dir(machine.at(&format!("{}{made:08}", "folder ".repeat(30)))) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 200_000, "more was made than there is room for");
    };
    assert_eq!(refusal.raw_os_error(), Some(libc::ENOSPC), "after {made} folders");
    // Others take the last of it.
    sh(&format!("dd if=/dev/zero of={}/others bs=64k status=none 2>/dev/null || true", disk.path().display()));
    for number in 0..made {
        let name = format!("{}{number:08}", "folder ".repeat(30));
        fs::remove_dir(machine.at(&name)).unwrap_or_else(|error| panic!("{number} of {made}: {error}"));
    }
    sh(&format!("rm {}/others", disk.path().display()));
    cloud.restart();
    eventually("it goes on", || fs::write(machine.at("and on"), b"it goes").ok());
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("and on")), b"it goes");
}
