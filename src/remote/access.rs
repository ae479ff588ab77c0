//! What the account may do with an item.

use serde::{Deserialize, Serialize};

/// What the account may do with an item, as far as the drive says: what it does not speak of counts as allowed, and is then for it
/// to refuse.
///
/// One byte of what is denied, and whether anything was said, so that nothing known is zero, and a column of a table holds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access(u8);

impl Access {
    /// Nothing was said.
    pub const UNKNOWN: Self = Self(0);

    const CONTENT: u8 = 1;
    const CHILDREN: u8 = 1 << 1;
    const METADATA: u8 = 1 << 2;
    const TRASH: u8 = 1 << 3;
    const MOVE: u8 = 1 << 4;
    const LEAVE: u8 = 1 << 5;
    const KNOWN: u8 = 1 << 7;

    /// As the drive says it: `Some(false)` denies.
    #[must_use]
    pub fn of(content: Option<bool>, children: Option<bool>, metadata: Option<bool>, trash: Option<bool>) -> Self {
        Self::UNKNOWN
            .denying(Self::CONTENT, content)
            .denying(Self::CHILDREN, children)
            .denying(Self::METADATA, metadata)
            .denying(Self::TRASH, trash)
    }

    /// The same, with what the drive says of moves: within its own drive, and out of that.
    #[must_use]
    pub fn moving(self, within: Option<bool>, out: Option<bool>) -> Self {
        self.denying(Self::MOVE, within).denying(Self::LEAVE, out)
    }

    fn denying(self, what: u8, allowed: Option<bool>) -> Self {
        match allowed {
            None => self,
            Some(true) => Self(self.0 | Self::KNOWN),
            Some(false) => Self(self.0 | Self::KNOWN | what),
        }
    }

    /// Whether the drive said nothing.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::UNKNOWN
    }

    /// Whether the drive said anything.
    pub const fn is_known(self) -> bool {
        self.0 & Self::KNOWN != 0
    }

    /// Of a file: whether its content may be replaced.
    pub const fn may_write(self) -> bool {
        self.0 & Self::CONTENT == 0
    }

    /// Of a folder: whether something may be put into it.
    pub const fn may_add(self) -> bool {
        self.0 & Self::CHILDREN == 0
    }

    /// Whether its name and attributes may be changed.
    pub const fn may_rename(self) -> bool {
        self.0 & Self::METADATA == 0
    }

    /// Whether it may be moved to the trash.
    pub const fn may_trash(self) -> bool {
        self.0 & Self::TRASH == 0
    }

    /// Whether it may be moved to another folder of its drive.
    pub const fn may_move(self) -> bool {
        self.0 & Self::MOVE == 0
    }

    /// Whether it may be moved to another drive.
    pub const fn may_leave(self) -> bool {
        self.0 & Self::LEAVE == 0
    }

    /// Those of [`Self::bits`] that deny something.
    pub const fn denied_bits() -> u8 {
        !Self::KNOWN
    }

    /// For a table.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From a table. Bits that mean nothing (yet) deny nothing.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_spoken_of_is_allowed_and_survives_a_table() {
        assert_eq!(Access::of(None, None, None, None).moving(None, None), Access::UNKNOWN);
        let full = Access::of(Some(true), None, None, None);
        assert!(full.is_known() && full.may_write() && full.may_trash());
        let reader = Access::of(Some(false), Some(false), Some(false), Some(false)).moving(Some(false), Some(false));
        assert_eq!(Access::from_bits(reader.bits()), reader);
        let denies_all = |access: Access| {
            let may = [access.may_write(), access.may_add(), access.may_rename(), access.may_trash()];
            may.into_iter().chain([access.may_move(), access.may_leave()]).all(|may| !may)
        };
        assert!(denies_all(reader) && reader.is_known() && !denies_all(Access::UNKNOWN));
        let contributor = Access::of(Some(true), Some(true), Some(true), Some(false)).moving(Some(false), Some(false));
        assert!(
            contributor.may_write() && contributor.may_add() && contributor.may_rename() && !contributor.may_trash()
        );
    }
}
