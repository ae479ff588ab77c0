//! The calls on permissions: with whom an item is shared, or who is a member of a shared drive.
//!
//! Invitations are not mailed, and nothing is accepted by anybody: who was named has access at once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::access::{Access, Held};
use super::call::{Call, Json, Named, json_body};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::fields::Mask;
use super::items::{Grant, Rules};
use super::metadata::Patch;
use super::order::Position;
use super::permission::{Holder, Role};
use super::render::{self, Object};
use super::store::rows::ItemRow;
use super::{page, schema};
use crate::clock::Timestamp;

/// Entries of a page when the client does not say. (The real service sends those of My Drive all at once.)
const DEFAULT_PAGE: usize = 100;

/// The item `id`, and all who have access to it, if the caller may know.
fn find(access: &Access<'_>, id: &str, all_drives: bool) -> Result<(ItemRow, Vec<Held>)> {
    let (row, role) = access.find(access.caller.resolve(id)?)?;
    if row.drive.is_some() && !all_drives {
        return Err(ApiError::file_not_found(&row.id));
    }
    if row.app_data.is_some() {
        return Err(ApiError::not_for_app_data());
    }
    // In a shared drive all members see each other.
    if role < Role::Writer && row.drive.is_none() {
        return Err(ApiError::insufficient_file_permissions());
    }
    let held = access.permissions(row.place())?;
    Ok((row, held))
}

/// `GET …/files/{id}/permissions`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    let mask = call.mask(&schema::PERMISSION_LIST)?;
    let size = call.params().page_size(DEFAULT_PAGE)?.min(DEFAULT_PAGE);
    let all_drives = call.supports_all_drives()?;
    let secret = drive.store.identity().secret.clone();
    let question = json!(["permissions", id]).to_string();
    let after = match call.params().filled("pageToken") {
        Some(token) => Some(page::position(&secret, &question, token)?),
        None => None,
    };
    drive
        .look(call.clone(), move |access| {
            let (row, mut held) = find(access, &id, all_drives)?;
            // By id alone, so that those who come or go between two pages neither shift nor repeat others.
            held.sort_by(|one, other| one.permission.id.cmp(&other.permission.id));
            let key = |held: &Held| rusqlite::types::Value::Text(held.permission.id.clone());
            held.retain(|held| {
                after.as_ref().is_none_or(|after| after.keys.first().is_none_or(|last| is_after(held, last)))
            });
            let is_last = held.len() <= size;
            held.truncate(size);
            let next = held.last().filter(|_| !is_last).map(|last| Position { keys: vec![key(last)], no: 0 });
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#permissionList");
            answer.put_some("nextPageToken", || Some(page::token(&secret, &question, next.as_ref()?)));
            answer.nest("permissions", |mask| {
                held.iter().map(|held| render::permission(held, &row, access.identity, mask)).collect()
            });
            Ok(call.json(&answer.finish()))
        })
        .await
}

fn is_after(held: &Held, last: &rusqlite::types::Value) -> bool {
    matches!(last, rusqlite::types::Value::Text(last) if held.permission.id > *last)
}

/// `GET …/files/{id}/permissions/{permission}`
pub(crate) async fn get(
    State(drive): State<Arc<Drive>>,
    Named((id, permission)): Named<(String, String)>,
    call: Call,
) -> Result<Json> {
    let mask = call.mask(&schema::PERMISSION)?;
    let all_drives = call.supports_all_drives()?;
    drive.look(call.clone(), move |access| shown(access, &call, (&id, &permission), all_drives, &mask)).await
}

/// `POST …/files/{id}/permissions`
pub(crate) async fn create(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let body = PermissionBody::parse(&json_body(&headers, body).await?)?;
    let holder = body.holder.ok_or_else(|| ApiError::required("permission.type"))?;
    let role = body.role.ok_or_else(|| ApiError::required("permission.role"))?;
    check_ownership(&call, role)?;
    let address = match holder {
        Holder::User | Holder::Group => {
            let address = body.email.filter(|address| address.contains('@'));
            Some(
                address
                    .ok_or_else(|| ApiError::invalid("permission.emailAddress", "A valid mail address is needed."))?,
            )
        }
        Holder::Domain => Some(body.domain.ok_or_else(|| ApiError::required("permission.domain"))?),
        Holder::Anyone => None,
    };
    let is_wide = matches!(holder, Holder::Domain | Holder::Anyone);
    let expires = match body.expires {
        Patch::Set(time) => Some(time),
        Patch::Keep | Patch::Clear => None,
    };
    let grant = Grant { holder, address, role, is_found: is_wide && body.is_found, expires };
    change(&drive, call, id, move |rules, id| rules.share(id, &grant)).await
}

/// `PATCH …/files/{id}/permissions/{permission}`
pub(crate) async fn update(
    State(drive): State<Arc<Drive>>,
    Named((id, permission)): Named<(String, String)>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let mut body = PermissionBody::parse(&json_body(&headers, body).await?)?;
    if let Some(role) = body.role {
        check_ownership(&call, role)?;
    }
    if call.params().flag("removeExpiration", false)? {
        body.expires = Patch::Clear;
    }
    change(&drive, call, id, move |rules, id| {
        rules.change_permission(id, &permission, body.role, &body.expires)?;
        Ok(permission)
    })
    .await
}

/// `DELETE …/files/{id}/permissions/{permission}`
pub(crate) async fn delete(
    State(drive): State<Arc<Drive>>,
    Named((id, permission)): Named<(String, String)>,
    call: Call,
) -> Result<StatusCode> {
    drive.change(&call, move |rules| rules.unshare(&id, &permission)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a change of one permission and answers with it as it is then.
async fn change<F>(drive: &Arc<Drive>, call: Call, id: String, job: F) -> Result<Json>
where
    F: FnOnce(&Rules<'_>, &str) -> Result<String> + Send + 'static,
{
    let mask = call.mask(&schema::PERMISSION)?;
    let answer = call.clone();
    drive
        .change(&call, move |rules| {
            let permission = job(rules, &id)?;
            shown(&rules.access(), &answer, (&id, &permission), rules.all_drives, &mask)
        })
        .await
}

/// A permission of an item as the caller wants to see it.
fn shown(access: &Access<'_>, call: &Call, names: (&str, &str), all_drives: bool, mask: &Mask) -> Result<Json> {
    let (id, permission) = names;
    let (row, held) = find(access, id, all_drives)?;
    let held = held.iter().find(|held| held.permission.id == permission);
    let held = held.ok_or_else(|| ApiError::permission_not_found(permission))?;
    Ok(call.json(&render::permission(held, &row, access.identity, mask)))
}

/// Ownership is only given by a call that says so, and here nobody could accept it.
fn check_ownership(call: &Call, role: Role) -> Result<()> {
    match (role, call.params().flag("transferOwnership", false)?) {
        (Role::Owner, false) => Err(ApiError::ownership_not_asked_for()),
        (Role::Owner, true) => Err(ApiError::ownership_not_transferable()),
        _ => Ok(()),
    }
}

/// What a client may write of a permission.
#[derive(Debug)]
struct PermissionBody {
    holder: Option<Holder>,
    role: Option<Role>,
    email: Option<String>,
    domain: Option<String>,
    is_found: bool,
    expires: Patch<Timestamp>,
}

impl PermissionBody {
    fn parse(body: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> = if body.iter().all(u8::is_ascii_whitespace) {
            Map::new()
        } else {
            serde_json::from_slice(body).map_err(|_| ApiError::parse_error())?
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let invalid = |location| ApiError::invalid_value(location);
        let holder = match fields.get("type") {
            None | Some(Value::Null) => None,
            Some(_) => Some(text("type").and_then(Holder::parse).ok_or_else(|| invalid("permission.type"))?),
        };
        let role = match fields.get("role") {
            None | Some(Value::Null) => None,
            Some(_) => Some(text("role").and_then(Role::parse).ok_or_else(|| invalid("permission.role"))?),
        };
        let expires = match fields.get("expirationTime") {
            None => Patch::Keep,
            Some(Value::Null) => Patch::Clear,
            Some(_) => {
                let time = text("expirationTime").and_then(Timestamp::parse_rfc3339);
                Patch::Set(time.ok_or_else(|| invalid("permission.expirationTime"))?)
            }
        };
        Ok(Self {
            holder,
            role,
            email: text("emailAddress").map(str::to_owned),
            domain: text("domain").map(str::to_owned),
            is_found: fields.get("allowFileDiscovery").and_then(Value::as_bool).unwrap_or(false),
            expires,
        })
    }
}
