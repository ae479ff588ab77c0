//! What is known of the drive, kept on the drive: so that a machine that mounts it for the first time fetches one file and hears of
//! what changed since, rather than list everything.
//!
//! The snapshot is a hidden file that only this program sees. [`load()`] takes it in on a machine that knows nothing yet, [`keep()`] writes
//! it when all is listed, and again when much has changed. It is a hint and never believed for itself:
//!
//! - All that the feed of changes tells since it was written is put in its place *before* an entry of it is shown, so that nothing
//!   of it is older than what a listing would have said.
//! - What is damaged, of another account or folder, of another format, or too old is left alone, and everything is listed.
//! - It holds names, sizes, times and checksums; no content, no secrets.

mod format;
mod keep;
mod load;

pub use self::keep::keep;
pub use self::load::load;
use super::{FACT_ACCOUNT, Result, Tree};
use crate::clock::Instant;
use crate::remote::FileId;
use crate::state;

/// How far it is taken in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loading {
    /// When that began.
    pub(super) since: Instant,
    /// Folders that are known by it; none while it is fetched.
    pub(super) folders: u64,
}

/// What the file is called on the drive.
const NAME: &str = "drivemount-tree";

/// What stands on the snapshot of this account: how many changes it does not have. Absent: none was written or taken in here.
const FACT_DEBT: &str = "snapshot_debt";

/// Which file on the drive it is, as far as this machine knows.
const FACT_ID: &str = "snapshot";

/// The one on the drive is of a later format.
const FACT_NEWER: &str = "snapshot_newer";

/// More changes than these since a snapshot was written cost as much to read as a listing, or nearly.
const MOST_CHANGES: usize = 100_000;

/// Notes that the feed told of changes that the snapshot on the drive does not have.
pub(super) fn owe(db: &rusqlite::Connection, changes: usize) -> rusqlite::Result<()> {
    match state::fact(db, FACT_DEBT)?.and_then(|text| text.parse::<usize>().ok()) {
        Some(debt) if changes > 0 => state::set_fact(db, FACT_DEBT, &(debt + changes).to_string()),
        _ => Ok(()),
    }
}

impl Tree {
    fn debt(&self) -> Result<Option<usize>> {
        Ok(self.state.fact(FACT_DEBT)?.and_then(|text| text.parse().ok()))
    }

    fn set_debt(&self, changes: usize) -> Result<()> {
        Ok(self.state.set_fact(FACT_DEBT, &changes.to_string())?)
    }

    /// A later version of this program wrote the one on the drive: it stays as it is.
    fn leave_newer_snapshot(&self) -> Result<()> {
        Ok(self.state.set_fact(FACT_NEWER, "1")?)
    }

    fn is_newer_snapshot(&self) -> Result<bool> {
        Ok(self.state.fact(FACT_NEWER)?.is_some())
    }

    fn snapshot_id(&self) -> Result<Option<FileId>> {
        Ok(self.state.fact(FACT_ID)?.map(FileId))
    }

    fn set_snapshot_id(&self, id: &FileId) -> Result<()> {
        Ok(self.state.set_fact(FACT_ID, &id.0)?)
    }

    fn account_id(&self) -> Result<String> {
        Ok(self.state.fact(FACT_ACCOUNT)?.unwrap_or_default())
    }
}
