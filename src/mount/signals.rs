//! The signals that mean something to a mount.
//!
//! They are heeded from before the mount is announced: whoever has read that it is there may end it at once, and a terminal that goes
//! away at that moment is not taken for none.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::running::Running;
use crate::sys;

#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGHUP is the end of the terminal. Not if there is none, or the process was told not to care (`nohup`): then it has the meaning
    /// that it has for daemons, and the mount looks what is new.
    hangup_ends: bool,
}

impl Signals {
    /// Heeds them from now on.
    pub(super) fn heed() -> io::Result<Self> {
        let kind = SignalKind::hangup();
        // To be asked before there is a handler.
        let hangup_ends = sys::has_terminal() && !sys::is_ignored(kind.as_raw_value());
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(kind)?,
            hangup_ends,
        })
    }

    /// Waits for a signal that means the end, and says which it was. Looks what is new at those that mean that.
    pub(super) async fn end_or_look(&mut self, running: &Arc<Running>) -> &'static str {
        loop {
            tokio::select! {
                name = end(&mut self.terminate, &mut self.interrupt) => return name,
                _ = self.hangup.recv() => {}
            }
            if self.hangup_ends {
                return "SIGHUP";
            }
            tracing::info!(signal = "SIGHUP", "looking what is new");
            let running = Arc::clone(running);
            tokio::spawn(async move {
                if let Err(error) = running.refresh_all("").await {
                    tracing::warn!(error, "not refreshed");
                }
            });
        }
    }

    /// Waits for a signal by which somebody wants the end. (A terminal that goes away may say so twice by itself, so that does not
    /// count.)
    pub(super) async fn end(&mut self) -> &'static str {
        end(&mut self.terminate, &mut self.interrupt).await
    }
}

async fn end(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
