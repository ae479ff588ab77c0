//! Mounts a person's cloud drive into a runtime, so that data sets are read by path, models and logs are simply saved, and
//! what was saved survives the loss of the machine.
//!
//! # Layout
//!
//! One direction of dependency, from top to bottom:
//!
//! ```text
//!                 main
//!                 cli                      commands: arguments, output, exit codes
//!          doctor                          what stands in the way of a mount
//!            mount     control             life of a mount      how commands reach it
//!                 fuse                     kernel adapter, the only user of `fuser`
//!                  fs                      what a file system means; no kernel in it
//!      tree     content    writeback       metadata   reading   writing
//!      state    cache      remote          state.db   blocks    the drive; `remote::drive` is Google Drive v3
//!      auth  net  config  ranges           tokens, HTTP clients, settings, sets of bytes
//!      error  metrics  clock  sys          words, numbers, time, system calls
//!      keeper  book                        what outlives the daemon, and what it hands on
//!      surroundings  redact  crash         what kind of machine this is, secrets out of text, where tests kill the process
//!
//!      server                              the embedded drive: stands beside all of it, shares nothing with `remote`
//! ```

#![warn(missing_docs)]

pub mod auth;
pub mod book;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod content;
pub mod control;
pub mod crash;
pub mod doctor;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod keeper;
pub mod metrics;
pub mod mount;
pub mod net;
pub mod ranges;
pub mod redact;
pub mod remote;
pub mod server;
pub mod state;
pub mod surroundings;
pub mod sys;
pub mod tree;
pub mod writeback;
