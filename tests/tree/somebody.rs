//! Somebody else who uses the drive, and knows what is on it: every change is theirs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::contents::content;
use crate::dice::Dice;
use crate::rule::{Claimant, tag, tagged};

/// Of something on the drive, also in its trash, what the drive said last.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) parent: String,
    /// Which content it has, and which version of that; `None` for a folder.
    pub(crate) content: Option<(u64, u64)>,
    pub(crate) size: u64,
    pub(crate) created: String,
    pub(crate) modified: String,
    /// It was put into the trash itself.
    pub(crate) trashed: bool,
}

pub(crate) struct Somebody<'a> {
    cloud: &'a Cloud,
    pub(crate) root: String,
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) dice: Dice,
    /// The folders made last, which are where the next things happen.
    new: Vec<String>,
    files: u64,
    /// What changed since all was seen.
    pub(crate) unseen: BTreeSet<String>,
    /// What was done, for who looks for a mistake.
    pub(crate) history: Vec<String>,
}

/// What is on the drive is kept near this, so that everything meets everything.
const USUAL: usize = 250;

/// Names that meet each other, or that no file system has.
const NAMES: [&str; 16] = [
    "twin",
    "twin.txt",
    "Twin.txt",
    "a/b.txt",
    "a_b.txt",
    "",
    ".",
    "..",
    "new\nline",
    "e\u{301}",
    "\u{e9}",
    " blank ",
    "\0",
    "data.bin",
    "model.ckpt",
    "Plan.gdoc",
];

impl<'a> Somebody<'a> {
    pub(crate) fn new(cloud: &'a Cloud, dice: Dice) -> Self {
        let root = cloud.root();
        let (items, new, history) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { cloud, root, items, dice, new, files: 0, unseen: BTreeSet::new(), history }
    }

    /// Makes some folders and files.
    pub(crate) fn begin(&mut self) {
        for _ in 0..USUAL / 5 {
            self.make_folder();
        }
        while self.items.len() < USUAL {
            self.create();
        }
    }

    /// To be called when the mount shows all that was done.
    pub(crate) fn seen(&mut self) {
        self.unseen.clear();
    }

    /// Whether it can be seen, that is, neither it nor a folder above is in the trash.
    pub(crate) fn is_live(&self, id: &str) -> bool {
        self.way(id).all(|item| !item.trashed)
    }

    /// It, and the folders above.
    fn way(&self, id: &str) -> impl Iterator<Item = &Item> {
        std::iter::successors(self.items.get(id), |item| self.items.get(&item.parent))
    }

    fn is_folder(&self, id: &str) -> bool {
        self.items[id].content.is_none()
    }

    fn is_within(&self, id: &str, folder: &str) -> bool {
        id == folder || self.way(id).any(|item| item.parent == folder)
    }

    /// What is in each folder that can be seen, by the ids.
    pub(crate) fn folders(&self) -> HashMap<&str, Vec<(&str, &Item)>> {
        let mut folders: HashMap<&str, Vec<(&str, &Item)>> = HashMap::new();
        for (id, item) in self.items.iter().filter(|(id, _)| self.is_live(id)) {
            folders.entry(&item.parent).or_default().push((id, item));
        }
        folders
    }

    /// A change; what cannot be done now is another one.
    pub(crate) fn edit(&mut self) {
        let live = self.items.keys().filter(|id| self.is_live(id)).count();
        loop {
            let chance = self.dice.below(100);
            let done = match chance {
                0..=11 if live < 2 * USUAL => {
                    self.create();
                    Some(())
                }
                12..=19 if live < 2 * USUAL => {
                    self.make_folder();
                    Some(())
                }
                20..=36 => self.rewrite(),
                37..=47 => self.rename(),
                48..=65 => self.relocate(),
                66..=69 => self.fold_in(),
                70..=79 if live > USUAL / 2 => self.trash(),
                80..=88 => self.restore(),
                89..=94 if live > USUAL / 2 => self.delete(),
                95..=99 => self.in_the_trash(),
                _ => None,
            };
            if done.is_some() {
                return;
            }
        }
    }

    /// One of what is there and has this.
    fn pick(&mut self, has: impl Fn(&Self, &str, &Item) -> bool) -> Option<String> {
        let found: Vec<&String> =
            self.items.iter().filter(|(id, item)| has(self, id, item)).map(|(id, _)| id).collect();
        // The borrow ends before the dice are thrown.
        let count = found.len();
        let ids: Vec<String> = found.into_iter().cloned().collect();
        (count > 0).then(|| self.dice.pick(&ids).clone())
    }

    fn pick_live(&mut self) -> Option<String> {
        self.pick(|all, id, _| all.is_live(id))
    }

    /// A folder to put something into: the root, one that was just made, or any.
    fn folder(&mut self) -> String {
        let chance = self.dice.below(8);
        let last = self.new.last().filter(|id| self.is_live(id)).cloned();
        let any = self.pick(|all, id, item| item.content.is_none() && all.is_live(id));
        let folder = match chance {
            0 => None,
            1..=3 => last.or(any),
            _ => any,
        };
        folder.unwrap_or_else(|| self.root.clone())
    }

    /// Often one that somebody has. The path must be one that a program can give, so folders have no long ones.
    fn name(&mut self, is_folder: bool) -> String {
        match self.dice.below(10) {
            0..=3 => (*self.dice.pick(&NAMES)).to_owned(),
            4 if !is_folder => format!("{}.txt", "long ".repeat(60)),
            5 if !is_folder => {
                // The name that an entry is shown under which has this one.
                let Some(id) = self.pick_live() else { return "x".to_owned() };
                tagged(&self.items[&id].name, &tag(&id)[..6])
            }
            _ => format!("{:x}.dat", self.dice.below(1 << 31)),
        }
    }

    fn note(&mut self, what: &str) {
        self.history.push(format!("{} {what}", drivemount::clock::now().to_rfc3339()));
    }

    fn create(&mut self) {
        let (folder, name) = (self.folder(), self.name(false));
        self.files += 1;
        let id = self.cloud.upload(&name, &folder, &content(self.files, 1));
        self.note(&format!("create {id} {name:?} in {folder}"));
        self.learn(&id, Some((self.files, 1)));
    }

    fn make_folder(&mut self) {
        let (folder, name) = (self.folder(), self.name(true));
        let id = self.cloud.make_folder(&name, &folder);
        self.note(&format!("make folder {id} {name:?} in {folder}"));
        self.learn(&id, None);
        self.new.push(id);
    }

    fn rewrite(&mut self) -> Option<()> {
        let id = self.pick(|all, id, item| item.content.is_some() && all.is_live(id))?;
        let (file, version) = self.items[&id].content?;
        self.cloud.rewrite(&id, &content(file, version + 1));
        self.note(&format!("rewrite {id}: version {}", version + 1));
        self.learn(&id, Some((file, version + 1)));
        Some(())
    }

    fn rename(&mut self) -> Option<()> {
        let id = self.pick_live()?;
        let name = self.name(self.is_folder(&id));
        self.change(&id, &[], json!({ "name": name }));
        Some(())
    }

    /// Moves a file or a folder, however deep it is, now and then with another name.
    fn relocate(&mut self) -> Option<()> {
        let id = self.pick_live()?;
        let folder = self.folder();
        let body = if self.dice.below(3) == 0 { json!({ "name": self.name(self.is_folder(&id)) }) } else { json!({}) };
        self.move_to(&id, &folder, body)
    }

    fn move_to(&mut self, id: &str, folder: &str, body: Value) -> Option<()> {
        let from = self.items[id].parent.clone();
        if from == folder || self.is_within(folder, id) {
            return None;
        }
        self.change(id, &[("addParents", folder), ("removeParents", &from)], body);
        Some(())
    }

    /// Makes a folder, and moves another into it with all that is there.
    fn fold_in(&mut self) -> Option<()> {
        self.make_folder();
        let new = self.new.last()?.clone();
        let id = self.pick(|all, id, item| item.content.is_none() && all.is_live(id) && !all.is_within(&new, id))?;
        self.move_to(&id, &new, json!({}))
    }

    fn trash(&mut self) -> Option<()> {
        let id = self.pick_live()?;
        self.change(&id, &[], json!({ "trashed": true }));
        Some(())
    }

    fn restore(&mut self) -> Option<()> {
        let id = self.pick(|_, _, item| item.trashed)?;
        self.change(&id, &[], json!({ "trashed": false }));
        Some(())
    }

    /// Deletes for good, with all that is in it.
    fn delete(&mut self) -> Option<()> {
        // Mostly a file, or soon there would be nothing.
        let any = self.dice.below(4) == 0;
        // The feed tells of the folder alone. Where something was when it went with that must have been told before.
        let is_known =
            |all: &Self, folder: &str| !all.unseen.iter().any(|id| id != folder && all.is_within(id, folder));
        let id = self.pick(|all, id, item| item.content.is_some() || any && is_known(all, id))?;
        self.cloud.call("DELETE", &format!("/drive/v3/files/{id}"), &[], None);
        self.note(&format!("delete {id} {:?}", self.items[&id].name));
        let gone: Vec<String> = self.items.keys().filter(|other| self.is_within(other, &id)).cloned().collect();
        self.items.retain(|id, _| !gone.contains(id));
        Some(())
    }

    /// Changes something in a folder that is in the trash, or takes it out of there.
    fn in_the_trash(&mut self) -> Option<()> {
        let id = self.pick(|all, id, item| !item.trashed && !all.is_live(id))?;
        if self.dice.below(2) == 0 {
            let folder = self.folder();
            return self.move_to(&id, &folder, json!({}));
        }
        let name = self.name(self.is_folder(&id));
        self.change(&id, &[], json!({ "name": name }));
        Some(())
    }

    fn change(&mut self, id: &str, query: &[(&str, &str)], body: Value) {
        self.note(&format!("change {id} {:?}: {query:?} {body}", self.items[id].name));
        self.cloud.patch(id, query, body);
        self.learn(id, self.items[id].content);
    }

    /// Asks the drive how it is.
    fn learn(&mut self, id: &str, content: Option<(u64, u64)>) {
        let fields = [("fields", "name,parents,size,createdTime,modifiedTime,explicitlyTrashed")];
        let item = self.cloud.call("GET", &format!("/drive/v3/files/{id}"), &fields, None);
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{item}")).to_owned();
        let item = Item {
            name: text(&item["name"]),
            parent: text(&item["parents"][0]),
            content,
            size: item["size"].as_str().map_or(0, |size| size.parse().expect("a number")),
            created: text(&item["createdTime"]),
            modified: text(&item["modifiedTime"]),
            trashed: item["explicitlyTrashed"].as_bool().unwrap_or(false),
        };
        self.items.insert(id.to_owned(), item);
        self.unseen.insert(id.to_owned());
    }
}

impl Item {
    pub(crate) fn claim<'a>(&'a self, id: &'a str) -> Claimant<'a> {
        Claimant { id, wanted: &self.name, created: &self.created }
    }
}
