use super::*;
use crate::cache::LEAST;

fn open(dir: &tempfile::TempDir, cap: u64) -> Arc<Cache> {
    Arc::new(Cache::open(dir.path(), cap).expect("opens"))
}

fn id(name: &str) -> FileId {
    FileId(name.to_owned())
}

fn first() -> RevisionId {
    RevisionId("1".to_owned())
}

fn take_in(cache: &Arc<Cache>, name: &str, revision: &RevisionId, bytes: &[u8]) -> Result<Arc<Whole>> {
    let mut draft = cache.draft()?;
    bytes.chunks(1 << 20).try_for_each(|piece| draft.write(piece))?;
    draft.finish(&id(name), revision)
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join(FOLDER)).expect("lists").count()
}

#[test]
fn a_content_is_kept_whole_and_found_again() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let md5;
    {
        let cache = open(&dir, LEAST);
        assert!(cache.whole(&id("a"), &first()).is_none());
        let mut draft = cache.draft().expect("begins");
        draft.write(b"broken").expect("writes");
        draft.begin_anew().expect("empties");
        draft.write(b"whole").expect("writes");
        let whole = draft.finish(&id("a"), &first()).expect("finishes");
        md5 = whole.md5();
        assert_eq!((whole.size(), whole.read(0..100).expect("reads")), (5, b"whole".to_vec()));
        assert_eq!((whole.read(3..4).expect("reads"), whole.read(7..9).expect("reads")), (b"l".to_vec(), vec![]));
        assert_eq!(cache.kept(), 5);
        let again = cache.whole(&id("a"), &first()).expect("is open");
        assert!(Arc::ptr_eq(&whole, &again), "one for all who have it open");
        drop((whole, again));
        assert_eq!(cache.whole(&id("a"), &first()).expect("is there").read(0..1).expect("reads"), b"w");
        let _never_finished = std::mem::ManuallyDrop::new(cache.draft().expect("begins"));
    }
    assert_eq!(files(&dir), 2);
    let cache = open(&dir, LEAST);
    assert_eq!((cache.kept(), files(&dir)), (5, 1), "what was not finished is gone");
    assert!(cache.whole(&id("a"), &first()).is_none(), "nobody vouches for it");
    let found = cache.whole_if(&id("a"), &first(), 5, md5).expect("it is what it was");
    assert_eq!(found.read(0..5).expect("reads"), b"whole");
    drop(found);
    assert!(cache.whole(&id("a"), &first()).is_some());
}

#[test]
fn a_damaged_content_is_not_used() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let md5 = take_in(&open(&dir, LEAST), "a", &first(), b"whole").expect("takes in").md5();
    let file = std::fs::read_dir(dir.path().join(FOLDER)).expect("lists").next().expect("a file").expect("entry");
    std::fs::write(file.path(), b"while").expect("damages");
    let cache = open(&dir, LEAST);
    assert!(cache.whole_if(&id("a"), &first(), 5, md5).is_none());
    assert_eq!((cache.kept(), files(&dir)), (0, 0));
}

#[test]
fn a_newer_revision_takes_the_place_of_older_ones_that_nobody_reads() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir, LEAST);
    let second = RevisionId("2".to_owned());
    let reader = take_in(&cache, "a", &first(), b"old").expect("takes in");
    take_in(&cache, "a", &second, b"new").expect("takes in");
    assert_eq!((cache.kept(), reader.read(0..3).expect("reads")), (6, b"old".to_vec()));
    drop(reader);
    take_in(&cache, "b", &first(), b"other").expect("takes in");
    assert_eq!(cache.kept(), 11, "that of another item leaves it alone");
    take_in(&cache, "a", &second, b"newer").expect("takes in");
    assert_eq!((cache.kept(), files(&dir)), (10, 2));
}

#[test]
fn the_least_recently_used_go_first_and_what_is_open_stays() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir, LEAST);
    let most = cache.most_kept();
    assert_eq!(most, LEAST / 4);
    let third = vec![7; usize::try_from(most / 3).expect("small")];
    let open = take_in(&cache, "open", &first(), &third).expect("takes in");
    for name in ["old", "older"] {
        take_in(&cache, name, &first(), &third).expect("takes in");
    }
    assert!(cache.whole(&id("old"), &first()).is_some(), "used again");
    let another = take_in(&cache, "another", &first(), &third).expect("takes in");
    assert!(cache.whole(&id("older"), &first()).is_none());
    assert!(cache.whole(&id("old"), &first()).is_some());
    let too_much = take_in(&cache, "too much", &first(), &[&third[..], &third[..]].concat());
    assert!(matches!(too_much, Err(CacheError::TooLarge { .. })), "two are open");
    assert_eq!(cache.kept(), open.size() + another.size());
    drop((open, another));
    assert_eq!(cache.clear_wholes().expect("clears"), 2 * (most / 3));
    assert_eq!((cache.kept(), files(&dir)), (0, 0));
}

#[test]
fn they_give_way_to_unsent_content() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let cache = open(&dir, 8 * LEAST);
    let content = vec![7; usize::try_from(LEAST / 2).expect("small")];
    for name in ["a", "b", "c"] {
        take_in(&cache, name, &first(), &content).expect("takes in");
    }
    cache.leave_room(cache.most_room());
    cache.give_way().expect("gives way");
    assert_eq!(cache.kept(), LEAST / 2);
    assert!(cache.whole(&id("c"), &first()).is_some(), "the last that was used");
}
