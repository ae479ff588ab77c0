//! The daemon of a mount dies, and the mount goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Disk, Machine, bytes, keeper_of, names, read, run, said, sh, signal, wait_for_end, write};
use crate::memory::Group;

/// A machine whose mount outlives its daemon.
fn kept(cloud: &Cloud) -> Machine {
    let mut machine = Machine::new();
    machine.keeper = "auto";
    machine.mount(cloud);
    machine
}

/// The keeper of a mount.
pub(crate) fn keeper(machine: &Machine) -> i32 {
    keeper_of(machine.pid()).expect("is kept")
}

/// The worker of a keeper that is alive; not asked of itself.
pub(crate) fn worker(keeper: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
    let is_alive = |pid: &i32| {
        let is_worker =
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(6).any(|at| at == b"--kept"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        is_worker
            && stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
    };
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_alive)
}

/// Kills the daemon alone.
fn kill_worker(machine: &Machine) {
    let pid = machine.pid();
    signal(pid, "KILL");
    wait_for_end(pid);
}

#[test]
fn what_is_open_is_gone_on_with_after_a_kill() {
    let cloud = Cloud::start();
    cloud.upload("old", &cloud.root(), &bytes(1, 300_000));
    let machine = kept(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/closed"), b"closed");
    let mut reader = File::open(machine.at("old")).expect("opens");
    let mut first = vec![0; 100_000];
    reader.read_exact(&mut first).expect("reads");
    let edit = OpenOptions::new().read(true).write(true).open(machine.at("old")).expect("opens");
    edit.write_all_at(b"edited", 1000).expect("writes");
    edit.write_all_at(b"and here", 200_001).expect("writes");
    let mut new = File::create(machine.at("new")).expect("creates");
    new.write_all(b"one, ").expect("writes");
    let mut gone = OpenOptions::new().read(true).write(true).create_new(true).open(machine.at("gone")).expect("opens");
    gone.write_all(b"without a name").expect("writes");
    fs::remove_file(machine.at("gone")).expect("removes");
    let empty = File::create(machine.at("empty")).expect("creates");
    let mut log = OpenOptions::new().append(true).create(true).open(machine.at("log")).expect("opens");
    log.write_all(b"a line\n").expect("writes");
    log.sync_all().expect("syncs");
    log.write_all(b"not synced\n").expect("writes");
    let cut = OpenOptions::new().write(true).open(machine.at("folder/closed")).expect("opens");
    cut.set_len(3).expect("cuts");

    for round in 0..3 {
        kill_worker(&machine);
        assert_eq!(names(machine.drive()), ["empty", "folder", "log", "new", "old"], "round {round}");
    }
    new.write_all(b"two").expect("goes on");
    log.write_all(b"after\n").expect("goes on");
    gone.write_all(b", still").expect("goes on");
    gone.seek(SeekFrom::Start(0)).expect("seeks");
    let mut text = String::new();
    gone.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "without a name, still");
    assert_eq!((gone.metadata().expect("stat").nlink(), gone.metadata().expect("stat").len()), (0, 21));
    let mut expected = bytes(1, 300_000);
    expected[1000..1006].copy_from_slice(b"edited");
    expected[200_001..200_009].copy_from_slice(b"and here");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("goes on");
    assert!(rest == expected[100_000..]);
    drop((new, log, gone, edit, empty, cut, reader));
    assert_eq!(read(machine.at("new")), b"one, two");
    assert_eq!(read(machine.at("log")), b"a line\nnot synced\nafter\n");
    assert_eq!(read(machine.at("empty")), b"");
    assert_eq!(read(machine.at("folder/closed")), b"clo");
    assert!(read(machine.at("old")) == expected);
    machine.flush();
    assert!(cloud.content(&cloud.id("old")) == expected);
    assert_eq!(cloud.content(&cloud.id("new")), b"one, two");
    assert_eq!(cloud.content(&cloud.id("log")), b"a line\nnot synced\nafter\n");
    assert_eq!(cloud.content(&cloud.id("closed")), b"clo");
    assert!(!machine.cache().join("unfinished").exists(), "nothing is put aside");
    let status = machine.status();
    assert_eq!(status["keeper"]["restarts"], 3, "{status}");
    assert!(status["keeper"]["last"]["reason"].as_str().expect("a reason").contains("SIGKILL"), "{status}");
    let text = said(&run(Command::new(PROGRAM).arg("status").arg(machine.drive())));
    assert!(text.contains("3 daemons have died"), "{text}");
}

/// A program that reads what the drive does not give.
fn waiting(machine: &Machine) -> Child {
    let mut cat = Command::new("cat");
    let cat = cat.arg(machine.at("slow")).stdout(Stdio::piped()).process_group(0).spawn().expect("starts");
    eventually("it has opened the file", || {
        let open = fs::read_link(format!("/proc/{}/fd/3", cat.id())).ok()?;
        (open == machine.at("slow")).then_some(())
    });
    cat
}

#[test]
fn who_waits_for_a_killed_daemon_is_answered_by_the_next() {
    let cloud = Cloud::start();
    cloud.upload("slow", &cloud.root(), &bytes(2, 200_000));
    let machine = kept(&cloud);
    assert_eq!(names(machine.drive()), ["slow"]);
    cloud.make_trouble(&["files.get_media:latency,ms=60000"]);
    let keeper = keeper(&machine);
    let cat = waiting(&machine);
    kill_worker(&machine);
    cloud.make_trouble(&[]);
    let output = cat.wait_with_output().expect("ends");
    assert!(output.status.success() && output.stdout == bytes(2, 200_000), "{}", output.status);
    assert!(worker(keeper).is_some());
}

#[test]
fn what_the_kernel_reads_by_itself_goes_on() {
    const SIZE: usize = (6 << 20) + 1234;
    let cloud = Cloud::start();
    let id = cloud.upload("model", &cloud.root(), &bytes(3, SIZE));
    cloud.patch(&id, &[], json!({ "modifiedTime": "2020-02-03T04:05:06.789Z" }));
    let machine = kept(&cloud);
    let passed = || machine.status()["passthrough"]["files"].as_u64();
    eventually("it is heard of", || {
        fs::metadata(machine.at("model")).is_ok_and(|model| model.mtime() < 1_600_000_000).then_some(())
    });
    assert!(read(machine.at("model")) == bytes(3, SIZE));
    let file = eventually("the kernel reads it by itself", || {
        let file = File::open(machine.at("model")).expect("opens");
        (passed() == Some(1)).then_some(file)
    });
    for _ in 0..2 {
        kill_worker(&machine);
        assert_eq!(passed(), Some(1));
        let second = File::open(machine.at("model")).expect("opens in the same way");
        for file in [&file, &second] {
            let mut there = vec![0; SIZE];
            file.read_exact_at(&mut there, 0).expect("reads");
            assert!(there == bytes(3, SIZE));
        }
    }
    drop(file);
    eventually("it is closed", || (passed() == Some(0)).then_some(()));
    let edit = OpenOptions::new().write(true).open(machine.at("model")).expect("opens");
    edit.write_all_at(b"changed", 5).expect("writes");
    drop(edit);
    let mut expected = bytes(3, SIZE);
    expected[5..12].copy_from_slice(b"changed");
    assert!(read(machine.at("model")) == expected);
}

#[test]
fn what_is_replaced_elsewhere_while_a_file_is_open_is_told_apart_after_a_kill() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), &bytes(4, 50_000));
    let machine = kept(&cloud);
    let old = File::open(machine.at("file")).expect("opens");
    let all = |file: &File, length: usize| {
        let mut there = vec![0; length];
        file.read_exact_at(&mut there, 0).expect("reads");
        there
    };
    assert!(all(&old, 50_000) == bytes(4, 50_000));
    cloud.rewrite(&id, b"theirs");
    eventually("it is heard of", || (read(machine.at("file")) == b"theirs").then_some(()));
    kill_worker(&machine);
    assert_eq!(read(machine.at("file")), b"theirs");
    assert!(all(&old, 50_000) == bytes(4, 50_000), "who has it open keeps what they opened");
    cloud.rewrite(&id, b"theirs again");
    eventually("it is heard of", || (fs::metadata(machine.at("file")).expect("stat").len() == 12).then_some(()));
    assert_eq!(read(machine.at("file")), b"theirs again");
}

#[test]
fn a_daemon_that_hangs_is_replaced() {
    let cloud = Cloud::start();
    let mut machine = Machine::new();
    machine.keeper = "auto";
    machine.environment = vec![("DRIVEMOUNT_CRASH_SILENCE".to_owned(), "2000".to_owned())];
    machine.mount(&cloud);
    write(machine.at("file"), b"content");
    let pid = machine.pid();
    signal(pid, "STOP");
    assert_eq!(names(machine.drive()), ["file"]);
    assert_eq!(read(machine.at("file")), b"content");
    let status = machine.status();
    assert_ne!(status["pid"], pid);
    assert!(status["keeper"]["last"]["reason"].as_str().expect("a reason").contains("hung"), "{status}");
}

/// Takes memory until a process is gone that shares it.
const HOG: &str = r"
import sys
def lives():
    try:
        return open(f'/proc/{sys.argv[1]}/stat').read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False
sys.stdin.readline()
memory = []
while lives():
    memory.append(bytearray(b'x' * (1 << 20)))
";

#[test]
fn a_daemon_that_the_kernel_kills_for_memory_is_replaced() {
    let cloud = Cloud::start();
    let group = Group::new("hog", 192 << 20).expect("a control group for memory");
    let machine = kept(&cloud);
    let mut file = File::create(machine.at("file")).expect("creates");
    file.write_all(b"before, ").expect("writes");
    let keeper = keeper(&machine);
    group.take(keeper);
    // All of the next one counts in the group.
    kill_worker(&machine);
    for number in 0..20 {
        write(machine.at(&number.to_string()), bytes(number, 1 << 20));
    }
    let pid = machine.pid();
    // Rather than who takes it all.
    fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").expect("may be raised");
    let mut hog = Command::new("python3");
    hog.args(["-c", HOG, &pid.to_string()]).stdin(Stdio::piped());
    let mut hog = hog.spawn().expect("starts");
    group.take(i32::try_from(hog.id()).expect("pid"));
    hog.stdin.take().expect("piped").write_all(b"\n").expect("tells it");
    // Perhaps it is the next one.
    hog.wait().expect("ends");
    file.write_all(b"after").expect("goes on");
    drop(file);
    assert_eq!(read(machine.at("file")), b"before, after");
    for number in 0..20 {
        assert!(read(machine.at(&number.to_string())) == bytes(number, 1 << 20), "{number}");
    }
    assert!(group.kills().is_none_or(|kills| kills > 0));
    let status = machine.status();
    assert_eq!(status["keeper"]["pid"], keeper, "the keeper was spared: {status}");
    assert!(status["keeper"]["restarts"].as_u64() >= Some(2), "{status}");
    assert!(status["keeper"]["last"]["reason"].as_str().expect("a reason").contains("memory is short"), "{status}");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"before, after");
    // Before the group.
    machine.unmount();
}

#[test]
fn a_daemon_follows_on_a_full_disk() {
    let mut cloud = Cloud::start();
    cloud.upload("old", &cloud.root(), &bytes(6, 100_000));
    let mut machine = Machine::new();
    machine.keeper = "auto";
    let disk = Disk::ext4(machine.cache(), 24);
    machine.mount(&cloud);
    assert!(read(machine.at("old")) == bytes(6, 100_000));
    let mut file = File::create(machine.at("file")).expect("creates");
    file.write_all(b"before, ").expect("writes");
    write(machine.at("closed"), b"closed");
    cloud.kill();
    let fill = format!("dd if=/dev/zero of={}/others bs=4k status=none 2>/dev/null || true", disk.path().display());
    for round in 0..3 {
        sh(&fill);
        kill_worker(&machine);
        assert_eq!(names(machine.drive()), ["closed", "file", "old"], "round {round}");
        assert!(read(machine.at("old")) == bytes(6, 100_000));
        assert_eq!(read(machine.at("closed")), b"closed");
    }
    fs::remove_file(machine.at("closed")).expect("makes room");
    sh(&format!("rm {}/others", disk.path().display()));
    eventually("there is room again", || file.write_all(b"after").ok());
    drop(file);
    cloud.restart();
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"before, after");
    assert_eq!(machine.status()["keeper"]["restarts"], 3);
    machine.unmount();
}

#[test]
fn when_the_keeper_is_killed_the_mount_ends_well() {
    let cloud = Cloud::start();
    let machine = kept(&cloud);
    write(machine.at("file"), b"content");
    let (pid, keeper) = (machine.pid(), keeper(&machine));
    signal(keeper, "KILL");
    wait_for_end(keeper);
    wait_for_end(pid);
    assert_eq!(cloud.content(&cloud.id("file")), b"content");
    assert!(names(machine.drive()).is_empty(), "it is unmounted");
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"content");
}

#[test]
fn signals_go_by_way_of_the_keeper() {
    let cloud = Cloud::start();
    let machine = kept(&cloud);
    write(machine.at("file"), b"content");
    let (pid, keeper) = (machine.pid(), keeper(&machine));
    signal(keeper, "TERM");
    wait_for_end(keeper);
    wait_for_end(pid);
    assert_eq!(cloud.content(&cloud.id("file")), b"content");
    assert!(names(machine.drive()).is_empty(), "it is unmounted");
}

#[test]
fn a_mount_whose_daemons_die_at_once_is_dead_and_can_be_replaced() {
    let cloud = Cloud::start();
    let machine = kept(&cloud);
    write(machine.at("file"), b"content");
    machine.flush();
    let keeper = keeper(&machine);
    // No daemon can begin without it.
    fs::remove_file(machine.cache().join("state.db")).expect("removes");
    fs::create_dir(machine.cache().join("state.db")).expect("makes");
    signal(worker(keeper).expect("a worker"), "KILL");
    wait_for_end_within(keeper, Duration::from_secs(100));
    let refused = fs::metadata(machine.at("another")).expect_err("it is dead");
    assert!(matches!(refused.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)), "{refused}");
    assert!(machine.log().contains("the mount is dead"), "and the log says so");
    fs::remove_dir(machine.cache().join("state.db")).expect("removes");
    sh(&format!("rm -rf {}", machine.cache().display()));
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"content");
}

fn wait_for_end_within(pid: i32, patience: Duration) {
    let began = Instant::now();
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(began.elapsed() < patience, "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_upgrade_replaces_the_daemon_and_nobody_notices() {
    let cloud = Cloud::start();
    let machine = kept(&cloud);
    let mut file = File::create(machine.at("file")).expect("creates");
    file.write_all(b"before, ").expect("writes");
    let pid = machine.pid();
    let upgraded = run(Command::new(PROGRAM).arg("upgrade-restart").arg(machine.drive()));
    assert!(upgraded.status.success(), "{}", said(&upgraded));
    let status = machine.status();
    assert_ne!(status["pid"], pid);
    assert_eq!((&status["keeper"]["restarts"], &status["keeper"]["generation"]), (&json!(0), &json!(2)), "{status}");
    file.write_all(b"after").expect("goes on");
    drop(file);
    assert_eq!(read(machine.at("file")), b"before, after");
}

#[test]
fn a_program_that_waits_for_a_slow_drive_can_be_ended() {
    let cloud = Cloud::start();
    cloud.upload("slow", &cloud.root(), &bytes(5, 200_000));
    let machine = kept(&cloud);
    assert_eq!(names(machine.drive()), ["slow"]);
    cloud.make_folder("folder", &cloud.root());
    eventually("it is heard of", || machine.at("folder").exists().then_some(()));
    cloud.make_trouble(&["files.get_media+files.list:latency,ms=60000"]);
    // Who waits for a name can be ended as well as who waits for content.
    let mut list = Command::new("ls").arg(machine.at("folder")).process_group(0).spawn().expect("starts");
    eventually("it waits for the mount", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", list.id())).unwrap_or_default();
        (stat.contains("(ls) S") || stat.contains("(ls) D")).then_some(())
    });
    let began = Instant::now();
    signal(i32::try_from(list.id()).expect("pid"), "KILL");
    list.wait().expect("ends");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for name in ["INT", "KILL"] {
        let mut cat = waiting(&machine);
        let began = Instant::now();
        signal(i32::try_from(cat.id()).expect("pid"), name);
        let ended = cat.wait().expect("ends");
        assert!(began.elapsed() < Duration::from_secs(1), "{name}: {:?}", began.elapsed());
        assert!(!ended.success(), "{name}: {ended}");
    }
}
