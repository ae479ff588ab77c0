//! Whose handle it is.
//!
//! The kernel tells of every `close`, also of the one that a child process does without knowing: it inherits the descriptors of
//! its parent and loses them when it starts another program. That says nothing of what the parent has written so far. So only a
//! `close` by a process that opened the file, or wrote to it, declares its content whole. (The last `close` of all always does.)

use std::fs;

use parking_lot::Mutex;

/// Threads remembered one by one; a file that more than these write has no owner to speak of.
const REMEMBERED: usize = 8;

/// The threads that opened or wrote a handle.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<Vec<u32>>);

impl Owners {
    /// Notes one. 0 is a thread that cannot be told from others.
    pub(super) fn add(&self, thread: u32) {
        let mut threads = self.0.lock();
        if threads.last() != Some(&thread) && !threads.contains(&thread) && threads.len() <= REMEMBERED {
            threads.push(thread);
        }
    }

    /// Whether a thread is of a process that opened or wrote the handle. When in doubt, it is.
    pub(super) fn include(&self, thread: u32) -> bool {
        let threads = self.0.lock().clone();
        if thread == 0 || threads.contains(&thread) || threads.contains(&0) || threads.len() > REMEMBERED {
            return true;
        }
        let Some(process) = process_of(thread) else { return true };
        threads.into_iter().any(|other| process_of(other).is_none_or(|other| other == process))
    }
}

/// The process of a thread, by proc(5); `None` if the thread has ended.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_thread() -> u32 {
        let link = fs::read_link("/proc/thread-self").expect("proc");
        link.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("a number")
    }

    #[test]
    fn all_threads_of_a_process_own_what_one_of_them_opened() {
        let owners = Owners::default();
        owners.add(this_thread());
        assert!(owners.include(this_thread()));
        std::thread::scope(|scope| scope.spawn(|| assert!(owners.include(this_thread()))).join().expect("asserts"));
    }

    #[test]
    fn another_process_owns_nothing_unless_it_wrote() {
        let owners = Owners::default();
        owners.add(this_thread());
        assert!(!owners.include(1), "process 1 is another");
        owners.add(1);
        assert!(owners.include(1));
    }

    #[test]
    fn in_doubt_everybody_is_an_owner() {
        let owners = Owners::default();
        owners.add(u32::MAX);
        assert!(owners.include(1), "the opener has ended");
        let owners = Owners::default();
        owners.add(this_thread());
        assert!(owners.include(0) && owners.include(u32::MAX));
    }
}
