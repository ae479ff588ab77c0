//! The rules against a model: the same random changes to My Drive and two shared drives and to a plain map must give the same
//! drives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::super::Limits;
use super::super::access::Access;
use super::super::blobs::Content;
use super::super::caller::Caller;
use super::super::error::Result;
use super::super::ids;
use super::super::media_type::FOLDER;
use super::super::metadata::Metadata;
use super::super::metadata::drive::DriveBody;
use super::super::store::{self, Edit, Identity, contents, invariants};
use super::{Moves, Rules, Upload};
use crate::clock;

/// The top folder of My Drive. Those of the shared drives follow.
const ROOT: usize = 0;
const TOPS: usize = 3;
const DEPTH: usize = 4;

/// What the drives should hold: items in the order of their creation, by a number of the test's own.
#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<usize, Entry>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    parent: usize,
    is_folder: bool,
    put_in_trash: bool,
    size: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Folder { parent: usize },
    File { parent: usize, size: u64 },
    Write { item: usize, size: u64, keep: bool },
    Move { item: usize, to: usize },
    Trash { item: usize, trashed: bool },
    Copy { item: usize },
    Delete { item: usize },
    EmptyTrash { drive: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let item = || 0..14_usize;
    let size = || prop_oneof![Just(0_u64), 1..5_u64];
    prop_oneof![
        3 => item().prop_map(|parent| Step::Folder { parent }),
        3 => (item(), size()).prop_map(|(parent, size)| Step::File { parent, size }),
        2 => (item(), size(), any::<bool>()).prop_map(|(item, size, keep)| Step::Write { item, size, keep }),
        4 => (item(), item()).prop_map(|(item, to)| Step::Move { item, to }),
        3 => (item(), any::<bool>()).prop_map(|(item, trashed)| Step::Trash { item, trashed }),
        1 => item().prop_map(|item| Step::Copy { item }),
        1 => item().prop_map(|item| Step::Delete { item }),
        1 => (0..TOPS).prop_map(|drive| Step::EmptyTrash { drive }),
    ]
}

impl Model {
    fn is_folder(&self, item: usize) -> bool {
        item < TOPS || self.0.get(&item).is_some_and(|entry| entry.is_folder)
    }

    /// The drive that an item is in, by its top folder.
    fn drive(&self, item: usize) -> usize {
        self.path(item).last().map_or(item, |highest| self.0[&highest].parent)
    }

    /// The items from `item` up to the top of its drive, which is not among them.
    fn path(&self, item: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(item), |item| self.0.get(item).map(|entry| entry.parent))
            .filter(|item| *item >= TOPS)
    }

    fn is_trashed(&self, item: usize) -> bool {
        self.path(item).any(|item| self.0[&item].put_in_trash)
    }

    /// Levels of folders that `item` brings along, itself included.
    fn levels(&self, item: usize) -> usize {
        let below = self.0.iter().filter(|(_, entry)| entry.parent == item).map(|(child, _)| self.levels(*child)).max();
        if self.is_folder(item) { 1 + below.unwrap_or(0) } else { 0 }
    }

    /// Whether `levels` levels fit into the folder.
    fn has_room(&self, folder: usize, levels: usize) -> bool {
        self.is_folder(folder) && (levels == 0 || self.path(folder).count() + levels <= DEPTH)
    }

    fn remove(&mut self, item: usize) {
        let children: Vec<usize> =
            self.0.iter().filter(|(_, entry)| entry.parent == item).map(|(child, _)| *child).collect();
        for child in children {
            self.remove(child);
        }
        self.0.remove(&item);
    }

    /// Does the step if it is allowed; whether it was. `new` is the number of the item that it creates.
    fn apply(&mut self, step: &Step, new: usize) -> bool {
        let exists = |item: usize| item < TOPS || self.0.contains_key(&item);
        let entry = |parent, is_folder, size| Entry { parent, is_folder, put_in_trash: false, size };
        match *step {
            Step::Folder { parent } => {
                let fits = exists(parent) && self.has_room(parent, 1);
                fits && self.0.insert(new, entry(parent, true, 0)).is_none()
            }
            Step::File { parent, size } => {
                self.is_folder(parent) && self.0.insert(new, entry(parent, false, size)).is_none()
            }
            Step::Write { item, size, .. } => match self.0.get_mut(&item) {
                Some(entry) if !entry.is_folder => {
                    entry.size = size;
                    true
                }
                _ => false,
            },
            Step::Move { item, to } => {
                let fits = self.0.contains_key(&item) && exists(to) && self.is_folder(to);
                if !fits || self.path(to).any(|above| above == item) {
                    return false;
                }
                if self.0[&item].parent == to {
                    return true;
                }
                let emigrates = self.drive(to) != self.drive(item);
                if emigrates && (self.is_trashed(item) || self.is_folder(item) && self.drive(to) != ROOT) {
                    return false;
                }
                let fits = self.has_room(to, self.levels(item));
                if fits {
                    self.0.get_mut(&item).expect("exists").parent = to;
                }
                fits
            }
            Step::Trash { item, trashed } => match self.0.get_mut(&item) {
                Some(entry) => {
                    entry.put_in_trash = trashed;
                    true
                }
                None => false,
            },
            Step::Copy { item } => match self.0.get(&item) {
                Some(source) if !source.is_folder => {
                    let copy = entry(source.parent, false, source.size);
                    self.0.insert(new, copy).is_none()
                }
                _ => false,
            },
            Step::Delete { item } => {
                let exists = self.0.contains_key(&item);
                if exists {
                    self.remove(item);
                }
                exists
            }
            Step::EmptyTrash { drive } => {
                let trashed = self.0.iter().filter(|(item, entry)| entry.put_in_trash && self.drive(**item) == drive);
                let trashed: Vec<usize> = trashed.map(|(item, _)| *item).collect();
                for item in trashed {
                    self.remove(item);
                }
                true
            }
        }
    }
}

/// The drives with the ids of the items that the model knows by number.
struct Drive {
    db: Connection,
    identity: Identity,
    caller: Caller,
    limits: Limits,
    ids: Vec<String>,
}

impl Drive {
    fn new() -> Self {
        let (db, identity) = store::in_memory();
        let limits = Limits { depth: DEPTH as u64, ..Limits::default() };
        let ids = vec![identity.owner().root.clone()];
        let caller = identity.own_caller();
        let mut drive = Self { db, identity, caller, limits, ids };
        for request in 1..TOPS {
            let body = DriveBody::parse(br#"{"name": "shared"}"#).expect("parses");
            let id = drive.change(|rules| rules.create_drive(&request.to_string(), &body)).expect("is made");
            drive.ids.push(id);
        }
        drive
    }

    /// Does `job` as one transaction.
    fn change<T>(&self, job: impl FnOnce(&Rules<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.db.unchecked_transaction()?;
        let edit = Edit { db: &transaction, now: clock::now() };
        let (identity, limits, caller) = (&self.identity, &self.limits, &self.caller);
        let result = job(&Rules { edit: &edit, identity, limits, caller, all_drives: true })?;
        transaction.commit()?;
        Ok(result)
    }

    fn id(&self, item: usize) -> &str {
        self.ids.get(item).map_or("none", String::as_str)
    }

    /// Does the step; the id of the item that it created, if it did.
    fn apply(&self, step: &Step) -> Result<Option<String>> {
        self.change(|rules| self.make(rules, step))
    }

    fn make(&self, rules: &Rules<'_>, step: &Step) -> Result<Option<String>> {
        let metadata = |fields: serde_json::Value| Metadata::parse(fields.to_string().as_bytes());
        let content = |size: u64| -> Result<Content> {
            let blob = (size > 0).then(ids::blob);
            if let Some(blob) = &blob {
                contents::draft(rules.edit, blob)?;
            }
            Ok(Content { blob, ..Content::expected(size) })
        };
        let created = match *step {
            Step::Folder { parent } => {
                let fields = metadata(json!({ "mimeType": FOLDER, "parents": [self.id(parent)] }))?;
                Some(rules.create(&fields, None)?)
            }
            Step::File { parent, size } => {
                let fields = metadata(json!({ "parents": [self.id(parent)] }))?;
                let upload = Upload { content: &content(size)?, media_type: None, keep_forever: false };
                Some(rules.create(&fields, Some(&upload))?)
            }
            Step::Write { item, size, keep } => {
                let upload = Upload { content: &content(size)?, media_type: None, keep_forever: keep };
                rules.update(self.id(item), &Metadata::default(), Moves::default(), Some(&upload))?;
                None
            }
            Step::Move { item, to } => {
                let (add, from) = ([self.id(to).to_owned()], rules.access().get(self.id(item))?.parent);
                let remove = [from.unwrap_or_else(|| "none".into())];
                let moves = Moves { add: &add, remove: &remove };
                rules.update(self.id(item), &metadata(json!({}))?, moves, None)?;
                None
            }
            Step::Trash { item, trashed } => {
                let fields = metadata(json!({ "trashed": trashed }))?;
                rules.update(self.id(item), &fields, Moves::default(), None)?;
                None
            }
            Step::Copy { item } => Some(rules.copy(self.id(item), &metadata(json!({}))?, false)?),
            Step::Delete { item } => {
                rules.delete(self.id(item))?;
                None
            }
            Step::EmptyTrash { drive } => {
                rules.empty_trash((drive != ROOT).then(|| self.id(drive)))?;
                None
            }
        };
        Ok(created)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_changes_leave_the_drives_as_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let (mut drive, mut model) = (Drive::new(), Model::default());
        for step in &steps {
            let new = drive.ids.len();
            let allowed = model.apply(step, new);
            let result = drive.apply(step);
            prop_assert_eq!(result.is_ok(), allowed, "{:?}: {:?}", step, result);
            drive.ids.extend(result.ok().flatten());
            invariants::check(&drive.db);
            let access = &Access::new(&drive.db, &drive.identity, &drive.caller);
            for item in TOPS..drive.ids.len() {
                match (model.0.get(&item), access.get(drive.id(item))) {
                    (None, found) => prop_assert!(found.is_err(), "{item} is gone after {step:?}"),
                    (Some(entry), found) => {
                        let found = found.expect("is there");
                        prop_assert_eq!(found.parent.as_deref(), Some(drive.id(entry.parent)));
                        let top = Some(model.drive(item)).filter(|top| *top != ROOT);
                        prop_assert_eq!(found.drive.as_deref(), top.map(|top| drive.id(top)));
                        prop_assert_eq!(found.trashed, model.is_trashed(item), "{} after {:?}", item, step);
                        prop_assert_eq!(found.explicitly_trashed, entry.put_in_trash);
                        prop_assert_eq!(found.head.map_or(0, |head| head.size), entry.size);
                    }
                }
            }
        }
    }
}
