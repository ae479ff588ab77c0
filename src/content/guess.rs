//! Whole contents that nobody asked for yet.

use std::sync::Arc;

use super::{Content, Reader, Result};
use crate::cache::block_count;

impl Content {
    /// Whether this is a moment for requests that nobody waits for.
    pub fn has_spare(&self) -> bool {
        self.remote.has_spare()
    }
}

impl Reader {
    /// Fetches what is absent of the whole content, behind all that somebody waits for, and waits until it is here. It ends early
    /// when nobody has the reader any more.
    pub async fn fetch_whole_ahead(self: &Arc<Self>) -> Result<()> {
        for fetch in self.fetch(0..block_count(self.source().blob.size), 0..0, 0)? {
            fetch.landed(fetch.blocks.end - 1).await?;
        }
        Ok(())
    }
}
