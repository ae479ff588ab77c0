use std::collections::HashSet;

use super::*;
use crate::clock::Timestamp;
use crate::config::Docs;
use crate::remote::{Md5, Posix, RevisionId};
use crate::state::State;
use crate::tree::local::{self, Attributes};
use crate::tree::{NodeKind, root_node};

/// A tree with a listed root, and the drive that tells it.
struct Bench {
    _dir: tempfile::TempDir,
    state: State,
    next: std::cell::Cell<u64>,
}

const ROOT: &str = "root";

fn id(text: &str) -> FileId {
    FileId(text.to_owned())
}

fn item(name: &str, parent: &str, version: u64, kind: ItemKind) -> Item {
    Item {
        id: id(name),
        name: name.to_owned(),
        parent: Some(id(parent)),
        kind,
        version,
        modified: Timestamp::from_millis(1_000),
        created: Timestamp::from_millis(1_000),
        trashed: false,
        trashed_itself: false,
        owned: true,
        shared: false,
        drive: None,
        access: Access::UNKNOWN,
        posix: Posix::default(),
    }
}

fn file(name: &str, parent: &str, version: u64) -> Item {
    let blob = Blob { size: version, md5: Some(Md5([7; 16])), revision: RevisionId(format!("r{version}")) };
    item(name, parent, version, ItemKind::File(blob))
}

fn folder(name: &str, parent: &str, version: u64) -> Item {
    item(name, parent, version, ItemKind::Folder)
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let bench = Self { _dir: dir, state, next: 2.into() };
        bench.write(|db| nodes::insert(db, &Node { listed: true, ..root_node(id(ROOT)) }));
        bench
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        self.state.write::<_, rusqlite::Error>(|tx| work(tx)).expect("writes")
    }

    fn merge<T>(&self, work: impl FnOnce(&mut Merge<'_>) -> rusqlite::Result<T>) -> (T, Effects) {
        let start = self.next.replace(self.next.get() + 100);
        self.write(|db| {
            let open = HashSet::new();
            let mut merge = Merge::adopting(db, 1, start..start + 100, &open, None);
            let value = work(&mut merge)?;
            Ok((value, merge.effects))
        })
    }

    fn hear(&self, item: &Item) -> Effects {
        self.merge(|merge| merge.heard(item)).1
    }

    fn hear_of_removal(&self, name: &str) -> Effects {
        self.merge(|merge| merge.change(&Change::Removed(id(name)))).1
    }

    fn list_folder(&self, name: &str) {
        let node = self.node(name);
        self.write(|db| nodes::set_listed(db, node.ino, true));
    }

    fn find(&self, name: &str) -> Option<Node> {
        self.state.read(|db| nodes::by_id(db, &id(name))).expect("reads").filter(Node::is_linked)
    }

    fn node(&self, name: &str) -> Node {
        self.find(name).unwrap_or_else(|| panic!("{name} is in the tree"))
    }

    fn path(&self, ino: Ino) -> String {
        self.state.read(|db| nodes::path(db, ino)).expect("reads")
    }

    fn base(&self, ino: Ino) -> Option<Base> {
        self.state.read(|db| nodes::base(db, ino)).expect("reads")
    }

    fn move_here(&self, name: &str, folder: Ino, new: &str) {
        let node = self.node(name);
        self.write(|db| local::relocate(db, &node, folder, new, clock::now()));
    }

    fn rewrite_here(&self, name: &str, size: u64) {
        let node = self.node(name);
        self.write(|db| local::rewrite(db, &node, size, Timestamp::from_millis(5_000), clock::now()));
    }
}

#[test]
fn an_entry_appears_where_its_folder_was_listed_and_nowhere_else() {
    let bench = Bench::new();
    let effects = bench.hear(&folder("a", ROOT, 1));
    assert_eq!(effects.entries, [(Ino::ROOT, "a".to_owned())]);
    bench.hear(&file("in a", "a", 2));
    assert_eq!(bench.find("in a"), None, "it will be found when the folder is listed");
    assert_eq!(unplaced_rows(&bench), 1, "though listings may be behind");
    bench.list_folder("a");
    bench.hear(&file("in a", "a", 2));
    assert_eq!(bench.path(bench.node("in a").ino), "a/in a");
    bench.hear(&file("elsewhere", "unknown", 3));
    assert_eq!(bench.find("elsewhere"), None);
}

#[test]
fn old_news_is_no_news() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 5));
    let effects = bench.hear(&Item { name: "older name".to_owned(), ..file("x", ROOT, 4) });
    assert_eq!((effects, bench.node("x").name.as_str()), (Effects::default(), "x"));
    bench.hear(&Item { trashed: true, trashed_itself: true, ..file("x", ROOT, 4) });
    assert!(bench.find("x").is_some());
}

#[test]
fn what_only_they_changed_follows_and_what_both_changed_stays_ours() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    let ino = bench.node("x").ino;
    bench.move_here("x", Ino::ROOT, "ours");
    // They renamed it too, and set its mode, which we did not.
    let posix = Posix { mode: Some(0o600), ..Posix::default() };
    bench.hear(&Item { name: "theirs".to_owned(), posix, ..file("x", ROOT, 2) });
    let node = bench.node("x");
    assert_eq!((node.name.as_str(), node.mode, node.size), ("ours", Some(0o600), 2));
    let base = bench.base(ino).expect("unsent");
    assert_eq!(
        base.on_drive.as_ref().map(|there| there.name.as_str()),
        Some("theirs"),
        "the rename is sent from there"
    );
    assert!(base.differs(&node, Some(&id(ROOT))).place);
}

#[test]
fn content_that_was_rewritten_here_is_not_touched_by_news() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    bench.rewrite_here("x", 1000);
    let effects = bench.hear(&file("x", ROOT, 2));
    assert_eq!(effects.contents, Vec::<Ino>::new());
    assert_eq!((bench.node("x").size, bench.node("x").mtime.millis()), (1000, 5_000));
}

#[test]
fn a_move_elsewhere_follows_and_never_makes_a_circle() {
    let bench = Bench::new();
    for name in ["a", "b"] {
        bench.hear(&folder(name, ROOT, 1));
        bench.list_folder(name);
    }
    bench.hear(&file("x", "a", 1));
    let effects = bench.hear(&file("x", "b", 2));
    let (a, b) = (bench.node("a").ino, bench.node("b").ino);
    assert_eq!(effects.entries, [(a, "x".to_owned()), (b, "x".to_owned())]);
    // Here b goes into a; there a goes into b.
    bench.move_here("b", a, "b");
    bench.hear(&folder("a", "b", 3));
    for name in ["a", "b"] {
        let node = bench.node(name);
        assert!(
            bench.state.read(|db| nodes::is_within(db, node.ino, Ino::ROOT)).expect("reads"),
            "{name} can be reached"
        );
    }
}

#[test]
fn a_move_to_where_nobody_looked_yet_takes_unsent_work_along() {
    let bench = Bench::new();
    bench.hear(&folder("unlisted", ROOT, 1));
    for name in ["plain", "edited"] {
        bench.hear(&folder(name, ROOT, 1));
        bench.list_folder(name);
        bench.hear(&file(&format!("in {name}"), name, 1));
    }
    bench.rewrite_here("in edited", 10);
    bench.hear(&folder("plain", "unlisted", 2));
    bench.hear(&folder("edited", "unlisted", 2));
    assert_eq!(bench.find("plain"), None, "it will be found there");
    assert_eq!(bench.path(bench.node("in edited").ino), "unlisted/edited/in edited");
}

#[test]
fn what_holds_unsent_content_survives_its_removal_with_the_folders_above_it() {
    let bench = Bench::new();
    for (name, parent) in [("top", ROOT), ("inner", "top")] {
        bench.hear(&folder(name, parent, 1));
        bench.list_folder(name);
    }
    bench.hear(&file("edited", "inner", 1));
    bench.hear(&file("plain", "inner", 1));
    bench.rewrite_here("edited", 10);
    let inos = ["top", "inner", "edited"].map(|name| bench.node(name).ino);
    let effects = bench.hear_of_removal("top");
    assert_eq!(bench.path(inos[2]), "top/inner/edited");
    assert_eq!(bench.find("plain"), None);
    assert_eq!(HashSet::from_iter(effects.resend), HashSet::from(inos));
    for ino in inos {
        assert_eq!(bench.base(ino).expect("unsent").on_drive, None, "to be made anew");
    }
}

#[test]
fn what_was_removed_here_does_not_come_back_by_news() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    let node = bench.node("x");
    let removal = bench.write(|db| local::remove(db, &node, clock::now()));
    assert_eq!(removal, local::Removal::ToTrash);
    bench.hear(&file("x", ROOT, 2));
    assert_eq!(bench.find("x"), None);
}

#[test]
fn twins_have_names_of_their_own_and_the_oldest_has_the_plain_one() {
    let bench = Bench::new();
    let twin = |name: &str, created| Item {
        name: "twin.txt".to_owned(),
        created: Timestamp::from_millis(created),
        ..file(name, ROOT, 1)
    };
    bench.hear(&twin("young", 2_000));
    assert_eq!(bench.node("young").name, "twin.txt");
    let effects = bench.hear(&twin("old", 1_000));
    assert_eq!(bench.node("old").name, "twin.txt");
    let tagged = bench.node("young").name;
    assert!(tagged.starts_with("twin (") && tagged.ends_with(").txt"), "{tagged}");
    assert!(effects.entries.contains(&(Ino::ROOT, "twin.txt".to_owned())), "the kernel forgets the old meaning");
    bench.hear_of_removal("old");
    assert_eq!(bench.node("young").name, "twin.txt", "free again");
}

#[test]
fn a_new_entry_yields_its_name_once_the_drive_says_that_a_twin_is_older() {
    let bench = Bench::new();
    let mut ours = root_node(id("ours"));
    (ours.ino, ours.parent, ours.name, ours.kind) = (Ino(50), Ino::ROOT, "twin".to_owned(), NodeKind::File);
    bench.write(|db| local::create(db, &ours));
    let made = |name: &str, created| Item {
        name: "twin".to_owned(),
        created: Timestamp::from_millis(created),
        ..file(name, ROOT, 1)
    };
    bench.hear(&made("theirs", 5_000));
    assert_eq!(bench.node("ours").name, "twin", "what is not sent keeps its name");
    let (_, effects) = bench.merge(|merge| merge.answered(bench.node("ours"), &made("ours", 6_000)));
    assert_eq!(bench.node("theirs").name, "twin");
    assert_ne!(bench.node("ours").name, "twin");
    assert!(effects.entries.contains(&(Ino::ROOT, "twin".to_owned())));
}

#[test]
fn an_answer_settles_what_it_answers_and_nothing_newer() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    let node = bench.node("x");
    let set = |mode| Attributes { mode: Some(mode), ..Attributes::default() };
    let answer =
        |version, mode| Item { posix: Posix { mode: Some(mode), ..Posix::default() }, ..file("x", ROOT, version) };
    let node = bench.write(|db| local::set_attributes(db, &node, set(0o600), clock::now()));
    bench.write(|db| local::set_attributes(db, &node, set(0o640), clock::now()));
    // What was sent first arrives after the second change.
    let (agreed, _) = bench.merge(|merge| merge.answered(bench.node("x"), &answer(2, 0o600)));
    assert_eq!((agreed, bench.node("x").mode), (false, Some(0o640)));
    let (agreed, _) = bench.merge(|merge| merge.answered(bench.node("x"), &answer(3, 0o640)));
    assert!(agreed);
    assert_eq!(bench.base(node.ino), None);
}

#[test]
fn what_was_asked_for_and_taken_back_here_since_is_no_news() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    let ino = bench.node("x").ino;
    let set_mode = |mode| {
        let attributes = Attributes { mode: Some(mode), ..Attributes::default() };
        bench.write(|db| local::set_attributes(db, &bench.node("x"), attributes, clock::now()));
    };
    let posix = |mode| Posix { mode: Some(mode), ..Posix::default() };
    bench.hear(&Item { posix: posix(0o644), ..file("x", ROOT, 2) });
    // A request is under way, and both that it asks for are taken back.
    set_mode(0o600);
    bench.move_here("x", Ino::ROOT, "y");
    bench.write(|db| asked::ask(db, &id("x"), &bench.node("x"), Some(id(ROOT))));
    set_mode(0o644);
    bench.move_here("x", Ino::ROOT, "x");
    let asked = bench.state.read(|db| asked::get(db, &id("x"))).expect("reads").expect("asked");
    let base = bench.base(ino).expect("a base");
    assert!(asked.is_taken_back(&bench.node("x"), &base, Some(&id(ROOT))));

    // The drive tells of it, and what somebody else did besides.
    let modified = Timestamp::from_millis(9_000);
    bench.hear(&Item { name: "y".to_owned(), posix: posix(0o600), modified, ..file("x", ROOT, 3) });
    let node = bench.node("x");
    assert_eq!((node.name.as_str(), node.mode, node.mtime), ("x", Some(0o644), modified));
    let differences = bench.base(ino).expect("a base").differs(&node, Some(&id(ROOT)));
    assert_eq!((differences.place, differences.mode, differences.mtime), (true, true, false));
}

#[test]
fn what_was_asked_for_and_arrives_after_it_was_given_up_is_set_right() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    let wanted = Node { name: "y".to_owned(), ..bench.node("x") };
    bench.write(|db| asked::ask(db, &id("x"), &wanted, Some(id(ROOT))));
    // What somebody else calls it is news.
    bench.hear(&Item { name: "z".to_owned(), ..file("x", ROOT, 2) });
    assert_eq!(bench.node("x").name, "z");
    bench.hear(&Item { name: "x".to_owned(), ..file("x", ROOT, 3) });
    let effects = bench.hear(&Item { name: "y".to_owned(), ..file("x", ROOT, 4) });
    assert_eq!((bench.node("x").name.as_str(), &effects.resend[..]), ("x", &[bench.node("x").ino][..]));
}

#[test]
fn a_twin_that_is_made_again_keeps_the_tag_as_a_part_of_its_name() {
    let bench = Bench::new();
    let twin = |name: &str| Item { name: "twin".to_owned(), ..file(name, ROOT, 1) };
    bench.hear(&twin("a"));
    bench.hear(&twin("b"));
    let ino = bench.node("b").ino;
    bench.rewrite_here("b", 10);
    bench.hear_of_removal("b");
    let node = bench.state.read(|db| nodes::by_ino(db, ino)).expect("reads").expect("survives");
    assert!(node.id.is_none() && node.name.starts_with("twin ("), "{node:?}");
    assert_eq!(node.name_on_drive(), node.name, "else other machines would show it with a tag from its new id");
}

#[test]
fn what_arrives_after_its_removal_is_deleted_again_and_old_news_is_none() {
    let bench = Bench::new();
    let removed = |name: &str, version| {
        let ino = Ino(bench.next.replace(bench.next.get() + 1));
        let node =
            Node { id: Some(id(name)), parent: Ino::NOWHERE, name: name.to_owned(), version, ..root_node(id(name)) };
        bench.write(|db| nodes::insert(db, &Node { ino, kind: NodeKind::File, ..node }));
        ino
    };
    removed("deleted", crate::tree::FOR_GOOD);
    let late = removed("late", NEVER_SEEN);
    assert_eq!(bench.hear(&file("deleted", ROOT, 5)).late, []);
    assert_eq!(bench.hear(&file("late", ROOT, 5)).late, [late]);
    assert_eq!(bench.hear(&Item { trashed: true, trashed_itself: true, ..file("late", ROOT, 6) }).late, []);
}

/// A folder with a folder with a file in it, made after everything is known.
fn shelf(bench: &Bench) {
    bench.write(|db| unplaced::set_whole_since(db, Timestamp::from_millis(500)));
    bench.hear(&folder("shelf", ROOT, 1));
    bench.hear(&folder("box", "shelf", 2));
    bench.hear(&file("thing", "box", 3));
    assert_eq!(bench.path(bench.node("thing").ino), "shelf/box/thing", "nothing has to be listed");
}

fn unplaced_rows(bench: &Bench) -> i64 {
    bench.state.read(unplaced::count).expect("reads")
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
    assert!(!bench.node("old").listed && !bench.node("theirs").listed);
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
    let posix = Posix { mode: Some(0o600), owner: Some((7, 8)), target: Some("to".to_owned()) };
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

fn document(name: &str, sort: &str, version: u64, modified: i64) -> Item {
    let media_type = format!("application/vnd.google-apps.{sort}");
    let item = item(name, ROOT, version, ItemKind::Document { media_type, link: Some("https://link".to_owned()) });
    Item { modified: Timestamp::from_millis(modified), ..item }
}

impl Bench {
    /// A tree that shows documents so.
    fn showing(docs: Docs) -> Self {
        let bench = Self::new();
        bench.show(docs);
        bench
    }

    fn show(&self, docs: Docs) {
        self.write(|db| documents::show(db, docs));
    }

    fn shown(&self) -> Vec<String> {
        let names = self.state.read(|db| nodes::names(db, Ino::ROOT)).expect("reads");
        names.into_iter().map(|(name, ..)| name).collect()
    }
}

#[test]
fn an_export_counts_until_the_document_may_be_another() {
    let bench = Bench::showing(Docs::Export);
    bench.hear(&document("Plan", "document", 1, 1_000));
    bench.hear(&document("Survey", "form", 1, 1_000));
    assert_eq!(bench.shown(), ["Plan.docx", "Survey.gform"]);
    let (survey, plan) = (bench.node("Survey"), bench.node("Plan"));
    assert_eq!((survey.export_format(), survey.size), (None, survey.target.map_or(0, |text| text.len() as u64)));
    assert!(plan.is_of_unknown_size());
    let export = |node: &Node| {
        let known = Node { size: 7, md5: Some(Md5([7; 16])), ..node.clone() };
        bench.write(|db| nodes::update(db, &known));
        known.revision
    };
    let first = export(&plan);

    let effects = bench.hear(&document("Plan", "document", 2, 1_000));
    assert_eq!(effects.contents, [], "shared, looked at: its content is the same");
    assert_eq!((bench.node("Plan").size, bench.node("Plan").revision), (7, first.clone()));

    let effects = bench.hear(&document("Plan", "document", 3, 2_000));
    assert_eq!(effects.contents, [plan.ino]);
    let changed = bench.node("Plan");
    assert!(changed.is_of_unknown_size() && changed.revision != first);
    let second = export(&changed);

    // Our rename sets the old time; nobody knows what was changed before it arrived.
    bench.move_here("Plan", Ino::ROOT, "Plot.docx");
    let answer = Item { name: "Plot".to_owned(), ..document("Plan", "document", 9, 2_000) };
    let (agreed, effects) = bench.merge(|merge| merge.answered(bench.node("Plan"), &answer));
    assert!(agreed && effects.contents == [plan.ino]);
    let renamed = bench.node("Plan");
    assert!(renamed.is_of_unknown_size() && renamed.revision != second);
    let third = export(&renamed);
    bench.hear(&Item { version: 10, ..answer });
    assert_eq!(bench.node("Plan").revision, third, "what is told of it again is no news");
}

#[test]
fn documents_take_their_places_anew_when_they_are_shown_in_another_way() {
    let bench = Bench::new();
    let aged = |item: Item, created| Item { created: Timestamp::from_millis(created), ..item };
    bench.hear(&aged(document("Plan", "document", 1, 1_000), 1));
    bench.hear(&aged(file("Plan.docx", ROOT, 1), 2));
    bench.hear(&aged(file("Plan.gdoc", ROOT, 1), 3));
    bench.hear(&aged(Item { name: "Plan".to_owned(), ..document("twin", "document", 1, 1_000) }, 4));
    let tagged = |name: &str| bench.node(name).name.contains(" (");
    let plain = |name: &str, shown: &str| assert_eq!(bench.node(name).name, shown);
    for _ in 0..2 {
        bench.show(Docs::Link);
        plain("Plan", "Plan.gdoc");
        plain("Plan.docx", "Plan.docx");
        assert!(tagged("Plan.gdoc") && tagged("twin") && bench.shown().len() == 4);
        bench.show(Docs::Export);
        plain("Plan", "Plan.docx");
        plain("Plan.gdoc", "Plan.gdoc");
        assert!(tagged("Plan.docx") && tagged("twin") && bench.shown().len() == 4);
        bench.show(Docs::Hide);
        assert_eq!(bench.shown(), ["Plan.docx", "Plan.gdoc"]);
        assert!(bench.state.read(|db| nodes::has_children(db, Ino::ROOT)).expect("reads"));
    }
    // One that goes or is renamed while it is hidden leaves nothing behind.
    bench.hear(&Item { name: "Plot".to_owned(), ..document("twin", "document", 2, 1_000) });
    bench.hear_of_removal("Plan");
    assert_eq!(bench.shown(), ["Plan.docx", "Plan.gdoc"]);
    bench.show(Docs::Link);
    assert_eq!(bench.shown(), ["Plan.docx", "Plan.gdoc", "Plot.gdoc"]);
}

#[test]
fn a_document_that_comes_back_is_one_of_which_nothing_is_known() {
    let bench = Bench::showing(Docs::Export);
    bench.hear(&document("Plan", "document", 1, 1_000));
    let plan = bench.node("Plan");
    bench.write(|db| nodes::update(db, &Node { size: 7, md5: Some(Md5([7; 16])), ..plan.clone() }));
    let there = OnDrive::of(&document("Plan", "document", 2, 5_000));
    bench.write(|db| nodes::unlink(db, &plan, clock::now()));
    let gone = bench.state.read(|db| nodes::by_ino(db, plan.ino)).expect("reads").expect("a tombstone");
    bench.merge(|merge| merge.restore(&gone, Some(&there)));
    assert_eq!(bench.shown(), ["Plan.docx"]);
    assert!(bench.node("Plan").is_of_unknown_size());
    assert_ne!(bench.node("Plan").revision, plan.revision);
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
