//! Content that is fetched before somebody reads it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, read, run, said, sh, signal, write};

/// Downloads that take so long that nothing comes of them within a test.
const STUCK: &str = "files.get_media+revisions.get_media:latency,ms=600000";

fn prefetch(arguments: &[&str], paths: &[&Path]) -> Output {
    run(Command::new(PROGRAM).arg("prefetch").args(arguments).args(paths))
}

/// As [`prefetch`], of what must be possible; says what it said.
#[track_caller]
fn prefetched(arguments: &[&str], paths: &[&Path]) -> String {
    let output = prefetch(arguments, paths);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// One that goes on beside the test.
fn begun(paths: &[&Path]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.arg("prefetch").args(paths).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

/// What `status` says of the only job.
fn job(machine: &Machine) -> Value {
    let status = machine.status();
    let jobs = status["prefetches"].as_array().cloned().unwrap_or_default();
    assert!(jobs.len() <= 1, "{jobs:?}");
    jobs.into_iter().next().unwrap_or_default()
}

/// Waits until the only job is in a state.
fn until(machine: &Machine, state: &str) -> Value {
    eventually(state, || Some(job(machine)).filter(|job| job["state"] == state))
}

fn reset_meter(cloud: &Cloud) {
    cloud.call("DELETE", "/admin/meter", &[], None);
}

fn downloads(cloud: &Cloud) -> u64 {
    cloud.requests(&["files.get_media", "revisions.get_media"])
}

/// A folder with a folder in it, and files in both.
fn data(cloud: &Cloud, count: u64, size: usize) -> Vec<String> {
    let folder = cloud.make_folder("data", &cloud.root());
    let below = cloud.make_folder("below", &folder);
    let upload = |number: u64| {
        let (parent, path) = if number.is_multiple_of(2) {
            (&folder, format!("data/{number}"))
        } else {
            (&below, format!("data/below/{number}"))
        };
        cloud.upload(&number.to_string(), parent, &bytes(number, size));
        path
    };
    (0..count).map(upload).collect()
}

#[track_caller]
fn assert_readable(machine: &Machine, paths: &[String], size: usize) {
    for (number, path) in (0..).zip(paths) {
        assert!(read(machine.at(path)) == bytes(number, size), "{path}");
    }
}

#[test]
fn what_was_prefetched_is_read_without_the_drive_also_by_the_next_mount() {
    let mut cloud = Cloud::start();
    let paths = data(&cloud, 20, 300_000);
    let document = json!({"name": "notes", "mimeType": "application/vnd.google-apps.document",
        "parents": [cloud.id("data")]});
    cloud.call("POST", "/drive/v3/files", &[], Some(document));
    let machine = Machine::with_flags(&cloud, &["--network-timeout", "2s"]);
    reset_meter(&cloud);
    let told = prefetched(&[], &[&machine.at("data")]);
    assert!(told.contains("20 files, 5.7 MiB, in ") && told.ends_with("; skipped 1 document\n"), "{told}");
    assert_eq!(downloads(&cloud), 20, "one for each");
    let again = prefetched(&["--wait"], &[&machine.at("data/below"), &machine.at("data")]);
    assert!(again.contains("20 files, 5.7 MiB, in ") && again.contains("; all of them were here already"), "{again}");
    assert_eq!(downloads(&cloud), 20);
    cloud.kill();
    assert_readable(&machine, &paths, 300_000);
    machine.unmount();
    machine.mount(&cloud);
    assert_readable(&machine, &paths, 300_000);
    let told = prefetched(&[], &[&machine.at("data")]);
    assert!(told.contains("; all of them were here already"), "to know that takes no drive: {told}");
}

#[test]
fn a_large_file_comes_in_parts_of_which_none_is_asked_for_twice() {
    let mut cloud = Cloud::start();
    let content = bytes(1, 90_000_000);
    cloud.upload("large", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    reset_meter(&cloud);
    let told = prefetched(&[], &[&machine.at("large")]);
    assert!(told.contains("1 file, 85.8 MiB"), "{told}");
    assert_eq!(downloads(&cloud), 90_000_000_u64.div_ceil(8 << 20));
    cloud.kill();
    assert!(read(machine.at("large")) == content);
}

#[test]
fn what_is_not_there_or_in_no_mount_is_said_and_the_rest_is_fetched() {
    let cloud = Cloud::start();
    data(&cloud, 2, 1000);
    let (machine, other) = (Machine::with(&cloud), Machine::with(&cloud));
    let output = prefetch(&[], &[&machine.at("none"), &machine.at("data"), &other.at("data/0")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said_of_it =
        format!("not fetched: {}: none is not there, neither here nor on the drive", machine.at("none").display());
    assert!(said(&output).contains(&said_of_it), "{}", said(&output));
    assert!(said(&output).contains("3 files, 2.9 KiB"), "in both mounts: {}", said(&output));
    for arguments in [&[][..], &["--background"], &["--evict"], &["--stop"]] {
        let outside = prefetch(arguments, &[&machine.at("data"), Path::new("/etc")]);
        assert_eq!(outside.status.code(), Some(1), "{}", said(&outside));
        assert!(said(&outside).contains("/etc is not in a drivemount"), "{}", said(&outside));
    }
    let usage = prefetch(&[], &[]);
    assert_eq!(usage.status.code(), Some(2), "{}", said(&usage));
}

#[test]
fn links_are_followed_if_they_are_named_and_not_if_they_are_met() {
    let cloud = Cloud::start();
    let paths = data(&cloud, 4, 1000);
    let apart = cloud.make_folder("apart", &cloud.root());
    cloud.make_shortcut("shortcut", &cloud.root(), &cloud.id("below"));
    cloud.upload("more", &cloud.root(), b"more");
    let machine = Machine::with(&cloud);
    std::os::unix::fs::symlink("../data", machine.at("apart/link")).expect("links");
    std::os::unix::fs::symlink(machine.at("data/0"), machine.at("apart/absolute")).expect("links");
    std::os::unix::fs::symlink("/etc", machine.at("apart/out")).expect("links");
    std::os::unix::fs::symlink("circle", machine.at("apart/circle")).expect("links");
    assert!(!apart.is_empty());
    let met = prefetched(&[], &[&machine.at("apart")]);
    assert!(met.contains("0 files, 0 B"), "{met}");
    assert!(prefetched(&[], &[&machine.at("apart/absolute")]).contains("1 file, 1000 B"));
    assert!(prefetched(&[], &[&machine.at("MyDrive/shortcut")]).contains("2 files, 1.9 KiB"));
    let named = prefetched(&[], &[&machine.at("apart/link")]);
    assert!(named.contains("4 files, 3.9 KiB") && named.contains("; 3 of them were here already"), "{named}");
    let circle = prefetch(&[], &[&machine.at("apart/circle"), &machine.at("apart/out")]);
    assert!(said(&circle).contains("leads in a circle"), "{}", said(&circle));
    assert!(said(&circle).contains("/etc, which is not in this mount"), "{}", said(&circle));
    assert_readable(&machine, &paths, 1000);
}

#[test]
fn what_does_not_fit_is_said_and_what_was_named_first_is_here() {
    let mut cloud = Cloud::start();
    let root = cloud.root();
    let [first, second] = ["first", "second"].map(|name| cloud.make_folder(name, &root));
    let content = |number: u64| bytes(number, 9_000_000);
    for number in 0..10 {
        cloud.upload(&number.to_string(), if number < 5 { &second } else { &first }, &content(number));
    }
    cloud.upload("old", &root, &bytes(77, 40_000_000));
    let machine = Machine::with_flags(&cloud, &["--cache-size", "64M"]);
    // What was in use before gives way, however much it was used.
    for _ in 0..3 {
        assert!(read(machine.at("old")) == bytes(77, 40_000_000));
        sh("sync; echo 1 > /proc/sys/vm/drop_caches");
    }
    reset_meter(&cloud);
    let output = prefetch(&[], &[&machine.at("first"), &machine.at("second")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let not_all = "6 of 10 files (51.4 MiB of 85.8 MiB) fit into the cache (58 MiB of its 64 MiB: the rest is for files that are not on \
                   the drive yet, and for exports); give it more with --cache-size, or give fewer paths";
    assert!(said(&output).contains(not_all), "{}", said(&output));
    assert!(said(&output).contains("6 files, 51.4 MiB, in "), "{}", said(&output));
    assert_eq!(downloads(&cloud), 12, "two parts each, and nothing twice");
    let background = prefetch(&["--background"], &[&machine.at("first"), &machine.at("second")]);
    assert_eq!(background.status.code(), Some(1), "{}", said(&background));
    assert!(said(&background).contains("all of that is here: 6 files, 51.4 MiB"), "{}", said(&background));
    until(&machine, "done");
    assert_eq!(downloads(&cloud), 12);
    cloud.kill();
    for (folder, numbers) in [("first", 5..10), ("second", 0..1)] {
        for number in numbers {
            assert!(read(machine.at(&format!("{folder}/{number}"))) == content(number), "{number}");
        }
    }
}

#[test]
fn a_prefetch_in_the_background_goes_on_is_joined_is_shown_and_can_be_stopped() {
    let cloud = Cloud::start();
    let paths = data(&cloud, 4, 1000);
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[STUCK]);
    let told = prefetched(&["--background"], &[&machine.at("data")]);
    assert!(told.contains("fetching 4 files, 3.9 KiB in the background; `drivemount status`"), "{told}");
    let shown = until(&machine, "fetching");
    assert_eq!((&shown["paths"], &shown["background"]), (&json!(["data"]), &json!(true)), "{shown}");
    assert_eq!(shown["wanted"], json!({"files": 4, "bytes": 4000}), "{shown}");
    let told = prefetched(&["--background"], &[&machine.at("MyDrive/data/")]);
    assert!(told.contains("in the background already"), "{told}");
    assert_eq!(job(&machine)["job"], shown["job"], "still the only one");
    let status = sh(&format!("{PROGRAM} status {}", machine.drive().display()));
    assert!(status.contains("prefetch  data: 0 of 4 files, 0 of 3.9 KiB, 0 B/s\n"), "{status}");

    let told = prefetched(&["--stop"], &[&machine.at("data/below")]);
    assert!(told.contains("nothing of that"), "all of data is not meant by that: {told}");
    assert!(prefetched(&["--stop"], &[&machine.drive()]).contains("stopped 1 prefetch"));
    let stopped = until(&machine, "stopped");
    assert_eq!(stopped["reason"], "it was asked to", "{stopped}");
    cloud.make_trouble(&[]);
    let told = prefetched(&["--background"], &[&machine.at("data")]);
    assert!(!told.contains("already"), "{told}");
    eventually("another one is done", || {
        let status = machine.status();
        let jobs = status["prefetches"].as_array().expect("jobs");
        jobs.iter().any(|job| job["state"] == "done" && job["here"] == job["wanted"]).then_some(())
    });
    reset_meter(&cloud);
    assert_readable(&machine, &paths, 1000);
    assert_eq!(downloads(&cloud), 0);
    // With a mount it ends at once.
    cloud.make_trouble(&[STUCK]);
    cloud.upload("more", &cloud.root(), b"more");
    eventually("it is known", || machine.at("more").exists().then_some(()));
    prefetched(&["--background"], &[&machine.at("more")]);
    let mut waits = begun(&[&machine.at("more")]);
    eventually("it joined", || {
        let jobs = machine.status()["prefetches"].to_string();
        jobs.contains("more").then_some(())
    });
    machine.unmount();
    assert_eq!(waits.wait().expect("ends").code(), Some(1));
}

#[test]
fn who_gives_up_waiting_ends_it_unless_others_want_it() {
    let cloud = Cloud::start();
    data(&cloud, 4, 1000);
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[STUCK]);
    let interrupt = |child: Child| {
        signal(i32::try_from(child.id()).expect("pid"), "INT");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let alone = begun(&[&machine.at("data")]);
    until(&machine, "fetching");
    let told = interrupt(alone);
    assert!(told.contains("stopped: 0 of 4 files are here; the same command goes on from there"), "{told}");
    assert_eq!(job(&machine), Value::Null, "what somebody gave up is not shown");

    let waits = begun(&[&machine.at("data")]);
    until(&machine, "fetching");
    prefetched(&["--background"], &[&machine.at("data")]);
    let told = interrupt(waits);
    assert!(told.contains("it goes on, since others want it too"), "{told}");
    assert_eq!(job(&machine)["state"], "fetching");
    // Who loses their terminal does not say that they gave up.
    prefetched(&["--stop"], &[&machine.drive()]);
    let mut closed = begun(&[&machine.at("data/below")]);
    let goes_on = || {
        let status = machine.status();
        let jobs = status["prefetches"].as_array().expect("jobs");
        jobs.iter().any(|job| job["state"] == "fetching" && job["paths"] == json!(["data/below"])).then_some(())
    };
    eventually("it fetches", goes_on);
    signal(i32::try_from(closed.id()).expect("pid"), "HUP");
    assert!(!closed.wait().expect("ends").success());
    assert!(goes_on().is_some());
}

#[test]
fn what_cannot_be_fetched_is_told_with_the_reason_and_the_rest_is_here() {
    let cloud = Cloud::start();
    let paths = data(&cloud, 30, 1000);
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["files.get_media:answer,status=403,reason=downloadQuotaExceeded,times=25"]);
    let output = prefetch(&[], &[&machine.at("data")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let failed = said(&output).lines().filter(|line| line.contains("not fetched: ")).count();
    assert_eq!(failed, 20, "{}", said(&output));
    assert!(said(&output).contains("and 5 more") && said(&output).contains("5 files, 4.8 KiB"), "{}", said(&output));
    assert!(said(&output).contains("download"), "{}", said(&output));
    cloud.make_trouble(&[]);
    assert!(prefetched(&[], &[&machine.at("data")]).contains("30 files"), "and goes on where it was");
    assert_readable(&machine, &paths, 1000);
}

#[test]
fn a_drive_that_is_away_for_a_while_is_waited_for_and_one_that_stays_away_is_not() {
    let mut cloud = Cloud::start();
    let paths = data(&cloud, 100, 1000);
    let machine = Machine::with_flags(&cloud, &["--network-timeout", "1s"]);
    assert_eq!(fs::read_dir(machine.at("data")).expect("lists").count(), 51);
    assert_eq!(fs::read_dir(machine.at("data/below")).expect("lists").count(), 50);
    cloud.kill();
    prefetched(&["--background"], &[&machine.at("data")]);
    let waiting = until(&machine, "waiting");
    assert!(waiting["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{waiting}");
    assert_eq!(waiting["failed"], 0, "{waiting}");
    cloud.restart();
    let done = until(&machine, "done");
    assert_eq!((&done["failed"], &done["here"]["files"]), (&json!(0), &json!(100)), "{done}");
    cloud.kill();
    assert_readable(&machine, &paths, 1000);
    cloud.restart();
    cloud.upload("more", &cloud.root(), b"more");
    eventually("it is known", || machine.at("more").exists().then_some(()));
    cloud.kill();
    let output = prefetch(&[], &[&machine.at("more")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not fetched: "), "{}", said(&output));
}

#[test]
fn damage_in_the_cache_is_found_and_fetched_again() {
    let mut cloud = Cloud::start();
    let paths = data(&cloud, 3, 600_000);
    let machine = Machine::with(&cloud);
    prefetched(&[], &[&machine.at("data")]);
    machine.unmount();
    let blocks = sh(&format!("find {} -type f -size +500k", machine.cache().join("blocks").display()));
    let blocks: Vec<&str> = blocks.lines().collect();
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    let file = File::options().read(true).write(true).open(blocks[0]).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 300_000).expect("reads");
    file.write_all_at(&[byte[0] ^ 1], 300_000).expect("writes");
    File::options().write(true).open(blocks[1]).expect("opens").set_len(10).expect("cuts");
    fs::remove_file(blocks[2]).expect("removes");
    machine.mount(&cloud);
    let told = prefetched(&[], &[&machine.at("data")]);
    assert!(told.contains("3 files, 1.7 MiB"), "{told}");
    cloud.kill();
    assert_readable(&machine, &paths, 600_000);
}

#[test]
fn what_is_changed_meanwhile_is_here_as_it_is_in_the_end() {
    let mut cloud = Cloud::start();
    let root = cloud.root();
    let [changed, removed] = ["changed", "removed"].map(|name| cloud.upload(name, &root, &bytes(1, 3_000_000)));
    let machine = Machine::with_flags(&cloud, &["--network-timeout", "2s"]);
    cloud.make_trouble(&["files.get_media:bandwidth,down=1000000"]);
    prefetched(&["--background"], &[&machine.at("changed"), &machine.at("removed")]);
    until(&machine, "fetching");
    cloud.rewrite(&changed, &bytes(2, 2_000_000));
    cloud.call("DELETE", &format!("/drive/v3/files/{removed}"), &[], None);
    eventually("it is heard", || (fs::metadata(machine.at("changed")).expect("stat").len() == 2_000_000).then_some(()));
    eventually("it is heard", || (!machine.at("removed").exists()).then_some(()));
    cloud.make_trouble(&[]);
    let done = until(&machine, "done");
    assert!(!done["failures"].to_string().contains("changed"), "{done}");
    cloud.kill();
    assert!(read(machine.at("changed")) == bytes(2, 2_000_000));
}

#[test]
fn who_reads_goes_before_what_is_prefetched() {
    let cloud = Cloud::start();
    data(&cloud, 400, 1000);
    cloud.upload("wanted", &cloud.root(), &bytes(5, 1000));
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["files.get_media:latency,ms=500"]);
    prefetched(&["--background"], &[&machine.at("data")]);
    until(&machine, "fetching");
    assert!(read(machine.at("wanted")) == bytes(5, 1000));
    let now = job(&machine);
    assert_eq!(now["state"], "fetching", "{now}");
    assert!(now["here"]["files"].as_u64() < Some(200), "in its turn it would be the last: {now}");
    prefetched(&["--stop"], &[&machine.drive()]);
}

#[test]
fn what_is_evicted_is_fetched_again_and_what_is_open_or_unsent_is_kept() {
    let cloud = Cloud::start();
    let paths = data(&cloud, 4, 300_000);
    let machine = Machine::with(&cloud);
    prefetched(&[], &[&machine.at("data")]);
    let mut open = File::open(machine.at("data/0")).expect("opens");
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    write(machine.at("data/mine"), bytes(7, 5000));
    let told = prefetched(&["--evict"], &[&machine.at("data")]);
    assert!(told.contains("freed 878 KiB: what was cached of 3 files"), "{told}");
    assert!(told.contains("kept 1 file, 4.8 KiB: not on the drive yet"), "{told}");
    assert!(told.contains("kept 1 file, 292 KiB: open, or being fetched"), "{told}");
    assert_eq!(machine.status()["cache"]["used_bytes"], 300_000_u64.next_multiple_of(4096));
    assert!(
        prefetched(&["--evict"], &[&machine.at("data/below/1"), &machine.at("data/below")])
            .contains("nothing was cached")
    );
    reset_meter(&cloud);
    let mut content = Vec::new();
    open.read_to_end(&mut content).expect("reads");
    assert!(content == bytes(0, 300_000));
    assert_eq!(downloads(&cloud), 0);
    assert_readable(&machine, &paths, 300_000);
    assert_eq!(downloads(&cloud), 3);
    assert!(read(machine.at("data/mine")) == bytes(7, 5000));
    let none = prefetch(&["--evict"], &[&machine.at("none"), &machine.at("data/below")]);
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(
        said(&none).contains("none is not there") && said(&none).contains("what was cached of 2 files"),
        "{}",
        said(&none)
    );
}

#[test]
fn exports_of_documents_and_what_an_edit_left_as_it_was_are_fetched_too() {
    let mut cloud = Cloud::start();
    let root = cloud.root();
    let document = json!({"name": "notes", "parents": [root], "mimeType": "application/vnd.google-apps.document"});
    let document = cloud.call("POST", "/drive/v3/files", &[], Some(document))["id"].as_str().expect("id").to_owned();
    cloud.rewrite(&document, b"text");
    let mut content = bytes(3, 3_000_000);
    cloud.upload("edited", &root, &content);
    let machine = Machine::with_flags(&cloud, &["--docs", "export", "--network-timeout", "2s"]);
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    let edited = File::options().write(true).open(machine.at("edited")).expect("opens");
    edited.write_all_at(b"new", 1_500_000).expect("writes");
    drop(edited);
    content[1_500_000..1_500_003].copy_from_slice(b"new");
    let told = prefetched(&[], &[&machine.drive()]);
    assert!(told.contains("2 files, "), "{told}");
    cloud.kill();
    assert!(read(machine.at("edited")) == content);
    assert_eq!(read(machine.at("notes.docx")), b"PK\x03\x04text");
    cloud.restart();
    let told = prefetched(&["--evict"], &[&machine.at("notes.docx")]);
    assert!(told.contains("freed 8 B: what was cached of 1 file"), "{told}");
}

#[test]
fn a_terminal_shows_a_line_that_moves_and_what_came_of_it() {
    let cloud = Cloud::start();
    data(&cloud, 40, 100_000);
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["files.get_media:latency,ms=400"]);
    for (columns, expected) in [(40, " MiB left"), (80, " of 3.8 MiB"), (120, " of 40 files")] {
        let place = machine.drive();
        let place = place.display();
        let line = format!("stty rows 20 cols {columns}; exec '{PROGRAM}' prefetch '{place}/data'");
        let shown = sh(&format!("script -qec \"{line}\" /dev/null; {PROGRAM} prefetch --evict {place}/data"));
        assert!(shown.contains(expected) && shown.contains("40 files, 3.8 MiB, in "), "{columns}: {shown:?}");
        for part in shown.split('\r') {
            let text = part.split('\n').next().unwrap_or_default();
            let cells = text.replace("\u{1b}[2K", "");
            let is_bar = cells.contains('%');
            assert!(!is_bar || plain_length(&cells) <= columns, "{columns}: {cells:?}");
        }
    }
}

/// The characters of a text without what moves the cursor or colours it.
fn plain_length(text: &str) -> usize {
    let mut length = 0;
    let mut is_escape = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => is_escape = true,
            c if is_escape => is_escape = !c.is_ascii_alphabetic(),
            _ => length += 1,
        }
    }
    length
}
