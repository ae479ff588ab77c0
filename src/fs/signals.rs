//! Whether a program that waits for an answer has been told to end.
//!
//! The kernel does not pass interruptions on to us: a program that waits in a request hears no signal, not even SIGKILL, before it is
//! answered. So who is made to wait for long is looked at now and then (proc(5)).

use std::fs;

/// Signals that ask for the end and that programs catch in order to end well.
const REQUESTS: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Other signals that end a program which does not catch them (signal(7)).
const FATAL: [i32; 6] = [libc::SIGALRM, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2, libc::SIGXCPU, libc::SIGXFSZ];

/// Whether a signal waits for this thread that shall end its process. 0 is a thread that cannot be told.
pub fn is_to_end(thread: u32) -> bool {
    if thread == 0 {
        return false;
    }
    fs::read_to_string(format!("/proc/{thread}/status")).is_ok_and(|status| ends(&status))
}

fn ends(status: &str) -> bool {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
    };
    let of = |signals: &[i32]| signals.iter().fold(0_u64, |bits, signal| bits | 1 << (signal - 1));
    let heard = (set("SigPnd") | set("ShdPnd")) & !(set("SigBlk") | set("SigIgn"));
    heard & (of(&[libc::SIGKILL]) | of(&REQUESTS)) != 0 || heard & of(&FATAL) & !set("SigCgt") != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tx\nSigPnd:\t{pending:016x}\nShdPnd:\t0000000000000000\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    fn bit(signal: i32) -> u64 {
        1 << (signal - 1)
    }

    #[test]
    fn a_signal_that_ends_a_program_is_told_from_one_that_it_lives_with() {
        assert!(!ends(&status(0, 0, 0, 0)));
        assert!(ends(&status(bit(libc::SIGKILL), 0, 0, 0)));
        assert!(ends(&status(bit(libc::SIGINT), 0, 0, bit(libc::SIGINT))), "caught, to end well");
        assert!(!ends(&status(bit(libc::SIGINT), 0, bit(libc::SIGINT), 0)), "ignored");
        assert!(!ends(&status(bit(libc::SIGTERM), bit(libc::SIGTERM), 0, 0)), "blocked");
        assert!(ends(&status(bit(libc::SIGALRM), 0, 0, 0)));
        assert!(!ends(&status(bit(libc::SIGALRM), 0, 0, bit(libc::SIGALRM))), "a profiler's");
        assert!(!ends(&status(bit(libc::SIGCHLD), 0, 0, 0)));
        assert!(!is_to_end(0) && !is_to_end(u32::MAX) && !is_to_end(1));
    }
}
