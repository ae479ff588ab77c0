//! What others shared, to be read only or with less than all rights.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::json;

use crate::cloud::{ALL_DRIVES, Cloud, eventually};
use crate::machine::{Machine, names, read, sh, write};

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("is refused").raw_os_error().expect("an errno")
}

fn mode(machine: &Machine, path: &str) -> u32 {
    fs::symlink_metadata(machine.at(path)).expect("stat").mode() & 0o777
}

fn guest(cloud: &Cloud) -> Machine {
    let mut machine = Machine::new();
    machine.key = Some(cloud.data("service-account.json"));
    machine
}

/// Everything that would change something in a folder with a file and a folder that are only to be read.
fn is_refused(machine: &Machine, folder: &str) {
    let at = |name: &str| machine.at(format!("{folder}/{name}").trim_start_matches('/'));
    let open = |write: &mut fs::OpenOptions| write.open(at("file")).map(drop);
    for (what, refused) in [
        ("create", fs::write(at("new"), b"x")),
        ("mkdir", fs::create_dir(at("new"))),
        ("symlink", symlink("x", at("new"))),
        ("unlink", fs::remove_file(at("file"))),
        ("rmdir", fs::remove_dir(at("folder"))),
        ("rename", fs::rename(at("file"), at("other"))),
        ("move within", fs::rename(at("file"), at("folder/file"))),
        ("move out", fs::rename(at("file"), machine.at("file of others"))),
        ("write", open(fs::OpenOptions::new().write(true))),
        ("append", open(fs::OpenOptions::new().append(true))),
        ("truncate", open(fs::OpenOptions::new().write(true).truncate(true))),
        ("chmod", fs::set_permissions(at("file"), fs::Permissions::from_mode(0o700))),
        ("chmod of a folder", fs::set_permissions(at("folder"), fs::Permissions::from_mode(0o700))),
    ] {
        assert_eq!(errno(refused), libc::EACCES, "{what} in {folder}");
    }
    for name in ["file", "folder"] {
        let line = format!("! setfattr -n user.x -v x '{}' 2>&1", at(name).display());
        assert!(sh(&line).contains("Permission denied"), "{name} in {folder}");
    }
    let file = fs::File::open(at("file")).expect("opens");
    assert_eq!(errno(file.set_modified(std::time::SystemTime::UNIX_EPOCH)), libc::EACCES);
    let truncated = sh(&format!("truncate -s 1 {} 2>&1 || true", at("file").display()));
    assert!(truncated.contains("Permission denied"), "{truncated}");
    assert_eq!(
        (mode(machine, folder), mode(machine, format!("{folder}/file").trim_start_matches('/'))),
        (0o555, 0o444)
    );
}

#[test]
fn what_may_only_be_read_is_shown_so_and_refused_at_once() {
    let cloud = Cloud::start_with(&["--sign-in"]);
    let mine = cloud.make_folder("mine", &cloud.root());
    cloud.upload("file", &mine, b"file");
    cloud.make_folder("folder", &mine);
    let given = cloud.share(&mine, "reader");
    let mut machine = guest(&cloud);
    machine.arguments.extend(["--root".to_owned(), mine.clone()]);
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"file");
    let before = cloud.changing_requests();
    is_refused(&machine, "");
    machine.flush();
    assert_eq!(cloud.changing_requests(), before, "and the drive was not asked");
    // Programs are told before they try, and not only root is held to it.
    let test = |flag: &str| sh(&format!("test {flag} {} && echo yes || echo no", machine.at("file").display()));
    assert_eq!((test("-r").trim(), test("-w").trim()), ("yes", "yes"), "for root, the kernel looks at no bits");
    // It can be more than that later.
    let role = |role: &str| {
        let path = format!("/drive/v3/files/{mine}/permissions/{given}");
        cloud.call("PATCH", &path, &ALL_DRIVES, Some(json!({ "role": role })));
        // That changed the folder, and the drive tells of nothing below.
        cloud.patch(&mine, &[], json!({"starred": role == "writer"}));
    };
    role("writer");
    eventually("the right to write", || (mode(&machine, "") == 0o755).then_some(()));
    eventually("the right to write", || (mode(&machine, "file") == 0o644).then_some(()));
    write(machine.at("file"), b"ours");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"ours");
    assert_eq!(errno(fs::remove_file(machine.at("file"))), libc::EACCES, "only who owns it puts it into the trash");
    role("reader");
    eventually("no right to write", || (mode(&machine, "") == 0o555).then_some(()));
    assert_eq!(names(machine.drive()), ["file", "folder"]);
    is_refused(&machine, "");
    assert_eq!(read(machine.at("file")), b"ours");
}

#[test]
fn other_users_are_held_to_it_by_the_kernel() {
    let cloud = Cloud::start_with(&["--sign-in"]);
    let team = cloud.make_drive("Team");
    cloud.upload("file", &team, b"file");
    cloud.share(&team, "reader");
    let mut machine = guest(&cloud);
    let flags = ["--allow-other", "--uid", "65534", "--gid", "65534"];
    machine.arguments.extend(flags.map(str::to_owned));
    machine.mount(&cloud);
    sh(&format!("chmod 755 {}", machine.drive().parent().expect("folder").display()));
    let file = machine.at("Shareddrives/Team/file");
    let test = |flag: &str| {
        sh(&format!(
            "setpriv --reuid 65534 --regid 65534 --clear-groups test {flag} {} && echo yes || echo no",
            file.display()
        ))
    };
    assert_eq!((test("-r").trim(), test("-w").trim()), ("yes", "no"));
}

#[test]
fn a_shared_drive_lets_each_do_what_their_role_says() {
    let cloud = Cloud::start_with(&["--sign-in"]);
    let team = cloud.make_drive("Team");
    let file = cloud.upload("file", &team, b"file");
    cloud.make_folder("folder", &team);
    let given = cloud.share(&team, "commenter");
    let machine = guest(&cloud);
    machine.mount(&cloud);
    let at = |name: &str| machine.at(&format!("Shareddrives/Team/{name}"));
    let before = cloud.changing_requests();
    is_refused(&machine, "Shareddrives/Team");
    machine.flush();
    assert_eq!(cloud.changing_requests(), before);
    let role = |role: &str| {
        let path = format!("/drive/v3/files/{team}/permissions/{given}");
        cloud.call("PATCH", &path, &ALL_DRIVES, Some(json!({ "role": role })));
        // As a drive tells that its members changed.
        let (name, description) = (format!("Team of {role}s"), json!({"name": "Team"}));
        cloud.call("PATCH", &format!("/drive/v3/drives/{team}"), &[], Some(json!({ "name": name })));
        cloud.call("PATCH", &format!("/drive/v3/drives/{team}"), &[], Some(description));
    };
    role("writer");
    eventually("the right to write", || (mode(&machine, "Shareddrives/Team") == 0o755).then_some(()));
    eventually("the right to write", || (mode(&machine, "Shareddrives/Team/file") == 0o644).then_some(()));
    // Who may write adds and changes, and neither removes nor moves.
    write(at("new"), b"new");
    write(at("file"), b"ours");
    fs::rename(at("new"), at("renamed")).expect("renames");
    machine.flush();
    assert_eq!(cloud.content(&file), b"ours");
    let before = cloud.changing_requests();
    for (what, refused) in [
        ("unlink", fs::remove_file(at("file"))),
        ("unlink of what we made", fs::remove_file(at("renamed"))),
        ("rmdir", fs::remove_dir(at("folder"))),
        ("move", fs::rename(at("file"), at("folder/file"))),
        ("move out", fs::rename(at("file"), machine.at("file"))),
    ] {
        assert_eq!(errno(refused), libc::EACCES, "{what}");
    }
    assert_eq!(cloud.changing_requests(), before);
    // A save by a new file that is renamed over the old one is a change of the old one.
    write(at("file.tmp"), b"saved");
    fs::rename(at("file.tmp"), at("file")).expect("saves");
    machine.flush();
    assert_eq!(cloud.content(&file), b"saved");
    // If the drive has the new one already, it would stay there: then it is refused, and both are as they were.
    write(at("late"), b"late");
    machine.flush();
    assert_eq!(errno(fs::rename(at("late"), at("file"))), libc::EACCES);
    assert_eq!((read(at("late")), read(at("file"))), (b"late".to_vec(), b"saved".to_vec()));
    role("fileOrganizer");
    eventually("the right to remove", || fs::remove_file(at("late")).ok());
    machine.flush();
    assert_eq!(names(at("")), ["file", "folder", "renamed"]);
}

#[test]
fn a_file_that_is_locked_can_be_read_and_not_written() {
    let cloud = Cloud::start();
    let file = cloud.upload("file", &cloud.root(), b"file");
    cloud.patch(&file, &[], json!({"contentRestrictions": [{"readOnly": true}]}));
    let machine = Machine::with(&cloud);
    assert_eq!(mode(&machine, "file"), 0o444);
    let opened = fs::OpenOptions::new().write(true).open(machine.at("file"));
    assert_eq!(errno(opened), libc::EACCES);
    assert_eq!(errno(fs::rename(machine.at("file"), machine.at("other"))), libc::EACCES);
    cloud.patch(&file, &[], json!({"contentRestrictions": [{"readOnly": false}]}));
    eventually("the end of the lock", || (mode(&machine, "file") == 0o644).then_some(()));
    write(machine.at("file"), b"ours");
    machine.flush();
    assert_eq!(cloud.content(&file), b"ours");
}
