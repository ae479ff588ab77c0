//! A mount of one folder of the drive.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, read, said, write};

fn rooted(root: &str) -> Machine {
    let mut machine = Machine::new();
    machine.arguments.extend(["--root".to_owned(), root.to_owned()]);
    machine
}

/// A drive with a folder `data/sets` among others; the ids of `data` and `sets`.
fn drive() -> (Cloud, String, String) {
    let cloud = Cloud::start();
    cloud.upload("outside", &cloud.root(), b"outside");
    let data = cloud.make_folder("data", &cloud.root());
    cloud.upload("beside", &data, b"beside");
    let sets = cloud.make_folder("sets", &data);
    cloud.upload("inside", &sets, b"inside");
    (cloud, data, sets)
}

fn sees(machine: &Machine, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || (names(machine.drive()) == expected).then_some(()));
}

#[test]
fn a_folder_is_mounted_by_its_path_or_its_id_and_nothing_else_is_seen() {
    let (cloud, data, sets) = drive();
    for root in ["data/sets", "/data/sets/", "MyDrive/data/sets", &sets] {
        let machine = rooted(root);
        let mount = machine.try_mount(&cloud);
        assert!(mount.status.success() && said(&mount).contains("mounted the folder "), "{root}: {}", said(&mount));
        assert_eq!(names(machine.drive()), ["inside"], "{root}");
        assert_eq!(read(machine.at("MyDrive/inside")), b"inside");
        assert_eq!(read(machine.at("My Drive/inside")), b"inside");
        assert!(!machine.at("../outside").exists() && !machine.at("outside").exists());
        // What happens outside is nobody's business here.
        let noise = cloud.upload("noise", &data, b"x");
        let made = cloud.upload("arrived", &sets, b"x");
        sees(&machine, &["arrived", "inside"]);
        for id in [noise, made] {
            cloud.trash(&id);
        }
        sees(&machine, &["inside"]);
        // What is written goes there.
        write(machine.at("ours"), b"ours");
        machine.flush();
        assert_eq!(cloud.file("ours")["parents"], json!([sets]));
        fs::remove_file(machine.at("ours")).expect("removes");
        machine.unmount();
    }
}

#[test]
fn what_is_moved_out_of_the_root_disappears_and_what_is_moved_in_appears() {
    let (cloud, data, sets) = drive();
    let folder = cloud.make_folder("folder", &data);
    cloud.upload("deep", &folder, b"deep");
    let machine = rooted("data/sets");
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["inside"]);
    let move_to = |id: &str, from: &str, to: &str| {
        cloud.patch(id, &[("addParents", to), ("removeParents", from)], json!({}));
    };
    move_to(&folder, &data, &sets);
    sees(&machine, &["folder", "inside"]);
    assert_eq!(read(machine.at("folder/deep")), b"deep");
    let inside = cloud.id("inside");
    move_to(&inside, &sets, &data);
    sees(&machine, &["folder"]);
    move_to(&folder, &sets, &cloud.root());
    sees(&machine, &[]);
    // And back again, into the folder that was changed outside.
    cloud.upload("later", &folder, b"later");
    move_to(&folder, &cloud.root(), &sets);
    sees(&machine, &["folder"]);
    assert_eq!(names(machine.at("folder")), ["deep", "later"]);
    assert_eq!(cloud.content(&inside), b"inside", "nothing was lost by it");
}

#[test]
fn a_root_stays_the_same_folder_over_renames_and_remounts() {
    let (cloud, _, sets) = drive();
    let machine = rooted("data/sets");
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["inside"]);
    cloud.patch(&sets, &[], json!({"name": "other"}));
    write(machine.at("ours"), b"ours");
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(names(machine.drive()), ["inside", "ours"]);
    assert_eq!(machine.status()["traffic"]["requests"]["files.list"], serde_json::Value::Null, "known from before");
    machine.unmount();
    cloud.trash(&sets);
    let refused = machine.try_mount(&cloud);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
}

#[test]
fn a_root_that_is_none_says_what_to_do() {
    let (cloud, data, _) = drive();
    let inside = cloud.id("inside");
    for (root, told) in [
        ("data/set", "the drive has no folder data/set"),
        ("data/beside", "the drive has no folder data/beside"),
        (inside.as_str(), "is not a folder of the drive"),
        ("1AbCdEfGhIjKlMnOp", "the drive has no folder 1AbCdEfGhIjKlMnOp"),
    ] {
        let refused = rooted(root).try_mount(&cloud);
        assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
        assert!(said(&refused).contains(told) && said(&refused).contains("--root"), "{}", said(&refused));
    }
    // A cache folder is of one root.
    let mut machine = rooted(&data);
    machine.mount(&cloud);
    machine.unmount();
    machine.arguments.truncate(2);
    let refused = machine.try_mount(&cloud);
    assert_eq!(refused.status.code(), Some(6), "{}", said(&refused));
    assert!(said(&refused).contains("the whole drive is to be mounted"), "{}", said(&refused));
}

#[test]
fn each_root_has_a_cache_of_its_own() {
    let (cloud, ..) = drive();
    let mount = |machine: &Machine, root: &[&str]| {
        let mut command = std::process::Command::new(crate::cloud::PROGRAM);
        command.args(["mount", &cloud.url]).arg(machine.drive()).arg("--token-file").arg(cloud.token_file());
        let output = crate::machine::run(command.args(root).env("XDG_CACHE_HOME", machine.cache()));
        assert!(output.status.success(), "{}", said(&output));
    };
    let machine = Machine::new();
    mount(&machine, &[]);
    let dir = |machine: &Machine| machine.status()["cache"]["dir"].as_str().expect("a path").to_owned();
    let whole = dir(&machine);
    machine.unmount();
    mount(&machine, &["--root", "data/sets"]);
    let sets = dir(&machine);
    assert_ne!(whole, sets);
    assert!(Path::new(&sets).file_name().is_some_and(|name| name.to_string_lossy().contains("-root-sets-")), "{sets}");
    assert_eq!(names(machine.drive()), ["inside"]);
}
