//! Large files are sent while they are still written.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, write};

const MIB: usize = 1 << 20;

/// A machine that takes nothing for written before somebody says so.
fn machine(cloud: &Cloud) -> Machine {
    Machine::with_flags(cloud, &["--sync-interval", "1h"])
}

fn unsealed(machine: &Machine) -> u64 {
    machine.status()["unsent"]["unsealed_bytes"].as_u64().expect("number")
}

fn uploaded(machine: &Machine) -> u64 {
    machine.status()["traffic"]["uploaded_bytes"].as_u64().expect("number")
}

/// Waits until nearly all of what is written to files that are open was sent.
fn sent_ahead(machine: &Machine) {
    eventually("what is written is sent", || (unsealed(machine) < 2 * MIB as u64).then_some(()));
}

fn seen(cloud: &Cloud) -> Vec<String> {
    let everything = cloud.files("trashed = true").into_iter().chain(cloud.all());
    everything.map(|file| file["name"].as_str().expect("name").to_owned()).collect()
}

#[test]
fn a_file_that_is_written_is_with_the_drive_before_it_is_closed_and_seen_there_after() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    let content = bytes(1, 70 * MIB + 12_345);
    let mut file = File::create(machine.at("model.bin")).expect("creates");
    file.write_all(&content[..20 * MIB]).expect("writes");
    sent_ahead(&machine);
    file.write_all(&content[20 * MIB..70 * MIB]).expect("writes");
    sent_ahead(&machine);
    assert_eq!(cloud.all(), Vec::<Value>::new(), "the drive never shows a part of a file");
    file.write_all(&content[70 * MIB..]).expect("writes");
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("model.bin")) == content);
    assert_eq!(uploaded(&machine), content.len() as u64, "each byte once");
    let there = cloud.file("model.bin")["modifiedTime"].as_str().expect("time").to_owned();
    let here = fs::metadata(machine.at("model.bin")).expect("stat").modified().expect("time");
    let here = here.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let there = drivemount::clock::Timestamp::parse_rfc3339(&there).expect("time").millis();
    assert_eq!(u128::try_from(there).expect("after 1970"), here, "the time of the last write");
}

#[test]
fn an_existing_file_that_is_written_anew_is_sent_ahead_too() {
    let cloud = Cloud::start();
    let id = cloud.upload("model.bin", &cloud.root(), &bytes(9, 3 * MIB));
    let machine = machine(&cloud);
    let content = bytes(1, 40 * MIB);
    let mut file = File::create(machine.at("model.bin")).expect("opens");
    file.write_all(&content).expect("writes");
    sent_ahead(&machine);
    assert!(cloud.content(&id) == bytes(9, 3 * MIB));
    drop(file);
    machine.flush();
    assert!(cloud.content(&id) == content);
    assert_eq!(uploaded(&machine), content.len() as u64);
}

#[test]
fn a_write_into_what_was_sent_is_not_lost() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    let mut content = bytes(1, 40 * MIB);
    let mut file = File::create(machine.at("data.h5")).expect("creates");
    file.write_all(&content).expect("writes");
    sent_ahead(&machine);
    let head = bytes(2, 4096);
    file.write_all_at(&head, 100).expect("writes");
    content[100..100 + head.len()].copy_from_slice(&head);
    file.write_all(&content[..MIB]).expect("writes");
    content.extend_from_within(..MIB);
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("data.h5")) == content);
    assert!(!machine.log().contains("other bytes than were sent"), "and was never sent wrongly");
}

#[test]
fn a_file_that_is_emptied_and_written_again_is_what_it_is_then() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    let mut file = File::create(machine.at("a")).expect("creates");
    file.write_all(&bytes(1, 40 * MIB)).expect("writes");
    sent_ahead(&machine);
    file.sync_all().expect("syncs");
    file.set_len(0).expect("empties");
    file.write_all_at(&bytes(2, 30 * MIB), 0).expect("writes");
    sent_ahead(&machine);
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("a")) == bytes(2, 30 * MIB));
}

#[test]
fn what_arrived_without_an_answer_counts_as_sent() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    cloud.make_trouble(&["uploads.send:lose-answer,nth=2", "uploads.send:lose-answer,nth=6"]);
    let content = bytes(3, 60 * MIB + 77);
    let mut file = File::create(machine.at("model.bin")).expect("creates");
    file.write_all(&content[..30 * MIB]).expect("writes");
    sent_ahead(&machine);
    file.write_all(&content[30 * MIB..]).expect("writes");
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("model.bin")) == content);
    assert_eq!(uploaded(&machine), content.len() as u64);
}

#[test]
fn a_save_by_rename_is_sent_ahead_as_what_it_is_to_be() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    let mut ids = HashSet::new();
    for (round, temporary) in
        ["last.ckpt.tmp", "last.ckpt.tmp", ".last.ckpt.Ab12Cd", "last.ckpt.part"].iter().enumerate()
    {
        let (before, content) = (uploaded(&machine), bytes(round as u64, 30 * MIB + round));
        let mut file = File::create(machine.at(temporary)).expect("creates");
        file.write_all(&content).expect("writes");
        sent_ahead(&machine);
        file.sync_all().expect("syncs");
        drop(file);
        fs::rename(machine.at(temporary), machine.at("last.ckpt")).expect("renames");
        machine.flush();
        assert_eq!(seen(&cloud), ["last.ckpt"], "one file, and no temporary one");
        ids.insert(cloud.id("last.ckpt"));
        assert!(cloud.content(&cloud.id("last.ckpt")) == content);
        assert_eq!(uploaded(&machine) - before, content.len() as u64, "each byte once");
    }
    assert_eq!(ids.len(), 1, "the identity stays");
}

#[test]
fn what_a_temporary_name_is_for_is_learned() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    for round in 0..3 {
        let (before, content) = (uploaded(&machine), bytes(round, 30 * MIB));
        // As `tempfile` names it: nothing tells what it will be.
        let temporary = machine.at(&format!("tmpab{round}_xyz"));
        let mut file = File::create(&temporary).expect("creates");
        file.write_all(&content).expect("writes");
        sent_ahead(&machine);
        drop(file);
        fs::rename(&temporary, machine.at("last.ckpt")).expect("renames");
        machine.flush();
        assert_eq!(cloud.all().len(), 1);
        assert!(cloud.content(&cloud.id("last.ckpt")) == content);
        // The first is a new file; for the second nothing was known.
        if round == 2 {
            assert_eq!(uploaded(&machine) - before, content.len() as u64);
        }
    }
}

#[test]
fn a_wrong_guess_changes_nothing() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    write(machine.at("model.ckpt"), b"the one");
    machine.flush();
    let content = bytes(1, 30 * MIB);
    let mut file = File::create(machine.at("model.ckpt.tmp")).expect("creates");
    file.write_all(&content).expect("writes");
    sent_ahead(&machine);
    drop(file);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("model.ckpt")), b"the one");
    assert!(cloud.content(&cloud.id("model.ckpt.tmp")) == content);
    assert_eq!(cloud.all().len(), 2);
}

#[test]
fn what_is_removed_while_it_is_sent_ahead_never_comes_into_being() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    let mut file = File::create(machine.at("gone")).expect("creates");
    file.write_all(&bytes(1, 30 * MIB)).expect("writes");
    sent_ahead(&machine);
    fs::remove_file(machine.at("gone")).expect("removes");
    file.write_all(&bytes(1, 30 * MIB)).expect("writes on, for itself");
    drop(file);
    machine.flush();
    assert_eq!(seen(&cloud), Vec::<String>::new());
    eventually("its staging is put away", || names(machine.cache().join("staging")).is_empty().then_some(()));
}

#[test]
fn a_kill_after_the_close_goes_on_with_what_was_sent_before_it() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M"]);
    let content = bytes(7, 96 * MIB);
    let mut file = File::create(machine.at("large")).expect("creates");
    file.write_all(&content).expect("writes");
    let sent = eventually("it is sent ahead", || {
        Some(content.len() as u64 - unsealed(&machine)).filter(|&sent| sent > 24 * MIB as u64)
    });
    drop(file);
    machine.kill();
    assert_eq!(cloud.all(), Vec::<Value>::new());
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    let again = uploaded(&machine);
    assert!(again <= content.len() as u64 - sent + 8 * MIB as u64, "{again} bytes after the kill, {sent} before it");
}

#[test]
fn a_kill_before_the_close_leaves_no_trace_on_the_drive() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    write(machine.at("kept"), b"as it was");
    machine.flush();
    let mut new = File::create(machine.at("new")).expect("creates");
    let mut kept = File::create(machine.at("kept")).expect("opens");
    new.write_all(&bytes(1, 30 * MIB)).expect("writes");
    kept.write_all(&bytes(2, 30 * MIB)).expect("writes");
    sent_ahead(&machine);
    machine.kill();
    drop((new, kept));
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(seen(&cloud), ["kept"]);
    assert_eq!(cloud.content(&cloud.id("kept")), b"as it was");
    // And what has the name next is not mixed up with it.
    write(machine.at("new"), bytes(3, 30 * MIB));
    machine.flush();
    assert!(cloud.content(&cloud.id("new")) == bytes(3, 30 * MIB));
}

#[test]
fn trouble_on_the_way_costs_only_time() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    cloud.make_trouble(&[
        "uploads.*:cut-request,after=0-3000000,share=0.3",
        "uploads.*:store-less,part=0-99,share=0.3",
        "uploads.*:move-session,share=0.2",
        "uploads.*:answer,status=503,share=0.1",
        "uploads.*:bandwidth,up=60M",
    ]);
    let content = bytes(5, 64 * MIB);
    let mut file = File::create(machine.at("large")).expect("creates");
    for piece in content.chunks(4 * MIB) {
        file.write_all(piece).expect("writes");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    assert_eq!(cloud.all().len(), 1);
}

#[test]
fn what_is_saved_more_often_than_it_can_be_sent_arrives_now_and_then() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    write(machine.at("last.ckpt"), b"the first");
    machine.flush();
    let id = cloud.id("last.ckpt");
    // Two seconds a save, and a save every half second.
    cloud.make_trouble(&["uploads.*:bandwidth,up=12M,shared=true"]);
    let enough = AtomicBool::new(false);
    let arrived = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                write(machine.at("last.ckpt.tmp"), bytes(round, 24 * MIB));
                fs::rename(machine.at("last.ckpt.tmp"), machine.at("last.ckpt")).expect("renames");
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        });
        let arrived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut revisions = HashSet::new();
            eventually("three saves arrive", || {
                revisions.insert(cloud.file("last.ckpt")["headRevisionId"].as_str().expect("id").to_owned());
                (revisions.len() > 3).then_some(())
            });
        }));
        enough.store(true, Ordering::Relaxed);
        arrived
    });
    assert!(arrived.is_ok(), "nothing arrived while it was saved");
    cloud.make_trouble(&[]);
    machine.flush();
    assert!(cloud.content(&id) == read(machine.at("last.ckpt")));
    assert_eq!(seen(&cloud), ["last.ckpt"]);
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]));
}

#[test]
fn a_save_over_one_that_is_not_there_yet_waits_for_it_and_takes_nothing_of_the_line_from_it() {
    let cloud = Cloud::start();
    let machine = machine(&cloud);
    cloud.make_trouble(&["uploads.*:bandwidth,up=8M,shared=true"]);
    let (first, second) = (bytes(1, 24 * MIB), bytes(2, 24 * MIB));
    write(machine.at("last.ckpt.tmp"), &first);
    fs::rename(machine.at("last.ckpt.tmp"), machine.at("last.ckpt")).expect("renames");
    let mut file = File::create(machine.at("last.ckpt.tmp")).expect("creates");
    file.write_all(&second).expect("writes");
    let there = eventually("the first is there", || cloud.all().pop());
    assert!(uploaded(&machine) < 30 * MIB as u64, "{} bytes went for the first", uploaded(&machine));
    sent_ahead(&machine);
    drop(file);
    fs::rename(machine.at("last.ckpt.tmp"), machine.at("last.ckpt")).expect("renames");
    machine.flush();
    assert_eq!(cloud.file("last.ckpt")["id"], there["id"]);
    assert!(cloud.content(&cloud.id("last.ckpt")) == second);
    assert!(uploaded(&machine) < 54 * MIB as u64, "{} bytes went for both", uploaded(&machine));
}
