//! The logs of changes: one of each user, and one of each shared drive.
//!
//! A token is a place in any log: the number of the first change not seen yet. It never expires. Each item has one entry,
//! at the place of its last change; so a reader that goes from page to page may meet an item again, but never misses one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde_json::json;

use super::access::Access;
use super::call::{Call, Json};
use super::corpora::{LogName, drive_id, spaces};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::render::{self, Object, View, select};
use super::schema;
use super::store::changes::{self, Change, Reading};
use super::store::last_change;
use super::trouble::Orders;
use crate::clock::{self, Timestamp};

const DEFAULT_PAGE: usize = 100;

/// `GET …/changes/startPageToken`
pub(crate) async fn start_page_token(State(drive): State<Arc<Drive>>, call: Call) -> Result<Json> {
    let shared_drive = drive_id(call.params()).map(str::to_owned);
    if shared_drive.is_some() && !call.supports_all_drives()? {
        return Err(ApiError::all_drives_not_supported());
    }
    let mask = call.mask(&schema::START_PAGE_TOKEN)?;
    let look_up = move |access: &Access<'_>| {
        shared_drive.map_or(Ok(()), |id| access.drive(&id).map(drop))?;
        last_change(access.db)
    };
    let token = (drive.look(call.clone(), look_up).await? + 1).to_string();
    Ok(call.json(&select(&mask, json!({ "kind": "drive#startPageToken", "startPageToken": token }))))
}

/// `GET …/changes`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, call: Call, orders: Orders) -> Result<Json> {
    let params = call.params();
    let name = LogName::of(params)?;
    let mask = call.mask(&schema::CHANGE_LIST)?;
    let size = orders.page.unwrap_or(usize::MAX).min(params.page_size(DEFAULT_PAGE)?);
    let removals = params.flag("includeRemoved", true)?;
    let with_files = params.flag("includeCorpusRemovals", false)?;
    let token = params.filled("pageToken").ok_or_else(|| ApiError::required("pageToken"))?;
    let from = number(token).ok_or(ApiError::invalid_value("pageToken"))?;
    let spaces = spaces(params, call.caller())?;
    drive
        .look(call.clone(), move |access| {
            let log = name.log(access)?;
            let end = last_change(access.db)? + 1;
            if from > end {
                return Err(ApiError::invalid_value("pageToken"));
            }
            let end = match orders.lag {
                None => end,
                Some(lag) => changes::first_since(access.db, from, before(lag))?.unwrap_or(end),
            };
            // One more than asked for tells whether this page is the last, and where the next begins.
            let (app, user) = (&*access.caller.app, access.caller.user.no);
            let reading = Reading { log: &log, app, user, spaces, removals };
            let mut entries = changes::page(access.db, reading, from, size + 1, |change| is_told(access, change))?;
            entries.retain(|entry| entry.version() < end);
            if with_files {
                // How it is with what left this log, but can still be had.
                for entry in &mut entries {
                    if let Change::Removed { id, file, .. } = entry {
                        *file = access.seen(id)?.map(Box::new);
                    }
                }
            }
            let next = entries.get(size).map(Change::version);
            entries.truncate(size);
            let view = View { access, origin: call.origin() };
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#changeList");
            answer
                .try_nest("changes", |mask| entries.iter().map(|entry| render::change(entry, view, mask)).collect())?;
            match next {
                Some(next) => answer.put("nextPageToken", || next.to_string()),
                None => answer.put("newStartPageToken", || end.to_string()),
            }
            Ok(call.json(&answer.finish()))
        })
        .await
}

/// Whether a change is one of what the caller has.
fn is_told(access: &Access<'_>, change: &Change) -> Result<bool> {
    match change {
        Change::Present(item) => access.has(item.place()),
        Change::Drive(drive) => Ok(access.drive_role(drive.no)?.is_some()),
        Change::Removed { .. } | Change::DriveRemoved { .. } => Ok(true),
    }
}

/// The moment so long ago.
fn before(lag: Duration) -> Timestamp {
    let lag = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(clock::now().millis().saturating_sub(lag))
}

/// A token as the logs write them: digits, no zero in front.
fn number(token: &str) -> Option<i64> {
    let is_canonical = !token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical { token.parse().ok() } else { None }
}
