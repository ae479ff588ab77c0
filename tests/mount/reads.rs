//! How content comes down: in few large requests, nothing twice, and little that nobody asked for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("fits")
}

/// Requests for content, and bytes of their answers.
fn fetched(cloud: &Cloud) -> (u64, u64) {
    let meter = cloud.call("GET", "/admin/meter", &[], None);
    let sum = |what: &str| {
        let of = |method: &str| meter["methods"][method][what].as_u64().unwrap_or(0);
        of("files.get_media") + of("revisions.get_media")
    };
    (sum("requests"), sum("bytesOut"))
}

/// Opens a file so that the kernel keeps and adds nothing.
pub(crate) fn direct(path: impl AsRef<Path>) -> File {
    File::options().read(true).custom_flags(libc::O_DIRECT).open(path).expect("opens")
}

#[track_caller]
fn piece(file: &File, at: u64, length: u64) -> Vec<u8> {
    let mut piece = vec![0; usize::try_from(length).expect("fits")];
    file.read_exact_at(&mut piece, at).expect("reads");
    piece
}

/// The most memory that a process had so far, in bytes.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * KIB
}

/// A machine that knows what is in the root, and no content.
fn machine(cloud: &Cloud, flags: &[&str]) -> Machine {
    let machine = Machine::with_flags(cloud, flags);
    names(machine.drive());
    cloud.call("DELETE", "/admin/meter", &[], None);
    machine
}

#[test]
fn a_file_that_is_read_from_end_to_end_comes_in_few_large_requests() {
    let cloud = Cloud::start();
    let content = bytes(1, length(96 * MIB));
    cloud.upload("large", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    cloud.make_trouble(&["*:latency,ms=20"]);
    assert!(read(machine.at("large")) == content);
    let (requests, sent) = fetched(&cloud);
    assert_eq!(sent, 96 * MIB, "nothing comes twice");
    assert!(requests <= 24, "{requests} requests");
}

#[test]
fn threads_that_read_one_handle_at_several_places_each_get_large_requests() {
    let cloud = Cloud::start();
    let content = bytes(2, length(96 * MIB));
    cloud.upload("large", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    cloud.make_trouble(&["*:latency,ms=20"]);
    let file = File::open(machine.at("large")).expect("opens");
    let quarter = 24 * MIB;
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (file, content) = (&file, &content);
            scope.spawn(move || {
                for at in (number * quarter..(number + 1) * quarter).step_by(length(256 * KIB)) {
                    assert!(piece(file, at, 256 * KIB) == content[length(at)..length(at + 256 * KIB)], "at {at}");
                }
            });
        }
    });
    let (requests, sent) = fetched(&cloud);
    assert_eq!(sent, 96 * MIB, "nothing comes twice");
    assert!(requests <= 64, "{requests} requests");
}

#[test]
fn many_readers_at_once_share_what_is_fetched_ahead_and_little_memory() {
    let cloud = Cloud::start();
    let content = |number| bytes(number, length(6 * MIB + 5000));
    for number in 0..32 {
        cloud.upload(&format!("file {number}"), &cloud.root(), &content(number));
    }
    let machine = machine(&cloud, &[]);
    cloud.make_trouble(&["*:latency,ms=20"]);
    std::thread::scope(|scope| {
        for number in 0..32 {
            let place = machine.at(&format!("file {number}"));
            scope.spawn(move || {
                let (mut file, expected) = (File::open(place).expect("opens"), content(number));
                let mut piece = vec![0; 64 << 10];
                for expected in expected.chunks(64 << 10) {
                    file.read_exact(&mut piece[..expected.len()]).expect("reads");
                    assert!(piece[..expected.len()] == *expected);
                }
            });
        }
    });
    let (requests, sent) = fetched(&cloud);
    assert_eq!(sent, 32 * (6 * MIB + 5000), "nothing comes twice");
    assert!(requests <= 32 * 6, "{requests} requests");
    let peak = peak(machine.pid());
    assert!(peak < 200 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn one_fetch_serves_all_who_wait_for_it() {
    let cloud = Cloud::start();
    let content = bytes(3, length(16 * MIB));
    cloud.upload("file", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    cloud.make_trouble(&["*:latency,ms=300"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (file, content) = (direct(machine.at("file")), &content);
            scope.spawn(move || {
                assert!(piece(&file, 8 * MIB, 64 * KIB) == content[length(8 * MIB)..length(8 * MIB + 64 * KIB)]);
            });
        }
    });
    assert_eq!(fetched(&cloud), (1, 256 * KIB));
}

#[test]
fn the_header_of_a_large_file_and_a_few_pages_of_a_map_cost_little_more() {
    let cloud = Cloud::start();
    let content = bytes(4, length(128 * MIB));
    cloud.upload("model.safetensors", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    let mut file = File::open(machine.at("model.safetensors")).expect("opens");
    let mut header = vec![0; 100_000];
    file.read_exact(&mut header[..8]).expect("reads");
    file.seek(SeekFrom::Start(8)).expect("seeks");
    file.read_exact(&mut header).expect("reads");
    assert!(header == content[8..100_008]);
    // What is fetched ahead may still come.
    let header = fetched(&cloud).1.max(machine.status()["cache"]["used_bytes"].as_u64().expect("bytes"));
    assert!(header <= 2 * MIB, "{header} bytes");

    // SAFETY: a new map of the length of the file, which nobody makes shorter.
    let map = unsafe {
        let place =
            libc::mmap(std::ptr::null_mut(), content.len(), libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(place, libc::MAP_FAILED);
        std::slice::from_raw_parts(place.cast::<u8>(), content.len())
    };
    let places = [110 * MIB, 30 * MIB, 70 * MIB, 50 * MIB];
    for at in places.map(length) {
        assert_eq!(map[at], content[at]);
    }
    // The kernel reads as much around a page as it reads ahead at most: 1 MiB.
    let all = fetched(&cloud).1;
    assert!(all <= 2 * MIB + places.len() as u64 * 3 * MIB / 2, "{all} bytes");
}

#[test]
fn a_small_file_that_is_read_here_and_there_comes_whole_at_the_third_place() {
    let cloud = Cloud::start();
    let content = bytes(5, length(6 * MIB));
    cloud.upload("archive.zip", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    let file = direct(machine.at("archive.zip"));
    let used = || machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
    for (at, here) in [(5 * MIB, 256 * KIB), (MIB, 512 * KIB)] {
        assert!(piece(&file, at, 4 * KIB) == content[length(at)..length(at + 4 * KIB)]);
        assert_eq!(used(), here);
    }
    piece(&file, 3 * MIB, 4 * KIB);
    eventually("all of it is here", || (used() == 6 * MIB).then_some(()));
    let (requests, sent) = fetched(&cloud);
    assert!(requests <= 6 && sent <= 7 * MIB, "{requests} requests, {sent} bytes");
    assert!(read(machine.at("archive.zip")) == content);
    assert_eq!(fetched(&cloud).0, requests);
}

#[test]
fn a_large_file_of_which_a_quarter_was_read_at_random_comes_whole_in_large_requests() {
    let cloud = Cloud::start();
    let content = bytes(6, length(64 * MIB));
    cloud.upload("records", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    let file = direct(machine.at("records"));
    let used = || machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
    let read = |number: u64| {
        let at = number * 61 % 256 * 256 * KIB;
        assert!(piece(&file, at, 4 * KIB) == content[length(at)..length(at + 4 * KIB)]);
    };
    (1..61).for_each(read);
    assert_eq!((fetched(&cloud), used()), ((60, 15 * MIB), 15 * MIB), "what was asked for and no more");
    (61..66).for_each(read);
    eventually("all of it is here", || (used() == 64 * MIB).then_some(()));
    let (requests, sent) = fetched(&cloud);
    assert!(requests <= 60 + 20 && sent <= 84 * MIB, "{requests} requests, {sent} bytes");
    (66..256).for_each(read);
    assert_eq!(fetched(&cloud).0, requests);
}

#[test]
fn a_range_that_breaks_goes_on_where_it_broke_and_no_other_is_fetched_again() {
    let cloud = Cloud::start();
    let content = bytes(7, length(40 * MIB));
    cloud.upload("large", &cloud.root(), &content);
    let machine = machine(&cloud, &[]);
    cloud.make_trouble(&["files.get_media+revisions.get_media:cut-answer,after=700000,times=6,skip=1"]);
    assert!(read(machine.at("large")) == content);
    let received = machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes");
    assert_eq!(received, 40 * MIB, "nothing that came is fetched again");
    let (requests, _) = fetched(&cloud);
    assert!(requests <= 20 + 6, "{requests} requests");
}

#[test]
fn the_download_rate_holds_for_all_readers_together_and_who_waits_goes_first() {
    let cloud = Cloud::start();
    let contents: Vec<Vec<u8>> = (0..3).map(|number| bytes(number, length(7 * MIB))).collect();
    let place = |number: usize| format!("file {number}");
    for (number, content) in contents.iter().enumerate() {
        cloud.upload(&place(number), &cloud.root(), content);
    }
    let long = bytes(9, length(64 * MIB));
    cloud.upload("long", &cloud.root(), &long);
    cloud.upload("small", &cloud.root(), b"small");
    let machine = machine(&cloud, &["--max-download-rate", "3M"]);
    let start = Instant::now();
    let read_all: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers = (0..3).map(|number| machine.at(&place(number))).map(|place| scope.spawn(|| read(place)));
        let readers: Vec<_> = readers.collect();
        readers.into_iter().map(|reader| reader.join().expect("reads")).collect()
    });
    // 21 MiB at 3 MiB a second.
    let reached = 21.0 / 3.0 / start.elapsed().as_secs_f64();
    assert!((0.9..=1.1).contains(&reached), "{reached} of the rate");
    assert!(read_all == contents);

    // Much is fetched ahead of this one; what it waits for, and the small one, come before that.
    let file = File::open(machine.at("long")).expect("opens");
    for at in 0..12 {
        assert!(piece(&file, at * MIB, MIB) == long[length(at * MIB)..length((at + 1) * MIB)]);
    }
    let start = Instant::now();
    assert_eq!(read(machine.at("small")), b"small");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
