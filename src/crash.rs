//! Named steps between journal, staging, upload and commit at which this process can be told to die.
//!
//! For the test that kills the daemon there (`tests/kill.rs`) and looks what is left: a crash at random hardly ever falls between
//! two statements.
//! `DRIVEMOUNT_CRASH_AT=NAME:COUNT` arms one point, whose COUNT-th passing is the end, by SIGKILL: nothing is cleaned up
//! that a real end would not clean up. A release build has none of this, not even the variable.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes a point. Its name stands once in the code, and in the list of the test.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn point(_name: &'static str) {}

/// Passes a point. Its name stands once in the code, and in the list of the test.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    if let Some(armed) = ARMED.get_or_init(Armed::from_environment)
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        crate::sys::die();
    }
}

/// What tells one start of this machine from the next. Tests that lose power cannot start it anew, and say it in
/// `DRIVEMOUNT_CRASH_BOOT`, which a release build does not know.
pub fn boot() -> String {
    #[cfg(debug_assertions)]
    if let Ok(boot) = std::env::var("DRIVEMOUNT_CRASH_BOOT") {
        return boot;
    }
    // Where there is none, nothing is in doubt.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The point that is armed.
#[cfg(debug_assertions)]
#[derive(Debug)]
struct Armed {
    name: String,
    /// Passings that are left, the last one included. Wraps around after that, which nobody lives to see.
    left: AtomicU64,
}

#[cfg(debug_assertions)]
impl Armed {
    fn from_environment() -> Option<Self> {
        Self::parse(&std::env::var("DRIVEMOUNT_CRASH_AT").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, count) = text.split_once(':')?;
        let count = count.parse().ok().filter(|&count| count > 0)?;
        Some(Self { name: name.to_owned(), left: AtomicU64::new(count) })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_armed_by_its_name_and_the_number_of_its_passing() {
        let armed = Armed::parse("seal-stored:3").expect("is armed");
        assert_eq!((armed.name.as_str(), armed.left.into_inner()), ("seal-stored", 3));
        assert!(
            ["", "seal-stored", "seal-stored:", "seal-stored:0", "seal-stored:x"]
                .map(Armed::parse)
                .iter()
                .all(Option::is_none)
        );
    }
}
