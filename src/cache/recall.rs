//! What the index knows at a start, if it can be believed.

use std::collections::HashMap;
use std::sync::Weak;

use super::entry::Sound;
use super::index::Index;
use super::lru::{BlockKey, Lru};
use super::{Key, Known, Table, block_count, disk_length};

/// What the index knows at a start.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    pub(super) table: Table,
    pub(super) lru: Lru,
    /// Bytes that each file takes.
    pub(super) on_disk: HashMap<u32, u64>,
}

impl Recalled {
    /// `None` if it contradicts itself.
    pub(super) fn of(index: &mut Index) -> rusqlite::Result<Option<Self>> {
        let Self { mut table, mut lru, mut on_disk } = Self::default();
        let mut hollow = Vec::new();
        for file in index.files()? {
            table.next_number = table.next_number.max(file.number.saturating_add(1));
            let present = index.present(file.number)?;
            if present.is_empty() {
                hollow.push(file.number);
                continue;
            }
            let before = lru.bytes();
            for &block in &present {
                lru.insert(BlockKey { file: file.number, block }, disk_length(block, file.size));
            }
            let key = Key { id: file.id, revision: file.revision };
            let known = Known { key: key.clone(), size: file.size, entry: Weak::new(), sound: Sound::default() };
            let is_beyond = present.last().is_some_and(|&last| last >= block_count(file.size));
            let is_twice = table.numbers.insert(key, file.number).is_some()
                || table.files.insert(file.number, known).is_some()
                || on_disk.insert(file.number, lru.bytes() - before).is_some();
            if is_beyond || is_twice {
                return Ok(None);
            }
        }
        index.remove(&hollow)?;
        Ok(Some(Self { table, lru, on_disk }))
    }
}
