//! System calls that the standard library does not offer: the only `unsafe` code of the house.
//!
//! Each function is a safe wrapper around one call; each `unsafe` block says why it is sound.

mod allocator;
mod handover;
mod signals;

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

pub use self::allocator::Allocator;
pub use self::handover::{
    complain_to, give, inherited, keep_only, memory_file, put_in_place, receive_files, send_as, send_files,
    socket_pair, wait_for_any,
};
pub use self::signals::SignalQueue;

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

/// Has this process, and what it starts, ignore a signal.
pub fn ignore(signal: i32) {
    // SAFETY: no handler of ours is named.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
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
