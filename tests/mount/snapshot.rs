//! What a machine knows of the drive is kept on the drive, for the next machine.

use serde_json::{Value, json};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, read};

/// Folders, so many that it is worth it.
const FOLDERS: usize = 550;

/// A drive with many folders, each with a file that says its number; their ids.
fn large_drive() -> (Cloud, Vec<String>) {
    let cloud = Cloud::start();
    let root = cloud.root();
    let make = |number: usize| {
        let folder = cloud.make_folder(&format!("folder {number}"), &root);
        cloud.upload("file", &folder, number.to_string().as_bytes());
        folder
    };
    let folders = (0..FOLDERS).map(make).collect();
    (cloud, folders)
}

/// A machine that lists ahead, and keeps what it knows on the drive.
fn machine(cloud: &Cloud) -> Machine {
    let mut machine = Machine::new();
    for name in ["DRIVEMOUNT_LIST_AHEAD", "DRIVEMOUNT_TREE_SNAPSHOT"] {
        let value = if name.ends_with("AHEAD") { "all" } else { "keep" };
        machine.environment.push((name.to_owned(), value.to_owned()));
    }
    machine.mount(cloud);
    machine
}

/// The snapshots on the drive.
fn kept(cloud: &Cloud) -> Vec<Value> {
    let query = [("spaces", "appDataFolder"), ("fields", "files(id,name,headRevisionId,size)")];
    cloud.call("GET", "/drive/v3/files", &query, None)["files"].as_array().expect("files").clone()
}

fn snapshot(cloud: &Cloud) -> Value {
    eventually("a snapshot is on the drive", || kept(cloud).first().cloned())
}

/// What the drive was asked, by method: how often, and for how many units.
fn asked(cloud: &Cloud, method: &str) -> (u64, u64) {
    let meter = cloud.call("GET", "/admin/meter", &[], None);
    let number = |what: &str| meter["methods"][method][what].as_u64().unwrap_or(0);
    (number("requests"), number("units"))
}

fn is_known(machine: &Machine) -> Option<()> {
    (machine.status()["tree"]["unlisted"] == 0).then_some(())
}

#[test]
fn a_new_machine_fetches_what_another_one_knew_and_hears_of_what_changed_since() {
    let (cloud, folders) = large_drive();
    let first = machine(&cloud);
    assert_eq!(kept(&cloud).len(), 0, "not before all is known");
    snapshot(&cloud);
    first.unmount();

    // All that can happen meanwhile.
    let root = cloud.root();
    cloud.patch(&folders[0], &[], json!({"name": "renamed"}));
    cloud.patch(&folders[1], &[("addParents", &folders[400]), ("removeParents", &root)], json!({}));
    cloud.trash(&folders[2]);
    cloud.call("DELETE", &format!("/drive/v3/files/{}", folders[3]), &[], None);
    cloud.upload("more", &folders[4], b"more");
    let new = cloud.make_folder("new", &root);
    cloud.upload("in it", &new, b"in it");

    cloud.call("DELETE", "/admin/meter", &[], None);
    let second = machine(&cloud);
    let mut expected: Vec<_> = (4..FOLDERS).map(|number| format!("folder {number}")).collect();
    expected.extend(["new", "renamed"].map(str::to_owned));
    expected.sort();
    assert_eq!(names(second.drive()), expected);
    eventually("all is known", || is_known(&second));
    for number in 5..FOLDERS {
        let expected = if number == 400 { vec!["file", "folder 1"] } else { vec!["file"] };
        assert_eq!(names(second.at(&format!("folder {number}"))), expected, "folder {number}");
    }
    assert_eq!(names(second.at("folder 4")), ["file", "more"]);
    assert_eq!(names(second.at("folder 400/folder 1")), ["file"]);
    assert_eq!(
        (names(second.at("renamed")), names(second.at("new"))),
        (vec!["file".to_owned()], vec!["in it".to_owned()])
    );
    assert_eq!(read(second.at("folder 400/folder 1/file")), b"1");
    let (listings, _) = asked(&cloud, "files.list");
    assert!(listings <= 2, "{listings} listings: one for the snapshot, at most one for what is new");
    assert!(second.log().contains("came from its snapshot"), "{}", second.log());
    // And goes on to be true.
    cloud.patch(&folders[9], &[], json!({"name": "later"}));
    eventually("a later change", || second.at("later/file").exists().then_some(()));
    cloud.patch(&folders[2], &[], json!({"trashed": false}));
    eventually("it is back", || second.at("folder 2/file").exists().then_some(()));
}

#[test]
fn what_is_no_snapshot_of_this_drive_is_left_alone_and_said() {
    let (cloud, _) = large_drive();
    let first = machine(&cloud);
    let kept = snapshot(&cloud);
    first.unmount();
    let id = kept["id"].as_str().expect("id");
    let good = cloud.content(id);
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (content, why) in [
        (&damaged[..], "damaged"),
        (&good[..middle], "damaged"),
        (&b"no such thing"[..], "damaged"),
        (&b""[..], "damaged"),
    ] {
        cloud.rewrite(id, content);
        let next = machine(&cloud);
        eventually("all is known", || is_known(&next));
        assert_eq!(names(next.drive()).len(), FOLDERS);
        assert_eq!(read(next.at("folder 7/file")), b"7");
        assert!(next.log().contains(why) && next.log().contains("is listed"), "{}", next.log());
    }
}

#[test]
fn who_does_not_want_it_or_may_only_read_leaves_no_snapshot() {
    let (cloud, _) = large_drive();
    let quiet = Machine::with_flags(&cloud, &["--list-ahead", "all"]);
    let reader = Machine::with_flags(&cloud, &["--list-ahead", "all", "--tree-snapshot", "keep", "--read-only"]);
    for machine in [&quiet, &reader] {
        eventually("all is known", || is_known(machine));
    }
    let writer = machine(&cloud);
    snapshot(&cloud);
    for machine in [quiet, reader, writer] {
        assert_eq!(names(machine.drive()).len(), FOLDERS);
        machine.unmount();
    }
    assert_eq!(asked(&cloud, "uploads.start").0 + asked(&cloud, "uploads.simple").0, 1 + FOLDERS as u64);
}
