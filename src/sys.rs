//! System calls that the standard library does not offer: the only `unsafe` code of the house.
//!
//! Each function is a safe wrapper around one call; each `unsafe` block says why it is sound.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn off(value: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

/// Gives the disk space of `range` back; the bytes read as zeros afterwards, the length stays.
pub fn punch_hole(file: &File, range: Range<u64>) -> io::Result<()> {
    let (start, length) = (off(range.start)?, off(range.end.saturating_sub(range.start))?);
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    check(unsafe {
        libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, start, length)
    })
}

/// Gives a file so many bytes of the disk, from its beginning; its length becomes no less.
pub fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = off(bytes)?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) })
}

/// `length` bytes of a file from `offset` on, into memory that is not cleared first.
pub fn read_exact_at(file: &File, length: usize, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = off(offset + bytes.len() as u64)?;
        let (left, spare) = (length - bytes.len(), bytes.spare_capacity_mut());
        // SAFETY: the descriptor is open for as long as `file` is borrowed; `spare` has room for what is left.
        let read = unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), left.min(spare.len()), at) };
        match usize::try_from(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // SAFETY: so many bytes behind the old ones are written now, and no more than there was room for.
            Ok(read) => unsafe { bytes.set_len(bytes.len() + read) },
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
    Ok(bytes)
}

/// Writes all pieces, one behind the other, to `offset`.
pub fn write_all_at(file: &File, mut pieces: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    // What one call takes at most (`IOV_MAX`).
    const MOST: usize = 1024;
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        let count = libc::c_int::try_from(pieces.len().min(MOST)).unwrap_or(1);
        // SAFETY: an `IoSlice` has the layout of an `iovec` by its definition, and its bytes are borrowed.
        let written = unsafe { libc::pwritev(file.as_raw_fd(), pieces.as_ptr().cast(), count, off(offset)?) };
        match usize::try_from(written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut pieces, written);
                offset += written as u64;
            }
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// Lets a call be made again that only a signal kept from its work.
fn interrupted(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// The parts of a file that take no disk space, in order. None of a file system that does not tell.
pub fn holes(file: &File) -> io::Result<Vec<Range<u64>>> {
    let length = file.metadata()?.len();
    let mut holes = Vec::new();
    let mut at = 0;
    while let Some(hole) = seek(file, at, libc::SEEK_HOLE)?.filter(|&hole| hole < length) {
        // Behind the last data there is none.
        at = seek(file, hole, libc::SEEK_DATA)?.unwrap_or(length);
        holes.push(hole..at);
    }
    Ok(holes)
}

/// Where data, or a hole, begins, from an offset on; `None` if nowhere, or if the file system does not tell.
fn seek(file: &File, offset: u64, what: libc::c_int) -> io::Result<Option<u64>> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    let found = unsafe { libc::lseek(file.as_raw_fd(), off(offset)?, what) };
    let Ok(found) = u64::try_from(found) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENXIO | libc::EINVAL) => Ok(None),
            _ => Err(error),
        };
    };
    Ok(Some(found))
}

/// Mounts a FUSE file system whose requests come out of `device` (an open `/dev/fuse`). For the superuser only.
pub fn mount_fuse(device: &File, mountpoint: &Path, request: &FuseMount<'_>) -> io::Result<()> {
    let (user, group) = user_and_group();
    let others = if request.allow_other { ",allow_other" } else { "" };
    // fuse(8), "rootmode": the type of the root, a folder.
    let options =
        format!("fd={},rootmode=40000,user_id={user},group_id={group},default_permissions{others}", device.as_raw_fd());
    let (source, place) = (c_string(OsStr::new(request.source))?, c_string(mountpoint.as_os_str())?);
    let (kind, options) = (c_string(OsStr::new(request.kind))?, c_string(OsStr::new(&options))?);
    let read_only = if request.read_only { libc::MS_RDONLY } else { 0 };
    // SAFETY: all pointers are to C strings that outlive the call; the descriptor is open.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            place.as_ptr(),
            kind.as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | read_only,
            options.as_ptr().cast(),
        )
    })
}

/// What [`mount_fuse`] is to tell the kernel.
#[derive(Debug, Clone, Copy)]
pub struct FuseMount<'a> {
    /// What the table of mounts shows as the source.
    pub source: &'a str,
    /// The type of file system: `fuse.` and a name.
    pub kind: &'a str,
    /// No changes at all.
    pub read_only: bool,
    /// Other users may use it too.
    pub allow_other: bool,
}

/// Ends this process as the kernel does when memory is short: see [`crate::crash`].
#[cfg(debug_assertions)]
pub fn die() -> ! {
    // SAFETY: no memory is passed. It does not return, and if it did, the line below ends the process too.
    unsafe { libc::raise(libc::SIGKILL) };
    std::process::abort()
}

/// Detaches a mount from the tree at once; it ends when its last user does.
pub fn unmount_lazily(mountpoint: &Path) -> io::Result<()> {
    let path = c_string(mountpoint.as_os_str())?;
    // SAFETY: `path` is a valid C string that outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })
}

/// The allocator of the system, but for the buffers into which `fuser` takes requests of the kernel.
///
/// The kernel copies a request into such a buffer. If a page of that is touched for the first time then, and the process is being
/// killed, the copy fails, and with it the request: the one moment in which a kill would be seen by a program. So as much as the
/// largest request takes is touched when the buffer is made.
#[derive(Debug)]
pub struct Allocator;

/// Such a buffer (`fuser`, `read_buf.rs`): 16 MiB and a page.
const REQUEST_BUFFER: usize = (16 << 20) + 4096;

/// What the largest request takes of it: a write of 1 MiB, and its head.
const REQUEST: usize = (1 << 20) + 8192;

// SAFETY: all is done by the allocator of the system; what is written is within memory that it just gave, and is zero as it was.
unsafe impl std::alloc::GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: std::alloc::Layout, size: usize) -> *mut u8 {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.realloc(memory, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the contract is the same.
        let memory = unsafe { std::alloc::System.alloc_zeroed(layout) };
        if layout.size() == REQUEST_BUFFER && !memory.is_null() {
            for at in (0..REQUEST).step_by(4096) {
                // SAFETY: within the block, which is longer, and which nobody else knows yet.
                unsafe { memory.add(at).write_volatile(0) };
            }
        }
        memory
    }
}

/// A file in memory, without a name, that is gone with the last process that has it open.
pub fn memory_file(name: &str) -> io::Result<File> {
    let name = c_string(OsStr::new(name))?;
    // SAFETY: `name` is a valid C string that outlives the call.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: the descriptor, if it is one, was made just now and is nobody else's.
    if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { File::from_raw_fd(descriptor) }) }
}

/// Two ends of a connection that keeps the bounds of messages.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: both were made just now and are nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Puts what `new` is in the place of `old`, for all who use the number of `old`.
pub fn put_in_place(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open for as long as they are borrowed; `old` stays an open descriptor.
    let done = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that this process was started with. `number` must be one that whoever started it gave it, and be asked for once.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: plain integers; a number that is not open is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as was just seen, and by the contract above nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets a program that is started have these, under the numbers that they have here, and hear all signals, whichever this process
/// takes [one by one](SignalQueue).
pub fn give(command: &mut Command, descriptors: Vec<i32>) {
    let give = move || {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `set` is large enough, and initialised by the first call.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
        }
        for &descriptor in &descriptors {
            // SAFETY: plain integers.
            if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes only system calls, and touches no memory of others.
    unsafe { command.pre_exec(give) };
}

/// Sends one message of one byte, with files that the other end has then, too.
pub fn send_files(socket: BorrowedFd<'_>, word: u8, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: (&raw const word).cast_mut().cast(), iov_len: 1 };
    let mut space = [0_u64; 16];
    let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let length = u32::try_from(size_of_val(numbers.as_slice())).map_err(io::Error::other)?;
    // SAFETY: a `msghdr` is valid when zeroed. The control message has room in `space` (8 descriptors and its head take 48 bytes),
    // which is aligned for it; all that the header points to outlives the call.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        if !numbers.is_empty() && numbers.len() <= 8 {
            message.msg_control = space.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(length) as _;
            std::ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), libc::CMSG_DATA(head), length as usize);
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes one message of one byte, with the files that came with it; `None`: there are no more, the other end is gone.
/// `WouldBlock` if there is none now.
pub fn receive_files(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut word = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 1 };
    let mut space = [0_u64; 16];
    let mut files = Vec::new();
    // SAFETY: as above. The kernel fills in only what there is room for, and each descriptor in what it filled in is a new one
    // that nobody else has.
    let received = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (space.as_mut_ptr().cast(), size_of_val(&space) as _);
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC);
        let head = if received > 0 { libc::CMSG_FIRSTHDR(&raw const message) } else { std::ptr::null_mut() };
        if !head.is_null() && (*head).cmsg_type == libc::SCM_RIGHTS {
            let bytes = (*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let numbers = libc::CMSG_DATA(head).cast::<[u8; 4]>();
            for at in 0..bytes / size_of::<i32>() {
                files.push(OwnedFd::from_raw_fd(i32::from_ne_bytes(numbers.add(at).read())));
            }
        }
        received
    };
    match received {
        0 => Ok(None),
        1.. => Ok(Some((word, files))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this thread open files of its own, of which only this one stays open: what the rest of the process has open is closed with that,
/// whatever becomes of this thread.
pub fn keep_only(file: &File) -> io::Result<()> {
    let number = libc::c_uint::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: no memory is passed. What this thread closes are its own copies of descriptors; by the contract of its callers it owns
    // none but `file`, so that nothing of it is closed twice.
    unsafe {
        check(libc::unshare(libc::CLONE_FILES))?;
        libc::syscall(libc::SYS_close_range, 3, number - 1, 0);
        libc::syscall(libc::SYS_close_range, number + 1, libc::c_uint::MAX, 0);
    }
    Ok(())
}

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

/// Waits until one of these can be read, or its other end is gone, or the time is over.
pub fn wait_for_any(descriptors: &[BorrowedFd<'_>], time: std::time::Duration) -> io::Result<()> {
    let mut polled: [libc::pollfd; 4] = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; 4];
    for (slot, descriptor) in polled.iter_mut().zip(descriptors) {
        slot.fd = descriptor.as_raw_fd();
    }
    let millis = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `polled` is an initialised array of that length; negative descriptors are passed over.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    if ready < 0 { interrupted(io::Error::last_os_error()) } else { Ok(()) }
}

/// A file that is registered with the kernel, to be named in the answer to an `open`. It is to be taken back by `into_raw` before
/// it is dropped: whoever registered it ends that.
pub fn lend_backing(reply: &fuser::ReplyOpen, number: u32) -> fuser::BackingId {
    // SAFETY: the caller holds the registration of `number` for longer than what this gives lives, and does not let that end it.
    unsafe { reply.wrap_backing(number) }
}

/// Ends a registration of a file with the kernel (`FUSE_DEV_IOC_BACKING_CLOSE`, linux/fuse.h).
pub fn close_backing(device: &File, number: u32) -> io::Result<()> {
    const BACKING_CLOSE: libc::Ioctl = 0x4004_e502;
    // SAFETY: the descriptor is open for as long as it is borrowed; the request reads four bytes, which `number` has.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), BACKING_CLOSE, &raw const number) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 1);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: plain integers.
    check(unsafe { libc::kill(pid, signal) })
}

/// Makes this process the leader of a new session, away from the terminal that started it.
pub fn leave_terminal() -> io::Result<()> {
    // SAFETY: no arguments, touches nothing but the process's own session.
    if unsafe { libc::setsid() } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this process has a terminal, by whose end it is told.
pub fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether this process was told to ignore a signal by who started it.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; `action` is large enough and, being integers and optional pointers, valid when zeroed.
    let action = unsafe {
        if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// What this process makes from now on is for its user alone.
pub fn close_to_others() {
    // SAFETY: a plain integer, and the call cannot fail.
    unsafe { libc::umask(0o077) };
}

/// Keeps what this process has open, but for standard input, output and error, from the programs that it starts.
pub fn keep_files_from_children() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let descriptor: Option<libc::c_int> = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(descriptor) = descriptor.filter(|&descriptor| descriptor > libc::STDERR_FILENO) {
            // SAFETY: plain integers. It only sets a flag, which all files of the standard library have already; a descriptor
            // that was closed meanwhile is an error that changes nothing.
            let _closed = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Makes a program start as the leader of a process group of its own, and without any file that this process has open but the
/// three that `command` gives it.
pub fn start_apart(command: &mut Command) {
    command.process_group(0);
    let close = || {
        // SAFETY: plain integers; it only sets the flag by which files are closed when the program begins. A kernel before 5.11
        // does not know it: then it is left to the flags that the standard library sets by itself.
        let _old_kernel =
            unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call, and touches no memory of others.
    unsafe { command.pre_exec(close) };
}

/// Kills a process group.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let leader = libc::pid_t::try_from(leader).ok().filter(|&leader| leader > 1);
    let leader = leader.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: plain integers.
    check(unsafe { libc::killpg(leader, libc::SIGKILL) })
}

/// The effective user and group of this process.
pub fn user_and_group() -> (u32, u32) {
    // SAFETY: neither call takes arguments or can fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Sends SIGTERM to a process.
pub fn terminate(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGTERM)
}

/// Gives a file another name, if that is free: `AlreadyExists` if not.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_string(from.as_os_str())?, c_string(to.as_os_str())?);
    // SAFETY: both are valid C strings that outlive the call; the descriptors are not used, being those of the working folder.
    check(unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE)
    })
}

/// Reads an extended attribute, up to 64 KiB.
pub fn get_xattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (c_string(path.as_os_str())?, c_string(OsStr::new(name))?);
    let mut value = vec![0_u8; 65536];
    // SAFETY: both strings are valid C strings; the buffer is as long as is said.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(value)
}

/// Free and total bytes of the file system that holds `path`, as an unprivileged user can use them.
pub fn disk_space(path: &Path) -> io::Result<(u64, u64)> {
    let path = c_string(path.as_os_str())?;
    let mut space = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` is a valid C string; `space` is large enough and, being all integers, valid when zeroed.
    let space = unsafe {
        check(libc::statvfs(path.as_ptr(), space.as_mut_ptr()))?;
        space.assume_init()
    };
    Ok((space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize))
}

/// Whether this process has the right to mount by itself (`CAP_SYS_ADMIN`, capabilities(7)).
pub fn may_mount() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & (1 << CAP_SYS_ADMIN) != 0)
}

/// A disk, as this process can use it.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Files that can still be made; `None` if there is no such limit.
    pub free_files: Option<u64>,
    /// It is no disk but memory (tmpfs, ramfs).
    pub is_memory: bool,
    /// It is no disk of its own but stands on other file systems (overlayfs, ecryptfs).
    pub is_stacked: bool,
}

/// The disk that holds `path`.
pub fn disk(path: &Path) -> io::Result<Disk> {
    let path = c_string(path.as_os_str())?;
    let mut disk = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` is a valid C string; `disk` is large enough and, being all integers, valid when zeroed.
    let disk = unsafe {
        check(libc::statfs(path.as_ptr(), disk.as_mut_ptr()))?;
        disk.assume_init()
    };
    // statfs(2), "Filesystem types": TMPFS_MAGIC and RAMFS_MAGIC, OVERLAYFS_SUPER_MAGIC and ECRYPTFS_SUPER_MAGIC.
    let kind = u64::try_from(disk.f_type).unwrap_or_default() & 0xffff_ffff;
    Ok(Disk {
        free_bytes: disk.f_bavail * u64::try_from(disk.f_bsize).unwrap_or_default(),
        free_files: (disk.f_files > 0).then_some(disk.f_ffree),
        is_memory: matches!(kind, 0x0102_1994 | 0x8584_58f6),
        is_stacked: matches!(kind, 0x794c_7630 | 0xf15f),
    })
}

/// Whether this process may write into a folder.
pub fn is_writable(dir: &Path) -> bool {
    let Ok(path) = c_string(dir.as_os_str()) else { return false };
    // SAFETY: `path` is a valid C string that outlives the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// How many characters a line of the terminal on standard output has.
pub fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes a `winsize`, which `size` is.
    let asked = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (asked == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}

/// Raises the limit of open files of this process as far as its hard limit allows; says what it is now.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, initialised structure for both calls.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))?;
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn a_punched_hole_reads_zeros_and_frees_its_blocks() {
        let file = tempfile::tempfile().expect("temporary file");
        file.write_all_at(&vec![7; 1 << 20], 0).expect("writes");
        let before = file.metadata().expect("stat").blocks();
        punch_hole(&file, 0..1 << 19).expect("punches");
        let after = file.metadata().expect("stat");
        assert!(after.blocks() < before, "{before} blocks before, {} after", after.blocks());
        assert_eq!(after.len(), 1 << 20);
        let mut byte = [1];
        file.read_exact_at(&mut byte, 5).expect("reads");
        assert_eq!(byte, [0]);
        let found = holes(&file).expect("tells");
        assert!(found.len() == 1 && found[0] == (0..1 << 19), "{found:?}");
        file.set_len(2 << 20).expect("lengthens");
        assert_eq!(holes(&file).expect("tells"), [0..1 << 19, 1 << 20..2 << 20]);
    }

    #[test]
    fn pieces_are_written_and_read_as_one() {
        let file = tempfile::tempfile().expect("temporary file");
        let pieces: Vec<Vec<u8>> = (0..3000_usize).map(|number| vec![number.to_le_bytes()[0]; number % 5]).collect();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        write_all_at(&file, &mut slices, 7).expect("writes");
        let all = pieces.concat();
        assert!(read_exact_at(&file, all.len(), 7).expect("reads") == all);
        assert!(read_exact_at(&file, 0, 1 << 40).expect("reads nothing").is_empty());
        let error = read_exact_at(&file, all.len() + 1, 7).expect_err("is shorter");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        write_all_at(&file, &mut [IoSlice::new(&[])], 0).expect("writes nothing");
    }

    #[test]
    fn the_disk_has_space_and_a_missing_attribute_is_an_error() {
        let (free, total) = disk_space(Path::new("/")).expect("statvfs");
        assert!(total > 0 && free <= total);
        let error = get_xattr(Path::new("/"), "user.drivemount.none").expect_err("no such attribute");
        assert!(error.raw_os_error().is_some());
    }
}
