//! The calls on shared drives.
//!
//! A drive has the id of its top folder. What is in it is seen by the calls on files; here it is created, described and
//! deleted. Nobody administers a domain here, so what an administrator may do is refused.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::call::{Call, Json, Named, json_body};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::items::Rules;
use super::metadata::drive::DriveBody;
use super::order::Position;
use super::params::Params;
use super::query::{self, drives::holds};
use super::render::{self, Object};
use super::store::drives;
use super::{page, schema};

const DEFAULT_PAGE: usize = 10;
const MAX_PAGE: usize = 100;

/// `GET …/drives`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, call: Call) -> Result<Json> {
    let params = call.params();
    let mask = call.mask(&schema::DRIVE_LIST)?;
    check_administrator(params, "noListTeamDrivesAdministratorPrivilege")?;
    let size = params.page_size(DEFAULT_PAGE)?.min(MAX_PAGE);
    let expr = params.filled("q").map(query::parse_for_drives).transpose()?;
    let secret = drive.store.identity().secret.clone();
    let question = json!(["drives", params.filled("q")]).to_string();
    let after = match params.filled("pageToken") {
        Some(token) => page::position(&secret, &question, token)?.no,
        None => 0,
    };
    drive
        .look(call.clone(), move |access| {
            let mut found = Vec::new();
            for drive in drives::all(access.db)? {
                let is_asked_for = drive.no > after && expr.as_ref().is_none_or(|expr| holds(expr, &drive));
                if is_asked_for && let Some(role) = access.drive_role(drive.no)? {
                    found.push((drive, role));
                }
            }
            let is_last = found.len() <= size;
            found.truncate(size);
            let next = found.last().filter(|_| !is_last).map(|(last, _)| Position { keys: Vec::new(), no: last.no });
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#driveList");
            answer.put_some("nextPageToken", || Some(page::token(&secret, &question, next.as_ref()?)));
            answer.nest("drives", |mask| found.iter().map(|(drive, role)| render::drive(drive, *role, mask)).collect());
            Ok(call.json(&answer.finish()))
        })
        .await
}

/// `GET …/drives/{id}`
pub(crate) async fn get(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    let mask = call.mask(&schema::DRIVE)?;
    check_administrator(call.params(), MANAGE)?;
    drive
        .look(call.clone(), move |access| {
            let (drive, role) = access.drive(&id)?;
            Ok(call.json(&render::drive(&drive, role, &mask)))
        })
        .await
}

/// `POST …/drives`
pub(crate) async fn create(
    State(drive): State<Arc<Drive>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let body = DriveBody::parse(&json_body(&headers, body).await?)?;
    let request = call.params().filled("requestId").ok_or_else(|| ApiError::required("requestId"))?.to_owned();
    change(&drive, call, move |rules| rules.create_drive(&request, &body)).await
}

/// `PATCH …/drives/{id}`
pub(crate) async fn update(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    check_administrator(call.params(), MANAGE)?;
    let body = DriveBody::parse(&json_body(&headers, body).await?)?;
    change(&drive, call, move |rules| rules.update_drive(&id, &body).map(|()| id)).await
}

/// `POST …/drives/{id}/hide`
pub(crate) async fn hide(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    change(&drive, call, move |rules| rules.hide_drive(&id, true).map(|()| id)).await
}

/// `POST …/drives/{id}/unhide`
pub(crate) async fn unhide(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    change(&drive, call, move |rules| rules.hide_drive(&id, false).map(|()| id)).await
}

/// `DELETE …/drives/{id}`
pub(crate) async fn delete(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
) -> Result<StatusCode> {
    check_administrator(call.params(), MANAGE)?;
    if call.params().flag("allowItemDeletion", false)? {
        return Err(ApiError::item_deletion_not_supported());
    }
    drive.change(&call, move |rules| rules.delete_drive(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a change of one drive and answers with the drive as it is then.
async fn change<F>(drive: &Arc<Drive>, call: Call, job: F) -> Result<Json>
where
    F: FnOnce(&Rules<'_>) -> Result<String> + Send + 'static,
{
    let mask = call.mask(&schema::DRIVE)?;
    let answer = call.clone();
    drive
        .change(&call, move |rules| {
            let id = job(rules)?;
            let (drive, role) = rules.access().drive(&id)?;
            Ok(answer.json(&render::drive(&drive, role, &mask)))
        })
        .await
}

/// What an administrator who manages shared drives has.
const MANAGE: &str = "noManageTeamDriveAdministratorPrivilege";

fn check_administrator(params: &Params, reason: &'static str) -> Result<()> {
    if params.flag("useDomainAdminAccess", false)? { Err(ApiError::not_an_administrator(reason)) } else { Ok(()) }
}
