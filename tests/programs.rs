//! What programs that everybody uses give on the mount is what they give on ext4: the same output, the same exit code, the same tree;
//! and a machine with an empty cache finds that tree on the drive, and the programs go on there.
//!
//! All the while the drive answers 60 ms late and fails one request in twenty. How long each took in both places is printed
//! (`--nocapture`).
//!
//! `DRIVEMOUNT_TEST_PROGRAMS=all` adds those that need large Python packages; scripts/test --full installs and runs them.
//!
//! Needs the rights to mount. A test that cannot run fails.
#![allow(dead_code)] // what is shared has more than is needed here

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/machine.rs"]
mod machine;

#[path = "programs/archives.rs"]
mod archives;
#[path = "programs/both.rs"]
mod both;
#[path = "programs/builds.rs"]
mod builds;
#[path = "programs/databases.rs"]
mod databases;
#[path = "programs/edits.rs"]
mod edits;
#[path = "programs/git.rs"]
mod git;
#[path = "programs/large.rs"]
mod large;
#[path = "programs/python.rs"]
mod python;
#[path = "programs/tree.rs"]
mod tree;
