//! Documents, which are shown in one way or another.

use super::*;

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
