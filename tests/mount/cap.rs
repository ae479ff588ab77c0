//! The cap of the cache, on a disk that is not much larger.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drivemount::sys;
use md5::{Digest, Md5};

use crate::cloud::Cloud;
use crate::machine::{Disk, Machine, bytes, disk_use, write};
use crate::sparse::Sparse;

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 256 << 10;

/// How large the disk is. All else is a part of it or a multiple: the cap is half of it, the file that is read to its end five times as
/// large, and two and a half times as much is written. `scripts/test --full` takes 8 GiB.
fn disk_mebibytes() -> u32 {
    std::env::var("DRIVEMOUNT_TEST_DISK").map_or(256, |text| text.parse().expect("DRIVEMOUNT_TEST_DISK in MiB"))
}

/// What the disk holds of contents, and of all else: databases, the log, what is set aside for bad times.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    contents: u64,
    beside: u64,
}

/// A disk whose use is watched.
struct Watched<'a> {
    disk: &'a Disk,
    /// Free bytes when nothing was on it.
    free: u64,
}

impl<'a> Watched<'a> {
    fn new(disk: &'a Disk) -> Self {
        Self { disk, free: sys::disk_space(disk.path()).expect("statvfs").0 }
    }

    fn look(&self) -> Held {
        let beside = beside(self.disk.path());
        let taken = self.free - sys::disk_space(self.disk.path()).expect("statvfs").0;
        Held { contents: taken.saturating_sub(beside), beside }
    }
}

/// What the files take that hold no content.
fn beside(cache: &Path) -> u64 {
    let files_in = |folder: &Path| -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.metadata().ok())
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.blocks() * 512)
            .sum()
    };
    files_in(cache) + files_in(&cache.join("blocks"))
}

#[test]
fn the_cap_holds_at_every_moment_while_more_is_read_and_written_than_the_disk_holds() {
    let mebibytes = disk_mebibytes();
    let disk_size = u64::from(mebibytes) * MIB;
    let cap = disk_size / 2;
    let mut cloud = Cloud::start();
    let held_open = ["first", "second", "third"].map(|name| (name, disk_size / 4));
    let files = Sparse::make(&mut cloud, &[&[("large", 5 * disk_size)], &held_open[..]].concat());
    let mut machine = Machine::new();
    machine.arguments.extend(["--cache-size".to_owned(), format!("{}M", cap / MIB)]);
    let disk = Disk::ext4(machine.cache(), mebibytes);
    let watched = Watched::new(&disk);
    machine.mount(&cloud);

    let piece = usize::try_from(disk_size / 32).expect("small");
    let written = 2 * 32 + 16;
    let end = AtomicBool::new(false);
    let began = Instant::now();
    let most = std::thread::scope(|scope| {
        let (files, machine, cloud, end) = (&files, &machine, &cloud, &end);
        let sampler = scope.spawn(|| {
            let mut most = Held::default();
            while !end.load(Ordering::Relaxed) {
                let now = watched.look();
                assert!(now.contents <= cap + BLOCK, "{now:?} of {cap}, after {:?}", began.elapsed());
                most = Held { contents: most.contents.max(now.contents), beside: most.beside.max(now.beside) };
                std::thread::sleep(Duration::from_millis(100));
            }
            most
        });
        let reader = scope.spawn(move || {
            let large = &files[0];
            let file = File::open(machine.at(&large.name)).expect("opens");
            let mut buffer = vec![0; 1 << 20];
            for offset in (0..large.size).step_by(1 << 20) {
                file.read_exact_at(&mut buffer, offset).unwrap_or_else(|error| panic!("{offset}: {error}"));
                large.check(offset, &buffer);
            }
            began.elapsed()
        });
        let writer = scope.spawn(move || {
            for number in 0..written {
                write(machine.at(&format!("written {number}")), bytes(number, piece));
            }
            machine.flush();
            began.elapsed()
        });
        // What has arrived is looked at and removed by somebody else, so that the drive need not hold all of it.
        let remover = scope.spawn(move || {
            let mut arrived = 0;
            while arrived < written {
                for file in cloud.files("name contains 'written' and trashed = false") {
                    let number = file["name"].as_str().and_then(|name| name.strip_prefix("written ")?.parse().ok());
                    let md5 = Md5::digest(bytes(number.expect("a number"), piece));
                    let md5 = md5.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
                    assert_eq!(file["md5Checksum"], md5, "{file}");
                    let id = file["id"].as_str().expect("id");
                    cloud.call("DELETE", &format!("/drive/v3/files/{id}"), &[], None);
                    arrived += 1;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let jumpers: Vec<_> = files[1..]
            .iter()
            .map(|sparse| {
                scope.spawn(move || {
                    let file = File::open(machine.at(&sparse.name)).expect("opens");
                    let (mut buffer, mut state, mut reads) = (vec![0; 4096], sparse.size | 1, 0_u64);
                    while !end.load(Ordering::Relaxed) {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let offset = state % (sparse.size - 4096);
                        file.read_exact_at(&mut buffer, offset).unwrap_or_else(|error| panic!("{offset}: {error}"));
                        sparse.check(offset, &buffer);
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let results = (reader.join(), writer.join(), remover.join());
        end.store(true, Ordering::Relaxed);
        let most = sampler.join().expect("the cap holds");
        let jumps: Vec<u64> = jumpers.into_iter().map(|jumper| jumper.join().expect("random reads")).collect();
        eprintln!("read to the end after {:?}, written after {:?}, random reads: {jumps:?}", results.0, results.1);
        results.0.expect("reads");
        results.1.expect("writes");
        results.2.expect("arrives");
        most
    });
    eprintln!(
        "a cap of {} MiB: at most {} MiB of contents, and {} MiB of databases and what is set aside",
        cap / MIB,
        most.contents / MIB,
        most.beside / MIB
    );
    assert!(most.contents > cap / 2, "it was not put to use: {most:?}");
    // The next mount knows of all that is there.
    let used = machine.status()["cache"]["used_bytes"].as_u64().expect("bytes");
    machine.unmount();
    machine.mount(&cloud);
    assert!(machine.status()["cache"]["used_bytes"].as_u64() >= Some(used / 2));
    let blocks = disk_use(&machine.cache().join("blocks"));
    assert!(blocks <= cap + BLOCK, "{blocks}");
}
