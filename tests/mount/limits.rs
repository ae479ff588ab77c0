//! Where something is short: the line to the drive, the local disk.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Arc, Condvar, Mutex};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, read};

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
    files.iter().for_each(|file| file.read_exact_at(&mut piece, 0).expect("reads"));
    let downloaded = || machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes");
    eventually("the first windows are there", || (downloaded() >= 20 * (1 << 20)).then_some(()));
    line.hold(true);
    // Here already, and far enough for the next window.
    files.iter().for_each(|file| file.read_exact_at(&mut piece, 600 << 10).expect("reads"));
    assert_eq!(read(machine.at("small")), b"small");
    line.hold(false);
    files.iter().for_each(|file| file.read_exact_at(&mut piece, 3 << 20).expect("reads"));
    assert!(piece == large[3 << 20..][..65536]);
}
