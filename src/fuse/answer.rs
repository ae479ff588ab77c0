//! Answers on their way to the kernel: given at once by the thread that took the request, or by a task when they are there.
//!
//! Each request is answered once, in bounded time: what takes longer than [`Fs::patience`] and has no bound of its own is given up, and
//! a panic is answered like an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fuser::Request;
use futures_util::FutureExt;

use super::adapter::{AGAIN, Adapter};
use super::reply::Refuse;
use super::work;
use crate::error::Kind;
use crate::fs::{Answer, Fs, Hold, Result, is_to_end};
use crate::state::request;

/// How often it is looked whether who waits for an answer is told to end.
const LOOKED_EVERY: Duration = Duration::from_millis(300);

/// Operations that look for it themselves: what they have done when they give up is no failure.
const LOOKS_ITSELF: [&str; 2] = ["write", "fsync"];

/// A request of the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    operation: &'static str,
    /// Its number, without the mark of those that are asked again.
    number: u64,
    /// Who waits for the answer; 0: nobody that could be told to end.
    thread: u32,
}

pub(super) fn asked(request: &Request, operation: &'static str) -> Asked {
    Asked { operation, number: request.unique().0 & !AGAIN, thread: request.pid() }
}

/// Waits until who waits for an answer is told to end; for ever if nobody can be told.
async fn told_to_end(thread: u32) {
    loop {
        tokio::time::sleep(LOOKED_EVERY).await;
        if is_to_end(thread) {
            return;
        }
    }
}

impl Adapter {
    /// Gets an answer, on behalf of a request.
    pub(super) fn called<T>(&self, asked: Asked, call: impl FnOnce(&Arc<Fs>) -> T) -> std::thread::Result<T> {
        let _working = work::begin(asked.operation);
        catch_unwind(AssertUnwindSafe(|| request::within(asked.number, || call(&self.fs))))
    }

    /// Gets an answer and gives it: at once if it is ready, from a task if it must be waited for.
    pub(super) fn respond<T, R>(
        &self,
        asked: Asked,
        reply: R,
        call: impl FnOnce(&Arc<Fs>) -> Answer<T>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        let answer = self.called(asked, call);
        self.answer(asked, reply, answer, give);
    }

    /// Gives an answer that was got: at once if it is ready, from a task if it must be waited for.
    pub(super) fn answer<T, R>(
        &self,
        asked: Asked,
        reply: R,
        answer: std::thread::Result<Answer<T>>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        let operation = asked.operation;
        match answer {
            Ok(Answer::Now(Ok(value))) => give(reply, value),
            Ok(Answer::Now(Err(error))) => reply.refuse(operation, &error),
            Ok(Answer::Later(future, hold)) => {
                let patience = self.fs.patience();
                let future = async move {
                    let in_time = tokio::time::timeout(patience, future).await;
                    in_time.unwrap_or_else(|_| Err(Kind::TimedOut.into()))
                };
                self.answer_later(asked, reply, future, hold, give);
            }
            Ok(Answer::InItsTime(future, hold)) => self.answer_later(asked, reply, future, hold, give),
            Ok(Answer::Done(value, told, hold)) => {
                let patience = self.fs.patience();
                self.runtime.spawn(async move {
                    // Until after the reply.
                    let _hold = hold;
                    tokio::select! {
                        () = told => {}
                        () = told_to_end(asked.thread) => {}
                        () = tokio::time::sleep(patience) => {}
                    }
                    give(reply, value);
                });
            }
            Err(_panic) => reply.panicked(operation),
        }
    }

    /// Gives an answer when it is there. Who waits for it can be ended: the kernel does not tell of signals, so it is looked for
    /// them.
    fn answer_later<T, R>(
        &self,
        asked: Asked,
        reply: R,
        future: impl Future<Output = Result<T>> + Send + 'static,
        hold: Option<Hold>,
        give: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Refuse + Send + 'static,
    {
        let Asked { operation, number, thread } = asked;
        let future = request::within_future(number, future);
        self.runtime.spawn(async move {
            // Until after the reply.
            let _hold = hold;
            let given_up = async {
                if LOOKS_ITSELF.contains(&operation) {
                    std::future::pending::<()>().await;
                }
                told_to_end(thread).await;
                Err(Kind::Local(libc::EINTR).into())
            };
            let future = async {
                tokio::select! {
                    biased;
                    result = future => result,
                    given_up = given_up => given_up,
                }
            };
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
        asked: Asked,
        reply: R,
        call: impl FnOnce(&Arc<Fs>) -> Result<T>,
        give: impl FnOnce(R, T),
    ) where
        R: Refuse,
    {
        let operation = asked.operation;
        match self.called(asked, call) {
            Ok(Ok(value)) => give(reply, value),
            Ok(Err(error)) => reply.refuse(operation, &error),
            Err(_panic) => reply.panicked(operation),
        }
    }
}
