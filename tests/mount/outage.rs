//! The drive fails for long: requests that fail by chance, a server that is gone, a line that swallows everything. Programs go on
//! and meet no error, and in the end everything is on the drive.
//!
//! `DRIVEMOUNT_TEST_OUTAGE` is how many seconds each outage lasts, a few without it; `scripts/test --full` sets it to minutes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::machine::{Machine, bytes, names, read, write};

/// How much more memory a daemon may have after an outage than before.
const MEMORY: u64 = 150 << 20;

fn outage() -> Duration {
    let seconds = std::env::var("DRIVEMOUNT_TEST_OUTAGE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

/// Three of ten requests fail, in all the ways in which requests fail.
const FAILING: [&str; 6] = [
    "*:answer,status=429,reason=rateLimitExceeded,share=0.05",
    "*:answer,status=403,reason=userRateLimitExceeded,share=0.05",
    "*:answer,status=500,share=0.05",
    "*:answer,status=503,share=0.05",
    "*:cut-answer,after=0,share=0.05",
    "*:lose-answer,share=0.05",
];

/// A program that writes, saves, renames, removes and reads, and what its folder must hold.
struct Program {
    folder: std::path::PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    dice: u64,
    steps: u64,
}

impl Program {
    fn new(folder: std::path::PathBuf, seed: u64) -> Self {
        fs::create_dir(&folder).expect("makes a folder");
        Self { folder, files: BTreeMap::new(), dice: seed * 2 + 1, steps: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 20) % bound
    }

    fn content(&mut self) -> Vec<u8> {
        let size = [0, 100, 5_000, 70_000, 300_000][usize::try_from(self.below(5)).expect("small")];
        bytes(self.dice, size)
    }

    fn any(&mut self) -> Option<String> {
        let at = self.below(self.files.len().max(1) as u64);
        self.files.keys().nth(usize::try_from(at).expect("small")).cloned()
    }

    /// One thing that programs do. Any error ends the test.
    fn step(&mut self) {
        self.steps += 1;
        let (new, content) = (format!("file {}", self.below(40)), self.content());
        let place = self.folder.join(&new);
        match (self.below(7), self.any()) {
            (0 | 1, _) | (_, None) => {
                fs::write(&place, &content).expect("writes");
                self.files.insert(new, content);
            }
            (2, _) => {
                let temporary = self.folder.join("saved.tmp");
                let mut file = File::create(&temporary).expect("makes");
                file.write_all(&content).expect("writes");
                file.sync_all().expect("syncs");
                fs::rename(temporary, &place).expect("saves");
                self.files.insert(new, content);
            }
            (3, Some(old)) => {
                fs::rename(self.folder.join(&old), &place).expect("renames");
                let content = self.files.remove(&old).expect("is there");
                self.files.insert(new, content);
            }
            (4, Some(old)) => {
                fs::remove_file(self.folder.join(&old)).expect("removes");
                self.files.remove(&old);
            }
            (5, Some(old)) => {
                let mut file = OpenOptions::new().append(true).open(self.folder.join(&old)).expect("opens");
                file.write_all(b"one line more\n").expect("appends");
                self.files.get_mut(&old).expect("is there").extend(b"one line more\n");
            }
            (_, Some(old)) => {
                assert!(read(self.folder.join(&old)) == self.files[&old], "{old} reads as it was written");
            }
        }
    }

    fn check(&self, folder: &Path) {
        assert_eq!(names(folder), self.files.keys().cloned().collect::<Vec<_>>());
        for (name, content) in &self.files {
            assert!(read(folder.join(name)) == *content, "{name}");
        }
    }
}

/// What all that is common to: programs at work while `trouble` lasts; then the drive must get everything.
fn programs_meet_no_error_during(
    cloud: &mut Cloud,
    machine: &Machine,
    outage: Duration,
    begin: impl FnOnce(&mut Cloud),
    end: impl FnOnce(&mut Cloud),
) {
    let cached = bytes(99, 2 << 20);
    write(machine.at("cached"), &cached);
    let mut programs: Vec<Program> =
        (0..2).map(|number| Program::new(machine.at(&format!("program {number}")), number + 1)).collect();
    machine.flush();
    assert!(read(machine.at("cached")) == cached);
    let pid = machine.pid();
    let before = memory(pid);
    begin(cloud);
    let (start, mut most, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < outage {
        for program in &mut programs {
            let step = Instant::now();
            program.step();
            slowest = slowest.max(step.elapsed());
        }
        // So long outages do not fill the disk: the point is the time, not the amount.
        std::thread::sleep(Duration::from_millis(20));
        if programs[0].steps.is_multiple_of(50) {
            assert!(read(machine.at("cached")) == cached, "what is in the cache is read without the drive");
            most = most.max(memory(pid));
        }
    }
    end(cloud);
    machine.flush();
    let memory = most.max(memory(pid));
    eprintln!(
        "{:?}: {} steps, the slowest {slowest:?}; memory {} MiB before, {} MiB at most",
        start.elapsed(),
        programs.iter().map(|program| program.steps).sum::<u64>(),
        before >> 20,
        memory >> 20
    );
    assert!(memory < before + MEMORY, "{} MiB, and {} MiB before", memory >> 20, before >> 20);
    assert!(slowest < Duration::from_secs(20), "nobody waits for the drive: {slowest:?}");
    assert_eq!(machine.pid(), pid, "the same daemon");
    let other = Machine::with(cloud);
    for (number, program) in programs.iter().enumerate() {
        let name = format!("program {number}");
        program.check(&machine.at(&name));
        program.check(&other.at(&name));
    }
    assert!(read(other.at("cached")) == cached);
}

/// Resident memory of a process, in bytes.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("has memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

#[test]
fn programs_meet_no_error_while_many_requests_fail() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let begin = |cloud: &mut Cloud| cloud.make_trouble(&FAILING);
    programs_meet_no_error_during(&mut cloud, &machine, outage() * 2, begin, |cloud| cloud.make_trouble(&[]));
}

#[test]
fn programs_meet_no_error_while_the_drive_refuses_connections() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    programs_meet_no_error_during(&mut cloud, &machine, outage(), Cloud::kill, Cloud::restart);
}

#[test]
fn programs_meet_no_error_while_the_line_swallows_everything() {
    let mut cloud = Cloud::start();
    let line = Line::start(&cloud);
    let mut machine = Machine::new();
    machine.url = Some(line.url.clone());
    machine.mount(&cloud);
    let silent = |silent| line.silent.store(silent, Ordering::Relaxed);
    programs_meet_no_error_during(&mut cloud, &machine, outage(), |_| silent(true), |_| silent(false));
}

/// A line to a drive, which can swallow all that is sent on it, in both directions: nothing arrives, nothing is answered, and
/// nobody is told.
struct Line {
    url: String,
    silent: Arc<AtomicBool>,
}

impl Line {
    fn start(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let drive = cloud.url.trim_start_matches("http://").to_owned();
        let silent = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&silent);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&drive) else { continue };
                let ways = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (from, to) in ways {
                    let (Ok(from), Ok(to), silent) = (from, to, Arc::clone(&shared)) else { continue };
                    std::thread::spawn(move || pass_on(from, to, &silent));
                }
            }
        });
        Self { url, silent }
    }
}

/// What was swallowed once is missing for ever: the connection is dead from then on, and says nothing.
fn pass_on(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let (mut buffer, mut is_dead) = (vec![0; 64 << 10], false);
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        is_dead |= silent.load(Ordering::Relaxed);
        if !is_dead && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    if !is_dead {
        let _gone = to.shutdown(std::net::Shutdown::Both);
    }
}
