//! Exercisers of file systems on the mount: fsx, fio, stress-ng, and one of our own that closes, sends, evicts and mounts anew in between.
//! The drive answers 60 ms late and fails one request in twenty, and uploads run behind. In the end it has what the mount shows.
//!
//! `DRIVEMOUNT_TEST_FSX` says how many operations of fsx (6,000), `DRIVEMOUNT_TEST_REOPENED` how many of our own (200),
//! `DRIVEMOUNT_TEST_SEED` with which seed both begin (1), `DRIVEMOUNT_TEST_FIO` how many MiB each job of fio writes (2), and
//! `DRIVEMOUNT_TEST_STRESS` for how many seconds stress-ng runs on the mount: all that it has for file systems (else a few of them, a
//! second each).
//!
//! Needs the rights to mount, loop devices included. A test that cannot run fails.
#![allow(dead_code)] // what is shared has more than is needed here

#[path = "support/cloud.rs"]
mod cloud;
#[path = "kill/dice.rs"]
mod dice;
#[path = "support/machine.rs"]
mod machine;

#[path = "exercise/drive.rs"]
mod drive;
#[path = "exercise/fio.rs"]
mod fio;
#[path = "exercise/fsx.rs"]
mod fsx;
#[path = "exercise/one_file.rs"]
mod one_file;
#[path = "exercise/reopened.rs"]
mod reopened;
#[path = "exercise/stress.rs"]
mod stress;
