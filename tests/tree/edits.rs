//! Somebody else changes the drive at random, at full speed, while programs read the mount; the feed of changes is late or broken,
//! and the daemon is killed. Soon after the last change the mount shows what is on the drive, entry for entry, and never lists a
//! folder for that.

use std::fs;
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cloud::{Cloud, SOON, eventually};
use crate::dice::{Dice, number};
use crate::evidence::Evidence;
use crate::machine::{Machine, names};
use crate::readers::{Reader, Signs, Tally};
use crate::shown::{differences, expected, left_over};
use crate::somebody::Somebody;

const POLL: Duration = Duration::from_secs(1);

/// How much later than by the poll interval a change may be seen.
const GRACE: Duration = Duration::from_secs(2);

/// How far behind the feed of changes is when it is late.
const LAG: Duration = Duration::from_millis(1500);

/// Changes between two moments of quiet.
const BURST: u64 = 100;

const READERS: usize = 4;

/// Of the files that did not change, one in so many is read when the drive is quiet.
const SAMPLE: u64 = 5;

/// What the changes of a burst come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Calm,
    /// The feed of changes is late.
    Late,
    /// Its pages are short, fail, and are cut off in the middle.
    Broken,
    /// The daemon is killed, and mounts again.
    Deadly,
}

impl Weather {
    const ALL: [Self; 4] = [Self::Calm, Self::Late, Self::Broken, Self::Deadly];

    fn rules(self) -> Vec<&'static str> {
        match self {
            Self::Calm => Vec::new(),
            Self::Late => vec!["changes.list:lag,time=1500ms"],
            Self::Broken | Self::Deadly => vec![
                "changes.list:short-page,size=1-9",
                "changes.list:empty-page,share=0.1",
                "changes.list:answer,status=503,share=0.2",
                "changes.list:cut-answer,after=0-4000,share=0.2",
                "files.get_media+revisions.get_media:cut-answer,after=0-30000,share=0.1",
            ],
        }
    }

    /// How long after the last change, or after the trouble if that was what kept it, it must be seen.
    fn patience(self) -> Duration {
        match self {
            Self::Late => POLL + LAG + GRACE,
            _ => POLL + GRACE,
        }
    }
}

#[test]
fn the_mount_shows_what_somebody_else_makes_of_the_drive_and_never_lists_for_that() {
    let (edits, seed) = (number("DRIVEMOUNT_TEST_EDITS", 400), number("DRIVEMOUNT_TEST_SEED", 1));
    let cloud = Cloud::start();
    let mut somebody = Somebody::new(&cloud, Dice::new(seed, 0));
    somebody.begin();
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1s"].map(str::to_owned).to_vec();
    // As people have it.
    machine.environment = vec![("DRIVEMOUNT_LIST_AHEAD".to_owned(), "all".to_owned())];
    machine.mount(&cloud);
    let scratch = tempfile::tempdir().expect("temporary folder");
    let evidence = Evidence::new("tree", scratch.path());
    let mut storm = Storm {
        somebody,
        machine,
        cloud: &cloud,
        seed,
        known: Vec::new(),
        slowest: Duration::ZERO,
        evidence,
        _scratch: scratch,
    };
    storm.agree(Instant::now(), GRACE, "when it is mounted");
    storm.wait_for_the_last_listing();
    storm.wait_until_new_folders_are_known();
    cloud.call("DELETE", "/admin/meter", &[], None);

    let signs = Signs::default();
    let drive = storm.machine.drive();
    let began = Instant::now();
    let tally = std::thread::scope(|scope| {
        let _stop = Stop(&signs);
        let readers: Vec<_> = (0..READERS)
            .map(|kind| {
                let reader = Reader::new(&drive, &signs, Dice::new(seed, 1 + kind as u64));
                scope.spawn(move || reader.run(kind))
            })
            .collect();
        let bursts = edits.div_ceil(BURST);
        for burst in 0..bursts {
            storm.burst(burst, BURST.min(edits - burst * BURST), &signs);
        }
        signs.stop.store(true, SeqCst);
        let mut tally = Tally::default();
        for reader in readers {
            tally += reader.join().expect("a reader");
        }
        storm.check_readers(&signs);
        tally
    });
    let lists = storm.lists();
    let _told = writeln!(
        std::io::stderr(),
        "{edits} changes in {:.0?} (seed {seed}), seen after {:.1?} at most, {lists} listings; readers: {tally:?}",
        began.elapsed(),
        storm.slowest
    );
    assert!(tally.reads > 0 && tally.slow > 0, "nobody read: {tally:?}");
    storm.compare_with_the_drive();
    // A machine that comes late lists what is there, in an order of its own.
    let mut late = Machine::new();
    late.arguments.clone_from(&storm.machine.arguments);
    late.mount(&cloud);
    let differs = differences(&late.drive(), &expected(&storm.somebody), |_| false);
    assert!(differs.is_empty(), "another machine shows something else (seed {seed}):\n{}", differs.join("\n"));
    assert_eq!(lists, 0, "listings to stay true (seed {seed})");
}

struct Storm<'a> {
    somebody: Somebody<'a>,
    machine: Machine,
    cloud: &'a Cloud,
    seed: u64,
    /// The paths that were there when it was last quiet.
    known: Vec<String>,
    slowest: Duration,
    evidence: Evidence,
    _scratch: TempDir,
}

impl Storm<'_> {
    /// Some changes, and what is seen of them when it is quiet again.
    fn burst(&mut self, burst: u64, edits: u64, signs: &Signs) {
        let weather = Weather::ALL[usize::try_from(burst % 4).expect("small")];
        self.cloud.make_trouble(&weather.rules());
        let death = (weather == Weather::Deadly).then(|| self.somebody.dice.below(edits));
        for edit in 0..edits {
            self.check_readers(signs);
            self.somebody.edit();
            if death == Some(edit) {
                self.kill(signs);
            }
        }
        // What is not late alone is over now.
        let last = Instant::now();
        if weather != Weather::Late {
            self.cloud.make_trouble(&[]);
        }
        self.agree(last, weather.patience(), &format!("after burst {burst}, {weather:?}"));
        self.cloud.make_trouble(&[]);
    }

    fn check_readers(&self, signs: &Signs) {
        if let Some(wrong) = &*signs.wrong.lock() {
            panic!("a reader saw (seed {}): {wrong}", self.seed);
        }
    }

    fn kill(&mut self, signs: &Signs) {
        signs.upheavals.fetch_add(1, SeqCst);
        self.machine.kill();
        for _ in 0..self.somebody.dice.below(10) {
            self.somebody.edit();
        }
        self.machine.mount(self.cloud);
        signs.upheavals.fetch_add(1, SeqCst);
    }

    /// Waits until the mount shows what is on the drive; it must begin to in time.
    fn agree(&mut self, since: Instant, patience: Duration, when: &str) {
        let expected = expected(&self.somebody);
        let drive = self.machine.drive();
        let turn = self.somebody.history.len() as u64;
        let reads = |id: &str| {
            let sum: u64 = id.bytes().map(u64::from).sum();
            self.somebody.unseen.contains(id) || (sum + turn).is_multiple_of(SAMPLE)
        };
        let mut late = None;
        loop {
            let waited = since.elapsed();
            let mut differs = differences(&drive, &expected, reads);
            let left = left_over(&drive, &self.known, &expected);
            differs.extend(left.into_iter().map(|path| format!("{path:?}: means something, though not listed")));
            if differs.is_empty() && late.is_none() {
                self.slowest = self.slowest.max(waited);
                break;
            }
            // Whether it comes at all is worth knowing, too.
            assert!(
                waited <= patience + SOON && !differs.is_empty(),
                "{when} (seed {}) the mount differed for longer than {patience:.1?}; after {waited:.1?} {}. Then:\n{}",
                self.seed,
                if differs.is_empty() { "it did not any more" } else { "it still does" },
                late.unwrap_or_default()
            );
            if waited > patience {
                late.get_or_insert(differs.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.known = expected.into_keys().collect();
        self.somebody.seen();
    }

    /// How often the mount listed a folder.
    fn lists(&self) -> u64 {
        let meter = self.cloud.call("GET", "/admin/meter", &[], None);
        meter["methods"]["files.list"]["requests"].as_u64().unwrap_or(0)
    }

    /// For a moment after the first mount, a new folder could be older than what the mount knows, and is listed.
    fn wait_until_new_folders_are_known(&self) {
        let root = self.cloud.root();
        eventually("new folders need no listing", || {
            let before = self.lists();
            let probe = self.cloud.make_folder("probe", &root);
            let path = self.machine.at("probe");
            eventually("it is here", || path.exists().then_some(()));
            assert_eq!(names(&path), Vec::<String>::new());
            self.cloud.call("DELETE", &format!("/drive/v3/files/{probe}"), &[], None);
            eventually("it is gone", || (!path.exists()).then_some(()));
            (self.lists() == before).then_some(())
        });
    }

    /// The tree is known when nothing is listed any more.
    fn wait_for_the_last_listing(&self) {
        let mut lists = self.lists();
        loop {
            std::thread::sleep(Duration::from_millis(400));
            let now = self.lists();
            if now == lists {
                return;
            }
            lists = now;
        }
    }

    /// Whether the drive has what somebody thinks that they have made of it.
    fn compare_with_the_drive(&self) {
        let there = self.cloud.files("");
        let items = &self.somebody.items;
        assert_eq!(there.len(), items.len(), "items (seed {})", self.seed);
        for file in there {
            let item = &items[file["id"].as_str().expect("id")];
            assert_eq!(
                (&file["name"], &file["parents"][0]),
                (&item.name.as_str().into(), &item.parent.as_str().into())
            );
            assert_eq!(file["modifiedTime"], item.modified.as_str(), "{file}");
        }
    }
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if fs::exists(self.machine.cache().join("state.db-wal")).unwrap_or(false) {
                self.evidence.take(&self.machine);
            }
            self.evidence.keep(&self.machine, self.cloud, &self.somebody.history.join("\n"));
        }
    }
}

/// Ends the readers, however the test ends.
struct Stop<'a>(&'a Signs);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}
