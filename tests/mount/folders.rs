//! Small files that are read one after the other: what is fetched before a program asks for it.

use std::path::PathBuf;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, read, sh};

const SMALL: usize = 20_000;

/// A cloud with folders `d00`, `d01` and so on below `set`, each with so many small files.
fn cloud_with(folders: u64, files: u64) -> Cloud {
    let cloud = Cloud::start();
    let set = cloud.make_folder("set", &cloud.root());
    for folder in 0..folders {
        let id = cloud.make_folder(&format!("d{folder:02}"), &set);
        for file in 0..files {
            cloud.upload(&format!("f{file:03}.jpg"), &id, &content(folder, file));
        }
    }
    cloud
}

fn content(folder: u64, file: u64) -> Vec<u8> {
    bytes(folder * 1000 + file, SMALL)
}

fn path(machine: &Machine, folder: u64, file: u64) -> PathBuf {
    machine.at(&format!("set/d{folder:02}/f{file:03}.jpg"))
}

fn read_right(machine: &Machine, folder: u64, file: u64) {
    assert!(read(path(machine, folder, file)) == content(folder, file), "{folder}/{file}");
}

fn downloads(cloud: &Cloud) -> u64 {
    cloud.requests(&["files.get_media"])
}

/// Waits until nothing more is fetched.
fn settled(cloud: &Cloud) -> u64 {
    let mut last = downloads(cloud);
    let mut same = 0;
    eventually("nothing more is fetched", || {
        let now = downloads(cloud);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same == 25).then_some(now)
    })
}

fn list_all(machine: &Machine) {
    sh(&format!("find {} -ls > /dev/null", machine.drive().display()));
}

/// A permutation of that many in which no two come close after each other.
fn shuffled(count: u64) -> Vec<u64> {
    let divisor = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let step = (count * 3 / 8..count).find(|&step| divisor(step, count) == 1).expect("the last has none in common");
    (0..count).map(|index| (index * step + 7) % count).collect()
}

#[test]
fn a_folder_that_is_walked_is_fetched_ahead_and_nothing_is_fetched_twice() {
    let cloud = cloud_with(1, 60);
    let machine = Machine::with(&cloud);
    for file in 0..10 {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), 30, "twice as far as it came");
    for file in 10..60 {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), 60);
    machine.unmount();
    machine.mount(&cloud);
    for file in shuffled(60) {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), 60, "all of it is here");
}

#[test]
fn a_walk_goes_on_in_the_next_folder_before_it_gets_there() {
    let cloud = cloud_with(3, 8);
    let machine = Machine::with(&cloud);
    list_all(&machine);
    for file in 0..8 {
        read_right(&machine, 0, file);
    }
    let ahead = settled(&cloud) - 8;
    assert!((4..=16).contains(&ahead), "{ahead}");
    let (tree, beside) = (machine.at("set"), tempfile::tempdir().expect("temporary folder"));
    sh(&format!("tar c -C {} . | tar x -C {}", tree.display(), beside.path().display()));
    for folder in 0..3 {
        for file in 0..8 {
            let copy = beside.path().join(format!("d{folder:02}/f{file:03}.jpg"));
            assert!(read(copy) == content(folder, file), "{folder}/{file}");
        }
    }
    assert_eq!(settled(&cloud), 24);
}

#[test]
fn an_epoch_over_many_folders_is_fetched_in_the_background() {
    let cloud = cloud_with(12, 10);
    let other = cloud.upload("notes.txt", &cloud.id("d03"), b"of another sort");
    let machine = Machine::with(&cloud);
    list_all(&machine);
    let order = shuffled(120);
    for file in &order[..40] {
        read_right(&machine, file / 10, file % 10);
    }
    eventually("the rest is fetched", || (downloads(&cloud) >= 120).then_some(()));
    for file in &order {
        read_right(&machine, file / 10, file % 10);
    }
    assert_eq!(settled(&cloud), 120, "nothing twice, and nothing of another sort");
    assert_eq!(cloud.content(&other), b"of another sort");
}

#[test]
fn a_folder_that_is_read_in_no_order_is_fetched_in_the_background() {
    let cloud = cloud_with(1, 200);
    let machine = Machine::with(&cloud);
    let order = shuffled(200);
    for file in &order[..60] {
        read_right(&machine, 0, *file);
    }
    eventually("the rest is fetched", || (downloads(&cloud) >= 200).then_some(()));
    for file in &order {
        read_right(&machine, 0, *file);
    }
    assert_eq!(settled(&cloud), 200);
}

#[test]
fn what_only_looks_at_folders_and_who_reads_a_file_or_two_fetches_nothing_else() {
    let cloud = cloud_with(2, 40);
    let machine = Machine::with(&cloud);
    let (tree, beside) = (machine.at("set"), tempfile::tempdir().expect("temporary folder"));
    let tree = tree.display();
    list_all(&machine);
    sh(&format!("du -s {tree}; ls -lR {tree}; stat {tree}/d00/*; find {tree} -size +1k -newer {tree}"));
    sh(&format!(
        "git init -q {tree} --separate-git-dir {}; git -C {tree} status --short",
        beside.path().join("git").display()
    ));
    assert_eq!(settled(&cloud), 0);
    read_right(&machine, 0, 17);
    assert_eq!(settled(&cloud), 1);
    read_right(&machine, 0, 18);
    read_right(&machine, 1, 30);
    assert_eq!(settled(&cloud), 3);
}

#[test]
fn an_epoch_that_does_not_fit_into_the_cache_fetches_nothing_twice() {
    const LARGE: usize = 1_000_000;
    let cloud = Cloud::start();
    let set = cloud.make_folder("set", &cloud.root());
    for file in 0..90 {
        cloud.upload(&format!("f{file:03}.bin"), &set, &bytes(file, LARGE));
    }
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    list_all(&machine);
    let right = |file: u64| assert!(read(machine.at(&format!("set/f{file:03}.bin"))) == bytes(file, LARGE), "{file}");
    for (count, file) in (1..).zip(shuffled(90)) {
        right(file);
        // Two that happen to come one after the other may look like a walk for a moment.
        assert!(downloads(&cloud) <= count + 12, "hardly a request that nobody waits for");
    }
    assert_eq!(settled(&cloud), 90);
    let another = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    for file in 0..90 {
        assert!(read(another.at(&format!("set/f{file:03}.bin"))) == bytes(file, LARGE), "{file}");
    }
    assert_eq!(settled(&cloud), 180, "a walk keeps what it fetched until it is read");
}

#[test]
fn a_refusal_ends_what_nobody_waits_for() {
    let cloud = cloud_with(1, 40);
    let machine = Machine::with(&cloud);
    for file in 0..3 {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), 9);
    cloud.make_trouble(&["files.get_media:answer,status=403,reason=downloadQuotaExceeded"]);
    read_right(&machine, 0, 3);
    let asked = settled(&cloud);
    assert!((10..=12).contains(&asked), "{asked}");
    cloud.make_trouble(&[]);
    for file in 20..40 {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), asked + 20, "only what is read");
}

#[test]
fn it_can_be_turned_off() {
    let cloud = cloud_with(1, 20);
    let machine = Machine::with_flags(&cloud, &["--read-ahead", "file"]);
    for file in 0..10 {
        read_right(&machine, 0, file);
    }
    assert_eq!(settled(&cloud), 10);
    cloud.upload("large", &cloud.root(), &bytes(1, 8_000_000));
    let none = Machine::with_flags(&cloud, &["--read-ahead", "none"]);
    let mut head = vec![0; 4096];
    std::io::Read::read_exact(&mut std::fs::File::open(none.at("large")).expect("opens"), &mut head).expect("reads");
    assert!(head == bytes(1, 8_000_000)[..4096]);
    assert_eq!(none.status()["cache"]["used_bytes"], 262_144, "the block that is read and no other");
}
