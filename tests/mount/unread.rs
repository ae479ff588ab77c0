//! What cannot be read says why, and keeps nothing else from being read.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cloud::Cloud;
use crate::machine::{Machine, bytes, names, read, sh};
use crate::proxy::{Fate, Proxy};
use crate::reads::direct;

const PIECE: usize = 256 << 10;

/// How the drive says that others downloaded a file too often.
const LIMIT: &str = r#"{"error": {"code": 403, "message": "The download quota for this file has been exceeded.", "errors": [{"domain": "usageLimits", "reason": "downloadQuotaExceeded"}]}}"#;

fn reason(path: &Path) -> String {
    sh(&format!("getfattr --absolute-names --only-values -n user.drivemount.error {}", path.display()))
}

/// The reason that `status` gives for a file that could not be read.
fn unread(machine: &Machine, name: &str) -> Option<String> {
    let unread = machine.status()["unread"].as_array().cloned().unwrap_or_default();
    let named = |file: &&Value| file["path"] == name || file["path"] == format!("/{name}");
    unread.iter().find(named).and_then(|file| file["reason"].as_str()).map(str::to_owned)
}

#[test]
fn a_file_whose_downloads_are_used_up_fails_at_once_with_its_reason_and_no_other_does() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let popular = cloud.upload("popular", &cloud.root(), &bytes(1, 3_000_000));
    cloud.upload("other", &cloud.root(), &bytes(2, 3_000_000));
    let mut machine = Machine::new();
    machine.url = Some(proxy.url.clone());
    machine.mount(&cloud);
    names(machine.drive());
    let refused = popular.clone();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    proxy.rule(move |_, path| {
        let is_content = path.contains(&refused) && path.contains("alt=media");
        counter.fetch_add(usize::from(is_content), Ordering::Relaxed);
        if is_content { Fate::Answered("403 Forbidden", LIMIT) } else { Fate::Pass }
    });
    let (first, other) = (machine.at("popular"), machine.at("other"));
    std::thread::scope(|scope| {
        let other = scope.spawn(move || assert!(read(other) == bytes(2, 3_000_000)));
        let start = Instant::now();
        // Past the kernel, which has more requests under way when it answers the first.
        let error = direct(&first).read_at(&mut [0; 4096], 0).expect_err("used up");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        other.join().expect("reads");
    });
    let asked = requests.load(Ordering::Relaxed);
    let file = direct(&first);
    for at in 0..8 {
        file.read_at(&mut [0; 4096], at * PIECE as u64).expect_err("used up");
    }
    assert!(requests.load(Ordering::Relaxed) <= asked + 8, "nothing is fetched ahead of who is refused");
    assert_eq!(std::fs::read(&first).expect_err("used up").raw_os_error(), Some(libc::EIO));
    assert!(reason(&first).contains("download"), "{}", reason(&first));
    assert!(unread(&machine, "popular").is_some_and(|why| why.contains("download")), "{}", machine.status());
    assert_eq!(unread(&machine, "other"), None);
    assert!(
        machine.log().lines().any(|line| line.contains("popular") && line.contains("download")),
        "{}",
        machine.log()
    );
    assert!(sh(&format!("{} status {}", crate::cloud::PROGRAM, machine.drive().display())).contains("popular"));

    proxy.rule(|_, _| Fate::Pass);
    let mut piece = vec![0; 4096];
    file.read_exact_at(&mut piece, 0).expect("reads, though it was open meanwhile");
    assert!(piece == bytes(1, 3_000_000)[..4096]);
    assert!(read(&first) == bytes(1, 3_000_000), "a day later");
    assert_eq!(unread(&machine, "popular"), None);
}

#[test]
fn without_the_network_what_is_here_is_read_at_once_and_the_rest_waits_and_says_why() {
    let mut cloud = Cloud::start();
    cloud.upload("here", &cloud.root(), &bytes(1, 3_000_000));
    cloud.upload("there", &cloud.root(), &bytes(2, 3_000_000));
    let machine = Machine::with_flags(&cloud, &["--network-timeout", "3s"]);
    names(machine.drive());
    assert!(read(machine.at("here")) == bytes(1, 3_000_000));
    cloud.kill();
    let there = machine.at("there");
    std::thread::scope(|scope| {
        let place = there.clone();
        let waits = scope.spawn(move || {
            let start = Instant::now();
            (std::fs::read(place).expect_err("no network").raw_os_error(), start.elapsed())
        });
        // Meanwhile, and not from the pages of the kernel.
        let start = Instant::now();
        let file = direct(machine.at("here"));
        let content = bytes(1, 3_000_000);
        let mut piece = vec![0; PIECE];
        for (number, expected) in content.chunks_exact(PIECE).enumerate() {
            file.read_exact_at(&mut piece, (number * PIECE) as u64).expect("reads");
            assert!(piece == *expected);
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let (error, waited) = waits.join().expect("ends");
        assert_eq!(error, Some(libc::EIO));
        assert!((1..20).contains(&waited.as_secs()), "{waited:?}");
    });
    assert!(reason(&there).contains("reached"), "{}", reason(&there));
    assert!(unread(&machine, "there").is_some_and(|why| why.contains("reached")), "{}", machine.status());
    cloud.restart();
    assert!(read(&there) == bytes(2, 3_000_000));
    assert_eq!(unread(&machine, "there"), None);
}
