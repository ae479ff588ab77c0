//! How much of the line and of the disk a mount takes.

use std::time::{Duration, Instant};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, write};

#[test]
fn content_is_fetched_no_faster_than_allowed_and_names_as_fast_as_they_come() {
    let cloud = Cloud::start();
    for number in 0..4 {
        cloud.upload(&format!("file {number}"), &cloud.root(), &bytes(number, 500_000));
    }
    let machine = Machine::with_flags(&cloud, &["--max-download-rate", "500K"]);
    let start = Instant::now();
    assert_eq!(names(machine.drive()).len(), 4);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // At one time: the bound is for all together.
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = machine.at(&format!("file {number}"));
            scope.spawn(move || assert!(read(place) == bytes(number, 500_000)));
        }
    });
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(20), "{took:?}");
}

#[test]
fn content_is_sent_no_faster_and_in_no_more_uploads_than_allowed() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--max-upload-rate", "500K", "--transfers", "2"]);
    let start = Instant::now();
    for number in 0..6 {
        write(machine.at(&format!("file {number}")), bytes(number, 300_000));
    }
    // Neither waits for content.
    std::fs::create_dir(machine.at("folder")).expect("makes");
    eventually("the folder is there", || cloud.all().iter().any(|file| file["name"] == "folder").then_some(()));
    let made = start.elapsed();
    let mut most = 0;
    eventually("all is sent", || {
        let unsent = machine.status()["unsent"].clone();
        let items = unsent["items"].as_array()?.clone();
        most = most.max(items.iter().filter(|item| item["state"] == "uploading").count());
        (unsent["entries"] == 0).then_some(())
    });
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert!(made < took, "{made:?} of {took:?}");
    assert_eq!(most, 2);
    for number in 0..6 {
        assert!(cloud.content(&cloud.id(&format!("file {number}"))) == bytes(number, 300_000));
    }
}

#[test]
fn the_cache_leaves_free_what_it_is_told_to_leave() {
    let cloud = Cloud::start();
    cloud.upload("file", &cloud.root(), &bytes(1, 40_000_000));
    let used = |machine: &Machine| {
        assert!(read(machine.at("file")) == bytes(1, 40_000_000));
        machine.status()["cache"]["used_bytes"].as_u64().expect("a number")
    };
    assert!(used(&Machine::with_flags(&cloud, &[])) >= 40_000_000);
    // More than any disk has: it makes do with scraps.
    let scarce = used(&Machine::with_flags(&cloud, &["--cache-min-free-space", "4096T"]));
    assert!(scarce < 40_000_000, "{scarce}");
}

#[test]
fn a_bound_that_is_none_is_refused_by_name() {
    let machine = Machine::new();
    for (flag, value) in [
        ("--max-upload-rate", "fast"),
        ("--max-download-rate", "1K"),
        ("--transfers", "0"),
        ("--cache-min-free-space", "much"),
    ] {
        let mut command = std::process::Command::new(crate::cloud::PROGRAM);
        let output = run(command.args(["mount", "local:/none"]).arg(machine.drive()).args([flag, value]));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(flag), "{}", said(&output));
    }
}
