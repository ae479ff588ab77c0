//! Files, folders, links and attributes, as programs meet them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, sh, write};

#[track_caller]
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("refused").raw_os_error().expect("an errno")
}

#[test]
fn files_are_written_read_and_changed_in_place() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let path = machine.at("a");
    write(&path, b"0123456789");
    let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
    file.seek(SeekFrom::Start(3)).expect("seeks");
    file.write_all(b"abc").expect("writes");
    assert_eq!(read(&path), b"012abc6789", "others see it at once");
    file.set_len(5).expect("shortens");
    file.set_len(8).expect("lengthens");
    assert_eq!(read(&path), b"012ab\0\0\0");
    drop(file);
    OpenOptions::new().append(true).open(&path).expect("opens").write_all(b"end").expect("appends");
    assert_eq!(read(&path), b"012ab\0\0\0end");
    OpenOptions::new().write(true).truncate(true).open(&path).expect("empties");
    assert_eq!(read(&path), b"");
    let sparse = File::create(machine.at("sparse")).expect("creates");
    sparse.write_all_at(b"x", 3_000_000).expect("writes far out");
    drop(sparse);
    let content = read(machine.at("sparse"));
    assert!(content.len() == 3_000_001 && content[..3_000_000].iter().all(|&byte| byte == 0));
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("sparse")), content);
}

#[test]
fn a_change_in_the_middle_of_a_large_file_fetches_and_stages_little() {
    let cloud = Cloud::start();
    let mut content = bytes(1, 40 << 20);
    cloud.upload("large", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    let file = OpenOptions::new().write(true).open(machine.at("large")).expect("opens");
    file.write_all_at(b"changed", 20 << 20).expect("writes");
    content[20 << 20..(20 << 20) + 7].copy_from_slice(b"changed");
    let status = machine.status();
    assert_eq!(status["cache"]["staged_bytes"], 7, "{status}");
    assert_eq!(status["traffic"]["downloaded_bytes"], 0, "nothing was read");
    drop(file);
    assert!(read(machine.at("large")) == content, "read while it waits to be sent");
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
}

#[test]
fn a_file_without_a_name_lives_until_it_is_closed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let path = machine.at("gone");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).expect("creates");
    file.write_all(b"hello").expect("writes");
    fs::remove_file(&path).expect("removes");
    file.write_all(b" world").expect("writes still");
    let metadata = file.metadata().expect("stat");
    assert_eq!((metadata.nlink(), metadata.len()), (0, 11));
    file.seek(SeekFrom::Start(0)).expect("seeks");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "hello world");
    drop(file);
    machine.flush();
    assert_eq!(cloud.files("name = 'gone'"), Vec::<serde_json::Value>::new(), "not even in the trash");
    assert_eq!(names(machine.cache().join("staging")), Vec::<String>::new());
}

#[test]
fn saving_by_rename_keeps_the_identity() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("model.ckpt"), b"first");
    machine.flush();
    let id = cloud.id("model.ckpt");
    for save in 0..10_u8 {
        let mut file = File::create(machine.at("model.tmp")).expect("creates");
        file.write_all(&[save; 1000]).expect("writes");
        file.sync_all().expect("syncs");
        fs::rename(machine.at("model.tmp"), machine.at("model.ckpt")).expect("replaces");
        if save % 4 == 3 {
            machine.flush();
        }
    }
    machine.flush();
    assert_eq!(names(machine.drive()), ["model.ckpt"]);
    assert_eq!(cloud.id("model.ckpt"), id);
    assert_eq!(cloud.content(&id), [9; 1000]);
    assert_eq!(cloud.files("name contains 'model'").len(), 1, "no temporary file, not even in the trash");
    assert_eq!(machine.status()["conflicts"], serde_json::json!([]));
}

#[test]
fn a_rename_over_a_file_is_seen_by_nobody_as_half_done() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("target"), vec![b'0'; 100_000]);
    let reader = machine.at("target");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let content = read(&reader);
                assert!(content.len() == 100_000 && content.iter().all(|&byte| byte == content[0]));
            }
        });
        for turn in b'1'..=b'9' {
            write(machine.at("next"), vec![turn; 100_000]);
            fs::rename(machine.at("next"), machine.at("target")).expect("replaces");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(read(machine.at("target"))[0], b'9');
}

#[test]
fn renames_obey_their_rules() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let at = |path: &str| machine.at(path);
    for folder in ["full/in", "empty"] {
        fs::create_dir_all(at(folder)).expect("makes");
    }
    write(at("a"), b"a");
    write(at("b"), b"b");
    assert_eq!(errno(fs::rename(at("a"), at("full"))), libc::EISDIR);
    assert_eq!(errno(fs::rename(at("full"), at("a"))), libc::ENOTDIR);
    assert_eq!(errno(fs::rename(at("empty"), at("full"))), libc::ENOTEMPTY);
    assert_eq!(errno(fs::rename(at("full"), at("full/in/self"))), libc::EINVAL);
    assert_eq!(errno(fs::rename(at("none"), at("c"))), libc::ENOENT);
    assert_eq!(errno(fs::remove_dir(at("full"))), libc::ENOTEMPTY);
    assert_eq!(errno(fs::remove_dir(at("a"))), libc::ENOTDIR);
    assert_eq!(errno(fs::remove_file(at("full"))), libc::EISDIR);
    assert_eq!(errno(fs::create_dir(at("full"))), libc::EEXIST);
    let taken = rename_noreplace(&at("a"), &at("b"));
    assert_eq!(errno(taken), libc::EEXIST);
    rename_noreplace(&at("a"), &at("c")).expect("renames");
    fs::rename(at("full"), at("empty")).expect("replaces an empty folder");
    assert_eq!(names(machine.drive()), ["b", "c", "empty"]);
    assert_eq!(names(at("empty")), ["in"]);
    // A folder into one that was in it: for a moment, the drive must not see a circle.
    fs::create_dir_all(at("one/two")).expect("makes");
    machine.flush();
    fs::rename(at("one/two"), at("two")).expect("moves out");
    fs::rename(at("one"), at("two/one")).expect("moves in");
    machine.flush();
    let (one, two) = (cloud.file("one"), cloud.file("two"));
    assert_eq!(one["parents"][0], two["id"]);
    assert_eq!(two["parents"][0], cloud.root().as_str());
}

fn rename_noreplace(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    let python = "import ctypes, os, sys\n\
                  libc = ctypes.CDLL(None, use_errno=True)\n\
                  done = libc.renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 1)\n\
                  sys.exit(ctypes.get_errno() if done else 0)";
    let status =
        std::process::Command::new("python3").args(["-c", python]).arg(from).arg(to).status().expect("python3");
    match status.code() {
        Some(0) => Ok(()),
        code => Err(std::io::Error::from_raw_os_error(code.expect("exit code"))),
    }
}

#[test]
fn removing_goes_to_the_trash_in_as_few_requests_as_can_be() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("old/deep")).expect("makes");
    for number in 0..30 {
        write(machine.at(&format!("old/deep/{number}")), b"x");
    }
    machine.flush();
    let folder = cloud.id("old");
    fs::remove_dir_all(machine.at("old")).expect("removes");
    machine.flush();
    assert_eq!(cloud.all(), Vec::<serde_json::Value>::new());
    let trashed = cloud.call("GET", &format!("/drive/v3/files/{folder}"), &[("fields", "trashed")], None);
    assert_eq!(trashed["trashed"], true);
    let requests = &machine.status()["traffic"]["requests"];
    assert_eq!(requests["files.update"]["count"], 1, "{requests}");
    // What comes back from the trash comes back here.
    cloud.patch(&folder, &[], serde_json::json!({"trashed": false}));
    eventually("the folder is back", || machine.at("old/deep/7").exists().then_some(()));
    assert_eq!(names(machine.at("old/deep")).len(), 30);
}

#[test]
fn what_comes_and_goes_costs_nothing() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    machine.flush();
    let before = machine.status()["traffic"]["requests"].clone();
    for number in 0..50 {
        let path = machine.at(&format!("temporary-{number}"));
        write(&path, b"x");
        fs::remove_file(path).expect("removes");
    }
    machine.flush();
    let after = machine.status()["traffic"]["requests"].clone();
    for call in ["files.create", "upload", "files.update", "files.delete", "files.generateIds"] {
        assert_eq!(after[call], before[call], "{call}");
    }
}

#[test]
fn links_are_read_and_followed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let long = format!("../{}", "x".repeat(900));
    for (name, target) in
        [("relative", "file"), ("absolute", "/etc/hostname"), ("dangling", "nowhere"), ("long", &long)]
    {
        symlink(target, machine.at(name)).expect("links");
    }
    write(machine.at("file"), b"content");
    assert_eq!(read(machine.at("relative")), b"content");
    assert_eq!(errno(File::open(machine.at("dangling"))), libc::ENOENT);
    machine.flush();
    let other = Machine::with(&cloud);
    for machine in [&machine, &other] {
        assert_eq!(fs::read_link(machine.at("absolute")).expect("reads").to_str(), Some("/etc/hostname"));
        assert_eq!(fs::read_link(machine.at("long")).expect("reads").to_str(), Some(long.as_str()));
        assert_eq!(read(machine.at("relative")), b"content");
    }
    assert_eq!(cloud.content(&cloud.id("dangling")), b"nowhere", "readable as a small file elsewhere");
}

#[test]
fn attributes_tell_of_the_drive() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"hello");
    machine.flush();
    let get = |name: &str| {
        let line = format!("getfattr --absolute-names --only-values -n {name} {}", machine.at("file").display());
        sh(&line)
    };
    assert_eq!(get("user.drive.id"), cloud.id("file"));
    assert_eq!(get("user.drive.md5"), "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(get("user.drivemount.state"), "clean");
    let file = OpenOptions::new().write(true).open(machine.at("file")).expect("opens");
    file.write_all_at(b"j", 0).expect("writes");
    assert_eq!(get("user.drivemount.state"), "dirty");
    drop(file);
    // Programs that copy all attributes would set them elsewhere.
    assert_eq!(sh(&format!("getfattr --absolute-names {}", machine.at("file").display())), "");
}

#[test]
fn the_storage_is_that_of_the_drive() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let storage = sh(&format!("df --output=fstype,source {}", machine.drive().display()));
    assert!(storage.contains("fuse.drivemount") && storage.contains(&cloud.url), "{storage}");
    let free: u64 = sh(&format!("stat -f -c %a {}", machine.drive().display())).trim().parse().expect("number");
    assert!(free > 1 << 30, "no limit is a lot");
}

#[test]
fn what_is_not_offered_is_refused() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"x");
    let drive = machine.drive().display().to_string();
    for (line, message) in [
        (format!("setfattr -n trusted.mine -v x {drive}/file"), "not supported"),
        (format!("setfattr -n security.mine -v x {drive}/file"), "not supported"),
    ] {
        let output = std::process::Command::new("bash").args(["-c", &line]).output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(message), "{line}: {error}");
    }
    let name = "n".repeat(256);
    assert_eq!(errno(File::create(machine.at(&name))), libc::ENAMETOOLONG);
    let bad = machine.drive().join(std::ffi::OsStr::from_bytes(b"\xff"));
    assert_eq!(errno(File::create(&bad)), libc::EILSEQ);
    assert_eq!(errno(File::open(&bad)), libc::ENOENT);
    assert_eq!(names(machine.drive()), ["file"], "nothing was left behind");
}

#[test]
fn both_colab_names_lead_to_the_root() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("MyDrive/models/deep")).expect("makes through one name");
    write(machine.at("models/plain"), b"plain");
    assert_eq!(read(machine.at("My Drive/models/plain")), b"plain");
    assert_eq!(names(machine.drive()), ["models"], "walks do not go in circles");
    // What one way changes, the others see at once, whatever the kernel remembered.
    for turn in 0..20 {
        let (one, other) = (machine.at(&format!("MyDrive/models/{turn}")), machine.at(&format!("models/{turn}")));
        assert!(!other.exists());
        write(&one, b"x");
        assert!(other.exists() && machine.at(&format!("My Drive/models/{turn}")).exists());
        assert!(names(machine.at("models")).contains(&turn.to_string()));
        fs::rename(&other, machine.at("models/deep/moved")).expect("moves");
        assert!(!one.exists());
        fs::remove_file(machine.at("My Drive/models/deep/moved")).expect("removes");
        assert!(!machine.at("models/deep/moved").exists());
    }
    let found = sh(&format!("find '{}' -type f", machine.at("MyDrive").display()));
    assert!(found.contains("MyDrive/models/plain"), "{found}");
    assert_eq!(errno(fs::remove_dir(machine.at("MyDrive"))), libc::EBUSY);
    let (one, other) = (fs::metadata(machine.at("models/plain")), fs::metadata(machine.at("MyDrive/models/plain")));
    assert_eq!(one.expect("stat").ino(), other.expect("stat").ino(), "a file is one file");
}

#[test]
fn a_log_that_stays_open_reaches_the_drive() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--sync-interval", "1s"]);
    let mut log = File::create(machine.at("train.log")).expect("creates");
    let mut expected = String::new();
    for line in 0..3 {
        let text = format!("line {line}\n");
        log.write_all(text.as_bytes()).expect("writes");
        expected += &text;
        eventually("the log is on the drive as it is now", || {
            let file = cloud.files("name = 'train.log'").first().cloned()?;
            (cloud.content(file["id"].as_str()?) == expected.as_bytes()).then_some(())
        });
    }
    log.write_all(b"last\n").expect("writes");
    machine.flush();
    assert!(cloud.content(&cloud.id("train.log")).ends_with(b"last\n"), "a flush includes what is open");
}

#[test]
fn a_shared_map_is_written_to_the_file() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("mapped"), vec![0; 1_000_000]);
    let script = "import mmap, sys\n\
                  with open(sys.argv[1], 'r+b') as file, mmap.mmap(file.fileno(), 0) as view:\n\
                  \x20   view[500000:500005] = b'hello'\n\
                  \x20   view.flush()\n";
    let status =
        std::process::Command::new("python3").args(["-c", script]).arg(machine.at("mapped")).status().expect("python3");
    assert!(status.success());
    assert_eq!(&read(machine.at("mapped"))[500_000..500_005], b"hello");
    machine.flush();
    assert_eq!(&cloud.content(&cloud.id("mapped"))[500_000..500_005], b"hello");
}

#[test]
fn modes_are_kept_and_obeyed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("run.sh"), b"#!/bin/sh\necho it runs\n");
    fs::set_permissions(machine.at("run.sh"), fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(sh(&machine.at("run.sh").display().to_string()), "it runs\n");
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o640)
        .open(machine.at("private"))
        .expect("creates");
    sh(&format!("chown 1000:1001 {}", machine.at("private").display()));
    machine.unmount();
    machine.lose_cache();
    machine.mount(&cloud);
    assert_eq!(sh(&machine.at("run.sh").display().to_string()), "it runs\n", "on a new machine too");
    let private = fs::metadata(machine.at("private")).expect("stat");
    assert_eq!((private.mode() & 0o7777, private.uid(), private.gid()), (0o640, 1000, 1001));
}

#[test]
fn many_writers_at_once_do_not_hurt_each_other() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let machine = &machine;
            scope.spawn(move || {
                let folder = machine.at(&format!("w{writer}"));
                fs::create_dir(&folder).expect("makes");
                for number in 0..40_u64 {
                    let content = bytes(writer * 100 + number, usize::try_from(number * 997).expect("small"));
                    write(folder.join(number.to_string()), &content);
                    assert!(read(folder.join(number.to_string())) == content);
                }
            });
        }
    });
    machine.flush();
    let other = Machine::with(&cloud);
    for writer in 0..8 {
        for number in 0..40_u64 {
            let content = bytes(writer * 100 + number, usize::try_from(number * 997).expect("small"));
            assert!(read(other.at(&format!("w{writer}/{number}"))) == content);
        }
    }
}

#[test]
fn a_removed_folder_can_be_looked_at_by_who_has_it_open_or_works_in_it() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    for (sent, name) in [(true, "removed"), (true, "replaced"), (false, "removed"), (false, "replaced")] {
        let path = machine.at(name);
        fs::create_dir(&path).expect("makes");
        if sent {
            machine.flush();
        }
        let open = File::open(&path).expect("opens");
        let mut works_in_it = std::process::Command::new("sh")
            .args(["-c", "read _ && exec stat --format=%h ."])
            .current_dir(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        if name == "removed" {
            fs::remove_dir(&path).expect("removes");
        } else {
            fs::create_dir(machine.at("new")).expect("makes");
            fs::rename(machine.at("new"), &path).expect("replaces");
        }
        // Nothing is left of it then.
        machine.flush();
        let metadata = open.metadata().expect("is there for who has it open");
        assert!(metadata.is_dir() && metadata.nlink() == 0, "{metadata:?}");
        works_in_it.stdin.take().expect("piped").write_all(b"\n").expect("writes");
        let output = works_in_it.wait_with_output().expect("ends");
        assert_eq!((output.status.success(), output.stdout.as_slice()), (true, &b"0\n"[..]), "{name}, sent: {sent}");
        if name == "replaced" {
            fs::remove_dir(&path).expect("removes");
        }
    }
}
