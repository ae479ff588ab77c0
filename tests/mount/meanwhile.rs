//! What was asked of the drive and has no answer yet, while the tree goes on changing, here and elsewhere.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::json;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, sh, write};

/// A mount that hears of changes made elsewhere only when it is told to look.
fn deaf(cloud: &Cloud, flags: &[&str]) -> Machine {
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    machine.mount(cloud);
    machine
}

fn sent(machine: &Machine) -> u64 {
    machine.status()["unsent"]["items"][0]["sent"].as_u64().unwrap_or(0)
}

fn trash(cloud: &Cloud) -> Vec<String> {
    cloud.files("trashed = true").iter().map(|file| file["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_left_a_folder_without_an_answer_is_removed_though_the_folder_is_too() {
    let cloud = Cloud::start();
    let machine = deaf(&cloud, &[]);
    fs::create_dir_all(machine.at("outer/inner")).expect("makes");
    for place in ["outer/one", "outer/inner/two"] {
        write(machine.at(place), bytes(1, 5000));
    }
    machine.flush();
    // Each is done, and nobody hears of it.
    cloud.make_trouble(&["files.update:lose-answer"]);
    let root = cloud.root();
    for (from, to) in [("outer/one", "one"), ("outer/inner/two", "two")] {
        fs::rename(machine.at(from), machine.at(to)).expect("moves");
        eventually("it is there", || (cloud.file(to)["parents"] == json!([root])).then_some(()));
        fs::remove_file(machine.at(to)).expect("removes");
    }
    for folder in ["outer/inner", "outer"] {
        fs::remove_dir(machine.at(folder)).expect("removes");
    }
    cloud.make_trouble(&[]);
    machine.flush();
    let left = cloud.all();
    assert!(left.is_empty(), "{left:?}");
    assert!(names(machine.drive()).is_empty());
}

#[test]
fn what_is_removed_before_it_left_a_removed_folder_goes_with_it() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/file"), b"content");
    machine.flush();
    // It cannot leave before the drive has the folder that it goes to.
    cloud.make_trouble(&["files.create:answer,status=503"]);
    fs::create_dir(machine.at("other")).expect("makes");
    fs::rename(machine.at("folder/file"), machine.at("other/file")).expect("moves");
    fs::remove_dir(machine.at("folder")).expect("removes");
    // Each time that fails, whatever changed before has been looked at.
    let failures = || machine.log().matches("files.create").count();
    eventually("the folder waits for it to leave", || (failures() > 0).then_some(()));
    fs::remove_file(machine.at("other/file")).expect("removes");
    let so_far = failures();
    eventually("it waits for nothing that waits for it", || (failures() > so_far).then_some(()));
    cloud.make_trouble(&[]);
    let left = || cloud.all().iter().map(|file| file["name"].to_string()).collect::<Vec<_>>();
    eventually("by itself", || (left() == ["\"other\""]).then_some(()));
    machine.flush();
}

#[test]
fn what_is_moved_out_of_a_folder_while_it_is_sent_arrives_though_the_folder_is_removed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for folder in ["downloads", "kept"] {
        fs::create_dir(machine.at(folder)).expect("makes");
    }
    machine.flush();
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M"]);
    let content = bytes(3, 40 << 20);
    write(machine.at("downloads/large"), &content);
    eventually("it is being sent", || (sent(&machine) > 4 << 20).then_some(()));
    fs::rename(machine.at("downloads/large"), machine.at("kept/large")).expect("moves");
    fs::remove_dir(machine.at("downloads")).expect("removes");
    eventually("the folder is removed", || trash(&cloud).contains(&"downloads".to_owned()).then_some(()));
    cloud.make_trouble(&[]);
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    assert_eq!(cloud.file("large")["parents"], json!([cloud.id("kept")]));
}

#[test]
fn what_is_saved_below_a_root_that_is_removed_elsewhere_waits_and_says_so() {
    let cloud = Cloud::start();
    let root = cloud.make_folder("project", &cloud.root());
    let mut machine = Machine::new();
    machine.arguments.extend(["--root", "project"].map(str::to_owned));
    machine.mount(&cloud);
    cloud.trash(&root);
    write(machine.at("file"), b"content");
    eventually("the reason", || {
        let reason = machine.status()["unsent"]["items"][0]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("root of this mount").then_some(())
    });
    let made = trash(&cloud).iter().filter(|name| *name == "file").count();
    assert!(made <= 3, "{made} items were made in the trash");
    assert_eq!(read(machine.at("file")), b"content");
    cloud.patch(&root, &[], json!({"trashed": false}));
    machine.flush();
    assert_eq!(cloud.all().iter().filter(|file| file["name"] == "file" && file["trashed"] == false).count(), 1);
}

#[test]
fn what_others_put_into_a_folder_that_was_made_here_and_not_heard_of_stays() {
    let cloud = Cloud::start();
    let machine = deaf(&cloud, &[]);
    cloud.make_trouble(&["files.create:lose-answer"]);
    fs::create_dir(machine.at("folder")).expect("makes");
    let folder = eventually("it is there", || cloud.all().first().map(|file| file["id"].clone()));
    cloud.make_trouble(&["files.*:answer,status=503"]);
    fs::remove_dir(machine.at("folder")).expect("removes");
    cloud.make_trouble(&[]);
    cloud.upload("theirs", folder.as_str().expect("id"), b"precious");
    machine.flush();
    let mut left: Vec<_> = cloud.all().iter().map(|file| file["name"].to_string()).collect();
    left.sort();
    assert_eq!(left, ["\"folder\"", "\"theirs\""]);
}

#[test]
fn what_others_changed_in_a_folder_that_is_removed_is_not_deleted_for_good() {
    let cloud = Cloud::start();
    let machine = deaf(&cloud, &["--use-trash", "auto"]);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/file"), b"ours");
    machine.flush();
    cloud.rewrite(&cloud.id("file"), b"theirs");
    sh(&format!("rm -r {}", machine.at("folder").display()));
    machine.flush();
    assert!(cloud.all().is_empty());
    assert!(trash(&cloud).contains(&"file".to_owned()), "{:?}", trash(&cloud));
}

#[test]
fn a_removal_of_much_of_which_some_was_temporary_comes_to_an_end() {
    let cloud = Cloud::start();
    let old = cloud.make_folder("old", &cloud.root());
    cloud.upload("in it", &old, b"x");
    let machine = Machine::with_flags(&cloud, &["--use-trash", "auto"]);
    assert_eq!(names(machine.at("old")), ["in it"]);
    fs::create_dir(machine.at("old/runs")).expect("makes");
    write(machine.at("old/runs/model"), b"first");
    write(machine.at("old/runs/next"), b"second");
    machine.flush();
    // The drive has the new one already, which is no more than a step then.
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    fs::rename(machine.at("old/runs/next"), machine.at("old/runs/model")).expect("renames");
    sh(&format!("rm -r {}", machine.at("old").display()));
    cloud.make_trouble(&[]);
    eventually("all is gone, by itself", || cloud.all().is_empty().then_some(()));
    machine.flush();
}

#[test]
fn what_is_being_written_stays_one_file_when_its_folder_is_moved_to_where_nobody_looked() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--sync-interval", "1h"]);
    fs::create_dir(machine.at("run")).expect("makes");
    write(machine.at("run/log"), b"sent");
    machine.flush();
    let archive = cloud.make_folder("archive", &cloud.root());
    eventually("it is heard of", || machine.at("archive").exists().then_some(()));
    let mut log = OpenOptions::new().append(true).open(machine.at("run/log")).expect("opens");
    log.write_all(b", and more").expect("writes");
    let (run, root) = (cloud.id("run"), cloud.root());
    cloud.patch(&run, &[("addParents", archive.as_str()), ("removeParents", root.as_str())], json!({}));
    // Not by looking into the archive, which would have it listed.
    eventually("it has moved", || (!machine.at("run").exists()).then_some(()));
    drop(log);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("log")), b"sent, and more");
    assert_eq!(cloud.id("run"), run);
}

#[test]
fn a_large_upload_undoes_no_name_that_was_given_elsewhere() {
    let cloud = Cloud::start();
    let machine = deaf(&cloud, &[]);
    write(machine.at("model"), bytes(1, 6 << 20));
    machine.flush();
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M"]);
    let content = bytes(2, 40 << 20);
    write(machine.at("model"), &content);
    eventually("it is being sent", || (sent(&machine) > 4 << 20).then_some(()));
    let id = cloud.id("model");
    cloud.patch(&id, &[], json!({"name": "model v2"}));
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(cloud.id("model v2"), id);
    assert!(cloud.content(&id) == content);
    eventually("it has that name here", || (names(machine.drive()) == ["model v2"]).then_some(()));
}
