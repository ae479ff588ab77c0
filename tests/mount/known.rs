//! What the mount knows of the drive: everything, without anybody asking; first what somebody asks for; and what is new without a
//! listing.

use std::fs;

use serde_json::json;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, read};

/// Requests for listings that the drive was sent since the meter was last set to zero.
fn listings(cloud: &Cloud) -> u64 {
    let meter = cloud.call("GET", "/admin/meter", &[], None);
    meter["methods"]["files.list"]["requests"].as_u64().unwrap_or(0)
}

fn reset_meter(cloud: &Cloud) {
    cloud.call("DELETE", "/admin/meter", &[], None);
}

fn unlisted(machine: &Machine) -> u64 {
    machine.status()["tree"]["unlisted"].as_u64().expect("number")
}

/// Folders in folders: `width` in the root, and as many in each of these, each with a file. Their paths.
fn shelves(cloud: &Cloud, width: usize) -> Vec<String> {
    let root = cloud.root();
    let mut paths = Vec::new();
    for outer in 0..width {
        let folder = cloud.make_folder(&format!("{outer}"), &root);
        paths.push(format!("{outer}"));
        for inner in 0..width {
            let within = cloud.make_folder(&format!("{inner}"), &folder);
            cloud.upload("file", &within, format!("{outer}/{inner}").as_bytes());
            paths.push(format!("{outer}/{inner}"));
        }
    }
    paths
}

/// Looks at all of the shelves.
fn look_at_all(machine: &Machine, paths: &[String], width: usize) {
    let inner: Vec<_> = (0..width).map(|number| number.to_string()).collect();
    for path in paths {
        let expected = if path.contains('/') { vec!["file".to_owned()] } else { inner.clone() };
        assert_eq!(names(machine.at(path)), expected, "{path}");
    }
}

#[test]
fn the_whole_drive_is_known_though_nobody_asked_and_a_later_mount_lists_nothing() {
    let cloud = Cloud::start();
    let paths = shelves(&cloud, 7);
    let mut machine = Machine::new();
    machine.environment.push(("DRIVEMOUNT_LIST_AHEAD".to_owned(), "all".to_owned()));
    reset_meter(&cloud);
    machine.mount(&cloud);
    eventually("all folders are listed", || (unlisted(&machine) == 0).then_some(()));
    let asked = listings(&cloud);
    assert!(asked <= 10, "{asked} requests for 57 folders");
    reset_meter(&cloud);
    look_at_all(&machine, &paths, 7);
    assert_eq!(read(machine.at("6/5/file")), b"6/5");
    machine.unmount();
    machine.mount(&cloud);
    look_at_all(&machine, &paths, 7);
    assert_eq!(listings(&cloud), 0);
}

#[test]
fn folders_that_seem_empty_when_they_are_asked_for_together_are_asked_for_one_by_one() {
    let cloud = Cloud::start();
    let paths = shelves(&cloud, 3);
    cloud.make_trouble(&["files.list:or-empty"]);
    let mut machine = Machine::new();
    machine.environment.push(("DRIVEMOUNT_LIST_AHEAD".to_owned(), "all".to_owned()));
    machine.mount(&cloud);
    eventually("all folders are listed", || (unlisted(&machine) == 0).then_some(()));
    look_at_all(&machine, &paths, 3);
}

#[test]
fn what_is_listed_ahead_is_tried_again_when_it_fails_and_what_is_asked_for_goes_first() {
    let cloud = Cloud::start();
    let paths = shelves(&cloud, 3);
    cloud.make_trouble(&["files.list:answer,status=403,reason=domainPolicy,times=3"]);
    let mut machine = Machine::new();
    machine.environment.push(("DRIVEMOUNT_LIST_AHEAD".to_owned(), "all".to_owned()));
    machine.mount(&cloud);
    eventually("all folders are listed", || (unlisted(&machine) == 0).then_some(()));
    look_at_all(&machine, &paths, 3);
}

/// A drive with a folder of 60 files, ten on a page; all pages but the first take a while.
fn long_folder() -> Cloud {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("long", &cloud.root());
    for number in 0..60 {
        cloud.upload(&format!("file {number:02}"), &folder, format!("{number}").as_bytes());
    }
    cloud
}

fn all_names() -> Vec<String> {
    (0..60).map(|number| format!("file {number:02}")).collect()
}

#[test]
fn the_first_entries_of_a_large_folder_are_shown_before_the_last_page_is_here() {
    let cloud = long_folder();
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["long"]);
    cloud.make_trouble(&["files.list:short-page,size=10", "files.list:latency,ms=400,skip=1"]);
    reset_meter(&cloud);
    let mut entries = fs::read_dir(machine.at("long")).expect("opens");
    let first = entries.next().expect("an entry").expect("reads").file_name();
    assert!(listings(&cloud) <= 2, "the second page may be on its way");
    let mut all: Vec<_> = entries.map(|entry| entry.expect("reads").file_name().into_string().expect("text")).collect();
    all.push(first.into_string().expect("text"));
    all.sort();
    assert_eq!(all, all_names());
    assert_eq!(listings(&cloud), 6);
    assert_eq!(names(machine.at("long")), all_names(), "and from then on from memory");
    for name in all_names() {
        assert!(fs::metadata(machine.at("long").join(&name)).expect("stat").is_file());
    }
    assert_eq!(listings(&cloud), 6);
}

#[test]
fn a_name_in_a_large_folder_is_found_before_the_folder_is_listed() {
    let cloud = long_folder();
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["long"]);
    cloud.make_trouble(&["files.list:short-page,size=10", "files.list:latency,ms=1000,skip=1"]);
    assert_eq!(read(machine.at("long/file 59")), b"59");
    assert_eq!(unlisted(&machine), 1, "four pages, a second each, are still to come");
    assert!(!machine.at("long/no such file").exists(), "to say that takes the whole listing");
    assert_eq!(names(machine.at("long")), all_names());
}

#[test]
fn a_listing_that_fails_midway_is_an_error_and_never_short() {
    let cloud = long_folder();
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["long"]);
    let rules = ["files.list:short-page,size=10", "files.list:answer,status=403,reason=domainPolicy,skip=3"];
    for failing in [true, false] {
        cloud.make_trouble(&rules[..if failing { 2 } else { 1 }]);
        let entries: Vec<_> = fs::read_dir(machine.at("long")).expect("opens").collect();
        let errors: Vec<_> = entries.iter().filter_map(|entry| entry.as_ref().err()).collect();
        assert_eq!(errors.len(), usize::from(failing), "{errors:?}");
        assert!(failing || entries.len() == 60, "{}", entries.len());
    }
    assert_eq!(names(machine.at("long")), all_names());
}

#[test]
fn new_folders_and_those_out_of_the_trash_are_known_without_a_listing() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), Vec::<String>::new());
    // For a moment after the first mount, a new folder could be older than what the mount knows.
    eventually("new folders need no listing", || {
        let probe = cloud.make_folder("probe", &root);
        eventually("it is here", || machine.at("probe").exists().then_some(()));
        reset_meter(&cloud);
        assert_eq!(names(machine.at("probe")), Vec::<String>::new());
        let known = listings(&cloud) == 0;
        cloud.call("DELETE", &format!("/drive/v3/files/{probe}"), &[], None);
        eventually("it is gone", || (!machine.at("probe").exists()).then_some(()));
        known.then_some(())
    });
    reset_meter(&cloud);
    // The drive tells of each once, where it was changed last: so of the folders after what is in them.
    cloud.make_trouble(&["changes.list:lag,time=2s"]);
    let outer = cloud.make_folder("outer", &root);
    let inner = cloud.make_folder("inner", &outer);
    let file = cloud.upload("file", &inner, b"content");
    for (id, name) in [(&inner, "within"), (&outer, "set")] {
        cloud.patch(id, &[], json!({ "name": name }));
    }
    eventually("all of it", || machine.at("set/within/file").exists().then_some(()));
    cloud.make_trouble(&[]);
    let trash = |id: &str, trashed: bool| cloud.patch(id, &[], json!({ "trashed": trashed }));
    trash(&outer, true);
    eventually("it is gone", || (!machine.at("set").exists()).then_some(()));
    cloud.patch(&file, &[], json!({"name": "renamed in the trash"}));
    cloud.upload("new in the trash", &inner, b"new");
    trash(&outer, false);
    eventually("it is back", || machine.at("set").exists().then_some(()));
    assert_eq!(names(machine.at("set/within")), ["new in the trash", "renamed in the trash"]);
    assert_eq!(read(machine.at("set/within/renamed in the trash")), b"content");
    // A folder with all that is in it, into one that nobody has heard of.
    let room = cloud.make_folder("room", &root);
    cloud.patch(&inner, &[("addParents", &room), ("removeParents", &outer)], json!({}));
    cloud.patch(&room, &[], json!({"name": "salon"}));
    eventually("it moved", || machine.at("salon/within").exists().then_some(()));
    assert_eq!(names(machine.at("salon/within")), ["new in the trash", "renamed in the trash"]);
    assert_eq!(names(machine.at("set")), Vec::<String>::new());
    assert_eq!(listings(&cloud), 0);
    // What is kept of it survives a kill.
    trash(&room, true);
    eventually("it is gone", || (!machine.at("salon").exists()).then_some(()));
    machine.kill();
    machine.mount(&cloud);
    trash(&room, false);
    eventually("it is back", || machine.at("salon").exists().then_some(()));
    assert_eq!(names(machine.at("salon/within")), ["new in the trash", "renamed in the trash"]);
    assert_eq!(listings(&cloud), 0);
}

#[test]
fn what_was_heard_of_is_not_lost_to_a_listing_that_is_behind() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    let (old, gone) = (cloud.upload("old", &folder, b"old"), cloud.upload("gone", &folder, b"gone"));
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["folder"]);
    cloud.make_trouble(&["files.list:list-lag,time=1h"]);
    cloud.upload("new", &folder, b"new");
    cloud.patch(&old, &[], json!({"name": "renamed"}));
    cloud.trash(&gone);
    let probe = cloud.make_folder("probe", &cloud.root());
    eventually("all of it was heard of", || machine.at("probe").exists().then_some(()));
    assert_eq!(names(machine.at("folder")), ["new", "renamed"]);
    assert_eq!(read(machine.at("folder/new")), b"new");
    cloud.trash(&probe);
    eventually("and goes on to be true", || (names(machine.drive()) == ["folder"]).then_some(()));
}
