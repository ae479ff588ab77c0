//! Further names of files, in whatever order they and the files are heard of.

use super::*;
use crate::tree::links;

fn link(name: &str, parent: &str, version: u64, target: &str) -> Item {
    item(name, parent, version, ItemKind::Shortcut { target: id(target), hard: true })
}

fn names(bench: &Bench, file: &str) -> (u32, Vec<(Ino, String)>) {
    let node = bench.node(file);
    (node.names, bench.state.read(|db| links::entries(db, node.ino)).expect("reads"))
}

#[test]
fn a_name_and_its_file_find_each_other_in_either_order() {
    for file_first in [true, false] {
        let bench = Bench::new();
        let news = [file("x", ROOT, 1), link("name", ROOT, 2, "x")];
        let effects = if file_first {
            bench.hear(&news[0]);
            bench.hear(&news[1])
        } else {
            bench.hear(&news[1]);
            assert_eq!(bench.node("name").link, None, "shown as a link that leads nowhere");
            bench.hear(&news[0])
        };
        assert_eq!(bench.node("name").link, Some(bench.node("x").ino));
        assert_eq!(names(&bench, "x"), (1, vec![(Ino::ROOT, "name".to_owned())]));
        assert!(effects.entries.contains(&(Ino::ROOT, "name".to_owned())), "the name means something else now");
        // The file goes and comes back.
        let effects = bench.hear(&Item { trashed: true, trashed_itself: true, ..file("x", ROOT, 3) });
        assert!(effects.entries.contains(&(Ino::ROOT, "name".to_owned())));
        assert_eq!((bench.find("x"), bench.node("name").link), (None, None));
        bench.hear(&file("x", ROOT, 4));
        assert_eq!(names(&bench, "x").0, 1);
        // The name goes.
        let effects = bench.hear_of_removal("name");
        assert!(effects.attributes.contains(&bench.node("x").ino), "it has fewer names");
        assert_eq!(names(&bench, "x"), (0, Vec::new()));
    }
}

#[test]
fn what_leads_to_a_folder_is_no_further_name_of_it() {
    let bench = Bench::new();
    bench.hear(&folder("a", ROOT, 1));
    bench.hear(&link("name", ROOT, 2, "a"));
    assert_eq!((bench.node("name").link, bench.node("a").names), (None, 0));
}

#[test]
fn a_file_that_takes_the_place_of_its_name_is_there_under_it_at_once() {
    for file_first in [true, false] {
        let bench = Bench::new();
        bench.hear(&file("x", ROOT, 1));
        bench.hear(&Item { created: Timestamp::from_millis(2_000), ..link("name", ROOT, 2, "x") });
        let moved = Item { name: "name".to_owned(), ..file("x", ROOT, 3) };
        let number = bench.node("x").ino;
        if file_first {
            bench.hear(&moved);
            assert_eq!(bench.path(number), "name", "the older of the two");
            bench.hear_of_removal("name");
        } else {
            bench.hear_of_removal("name");
            bench.hear(&moved);
        }
        assert_eq!((bench.path(number).as_str(), bench.node("x").names), ("name", 0));
    }
}

#[test]
fn names_of_a_file_that_is_made_anew_are_made_anew() {
    let bench = Bench::new();
    bench.hear(&file("x", ROOT, 1));
    bench.hear(&link("name", ROOT, 2, "x"));
    bench.rewrite_here("x", 7);
    let number = bench.node("x").ino;
    let effects = bench.hear_of_removal("x");
    let name = bench.node("name");
    assert_eq!(name.link, Some(number), "it names the file, whatever the drive has");
    assert!(bench.base(name.ino).is_some_and(|base| base.rewritten) && effects.resend.contains(&name.ino));
    // And if the name is removed there meanwhile, too.
    bench.hear_of_removal("name");
    let name = bench.state.read(|db| nodes::by_ino(db, name.ino)).expect("reads").expect("survives");
    assert_eq!((name.id, name.target, name.link), (None, None, Some(number)));
    assert_eq!(bench.base(name.ino), Some(Base::unsent(false)));
}
