//! The embedded drive: what all handlers share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::Limits;
use super::access::Access;
use super::blobs::Blobs;
use super::call::Call;
use super::error::Result;
use super::items::Rules;
use super::oauth::clients::Oauth;
use super::reaper::Reaper;
use super::store::{Store, contents, users};
use super::upload::live::Sessions;

/// Applications whose hidden folders are remembered. Those of others are looked up again.
const REMEMBERED: usize = 1024;

/// An application, by the user that it acts for.
type Application = (i64, Arc<str>);

/// One drive, open.
#[derive(Debug)]
pub(crate) struct Drive {
    pub store: Arc<Store>,
    pub blobs: Blobs,
    pub limits: Limits,
    /// Resumable uploads under way.
    pub sessions: Sessions,
    pub reaper: Reaper,
    /// Work that goes on when the client that asked for it has hung up.
    pub tasks: TaskTracker,
    /// Sign-ins of applications.
    pub oauth: Oauth,
    app_folders: Mutex<HashMap<Application, Arc<str>>>,
    token: String,
}

impl Drive {
    pub(crate) fn new(
        store: Arc<Store>,
        blobs: Blobs,
        reaper: Reaper,
        limits: Limits,
        oauth: Oauth,
        token: String,
    ) -> Self {
        let (sessions, tasks, app_folders) = (Sessions::default(), TaskTracker::new(), Mutex::default());
        Self { store, blobs, limits, sessions, reaper, tasks, oauth, app_folders, token }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The hidden folder of an application, which is made when it first calls.
    pub(crate) async fn app_folder(&self, user: i64, app: &Arc<str>) -> Result<Arc<str>> {
        let key = (user, app.clone());
        if let Some(id) = self.app_folders.lock().get(&key) {
            return Ok(id.clone());
        }
        let name = app.clone();
        let found = self.store.read(move |db| users::app_folder(db, user, &name)).await?;
        let id: Arc<str> = if let Some(id) = found {
            id.into()
        } else {
            let name = app.clone();
            self.store.write(move |edit| users::make_app_folder(edit, user, &name)).await?.into()
        };
        let mut known = self.app_folders.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, id.clone());
        Ok(id)
    }

    /// Looks at one moment of the drive, as the caller sees it.
    pub(crate) async fn look<T, F>(&self, call: Call, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Access<'_>) -> Result<T> + Send + 'static,
    {
        let identity = self.store.identity().clone();
        self.store.read(move |db| job(&Access::new(db, &identity, call.caller()))).await
    }

    /// Makes a change to the drive: all of it, durably, or nothing.
    pub(crate) async fn change<T, F>(self: &Arc<Self>, call: &Call, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Rules<'_>) -> Result<T> + Send + 'static,
    {
        let (drive, call) = (self.clone(), call.clone());
        let all_drives = call.supports_all_drives()?;
        let change = move |edit: &super::store::Edit<'_>| {
            let identity = drive.store.identity();
            let rules = Rules { edit, identity, limits: &drive.limits, caller: call.caller(), all_drives };
            let result = job(&rules)?;
            Ok((result, contents::has_doomed(edit.db)?))
        };
        let (result, has_doomed) = self.store.write(change).await?;
        if has_doomed {
            self.reaper.look();
        }
        Ok(result)
    }
}
