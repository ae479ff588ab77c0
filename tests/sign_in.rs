//! Signing in: the real program, the pages of an embedded drive, and mounts that live on what comes of it.
//!
//! The browser here only sends forms; `scripts/test-browser` does the same with a real one.

#[path = "support/cloud.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod cloud;
#[path = "support/home.rs"]
mod home;
#[path = "support/machine.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod machine;

#[path = "sign_in/accounts.rs"]
mod accounts;
#[path = "sign_in/heal.rs"]
mod heal;
#[path = "sign_in/login.rs"]
mod login;
#[path = "sign_in/secrets.rs"]
mod secrets;
