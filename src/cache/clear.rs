//! Giving up all that the cache holds, because somebody asks for it.

use std::collections::HashSet;

use super::{Cache, Result};

impl Cache {
    /// Drops all blocks; says how many bytes they had. Who has a file open goes on, and fetches again what it still needs.
    pub fn clear(&self) -> Result<u64> {
        // What is to be written down counts as used.
        self.persist()?;
        let wholes = self.clear_wholes()?;
        let before = self.used();
        // Revisions that nobody uses go whole, with their files.
        let unused: HashSet<u32> = {
            let mut table = self.table.lock();
            let unused = table.files.extract_if(|_, known| known.entry.strong_count() == 0);
            let unused: Vec<_> = unused.map(|(number, known)| (number, known.key)).collect();
            for (number, key) in &unused {
                table.numbers.remove(key);
                table.dirty.remove(number);
            }
            unused.into_iter().map(|(number, _)| number).collect()
        };
        let victims = self.lru.lock().drain();
        self.remove(&unused.iter().copied().collect::<Vec<_>>())?;
        for victim in victims {
            if !unused.contains(&victim.file) {
                self.evict(victim)?;
            }
        }
        self.persist()?;
        Ok(wholes + before.saturating_sub(self.used()))
    }
}
