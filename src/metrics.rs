//! The only source of counters.
//!
//! One process serves one mount, so the counters are process-wide. They only grow; readers take differences.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Bytes of content that arrived from the drive.
pub static DOWNLOADED: Counter = Counter::new();
/// Bytes of content that the drive took.
pub static UPLOADED: Counter = Counter::new();
/// Calls that were tried again.
pub static RETRIES: Counter = Counter::new();
static REQUESTS: Mutex<BTreeMap<&'static str, Requests>> = Mutex::new(BTreeMap::new());

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to it.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Requests to the drive of one sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// How many were sent, retries included.
    pub count: u64,
    /// What they cost in the drive's quota units.
    pub units: u64,
}

/// Counts one request to the drive.
pub fn request(call: &'static str, units: u32) {
    let mut requests = REQUESTS.lock();
    let entry = requests.entry(call).or_default();
    entry.count += 1;
    entry.units += u64::from(units);
}

/// All requests so far, by call.
pub fn requests() -> BTreeMap<String, Requests> {
    REQUESTS.lock().iter().map(|(call, requests)| ((*call).to_owned(), *requests)).collect()
}
