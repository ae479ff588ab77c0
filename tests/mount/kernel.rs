//! What the kernel is told, and what it waits for meanwhile.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;

use crate::cloud::{Cloud, SOON, eventually};
use crate::machine::{Machine, kill_for_good, names, read, write};

/// A way to the cloud on which requests for listings can be held up.
struct Way {
    url: String,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Whether it is closed, after how many more listings, and how many wait before it.
    state: Mutex<(Option<usize>, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("lock");
        match &mut state.0 {
            None => return,
            Some(0) => {}
            Some(free) => {
                *free -= 1;
                return;
            }
        }
        state.1 += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.0.is_some()).expect("lock");
        state.1 -= 1;
    }
}

impl Way {
    fn to(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let server = cloud.url.trim_start_matches("http://").to_owned();
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let back = (server.try_clone().expect("clone"), client.try_clone().expect("clone"));
                let gate = Arc::clone(&held);
                thread::spawn(move || carry(client, server, &gate));
                thread::spawn(move || carry(back.0, back.1, &Gate::default()));
            }
        });
        Self { url, gate }
    }

    /// Mounts the drive by this way.
    fn mount(&self, machine: &Machine, cloud: &mut Cloud) {
        let direct = std::mem::replace(&mut cloud.url, self.url.clone());
        machine.mount(cloud);
        cloud.url = direct;
    }

    /// Lets this many more requests for listings through, and holds up the others.
    fn close_after(&self, free: usize) {
        self.gate.state.lock().expect("lock").0 = Some(free);
    }

    /// Waits until a request for a listing is held up.
    fn wait(&self) {
        let state = self.gate.state.lock().expect("lock");
        let waited = self.gate.changed.wait_timeout_while(state, SOON, |state| state.1 == 0).expect("lock");
        assert!(!waited.1.timed_out(), "nobody asked for a listing");
    }

    fn open(&self) {
        self.gate.state.lock().expect("lock").0 = None;
        self.gate.changed.notify_all();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.open();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if buffer.starts_with(b"GET /drive/v3/files?") {
            gate.pass();
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Begins something that may wait.
fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(work()));
    told
}

/// Does something that must not wait.
#[track_caller]
fn at_once<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    begin(work).recv_timeout(SOON).unwrap_or_else(|_| panic!("still waits: {what}"))
}

fn append(path: &Path, content: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(content).expect("writes");
}

/// A machine where a rename out of the folder `here` waits for the listing of another: the lookup of the new name does, for
/// which the kernel has locked both folders.
fn held_up() -> (Cloud, Way, Machine, Receiver<io::Result<()>>) {
    let mut cloud = Cloud::start();
    let root = cloud.root();
    cloud.upload("file", &root, b"file");
    let here = cloud.make_folder("here", &root);
    cloud.upload("moves", &here, b"moves");
    cloud.make_folder("there", &root);
    let way = Way::to(&cloud);
    let mut machine = Machine::new();
    // What a daemon leaves in the kernel that no other one follows.
    machine.keeper = "never";
    way.mount(&machine, &mut cloud);
    assert_eq!(names(machine.at("here")), ["moves"]);
    assert_eq!(fs::metadata(machine.at("file")).expect("stat").len(), 4);
    way.close_after(0);
    let (from, to) = (machine.at("here/moves"), machine.at("there/moved"));
    let renamed = begin(move || fs::rename(from, to));
    way.wait();
    (cloud, way, machine, renamed)
}

#[test]
fn a_listing_under_way_tells_of_entries_as_they_are_now() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let folder = machine.at("folder");
    fs::create_dir(&folder).expect("makes");
    for number in 1000..2500 {
        write(folder.join(format!("file {number}")), b"0123456789");
    }
    // A new mount, so that the kernel knows of no entry but by the listing.
    machine.unmount();
    machine.mount(&cloud);
    let mut listing = fs::read_dir(&folder).expect("lists");
    let mut listed: Vec<String> = Vec::new();
    let mut next = |count: usize| {
        let entries: Vec<fs::DirEntry> = listing.by_ref().take(count).map(|entry| entry.expect("entry")).collect();
        for entry in &entries {
            drop(entry.metadata());
        }
        listed.extend(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()));
    };
    next(5);
    let grown = folder.join("file 2483");
    append(&grown, &[b'a'; 100]);
    fs::remove_file(folder.join("file 2482")).expect("removes");
    fs::rename(folder.join("file 2481"), folder.join("renamed")).expect("renames");
    // As editors save.
    write(folder.join("temporary"), b"saved");
    fs::rename(folder.join("temporary"), folder.join("file 2480")).expect("renames");
    next(usize::MAX);
    assert_eq!(fs::metadata(&grown).expect("stat").len(), 110);
    assert!(!folder.join("file 2482").exists() && !folder.join("file 2481").exists());
    append(&grown, b"b");
    assert_eq!(read(&grown), [&b"0123456789"[..], &[b'a'; 100], b"b"].concat());
    assert_eq!(read(folder.join("file 2480")), b"saved");
    assert_eq!(listed.iter().filter(|name| *name == "file 2480").count(), 1, "it was there all the time");
    assert!(!listed.contains(&"file 2482".to_owned()) && listed.len() >= 1498, "{}", listed.len());
    fs::create_dir(folder.join("file 2482")).expect("the name is free");
}

#[test]
fn what_changes_elsewhere_is_seen_while_a_folder_is_held_up() {
    let (cloud, way, machine, renamed) = held_up();
    cloud.upload("new", &cloud.id("here"), b"new");
    let file = cloud.id("file");
    cloud.rewrite(&file, b"longer than before");
    eventually("new content", || (fs::metadata(machine.at("file")).expect("stat").len() == 18).then_some(()));
    cloud.patch(&file, &[], json!({"name": "renamed"}));
    eventually("a new name", || machine.at("renamed").exists().then_some(()));
    way.open();
    renamed.recv_timeout(SOON).expect("ends").expect("renames");
    eventually("the old name is gone", || (!machine.at("file").exists()).then_some(()));
    eventually("the news of the folder", || (names(machine.at("here")) == ["new"]).then_some(()));
    assert_eq!(names(machine.at("there")), ["moved"]);
}

#[test]
fn a_kill_while_a_folder_is_held_up_ends_the_mount() {
    let (cloud, _way, machine, renamed) = held_up();
    let pid = machine.pid();
    cloud.upload("new", &cloud.id("here"), b"new");
    let file = cloud.id("file");
    cloud.rewrite(&file, b"longer than before");
    // It came after the other news.
    eventually("new content", || (fs::metadata(machine.at("file")).expect("stat").len() == 18).then_some(()));
    kill_for_good(pid);
    let refused = renamed.recv_timeout(SOON).expect("nobody waits for a dead daemon").expect_err("it is gone");
    assert!(matches!(refused.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)), "{refused}");
}

#[test]
fn a_folder_can_be_looked_into_while_its_listing_goes_on() {
    let mut cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    for number in 0..1001 {
        let file = json!({"name": format!("file {number:04}"), "parents": [folder]});
        cloud.call("POST", "/drive/v3/files", &[], Some(file));
    }
    let way = Way::to(&cloud);
    let mut machine = Machine::new();
    machine.keeper = "never";
    way.mount(&machine, &mut cloud);
    assert_eq!(names(machine.drive()), ["folder"]);
    let pid = machine.pid();
    way.close_after(1);
    let missing = machine.at("folder/missing");
    let looked = begin(move || fs::metadata(missing));
    way.wait();
    // The first page is here. A name of it is known before the others are.
    let known = machine.at("folder/file 0000");
    at_once("a name that is known", move || fs::metadata(known)).expect("is there");
    kill_for_good(pid);
    let refused = looked.recv_timeout(SOON).expect("nobody waits for a dead daemon").expect_err("it is gone");
    assert!(matches!(refused.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)), "{refused}");
}

#[test]
fn a_change_through_an_alias_does_not_wait_for_the_plain_folder() {
    let (_cloud, way, machine, renamed) = held_up();
    let made = machine.at("MyDrive/here/made");
    at_once("making a folder", move || fs::create_dir(made)).expect("makes");
    let made = machine.at("My Drive/here/made");
    at_once("removing it", move || fs::remove_dir(made)).expect("removes");
    let written = machine.at("MyDrive/here/written");
    at_once("writing a file", move || write(written, b"x"));
    way.open();
    renamed.recv_timeout(SOON).expect("ends").expect("renames");
    assert_eq!(names(machine.at("here")), ["written"]);
}

#[test]
fn moving_between_an_alias_and_the_plain_folder_is_done_at_once() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/file"), b"content");
    for (from, to) in [("MyDrive/", ""), ("", "MyDrive/"), ("MyDrive/", "My Drive/"), ("MyDrive/", "MyDrive/")] {
        for folder in ["", "folder/"] {
            let (old, new) = (format!("{folder}old"), format!("{folder}new"));
            write(machine.at(&old), b"content");
            assert!(machine.at(&old).exists(), "and the kernel remembers that");
            let (from, to) = (machine.at(&format!("{from}{old}")), machine.at(&format!("{to}{new}")));
            at_once("a rename", move || fs::rename(from, to)).expect("renames");
            for way in ["", "MyDrive/", "My Drive/"] {
                eventually("the new name", || machine.at(&format!("{way}{new}")).exists().then_some(()));
                eventually("the old name is gone", || (!machine.at(&format!("{way}{old}")).exists()).then_some(()));
            }
            fs::remove_file(machine.at(&new)).expect("removes");
            assert!(!machine.at(&format!("MyDrive/{new}")).exists());
        }
    }
    fs::rename(machine.at("MyDrive/folder"), machine.at("moved")).expect("renames a folder");
    eventually("all in it is there", || (names(machine.at("MyDrive/moved")) == ["file"]).then_some(()));
    assert_eq!(read(machine.at("moved/file")), b"content");
}

#[test]
fn a_link_whose_target_cannot_be_one_is_refused() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let link = |name: &str, target: &[u8]| {
        let item = json!({"name": name, "parents": [root], "mimeType": "inode/symlink"});
        let id = cloud.call("POST", "/drive/v3/files", &[], Some(item))["id"].as_str().expect("id").to_owned();
        cloud.rewrite(&id, target);
    };
    let longest = [b'x'; 4095];
    link("huge", &vec![b'x'; 30_000_000]);
    link("long", &[b'x'; 4096]);
    link("longest", &longest);
    link("empty", b"");
    let machine = Machine::with(&cloud);
    for name in ["huge", "long", "empty"] {
        let path = machine.at(name);
        let refused = fs::read_link(&path).expect_err("no target");
        assert_eq!(refused.raw_os_error(), Some(libc::EIO), "{name}");
    }
    assert!(machine.log().contains("no target of a link"), "and the log says why");
    assert_eq!(machine.status()["traffic"]["downloaded_bytes"], 0, "and nothing of it is fetched");
    assert_eq!(fs::read_link(machine.at("longest")).expect("reads").as_os_str().len(), 4095);
}

/// A folder with more files than a program is given at a time, of which the kernel has kept the listing.
fn listed_once(machine: &Machine, files: usize) -> PathBuf {
    let folder = machine.at("many");
    fs::create_dir(&folder).expect("makes");
    for number in 0..files {
        write(folder.join(format!("a file with a rather long name {number}")), b"");
    }
    assert_eq!(names(&folder).len(), files);
    folder
}

#[test]
fn who_removes_what_they_list_misses_nothing_also_of_a_listing_that_the_kernel_kept_for_another() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let folder = listed_once(&machine, 3000);
    for (number, entry) in fs::read_dir(&folder).expect("lists").enumerate() {
        fs::remove_file(entry.expect("an entry").path()).expect("removes");
        if number == 300 {
            // The kernel drops what it kept for both.
            assert_eq!(names(&folder).len(), 2699);
        }
    }
    assert!(names(&folder).is_empty(), "{} are left", names(&folder).len());
}

#[test]
fn who_makes_files_while_they_list_sees_all_that_were_there_once() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let folder = listed_once(&machine, 1500);
    let mut seen = Vec::new();
    for (number, entry) in fs::read_dir(&folder).expect("lists").enumerate() {
        seen.push(entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        if number < 200 {
            write(folder.join(format!("{number} comes before all others")), b"");
        } else if number == 200 {
            // The kernel drops what it kept for both.
            assert_eq!(names(&folder).len(), 1700);
        }
    }
    seen.retain(|name| !name.contains("before"));
    let each: HashSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), each.len()), (1500, 1500), "each once");
}
