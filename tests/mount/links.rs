//! Hard links: further names of a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use serde_json::{Value, json};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, names, read, run, said, sh, wait_for_end, write};

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("is refused").raw_os_error().expect("an errno")
}

/// Number and number of names.
fn inode(machine: &Machine, path: &str) -> (u64, u64) {
    let metadata = fs::symlink_metadata(machine.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    (metadata.ino(), metadata.nlink())
}

fn hard_link(machine: &Machine, from: &str, to: &str) {
    fs::hard_link(machine.at(from), machine.at(to)).unwrap_or_else(|error| panic!("{from} {to}: {error}"));
}

/// All these are names of one file with this content, and there are no others.
fn are_one(machine: &Machine, paths: &[&str], content: &[u8]) {
    let inodes: Vec<_> = paths.iter().map(|path| inode(machine, path)).collect();
    assert!(inodes.iter().all(|inode| *inode == (inodes[0].0, paths.len() as u64)), "{paths:?}: {inodes:?}");
    for path in paths {
        assert_eq!(read(machine.at(path)), content, "{path}");
    }
}

/// The names on the drive, each with `*` if it is a shortcut that says that it is a further name.
fn on_drive(cloud: &Cloud) -> Vec<String> {
    let mark = |file: &Value| if file["properties"]["drivemount.link"] == "hard" { "*" } else { "" };
    let mut names: Vec<String> =
        cloud.all().iter().map(|file| format!("{}{}", file["name"].as_str().expect("name"), mark(file))).collect();
    names.sort();
    names
}

#[test]
fn all_names_are_one_file_here_on_the_drive_and_on_another_machine() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("first"), b"content");
    fs::create_dir(machine.at("folder")).expect("makes");
    let before = fs::metadata(machine.at("first")).expect("stat");
    hard_link(&machine, "first", "second");
    hard_link(&machine, "second", "folder/third");
    let after = fs::metadata(machine.at("first")).expect("stat");
    assert!((after.ctime(), after.ctime_nsec()) > (before.ctime(), before.ctime_nsec()), "it has more names now");
    let all = ["first", "second", "folder/third"];
    are_one(&machine, &all, b"content");
    // What is written through one is there by all, before and after it is sent.
    File::options().append(true).open(machine.at("second")).expect("opens").write_all(b" and more").expect("writes");
    are_one(&machine, &all, b"content and more");
    machine.flush();
    are_one(&machine, &all, b"content and more");
    assert_eq!(on_drive(&cloud), ["first", "folder", "second*", "third*"]);
    let id = cloud.id("first");
    for name in ["second", "third"] {
        let shortcut = cloud.get(&cloud.id(name));
        assert_eq!(shortcut["mimeType"], "application/vnd.google-apps.shortcut");
        assert_eq!(shortcut["shortcutDetails"]["targetId"], json!(id), "the web page opens the file by each");
    }
    sh(&format!("setfattr -n user.mine -v ours {}", machine.at("second").display()));
    let attributes = |path: &str| {
        let path = machine.at(path);
        let [id, mine] = ["user.drive.id", "user.mine"]
            .map(|name| sh(&format!("getfattr --only-values -n {name} {}", path.display())));
        format!("{id} {mine}")
    };
    assert_eq!(attributes("first"), format!("{id} ours"));
    assert_eq!(attributes("first"), attributes("folder/third"));
    let other = Machine::with(&cloud);
    let walk = |machine: &Machine| {
        sh(&format!("find {} -samefile {}", machine.drive().display(), machine.at("second").display()))
    };
    assert_eq!(walk(&other).lines().count(), 3, "{}", walk(&other));
    are_one(&other, &all, b"content and more");
    // A change made there is seen here by all names, whatever the kernel keeps.
    write(other.at("folder/third"), b"from there");
    other.flush();
    eventually("their content", || (read(machine.at("second")) == b"from there").then_some(()));
    are_one(&machine, &all, b"from there");
    fs::set_permissions(machine.at("second"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("sets");
    assert_eq!(fs::metadata(machine.at("folder/third")).expect("stat").mode() & 0o777, 0o600);
}

#[test]
fn names_go_in_any_order_and_the_file_with_the_last() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for is_sent in [false, true] {
        for (number, order) in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].iter().enumerate() {
            let base = format!("{is_sent}-{number}");
            fs::create_dir(machine.at(&base)).expect("makes");
            let mut paths: Vec<String> = (0..3).map(|name| format!("{base}/{name}")).collect();
            write(machine.at(&paths[0]), base.as_bytes());
            hard_link(&machine, &paths[0], &paths[1]);
            hard_link(&machine, &paths[1], &paths[2]);
            let open = File::open(machine.at(&paths[0])).expect("opens");
            if is_sent {
                machine.flush();
            }
            let id = is_sent.then(|| cloud.files("mimeType != 'application/vnd.google-apps.shortcut' and name = '0'"));
            let goes: Vec<String> = order.iter().map(|&name| paths[name].clone()).collect();
            for path in &goes[..2] {
                fs::remove_file(machine.at(path)).expect("removes");
                paths.retain(|other| other != path);
                are_one(&machine, &paths.iter().map(String::as_str).collect::<Vec<_>>(), base.as_bytes());
                assert_eq!(open.metadata().expect("fstat").nlink(), paths.len() as u64);
                if number % 2 == 0 {
                    machine.flush();
                }
            }
            machine.flush();
            assert_eq!(names(machine.at(&base)), [goes[2].rsplit('/').next().expect("a name")]);
            let id = id.map(|files| files.iter().map(|file| file["id"].clone()).collect::<Vec<_>>());
            let folder = cloud.id(&base);
            let left = cloud.files(&format!("'{folder}' in parents and trashed = false"));
            assert_eq!(left.len(), 1, "{left:?}");
            assert_ne!(left[0]["mimeType"], "application/vnd.google-apps.shortcut", "the file itself has the name");
            assert_eq!(left[0]["name"], goes[2].rsplit('/').next().expect("a name"));
            assert!(id.is_none_or(|ids| ids.contains(&left[0]["id"])), "and is the item that it was");
            fs::remove_file(machine.at(&goes[2])).expect("removes");
            assert_eq!(open.metadata().expect("fstat").nlink(), 0);
            let mut content = vec![0; base.len()];
            open.read_exact_at(&mut content, 0).expect("reads");
            assert_eq!(content, base.as_bytes(), "who has it open has it");
            drop(open);
            fs::remove_dir(machine.at(&base)).expect("removes");
        }
    }
    machine.flush();
    assert_eq!(on_drive(&cloud), Vec::<String>::new());
}

#[test]
fn a_name_that_goes_before_it_was_sent_costs_nothing() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut file = File::create(machine.at("first")).expect("creates");
    file.write_all(b"while it is ").expect("writes");
    hard_link(&machine, "first", "second");
    fs::remove_file(machine.at("first")).expect("removes");
    file.write_all(b"written").expect("writes");
    hard_link(&machine, "second", "third");
    fs::remove_file(machine.at("third")).expect("removes");
    drop(file);
    are_one(&machine, &["second"], b"while it is written");
    machine.flush();
    assert_eq!(on_drive(&cloud), ["second"]);
    assert_eq!(cloud.files("name != 'second'"), Vec::<Value>::new(), "not even in the trash");
    assert_eq!(cloud.content(&cloud.id("second")), b"while it is written");
}

#[test]
fn a_save_by_rename_over_one_name_leaves_the_other_what_it_was() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for (number, is_sent) in [(0, true), (1, false)] {
        let at = |name: &str| machine.at(&format!("{name}{number}"));
        write(at("model"), b"old");
        if is_sent {
            machine.flush();
        }
        let id = is_sent.then(|| cloud.id("model0"));
        // What editors and rsync --link-dest do: the old version under another name, then a save.
        fs::hard_link(at("model"), at("backup")).expect("links");
        if is_sent {
            machine.flush();
        }
        write(at("model.tmp"), b"new");
        fs::rename(at("model.tmp"), at("model")).expect("replaces");
        are_one(&machine, &[&format!("model{number}")], b"new");
        are_one(&machine, &[&format!("backup{number}")], b"old");
        machine.flush();
        assert_eq!(cloud.content(&cloud.id(&format!("model{number}"))), b"new");
        assert_eq!(cloud.content(&cloud.id(&format!("backup{number}"))), b"old");
        if let Some(id) = id {
            assert_eq!(cloud.id("backup0"), id, "the old file goes on under its other name, with its history");
        }
    }
    assert_eq!(on_drive(&cloud), ["backup0", "backup1", "model0", "model1"]);
    // A name that is renamed over another file, and over one that has several.
    hard_link(&machine, "model0", "more");
    hard_link(&machine, "backup0", "even more");
    fs::rename(machine.at("more"), machine.at("backup0")).expect("replaces");
    are_one(&machine, &["model0", "backup0"], b"new");
    are_one(&machine, &["even more"], b"old");
    machine.flush();
    let other = Machine::with(&cloud);
    names(other.drive());
    are_one(&other, &["model0", "backup0"], b"new");
    are_one(&other, &["even more"], b"old");
}

#[test]
fn what_linux_refuses_is_refused() {
    let cloud = Cloud::start();
    let drive = cloud.make_drive("team");
    let folder = cloud.make_folder("in the drive", &drive);
    cloud.upload("theirs", &folder, b"x");
    let document = json!({"name": "doc", "mimeType": "application/vnd.google-apps.document"});
    cloud.call("POST", "/drive/v3/files", &[], Some(document));
    let file = cloud.upload("file", &cloud.root(), b"x");
    cloud.make_shortcut("shortcut", &cloud.root(), &file);
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    let link = |from: &str, to: &str| fs::hard_link(machine.at(from), machine.at(to));
    assert_eq!(errno(link("folder", "new")), libc::EPERM);
    assert_eq!(errno(link("shortcut", "new")), libc::EPERM);
    let document = names(machine.drive()).into_iter().find(|name| name.starts_with("doc")).expect("is shown");
    assert_eq!(errno(link(&document, "new")), libc::EPERM);
    assert_eq!(errno(link("file", "folder")), libc::EEXIST);
    assert_eq!(errno(link("nothing", "new")), libc::ENOENT);
    assert_eq!(errno(link("file", "Shareddrives/team/new")), libc::EXDEV);
    assert_eq!(errno(link("Shareddrives/team/in the drive/theirs", "new")), libc::EXDEV);
    link("Shareddrives/team/in the drive/theirs", "Shareddrives/team/new").expect("within a drive");
    are_one(&machine, &["Shareddrives/team/in the drive/theirs", "Shareddrives/team/new"], b"x");
    assert_eq!(errno(fs::rename(machine.at("Shareddrives/team/new"), machine.at("new"))), libc::EXDEV);
    link("file", "second").expect("links");
    fs::rename(machine.at("file"), machine.at("second")).expect("does nothing");
    are_one(&machine, &["file", "second"], b"x");
    std::os::unix::fs::symlink("file", machine.at("symbolic")).expect("links");
    link("symbolic", "also symbolic").expect("a link to the link");
    assert_eq!(inode(&machine, "symbolic").1, 2);
    machine.flush();
    let other = Machine::with(&cloud);
    names(other.drive());
    assert_eq!(inode(&other, "symbolic"), inode(&other, "also symbolic"));
    assert_eq!(fs::read_link(other.at("also symbolic")).expect("a link").to_str(), Some("file"));
    assert_eq!(machine.status()["unsent"]["entries"], 0);
}

#[test]
fn real_programs_keep_hard_links() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let local = tempfile::tempdir().expect("temporary folder");
    let (here, drive) = (local.path().display(), machine.drive().display().to_string());
    sh(&format!(
        "cd {here} && mkdir -p tree/deep && echo one > tree/one && ln tree/one tree/two && ln tree/one tree/deep/three \
         && head -c 300000 /dev/urandom > tree/large && ln tree/large tree/deep/large && tar cf tree.tar tree"
    ));
    sh(&format!("cd {drive} && tar xf {here}/tree.tar && cp -al tree snapshot && rsync -aH {here}/tree/ synced/"));
    let counts = |machine: &Machine, folder: &str, count: u64| {
        for path in ["one", "two", "deep/three"] {
            assert_eq!(inode(machine, &format!("{folder}/{path}")).1, count, "{folder}/{path}");
        }
    };
    counts(&machine, "tree", 6);
    counts(&machine, "snapshot", 6);
    counts(&machine, "synced", 3);
    sh(&format!("diff -r {here}/tree {drive}/snapshot && diff -r {here}/tree {drive}/synced"));
    let once = sh(&format!("du -sb {drive}/tree | cut -f1"));
    assert!(once.trim().parse::<u64>().expect("a number") < 320_000, "what has two names takes its room once: {once}");
    // A save in the tree leaves the snapshot what it was, as after rsync --link-dest.
    sh(&format!("cd {drive}/tree && echo changed > one.tmp && mv one.tmp one"));
    assert_eq!(read(machine.at("snapshot/one")), b"one\n");
    sh(&format!(
        "cd {here} && git init -q -b main repository && cd repository && git config user.email a@b && git config user.name a \
         && echo x > file && git add file && git commit -qm first"
    ));
    sh(&format!(
        "cp -r {here}/repository {drive}/ && git -c safe.directory='*' clone -q --local {drive}/repository {drive}/clone"
    ));
    sh(&format!("git -c safe.directory='*' -C {drive}/clone fsck --strict"));
    machine.flush();
    let other = Machine::with(&cloud);
    sh(&format!("find {} > /dev/null", other.drive().display()));
    counts(&other, "synced", 3);
    assert_eq!(inode(&other, "snapshot/two").1, 5);
    sh(&format!("diff -r {drive}/snapshot {}", other.at("snapshot").display()));
    sh(&format!("rsync -aHn --itemize-changes {drive}/synced/ {}/ | (! grep .)", other.at("synced").display()));
    sh(&format!("rm -r {drive}/tree {drive}/clone {drive}/repository"));
    counts(&machine, "synced", 3);
    assert_eq!(inode(&machine, "snapshot/two").1, 3);
    machine.flush();
    assert_eq!(machine.status()["unsent"]["entries"], 0);
}

#[test]
fn what_happens_to_names_elsewhere_is_seen_here() {
    let cloud = Cloud::start();
    let (here, there) = (Machine::with(&cloud), Machine::with(&cloud));
    fs::create_dir(here.at("folder")).expect("makes");
    write(here.at("first"), b"content");
    names(there.drive());
    here.flush();
    eventually("the file", || there.at("first").exists().then_some(()));
    names(there.at("folder"));
    // A name that comes, is renamed, and goes.
    hard_link(&here, "first", "second");
    here.flush();
    eventually("a name", || there.at("second").exists().then_some(()));
    are_one(&there, &["first", "second"], b"content");
    fs::rename(there.at("second"), there.at("folder/third")).expect("renames");
    there.flush();
    eventually("its name", || here.at("folder/third").exists().then_some(()));
    are_one(&here, &["first", "folder/third"], b"content");
    let open = File::open(here.at("first")).expect("opens");
    fs::remove_file(there.at("first")).expect("removes");
    there.flush();
    eventually("one name", || (!here.at("first").exists() && here.at("folder/third").exists()).then_some(()));
    eventually("no other", || (inode(&here, "folder/third").1 == 1).then_some(()));
    are_one(&here, &["folder/third"], b"content");
    assert_eq!(open.metadata().expect("fstat").ino(), inode(&here, "folder/third").0, "it is the file that it was");
    // What is removed on the web page is gone by all names; those that the drive still has lead nowhere, until it comes back.
    hard_link(&here, "folder/third", "fourth");
    here.flush();
    eventually("a name", || there.at("fourth").exists().then_some(()));
    let id = cloud.files("name = 'third' and trashed = false")[0]["id"].as_str().expect("id").to_owned();
    cloud.trash(&id);
    for machine in [&here, &there] {
        eventually("it is gone", || (!machine.at("folder/third").exists()).then_some(()));
        eventually("it leads nowhere", || {
            let metadata = fs::symlink_metadata(machine.at("fourth")).expect("is there");
            (metadata.is_symlink() && errno(File::open(machine.at("fourth"))) == libc::ENOENT).then_some(())
        });
    }
    cloud.patch(&id, &[], json!({"trashed": false}));
    for machine in [&here, &there] {
        for path in ["folder/third", "fourth"] {
            eventually("it is back", || (fs::read(machine.at(path)).ok()? == b"content").then_some(()));
        }
        are_one(machine, &["folder/third", "fourth"], b"content");
    }
    fs::remove_file(here.at("fourth")).expect("removes");
    here.flush();
    eventually("one name", || (inode(&there, "folder/third").1 == 1).then_some(()));
    assert_eq!(on_drive(&cloud), ["folder", "third"]);
}

#[test]
fn a_name_whose_file_nobody_listed_is_found_by_its_id() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("deep/down")).expect("makes");
    write(machine.at("deep/down/file"), b"content");
    hard_link(&machine, "deep/down/file", "name");
    machine.flush();
    let other = Machine::with(&cloud);
    assert_eq!(read(other.at("name")), b"content");
    let number = inode(&other, "name").0;
    assert_eq!(read(other.at("deep/down/file")), b"content");
    are_one(&other, &["name", "deep/down/file"], b"content");
    assert_eq!(inode(&other, "name").0, number);
}

#[test]
fn a_file_that_is_made_anew_keeps_its_names() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("first"), b"content");
    hard_link(&machine, "first", "second");
    machine.flush();
    let id = cloud.id("first");
    let mut file = File::options().append(true).open(machine.at("second")).expect("opens");
    file.write_all(b" that is written").expect("writes");
    cloud.trash(&id);
    assert!(run(Command::new(PROGRAM).arg("refresh").arg(machine.drive())).status.success());
    drop(file);
    machine.flush();
    are_one(&machine, &["first", "second"], b"content that is written");
    assert_ne!(cloud.id("first"), id);
    let shortcut = cloud.get(&cloud.id("second"));
    assert_eq!(shortcut["shortcutDetails"]["targetId"], json!(cloud.id("first")), "it leads to the new item");
    assert_eq!(on_drive(&cloud), ["first", "second*"]);
    assert_eq!(cloud.content(&cloud.id("first")), b"content that is written");
}

#[test]
fn of_an_edit_on_both_sides_theirs_has_all_names_and_ours_is_beside_it() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("first"), b"content");
    hard_link(&machine, "first", "second");
    machine.flush();
    let mut file = File::options().write(true).open(machine.at("second")).expect("opens");
    file.write_all(b"our edit").expect("writes");
    cloud.rewrite(&cloud.id("first"), b"their edit");
    drop(file);
    machine.flush();
    eventually("both", || (names(machine.drive()).len() == 3).then_some(()));
    are_one(&machine, &["first", "second"], b"their edit");
    let all = names(machine.drive());
    let copy = all.iter().find(|name| name.contains("conflict")).expect("a copy");
    are_one(&machine, &[copy], b"our edit");
    assert_eq!(on_drive(&cloud).len(), 3);
}

#[test]
fn a_flush_of_one_name_waits_for_the_file_and_the_name() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("file"), b"content");
    hard_link(&machine, "file", "folder/name");
    let output = run(Command::new(PROGRAM).arg("flush").arg(machine.at("folder/name")));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(on_drive(&cloud), ["file", "folder", "name*"]);
    write(machine.at("file"), b"changed");
    let output = run(Command::new(PROGRAM).arg("flush").arg(machine.at("folder")));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(cloud.content(&cloud.id("file")), b"changed", "it is in that folder, too");
}

#[test]
fn a_kill_at_any_step_leaves_each_name_once() {
    for (point, anew) in
        [("link-not-committed", false), ("linked", false), ("link-answered", false), ("link-deleted", true)]
    {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        machine.environment = vec![("DRIVEMOUNT_CRASH_AT".to_owned(), format!("{point}:1"))];
        machine.mount(&cloud);
        let pid = machine.pid();
        write(machine.at("first"), b"content");
        let linked = fs::hard_link(machine.at("first"), machine.at("second"));
        if anew {
            linked.expect("links");
            machine.flush();
            let mut file = File::options().append(true).open(machine.at("second")).expect("opens");
            file.write_all(b" anew").expect("writes");
            cloud.trash(&cloud.id("first"));
            assert!(run(Command::new(PROGRAM).arg("refresh").arg(machine.drive())).status.success());
        }
        wait_for_end(pid);
        machine.environment.clear();
        machine.mount(&cloud);
        let content: &[u8] = if anew { b"content anew" } else { b"content" };
        if point == "link-not-committed" {
            assert!(!machine.at("second").exists(), "it was not made");
            hard_link(&machine, "first", "second");
        }
        are_one(&machine, &["first", "second"], content);
        machine.flush();
        are_one(&machine, &["first", "second"], content);
        assert_eq!(on_drive(&cloud), ["first", "second*"], "{point}");
        let other = Machine::with(&cloud);
        names(other.drive());
        are_one(&other, &["first", "second"], content);
    }
}
