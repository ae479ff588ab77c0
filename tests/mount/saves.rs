//! Saving by a new file that is renamed over the old one: what the drive sees of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use md5::Digest;
use serde_json::{Value, json};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, write};

/// Writes a file so that it survives the loss of power.
fn write_synced(machine: &Machine, name: &str, content: &[u8]) {
    let mut file = File::create(machine.at(name)).expect("creates");
    file.write_all(content).expect("writes");
    file.sync_all().expect("syncs");
}

/// The names and ids of all that is on the drive or in its trash.
fn everything(cloud: &Cloud) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = cloud.all().into_iter().chain(cloud.files("trashed = true"));
    all.map(|file| (text(&file["name"]), text(&file["id"]))).collect()
}

/// Waits until the drive has a file of this name and this content; says its id.
fn sent(cloud: &Cloud, name: &str, content: &[u8]) -> String {
    eventually("it is on the drive", || {
        let file = cloud.files(&format!("name = '{name}' and trashed = false")).first().cloned()?;
        // By its checksum: it may go at any moment.
        let md5 = drivemount::remote::Md5(md5::Md5::digest(content).into()).to_string();
        (file["md5Checksum"] == md5.as_str()).then(|| file["id"].as_str().expect("id").to_owned())
    })
}

#[test]
fn a_hundred_saves_are_revisions_of_one_file_and_no_temporary_name_is_ever_seen() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(everything(&cloud));
                std::thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        for save in 0..100_u8 {
            write_synced(&machine, "last.ckpt.tmp", &[save; 10_000]);
            if save % 8 == 7 {
                std::thread::sleep(Duration::from_millis(1100));
            }
            fs::rename(machine.at("last.ckpt.tmp"), machine.at("last.ckpt")).expect("replaces");
            assert_eq!(read(machine.at("last.ckpt")), [save; 10_000]);
            if save % 5 == 0 {
                // Now and then there is time for the drive to have it.
                std::thread::sleep(Duration::from_millis(700));
            }
        }
        machine.flush();
        done.store(true, Ordering::Relaxed);
        look.join().expect("looked")
    });
    let id = cloud.id("last.ckpt");
    assert_eq!(seen, BTreeSet::from([("last.ckpt".to_owned(), id.clone())]), "at any time");
    assert_eq!(cloud.content(&id), [99; 10_000]);
    assert!((5..=100).contains(&cloud.uploads()), "many of them were revisions of it: {}", cloud.uploads());
    assert_eq!(machine.status()["conflicts"], json!([]));
}

#[test]
fn a_new_file_that_the_drive_has_already_becomes_a_revision_and_its_item_is_gone() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    // Small and large ones, and one of no bytes.
    for (save, size) in [100, 8 << 20, 0, 1000, 6 << 20].into_iter().enumerate() {
        let content = bytes(save as u64, size);
        write_synced(&machine, "scratch", &content);
        sent(&cloud, "scratch", &content);
        fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
        assert!(read(machine.at("last.ckpt")) == content);
        assert_eq!(names(machine.drive()), ["last.ckpt"]);
        if save % 2 == 1 {
            machine.flush();
            assert!(cloud.content(&id) == content);
        }
    }
    machine.flush();
    assert_eq!(everything(&cloud), BTreeSet::from([("last.ckpt".to_owned(), id.clone())]));
    assert!(cloud.content(&id) == bytes(4, 6 << 20));
    assert!((8..=11).contains(&cloud.uploads()), "each once or twice: {}", cloud.uploads());
    let status = machine.status();
    assert_eq!((&status["traffic"]["downloaded_bytes"], &status["conflicts"]), (&json!(0), &json!([])));
    eventually("nothing is staged any more", || names(machine.cache().join("staging")).is_empty().then_some(()));
    eventually("and nothing is counted", || (machine.status()["cache"]["staged_bytes"] == 0).then_some(()));
}

#[test]
fn who_looks_at_the_drive_sees_the_old_content_or_the_new_and_never_neither() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let content = |save: u8| vec![save; 300_000];
    write(machine.at("last.ckpt"), content(0));
    let id = sent(&cloud, "last.ckpt", &content(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let there = cloud.content(&id);
                assert!(there.len() == 300_000 && there.iter().all(|&byte| byte == there[0]));
            }
        });
        for save in 1..=5 {
            write_synced(&machine, "scratch", &content(save));
            let scratch = sent(&cloud, "scratch", &content(save));
            fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
            eventually("the new one is there, and only then the other one is gone", || {
                let temporary = cloud.try_call("GET", &format!("/drive/v3/files/{scratch}"), &[], None).0 == 200;
                let arrived = cloud.content(&id) == content(save);
                assert!(temporary || arrived, "neither");
                (!temporary).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(everything(&cloud).len(), 1);
}

#[test]
fn a_kill_between_the_rename_and_the_upload_changes_nothing_about_it() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    let content = bytes(1, 6 << 20);
    write_synced(&machine, "scratch", &content);
    sent(&cloud, "scratch", &content);
    eventually("it is in the cache", || names(machine.cache().join("staging")).is_empty().then_some(()));
    cloud.make_trouble(&["files.update+uploads.*:answer,status=503", "files.delete:answer,status=503"]);
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    machine.kill();
    machine.mount(&cloud);
    assert!(read(machine.at("last.ckpt")) == content);
    // Again over it, before anything of the first was sent; this time the cache is lost too.
    write_synced(&machine, "scratch", b"second");
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    machine.kill();
    fs::remove_dir_all(machine.cache().join("blocks")).expect("removes");
    machine.mount(&cloud);
    assert_eq!(read(machine.at("last.ckpt")), b"second");
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(everything(&cloud), BTreeSet::from([("last.ckpt".to_owned(), id.clone())]));
    assert_eq!(cloud.content(&id), b"second");
    assert_eq!(machine.status()["set_aside"], json!([]));
}

#[test]
fn if_the_cache_loses_the_content_before_it_is_sent_again_it_is_taken_from_the_temporary_item() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    let content = bytes(1, 6 << 20);
    write_synced(&machine, "scratch", &content);
    sent(&cloud, "scratch", &content);
    eventually("it is in the cache", || names(machine.cache().join("staging")).is_empty().then_some(()));
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    machine.kill();
    // As if nothing had been taken in yet, and the power was lost before the names of new files were on the disk.
    let state = rusqlite::Connection::open(machine.cache().join("state.db")).expect("opens");
    assert_eq!(state.execute("UPDATE layer SET written = x''", []).expect("writes"), 1);
    drop(state);
    for lost in ["blocks", "staging"] {
        fs::remove_dir_all(machine.cache().join(lost)).expect("removes");
    }
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(everything(&cloud), BTreeSet::from([("last.ckpt".to_owned(), id.clone())]));
    assert!(cloud.content(&id) == content && read(machine.at("last.ckpt")) == content);
}

#[test]
fn without_its_content_on_this_disk_a_new_file_is_moved_into_the_place_of_the_old_one() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let old = sent(&cloud, "last.ckpt", b"first");
    write(machine.at("scratch"), b"second");
    let new = sent(&cloud, "scratch", b"second");
    eventually("it is in the cache", || names(machine.cache().join("staging")).is_empty().then_some(()));
    let cleared = run(Command::new(PROGRAM).args(["cache", "clear"]).arg(machine.drive()));
    assert!(cleared.status.success(), "{}", said(&cleared));
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    machine.flush();
    assert_eq!(cloud.id("last.ckpt"), new);
    assert_eq!(cloud.files("trashed = true")[0]["id"], old.as_str());
    assert_eq!(read(machine.at("last.ckpt")), b"second");
}

#[test]
fn a_file_that_is_no_temporary_one_keeps_its_item_when_it_is_renamed_over_another() {
    let cloud = Cloud::start();
    let (old, best) = (cloud.upload("old", &cloud.root(), b"old"), cloud.upload("best", &cloud.root(), b"best"));
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("best")), b"best", "cached");
    fs::rename(machine.at("best"), machine.at("old")).expect("replaces");
    machine.flush();
    assert_eq!(cloud.id("old"), best);
    assert_eq!(cloud.files("trashed = true")[0]["id"], old.as_str());
}

#[test]
fn a_file_that_takes_over_an_identity_while_its_own_item_is_looked_at_is_no_conflict() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    write(machine.at("scratch"), b"second");
    sent(&cloud, "scratch", b"second");
    // The drive is asked what it has before an upload begins: that takes long enough for a rename.
    cloud.make_trouble(&["files.get:latency,ms=3000"]);
    write(machine.at("scratch"), b"third");
    eventually("it is about to be sent", || {
        (machine.status()["unsent"]["items"][0]["state"] == "uploading").then_some(())
    });
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    machine.flush();
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]), "nobody else wrote");
    assert_eq!(names(machine.drive()), ["last.ckpt"]);
    assert_eq!((cloud.id("last.ckpt"), cloud.content(&id)), (id.clone(), b"third".to_vec()));
}

#[test]
fn an_edit_made_elsewhere_meanwhile_is_kept_beside_what_was_saved() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    write(machine.at("scratch"), b"ours");
    let scratch = sent(&cloud, "scratch", b"ours");
    cloud.make_trouble(&["uploads.*:answer,status=503", "changes.list:lag,time=1h"]);
    fs::rename(machine.at("scratch"), machine.at("last.ckpt")).expect("replaces");
    // Somebody edits both of them.
    cloud.make_trouble(&["changes.list:lag,time=1h", "files.get+files.delete:latency,ms=1500"]);
    cloud.rewrite(&id, b"theirs");
    cloud.rewrite(&scratch, b"theirs too");
    cloud.make_trouble(&[]);
    machine.flush();
    let copy =
        eventually("a conflict copy", || names(machine.drive()).into_iter().find(|name| name.contains("(conflict")));
    assert_eq!((cloud.content(&id), cloud.content(&cloud.id(&copy))), (b"theirs".to_vec(), b"ours".to_vec()));
    let trashed = cloud.files("trashed = true");
    assert_eq!(trashed.len(), 1, "what somebody else wrote is not deleted for good: {trashed:?}");
    assert_eq!(trashed[0]["id"], scratch.as_str());
}

#[test]
fn who_renames_a_file_over_another_while_the_drive_is_asked_about_it_has_edited_nothing_elsewhere() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for name in ["notes", "draft"] {
        write(machine.at(name), name);
        sent(&cloud, name, name.as_bytes());
    }
    cloud.make_trouble(&["files.get:latency,ms=2000"]);
    write(machine.at("draft"), b"second");
    eventually("the drive is asked what it has", || {
        (machine.status()["unsent"]["items"][0]["state"] == "uploading").then_some(())
    });
    fs::rename(machine.at("draft"), machine.at("notes")).expect("replaces");
    machine.flush();
    assert_eq!(names(machine.drive()), ["notes"]);
    assert_eq!(read(machine.at("notes")), b"second");
    assert_eq!(cloud.content(&cloud.id("notes")), b"second");
    assert_eq!(machine.status()["conflicts"], json!([]));
}

#[test]
fn a_file_that_is_being_read_reads_the_same_after_it_is_renamed_over_another() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for name in ["notes", "the draft"] {
        write(machine.at(name), name);
        sent(&cloud, name, name.as_bytes());
    }
    eventually("nothing is unsent", || (machine.status()["unsent"]["entries"] == 0).then_some(()));
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!((read(machine.at("the draft")), read(machine.at("notes"))), (b"the draft".to_vec(), b"notes".to_vec()));
    let mut open = File::open(machine.at("the draft")).expect("opens");
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    fs::rename(machine.at("the draft"), machine.at("notes")).expect("replaces");
    assert_eq!(read(machine.at("notes")), b"the draft");
    cloud.make_trouble(&[]);
    machine.flush();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut content).expect("reads");
    assert_eq!(content, b"the draft");
    assert_eq!(read(machine.at("notes")), b"the draft");
    assert_eq!(cloud.content(&cloud.id("notes")), b"the draft");
}

#[test]
fn who_has_a_file_open_reads_it_after_it_was_saved_again_and_again() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("model"), b"the first");
    machine.flush();
    eventually("it is in the cache", || names(machine.cache().join("staging")).is_empty().then_some(()));
    let id = cloud.id("model");
    let revisions = || cloud.call("GET", &format!("/drive/v3/files/{id}/revisions"), &[], None);
    let first = revisions()["revisions"][0]["id"].as_str().expect("id").to_owned();
    let mut open = File::open(machine.at("model")).expect("opens");
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    for content in [b"the second", b"the third "] {
        write(machine.at("model.tmp"), content);
        fs::rename(machine.at("model.tmp"), machine.at("model")).expect("renames");
    }
    // What was renamed over is remembered for a second, and then its room is wanted.
    std::thread::sleep(Duration::from_millis(1500));
    cloud.make_trouble(&[]);
    machine.flush();
    assert!(!revisions().to_string().contains(&first), "the drive has it no more");
    let mut content = Vec::new();
    open.read_to_end(&mut content).expect("reads");
    assert_eq!(content, b"the first");
}

/// What the mount says of where an entry is on its way to the drive.
fn state_of(path: &Path) -> String {
    said(&run(Command::new("getfattr").args(["-n", "user.drivemount.state"]).arg(path)))
}

/// The requests that change an item, by the item: from when to when each was under way, in microseconds.
fn spans(cloud: &Cloud) -> BTreeMap<String, Vec<(i128, i128)>> {
    let mut spans: BTreeMap<String, Vec<(i128, i128)>> = BTreeMap::new();
    for entry in cloud.call("GET", "/admin/log", &[], None)["entries"].as_array().expect("a list") {
        let text = |key: &str| entry[key].as_str().expect("text");
        if matches!(text("method"), "uploads.simple" | "uploads.send" | "files.update") {
            let (_, item) = text("request").rsplit_once('/').expect("a path");
            let begun = text("time").parse::<jiff::Timestamp>().expect("a time").as_microsecond().into();
            let took: i128 = entry["microseconds"].as_u64().expect("a number").into();
            spans.entry(item.to_owned()).or_default().push((begun, begun + took));
        }
    }
    // What makes an item is said of all of them at one address.
    spans.remove("files");
    spans
}

#[test]
fn what_is_about_to_be_sent_when_it_replaces_another_waits_for_what_is_sent_of_that_one() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let files = 16_u64;
    for file in 0..files {
        write(machine.at(&format!("model {file}")), b"the first");
    }
    machine.flush();
    cloud.make_trouble(&["uploads.send:bandwidth,up=4M"]);
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        // Programs that change many files, beside which each entry waits for its turn before it is looked at.
        let (machine, busy) = (&machine, &busy);
        scope.spawn(move || {
            for number in 0.. {
                if !busy.load(Ordering::Relaxed) {
                    return;
                }
                write(machine.at(&format!("other {number}")), b"");
                if number % 20 == 0 {
                    std::thread::sleep(Duration::from_millis(250));
                }
            }
        });
        let saving: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    for file in (thread..files).step_by(4) {
                        let (name, draft) = (format!("model {file}"), format!("draft {file}"));
                        write(machine.at(&name), bytes(file, 6 << 20));
                        eventually("it is being sent", || {
                            state_of(&machine.at(&name)).contains("uploading").then_some(())
                        });
                        write(machine.at(&draft), b"the newest");
                        // About when it is due.
                        std::thread::sleep(Duration::from_millis(400 + 15 * file));
                        fs::rename(machine.at(&draft), machine.at(&name)).expect("renames");
                    }
                })
            })
            .collect();
        for thread in saving {
            thread.join().expect("saves");
        }
        busy.store(false, Ordering::Relaxed);
    });
    machine.flush();
    for (item, mut spans) in spans(&cloud) {
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0 + 1000, "{item}: two at a time: {spans:?}");
        }
    }
    for file in 0..files {
        assert_eq!(cloud.content(&cloud.id(&format!("model {file}"))), b"the newest");
    }
}

#[test]
fn a_folder_for_temporary_files_does_not_take_one_into_the_trash() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("last.ckpt"), b"first");
    let id = sent(&cloud, "last.ckpt", b"first");
    fs::create_dir(machine.at("work")).expect("makes");
    write(machine.at("work/out"), b"second");
    sent(&cloud, "out", b"second");
    fs::rename(machine.at("work/out"), machine.at("last.ckpt")).expect("replaces");
    fs::remove_dir(machine.at("work")).expect("removes");
    machine.flush();
    assert_eq!(cloud.content(&id), b"second");
    let names: Vec<String> = everything(&cloud).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["last.ckpt", "work"], "nothing but the folder is in the trash");
}
