//! What is lost with the machine: checkpoints are written to a drive behind a slow link, and the process and its cache are
//! gone at some moment.
//!
//! The *window* of a save is the time from its last byte written until the drive has it: who loses the machine in it loses
//! that save. It is measured as a part of the time that the link needs for the file. No window can be shorter than what the
//! link had not carried yet when the last byte was written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::cloud::Cloud;
use crate::machine::bytes;
use crate::median;
use crate::side::{Kind, Side};
use crate::table::number;
use crate::tree;

const PIECE: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Size of a checkpoint, in MiB
    #[arg(long, default_value_t = 2048)]
    size: usize,
    /// What the link carries, in MB a second
    #[arg(long, default_value_t = 100)]
    link: u64,
    /// Seconds from the start of one save to that of the next
    #[arg(long, default_value_t = 10.0)]
    interval: f64,
    /// Saves whose window is measured, of each kind
    #[arg(long, default_value_t = 2)]
    saves: usize,
    /// Machines that are lost, of each kind
    #[arg(long, default_value_t = 2)]
    losses: usize,
    /// Seconds after which a machine is lost at the latest
    #[arg(long, default_value_t = 90.0)]
    run: f64,
}

/// How fast the program makes its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Disk,
    Link,
}

/// Where a save goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Over the one before, by a temporary name.
    Replace,
    /// To a name of its own.
    New,
}

/// Content of one save, made on the way.
struct Checkpoint {
    number: u64,
    pieces: usize,
    block: Vec<u8>,
}

impl Checkpoint {
    fn new(number: u64, mib: usize) -> Self {
        Self { number, pieces: mib, block: bytes(number + 11, PIECE) }
    }

    fn fill(&mut self, index: usize) -> &[u8] {
        self.block[..8].copy_from_slice(&self.number.to_le_bytes());
        self.block[8..16].copy_from_slice(&(index as u64).to_le_bytes());
        &self.block
    }

    fn md5(&mut self) -> String {
        let mut md5 = Md5::new();
        for index in 0..self.pieces {
            md5.update(self.fill(index));
        }
        tree::hex(&md5.finalize())
    }

    /// When the last byte was written. Synced and in its place on return.
    fn save(&mut self, folder: &Path, naming: Naming, rate: Option<f64>) -> std::io::Result<Instant> {
        let to = folder.join(name(naming, self.number));
        let written = if naming == Naming::Replace { folder.join("last.ckpt.tmp") } else { to.clone() };
        let mut file = File::create(&written)?;
        let start = Instant::now();
        for index in 0..self.pieces {
            file.write_all(self.fill(index))?;
            if let Some(rate) = rate {
                #[expect(clippy::cast_precision_loss)]
                let due = start + Duration::from_secs_f64(((index + 1) * PIECE) as f64 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        let last = Instant::now();
        file.sync_all()?;
        drop(file);
        if naming == Naming::Replace {
            fs::rename(written, to)?;
        }
        Ok(last)
    }
}

fn name(naming: Naming, number: u64) -> String {
    if naming == Naming::Replace { "last.ckpt".to_owned() } else { format!("step-{number}.ckpt") }
}

impl Args {
    #[expect(clippy::cast_precision_loss)]
    fn rate(&self) -> f64 {
        self.link as f64 * 1e6
    }

    #[expect(clippy::cast_precision_loss)]
    fn transfer(&self) -> f64 {
        (self.size * PIECE) as f64 / self.rate()
    }

    fn start(&self, kind: Kind) -> Side {
        let side = Side::start(kind);
        if let Some(cloud) = &side.cloud {
            cloud.make_trouble(&[&format!("*:bandwidth,up={}M,shared=true", self.link)]);
        }
        side
    }
}

/// Whether what must hold does.
pub(crate) fn run(args: &Args, with_rclone: bool) -> bool {
    let kinds: Vec<Kind> = Kind::all(with_rclone).into_iter().filter(|kind| *kind != Kind::Local).collect();
    println!("\n{} MiB, link of {} MB/s: the link needs {:.1} s for one", args.size, args.link, args.transfer());
    println!("\n| saved | written as fast as | by | window, s | part of the link's time |");
    println!("| --- | --- | --- | ---: | ---: |");
    for naming in [Naming::Replace, Naming::New] {
        for pace in [Pace::Disk, Pace::Link] {
            for kind in kinds.iter().filter(|_| args.saves > 0) {
                let window = window(args, *kind, naming, pace);
                let part = number(window / args.transfer());
                println!("| {} | {} | {} | {} | {part} |", saved(naming), paced(pace), kind.name(), number(window));
            }
        }
    }
    println!("\n| saved | by | saves until the loss | newest on the drive | its age, s | whole |");
    println!("| --- | --- | ---: | ---: | ---: | --- |");
    let mut holds = true;
    for naming in [Naming::Replace, Naming::New] {
        for _ in 0..args.losses {
            // The same moment for all.
            let moment = args.transfer() + rand::random::<f64>() * (args.run - args.transfer()).max(0.0);
            for kind in &kinds {
                let is_whole = loss(args, *kind, naming, moment);
                holds &= is_whole || *kind == Kind::Rclone;
            }
        }
    }
    holds
}

const fn saved(naming: Naming) -> &'static str {
    match naming {
        Naming::Replace => "temporary name, fsync, rename over the last",
        Naming::New => "new name, fsync",
    }
}

const fn paced(pace: Pace) -> &'static str {
    match pace {
        Pace::Disk => "the disk takes it",
        Pace::Link => "the link",
    }
}

/// The median window of saves with nothing else to be sent.
fn window(args: &Args, kind: Kind, naming: Naming, pace: Pace) -> f64 {
    let side = args.start(kind);
    let cloud = side.cloud.as_ref().expect("has a drive");
    let mut windows = Vec::new();
    for number in 1..=args.saves as u64 {
        let mut checkpoint = Checkpoint::new(number, args.size);
        let md5 = checkpoint.md5();
        let rate = (pace == Pace::Link).then(|| args.rate());
        let last = checkpoint.save(&side.folder(), naming, rate).expect("saves");
        let name = name(naming, number);
        while !on_drive(cloud).iter().any(|(there, found)| *there == name && *found == md5) {
            assert!(last.elapsed().as_secs_f64() < 60.0 + 10.0 * args.transfer(), "{name} does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
        windows.push(last.elapsed().as_secs_f64());
    }
    median(windows)
}

/// Names and checksums.
fn on_drive(cloud: &Cloud) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    cloud.all().iter().map(|file| (text(&file["name"]), text(&file["md5Checksum"]))).collect()
}

/// A save that is done.
struct Saved {
    number: u64,
    last: Instant,
}

/// Saves, loses the machine, and looks at what the drive has. Whether that is whole.
fn loss(args: &Args, kind: Kind, naming: Naming, moment: f64) -> bool {
    let mut side = args.start(kind);
    // Sums take time: they are known before.
    let (folder, stop) = (side.folder(), AtomicBool::new(false));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = (args.run / args.interval).ceil() as u64 + 1;
    let known: HashMap<String, u64> =
        (1..=count).map(|number| (Checkpoint::new(number, args.size).md5(), number)).collect();
    let done = Mutex::new(Vec::new());
    let lost = std::thread::scope(|scope| {
        scope.spawn(|| keep_saving(args, &folder, naming, count, &stop, &done));
        std::thread::sleep(Duration::from_secs_f64(moment));
        side.lose();
        let lost = Instant::now();
        stop.store(true, Ordering::Relaxed);
        lost
    });
    let cloud = side.cloud.as_ref().expect("has a drive");
    let there = on_drive(cloud);
    let done = done.into_inner().expect("not poisoned");
    let strange: Vec<_> = there.iter().filter(|(_, md5)| !known.contains_key(md5)).collect();
    let newest = there.iter().filter_map(|(_, md5)| known.get(md5)).max();
    let saved_before: Vec<&Saved> = done.iter().filter(|saved| saved.last < lost).collect();
    let first = saved_before.first().map_or(0.0, |saved| (lost - saved.last).as_secs_f64());
    let age = newest.and_then(|newest| done.iter().find(|saved| saved.number == *newest));
    let age = age.map_or(f64::NAN, |saved| (lost - saved.last).as_secs_f64());
    // Twice as long as the link needs for one is enough to have one.
    let is_whole = strange.is_empty() && (newest.is_some() || first < 2.0 * args.transfer() + 10.0);
    println!(
        "| {} | {} | {} in {moment:.0} s | {} | {} | {} |",
        saved(naming),
        kind.name(),
        saved_before.len(),
        newest.map_or_else(|| "none".to_owned(), u64::to_string),
        number(age),
        if is_whole { "yes" } else { "NO" }
    );
    if !strange.is_empty() {
        eprintln!("    not what was saved: {strange:?}");
    }
    is_whole
}

fn keep_saving(args: &Args, folder: &Path, naming: Naming, count: u64, stop: &AtomicBool, done: &Mutex<Vec<Saved>>) {
    let start = Instant::now();
    for number in 1..=count {
        #[expect(clippy::cast_precision_loss)]
        let due = start + Duration::from_secs_f64(args.interval * (number - 1) as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Fails when the machine is lost.
        let Ok(last) = Checkpoint::new(number, args.size).save(folder, naming, None) else { return };
        done.lock().expect("not poisoned").push(Saved { number, last });
    }
}
