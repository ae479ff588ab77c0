use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::remote::{Blob, Change, Posix, RevisionId};
use crate::state::State;
use crate::tree::merge::Merge;
use crate::tree::root_node;

#[test]
fn legal_names_are_what_the_kernel_takes() {
    for name in ["a", ".hidden", "ü", "a b", " ", "a\nb", "...", &"x".repeat(255)] {
        assert!(is_legal(name), "{name:?}");
    }
    for name in ["", ".", "..", "a/b", "/", "a\0", &"x".repeat(256), &"ü".repeat(128)] {
        assert!(!is_legal(name), "{name:?}");
    }
}

#[test]
fn tagged_names_are_legal_and_keep_their_extension() {
    assert_eq!(with_tag("photo.jpg", "abc123"), "photo (abc123).jpg");
    assert_eq!(with_tag("archive.tar.gz", "t"), "archive.tar (t).gz");
    assert_eq!(with_tag(".bashrc", "t"), ".bashrc (t)");
    assert_eq!(with_tag("Dr. Who and friends", "t"), "Dr. Who and friends (t)");
    assert_eq!(with_tag("", "t"), "_ (t)");
    for name in ["x".repeat(300), "ü".repeat(200), format!("{}.jpg", "€".repeat(100)), ".".to_owned()] {
        let tagged = with_tag(&name, "abc123");
        assert!(is_legal(&tagged), "{tagged:?}");
    }
}

/// Ids whose tags begin alike, in pairs. Of some thousand there are a few by chance.
fn ids() -> Vec<String> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut ids = Vec::new();
    for number in 0_u64.. {
        let id = format!("id-{number:012}");
        let tag = Claims::of(String::new(), Some(&FileId(id.clone()))).tag[..TAGS[0]].to_owned();
        if let Some(other) = seen.insert(tag, id.clone()) {
            ids.extend([other, id]);
        }
        if ids.len() == 8 {
            break;
        }
    }
    ids
}

/// The name that an item wants in a tree that shows documents as links, as trees do that were told nothing else.
fn wanted_by_link(item: &Item) -> String {
    match &item.kind {
        ItemKind::Document { media_type, .. } => {
            documents::name(crate::config::Docs::Link, &item.name, media_type).expect("is shown")
        }
        _ => item.name.clone(),
    }
}

/// Names that are hard to have beside each other: those of the rule itself among them.
fn hostile_names(ids: &[String]) -> Vec<String> {
    let long = format!("{}.txt", "y".repeat(300));
    let mut names: Vec<String> =
        ["", ".", "..", "/", "\0", "x", "x.txt", "a/b", "a_b", "x.gdoc"].map(str::to_owned).into();
    names.extend([long, "ü".repeat(150), "z".repeat(255)]);
    for wanted in ["x", "x.txt", "a/b", "x.gdoc", &"z".repeat(255)] {
        for id in &ids[..4] {
            let claims = Claims::of(wanted.to_owned(), Some(&FileId(id.clone())));
            names.extend((1..6).filter_map(|turn| claims.name(turn)));
        }
    }
    names
}

/// The one way to show a folder: each entry asks for its names in turn, and each name goes to who has the best claim.
fn rule(items: &[&Item]) -> BTreeMap<String, FileId> {
    let claims: Vec<Claims> = items.iter().map(|item| Claims::of(wanted_by_link(item), Some(&item.id))).collect();
    let mut held: BTreeMap<String, (usize, i64, &FileId, usize)> = BTreeMap::new();
    let mut asking: Vec<(usize, usize)> = (0..items.len()).map(|index| (index, 0)).collect();
    while let Some((index, turn)) = asking.pop() {
        let claim = (turn, items[index].created.millis(), &items[index].id, index);
        let Some(name) = claims[index].name(turn) else {
            asking.push((index, turn + 1));
            continue;
        };
        match held.get(&name).copied() {
            Some(holder) if holder < claim => asking.push((index, turn + 1)),
            Some((turn, _, _, loser)) => {
                held.insert(name, claim);
                asking.push((loser, turn + 1));
            }
            None => drop(held.insert(name, claim)),
        }
    }
    held.into_iter().map(|(name, (_, _, id, _))| (name, id.clone())).collect()
}

struct Bench {
    _dir: tempfile::TempDir,
    state: State,
    next: u64,
}

const FOLDERS: [&str; 2] = ["root", "folder"];

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let root = Node { listed: true, ..root_node(FileId(FOLDERS[0].to_owned())) };
        let folder = Node {
            ino: Ino(2),
            id: Some(FileId(FOLDERS[1].to_owned())),
            parent: Ino::ROOT,
            name: "the folder".to_owned(),
            ..root.clone()
        };
        let bench = Self { _dir: dir, state, next: 3 };
        bench.write(|db| nodes::insert(db, &root).and_then(|()| nodes::insert(db, &folder)));
        bench
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        self.state.write::<_, rusqlite::Error>(|tx| work(tx)).expect("writes")
    }

    fn merge(&mut self, work: impl FnOnce(&mut Merge<'_>) -> rusqlite::Result<()>) {
        let inos = self.next..self.next + 100;
        self.next = inos.end;
        self.write(|db| work(&mut Merge::new(db, inos, &HashSet::new(), None)));
    }

    /// What is shown in each folder.
    fn shown(&self) -> [BTreeMap<String, FileId>; 2] {
        let of = |ino| self.state.read(|db| nodes::children(db, ino)).expect("reads");
        [Ino::ROOT, Ino(2)].map(|ino| {
            let nodes = of(ino).into_iter().filter(|node| node.ino != Ino(2));
            nodes.map(|node| (node.name, node.id.expect("has one"))).collect()
        })
    }
}

fn item(id: &str, name: &str, created: i64, is_document: bool) -> Item {
    let kind = if is_document {
        let media_type = "application/vnd.google-apps.document".to_owned();
        ItemKind::Document { media_type, link: None }
    } else {
        ItemKind::File(Blob { size: 0, md5: None, revision: RevisionId("r".to_owned()) })
    };
    Item {
        id: FileId(id.to_owned()),
        name: name.to_owned(),
        parent: Some(FileId(FOLDERS[0].to_owned())),
        kind,
        version: 0,
        modified: Timestamp::from_millis(1),
        created: Timestamp::from_millis(created),
        trashed: false,
        trashed_itself: false,
        owned: true,
        shared: false,
        drive: None,
        access: crate::remote::Access::UNKNOWN,
        posix: Posix::default(),
    }
}

/// What happens to one of the items: a name of the pool, whether it is in the second folder, and whether it is there at all.
type Step = (usize, usize, bool, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..8_usize, any::<prop::sample::Index>(), any::<bool>(), prop::bool::weighted(0.8)), 1..60)
        .prop_map(|steps| {
            steps.into_iter().map(|(id, name, folder, there)| (id, name.index(1 << 16), folder, there)).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever came first, and whatever was there in between: two machines that know the same show the same.
    #[test]
    fn what_is_shown_depends_on_what_is_there_alone(steps in steps(), few in any::<bool>()) {
        let ids = ids();
        let mut pool = hostile_names(&ids);
        if few {
            // Twins of twins.
            pool.retain(|name| name.starts_with('x'));
        }
        let mut items: Vec<Item> =
            ids.iter().zip([3, 1, 2, 2, 1, 4, 4, 0]).map(|(id, created)| item(id, "", created, id.ends_with('7'))).collect();
        for item in &mut items {
            (item.trashed, item.trashed_itself) = (true, true);
        }
        let mut bench = Bench::new();
        for (version, (index, name, in_folder, there)) in (1..).zip(steps) {
            let item = &mut items[index];
            item.version = version;
            item.name.clone_from(&pool[name % pool.len()]);
            item.parent = Some(FileId(FOLDERS[usize::from(in_folder)].to_owned()));
            (item.trashed, item.trashed_itself) = (!there, !there);
            let news = item.clone();
            bench.merge(|merge| merge.change(&Change::Present(news)));
            for (folder, shown) in FOLDERS.iter().zip(bench.shown()) {
                let there: Vec<&Item> = items
                    .iter()
                    .filter(|item| !item.trashed && item.parent.as_ref().is_some_and(|id| id.0 == *folder))
                    .collect();
                prop_assert_eq!(shown, rule(&there));
            }
        }
        let mut fresh = Bench::new();
        for item in items.iter().rev().filter(|item| !item.trashed) {
            fresh.merge(|merge| merge.heard(item));
        }
        prop_assert_eq!(fresh.shown(), bench.shown());
    }
}

/// An item that is called like itself with its tag has one name less, and must not be taken to have made room for an older one.
#[test]
fn what_is_called_like_its_own_tag_gives_that_name_to_the_older() {
    let ids = ids();
    let tagged = Claims::of("z".repeat(255), Some(&FileId(ids[0].clone()))).name(1).expect("a name");
    let mut bench = Bench::new();
    for (id, created) in [(&ids[0], 2), (&ids[2], 1)] {
        bench.merge(|merge| merge.change(&Change::Present(item(id, &tagged, created, false))));
    }
    let [shown, _] = bench.shown();
    assert_eq!((shown.len(), &shown[&tagged].0), (2, &ids[2]));
}
