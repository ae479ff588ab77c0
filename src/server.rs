//! The embedded drive: a server that speaks the Google Drive v3 protocol, on SQLite and files.
//!
//! It is what the demo mounts, what the tests run on and what benchmarks measure against, so it is as strict as the real
//! service: what that refuses, this refuses, in the same words. It shares no code with the client side, since a mistake
//! that both made would show on neither.

#![allow(dead_code, unused_imports)] // nothing calls these yet

mod blobs;
mod error;
mod fields;
mod ids;
mod item;
mod media_type;
mod order;
mod page;
mod params;
mod query;
mod schema;
mod store;
