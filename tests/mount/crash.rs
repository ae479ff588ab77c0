//! The daemon is killed; nothing that was promised is lost.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, sh, wait_for_end, write};

#[test]
fn a_file_closed_before_a_kill_reaches_the_drive_once() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    // Killed before the entries have rested long enough to be sent.
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/closed"), b"closed and not sent");
    machine.kill();
    assert_eq!(cloud.all(), Vec::<Value>::new(), "killed before anything was sent");
    machine.mount(&cloud);
    assert_eq!(read(machine.at("folder/closed")), b"closed and not sent", "at once, sent or not");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("closed")), b"closed and not sent");
    assert_eq!(cloud.all().len(), 2, "the folder and the file, once each");
}

#[test]
fn kills_in_the_middle_of_sending_make_no_second_file() {
    const FILES: u64 = 60;
    const ROUNDS: u64 = 10;
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut hits = 0;
    for round in 0..ROUNDS {
        for number in 0..FILES {
            write(machine.at(&format!("file {number}")), bytes(round * 100 + number, 20_000));
        }
        fs::create_dir(machine.at(&format!("folder {round}"))).expect("makes");
        write(machine.at(&format!("folder {round}/in it {round}")), bytes(round, 1000));
        // Each round a little later: from the first answer on.
        let left = eventually("enough was sent", || {
            let left = machine.status()["unsent"]["entries"].as_u64().expect("number");
            (left + 5 * round < FILES).then_some(left)
        });
        hits += u64::from(left > 0);
        machine.kill();
        machine.mount(&cloud);
    }
    assert!(hits >= ROUNDS / 3, "only {hits} of the kills hit something unsent: that shows nothing");
    machine.flush();
    let files = cloud.all();
    let names: std::collections::HashSet<&str> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    assert_eq!(
        (files.len() as u64, names.len() as u64),
        (FILES + 2 * ROUNDS, FILES + 2 * ROUNDS),
        "each once: {names:?}"
    );
    for number in 0..FILES {
        let id = cloud.id(&format!("file {number}"));
        assert!(cloud.content(&id) == bytes((ROUNDS - 1) * 100 + number, 20_000));
    }
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]), "our own revisions are no conflict");
}

#[test]
fn a_kill_during_a_large_upload_sends_the_rest() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let content = bytes(7, 96 << 20);
    // Slowly enough that it is under way for some seconds, on whatever machine.
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M"]);
    write(machine.at("large"), &content);
    let sent = eventually("the upload is under way", || {
        let item = machine.status()["unsent"]["items"][0].clone();
        item["sent"].as_u64().filter(|&sent| sent > 8 << 20)
    });
    machine.kill();
    assert_eq!(cloud.all(), Vec::<Value>::new(), "no part of a file is ever seen");
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    let again = machine.status()["traffic"]["uploaded_bytes"].as_u64().expect("number");
    assert!(
        again < (96 << 20) - sent / 2,
        "{again} bytes were sent after the kill, of which {sent} had been sent before"
    );
    eventually("its staging is put away", || names(machine.cache().join("staging")).is_empty().then_some(()));
}

#[test]
fn what_was_synced_and_never_closed_survives_a_kill() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("old"), b"old content");
    machine.flush();
    let mut new = File::create(machine.at("new")).expect("creates");
    new.write_all(b"synced").expect("writes");
    new.sync_all().expect("syncs");
    new.write_all(b", and not").expect("writes");
    let old = OpenOptions::new().write(true).open(machine.at("old")).expect("opens");
    old.write_all_at(b"OLD", 0).expect("writes");
    old.sync_data().expect("syncs");
    old.write_all_at(b"torn", 2).expect("writes into what was synced");
    machine.kill();
    drop((new, old));
    machine.mount(&cloud);
    assert_eq!(read(machine.at("new")), b"synced");
    assert_eq!(read(machine.at("old")), b"OLD content", "the synced state, not a mixture");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("new")), b"synced");
    assert_eq!(cloud.content(&cloud.id("old")), b"OLD content");
}

#[test]
fn what_was_cut_and_never_closed_is_as_it_was() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("log"), b"as it was");
    let log = OpenOptions::new().write(true).open(machine.at("log")).expect("opens");
    log.set_len(0).expect("cuts");
    log.write_all_at(b"as", 0).expect("writes");
    machine.kill();
    drop(log);
    machine.mount(&cloud);
    assert_eq!(read(machine.at("log")), b"as it was");
    // Nobody has it open, so nobody else will say that it is whole.
    write(machine.at("other"), b"as it was");
    sh(&format!("truncate --size 2 '{}'", machine.at("other").display()));
    machine.kill();
    machine.mount(&cloud);
    assert_eq!(read(machine.at("other")), b"as");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("log")), b"as it was");
    assert_eq!(cloud.content(&cloud.id("other")), b"as");
}

#[test]
fn what_was_never_closed_is_put_aside_and_not_sent() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("kept"), b"as it was");
    machine.flush();
    let mut new = File::create(machine.at("half.bin")).expect("creates");
    new.write_all(b"half of it").expect("writes");
    let mut kept = OpenOptions::new().write(true).truncate(true).open(machine.at("kept")).expect("opens");
    kept.write_all(b"half").expect("writes");
    machine.kill();
    drop((new, kept));
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["kept"]);
    assert_eq!(read(machine.at("kept")), b"as it was");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("kept")), b"as it was");
    let aside = machine.cache().join("unfinished");
    let found: Vec<Vec<u8>> = names(&aside).iter().map(|name| read(aside.join(name))).collect();
    assert!(found.contains(&b"half of it".to_vec()), "{:?}", names(&aside));
    assert!(machine.log().contains("half.bin"), "and the log says so");
    assert_eq!(machine.status()["set_aside"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_cannot_be_sent_any_more_is_put_aside_once_though_the_mount_is_killed_then() {
    let cloud = Cloud::start();
    let id = cloud.upload("data.bin", &cloud.root(), &bytes(1, 1_000_000));
    let mut machine = Machine::new();
    // When it was put aside, and its staging file is still there.
    machine.environment = vec![("DRIVEMOUNT_CRASH_AT".to_owned(), "put-away-begun:1".to_owned())];
    machine.mount(&cloud);
    let pid = machine.pid();
    let edit = OpenOptions::new().write(true).open(machine.at("data.bin")).expect("opens");
    cloud.rewrite(&id, b"theirs");
    edit.write_all_at(b"ours", 500_000).expect("writes");
    drop(edit);
    wait_for_end(pid);
    machine.environment.clear();
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(read(machine.at("data.bin")), b"theirs");
    let aside = machine.status()["set_aside"].clone();
    assert_eq!(aside.as_array().map(Vec::len), Some(1), "{aside}");
    assert!(aside[0]["why"].as_str().expect("a reason").contains("gone from the drive"), "{aside}");
    assert_eq!(names(machine.cache().join("staging")), [""; 0], "nothing is left of it");
}

#[test]
fn a_file_that_is_replaced_just_before_its_upload_begins_is_no_conflict_after_a_kill() {
    let cloud = Cloud::start();
    let mut machine = Machine::new();
    // When the drive has taken content for the second time, and nobody here has heard of it.
    machine.environment = vec![("DRIVEMOUNT_CRASH_AT".to_owned(), "put-answered:2".to_owned())];
    machine.mount(&cloud);
    write(machine.at("file"), b"first");
    machine.flush();
    let pid = machine.pid();
    // The drive is asked what it has before an upload begins: that takes long enough for a save.
    cloud.make_trouble(&["files.get:latency,ms=3000"]);
    write(machine.at("file"), b"second");
    eventually("it is about to be sent", || {
        (machine.status()["unsent"]["items"][0]["state"] == "uploading").then_some(())
    });
    write(machine.at("beside"), b"third");
    fs::rename(machine.at("beside"), machine.at("file")).expect("renames");
    wait_for_end(pid);
    cloud.make_trouble(&[]);
    machine.environment.clear();
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]), "our own revisions are no conflict");
    assert_eq!(names(machine.drive()), ["file"]);
    assert_eq!(cloud.content(&cloud.id("file")), b"third");
}

#[test]
fn what_replaces_a_file_while_it_is_open_is_there_after_a_kill() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("sent"), b"the first");
    machine.flush();
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    for name in ["sent", "new"] {
        write(machine.at(name), b"the second, closed");
        let mut open = File::create(machine.at("beside")).expect("creates");
        open.write_all(b"the third").expect("writes");
        fs::rename(machine.at("beside"), machine.at(name)).expect("renames");
        open.write_all(b", and what came after").expect("writes");
        // Not closed before the kill, and after it nobody hears of that.
        std::mem::forget(open);
    }
    machine.kill();
    machine.mount(&cloud);
    let is_there = || names(machine.drive()).into_iter().map(|name| (name.clone(), read(machine.at(&name))));
    let whole: Vec<_> = ["new", "sent"].map(|name| (name.to_owned(), b"the third".to_vec())).into();
    assert_eq!(is_there().collect::<Vec<_>>(), whole);
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(is_there().collect::<Vec<_>>(), whole);
    for name in ["sent", "new"] {
        assert_eq!(cloud.content(&cloud.id(name)), b"the third");
    }
}

#[test]
fn a_server_that_dies_under_uploads_costs_only_time() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    // Slowly enough that it is under way for some time, on whatever machine.
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M"]);
    let content = bytes(3, 30 << 20);
    write(machine.at("large"), &content);
    for number in 0..20 {
        write(machine.at(&format!("{number}")), b"small");
    }
    eventually("the upload is under way", || {
        let items = machine.status()["unsent"]["items"].clone();
        items.as_array()?.iter().any(|item| item["sent"].as_u64().is_some_and(|sent| sent > 0)).then_some(())
    });
    cloud.kill();
    write(machine.at("written while it was away"), b"here");
    assert_eq!(read(machine.at("3")), b"small", "what is here is here");
    cloud.restart();
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    assert_eq!(cloud.all().len(), 22);
}

#[test]
fn a_lost_machine_loses_only_what_was_not_on_the_drive() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("flushed"), bytes(1, 3_000_000));
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/too"), b"too");
    machine.flush();
    // Nothing gets there any more, however long the rest takes.
    cloud.kill();
    write(machine.at("not flushed"), b"lost");
    machine.kill();
    cloud.restart();
    machine.lose_cache();
    machine.mount(&cloud);
    assert!(read(machine.at("flushed")) == bytes(1, 3_000_000));
    assert_eq!(read(machine.at("folder/too")), b"too");
    assert_eq!(names(machine.drive()), ["flushed", "folder"]);
}
