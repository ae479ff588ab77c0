//! Fifos, sockets and devices.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::Value;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, read, sh};

#[test]
fn fifos_and_sockets_work_between_processes() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let drive = machine.drive().display().to_string();
    let heard = sh(&format!("cd {drive} && mkfifo -m 640 fifo && (seq 50000 > fifo &) && cat fifo | tail -1"));
    assert_eq!(heard.trim(), "50000");
    assert_eq!(fs::metadata(machine.at("fifo")).expect("stat").mode(), libc::S_IFIFO | 0o640);

    let listener = UnixListener::bind(machine.at("socket")).expect("binds");
    let asks = std::thread::spawn({
        let place = machine.at("socket");
        move || UnixStream::connect(place).and_then(|mut stream| stream.write_all(b"hello")).expect("talks")
    });
    let mut heard = String::new();
    listener.accept().expect("accepts").0.read_to_string(&mut heard).expect("reads");
    asks.join().expect("asks");
    assert_eq!(heard, "hello");
    // The name outlasts who listens, as it does on a disk.
    drop(listener);
    // A program that another test starts has it, too, for the moment until it is another program.
    let refused = eventually("nobody listens", || UnixStream::connect(machine.at("socket")).err());
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
    assert_eq!(UnixListener::bind(machine.at("socket")).expect_err("taken").raw_os_error(), Some(libc::EADDRINUSE));
    machine.flush();
}

/// Name, file type and permission bits, device number, length.
fn seen(machine: &Machine, folder: &str) -> Vec<(String, u32, u64, u64)> {
    let mut seen: Vec<_> = fs::read_dir(machine.at(folder))
        .expect("lists")
        .map(|entry| {
            let entry = entry.expect("entry");
            let found = entry.metadata().expect("stat");
            (entry.file_name().into_string().expect("UTF-8"), found.mode(), found.rdev(), found.size())
        })
        .collect();
    seen.sort();
    seen
}

#[test]
fn special_files_go_to_the_drive_and_another_machine_sees_them() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let drive = machine.drive().display().to_string();
    sh(&format!(
        "cd {drive} && mkdir box && cd box && umask 022
         mkfifo fifo && mknod null c 1 3 && mknod large c 300 70000 && mknod disk b 7 200 && chmod 4640 disk"
    ));
    drop(UnixListener::bind(machine.at("box/socket")).expect("binds"));
    assert!(fs::metadata(machine.at("box/socket")).expect("stat").file_type().is_socket());
    // The mount has `nodev`.
    assert_eq!(File::open(machine.at("box/null")).expect_err("refused").raw_os_error(), Some(libc::EACCES));
    let here = seen(&machine, "box");
    let device = |major, minor| libc::makedev(major, minor);
    let expected = [
        ("disk", libc::S_IFBLK | 0o4640, device(7, 200)),
        ("fifo", libc::S_IFIFO | 0o644, 0),
        ("large", libc::S_IFCHR | 0o644, device(300, 70000)),
        ("null", libc::S_IFCHR | 0o644, device(1, 3)),
        ("socket", libc::S_IFSOCK | 0o755, 0),
    ];
    assert_eq!(here, expected.map(|(name, mode, device)| (name.to_owned(), mode, device, 0)));
    machine.flush();
    assert_eq!(cloud.uploads(), 0, "they have no content");
    let there = |name: &str| -> (Value, Value) {
        let item = cloud.get(&cloud.id(name));
        (item["mimeType"].clone(), item["properties"]["drivemount.device"].clone())
    };
    assert_eq!(there("fifo"), ("inode/fifo".into(), Value::Null));
    assert_eq!(there("socket"), ("inode/socket".into(), Value::Null));
    assert_eq!(there("null"), ("inode/chardevice".into(), "1:3".into()));
    assert_eq!(there("large"), ("inode/chardevice".into(), "300:70000".into()));
    assert_eq!(there("disk"), ("inode/blockdevice".into(), "7:200".into()));

    let other = Machine::with(&cloud);
    assert_eq!(seen(&other, "box"), here);
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(seen(&machine, "box"), here, "from the tables");
    // What is done to them arrives elsewhere.
    sh(&format!("cd {drive}/box && mv fifo pipe && chmod 600 pipe && chown 1:2 null && rm socket disk"));
    machine.flush();
    eventually("the news", || (seen(&other, "box") == seen(&machine, "box")).then_some(()));
    let null = fs::metadata(other.at("box/null")).expect("stat");
    assert_eq!((null.uid(), null.gid(), null.rdev()), (1, 2, device(1, 3)));
    assert_eq!(
        sh(&format!("cd {} && (echo through > box/pipe &) && cat box/pipe", other.drive().display())),
        "through\n"
    );
}

#[test]
fn programs_that_copy_trees_copy_special_files_too() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    sh(&format!(
        "cd {} && mkdir a && mkfifo -m 600 a/fifo && mknod -m 660 a/null c 1 3 && echo x > a/file",
        machine.drive().display()
    ));
    drop(UnixListener::bind(machine.at("a/socket")).expect("binds"));
    sh(&format!(
        "cd {} && cp -a a copied && mkdir unpacked && tar -C a --exclude socket -cf - . | tar -C unpacked -xf - && rsync -a a/ synced/",
        machine.drive().display()
    ));
    let here = seen(&machine, "a");
    assert_eq!(seen(&machine, "copied"), here);
    assert_eq!(seen(&machine, "synced"), here);
    assert_eq!(seen(&machine, "unpacked"), here[..3], "tar keeps no sockets");
    machine.flush();
    let other = Machine::with(&cloud);
    assert_eq!(seen(&other, "synced"), here);
    assert_eq!(read(other.at("copied/file")), b"x\n");
}

#[test]
fn a_special_file_that_was_made_before_a_kill_reaches_the_drive_once() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    sh(&format!("mkfifo {}", machine.at("fifo").display()));
    machine.kill();
    machine.mount(&cloud);
    assert!(fs::metadata(machine.at("fifo")).expect("stat").file_type().is_fifo());
    // The answer is lost: the next attempt meets its own work.
    cloud.make_trouble(&["files.create:lose-answer,times=1"]);
    sh(&format!("mknod {} b 8 1", machine.at("disk").display()));
    machine.flush();
    assert_eq!(
        (cloud.file("fifo")["mimeType"].as_str(), cloud.file("disk")["mimeType"].as_str()),
        (Some("inode/fifo"), Some("inode/blockdevice"))
    );
    assert_eq!(cloud.all().len(), 2);
}

#[test]
fn special_files_and_links_have_further_names_too() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let drive = machine.drive().display().to_string();
    sh(&format!("cd {drive} && mkfifo fifo && ln fifo again && ln -s fifo link && ln -P link beside"));
    let seen = |machine: &Machine| {
        let found = |path: &str| fs::symlink_metadata(machine.at(path)).expect("stat");
        for (one, other) in [("fifo", "again"), ("link", "beside")] {
            assert_eq!(
                (found(one).ino(), found(one).nlink(), found(one).mode()),
                (found(other).ino(), 2, found(other).mode())
            );
        }
        assert!(found("again").file_type().is_fifo());
        assert_eq!(fs::read_link(machine.at("beside")).expect("a link").to_str(), Some("fifo"));
    };
    seen(&machine);
    machine.flush();
    let other = Machine::with(&cloud);
    seen(&other);
    fs::remove_file(machine.at("fifo")).expect("removes");
    assert!(fs::symlink_metadata(machine.at("again")).expect("stat").file_type().is_fifo());
    machine.flush();
    eventually("the news", || {
        (!other.at("fifo").exists() && fs::symlink_metadata(other.at("again")).is_ok_and(|found| found.nlink() == 1))
            .then_some(())
    });
}
