//! What is kept on a machine, and giving it up.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM};
use crate::machine::{Machine, bytes, read, run, said, wait_for_end, write};

/// `drivemount cache`, on a machine whose cache folders are in `root`.
fn cache(root: &Path, arguments: &[&str]) -> Output {
    run(Command::new(PROGRAM).arg("cache").args(arguments).env("XDG_CACHE_HOME", root))
}

/// What is said of the cache folder of a machine.
fn row(machine: &Machine) -> Value {
    let output = cache(machine.cache().parent().expect("parent"), &["show", "--json", path(&machine.cache())]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("json");
    rows[0].clone()
}

/// What 2,000,000 bytes take on the disk.
const ON_DISK: u64 = 489 * 4096;

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_running_mount_drops_what_it_can_fetch_again_and_nothing_else() {
    let mut cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), &bytes(1, 2_000_000));
    let machine = Machine::with(&cloud);
    assert!(read(machine.at("theirs")) == bytes(1, 2_000_000));
    let mut open = fs::File::open(machine.at("theirs")).expect("opens");
    cloud.kill();
    write(machine.at("ours"), bytes(2, 1_000_000));
    assert_eq!(machine.status()["cache"]["used_bytes"], ON_DISK);
    let output = cache(machine.cache().parent().expect("parent"), &["clear", path(&machine.drive())]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("1.9 MiB dropped") && said(&output).contains("1 entry is kept"),
        "{}",
        said(&output)
    );
    let status = machine.status();
    assert_eq!(
        (&status["cache"]["used_bytes"], &status["unsent"]["bytes"]),
        (&0.into(), &1_000_000.into()),
        "{status}"
    );
    assert!(read(machine.at("ours")) == bytes(2, 1_000_000), "what is unsent is here");
    cloud.restart();
    let mut again = Vec::new();
    open.seek(SeekFrom::Start(0)).expect("seeks");
    open.read_to_end(&mut again).expect("reads on");
    assert!(again == bytes(1, 2_000_000));
    machine.flush();
    assert_eq!(machine.status()["unsent"]["bytes"], 0);
}

#[test]
fn a_folder_without_a_mount_keeps_what_is_unsent_and_goes_when_nothing_is() {
    let mut cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), &bytes(1, 2_000_000));
    let machine = Machine::with(&cloud);
    let root = machine.cache().parent().expect("parent").to_owned();
    assert!(read(machine.at("theirs")) == bytes(1, 2_000_000));
    let in_use = cache(&root, &["clear", "--remove", path(&machine.cache())]);
    assert_eq!(in_use.status.code(), Some(6), "{}", said(&in_use));
    assert!(said(&in_use).contains("in use"), "{}", said(&in_use));
    let shown = row(&machine);
    assert_eq!((&shown["in_use"], &shown["cached_bytes"]), (&true.into(), &ON_DISK.into()), "{shown}");
    cloud.kill();
    write(machine.at("ours"), bytes(2, 1_000_000));
    let pid = machine.pid();
    run(Command::new(PROGRAM).args(["unmount", "--timeout", "1s"]).arg(machine.drive()));
    wait_for_end(pid);

    let shown = row(&machine);
    assert_eq!((&shown["in_use"], &shown["unsent_bytes"]), (&false.into(), &1_000_000.into()), "{shown}");
    assert_eq!((&shown["source"], &shown["unsent_entries"]), (&cloud.url.as_str().into(), &1.into()), "{shown}");
    assert!(shown["account"].is_string() && shown["cached_bytes"].as_u64() >= Some(2_000_000), "{shown}");
    let kept = cache(&root, &["clear", "--remove", path(&machine.cache())]);
    assert_eq!(kept.status.code(), Some(5), "{}", said(&kept));
    assert!(said(&kept).contains("ours") && said(&kept).contains("drivemount mount http://"), "{}", said(&kept));
    let cleared = cache(&root, &["clear", path(&machine.cache())]);
    assert!(cleared.status.success() && said(&cleared).contains("976 KiB in 1 entry is kept"), "{}", said(&cleared));
    assert!(row(&machine)["cached_bytes"].as_u64() < Some(100_000));

    cloud.restart();
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(row(&machine)["unsent_entries"], 0, "it is sent");
    assert!(read(machine.at("ours")) == bytes(2, 1_000_000));
    assert!(read(machine.at("theirs")) == bytes(1, 2_000_000));
    machine.unmount();
    let removed = cache(&root, &["clear", "--remove", path(&machine.cache())]);
    assert!(removed.status.success() && said(&removed).contains("is removed"), "{}", said(&removed));
    assert!(!machine.cache().exists());
    let gone = cache(&root, &["clear", "--remove", path(&machine.cache())]);
    assert_eq!(gone.status.code(), Some(6), "{}", said(&gone));
}

#[test]
fn what_is_no_cache_folder_is_left_alone() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::write(dir.path().join("precious"), b"x").expect("writes");
    for arguments in [["clear", "--remove"], ["clear", "--"], ["show", "--"]] {
        let output = cache(dir.path(), &[&arguments[..], &[path(dir.path())]].concat());
        assert!(!output.status.success(), "{}", said(&output));
    }
    assert_eq!(fs::read(dir.path().join("precious")).expect("is there"), b"x");
    let none = cache(dir.path(), &["show", "--json"]);
    assert!(none.status.success(), "{}", said(&none));
}
