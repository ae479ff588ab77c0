//! What a mount tells of itself: its log, its numbers.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, read, said, write};

fn with(flags: &[&str]) -> Machine {
    let mut machine = Machine::new();
    machine.arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    machine
}

#[test]
fn the_log_goes_to_the_file_and_in_the_form_that_was_asked_for() {
    let cloud = Cloud::start();
    let mut machine = with(&["--log-format", "json"]);
    let file = machine.cache().with_file_name("of the mount.log");
    machine.arguments.extend(["--log-file".to_owned(), file.display().to_string()]);
    write(&file, "what was there stays\n");
    machine.mount(&cloud);
    machine.unmount();
    let log = String::from_utf8(read(&file)).expect("UTF-8");
    let (first, rest) = log.split_once('\n').expect("lines");
    assert_eq!(first, "what was there stays");
    let lines: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let mounted = lines.iter().find(|line| line["message"] == "mounted").expect("is told");
    assert_eq!((&mounted["level"], &mounted["target"]), (&"INFO".into(), &"drivemount::mount::start".into()));
    assert_eq!(mounted["source"], cloud.url.as_str());
    assert_eq!(machine.log(), "", "and nowhere else");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_at_the_start() {
    let cloud = Cloud::start();
    let machine = with(&["--log-file", "/none/mount.log"]);
    let refused = machine.try_mount(&cloud);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("the log file /none/mount.log cannot be written"), "{}", said(&refused));
}

/// What a web server says.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn numbers_are_served_for_as_long_as_the_mount_lives() {
    let cloud = Cloud::start();
    cloud.upload("theirs", &cloud.root(), &bytes(1, 1_000_000));
    let machine = with(&["--metrics", "127.0.0.1:0"]);
    let mount = machine.try_mount(&cloud);
    let told = said(&mount);
    let address =
        told.split_once("http://127.0.0.1:").map(|_| told.rsplit_once("numbers for Prometheus are at http://"));
    let address = address.flatten().and_then(|(_, rest)| rest.split_once("/metrics")).expect("is told").0;
    assert!(read(machine.at("theirs")) == bytes(1, 1_000_000));
    write(machine.at("ours"), bytes(2, 500_000));
    machine.flush();
    let answer = get(address, "/metrics").expect("answers");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text/plain; version=0.0.4"), "{answer}");
    for line in [
        "# TYPE drivemount_downloaded_bytes_total counter",
        "drivemount_downloaded_bytes_total 1000000",
        "drivemount_uploaded_bytes_total 500000",
        "# TYPE drivemount_unsent_bytes gauge",
        "drivemount_unsent_bytes 0",
        "drivemount_requests_total{call=\"about.get\"} 1",
    ] {
        assert!(answer.lines().any(|answered| answered == line), "{line}\n{answer}");
    }
    assert!(answer.contains(&format!("mountpoint=\"{}\"", machine.drive().display())), "{answer}");
    for line in answer.lines().filter(|line| line.starts_with("drivemount_")) {
        let name = line.split([' ', '{']).next().expect("a name");
        assert!(answer.contains(&format!("# HELP {name} ")), "{line}");
    }
    assert!(get(address, "/").expect("answers").starts_with("HTTP/1.1 404"));
    // Another mount cannot have the same place.
    let other = with(&["--metrics", address]);
    let refused = other.try_mount(&cloud);
    assert!(!refused.status.success() && said(&refused).contains("--metrics"), "{}", said(&refused));
    machine.unmount();
    eventually("the end of the numbers", || get(address, "/metrics").is_err().then_some(()));
}
