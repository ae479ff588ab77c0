//! What somebody else does to the drive: in a part of the tree of its own, and where the processes work.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::SystemTime;

use serde_json::json;

use crate::cloud::PROGRAM;
use crate::dice::Content;
use crate::generate::Part;
use crate::machine::{names, run, said};
use crate::memory::{Kind, Last, Modified, Place};
use crate::operation::{Flags, Operation};
use crate::run::{ELSEWHERE, HOMES, Run, SHARED, WORKERS};

/// That of a file which the drive has stamped before the model hears of it.
const SOME_TIME: Modified = Modified::Since(SystemTime::UNIX_EPOCH);

/// The ids of what is on the drive, by path.
type Ids = BTreeMap<String, String>;

impl Run {
    fn ids(&self) -> Ids {
        let root = self.cloud.root();
        let files = self.cloud.all();
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let known: BTreeMap<String, (String, String)> =
            files.iter().map(|file| (text(&file["id"]), (text(&file["name"]), text(&file["parents"][0])))).collect();
        let path = |id: &String| {
            let mut at = id;
            let mut names = Vec::new();
            while *at != root {
                let (name, parent) = known.get(at)?;
                names.push(name.as_str());
                at = parent;
            }
            names.reverse();
            Some(names.join("/"))
        };
        known.keys().filter_map(|id| Some((path(id)?, id.clone()))).collect()
    }

    /// A few changes in the part that nobody works in here.
    pub(crate) fn edit_elsewhere(&mut self) {
        // Trouble is for the mount: who else uses the drive has none.
        self.cloud.make_trouble(&[]);
        let mut ids = self.ids();
        for _ in 0..self.dice.below(12) {
            self.edit_in(HOMES[ELSEWHERE], &mut ids);
        }
        let rules = self.trouble.clone();
        self.cloud.make_trouble(&rules);
    }

    /// A change by somebody else in a part of the tree that the drive has as the model does. What has several names is not removed: which
    /// of them is its place, with which it would go, the model does not know.
    fn edit_in(&mut self, home: &str, ids: &mut Ids) {
        self.counts.edits_elsewhere += 1;
        let part = Part { memory: &self.memory, home };
        let path = part.existing(&mut self.dice, false);
        let folder = part.existing(&mut self.dice, true);
        let new = format!("{folder}/{}", self.new_name());
        let place = self.memory.walk(&path, Last::Keep).expect("a folder that is there");
        let length = self.dice.below(20_000);
        let content = self.dice.content_of(length);
        let is_file = place.found.is_some_and(|ino| matches!(self.memory.inode(ino).kind, Kind::File(_)));
        let crowded = self.memory.count(self.memory.find(home, Last::Keep).expect("a home")) > 60;
        let what = self.dice.below(10);
        self.note(&format!("elsewhere {what} {path} {new} {content:?}"));
        let keeps = place.found.is_some_and(|ino| self.memory.shares_names(ino));
        match (what, place.found) {
            (0..=1, Some(ino)) if is_file => {
                let target = self.cloud.get(&ids[&path])["shortcutDetails"]["targetId"].as_str().map(str::to_owned);
                self.cloud.rewrite(target.as_ref().unwrap_or(&ids[&path]), &content.bytes());
                self.memory.resize(ino, 0);
                self.memory.write_at(ino, 0, &content.bytes());
                self.memory.inode_mut(ino).modified = SOME_TIME;
            }
            (2..=4, Some(ino)) => {
                let to = self.memory.walk(&new, Last::Keep).expect("a folder that is there");
                if !to.above.contains(&ino) {
                    self.move_elsewhere(&path, &place, &new, &to, ids);
                }
            }
            (5, Some(_)) if !keeps => self.trash(&path, &place, ids),
            (_, Some(_)) if crowded && !keeps => self.trash(&path, &place, ids),
            (6..=7, _) => {
                let id = self.cloud.make_folder(last(&new), &ids[&folder]);
                self.make_elsewhere(&new, Kind::Folder(BTreeMap::new()), 0o755);
                ids.insert(new, id);
            }
            _ => {
                let id = self.cloud.upload(last(&new), &ids[&folder], &content.bytes());
                self.make_elsewhere(&new, Kind::File(content.bytes()), 0o644);
                ids.insert(new, id);
            }
        }
    }

    /// In the model, after it was made on the drive.
    fn make_elsewhere(&mut self, path: &str, kind: Kind, mode: u32) {
        let ino = self.memory.make(path, kind, mode).expect("is free");
        self.memory.inode_mut(ino).modified = SOME_TIME;
    }

    /// A name that nobody uses.
    fn new_name(&mut self) -> String {
        format!("elsewhere {:x}.txt", self.dice.below(1 << 31))
    }

    fn move_elsewhere(&mut self, path: &str, from: &Place, new: &str, to: &Place, ids: &mut Ids) {
        let (old_folder, new_folder) = (&ids[folder_of(path)], &ids[folder_of(new)]);
        let parents = [("addParents", new_folder.as_str()), ("removeParents", old_folder.as_str())];
        let query = if old_folder == new_folder { &[][..] } else { &parents };
        self.cloud.patch(&ids[path], query, json!({ "name": last(new) }));
        self.memory.relocate(from, to);
        // A drive sets the time to now with any change that does not say it.
        self.memory.inode_mut(from.found.expect("an entry")).modified = SOME_TIME;
        let moved: Vec<String> = ids.keys().filter(|other| is_within(other, path)).cloned().collect();
        for old in moved {
            let id = ids.remove(&old).expect("an id");
            ids.insert(format!("{new}{}", &old[path.len()..]), id);
        }
    }

    fn trash(&mut self, path: &str, place: &Place, ids: &mut Ids) {
        self.cloud.trash(&ids[path]);
        self.memory.detach_tree(place.folder, &place.name);
        ids.retain(|other, _| !is_within(other, path));
    }

    /// Somebody else changes what the processes here have changed, or are changing just now.
    pub(crate) fn edit_on_both_sides(&mut self) {
        self.close_all();
        self.set_trouble(&[]);
        self.flush();
        self.soon("before edits on both sides");
        let mut ids = self.ids();
        for _ in 0..=self.dice.below(4) {
            let home = HOMES[self.dice.index(SHARED + 1)];
            let path = Part { memory: &self.memory, home }.existing(&mut self.dice, false);
            let is_file = self.memory.find(&path, Last::Keep).is_ok_and(|ino| {
                matches!(self.memory.inode(ino).kind, Kind::File(_)) && self.memory.inode(ino).names == 1
            });
            if is_file && self.dice.once_in(2) {
                self.edit_here_and_elsewhere(&path, &mut ids);
            } else {
                self.edit_in(home, &mut ids);
            }
            self.soon("after an edit elsewhere");
            ids = self.ids();
        }
        self.flush();
        self.compare("after edits on both sides");
        self.compare_drive("after edits on both sides");
    }

    fn edit_here_and_elsewhere(&mut self, path: &str, ids: &mut Ids) {
        self.counts.edits_on_both_sides += 1;
        let place = self.memory.walk(path, Last::Keep).expect("a path");
        let ino = place.found.expect("a file");
        let process = self.dice.index(WORKERS);
        let truncate = self.dice.once_in(2);
        let flags = Flags { write: true, truncate, ..Flags::default() };
        self.perform(process, &Operation::Open { slot: 0, path: path.to_owned(), flags });
        if !truncate {
            // Else the rest of what the edit began from might be gone from the drive before it is fetched.
            self.perform(process, &Operation::ReadOpen { slot: 0, offset: 0, length: 20_000_000 });
        }
        let ours = 1 + self.dice.below(5000);
        let content = self.dice.content_of(ours);
        let offset = self.dice.below(100);
        self.perform(process, &Operation::WriteOpen { slot: 0, offset, content });
        let theirs = self.dice.content_of(ours + 7);
        let id = ids[path].clone();
        let what = self.dice.below(5);
        self.note(&format!("on both sides {what} {path} {theirs:?}"));
        match what {
            0..=1 => self.cloud.rewrite(&id, &theirs.bytes()),
            2 => self.cloud.trash(&id),
            3 => {
                let new = format!("{}/{}", folder_of(path), self.new_name());
                let to = self.memory.walk(&new, Last::Keep).expect("a folder that is there");
                self.move_elsewhere(path, &place, &new, &to, ids);
            }
            _ => self.trash_folder_around(path, ids),
        }
        if self.dice.once_in(2) {
            // Until it was heard of; else it may come later than our edit.
            let refreshed = run(Command::new(PROGRAM).arg("refresh").arg(self.machine.drive()));
            assert!(refreshed.status.success(), "{self}: {}", said(&refreshed));
        }
        self.perform(process, &Operation::Close { slot: 0 });
        self.flush();
        if what <= 1 {
            self.find_conflict_copy(path, &place, theirs);
        } else {
            self.soon("after edits on both sides");
        }
        assert!(self.memory.inode(ino).names > 0, "{self}: {path}");
    }

    /// The folder that a file is in, and all else in it, goes; the file was edited here and comes back.
    fn trash_folder_around(&mut self, path: &str, ids: &mut Ids) {
        let folder = folder_of(path);
        let ino = self.memory.find(folder, Last::Keep).expect("a folder");
        if HOMES.contains(&folder) || self.memory.shares_names(ino) {
            return;
        }
        self.cloud.trash(&ids[folder]);
        let others: Vec<String> =
            self.memory.entries(ino).expect("a folder").keys().filter(|name| *name != last(path)).cloned().collect();
        for name in others {
            self.memory.detach_tree(ino, &name);
        }
    }

    /// Their version has the name, ours has another beside it.
    fn find_conflict_copy(&mut self, path: &str, place: &Place, theirs: Content) {
        let folder = folder_of(path);
        let known = copies(self.memory.entries(place.folder).expect("a folder").keys());
        let shown = names(self.machine.at(folder));
        let new: Vec<String> = copies(shown.iter()).into_iter().filter(|name| !known.contains(name)).collect();
        let [copy] = &new[..] else { panic!("{self}: {path}: conflict copies {new:?}, beside {known:?}") };
        let to = self.memory.walk(&format!("{folder}/{copy}"), Last::Keep).expect("a folder that is there");
        let mode = self.memory.inode(place.found.expect("a file")).mode;
        self.memory.relocate(place, &to);
        self.make_elsewhere(path, Kind::File(theirs.bytes()), mode);
        self.soon("after a conflict");
    }
}

fn copies<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.filter(|name| name.contains(" (conflict ")).cloned().collect()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
