//! Who goes first: when there is time, and when there is not.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, run, said, signal, wait_for_end, write};

const LARGE: usize = 40 << 20;

/// All that goes up, by all ways, shares a line of so many bytes a second.
fn narrow(cloud: &Cloud, rate: &str) {
    cloud.make_trouble(&[&format!("uploads.*:bandwidth,up={rate},shared=true")]);
}

fn is_there(cloud: &Cloud, name: &str) -> bool {
    !cloud.files(&format!("name = '{name}'")).is_empty()
}

fn items(status: &Value) -> &Vec<Value> {
    status["unsent"]["items"].as_array().expect("items")
}

/// Four large files that are being sent, and then more than there is time for.
fn laden(cloud: &Cloud, machine: &Machine) {
    narrow(cloud, "4M");
    for number in 0..4 {
        write(machine.at(&format!("large {number}")), bytes(number, LARGE));
    }
    let sending = |item: &Value| item["sent"].as_u64() > Some(0);
    eventually("they are being sent", || {
        (items(&machine.status()).iter().filter(|item| sending(item)).count() == 4).then_some(())
    });
    write(machine.at("medium"), bytes(7, 9 << 20));
    for number in 0..20 {
        write(machine.at(&format!("small {number}")), bytes(number, 100_000));
    }
}

fn assert_the_smaller_ones_are_there(cloud: &Cloud) {
    for name in (0..20).map(|number| format!("small {number}")).chain(["medium".to_owned()]) {
        assert!(is_there(cloud, &name), "{name}");
    }
}

#[test]
fn with_a_deadline_those_go_first_that_can_be_whole_and_the_rest_is_listed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    laden(&cloud, &machine);
    let flush = run(Command::new(PROGRAM).args(["flush", "--timeout", "9s"]).arg(machine.drive()));
    assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
    assert_the_smaller_ones_are_there(&cloud);
    let told = said(&flush);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("  large ") || line.contains(" large ")).collect();
    assert_eq!(lines.len(), 4, "{told}");
    assert!(lines.iter().all(|line| line.contains(" left of 40 MiB") || line.ends_with("  40 MiB")), "{told}");
    assert!(!told.contains("small") && !told.contains("medium"), "{told}");
    // What was broken off goes on where it was.
    cloud.make_trouble(&[]);
    machine.flush();
    for number in 0..4 {
        assert!(cloud.content(&cloud.id(&format!("large {number}"))) == bytes(number, LARGE));
    }
    let sent = machine.status()["traffic"]["uploaded_bytes"].as_u64().expect("bytes");
    assert!(sent < (4 * LARGE + (9 << 20) + 2_000_000 + (24 << 20)) as u64, "{sent} bytes");
}

#[test]
fn an_unmount_with_a_deadline_and_a_signal_let_the_smaller_ones_go_first() {
    for by_signal in [false, true] {
        let cloud = Cloud::start();
        let machine = Machine::with(&cloud);
        laden(&cloud, &machine);
        if by_signal {
            let pid = machine.pid();
            signal(pid, "TERM");
            std::thread::sleep(Duration::from_secs(8));
            assert_the_smaller_ones_are_there(&cloud);
            signal(pid, "TERM");
            wait_for_end(pid);
        } else {
            let unmount = run(Command::new(PROGRAM).args(["unmount", "--timeout", "8s"]).arg(machine.drive()));
            assert_eq!(unmount.status.code(), Some(5), "{}", said(&unmount));
            assert_the_smaller_ones_are_there(&cloud);
            assert!(said(&unmount).contains("large 3") && !said(&unmount).contains("small"), "{}", said(&unmount));
        }
        cloud.make_trouble(&[]);
        machine.mount(&cloud);
        machine.flush();
        assert!(cloud.content(&cloud.id("large 3")) == bytes(3, LARGE));
    }
}

#[test]
fn what_comes_when_larger_ones_are_being_sent_under_a_deadline_goes_first_all_the_same() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    narrow(&cloud, "4M");
    for number in 0..4 {
        write(machine.at(&format!("large {number}")), bytes(number, LARGE));
    }
    let on_their_way = |status: &Value| items(status).iter().filter(|item| item["state"] == "uploading").count();
    eventually("they are being sent", || (on_their_way(&machine.status()) == 4).then_some(()));
    std::thread::scope(|scope| {
        let flush = || run(Command::new(PROGRAM).args(["flush", "--timeout", "9s"]).arg(machine.drive()));
        let flush = scope.spawn(flush);
        eventually("fewer are sent at a time", || (on_their_way(&machine.status()) == 2).then_some(()));
        write(machine.at("medium"), bytes(7, 9 << 20));
        let flush = flush.join().expect("no panic");
        assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
        assert!(is_there(&cloud, "medium"), "{}", said(&flush));
    });
}

#[test]
fn small_files_do_not_wait_for_large_ones_nor_large_ones_for_small_ones() {
    for transfers in [None, Some("2")] {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        machine.arguments.extend(transfers.iter().flat_map(|count| ["--transfers".to_owned(), (*count).to_owned()]));
        machine.mount(&cloud);
        narrow(&cloud, "6M");
        for number in 0..6 {
            write(machine.at(&format!("large {number}")), bytes(number, LARGE));
        }
        // What is on the drive is not among the items any more.
        let sent = |status: &Value| {
            let large = |item: &&Value| item["path"].as_str().is_some_and(|path| path.starts_with("large"));
            let under_way: Vec<&Value> = items(status).iter().filter(large).collect();
            let part: u64 = under_way.iter().filter_map(|item| item["sent"].as_u64()).sum();
            part + ((6 - under_way.len()) * LARGE) as u64
        };
        eventually("they are being sent", || (sent(&machine.status()) > 0).then_some(()));
        let start = Instant::now();
        for number in 0..10 {
            write(machine.at(&format!("small {number}")), bytes(number, 50_000));
        }
        eventually("the small ones are there", || {
            (0..10).all(|number| is_there(&cloud, &format!("small {number}"))).then_some(())
        });
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(!is_there(&cloud, "large 5"), "long before the large ones");
        // Small ones without end.
        let before = sent(&machine.status());
        let start = Instant::now();
        for number in 10.. {
            write(machine.at(&format!("small {number}")), bytes(number, 200_000));
            if start.elapsed() > Duration::from_secs(4) {
                break;
            }
        }
        let after = sent(&machine.status());
        assert!(after > before + (2 << 20), "the large ones go on: {before} {after}");
    }
}

#[test]
fn an_upload_that_hangs_keeps_nothing_else_from_being_sent_and_is_tried_on_a_new_connection() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    // The first content of each way is taken, and then there is silence.
    cloud.make_trouble(&["uploads.send:latency,ms=3600000,times=1", "uploads.simple:latency,ms=3600000,times=1"]);
    let start = Instant::now();
    write(machine.at("large"), bytes(1, 12 << 20));
    write(machine.at("hangs"), b"hangs");
    eventually("both hang", || (machine.status()["unsent"]["entries"] == 2).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    for number in 0..30 {
        write(machine.at(&format!("other {number}")), b"other");
    }
    write(machine.at("other large"), bytes(2, 12 << 20));
    eventually("the others are there", || {
        let others = (0..30).all(|number| is_there(&cloud, &format!("other {number}")));
        (others && is_there(&cloud, "other large")).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    eventually("status says so", || {
        let status = machine.status();
        let said = |item: &Value| {
            item["reason"].as_str().is_some_and(|reason| reason.contains("nothing heard from the drive for"))
        };
        items(&status).iter().any(said).then_some(())
    });
    eventually("they are there", || (is_there(&cloud, "hangs") && is_there(&cloud, "large")).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == bytes(1, 12 << 20));
}
