//! What kind of machine this is, and what to do there when something is missing for a mount.
//!
//! The one table of such advice: the refusal of a mount, `drivemount doctor` and the documentation take it from here.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::{Serialize, Serializer};

/// Kinds of machines that differ in what a person can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// A machine of one's own, real or virtual.
    Plain,
    /// Linux within Windows.
    Wsl,
    /// A sandbox that plays the kernel.
    GVisor,
    /// A container.
    Docker,
    /// A container in a pod.
    Kubernetes,
    /// A notebook of Google Colab.
    Colab,
    /// A notebook of Kaggle.
    Kaggle,
}

/// What a mount can lack that the machine has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// There is no `/dev/fuse`.
    Device,
    /// `/dev/fuse` is there and may not be opened.
    DeviceAccess,
    /// The superuser may not mount.
    Rights,
    /// Not the superuser, and no `fusermount3`.
    Helper,
    /// The drive cannot be reached.
    Network,
    /// The clock is wrong.
    Clock,
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Device, Self::DeviceAccess, Self::Rights, Self::Helper, Self::Network, Self::Clock];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "there is no /dev/fuse",
            Self::DeviceAccess => "/dev/fuse may not be opened",
            Self::Rights => "the kernel refuses the mount",
            Self::Helper => "not root, and no fusermount3",
            Self::Network => "the drive cannot be reached",
            Self::Clock => "the clock is wrong",
        }
    }
}

impl Surroundings {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Docker, Self::Kubernetes, Self::Colab, Self::Kaggle, Self::Wsl, Self::GVisor];

    /// Those of this process.
    pub fn here() -> Self {
        Self::of(Path::new("/"), |name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// Those that the files below `root` and the variables tell of. What gives itself away first is the most special: a notebook of
    /// Kaggle is a container too.
    fn of(root: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let is_there = |path: &str| root.join(path).exists();
        let kernel = read("proc/sys/kernel/osrelease").to_lowercase();
        let control_groups = read("proc/1/cgroup");
        if variable("KAGGLE_KERNEL_RUN_TYPE").is_some() {
            Self::Kaggle
        } else if variable("COLAB_RELEASE_TAG").is_some() || (variable("COLAB_GPU").is_some() && is_there("content")) {
            Self::Colab
        // The version that gVisor's kernel goes by, for years the same.
        } else if kernel.contains("gvisor") || read("proc/version").contains("#1 SMP Sun Jan 10 15:06:54 PST 2016") {
            Self::GVisor
        } else if variable("KUBERNETES_SERVICE_HOST").is_some() || control_groups.contains("kubepods") {
            Self::Kubernetes
        } else if is_there(".dockerenv")
            || is_there("run/.containerenv")
            || ["docker", "containerd", "libpod"].iter().any(|name| control_groups.contains(name))
        {
            Self::Docker
        } else if kernel.contains("microsoft") {
            Self::Wsl
        } else {
            Self::Plain
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "a machine of its own",
            Self::Wsl => "WSL",
            Self::GVisor => "a gVisor sandbox",
            Self::Docker => "a container",
            Self::Kubernetes => "a Kubernetes pod",
            Self::Colab => "Google Colab",
            Self::Kaggle => "Kaggle",
        }
    }

    /// What to do here about what is missing, in a line.
    pub const fn fix(self, need: Need) -> &'static str {
        match (need, self) {
            (Need::Device | Need::DeviceAccess | Need::Rights, Self::Docker) => {
                "start the container with `docker run --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor:unconfined`"
            }
            (Need::Device | Need::DeviceAccess | Need::Rights, Self::Kubernetes) => {
                "give the container `securityContext: {privileged: true}`; or /dev/fuse from a device plugin (a hostPath alone is \
                 not enough) and `capabilities: {add: [SYS_ADMIN]}`"
            }
            (Need::Device | Need::DeviceAccess | Need::Rights | Need::Helper, Self::Kaggle) => {
                "Kaggle gives notebooks neither /dev/fuse nor the right to mount, so no drive can be mounted there; add the files \
                 as a data set, or copy them with `rclone copy`"
            }
            (Need::Device | Need::DeviceAccess | Need::Rights, Self::Colab) => {
                "Colab's own machines can mount: choose Runtime > Disconnect and delete runtime, and begin again; on a local \
                 runtime, that machine or container must be able to"
            }
            (Need::Device | Need::DeviceAccess | Need::Rights, Self::GVisor) => {
                "whether a gVisor sandbox can mount is decided by who runs it; use a plain container or a virtual machine"
            }
            (Need::Device, Self::Wsl) => {
                "WSL 1 has no FUSE: run `wsl --update` and `wsl --set-version DISTRIBUTION 2` in Windows"
            }
            (Need::Device, Self::Plain) => "load the module of the kernel: `sudo modprobe fuse`",
            (Need::DeviceAccess, Self::Plain | Self::Wsl) => "let all users open it: `sudo chmod 666 /dev/fuse`",
            (Need::Rights, Self::Plain | Self::Wsl) => {
                "mount as root of the machine itself; in a container, it must be started with the right to mount \
                 (`--cap-add SYS_ADMIN`)"
            }
            (Need::Helper, Self::Plain | Self::Wsl | Self::Colab) => "`sudo apt install fuse3`, or mount as root",
            (Need::Helper, Self::Docker | Self::Kubernetes | Self::GVisor) => {
                "put the package fuse3 into the image, or mount as root"
            }
            (Need::Network, Self::Kaggle) => "switch Internet on in the settings of the notebook",
            (Need::Network, Self::Docker) => "check that the container has a network (`--network none` takes it away)",
            (Need::Network, Self::Kubernetes) => {
                "check that the policies of the cluster let the pod out (egress, port 443)"
            }
            (Need::Network, Self::Plain | Self::Wsl | Self::GVisor | Self::Colab) => {
                "check the network, and that a firewall or proxy lets you through"
            }
            (Need::Clock, Self::Docker | Self::Kubernetes | Self::GVisor | Self::Kaggle | Self::Colab) => {
                "the clock is that of the host: set it there (`sudo timedatectl set-ntp true`), or begin a new session"
            }
            (Need::Clock, Self::Plain) => "set it by the network: `sudo timedatectl set-ntp true`",
            (Need::Clock, Self::Wsl) => "set it by the hardware: `sudo hwclock -s`",
        }
    }
}

impl Serialize for Surroundings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)], variables: &[&str]) -> Surroundings {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("makes");
            fs::write(path, text).expect("writes");
        }
        Surroundings::of(root.path(), |name| variables.contains(&name).then(|| "1".into()))
    }

    #[test]
    fn machines_are_told_apart() {
        assert_eq!(of(&[], &[]), Surroundings::Plain);
        assert_eq!(of(&[(".dockerenv", "")], &[]), Surroundings::Docker);
        assert_eq!(of(&[("proc/1/cgroup", "12:cpu:/docker/0123\n")], &[]), Surroundings::Docker);
        assert_eq!(of(&[("run/.containerenv", "")], &[]), Surroundings::Docker);
        assert_eq!(of(&[(".dockerenv", "")], &["KUBERNETES_SERVICE_HOST"]), Surroundings::Kubernetes);
        assert_eq!(of(&[("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n")], &[]), Surroundings::Kubernetes);
        assert_eq!(of(&[(".dockerenv", "")], &["COLAB_RELEASE_TAG"]), Surroundings::Colab);
        assert_eq!(of(&[("content/x", "")], &["COLAB_GPU"]), Surroundings::Colab);
        assert_eq!(of(&[(".dockerenv", "")], &["KAGGLE_KERNEL_RUN_TYPE"]), Surroundings::Kaggle);
        assert_eq!(of(&[("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")], &[]), Surroundings::Wsl);
        let gvisor = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n";
        assert_eq!(of(&[("proc/version", gvisor), (".dockerenv", "")], &[]), Surroundings::GVisor);
    }
}
