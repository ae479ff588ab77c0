//! Rounds of work that end with a kill.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::agreement;
use crate::cloud::Cloud;
use crate::dice::{Dice, number};
use crate::evidence::Evidence;
use crate::machine::{Machine, said, wait_for_end};
use crate::manifest::Manifest;
use crate::points::{Hint, POINTS};
use crate::writer::{Size, Writer, folder, is_of_the_end, kill};

const WRITERS: usize = 8;

/// Of so many kills, how many are at a named step.
const STEPS_OF: (u64, u64) = (3, 5);

/// How long a round at a step waits for it; then the daemon is killed wherever it is.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A kill at a random moment comes within so many milliseconds.
const MOMENTS: u64 = 800;

/// Kills between two comparisons with the drive.
const BETWEEN_FLUSHES: u64 = 12;

/// A link over which large files take seconds, shared by all, and a drive that is not next door.
const LINK: [&str; 2] = ["uploads.*:bandwidth,up=16M,shared=true", "*:latency,ms=2-40"];

/// What the kills hit.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// So many left content that was not on the drive.
    unsent: u64,
    /// So many of them left an upload that was begun.
    uploads: u64,
    at_steps: u64,
    /// During a start, or soon after.
    early: u64,
    reached: BTreeSet<&'static str>,
}

#[test]
fn kills_lose_nothing_that_was_promised() {
    let (kills, seed) = (number("DRIVEMOUNT_TEST_KILLS", 50), number("DRIVEMOUNT_TEST_KILL_SEED", 1));
    let began = Instant::now();
    let mut bench = Bench::new(seed);
    while bench.tally.kills < kills {
        bench.round();
        if bench.tally.kills / BETWEEN_FLUSHES != bench.checked {
            bench.flush_and_compare();
        }
    }
    bench.flush_and_compare();
    let tally = &bench.tally;
    let missed: Vec<_> = POINTS.iter().map(|&(name, ..)| name).filter(|name| !tally.reached.contains(name)).collect();
    // Not through the test's output, which is kept to itself when all is well.
    let _told = writeln!(
        io::stderr(),
        "{} kills in {:.0?} (seed {seed}): {} left unsent content, {} of them an upload under way; {} were at a named step, {} \
         during a start or soon after; steps not met: {missed:?}",
        tally.kills,
        began.elapsed(),
        tally.unsent,
        tally.uploads,
        tally.at_steps,
        tally.early,
    );
    assert!(tally.unsent * 2 >= tally.kills, "only {tally:?} hit unsent content: that shows little");
    assert!(tally.uploads * 10 >= tally.kills, "only {tally:?} hit an upload under way: that shows little");
    if kills >= 10 * POINTS.len() as u64 {
        assert!(missed.is_empty(), "no kill was at {missed:?}");
    }
}

/// The drive, the machine and the writers.
struct Bench {
    cloud: Cloud,
    machine: Machine,
    manifests: Vec<Manifest>,
    dice: Dice,
    seed: u64,
    round: u64,
    next_step: usize,
    checked: u64,
    tally: Tally,
    evidence: Evidence,
    _scratch: TempDir,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        machine.keeper = "never";
        // No seal but those that the writers know of.
        machine.arguments.extend(["--sync-interval", "1h", "--log-level", "debug"].map(str::to_owned));
        machine.mount(&cloud);
        for number in 0..WRITERS {
            fs::create_dir(folder(&machine.drive(), number)).expect("makes");
        }
        machine.flush();
        machine.kill();
        cloud.make_trouble(&LINK);
        let manifests = (0..WRITERS).map(|_| Manifest::default()).collect();
        let (dice, tally) = (Dice::new(seed, 0), Tally::default());
        let scratch = tempfile::tempdir().expect("temporary folder");
        let evidence = Evidence::new("kill", scratch.path());
        let (round, next_step, checked) = (0, 0, 0);
        Self { cloud, machine, manifests, dice, seed, round, next_step, checked, tally, evidence, _scratch: scratch }
    }

    /// Mounts what the last kill left, compares, works, and kills.
    fn round(&mut self) {
        self.round += 1;
        let step = (self.round % STEPS_OF.1 < STEPS_OF.0).then(|| {
            self.next_step += 1;
            POINTS[(self.next_step - 1) % POINTS.len()]
        });
        if let Some((name, most, _)) = step {
            if name == "ids-not-stored" {
                self.use_up_ids();
            }
            let count = 1 + self.dice.below(most);
            self.machine.environment = vec![("DRIVEMOUNT_CRASH_AT".to_owned(), format!("{name}:{count}"))];
        }
        let name = step.map(|(name, ..)| name);
        if !self.mount(name) || !self.settle(name) {
            return;
        }
        let pid = self.daemon();
        let hint = step.map_or(Hint::Any, |(_, _, hint)| hint);
        let moment = Duration::from_millis(self.dice.below(MOMENTS));
        let (drive, seed, round) = (self.machine.drive(), self.seed, self.round);
        let (errors, by_itself) = std::thread::scope(|scope| {
            let writers: Vec<_> = (self.manifests.iter_mut().enumerate())
                .map(|(number, manifest)| {
                    let dice = Dice::new(seed, round << 8 | number as u64);
                    let size = [Size::Large, Size::Medium, Size::Medium].get(number).copied().unwrap_or(Size::Small);
                    let writer = Writer::new(folder(&drive, number), manifest, dice, size, round);
                    scope.spawn(move || writer.hint(hint).run())
                })
                .collect();
            let by_itself = end(pid, if step.is_some() { PATIENCE } else { moment });
            (writers.into_iter().map(|writer| writer.join().expect("a writer")).collect::<Vec<_>>(), by_itself)
        });
        for (number, error) in errors.iter().enumerate() {
            assert!(is_of_the_end(error), "round {round}, writer {number}: {error} (seed {seed})");
        }
        assert!(step.is_some() || !by_itself, "round {round}: the daemon ended by itself (seed {seed})");
        if let Some(name) = name.filter(|_| by_itself) {
            self.tally.at_steps += 1;
            self.tally.reached.insert(name);
        }
        self.killed();
    }

    /// Mounts. Says `false` if the start ended at the step that was armed for it.
    fn mount(&mut self, step: Option<&'static str>) -> bool {
        let output = self.machine.try_mount(&self.cloud);
        self.machine.environment.clear();
        if output.status.success() {
            return true;
        }
        let Some(name) = step else { panic!("round {} (seed {}): {}", self.round, self.seed, said(&output)) };
        self.ended_early(name);
        false
    }

    /// Compares what is there with what was promised. Says `false` if the daemon ended meanwhile at the step that was armed.
    fn settle(&mut self, step: Option<&'static str>) -> bool {
        for (number, manifest) in self.manifests.iter_mut().enumerate() {
            match (manifest.settle(&folder(&self.machine.drive(), number)), step) {
                (Ok(Ok(())), _) => {}
                (Err(error), Some(name)) if is_of_the_end(&error) => {
                    self.ended_early(name);
                    return false;
                }
                (Ok(Err(wrong)), _) => panic!("round {}, writer {number} (seed {}):\n{wrong}", self.round, self.seed),
                (Err(error), _) => panic!("round {}, writer {number} (seed {}): {error}", self.round, self.seed),
            }
        }
        true
    }

    /// The daemon came to a step before there was any work.
    fn ended_early(&mut self, step: &'static str) {
        wait_for_end(self.daemon());
        self.tally.at_steps += 1;
        self.tally.early += 1;
        self.tally.reached.insert(step);
        self.killed();
    }

    fn flush_and_compare(&mut self) {
        self.checked = self.tally.kills / BETWEEN_FLUSHES;
        self.cloud.make_trouble(&[]);
        self.mount(None);
        self.settle(None);
        self.machine.flush();
        agreement::check(&self.cloud, &self.machine, &self.manifests);
        self.settle(None);
        self.machine.kill();
        self.cloud.make_trouble(&LINK);
    }

    /// Counts a kill by what it left.
    fn killed(&mut self) {
        self.tally.kills += 1;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.evidence.take(&self.machine);
        let state = Connection::open_with_flags(self.machine.cache().join("state.db"), flags).expect("opens");
        let is_there = |sql: &str| state.query_row(sql, [], |row| row.get::<_, bool>(0)).expect("reads");
        let unsent = is_there("SELECT EXISTS (SELECT 1 FROM staging WHERE retired = 0)");
        self.tally.unsent += u64::from(unsent);
        self.tally.uploads += u64::from(unsent && is_there("SELECT EXISTS (SELECT 1 FROM upload)"));
        // What was not promised is kept, which would fill the disk of this machine in time.
        let _none = fs::remove_dir_all(self.machine.cache().join("unfinished"));
    }

    /// Takes the reserved ids away, as if they were used.
    fn use_up_ids(&self) {
        let state = Connection::open(self.machine.cache().join("state.db")).expect("opens");
        state.execute("DELETE FROM reserved", []).expect("deletes");
    }

    /// The process that holds the cache folder, or held it last.
    fn daemon(&self) -> i32 {
        let holder = fs::read_to_string(self.machine.cache().join("lock")).expect("reads");
        let pid = holder.split([' ', ',']).nth(1).and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no process in {holder:?}"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let histories: Vec<String> = self.manifests.iter().map(Manifest::history).collect();
            self.evidence.keep(&self.machine, &self.cloud, &histories.join("\n\n==== the next writer\n\n"));
        }
    }
}

/// Waits for the end of a process, and kills it after a while. Says whether it ended by itself.
fn end(pid: i32, patience: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < patience {
        if !is_alive(pid) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2).min(patience));
    }
    kill(pid, libc::SIGKILL);
    wait_for_end(pid);
    false
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}
