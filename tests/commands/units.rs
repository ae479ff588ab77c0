//! The units for systemd in contrib/systemd.

use std::path::Path;
use std::process::Command;

use crate::cloud::PROGRAM;
use crate::home::{Home, stderr, stdout};
use crate::machine::{run, said};

/// A unit under the name of an instance, with the program where it is.
fn instance(home: &Home, unit: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/systemd").join(format!("{unit}@.service"));
    let text = std::fs::read_to_string(path).expect("unit");
    assert!(text.contains("Type=notify") && text.contains("TimeoutStopSec=infinity"), "{text}");
    home.write(&format!("{unit}@work.service"), &text.replace("/usr/bin/drivemount", PROGRAM))
}

#[test]
fn systemd_understands_the_units() {
    let home = Home::new();
    for (unit, manager) in [("drivemount", "--system"), ("drivemount-user", "--user")] {
        let unit = instance(&home, unit);
        let mut verify = Command::new("systemd-analyze");
        verify.args([manager, "--man=no", "verify"]).arg(unit).env("XDG_RUNTIME_DIR", home.path());
        let output = match verify.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: this machine has no systemd-analyze");
                return;
            }
            output => output.expect("runs"),
        };
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", said(&output));
    }
}

#[test]
fn the_units_use_flags_that_there_are() {
    let home = Home::new();
    let help = stdout(&run(&mut home.command(&["mount", "--help"])));
    for unit in ["drivemount", "drivemount-user"] {
        let text = std::fs::read_to_string(instance(&home, unit)).expect("unit");
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("has one");
        // `--account` names a sign-in.
        for flag in line.split(' ').filter(|word| word.starts_with("--") && *word != "--account") {
            assert!(help.contains(flag), "{flag} is no flag of mount");
        }
    }
}
