//! What the program says and takes besides mounting: its reference, its settings, its diagnosis, its other name.
//!
//! Some need the rights to mount. A test that cannot run fails.

#[allow(dead_code)] // other tests use the rest
#[path = "support/cloud.rs"]
mod cloud;
#[allow(dead_code)]
#[path = "support/machine.rs"]
mod machine;

#[path = "commands/docs.rs"]
mod docs;
#[path = "commands/doctor.rs"]
mod doctor;
#[path = "commands/helper.rs"]
mod helper;
#[path = "commands/home.rs"]
mod home;
#[path = "commands/reference.rs"]
mod reference;
#[path = "commands/settings.rs"]
mod settings;
#[path = "commands/units.rs"]
mod units;
