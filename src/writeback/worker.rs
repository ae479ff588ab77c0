//! Sends what is due, many entries at a time, and files that are worth it while they are written.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::plan::Outcome;
use super::{Result, Writeback, WritebackError, journal, send, stream};
use crate::error::Kind;
use crate::tree::Ino;

/// Sends entries as they come due, until `end`; then lets those under way end, or not, as the runtime goes.
pub(super) async fn run(writeback: Arc<Writeback>, end: CancellationToken) {
    let mut jobs = JoinSet::new();
    let Some(mut growing) = writeback.growing.lock().take() else { return };
    loop {
        for (ino, cancel) in writeback.queue.inner.lock().take_due() {
            let writeback = Arc::clone(&writeback);
            jobs.spawn(async move { writeback.work(ino, &cancel).await });
        }
        let next = writeback.queue.inner.lock().next();
        let pause = async {
            match next {
                Some(when) => tokio::time::sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            () = writeback.queue.wake.notified() => {}
            Some(ino) = growing.recv() => {
                jobs.spawn(stream::run(Arc::clone(&writeback), ino));
            }
            Some(_) = jobs.join_next(), if !jobs.is_empty() => {}
            () = end.cancelled() => break,
        }
    }
    jobs.shutdown().await;
}

impl Writeback {
    async fn work(&self, ino: Ino, cancel: &CancellationToken) {
        if !self.queue.is_hurried() {
            self.beside.wait().await;
        }
        let result = or_mistake(send::step(self, ino, cancel)).await;
        let ended = result.as_ref().map(|outcome| !matches!(outcome, Outcome::Again));
        self.refusals.note(ino, ended);
        self.note_storage(ino, ended);
        let mut attempts = 0;
        if let Err(error) = &result {
            attempts = self.queue.attempts(ino) + 1;
            if error.kind() == Kind::StorageFull {
                self.full.notify_one();
            }
            let path = self.tree.path(ino).unwrap_or_default();
            tracing::warn!(path, %error, attempts, "not sent yet");
            if let Err(error) = self.state.write::<_, rusqlite::Error>(|tx| journal::fail(tx, ino, &error.to_string()))
            {
                tracing::error!(%error, "the reason could not be stored");
            }
        }
        self.queue.finish(ino, result.as_ref().copied(), attempts);
    }
}

/// What a step comes to, also if it panics: whoever waits for its entry must not wait for ever for somebody who is gone.
async fn or_mistake(step: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or(Err(WritebackError::Mistake))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_panics_has_failed() {
        assert_eq!(or_mistake(async { Ok(Outcome::Idle) }).await.expect("ends"), Outcome::Idle);
        let mistake = or_mistake(async { panic!("a mistake of the test") }).await;
        assert!(matches!(mistake, Err(WritebackError::Mistake)), "{mistake:?}");
    }
}
