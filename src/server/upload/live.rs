//! Upload sessions that this process is at work on: one request at a time on each, and how far its blob is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use super::super::blobs::Progress;

/// Sessions whose hashes are remembered between requests. Of those beyond, the idle ones are hashed anew when they go on.
const REMEMBERED: usize = 1024;

/// The sessions of which this process knows more than the database does.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<Live>>>);

/// A session in this process.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Ends the request that is running, if one is.
    turn: Mutex<CancellationToken>,
    /// How far the blob is, if this process wrote it. Held by the request that is running.
    pub progress: AsyncMutex<Option<Progress>>,
}

impl Sessions {
    /// The session `id`, as this process knows it.
    pub(super) fn enter(&self, id: &str) -> Arc<Live> {
        let mut sessions = self.0.lock();
        if sessions.len() >= REMEMBERED {
            sessions.retain(|_, live| Arc::strong_count(live) > 1);
        }
        sessions.entry(id.to_owned()).or_default().clone()
    }

    /// It is over.
    pub(super) fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }
}

impl Live {
    /// Ends the request before this one, and gives what will end this one.
    pub(super) fn take_turn(&self) -> CancellationToken {
        let mine = CancellationToken::new();
        std::mem::replace(&mut *self.turn.lock(), mine.clone()).cancel();
        mine
    }
}
