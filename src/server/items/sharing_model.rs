//! Sharing against a model: two users make, share, move and remove items at random. What each may do and sees must be what a
//! plain look at all permissions says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::super::Limits;
use super::super::access::Access;
use super::super::caller::Caller;
use super::super::error::Result;
use super::super::media_type::FOLDER;
use super::super::metadata::Metadata;
use super::super::order::Order;
use super::super::permission::{Holder, Role};
use super::super::store::list::{self, Question, Scope, Spaces};
use super::super::store::{self, Edit, Identity, invariants, rows};
use super::{Grant, Moves, Rules};
use crate::clock;

/// Items 0 and 1 are the tops of the two users' drives.
const USERS: usize = 2;

#[derive(Debug, Clone)]
struct Entry {
    owner: usize,
    parent: Option<usize>,
    /// What each user was given on the item itself.
    given: [Option<Role>; USERS],
    put_in_trash: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Make { parent: usize },
    Rename { item: usize },
    Share { item: usize, with: usize, role: Role },
    Unshare { item: usize, with: usize },
    Move { item: usize, to: usize },
    Trash { item: usize, trashed: bool },
    Delete { item: usize },
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let item = || 0..10_usize;
    let user = || 0..USERS;
    let role = prop_oneof![Just(Role::Reader), Just(Role::Commenter), Just(Role::Writer)];
    let step = prop_oneof![
        4 => item().prop_map(|parent| Step::Make { parent }),
        1 => item().prop_map(|item| Step::Rename { item }),
        4 => (item(), user(), role).prop_map(|(item, with, role)| Step::Share { item, with, role }),
        2 => (item(), user()).prop_map(|(item, with)| Step::Unshare { item, with }),
        3 => (item(), item()).prop_map(|(item, to)| Step::Move { item, to }),
        1 => (item(), any::<bool>()).prop_map(|(item, trashed)| Step::Trash { item, trashed }),
        1 => item().prop_map(|item| Step::Delete { item }),
    ];
    (user(), step)
}

#[derive(Debug, Clone)]
struct Model(BTreeMap<usize, Entry>);

impl Model {
    fn new() -> Self {
        let top = |owner| Entry { owner, parent: None, given: [None; USERS], put_in_trash: false };
        Self((0..USERS).map(|user| (user, top(user))).collect())
    }

    /// An item and the folders above it.
    fn path(&self, item: usize) -> impl Iterator<Item = &Entry> {
        std::iter::successors(self.0.get(&item), |entry| self.0.get(&entry.parent?))
    }

    fn role(&self, user: usize, item: usize) -> Option<Role> {
        if self.0.get(&item)?.owner == user {
            return Some(Role::Owner);
        }
        self.path(item)
            .filter_map(|entry| if entry.owner == user { Some(Role::Writer) } else { entry.given[user] })
            .max()
    }

    fn is_above(&self, folder: usize, item: usize) -> bool {
        item == folder || self.0[&item].parent.is_some_and(|parent| self.is_above(folder, parent))
    }

    fn remove(&mut self, item: usize) {
        let below: Vec<usize> =
            self.0.iter().filter(|(_, entry)| entry.parent == Some(item)).map(|(item, _)| *item).collect();
        for item in below {
            self.remove(item);
        }
        self.0.remove(&item);
    }

    /// Does the step if the user may; whether it may.
    fn apply(&mut self, user: usize, step: &Step, new: usize) -> bool {
        match *step {
            Step::Make { parent } => {
                let may = self.role(user, parent) >= Some(Role::Writer);
                if may {
                    let entry = Entry { owner: user, parent: Some(parent), given: [None; USERS], put_in_trash: false };
                    self.0.insert(new, entry);
                }
                may
            }
            Step::Rename { item } => item >= USERS && self.role(user, item) >= Some(Role::Writer),
            Step::Share { item, with, role } => {
                let may = item >= USERS && self.role(user, item) >= Some(Role::Writer);
                if may && self.0[&item].owner != with {
                    self.0.get_mut(&item).expect("is there").given[with] = Some(role);
                }
                may
            }
            Step::Unshare { item, with } => {
                // Only what was given on the item itself, and is not less than what comes from above.
                let is_seen = self.role(user, item).is_some();
                let may = is_seen && (with == user || self.role(user, item) >= Some(Role::Writer)) && item >= USERS;
                let given = self.0.get(&item).and_then(|entry| entry.given[with]);
                let above = self
                    .0
                    .get(&item)
                    .and_then(|entry| self.role(with, entry.parent?))
                    .map(|role| role.min(Role::Writer));
                let may = may && given.is_some() && given >= above && self.0[&item].owner != with;
                if may {
                    self.0.get_mut(&item).expect("is there").given[with] = None;
                }
                may
            }
            Step::Move { item, to } => {
                let Some(parent) = self.0.get(&item).and_then(|entry| entry.parent).filter(|_| item >= USERS) else {
                    return false;
                };
                // Who moves it to where it is changes nothing of whose it is.
                let least = if to == parent { Role::Writer } else { Role::Owner };
                if self.role(user, item) < Some(least) {
                    return false;
                }
                // The folder that it leaves must be named, and so be seen.
                if self.role(user, parent).is_none() || self.role(user, to) < Some(Role::Writer) {
                    return false;
                }
                if self.is_above(item, to) {
                    return false;
                }
                self.0.get_mut(&item).expect("is there").parent = Some(to);
                true
            }
            Step::Trash { item, trashed } => {
                let may = item >= USERS && self.role(user, item) == Some(Role::Owner);
                if may {
                    self.0.get_mut(&item).expect("is there").put_in_trash = trashed;
                }
                may
            }
            Step::Delete { item } => {
                let may = item >= USERS && self.role(user, item) == Some(Role::Owner);
                if may {
                    self.remove(item);
                }
                may
            }
        }
    }
}

/// The drives of the two users.
struct Drives {
    db: Connection,
    identity: Identity,
    callers: Vec<Caller>,
    ids: Vec<String>,
}

impl Drives {
    fn new() -> Self {
        let (db, identity) = store::in_memory();
        let own = identity.own_caller();
        let callers: Vec<Caller> =
            identity.users.iter().map(|user| Caller { user: user.clone(), ..own.clone() }).collect();
        let ids = identity.users.iter().map(|user| user.root.clone()).collect();
        Self { db, identity, callers, ids }
    }

    fn id(&self, item: usize) -> &str {
        self.ids.get(item).map_or("none", String::as_str)
    }

    fn apply(&self, user: usize, step: &Step) -> Result<Option<String>> {
        let transaction = self.db.unchecked_transaction()?;
        let edit = Edit { db: &transaction, now: clock::now() };
        let (identity, limits, caller) = (&self.identity, &Limits::default(), &self.callers[user]);
        let result = self.make(&Rules { edit: &edit, identity, limits, caller, all_drives: false }, step)?;
        transaction.commit()?;
        Ok(result)
    }

    fn make(&self, rules: &Rules<'_>, step: &Step) -> Result<Option<String>> {
        let update = |item: usize, fields: serde_json::Value, moves: Moves<'_>| {
            rules.update(self.id(item), &Metadata::parse(fields.to_string().as_bytes())?, moves, None)
        };
        match *step {
            Step::Make { parent } => {
                let fields = json!({ "name": "a", "mimeType": FOLDER, "parents": [self.id(parent)] });
                return rules.create(&Metadata::parse(fields.to_string().as_bytes())?, None).map(Some);
            }
            Step::Rename { item } => update(item, json!({ "name": "b" }), Moves::default())?,
            Step::Share { item, with, role } => {
                let address = Some(self.identity.users[with].email.clone());
                let grant = Grant { holder: Holder::User, address, role, is_found: false, expires: None };
                rules.share(self.id(item), &grant)?;
            }
            Step::Unshare { item, with } => {
                rules.unshare(self.id(item), &self.identity.users[with].permission_id)?;
            }
            Step::Move { item, to } => {
                let parent = rows::find(rules.edit.db, self.id(item))?.parent;
                let from = parent.map(|parent| rows::id(rules.edit.db, parent)).transpose()?;
                let (add, remove) = ([self.id(to).to_owned()], [from.unwrap_or_default()]);
                update(item, json!({}), Moves { add: &add, remove: &remove })?;
            }
            Step::Trash { item, trashed } => update(item, json!({ "trashed": trashed }), Moves::default())?,
            Step::Delete { item } => rules.delete(self.id(item))?,
        }
        Ok(None)
    }

    /// What a user has, as a listing of everything tells.
    fn listed(&self, user: usize) -> Vec<usize> {
        let access = Access::new(&self.db, &self.identity, &self.callers[user]);
        let order = Order::default();
        let (scope, spaces) = (Scope::MyDrive, Spaces::DRIVE);
        let question = Question { scope, spaces, app: "test", condition: None, order: &order };
        let (mut found, mut position) = (Vec::new(), None);
        loop {
            // Small pages, many of whose rows are not for this user.
            let page =
                list::page(&self.db, question, position.as_ref(), 2, |item| access.has(item.place())).expect("lists");
            let number = |id: &str| self.ids.iter().position(|known| known == id).expect("was made");
            found.extend(page.items.iter().map(|item| number(&item.id)));
            position = page.next;
            if position.is_none() {
                return found;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_sees_and_does_what_all_permissions_together_say(steps in prop::collection::vec(step(), 1..60)) {
        let (mut drives, mut model) = (Drives::new(), Model::new());
        for (user, step) in &steps {
            let new = drives.ids.len();
            let allowed = model.apply(*user, step, new);
            let result = drives.apply(*user, step);
            prop_assert_eq!(result.is_ok(), allowed, "{} {:?}: {:?}", user, step, result);
            drives.ids.extend(result.ok().flatten());
            invariants::check(&drives.db);
            for user in 0..USERS {
                let access = Access::new(&drives.db, &drives.identity, &drives.callers[user]);
                for item in 0..drives.ids.len() {
                    let role = access.find(drives.id(item)).ok().map(|(_, role)| role);
                    prop_assert_eq!(role, model.role(user, item), "{} {:?}: {} of {}", user, step, item, user);
                }
                let all = model.0.keys().filter(|item| **item >= USERS && model.role(user, **item).is_some());
                prop_assert_eq!(drives.listed(user), all.copied().collect::<Vec<_>>(), "{:?}: what {} has", step, user);
            }
        }
    }
}
