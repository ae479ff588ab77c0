//! Many programs work on a mount while its daemon is killed at random, again and again: none of them notices.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, keep_asking, names, read, sh, signal, write};
use crate::outlives::{keeper, worker as worker_of};

/// Files that are only read.
const FILES: u64 = 40;
const LARGE: usize = (5 << 20) + 77;

/// How often it is killed, and how: `DRIVEMOUNT_TEST_TAKEOVERS` for many more.
fn kills() -> u64 {
    std::env::var("DRIVEMOUNT_TEST_TAKEOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn size(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("small")
    }
}

type Done = std::io::Result<()>;

fn same(what: &str, there: &[u8], expected: &[u8]) {
    if there != expected {
        let at = there.iter().zip(expected).position(|(one, other)| one != other);
        panic!("{what}: differs at {at:?}; {} bytes for {}", there.len(), expected.len());
    }
}

fn size_of(number: u64) -> usize {
    usize::try_from(number * 7919 % 150_000 + 1).expect("small")
}

/// Reads files of the drive, whole and in pieces.
fn reader(root: &Path, seed: u64, end: &AtomicBool) -> Done {
    let mut dice = Dice(seed * 2 + 1);
    let kept = File::open(root.join("read/7"))?;
    while !end.load(Ordering::Relaxed) {
        let number = dice.below(FILES);
        let path = root.join(format!("read/{number}"));
        same("whole", &fs::read(&path)?, &bytes(number, size_of(number)));
        let at = dice.below(size_of(7) as u64);
        let mut piece = vec![0; 1000];
        let length = kept.read_at(&mut piece, at)?;
        let from = usize::try_from(at).expect("small");
        same("a piece", &piece[..length], &bytes(7, size_of(7))[from..from + length]);
        assert_eq!(fs::read_dir(root.join("read"))?.count() as u64, FILES, "entries");
        assert_eq!(fs::metadata(&path)?.len(), size_of(number) as u64);
    }
    Ok(())
}

/// Makes, changes, renames and removes in a folder of its own, and knows what must be there.
fn writer(root: &Path, seed: u64, end: &AtomicBool) -> Done {
    let mut dice = Dice(seed * 2 + 1);
    let folder = root.join(format!("writer {seed}"));
    fs::create_dir(&folder)?;
    let mut log = OpenOptions::new().append(true).create(true).open(folder.join("log"))?;
    let mut logged = Vec::new();
    let edit = OpenOptions::new().read(true).write(true).open(root.join(format!("edit/{seed}")))?;
    let mut edited = bytes(100 + seed, 200_000);
    let mut round = 0_u64;
    while !end.load(Ordering::Relaxed) {
        round += 1;
        let line = format!("round {round}\n");
        log.write_all(line.as_bytes())?;
        logged.extend(line.as_bytes());
        for _ in 0..3 {
            let (at, length) = (dice.size(190_000), dice.size(9000) + 1);
            let piece = bytes(dice.below(1 << 20), length);
            edit.write_all_at(&piece, at as u64)?;
            edited[at..at + length].copy_from_slice(&piece);
        }
        let mut there = vec![0; edited.len()];
        edit.read_exact_at(&mut there, 0)?;
        same("an edit", &there, &edited);
        // A file that is made in pieces, renamed over the last one, and looked at.
        let content = bytes(dice.below(1 << 20), dice.size(300_000));
        let (new, now) = (folder.join(format!("new {round}")), folder.join("now"));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        for piece in content.chunks(30_000) {
            file.write_all(piece)?;
        }
        assert_eq!(file.metadata()?.len(), content.len() as u64);
        if dice.below(2) == 0 {
            drop(file);
            fs::rename(&new, &now)?;
        } else {
            fs::rename(&new, &now)?;
            drop(file);
        }
        same("what was renamed", &fs::read(&now)?, &content);
        assert!(fs::symlink_metadata(&new).is_err(), "the old name is gone");
        let below = folder.join(format!("below {round}"));
        fs::create_dir(&below)?;
        std::os::unix::fs::symlink("../now", below.join("link"))?;
        same("by a link", &fs::read(below.join("link"))?, &content);
        let mut unnamed = OpenOptions::new().read(true).write(true).create_new(true).open(below.join("unnamed"))?;
        unnamed.write_all(&content)?;
        fs::remove_file(below.join("unnamed"))?;
        fs::remove_file(below.join("link"))?;
        fs::remove_dir(&below)?;
        let mut there = vec![0; content.len()];
        unnamed.read_exact_at(&mut there, 0)?;
        same("without a name", &there, &content);
        assert_eq!(unnamed.metadata()?.nlink(), 0);
        if round.is_multiple_of(10) {
            unnamed.sync_all()?;
            log.sync_all()?;
            same("a log", &fs::read(folder.join("log"))?, &logged);
        }
    }
    drop(log);
    same("the log", &fs::read(folder.join("log"))?, &logged);
    drop(edit);
    same("the edit", &fs::read(root.join(format!("edit/{seed}")))?, &edited);
    Ok(())
}

/// A program of several lines that says what fails, and ends when a file is there.
fn program(script: &str, root: &Path, end: &Path, beside: &Path) -> Child {
    let script =
        format!("set -eu; ROOT='{}'; END='{}'; BESIDE='{}'\n{script}", root.display(), end.display(), beside.display());
    Command::new("bash").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

const UNTAR: &str = r#"
round=0
while [ ! -e "$END" ]; do
    round=$((round + 1))
    mkdir "$ROOT/untar $round"
    tar -C "$ROOT/untar $round" -xf "$BESIDE/tar"
    diff -r "$BESIDE/tree" "$ROOT/untar $round/tree"
    rm -r "$ROOT/untar $round"
done"#;

const CLONE: &str = r#"
round=0
while [ ! -e "$END" ]; do
    round=$((round + 1))
    git clone -q --no-local "$BESIDE/repository" "$ROOT/clone $round"
    git -C "$ROOT/clone $round" fsck --strict
    git -C "$ROOT/clone $round" status --porcelain | (! grep .)
    rm -rf "$ROOT/clone $round"
done"#;

const SHELL: &str = r#"
cd "$ROOT/cwd/deep"
while [ ! -e "$END" ]; do
    [ "$(/bin/pwd -P)" = "$(readlink -f "$ROOT")/cwd/deep" ]
    [ "$(cat file)" = "here" ]
    [ "$(ls ..)" = "deep" ]
    echo x > made; [ "$(cat made)" = "x" ]; rm made
done"#;

const MAPPED: &str = r#"
python3 - "$ROOT/read/9" "$END" <<'EOF'
import mmap, os, random, sys
file = open(sys.argv[1], 'rb')
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
expected = mapped[:]
while not os.path.exists(sys.argv[2]):
    at = random.randrange(len(expected))
    assert mapped[at:at + 5000] == expected[at:at + 5000], at
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
EOF"#;

/// Each time that an answer took long.
fn prober(root: &Path, end: &AtomicBool) -> Vec<Duration> {
    let mut pauses = Vec::new();
    keep_asking(root, end, |_, took| pauses.extend((took > Duration::from_millis(20)).then_some(took)));
    pauses
}

fn anonymous_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How a daemon is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Kill,
    Upgrade,
}

#[test]
fn no_program_notices_that_the_daemon_dies_again_and_again() {
    work_while(How::Kill, kills());
}

#[test]
fn no_program_notices_that_the_daemon_is_upgraded_again_and_again() {
    work_while(How::Upgrade, (kills() / 10).max(4));
}

/// Has everybody end, also when something went wrong: else they would go on for ever.
struct End<'a>(&'a AtomicBool, &'a Path);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        drop(File::create(self.1));
    }
}

fn work_while(how: How, kills: u64) {
    let cloud = Cloud::start();
    let (read_folder, edit) = (cloud.make_folder("read", &cloud.root()), cloud.make_folder("edit", &cloud.root()));
    for number in 0..FILES {
        cloud.upload(&number.to_string(), &read_folder, &bytes(number, size_of(number)));
    }
    for seed in 0..4 {
        cloud.upload(&seed.to_string(), &edit, &bytes(100 + seed, 200_000));
    }
    let id = cloud.upload("model", &cloud.root(), &bytes(77, LARGE));
    cloud.patch(&id, &[], json!({ "modifiedTime": "2020-02-03T04:05:06.789Z" }));
    let beside = tempfile::tempdir().expect("temporary folder");
    let program_file = beside.path().join("drivemount");
    fs::copy(PROGRAM, &program_file).expect("copies");
    let mut machine = Machine::new();
    machine.program.clone_from(&program_file);
    machine.keeper = "auto";
    machine.arguments.extend(["--sync-interval", "1s"].map(str::to_owned));
    machine.mount(&cloud);
    let root = machine.drive();
    let stop: PathBuf = beside.path().join("end");
    sh(&format!(
        "cd '{0}'; mkdir -p tree/a/b; for n in $(seq 60); do head -c $((n * 371)) /dev/urandom > tree/a/$n; echo $n > tree/a/b/$n; done; \
         tar cf tar tree; git init -q repository; cd repository; cp -r ../tree .; git add .; \
         git -c user.name=x -c user.email=x@x commit -qm one; echo two > two; git add .; \
         git -c user.name=x -c user.email=x@x commit -qm two",
        beside.path().display()
    ));
    fs::create_dir_all(root.join("cwd/deep")).expect("makes");
    write(root.join("cwd/deep/file"), b"here\n");
    eventually("it is heard of", || {
        fs::metadata(root.join("model")).is_ok_and(|model| model.mtime() < 1_600_000_000).then_some(())
    });
    same("the model", &read(root.join("model")), &bytes(77, LARGE));
    let passed = eventually("the kernel reads it by itself", || {
        let file = File::open(root.join("model")).expect("opens");
        (machine.status()["passthrough"]["files"] == 1).then_some(file)
    });
    let keeper = keeper(&machine);
    let before = anonymous_kib(keeper);
    let (end, program_file) = (AtomicBool::new(false), &program_file);
    let pauses = std::thread::scope(|scope| {
        let end = &end;
        let ending = End(end, &stop);
        let programs = [("untar", UNTAR), ("clone", CLONE), ("shell", SHELL), ("mapped", MAPPED)];
        let programs = programs.map(|(name, script)| (name, program(script, &root, &stop, beside.path())));
        let readers: Vec<_> = (0..8).map(|seed| (seed, &root)).collect();
        let readers: Vec<_> =
            readers.into_iter().map(|(seed, root)| scope.spawn(move || reader(root, seed, end))).collect();
        let writers: Vec<_> = (0..4).map(|seed| (seed, &root)).collect();
        let writers: Vec<_> =
            writers.into_iter().map(|(seed, root)| scope.spawn(move || writer(root, seed, end))).collect();
        let root = &root;
        let probe = scope.spawn(move || prober(root, end));
        let mut dice = Dice(4711);
        let mut killed = 0;
        while killed < kills && !readers.iter().chain(&writers).any(std::thread::ScopedJoinHandle::is_finished) {
            if dice.below(3) > 0 {
                // Else perhaps while it still starts.
                drop(fs::symlink_metadata(root.join("is it there")));
            }
            std::thread::sleep(Duration::from_millis(300 + dice.below(1200)));
            let worker = worker_of(keeper).expect("there is always one");
            match how {
                How::Kill => {
                    signal(worker, "KILL");
                    killed += 1;
                    eventually("there is another", || worker_of(keeper).filter(|now| *now != worker).map(drop));
                }
                How::Upgrade => {
                    // Another build: the same with one byte more.
                    let mut next = fs::read(PROGRAM).expect("reads");
                    next.extend(killed.to_le_bytes());
                    let beside = program_file.with_extension("new");
                    fs::write(&beside, next).expect("writes");
                    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("sets");
                    fs::rename(&beside, program_file).expect("renames");
                    signal(keeper, "USR2");
                    killed += 1;
                    eventually("there is another", || worker_of(keeper).filter(|now| *now != worker).map(drop));
                    assert_eq!(
                        fs::metadata(format!("/proc/{}/exe", worker_of(keeper).expect("one"))).expect("is there").len(),
                        fs::metadata(program_file).expect("is there").len()
                    );
                }
            }
            let mut there = vec![0; 70_000];
            let at = dice.size(LARGE - 70_000);
            passed.read_exact_at(&mut there, at as u64).expect("reads");
            same("what the kernel reads by itself", &there, &bytes(77, LARGE)[at..at + 70_000]);
        }
        drop(ending);
        for (number, reader) in readers.into_iter().enumerate() {
            reader.join().expect("finds what must be there").unwrap_or_else(|error| panic!("reader {number}: {error}"));
        }
        for (number, writer) in writers.into_iter().enumerate() {
            writer.join().expect("finds what must be there").unwrap_or_else(|error| panic!("writer {number}: {error}"));
        }
        for (name, program) in programs {
            let output = program.wait_with_output().expect("ends");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(killed, kills);
        probe.join().expect("is answered")
    });
    let mut pauses = pauses;
    pauses.sort();
    let after = anonymous_kib(keeper);
    eprintln!(
        "{kills} kills; pauses over 20 ms: {}, median {:?}, worst {:?}; keeper {before} KiB before, {after} KiB after",
        pauses.len(),
        pauses.get(pauses.len() / 2),
        pauses.last()
    );
    assert!(after <= before + 64, "the keeper grew from {before} to {after} KiB");
    let status = machine.status()["keeper"].clone();
    let died = if how == How::Kill { kills } else { 0 };
    assert_eq!((status["restarts"].as_u64(), status["generation"].as_u64()), (Some(died), Some(kills + 1)), "{status}");
    assert!(!machine.cache().join("unfinished").exists(), "nothing is put aside");
    machine.flush();
    for seed in 0..4 {
        let (log, now) = (root.join(format!("writer {seed}/log")), root.join(format!("writer {seed}/now")));
        for path in [log, now] {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            let folder = cloud.id(&format!("writer {seed}"));
            let found = cloud.files(&format!("'{folder}' in parents and name = '{name}' and trashed = false"));
            let id = found[0]["id"].as_str().expect("an id");
            same("on the drive", &cloud.content(id), &read(&path));
        }
    }
    assert_eq!(machine.status()["conflicts"], json!([]));
    assert!(names(&root).iter().all(|name| !name.starts_with("clone") && !name.starts_with("untar")));
}
