//! Google's own Python client uses the drive while it is mounted.

use std::process::Command;

use crate::cloud::Cloud;
use crate::machine::{Machine, run, said};

/// Runs a script with the client; says what it said if it fails.
fn script(name: &str, cloud: Option<&Cloud>, machine: Option<&Machine>) {
    let script = format!("{}/tests/python/{name}", env!("CARGO_MANIFEST_DIR"));
    // scripts/test installs the client there.
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
    assert!(std::path::Path::new(python).exists(), "no {python}: run scripts/test once, it makes it");
    let mut command = Command::new(python);
    command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(cloud) = cloud {
        command.env("DRIVE_URL", &cloud.url);
        command.env("DRIVE_TOKEN", std::fs::read_to_string(cloud.token_file()).expect("token").trim());
    }
    if let Some(machine) = machine {
        command.env("MOUNT", machine.drive());
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_holds_answers_against_googles_schemas_finds_what_is_wrong() {
    script("test_contract.py", None, None);
}

#[test]
fn the_official_client_finds_the_drive_as_google_has_it() {
    script("official_client.py", Some(&Cloud::start()), None);
}

#[test]
fn the_official_client_and_the_mount_see_the_same_drive() {
    let cloud = Cloud::start();
    script("beside_a_mount.py", Some(&cloud), Some(&Machine::with(&cloud)));
}
