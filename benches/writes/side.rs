//! Where a program can write: a folder of the local disk, a mount of ours, or one of rclone's.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::machine::Machine;
use crate::rclone::{Client, Mounted};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Ours,
    Rclone,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local disk",
            Self::Ours => "drivemount",
            Self::Rclone => "rclone",
        }
    }

    pub(crate) fn all(with_rclone: bool) -> Vec<Self> {
        if with_rclone { vec![Self::Local, Self::Ours, Self::Rclone] } else { vec![Self::Local, Self::Ours] }
    }
}

/// One of them, with a new drive that is empty. All goes when it is dropped, the mount first.
pub(crate) struct Side {
    mount: Mount,
    pub(crate) cloud: Option<Cloud>,
}

enum Mount {
    Local(TempDir),
    Ours(Machine),
    Rclone(RcloneMount),
}

pub(crate) struct RcloneMount {
    pub(crate) mounted: Mounted,
    pub(crate) client: Client,
    _here: TempDir,
    control: String,
}

/// What a drive was asked for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Requests {
    /// Those that make an entry.
    pub(crate) creates: u64,
    /// Those that make an entry or give it content.
    pub(crate) writes: u64,
    pub(crate) all: u64,
}

impl Side {
    pub(crate) fn start(kind: Kind) -> Self {
        let cloud = (kind != Kind::Local).then(Cloud::start);
        let mount = match (kind, &cloud) {
            (Kind::Ours, Some(cloud)) => Mount::Ours(mount(cloud)),
            (Kind::Rclone, Some(cloud)) => Mount::Rclone(RcloneMount::start(cloud)),
            _ => Mount::Local(tempfile::tempdir().expect("temporary folder")),
        };
        let side = Self { mount, cloud };
        if let Some(cloud) = &side.cloud {
            cloud.call("DELETE", "/admin/meter", &[], None);
        }
        side
    }

    /// The folder to write into.
    pub(crate) fn folder(&self) -> PathBuf {
        match &self.mount {
            Mount::Local(dir) => dir.path().to_owned(),
            Mount::Ours(machine) => machine.drive(),
            Mount::Rclone(mount) => mount.mounted.at.clone(),
        }
    }

    /// Waits until everything is on the drive. Says how long that took; nothing if that never came.
    pub(crate) fn flush(&self) -> Option<Duration> {
        let start = Instant::now();
        match &self.mount {
            Mount::Local(_) => {}
            Mount::Ours(machine) => machine.flush(),
            Mount::Rclone(mount) => mount.flush()?,
        }
        Some(start.elapsed())
    }

    pub(crate) fn requests(&self) -> Requests {
        let Some(cloud) = &self.cloud else { return Requests::default() };
        let meter = cloud.call("GET", "/admin/meter", &[], None);
        let of = |method: &str| meter["methods"][method]["requests"].as_u64().unwrap_or(0);
        let writes = of("files.create") + of("uploads.simple") + of("uploads.start");
        // The meter does not tell new content of an old file from a new file. The log does, of the last ten thousand requests.
        let log = cloud.call("GET", "/admin/log", &[], None);
        let is_update = |entry: &&Value| {
            let of = |key: &str| entry[key].as_str().unwrap_or_default();
            of("request").starts_with("PATCH /upload/") && of("method") != "uploads.send"
        };
        let updates = log["entries"].as_array().map_or(0, |entries| entries.iter().filter(is_update).count() as u64);
        Requests { creates: writes - updates, writes, all: meter["requests"].as_u64().unwrap_or(0) }
    }

    /// Loses the machine: the process and the disk at once.
    pub(crate) fn lose(&mut self) {
        match &mut self.mount {
            Mount::Local(_) => {}
            Mount::Ours(machine) => {
                machine.kill();
                machine.lose_cache();
            }
            Mount::Rclone(mount) => {
                mount.mounted.kill();
                std::fs::remove_dir_all(mount.client.cache()).expect("removes the cache");
            }
        }
    }
}

/// A mount of a drive, as people have it.
pub(crate) fn mount(cloud: &Cloud) -> Machine {
    let mut machine = Machine::new();
    machine.keeper = "auto";
    machine.arguments.clear();
    // What tests of other things turn off.
    let usual = [("DRIVEMOUNT_LIST_AHEAD", "all"), ("DRIVEMOUNT_TREE_SNAPSHOT", "keep")];
    machine.environment = usual.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    machine.mount(cloud);
    machine
}

impl RcloneMount {
    pub(crate) fn start(cloud: &Cloud) -> Self {
        Self::of(Client::of(cloud))
    }

    /// With what an earlier mount of this client left.
    pub(crate) fn of(client: Client) -> Self {
        let here = tempfile::tempdir().expect("temporary folder");
        let at = here.path().join("drive");
        std::fs::create_dir(&at).expect("mountpoint");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let control = port.expect("a port").to_string();
        let mut command = client.command(&["mount", "drive:"]);
        // Symbolic links are part of the work.
        command.arg(&at).args(["--vfs-cache-mode", "full", "--links", "--log-level", "ERROR", "--log-file"]);
        command.arg(here.path().join("log")).args(["--rc", "--rc-no-auth", "--rc-addr", &control]);
        let mounted = Mounted::start(&mut command, at.clone());
        let before = Instant::now();
        while !is_mountpoint(&at) {
            assert!(before.elapsed() < Duration::from_mins(1), "rclone does not mount");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { mounted, client, _here: here, control }
    }

    /// Ends it as people do. What it keeps on this machine stays with the client.
    #[allow(dead_code)] // a part of those who use this need it
    pub(crate) fn unmount(self) -> Client {
        let Self { mounted, client, .. } = self;
        drop(mounted);
        client
    }

    /// What it has not sent yet.
    fn unsent(&self) -> u64 {
        let url = format!("http://{}/vfs/stats", self.control);
        let output = crate::machine::run(std::process::Command::new("curl").args(["-s", "-X", "POST", &url]));
        let stats: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let of = |name: &str| stats["diskCache"][name].as_u64().unwrap_or(1);
        of("uploadsInProgress") + of("uploadsQueued")
    }

    fn flush(&self) -> Option<()> {
        let before = Instant::now();
        while self.unsent() > 0 {
            if before.elapsed() > Duration::from_mins(10) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(())
    }
}

fn is_mountpoint(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}
