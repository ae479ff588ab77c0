//! Where something is short: the line to the drive, the local disk.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Disk, Machine, bytes, read, signal, write};

/// A line to a cloud that can be made to hold back long answers.
struct Line {
    url: String,
    held: Arc<(Mutex<bool>, Condvar)>,
}

/// How long an answer is not held back.
const SHORT: usize = 200_000;

impl Line {
    fn to(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let held = Arc::new((Mutex::new(false), Condvar::new()));
        let (server, holding) = (cloud.url.trim_start_matches("http://").to_owned(), Arc::clone(&held));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.expect("accepts"), TcpStream::connect(&server).expect("connects"));
                let back = (server.try_clone().expect("clones"), client.try_clone().expect("clones"));
                std::thread::spawn(move || std::io::copy(&mut &client, &mut &server));
                let holding = Arc::clone(&holding);
                std::thread::spawn(move || pass(back.0, back.1, &holding));
            }
        });
        Self { url, held }
    }

    fn hold(&self, hold: bool) {
        *self.held.0.lock().expect("lock") = hold;
        self.held.1.notify_all();
    }
}

/// Passes what comes from the server on, but not too much of it while the line is held.
fn pass(mut server: TcpStream, mut client: TcpStream, (held, changed): &(Mutex<bool>, Condvar)) {
    let (mut buffer, mut passed) = (vec![0; 65536], 0);
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        let hold = held.lock().expect("lock");
        passed = if *hold { passed + length } else { 0 };
        drop(changed.wait_while(hold, |hold| *hold && passed > SHORT).expect("lock"));
        if client.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

#[test]
fn read_ahead_of_large_files_does_not_keep_a_small_one_waiting() {
    let cloud = Cloud::start();
    let line = Line::to(&cloud);
    cloud.upload("small", &cloud.root(), b"small");
    let large = bytes(1, 4 << 20);
    for number in 0..20 {
        cloud.upload(&format!("large {number}"), &cloud.root(), &large);
    }
    let mut machine = Machine::new();
    machine.arguments.extend(["--network-timeout".to_owned(), "5s".to_owned()]);
    let output = machine.try_mount_at(&line.url, &cloud.token_file());
    assert!(output.status.success(), "{}", crate::machine::said(&output));

    // Direct: what the kernel reads ahead would be waited for.
    let open =
        |name: String| File::options().read(true).custom_flags(libc::O_DIRECT).open(machine.at(&name)).expect("opens");
    let files: Vec<File> = (0..20).map(|number| open(format!("large {number}"))).collect();
    let mut piece = vec![0; 65536];
    let mut read_all = |offset| {
        for file in &files {
            file.read_exact_at(&mut piece, offset).expect("reads");
        }
        piece.clone()
    };
    read_all(0);
    let downloaded = || machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes");
    eventually("the first windows are there", || (downloaded() >= 20 * (1 << 20)).then_some(()));
    line.hold(true);
    // Here already, and far enough for the next window.
    read_all(600 << 10);
    assert_eq!(read(machine.at("small")), b"small");
    line.hold(false);
    assert!(read_all(3 << 20) == large[3 << 20..][..65536]);
}

/// Reads a file as it is, and not as the kernel remembers it.
fn read_directly(path: &Path, length: usize) -> Vec<u8> {
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path).expect("opens");
    let mut content = vec![0; length];
    for (number, piece) in content.chunks_mut(1 << 20).enumerate() {
        file.read_exact_at(piece, (number as u64) << 20).expect("reads");
    }
    content
}

#[test]
fn a_full_disk_costs_time_and_fails_no_reader() {
    let cloud = Cloud::start();
    let content = bytes(1, 40 << 20);
    cloud.upload("larger than the disk", &cloud.root(), &content);
    let machine = Machine::new();
    let disk = Disk::at(machine.cache(), 24);
    machine.mount(&cloud);
    let path = machine.at("larger than the disk");
    assert!(read_directly(&path, content.len()) == content);
    let used = || machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
    assert!((8 << 20..24 << 20).contains(&used()), "{} bytes", used());
    // Where a write is safe, too.
    write(machine.at("ours"), b"kept");
    machine.flush();

    // Others want the disk, and get it.
    let mut others = File::create(disk.path().join("others")).expect("creates");
    let (mut taken, piece) = (0, vec![7; 256 << 10]);
    eventually("the cache gives way", || {
        taken += others.write(&piece).unwrap_or(0);
        (taken >= 14 << 20).then_some(())
    });
    assert!(read_directly(&path, content.len()) == content);

    // They take whatever it gives up.
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                let _full = others.write(&piece[..4096]);
            }
        });
        let read = std::panic::catch_unwind(|| read_directly(&path, 8 << 20));
        end.store(true, Ordering::Relaxed);
        assert!(read.expect("reads") == content[..8 << 20]);
    });
}

#[test]
fn a_disk_full_of_unsent_work_still_sends_and_removes_it() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let _disk = Disk::at(machine.cache(), 48);
    machine.mount(&cloud);
    assert_eq!(std::fs::read_dir(machine.drive()).expect("lists").count(), 0, "and is known to be empty");
    signal(cloud.pid(), "STOP");
    let content = |number: u64| bytes(number, 3 << 20);
    let mut saved = Vec::new();
    // The drive may come back, so who finds no room waits.
    let waits = || machine.status()["writes"]["state"] == "waiting";
    while !waits() {
        let number = saved.len() as u64;
        assert!(number < 20, "more was taken than there is room for");
        let ours = machine.cache().with_file_name(format!("content {number}"));
        write(&ours, content(number));
        let place = machine.at(&format!("file {number}"));
        let mut writing = std::process::Command::new("cp").arg(&ours).arg(place).spawn().expect("starts");
        let saw = eventually("it is saved or waits", || match writing.try_wait().expect("waits") {
            Some(status) => Some(status.success()),
            None => waits().then_some(false),
        });
        if !saw {
            writing.kill().expect("kills");
            writing.wait().expect("ends");
            break;
        }
        saved.push(number);
    }
    assert!(saved.len() >= 8, "{} files fill it", saved.len());
    std::fs::remove_file(machine.at("file 0")).expect("removes");
    std::fs::rename(machine.at("file 1"), machine.at("renamed")).expect("renames");
    machine.kill();
    signal(cloud.pid(), "CONT");
    machine.mount(&cloud);
    machine.flush();
    assert!(cloud.content(&cloud.id("renamed")) == content(1));
    for &number in &saved[2..] {
        assert!(cloud.content(&cloud.id(&format!("file {number}"))) == content(number), "file {number}");
    }
}
