//! What a process hands to the one that it starts, or that follows it: open files, by inheritance and by message, and memory that is a
//! file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{c_string, check, interrupted};

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

/// Makes a file the standard error of this process, and of what it starts.
pub fn complain_to(file: &File) -> io::Result<()> {
    // SAFETY: the file is open for as long as it is borrowed; standard error stays an open descriptor.
    if unsafe { libc::dup2(file.as_raw_fd(), libc::STDERR_FILENO) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
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
/// takes [one by one](super::SignalQueue).
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

/// Sends a message on a connected socket of this machine in the name of another process, which takes the rights of a superuser.
pub fn send_as(socket: BorrowedFd<'_>, text: &[u8], process: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    let mut part = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
    let mut space = [0_u64; 8];
    let length = u32::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: as above; a `ucred` and its head take 32 bytes.
    let sent = unsafe {
        let who = libc::ucred { pid, uid: libc::getuid(), gid: libc::getgid() };
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(length) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_CREDENTIALS;
        (*head).cmsg_len = libc::CMSG_LEN(length) as _;
        libc::CMSG_DATA(head).cast::<libc::ucred>().write_unaligned(who);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    if sent >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

/// Gives this thread open files of its own, of which only this one and the standard ones stay open: what the rest of the process has
/// open is closed with that, whatever becomes of this thread. From then on the thread must not let go of a file that it shares with
/// others, nor wake a task of a runtime: that writes to a file of the runtime.
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
