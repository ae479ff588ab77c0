//! The trash of the drive, through the mount.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, write};

fn trash(machine: &Machine, arguments: &[&str]) -> Output {
    run(Command::new(PROGRAM).arg("trash").args(arguments).arg("--mountpoint").arg(machine.drive()))
}

#[track_caller]
fn list(machine: &Machine, more: &[&str]) -> Vec<Value> {
    let output = trash(machine, &[&["list", "--json"], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    let list: Value = serde_json::from_slice(&output.stdout).expect("json");
    list["items"].as_array().expect("items").clone()
}

#[test]
fn what_is_removed_is_listed_with_its_path_and_can_be_had_back() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("runs/old/below")).expect("makes");
    write(machine.at("runs/old/below/model"), bytes(1, 1_000_000));
    write(machine.at("runs/old/log"), bytes(2, 500));
    write(machine.at("runs/new"), b"new");
    machine.flush();
    // As a file manager does: the folder, with all that is in it.
    cloud.trash(&cloud.id("old"));
    eventually("it is gone here", || (names(machine.at("runs")) == ["new"]).then_some(()));
    // And as `rm` does. It is listed although it has just been removed.
    fs::remove_file(machine.at("runs/new")).expect("removes");
    let items = list(&machine, &[]);
    let paths: Vec<&str> = items.iter().map(|item| item["path"].as_str().expect("path")).collect();
    assert_eq!((paths.len(), paths.contains(&"runs/old"), paths.contains(&"runs/new")), (2, true, true), "{items:?}");
    let old = items.iter().find(|item| item["path"] == "runs/old").expect("listed");
    assert_eq!((&old["bytes"], &old["entries"], &old["folder"]), (&1_000_500.into(), &3.into(), &true.into()), "{old}");
    assert!(list(&machine, &["--under", "other"]).is_empty());
    assert_eq!(list(&machine, &["--under", machine.at("runs").to_str().expect("UTF-8")]).len(), 2);

    assert!(list(&machine, &["other"]).is_empty());
    for place in [machine.drive(), machine.at("runs")] {
        // A place tells which mount, of however many there are.
        let output = run(Command::new(PROGRAM).args(["trash", "list"]).arg(&place));
        assert!(said(&output).contains("runs/old/"), "{}", said(&output));
    }

    let restored = trash(&machine, &["restore", "runs/old"]);
    assert!(restored.status.success() && said(&restored).contains("restored "), "{}", said(&restored));
    assert_eq!(names(machine.at("runs")), ["old"]);
    assert!(read(machine.at("runs/old/below/model")) == bytes(1, 1_000_000));
    let id = list(&machine, &[])[0]["id"].as_str().expect("id").to_owned();
    let restored = trash(&machine, &["restore", &id]);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(read(machine.at("runs/new")), b"new");
    assert!(list(&machine, &[]).is_empty());
    let again = trash(&machine, &["restore", "runs/new"]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("runs/new is not in the trash"), "{}", said(&again));
    let empty = trash(&machine, &["list"]);
    assert!(said(&empty).contains("the trash is empty"), "{}", said(&empty));
}

#[test]
fn of_two_with_one_path_the_id_decides_and_what_lies_in_a_trashed_folder_is_had_by_that() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for content in ["first", "second"] {
        write(machine.at("file"), content);
        machine.flush();
        fs::remove_file(machine.at("file")).expect("removes");
        machine.flush();
    }
    let twice = trash(&machine, &["restore", "file"]);
    assert_eq!(twice.status.code(), Some(1), "{}", said(&twice));
    let items = list(&machine, &[]);
    for item in &items {
        assert!(said(&twice).contains(item["id"].as_str().expect("id")), "{}", said(&twice));
    }
    let first = items.iter().find(|item| item["bytes"] == 5).expect("the first")["id"].as_str().expect("id").to_owned();
    assert!(trash(&machine, &["restore", &first]).status.success());
    assert_eq!(read(machine.at("file")), b"first");

    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/within"), b"x");
    machine.flush();
    let within = cloud.id("within");
    cloud.trash(&within);
    cloud.trash(&cloud.id("folder"));
    let refused = trash(&machine, &["restore", &within]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("folder/within lies in folder, which is in the trash"), "{}", said(&refused));
    let both = trash(&machine, &["restore", "folder", "folder/within"]);
    assert!(both.status.success(), "{}", said(&both));
    assert_eq!(read(machine.at("folder/within")), b"x");
}

#[test]
fn the_trash_is_emptied_after_a_yes_and_only_of_what_was_shown() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("keep")).expect("makes");
    for name in ["a", "b", "keep/c"] {
        write(machine.at(name), bytes(1, 1000));
    }
    machine.flush();
    let c = cloud.id("c");
    for name in ["a", "b", "c"] {
        cloud.trash(&cloud.id(name));
    }
    let unasked = trash(&machine, &["empty"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", said(&unasked));
    assert!(said(&unasked).contains("3 things, 2.9 KiB") && said(&unasked).contains("--yes"), "{}", said(&unasked));
    let young = trash(&machine, &["empty", "--yes", "--older-than", "30d"]);
    assert!(young.status.success() && said(&young).contains("3 things are left"), "{}", said(&young));
    assert_eq!(list(&machine, &[]).len(), 3);
    let some = trash(&machine, &["empty", "--yes", "--under", "keep"]);
    assert!(some.status.success() && said(&some).contains("deleted 1 of 1 thing"), "{}", said(&some));
    assert_eq!(cloud.try_call("GET", &format!("/drive/v3/files/{c}"), &[], None).0, 404, "for good");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let all = trash(&machine, &["empty", "--yes", "--older-than", "1s"]);
    assert!(all.status.success() && said(&all).contains("deleted 2 of 2 things"), "{}", said(&all));
    assert!(list(&machine, &[]).is_empty());
    assert!(machine.at("keep").is_dir());
    let nothing = trash(&machine, &["empty", "--yes"]);
    assert!(nothing.status.success() && said(&nothing).contains("nothing to delete"), "{}", said(&nothing));
}

#[test]
fn a_question_on_a_terminal_is_answered_by_a_person() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let id = cloud.upload("file", &cloud.root(), b"x");
    cloud.trash(&id);
    for (answer, there) in [("n", 200), ("y", 404)] {
        let line = format!("'{PROGRAM}' trash empty --mountpoint '{}'", machine.drive().display());
        let mut ask = Command::new("script");
        ask.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut ask = ask.spawn().expect("starts");
        std::io::Write::write_all(&mut ask.stdin.take().expect("piped"), format!("{answer}\n").as_bytes())
            .expect("writes");
        let output = ask.wait_with_output().expect("ends");
        assert!(said(&output).contains("for good? [y/N]"), "{}", said(&output));
        assert_eq!(cloud.try_call("GET", &format!("/drive/v3/files/{id}"), &[], None).0, there, "{}", said(&output));
    }
}

#[test]
fn a_read_only_mount_shows_the_trash_and_changes_nothing_in_it() {
    let cloud = Cloud::start();
    let mut machine = Machine::new();
    machine.arguments.push("--read-only".to_owned());
    machine.mount(&cloud);
    let id = cloud.upload("file", &cloud.root(), b"x");
    cloud.trash(&id);
    assert_eq!(list(&machine, &[])[0]["id"], id.as_str());
    for arguments in [&["empty", "--yes"][..], &["restore", "file"]] {
        let refused = trash(&machine, arguments);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("read-only"), "{}", said(&refused));
    }
    let there = cloud.call("GET", &format!("/drive/v3/files/{id}"), &[("fields", "trashed")], None);
    assert_eq!(there, json!({"trashed": true}));
}
