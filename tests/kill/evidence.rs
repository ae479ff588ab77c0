//! What a failure leaves for who looks for the mistake.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cloud::Cloud;
use crate::machine::Machine;

/// The database as the last end left it, with what the mount logged and what is on the drive: kept if the test fails.
pub(crate) struct Evidence {
    kept: PathBuf,
    tables: PathBuf,
}

impl Evidence {
    /// For the test of that name; what may be needed is held in `scratch` until then.
    pub(crate) fn new(test: &str, scratch: &Path) -> Self {
        let kept = std::env::temp_dir().join(format!("drivemount-{test}-{}", std::process::id()));
        Self { kept, tables: scratch.join("tables") }
    }

    /// Takes the tables as they are now.
    pub(crate) fn take(&self, machine: &Machine) {
        let _none = fs::remove_dir_all(&self.tables);
        fs::create_dir_all(&self.tables).expect("makes");
        for name in ["state.db", "state.db-wal"] {
            fs::copy(machine.cache().join(name), self.tables.join(name)).expect("copies");
        }
    }

    /// To be called when the test has failed, and before the machine goes.
    pub(crate) fn keep(&self, machine: &Machine, cloud: &Cloud, history: &str) {
        fs::create_dir_all(&self.kept).expect("makes");
        for name in ["state.db", "state.db-wal"] {
            let _none = fs::copy(self.tables.join(name), self.kept.join(name));
        }
        fs::write(self.kept.join("log"), machine.log()).expect("writes");
        fs::write(self.kept.join("history"), history).expect("writes");
        let all: Vec<String> = cloud.files("").iter().map(ToString::to_string).collect();
        fs::write(self.kept.join("on-the-drive"), all.join("\n")).expect("writes");
        let requests = cloud.call("GET", "/admin/log", &[], None);
        fs::write(self.kept.join("requests"), requests.to_string()).expect("writes");
        eprintln!(
            "the tables as the last end left them, the log, and what is on the drive, stand in {}",
            self.kept.display()
        );
    }

    /// Keeps it if the test fails before this is dropped.
    pub(crate) fn watch<'a>(&'a self, machine: &'a Machine, cloud: &'a Cloud) -> Watch<'a> {
        Watch { evidence: self, machine, cloud }
    }
}

pub(crate) struct Watch<'a> {
    evidence: &'a Evidence,
    machine: &'a Machine,
    cloud: &'a Cloud,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.evidence.keep(self.machine, self.cloud, "");
        }
    }
}
