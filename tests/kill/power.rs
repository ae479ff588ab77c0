//! The power is lost: what was synced is there, and of the rest nothing that is torn.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::cloud::{Cloud, eventually};
use crate::dice::{Dice, number};
use crate::disk::Disk;
use crate::evidence::Evidence;
use crate::machine::{Machine, wait_for_end};
use crate::manifest::{look, sum};
use crate::writer::{folder, kill};

const WRITERS: usize = 4;

/// What a name stood for: a file with its content, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    content: Option<Arc<Vec<u8>>>,
    /// The content itself was synced, whatever of its name.
    synced: bool,
}

/// What a name stood for since its state was last on stable storage, that state first.
#[derive(Debug, Clone)]
struct Name {
    versions: Vec<Version>,
}

impl Default for Name {
    fn default() -> Self {
        Self { versions: vec![Version { content: None, synced: true }] }
    }
}

impl Name {
    fn is_now(&self) -> &Version {
        self.versions.last().expect("there is one at all times")
    }

    /// What it stands for is on stable storage.
    fn keep(&mut self) {
        self.versions.drain(..self.versions.len() - 1);
    }
}

/// What a writer was promised.
#[derive(Debug, Clone, Default)]
struct Promises {
    names: BTreeMap<String, Name>,
    history: VecDeque<String>,
    /// How many files were promised to survive, and were not on the drive by then for all that the writer knows.
    synced: u64,
}

impl Promises {
    fn note(&mut self, what: String) {
        if self.history.len() > 500 {
            self.history.pop_front();
        }
        self.history.push_back(what);
    }

    /// A name may stand for this from now on, and does when the call has returned.
    fn becomes(&mut self, name: &str, content: Option<&Arc<Vec<u8>>>, synced: bool) {
        let version = Version { content: content.cloned(), synced };
        self.names.entry(name.to_owned()).or_default().versions.push(version);
    }
}

struct Writer<'a> {
    folder: PathBuf,
    promises: &'a Mutex<Promises>,
    dice: Dice,
    count: u64,
    round: u64,
}

impl Writer<'_> {
    fn run(&mut self, end: &AtomicBool) -> io::Result<()> {
        while !end.load(Ordering::Relaxed) {
            match self.dice.below(10) {
                0..4 => self.save()?,
                4 | 5 => self.rewrite()?,
                6 => self.change()?,
                7 => self.remove()?,
                8 => self.rename()?,
                _ => self.many()?,
            }
            std::thread::sleep(Duration::from_millis(self.dice.below(20)));
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        (*self.dice.pick(&["a", "b", "c", "d", "e", "f", "g", "h"])).to_owned()
    }

    fn some(&mut self) -> Arc<Vec<u8>> {
        let length = match self.dice.below(12) {
            0 => 0,
            1 => 6 << 20,
            2..5 => 200_000 + self.dice.size(200_000),
            _ => 1 + self.dice.size(9000),
        };
        Arc::new(self.dice.content(length))
    }

    /// A file that is there, with its content.
    fn file(&mut self) -> Option<(String, Arc<Vec<u8>>)> {
        let name = self.name();
        let promises = self.promises.lock();
        let content = promises.names.get(&name)?.is_now().content.clone()?;
        Some((name, content))
    }

    fn note(&self, what: String) {
        self.promises.lock().note(what);
    }

    /// Syncs a file and all that leads to it.
    fn sync(&self, file: &File, name: &str, content: &Arc<Vec<u8>>) -> io::Result<()> {
        self.note(format!("  sync {name}: {} bytes {}", content.len(), sum(content)));
        self.promises.lock().becomes(name, Some(content), true);
        file.sync_all()?;
        let mut promises = self.promises.lock();
        promises.names.entry(name.to_owned()).or_default().keep();
        promises.synced += 1;
        Ok(())
    }

    /// Syncs the folder: its names, though not what they hold.
    fn sync_folder(&self) -> io::Result<()> {
        self.note("  sync the folder".to_owned());
        File::open(&self.folder)?.sync_all()?;
        for name in self.promises.lock().names.values_mut().filter(|name| name.is_now().synced) {
            name.keep();
        }
        Ok(())
    }

    /// Closes a file; it may be synced then or not, nobody knows.
    fn close(&self, file: File, name: &str, content: &Arc<Vec<u8>>) {
        self.note(format!("  close {name}: {} bytes {}", content.len(), sum(content)));
        self.promises.lock().becomes(name, Some(content), false);
        drop(file);
    }

    fn save(&mut self) -> io::Result<()> {
        let (name, content) = (self.name(), self.some());
        self.count += 1;
        let beside = format!("save-{}-{}", self.round, self.count);
        let synced = self.dice.below(5) > 0;
        self.note(format!("save {name} by {beside}, synced: {synced}"));
        let mut file = File::create(self.folder.join(&beside))?;
        file.write_all(&content)?;
        if !synced {
            return self.rename_open(file, &beside, &name, &content);
        }
        self.sync(&file, &beside, &content)?;
        drop(file);
        {
            let mut promises = self.promises.lock();
            promises.becomes(&beside, None, true);
            promises.becomes(&name, Some(&content), true);
        }
        fs::rename(self.folder.join(beside), self.folder.join(name))?;
        self.sync_folder()
    }

    /// Renames what is open and was never synced, which it is by that if it replaces something.
    fn rename_open(&mut self, file: File, from: &str, to: &str, content: &Arc<Vec<u8>>) -> io::Result<()> {
        {
            let mut promises = self.promises.lock();
            let replaces = promises.names.get(to).is_some_and(|name| name.is_now().content.is_some());
            if replaces {
                promises.becomes(from, Some(content), true);
                promises.becomes(from, None, true);
            }
            promises.becomes(to, Some(content), replaces);
        }
        fs::rename(self.folder.join(from), self.folder.join(to))?;
        drop(file);
        Ok(())
    }

    /// Another content for a name, synced or not.
    fn rewrite(&mut self) -> io::Result<()> {
        let (name, content, sync) = (self.name(), self.some(), self.dice.below(3) > 0);
        self.note(format!("rewrite {name}"));
        let mut file = File::create(self.folder.join(&name))?;
        file.write_all(&content)?;
        if sync {
            self.sync(&file, &name, &content)?;
        } else {
            self.close(file, &name, &content);
        }
        Ok(())
    }

    /// Another content for a part of a file.
    fn change(&mut self) -> io::Result<()> {
        let Some((name, content)) = self.file() else { return Ok(()) };
        let (more, sync) = (self.some(), self.dice.below(3) > 0);
        let offset = self.dice.size(content.len() as u64 + 5000);
        self.note(format!("change {name}: {} bytes at {offset}", more.len()));
        let mut content = content.to_vec();
        if !more.is_empty() {
            content.resize(content.len().max(offset + more.len()), 0);
            content[offset..offset + more.len()].copy_from_slice(&more);
        }
        let content = Arc::new(content);
        let file = OpenOptions::new().write(true).open(self.folder.join(&name))?;
        file.write_all_at(&more, offset as u64)?;
        if sync {
            self.sync(&file, &name, &content)?;
        } else {
            self.close(file, &name, &content);
        }
        Ok(())
    }

    fn remove(&mut self) -> io::Result<()> {
        let Some((name, _)) = self.file() else { return Ok(()) };
        self.note(format!("remove {name}"));
        self.promises.lock().becomes(&name, None, true);
        fs::remove_file(self.folder.join(name))?;
        if self.dice.below(2) == 0 { self.sync_folder() } else { Ok(()) }
    }

    fn rename(&mut self) -> io::Result<()> {
        let (Some((from, _)), to) = (self.file(), self.name()) else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        self.note(format!("rename {from} to {to}"));
        {
            let mut promises = self.promises.lock();
            let source = promises.names[&from].clone();
            let moved = source.is_now().clone();
            promises.becomes(&from, None, true);
            // What replaces something is synced before that. Else it may be under its new name what it was when it was synced.
            if !moved.synced && promises.names.get(&to).is_none_or(|name| name.is_now().content.is_none()) {
                for version in &source.versions {
                    promises.becomes(&to, version.content.as_ref(), false);
                }
            }
            promises.becomes(&to, moved.content.as_ref(), moved.synced);
        }
        fs::rename(self.folder.join(from), self.folder.join(to))?;
        if self.dice.below(2) == 0 { self.sync_folder() } else { Ok(()) }
    }

    /// Many small files at once, of which the last is synced.
    fn many(&mut self) -> io::Result<()> {
        let content = self.some();
        for name in ["m", "n", "o"] {
            self.note(format!("write {name}"));
            let mut file = File::create(self.folder.join(name))?;
            file.write_all(&content)?;
            if name == "o" {
                self.sync(&file, name, &content)?;
            } else {
                self.close(file, name, &content);
            }
        }
        Ok(())
    }
}

#[test]
fn what_was_synced_survives_the_loss_of_power() {
    let (losses, seed) = (number("DRIVEMOUNT_TEST_POWER_LOSSES", 5), number("DRIVEMOUNT_TEST_KILL_SEED", 1));
    let scratch = tempfile::tempdir().expect("temporary folder");
    let evidence = Evidence::new("power", scratch.path());
    let cloud = Cloud::start();
    let mut machine = Machine::new();
    machine.keeper = "never";
    machine.arguments.extend(["--sync-interval", "1h", "--log-level", "debug"].map(str::to_owned));
    fs::create_dir(machine.cache()).expect("makes");
    let mut disk = Disk::new(&scratch.path().join("disk"), &machine.cache());
    machine.mount(&cloud);
    for number in 0..WRITERS {
        fs::create_dir(folder(&machine.drive(), number)).expect("makes");
    }
    machine.flush();
    cloud.make_trouble(&["uploads.*:bandwidth,up=16M,shared=true", "*:latency,ms=2-40"]);
    let promises: Vec<Mutex<Promises>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    let mut dice = Dice::new(seed, 1 << 40);
    for round in 1..=losses {
        let lost = scratch.path().join("lost");
        let (before, after) = work_until_it_is_lost(&machine, &disk, &lost, &promises, &mut dice, (seed, round));
        disk = disk.replace(&lost);
        // As after a new start of the machine.
        machine.environment = vec![("DRIVEMOUNT_CRASH_BOOT".to_owned(), format!("{seed}-{round}"))];
        evidence.take(&machine);
        let watch = evidence.watch(&machine, &cloud);
        machine.mount(&cloud);
        for number in 0..WRITERS {
            let is = compare(&machine, number, &before[number], &after[number], (seed, round));
            *promises[number].lock() = is;
        }
        drop(watch);
        // What was not promised is kept, which would fill the disk in time.
        let _none = fs::remove_dir_all(machine.cache().join("unfinished"));
        if round % 3 == 0 || round == losses {
            cloud.make_trouble(&[]);
            machine.flush();
            assert_eq!(
                machine.status()["conflicts"],
                serde_json::json!([]),
                "nobody else wrote (seed {seed}, round {round})"
            );
            for (number, promises) in promises.iter().enumerate() {
                compare_with_drive(&cloud, &machine, number, &mut promises.lock());
            }
            cloud.make_trouble(&["uploads.*:bandwidth,up=16M,shared=true", "*:latency,ms=2-40"]);
        }
    }
    machine.unmount();
    drop(disk);
}

/// Lets the writers work for a moment, and takes what the disk has. Says what they had been promised before that, and what by then.
fn work_until_it_is_lost(
    machine: &Machine,
    disk: &Disk,
    lost: &Path,
    promises: &[Mutex<Promises>],
    dice: &mut Dice,
    (seed, round): (u64, u64),
) -> (Vec<Promises>, Vec<Promises>) {
    let pid = machine.pid();
    let end = AtomicBool::new(false);
    let all = || promises.iter().map(|promises| promises.lock().clone()).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (number, promises) in promises.iter().enumerate() {
            let folder = folder(&machine.drive(), number);
            let dice = Dice::new(seed, 1 << 30 | round << 8 | number as u64);
            let end = &end;
            scope.spawn(move || {
                let mut writer = Writer { folder, promises, dice, count: 0, round };
                writer.note(format!("-- round {round}"));
                // Ends when the daemon is killed.
                let ended = writer.run(end);
                let is_full = ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
                assert!(!is_full, "the disk of the test is too small: it is not about that");
                writer.note(format!("-- {ended:?}"));
            });
        }
        std::thread::sleep(Duration::from_millis(300 + dice.below(1200)));
        let before = all();
        kill(pid, libc::SIGSTOP);
        // Who is in the middle of a sync ends that first, and the power is lost at one moment.
        eventually("all threads stand still", || stands_still(pid).then_some(()));
        write_some(&machine.cache(), dice);
        disk.copy(lost).expect("copies");
        let after = all();
        end.store(true, Ordering::Relaxed);
        kill(pid, libc::SIGKILL);
        wait_for_end(pid);
        (before, after)
    })
}

/// Whether all threads of a process are stopped.
fn stands_still(pid: i32) -> bool {
    let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("runs");
    tasks.all(|task| {
        // One that ends at this moment was not stopped yet.
        let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

/// What the kernel may have written by itself before the power was lost: nothing, the names of all files, or any file.
fn write_some(cache: &Path, dice: &mut Dice) {
    match dice.below(4) {
        0 => {}
        1 => {
            // The journal of the file system, with what it knows of all other files.
            let other = File::create(cache.join("other")).expect("makes");
            other.sync_all().expect("syncs");
        }
        2 => File::open(cache.join("state.db-wal")).and_then(|log| log.sync_all()).expect("syncs"),
        _ => {
            for file in fs::read_dir(cache.join("staging")).expect("lists") {
                if dice.below(2) == 0 {
                    File::open(file.expect("entry").path()).and_then(|file| file.sync_all()).expect("syncs");
                }
            }
        }
    }
}

/// Compares what is there with what may be; says what is promised from now on.
#[track_caller]
fn compare(machine: &Machine, number: usize, before: &Promises, after: &Promises, at: (u64, u64)) -> Promises {
    let is = look(&folder(&machine.drive(), number)).unwrap_or_else(|error| panic!("writer {number}, {at:?}: {error}"));
    let nothing = Name::default();
    let mut found = Promises { history: after.history.clone(), synced: after.synced, ..Promises::default() };
    for name in after.names.keys().chain(is.keys()) {
        let content = is.get(name).cloned().flatten();
        let kept = before.names.get(name).unwrap_or(&nothing);
        let later = after.names.get(name).unwrap_or(&nothing);
        let mut legal = kept.versions.iter().chain(&later.versions);
        if !legal.any(|version| version.content == content) {
            let tell = |content: &Option<Arc<Vec<u8>>>| match content {
                None => "nothing".to_owned(),
                Some(content) => format!("{} bytes {}", content.len(), sum(content)),
            };
            let may: Vec<_> =
                kept.versions.iter().chain(&later.versions).map(|version| tell(&version.content)).collect();
            let history: Vec<_> = after
                .history
                .iter()
                .filter(|line| line.contains(&format!(" {name}")) || line.contains("--") || line.contains("folder"))
                .cloned()
                .collect();
            let log = machine.log();
            let log: Vec<_> = log
                .lines()
                .filter(|line| line.contains("merge") || line.contains(&format!("writer {number}/")))
                .collect();
            panic!(
                "(seed, round) {at:?}, writer {number}, {name}: is {}, may be {may:?}\n{}\n{}",
                tell(&content),
                history.join("\n"),
                log.join("\n")
            );
        }
        let version = Version { content, synced: false };
        found.names.insert(name.clone(), Name { versions: vec![version] });
    }
    found
}

/// After a flush.
fn compare_with_drive(cloud: &Cloud, machine: &Machine, number: usize, promises: &mut Promises) {
    let id = cloud.id(&format!("writer {number}"));
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in cloud.files(&format!("'{id}' in parents and trashed = false")) {
        let sum = file["md5Checksum"].as_str().expect("a checksum")[..8].to_owned();
        there.entry(file["name"].as_str().expect("a name").to_owned()).or_default().push(sum);
    }
    let is = look(&folder(&machine.drive(), number)).expect("looks");
    let here: BTreeMap<String, Vec<String>> =
        is.iter().filter_map(|(name, content)| Some((name.clone(), vec![sum(content.as_ref()?)]))).collect();
    assert_eq!(here, there, "writer {number}: what is here, and what is on the drive");
    promises.note("-- flushed, and equal to the drive".to_owned());
}
