//! What the threads that serve the kernel are at: so that one that hangs can be told from one that has nothing to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Instant;

/// More than there are threads.
const PLACES: usize = 8;

type Place = Mutex<Option<(&'static str, Instant)>>;

static PLACE: [Place; PLACES] = [const { Mutex::new(None) }; PLACES];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PLACES;
}

/// This thread works at an operation until this is dropped.
pub(super) struct Working(usize);

pub(super) fn begin(operation: &'static str) -> Working {
    let place = MINE.with(|place| *place);
    *PLACE[place].lock() = Some((operation, Instant::now()));
    Working(place)
}

impl Drop for Working {
    fn drop(&mut self) {
        *PLACE[self.0].lock() = None;
    }
}

/// What has been worked at for longest, and for how long.
pub fn longest() -> Option<(&'static str, Duration)> {
    let at = PLACE.iter().filter_map(|place| *place.lock());
    at.map(|(operation, since)| (operation, since.elapsed())).max_by_key(|(_, time)| *time)
}
