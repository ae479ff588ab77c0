//! Extended attributes (`user.*`), as the drive keeps them: in public properties of the item.
//!
//! | property | what it is |
//! | --- | --- |
//! | `user.NAME` | the value of the attribute of this name, if both are plain text and fit into one property |
//! | `drivemount.xattr.TAG.N` | piece `N` of any other attribute; the tag is made from its name ([`pieces`]) |
//!
//! What is kept here, compared, merged and sent are the properties themselves, as they are; what they mean is looked at when a program
//! asks. So what somebody else wrote there, or damaged, is in nobody's way, and stands there until the attribute is set or removed. An
//! attribute is one field: all that is its own is merged, and sent, together.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::pieces::{PIECE, tag};
use crate::error::Kind;

/// The longest property that a drive keeps: key and value together, in bytes of UTF-8.
pub const MAX_PROPERTY: usize = 124;

/// How many public properties an item can have, whosever they are.
const MOST: usize = 30;

/// How many of these are left for what else we say of an item (its mode, its owner), whether it is said yet or not.
const SET_ASIDE: usize = 6;

/// What our properties begin with that are no extended attributes.
const OURS: &str = "drivemount.";

/// What the names of attributes begin with that users set.
const USER: &str = "user.";

/// Attributes that a mount has of itself. They are kept nowhere.
const RESERVED: [&[u8]; 2] = [b"user.drive.", b"user.drivemount."];

/// The extended attributes of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattrs {
    /// The properties that are, or may be a part of, an attribute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<String, String>,
    /// How many properties belong to other applications.
    #[serde(default)]
    others: usize,
}

/// What is to become of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put<'a> {
    /// It gets this value.
    Set(&'a [u8]),
    /// The same, if there is none of the name.
    Create(&'a [u8]),
    /// The same, if there is one.
    Replace(&'a [u8]),
    /// It goes.
    Remove,
}

/// Whether a name is one of those that a mount gives values of its own.
pub fn is_reserved(name: &[u8]) -> bool {
    RESERVED.iter().any(|reserved| name.starts_with(reserved))
}

/// Whether a name is one that can be set.
pub fn is_settable(name: &[u8]) -> bool {
    name.len() > USER.len() && name.starts_with(USER.as_bytes()) && !name.contains(&0) && !is_reserved(name)
}

/// The properties of one attribute, with their values.
type Field<'a> = BTreeMap<&'a str, &'a str>;

impl Xattrs {
    /// Those of an item with these properties.
    pub fn of(properties: &BTreeMap<String, String>) -> Self {
        let is_kept = |key: &str| is_settable(key.as_bytes()) || key.starts_with(PIECE);
        let kept = properties.iter().filter(|(key, _)| is_kept(key));
        let others = properties.keys().filter(|key| !is_kept(key) && !key.starts_with(OURS)).count();
        Self { kept: kept.map(|(key, value)| (key.clone(), value.clone())).collect(), others }
    }

    /// Whether nothing is known that would have to be remembered.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.others == 0
    }

    /// Whether both are the same attributes.
    pub fn same(&self, other: &Self) -> bool {
        self.kept == other.kept
    }

    /// The value of an attribute.
    pub fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        if self.kept.is_empty() || !is_settable(name) {
            return None;
        }
        // Plain ones first, since others may write them.
        if let Some(value) = std::str::from_utf8(name).ok().and_then(|name| self.kept.get(name)) {
            return Some(value.clone().into_bytes());
        }
        pieces::read(&self.kept, &tag(name)).filter(|(named, _)| named == name).map(|(_, value)| value)
    }

    /// The names of the attributes.
    pub fn names(&self) -> BTreeSet<Vec<u8>> {
        let named = |key: &String| match pieces::tag_of(key) {
            Some(tag) => pieces::read(&self.kept, tag).map(|(name, _)| name),
            None => Some(key.clone().into_bytes()).filter(|name| is_settable(name)),
        };
        self.kept.keys().filter_map(named).collect()
    }

    /// As they are after a change of one. [`Kind::AttributesFull`] if the drive could not keep that.
    pub fn with(&self, name: &[u8], put: Put<'_>) -> Result<Self, Kind> {
        let is_there = self.get(name).is_some();
        let value = match put {
            Put::Create(_) if is_there => return Err(Kind::Exists),
            Put::Replace(_) | Put::Remove if !is_there => return Err(Kind::NoAttribute),
            Put::Set(value) | Put::Create(value) | Put::Replace(value) => Some(value),
            Put::Remove => None,
        };
        let its = tag(name);
        let mut kept = self.kept.clone();
        kept.retain(|key, _| field_of(key) != its);
        if let Some(value) = value {
            let room = (MOST - SET_ASIDE).saturating_sub(kept.len() + self.others);
            // What takes no more than it did fits as well as it did.
            let room = room.max(self.kept.len() - kept.len());
            kept.extend(pieces::write(name, value, room).ok_or(Kind::AttributesFull)?);
        }
        Ok(Self { kept, others: self.others })
    }

    /// The attributes as both sides want them: ours where they are not as was `agreed`, or where theirs are what we `asked` for, which
    /// is no news; else theirs.
    #[must_use]
    pub fn merged(&self, agreed: &Self, theirs: &Self, asked: Option<&Self>) -> Self {
        if agreed.same(theirs) || self.same(theirs) {
            return Self { kept: self.kept.clone(), others: theirs.others };
        }
        let (ours, theirs_by_field, agreed) = (self.fields(), theirs.fields(), agreed.fields());
        let asked = asked.map(Self::fields);
        let mut kept = BTreeMap::new();
        for field in ours.keys().chain(theirs_by_field.keys()) {
            let (here, there) = (ours.get(field), theirs_by_field.get(field));
            let is_echo = asked.as_ref().is_some_and(|asked| asked.get(field) == there);
            let merged = if here != agreed.get(field) || is_echo { here } else { there };
            let merged = merged.into_iter().flatten();
            kept.extend(merged.map(|(&key, &value)| (key.to_owned(), value.to_owned())));
        }
        Self { kept, others: theirs.others }
    }

    /// Whether one that is not here as it was `asked` for is as the drive `has` it.
    pub fn is_taken_back(&self, asked: &Self, has: &Self) -> bool {
        if asked.same(self) {
            return false;
        }
        let (here, asked, has) = (self.fields(), asked.fields(), has.fields());
        let is_back = |field: &String| here.get(field) != asked.get(field) && here.get(field) == has.get(field);
        here.keys().chain(asked.keys()).any(is_back)
    }

    /// The properties to set, and to clear (`None`), so that an item with the attributes `there` has these.
    pub fn since(&self, there: &Self) -> BTreeMap<String, Option<String>> {
        if self.same(there) {
            return BTreeMap::new();
        }
        let (here, there) = (self.fields(), there.fields());
        let mut changes = BTreeMap::new();
        for (field, is) in &there {
            if here.get(field) != Some(is) {
                changes.extend(is.keys().map(|&key| (key.to_owned(), None)));
            }
        }
        for (field, is) in &here {
            if there.get(field) != Some(is) {
                changes.extend(is.iter().map(|(&key, &value)| (key.to_owned(), Some(value.to_owned()))));
            }
        }
        changes
    }

    /// The properties by the attribute that they belong to.
    fn fields(&self) -> BTreeMap<String, Field<'_>> {
        let mut fields = BTreeMap::<_, Field<'_>>::new();
        for (key, value) in &self.kept {
            fields.entry(field_of(key)).or_default().insert(key, value);
        }
        fields
    }
}

/// What is the same for all properties of one attribute.
fn field_of(key: &str) -> String {
    match pieces::tag_of(key) {
        Some(tag) => tag.to_owned(),
        None if key.starts_with(PIECE) => key.to_owned(),
        None => tag(key.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
