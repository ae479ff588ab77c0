//! What becomes, on the drive, of what is removed.

use std::fs;

use serde_json::json;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, sh, write};

fn with(cloud: &Cloud, when: &str) -> Machine {
    Machine::with_flags(cloud, &["--use-trash", when])
}

/// Removes what was there and what was made just now: a file and a folder of each.
fn remove_all(cloud: &Cloud, machine: &Machine) {
    fs::create_dir(machine.at("new folder")).expect("makes");
    write(machine.at("new folder/new inside"), b"x");
    write(machine.at("new"), b"x");
    machine.flush();
    assert_eq!(cloud.all().len(), names(machine.drive()).len() + 2, "with what is inside");
    sh(&format!("rm -r {}/*", machine.drive().display()));
    machine.flush();
    assert_eq!(names(machine.drive()), Vec::<String>::new());
}

fn with_old_things() -> Cloud {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("old folder", &cloud.root());
    cloud.upload("old inside", &folder, b"x");
    cloud.upload("old", &cloud.root(), b"x");
    cloud
}

/// The names of all that is in the trash, sorted.
fn trash(cloud: &Cloud) -> Vec<String> {
    let mut names: Vec<String> =
        cloud.files("trashed = true").iter().map(|file| file["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_removed_goes_to_the_trash_unless_told_otherwise() {
    let cloud = with_old_things();
    let machine = Machine::with(&cloud);
    remove_all(&cloud, &machine);
    assert_eq!(trash(&cloud), ["new", "new folder", "new inside", "old", "old folder", "old inside"]);
}

#[test]
fn what_is_removed_is_deleted_for_good_if_told_so() {
    let cloud = with_old_things();
    let machine = with(&cloud, "never");
    remove_all(&cloud, &machine);
    assert_eq!((trash(&cloud), cloud.all().len()), (Vec::new(), 0));
}

#[test]
fn what_this_mount_made_just_now_is_deleted_for_good_and_the_rest_goes_to_the_trash() {
    let cloud = with_old_things();
    let machine = with(&cloud, "auto");
    remove_all(&cloud, &machine);
    assert_eq!(trash(&cloud), ["old", "old folder", "old inside"]);
    assert_eq!(cloud.all().len(), 0);
    // A later mount knows what an earlier one made, also one that ended badly; another machine does not.
    for name in ["before", "elsewhere"] {
        write(machine.at(name), b"x");
    }
    machine.flush();
    machine.kill();
    machine.mount(&cloud);
    fs::remove_file(machine.at("before")).expect("removes");
    machine.flush();
    let other = with(&cloud, "auto");
    fs::remove_file(other.at("elsewhere")).expect("removes");
    other.flush();
    assert_eq!(trash(&cloud), ["elsewhere", "old", "old folder", "old inside"]);
}

#[test]
fn what_is_not_only_ours_is_not_deleted_for_good() {
    let cloud = with_old_things();
    let machine = with(&cloud, "auto");
    // An old file that was saved anew is an old file still.
    write(machine.at("temporary"), b"new version");
    fs::rename(machine.at("temporary"), machine.at("old")).expect("renames");
    machine.flush();
    fs::remove_file(machine.at("old")).expect("removes");
    // What was removed in a new folder is in the trash with it.
    fs::create_dir(machine.at("new folder")).expect("makes");
    fs::rename(machine.at("old folder"), machine.at("new folder/old folder")).expect("moves");
    machine.flush();
    sh(&format!("rm -r '{}'", machine.at("new folder").display()));
    machine.flush();
    assert_eq!(trash(&cloud), ["new folder", "old", "old folder", "old inside"]);
    // What somebody else wrote since is theirs too.
    write(machine.at("shared"), b"ours");
    machine.flush();
    let id = cloud.id("shared");
    cloud.rewrite(&id, b"theirs");
    // Between the two, a read may fail: ours is gone from the drive.
    let theirs = || std::fs::read(machine.at("shared")).is_ok_and(|content| content == b"theirs");
    eventually("their version arrives", || theirs().then_some(()));
    fs::remove_file(machine.at("shared")).expect("removes");
    machine.flush();
    assert!(trash(&cloud).contains(&"shared".to_owned()));
    cloud.patch(&id, &[], json!({"trashed": false}));
    assert_eq!(cloud.content(&id), b"theirs");
}

#[test]
fn what_others_may_see_or_could_see_is_not_deleted_for_good() {
    let cloud = Cloud::start();
    let machine = with(&cloud, "auto");
    for name in ["shared now", "shared once", "private"] {
        write(machine.at(name), b"x");
    }
    fs::create_dir(machine.at("shared folder")).expect("makes");
    write(machine.at("shared folder/inside"), b"x");
    machine.flush();
    let share = |name: &str| {
        let path = format!("/drive/v3/files/{}/permissions", cloud.id(name));
        cloud.call("POST", &path, &[], Some(json!({"type": "anyone", "role": "reader"})))["id"].clone()
    };
    let (id, permission) = (cloud.id("shared once"), share("shared once"));
    // Heard, and then taken back.
    let heard = |name: &str| cloud.patch(&cloud.id(name), &[], json!({"name": format!("{name}.")}));
    heard("shared once");
    eventually("it is heard", || names(machine.drive()).contains(&"shared once.".to_owned()).then_some(()));
    let permission = permission.as_str().expect("an id");
    cloud.call("DELETE", &format!("/drive/v3/files/{id}/permissions/{permission}"), &[], None);
    share("shared now");
    share("shared folder");
    sh(&format!("rm -r {}/*", machine.drive().display()));
    machine.flush();
    assert_eq!(trash(&cloud), ["inside", "shared folder", "shared now", "shared once."]);
}
