//! A drive that has no room: who was refused, who is told, and what is tried again when it has some.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Kind, Retry};
use crate::tree::Ino;
use crate::writeback::{Writeback, WritebackError};

/// A drive that refused a file larger than what it has free may take smaller ones, if it has so much free.
const ROOMY: u64 = 256 << 20;

/// What is known of the drive's storage.
#[derive(Debug, Default)]
pub(super) struct Storage {
    short: Mutex<Short>,
    /// How many entries the drive has no room for.
    shorts: AtomicUsize,
}

/// Entries that the drive had no room for, with their sizes.
#[derive(Debug, Default)]
struct Short {
    sizes: HashMap<Ino, u64>,
    /// What the drive said is free, since it refused the last of them.
    free: Option<u64>,
}

impl Writeback {
    /// Notes how a step for an entry ended, as far as the drive's storage goes.
    pub(in crate::writeback) fn note_storage(&self, ino: Ino, result: std::result::Result<bool, &WritebackError>) {
        let storage = &self.stagings.space.storage;
        let is_full = matches!(result, Err(error) if error.kind() == Kind::StorageFull);
        let size = if is_full { self.tree.node(ino).ok().flatten().map_or(0, |node| node.size) } else { 0 };
        let mut short = storage.short.lock();
        match result {
            Err(_) if is_full => {
                short.sizes.insert(ino, size);
                short.free = None;
            }
            Ok(true) => drop(short.sizes.remove(&ino)),
            // For another reason that lasts, so room does not help it.
            Err(error) if error.kind().retry() != Retry::Soon => drop(short.sizes.remove(&ino)),
            Ok(false) | Err(_) => {}
        }
        storage.shorts.store(short.sizes.len(), Ordering::Relaxed);
    }

    /// Why no more can be written: the drive is full. `None` if it is not, or if only what is much too large has no room, and
    /// `bytes` more have.
    pub fn full(&self, bytes: u64) -> Option<WritebackError> {
        let space = &self.stagings.space;
        let storage = &space.storage;
        if storage.shorts.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let short = storage.short.lock();
        let smallest = *short.sizes.values().min()?;
        if let Some(free) = short.free.filter(|&free| free >= ROOMY && smallest > free) {
            let held = space.held.lock();
            let theirs: u64 = short.sizes.keys().filter_map(|ino| held.by_entry.get(ino)).sum();
            if held.total - theirs + bytes <= free {
                return None;
            }
        }
        let count = short.sizes.len();
        let files = if count == 1 { "a file".to_owned() } else { format!("{count} files") };
        Some(WritebackError::NotTaken {
            kind: Kind::StorageFull,
            why: format!("the drive is full and refused {files}: empty its trash or remove something"),
        })
    }

    /// Whether the drive had no room for something that it still does not have.
    pub fn is_short(&self) -> bool {
        self.stagings.space.storage.shorts.load(Ordering::Relaxed) > 0
    }

    /// Takes in what the drive has free now (`None`: it has no limit), and tries again what that is enough for if that is wanted.
    pub fn heard_free(&self, free: Option<u64>, again: bool) {
        let storage = &self.stagings.space.storage;
        let sizes = {
            let mut short = storage.short.lock();
            short.free = free;
            let mut sizes: Vec<(u64, Ino)> = short.sizes.iter().map(|(&ino, &size)| (size, ino)).collect();
            sizes.sort_unstable();
            sizes
        };
        if !again {
            return;
        }
        let mut left = free.unwrap_or(u64::MAX);
        let mut queue = self.queue.inner.lock();
        for &(size, ino) in &sizes {
            let Some(rest) = left.checked_sub(size) else { break };
            left = rest;
            queue.hasten(ino);
        }
        drop(queue);
        self.queue.wake.notify_one();
    }
}
