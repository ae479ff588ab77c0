//! Shortcuts: links to where an item is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, read, sh, write};

fn link(machine: &Machine, path: &str) -> String {
    fs::read_link(machine.at(path)).expect("a link").to_string_lossy().into_owned()
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("is refused").raw_os_error().expect("an errno")
}

fn lists(machine: &Machine) -> Value {
    machine.status()["traffic"]["requests"]["files.list"].clone()
}

/// `lstat` and `readlink` must agree.
fn has_its_length(path: &Path) {
    let length = fs::symlink_metadata(path).expect("lstat").len();
    assert_eq!(fs::read_link(path).expect("link").as_os_str().len() as u64, length, "{}", path.display());
}

#[test]
fn a_shortcut_opens_as_what_it_leads_to_and_follows_it() {
    let cloud = Cloud::start();
    let (root, folder) = (cloud.root(), cloud.make_folder("folder", &cloud.root()));
    let deep = cloud.make_folder("deep", &folder);
    let file = cloud.upload("file", &folder, b"file");
    cloud.make_shortcut("to the file", &deep, &file);
    cloud.make_shortcut("to the folder", &root, &folder);
    cloud.make_shortcut("to the root", &deep, &root);
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.at("folder")), ["deep", "file"]);
    assert_eq!(names(machine.at("folder/deep")), ["to the file", "to the root"]);
    assert_eq!(link(&machine, "folder/deep/to the file"), "../file");
    assert_eq!(link(&machine, "to the folder"), "folder");
    assert_eq!(link(&machine, "folder/deep/to the root"), "../..");
    for path in ["folder/deep/to the file", "to the folder", "folder/deep/to the root"] {
        has_its_length(&machine.at(path));
    }
    assert_eq!(read(machine.at("folder/deep/to the file")), b"file");
    assert_eq!(read(machine.at("to the folder/deep/to the root/to the folder/file")), b"file");
    assert_eq!(read(machine.at("MyDrive/to the folder/file")), b"file");
    // What is written through it goes to the file.
    write(machine.at("folder/deep/to the file"), b"through the link");
    machine.flush();
    assert_eq!(cloud.content(&file), b"through the link");
    // Here and elsewhere the target moves, and the link follows at once.
    fs::rename(machine.at("folder/file"), machine.at("moved")).expect("moves");
    assert_eq!(link(&machine, "folder/deep/to the file"), "../../moved");
    has_its_length(&machine.at("folder/deep/to the file"));
    assert_eq!(read(machine.at("folder/deep/to the file")), b"through the link");
    fs::rename(machine.at("folder"), machine.at("renamed")).expect("renames");
    assert_eq!(read(machine.at("to the folder/deep/to the file")), b"through the link");
    machine.flush();
    cloud.patch(&file, &[("addParents", &deep), ("removeParents", &root)], json!({"name": "far"}));
    eventually("the new way", || (link(&machine, "to the folder/deep/to the file") == "far").then_some(()));
    assert_eq!(read(machine.at("renamed/deep/to the file")), b"through the link");
    // In the trash it is not to be had.
    cloud.trash(&file);
    eventually("ENOENT", || {
        let opened = fs::read(machine.at("renamed/deep/to the file"));
        opened.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)).then_some(())
    });
    assert_eq!(names(machine.at("renamed/deep")), ["to the file", "to the root"], "and still listed");
    cloud.patch(&file, &[], json!({"trashed": false}));
    eventually("it is back", || {
        (fs::read(machine.at("renamed/deep/to the file")).ok()? == b"through the link").then_some(())
    });
}

#[test]
fn a_target_that_nobody_listed_is_found_by_its_id() {
    let cloud = Cloud::start();
    let hidden = cloud.make_folder("hidden", &cloud.root());
    let data = cloud.make_folder("data", &hidden);
    let file = cloud.upload("file", &data, b"file");
    let below = cloud.make_folder("below", &data);
    cloud.upload("a", &below, b"a");
    let links = cloud.make_folder("links", &cloud.root());
    cloud.make_shortcut("file", &links, &file);
    cloud.make_shortcut("set", &links, &data);
    let machine = Machine::with(&cloud);
    // Nothing is asked for the links themselves.
    assert_eq!(names(machine.at("links")), ["file", "set"]);
    let asked = cloud.requests(&["files.get"]);
    assert_eq!(link(&machine, "links/file"), format!("../.shortcut-targets-by-id/{file}/file"));
    assert_eq!(link(&machine, "links/set"), format!("../.shortcut-targets-by-id/{data}/set"));
    has_its_length(&machine.at("links/set"));
    assert_eq!(cloud.requests(&["files.get"]), asked);
    assert_eq!(names(machine.drive()), ["hidden", "links"], "the folder of ids is not listed");
    assert_eq!(read(machine.at("links/file")), b"file");
    assert_eq!(names(machine.at("links/set")), ["below", "file"]);
    assert_eq!(read(machine.at("links/set/below/a")), b"a");
    // Known by its own name now.
    assert_eq!(link(&machine, "links/set"), format!("../.shortcut-targets-by-id/{data}/data"));
    assert_eq!(read(machine.at("links/set/file")), b"file");
    // Written through, and followed.
    write(machine.at("links/set/below/b"), b"b");
    write(machine.at("links/file"), b"ours");
    machine.flush();
    assert_eq!((cloud.content(&file), cloud.content(&cloud.id("b"))), (b"ours".to_vec(), b"b".to_vec()));
    let listed = lists(&machine);
    cloud.upload("c", &below, b"c");
    cloud.patch(&data, &[], json!({"name": "renamed"}));
    eventually("news", || (names(machine.at("links/set/below")) == ["a", "b", "c"]).then_some(()));
    eventually("the new name", || link(&machine, "links/set").ends_with("/renamed").then_some(()));
    assert_eq!(names(machine.at("links/set/below")), ["a", "b", "c"]);
    assert_eq!(lists(&machine), listed, "without a list");
    // The folder that it is in is listed: it is there now, and the old way leads there too.
    let old: PathBuf = machine.at(&format!("links/{}", link(&machine, "links/set")));
    assert_eq!(names(machine.at("hidden")), ["renamed"]);
    assert_eq!(link(&machine, "links/set"), "../hidden/renamed");
    assert_eq!(names(machine.at("hidden/renamed")), ["below", "file"]);
    assert_eq!(names(&old), ["below", "file"]);
    assert_eq!(read(old.join("below/c")), b"c");
    write(old.join("below/c"), b"by the old way");
    assert_eq!(read(machine.at("hidden/renamed/below/c")), b"by the old way");
    // Also after a remount.
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(
        (link(&machine, "links/set"), read(machine.at("links/set/file"))),
        ("../hidden/renamed".to_owned(), b"ours".to_vec())
    );
    assert_eq!(read(old.join("file")), b"ours");
}

#[test]
fn what_is_done_to_a_shortcut_is_done_to_it_alone() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let file = cloud.upload("file", &root, b"file");
    let [removed, moved, replaced, kept] =
        ["removed", "moved", "replaced", "kept"].map(|name| cloud.make_shortcut(name, &root, &file));
    let machine = Machine::with(&cloud);
    fs::remove_file(machine.at("removed")).expect("removes");
    fs::rename(machine.at("moved"), machine.at("folder/elsewhere")).expect("moves");
    assert_eq!(read(machine.at("folder/elsewhere")), b"file");
    // A save by rename makes a file of its own, and leaves the shortcut's identity alone.
    write(machine.at("new.tmp"), b"new");
    fs::rename(machine.at("new.tmp"), machine.at("replaced")).expect("replaces");
    assert!(fs::symlink_metadata(machine.at("replaced")).expect("stat").is_file());
    machine.flush();
    assert_eq!(cloud.get(&removed)["trashed"], true);
    assert_eq!((&cloud.get(&moved)["parents"], &cloud.get(&moved)["name"]), (&json!([folder]), &json!("elsewhere")));
    assert_eq!(cloud.get(&replaced)["trashed"], true);
    assert_eq!(cloud.get(&replaced)["mimeType"], "application/vnd.google-apps.shortcut");
    let new = cloud.file("replaced");
    assert_ne!(new["id"], json!(replaced));
    assert_eq!(cloud.content(new["id"].as_str().expect("id")), b"new");
    assert_eq!((cloud.content(&file), &cloud.get(&file)["trashed"]), (b"file".to_vec(), &json!(false)));
    // What programs link and copy are links as ever.
    sh(&format!("cd {} && cp -P kept copy && ln -s file linked", machine.drive().display()));
    machine.flush();
    for name in ["copy", "linked"] {
        assert_eq!((link(&machine, name), &cloud.file(name)["mimeType"]), ("file".to_owned(), &json!("inode/symlink")));
    }
    assert_eq!(cloud.get(&kept)["trashed"], false);
    // Opening one for writing without following it is as with any link.
    let refused = sh(&format!(
        "python3 -c 'import os; os.open(\"{}\", os.O_WRONLY | os.O_NOFOLLOW)' 2>&1 || true",
        machine.at("kept").display()
    ));
    assert!(refused.contains("Too many levels of symbolic links"), "{refused}");
}

#[test]
fn shortcuts_that_lead_nowhere_or_in_circles_hang_nobody() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    let gone = cloud.upload("gone", &root, b"gone");
    cloud.make_shortcut("dangling", &folder, &gone);
    cloud.make_shortcut("up", &folder, &folder);
    cloud.make_shortcut("top", &folder, &root);
    cloud.call("DELETE", &format!("/drive/v3/files/{gone}"), &[], None);
    // Two of a name, and one that no file system can have.
    let file = cloud.upload("file", &root, b"file");
    cloud.make_shortcut("a/b", &folder, &file);
    cloud.make_shortcut("file", &root, &file);
    let machine = Machine::with(&cloud);
    let listed = names(machine.at("folder"));
    assert_eq!((listed.len(), &listed[1..]), (4, &["dangling", "top", "up"].map(str::to_owned)[..]), "{listed:?}");
    assert!(listed[0].starts_with("a_b ("), "{listed:?}");
    assert_eq!(read(machine.at(&format!("folder/{}", listed[0]))), b"file");
    let twin = names(machine.drive()).into_iter().find(|name| name.starts_with("file (")).expect("a tag");
    assert_eq!((link(&machine, &twin), read(machine.at(&twin))), ("file".to_owned(), b"file".to_vec()));
    assert_eq!(errno(fs::read(machine.at("folder/dangling"))), libc::ENOENT);
    assert_eq!(errno(fs::metadata(machine.at("folder/dangling"))), libc::ENOENT);
    has_its_length(&machine.at("folder/dangling"));
    assert_eq!(errno(fs::metadata(machine.at(&format!("folder/{}", ["up"; 41].join("/"))))), libc::ELOOP);
    assert_eq!(names(machine.at("folder/up/up/up")), listed);
    let place = machine.drive().display().to_string();
    sh(&format!(
        "timeout 60 find {place} | wc -l && timeout 60 du -s {place} && timeout 60 cp -r {place}/folder {place}/copy"
    ));
    let followed = sh(&format!("timeout 60 find -L {place}/folder 2>&1 || true"));
    assert!(followed.contains("loop"), "{followed}");
    // Names in the folder of ids that are none are not asked for.
    let asked = cloud.requests(&["files.get"]);
    for name in [".Trash", "x", "no id at all", "."] {
        let _absent = fs::metadata(machine.at(&format!(".shortcut-targets-by-id/{name}")));
    }
    assert_eq!(cloud.requests(&["files.get"]), asked);
    let targets = machine.at(".shortcut-targets-by-id");
    assert_eq!(errno(fs::create_dir(targets.join("new folder"))), libc::EACCES);
    assert_eq!(errno(fs::remove_dir(&targets)), libc::EBUSY);
}

#[test]
fn what_was_shared_is_reached_by_shortcut_with_the_rights_that_were_given() {
    let cloud = Cloud::start_with(&["--sign-in"]);
    let root = cloud.root();
    let team = cloud.make_drive("Team");
    let secret = cloud.make_drive("Secret");
    let shared = cloud.make_folder("shared", &cloud.make_folder("above", &root));
    let file = cloud.upload("file", &shared, b"file");
    let item = cloud.upload("item", &secret, b"item");
    let unseen = cloud.upload("unseen", &root, b"unseen");
    for (name, target) in [("folder", &shared), ("item", &item), ("unseen", &unseen)] {
        cloud.make_shortcut(name, &team, target);
    }
    cloud.share(&team, "organizer");
    cloud.share(&shared, "reader");
    cloud.share(&item, "writer");
    let mut machine = Machine::new();
    machine.key = Some(cloud.data("service-account.json"));
    machine.mount(&cloud);
    let at = |path: &str| machine.at(&format!("Shareddrives/Team/{path}"));
    assert_eq!(names(at("")), ["folder", "item", "unseen"]);
    assert_eq!(read(at("folder/file")), b"file");
    assert_eq!(errno(fs::write(at("folder/new"), b"x")), libc::EACCES);
    assert_eq!(errno(fs::OpenOptions::new().append(true).open(at("folder/file"))), libc::EACCES);
    assert_eq!(errno(fs::read(at("unseen"))), libc::ENOENT);
    assert_eq!(errno(fs::metadata(at("unseen"))), libc::ENOENT);
    // A single item of a drive that is not ours to follow.
    assert_eq!(read(at("item")), b"item");
    write(at("item"), b"ours");
    machine.flush();
    assert_eq!(cloud.content(&item), b"ours");
    // What others change arrives by the account's own feed.
    cloud.rewrite(&file, b"theirs");
    eventually("new content", || (read(at("folder/file")) == b"theirs").then_some(()));
    cloud.upload("later", &shared, b"later");
    eventually("a new file", || (names(at("folder")) == ["file", "later"]).then_some(()));
    cloud.trash(&shared);
    eventually("ENOENT", || fs::metadata(at("folder/file")).is_err().then_some(()));
}

#[test]
fn edits_of_what_is_known_by_its_id_alone_lose_no_side() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let hidden = cloud.make_folder("hidden", &root);
    let both = cloud.upload("both.txt", &hidden, b"first");
    let gone = cloud.upload("gone.txt", &hidden, b"first");
    for (name, target) in [("both", &both), ("gone", &gone)] {
        cloud.make_shortcut(name, &root, target);
    }
    let machine = Machine::with(&cloud);
    assert_eq!((read(machine.at("both")), read(machine.at("gone"))), (b"first".to_vec(), b"first".to_vec()));
    let edit = |name: &str| {
        let mut open = fs::OpenOptions::new().write(true).open(machine.at(name)).expect("opens");
        open.write_all(b"our_s").expect("writes");
        open
    };
    let open = (edit("both"), edit("gone"));
    cloud.rewrite(&both, b"theirs");
    cloud.trash(&gone);
    drop(open);
    // What was removed elsewhere is made again in the root, and a conflict copy goes there too: beside theirs is no place of ours.
    eventually("it is kept", || (fs::read(machine.at("gone.txt")).ok()? == b"our_s").then_some(()));
    machine.flush();
    let copy = names(machine.drive()).into_iter().find(|name| name.starts_with("both (conflict")).expect("a copy");
    assert_eq!((read(machine.at(&copy)), read(machine.at("both"))), (b"our_s".to_vec(), b"theirs".to_vec()));
    assert_eq!(cloud.content(&both), b"theirs");
    assert_eq!(cloud.file("gone.txt")["parents"], json!([root]));
    assert_eq!(cloud.get(&gone)["trashed"], true);
}
