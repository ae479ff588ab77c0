//! Every name that a drive allows is one that can be used, and the same on two machines: what one of them does by the name that it
//! shows is what the other then shows, and what the drive has.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::cloud::{Cloud, SOON};
use crate::machine::{Machine, names, read, write};
use crate::rule::{self, Claimant, hex, is_legal, tag, tagged};

const FOLDER: &str = "application/vnd.google-apps.folder";
const DOCUMENT: &str = "application/vnd.google-apps.document";

/// Names of which no two are one, before or after the rule.
fn hostile() -> Vec<String> {
    let names = [
        "/",
        "a/b",
        "a/b.txt",
        "/leading",
        "trailing/",
        "\0",
        "nul\0inside",
        ".",
        "..",
        "...",
        "",
        " ",
        "  ",
        " leading",
        "trailing ",
        ".leading",
        "trailing.",
        "trailing .",
        "\t",
        "tab\tinside",
        "new\nline",
        "\n",
        "carriage\rreturn",
        "\u{1}",
        "bell\u{7}.txt",
        "\u{7f}",
        "e\u{301}",
        "\u{e9}",
        "\u{301}",
        "\u{1112}\u{1161}\u{11ab}",
        "\u{d55c}",
        "\u{fb01}",
        "fi",
        "README",
        "readme",
        "ReadMe",
        "\u{130}",
        "i\u{307}",
        "quote \"double\"",
        "it's",
        "back\\slash",
        "\\",
        "per%cent",
        "%2F",
        "%00",
        "%",
        "\\x00",
        "\\u0000",
        "&amp;",
        "\u{fffd}",
        "\u{feff}mark",
        "\u{202e}gpj.exe",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{1f600}.txt",
        "-rf",
        "--help",
        "*",
        "?",
        "a*b?[c]",
        "$HOME",
        "`id`",
        "a;b|c>d",
        "~",
        "#",
        "CON",
        "nul.txt",
        "Plan.gdoc",
        "Sheet.gsheet",
        "MyDrive",
        "My Drive",
        "x (abc123).txt",
        "x (abc123)",
        "(abc123)",
        " (abc123)",
        ".txt",
        "name.",
        "name.a b",
        "name.with-a-long-extension",
        "name (1).tar.gz",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend([254, 255, 256, 300, 1000].map(|length| "x".repeat(length)));
    names.extend([251, 252, 300].map(|length| format!("{}.bin", "y".repeat(length))));
    // Of two, three and four bytes a letter, up to the limit and across it.
    names.extend([127, 128, 200].map(|count| "\u{fc}".repeat(count)));
    names.extend([85, 86].map(|count| "\u{20ac}".repeat(count)));
    names.extend([63, 64].map(|count| "\u{1f600}".repeat(count)));
    names.extend([251, 252, 253].map(|length| format!("{}\u{20ac}", "z".repeat(length))));
    names
}

/// Two machines, and the folder of the drive that both look at.
struct Two {
    cloud: Cloud,
    id: String,
    machines: [Machine; 2],
}

/// What a machine should show under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Folder(Vec<String>),
    /// Its checksum.
    File(String),
    /// Its id.
    Document(String),
}

impl Two {
    /// With what `fill` puts into the folder.
    fn begin(fill: impl FnOnce(&Cloud, &str)) -> Self {
        let cloud = Cloud::start();
        let id = cloud.make_folder("names", &cloud.root());
        fill(&cloud, &id);
        let machines = [Machine::with(&cloud), Machine::with(&cloud)];
        Self { cloud, id, machines }
    }

    fn at(&self, machine: usize, name: &str) -> PathBuf {
        self.machines[machine].at("names").join(name)
    }

    fn items(&self, folder: &str) -> Vec<Value> {
        self.cloud.files(&format!("'{folder}' in parents and trashed = false"))
    }

    /// What the drive has, with its ids, under the names that the rule gives.
    fn expected(&self) -> BTreeMap<String, (String, Thing)> {
        let items = self.items(&self.id);
        let wanted: Vec<String> = items.iter().map(wanted).collect();
        let claims = items.iter().zip(&wanted).map(|(item, wanted)| Claimant {
            id: text(item, "id"),
            wanted,
            created: text(item, "createdTime"),
        });
        let names = rule::names(claims.collect());
        let thing = |item: &Value| match text(item, "mimeType") {
            FOLDER => {
                let inside = self.items(text(item, "id"));
                let mut names: Vec<String> = inside.iter().map(|item| text(item, "name").to_owned()).collect();
                names.sort();
                Thing::Folder(names)
            }
            DOCUMENT => Thing::Document(text(item, "id").to_owned()),
            _ => Thing::File(text(item, "md5Checksum").to_owned()),
        };
        items.iter().map(|item| (names[text(item, "id")].clone(), (text(item, "id").to_owned(), thing(item)))).collect()
    }

    /// Waits until both machines show what the drive has. Says what that is.
    #[track_caller]
    fn agree(&self, when: &str) -> BTreeMap<String, (String, Thing)> {
        let expected = self.expected();
        let things: BTreeMap<&String, &Thing> = expected.iter().map(|(name, (_, thing))| (name, thing)).collect();
        let began = Instant::now();
        for (number, machine) in self.machines.iter().enumerate() {
            loop {
                let shown = look(&machine.at("names"));
                let same =
                    shown.len() == things.len() && shown.iter().all(|(name, thing)| things.get(name) == Some(&thing));
                if same {
                    break;
                }
                let differ = things.iter().filter(|(name, thing)| shown.get(**name) != Some(thing));
                let differ: Vec<_> = differ.map(|(name, thing)| (name, thing, shown.get(*name))).collect();
                let more: Vec<_> = shown.keys().filter(|name| !things.contains_key(name)).collect();
                assert!(
                    began.elapsed() < SOON,
                    "{when}, machine {number} shows {more:?} that it should not, and otherwise than it should {differ:#?}"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        expected
    }

    /// Sends what a machine did, and waits for the other.
    #[track_caller]
    fn settle(&self, machine: usize, when: &str) -> BTreeMap<String, (String, Thing)> {
        self.machines[machine].flush();
        self.agree(when)
    }

    fn item(&self, id: &str) -> Value {
        let fields = [("fields", "name,trashed,parents")];
        self.cloud.call("GET", &format!("/drive/v3/files/{id}"), &fields, None)
    }
}

/// What is shown in a folder. What goes while this looks is left out.
fn look(folder: &Path) -> BTreeMap<String, Thing> {
    let mut things = BTreeMap::new();
    for name in names(folder) {
        let path = folder.join(&name);
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let thing = if metadata.is_dir() {
            let Ok(inside) = fs::read_dir(&path) else { continue };
            let mut inside: Vec<String> =
                inside.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            inside.sort();
            Thing::Folder(inside)
        } else {
            let Ok(mut file) = fs::File::open(&path) else { continue };
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("reads what it opened");
            assert_eq!(bytes.len() as u64, file.metadata().expect("stat").len(), "{name:?}");
            let document: Option<Value> = serde_json::from_slice(&bytes).ok();
            match document.as_ref().and_then(|document| document["id"].as_str()) {
                Some(id) => Thing::Document(id.to_owned()),
                None => Thing::File(hex(&Md5::digest(&bytes))),
            }
        };
        things.insert(name, thing);
    }
    things
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_else(|| panic!("no {field}: {item}"))
}

fn wanted(item: &Value) -> String {
    let name = text(item, "name");
    if text(item, "mimeType") == DOCUMENT { format!("{name}.gdoc") } else { name.to_owned() }
}

fn make_document(cloud: &Cloud, name: &str, folder: &str) -> String {
    let document = json!({ "name": name, "parents": [folder], "mimeType": DOCUMENT });
    text(&cloud.call("POST", "/drive/v3/files", &[], Some(document)), "id").to_owned()
}

#[test]
fn files_with_hostile_names_are_used_by_the_names_that_two_machines_show() {
    let two = Two::begin(|cloud, folder| {
        for name in hostile() {
            cloud.upload(&name, folder, format!("called {name:?}").as_bytes());
        }
    });
    use_all(&two, |path| write(path, format!("made anew at {}", path.display())), |path| fs::remove_file(path));
}

#[test]
fn folders_with_hostile_names_are_used_by_the_names_that_two_machines_show() {
    let two = Two::begin(|cloud, folder| {
        for name in hostile() {
            let id = cloud.make_folder(&name, folder);
            cloud.upload("inside", &id, format!("in {name:?}").as_bytes());
        }
    });
    let make = |path: &Path| {
        fs::create_dir(path).expect("makes");
        write(path.join("inside"), "made anew");
    };
    use_all(&two, make, |path| fs::remove_dir_all(path));
}

/// Renames, renames back, removes and makes anew all that is shown.
fn use_all(two: &Two, make: impl Fn(&Path), remove: impl Fn(&Path) -> std::io::Result<()>) {
    let first = two.agree("at first");
    let drive: HashMap<String, Value> =
        two.items(&two.id).into_iter().map(|item| (text(&item, "id").to_owned(), item)).collect();
    for (shown, (id, _)) in &first {
        let name = text(&drive[id], "name");
        let is_plain = is_legal(name);
        assert_eq!(*shown == name, is_plain, "{name:?} is shown as {shown:?}");
        assert!(is_plain || *shown == tagged(name, &tag(id)[..6]), "{name:?} is shown as {shown:?}");
    }
    for (number, shown) in first.keys().enumerate() {
        fs::rename(two.at(0, shown), two.at(0, &format!("plain {number}"))).expect("renames");
    }
    let plain = two.settle(0, "after all was renamed");
    for (number, (shown, (id, _))) in first.iter().enumerate() {
        assert_eq!(plain[&format!("plain {number}")].0, *id, "{shown:?} is the same item under another name");
    }
    // The other machine renames back.
    for (number, shown) in first.keys().enumerate() {
        fs::rename(two.at(1, &format!("plain {number}")), two.at(1, shown)).expect("renames");
    }
    assert_eq!(two.settle(1, "after all was renamed back"), first);
    for (shown, (id, _)) in &first {
        assert_eq!(two.item(id)["name"], shown.as_str(), "the name on the drive is the one that was given");
    }
    for shown in first.keys() {
        remove(&two.at(0, shown)).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert!(fs::symlink_metadata(two.at(0, shown)).is_err(), "{shown:?} is gone");
    }
    assert!(two.settle(0, "after all was removed").is_empty());
    for shown in first.keys() {
        make(&two.at(1, shown));
    }
    let anew = two.settle(1, "after all was made anew");
    assert!(anew.keys().eq(first.keys()), "all have the names that they were made with");
    for shown in first.keys() {
        remove(&two.at(0, shown)).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
    }
    assert!(two.settle(0, "in the end").is_empty());
}

#[test]
fn twins_are_used_by_the_names_that_two_machines_show() {
    let two = Two::begin(|cloud, folder| {
        for number in 0..2 {
            cloud.upload("same.txt", folder, &[number]);
            cloud.make_folder("same.txt", folder);
            cloud.upload("a/b", folder, &[2 + number]);
            make_document(cloud, "Plan", folder);
            cloud.upload("Plan.gdoc", folder, &[4 + number]);
        }
        cloud.upload("Same.txt", folder, b"another case");
        // Called like what the rule makes of others, before and after those.
        let slashed = cloud.upload("c/d.txt", folder, b"slashed");
        cloud.upload(&tagged("c/d.txt", &tag(&slashed)[..6]), folder, b"called like the one with a slash");
        let younger = cloud.upload("same.txt", folder, b"youngest");
        cloud.upload(&tagged("same.txt", &tag(&younger)[..6]), folder, b"called like the youngest");
        cloud.upload(&tagged("same.txt", &tag(&younger)[..16]), folder, b"and like what it is called then");
        cloud.make_folder(&tagged("same.txt", &tag(&younger)[..6]), folder);
    });
    let mut all = two.agree("at first");
    let ids: Vec<String> = all.values().map(|(id, _)| id.clone()).collect();
    for (number, id) in ids.iter().enumerate() {
        let (shown, (_, thing)) = all.iter().find(|(_, (other, _))| other == id).expect("is there");
        let (shown, thing) = (shown.clone(), thing.clone());
        let here = number % 2;
        let was = text(&two.item(id), "name").to_owned();
        // A document keeps its extension.
        let plain =
            if let Thing::Document(_) = thing { format!("plain {number}.gdoc") } else { format!("plain {number}") };
        fs::rename(two.at(here, &shown), two.at(here, &plain)).expect("renames");
        all = two.settle(here, &format!("after {shown:?} was renamed"));
        assert_eq!(all[&plain].0, *id);
        if all.contains_key(&shown) {
            // A twin has the name now, and gives it back to who is older.
            two.cloud.patch(id, &[], json!({ "name": was }));
            all = two.agree(&format!("after {shown:?} was given its name back"));
        } else {
            fs::rename(two.at(1 - here, &plain), two.at(1 - here, &shown)).expect("renames");
            all = two.settle(1 - here, &format!("after {shown:?} was renamed back"));
        }
        assert_eq!(all[&shown].0, *id, "{shown:?}");
        if let Thing::Folder(_) = thing {
            fs::remove_dir(two.at(here, &shown)).expect("removes");
        } else {
            fs::remove_file(two.at(here, &shown)).expect("removes");
        }
        all = two.settle(here, &format!("after {shown:?} was removed"));
        assert!(all.values().all(|(other, _)| other != id), "{shown:?} is gone");
        assert_eq!(two.item(id)["trashed"], true, "{shown:?} was the one that was removed");
        match all.get(&shown) {
            None => write(two.at(1 - here, &shown), format!("made anew as {shown:?}")),
            // The name addresses the twin now.
            Some((_, Thing::File(_))) => write(two.at(1 - here, &shown), format!("rewritten as {shown:?}")),
            Some(_) => continue,
        }
        let before = all.get(&shown).map(|(id, _)| id.clone());
        all = two.settle(1 - here, &format!("after {shown:?} was written"));
        assert!(before.is_none_or(|before| all[&shown].0 == before), "{shown:?} addresses what it shows");
    }
}

#[test]
fn names_stay_while_twins_come_and_go_and_go_to_the_next_when_the_oldest_leaves() {
    let two = Two::begin(|_, _| {});
    let ids: Vec<String> = (0..5_u8)
        .map(|number| {
            // No two in one millisecond.
            std::thread::sleep(Duration::from_millis(2));
            two.cloud.upload("twin.txt", &two.id, &[number])
        })
        .collect();
    let of = |all: &BTreeMap<String, (String, Thing)>| -> HashMap<String, String> {
        all.iter().map(|(name, (id, _))| (id.clone(), name.clone())).collect()
    };
    let first = of(&two.agree("with five twins"));
    let tags = ids[1..].iter().map(|id| (id, tagged("twin.txt", &tag(id)[..6])));
    assert_eq!(first[&ids[0]], "twin.txt");
    for (id, name) in tags {
        assert_eq!(first[id], name);
    }
    let sixth = two.cloud.upload("twin.txt", &two.id, b"sixth");
    let mut now = of(&two.agree("with one more"));
    assert_eq!(now.remove(&sixth), Some(tagged("twin.txt", &tag(&sixth)[..6])));
    assert_eq!(now, first, "the others keep their names");
    two.cloud.trash(&ids[2]);
    two.cloud.call("DELETE", &format!("/drive/v3/files/{sixth}"), &[], None);
    let mut now = of(&two.agree("with two fewer"));
    now.insert(ids[2].clone(), first[&ids[2]].clone());
    assert_eq!(now, first, "the others keep their names");
    two.cloud.patch(&ids[2], &[], json!({ "trashed": false }));
    assert_eq!(of(&two.agree("with one back")), first, "it has its name again");
    fs::remove_file(two.at(0, "twin.txt")).expect("removes");
    let now = of(&two.settle(0, "without the oldest"));
    assert_eq!(now[&ids[1]], "twin.txt", "the next has its name");
    for id in &ids[2..] {
        assert_eq!(now[id], first[id], "the others keep theirs");
    }
    two.cloud.patch(&ids[0], &[], json!({ "trashed": false }));
    assert_eq!(of(&two.agree("with the oldest back")), first);
    // What is put where the name is by a rename takes the place of that one, and of no other.
    write(two.at(1, "new"), "new");
    fs::rename(two.at(1, "new"), two.at(1, &first[&ids[3]])).expect("renames");
    let now = of(&two.settle(1, "after a save by rename"));
    assert_eq!(now, first, "every item is the same");
    assert_eq!(read(two.at(0, &first[&ids[3]])), b"new");
}

#[test]
fn an_entry_called_like_the_alias_of_the_root_has_the_name_as_long_as_it_is_there() {
    let cloud = Cloud::start();
    let root = cloud.root();
    for name in ["MyDrive", "My Drive"] {
        cloud.upload(name, &root, name.as_bytes());
    }
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["My Drive", "MyDrive"]);
    for name in ["MyDrive", "My Drive"] {
        assert_eq!(read(machine.at(name)), name.as_bytes());
        fs::rename(machine.at(name), machine.at(&format!("{name} of mine"))).expect("renames");
        machine.flush();
        assert_eq!(names(machine.at(name)), names(machine.drive()), "the root again");
        fs::remove_file(machine.at(&format!("{name}/{name} of mine"))).expect("removes");
    }
    machine.flush();
    assert_eq!(cloud.all(), Vec::<Value>::new());
}
