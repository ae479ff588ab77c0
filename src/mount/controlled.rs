//! A mount as commands see it: how it fares, and what it does when it is told to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::kept::Kept;
use super::running::Running;
use crate::config::Credentials;
use crate::control::{
    AsideStatus, CacheStatus, Chosen, Cleared, ConflictStatus, Controlled, DriveStatus, Emptied, Ending, EntryStatus,
    Evicted, Job, Left, PassthroughStatus, Paths, PrefetchStatus, Refreshed, Restored, Scope, SignInStatus, Status,
    ToFetch, Traffic, TrashList, TreeStatus, UnreadStatus, Wanted, Which, WritesStatus,
};
use crate::metrics;
use crate::writeback::WritebackError;

impl Running {
    /// Why somebody has to sign in, and how.
    fn sign_in(&self) -> Option<SignInStatus> {
        let reason = self.tokens.trouble()?;
        let remedy = self.config.credentials.as_ref().map_or_else(String::new, Credentials::remedy);
        Some(SignInStatus { reason, remedy })
    }
}

impl Controlled for Running {
    fn status(&self) -> Result<Status, String> {
        let space = self.fs.quota();
        let said = |error: WritebackError| error.to_string();
        let conflicts = self.parts.writeback.conflicts().map_err(said)?.into_iter();
        let aside = self.parts.writeback.set_aside().map_err(said)?.into_iter();
        let cache = self.parts.content.cache();
        let passthrough = self.fs.passthrough();
        let sign_in = self.sign_in();
        let state = match &sign_in {
            _ if self.draining.load(Ordering::Relaxed) => "draining",
            Some(_) => "sign-in required",
            None => "mounted",
        };
        let sign_in_name = match &self.config.credentials {
            Some(Credentials::Account { name, .. }) => Some(name.clone()),
            _ => None,
        };
        Ok(Status {
            mountpoint: self.mountpoint.path().to_owned(),
            source: self.config.source.to_string(),
            account: self.account.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: state.to_owned(),
            sign_in,
            sign_in_name,
            read_only: self.config.read_only,
            since: self.since.to_rfc3339(),
            cache: CacheStatus {
                dir: self.config.cache_dir.clone(),
                used_bytes: cache.used() + cache.kept(),
                cap_bytes: cache.cap(),
                staged_bytes: self.parts.writeback.staged_bytes(),
            },
            keeper: self.kept.as_ref().map(Kept::status),
            passthrough: PassthroughStatus {
                on: passthrough.refused.is_none(),
                reason: passthrough.refused,
                files: passthrough.files,
            },
            unsent: self.unsent()?,
            set_aside: aside.map(|aside| AsideStatus { path: aside.path, kept: aside.kept, why: aside.why }).collect(),
            conflicts: conflicts.map(|conflict| ConflictStatus { path: conflict.path, copy: conflict.copy }).collect(),
            unread: self.fs.unread().into_iter().map(|(path, reason)| UnreadStatus { path, reason }).collect(),
            log_file: self.config.log_file(),
            writes: self.parts.writeback.held_back().map(|held| WritesStatus {
                state: if held.writers > 0 { "waiting" } else { "refused" }.to_owned(),
                writers: held.writers,
                reason: held.reason,
            }),
            drive: DriveStatus { total_bytes: space.limit, used_bytes: space.used },
            tree: TreeStatus { unlisted: self.parts.tree.unlisted().map_err(|error| error.to_string())? },
            traffic: Traffic {
                downloaded_bytes: metrics::DOWNLOADED.get(),
                uploaded_bytes: metrics::UPLOADED.get(),
                retries: metrics::RETRIES.get(),
                requests: metrics::requests(),
            },
            settings: self.config.settings(),
            import: self.import.lock().clone(),
            prefetches: self.prefetches.shown(),
        })
    }

    fn flush(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<Left, String>> {
        async move {
            tokio::select! {
                left = self.flush_below(&scope) => left,
                // Nothing is sent any more.
                left = self.end() => left,
            }
        }
        .boxed()
    }

    fn refresh(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<Refreshed, String>> {
        async move { self.refresh_all(&scope.path).await }.boxed()
    }

    fn entry(self: Arc<Self>, scope: Scope) -> BoxFuture<'static, Result<EntryStatus, String>> {
        async move { self.entry_at(&scope.path).await }.boxed()
    }

    fn clear_cache(&self) -> Result<Cleared, String> {
        self.drop_cached()
    }

    fn prefetch(self: Arc<Self>, wanted: ToFetch) -> Result<PrefetchStatus, String> {
        self.begin_prefetch(wanted)
    }

    fn prefetching(&self, job: Job) -> Result<PrefetchStatus, String> {
        Ok(self.prefetches.get(job.job)?.status())
    }

    fn leave_prefetch(&self, job: Job) -> Result<PrefetchStatus, String> {
        let job = self.prefetches.get(job.job)?;
        job.leave();
        Ok(job.status())
    }

    fn stop_prefetch(&self, paths: Paths) -> Result<usize, String> {
        Ok(self.prefetches.stop(&paths.paths))
    }

    fn evict(self: Arc<Self>, paths: Paths) -> BoxFuture<'static, Result<Evicted, String>> {
        async move { self.evict_below(&paths.paths).await }.boxed()
    }

    fn trash(self: Arc<Self>, which: Which) -> BoxFuture<'static, Result<TrashList, String>> {
        async move { self.list_trash(&which).await }.boxed()
    }

    fn empty_trash(self: Arc<Self>, chosen: Chosen) -> BoxFuture<'static, Result<Emptied, String>> {
        async move { self.delete_trashed(chosen).await }.boxed()
    }

    fn restore(self: Arc<Self>, wanted: Wanted) -> BoxFuture<'static, Result<Restored, String>> {
        async move { self.restore_trashed(&wanted).await }.boxed()
    }

    fn unmount(self: Arc<Self>, ending: Ending) -> BoxFuture<'static, Result<Left, String>> {
        async move {
            self.ask_for_the_end(ending);
            self.end().await
        }
        .boxed()
    }
}
