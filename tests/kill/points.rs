//! The named steps at which the daemon is killed.

use std::collections::BTreeSet;
use std::path::Path;

/// What a writer does so that a step is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Whatever it likes.
    Any,
    /// Content too large for one request.
    Large,
    /// Content that is worth sending before it is closed.
    Stream,
    /// A change of a part of what the drive has.
    Patch,
    /// A new folder.
    Folder,
    /// Another name for what the drive has.
    Rename,
    /// Two files that change places.
    Exchange,
    /// The removal of what the drive has.
    Remove,
    /// A save by fsync and rename, with an fsync of the folder.
    Save,
}

/// Each step that the code names, and how many times it may be passed before the end: about as often as it is within a round.
pub(crate) const POINTS: [(&str, u64, Hint); 43] = [
    // A change, before and after its transaction.
    ("create-not-committed", 20, Hint::Any),
    ("created", 20, Hint::Any),
    ("remove-not-committed", 4, Hint::Remove),
    ("removed", 4, Hint::Remove),
    ("rename-not-committed", 4, Hint::Save),
    ("renamed", 4, Hint::Save),
    ("exchange-not-committed", 4, Hint::Exchange),
    ("exchanged", 4, Hint::Exchange),
    ("folder-not-synced", 2, Hint::Save),
    // Content.
    ("staging-made", 20, Hint::Any),
    ("bytes-written", 100, Hint::Any),
    ("seal-begun", 20, Hint::Any),
    ("content-synced", 4, Hint::Save),
    ("seal-not-committed", 20, Hint::Any),
    ("seal-stored", 20, Hint::Any),
    ("base-piece-taken-in", 1, Hint::Patch),
    ("base-taken-in", 1, Hint::Patch),
    // Sending.
    ("ids-not-stored", 1, Hint::Any),
    ("id-taken", 6, Hint::Any),
    ("folder-answered", 1, Hint::Folder),
    ("update-answered", 1, Hint::Rename),
    ("removal-answered", 2, Hint::Remove),
    ("removal-stored", 2, Hint::Remove),
    ("put-noted", 6, Hint::Any),
    ("put-answered", 6, Hint::Any),
    ("session-not-stored", 1, Hint::Large),
    ("session-stored", 1, Hint::Large),
    ("piece-handed-on", 24, Hint::Large),
    ("session-answered", 1, Hint::Large),
    ("answer-not-committed", 4, Hint::Any),
    ("answer-stored", 4, Hint::Any),
    // Sending what is still written.
    ("stream-not-stored", 1, Hint::Stream),
    ("stream-stored", 1, Hint::Stream),
    ("stream-claimed", 3, Hint::Stream),
    ("stream-piece-answered", 1, Hint::Stream),
    ("stream-taken", 1, Hint::Stream),
    // What was sent becomes part of the cache.
    ("put-away-begun", 4, Hint::Any),
    ("squashed", 4, Hint::Any),
    ("adopted", 4, Hint::Any),
    ("retired-removed", 1, Hint::Remove),
    // The start after a kill.
    ("swept-one", 1, Hint::Any),
    ("creation-taken-back", 1, Hint::Any),
    ("not-yet-aside", 1, Hint::Any),
];

/// Those that a test of their own passes (`tests/mount/links.rs`).
const OF_LINKS: [&str; 4] = ["link-not-committed", "linked", "link-answered", "link-deleted"];

#[test]
fn each_step_that_the_code_names_is_one_at_which_it_is_killed() {
    let mut named = Vec::new();
    find(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut named);
    let once: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    assert_eq!(once.len(), named.len(), "each name stands once: {named:?}");
    let tested: BTreeSet<&str> = POINTS.iter().map(|&(name, ..)| name).chain(OF_LINKS).collect();
    assert_eq!(once, tested);
}

/// Finds the points in the sources below a folder.
fn find(folder: &Path, named: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            find(&path, named);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("reads");
            let points = text.split("crash::point(\"").skip(1).filter_map(|rest| rest.split('"').next());
            named.extend(points.map(str::to_owned));
        }
    }
}
