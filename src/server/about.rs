//! `about`: the account and its storage.

use std::sync::Arc;

use axum::extract::State;
use serde_json::json;

use super::call::{Call, Json};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::export::formats;
use super::render::{Object, select, user};
use super::schema;
use super::store::{trash, users};

/// Colours that the real service offers for folders.
const PALETTE: [&str; 6] = ["#ac725e", "#d06b64", "#f83a22", "#fa573c", "#ff7537", "#ffad46"];

/// `GET …/about`
pub(crate) async fn get(State(drive): State<Arc<Drive>>, call: Call) -> Result<Json> {
    let fields = call.params().filled("fields").ok_or_else(ApiError::fields_required)?;
    let mask = schema::ABOUT.mask(Some(fields))?;
    let limits = drive.limits;
    drive
        .look(call.clone(), move |access| {
            let me = &access.caller.user;
            let used = users::used(access.db, me.no)?;
            let in_trash = if mask.select("storageQuota").is_some() { trash::used(access.db, me.no)? } else { 0 };
            let limit = if me.has_storage { limits.storage } else { Some(0) };
            let mut about = Object::new(&mask);
            about.put("kind", || "drive#about");
            about.nest("user", |mask| select(mask, user(me, true)));
            about.nest("storageQuota", |mask| {
                let mut quota = Object::new(mask);
                quota.put_some("limit", || limit.map(|limit| limit.to_string()));
                quota.put("usage", || used.to_string());
                quota.put("usageInDrive", || used.to_string());
                quota.put("usageInDriveTrash", || in_trash.to_string());
                quota.finish()
            });
            about.nest("exportFormats", |mask| select(mask, formats::exports_table()));
            about.nest("importFormats", |mask| select(mask, formats::imports_table()));
            about.nest("maxImportSizes", |mask| select(mask, formats::import_sizes()));
            about.put("maxUploadSize", || limits.upload_bytes.to_string());
            about.put("appInstalled", || true);
            about.put("canCreateDrives", || true);
            about.put("canCreateTeamDrives", || true);
            about.put("folderColorPalette", || json!(PALETTE));
            Ok(call.json(&about.finish()))
        })
        .await
}
