//! One run: a drive, a machine, processes that work on it, and the model that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::dice::Dice;
use crate::generate::Part;
use crate::machine::Machine;
use crate::memory::{Ino, Last, Memory, Modified};
use crate::operation::Operation;
use crate::picture;
use crate::worker::Worker;

/// Processes that work at the same time.
pub(crate) const WORKERS: usize = 4;

/// The part of the tree in which each process works alone, then one in which all do in turn, then one in which somebody else does.
pub(crate) const HOMES: [&str; WORKERS + 2] =
    ["w0/home", "w1/home", "w2/home", "w3/home", "shared/home", "elsewhere/home"];
pub(crate) const SHARED: usize = WORKERS;
pub(crate) const ELSEWHERE: usize = WORKERS + 1;

/// How long a change made elsewhere may take to be seen.
const HEARD: Duration = Duration::from_mins(3);

/// What was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) rounds: u64,
    pub(crate) compared: u64,
    pub(crate) flushed: u64,
    pub(crate) kills: u64,
    pub(crate) remounts: u64,
    pub(crate) lost_machines: u64,
    pub(crate) second_machines: u64,
    pub(crate) edits_elsewhere: u64,
    pub(crate) edits_on_both_sides: u64,
    pub(crate) troubles: u64,
    pub(crate) outages: u64,
    pub(crate) apart: Duration,
    pub(crate) in_turn: Duration,
    pub(crate) between: Duration,
}

pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) memory: Memory,
    pub(crate) cloud: Cloud,
    pub(crate) machine: Machine,
    pub(crate) workers: Vec<Worker>,
    pub(crate) counts: Counts,
    /// What goes wrong on the way to the drive.
    pub(crate) trouble: Vec<&'static str>,
    start: Instant,
    /// What was done, to be read when it fails.
    history: Vec<String>,
    _sockets: tempfile::TempDir,
}

impl Run {
    pub(crate) fn begin(seed: u64) -> Self {
        let cloud = Cloud::start();
        let mut machine = Machine::new();
        // Much trouble on a busy machine takes long, and must not become an error.
        machine.arguments.extend(["--network-timeout", "5m", "--log-level", "debug"].map(str::to_owned));
        machine.mount(&cloud);
        let sockets = tempfile::tempdir().expect("temporary folder");
        let workers = (0..WORKERS).map(|_| Worker::start(&machine.drive(), sockets.path())).collect();
        let mut run = Self {
            seed,
            dice: Dice::new(seed),
            memory: Memory::new(),
            cloud,
            machine,
            workers,
            counts: Counts::default(),
            trouble: Vec::new(),
            start: Instant::now(),
            history: Vec::new(),
            _sockets: sockets,
        };
        for home in HOMES {
            for path in [home.split('/').next().unwrap_or_default(), home] {
                run.perform(0, &Operation::MakeFolder { path: path.to_owned(), mode: 0o755 });
            }
        }
        run.flush();
        run
    }

    /// Works until so many operations are done, then looks at all for the last time.
    pub(crate) fn work(&mut self, operations: u64) {
        while self.counts.operations < operations {
            self.counts.rounds += 1;
            self.choose_trouble();
            let start = Instant::now();
            self.work_apart();
            self.counts.apart += start.elapsed();
            let start = Instant::now();
            self.work_in_turn();
            self.counts.in_turn += start.elapsed();
            let start = Instant::now();
            self.something_happens();
            self.counts.between += start.elapsed();
        }
        self.set_trouble(&[]);
        self.close_all();
        self.flush();
        self.compare("at the end");
        self.compare_drive("at the end");
        let status = self.machine.status();
        assert_eq!(status["unsent"]["entries"], 0, "{self}: {status}");
    }

    /// All processes work at the same time, each in its part.
    fn work_apart(&mut self) {
        let batch = 50 + self.dice.below(350);
        let mut expected = Vec::new();
        for (number, home) in HOMES[..WORKERS].iter().enumerate() {
            let mut given = Vec::new();
            let mut outcomes = Vec::new();
            for _ in 0..batch {
                let operation = Part { memory: &self.memory, home }.operation(&mut self.dice);
                let outcome = self.memory.apply(number, &operation);
                self.history.push(format!("{} w{number} {operation:?} {outcome:?}", self.counts.rounds));
                outcomes.push(outcome);
                given.push(operation);
            }
            self.workers[number].send(&given);
            expected.push((given, outcomes));
        }
        self.meanwhile();
        for (number, (given, outcomes)) in expected.iter().enumerate() {
            let found = self.workers[number].receive();
            for (at, (operation, expected)) in given.iter().zip(outcomes).enumerate() {
                let found = &found[at];
                assert!(
                    found == expected,
                    "{self}, process {number}, step {at}: {operation:?}: {found:?}, not {expected:?}; before it were {:#?}",
                    &given[at.saturating_sub(8)..at],
                );
            }
        }
        self.counts.operations += batch * WORKERS as u64;
    }

    /// One operation at a time, each by any process, in the shared part and from part to part.
    fn work_in_turn(&mut self) {
        for _ in 0..self.dice.below(60) {
            let process = self.dice.index(WORKERS);
            let operation = if self.dice.once_in(12) {
                let [from, to] = [0, 0].map(|_| HOMES[self.dice.index(SHARED + 1)]);
                let from = Part { memory: &self.memory, home: from }.existing(&mut self.dice, false);
                let folder = Part { memory: &self.memory, home: to }.existing(&mut self.dice, true);
                let name = from.rsplit('/').next().unwrap_or_default();
                let to = format!("{folder}/{name}");
                // What has names in two parts would be changed in both at the same time.
                let is_in_two =
                    |path: &str| self.memory.find(path, Last::Keep).is_ok_and(|ino| self.memory.shares_names(ino));
                if is_in_two(&from) {
                    continue;
                }
                Operation::Rename { to, from, replace: true }
            } else {
                Part { memory: &self.memory, home: HOMES[SHARED] }.operation(&mut self.dice)
            };
            self.perform(process, &operation);
        }
        // What others can reach too may not be changed at the same time.
        for (process, slot) in self.within_reach_of_others() {
            self.perform(process, &Operation::Close { slot });
        }
    }

    /// What is open to a process and not its own alone.
    fn within_reach_of_others(&self) -> Vec<(usize, usize)> {
        let own: Vec<BTreeSet<Ino>> = (0..WORKERS)
            .map(|number| {
                let mut paths = BTreeMap::new();
                let part = HOMES[number].split('/').next().unwrap_or_default();
                let top = self.memory.find(part, Last::Keep).expect("a part");
                picture::paths(&self.memory, top, "", &mut paths);
                paths.into_values().collect()
            })
            .collect();
        let handles = &self.memory.handles;
        let alone = |process: usize, ino: Ino| {
            self.memory.inode(ino).names == 0
                && handles.iter().all(|(slot, handle)| handle.ino != ino || slot.0 == process)
        };
        let others = handles
            .iter()
            .filter(|((process, _), handle)| !own[*process].contains(&handle.ino) && !alone(*process, handle.ino));
        others.map(|(&slot, _)| slot).collect()
    }

    /// One operation, in the model and on the mount.
    pub(crate) fn perform(&mut self, process: usize, operation: &Operation) {
        let expected = self.memory.apply(process, operation);
        self.note(&format!("w{process} {operation:?} {expected:?}"));
        let found = self.workers[process].perform(operation);
        assert!(found == expected, "{self}, process {process}: {operation:?}: {found:?}, not {expected:?}");
        self.counts.operations += 1;
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.history.push(format!("{} {:.1?} {what}", self.counts.rounds, self.start.elapsed()));
    }

    pub(crate) fn close_all(&mut self) {
        self.note("close all");
        self.workers.iter_mut().for_each(Worker::close_all);
        self.memory.close_all();
    }

    /// Makes what is open safe here: by a sync, or by closing it.
    pub(crate) fn make_safe(&mut self) {
        // Also what is open to read only: it may be new.
        let slots: Vec<_> = self.memory.handles.keys().copied().collect();
        for (process, slot) in slots {
            let is_synced = self.dice.once_in(2);
            let data = self.dice.once_in(2);
            let safe = if is_synced { Operation::SyncOpen { slot, data } } else { Operation::Close { slot } };
            self.perform(process, &safe);
        }
    }

    pub(crate) fn flush(&mut self) {
        self.note("flush");
        self.counts.flushed += 1;
        self.machine.flush();
    }

    /// What the mount shows must be what the model has; what was changed elsewhere soon.
    pub(crate) fn compare(&mut self, when: &str) {
        self.counts.compared += 1;
        for home in &HOMES[..ELSEWHERE] {
            let part = home.split('/').next().unwrap_or_default();
            picture::compare(&self.memory, &self.machine.drive(), part, 1)
                .unwrap_or_else(|difference| panic!("{self}, {when}, in {part}:\n{difference}"));
        }
        // What was changed elsewhere must come from there.
        self.set_trouble(&[]);
        self.soon(when);
    }

    /// Waits until the mount shows what the model has.
    pub(crate) fn soon(&self, when: &str) {
        let until = Instant::now() + HEARD;
        while let Err(difference) = picture::compare(&self.memory, &self.machine.drive(), "", 1) {
            assert!(Instant::now() < until, "{self}, {when}, and still so after three minutes:\n{difference}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// After a flush, what the drive holds must be what the model has.
    pub(crate) fn compare_drive(&self, when: &str) {
        picture::compare_drive(&self.memory, &self.cloud)
            .unwrap_or_else(|difference| panic!("{self}, {when}, on the drive:\n{difference}"));
    }

    /// The drive keeps milliseconds of what this machine knew to the nanosecond.
    pub(crate) fn round_times(&mut self) {
        for inode in self.memory.inodes() {
            if let Modified::At(nanos) = &mut inode.modified {
                *nanos -= nanos.rem_euclid(1_000_000);
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let history = std::env::temp_dir().join(format!("drivemount-model-{}-{}", self.seed, std::process::id()));
            std::fs::write(history.with_extension("log"), self.machine.log()).expect("writes");
            std::fs::write(&history, self.history.join("\n")).expect("writes");
            eprintln!("what was done, round by round, stands in {}, the log of the mount beside it", history.display());
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DRIVEMOUNT_TEST_SEED={}, round {}, after {} operations, trouble {:?}",
            self.seed, self.counts.rounds, self.counts.operations, self.trouble
        )
    }
}
