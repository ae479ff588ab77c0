//! The most used client of other people's making works on the embedded drive as it does on Google's.

#[path = "support/cloud.rs"]
#[allow(dead_code)] // the other half serves the tests of the mount
mod cloud;
#[path = "support/rclone.rs"]
mod rclone;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cloud::{Cloud, eventually};
use rclone::{Client, Mounted};
use tempfile::TempDir;

/// rclone, set up for a drive, and a folder for what it copies.
struct Rclone {
    cloud: Cloud,
    client: Client,
    here: TempDir,
}

impl Rclone {
    fn start() -> Self {
        let cloud = Cloud::start();
        let client = Client::of(&cloud);
        Self { cloud, client, here: tempfile::tempdir().expect("temporary folder") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.client.command(arguments);
        command.args(["--retries", "1"]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("rclone runs")
    }

    /// Runs a command that must succeed and complain of nothing; what it wrote.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !errors.contains("ERROR"),
            "rclone {arguments:?}: {}\n{errors}",
            output.status
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Files of all the ways in which rclone uploads, and names that need care.
fn tree(at: &Path) -> Vec<String> {
    let files: [(&str, usize); 9] = [
        ("empty", 0),
        ("small.txt", 100),
        ("folder/one", 1),
        ("folder/deeper/quote's \\ and \"others\".bin", 5000),
        ("folder/deeper/größe ☃.txt", 70_000),
        ("folder/ leading and trailing ", 12),
        ("folder/multipart", 8 * 1024 * 1024 - 1),
        ("folder/resumable", 8 * 1024 * 1024 + 1),
        ("resumable in chunks", 17 * 1024 * 1024),
    ];
    for (index, (name, length)) in files.iter().enumerate() {
        let path = at.join(name);
        fs::create_dir_all(path.parent().expect("is below")).expect("makes");
        fs::write(path, pattern(index as u64 + 1, *length)).expect("writes");
    }
    let mut names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_tree_copied_there_and_back_is_the_same() {
    let rclone = Rclone::start();
    let (source, back) = (rclone.at("source"), rclone.at("back"));
    let names = tree(&source);
    rclone.ok(&["copy", "--checksum", text(&source), "drive:data"]);

    let listed = rclone.ok(&["lsf", "-R", "--files-only", "drive:data"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
    assert!(rclone.ok(&["lsf", "-R", "--dirs-only", "drive:data"]).lines().any(|line| line == "folder/deeper/"));

    rclone.ok(&["check", "--download", text(&source), "drive:data"]);
    rclone.ok(&["check", text(&source), "drive:data"]);
    rclone.ok(&["copy", "--checksum", "drive:data", text(&back)]);
    for name in &names {
        assert!(fs::read(source.join(name)).expect("reads") == fs::read(back.join(name)).expect("came back"), "{name}");
    }
    // Times are kept too, so nothing is copied again.
    let again = rclone.run(&["copy", "-v", "drive:data", text(&source)]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && !said.contains("Copied"), "{said}");
}

#[test]
fn a_difference_is_found_and_copied() {
    let rclone = Rclone::start();
    let source = rclone.at("source");
    tree(&source);
    rclone.ok(&["copy", text(&source), "drive:data"]);
    fs::write(source.join("folder/one"), "2").expect("writes");
    let differs = rclone.run(&["check", text(&source), "drive:data"]);
    let said = String::from_utf8_lossy(&differs.stderr);
    assert!(!differs.status.success() && said.contains("1 differences found"), "{said}");
    rclone.ok(&["sync", "--checksum", text(&source), "drive:data"]);
    rclone.ok(&["check", text(&source), "drive:data"]);
    assert_eq!(rclone.ok(&["cat", "drive:data/folder/one"]), "2");
}

#[test]
fn files_and_folders_are_moved_copied_and_purged() {
    let rclone = Rclone::start();
    tree(&rclone.at("source"));
    rclone.ok(&["copy", text(&rclone.at("source")), "drive:data"]);
    rclone.ok(&["moveto", "drive:data/small.txt", "drive:data/folder/renamed.txt"]);
    rclone.ok(&["moveto", "drive:data/folder/deeper", "drive:elsewhere/deeper still"]);
    rclone.ok(&["copyto", "drive:data/folder/one", "drive:data/copied on the server"]);
    let mut listed: Vec<String> = rclone.ok(&["lsf", "-R", "drive:"]).lines().map(String::from).collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            "data/",
            "data/copied on the server",
            "data/empty",
            "data/folder/",
            "data/folder/ leading and trailing ",
            "data/folder/multipart",
            "data/folder/one",
            "data/folder/renamed.txt",
            "data/folder/resumable",
            "data/resumable in chunks",
            "elsewhere/",
            "elsewhere/deeper still/",
            "elsewhere/deeper still/größe ☃.txt",
            "elsewhere/deeper still/quote's \\ and \"others\".bin",
        ]
    );
    rclone.ok(&["purge", "drive:data"]);
    assert_eq!(rclone.ok(&["lsf", "drive:"]), "elsewhere/\n");
    // As Google does: what is purged lies in the trash, until that is emptied.
    assert!(rclone.ok(&["lsf", "--drive-trashed-only", "drive:"]).contains("data/"));
    rclone.ok(&["cleanup", "drive:"]);
    assert_eq!(rclone.cloud.files("trashed = true").len(), 0);
}

#[test]
fn the_account_is_described() {
    let rclone = Rclone::start();
    fs::write(rclone.at("file"), pattern(7, 123_456)).expect("writes");
    rclone.ok(&["copy", text(&rclone.at("file")), "drive:"]);
    let about: serde_json::Value = serde_json::from_str(&rclone.ok(&["about", "--json", "drive:"])).expect("JSON");
    assert_eq!(about["used"], 123_456);
    assert_eq!(about["trashed"], 0);
    assert_eq!(about["total"], serde_json::Value::Null, "unlimited");
}

#[test]
fn a_mount_shows_the_drive_and_hears_of_changes() {
    let rclone = Rclone::start();
    let root = rclone.cloud.root();
    rclone.cloud.upload("there before", &root, b"first");
    let at = rclone.at("mount");
    fs::create_dir(&at).expect("makes");
    let mut command =
        rclone.command(&["mount", "drive:", text(&at), "--poll-interval", "1s", "--vfs-cache-mode", "full"]);
    let mounted = Mounted::start(command.args(["--vfs-write-back", "0s"]), at);
    eventually("the mount shows what is there", || {
        fs::read(mounted.at.join("there before")).ok().filter(|it| it == b"first")
    });

    fs::create_dir(mounted.at.join("made here")).expect("makes");
    fs::write(mounted.at.join("made here/file"), pattern(9, 300_000)).expect("writes");
    let sent = eventually("a file written there is on the drive", || {
        rclone.cloud.all().into_iter().find(|file| file["name"] == "file" && file["size"] == "300000")
    });
    assert!(rclone.cloud.content(sent["id"].as_str().expect("id")) == pattern(9, 300_000));

    rclone.cloud.upload("came later", &root, b"second");
    eventually("what came later is seen", || fs::read(mounted.at.join("came later")).ok().filter(|it| it == b"second"));
}
