//! `mount -t drivemount`, by way of mount(8) itself where this machine lets us, and by name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cloud::{Cloud, PROGRAM};
use crate::home::{Home, stderr, text};
use crate::machine::{run, said};

/// Where mount(8) looks for its helpers.
const HELPER: &str = "/sbin/mount.drivemount";

/// The program under the name of a helper, in the user's own folder.
fn helper(home: &Home) -> PathBuf {
    let helper = home.at("mount.drivemount");
    symlink(PROGRAM, &helper).expect("links");
    helper
}

fn mounted(home: &Home, drive: &Path) -> bool {
    home.run(&["status", text(drive)]).status.success()
}

fn unmount(home: &Home, drive: &Path) {
    let output = home.run(&["unmount", text(drive)]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A link that is removed again, if it is ours to make.
struct Link;

impl Link {
    fn make() -> Option<Self> {
        symlink(PROGRAM, HELPER).ok().map(|()| Self)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Only what was made here: somebody may have installed one meanwhile.
        if fs::read_link(HELPER).is_ok_and(|target| target == Path::new(PROGRAM)) {
            let _gone = fs::remove_file(HELPER);
        }
    }
}

#[test]
fn mount_8_mounts_a_line_of_fstab() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let drive = home.at("drive");
    fs::create_dir(&drive).expect("mountpoint");
    let options = format!(
        "ro,token_file={},cache_dir={},cache_size=3G,_netdev,nofail,x-systemd.automount",
        cloud.token_file().display(),
        home.at("cache").display()
    );
    let table = home.write("fstab", &format!("{} {} drivemount {options} 0 0\n", cloud.url, drive.display()));
    // mount(8) looks nowhere else. Where somebody has a helper already, or the folder is not ours, the helper is called as it would.
    let output = if let Some(_link) = Link::make() {
        let mut mount = home.as_user(Path::new("mount"), &["--fstab", text(&table), text(&drive)]);
        run(mount.env_remove("HOME"))
    } else {
        run(&mut home.as_user(&helper(&home), &[&cloud.url, text(&drive), "-o", &options]))
    };
    assert!(output.status.success(), "{}", said(&output));
    assert!(mounted(&home, &drive));
    let error = fs::write(drive.join("file"), b"x").expect_err("read-only");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    unmount(&home, &drive);
}

#[test]
fn the_helper_takes_what_mount_8_gives_it() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let (drive, helper) = (home.at("drive"), helper(&home));
    let call = |words: &[&str]| -> Output {
        let mut command = home.as_user(&helper, &[&cloud.url, text(&drive)]);
        run(command.args(words).env("DRIVEMOUNT_TOKEN_FILE", cloud.token_file()))
    };
    let output = call(&["-f", "-o", "rw"]);
    assert!(output.status.success() && !mounted(&home, &drive), "{}", said(&output));
    let output = call(&["-o", "rw,whatever"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("mount.drivemount: there is no option `whatever`"), "{}", said(&output));
    let output = call(&["-o", "cache_size=lots"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let output = call(&["-s", "-n", "-o", "rw,whatever,noatime", "-t", "drivemount"]);
    assert!(output.status.success() && mounted(&home, &drive), "{}", said(&output));
    unmount(&home, &drive);
    let output = run(Command::new(&helper).arg("google"));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("usage: mount -t drivemount"), "{}", said(&output));
}
