//! One large file, and one that is saved again and again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::cloud::Cloud;
use crate::machine::{bytes, names, sh};
use crate::side::{Kind, Side};
use crate::table::Table;
use crate::{Writes, inputs, median, tree};

/// Whether what must hold does.
pub(crate) fn run(args: &Writes, with_rclone: bool, table: &mut Table) -> bool {
    let (size, saved) = if args.small { (16 << 20, 1 << 20) } else { (1 << 30, 100_000_000) };
    let mut holds = true;
    if "cp".contains(&args.only) {
        holds &= copy(args, size, with_rclone, table);
    }
    if "saves".contains(&args.only) {
        holds &= saves(saved, if args.small { 20 } else { 100 }, with_rclone, table);
    }
    holds
}

fn copy(args: &Writes, size: usize, with_rclone: bool, table: &mut Table) -> bool {
    let source = inputs::file(&args.inputs, size);
    let md5 = tree::md5_of(&fs::read(&source).expect("reads"));
    let kinds = Kind::all(with_rclone);
    let (mut closed, mut there) = ([(); 3].map(|()| Vec::new()), [(); 3].map(|()| Vec::new()));
    let (mut bare, mut share) = (Vec::new(), [(); 3].map(|()| Vec::new()));
    let mut holds = true;
    for _ in 0..args.rounds {
        let plain = upload(&source);
        bare.push(plain);
        for (index, kind) in kinds.iter().enumerate() {
            let side = Side::start(*kind);
            let to = side.folder().join("copied");
            let start = Instant::now();
            sh(&format!("cp '{}' '{}'", source.display(), to.display()));
            closed[index].push(start.elapsed().as_secs_f64());
            let Some(cloud) = &side.cloud else { continue };
            side.flush();
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("cp, {}: on the drive after {seconds:.2} s, by curl {plain:.2} s", kind.name());
            there[index].push(seconds);
            share[index].push(plain / seconds);
            let is_whole = cloud.all().iter().any(|file| file["md5Checksum"] == md5.as_str());
            holds &= is_whole || *kind == Kind::Rclone;
        }
    }
    table.add(&format!("cp, {} MiB", size >> 20), "until close, s", closed.map(median), "");
    let verdict = if holds { "whole: holds" } else { "whole: BROKEN" };
    table.add("", "until on the drive, s", there.map(median), verdict);
    table.add("", "share of a bare upload", share.map(median), "");
    table.add("", "bare upload by curl, s", [median(bare), f64::NAN, f64::NAN], "");
    holds
}

/// How long `curl` takes for a file.
fn upload(source: &Path) -> f64 {
    let cloud = Cloud::start();
    let start = Instant::now();
    sh(&format!(
        "curl -sSf -o /dev/null -X POST -H \"Authorization: Bearer $(cat '{}')\" -H 'Content-Type: application/octet-stream' \
         -H Expect: -T '{}' '{}/upload/drive/v3/files?uploadType=media'",
        cloud.token_file().display(),
        source.display(),
        cloud.url
    ));
    start.elapsed().as_secs_f64()
}

/// Saves as training jobs do: a temporary file, written, synced, and renamed over the last one.
fn saves(size: usize, count: usize, with_rclone: bool, table: &mut Table) -> bool {
    let mut content = bytes(3, size);
    let (mut took, mut flushed, mut seen) = ([f64::NAN; 3], [f64::NAN; 3], [f64::NAN; 3]);
    let (mut ids, mut uploads) = ([f64::NAN; 3], [f64::NAN; 3]);
    let mut is_last = true;
    for (index, kind) in Kind::all(with_rclone).into_iter().enumerate() {
        let side = Side::start(kind);
        let folder = side.folder();
        let done = AtomicBool::new(false);
        let watched = std::thread::scope(|scope| {
            let watcher = side.cloud.as_ref().map(|cloud| {
                // A client of its own, in a thread of its own.
                let (url, token, done) = (cloud.url.clone(), cloud.token_file(), &done);
                scope.spawn(move || watch(&url, &token, done))
            });
            let start = Instant::now();
            for number in 0..count {
                content[..8].copy_from_slice(&(number as u64).to_le_bytes());
                save(&folder, &content).expect("saves");
            }
            took[index] = start.elapsed().as_secs_f64();
            flushed[index] = side.flush().map_or(f64::INFINITY, |flush| flush.as_secs_f64());
            done.store(true, Ordering::Relaxed);
            watcher.map(|watcher| watcher.join().expect("watches"))
        });
        eprintln!("{count} saves, {}: {:.2} s, flush {:.2} s", kind.name(), took[index], flushed[index]);
        let (Some(cloud), Some(watched)) = (&side.cloud, watched) else { continue };
        let trash = cloud.files("trashed = true");
        let strange = watched.names.iter().filter(|name| *name != "last.ckpt").count();
        let trashed = trash.iter().filter(|file| file["name"] != "last.ckpt").count();
        if strange + trashed > 0 {
            eprintln!("    temporary names: {:?}, in the trash: {trashed}", watched.names);
        }
        #[expect(clippy::cast_precision_loss)]
        {
            (ids[index], seen[index]) = (watched.ids.len() as f64, (strange + trashed) as f64);
            uploads[index] = side.requests().writes as f64;
        }
        if kind == Kind::Ours {
            is_last =
                names(&folder) == ["last.ckpt"] && cloud.file("last.ckpt")["md5Checksum"] == tree::md5_of(&content);
        }
    }
    let verdict = |holds: bool| if holds { "holds" } else { "BROKEN" };
    let (one, none) = (ids[1] <= 1.0, seen[1] == 0.0);
    table.add(&format!("{count} saves of {} MB", size / 1_000_000), "until the prompt, s", took, "");
    table.add("", "then until on the drive, s", flushed, &format!("the last one: {}", verdict(is_last)));
    table.add("", "ids that it had", ids, &format!("1: {}", verdict(one)));
    table.add("", "temporary names seen", seen, &format!("0: {}", verdict(none)));
    table.add("", "uploads", uploads, "");
    is_last && one && none
}

fn save(folder: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join("last.ckpt.tmp");
    let mut file = File::create(&temporary)?;
    for part in content.chunks(1 << 20) {
        file.write_all(part)?;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, folder.join("last.ckpt"))
}

#[derive(Debug, Default)]
struct Watched {
    names: std::collections::BTreeSet<String>,
    ids: std::collections::BTreeSet<String>,
}

/// Looks again and again at what others see of the drive.
fn watch(url: &str, token: &Path, done: &AtomicBool) -> Watched {
    let mut watched = Watched::default();
    let command = format!(
        "curl -sS -H \"Authorization: Bearer $(cat '{}')\" '{url}/drive/v3/files?fields=files(id,name)&pageSize=1000'",
        token.display()
    );
    loop {
        let is_last = done.load(Ordering::Relaxed);
        let listing: Value = serde_json::from_str(&sh(&command)).unwrap_or_default();
        for file in listing["files"].as_array().into_iter().flatten() {
            let of = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
            watched.names.insert(of("name"));
            if of("name") == "last.ckpt" {
                watched.ids.insert(of("id"));
            }
        }
        if is_last {
            return watched;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
