//! How much memory the daemon takes while very many read and write at one time.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cloud::Cloud;
use crate::machine::{Machine, bytes, write};
use crate::sparse::Sparse;

const MIB: u64 = 1 << 20;
const READERS: u64 = 64;
const WRITERS: u64 = 16;

/// What a group of processes may take of the memory, what it keeps of files in memory included.
const GROUP: u64 = 256 * MIB;

/// What the daemon may take.
const RESIDENT: u64 = 200 * MIB;

/// A control group with a limit for memory.
pub(crate) struct Group(PathBuf);

impl Group {
    /// A new one; `None` where this machine lets us make none. `what`: a word that tells it from those of other tests.
    pub(crate) fn new(what: &str, limit: u64) -> Option<Self> {
        let name = format!("drivemount-test-{what}-{}", std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.iter().find_map(|(root, file)| {
            let dir = Path::new(root).join(&name);
            fs::create_dir(&dir).ok()?;
            let group = Self(dir);
            fs::write(group.0.join(file), limit.to_string()).ok()?;
            Some(group)
        })
    }

    /// Moves a process there; what it uses from then on counts, and what it starts.
    pub(crate) fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("moves the daemon");
    }

    /// How many processes were killed because the memory was not enough.
    pub(crate) fn kills(&self) -> Option<u64> {
        let events = ["memory.oom_control", "memory.events"]
            .iter()
            .find_map(|file| fs::read_to_string(self.0.join(file)).ok())?;
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment to empty it after the end of its last process.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The most that a process had in memory at one time.
fn most_resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn many_readers_and_writers_take_little_memory() {
    let each = std::env::var("DRIVEMOUNT_TEST_READERS_MIB").map_or(8, |text| text.parse().expect("MiB")) * MIB;
    let mut cloud = Cloud::start();
    let names: Vec<String> = (0..READERS).map(|number| format!("file {number}")).collect();
    let sizes: Vec<_> = names.iter().map(|name| (name.as_str(), each)).collect();
    let files = Sparse::make(&mut cloud, &sizes);
    // Before the machine: it goes when nobody is in it any more.
    let group = Group::new("many", GROUP);
    let machine = Machine::with_flags(&cloud, &["--cache-size", "512M"]);
    let pid = machine.pid();
    match &group {
        Some(group) => group.take(pid),
        None => {
            eprintln!("this machine lets us make no control group for memory: only what the daemon takes is looked at");
        }
    }
    std::thread::scope(|scope| {
        for sparse in &files {
            let machine = &machine;
            scope.spawn(move || {
                let mut file = File::open(machine.at(&sparse.name)).expect("opens");
                let mut buffer = vec![0; 128 << 10];
                let mut offset = 0;
                while offset < sparse.size {
                    file.read_exact(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", sparse.name));
                    sparse.check(offset, &buffer);
                    offset += buffer.len() as u64;
                }
            });
        }
        for number in 0..WRITERS {
            let machine = &machine;
            scope.spawn(move || {
                write(machine.at(&format!("written {number}")), bytes(number, usize::try_from(each).expect("small")));
            });
        }
    });
    machine.flush();
    for number in 0..WRITERS {
        assert_eq!(cloud.file(&format!("written {number}"))["size"], each.to_string());
    }
    assert_eq!(machine.pid(), pid, "it is the same daemon");
    if let Some(group) = &group {
        assert_eq!(group.kills(), Some(0));
    }
    let resident = most_resident(pid);
    eprintln!("{READERS} readers and {WRITERS} writers of {} MiB each: {} MiB resident", each / MIB, resident / MIB);
    assert!(resident < RESIDENT, "{} MiB resident", resident / MIB);
}
