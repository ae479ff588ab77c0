//! The numbers that the kernel knows entries by.
//!
//! The root of a mount *is* My Drive, and people's scripts say `/content/drive/MyDrive/…` or `/content/drive/My Drive/…`: both
//! names lead from the root to the root. A file may have many names, but a folder only one, for the kernel and for programs that
//! walk; so a folder that was reached through such an alias is told to the kernel under a number of its own, which has the
//! alias in its top bits. Everything below sees the same entries. Aliases are not listed, so that walks do not go in circles.

use crate::tree::Ino;

/// A number as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

const SHIFT: u32 = 62;

/// The names that lead from the root to the root. Their places in the list, from 1 on, are the aliases.
const NAMES: [&str; 2] = ["MyDrive", "My Drive"];

impl NodeId {
    /// The root of the mount.
    pub const ROOT: Self = Self(Ino::ROOT.0);

    /// The entry.
    pub const fn ino(self) -> Ino {
        Ino(self.0 & !(u64::MAX << SHIFT))
    }

    /// Through which alias it was reached; 0: none.
    const fn alias(self) -> u64 {
        self.0 >> SHIFT
    }

    /// Whether it was reached through an alias.
    pub const fn is_alias(self) -> bool {
        self.alias() != 0
    }

    /// The number under which the kernel knows an entry that it reached from this folder.
    pub(super) const fn child(self, ino: Ino, is_folder: bool) -> Self {
        if is_folder { Self(ino.0 | self.alias() << SHIFT) } else { Self(ino.0) }
    }

    /// The root, if `name` in this folder is an alias of it.
    pub(super) fn alias_of(self, name: &str) -> Option<Self> {
        let at = NAMES.iter().position(|&alias| self == Self::ROOT && alias == name)?;
        Some(Self(Ino::ROOT.0 | (at as u64 + 1) << SHIFT))
    }

    /// A path below the mountpoint, without the alias of the root that it may begin with.
    pub fn below_alias(path: &str) -> &str {
        let path = path.trim_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        if NAMES.contains(&first) { rest.trim_start_matches('/') } else { path }
    }

    /// All numbers under which the kernel may know a folder.
    pub(super) fn all(ino: Ino) -> impl Iterator<Item = Self> {
        (0..=NAMES.len() as u64).map(move |alias| Self(ino.0 | alias << SHIFT))
    }
}

impl From<Ino> for NodeId {
    fn from(ino: Ino) -> Self {
        Self(ino.0)
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
        assert!(NodeId::all(Ino(77)).any(|id| id == folder));
    }
}
