//! A mount that runs: as commands see it, and how it comes to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::mountpoint::Mountpoint;
use super::prefetch::Prefetches;
use super::signals::Signals;
use super::{Lock, Ready, drain};
use crate::auth::Watched;
use crate::clock::{Instant, Timestamp};
use crate::config::MountConfig;
use crate::control::{Ending, ImportStatus, LISTED, Left, Scope, Unsent, UnsentItem};
use crate::error::Retry;
use crate::fs::{Fs, Parts};
use crate::fuse::Mounted;
use crate::server::Server;
use crate::tree::Ino;
use crate::writeback::Pending;

/// How long the kernel's last requests are waited for after the mount was removed. Whoever still has a file open then loses it
/// with the process.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long the last answers to commands may take, once all is known that they can be told.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A mount, from the inside.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) config: MountConfig,
    pub(super) mountpoint: Mountpoint,
    pub(super) account: String,
    pub(super) parts: Parts,
    pub(super) fs: Arc<Fs>,
    /// How the sign-in fares.
    pub(super) tokens: Arc<Watched>,
    /// What outlives this process.
    pub(super) kept: Option<Kept>,
    /// Cancelled when what was to outlive this process does not.
    pub(super) alone: CancellationToken,
    /// Cancelled when the kernel has no mount any more.
    pub(super) gone: CancellationToken,
    pub(super) since: Timestamp,
    pub(super) draining: AtomicBool,
    /// How the move of what the mountpoint held fares.
    pub(super) import: Mutex<Option<ImportStatus>>,
    /// What is fetched ahead.
    pub(super) prefetches: Prefetches,
    /// A signal ends it: whoever sends one may kill a moment later, and does not say when.
    told_by_signal: AtomicBool,
    /// Somebody wants it to end.
    ask: watch::Sender<Option<Wait>>,
    /// It has ended, with this left.
    pub(super) ended: watch::Sender<Option<Left>>,
}

/// How long those who want the end wait for the drive. Of several, the shortest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    Until(Instant),
    AsLongAsItTakes,
}

impl From<Ending> for Wait {
    fn from(ending: Ending) -> Self {
        let until = ending.timeout_millis.and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
        until.map_or(Self::AsLongAsItTakes, Self::Until)
    }
}

/// A mount, from the outside: what must be stopped at the end.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) running: Arc<Running>,
    pub(super) recovered: usize,
    pub(super) notes: Vec<String>,
    pub(super) mounted: Option<Mounted>,
    pub(super) end: CancellationToken,
    pub(super) jobs: JoinSet<()>,
    pub(super) answering: CancellationToken,
    pub(super) serving: JoinHandle<std::io::Result<()>>,
    pub(super) server: Option<Server>,
    pub(super) lock: Lock,
    pub(super) signals: Signals,
}

impl Running {
    #[expect(clippy::too_many_arguments, reason = "it is what it is made of")]
    pub(super) fn new(
        config: MountConfig,
        mountpoint: Mountpoint,
        account: String,
        parts: Parts,
        fs: Arc<Fs>,
        tokens: Arc<Watched>,
        kept: Option<Kept>,
        since: Timestamp,
        gone: CancellationToken,
    ) -> Self {
        Self {
            config,
            mountpoint,
            account,
            parts,
            fs,
            tokens,
            kept,
            alone: CancellationToken::new(),
            gone,
            since,
            draining: AtomicBool::new(false),
            import: Mutex::default(),
            prefetches: Prefetches::default(),
            told_by_signal: AtomicBool::new(false),
            ask: watch::Sender::new(None),
            ended: watch::Sender::new(None),
        }
    }

    /// From now on there are no changes, and nothing is fetched ahead.
    pub(super) fn close(&self) {
        self.prefetches.end();
        self.draining.store(true, Ordering::Relaxed);
        self.fs.close();
    }

    /// What the drive does not have yet.
    pub(super) fn unsent(&self) -> Result<Unsent, String> {
        let pending = self.parts.writeback.pending().map_err(|error| error.to_string())?;
        let streamed = |ino| self.parts.writeback.streamed(ino);
        let unsealed = self.fs.unsealed().into_iter();
        let unsealed_bytes = unsealed.map(|(ino, bytes)| bytes.saturating_sub(streamed(ino))).sum();
        let bytes = pending.iter().map(|item| item.bytes.saturating_sub(item.sent)).sum::<u64>() + unsealed_bytes;
        let entries = pending.len();
        Ok(Unsent { entries, bytes, unsealed_bytes, items: self.items(pending) })
    }

    pub(super) fn items(&self, pending: Vec<Pending>) -> Vec<UnsentItem> {
        let item = |pending: Pending| {
            let state = match &pending.error {
                Some((kind, ..)) if kind.retry() == Retry::Never => "refused",
                Some(_) => "retrying",
                None if pending.gone => "removing",
                None if pending.running => "uploading",
                None if pending.held_back.is_some() => "waiting",
                None => "queued",
            };
            let (reason, retry_in_seconds) = pending.error.map(|(_, reason, wait)| (reason, wait)).unzip();
            let silent = |seconds| format!("nothing heard from the drive for {seconds} s");
            let reason = reason.or_else(|| pending.silence.map(silent));
            UnsentItem {
                path: self.path_of(pending.ino),
                state: state.to_owned(),
                bytes: pending.bytes,
                sent: pending.sent,
                reason,
                retry_in_seconds,
                sent_in_seconds: pending.held_back.filter(|_| state == "waiting"),
            }
        };
        pending.into_iter().take(LISTED).map(item).collect()
    }

    /// The path of an entry, for people.
    pub(super) fn path_of(&self, ino: Ino) -> String {
        let path = self.parts.tree.path(ino).unwrap_or_default();
        // Forgotten meanwhile: the drive has heard of its end.
        if path.is_empty() && ino != Ino::ROOT { "(a removed file)".to_owned() } else { path }
    }

    /// Somebody wants it to end.
    pub(super) fn ask_for_the_end(&self, ending: Ending) {
        let wait = Wait::from(ending);
        self.ask.send_modify(|asked| *asked = Some(asked.map_or(wait, |before| before.min(wait))));
    }

    /// Never completes. From when on time is short, those files go first that can be whole before it is over.
    async fn use_what_time_there_is(&self) {
        let mut asked = self.ask.subscribe();
        if !self.told_by_signal.load(Ordering::Relaxed) {
            let _ended = asked.wait_for(|asked| matches!(asked, Some(Wait::Until(_)))).await;
        }
        let _pressed = self.parts.writeback.press();
        std::future::pending::<()>().await;
    }

    /// Completes when somebody who wants the end does not wait for the drive any longer.
    async fn out_of_patience(&self) {
        let mut asked = self.ask.subscribe();
        loop {
            let wait = *asked.borrow_and_update();
            let over = async {
                match wait {
                    Some(Wait::Until(until)) => tokio::time::sleep_until(until.into()).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                _ = asked.changed() => {}
            }
        }
    }

    pub(super) async fn flush_below(self: &Arc<Self>, scope: &Scope) -> Result<Left, String> {
        let path = &scope.path;
        let _pressed = scope.timeout_millis.map(|_| self.parts.writeback.press());
        let node = self.fs.resolve(path).await.map_err(|error| format!("{path}: {error}"))?;
        let left = self.fs.flush_to_drive(node.ino).await.map_err(|error| error.to_string())?;
        if left.is_empty() {
            return Ok(Left::default());
        }
        let pending = self.parts.writeback.pending().map_err(|error| error.to_string())?;
        let pending: Vec<_> = pending.into_iter().filter(|item| left.contains(&item.ino)).collect();
        let bytes = pending.iter().map(|item| item.bytes.saturating_sub(item.sent)).sum();
        Ok(Left { entries: pending.len(), bytes, items: self.items(pending) })
    }

    /// Waits for the end; says what is left then.
    pub(super) async fn end(&self) -> Result<Left, String> {
        let mut ended = self.ended.subscribe();
        let left = ended.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
        Ok(left.clone().unwrap_or_default())
    }

    /// What is left when waiting for the drive has ended.
    pub(super) fn left(&self) -> Result<Left, String> {
        let unsent = self.unsent()?;
        Ok(Left { items: unsent.items, entries: unsent.entries, bytes: unsent.bytes })
    }
}

impl Mount {
    pub(super) fn ready(&self) -> Ready {
        Ready {
            mountpoint: self.running.mountpoint.path().to_owned(),
            source: self.running.config.source.to_string(),
            account: self.running.account.clone(),
            recovered: self.recovered,
            notes: self.notes.clone(),
        }
    }

    /// Waits until somebody wants the mount to end: a command, a signal, or whoever removed it.
    pub(super) async fn until_end(&mut self) {
        let mut asked = self.running.ask.subscribe();
        tokio::select! {
            _ = asked.wait_for(Option::is_some) => tracing::info!("ending, as was asked"),
            name = self.signals.end_or_look(&self.running) => {
                tracing::info!(signal = name, "ending");
                // Who closes a terminal cannot say it again.
                self.running.told_by_signal.store(name != "SIGHUP", Ordering::Relaxed);
            }
            () = self.running.gone.cancelled() => tracing::info!("the mount was removed; sending what is left"),
            () = self.running.alone.cancelled() => tracing::error!("the keeper of the mount was killed; ending"),
        }
    }

    /// Drains, unmounts, and stops everything. The cache folder is ours until the process ends.
    pub(super) async fn finish(mut self) -> Left {
        tokio::select! {
            () = self.running.use_what_time_there_is() => {}
            () = drain::drain(&self.running) => {}
            () = self.running.out_of_patience() => tracing::warn!("the time to wait for the drive is over"),
            // Whoever says so twice does not want to wait. Nothing is lost by it.
            name = self.signals.end() => tracing::warn!(signal = name, "not waiting for the drive any longer"),
        }
        let left = drain::left(&self.running);
        // From here on there is no way back: nobody follows.
        if let Some(kept) = &self.running.kept {
            kept.ending();
        }
        // If somebody removed it already, what is there now is not ours.
        if !self.running.gone.is_cancelled()
            && let Err(error) = self.running.mountpoint.unmount()
        {
            tracing::error!(%error, "not unmounted");
        }
        if let Some(mounted) = self.mounted.take() {
            let joined = tokio::task::spawn_blocking(move || mounted.join());
            match tokio::time::timeout(LAST_REQUESTS, joined).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::warn!(%error, "the kernel session ended with an error"),
                Ok(Err(error)) => tracing::error!(%error, "the kernel session panicked"),
                Err(_) => tracing::warn!("somebody still has a file of the mount open, and cannot use it any more"),
            }
        }
        self.end.cancel();
        while self.jobs.join_next().await.is_some() {}
        super::tasks::put_down(&self.running);
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        // Whoever comes next makes one of their own.
        let _absent = std::fs::remove_file(self.running.config.control_socket());
        self.lock.keep();
        // Before it is said that the mount has ended: whoever hears it finds the place as it was.
        self.running.mountpoint.give_back();
        self.running.ended.send_replace(Some(left.clone()));
        self.answering.cancel();
        match tokio::time::timeout(LAST_ANSWERS, self.serving).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "control socket"),
            Ok(Err(error)) => tracing::error!(%error, "control socket"),
            Err(_) => tracing::warn!("somebody asks something and does not wait for the answer"),
        }
        left
    }
}
