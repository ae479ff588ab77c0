//! Replies to the kernel: values, and errors by one way.

use fuser::{
    Errno, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
};

use super::adapter::GENERATION;
use super::convert;
use crate::error::Kind;
use crate::fs::Caller;

/// A reply that can be an error.
pub(super) trait Refuse: Sized {
    fn errno(self, errno: Errno);

    fn refuse(self, operation: &'static str, error: &crate::fs::FsError) {
        // What a program may well expect is no news; the rest is said where it is handled, which is here.
        match error.kind() {
            Kind::NotFound | Kind::Exists | Kind::NotEmpty | Kind::NoAttribute | Kind::Unsupported | Kind::Range => {}
            kind if kind.errno() == libc::EIO => tracing::warn!(operation, %error, "failed"),
            _ => tracing::debug!(operation, %error, "refused"),
        }
        self.errno(convert::errno(error.kind()));
    }

    fn panicked(self, operation: &'static str) {
        tracing::error!(operation, "panicked; answered with an I/O error");
        self.errno(Errno::EIO);
    }
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn errno(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

pub(super) fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), thread: request.pid() }
}

pub(super) fn give_entry(reply: ReplyEntry, entry: crate::fs::Entry) {
    let (attr, attr_ttl, name_ttl) = convert::entry(&entry);
    reply.entry_with_ttls(&attr_ttl, &name_ttl, &attr, GENERATION);
}

pub(super) fn give_xattr(reply: ReplyXattr, size: u32, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    if size == 0 {
        reply.size(length);
    } else if length > size {
        reply.error(convert::errno(Kind::Range));
    } else {
        reply.data(value);
    }
}
