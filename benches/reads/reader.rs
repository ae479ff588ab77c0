//! From where files are read: the local disk, a mount of ours, or one of rclone's.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cost::{self, Cost};
use crate::drive::Drive;
use crate::machine::{Machine, sh};
use crate::place::Place;
use crate::side::RcloneMount;

/// Whose reading a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Local,
    /// The bare client.
    Http,
    Ours,
    Rclone,
    /// Ours, without passthrough.
    OursWithout,
}

impl Side {
    pub(crate) const COUNT: usize = 5;

    pub(crate) const fn name(self) -> &'static str {
        ["local disk", "parallel HTTP", "drivemount", "rclone", "drivemount without passthrough"][self as usize]
    }
}

pub(crate) struct Reader {
    pub(crate) side: Side,
    place: Option<Place>,
    folder: PathBuf,
}

impl Reader {
    /// On a machine that has nothing of the drive yet.
    pub(crate) fn fresh(side: Side, drive: &Drive) -> Self {
        let ours = |arguments: &[&str]| {
            let mut machine = Machine::new();
            // As people have it.
            machine.keeper = "auto";
            // Nothing that other tests need; and nothing goes on in the background.
            machine.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            machine.mount(&drive.cloud);
            Place::Ours(Box::new(machine))
        };
        let place = match side {
            Side::Local | Side::Http => None,
            Side::Ours => Some(ours(&[])),
            Side::OursWithout => Some(ours(&["--passthrough", "never"])),
            Side::Rclone => Some(Place::Rclone(Box::new(RcloneMount::start(&drive.cloud)))),
        };
        Self::of(side, place, drive)
    }

    fn of(side: Side, place: Option<Place>, drive: &Drive) -> Self {
        let folder = place.as_ref().map_or_else(|| drive.local.clone(), Place::at);
        Self { side, place, folder }
    }

    /// The same with its folders known: what is measured is reading.
    pub(crate) fn listed(side: Side, drive: &Drive, folder: &str) -> Self {
        drive.near();
        let reader = Self::fresh(side, drive);
        reader.list(folder);
        reader
    }

    pub(crate) fn list(&self, folder: &str) {
        sh(&format!("find '{}' >'/dev/null'", self.at(folder).display()));
    }

    /// Another mount, with what this one left on the machine.
    pub(crate) fn again(self, drive: &Drive) -> Self {
        let place = self.place.map(|place| place.again(&drive.cloud).0);
        Self::of(self.side, place, drive)
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// How many files the kernel reads by itself while this one is open; nothing of those that do not have that.
    pub(crate) fn passed(&self, path: &str) -> Option<u64> {
        let _open = File::open(self.at(path)).expect("opens");
        let Some(Place::Ours(machine)) = &self.place else { return None };
        machine.status()["passthrough"]["files"].as_u64()
    }

    /// What was asked for since the meter was set to zero.
    pub(crate) fn cost(&self, drive: &Drive, seconds: f64) -> Option<(Side, Cost)> {
        Some((self.side, self.place.as_ref()?.cost(&drive.cloud, seconds)))
    }

    /// The same, with what ends only with the mount: a request is counted when it is over.
    pub(crate) fn end(mut self, drive: &Drive, seconds: f64) -> Option<(Side, Cost)> {
        cost::settle(&drive.cloud);
        let (side, cost) = self.cost(drive, seconds)?;
        self.place.take()?.end();
        cost::settle(&drive.cloud);
        Some((side, Cost { requests: cost::requests(&drive.cloud), ..cost }))
    }
}
