//! What something took: time, requests, memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::machine::sh;

/// What a drive was asked for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Requests {
    pub(crate) all: u64,
    pub(crate) lists: u64,
    pub(crate) units: u64,
    /// For contents.
    pub(crate) contents: u64,
    /// Bytes of contents that were sent.
    pub(crate) fetched: u64,
    /// `files.list 12, changes.list 1`
    pub(crate) kinds: String,
}

/// What one side took for something.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) requests: Requests,
    /// The most memory that the daemon ever had, in MiB.
    pub(crate) memory: f64,
}

/// Begins to count anew.
pub(crate) fn zero(cloud: &Cloud) {
    cloud.call("DELETE", "/admin/meter", &[], None);
}

/// What was asked for since then.
pub(crate) fn requests(cloud: &Cloud) -> Requests {
    let meter = cloud.call("GET", "/admin/meter", &[], None);
    let mut requests = Requests::default();
    let mut kinds = Vec::new();
    for (method, count) in meter["methods"].as_object().into_iter().flatten() {
        let number = count["requests"].as_u64().unwrap_or(0);
        requests.all += number;
        requests.units += count["units"].as_u64().unwrap_or(0);
        if method == "files.list" {
            requests.lists = number;
        }
        if matches!(method.as_str(), "files.get_media" | "revisions.get_media") {
            requests.contents += number;
            requests.fetched += count["bytesOut"].as_u64().unwrap_or(0);
        }
        kinds.push(format!("{method} {number}"));
    }
    requests.kinds = kinds.join(", ");
    requests
}

/// Waits until the drive has not been asked for a listing or a content for a while: what goes on in the background is paid for, too.
pub(crate) fn settle(cloud: &Cloud) {
    const QUIET: Duration = Duration::from_secs(1);
    let asked = || {
        let requests = requests(cloud);
        requests.lists + requests.contents
    };
    let (mut before, mut since) = (asked(), Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
        let now = asked();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// The most memory that a process ever had, in MiB.
pub(crate) fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kibibytes.map_or(f64::NAN, |kibibytes| kibibytes / 1024.0)
}

/// Seconds that something takes.
pub(crate) fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Walks through a folder with `find`, which must find that much. Says how many seconds that takes.
pub(crate) fn find(folder: &Path, expected: usize) -> f64 {
    let mut found = String::new();
    let seconds = time(|| found = sh(&format!("find '{}' | wc -l", folder.display())));
    assert_eq!(found.trim(), expected.to_string(), "entries found in {}", folder.display());
    seconds
}

/// Seconds until a listing gives its first entry, and its last.
pub(crate) fn list(folder: &Path, expected: usize) -> [f64; 2] {
    let start = Instant::now();
    let mut entries = fs::read_dir(folder).expect("opens");
    entries.next().expect("an entry").expect("lists");
    let first = start.elapsed().as_secs_f64();
    let count = 1 + entries.inspect(|entry| assert!(entry.is_ok(), "{entry:?}")).count();
    assert_eq!(count, expected, "entries of {}", folder.display());
    [first, start.elapsed().as_secs_f64()]
}
