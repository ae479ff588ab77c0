//! Who one is to the drive: which credentials there are, whether they give a token, and whose storage it opens.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::{Check, Obstacle, network};
use crate::auth::{self, Access};
use crate::config::{self, Credentials, MountConfig};
use crate::control::Status;
use crate::error::Kind;
use crate::mount::mountpoint;
use crate::remote::drive::{DriveOptions, DriveRemote};
use crate::remote::{About, Remote, RemoteError};

/// How long a token, and the drive's answer, may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a call is tried again within that.
const RETRY: Duration = Duration::from_secs(5);

/// From so many hundredths on the drive counts as almost full.
const ALMOST_FULL: u64 = 95;

/// Variables that name or hold credentials, ours and those of Google's libraries.
const VARIABLES: [&str; 9] = [
    "DRIVEMOUNT_TOKEN",
    "DRIVEMOUNT_TOKEN_FILE",
    "DRIVEMOUNT_TOKEN_COMMAND",
    "DRIVEMOUNT_CREDENTIALS",
    "DRIVEMOUNT_ACCOUNT",
    "DRIVEMOUNT_SERVICE_ACCOUNT_FILE",
    "DRIVEMOUNT_RCLONE_REMOTE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "RCLONE_CONFIG",
];

/// The file that credentials are in, if others can read it.
fn open_to_others(credentials: &Credentials) -> Option<&PathBuf> {
    let path = credentials.file()?;
    fs::metadata(path).is_ok_and(|file| file.mode() & 0o044 != 0).then_some(path)
}

/// Looks at the credentials, and at what the drive says to them if it can be reached.
pub(super) async fn look(config: &MountConfig, reached: bool, note: &mut impl FnMut(Check)) {
    let Some(url) = network::address(config) else { return };
    let places = found();
    let Some(credentials) = &config.credentials else {
        let seen = if places.is_empty() { String::new() } else { format!("; not used: {}", places.join(", ")) };
        let fix = "sign in with `drivemount login`, or give credentials: docs/SIGN-IN.md tells which there are";
        note(Check::problem("sign-in", Obstacle::SignIn, format!("nobody is signed in{seen}"), fix));
        note(Check::skipped("token", "not asked for: nobody is signed in"));
        return;
    };
    let what = credentials.describe();
    note(match open_to_others(credentials) {
        Some(path) => Check::warning(
            "sign-in",
            format!("{what}, which other users of this machine can read"),
            format!("`chmod 600 {}`", mountpoint::word(path)),
        ),
        None => Check::ok("sign-in", what),
    });
    let refused = |why: &str| Check::problem("token", Obstacle::SignIn, why, credentials.remedy());
    let given = async {
        let access = if config.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let source = auth::open(credentials, access).await?;
        source.token().await.map(|_| source)
    };
    let source = match timeout(PATIENCE, given).await {
        Ok(Ok(source)) => source,
        Ok(Err(error)) if error.kind() == Kind::SignIn => return note(refused(&error.to_string())),
        Ok(Err(error)) => return note(unreachable("token", &error.to_string())),
        Err(_) => return note(unreachable("token", "no token in time")),
    };
    note(Check::ok("token", "there is one"));
    if !reached {
        return note(Check::skipped("storage", "not asked for: the drive cannot be reached"));
    }
    let mut options = DriveOptions::new(url);
    options.retry_for = RETRY;
    let about = match DriveRemote::new(&options, source) {
        Ok(remote) => timeout(PATIENCE, remote.about()).await.map_err(|_| "no answer in time".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    note(match about {
        Ok(about) => storage(about),
        Err(why) => unreachable("storage", &why),
    });
}

/// Of a mount that runs: who it is, and what it knows of the storage.
pub(super) fn of_running(status: &Status) -> [Check; 2] {
    let who = format!("by the mount, as {}", status.account);
    let who = if status.state.contains("sign-in") {
        Check::warning(
            "sign-in",
            format!("{who}; it was refused since"),
            "see `drivemount status`, which says what to do",
        )
    } else {
        Check::ok("sign-in", who)
    };
    [who, Check::ok("storage", network::storage(status.drive.used_bytes, status.drive.total_bytes))]
}

fn unreachable(name: &'static str, why: &str) -> Check {
    Check::problem(name, Obstacle::Unreachable, why, "try again; if it stays so, check the network and the address")
}

fn storage(about: Result<About, RemoteError>) -> Check {
    match about {
        Ok(About { email, quota, .. }) => {
            let what = format!("{email}: {}", network::storage(quota.used, quota.limit));
            let is_almost_full = quota.limit.is_some_and(|limit| quota.used >= limit / 100 * ALMOST_FULL);
            if is_almost_full {
                let fix = "free some space on the drive (its trash counts too): when it is full, what is saved stays on this machine";
                Check::warning("storage", what, fix)
            } else {
                Check::ok("storage", what)
            }
        }
        Err(error) if error.kind == Kind::SignIn => {
            let fix = "sign in again (`drivemount login`), or give a fresh token";
            Check::problem("storage", Obstacle::SignIn, error.message, fix)
        }
        Err(error) if error.kind == Kind::Denied => Check::problem(
            "storage",
            Obstacle::SignIn,
            format!("the drive lets this sign-in do nothing: {}", error.message),
            "sign in with the scope https://www.googleapis.com/auth/drive, in a project that has the Google Drive API enabled",
        ),
        Err(error) => unreachable("storage", &error.message),
    }
}

/// Credentials that are there, by name and place. Never what they hold.
fn found() -> Vec<String> {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut found: Vec<String> = VARIABLES.into_iter().filter(is_set).map(|name| format!("${name}")).collect();
    let config = config::user_dir("XDG_CONFIG_HOME", ".config");
    if let Some(config) = &config {
        let accounts = fs::read_dir(config.join("drivemount/accounts")).into_iter().flatten().flatten();
        let mut accounts: Vec<PathBuf> = accounts.map(|entry| entry.path()).collect();
        accounts.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        accounts.sort();
        found.extend(accounts.iter().map(|path| path.display().to_string()));
        let files = ["gcloud/application_default_credentials.json", "rclone/rclone.conf"];
        let files = files.iter().map(|file| config.join(file)).filter(|path: &PathBuf| Path::exists(path));
        found.extend(files.map(|path| path.display().to_string()));
    }
    found
}
