//! A folder on ext4 and one on a mount, in which the same programs run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::machine::{Disk, Machine, run, sh};
use crate::tree::{self, Tree};

/// A line of its own, and a bad one.
pub(crate) const TROUBLE: &[&str] = &["*:latency,ms=60", "*:answer,status=503,share=0.04", "*:lose-answer,share=0.01"];

/// The Python that scripts/test makes.
pub(crate) const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");

/// The Python of the system, which scripts/test gives `PyTorch`.
pub(crate) const SYSTEM: &str = "/usr/bin/python3";

/// What a program does, in a folder of its own.
pub(crate) struct Program {
    name: &'static str,
    script: &'static str,
    /// What it does when all comes from the drive.
    again: &'static str,
    /// What differs from run to run on one disk, too: names of which only the kind is compared. `*` stands for anything.
    varies: &'static [&'static str],
    /// Whether times are given and not those of the moment.
    times: bool,
}

impl Program {
    /// A script for bash that ends with the first command that fails.
    pub(crate) const fn new(name: &'static str, script: &'static str) -> Self {
        Self { name, script, again: "", varies: &[], times: false }
    }

    pub(crate) const fn again(self, script: &'static str) -> Self {
        Self { again: script, ..self }
    }

    pub(crate) const fn varies(self, names: &'static [&'static str]) -> Self {
        Self { varies: names, ..self }
    }

    pub(crate) const fn times(self) -> Self {
        Self { times: true, ..self }
    }
}

/// One of the two places. Their paths are of one length, so that a path in a file changes nothing but itself.
struct Place {
    folder: PathBuf,
    /// Beside it, on this machine's disk, for what is not to be compared: sockets, and what goes away with the machine.
    beside: PathBuf,
}

impl Place {
    /// Makes its folder, if it is not there.
    fn of(folder: PathBuf) -> Self {
        let beside = folder.with_file_name("beside");
        fs::create_dir_all(&beside).expect("makes a folder");
        Self { folder, beside }
    }

    fn run(&self, program: &Program, script: &str) -> (Output, Duration) {
        let folder = self.folder.join(program.name);
        fs::create_dir_all(&folder).expect("makes a folder");
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "900", "bash", "-euo", "pipefail", "-c"]).arg(format!("exec 2>&1\n{script}"));
        command.current_dir(&folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "xterm"), ("PYTHONHASHSEED", "0")]);
        command.env("HOME", &self.beside).env("TMPDIR", &self.beside).env("HERE", &folder).env("OURS", OURS);
        command.env("SYSTEM", SYSTEM).env("SCRIPTS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/programs"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let start = Instant::now();
        let output = run(&mut command);
        (output, start.elapsed())
    }

    fn tree(&self, program: &Program) -> Tree {
        tree::of(&self.folder.join(program.name), &self.folder)
    }
}

/// The two places.
pub(crate) struct Both {
    disk: Place,
    mount: Place,
    programs: Vec<Program>,
    pub(crate) machine: Machine,
    pub(crate) cloud: Cloud,
    // What goes when all else went.
    _ext4: Option<Disk>,
    _dir: TempDir,
}

impl Both {
    pub(crate) fn start() -> Self {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        // As people have it.
        machine.environment = [("DRIVEMOUNT_LIST_AHEAD", "all"), ("DRIVEMOUNT_TREE_SNAPSHOT", "keep")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        cloud.make_trouble(TROUBLE);
        machine.mount(&cloud);
        let dir = tempfile::tempdir().expect("temporary folder");
        let folder = dir.path().join("drive");
        let kind = sh(&format!("stat -f -c %T {}", dir.path().display()));
        let ext4 = (kind.trim() != "ext2/ext3").then(|| Disk::ext4(folder.clone(), 4096));
        fs::create_dir_all(&folder).expect("makes a folder");
        assert_eq!(folder.as_os_str().len(), machine.drive().as_os_str().len());
        let (disk, mount) = (Place::of(folder), Place::of(machine.drive()));
        Self { disk, mount, programs: Vec::new(), machine, cloud, _ext4: ext4, _dir: dir }
    }

    /// Runs a program in both places.
    #[track_caller]
    pub(crate) fn run(&mut self, program: Program) {
        self.compare_runs(&program, "", program.script);
        self.compare_trees(&program);
        self.programs.push(program);
    }

    /// Everything goes to the drive and comes back on a machine with an empty cache, where the programs go on.
    #[track_caller]
    pub(crate) fn come_back(&self) {
        let before: Vec<Tree> = self.programs.iter().map(|program| self.mount.tree(program)).collect();
        let start = Instant::now();
        self.machine.flush();
        eprintln!("{:>7.2} s until the drive had everything", start.elapsed().as_secs_f64());
        self.machine.unmount();
        self.machine.lose_cache();
        self.machine.mount(&self.cloud);
        for (program, before) in self.programs.iter().zip(before) {
            if !program.again.is_empty() {
                self.compare_runs(program, " on an empty cache", program.again);
                self.compare_trees(program);
            } else if let Some(difference) = before.is(&self.mount.tree(program)) {
                panic!("{} came back from the drive as something else: {difference}", program.name);
            }
        }
        self.machine.flush();
    }

    #[track_caller]
    fn compare_runs(&self, program: &Program, when: &str, script: &str) {
        let (expected, here) = self.disk.run(program, script);
        let (found, there) = self.mount.run(program, script);
        let said = |place: &Place, output: &Output| {
            format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stdout))
                .replace(&place.folder.display().to_string(), "@")
                .replace(&place.beside.display().to_string(), "@beside")
        };
        let (expected_said, found_said) = (said(&self.disk, &expected), said(&self.mount, &found));
        assert!(expected.status.success(), "{}{when} fails on the local disk: {expected_said}", program.name);
        if let Some(difference) = first_difference(&expected_said, &found_said) {
            panic!("{}{when}: {difference}", program.name);
        }
        let (here, there) = (here.as_secs_f64(), there.as_secs_f64());
        eprintln!(
            "{here:>7.2} s on the disk, {there:>6.2} s on the mount, {:>5.1} times: {}{when}",
            there / here,
            program.name
        );
    }

    #[track_caller]
    fn compare_trees(&self, program: &Program) {
        let (expected, found) = (self.disk.tree(program), self.mount.tree(program));
        if let Some(difference) = expected.looks_like(&found, program.varies, program.times) {
            panic!("{}: {difference}", program.name);
        }
    }
}

/// Where two outputs part, with what came before.
fn first_difference(expected: &str, found: &str) -> Option<String> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, found) = (lines(expected), lines(found));
    let at = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))?;
    let from = |lines: &[String]| lines[at.min(lines.len())..].iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    let before = expected[at.saturating_sub(5)..at].join("\n");
    Some(format!("after\n{before}\nit says\n{}\n, and on the local disk\n{}", from(&found), from(&expected)))
}

/// What a test that runs on demand is asked with.
pub(crate) fn asked_for_all() -> bool {
    match std::env::var("DRIVEMOUNT_TEST_PROGRAMS").as_deref() {
        Ok("all") => true,
        Ok(other) => panic!("DRIVEMOUNT_TEST_PROGRAMS is {other:?}: \"all\" is what it can be"),
        Err(_) => false,
    }
}

/// A Python that the tests cannot do without.
#[track_caller]
pub(crate) fn python() {
    assert!(Path::new(OURS).exists(), "no {OURS}: run scripts/test once, it makes it");
}
