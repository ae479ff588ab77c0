//! A drive that is slow and fails now and then, and what it has in the end.

use std::path::Path;

use crate::cloud::Cloud;
use crate::machine::{Machine, read, wait_for_end};

/// Every answer 60 ms late, and one in twenty a failure.
pub(crate) fn trouble(cloud: &Cloud) {
    cloud.make_trouble(&["*:latency,ms=60", "*:answer,status=503,share=0.05"]);
}

/// A mount of such a drive. What is open is sent every second.
pub(crate) fn troubled(cloud: &Cloud) -> Machine {
    let machine = Machine::with_flags(cloud, &["--sync-interval", "1s"]);
    trouble(cloud);
    machine
}

/// Sends everything, in spite of the trouble, and then ends that; the drive has these files of the root as the mount shows them.
pub(crate) fn has(cloud: &Cloud, machine: &Machine, names: &[String]) {
    machine.flush();
    cloud.make_trouble(&[]);
    for name in names {
        assert!(cloud.content(&cloud.id(name)) == read(machine.at(name)), "{name}: the drive has something else");
    }
}

/// Ends the mount, and begins it anew on an empty cache.
pub(crate) fn on_an_empty_cache(cloud: &Cloud, machine: &Machine) {
    let pid = machine.pid();
    machine.unmount();
    // The cache folder is the daemon's until it has ended.
    wait_for_end(pid);
    machine.lose_cache();
    machine.mount(cloud);
}

/// A program that scripts/test installs beside the build.
pub(crate) fn tool(name: &str) -> String {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/target").to_owned());
    Path::new(&target).join("tools/bin").join(name).display().to_string()
}
