//! The daemon is killed, again and again, at random moments and at each named step between journal, staging, upload and commit;
//! and the disk loses what was not synced. Nothing that was promised is lost, nothing is torn, nothing is there twice.
//!
//! `DRIVEMOUNT_TEST_KILLS` says how many kills (50), `DRIVEMOUNT_TEST_KILL_SEED` where chance begins (1), `DRIVEMOUNT_TEST_POWER_LOSSES`
//! how often power is lost (5). What a failure prints repeats the choices of the writers, not the moments at which the kernel
//! and the drive did what.
//!
//! Needs the rights to mount, loop devices included. A test that cannot run fails.
#![allow(dead_code)] // what is shared has more than is needed here

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/machine.rs"]
mod machine;

#[path = "kill/agreement.rs"]
mod agreement;
#[path = "kill/dice.rs"]
mod dice;
#[path = "kill/disk.rs"]
mod disk;
#[path = "kill/evidence.rs"]
mod evidence;
#[path = "kill/manifest.rs"]
mod manifest;
#[path = "kill/points.rs"]
mod points;
#[path = "kill/power.rs"]
mod power;
#[path = "kill/rounds.rs"]
mod rounds;
#[path = "kill/session.rs"]
mod session;
#[path = "kill/writer.rs"]
mod writer;
