//! `RENAME_EXCHANGE`: two entries change places at once.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, read, wait_for_end, write};

fn rename(one: impl AsRef<Path>, other: impl AsRef<Path>, flags: libc::c_uint) -> io::Result<()> {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("no zero");
    let (one, other) = (path(one.as_ref()), path(other.as_ref()));
    // SAFETY: both are C strings that outlive the call.
    let done = unsafe { libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn exchange(one: impl AsRef<Path>, other: impl AsRef<Path>) -> io::Result<()> {
    rename(one, other, libc::RENAME_EXCHANGE)
}

#[test]
fn files_and_folders_change_places_here_and_on_the_drive() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("runs/best")).expect("makes");
    write(machine.at("runs/best/weights"), b"best");
    write(machine.at("live"), b"live");
    write(machine.at("next"), b"next one");
    machine.flush();
    let ids = ["live", "next", "best"].map(|name| cloud.id(name));
    let uploads = cloud.uploads();
    let inos = ["live", "next"].map(|name| fs::metadata(machine.at(name)).expect("stat").ino());
    exchange(machine.at("live"), machine.at("next")).expect("in one folder");
    assert_eq!((read(machine.at("live")), read(machine.at("next"))), (b"next one".to_vec(), b"live".to_vec()));
    assert_eq!(["next", "live"].map(|name| fs::metadata(machine.at(name)).expect("stat").ino()), inos);
    exchange(machine.at("next"), machine.at("runs/best")).expect("a file and a folder, across folders");
    assert_eq!(read(machine.at("next/weights")), b"best");
    assert_eq!(read(machine.at("runs/best")), b"live");
    assert_eq!(fs::metadata(machine.drive()).expect("stat").nlink(), 4, "runs and next");
    machine.flush();
    assert_eq!(cloud.uploads(), uploads, "names were sent, no content");
    assert_eq!([cloud.id("best"), cloud.id("live"), cloud.id("next")], ids, "each is what it was");
    let other = Machine::with(&cloud);
    assert_eq!(names(other.drive()), ["live", "next", "runs"]);
    assert_eq!(
        (read(other.at("next/weights")), read(other.at("runs/best")), read(other.at("live"))),
        (b"best".to_vec(), b"live".to_vec(), b"next one".to_vec())
    );
    // While another machine looks on, back again.
    exchange(other.at("next"), other.at("runs/best")).expect("exchanges");
    other.flush();
    eventually("the news", || fs::metadata(machine.at("runs/best/weights")).ok());
    assert_eq!(read(machine.at("next")), b"live");
}

#[test]
fn what_is_not_sent_yet_changes_places_too_and_a_kill_loses_nothing() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("old"), b"old");
    machine.flush();
    cloud.make_trouble(&["files.create+files.update+uploads.*:answer,status=503"]);
    write(machine.at("new"), b"new");
    exchange(machine.at("new"), machine.at("old")).expect("exchanges");
    machine.kill();
    cloud.make_trouble(&[]);
    assert_eq!(cloud.all().len(), 1, "killed before it was sent");
    machine.mount(&cloud);
    assert_eq!((read(machine.at("old")), read(machine.at("new"))), (b"new".to_vec(), b"old".to_vec()));
    machine.flush();
    assert_eq!((cloud.content(&cloud.id("old")), cloud.content(&cloud.id("new"))), (b"new".to_vec(), b"old".to_vec()));
    assert_eq!(cloud.all().len(), 2);
}

#[test]
fn a_kill_in_an_exchange_leaves_both_as_they_were_or_both_exchanged() {
    for (point, exchanged) in [("exchange-not-committed", false), ("exchanged", true)] {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        machine.environment.push(("DRIVEMOUNT_CRASH_AT".to_owned(), format!("{point}:1")));
        machine.mount(&cloud);
        fs::create_dir(machine.at("folder")).expect("makes");
        write(machine.at("folder/one"), b"one");
        write(machine.at("other"), b"other");
        machine.flush();
        let pid = machine.pid();
        exchange(machine.at("folder/one"), machine.at("other")).expect_err("it dies");
        wait_for_end(pid);
        machine.environment.clear();
        machine.mount(&cloud);
        let (one, other) = if exchanged { ("other", "one") } else { ("one", "other") };
        assert_eq!(read(machine.at("folder/one")), one.as_bytes(), "{point}");
        assert_eq!(read(machine.at("other")), other.as_bytes(), "{point}");
        machine.flush();
        assert_eq!(cloud.content(&cloud.id("one")), one.as_bytes(), "{point}");
        assert_eq!(cloud.content(&cloud.id("other")), other.as_bytes(), "{point}");
    }
}

#[test]
fn a_half_sent_exchange_is_finished_after_a_kill() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("one"), b"one");
    write(machine.at("two"), b"two");
    machine.flush();
    // The first of the two gets through, the other does not.
    cloud.make_trouble(&["files.update:answer,status=503,skip=1"]);
    exchange(machine.at("one"), machine.at("two")).expect("exchanges");
    eventually("one is sent", || {
        let files = cloud.all();
        (files.len() == 2 && files[0]["name"] == files[1]["name"]).then_some(())
    });
    machine.kill();
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert_eq!((read(machine.at("one")), read(machine.at("two"))), (b"two".to_vec(), b"one".to_vec()));
    assert_eq!((cloud.content(&cloud.id("one")), cloud.content(&cloud.id("two"))), (b"two".to_vec(), b"one".to_vec()));
}

#[test]
fn what_cannot_be_exchanged_is_refused_as_on_a_disk() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir_all(machine.at("folder/in it")).expect("makes");
    write(machine.at("file"), b"x");
    write(machine.at("folder/other"), b"y");
    let errno = |result: io::Result<()>| result.expect_err("refused").raw_os_error().expect("errno");
    let at = |name: &str| machine.at(name);
    assert_eq!(errno(exchange(at("folder"), at("folder/in it"))), libc::EINVAL);
    assert_eq!(errno(exchange(at("folder/in it"), at("folder"))), libc::EINVAL);
    assert_eq!(errno(exchange(at("file"), at("none"))), libc::ENOENT);
    assert_eq!(errno(exchange(at("none"), at("file"))), libc::ENOENT);
    assert_eq!(errno(exchange(at("file"), at("MyDrive"))), libc::EBUSY);
    assert_eq!(errno(rename(at("file"), at("folder/other"), libc::RENAME_WHITEOUT)), libc::EINVAL);
    assert_eq!(
        errno(rename(at("file"), at("folder/other"), libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE)),
        libc::EINVAL
    );
    exchange(at("file"), at("file")).expect("nothing to do");
    assert_eq!((read(at("file")), read(at("folder/other"))), (b"x".to_vec(), b"y".to_vec()));
}

#[test]
fn nothing_is_exchanged_that_may_not_leave_or_come() {
    let cloud = Cloud::start();
    let drive = cloud.make_drive("Team");
    let folder = cloud.make_folder("theirs", &drive);
    cloud.upload("in it", &folder, b"team");
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("mine")).expect("makes");
    write(machine.at("file"), b"mine");
    machine.flush();
    let errno = |result: io::Result<()>| result.expect_err("refused").raw_os_error().expect("errno");
    let team = |name: &str| machine.at("Shareddrives/Team").join(name);
    assert_eq!(errno(exchange(machine.at("mine"), team("theirs"))), libc::EXDEV);
    assert_eq!(errno(exchange(machine.at("file"), machine.at("Shareddrives/Team"))), libc::EACCES);
    exchange(machine.at("file"), team("theirs/in it")).expect("files move between drives");
    assert_eq!((read(machine.at("file")), read(team("theirs/in it"))), (b"team".to_vec(), b"mine".to_vec()));
    machine.flush();
}

#[test]
fn a_further_name_changes_places_alone_and_two_names_of_one_file_stay() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"file");
    write(machine.at("other"), b"other");
    fs::create_dir(machine.at("folder")).expect("makes");
    fs::hard_link(machine.at("file"), machine.at("name")).expect("links");
    let number = |machine: &Machine, path: &str| fs::metadata(machine.at(path)).expect("stat").ino();
    let (file, other) = (number(&machine, "file"), number(&machine, "other"));
    exchange(machine.at("file"), machine.at("name")).expect("two names of one file");
    assert_eq!([number(&machine, "file"), number(&machine, "name")], [file, file]);
    exchange(machine.at("name"), machine.at("other")).expect("a name and a file");
    assert_eq!(["file", "name", "other"].map(|path| number(&machine, path)), [file, other, file]);
    exchange(machine.at("other"), machine.at("folder")).expect("a name and a folder");
    let seen = |machine: &Machine| {
        assert!(machine.at("other").is_dir());
        assert_eq!(
            ["file", "folder", "name"].map(|path| read(machine.at(path))),
            [b"file".to_vec(), b"file".to_vec(), b"other".to_vec()]
        );
        assert_eq!(
            ["file", "folder", "name"].map(|path| fs::metadata(machine.at(path)).expect("stat").nlink()),
            [2, 2, 1]
        );
    };
    seen(&machine);
    machine.flush();
    seen(&machine);
    seen(&Machine::with(&cloud));
    // The place of the file itself.
    exchange(machine.at("file"), machine.at("name")).expect("a file with another name, and a file");
    machine.flush();
    let there = Machine::with(&cloud);
    for machine in [&machine, &there] {
        assert_eq!(
            [read(machine.at("file")), read(machine.at("name")), read(machine.at("folder"))],
            [&b"other"[..], b"file", b"file"]
        );
        assert_eq!(number(machine, "name"), number(machine, "folder"));
    }
}
