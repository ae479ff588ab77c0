//! What has no place in the tree now, and comes back.

use super::*;

/// A folder with a folder with a file in it, made after everything is known.
fn shelf(bench: &Bench) {
    bench.write(|db| unplaced::set_whole_since(db, Timestamp::from_millis(500)));
    bench.hear(&folder("shelf", ROOT, 1));
    bench.hear(&folder("box", "shelf", 2));
    bench.hear(&file("thing", "box", 3));
    assert_eq!(bench.path(bench.node("thing").ino), "shelf/box/thing", "nothing has to be listed");
}

#[test]
fn a_new_folder_needs_no_listing_if_all_that_was_put_into_it_was_heard_of() {
    let bench = Bench::new();
    bench.write(|db| unplaced::set_whole_since(db, Timestamp::from_millis(500)));
    // Renamed last, the folder is told of last.
    bench.hear(&file("first", "late", 1));
    bench.hear(&folder("within", "late", 2));
    bench.hear(&file("second", "within", 3));
    assert_eq!(bench.find("second"), None);
    bench.hear(&folder("late", ROOT, 4));
    assert!(bench.node("late").listed && bench.node("within").listed);
    assert_eq!(bench.path(bench.node("first").ino), "late/first");
    assert_eq!(bench.path(bench.node("second").ino), "late/within/second");
    assert_eq!(unplaced_rows(&bench), 0);
}

#[test]
fn a_folder_that_may_hold_more_than_was_heard_of_is_to_be_listed() {
    let bench = Bench::new();
    bench.hear(&folder("before", ROOT, 1));
    assert!(!bench.node("before").listed, "nothing is known from any time on");
    bench.write(|db| unplaced::set_whole_since(db, Timestamp::from_millis(1_000)));
    bench.hear(&folder("old", ROOT, 1));
    bench.hear(&Item { owned: false, created: Timestamp::from_millis(2_000), ..folder("theirs", ROOT, 1) });
    // It may have been given to us.
    bench.hear(&Item { shared: true, created: Timestamp::from_millis(2_000), ..folder("shared", ROOT, 1) });
    assert!(["old", "theirs", "shared"].iter().all(|name| !bench.node(name).listed));
    bench.hear(&Item { created: Timestamp::from_millis(2_000), ..folder("new", ROOT, 1) });
    assert!(bench.node("new").listed);
}

#[test]
fn what_comes_out_of_the_trash_is_there_with_all_that_is_in_it() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear(&Item { trashed: true, trashed_itself: true, ..folder("shelf", ROOT, 4) });
    assert_eq!((bench.find("shelf"), bench.find("thing")), (None, None));
    // What happens in it meanwhile is heard of.
    bench.hear(&Item { trashed: true, name: "renamed".to_owned(), ..file("thing", "box", 5) });
    bench.hear(&Item { trashed: true, ..file("added", "box", 6) });
    bench.hear(&folder("shelf", ROOT, 7));
    assert!(bench.node("shelf").listed && bench.node("box").listed);
    assert_eq!(bench.path(bench.node("thing").ino), "shelf/box/renamed");
    assert_eq!(bench.path(bench.node("added").ino), "shelf/box/added");
    assert_eq!(unplaced_rows(&bench), 0);
}

#[test]
fn what_was_put_into_the_trash_or_deleted_by_itself_does_not_come_out_with_its_folder() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear(&file("deleted", "box", 4));
    bench.hear(&Item { trashed: true, trashed_itself: true, ..file("thing", "box", 5) });
    bench.hear(&Item { trashed: true, trashed_itself: true, ..folder("box", "shelf", 6) });
    bench.hear(&Item { trashed: true, trashed_itself: true, ..folder("shelf", ROOT, 7) });
    bench.hear_of_removal("deleted");
    bench.hear(&folder("shelf", ROOT, 8));
    assert_eq!((bench.find("box"), bench.find("thing")), (None, None));
    bench.hear(&folder("box", "shelf", 9));
    assert!(bench.node("box").listed);
    assert_eq!((bench.find("thing"), bench.find("deleted")), (None, None));
    bench.hear_of_removal("box");
    assert_eq!(unplaced_rows(&bench), 0, "nothing is kept of what is gone for good");
}

#[test]
fn a_folder_that_moves_into_one_not_heard_of_yet_is_found_there_with_all_that_is_in_it() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear(&folder("box", "room", 4));
    assert_eq!((bench.find("box"), bench.find("thing")), (None, None));
    bench.hear(&folder("room", ROOT, 5));
    assert_eq!(bench.path(bench.node("thing").ino), "room/box/thing");
    assert!(bench.node("box").listed);
}

#[test]
fn a_folder_of_which_something_survived_here_is_listed_when_it_comes_back() {
    let bench = Bench::new();
    shelf(&bench);
    bench.rewrite_here("thing", 9);
    let ino = bench.node("thing").ino;
    bench.hear(&Item { trashed: true, trashed_itself: true, ..folder("shelf", ROOT, 4) });
    assert_eq!(bench.path(ino), "shelf/box/thing", "ours, to be sent anew");
    bench.hear(&folder("shelf", ROOT, 5));
    assert!(!bench.node("shelf").listed, "the drive has the old content of what survived in it");
}

#[test]
fn a_folder_that_was_removed_here_and_comes_back_is_listed() {
    let bench = Bench::new();
    shelf(&bench);
    for name in ["thing", "box", "shelf"] {
        let node = bench.node(name);
        bench.write(|db| local::remove(db, &node, clock::now()));
        bench.write(|db| nodes::delete_base(db, node.ino));
    }
    // All of it was one request for the uppermost.
    bench.hear(&folder("shelf", ROOT, 6));
    assert!(!bench.node("shelf").listed);
    bench.write(|db| nodes::sweep_tombstones(db, clock::now().after(std::time::Duration::from_hours(3))));
    bench.list_folder("shelf");
    bench.hear(&folder("box", "shelf", 7));
    assert!(!bench.node("box").listed);
}

#[test]
fn an_item_is_made_a_node_and_back() {
    let bench = Bench::new();
    let link = |text: &str| Some(text.to_owned());
    let blob = Blob { size: 3, md5: None, revision: RevisionId("r".to_owned()) };
    let posix = Posix {
        mode: Some(0o600),
        owner: Some((7, 8)),
        target: Some("to".to_owned()),
        device: None,
        xattrs: xattrs("1"),
    };
    let document =
        ItemKind::Document { media_type: "application/vnd.google-apps.form".to_owned(), link: link("https://x") };
    for item in [
        folder("a/b", ROOT, 1),
        file("file", ROOT, 2),
        Item { posix, ..item("link", ROOT, 3, ItemKind::Symlink(blob)) },
        item("form", ROOT, 4, document),
    ] {
        bench.hear(&item);
        let node = bench.node(&item.id.0);
        let back = bench.state.read(|db| item_of(db, &node, Some(id(ROOT)))).expect("reads").expect("is there");
        assert_eq!(back, Item { owned: false, ..item });
    }
}

#[test]
fn what_is_in_the_trash_with_a_folder_above_it_goes_and_comes_with_that() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear(&file("x", ROOT, 4));
    // The root of the mount is in the trash.
    bench.hear(&Item { trashed: true, ..file("x", ROOT, 5) });
    assert_eq!(bench.node("x").parent, Ino::ROOT);
    // It moved into a folder that went to the trash and came out of it since, of which the drive tells next.
    bench.hear(&Item { trashed: true, ..file("x", "shelf", 6) });
    bench.hear(&folder("shelf", ROOT, 8));
    assert_eq!(bench.path(bench.node("x").ino), "shelf/x");
    bench.hear(&Item { trashed: true, trashed_itself: true, ..file("x", "shelf", 9) });
    assert_eq!(bench.find("x"), None);
}

#[test]
fn a_listing_that_is_behind_brings_nothing_back_and_nothing_older() {
    let bench = Bench::new();
    bench.hear(&folder("a", ROOT, 1));
    bench.hear(&Item { trashed: true, trashed_itself: true, ..file("gone", "a", 5) });
    bench.hear(&Item { name: "new name".to_owned(), ..file("renamed", "a", 6) });
    bench.hear(&file("new", "a", 7));
    let a = Node { listed: true, ..bench.node("a") };
    bench.merge(|merge| {
        for item in [file("gone", "a", 2), file("renamed", "a", 3), file("kept", "a", 4)] {
            merge.listed(&a, &item, &HashMap::new())?;
        }
        nodes::set_listed(merge.db, a.ino, true)?;
        merge.adopt(&a)
    });
    assert_eq!(bench.find("gone"), None);
    assert_eq!(bench.path(bench.node("renamed").ino), "a/new name");
    assert_eq!(bench.path(bench.node("new").ino), "a/new");
    assert_eq!(bench.path(bench.node("kept").ino), "a/kept");
}

#[test]
fn what_a_whole_listing_does_not_have_is_gone_from_there_and_found_again_with_all_that_is_in_it() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear(&file("lone", "shelf", 4));
    let shelf = bench.node("shelf");
    bench.merge(|merge| {
        for name in ["box", "lone"] {
            let node = nodes::by_id(merge.db, &id(name))?.expect("is there");
            merge.missing(&node)?;
        }
        merge.adopt(&shelf)
    });
    assert_eq!((bench.find("box"), bench.find("lone"), bench.find("thing")), (None, None, None));
    bench.hear(&folder("box", ROOT, 5));
    assert_eq!(bench.path(bench.node("thing").ino), "box/thing");
}

#[test]
fn what_no_feed_goes_on_telling_of_is_not_kept() {
    let bench = Bench::new();
    shelf(&bench);
    // It moved to a shared drive that nobody looked into.
    let there = Item { drive: Some(id("team")), ..folder("shelf", "team", 4) };
    bench.hear(&there);
    assert_eq!((bench.find("shelf"), unplaced_rows(&bench)), (None, 0));
    bench.write(|db| crate::tree::feeds::set_cursor(db, Some(&id("team")), &crate::remote::Cursor("1".to_owned())));
    bench.hear(&folder("shelf", ROOT, 5));
    assert!(!bench.node("shelf").listed, "what is in it now is not known");
    bench.list_folder("shelf");
    bench.hear(&Item { version: 6, ..there });
    assert_eq!(unplaced_rows(&bench), 1, "this one is told of");
}

#[test]
fn what_is_gone_for_good_and_comes_back_is_listed() {
    let bench = Bench::new();
    shelf(&bench);
    bench.hear_of_removal("shelf");
    bench.hear(&folder("shelf", ROOT, 9));
    assert!(!bench.node("shelf").listed, "it was out of sight, and not gone");
}
