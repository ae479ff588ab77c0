//! The tree is true: what the drive has is what the mount shows, under names that are the same on every machine.
//!
//! Needs the rights to mount. A test that cannot run fails.
#![allow(dead_code)] // what is shared has more than is needed here

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/machine.rs"]
mod machine;

#[path = "tree/names.rs"]
mod names;
#[path = "tree/rule.rs"]
mod rule;
