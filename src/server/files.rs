//! The calls on files that have no content in their body, and ids.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::call::{Call, Json, Named, json_body};
use super::corpora::{Corpus, drive_id, spaces};
use super::download;
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::ids;
use super::item::Item;
use super::items::{Moves, Rules};
use super::metadata::Metadata;
use super::order::Order;
use super::page;
use super::query;
use super::query::sql::condition;
use super::render::{self, Object, View, select};
use super::schema;
use super::store::{list, minted};
use super::trouble::Orders;

/// Entries of a page when the client does not say.
const DEFAULT_PAGE: usize = 100;

/// `GET …/files/{id}`
pub(crate) async fn get(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    orders: Orders,
    headers: HeaderMap,
) -> Result<Response> {
    if call.params().get("alt") == Some("media") {
        orders.check_flagged(call.params())?;
        return download::file(&drive, &call, &id, &headers).await;
    }
    let mask = call.mask(&schema::FILE)?;
    let all_drives = call.supports_all_drives()?;
    let json = drive.look(call.clone(), move |access| {
        let item = access.get(access.caller.resolve(&id)?)?;
        if item.drive.is_some() && !all_drives {
            return Err(ApiError::file_not_found(&item.id));
        }
        let view = View { access, origin: call.origin() };
        Ok(call.json(&render::file(&item, view, &mask)?))
    });
    Ok(json.await?.into_response())
}

/// `GET …/files`
pub(crate) async fn list(State(drive): State<Arc<Drive>>, call: Call, orders: Orders) -> Result<Json> {
    let params = call.params();
    let mask = call.mask(&schema::FILE_LIST)?;
    let size = orders.page.unwrap_or(usize::MAX).min(params.page_size(DEFAULT_PAGE)?);
    let order = params.filled("orderBy").map(Order::parse).transpose()?;
    let expr = params.filled("q").map(query::parse).transpose()?;
    if order.is_some() && expr.as_ref().is_some_and(query::Expr::has_full_text) {
        let message = "Sorting is not supported for queries with fullText terms.";
        return Err(ApiError::invalid("orderBy", message));
    }
    let spaces = spaces(params, call.caller())?;
    let is_empty = orders.or_empty && expr.as_ref().is_some_and(query::Expr::has_several_parents);
    let corpus = Corpus::of_files(params)?;
    let order = order.unwrap_or_default();
    let secret = drive.store.identity().secret.clone();
    let question =
        json!([&["q", "orderBy", "spaces"].map(|name| params.filled(name))[..], &[Some(&*format!("{corpus:?}"))]])
            .to_string();
    let position = match params.filled("pageToken") {
        Some(_) if orders.expire_page_token => return Err(ApiError::invalid_value("pageToken")),
        Some(token) => Some(page::position(&secret, &question, token)?).filter(|place| !place.is_start()),
        None => None,
    };
    drive
        .look(call.clone(), move |access| {
            let condition = expr.map(|expr| condition(&expr, access.caller)).transpose()?;
            let scope = corpus.scope(access)?;
            // What is reached by its folder or its name alone need not be among what the caller has.
            let is_narrow = condition.as_ref().is_some_and(|condition| condition.is_narrow);
            let is_seen = |item: &Item| {
                let place = item.place();
                if is_narrow { Ok(access.role(place)?.is_some()) } else { access.has(place) }
            };
            let (app, condition, order) = (&*access.caller.app, condition.as_ref(), &order);
            let asked = list::Question { scope, spaces, app, condition, order };
            let mut page = if is_empty {
                list::Page { items: Vec::new(), next: None }
            } else {
                list::page(access.db, asked, position.as_ref(), size, is_seen)?
            };
            page.items.retain(|item| orders.lists(item.created));
            let view = View { access, origin: call.origin() };
            let mut answer = Object::new(&mask);
            answer.put("kind", || "drive#fileList");
            answer.put("incompleteSearch", || false);
            let next = page.next.as_ref();
            answer.put_some("nextPageToken", || Some(page::token(&secret, &question, next?)));
            answer.try_nest("files", |mask| page.items.iter().map(|item| render::file(item, view, mask)).collect())?;
            Ok(call.json(&answer.finish()))
        })
        .await
}

/// `GET …/files/generateIds`
pub(crate) async fn generate_ids(State(drive): State<Arc<Drive>>, call: Call) -> Result<Json> {
    let params = call.params();
    let mask = call.mask(&schema::GENERATED_IDS)?;
    let count = params.number("count", 10, &(1..=1000))?;
    let space = params.filled("space").unwrap_or("drive");
    if !matches!(space, "drive" | "appDataFolder") {
        return Err(ApiError::invalid_value("space"));
    }
    let is_shortcut = match params.filled("type") {
        None | Some("files") => false,
        Some("shortcuts") => true,
        Some(_) => return Err(ApiError::invalid_value("type")),
    };
    let ids: Vec<String> = (0..count).map(|_| ids::file()).collect();
    let answer = json!({ "kind": "drive#generatedIds", "space": space, "ids": ids });
    drive.change(&call, move |rules| minted::add(rules.edit, &ids, is_shortcut)).await?;
    Ok(call.json(&select(&mask, answer)))
}

/// `POST …/files`
pub(crate) async fn create(
    State(drive): State<Arc<Drive>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let metadata = Metadata::parse(&json_body(&headers, body).await?)?;
    change(&drive, call, move |rules| rules.create(&metadata, None)).await
}

/// `PATCH …/files/{id}`
pub(crate) async fn update(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let metadata = Metadata::parse(&json_body(&headers, body).await?)?;
    let list = |name: &str| call.params().list(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let (add, remove) = (list("addParents"), list("removeParents"));
    change(&drive, call, move |rules| {
        rules.update(&id, &metadata, Moves { add: &add, remove: &remove }, None)?;
        Ok(rules.caller.resolve(&id)?.to_owned())
    })
    .await
}

/// `POST …/files/{id}/copy`
pub(crate) async fn copy(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Json> {
    let metadata = Metadata::parse(&json_body(&headers, body).await?)?;
    let keep_forever = call.params().flag("keepRevisionForever", false)?;
    change(&drive, call, move |rules| rules.copy(&id, &metadata, keep_forever)).await
}

/// Makes a change of one file and answers with the file as it is then.
async fn change<F>(drive: &Arc<Drive>, call: Call, job: F) -> Result<Json>
where
    F: FnOnce(&Rules<'_>) -> Result<String> + Send + 'static,
{
    let mask = call.mask(&schema::FILE)?;
    let answer = call.clone();
    drive
        .change(&call, move |rules| {
            let id = job(rules)?;
            let access = &rules.access();
            let item = access.get(&id)?;
            let view = View { access, origin: answer.origin() };
            Ok(answer.json(&render::file(&item, view, &mask)?))
        })
        .await
}

/// `DELETE …/files/{id}`
pub(crate) async fn delete(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
) -> Result<StatusCode> {
    drive.change(&call, move |rules| rules.delete(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE …/files/trash`
pub(crate) async fn empty_trash(State(drive): State<Arc<Drive>>, call: Call) -> Result<StatusCode> {
    let shared_drive = drive_id(call.params()).map(str::to_owned);
    drive.change(&call, move |rules| rules.empty_trash(shared_drive.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT)
}
