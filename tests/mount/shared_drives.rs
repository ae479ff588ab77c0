//! Shared drives.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::cloud::{ALL_DRIVES, Cloud, eventually};
use crate::machine::{Machine, names, read, run, said, sh, write};

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("is refused").raw_os_error().expect("an errno")
}

fn sees(machine: &Machine, folder: &str, expected: &[&str]) {
    eventually(&format!("{folder}: {expected:?}"), || (names(machine.at(folder)) == expected).then_some(()));
}

/// The names in a shared drive, there.
fn there(cloud: &Cloud, drive: &str) -> Vec<String> {
    cloud.in_drive(drive).iter().map(|file| file["name"].as_str().expect("name").to_owned()).collect()
}

fn lists(machine: &Machine) -> Value {
    machine.status()["traffic"]["requests"]["files.list"].clone()
}

#[test]
fn shared_drives_are_in_a_folder_that_the_root_does_not_list() {
    let cloud = Cloud::start();
    cloud.upload("mine", &cloud.root(), b"mine");
    let team = cloud.make_drive("Team");
    cloud.make_drive("Team");
    cloud.make_drive("a/b");
    cloud.upload("theirs", &team, b"theirs");
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["mine"]);
    let drives = names(machine.at("Shareddrives"));
    assert_eq!((drives.len(), drives[0].as_str()), (3, "Team"), "{drives:?}");
    assert!(drives[1].starts_with("Team (") && drives[2].starts_with("a_b ("), "{drives:?}");
    for way in ["Shareddrives", "Shared drives", "MyDrive/Shareddrives", "My Drive/Shared drives"] {
        assert_eq!(names(machine.at(way)), drives, "{way}");
        assert_eq!(read(machine.at(&format!("{way}/Team/theirs"))), b"theirs");
    }
    // What walks the drive does not walk what belongs to others.
    assert_eq!(sh(&format!("find {} | wc -l", machine.drive().display())).trim(), "2");
    sh(&format!("rm -rf {}/*", machine.drive().display()));
    machine.flush();
    assert_eq!(there(&cloud, &team), ["theirs"]);
    machine.unmount();
    let told = said(&machine.try_mount(&cloud));
    assert!(told.contains("3 shared drives are in ") && told.contains("Shareddrives"), "{told}");
    // What one's own drive has goes before it.
    let own = cloud.make_folder("Shareddrives", &cloud.root());
    cloud.upload("own", &own, b"own");
    sees(&machine, "", &["Shareddrives"]);
    sees(&machine, "Shareddrives", &["own"]);
    assert_eq!(names(machine.at("Shared drives")), drives);
}

#[test]
fn the_folder_of_drives_and_the_drives_themselves_stay_as_they_are() {
    let cloud = Cloud::start();
    cloud.make_drive("Team");
    let machine = Machine::with(&cloud);
    write(machine.at("mine"), b"mine");
    machine.flush();
    let (drives, team) = (machine.at("Shareddrives"), machine.at("Shareddrives/Team"));
    assert_eq!(fs::metadata(&drives).expect("stat").mode() & 0o777, 0o555);
    assert_eq!(fs::metadata(&team).expect("stat").mode() & 0o777, 0o755);
    let before = cloud.changing_requests();
    for (what, refused) in [
        ("mkdir", fs::create_dir(drives.join("new"))),
        ("create", fs::write(drives.join("new"), b"x")),
        ("symlink", std::os::unix::fs::symlink("x", drives.join("new"))),
        ("rename", fs::rename(&team, drives.join("Other"))),
        ("move out", fs::rename(&team, machine.at("Team"))),
        ("move in", fs::rename(machine.at("mine"), drives.join("mine"))),
        ("rmdir", fs::remove_dir(&team)),
    ] {
        assert_eq!(errno(refused), libc::EACCES, "{what}");
    }
    let alone = nix_times(&team);
    assert_eq!(errno(alone), libc::EACCES, "the top of a drive keeps no times of ours");
    assert_eq!(errno(fs::remove_dir(&drives)), libc::EBUSY);
    assert_eq!(errno(fs::rename(&drives, machine.at("else"))), libc::EBUSY);
    assert_eq!(errno(fs::create_dir(&drives)), libc::EEXIST);
    machine.flush();
    assert_eq!(cloud.changing_requests(), before, "and nobody asked the drive");
    assert_eq!(names(&drives), ["Team"]);
}

fn nix_times(path: &std::path::Path) -> std::io::Result<()> {
    let file = fs::File::open(path)?;
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
}

#[test]
fn inside_a_shared_drive_everything_works_as_in_ones_own() {
    let cloud = Cloud::start();
    let team = cloud.make_drive("Team");
    let old = cloud.upload("old", &team, b"old");
    let machine = Machine::with(&cloud);
    let at = |path: &str| machine.at(&format!("Shareddrives/Team/{path}"));
    fs::create_dir(at("folder")).expect("makes");
    write(at("folder/new"), b"new");
    // A save by rename keeps the item.
    write(at("old.tmp"), b"saved");
    fs::rename(at("old.tmp"), at("old")).expect("renames");
    machine.flush();
    assert_eq!(there(&cloud, &team), ["folder", "new", "old"]);
    assert_eq!(cloud.content(&old), b"saved");
    fs::rename(at("folder/new"), at("renamed")).expect("renames");
    // Folders go where they are moved to.
    fs::create_dir(at("above")).expect("makes");
    machine.flush();
    fs::rename(at("folder"), at("above/below")).expect("moves");
    machine.flush();
    let parent = |name: &str| {
        let items = cloud.in_drive(&team);
        items.into_iter().find(|item| item["name"] == name).expect("is there")
    };
    assert_eq!(parent("below")["parents"], json!([parent("above")["id"]]));
    fs::rename(at("above/below"), at("folder")).expect("moves back");
    fs::remove_dir(at("above")).expect("removes");
    fs::remove_dir(at("folder")).expect("removes");
    machine.flush();
    assert_eq!(there(&cloud, &team), ["old", "renamed"]);
    fs::remove_file(at("old")).expect("removes");
    machine.flush();
    assert_eq!(cloud.get(&old)["trashed"], true);
    assert_eq!(cloud.get(&old)["driveId"], json!(team), "in the trash of its drive");
    // It is not the account's storage that is free or used there.
    let free = |path: &str| {
        let df = sh(&format!("df -B1 --output=size,used {} | tail -1", machine.at(path).display()));
        df.split_whitespace().map(|number| number.parse::<u64>().expect("a number")).collect::<Vec<_>>()
    };
    write(machine.at("mine"), vec![7; 1 << 20]);
    machine.flush();
    eventually("the storage of the account", || {
        sh(&format!("drivemount=1; stat -f {} >/dev/null", machine.drive().display()));
        (free("Shareddrives/Team")[1] == 0).then_some(())
    });
    assert_eq!(free("Shareddrives/Team"), [1 << 50, 0]);
}

#[test]
fn a_full_drive_of_ones_own_keeps_nobody_from_writing_to_a_shared_one() {
    let cloud = Cloud::start_with(&["--quota", "1M"]);
    let team = cloud.make_drive("Team");
    let machine = Machine::with(&cloud);
    write(machine.at("mine"), vec![7; 2 << 20]);
    eventually("the drive is full", || {
        let refused = fs::write(machine.at("more"), b"more").err()?;
        (refused.raw_os_error() == Some(libc::EDQUOT)).then_some(())
    });
    write(machine.at("Shareddrives/Team/theirs"), vec![7; 2 << 20]);
    eventually("it arrives", || (there(&cloud, &team) == ["theirs"]).then_some(()));
}

#[test]
fn what_goes_from_one_drive_to_another_keeps_its_identity_or_is_copied_by_who_moves_it() {
    let cloud = Cloud::start();
    let team = cloud.make_drive("Team");
    let file = cloud.upload("file", &cloud.root(), b"file");
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("within", &folder, b"within");
    let machine = Machine::with(&cloud);
    let (mine, at) = (machine.at("file"), |path: &str| machine.at(&format!("Shareddrives/Team/{path}")));
    fs::rename(&mine, at("file")).expect("moves");
    assert_eq!((read(at("file")), mine.exists()), (b"file".to_vec(), false));
    machine.flush();
    assert_eq!((&cloud.get(&file)["driveId"], &cloud.get(&file)["parents"]), (&json!(team), &json!([team])));
    // It is gone from one feed and new in another, and stays where it is.
    cloud.patch(&file, &[], json!({"name": "theirs"}));
    sees(&machine, "Shareddrives/Team", &["theirs"]);
    fs::rename(at("theirs"), &mine).expect("moves back");
    machine.flush();
    assert_eq!((&cloud.get(&file)["driveId"], read(&mine)), (&Value::Null, b"file".to_vec()));
    cloud.rewrite(&file, b"rewritten");
    eventually("the news of one's own drive", || (read(&mine) == b"rewritten").then_some(()));
    // A drive takes no folder of another: `mv` copies it then.
    assert_eq!(errno(fs::rename(machine.at("folder"), at("folder"))), libc::EXDEV);
    assert_eq!(names(machine.drive()), ["file", "folder"]);
    sh(&format!("mv {} {}", machine.at("folder").display(), at("").display()));
    machine.flush();
    assert_eq!(there(&cloud, &team), ["folder", "within"]);
    assert_eq!((names(machine.drive()), read(at("folder/within"))), (vec!["file".to_owned()], b"within".to_vec()));
    assert_eq!(cloud.get(&folder)["trashed"], true);
    // Out of a drive it can go.
    fs::rename(at("folder"), machine.at("back")).expect("moves");
    machine.flush();
    assert_eq!(there(&cloud, &team), Vec::<String>::new());
    sees(&machine, "back", &["within"]);
    let within = cloud.id("within");
    cloud.trash(&within);
    sees(&machine, "back", &[]);
}

#[test]
fn what_happens_in_a_shared_drive_arrives_by_its_own_feed() {
    let cloud = Cloud::start();
    let (team, other) = (cloud.make_drive("Team"), cloud.make_drive("Other"));
    let folder = cloud.make_folder("folder", &team);
    let machine = Machine::with(&cloud);
    sees(&machine, "Shareddrives/Team", &["folder"]);
    sees(&machine, "Shareddrives/Team/folder", &[]);
    let listed = lists(&machine);
    let file = cloud.upload("file", &folder, b"one");
    sees(&machine, "Shareddrives/Team/folder", &["file"]);
    assert_eq!(read(machine.at("Shareddrives/Team/folder/file")), b"one");
    cloud.rewrite(&file, b"two");
    eventually("new content", || (read(machine.at("Shareddrives/Team/folder/file")) == b"two").then_some(()));
    cloud.patch(&file, &[("addParents", &team), ("removeParents", &folder)], json!({"name": "moved"}));
    sees(&machine, "Shareddrives/Team", &["folder", "moved"]);
    cloud.trash(&file);
    sees(&machine, "Shareddrives/Team", &["folder"]);
    assert_eq!(lists(&machine), listed, "without listing anything");
    // `refresh` reads all feeds.
    cloud.upload("at once", &team, b"x");
    let refreshed = run(std::process::Command::new(crate::cloud::PROGRAM).arg("refresh").arg(machine.drive()));
    assert!(refreshed.status.success(), "{}", said(&refreshed));
    assert_eq!(names(machine.at("Shareddrives/Team")), ["at once", "folder"]);
    // The drives themselves come, go and are renamed.
    cloud.call("PATCH", &format!("/drive/v3/drives/{team}"), &[], Some(json!({"name": "Crew"})));
    sees(&machine, "Shareddrives", &["Crew", "Other"]);
    assert_eq!(names(machine.at("Shareddrives/Crew")), ["at once", "folder"]);
    cloud.make_drive("Third");
    sees(&machine, "Shareddrives", &["Crew", "Other", "Third"]);
    cloud.call("DELETE", &format!("/drive/v3/drives/{other}"), &[], None);
    sees(&machine, "Shareddrives", &["Crew", "Third"]);
    // Remounts go on where they were.
    machine.unmount();
    cloud.upload("meanwhile", &folder, b"meanwhile");
    machine.mount(&cloud);
    sees(&machine, "Shareddrives/Crew/folder", &["meanwhile"]);
    assert_eq!(lists(&machine), Value::Null, "known from before, and told by the feed");
}

#[test]
fn a_drive_that_is_left_goes_and_what_was_not_sent_stays() {
    let cloud = Cloud::start_with(&["--sign-in"]);
    let team = cloud.make_drive("Team");
    let folder = cloud.make_folder("folder", &team);
    let file = cloud.upload("file", &folder, b"theirs");
    let member = cloud.share(&team, "organizer");
    let mut machine = Machine::new();
    machine.key = Some(cloud.data("service-account.json"));
    machine.mount(&cloud);
    let at = |path: &str| machine.at(&format!("Shareddrives/Team/{path}"));
    assert_eq!(read(at("folder/file")), b"theirs");
    cloud.make_trouble(&["files.create+uploads.*:answer,status=503"]);
    write(at("folder/ours"), b"ours");
    cloud.call("DELETE", &format!("/drive/v3/files/{team}/permissions/{member}"), &ALL_DRIVES, None);
    sees(&machine, "Shareddrives", &[]);
    // It cannot go to that drive any more: it is in one's own, under the name of the drive.
    sees(&machine, "", &["Team"]);
    assert_eq!(names(machine.at("Team/folder")), ["ours"]);
    assert_eq!(read(machine.at("Team/folder/ours")), b"ours");
    cloud.make_trouble(&[]);
    assert_eq!(cloud.content(&file), b"theirs");
    // Who comes back finds what is there.
    cloud.share(&team, "reader");
    sees(&machine, "Shareddrives", &["Team"]);
    eventually("what is in it", || (names(at("folder")) == ["file"]).then_some(()));
}

#[test]
fn a_drive_that_lost_our_place_in_its_feed_is_listed_again_and_no_other() {
    let cloud = Cloud::start();
    let (team, other) = (cloud.make_drive("Team"), cloud.make_drive("Other"));
    cloud.upload("mine", &cloud.root(), b"mine");
    for drive in [&team, &other] {
        cloud.upload("before", &cloud.make_folder("folder", drive), b"x");
    }
    let machine = Machine::with(&cloud);
    for path in ["", "Shareddrives/Team/folder", "Shareddrives/Other/folder"] {
        names(machine.at(path));
    }
    machine.unmount();
    let state = rusqlite::Connection::open(machine.cache().join("state.db")).expect("opens");
    let spoiled = state.execute("UPDATE fact SET value = '0' WHERE name = ?1", [format!("cursor:{team}")]);
    assert_eq!(spoiled.expect("writes"), 1);
    drop(state);
    let folder = cloud.in_drive(&team).iter().find(|item| item["name"] == "folder").expect("folder")["id"].clone();
    cloud.upload("after", folder.as_str().expect("id"), b"x");
    machine.mount(&cloud);
    sees(&machine, "Shareddrives/Team/folder", &["after", "before"]);
    assert_eq!(names(machine.drive()), ["mine"]);
    assert_eq!(names(machine.at("Shareddrives/Other/folder")), ["before"]);
    assert_eq!(lists(&machine)["count"], 2, "the top of the drive, and the folder in it");
}

#[test]
fn a_folder_of_a_shared_drive_can_be_the_root_of_a_mount() {
    let cloud = Cloud::start();
    let team = cloud.make_drive("Team");
    let sets = cloud.make_folder("sets", &cloud.make_folder("data", &team));
    cloud.upload("inside", &sets, b"inside");
    for (root, expected) in [
        ("Shareddrives/Team/data/sets", vec!["inside"]),
        ("MyDrive/Shared drives/Team/data/sets/", vec!["inside"]),
        (sets.as_str(), vec!["inside"]),
        (team.as_str(), vec!["data"]),
        ("Shareddrives/Team", vec!["data"]),
    ] {
        let mut machine = Machine::new();
        machine.arguments.extend(["--root".to_owned(), root.to_owned()]);
        machine.mount(&cloud);
        assert_eq!(names(machine.drive()), expected, "{root}");
        assert!(!machine.at("Shareddrives").exists(), "nothing else is seen");
        let inside = if expected == ["data"] { "data/sets" } else { "" };
        assert_eq!(names(machine.at(inside)), ["inside"]);
        let news = cloud.upload("news", &sets, b"news");
        sees(&machine, inside, &["inside", "news"]);
        cloud.trash(&news);
        sees(&machine, inside, &["inside"]);
        write(machine.at(format!("{inside}/ours").trim_start_matches('/')), b"ours");
        machine.flush();
        let ours = cloud.in_drive(&team).into_iter().find(|item| item["name"] == "ours").expect("arrived");
        assert_eq!(ours["parents"], json!([sets]));
        fs::remove_file(machine.at(format!("{inside}/ours").trim_start_matches('/'))).expect("removes");
        machine.unmount();
    }
    let mut machine = Machine::new();
    machine.arguments.extend(["--root".to_owned(), "Shareddrives/None/data".to_owned()]);
    let refused = machine.try_mount(&cloud);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
}
