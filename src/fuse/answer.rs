//! Answers on their way to the kernel: given at once by the thread that took the request, or by a task when they are there.
//!
//! Each request is answered once, in bounded time: what takes longer than [`Fs::patience`] and has no bound of its own is given up, and
//! a panic is answered like an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;

use super::adapter::Adapter;
use super::reply::Refuse;
use crate::error::Kind;
use crate::fs::{Answer, Fs, Hold, Result};

impl Adapter {
    /// Gets an answer and gives it: at once if it is ready, from a task if it must be waited for.
    pub(super) fn respond<T, R>(
        &self,
        operation: &'static str,
        reply: R,
        call: impl FnOnce(&Arc<Fs>) -> Answer<T>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        let answer = catch_unwind(AssertUnwindSafe(|| call(&self.fs)));
        self.answer(operation, reply, answer, give);
    }

    /// Gives an answer that was got: at once if it is ready, from a task if it must be waited for.
    pub(super) fn answer<T, R>(
        &self,
        operation: &'static str,
        reply: R,
        answer: std::thread::Result<Answer<T>>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        match answer {
            Ok(Answer::Now(Ok(value))) => give(reply, value),
            Ok(Answer::Now(Err(error))) => reply.refuse(operation, &error),
            Ok(Answer::Later(future, hold)) => {
                let patience = self.fs.patience();
                let future = async move {
                    let in_time = tokio::time::timeout(patience, future).await;
                    in_time.unwrap_or_else(|_| Err(Kind::TimedOut.into()))
                };
                self.answer_later(operation, reply, future, hold, give);
            }
            Ok(Answer::InItsTime(future, hold)) => self.answer_later(operation, reply, future, hold, give),
            Err(_panic) => reply.panicked(operation),
        }
    }

    /// Gives an answer when it is there.
    fn answer_later<T, R>(
        &self,
        operation: &'static str,
        reply: R,
        future: impl Future<Output = Result<T>> + Send + 'static,
        hold: Option<Hold>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        self.runtime.spawn(async move {
            // Until after the reply.
            let _hold = hold;
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(value)) => give(reply, value),
                Ok(Err(error)) => reply.refuse(operation, &error),
                Err(_panic) => reply.panicked(operation),
            }
        });
    }

    /// Fills a reply piece by piece, and gives it.
    pub(super) fn fill<R: Refuse>(
        operation: &'static str,
        mut reply: R,
        work: impl FnOnce(&mut R) -> Result<()>,
        give: impl FnOnce(R),
    ) {
        match catch_unwind(AssertUnwindSafe(|| work(&mut reply))) {
            Ok(Ok(())) => give(reply),
            Ok(Err(error)) => reply.refuse(operation, &error),
            Err(_panic) => reply.panicked(operation),
        }
    }

    /// As [`Self::respond`], for what is always answered at once.
    pub(super) fn respond_now<T, R>(
        &self,
        operation: &'static str,
        reply: R,
        call: impl FnOnce(&Arc<Fs>) -> Result<T>,
        give: impl FnOnce(R, T),
    ) where
        R: Refuse,
    {
        match catch_unwind(AssertUnwindSafe(|| call(&self.fs))) {
            Ok(Ok(value)) => give(reply, value),
            Ok(Err(error)) => reply.refuse(operation, &error),
            Err(_panic) => reply.panicked(operation),
        }
    }
}
