//! Between our words and the kernel's.

use std::time::{Duration, SystemTime};

use fuser::{Errno, FileAttr, FileType, INodeNo, TimeOrNow};

use crate::clock::{self, Timestamp};
use crate::error::Kind;
use crate::fs::{Allocate, Attr, Entry, NodeId};
use crate::remote::xattrs::Put;
use crate::remote::{Device, Special};
use crate::tree::NodeKind;

/// What programs are told is a good size for a read or write: each one is a trip to us and back.
const GOOD_SIZE: u32 = 128 * 1024;

pub(super) fn errno(kind: Kind) -> Errno {
    Errno::from_i32(kind.errno())
}

pub(super) fn id(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

/// What a mode of fallocate(2) means: what becomes of the range, and whether the file may become longer. `None` for what is not
/// offered.
pub(super) fn allocate(mode: i32) -> Option<(Allocate, bool)> {
    let grows = mode & libc::FALLOC_FL_KEEP_SIZE == 0;
    match mode & !libc::FALLOC_FL_KEEP_SIZE {
        0 => Some((Allocate::Room, grows)),
        libc::FALLOC_FL_ZERO_RANGE => Some((Allocate::Zeros, grows)),
        libc::FALLOC_FL_PUNCH_HOLE if !grows => Some((Allocate::Zeros, false)),
        _ => None,
    }
}

/// What setxattr(2) is to do. The kernel lets no other flags pass.
pub(super) fn put(value: &[u8], flags: i32) -> Put<'_> {
    match flags {
        libc::XATTR_CREATE => Put::Create(value),
        libc::XATTR_REPLACE => Put::Replace(value),
        _ => Put::Set(value),
    }
}

pub(super) fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::Folder => FileType::Directory,
        NodeKind::File | NodeKind::Document => FileType::RegularFile,
        NodeKind::Symlink | NodeKind::Shortcut | NodeKind::Link => FileType::Symlink,
        NodeKind::Special(Special::Fifo) => FileType::NamedPipe,
        NodeKind::Special(Special::Socket) => FileType::Socket,
        NodeKind::Special(Special::CharDevice) => FileType::CharDevice,
        NodeKind::Special(Special::BlockDevice) => FileType::BlockDevice,
    }
}

/// What the file type of a mode makes with `mknod`, and the device that it stands for. `None` for what is not made so.
pub(super) fn made(mode: u32, rdev: u32) -> Option<(NodeKind, Option<Device>)> {
    let device = Some(Device::from_kernel(rdev));
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Some((NodeKind::File, None)),
        libc::S_IFIFO => Some((NodeKind::Special(Special::Fifo), None)),
        libc::S_IFSOCK => Some((NodeKind::Special(Special::Socket), None)),
        libc::S_IFCHR => Some((NodeKind::Special(Special::CharDevice), device)),
        libc::S_IFBLK => Some((NodeKind::Special(Special::BlockDevice), device)),
        _ => None,
    }
}

pub(super) fn attr(id: NodeId, attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(id.0),
        size: attr.size,
        blocks: attr.data.div_ceil(512),
        atime: attr.atime.into(),
        mtime: attr.mtime.into(),
        ctime: attr.ctime.into(),
        crtime: attr.mtime.into(),
        kind: file_type(attr.kind),
        // Twelve bits of permissions.
        perm: u16::try_from(attr.mode & 0o7777).unwrap_or(0),
        nlink: attr.links,
        uid: attr.owner.0,
        gid: attr.owner.1,
        rdev: attr.device.map_or(0, Device::to_kernel),
        blksize: GOOD_SIZE,
        flags: 0,
    }
}

/// The attributes of an entry, and for how long they, and its name, may be believed.
pub(super) fn entry(entry: &Entry) -> (FileAttr, Duration, Duration) {
    (attr(entry.id, &entry.attr), entry.attr_ttl, entry.name_ttl)
}

pub(super) fn time(time: TimeOrNow) -> Timestamp {
    match time {
        TimeOrNow::SpecificTime(time) => SystemTime::into(time),
        TimeOrNow::Now => clock::now(),
    }
}
