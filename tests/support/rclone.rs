//! rclone, led to a drive on this machine, and what it mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::cloud::Cloud;
use crate::tls_front::TlsFront;

/// rclone, set up for one drive, which it calls `drive:`.
pub(crate) struct Client {
    front: TlsFront,
}

impl Client {
    pub(crate) fn of(cloud: &Cloud) -> Self {
        let front = TlsFront::start(&cloud.url);
        let token = fs::read_to_string(cloud.token_file()).expect("token");
        let token = serde_json::json!({
            "access_token": token.trim(),
            "token_type": "Bearer",
            "expiry": "2100-01-01T00:00:00Z",
        });
        let config =
            format!("[drive]\ntype = drive\nscope = drive\nclient_id = me\nclient_secret = none\ntoken = {token}\n");
        fs::write(front.folder().join("rclone.conf"), config).expect("writes");
        Self { front }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // scripts/test and scripts/bench install it there.
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/rclone");
        assert!(Path::new(program).exists(), "no {program}: run scripts/test once, it installs it");
        let mut command = Command::new(program);
        command.args(arguments);
        command.arg("--config").arg(self.front.folder().join("rclone.conf"));
        command.arg("--cache-dir").arg(self.cache());
        command.arg("--ca-cert").arg(self.front.authority());
        command.args(["--http-proxy", &self.front.url()]);
        // It waits between requests, for Google's sake.
        command.args(["--drive-pacer-min-sleep", "1ms", "--drive-pacer-burst", "10000"]);
        command
    }

    /// Where it keeps what it has not sent.
    pub(crate) fn cache(&self) -> PathBuf {
        self.front.folder().join("cache")
    }
}

/// A mount by rclone. Unmounted and ended when dropped.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
    process: Child,
}

impl Mounted {
    /// Runs a command that mounts at a folder; it may not be mounted yet.
    pub(crate) fn start(command: &mut Command, at: PathBuf) -> Self {
        Self { process: command.spawn().expect("starts"), at }
    }

    #[allow(dead_code)] // a part of those who use this need it
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as the loss of a machine does.
    #[allow(dead_code)] // a part of those who use this need it
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kills");
        self.process.wait().expect("waits");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = Command::new("fusermount3").arg("-uz").arg(&self.at).status();
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}
