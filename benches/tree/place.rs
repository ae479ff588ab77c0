//! A drive that is mounted, by us or by rclone.

use std::path::PathBuf;
use std::time::Instant;

use crate::cloud::Cloud;
use crate::cost::{self, Cost};
use crate::machine::Machine;
use crate::side::{Kind, RcloneMount, mount};

pub(crate) enum Place {
    Ours(Box<Machine>),
    Rclone(Box<RcloneMount>),
}

impl Place {
    /// Mounts on a machine that has nothing of the drive yet. Says when the first question about the root was answered.
    pub(crate) fn fresh(kind: Kind, cloud: &Cloud) -> (Self, f64) {
        cost::zero(cloud);
        let start = Instant::now();
        let place = match kind {
            Kind::Ours => Self::Ours(Box::new(mount(cloud))),
            _ => Self::Rclone(Box::new(RcloneMount::start(cloud))),
        };
        (place.used(), start.elapsed().as_secs_f64())
    }

    /// Ends the mount, and mounts again with what it left on this machine.
    pub(crate) fn again(self, cloud: &Cloud) -> (Self, f64) {
        let ready = |start: Instant| start.elapsed().as_secs_f64();
        match self {
            Self::Ours(machine) => {
                machine.unmount();
                cost::zero(cloud);
                let start = Instant::now();
                machine.mount(cloud);
                (Self::Ours(machine).used(), ready(start))
            }
            Self::Rclone(old) => {
                let client = old.unmount();
                cost::zero(cloud);
                let start = Instant::now();
                (Self::Rclone(Box::new(RcloneMount::of(client))).used(), ready(start))
            }
        }
    }

    /// Ends the mount as people do.
    pub(crate) fn end(self) {
        match self {
            Self::Ours(machine) => machine.unmount(),
            Self::Rclone(mount) => drop(mount.unmount()),
        }
    }

    fn used(self) -> Self {
        std::fs::metadata(self.at()).expect("the root");
        self
    }

    pub(crate) fn at(&self) -> PathBuf {
        match self {
            Self::Ours(machine) => machine.drive(),
            Self::Rclone(mount) => mount.mounted.at.clone(),
        }
    }

    /// Finds everything, in a time that is counted with `before`, and waits until nothing goes on in the background.
    pub(crate) fn find(&self, cloud: &Cloud, entries: usize, before: f64) -> Cost {
        let seconds = before + cost::find(&self.at(), entries);
        cost::settle(cloud);
        self.cost(cloud, seconds)
    }

    /// What was asked for since the mount, or since it was last set to zero, with this time.
    pub(crate) fn cost(&self, cloud: &Cloud, seconds: f64) -> Cost {
        let pid = match self {
            Self::Ours(machine) => u32::try_from(machine.pid()).expect("a pid"),
            Self::Rclone(mount) => mount.mounted.pid(),
        };
        Cost { seconds, requests: cost::requests(cloud), memory: cost::memory(pid) }
    }
}
