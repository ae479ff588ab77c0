//! Libraries that read and write data sets find on the mount what they find on the local disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cloud::Cloud;
use crate::machine::{Machine, read, run, said};
use crate::sparse::place;

/// The Python that scripts/test makes.
const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");

/// The Python of the system, which scripts/test gives `PyTorch`.
const SYSTEM: &str = "/usr/bin/python3";

/// Runs a script of tests/python.
#[track_caller]
fn script(python: &str, name: &str, command: &[&str], folders: &[&Path]) {
    assert!(Path::new(python).exists(), "no {python}: run scripts/test once, it makes it");
    let script = format!("{}/tests/python/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command_line = Command::new(python);
    command_line.arg(script).args(command).args(folders).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run(&mut command_line);
    assert!(output.status.success(), "{name} {command:?}: {}", said(&output));
}

/// What the libraries made, and a drive that has it.
fn made() -> (tempfile::TempDir, Cloud) {
    let here = tempfile::tempdir().expect("temporary folder");
    script(OURS, "libraries.py", &["make"], &[here.path()]);
    let cloud = Cloud::start();
    upload(&cloud, here.path(), &cloud.root());
    (here, cloud)
}

fn upload(cloud: &Cloud, folder: &Path, parent: &str) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_str().expect("UTF-8");
        if path.is_dir() {
            upload(cloud, &path, &cloud.make_folder(name, parent));
        } else {
            cloud.upload(name, parent, &read(&path));
        }
    }
}

fn downloaded(machine: &Machine) -> u64 {
    machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes")
}

#[test]
fn libraries_read_what_they_read_on_the_local_disk_cold_and_warm() {
    let (here, mut cloud) = made();
    let machine = Machine::with(&cloud);
    let compare = || script(OURS, "libraries.py", &["compare"], &[here.path(), &machine.drive()]);
    compare();
    let cold = downloaded(&machine);
    // Of what the kernel remembers, and without a drive.
    cloud.kill();
    compare();
    // Of what is on the disk.
    cloud.restart();
    machine.unmount();
    machine.mount(&cloud);
    compare();
    assert_eq!(downloaded(&machine), 0, "of {cold} bytes that were fetched the first time");
}

#[test]
fn the_header_of_a_huge_model_is_read_without_the_rest() {
    let mut cloud = Cloud::start();
    place(&mut cloud, &["model.safetensors"], |_, path| script(OURS, "libraries.py", &["huge"], &[path]));
    let machine = Machine::with(&cloud);
    script(OURS, "libraries.py", &["header"], &[&machine.at("model.safetensors")]);
    let header = downloaded(&machine);
    assert!(header <= 2 << 20, "{header} bytes");
    script(OURS, "libraries.py", &["row"], &[&machine.at("model.safetensors")]);
    let row = downloaded(&machine) - header;
    eprintln!("{header} bytes for the header, and {row} for a row of 4 KiB");
    assert!(row <= 2 << 20, "{row} bytes");
}

#[test]
fn a_small_file_costs_one_request_however_many_processes_read_in_whatever_order() {
    let (here, cloud) = made();
    let machine = Machine::with(&cloud);
    let samples = fs::read_dir(here.path().join("samples")).expect("lists").count() as u64;
    let contents = || cloud.requests(&["files.get_media"]);
    let asked = || cloud.requests(&["files.get"]);
    let (before, known) = (contents(), asked());
    script(OURS, "libraries.py", &["epochs"], &[here.path(), &machine.drive()]);
    assert_eq!(contents() - before, samples);
    assert_eq!(asked(), known, "what is listed is known");
    machine.unmount();
    machine.mount(&cloud);
    script(OURS, "libraries.py", &["epochs"], &[here.path(), &machine.drive()]);
    assert_eq!(contents() - before, samples, "and none after a remount");
}

#[test]
fn libraries_change_files_in_place_through_maps_and_handles_as_on_the_local_disk() {
    let (here, cloud) = made();
    let machine = Machine::with(&cloud);
    script(OURS, "libraries.py", &["change"], &[here.path()]);
    script(OURS, "libraries.py", &["change"], &[&machine.drive()]);
    let changed = ["raw.bin", "array.npy", "data.h5", "tuned.safetensors", "members.zip"];
    for name in changed {
        assert!(read(machine.at(name)) == read(here.path().join(name)), "{name}");
    }
    machine.flush();
    for name in changed {
        assert!(cloud.content(&cloud.id(name)) == read(here.path().join(name)), "{name} on the drive");
    }
    machine.unmount();
    machine.lose_cache();
    machine.mount(&cloud);
    script(OURS, "libraries.py", &["compare"], &[here.path(), &machine.drive()]);
    for name in changed {
        assert!(read(machine.at(name)) == read(here.path().join(name)), "{name} after a remount");
    }
}

#[test]
fn pytorch_loads_with_workers_what_it_loads_from_the_local_disk_cold_and_warm() {
    let (here, cloud) = made();
    let machine = Machine::with(&cloud);
    let load = || script(SYSTEM, "loader.py", &[], &[here.path(), &machine.drive()]);
    load();
    let cold = downloaded(&machine);
    load();
    assert_eq!(downloaded(&machine), cold);
    machine.unmount();
    machine.mount(&cloud);
    load();
    assert_eq!(downloaded(&machine), 0);
}
