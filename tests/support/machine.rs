//! A mount for tests: the real program at a real place.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cloud::{Cloud, PROGRAM, eventually};

/// A machine: a cache and a place to mount at. Its mount goes with it.
pub(crate) struct Machine {
    dir: TempDir,
    /// More arguments for `mount`.
    pub(crate) arguments: Vec<String>,
    /// The key of a service account that it mounts as; `None`: as the person whose drive it is.
    pub(crate) key: Option<PathBuf>,
    /// Where it finds the drive, if not at its own address.
    pub(crate) url: Option<String>,
    /// What mounts.
    pub(crate) program: PathBuf,
    /// Whether its mount goes on when its daemon dies: `auto` or `never`.
    pub(crate) keeper: &'static str,
    /// What the environment of the next daemon tells it beside that.
    pub(crate) environment: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(dir.path().join("drive")).expect("mountpoint");
        Self {
            dir,
            arguments: ["--poll-interval", "100ms"].map(str::to_owned).to_vec(),
            key: None,
            url: None,
            program: PROGRAM.into(),
            keeper: usual_keeper(),
            environment: Vec::new(),
        }
    }

    /// A machine with the drive of `cloud` mounted.
    pub(crate) fn with(cloud: &Cloud) -> Self {
        Self::with_flags(cloud, &[])
    }

    /// A machine with the drive of `cloud` mounted in another way than usual.
    pub(crate) fn with_flags(cloud: &Cloud, flags: &[&str]) -> Self {
        let mut machine = Self::new();
        machine.arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        machine.mount(cloud);
        machine
    }

    /// The mountpoint.
    pub(crate) fn drive(&self) -> PathBuf {
        self.dir.path().join("drive")
    }

    /// A place in the mount.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.drive().join(path)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(crate) fn mount(&self, cloud: &Cloud) {
        let output = self.try_mount(cloud);
        assert!(output.status.success(), "{}", said(&output));
    }

    pub(crate) fn try_mount(&self, cloud: &Cloud) -> Output {
        self.try_mount_at(self.url.as_ref().unwrap_or(&cloud.url), &cloud.token_file())
    }

    /// Mounts the drive at an address.
    pub(crate) fn try_mount_at(&self, url: &str, token: &Path) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["mount", url]).arg(self.drive());
        match &self.key {
            Some(key) => command.arg("--service-account-file").arg(key),
            None => command.arg("--token-file").arg(token),
        };
        command.arg("--cache-dir").arg(self.cache()).args(&self.arguments);
        // Tests count what is asked, and when: what is asked ahead has tests of its own.
        command.env("DRIVEMOUNT_LIST_AHEAD", "none").env("DRIVEMOUNT_TREE_SNAPSHOT", "none");
        // Who is told where to die would be told again each time.
        let dies = self.environment.iter().any(|(name, _)| name == "DRIVEMOUNT_CRASH_AT");
        command.env("DRIVEMOUNT_KEEPER", if dies { "never" } else { self.keeper });
        command.envs(self.environment.iter().cloned());
        run(&mut command)
    }

    pub(crate) fn flush(&self) {
        let output = run(Command::new(PROGRAM).arg("flush").arg(self.drive()));
        assert!(output.status.success(), "{}", said(&output));
    }

    pub(crate) fn unmount(&self) {
        let output = run(Command::new(PROGRAM).arg("unmount").arg(self.drive()));
        assert!(output.status.success(), "{}", said(&output));
    }

    pub(crate) fn status(&self) -> Value {
        let output = run(Command::new(PROGRAM).args(["status", "--json"]).arg(self.drive()));
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("json")
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.status()["pid"].as_i64().expect("pid")).expect("pid")
    }

    /// Kills the daemon, and what would start another one: the mount is dead then.
    pub(crate) fn kill(&self) {
        kill_for_good(self.pid());
    }

    /// Loses the disk.
    pub(crate) fn lose_cache(&self) {
        std::fs::remove_dir_all(self.cache()).expect("removes the cache");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.cache().join("drivemount.log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end_mounts(self.dir.path());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of the log of the mount:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// Ends what is mounted below a folder, and its daemons, however they fare.
pub(crate) fn end_mounts(below: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = table.lines().filter(|line| line.contains(" fuse.drivemount "));
    let places =
        mounts.filter_map(|line| line.split(' ').nth(4)).map(Path::new).filter(|place| place.starts_with(below));
    for place in places {
        let mut status = Command::new("timeout");
        status.args(["10", PROGRAM, "status", "--json"]).arg(place).stderr(Stdio::null());
        let status: Option<Value> = status.output().ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
        if let Some(pid) = status.and_then(|status| status["pid"].as_i64()) {
            kill_for_good(i32::try_from(pid).expect("pid"));
        }
        let _gone = Command::new("umount").arg("-l").arg(place).stderr(Stdio::null()).status();
    }
}

/// Most tests are of what one daemon does and leaves. With `DRIVEMOUNT_TEST_KEEPER=auto` all mounts are kept, as they are by default.
fn usual_keeper() -> &'static str {
    let is_kept = std::env::var("DRIVEMOUNT_TEST_KEEPER").is_ok_and(|keeper| keeper == "auto");
    if is_kept { "auto" } else { "never" }
}

/// Kills a daemon, and what would start another one, as if both had gone at one moment.
pub(crate) fn kill_for_good(pid: i32) {
    let keeper = keeper_of(pid);
    // By one program: the start of another one closes what is open here, which would wait for the mount as long as nobody serves it.
    let script = match keeper {
        Some(keeper) => format!("kill -STOP {keeper}; kill -KILL {pid}; kill -KILL {keeper}"),
        None => format!("kill -KILL {pid}"),
    };
    let _gone = Command::new("bash").args(["-c", &script]).stderr(Stdio::null()).status();
    keeper.into_iter().for_each(wait_for_end);
    wait_for_end(pid);
}

/// The process that starts another daemon when this one dies.
pub(crate) fn keeper_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
    let line = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    line.split(|&byte| byte == 0).any(|word| word == b"--keep").then_some(parent)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a program that must succeed; says what it printed.
#[track_caller]
pub(crate) fn sh(line: &str) -> String {
    let output = run(Command::new("bash").args(["-euc", line]));
    assert!(output.status.success(), "{line}\n{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a program said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}: {}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn signal(pid: i32, name: &str) {
    sh(&format!("kill -{name} {pid}"));
}

/// Waits for the end of a process that is not our child.
pub(crate) fn wait_for_end(pid: i32) {
    eventually("the end of a process", || {
        let mut state = String::new();
        let stat =
            std::fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read_to_string(&mut state));
        (stat.is_err() || state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))).then_some(())
    });
}

/// Bytes that do not repeat, the same for the same seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
pub(crate) fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    std::fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Asks a mount without a pause what no cache answers, until `end`: names that are not there. Tells when it asked, and how long the answer
/// took.
pub(crate) fn keep_asking(root: &Path, end: &AtomicBool, mut heard: impl FnMut(Instant, Duration)) {
    for number in 0_u64.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let missing = std::fs::symlink_metadata(root.join(format!("missing {number}")));
        assert_eq!(missing.expect_err("is not there").raw_os_error(), Some(libc::ENOENT));
        heard(began, began.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("lists");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A disk of its own for a folder.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// In memory.
    pub(crate) fn at(folder: PathBuf, mebibytes: u32) -> Self {
        sh(&format!("mkdir {0} && mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs {0}", folder.display()));
        Self(folder)
    }

    /// A file system like that of a machine, in a file beside the folder.
    pub(crate) fn ext4(folder: PathBuf, mebibytes: u32) -> Self {
        let at = folder.display();
        sh(&format!(
            "truncate -s {mebibytes}M {at}.img && mkfs.ext4 -q -m 0 {at}.img && mkdir {at} && mount -o loop {at}.img {at} && \
             rmdir {at}/lost+found && chmod 700 {at}"
        ));
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// What a file takes on the disk, or what those below a folder do.
pub(crate) fn disk_use(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = std::fs::metadata(dir).ok().filter(|found| !found.is_dir()).map_or(0, |file| file.blocks() * 512);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += disk_use(&entry.path()),
            Ok(metadata) => bytes += metadata.blocks() * 512,
            // Gone meanwhile.
            Err(_) => {}
        }
    }
    bytes
}
