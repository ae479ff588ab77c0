//! What is said of content that is fetched before somebody reads it.

use serde::{Deserialize, Serialize};

/// The most failures that are told one by one.
pub const TOLD: usize = 20;

/// What is to be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToFetch {
    /// Files and folders, as paths below the mountpoint. What is named first goes first, and has a place in the cache before the others.
    pub paths: Vec<String>,
    /// It goes on whatever becomes of who asked for it.
    #[serde(default)]
    pub background: bool,
}

/// Which job is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub job: u64,
}

/// Paths below the mountpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// An empty one is all of the mount.
    pub paths: Vec<String>,
}

/// So many files, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Amount {
    /// With one more file.
    #[must_use]
    pub const fn and(self, bytes: u64) -> Self {
        self.plus(Self { files: 1, bytes })
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }

    /// What is left of it without a part.
    #[must_use]
    pub const fn minus(self, part: Self) -> Self {
        Self { files: self.files.saturating_sub(part.files), bytes: self.bytes.saturating_sub(part.bytes) }
    }
}

/// How a job fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefetchStatus {
    /// Its number.
    pub job: u64,
    /// What was named, as paths below the mountpoint.
    pub paths: Vec<String>,
    /// `finding` (what there is to fetch), `fetching`, `waiting` (for the drive, to try again), `done` or `stopped`.
    pub state: String,
    /// It goes on whatever becomes of who asked for it.
    pub background: bool,
    /// An earlier request had begun it already. Said to who asks for it only.
    #[serde(default)]
    pub joined: bool,
    /// All that is wanted, as far as it was found.
    pub wanted: Amount,
    /// Of that, what the cache has room for: only this is fetched.
    pub fits: Amount,
    /// Of that, what was here at the beginning: whole files, and all bytes.
    pub were_here: Amount,
    /// Of that, what is here now.
    pub here: Amount,
    /// What the cache has room for, for who finds that too little; known once something does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Documents of online editors, which have no content to be fetched.
    pub documents: u64,
    /// Files and folders that could not be fetched.
    pub failed: u64,
    /// The first [`TOLD`] of them: paths below the mountpoint, each with the reason.
    pub failures: Vec<(String, String)>,
    /// Bytes received in a second, on the average.
    pub bytes_per_second: u64,
    /// Why it waits, or was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PrefetchStatus {
    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "done" | "stopped")
    }

    /// What of it the cache has no room for.
    pub fn unfit(&self) -> Amount {
        self.wanted.minus(self.fits)
    }
}

/// What was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// The files of which something was dropped, and how many bytes that were.
    pub dropped: Amount,
    /// Those that are kept because the drive does not have them yet.
    pub unsent: Amount,
    /// Those that are kept because somebody has them open.
    pub in_use: Amount,
    /// What could not be dropped: paths below the mountpoint, each with the reason.
    pub failures: Vec<(String, String)>,
}
