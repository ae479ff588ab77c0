//! What somebody else, or a bad disk, does to the cache: found, and never served.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{
    Machine, bytes, disk_use, kill_for_good, names, read, run, said, sh, signal, wait_for_end, write,
};

const BLOCK: u64 = 256 << 10;

/// Bytes of each file: seven blocks, and a part of one.
const SIZE: usize = 7 * (256 << 10) + 1000;

/// All of its blocks.
const ALL: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 7];

/// The files of the cache that hold content.
fn files(machine: &Machine) -> Vec<PathBuf> {
    let blocks = machine.cache().join("blocks");
    let folders = names(&blocks).into_iter().map(|name| blocks.join(name)).filter(|path| path.is_dir());
    folders.flat_map(|folder| names(&folder).into_iter().map(move |name| folder.join(name))).collect()
}

/// The file of the cache that holds what a file begins with.
fn file_of(machine: &Machine, content: &[u8]) -> PathBuf {
    let begins = |path: &&PathBuf| {
        let mut start = [0; 64];
        File::open(path).is_ok_and(|file| file.read_exact_at(&mut start, 0).is_ok()) && start == content[..64]
    };
    let files = files(machine);
    files.iter().find(begins).unwrap_or_else(|| panic!("none of {files:?} is it")).clone()
}

fn downloaded(machine: &Machine) -> u64 {
    machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes")
}

/// Reads what the daemon says, and not what the kernel remembers.
fn read_directly(path: &Path, from: u64, length: usize) -> Vec<u8> {
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path).expect("opens");
    let mut content = vec![0; length];
    file.read_exact_at(&mut content, from).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    content
}

/// Mounts the drive of a cloud with the cache of another machine.
fn mount_with_cache_of(machine: &Machine, cloud: &Cloud, cache: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["mount", &cloud.url]).arg(machine.drive()).arg("--token-file").arg(cloud.token_file());
    run(command.arg("--cache-dir").arg(cache).args(["--network-timeout", "2s"]))
}

#[test]
fn damaged_files_of_the_cache_are_found_by_the_next_mount_and_only_what_is_damaged_is_fetched_again() {
    const BIT: &str = "python3 -c \"import sys; f = open(sys.argv[1], 'r+b'); f.seek(int(sys.argv[2])); b = f.read(1); \
                       f.seek(-1, 1); f.write(bytes([b[0] ^ 4]))\"";
    // What is done to the file, and which blocks that spoils.
    let kinds: &[(&str, &str, &[u64])] = &[
        ("the first bit", &format!("{BIT} FILE 0"), &[0]),
        ("a bit of the last block", &format!("{BIT} FILE {}", SIZE - 1), &[7]),
        ("two far bits", &format!("{BIT} FILE 300000; {BIT} FILE 1300000"), &[1, 4]),
        ("cut in a block", "truncate -s 600000 FILE", &[2, 3, 4, 5, 6, 7]),
        ("cut at its end", &format!("truncate -s {} FILE", SIZE - 1), &[7]),
        ("cut and grown again", &format!("truncate -s 1000 FILE; truncate -s {SIZE} FILE"), ALL),
        ("empty", "truncate -s 0 FILE", ALL),
        ("with a hole", "fallocate -p -o 524288 -l 4096 FILE", &[2]),
        ("with zeros", "dd if=/dev/zero of=FILE bs=1000 count=1 seek=900 conv=notrunc status=none", &[3]),
        ("moved on by a block", "dd if=FILE of=FILE.new bs=262144 skip=1 status=none; mv FILE.new FILE", ALL),
        ("removed", "rm FILE", ALL),
        ("longer", "echo more >> FILE", &[]),
        ("untouched", "true", &[]),
        // Each for the other: sound, but of another file.
        ("taken for another", "mv FILE FILE.new", ALL),
        ("taken for one", "mv FILE OTHER; mv OTHER.new FILE", ALL),
    ];
    let mut cloud = Cloud::start();
    for (number, (kind, ..)) in (0..).zip(kinds) {
        cloud.upload(kind, &cloud.root(), &bytes(number, SIZE));
    }
    cloud.upload("small", &cloud.root(), b"small but dear, and long enough to be found in the cache; so it is here");
    let machine = Machine::with(&cloud);
    for name in names(machine.drive()) {
        read(machine.at(&name));
    }
    machine.unmount();
    let at: Vec<_> = (0..).zip(kinds).map(|(number, _)| file_of(&machine, &bytes(number, SIZE))).collect();
    for ((_, line, _), file) in kinds.iter().zip(&at) {
        let text = |file: &Path| file.to_str().expect("UTF-8").to_owned();
        sh(&line.replace("FILE", &text(file)).replace("OTHER", &text(&at[kinds.len() - 2])));
    }
    let spoiled: u64 =
        kinds.iter().flat_map(|(.., blocks)| *blocks).map(|block| BLOCK.min(SIZE as u64 - block * BLOCK)).sum();
    machine.mount(&cloud);
    for (number, (kind, ..)) in (0..).zip(kinds) {
        assert!(read(machine.at(kind)) == bytes(number, SIZE), "{kind}");
    }
    assert_eq!(read(machine.at("small")).len(), 71);
    assert_eq!(downloaded(&machine), spoiled);
    assert!(machine.log().contains("blocks of the cache were damaged and are fetched again"));

    // All of it is sound now.
    machine.unmount();
    machine.mount(&cloud);
    cloud.kill();
    for (number, (kind, ..)) in (0..).zip(kinds) {
        assert!(read(machine.at(kind)) == bytes(number, SIZE), "{kind}");
    }
    assert_eq!(downloaded(&machine), 0);
}

#[test]
fn files_of_the_cache_that_are_cut_or_removed_while_they_are_read_are_fetched_again() {
    let cloud = Cloud::start();
    let (cut, removed, fresh) = (bytes(1, 64 << 20), bytes(2, SIZE), bytes(3, SIZE));
    for (name, content) in [("cut", &cut), ("removed", &removed), ("fresh", &fresh)] {
        cloud.upload(name, &cloud.root(), content);
    }
    let machine = Machine::with(&cloud);
    // In use, and believed.
    let held = File::open(machine.at("cut")).expect("opens");
    assert!(read_directly(&machine.at("cut"), 0, 4 << 20) == cut[..4 << 20]);
    assert!(read_directly(&machine.at("removed"), 0, 1 << 20) == removed[..1 << 20]);
    let file = file_of(&machine, &cut);
    let shorten = |length: u64| File::options().write(true).open(&file).expect("opens").set_len(length).expect("cuts");
    shorten(1 << 20);
    assert!(read_directly(&machine.at("cut"), 2 << 20, 1 << 20) == cut[2 << 20..3 << 20], "what was behind the cut");
    assert!(read_directly(&machine.at("cut"), 512 << 10, 1 << 20) == cut[512 << 10..][..1 << 20], "on both sides");
    // What is stored far behind the cut makes a hole of what was between.
    shorten(1 << 20);
    assert!(read_directly(&machine.at("cut"), 48 << 20, 1 << 20) == cut[48 << 20..49 << 20]);
    for (piece, expected) in (0_u64..).zip(cut.chunks(1 << 20)).take(4) {
        assert!(read_directly(&machine.at("cut"), piece << 20, 1 << 20) == expected, "{piece}");
    }
    drop(held);

    sh(&format!("rm -r {}", machine.cache().join("blocks").display()));
    assert!(read_directly(&machine.at("removed"), 0, 1 << 20) == removed[..1 << 20]);
    assert!(read_directly(&machine.at("fresh"), 0, 1 << 20) == fresh[..1 << 20], "what was never read");
    write(machine.at("ours"), &removed);
    machine.flush();
    assert!(cloud.content(&cloud.id("ours")) == removed);
    machine.unmount();
    machine.mount(&cloud);
    for (name, content) in [("cut", &cut), ("removed", &removed), ("fresh", &fresh), ("ours", &removed)] {
        assert!(read(machine.at(name)) == *content, "{name}");
    }
}

#[test]
fn a_damaged_index_costs_what_it_knew_and_keeps_nobody_from_mounting() {
    let cloud = Cloud::start();
    let content = |number: u64| bytes(number, SIZE);
    for number in 0..6 {
        cloud.upload(&format!("file {number}"), &cloud.root(), &content(number));
    }
    let machine = Machine::with(&cloud);
    let index = machine.cache().join("blocks/index.db").display().to_string();
    let kinds = [
        format!("dd if=/dev/urandom of={index} bs=4096 count=1 conv=notrunc status=none"),
        format!(
            "dd if=/dev/urandom of={index} bs=4096 seek=1 conv=notrunc count=$(($(stat -c %s {index}) / 4096 - 1)) status=none"
        ),
        format!("dd if=/dev/zero of={index} bs=4096 seek=1 count=1 conv=notrunc status=none"),
        format!("truncate -s 5000 {index}"),
        format!("truncate -s 0 {index}"),
        format!("rm {index}"),
        format!("sqlite3 {index} \"UPDATE file SET number = number + 1000\""),
        format!("sqlite3 {index} \"DROP TABLE segment\""),
        format!(
            "sqlite3 {index} \"UPDATE segment SET number = 1005 - number; UPDATE segment SET number = number - 1000\""
        ),
        format!("sqlite3 {index} \"UPDATE file SET size = -7\""),
    ];
    for damage in &kinds {
        for number in 0..6 {
            assert!(read(machine.at(&format!("file {number}"))) == content(number), "before {damage}");
        }
        let pid = machine.pid();
        machine.unmount();
        wait_for_end(pid);
        // What is in the log would mend it.
        sh(&format!("sqlite3 {index} 'PRAGMA wal_checkpoint(TRUNCATE)'"));
        sh(damage);
        machine.mount(&cloud);
        for number in 0..6 {
            assert!(read(machine.at(&format!("file {number}"))) == content(number), "after {damage}");
        }
        assert!(downloaded(&machine) > 0, "after {damage}");
        let (used, most) = (disk_use(&machine.cache().join("blocks")), 8 * SIZE as u64);
        assert!(used < most, "{used} bytes on the disk after {damage}");
    }
}

#[test]
fn a_killed_daemon_leaves_no_content_that_nobody_counts() {
    let cloud = Cloud::start();
    cloud.upload("large", &cloud.root(), &bytes(1, 96 << 20));
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    let held = |machine: &Machine| disk_use(&machine.cache()) - disk_use(&machine.cache().join("reserve"));
    for round in 0..4 {
        let file = File::open(machine.at("large")).expect("opens");
        let mut piece = vec![0; 1 << 20];
        for number in 0..40 {
            file.read_exact_at(&mut piece, (number + 16 * round) << 20).expect("reads");
        }
        machine.kill();
        machine.mount(&cloud);
        assert!(held(&machine) <= 72 << 20, "{} after round {round}", held(&machine));
    }
    let used = machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
    let files: u64 = files(&machine).iter().map(|file| disk_use(file)).sum();
    assert!(files <= used + BLOCK, "{files} bytes on the disk, and {used} are known");
}

#[test]
fn the_cache_of_one_account_serves_no_other() {
    let (mut ours, theirs) = (Cloud::start(), Cloud::start());
    ours.upload("file", &ours.root(), &bytes(1, SIZE));
    theirs.upload("file", &theirs.root(), &bytes(2, SIZE));
    let machine = Machine::with(&ours);
    assert!(read(machine.at("file")) == bytes(1, SIZE));
    ours.kill();
    write(machine.at("unsent"), b"unsent");
    let stranger = Machine::new();
    let pid = machine.pid();
    run(Command::new(PROGRAM).args(["unmount", "--timeout", "1s"]).arg(machine.drive()));
    wait_for_end(pid);

    let refused = mount_with_cache_of(&stranger, &theirs, &machine.cache());
    assert_eq!(refused.status.code(), Some(6), "{}", said(&refused));
    assert!(
        said(&refused).contains("belongs to the account") && said(&refused).contains("--cache-dir"),
        "{}",
        said(&refused)
    );
    // Content that somebody puts into the cache of another account is not that account's.
    sh(&format!(
        "mkdir -m 700 {0} && cp -r {1}/blocks {0}/blocks && touch {0}/lock",
        stranger.cache().display(),
        machine.cache().display()
    ));
    stranger.mount(&theirs);
    assert!(read(stranger.at("file")) == bytes(2, SIZE));
    assert!(downloaded(&stranger) >= SIZE as u64);
    stranger.unmount();

    // A drive that is away cannot say whose it is.
    let mut theirs = theirs;
    theirs.kill();
    let refused = mount_with_cache_of(&stranger, &theirs, &machine.cache());
    assert!(!refused.status.success(), "{}\n{:?}", said(&refused), names(stranger.drive()));

    ours.restart();
    machine.mount(&ours);
    machine.flush();
    assert_eq!(ours.content(&ours.id("unsent")), b"unsent");
}

#[test]
fn a_drive_that_was_away_and_comes_back_as_somebody_else_s_is_asked_for_nothing_more() {
    let (mut ours, mut theirs) = (Cloud::start(), Cloud::start());
    ours.upload("file", &ours.root(), &bytes(1, SIZE));
    let machine = Machine::with(&ours);
    assert!(read(machine.at("file")) == bytes(1, SIZE));
    ours.kill();
    write(machine.at("unsent"), b"unsent");
    let end = |machine: &Machine| {
        let pid = machine.pid();
        run(Command::new(PROGRAM).args(["unmount", "--timeout", "1s"]).arg(machine.drive()));
        wait_for_end(pid);
    };
    end(&machine);
    theirs.kill();
    let [one, other] = [&ours, &theirs].map(|cloud| cloud.token_file().parent().expect("a folder").to_owned());
    let away = one.with_extension("away");
    let swap = || {
        for (from, to) in [(&one, &away), (&other, &one), (&away, &other)] {
            fs::rename(from, to).expect("renames");
        }
    };
    swap();
    machine.mount(&ours);
    ours.restart();
    eventually("it is found out", || {
        let status = machine.status();
        let reason = status["sign_in"]["reason"].as_str().unwrap_or_default();
        reason.contains("belongs to the account").then_some(())
    });
    assert!(ours.files("name = 'unsent'").is_empty());
    end(&machine);
    ours.kill();
    swap();
    ours.restart();
    machine.mount(&ours);
    machine.flush();
    assert_eq!(ours.content(&ours.id("unsent")), b"unsent");
}

#[test]
fn a_cache_has_one_daemon_whatever_becomes_of_that() {
    let cloud = Cloud::start();
    cloud.upload("file", &cloud.root(), &bytes(1, SIZE));
    let machine = Machine::with(&cloud);
    let second = Machine::new();
    let link = second.cache().with_file_name("link");
    std::os::unix::fs::symlink(machine.cache(), &link).expect("links");
    let refused = |cache: &Path| {
        let output = mount_with_cache_of(&second, &cloud, cache);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        let said = said(&output);
        assert!(said.contains("in use by another drivemount") && said.contains("--cache-dir"), "{said}");
        assert!(said.contains(machine.drive().to_str().expect("UTF-8")), "{said}");
    };
    refused(&machine.cache());
    refused(&link);
    let pid = machine.pid();
    signal(pid, "STOP");
    refused(&machine.cache());
    signal(pid, "CONT");
    assert!(read(machine.at("file")) == bytes(1, SIZE), "the first goes on");

    // Somebody tidies up.
    fs::remove_file(machine.cache().join("lock")).expect("removes");
    let output = mount_with_cache_of(&second, &cloud, &machine.cache());
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("in use by another drivemount"), "{}", said(&output));

    kill_for_good(pid);
    let output = eventually("the cache is free", || {
        let output = mount_with_cache_of(&second, &cloud, &machine.cache());
        output.status.success().then_some(output)
    });
    assert!(read(second.at("file")) == bytes(1, SIZE), "{}", said(&output));
}
