//! The kernel adapter: the only user of `fuser`, but for one unsafe call of it, which stands in [`crate::sys`].
//!
//! It unpacks a request, calls one method of [`Fs`], and replies. It decides nothing but how to talk to the kernel: which of its
//! abilities to ask for, and on which thread an answer is given. An answer that is ready is given at once, by the thread that
//! took the request; one that has to be waited for is given by a task, within [`Fs::patience`]. A panic is answered with EIO and
//! hurts nobody else.

mod adapter;
mod answer;
mod backing;
mod convert;
mod kept;
mod reply;
mod revoke;
mod work;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;

use self::adapter::Adapter;
pub use self::kept::KeptDevice;
pub use self::revoke::KernelCaches;
pub use self::work::longest;
use crate::fs::Fs;
use crate::sys::{self, FuseMount};

/// What the table of mounts shows as the type of file system, after `fuse.`.
pub const NAME: &str = "drivemount";

/// Threads that take requests from the kernel. Two keep one answering while the other is at the local disk.
const THREADS: usize = 2;

/// A mount that the kernel knows of.
#[derive(Debug)]
pub struct Mounted {
    session: BackgroundSession,
}

/// How to mount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// What the table of mounts shows as the source.
    pub source: String,
    /// No changes at all.
    pub read_only: bool,
    /// Other users may use it too.
    pub allow_other: bool,
}

/// Mounts, and begins to serve requests. `ended` is cancelled when the mount is gone, whoever removed it. `kept`: the device, if
/// somebody keeps it for the daemon that follows. If another one has mounted already, this goes on where it was.
pub fn mount(
    fs: Arc<Fs>,
    caches: &KernelCaches,
    mountpoint: &Path,
    options: &MountOptions,
    runtime: Runtime,
    ended: CancellationToken,
    kept: Option<&KeptDevice>,
) -> io::Result<Mounted> {
    let mut config = Config::default();
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(THREADS);
    // Each thread waits in a queue of its own.
    config.clone_fd = true;
    let device = Arc::<OnceLock<_>>::default();
    let adapter = Adapter::new(fs, runtime, ended, Arc::clone(&device));
    let serve = |session: Session<Adapter>| {
        let _already = device.set(Arc::new(File::from(session.as_fd().try_clone_to_owned()?)));
        caches.connect(session.as_fd().try_clone_to_owned()?);
        Ok(Mounted { session: session.spawn()? })
    };
    if let Some(kept) = kept {
        // What is read through a clone of the device fails when the process ends that made the clone.
        config.clone_fd = false;
        return kept.serve(adapter, mountpoint, options, config, serve);
    }
    match mount_directly(mountpoint, options) {
        Ok(device) => {
            let acl = config.acl;
            let served = Session::from_fd(adapter, device.into(), acl, config).and_then(serve);
            // A mount that nobody serves must not stay.
            served.inspect_err(|_| drop(sys::unmount_lazily(mountpoint)))
        }
        // Not the superuser: the set-uid helper `fusermount3` may.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            config.mount_options = vec![
                MountOption::FSName(options.source.clone()),
                MountOption::Subtype(NAME.to_owned()),
                // The kernel checks permission bits itself, exactly as on a disk.
                MountOption::DefaultPermissions,
                MountOption::NoDev,
                MountOption::NoSuid,
                if options.read_only { MountOption::RO } else { MountOption::RW },
            ];
            Session::new(adapter, mountpoint, &config).and_then(serve)
        }
        Err(error) => Err(error),
    }
}

/// Mounts without a helper. (`fuser` can do so too, but then the table of mounts does not show whose mount it is.)
fn mount_directly(mountpoint: &Path, options: &MountOptions) -> io::Result<File> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    mount_device(&device, mountpoint, options)?;
    Ok(device)
}

fn mount_device(device: &File, mountpoint: &Path, options: &MountOptions) -> io::Result<()> {
    let kind = format!("fuse.{NAME}");
    let MountOptions { source, read_only, allow_other } = options;
    let request = FuseMount { source, kind: &kind, read_only: *read_only, allow_other: *allow_other };
    sys::mount_fuse(device, mountpoint, &request)
}

impl Mounted {
    /// Waits until all requests are served, after the mount was removed.
    pub fn join(self) -> io::Result<()> {
        self.session.join()
    }
}
