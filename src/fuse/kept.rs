//! A device that outlives this process: the conversation with the kernel is begun by the first daemon, and gone on with by those
//! that follow it.
//!
//! The kernel says once, at the beginning, what it is able to do (INIT), and is answered once. Each daemon has that said to it again by
//! us, from the [book](crate::book), so that it knows what was agreed on. Then the kernel is asked to repeat what the last one read and
//! did not answer (`FUSE_NOTIFY_RESEND`, Linux 6.9), before anything else is read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use fuser::{Config, Session};

use super::adapter::Adapter;
use super::{MountOptions, Mounted, backing, mount_device};
use crate::book::{Book, Page};
use crate::fs::{Fs, News};
use crate::sys;

/// `fuse_out_header` of `FUSE_NOTIFY_RESEND`: length, code, no request.
const RESEND: [u8; 16] = {
    let mut message = [0; 16];
    let (length, code) = (16_u32.to_ne_bytes(), 7_u32.to_ne_bytes());
    let mut at = 0;
    while at < 4 {
        message[at] = length[at];
        message[4 + at] = code[at];
        at += 1;
    }
    message
};

/// The longest INIT request and answer by far.
const LONGEST: usize = 4092;

/// Where INIT says what the kernel is able to do: the upper half of the flags, behind the header and five numbers before it
/// (`fuse_init_in`). `FUSE_HAS_RESEND` is bit 39.
const FLAGS_2: std::ops::Range<usize> = 56..60;
const HAS_RESEND: u32 = 1 << (39 - 32);

/// The device of a mount, and the book beside it.
#[derive(Debug)]
pub struct KeptDevice {
    device: File,
    book: Arc<Book>,
}

impl KeptDevice {
    /// As it was handed over.
    pub fn new(device: File, book: Arc<Book>) -> Self {
        Self { device, book }
    }

    pub(super) fn try_clone(&self) -> io::Result<File> {
        self.device.try_clone()
    }

    /// Whether another daemon has served it before.
    pub fn is_mounted(&self) -> bool {
        self.book.is_mounted()
    }

    /// Whether the kernel can be asked to repeat requests; known once it is mounted.
    pub fn can_be_taken_over(&self) -> bool {
        let init = self.book.get(Page::Init).unwrap_or_default();
        let flags =
            init.get(FLAGS_2).and_then(|bytes| bytes.first_chunk::<4>()).map(|bytes| u32::from_ne_bytes(*bytes));
        flags.is_some_and(|flags| flags & HAS_RESEND != 0)
    }

    /// Takes over what another daemon had open.
    pub fn take_over(&self, fs: &Arc<Fs>) -> crate::fs::Result<News> {
        let device = self.device.try_clone().map(Arc::new).map_err(crate::writeback::WritebackError::from)?;
        fs.take_over(&self.book, &|number| backing::held(Arc::clone(&device), number))
    }

    /// Mounts, unless that is done, and begins to serve.
    pub(super) fn serve(
        &self,
        adapter: Adapter,
        mountpoint: &Path,
        options: &MountOptions,
        config: Config,
        serve: impl FnOnce(Session<Adapter>) -> io::Result<Mounted>,
    ) -> io::Result<Mounted> {
        let is_first = !self.is_mounted();
        if is_first {
            mount_device(&self.device, mountpoint, options)?;
        }
        let served = self.begin(adapter, is_first, config).and_then(serve);
        // A mount that nobody serves must not stay.
        served.inspect_err(|_| {
            if is_first {
                drop(sys::unmount_lazily(mountpoint));
            }
        })
    }

    fn begin(&self, adapter: Adapter, is_first: bool, config: Config) -> io::Result<Session<Adapter>> {
        let (ours, theirs) = sys::socket_pair()?;
        let mut ours = File::from(ours);
        let mut buffer = vec![0; 1 << 16];
        let init = if is_first {
            let length = (&self.device).read(&mut buffer)?;
            buffer[..length.min(LONGEST)].to_vec()
        } else {
            self.book.get(Page::Init)?
        };
        ours.write_all(&init)?;
        let acl = config.acl;
        let session = Session::from_fd(adapter, theirs, acl, config)?;
        let length = ours.read(&mut buffer)?;
        let answer = &buffer[..length.min(LONGEST)];
        if is_first {
            self.book.set(Page::Init, &init)?;
            (&self.device).write_all(answer)?;
            self.book.set(Page::Answer, answer)?;
        } else if self.book.get(Page::Answer)? != answer {
            tracing::warn!("the last daemon had agreed on something else with the kernel; that still holds");
        }
        sys::put_in_place(session.as_fd(), self.device.as_fd())?;
        if !is_first {
            match (&self.device).write_all(&RESEND) {
                Ok(()) => {}
                // Removed meanwhile: the session hears of that.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM | libc::ENOTCONN)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_the_kernel_has_it() {
        assert_eq!(RESEND[..4], 16_u32.to_ne_bytes());
        assert_eq!(RESEND[4..8], 7_u32.to_ne_bytes());
        assert_eq!(RESEND[8..], [0; 8]);
    }
}
