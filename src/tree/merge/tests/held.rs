//! What is known by its id alone, and what is in shared drives.

use super::*;

/// The folder of an id, with an item in it that the drive has in a folder which is not listed.
fn hold(bench: &Bench, item: &Item) -> Ino {
    let folder = Ino(9_000);
    bench.write(|db| {
        crate::tree::targets::found(db)?;
        crate::tree::drives::found(db)?;
        let like = root_node(item.id.clone());
        let name = item.id.0.clone();
        nodes::insert(db, &Node { ino: folder, id: None, parent: Ino::TARGETS, name, listed: true, ..like })?;
        nodes::insert(db, &new_node(Ino(9_001), folder, item.name.clone(), item))
    });
    folder
}

#[test]
fn what_is_held_by_its_id_stays_until_its_folder_is_known() {
    let bench = Bench::new();
    bench.hear(&folder("above", ROOT, 1));
    let by_id = hold(&bench, &file("x", "above", 2));
    assert_eq!(bench.path(bench.node("x").ino), ".shortcut-targets-by-id/x/x");
    bench.hear(&Item { name: "renamed".to_owned(), ..file("x", "nowhere known", 3) });
    let node = bench.node("x");
    assert_eq!((node.parent, node.name.as_str(), node.size), (by_id, "renamed", 3));
    bench.rewrite_here("x", 7);
    bench.hear(&Item { name: "renamed".to_owned(), ..file("x", "above", 4) });
    assert_eq!(bench.node("x").parent, by_id, "nobody listed it");
    let base = bench.base(bench.node("x").ino).expect("has unsent content");
    assert!(!base.differs(&bench.node("x"), None).place, "and nothing of its place is to be sent");
    // The folder is listed, at the version that is known.
    let above = bench.node("above");
    bench.list_folder("above");
    let item = Item { name: "renamed".to_owned(), ..file("x", "above", 4) };
    bench.merge(|merge| merge.listed(&above, &item, &HashMap::new()));
    assert_eq!(bench.path(bench.node("x").ino), "above/renamed");
    assert_eq!(bench.node("x").size, 7, "with what was written here");
    bench.hear(&Item { trashed: true, ..folder("above", ROOT, 9) });
}

#[test]
fn what_cannot_go_back_where_it_was_is_made_anew_in_the_root() {
    let bench = Bench::new();
    hold(&bench, &file("x", "above", 2));
    bench.rewrite_here("x", 7);
    bench.hear_of_removal("x");
    let kept = bench.write(|db| nodes::by_name(db, Ino::ROOT, "x")).expect("is in the root");
    assert_eq!((kept.ino, kept.id, kept.size), (Ino(9_001), None, 7));
}

#[test]
fn who_is_gone_from_one_feed_may_be_in_another() {
    let bench = Bench::new();
    let team = id("team");
    bench.write(|db| {
        crate::tree::drives::found(db)?;
        let (name, drive) = ("Team".to_owned(), Some(team.clone()));
        let like = root_node(team.clone());
        nodes::insert(db, &Node { ino: Ino(9_000), parent: Ino::SHARED_DRIVES, name, drive, listed: true, ..like })?;
        feeds::set_cursor(db, Some(&team), &crate::remote::Cursor("1".to_owned()))?;
        feeds::set_cursor(db, None, &crate::remote::Cursor("1".to_owned()))
    });
    bench.hear(&file("mine", ROOT, 1));
    bench.hear(&file("theirs", "team", 1));
    assert_eq!(bench.path(bench.node("theirs").ino), "Shareddrives/Team/theirs");
    let told = |feed: Option<&FileId>, name: &str| bench.merge(|merge| merge.told(feed, &Change::Removed(id(name)))).1;
    told(None, "theirs");
    told(Some(&team), "mine");
    assert!(bench.find("theirs").is_some() && bench.find("mine").is_some(), "the other one would tell");
    told(Some(&team), "theirs");
    told(None, "mine");
    assert!(bench.find("theirs").is_none() && bench.find("mine").is_none());
}

#[test]
fn what_may_be_done_with_all_in_a_folder_is_unknown_when_that_changed() {
    let bench = Bench::new();
    let reader = Access::of(Some(false), Some(false), Some(false), Some(false));
    let writer = Access::of(Some(true), Some(true), Some(true), Some(true));
    bench.hear(&Item { access: reader, ..folder("above", ROOT, 1) });
    bench.list_folder("above");
    bench.hear(&Item { access: reader, ..file("x", "above", 1) });
    assert!(!bench.node("x").access.may_write());
    let effects = bench.hear(&Item { access: writer, ..folder("above", ROOT, 2) });
    let (above, x) = (bench.node("above"), bench.node("x"));
    assert!(effects.attributes.contains(&above.ino) && effects.attributes.contains(&x.ino), "the kernel is told");
    assert_eq!((above.access, above.listed, x.access), (writer, false, Access::UNKNOWN));
    // A listing tells, though the item is the same.
    bench.merge(|merge| merge.listed(&above, &Item { access: writer, ..file("x", "above", 1) }, &HashMap::new()));
    assert_eq!(bench.node("x").access, writer);
    // What was not known before did not change.
    bench.hear(&folder("ours", ROOT, 1));
    bench.list_folder("ours");
    bench.hear(&Item { access: writer, ..folder("ours", ROOT, 2) });
    assert!(bench.node("ours").listed);
}
