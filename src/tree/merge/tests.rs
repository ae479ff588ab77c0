mod comes_back;
mod document_names;
mod held;
mod links;

use std::collections::HashSet;

use super::*;
use crate::clock::Timestamp;
use crate::config::Docs;
use crate::remote::xattrs::Put;
use crate::remote::{Md5, Posix, RevisionId, Xattrs};
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

/// One attribute.
fn xattrs(value: &str) -> Xattrs {
    Xattrs::default().with(b"user.x", Put::Set(value.as_bytes())).expect("fits")
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

/// Items that are kept.
fn unplaced_rows(bench: &Bench) -> i64 {
    let count = "SELECT count(*) FROM unplaced WHERE item IS NOT NULL";
    bench.state.read(|db| db.query_row(count, [], |row| row.get(0))).expect("reads")
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
fn extended_attributes_are_merged_each_for_itself() {
    let bench = Bench::new();
    bench.hear(&Item { posix: Posix { xattrs: xattrs("1"), ..Posix::default() }, ..file("x", ROOT, 1) });
    let set = |name: &str, value: &str| {
        let node = bench.node("x");
        let xattrs = node.xattrs.with(name.as_bytes(), Put::Set(value.as_bytes())).expect("fits");
        bench.write(|db| local::set_xattrs(db, &node, xattrs, clock::now()));
    };
    set("user.ours", "2");
    let theirs = xattrs("theirs").with(b"user.new", Put::Set(b"3")).expect("fits");
    let news = |version, xattrs: &Xattrs| Item {
        posix: Posix { xattrs: xattrs.clone(), ..Posix::default() },
        ..file("x", ROOT, version)
    };
    bench.hear(&news(2, &theirs));
    let node = bench.node("x");
    let get = |name: &str| node.xattrs.get(name.as_bytes()).and_then(|value| String::from_utf8(value).ok());
    assert_eq!(["x", "ours", "new"].map(|name| get(&format!("user.{name}")).unwrap_or_default()), ["theirs", "2", "3"]);
    let there = bench.base(node.ino).expect("a base").on_drive.expect("is there");
    assert_eq!(node.xattrs.since(&there.xattrs), [("user.ours".to_owned(), Some("2".to_owned()))].into());
    let (agreed, _) = bench.merge(|merge| merge.answered(node.clone(), &news(3, &node.xattrs)));
    assert!(agreed && bench.base(node.ino).is_none());

    // Set while a request was under way, and taken back: what that did is no news.
    set("user.ours", "asked for");
    bench.write(|db| asked::ask(db, &id("x"), &bench.node("x"), Some(id(ROOT))));
    set("user.ours", "2");
    let asked = bench.state.read(|db| asked::get(db, &id("x"))).expect("reads").expect("asked");
    let base = bench.base(node.ino).expect("a base");
    assert!(asked.is_taken_back(&bench.node("x"), &base, Some(&id(ROOT))));
    bench.hear(&news(4, &asked.wanted.xattrs));
    assert!(bench.node("x").xattrs.same(&node.xattrs));
    let base = bench.base(node.ino).expect("a base");
    assert!(base.differs(&bench.node("x"), Some(&id(ROOT))).xattrs, "so it is set right there");
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
