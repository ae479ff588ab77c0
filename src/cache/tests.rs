//! The promises of the cache, kept one by one.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;
use crate::remote::{Blob, FileId, RevisionId};

const MIB: u64 = 1024 * 1024;

fn source(name: &str, size: u64) -> Source {
    Source { id: FileId(name.to_owned()), blob: Blob { size, md5: None, revision: RevisionId(format!("{name}-1")) } }
}

fn content(block: BlockIndex, size: u64) -> Vec<u8> {
    vec![u8::try_from(block % 251).unwrap() + 1; block_length(block, size) as usize]
}

fn fill(cache: &Cache, entry: &Arc<Entry>, blocks: Range<BlockIndex>) {
    for block in blocks {
        cache.store(entry, block, &[content(block, entry.size())]).expect("stores");
    }
}

fn open(dir: &tempfile::TempDir) -> Cache {
    Cache::open(dir.path(), LEAST).expect("opens")
}

fn disk_usage(dir: &Path) -> u64 {
    let mut bytes = 0;
    for item in std::fs::read_dir(dir).expect("lists").map(|item| item.expect("lists").path()) {
        if item.is_dir() {
            bytes += disk_usage(&item);
        } else if !item.file_name().is_some_and(|name| name.to_string_lossy().starts_with("index")) {
            bytes += std::fs::metadata(&item).expect("stat").blocks() * 512;
        }
    }
    bytes
}

#[test]
fn what_is_stored_is_read_and_the_rest_is_absent() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let size = 3 * BLOCK + 10;
    let entry = cache.entry(&source("a", size));
    fill(&cache, &entry, 1..2);
    fill(&cache, &entry, 3..4);
    assert_eq!(cache.absent(&entry, 0..4).expect("asks"), [0..1, 2..3]);
    assert_eq!(cache.read(&entry, BLOCK + 5, 10).expect("reads"), Some(vec![2; 10]));
    assert_eq!(cache.read(&entry, 3 * BLOCK, 10).expect("reads"), Some(vec![4; 10]));
    assert_eq!(cache.read(&entry, 2 * BLOCK - 1, 2).expect("reads"), None, "half of it is absent");
    fill(&cache, &entry, 2..3);
    assert_eq!(cache.read(&entry, 2 * BLOCK - 1, 2).expect("reads"), Some(vec![2, 3]));
}

#[test]
fn the_cap_holds_within_one_open_file() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let entry = cache.entry(&source("big", 4 * LEAST));
    for block in 0..block_count(4 * LEAST) {
        fill(&cache, &entry, block..block + 1);
        assert!(cache.used() <= LEAST);
    }
    assert!(disk_usage(dir.path()) <= LEAST + BLOCK, "{} bytes on disk", disk_usage(dir.path()));
    assert_eq!(cache.read(&entry, 0, 10).expect("reads"), None, "the first blocks went");
    let last = block_count(4 * LEAST) - 1;
    assert!(cache.read(&entry, u64::from(last) * BLOCK, 10).expect("reads").is_some(), "the last are there");
}

#[test]
fn room_for_unsent_bytes_is_taken_from_the_blocks() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = Cache::open(dir.path(), 4 * LEAST).expect("opens");
    let entry = cache.entry(&source("a", 4 * LEAST));
    fill(&cache, &entry, 0..block_count(3 * LEAST));
    cache.leave_room(2 * LEAST);
    fill(&cache, &entry, block_count(3 * LEAST)..block_count(3 * LEAST) + 1);
    assert!(cache.used() <= 2 * LEAST);
    cache.leave_room(400 * LEAST);
    fill(&cache, &entry, 0..1);
    assert_eq!(cache.used(), LEAST, "readers always keep a little");
}

#[test]
fn blocks_survive_a_new_start() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let size = 5 * BLOCK - 7;
    {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", size));
        fill(&cache, &entry, 0..5);
        cache.persist().expect("persists");
        let other = cache.entry(&source("b", 10));
        fill(&cache, &other, 0..1);
        // Not persisted: forgotten with the crash that follows, and swept.
    }
    let cache = open(&dir);
    assert_eq!(cache.used(), 5 * BLOCK, "whole units of the disk");
    let entry = cache.entry(&source("a", size));
    assert_eq!(cache.absent(&entry, 0..5).expect("asks"), []);
    assert_eq!(cache.read(&entry, 4 * BLOCK, 10).expect("reads"), Some(vec![5; 10]));
    let other = cache.entry(&source("b", 10));
    assert_eq!(cache.read(&other, 0, 10).expect("reads"), None);
    assert_ne!(entry.number(), other.number());
}

#[test]
fn a_damaged_block_is_absent_and_never_served() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", 2 * BLOCK));
        fill(&cache, &entry, 0..2);
        cache.persist().expect("persists");
        entry.path().to_owned()
    };
    let file = std::fs::File::options().write(true).open(&path).expect("opens");
    file.write_all_at(&[0xff], 77).expect("flips a byte");
    let cache = open(&dir);
    let entry = cache.entry(&source("a", 2 * BLOCK));
    assert_eq!(cache.read(&entry, BLOCK - 5, 10).expect("reads"), None);
    assert_eq!(cache.absent(&entry, 0..2).expect("asks"), vec![0..1]);
    assert_eq!(cache.used(), BLOCK);
    fill(&cache, &entry, 0..1);
    assert_eq!(cache.read(&entry, 70, 10).expect("reads"), Some(vec![1; 10]));
}

#[test]
fn a_file_cut_or_removed_behind_our_back_is_absent() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (cut, removed) = {
        let cache = open(&dir);
        let (a, b) = (cache.entry(&source("a", 2 * BLOCK)), cache.entry(&source("b", BLOCK)));
        fill(&cache, &a, 0..2);
        fill(&cache, &b, 0..1);
        cache.persist().expect("persists");
        (a.path().to_owned(), b.path().to_owned())
    };
    std::fs::File::options().write(true).open(&cut).expect("opens").set_len(BLOCK + 1).expect("cuts");
    std::fs::remove_file(removed).expect("removes");
    let cache = open(&dir);
    let (a, b) = (cache.entry(&source("a", 2 * BLOCK)), cache.entry(&source("b", BLOCK)));
    assert_eq!(cache.read(&a, BLOCK, 10).expect("reads"), None);
    assert_eq!(cache.read(&a, 0, 10).expect("reads"), Some(vec![1; 10]));
    assert_eq!(cache.read(&b, 0, 10).expect("reads"), None);
    fill(&cache, &b, 0..1);
    assert_eq!(cache.read(&b, 0, 10).expect("reads"), Some(vec![1; 10]));
}

#[test]
fn a_file_that_is_cut_while_it_is_used_never_shows_what_is_missing_as_zeros() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let entry = cache.entry(&source("a", 4 * BLOCK));
    fill(&cache, &entry, 0..3);
    let cut =
        |length| std::fs::File::options().write(true).open(entry.path()).expect("opens").set_len(length).expect("cuts");
    cut(BLOCK + 1);
    fill(&cache, &entry, 3..4);
    assert_eq!(cache.read(&entry, BLOCK + 5, 10).expect("reads"), None, "the block behind it made the file long again");
    assert_eq!(cache.read(&entry, 2 * BLOCK, 10).expect("reads"), None);
    assert_eq!(cache.absent(&entry, 0..4).expect("asks"), vec![1..3]);
    assert_eq!(cache.read(&entry, BLOCK - 10, 10).expect("reads"), Some(vec![1; 10]));
    cut(0);
    assert_eq!(cache.read(&entry, 0, 10).expect("reads"), None);
    fill(&cache, &entry, 0..4);
    assert_eq!(cache.read(&entry, BLOCK + 5, 10).expect("reads"), Some(vec![2; 10]));
    assert_eq!(cache.used(), 4 * BLOCK);
}

#[test]
fn several_who_find_a_file_cut_at_the_same_time_all_find_it_absent() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let entry = cache.entry(&source("a", 4 * BLOCK));
    let file = || std::fs::File::options().write(true).open(entry.path()).expect("opens");
    for round in 0..200 {
        fill(&cache, &entry, 0..4);
        file().set_len(0).expect("cuts");
        let read = |at: u64| cache.read(&entry, at, 10).unwrap_or_else(|error| panic!("{round}: {error}"));
        let all = std::thread::scope(|scope| {
            let readers: Vec<_> = [0, 5, 10].map(|at| scope.spawn(move || read(3 * BLOCK + at))).into();
            readers.into_iter().map(|reader| reader.join().expect("reads")).collect::<Vec<_>>()
        });
        assert_eq!(all, [None, None, None], "{round}");
    }
}

#[test]
fn all_damaged_blocks_of_a_read_are_found_at_once_and_take_no_room() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", 8 * BLOCK));
        fill(&cache, &entry, 0..8);
        cache.persist().expect("persists");
        entry.path().to_owned()
    };
    let file = std::fs::File::options().write(true).open(&path).expect("opens");
    for block in [1, 3, 6] {
        file.write_all_at(&[0xff], block * BLOCK + 77).expect("flips a byte");
    }
    let cache = open(&dir);
    let entry = cache.entry(&source("a", 8 * BLOCK));
    assert_eq!(cache.read(&entry, 0, 8 * 256 * 1024).expect("reads"), None);
    assert_eq!(cache.absent(&entry, 0..8).expect("asks"), vec![1..2, 3..4, 6..7]);
    assert_eq!((cache.used(), disk_usage(dir.path())), (5 * BLOCK, 5 * BLOCK));
}

#[test]
fn a_cache_whose_files_were_removed_has_room_for_others() {
    let dir = tempfile::tempdir().expect("temporary folder");
    {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", LEAST));
        fill(&cache, &entry, 0..block_count(LEAST));
        cache.persist().expect("persists");
        std::fs::remove_file(entry.path()).expect("removes");
        assert!(cache.read(&entry, 0, 10).expect("reads").is_some(), "who has it open goes on");
    }
    let cache = open(&dir);
    assert_eq!(cache.read(&cache.entry(&source("a", LEAST)), 0, 10).expect("reads"), None);
    assert_eq!(cache.used(), 0);
}

#[test]
fn what_was_stored_and_not_written_down_takes_no_room_after_a_crash() {
    let dir = tempfile::tempdir().expect("temporary folder");
    {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", 100 * BLOCK));
        fill(&cache, &entry, 40..50);
        cache.persist().expect("persists");
        fill(&cache, &entry, 0..30);
        fill(&cache, &entry, 60..100);
    }
    let cache = open(&dir);
    assert_eq!((cache.used(), disk_usage(dir.path())), (10 * BLOCK, 10 * BLOCK));
    let entry = cache.entry(&source("a", 100 * BLOCK));
    assert_eq!(cache.read(&entry, 41 * BLOCK, 10).expect("reads"), Some(vec![42; 10]));
}

#[test]
fn small_files_count_as_what_they_take_on_the_disk() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let entries: Vec<_> = (0..200).map(|number| cache.entry(&source(&format!("small {number}"), 10))).collect();
    for entry in &entries {
        fill(&cache, entry, 0..1);
    }
    assert_eq!(cache.used(), disk_usage(dir.path()));
}

/// A cache of several files, of which each block is known; where its index is.
fn several(dir: &tempfile::TempDir) -> PathBuf {
    let cache = open(dir);
    for name in ["a", "b", "c"] {
        let entry = cache.entry(&source(name, 3 * BLOCK));
        for block in 0..3 {
            cache.store(&entry, block, &[content_of(name, block)]).expect("stores");
        }
    }
    cache.persist().expect("persists");
    dir.path().join("index.db")
}

fn content_of(name: &str, block: BlockIndex) -> Vec<u8> {
    let name = name.as_bytes()[0];
    (0..BLOCK).map(|at| name ^ at.to_le_bytes()[0] ^ block.to_le_bytes()[0].rotate_left(4)).collect()
}

/// Reads all that [`several`] stored; how much of it there still is.
fn look_through(cache: &Cache) -> usize {
    let mut present = 0;
    for name in ["a", "b", "c"] {
        let entry = cache.entry(&source(name, 3 * BLOCK));
        for block in 0..3 {
            if let Some(bytes) = cache.read(&entry, u64::from(block) * BLOCK, 256 * 1024).expect("reads") {
                assert!(bytes == content_of(name, block), "block {block} of {name}");
                present += 1;
            }
        }
    }
    present
}

#[test]
fn a_file_that_the_index_takes_for_another_is_not_served() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let index = several(&dir);
    let db = rusqlite::Connection::open(index).expect("opens");
    db.execute_batch("UPDATE file SET revision = 'b-2' WHERE id = 'b'; UPDATE file SET size = size + 1 WHERE id = 'c'")
        .expect("changes");
    drop(db);
    let cache = open(&dir);
    let mut newer = source("b", 3 * BLOCK);
    newer.blob.revision = RevisionId("b-2".to_owned());
    for block in 0..3 {
        assert_eq!(cache.read(&cache.entry(&newer), block * BLOCK, 10).expect("reads"), None);
    }
    assert_eq!(look_through(&cache), 6, "of the other two nothing is lost");
}

#[test]
fn no_damage_of_the_index_keeps_a_cache_from_being_opened_or_shows_wrong_bytes() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let index = several(&dir);
    let sound = std::fs::read(&index).expect("reads");
    let files: Vec<(PathBuf, Vec<u8>)> =
        files_below(dir.path()).into_iter().filter(|(path, _)| *path != index).collect();
    let mut places: Vec<usize> = (0..sound.len()).filter(|&at| sound[at] != 0).collect();
    // All would take minutes: each nineteenth, and another bit each time.
    places.retain(|place| place % 19 == 3);
    assert!(places.len() > 20, "{} places", places.len());
    for (number, place) in places.into_iter().enumerate() {
        for (path, content) in &files {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            std::fs::write(path, content).expect("writes");
        }
        for ending in ["-wal", "-shm"] {
            let _absent = std::fs::remove_file(dir.path().join(format!("index.db{ending}")));
        }
        let mut damaged = sound.clone();
        damaged[place] ^= 1 << (number % 8);
        std::fs::write(&index, damaged).expect("writes");
        // A version that was turned over looks like a newer one.
        let cache = match Cache::open(dir.path(), LEAST) {
            Err(CacheError::Newer { .. }) if (60..64).contains(&place) => continue,
            opened => opened.unwrap_or_else(|error| panic!("byte {place}: {error}")),
        };
        look_through(&cache);
        for name in ["a", "b", "c"] {
            let entry = cache.entry(&source(name, 3 * BLOCK));
            for block in 0..3 {
                cache.store(&entry, block, &[content_of(name, block)]).expect("stores");
            }
        }
        cache.persist().unwrap_or_else(|error| panic!("byte {place}: {error}"));
        assert_eq!(look_through(&cache), 9, "byte {place}");
    }
}

fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("entry").path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push((path.clone(), std::fs::read(path).expect("reads")));
        }
    }
    found
}

#[test]
fn an_index_that_is_damaged_while_it_is_used_is_begun_anew() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let index = several(&dir);
    let cache = open(&dir);
    let held = cache.entry(&source("a", 3 * BLOCK));
    assert!(cache.read(&held, 0, 10).expect("reads").is_some());
    // All but the head, which the open database does not look at again.
    let length = std::fs::metadata(&index).expect("stat").len();
    let file = std::fs::File::options().write(true).open(&index).expect("opens");
    file.write_all_at(&vec![0x5a; usize::try_from(length).expect("small") - 4096], 4096).expect("overwrites");
    let present = look_through(&cache);
    assert!(present >= 3, "what was in use is: {present}");
    fill(&cache, &cache.entry(&source("new", BLOCK)), 0..1);
    cache.persist().expect("persists");
    drop((held, cache));
    let cache = open(&dir);
    assert_eq!(cache.read(&cache.entry(&source("new", BLOCK)), 0, 10).expect("reads"), Some(vec![1; 10]));
    look_through(&cache);
    assert!(disk_usage(dir.path()) <= cache.used() + BLOCK);
}

#[test]
fn another_revision_of_a_file_is_another_entry() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let old = cache.entry(&source("a", 10));
    fill(&cache, &old, 0..1);
    let mut newer = source("a", 10);
    newer.blob.revision = RevisionId("a-2".to_owned());
    let new = cache.entry(&newer);
    assert_eq!(cache.read(&new, 0, 10).expect("reads"), None);
    cache.forget(&source("a", 10)).expect("forgets");
    assert_eq!(cache.used(), 0);
    assert_eq!(cache.read(&old, 0, 10).expect("reads"), Some(vec![1; 10]), "who has it open goes on reading");
    assert!(Arc::ptr_eq(&new, &cache.entry(&newer)));
}

#[test]
fn a_whole_file_is_adopted_without_a_copy() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = Cache::open(&dir.path().join("blocks"), LEAST).expect("opens");
    let bytes: Vec<u8> = (0..3 * MIB + 5).map(|at| (at / 1000).to_le_bytes()[0]).collect();
    let path = dir.path().join("staged");
    std::fs::write(&path, &bytes).expect("writes");
    let inode = std::fs::metadata(&path).expect("stat").ino();
    let whole = source("a", bytes.len() as u64);
    assert!(cache.adopt(&whole, &path).expect("adopts"));
    assert!(!path.exists());
    let entry = cache.entry(&whole);
    assert_eq!(std::fs::metadata(entry.path()).expect("stat").ino(), inode);
    assert_eq!(cache.read(&entry, 0, bytes.len()).expect("reads").as_deref(), Some(&bytes[..]));
    assert_eq!(cache.used(), (bytes.len() as u64).next_multiple_of(4096));

    let file = std::fs::File::create(&path).expect("creates");
    file.set_len(LEAST + 1).expect("grows");
    assert!(!cache.adopt(&source("huge", LEAST + 1), &path).expect("declines"));
    assert!(path.exists(), "what is too large stays where it is");
}

#[test]
fn what_has_no_block_any_more_is_forgotten() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    for number in 0..100 {
        drop(cache.entry(&source(&format!("only opened {number}"), 10)));
    }
    let (evicted, held) = (source("evicted", BLOCK), source("held", BLOCK));
    fill(&cache, &cache.entry(&evicted), 0..1);
    let holder = cache.entry(&held);
    fill(&cache, &holder, 0..1);
    cache.persist().expect("persists");
    let known = |cache: &Cache| cache.index.lock().files().expect("reads").len();
    assert_eq!((cache.table.lock().files.len(), known(&cache)), (2, 2));

    let path = cache.entry(&evicted).path().to_owned();
    let big = cache.entry(&source("big", LEAST));
    fill(&cache, &big, 0..block_count(LEAST));
    cache.persist().expect("persists");
    assert!(!path.exists());
    assert_eq!(cache.table.lock().files.len(), 2, "the big one, and the one that is held");
    fill(&cache, &holder, 0..1);
    assert!(Arc::ptr_eq(&holder, &cache.entry(&held)));
    assert_eq!(cache.read(&holder, 0, 10).expect("reads"), Some(vec![1; 10]));

    fill(&cache, &big, 0..1);
    drop(holder);
    cache.persist().expect("persists");
    assert_eq!(known(&cache), cache.table.lock().files.len());
    let again = cache.entry(&evicted);
    assert_eq!(cache.read(&again, 0, 10).expect("reads"), None);
    fill(&cache, &again, 0..1);
    assert_eq!(cache.read(&again, 0, 10).expect("reads"), Some(vec![1; 10]));
}

#[test]
fn readers_and_eviction_at_once_never_show_a_hole() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let entry = cache.entry(&source("a", 2 * LEAST));
    let blocks = block_count(2 * LEAST);
    std::thread::scope(|scope| {
        let (cache, entry) = (&cache, &entry);
        scope.spawn(move || fill(cache, entry, 0..blocks));
        for seed in 0..2_u32 {
            scope.spawn(move || {
                for step in 0..3_000_u32 {
                    let block = (step * 7919 + seed * 13) % blocks;
                    let read = cache.read(entry, u64::from(block) * BLOCK + 100, 4096).expect("reads");
                    if let Some(bytes) = read {
                        assert!(bytes == vec![content(block, entry.size())[0]; 4096], "block {block}");
                    }
                }
            });
        }
    });
    assert!(cache.used() <= LEAST);
}

#[test]
fn a_cache_that_is_cleared_is_empty_on_the_disk_and_serves_who_has_a_file_open() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let used = cache.entry(&source("used", 3 * BLOCK));
    fill(&cache, &used, 0..3);
    fill(&cache, &cache.entry(&source("unused", 2 * BLOCK)), 0..2);
    assert_eq!(cache.clear().expect("clears"), 5 * BLOCK);
    assert_eq!((cache.used(), disk_usage(dir.path())), (0, 0));
    assert_eq!(cache.read(&used, 0, 10).expect("reads"), None);
    fill(&cache, &used, 1..2);
    assert_eq!(cache.read(&used, BLOCK, 10).expect("reads"), Some(vec![2; 10]));
    assert!(Arc::ptr_eq(&used, &cache.entry(&source("used", 3 * BLOCK))), "it is one file still");
    assert_eq!(cache.read(&cache.entry(&source("unused", 2 * BLOCK)), 0, 10).expect("reads"), None);
    cache.persist().expect("persists");
    drop((used, cache));
    assert_eq!(open(&dir).used(), BLOCK, "and the next start agrees");
}

#[test]
fn what_is_damaged_is_found_without_a_read_and_what_is_present_is_counted() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let size = 5 * BLOCK + 10;
    {
        let cache = open(&dir);
        let entry = cache.entry(&source("a", size));
        fill(&cache, &entry, 0..3);
        fill(&cache, &entry, 5..6);
        let file = std::fs::File::options().write(true).open(entry.path()).expect("opens");
        file.write_all_at(b"x", BLOCK + 7).expect("damages");
        assert_eq!(cache.unsound(&entry, 0..6).expect("looks"), vec![3..5], "what was just stored is not read again");
        cache.persist().expect("persists");
    }
    let cache = open(&dir);
    assert_eq!(cache.present(&source("other", size)).expect("counts"), 0);
    assert_eq!(cache.present(&source("a", size)).expect("counts"), 3 * BLOCK + 10);
    let entry = cache.entry(&source("a", size));
    assert_eq!(cache.unsound(&entry, 0..1).expect("looks"), []);
    assert_eq!(cache.unsound(&entry, 0..6).expect("looks"), [1..2, 3..5]);
    let on_disk = 2 * BLOCK + DISK_UNIT;
    assert_eq!((cache.present(&source("a", size)).expect("counts"), cache.used()), (2 * BLOCK + 10, on_disk));
}

#[test]
fn what_is_kept_takes_the_place_of_all_else_and_outlives_what_comes_after_it() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir);
    let (before, after) = (cache.entry(&source("before", LEAST)), cache.entry(&source("after", 4 * LEAST)));
    fill(&cache, &before, 0..block_count(LEAST));
    for _ in 0..3 {
        for block in 0..block_count(LEAST) {
            cache.read(&before, u64::from(block) * BLOCK, 10).expect("reads").expect("is here");
        }
    }
    let size = LEAST / 4 * 3;
    let kept = cache.entry(&source("kept", size));
    for block in 0..block_count(size) {
        fill(&cache, &kept, block..block + 1);
        cache.keep(&kept, block..block + 1).expect("keeps");
    }
    assert_eq!(cache.present(&source("kept", size)).expect("counts"), size);
    fill(&cache, &after, 0..block_count(4 * LEAST));
    assert_eq!(cache.present(&source("kept", size)).expect("counts"), size);
}
