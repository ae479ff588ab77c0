//! Files that go on growing: how old the drive's copy gets, and what it costs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, write};

fn with_interval(cloud: &Cloud, interval: &str) -> Machine {
    Machine::with_flags(cloud, &["--sync-interval", interval])
}

/// The length of a file on the drive, 0 if it has none.
fn length(cloud: &Cloud, name: &str) -> u64 {
    let file = cloud.files(&format!("name = '{name}'")).first().cloned().unwrap_or_default();
    file["size"].as_str().and_then(|size| size.parse().ok()).unwrap_or(0)
}

fn item(machine: &Machine, path: &str) -> Option<Value> {
    machine.status()["unsent"]["items"].as_array().expect("items").iter().find(|item| item["path"] == path).cloned()
}

#[test]
fn a_log_that_stays_open_is_never_older_than_the_interval_and_is_sent_no_more_often() {
    const INTERVAL: Duration = Duration::from_secs(3);
    /// What a loaded machine may take on top.
    const SLACK: Duration = Duration::from_secs(2);
    let cloud = Cloud::start();
    let machine = with_interval(&cloud, "3s");
    let mut log = File::create(machine.at("train.log")).expect("creates");
    let start = Instant::now();
    // When each byte was written.
    let mut written = Vec::new();
    let mut oldest = Duration::ZERO;
    while start.elapsed() < INTERVAL * 5 {
        written.push(Instant::now());
        log.write_all(&[b'x'; 1000]).expect("writes");
        std::thread::sleep(Duration::from_millis(50));
        let there = usize::try_from(length(&cloud, "train.log") / 1000).expect("small");
        if let Some(first_missing) = written.get(there) {
            oldest = oldest.max(first_missing.elapsed());
        }
    }
    assert!(oldest <= INTERVAL + SLACK, "{oldest:?}");
    let sent = cloud.uploads();
    assert!((3..=7).contains(&sent), "{sent} times");
}

#[test]
fn a_large_log_that_is_synced_all_the_time_takes_a_quarter_of_the_line_at_most() {
    let cloud = Cloud::start();
    let machine = with_interval(&cloud, "1s");
    cloud.make_trouble(&["uploads.*:bandwidth,up=1M"]);
    let mut log = File::create(machine.at("metrics")).expect("creates");
    log.write_all(&bytes(1, 2 << 20)).expect("writes");
    log.sync_all().expect("syncs");
    let start = Instant::now();
    let mut waited = None;
    while start.elapsed() < Duration::from_secs(14) {
        log.write_all(&[b'x'; 1000]).expect("writes");
        log.sync_all().expect("syncs");
        std::thread::sleep(Duration::from_millis(100));
        let item = item(&machine, "metrics").filter(|item| item["state"] == "waiting");
        waited = waited.max(item.and_then(|item| item["sent_in_seconds"].as_u64()));
    }
    // Each takes two seconds, and six of rest.
    let sent = cloud.uploads();
    assert!((1..=3).contains(&sent), "{sent} times");
    assert!(waited.is_some_and(|seconds| seconds >= 3), "status says when: {waited:?}");
    log.write_all(b"last").expect("writes");
    cloud.make_trouble(&[]);
    machine.flush();
    assert!(cloud.content(&cloud.id("metrics")).ends_with(b"last"), "who flushes does not wait for that");
}

#[test]
fn a_log_that_is_opened_for_each_line_is_sent_now_and_then() {
    let cloud = Cloud::start();
    let machine = with_interval(&cloud, "4s");
    cloud.make_trouble(&["uploads.*:bandwidth,up=1M"]);
    write(machine.at("metrics.csv"), bytes(1, 1 << 20));
    eventually("it is there", || (length(&cloud, "metrics.csv") == 1 << 20).then_some(()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let mut log = OpenOptions::new().append(true).open(machine.at("metrics.csv")).expect("opens");
        log.write_all(b"a line\n").expect("appends");
        drop(log);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Each takes a second, and three of rest.
    let sent = cloud.uploads();
    assert!((2..=5).contains(&sent), "{sent} times");
    // What is no log is not held back: most of it is new.
    let content = bytes(2, 1 << 20);
    write(machine.at("metrics.csv"), &content);
    let start = Instant::now();
    eventually("it is there", || (cloud.content(&cloud.id("metrics.csv")) == content).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}
