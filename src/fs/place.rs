//! The numbers that the kernel knows entries by.
//!
//! The root of a mount *is* My Drive, and people's scripts say `/content/drive/MyDrive/…` or `/content/drive/My Drive/…`: both
//! names lead from the root to the root. Others lead from there to what is at the top of the tree beside it: `Shareddrives` and
//! `Shared drives` to the shared drives, and `.shortcut-targets-by-id` to what is known by its id. None of them is listed, so that
//! walks neither go in circles nor into what belongs to others; an entry of the root that has such a name goes before it.
//!
//! A file may have many names, but a folder only one, for the kernel and for programs that walk; so a folder that was reached by
//! another way than the one that is its own is told to the kernel under a number of its own, which has the number of the way in its
//! top bits. Everything below sees the same entries.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Fs;
use crate::tree::shortcuts::TARGETS;
use crate::tree::{Ino, drives};

/// A number as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

const SHIFT: u32 = 58;

/// The names that lead from the root to the root. Their places in the list, from 1 on, are the numbers of these ways.
const ROOTS: [&str; 2] = ["MyDrive", "My Drive"];

/// The other name of the shared drives; its way from the root, however that was reached, has the number of the way to the root, and
/// this more.
const SHARED_DRIVES: &str = "Shared drives";
const TO_SHARED_DRIVES: u64 = 3;

/// The way to an item through its id, if it has another place.
const BY_ID: u64 = 6;

impl NodeId {
    /// The root of the mount.
    pub const ROOT: Self = Self(Ino::ROOT.0);

    /// The entry.
    pub const fn ino(self) -> Ino {
        Ino(self.0 & !(u64::MAX << SHIFT))
    }

    /// By which way it was reached; 0: its own.
    const fn way(self) -> u64 {
        self.0 >> SHIFT
    }

    const fn by(ino: Ino, way: u64) -> Self {
        Self(ino.0 | way << SHIFT)
    }

    /// Whether it was reached by another way than its own.
    pub const fn is_alias(self) -> bool {
        self.way() != 0
    }

    /// The number under which the kernel knows an entry that it reached from this folder.
    pub(super) const fn child(self, ino: Ino, is_folder: bool) -> Self {
        if is_folder { Self::by(ino, self.way()) } else { Self(ino.0) }
    }

    /// The number of an entry that was reached through its id, and has another place.
    pub(super) const fn by_id(ino: Ino, is_folder: bool) -> Self {
        if is_folder { Self::by(ino, BY_ID) } else { Self(ino.0) }
    }

    /// What `name` in this folder leads to, if that is not what is in the folder.
    fn alias_of(self, name: &str) -> Option<Self> {
        if self.ino() != Ino::ROOT {
            return None;
        }
        match name {
            drives::NAME => return Some(self.child(Ino::SHARED_DRIVES, true)),
            SHARED_DRIVES => return Some(Self::by(Ino::SHARED_DRIVES, TO_SHARED_DRIVES + self.way())),
            TARGETS => return Some(self.child(Ino::TARGETS, true)),
            _ => {}
        }
        let at = ROOTS.iter().position(|&alias| self == Self::ROOT && alias == name)?;
        Some(Self::by(Ino::ROOT, at as u64 + 1))
    }

    /// A path below the mountpoint, without the alias of the root that it may begin with.
    pub fn below_alias(path: &str) -> &str {
        let path = path.trim_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if ROOTS.contains(&first) { rest.trim_start_matches('/') } else { path }
    }
}

impl From<Ino> for NodeId {
    fn from(ino: Ino) -> Self {
        Self(ino.0)
    }
}

/// The ways by which anything was reached so far, a bit each.
#[derive(Debug, Default)]
pub(super) struct Ways(AtomicU8);

impl Ways {
    /// Notes that the kernel is told of a number.
    pub(super) fn used(&self, id: NodeId) {
        if id.is_alias() {
            self.0.fetch_or(1 << id.way(), Ordering::Relaxed);
        }
    }

    /// From now on anything may be known by any way.
    pub(super) fn all_used(&self) {
        self.0.store(u8::MAX, Ordering::Relaxed);
    }

    /// All numbers under which the kernel may know a folder.
    pub(super) fn to(&self, ino: Ino) -> impl Iterator<Item = NodeId> {
        let used = self.0.load(Ordering::Relaxed);
        (0..u64::from(u8::BITS))
            .filter(move |way| *way == 0 || used >> way & 1 == 1)
            .map(move |way| NodeId::by(ino, way))
    }
}

impl Fs {
    /// What `name` in a folder leads to, if that is not what is in the folder.
    pub(super) fn alias_of(&self, folder: NodeId, name: &str) -> Option<NodeId> {
        let alias = folder.alias_of(name)?;
        // Beside a folder that was chosen to be the root there are no drives.
        if alias.ino() == Ino::SHARED_DRIVES && !self.is_whole_drive {
            return None;
        }
        self.ways.used(alias);
        Some(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_lead_to_the_same_entries_under_other_numbers() {
        let through = NodeId::ROOT.alias_of("My Drive").expect("an alias");
        assert_eq!(through.ino(), Ino::ROOT);
        assert_ne!(through, NodeId::ROOT);
        assert_ne!(Some(through), NodeId::ROOT.alias_of("MyDrive"));
        assert_eq!(through.alias_of("My Drive"), None, "not twice");
        assert_eq!(NodeId::ROOT.alias_of("mydrive"), None);
        let folder = through.child(Ino(77), true);
        assert!(folder.is_alias() && folder.ino() == Ino(77));
        assert_eq!(through.child(Ino(78), false), NodeId(78), "a file is one file");
    }

    #[test]
    fn each_way_to_the_shared_drives_has_numbers_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        let ways = Ways::default();
        for root in [Some(NodeId::ROOT), NodeId::ROOT.alias_of("MyDrive"), NodeId::ROOT.alias_of("My Drive")] {
            for name in ["Shareddrives", "Shared drives"] {
                let drives = root.and_then(|root| root.alias_of(name)).expect("from each root");
                assert_eq!(drives.ino(), Ino::SHARED_DRIVES);
                assert!(seen.insert(drives), "{name}");
                ways.used(drives);
            }
            let targets = root.and_then(|root| root.alias_of(".shortcut-targets-by-id")).expect("from each root");
            assert_eq!(targets.ino(), Ino::TARGETS);
        }
        assert!(
            !NodeId::by_id(Ino::SHARED_DRIVES, true).is_alias()
                || !seen.contains(&NodeId::by_id(Ino::SHARED_DRIVES, true))
        );
        assert_eq!(NodeId::ROOT.child(Ino(77), true).alias_of("Shareddrives"), None, "only from the root");
        let known: std::collections::HashSet<NodeId> = ways.to(Ino::SHARED_DRIVES).collect();
        assert_eq!(known, seen, "what was told can be revoked, and nothing else is");
    }
}
