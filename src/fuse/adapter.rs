//! Unpack, call, reply.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags as KernelOpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;

use super::answer::asked;
use super::reply::{caller, give_entry, give_xattr};
use super::{backing, convert};
use crate::error::Kind;
use crate::fs::{Answer, Caching, Fs, Listing, Locks, OpenFlags, Place, SetAttr, Writer};
use crate::remote::xattrs::Put;
use crate::sys;
use crate::tree::NodeKind;

/// The largest write that the kernel sends in one request.
const MAX_WRITE: u32 = 1024 * 1024;

/// Requests that the kernel sends ahead of readers, at most.
const MAX_BACKGROUND: u16 = 64;

/// Numbers are never used twice, so no generation is ever needed to tell two users of one apart.
pub(super) const GENERATION: Generation = Generation(0);

/// The block size that `statfs` counts in.
const BLOCK: u32 = 4096;

/// The bit of a request's number that says that it is asked again: a daemon has read it before, and not answered.
pub(super) const AGAIN: u64 = 1 << 63;

/// What is known of a request that is asked again, if it is one.
fn again<T>(request: &Request, known: impl FnOnce(u64) -> Option<T>) -> Option<T> {
    let number = request.unique().0;
    if number & AGAIN == 0 { None } else { known(number & !AGAIN) }
}

/// The answer to a request that is asked again and done.
fn done_before(fs: &Arc<Fs>, request: &Request) -> Option<Answer<()>> {
    again(request, |number| fs.is_done(number).then(|| Answer::from(Ok(()))))
}

/// The file system as the kernel calls it.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) fs: Arc<Fs>,
    pub(super) runtime: Runtime,
    /// Cancelled when the mount is gone.
    ended: CancellationToken,
    /// The device, once it is served.
    device: Arc<OnceLock<Arc<File>>>,
}

impl Adapter {
    pub(super) fn new(
        fs: Arc<Fs>,
        runtime: Runtime,
        ended: CancellationToken,
        device: Arc<OnceLock<Arc<File>>>,
    ) -> Self {
        Self { fs, runtime, ended, device }
    }

    /// Asks to be allowed to give files to the kernel. Notes it if that cannot be.
    fn ask_for_passthrough(&self, config: &mut KernelConfig) {
        if !self.fs.wants_passthrough() {
            return;
        }
        if config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_err() {
            self.fs.refuse_passthrough("the kernel does not offer it: it takes Linux 6.9 or later".to_owned());
        } else if !sys::may_mount() {
            self.fs.refuse_passthrough("it takes the rights of a superuser (CAP_SYS_ADMIN)".to_owned());
        } else if let Err(most) = config.set_max_stack_depth(self.fs.stack_depth()) {
            tracing::debug!(most, "the kernel takes no deeper stack of file systems");
        }
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            // Not FUSE_ATOMIC_O_TRUNC: a program that is running would be cut before the kernel says that it must not be, and bits
            // that give rights would outlast the content that they were given to.
            InitFlags::FUSE_ASYNC_DIO,
            // Not FUSE_CACHE_SYMLINKS: where a shortcut leads depends on other entries, and changes with them at once. To answer
            // takes microseconds.
            // We say when content changes; the kernel need not guess it from times.
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        ] {
            if let Err(missing) = config.add_capabilities(wanted) {
                tracing::info!(?missing, "the kernel does not offer this");
            }
        }
        self.ask_for_passthrough(config);
        // Each takes the nearest value that it can, and tells; any is fine.
        let _nearest = config.set_max_write(MAX_WRITE);
        let _nearest = config.set_max_background(MAX_BACKGROUND);
        let _nearest = config.set_time_granularity(Duration::from_nanos(1));
        Ok(())
    }

    fn destroy(&mut self) {
        self.ended.cancel();
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.respond(asked(request, "lookup"), reply, |fs| fs.lookup(convert::id(parent), name.as_bytes()), give_entry);
    }

    fn forget(&self, _request: &Request, _ino: INodeNo, _nlookup: u64) {
        // Entries are found by their number in the database: there is nothing to forget.
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let id = convert::id(ino);
        self.respond_now(
            asked(request, "getattr"),
            reply,
            |fs| fs.getattr_of(id, fh.map(|fh| fh.0)),
            |reply, (attr, ttl)| reply.attr(&ttl, &convert::attr(id, &attr)),
        );
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let id = convert::id(ino);
        let set = SetAttr { mode, uid, gid, size, atime: atime.map(convert::time), mtime: mtime.map(convert::time) };
        self.respond(
            asked(request, "setattr"),
            reply,
            |fs| fs.setattr(id, set),
            move |reply, (attr, ttl)| {
                reply.attr(&ttl, &convert::attr(id, &attr));
            },
        );
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.respond(
            asked(request, "readlink"),
            reply,
            |fs| fs.readlink(convert::id(ino)),
            |reply, target| reply.data(&target),
        );
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let Some((kind, device)) = convert::made(mode, rdev) else {
            return reply.error(convert::errno(Kind::Invalid));
        };
        let caller = caller(request);
        let (folder, name) = (convert::id(parent), name.as_bytes());
        let make = |fs: &Arc<Fs>| {
            again(request, |number| fs.made_before(number, folder, name)).unwrap_or_else(|| match kind {
                NodeKind::File => fs.mknod(caller, folder, name, mode),
                kind => fs.mkspecial(caller, folder, name, mode, (kind, device)),
            })
        };
        self.respond(asked(request, "mknod"), reply, make, give_entry);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let caller = caller(request);
        let (folder, name) = (convert::id(parent), name.as_bytes());
        let make = |fs: &Arc<Fs>| {
            again(request, |number| fs.made_before(number, folder, name))
                .unwrap_or_else(|| fs.mkdir(caller, folder, name, mode))
        };
        self.respond(asked(request, "mkdir"), reply, make, give_entry);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (folder, name) = (convert::id(parent), name.as_bytes());
        let remove = |fs: &Arc<Fs>| done_before(fs, request).unwrap_or_else(|| fs.unlink(folder, name));
        self.respond(asked(request, "unlink"), reply, remove, |reply, ()| reply.ok());
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (folder, name) = (convert::id(parent), name.as_bytes());
        let remove = |fs: &Arc<Fs>| done_before(fs, request).unwrap_or_else(|| fs.rmdir(folder, name));
        self.respond(asked(request, "rmdir"), reply, remove, |reply, ()| reply.ok());
    }

    fn symlink(&self, request: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (caller, target) = (caller(request), target.as_os_str().as_bytes());
        let (folder, name) = (convert::id(parent), link_name.as_bytes());
        let make = |fs: &Arc<Fs>| {
            again(request, |number| fs.made_before(number, folder, name))
                .unwrap_or_else(|| fs.symlink(caller, folder, name, target))
        };
        self.respond(asked(request, "symlink"), reply, make, give_entry);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let from = (convert::id(parent), name.as_bytes());
        let to = (convert::id(newparent), newname.as_bytes());
        let rename = |fs: &Arc<Fs>| {
            done_before(fs, request).unwrap_or_else(|| match flags {
                RenameFlags::RENAME_EXCHANGE => fs.exchange(from, to),
                flags if flags.is_empty() => fs.rename(from, to, true),
                RenameFlags::RENAME_NOREPLACE => fs.rename(from, to, false),
                // What rename(2) says of a file system that does not know a flag.
                _ => Answer::Now(Err(Kind::Invalid.into())),
            })
        };
        self.respond(asked(request, "rename"), reply, rename, |reply, ()| reply.ok());
    }

    fn link(&self, request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let (file, folder, name) = (convert::id(ino), convert::id(newparent), newname.as_bytes());
        let link = |fs: &Arc<Fs>| {
            again(request, |number| fs.made_before(number, folder, name)).unwrap_or_else(|| fs.link(file, folder, name))
        };
        self.respond(asked(request, "link"), reply, link, give_entry);
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: KernelOpenFlags, reply: ReplyOpen) {
        let write = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let open = OpenFlags { write, thread: request.pid() };
        let register = |file: &File| {
            let number = reply.open_backing(file)?.into_raw();
            let device = self.device.get().cloned().ok_or(io::ErrorKind::NotConnected)?;
            Ok(backing::held(device, number))
        };
        let answer = self.called(asked(request, "open"), |fs| {
            again(request, |number| fs.opened_before(number).map(Answer::from))
                .unwrap_or_else(|| fs.open(convert::id(ino), open, &register))
        });
        let give = move |reply: ReplyOpen, (handle, caching)| {
            // Nothing to seal when it is closed.
            let flags = if write { FopenFlags::empty() } else { FopenFlags::FOPEN_NOFLUSH };
            match caching {
                Caching::Keep => reply.opened(FileHandle(handle), flags | FopenFlags::FOPEN_KEEP_CACHE),
                Caching::Drop => reply.opened(FileHandle(handle), flags),
                Caching::Passthrough(backing) => {
                    // Registered for as long as `backing` is held, which is longer than this.
                    let lent = sys::lend_backing(&reply, backing.number);
                    reply.opened_passthrough(FileHandle(handle), flags, &lent);
                    let _kept = lent.into_raw();
                }
            }
        };
        self.answer(asked(request, "open"), reply, answer, give);
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: KernelOpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = |fs: &Arc<Fs>| fs.read(fh.0, offset, size).holding(|| fs.hold(Locks::These(vec![convert::id(ino)])));
        self.respond(asked(request, "read"), reply, read, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: KernelOpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (length, thread) = (u32::try_from(data.len()).unwrap_or(u32::MAX), request.pid());
        let by = if write_flags.contains(WriteFlags::FUSE_WRITE_CACHE) { Writer::Kernel } else { Writer::Program };
        // The kernel has the pages locked that are written.
        let write = |fs: &Arc<Fs>| {
            let answer = fs.write(fh.0, thread, offset, data, by);
            answer.holding(|| fs.hold(Locks::These(vec![convert::id(ino)])))
        };
        self.respond(asked(request, "write"), reply, write, move |reply, ()| reply.written(length));
    }

    fn flush(&self, request: &Request, _ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        self.respond_now(asked(request, "flush"), reply, |fs| fs.flush(fh.0, request.pid()), |reply, ()| reply.ok());
    }

    fn release(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: KernelOpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.respond_now(asked(request, "release"), reply, |fs| fs.release(fh.0), |reply, ()| reply.ok());
    }

    fn fsync(&self, request: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.respond(asked(request, "fsync"), reply, |fs| fs.fsync(fh.0, request.pid()), |reply, ()| reply.ok());
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: KernelOpenFlags, reply: ReplyOpen) {
        self.respond(
            asked(request, "opendir"),
            reply,
            |fs| fs.opendir(convert::id(ino)),
            |reply, (handle, keep)| {
                let flags =
                    if keep { FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
                reply.opened(FileHandle(handle), flags);
            },
        );
    }

    fn readdir(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let id = convert::id(ino);
        let give = |mut reply: ReplyDirectory, listing: Listing| {
            for entry in listing.entries() {
                if reply.add(INodeNo(entry.id.0), entry.next, convert::file_type(entry.kind), entry.name) {
                    break;
                }
            }
            reply.ok();
        };
        self.respond(asked(request, "readdir"), reply, |fs| fs.readdir(id, fh.0, offset), give);
    }

    fn readdirplus(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let id = convert::id(ino);
        let fs = Arc::clone(&self.fs);
        let fill = move |reply: &mut ReplyDirectoryPlus, listing: &Listing| {
            let own = fs.getattr(id)?.0;
            fs.show_listed(listing, |listed, entry| {
                // Of `.` and `..` the kernel wants to know no more than the names.
                let (attr, attr_ttl, name_ttl) = entry.map_or_else(
                    || (convert::attr(listed.id, &own), Duration::ZERO, Duration::ZERO),
                    |entry| convert::entry(&entry),
                );
                // One time for both, so the shorter one.
                let ttl = attr_ttl.min(name_ttl);
                let full = reply.add(attr.ino, listed.next, listed.name, &ttl, &attr, GENERATION);
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        let give = move |reply, listing| {
            Self::fill("readdirplus", reply, |reply| fill(reply, &listing), ReplyDirectoryPlus::ok);
        };
        self.respond(asked(request, "readdirplus"), reply, |fs| fs.readdir(id, fh.0, offset), give);
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: KernelOpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs.releasedir(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let id = convert::id(ino);
        let sync = |fs: &Arc<Fs>| fs.fsyncdir(id, request.pid()).holding(|| fs.hold(Locks::These(vec![id])));
        self.respond(asked(request, "fsyncdir"), reply, sync, |reply, ()| reply.ok());
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.respond_now(
            asked(request, "statfs"),
            reply,
            |fs| fs.space(convert::id(ino)),
            |reply, space| {
                let blocks = |bytes: u64| bytes / u64::from(BLOCK);
                // A drive holds up to 500 million items, and does not say how many there are.
                let files = 500_000_000;
                reply.statfs(
                    blocks(space.total),
                    blocks(space.free),
                    blocks(space.free),
                    files,
                    files,
                    BLOCK,
                    255,
                    BLOCK,
                );
            },
        );
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let put = convert::put(value, flags);
        let set = |fs: &Arc<Fs>| {
            done_before(fs, request).unwrap_or_else(|| fs.setxattr(convert::id(ino), name.as_bytes(), put))
        };
        self.respond(asked(request, "setxattr"), reply, set, |reply, ()| reply.ok());
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = |fs: &Arc<Fs>| fs.getxattr(convert::id(ino), name.as_bytes());
        self.respond_now(asked(request, "getxattr"), reply, value, |reply, value| give_xattr(reply, size, &value));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = |fs: &Arc<Fs>| fs.listxattr(convert::id(ino));
        self.respond_now(asked(request, "listxattr"), reply, names, |reply, names| give_xattr(reply, size, &names));
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let remove = |fs: &Arc<Fs>| {
            done_before(fs, request).unwrap_or_else(|| fs.setxattr(convert::id(ino), name.as_bytes(), Put::Remove))
        };
        self.respond(asked(request, "removexattr"), reply, remove, |reply, ()| reply.ok());
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks permissions itself, and asks no more once it was told so.
        reply.error(Errno::ENOSYS);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let caller = caller(request);
        let folder = convert::id(parent);
        let create = |fs: &Arc<Fs>| {
            again(request, |number| fs.created_before(number, folder).map(Answer::from))
                .unwrap_or_else(|| fs.create(caller, folder, name.as_bytes(), mode))
        };
        self.respond(asked(request, "create"), reply, create, |reply, (entry, handle)| {
            let (attr, attr_ttl, name_ttl) = convert::entry(&entry);
            let ttl = attr_ttl.min(name_ttl);
            reply.created(&ttl, &attr, GENERATION, FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE);
        });
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Some((how, grows)) = convert::allocate(mode) else {
            return reply.error(convert::errno(Kind::Unsupported));
        };
        let range = offset..offset.saturating_add(length);
        let allocate = |fs: &Arc<Fs>| fs.fallocate(fh.0, request.pid(), range, how, grows);
        self.respond_now(asked(request, "fallocate"), reply, allocate, |reply, ()| reply.ok());
    }

    fn lseek(&self, request: &Request, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let (libc::SEEK_DATA | libc::SEEK_HOLE) = whence else {
            return reply.error(convert::errno(Kind::Invalid));
        };
        let Ok(offset) = u64::try_from(offset) else {
            // Before the start is as little a place in the file as behind the end.
            return reply.error(convert::errno(Kind::Local(libc::ENXIO)));
        };
        let give = |reply: ReplyLseek, found| reply.offset(i64::try_from(found).unwrap_or(i64::MAX));
        self.respond(asked(request, "lseek"), reply, |fs| fs.seek(fh.0, offset, whence == libc::SEEK_DATA), give);
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let from = Place { handle: fh_in.0, offset: offset_in };
        let to = Place { handle: fh_out.0, offset: offset_out };
        let thread = request.pid();
        self.respond(
            asked(request, "copy_file_range"),
            reply,
            |fs| fs.copy_range(from, to, len, thread),
            ReplyWrite::written,
        );
    }
}
