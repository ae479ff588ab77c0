//! Shared drives, of which there are none: who lists them gets an empty list, who asks for one does not find it.

use serde_json::json;

use super::call::{Call, Json, Named};
use super::error::{ApiError, Result};
use super::render::select;
use super::schema;

/// `GET …/drives`
pub(crate) async fn list(call: Call) -> Result<Json> {
    let mask = call.mask(&schema::DRIVE_LIST)?;
    call.params().page_size(10)?;
    if call.params().filled("pageToken").is_some() {
        return Err(ApiError::invalid_value("pageToken"));
    }
    Ok(call.json(&select(&mask, json!({ "kind": "drive#driveList", "drives": [] }))))
}

/// `GET …/drives/{id}`
pub(crate) async fn get(Named(id): Named<String>, _call: Call) -> Result<Json> {
    Err(ApiError::drive_not_found(&id))
}
