//! Does the kernel let this user mount?

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Check, Obstacle};
use crate::surroundings::{Need, Surroundings};
use crate::sys::{self, FuseMount};

/// The set-uid helper that mounts for users who may not.
const HELPER: &str = "fusermount3";

/// The release of the kernel.
pub(super) fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The device that requests of the kernel come out of.
pub(super) fn device(here: Surroundings) -> Check {
    let problem = |what: String, need| Check::problem("fuse", Obstacle::CannotMount, what, here.fix(need));
    match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Check::ok("fuse", "/dev/fuse can be opened"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            problem("this machine has no /dev/fuse".to_owned(), Need::Device)
        }
        Err(error) => problem(format!("/dev/fuse cannot be opened: {error}"), Need::DeviceAccess),
    }
}

/// The right to mount: one's own, or that of the helper.
pub(super) fn rights(here: Surroundings, has_device: bool) -> Check {
    let (user, _) = sys::user_and_group();
    let problem = |what: String, need| Check::problem("rights", Obstacle::CannotMount, what, here.fix(need));
    if sys::may_mount() {
        let who = if user == 0 { "root".to_owned() } else { format!("user {user}, who may mount") };
        if !has_device {
            return Check::skipped("rights", format!("{who}; not tried without /dev/fuse"));
        }
        return match try_mount() {
            Ok(true) => Check::ok("rights", format!("{who}, and the kernel mounts")),
            Ok(false) => Check::ok("rights", format!("{who}; not tried, because there is no folder to try it at")),
            Err(error) => problem(format!("the kernel refuses a mount by {who}: {error}"), Need::Rights),
        };
    }
    match helper() {
        Some(path) if user == 0 => problem(
            format!("root without the right to mount (CAP_SYS_ADMIN); {} cannot help", path.display()),
            Need::Rights,
        ),
        None if user == 0 => problem("root without the right to mount (CAP_SYS_ADMIN)".to_owned(), Need::Rights),
        Some(path) => Check::ok("rights", format!("user {user}, by way of {}", path.display())),
        None => problem(format!("user {user} may not mount, and there is no {HELPER} that may"), Need::Helper),
    }
}

/// Whether a mount would outlive its daemon.
pub(super) fn keeper(has_device: bool) -> Check {
    let why = if !has_device {
        return Check::skipped("keeper", "not known without /dev/fuse");
    } else if !sys::may_mount() {
        "only who may mount without a helper (CAP_SYS_ADMIN) can keep a mount".to_owned()
    } else if !is_at_least(&release(), (6, 9)) {
        format!("it takes Linux 6.9 or later, and this is {}", release())
    } else {
        return Check::ok("keeper", "a mount goes on when its daemon dies: another one follows");
    };
    Check::ok(
        "keeper",
        format!("a mount ends when its daemon dies, and the next `drivemount mount` replaces it: {why}"),
    )
}

fn is_at_least(release: &str, least: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let found = numbers.next().zip(numbers.next());
    found.is_none_or(|found| found >= least)
}

/// The helper, if it has the rights of root.
fn helper() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(HELPER)).find(|program| {
        fs::metadata(program)
            .is_ok_and(|program| program.is_file() && program.uid() == 0 && program.mode() & 0o4000 != 0)
    })
}

/// Mounts something at a folder of its own, and removes it at once. What is not allowed by capabilities alone shows only so: the
/// rules of `AppArmor` and of seccomp. Says whether it could be tried.
fn try_mount() -> io::Result<bool> {
    let dir = env::temp_dir().join(format!("drivemount-doctor-{}", std::process::id()));
    if fs::DirBuilder::new().mode(0o700).create(&dir).is_err() {
        return Ok(false);
    }
    let tried = mount_at(&dir);
    let removed = fs::remove_dir(&dir);
    tried.and(removed).map(|()| true)
}

fn mount_at(dir: &Path) -> io::Result<()> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    let request = FuseMount { source: "doctor", kind: "fuse.drivemount-doctor", read_only: true, allow_other: false };
    sys::mount_fuse(&device, dir, &request)?;
    sys::unmount_lazily(dir)
}
