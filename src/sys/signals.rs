//! Signals that are taken one by one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

/// Signals of this process, taken one by one instead of at any moment.
#[derive(Debug)]
pub struct SignalQueue(File);

impl SignalQueue {
    /// Takes these from now on. Programs that are started do not inherit it.
    pub fn of(signals: &[i32]) -> io::Result<Self> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `set` is large enough for all these calls and initialised by the first.
        let descriptor = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        // SAFETY: the descriptor, if it is one, was made just now and is nobody else's.
        if descriptor < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(unsafe { File::from_raw_fd(descriptor) }))
        }
    }

    /// The next one that came, if any did.
    pub fn next(&self) -> Option<i32> {
        // signalfd(2): one `signalfd_siginfo`, whose first four bytes are the number.
        let mut info = [0_u8; 128];
        io::Read::read_exact(&mut &self.0, &mut info).ok()?;
        info.first_chunk::<4>().map(|number| i32::from_ne_bytes(*number))
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
