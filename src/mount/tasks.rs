//! What goes on in the background: writing maps, keeping the log of the database short, sealing files that stay open.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::running::Running;
use crate::fs::QUOTA_AGE;
use crate::tree::TreeError;
use crate::writeback::Writeback;

/// How often the maps of the cache are written: what a crash forgets of it is fetched again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long the last refusals of a sign-in that is good again may be on their way.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// How long a full drive is left alone first, before it is asked again whether it has room, and at most.
const FULL_PAUSE: Duration = Duration::from_secs(15);
const FULL_PAUSE_MOST: Duration = Duration::from_mins(1);

/// How long deletions are gathered before the drive is asked what room they made.
const DELETING: Duration = Duration::from_secs(1);

/// What the kernel reads ahead, in KiB. Its default, 128, is a fifth as fast from our cache.
const READAHEAD_KIB: u32 = 1024;

/// Keeps house until `end`.
pub(super) async fn keep_house(running: Arc<Running>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = end.cancelled() => return,
        }
        let running = Arc::clone(&running);
        // All of it is disk work.
        let done = tokio::task::spawn_blocking(move || {
            // Those that would be too old when this is looked at the next time.
            running.fs.seal_open_for(running.config.sync_interval.saturating_sub(HOUSEKEEPING));
            put_down(&running);
            running.fs.has_told_old_news();
        });
        if let Err(error) = done.await {
            tracing::error!(%error, "housekeeping panicked");
        }
    }
}

/// Sends what waited for a sign-in, each time that one is good again, until `end`.
pub(super) async fn heed_sign_in(running: Arc<Running>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = running.tokens.healed() => {}
            () = end.cancelled() => return,
        }
        let waited = running.parts.writeback.retry_now();
        tracing::info!(waited, "what waited for the sign-in is tried again");
        // Who was refused just before may hear of it only now, and would rest for long.
        tokio::select! {
            () = tokio::time::sleep(STRAGGLERS) => {}
            () = end.cancelled() => return,
        }
        running.parts.writeback.retry_now();
    }
}

/// Asks a drive that was away when it was mounted whose it is, as soon as it is there. If it is not that of the cache folder, nothing
/// more is asked of it: the credentials are somebody else's.
pub(super) async fn confirm_account(
    running: Arc<Running>,
    account: String,
    confirmed: CancellationToken,
    end: CancellationToken,
) {
    // In any case: who has no token any more sends nothing, and says why.
    let _confirmed = confirmed.drop_guard();
    loop {
        let about = tokio::select! {
            about = running.parts.remote.about() => about,
            () = end.cancelled() => return,
        };
        match about {
            Ok(about) if about.account == account => return,
            Ok(about) => {
                let why = TreeError::Account { was: account, is: about.account }.to_string();
                tracing::error!(why, "nothing more is sent or fetched");
                return running.tokens.withhold(why);
            }
            Err(error) => tracing::debug!(%error, "not known yet whose drive it is"),
        }
        tokio::select! {
            () = tokio::time::sleep(running.config.poll_interval) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Sends what is to be sent, as soon as it is known whose drive it is.
pub(super) async fn send_once(confirmed: CancellationToken, writeback: Arc<Writeback>, end: CancellationToken) {
    tokio::select! {
        () = confirmed.cancelled() => writeback.run(end).await,
        () = end.cancelled() => {}
    }
}

/// Keeps the drive's word on its storage fresh, until `end`: `status` shows it, and asks nobody. While the drive is full it is asked
/// more often, and at once when something was deleted here, so that what waits for room goes on by itself.
pub(super) async fn heed_storage(running: Arc<Running>, end: CancellationToken) {
    let writeback = &running.parts.writeback;
    loop {
        tokio::select! {
            () = tokio::time::sleep(QUOTA_AGE) => running.fs.refresh_quota(QUOTA_AGE),
            // What is said of a full drive beside the refusal is to agree with it.
            () = writeback.heard_full() => tokio::select! {
                () = ask_for_room(&running, false) => {}
                () = end.cancelled() => return,
            },
            () = end.cancelled() => return,
        }
        let mut pause = FULL_PAUSE;
        while writeback.is_short() {
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(FULL_PAUSE_MOST),
                () = writeback.heard_gone() => {
                    // Much may be deleted at one time.
                    tokio::time::sleep(DELETING).await;
                }
                () = end.cancelled() => return,
            }
            tokio::select! {
                () = ask_for_room(&running, true) => {}
                () = end.cancelled() => return,
            }
        }
    }
}

/// Asks the drive what it has free; `again`: and tries again to send what had no room.
async fn ask_for_room(running: &Running, again: bool) {
    match running.parts.remote.about().await {
        Ok(about) => {
            let quota = about.quota;
            running.fs.heard_quota(quota);
            running.parts.writeback.heard_free(quota.limit.map(|limit| limit.saturating_sub(quota.used)), again);
        }
        Err(error) => tracing::debug!(%error, "storage of the full drive not known"),
    }
}

/// Writes down what is only in memory, and could be made again; gives disk space back that others want.
pub(super) fn put_down(running: &Running) {
    if let Err(error) = running.parts.content.cache().give_way() {
        tracing::warn!(%error, "the cache could not give disk space back");
    }
    if let Err(error) = running.parts.content.cache().persist() {
        tracing::warn!(%error, "what is cached could not be written down");
    }
    // Before the checkpoint, which makes the tables survive the loss of power: what they tell of should, too.
    if let Err(error) = running.parts.writeback.sync_sealed() {
        tracing::warn!(%error, "what was closed could not be synced to the disk");
    }
    if let Err(error) = running.parts.tree.checkpoint() {
        tracing::warn!(%error, "the log of the database could not be shortened");
    }
}

/// Lets the kernel read further ahead, where it allows that. It caps what a file system asks for, but not what the superuser
/// sets afterwards.
pub(super) fn tune_readahead(mountpoint: &Path) {
    let Ok(metadata) = std::fs::metadata(mountpoint) else { return };
    let device = metadata.dev();
    let knob = format!("/sys/class/bdi/{}:{}/read_ahead_kb", libc::major(device), libc::minor(device));
    if let Err(error) = std::fs::write(&knob, READAHEAD_KIB.to_string()) {
        tracing::debug!(knob, %error, "the kernel reads ahead by its default");
    }
}
