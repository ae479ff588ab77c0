use proptest::prelude::*;

use super::pieces::PIECE;
use super::*;

fn set(name: &str, value: &[u8]) -> Xattrs {
    Xattrs::default().with(name.as_bytes(), Put::Set(value)).expect("fits")
}

fn keys(xattrs: &Xattrs) -> Vec<&str> {
    xattrs.kept.keys().map(String::as_str).collect()
}

#[test]
fn what_is_short_and_plain_is_a_property_that_everybody_can_read() {
    let xattrs = set("user.label", "für später".as_bytes());
    assert_eq!(xattrs.kept, [("user.label".to_owned(), "für später".to_owned())].into());
    let (name, room) = ("user.n", MAX_PROPERTY - "user.n".len());
    assert_eq!(keys(&set(name, "x".repeat(room).as_bytes())), [name]);
    assert!(keys(&set(name, "x".repeat(room + 1).as_bytes())).iter().all(|key| key.starts_with(PIECE)));
}

#[test]
fn what_a_service_might_change_is_written_so_that_it_cannot() {
    for value in [&b""[..], b" x", b"x\n", b"\0", b"\xff", "x".repeat(300).as_bytes(), b"a\x07b"] {
        let xattrs = set("user.x", value);
        assert!(keys(&xattrs).iter().all(|key| key.starts_with(PIECE)), "{value:?}");
        assert_eq!(xattrs.get(b"user.x").as_deref(), Some(value));
        for (key, value) in &xattrs.kept {
            assert!(key.len() + value.len() <= MAX_PROPERTY && value.trim() == value, "{key} = {value}");
        }
    }
    let long = set("user.url", format!("https://{}", "x".repeat(300)).as_bytes());
    let first = long.kept.values().next().expect("a piece");
    assert!(first.starts_with("t4:") && first[12..].starts_with("user.url=https://xxx"), "{first}");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let largest = |value: fn(usize) -> Vec<u8>| {
        (0..65536).take_while(|&size| Xattrs::default().with(b"user.x", Put::Set(&value(size))).is_ok()).last()
    };
    // What docs/SEMANTICS.md promises.
    assert_eq!(largest(|size| vec![b'x'; size]), Some(2309));
    assert_eq!(largest(|size| vec![0xff; size]), Some(1730));
    let mut xattrs = Xattrs::default();
    for number in 0..24 {
        xattrs = xattrs.with(format!("user.{number}").as_bytes(), Put::Set(b"x")).expect("fits");
    }
    assert_eq!(xattrs.with(b"user.more", Put::Set(b"x")), Err(Kind::AttributesFull));
    assert_eq!(xattrs.with(b"user.0", Put::Set(&[b'x'; 200])), Err(Kind::AttributesFull));
    assert!(xattrs.with(b"user.0", Put::Set(b"other")).is_ok());
    // Others leave less, and never so little that nothing can be changed.
    let crowded = Xattrs { others: 29, ..set("user.x", b"1") };
    assert!(crowded.with(b"user.x", Put::Set(b"2")).is_ok() && crowded.with(b"user.x", Put::Remove).is_ok());
    assert_eq!(crowded.with(b"user.y", Put::Set(b"2")), Err(Kind::AttributesFull));
}

#[test]
fn one_is_made_replaced_and_removed_as_asked() {
    let xattrs = set("user.x", b"1");
    assert_eq!(xattrs.with(b"user.x", Put::Create(b"2")), Err(Kind::Exists));
    assert_eq!(xattrs.with(b"user.y", Put::Replace(b"2")), Err(Kind::NoAttribute));
    assert_eq!(xattrs.with(b"user.y", Put::Remove), Err(Kind::NoAttribute));
    assert_eq!(xattrs.with(b"user.x", Put::Replace(b"2")).expect("fits").get(b"user.x"), Some(b"2".to_vec()));
    assert_eq!(xattrs.with(b"user.x", Put::Remove), Ok(Xattrs::default()));
    // Long, then short: nothing of the long one is left.
    let long = set("user.x", &[0; 900]);
    assert_eq!(keys(&long.with(b"user.x", Put::Set(b"1")).expect("fits")), ["user.x"]);
}

#[test]
fn properties_of_others_are_counted_and_those_of_the_mount_are_not() {
    let properties = [
        ("other.app", "x"),
        ("drivemount.mode", "0755"),
        ("user.mine", "y"),
        ("user.drive.id", "z"),
        ("user.", "z"),
        ("drivemount.xattr.nonsense", "z"),
    ];
    let xattrs = Xattrs::of(&properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_eq!((keys(&xattrs), xattrs.others), (vec!["drivemount.xattr.nonsense", "user.mine"], 3));
    assert_eq!(xattrs.names(), [b"user.mine".to_vec()].into());
}

#[test]
fn each_is_merged_for_itself() {
    let agreed = set("user.a", b"1").with(b"user.b", Put::Set(b"1")).expect("fits");
    let ours = agreed.with(b"user.a", Put::Set(&[0; 200])).expect("fits");
    let theirs = agreed.with(b"user.b", Put::Remove).expect("is there").with(b"user.c", Put::Set(b"3")).expect("fits");
    let merged = ours.merged(&agreed, &theirs, None);
    assert_eq!((merged.get(b"user.a"), merged.get(b"user.b")), (Some(vec![0; 200]), None));
    assert_eq!(merged.get(b"user.c"), Some(b"3".to_vec()));
    // What is to be sent is what we changed.
    let sent = merged.since(&theirs);
    assert_eq!(sent.get("user.a"), Some(&None));
    assert!(sent.keys().all(|key| key == "user.a" || key.starts_with(PIECE)), "{sent:?}");
    // Changed by both: ours.
    let both = agreed.with(b"user.a", Put::Set(b"theirs")).expect("fits");
    assert!(ours.merged(&agreed, &both, None).same(&ours));
}

#[test]
fn what_was_asked_for_and_taken_back_is_no_news() {
    let (before, asked) = (set("user.a", b"1"), set("user.a", b"2"));
    assert!(before.merged(&before, &asked, Some(&asked)).same(&before));
    assert!(before.merged(&before, &asked, None).same(&asked));
    assert!(before.is_taken_back(&asked, &before));
    assert!(!asked.is_taken_back(&asked, &before) && !set("user.a", b"3").is_taken_back(&asked, &before));
    let gone = Xattrs::default();
    assert!(gone.is_taken_back(&asked, &gone));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zäß=. ]{1,20}".prop_map(String::into_bytes);
    let bytes = proptest::collection::vec(1_u8.., 1..250);
    prop_oneof![3 => text, 1 => bytes].prop_map(|rest| [USER.as_bytes(), &rest].concat())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = "[ a-z=€\n]{0,300}".prop_map(String::into_bytes);
    prop_oneof![text, proptest::collection::vec(any::<u8>(), 0..700)]
}

proptest! {
    #[test]
    fn whatever_fits_comes_back_and_is_sent_as_a_difference(
        changes in proptest::collection::vec((name(), proptest::option::of(value())), 0..12),
        half in 0_usize..12,
    ) {
        let (mut xattrs, mut model, mut there) = (Xattrs::default(), BTreeMap::new(), Xattrs::default());
        for (number, (name, value)) in changes.into_iter().enumerate() {
            if number == half {
                there = xattrs.clone();
            }
            let put = value.as_deref().map_or(Put::Remove, Put::Set);
            let Ok(changed) = xattrs.with(&name, put) else { continue };
            xattrs = changed;
            match value {
                Some(value) => model.insert(name, value),
                None => model.remove(&name),
            };
        }
        prop_assert!(xattrs.kept.iter().all(|(key, value)| key.len() + value.len() <= MAX_PROPERTY));
        prop_assert!(xattrs.kept.len() <= MOST - SET_ASIDE);
        // What the drive has after it was told.
        let mut properties = there.kept.clone();
        for (key, value) in xattrs.since(&there) {
            match value {
                Some(value) => properties.insert(key, value),
                None => properties.remove(&key),
            };
        }
        let xattrs = Xattrs::of(&properties);
        prop_assert_eq!(xattrs.names(), model.keys().cloned().collect::<BTreeSet<_>>());
        for (name, value) in model {
            prop_assert_eq!(xattrs.get(&name), Some(value));
        }
    }

    #[test]
    fn nonsense_is_no_attribute_and_in_nobodys_way(
        name in name(),
        value in proptest::collection::vec(any::<u8>(), 100..700),
        broken in any::<prop::sample::Index>(),
        text in "[tb]?[0-9a-z]?:?.{0,90}",
        tail in "[A-Za-z0-9._-]{0,12}",
    ) {
        let mut properties = Xattrs::default().with(&name, Put::Set(&value)).expect("fits").kept;
        let key = properties.keys().nth(broken.index(properties.len())).expect("a key").clone();
        properties.insert(key, text.clone());
        properties.insert(format!("{PIECE}{tail}"), text);
        let xattrs = Xattrs::of(&properties);
        for known in xattrs.names() {
            prop_assert!(xattrs.get(&known).is_some());
        }
        let mended = xattrs.with(&name, Put::Set(&value)).expect("fits");
        prop_assert_eq!(mended.get(&name), Some(value));
        prop_assert!(!mended.with(&name, Put::Remove).expect("is there").names().contains(&name));
    }
}
