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
mod items;
mod media_type;
mod metadata;
mod order;
mod page;
mod params;
mod query;
mod schema;
mod store;

/// What a drive refuses for being too much. The defaults are those of the real service.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all contents, the trash included. `None` (the default): no limit.
    pub storage: Option<u64>,
    /// Children of a folder other than the root: 500,000.
    pub children: u64,
    /// Levels of folders below the root: 100.
    pub depth: u64,
    /// Bytes of a name: 32 KiB. (The real service documents none.)
    pub name_bytes: usize,
    /// Bytes of one content: 5,497,558,138,880.
    pub upload_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { storage: None, children: 500_000, depth: 100, name_bytes: 32 * 1024, upload_bytes: 5_497_558_138_880 }
    }
}
