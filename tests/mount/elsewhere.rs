//! Somebody else uses the same drive at the same time.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use drivemount::ranges::RangeSet;
use serde_json::json;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, write};

/// Requests for listings so far.
fn listings(machine: &Machine) -> u64 {
    machine.status()["traffic"]["requests"]["files.list"]["count"].as_u64().unwrap_or(0)
}

#[test]
fn changes_made_elsewhere_arrive_by_themselves_and_without_a_listing() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let file = cloud.upload("file", &folder, b"first");
    let other = cloud.make_folder("other", &root);
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("folder/file")), b"first");
    assert_eq!(names(machine.at("other")), Vec::<String>::new());
    assert!(!machine.at("folder/new").exists(), "and the kernel remembers that");
    let before = listings(&machine);

    cloud.upload("new", &folder, b"new");
    eventually("a new file", || machine.at("folder/new").exists().then_some(()));
    assert_eq!(read(machine.at("folder/new")), b"new");
    assert_eq!(names(machine.at("folder")), ["file", "new"]);

    cloud.rewrite(&file, b"second, longer");
    eventually("new content", || (read(machine.at("folder/file")) == b"second, longer").then_some(()));
    assert_eq!(fs::metadata(machine.at("folder/file")).expect("stat").len(), 14);

    cloud.patch(&file, &[], json!({"name": "renamed"}));
    eventually("a new name", || machine.at("folder/renamed").exists().then_some(()));
    assert!(!machine.at("folder/file").exists());

    cloud.patch(&file, &[("addParents", &other), ("removeParents", &folder)], json!({}));
    eventually("a new place", || machine.at("other/renamed").exists().then_some(()));
    assert_eq!(names(machine.at("folder")), ["new"]);

    cloud.patch(&file, &[], json!({"modifiedTime": "2001-02-03T04:05:06.789Z"}));
    eventually("a new time", || {
        (fs::metadata(machine.at("other/renamed")).expect("stat").mtime() == 981_173_106).then_some(())
    });

    cloud.trash(&file);
    eventually("it is gone", || (!machine.at("other/renamed").exists()).then_some(()));
    cloud.patch(&file, &[], json!({"trashed": false}));
    eventually("it is back", || machine.at("other/renamed").exists().then_some(()));
    cloud.call("DELETE", &format!("/drive/v3/files/{folder}"), &[], None);
    eventually("the folder is gone with all in it", || (names(machine.drive()) == ["other"]).then_some(()));
    assert_eq!(listings(&machine), before, "no listing was needed");
}

#[test]
fn an_open_file_keeps_its_content_when_it_is_replaced_elsewhere() {
    let cloud = Cloud::start();
    let old = bytes(1, 3_000_000);
    let id = cloud.upload("file", &cloud.root(), &old);
    let machine = Machine::with(&cloud);
    let mut open = File::open(machine.at("file")).expect("opens");
    let mut start = vec![0; 1000];
    open.read_exact(&mut start).expect("reads");
    let number = open.metadata().expect("stat").ino();
    // All of it is here, since the drive will not have it any more.
    assert!(read(machine.at("file")) == old);

    let new = bytes(2, 2_000_000);
    cloud.rewrite(&id, &new);
    eventually("the name means the new content", || {
        (fs::metadata(machine.at("file")).expect("stat").len() == 2_000_000).then_some(())
    });
    assert!(read(machine.at("file")) == new);
    assert_ne!(fs::metadata(machine.at("file")).expect("stat").ino(), number);
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).expect("reads on");
    assert!([start, rest].concat() == old, "one content from the first byte to the last");
    assert_eq!(open.metadata().expect("stat").len(), 3_000_000);
    drop(open);
    assert!(read(machine.at("file")) == new);
}

#[test]
fn who_reads_what_is_deleted_for_good_elsewhere_hears_that_the_file_is_stale() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), &bytes(1, 30_000_000));
    let machine = Machine::with(&cloud);
    let open = File::open(machine.at("file")).expect("opens");
    cloud.call("DELETE", &format!("/drive/v3/files/{id}"), &[], None);
    let error = open.read_at(&mut [0; 1000], 20_000_000).expect_err("is not to be had");
    assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{error}");
}

#[test]
fn the_base_of_an_edit_is_taken_in_before_the_drive_drops_it() {
    let cloud = Cloud::start();
    let old = bytes(1, 20_000_000);
    let id = cloud.upload("data.bin", &cloud.root(), &old);
    let machine = Machine::with(&cloud);
    // So that it is not sent before the mount is killed.
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    let edit = OpenOptions::new().write(true).open(machine.at("data.bin")).expect("opens");
    // It must not be sent before the daemon is killed.
    cloud.make_trouble(&["uploads.start:answer,status=503"]);
    edit.write_all_at(b"ours", 5_000_000).expect("writes");
    edit.sync_all().expect("syncs");
    eventually("all of the base is here", || {
        (machine.status()["cache"]["staged_bytes"].as_u64()? == 20_000_000).then_some(())
    });
    // What a kill leaves is what the tables say.
    eventually("the tables know", || {
        let state = rusqlite::Connection::open(machine.cache().join("state.db")).ok()?;
        let written: Vec<u8> = state.query_row("SELECT written FROM layer", [], |row| row.get(0)).ok()?;
        (RangeSet::decode(&written)?.total() == 20_000_000).then_some(())
    });
    let requests = machine.status()["traffic"]["requests"]["download"]["count"].as_u64().expect("number");
    assert!(requests <= 4, "20 MB came in {requests} requests");
    machine.kill();
    cloud.make_trouble(&[]);
    cloud.rewrite(&id, b"theirs");
    machine.mount(&cloud);
    machine.flush();
    let copy = machine.status()["conflicts"][0]["copy"].as_str().expect("a conflict").to_owned();
    let mut expected = old;
    expected[5_000_000..5_000_004].copy_from_slice(b"ours");
    assert!(cloud.content(&cloud.id(&copy)) == expected, "every byte of ours");
    assert_eq!(cloud.content(&id), b"theirs");
}

#[test]
fn an_edit_of_a_version_that_is_gone_is_put_aside() {
    let cloud = Cloud::start();
    for (name, size) in [("small.bin", 1_000_000), ("large.bin", 20_000_000)] {
        let id = cloud.upload(name, &cloud.root(), &bytes(1, size));
        let machine = Machine::with(&cloud);
        let edit = OpenOptions::new().write(true).open(machine.at(name)).expect("opens");
        cloud.rewrite(&id, b"theirs");
        edit.write_all_at(b"ours", 500_000).expect("writes");
        drop(edit);
        machine.flush();
        assert_eq!(names(machine.drive()).iter().filter(|entry| entry.starts_with(&name[..5])).count(), 1);
        assert_eq!(read(machine.at(name)), b"theirs");
        let aside = machine.status()["set_aside"][0].clone();
        let why = aside["why"].as_str().expect("a reason");
        assert!(why.contains("gone from the drive"), "{why}");
        let kept = read(aside["kept"].as_str().expect("a path"));
        assert_eq!((kept.len(), &kept[500_000..500_004]), (size, &b"ours"[..]));
        assert_eq!(machine.status()["unsent"]["entries"], 0);
        eventually("its staging is put away", || names(machine.cache().join("staging")).is_empty().then_some(()));
    }
}

#[test]
fn the_same_bytes_uploaded_elsewhere_are_no_conflict() {
    let cloud = Cloud::start();
    let id = cloud.upload("log", &cloud.root(), b"common");
    let machine = Machine::with(&cloud);
    let mut open = OpenOptions::new().append(true).open(machine.at("log")).expect("opens");
    open.write_all(b" and ours").expect("writes");
    // A revision of its own, as when a request that was cut off arrives after it was repeated.
    cloud.rewrite(&id, b"common");
    drop(open);
    machine.flush();
    assert_eq!(cloud.content(&id), b"common and ours");
    assert_eq!(cloud.all().len(), 1);
    assert_eq!(machine.status()["conflicts"], json!([]));
}

#[test]
fn an_edit_on_both_sides_loses_neither() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let id = cloud.upload("notes.txt", &root, b"common");
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("notes.txt")), b"common");
    let mut open = OpenOptions::new().append(true).open(machine.at("notes.txt")).expect("opens");
    open.write_all(b" and ours").expect("writes");
    cloud.rewrite(&id, b"theirs");
    open.sync_all().expect("syncs");
    machine.flush();
    let copy = eventually("both are here", || {
        let names = names(machine.drive());
        (names.len() == 2).then(|| names.into_iter().find(|name| name != "notes.txt")).flatten()
    });
    assert!(copy.starts_with("notes (conflict ") && copy.ends_with(").txt"), "{copy}");
    assert_eq!(read(machine.at("notes.txt")), b"theirs");
    assert_eq!(read(machine.at(&copy)), b"common and ours");
    // Who has it open goes on writing to their own.
    open.write_all(b", still").expect("writes");
    drop(open);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("notes.txt")), b"theirs");
    assert_eq!(cloud.id("notes.txt"), id);
    assert_eq!(cloud.content(&cloud.id(&copy)), b"common and ours, still");
    let conflicts = machine.status()["conflicts"].clone();
    assert_eq!(conflicts[0]["path"], "notes.txt", "{conflicts}");
    assert_eq!(conflicts[0]["copy"], copy.as_str());
}

#[test]
fn an_edit_of_a_file_that_is_removed_elsewhere_survives() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let id = cloud.upload("file", &folder, b"0123456789");
    cloud.upload("clean", &folder, b"clean");
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("folder/file")), b"0123456789");
    let file = OpenOptions::new().write(true).open(machine.at("folder/file")).expect("opens");
    file.write_all_at(b"abc", 0).expect("writes");
    cloud.trash(&folder);
    file.sync_all().expect("syncs");
    drop(file);
    machine.flush();
    eventually("the edit is on the drive again, in a folder of its own", || {
        let files = cloud.files("name = 'file' and trashed = false");
        let file = files.first()?;
        (file["id"] != id.as_str() && cloud.content(file["id"].as_str()?) == b"abc3456789").then_some(())
    });
    assert_eq!(read(machine.at("folder/file")), b"abc3456789");
}

#[test]
fn what_was_moved_out_of_a_removed_folder_is_nothing_new_in_it() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    std::fs::create_dir_all(machine.at("folder/deep")).expect("makes");
    write(machine.at("folder/deep/kept"), b"kept");
    machine.flush();
    // The drive does not take the move for a while, and is asked to remove the folder meanwhile.
    cloud.make_trouble(&["files.update:answer,status=503"]);
    std::fs::rename(machine.at("folder/deep/kept"), machine.at("kept")).expect("moves");
    std::fs::remove_dir_all(machine.at("folder")).expect("removes");
    std::thread::sleep(Duration::from_secs(3));
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(names(machine.drive()), ["kept"]);
    assert_eq!(read(machine.at("kept")), b"kept");
    let left: Vec<String> = cloud.all().iter().map(|file| file["name"].to_string()).collect();
    assert_eq!(left, ["\"kept\""]);
}

#[test]
fn a_removed_folder_that_holds_something_new_comes_back() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let deep = cloud.make_folder("deep", &folder);
    cloud.upload("old", &deep, b"old");
    let mut machine = Machine::new();
    // The news must not arrive before the removal is sent.
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(names(machine.at("folder/deep")), ["old"]);
    fs::remove_dir_all(machine.at("folder")).expect("removes");
    cloud.upload("new", &deep, b"added elsewhere");
    machine.flush();
    let files = cloud.all();
    let left: Vec<&str> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    assert!(left.contains(&"new") && left.contains(&"folder") && !left.contains(&"old"), "{left:?}");
    assert_eq!(names(machine.at("folder/deep")), ["new"], "and is seen here");
    assert_eq!(read(machine.at("folder/deep/new")), b"added elsewhere");
}

#[test]
fn different_changes_of_one_entry_on_both_sides_are_merged() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let id = cloud.upload("file", &root, b"content");
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(names(machine.at("folder")), Vec::<String>::new());
    fs::set_permissions(machine.at("file"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    cloud.patch(&id, &[("addParents", &folder), ("removeParents", &root)], json!({"name": "moved"}));
    machine.flush();
    assert_eq!(names(machine.drive()), ["folder"]);
    assert_eq!(names(machine.at("folder")), ["moved"]);
    assert_eq!(fs::metadata(machine.at("folder/moved")).expect("stat").mode() & 0o777, 0o755);
}

#[test]
fn hostile_names_are_shown_and_can_be_used() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let long = "x".repeat(300);
    let hostile = [
        "a/b.txt",
        ".",
        "..",
        "",
        "new\nline",
        " blank ",
        "tab\t",
        "\u{1}",
        "e\u{301}",
        "\u{e9}",
        &long,
        "it's \\ \"quoted\"",
    ];
    for name in hostile {
        cloud.upload(name, &root, name.as_bytes());
    }
    for twin in 0..3_u8 {
        cloud.upload("twin.txt", &root, &[twin]);
        cloud.make_folder("twin.txt", &root);
    }
    let machine = Machine::with(&cloud);
    let shown = names(machine.drive());
    assert_eq!(shown.len(), hostile.len() + 6, "{shown:?}");
    assert_eq!(shown.iter().collect::<std::collections::HashSet<_>>().len(), shown.len(), "all different");
    let files: Vec<&String> = shown.iter().filter(|name| machine.at(name).is_file()).collect();
    let contents: Vec<Vec<u8>> = files.iter().map(|name| read(machine.at(name))).collect();
    for name in hostile {
        assert!(contents.contains(&name.as_bytes().to_vec()), "{name:?} can be read");
    }
    assert!(shown.contains(&"twin.txt".to_owned()) && shown.contains(&" blank ".to_owned()));
    let second = Machine::with(&cloud);
    assert_eq!(names(second.drive()), shown, "the same on every machine");
    // Each can be changed, renamed and removed.
    for name in &shown {
        if machine.at(name).is_file() {
            write(machine.at(name), b"rewritten");
            fs::rename(machine.at(name), machine.at("plain")).expect("renames");
            fs::remove_file(machine.at("plain")).expect("removes");
        } else {
            fs::remove_dir(machine.at(name)).expect("removes");
        }
    }
    machine.flush();
    assert_eq!(cloud.all(), Vec::<serde_json::Value>::new());
}

#[test]
fn documents_are_small_files_that_say_where_they_are() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let document = json!({"name": "Plan", "parents": [root], "mimeType": "application/vnd.google-apps.document"});
    let id = cloud.call("POST", "/drive/v3/files", &[], Some(document))["id"].as_str().expect("id").to_owned();
    let machine = Machine::with(&cloud);
    let text = read(machine.at("Plan.gdoc"));
    assert_eq!(fs::metadata(machine.at("Plan.gdoc")).expect("stat").len(), text.len() as u64);
    let said: serde_json::Value = serde_json::from_slice(&text).expect("json");
    assert_eq!(said["id"], id.as_str());
    let refused = OpenOptions::new().write(true).open(machine.at("Plan.gdoc")).expect_err("read-only");
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
    fs::rename(machine.at("Plan.gdoc"), machine.at("Plot.gdoc")).expect("renames");
    machine.flush();
    assert_eq!(cloud.file("Plot")["id"], id.as_str());
    fs::remove_file(machine.at("Plot.gdoc")).expect("removes");
    machine.flush();
    assert_eq!(cloud.all(), Vec::<serde_json::Value>::new());
}

#[test]
fn two_machines_work_on_one_drive() {
    let cloud = Cloud::start();
    let (one, two) = (Machine::with(&cloud), Machine::with(&cloud));
    assert_eq!(names(two.drive()), Vec::<String>::new());
    fs::create_dir(one.at("shared")).expect("makes");
    write(one.at("shared/from one"), b"1");
    one.flush();
    eventually("it is on the other machine", || two.at("shared/from one").exists().then_some(()));
    write(two.at("shared/from one"), b"2");
    two.flush();
    eventually("the change is back", || (read(one.at("shared/from one")) == b"2").then_some(()));
    for number in 0..30 {
        let (machine, name) = if number % 2 == 0 { (&one, "even") } else { (&two, "odd") };
        write(machine.at(&format!("shared/{name} {number}")), [number]);
    }
    one.flush();
    two.flush();
    for machine in [&one, &two] {
        eventually("all of it is on both", || (names(machine.at("shared")).len() == 31).then_some(()));
    }
}

#[test]
fn a_name_that_the_drive_never_knew_goes_to_who_wants_it_when_it_is_given_up() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("first"), "ours");
    machine.flush();
    cloud.make_trouble(&["files.update:answer,status=503"]);
    std::fs::rename(machine.at("first"), machine.at("wanted")).expect("renames");
    cloud.upload("wanted", &cloud.root(), b"theirs");
    eventually("theirs, under another name", || (names(machine.drive()).len() == 2).then_some(()));
    assert_eq!(read(machine.at("wanted")), b"ours", "what is not sent keeps its name");
    std::fs::rename(machine.at("wanted"), machine.at("last")).expect("renames");
    assert_eq!(names(machine.drive()), ["last", "wanted"]);
    assert_eq!(read(machine.at("wanted")), b"theirs");
    cloud.make_trouble(&[]);
    machine.flush();
}
