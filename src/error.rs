//! The kinds of failure that a person or a program can meet, and what each of them is in numbers.
//!
//! Every layer has its own error enum; what they share is a [`Kind`], assigned once, where the failure is understood (an
//! HTTP answer at the edge of the remote client, an `io::Error` at the edge of the cache). The kind becomes an errno once,
//! in [`Kind::errno`], the only such table of the house.

use std::fmt;
use std::io;

/// What went wrong, independent of the layer that noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such entry.
    NotFound,
    /// The name is taken.
    Exists,
    /// A path component is not a folder.
    NotADirectory,
    /// The operation needs something else than a folder.
    IsADirectory,
    /// The folder still has entries.
    NotEmpty,
    /// The drive (or the mode bits) refuse this user this action.
    Denied,
    /// The action is not possible for anybody on this kind of entry.
    NotPermitted,
    /// The mount, or the entry, takes no changes.
    ReadOnly,
    /// A name over the limit of the kernel.
    NameTooLong,
    /// A name that no drive can store (not UTF-8).
    BadName,
    /// An argument that makes no sense.
    Invalid,
    /// The drive does not move it to another drive.
    OtherDrive,
    /// Over the largest file that the drive takes.
    TooLarge,
    /// The disk of this machine is full.
    DiskFull,
    /// The drive's storage is used up.
    StorageFull,
    /// Too many children in a folder, or too many items.
    TooManyEntries,
    /// The drive's daily download allowance is used up.
    DownloadLimit,
    /// The drive's daily upload allowance is used up.
    UploadLimit,
    /// Nobody is signed in, or the sign-in was revoked.
    SignIn,
    /// The server cannot be reached.
    Unreachable,
    /// Reached, but not within the time allowed.
    TimedOut,
    /// The drive asks for fewer requests.
    RateLimited,
    /// The server failed (5xx).
    Server,
    /// The server's answer made no sense.
    Protocol,
    /// The revision asked for is no longer to be had.
    Stale,
    /// Stored bytes do not match their checksum.
    Corrupt,
    /// Not offered by this file system.
    Unsupported,
    /// No such extended attribute.
    NoAttribute,
    /// More, or longer, extended attributes than the drive keeps.
    AttributesFull,
    /// The buffer given is too small.
    Range,
    /// The handle is not open for this.
    BadHandle,
    /// In use by somebody else.
    Busy,
    /// The mount is ending.
    Closing,
    /// An error of the local system, by its errno.
    Local(i32),
}

impl Kind {
    /// The errno that a program on the mount gets. The only table of its sort: exhaustive on purpose.
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotFound => libc::ENOENT,
            Self::Exists => libc::EEXIST,
            Self::NotADirectory => libc::ENOTDIR,
            Self::IsADirectory => libc::EISDIR,
            Self::NotEmpty => libc::ENOTEMPTY,
            Self::NotPermitted => libc::EPERM,
            // A mount that is ending takes no changes any more, and "read-only file system" says just that.
            Self::ReadOnly | Self::Closing => libc::EROFS,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::BadName => libc::EILSEQ,
            Self::Invalid => libc::EINVAL,
            // Programs that move files copy them then.
            Self::OtherDrive => libc::EXDEV,
            Self::TooLarge => libc::EFBIG,
            // Of attributes it is what a disk says that has no more room for them.
            Self::DiskFull | Self::AttributesFull => libc::ENOSPC,
            // "Disk quota exceeded" tells a person that it is the drive which is full and not this machine.
            Self::StorageFull | Self::UploadLimit => libc::EDQUOT,
            Self::TooManyEntries => libc::EMLINK,
            // A missing sign-in is a matter of permission to programs; `status` tells the person what to do.
            Self::Denied | Self::SignIn => libc::EACCES,
            // EAGAIN would be read as "non-blocking, ask again at once", which makes things worse.
            Self::DownloadLimit
            | Self::Unreachable
            | Self::TimedOut
            | Self::RateLimited
            | Self::Server
            | Self::Protocol
            | Self::Corrupt => libc::EIO,
            Self::Stale => libc::ESTALE,
            Self::Unsupported => libc::EOPNOTSUPP,
            Self::NoAttribute => libc::ENODATA,
            Self::Range => libc::ERANGE,
            Self::BadHandle => libc::EBADF,
            Self::Busy => libc::EBUSY,
            Self::Local(errno) => errno,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Unreachable | Self::TimedOut | Self::RateLimited | Self::Server | Self::Busy => Retry::Soon,
            // Space may be freed, a token renewed, a quota day pass, permission be granted: ask again, seldom.
            Self::StorageFull
            | Self::DiskFull
            | Self::SignIn
            | Self::DownloadLimit
            | Self::UploadLimit
            | Self::Denied
            | Self::TooManyEntries
            | Self::Protocol
            | Self::Corrupt
            | Self::Local(_) => Retry::Seldom,
            Self::NotFound
            | Self::Exists
            | Self::NotADirectory
            | Self::IsADirectory
            | Self::NotEmpty
            | Self::NotPermitted
            | Self::ReadOnly
            | Self::NameTooLong
            | Self::BadName
            | Self::Invalid
            | Self::OtherDrive
            | Self::TooLarge
            | Self::Stale
            | Self::Unsupported
            | Self::NoAttribute
            | Self::AttributesFull
            | Self::Range
            | Self::BadHandle
            | Self::Closing => Retry::Never,
        }
    }

    /// The kind of an error of the local system.
    pub fn of_io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::DiskFull,
            Some(errno) => Self::Local(errno),
            None => Self::Local(libc::EIO),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::NotFound => "not found",
            Self::Exists => "exists already",
            Self::NotADirectory => "not a folder",
            Self::IsADirectory => "is a folder",
            Self::NotEmpty => "folder is not empty",
            Self::Denied => "no permission",
            Self::NotPermitted => "not permitted",
            Self::ReadOnly => "read-only",
            Self::NameTooLong => "name too long",
            Self::BadName => "name is not valid UTF-8",
            Self::Invalid => "invalid argument",
            Self::OtherDrive => "not moved to another drive",
            Self::TooLarge => "file too large for the drive",
            Self::DiskFull => "disk of this machine full",
            Self::StorageFull => "drive full",
            Self::TooManyEntries => "too many entries for the drive",
            Self::DownloadLimit => "download limit of the drive reached",
            Self::UploadLimit => "upload limit of the drive reached",
            Self::SignIn => "sign-in required",
            Self::Unreachable => "drive not reachable",
            Self::TimedOut => "drive did not answer in time",
            Self::RateLimited => "drive asks for fewer requests",
            Self::Server => "drive failed",
            Self::Protocol => "answer of the drive not understood",
            Self::Stale => "this version is gone from the drive",
            Self::Corrupt => "bytes do not match their checksum",
            Self::Unsupported => "not supported",
            Self::NoAttribute => "no such attribute",
            Self::AttributesFull => "no room for more extended attributes",
            Self::Range => "buffer too small",
            Self::BadHandle => "bad file handle",
            Self::Busy => "in use",
            Self::Closing => "mount is ending",
            Self::Local(errno) => return write!(f, "{}", io::Error::from_raw_os_error(*errno)),
        };
        f.write_str(words)
    }
}

/// Advice that goes with a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Temporary by nature: with backoff, from a second on.
    Soon,
    /// Needs something outside to change: minutes apart.
    Seldom,
    /// The same call will fail the same way.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_errno_that_programs_expect() {
        for (kind, errno) in [
            (Kind::NotFound, libc::ENOENT),
            (Kind::Exists, libc::EEXIST),
            (Kind::NotADirectory, libc::ENOTDIR),
            (Kind::IsADirectory, libc::EISDIR),
            (Kind::NotEmpty, libc::ENOTEMPTY),
            (Kind::Denied, libc::EACCES),
            (Kind::NotPermitted, libc::EPERM),
            (Kind::ReadOnly, libc::EROFS),
            (Kind::NameTooLong, libc::ENAMETOOLONG),
            (Kind::BadName, libc::EILSEQ),
            (Kind::Invalid, libc::EINVAL),
            (Kind::OtherDrive, libc::EXDEV),
            (Kind::TooLarge, libc::EFBIG),
            (Kind::DiskFull, libc::ENOSPC),
            (Kind::StorageFull, libc::EDQUOT),
            (Kind::TooManyEntries, libc::EMLINK),
            (Kind::DownloadLimit, libc::EIO),
            (Kind::UploadLimit, libc::EDQUOT),
            (Kind::SignIn, libc::EACCES),
            (Kind::Unreachable, libc::EIO),
            (Kind::TimedOut, libc::EIO),
            (Kind::RateLimited, libc::EIO),
            (Kind::Server, libc::EIO),
            (Kind::Protocol, libc::EIO),
            (Kind::Stale, libc::ESTALE),
            (Kind::Corrupt, libc::EIO),
            (Kind::Unsupported, libc::EOPNOTSUPP),
            (Kind::NoAttribute, libc::ENODATA),
            (Kind::AttributesFull, libc::ENOSPC),
            (Kind::Range, libc::ERANGE),
            (Kind::BadHandle, libc::EBADF),
            (Kind::Busy, libc::EBUSY),
            (Kind::Closing, libc::EROFS),
            (Kind::Local(libc::ENOTCONN), libc::ENOTCONN),
        ] {
            assert_eq!(kind.errno(), errno, "{kind:?}");
            assert_ne!(kind.to_string(), "", "{kind:?}");
        }
    }

    #[test]
    fn a_full_local_disk_is_told_apart_from_other_local_errors() {
        assert_eq!(Kind::of_io(&io::Error::from_raw_os_error(libc::ENOSPC)), Kind::DiskFull);
        assert_eq!(Kind::of_io(&io::Error::from_raw_os_error(libc::EIO)), Kind::Local(libc::EIO));
        assert_eq!(Kind::of_io(&io::Error::other("x")), Kind::Local(libc::EIO));
    }
}
