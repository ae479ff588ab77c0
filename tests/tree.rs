//! The tree is true: what the drive has is what the mount shows, while somebody else changes it and programs read it, under names
//! that are the same on every machine.
//!
//! `DRIVEMOUNT_TEST_EDITS` says how many changes somebody else makes (400), `DRIVEMOUNT_TEST_SEED` where chance begins (1). What a
//! failure prints repeats the changes, not the moments at which the mount heard of them.
//!
//! Needs the rights to mount. A test that cannot run fails.
#![allow(dead_code)] // what is shared has more than is needed here

#[path = "support/cloud.rs"]
mod cloud;
#[path = "kill/dice.rs"]
mod dice;
#[path = "kill/evidence.rs"]
mod evidence;
#[path = "support/machine.rs"]
mod machine;

#[path = "tree/contents.rs"]
mod contents;
#[path = "tree/edits.rs"]
mod edits;
#[path = "tree/names.rs"]
mod names;
#[path = "tree/readers.rs"]
mod readers;
#[path = "tree/rule.rs"]
mod rule;
#[path = "tree/shown.rs"]
mod shown;
#[path = "tree/somebody.rs"]
mod somebody;
