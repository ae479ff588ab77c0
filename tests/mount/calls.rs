//! What programs do to a file beside reading and writing it: room, holes, maps, changes of a part.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, sh, signal, write};

/// Runs a script with the Python that scripts/test installs; says what it printed.
#[track_caller]
pub(crate) fn python(script: &str, paths: &[&Path]) -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
    let output = run(Command::new(python).args(["-c", script]).args(paths));
    assert!(output.status.success(), "{script}\n{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn downloaded(machine: &Machine) -> u64 {
    machine.status()["traffic"]["downloaded_bytes"].as_u64().expect("bytes")
}

fn staged(machine: &Machine) -> u64 {
    machine.status()["cache"]["staged_bytes"].as_u64().expect("bytes")
}

/// The parts of a file that are data, as `lseek` tells.
fn data(path: &Path) -> String {
    let script = "import os, sys\n\
                  file, at, parts = os.open(sys.argv[1], os.O_RDONLY), 0, []\n\
                  while True:\n\
                  \x20   try: start = os.lseek(file, at, os.SEEK_DATA)\n\
                  \x20   except OSError as error:\n\
                  \x20       assert error.errno == 6, error\n\
                  \x20       break\n\
                  \x20   at = os.lseek(file, start, os.SEEK_HOLE)\n\
                  \x20   parts.append(f'{start}-{at}')\n\
                  print(*parts)";
    python(script, &[path])
}

#[test]
fn room_is_looked_for_and_the_file_becomes_as_long_as_it_shall_be() {
    let cloud = Cloud::start();
    cloud.upload("old", &cloud.root(), b"old");
    let machine = Machine::with(&cloud);
    let (old, new) = (machine.at("old"), machine.at("new"));
    let changed = || fs::metadata(&old).expect("stat").modified().expect("a time");
    let before = changed();
    sh(&format!("fallocate -l 1000 {0}; fallocate -n -o 1000 -l 5000 {0}", old.display()));
    assert_eq!(read(&old), [b"old".as_slice(), &[0; 997]].concat(), "longer by zeros, and not for what is kept free");
    assert!(changed() > before);
    python("import os, sys; os.posix_fallocate(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), 10, 90)", &[&new]);
    assert_eq!(read(&new), [0; 100]);
    for (line, message) in [
        ("fallocate -l 4T", "No space left on device"),
        ("fallocate -n -l 4T", "No space left on device"),
        ("fallocate -l 6T", "File too large"),
        ("fallocate -c -o 0 -l 4096", "not supported"),
        ("fallocate -i -o 0 -l 4096", "not supported"),
    ] {
        let output = run(Command::new("bash").args(["-c", &format!("{line} {}", new.display())]));
        assert!(!output.status.success() && said(&output).contains(message), "{line}: {}", said(&output));
    }
    assert_eq!(fs::metadata(&new).expect("stat").len(), 100);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("old")).len(), 1000);
    assert_eq!(cloud.content(&cloud.id("new")), [0; 100]);
}

#[test]
fn punched_and_zeroed_ranges_are_zeros_for_everybody_and_on_the_drive() {
    let cloud = Cloud::start();
    let mut content = bytes(1, 8 << 20);
    cloud.upload("file", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    let path = machine.at("file");
    assert!(read(&path) == content, "the kernel remembers all of it");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
    let name = path.display();
    let mut check = |range: std::ops::Range<usize>| {
        content[range.clone()].fill(0);
        let mut seen = vec![1; content.len()];
        file.read_exact_at(&mut seen, 0).expect("reads");
        assert!(seen == content && read(&path) == content, "{range:?}");
    };
    // Of the base, not on the boundary of a page; of what is staged; of what is sealed.
    sh(&format!("fallocate -p -o 1000 -l 100000 {name}"));
    check(1000..101_000);
    sh(&format!("fallocate -z -o 3000000 -l 5000 {name}"));
    check(3_000_000..3_005_000);
    sh(&format!("fallocate -p -o 900 -l 300 {name}"));
    check(900..1200);
    machine.flush();
    assert!(cloud.content(&cloud.id("file")) == content);
    let size = content.len();
    sh(&format!("fallocate -z -n -o {} -l 1000000 {name}", size - 10));
    content[size - 10..].fill(0);
    assert!(read(&path) == content, "and no longer");
    sh(&format!("fallocate -z -o {} -l 1000 {name}", size - 10));
    content.resize(size + 990, 0);
    assert!(read(&path) == content, "but longer if so wanted");
    drop(file);
    machine.kill();
    machine.mount(&cloud);
    assert!(read(&path) == content, "zeros survive");
    machine.flush();
    assert!(cloud.content(&cloud.id("file")) == content);
}

#[test]
fn holes_are_told_and_programs_that_look_for_them_copy_the_rest() {
    let cloud = Cloud::start();
    cloud.upload("clean", &cloud.root(), &[0; 5000]);
    let machine = Machine::with_flags(&cloud, &["--sync-interval", "1h"]);
    assert_eq!(data(&machine.at("clean")), "0-5000", "what the drive has is data");
    let outside = "import os, sys\n\
                   file = os.open(sys.argv[1], os.O_RDONLY)\n\
                   for at in (-1, 5000, 6000):\n\
                   \x20   for whence in (os.SEEK_DATA, os.SEEK_HOLE):\n\
                   \x20       try: print(os.lseek(file, at, whence))\n\
                   \x20       except OSError as error: print(error.errno)";
    assert_eq!(python(outside, &[&machine.at("clean")]).split_whitespace().collect::<Vec<_>>(), ["6"; 6]);
    let path = machine.at("sparse");
    let file = File::create(&path).expect("creates");
    file.set_len(64 << 20).expect("lengthens");
    file.write_all_at(b"one", 10 << 20).expect("writes");
    file.write_all_at(&[7; 8192], 20 << 20).expect("writes");
    let parts = format!("{}-{} {}-{}", 10 << 20, (10 << 20) + 3, 20 << 20, (20 << 20) + 8192);
    assert_eq!(data(&path), parts);
    assert!(fs::metadata(&path).expect("stat").blocks() < 100);
    let outside = tempfile::tempdir().expect("temporary folder");
    let (to, name) = (outside.path().display(), path.display());
    for line in [
        format!("cp --sparse=auto {name} {to}/copy"),
        format!("cp --sparse=always {name} {to}/copy"),
        format!(
            "tar -C {} -cSf {to}/tar sparse; rm -f {to}/copy; tar -C {to} -xSf {to}/tar --transform s/sparse/copy/",
            machine.drive().display()
        ),
    ] {
        sh(&format!("{line}; cmp {name} {to}/copy"));
        let copied = fs::metadata(outside.path().join("copy")).expect("stat");
        assert!(copied.blocks() * 512 < 1 << 20, "{line}: {} blocks", copied.blocks());
    }
    sh(&format!("cp {name} {name}.copy; cmp {name} {name}.copy"));
    assert!(staged(&machine) < 100_000, "copied within the mount it stays sparse");
    // What a program changes in a map is no hole, though nobody was told yet.
    let script = "import mmap, os, subprocess, sys\n\
                  with open(sys.argv[1], 'r+b') as file, mmap.mmap(file.fileno(), 0) as view:\n\
                  \x20   view[40 << 20] = 65\n\
                  \x20   hole = os.open(sys.argv[1], os.O_RDONLY)\n\
                  \x20   assert os.lseek(hole, 30 << 20, os.SEEK_DATA) == 40 << 20\n\
                  \x20   view[50 << 20] = 66\n\
                  \x20   subprocess.run(['cp', '--sparse=auto', sys.argv[1], sys.argv[2]], check=True)\n";
    let copy = outside.path().join("of map");
    python(script, &[&path, &copy]);
    let copy = read(copy);
    assert_eq!((copy[40 << 20], copy[50 << 20], copy.len()), (65, 66, 64 << 20));
    drop(file);
    machine.flush();
    assert!(cloud.content(&cloud.id("sparse")) == copy);
}

#[test]
fn what_is_written_to_a_map_reaches_the_drive_whenever_the_file_was_closed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let size = 6 << 20;
    for name in ["synced", "closed", "array"] {
        write(machine.at(name), vec![1; size]);
    }
    let script = "import mmap, os, sys\n\
                  file = os.open(sys.argv[1], os.O_RDWR)\n\
                  view = mmap.mmap(file, 0)\n\
                  view[5000:5003] = b'abc'\n\
                  view.flush()\n\
                  view[-1:] = b'z'\n\
                  view.close(); os.close(file)\n\
                  file = os.open(sys.argv[2], os.O_RDWR)\n\
                  view = mmap.mmap(file, 0)\n\
                  os.close(file)\n\
                  view[7000:7003] = b'def'\n\
                  view[-1:] = b'y'\n\
                  view.close()\n\
                  import numpy\n\
                  array = numpy.memmap(sys.argv[3], dtype='u1', mode='r+')\n\
                  array[::4096] = 9\n\
                  del array\n";
    python(script, &[&machine.at("synced"), &machine.at("closed"), &machine.at("array")]);
    let mut expected = vec![1; size];
    expected[5000..5003].copy_from_slice(b"abc");
    expected[size - 1] = b'z';
    machine.flush();
    assert!(cloud.content(&cloud.id("synced")) == expected);
    let mut expected = vec![1; size];
    expected[7000..7003].copy_from_slice(b"def");
    expected[size - 1] = b'y';
    assert!(cloud.content(&cloud.id("closed")) == expected, "closed before it was written and unmapped");
    let array = cloud.content(&cloud.id("array"));
    assert!(array.iter().enumerate().all(|(at, &byte)| byte == if at % 4096 == 0 { 9 } else { 1 }));
}

#[test]
fn a_map_that_is_written_while_the_file_is_sent_is_sent_again_as_it_is_then() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--max-upload-rate", "4M"]);
    write(machine.at("mapped"), vec![1; 12 << 20]);
    let uploading = || machine.status()["unsent"]["items"][0]["state"] == "uploading";
    eventually("it is being sent", || uploading().then_some(()));
    let script = "import mmap, os, sys\n\
                  file = os.open(sys.argv[1], os.O_RDWR)\n\
                  view = mmap.mmap(file, 0)\n\
                  os.close(file)\n\
                  for at in range(0, len(view), 1 << 20): view[at] = 2\n\
                  view.flush()\n\
                  view[100] = 3\n\
                  view.close()\n";
    python(script, &[&machine.at("mapped")]);
    let seen = read(machine.at("mapped"));
    assert!(seen[0] == 2 && seen[100] == 3 && seen[11 << 20] == 2 && seen[1] == 1);
    machine.flush();
    assert!(cloud.content(&cloud.id("mapped")) == seen);
}

#[test]
fn a_byte_changed_in_a_large_cold_file_stages_little_and_fetches_each_byte_once() {
    let cloud = Cloud::start();
    let mut content = bytes(1, 64 << 20);
    cloud.upload("large", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    let path = machine.at("large");
    assert_eq!(names(machine.drive()), ["large"]);
    signal(cloud.pid(), "STOP");
    sh(&format!("printf x | dd of={} bs=1 seek=40000000 conv=notrunc status=none", path.display()));
    content[40_000_000] = b'x';
    assert!(staged(&machine) <= 4096, "{}", staged(&machine));
    assert_eq!(downloaded(&machine), 0);
    signal(cloud.pid(), "CONT");
    machine.flush();
    let fetched = downloaded(&machine);
    assert!((content.len() as u64 - (1 << 20)..=content.len() as u64).contains(&fetched), "{fetched} bytes");
    eventually("its staging is put away", || names(machine.cache().join("staging")).is_empty().then_some(()));
    assert!(read(&path) == content && downloaded(&machine) == fetched, "and is cached after that");
    assert!(cloud.content(&cloud.id("large")) == content);
}

#[test]
fn a_large_cold_file_that_only_becomes_longer_is_fetched_once() {
    let cloud = Cloud::start();
    let mut content = bytes(1, 24 << 20);
    let id = cloud.upload("large", &cloud.root(), &content);
    let machine = Machine::with(&cloud);
    sh(&format!("truncate -s +1M {}", machine.at("large").display()));
    content.resize(25 << 20, 0);
    machine.flush();
    assert!(cloud.content(&id) == content);
    let traffic = machine.status()["traffic"].clone();
    assert!(traffic["downloaded_bytes"].as_u64() <= Some(24 << 20), "{traffic}");
}

#[test]
fn files_become_shorter_and_longer_sent_or_not_by_name_or_handle() {
    let cloud = Cloud::start();
    let cold = bytes(1, 3 << 20);
    cloud.upload("cold", &cloud.root(), &cold);
    let machine = Machine::with(&cloud);
    write(machine.at("unsent"), &cold);
    for name in ["cold", "unsent"] {
        let path = machine.at(name);
        let at = path.display();
        sh(&format!("truncate -s 2000000 {at}; truncate -s 2500000 {at}"));
        let mut expected = cold[..2_000_000].to_vec();
        expected.resize(2_500_000, 0);
        assert!(read(&path) == expected, "{name}");
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
        file.set_len(1000).expect("shortens");
        file.set_len(3000).expect("lengthens");
        let mut seen = vec![1; 3000];
        file.read_exact_at(&mut seen, 0).expect("reads");
        expected.truncate(1000);
        expected.resize(3000, 0);
        assert_eq!(seen, expected, "{name}");
        file.write_all_at(b"end", 3000).expect("writes");
        drop(file);
        expected.extend(b"end");
        machine.flush();
        assert_eq!(cloud.content(&cloud.id(name)), expected, "{name}");
        OpenOptions::new().write(true).truncate(true).open(&path).expect("empties");
        machine.flush();
        assert_eq!(cloud.content(&cloud.id(name)), b"", "{name}");
    }
}

#[test]
fn two_processes_that_append_at_once_lose_nothing() {
    let cloud = Cloud::start();
    cloud.upload("log", &cloud.root(), b"begins\n");
    let machine = Machine::with(&cloud);
    let script = "import os, sys\n\
                  file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)\n\
                  for number in range(300):\n\
                  \x20   line = (sys.argv[2] * 5000 + str(number) + '\\n').encode()\n\
                  \x20   assert os.write(file, line) == len(line)\n";
    std::thread::scope(|scope| {
        for who in ["a", "b"] {
            let path = machine.at("log");
            scope.spawn(move || python(script, &[&path, Path::new(who)]));
        }
    });
    machine.flush();
    let content = String::from_utf8(cloud.content(&cloud.id("log"))).expect("text");
    let mut next = [0, 0];
    let mut lines = content.lines();
    assert_eq!(lines.next(), Some("begins"));
    for line in lines {
        let who = usize::from(line.starts_with('b'));
        let number = line.trim_start_matches(['a', 'b']);
        assert_eq!(line.len() - number.len(), 5000, "each line is whole");
        assert_eq!(number.parse(), Ok(next[who]));
        next[who] += 1;
    }
    assert_eq!(next, [300, 300]);
}

#[test]
fn a_byte_far_beyond_the_end_takes_no_room_and_too_far_is_refused() {
    let cloud = Cloud::start_with(&["--quota", "1G"]);
    cloud.upload("file", &cloud.root(), b"begin");
    let machine = Machine::with(&cloud);
    let path = machine.at("file");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
    file.write_all_at(b"end", 1 << 40).expect("writes");
    assert_eq!(fs::metadata(&path).expect("stat").len(), (1 << 40) + 3);
    assert!(staged(&machine) < 10_000);
    let mut seen = [1; 8];
    file.read_exact_at(&mut seen, (1 << 40) - 5).expect("reads");
    assert_eq!(&seen, b"\0\0\0\0\0end");
    // The largest file that Drive takes.
    let largest = 5_497_558_138_880;
    assert_eq!(file.write_all_at(b"x", largest).expect_err("refused").raw_os_error(), Some(libc::EFBIG));
    assert_eq!(file.set_len(largest + 1).expect_err("refused").raw_os_error(), Some(libc::EFBIG));
    sh(&format!("fallocate -p -o 0 -l 1T {}", path.display()));
    assert!(staged(&machine) < 10_000);
    drop(file);
    // The drive has no holes: the zeros are to be sent, and it has no room for them.
    eventually("the drive refuses it, and it is said", || {
        machine.status()["unsent"]["items"][0]["reason"].as_str()?.contains("full").then_some(())
    });
    assert_eq!(cloud.content(&cloud.id("file")), b"begin");
    // By its name: who opens and closes it is told that the drive is full.
    sh(&format!("python3 -c 'import os; os.truncate(\"{}\", 5)'", path.display()));
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), [0; 5]);
    assert_eq!(names(machine.drive()), ["file"]);
}

#[test]
fn a_file_that_is_synced_again_and_again_while_it_is_open_takes_little_room_and_survives_kills() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--sync-interval", "1h"]);
    let path = machine.at("database");
    let mut content = bytes(1, 200_000);
    write(&path, &content);
    machine.flush();
    for round in 0..3 {
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        for number in 0..150 {
            let at = number * 7919 % 190_000;
            let page = bytes((round * 1000 + number) as u64, 4096);
            file.write_all_at(&page, at as u64).expect("writes");
            content[at..at + 4096].copy_from_slice(&page);
            file.sync_data().expect("syncs");
        }
        assert!(read(&path) == content);
        let staging = || fs::read_dir(machine.cache().join("staging")).expect("lists").count();
        eventually("what is in others goes", || (staging() <= 30).then_some(()));
        assert!(staged(&machine) < 1_000_000, "{}", staged(&machine));
        if round < 2 {
            machine.kill();
            drop(file);
            machine.mount(&cloud);
            assert!(read(&path) == content, "what was synced survives");
        }
    }
    machine.flush();
    assert!(cloud.content(&cloud.id("database")) == content);
    eventually("nothing is left", || (staged(&machine) == 0).then_some(()));
    let aside = fs::read_dir(machine.cache().join("unfinished")).map_or(0, Iterator::count);
    assert_eq!(aside, 0, "nothing was unfinished");
}

#[test]
fn inotify_tells_what_is_done_here() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let script = "import ctypes, os, struct, sys\n\
                  libc = ctypes.CDLL(None)\n\
                  watch = libc.inotify_init1(os.O_NONBLOCK)\n\
                  assert libc.inotify_add_watch(watch, os.fsencode(sys.argv[1]), 0xfff) >= 0\n\
                  os.chdir(sys.argv[1])\n\
                  open('a', 'w').write('x')\n\
                  os.rename('a', 'b')\n\
                  os.unlink('b')\n\
                  os.mkdir('d')\n\
                  os.rmdir('d')\n\
                  told, at = os.read(watch, 65536), 0\n\
                  while at < len(told):\n\
                  \x20   _, what, _, length = struct.unpack_from('iIII', told, at)\n\
                  \x20   print(hex(what), told[at + 16:at + 16 + length].rstrip(bytes(1)).decode(), end=' ')\n\
                  \x20   at += 16 + length";
    let local = tempfile::tempdir().expect("temporary folder");
    assert_eq!(python(script, &[&machine.drive()]), python(script, &[local.path()]), "as on a disk");
}
