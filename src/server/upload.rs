//! Uploads: the three ways in which content reaches the drive.
//!
//! `media` is a bare body, `multipart` a body with metadata before the content, `resumable` a session of many requests
//! (file `session`). All of them end in [`Request::commit`], one transaction, which makes the content visible with its
//! last byte and never before.
//!
//! A request that carries content runs as a task of its own, so that it comes to an orderly end when the client hangs up:
//! what a broken session request brought is kept, what a finished one asked for is done.

mod content_range;
pub(crate) mod live;
mod multipart;
mod receive;
mod session;

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::blobs::Content;
use super::call::{Call, Json, Named, header_text};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::ids;
use super::items::{Moves, Rules, Upload};
use super::metadata::Metadata;
use super::render::{self, View};
use super::schema;
use super::store::contents;
use super::trouble::Orders;
use receive::End;

pub(crate) use multipart::boundary;

/// All that an upload asks for, beside its bytes. Kept with a session, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    /// The file to be updated; `None` creates one.
    target: Option<String>,
    /// The metadata as sent.
    metadata: String,
    /// The declared type of the content.
    media_type: Option<String>,
    add_parents: Vec<String>,
    remove_parents: Vec<String>,
    keep_forever: bool,
    /// Whether the client knows of shared drives. A session of an older version does not say.
    #[serde(default)]
    all_drives: bool,
    /// What the answer shall show.
    fields: Option<String>,
    pretty: bool,
    origin: String,
}

impl Request {
    fn new(call: &Call, target: Option<String>, metadata: &[u8], media_type: Option<&str>) -> Result<Self> {
        let params = call.params();
        let list = |name: &str| params.list(name).into_iter().map(str::to_owned).collect();
        let request = Self {
            target,
            metadata: String::from_utf8(metadata.to_vec()).map_err(|_| ApiError::parse_error())?,
            // Parameters, such as a character set, are not part of a type here.
            media_type: media_type.and_then(|text| text.split(';').next()).map(|text| text.trim().to_owned()),
            add_parents: list("addParents"),
            remove_parents: list("removeParents"),
            keep_forever: params.flag("keepRevisionForever", false)?,
            all_drives: call.supports_all_drives()?,
            fields: params.get("fields").map(str::to_owned),
            pretty: params.pretty(),
            origin: call.origin().to_owned(),
        };
        // Refused now rather than after the last byte.
        Metadata::parse(request.metadata.as_bytes())?;
        schema::FILE.mask(request.fields.as_deref())?;
        Ok(request)
    }

    /// Makes `content` what the request asked for; the answer, written out.
    fn commit(&self, rules: &Rules<'_>, content: &Content) -> Result<Json> {
        let rules = &Rules { all_drives: self.all_drives, ..*rules };
        let metadata = Metadata::parse(self.metadata.as_bytes())?;
        let upload = Upload { content, media_type: self.media_type.as_deref(), keep_forever: self.keep_forever };
        let id = match &self.target {
            None => rules.create(&metadata, Some(&upload))?,
            Some(id) => {
                let moves = Moves { add: &self.add_parents, remove: &self.remove_parents };
                rules.update(id, &metadata, moves, Some(&upload))?;
                rules.caller.resolve(id)?.to_owned()
            }
        };
        let access = &rules.access();
        let item = access.get(&id)?;
        let mask = schema::FILE.mask(self.fields.as_deref())?;
        let view = View { access, origin: &self.origin };
        Ok(Json::new(&render::file(&item, view, &mask)?, self.pretty))
    }
}

/// `POST /upload/…/files`
pub(crate) async fn create(
    State(drive): State<Arc<Drive>>,
    call: Call,
    orders: Orders,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    if call.params().get("upload_id").is_some() {
        return send(State(drive), call, orders, headers, body).await;
    }
    begin(drive, None, call, headers, body).await
}

/// `PATCH /upload/…/files/{id}`
pub(crate) async fn update(
    State(drive): State<Arc<Drive>>,
    Named(id): Named<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    begin(drive, Some(id), call, headers, body).await
}

/// `PUT` or `POST` on the address of a session
pub(crate) async fn send(
    State(drive): State<Arc<Drive>>,
    call: Call,
    orders: Orders,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let id = call.params().get("upload_id").ok_or_else(ApiError::no_such_path)?.to_owned();
    if orders.expire_session {
        session::expire(&drive, &id, &call).await?;
    }
    session::send(drive, id, call, orders, &headers, body).await
}

/// `DELETE` on the address of a session
pub(crate) async fn cancel(State(drive): State<Arc<Drive>>, call: Call) -> Result<Response> {
    let id = call.params().get("upload_id").ok_or_else(ApiError::no_such_path)?.to_owned();
    session::cancel(drive, id, call).await
}

async fn begin(
    drive: Arc<Drive>,
    target: Option<String>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let content_type = header_text(&headers, header::CONTENT_TYPE);
    match call.params().get("uploadType") {
        Some("media") => {
            let request = Request::new(&call, target, b"", content_type)?;
            let stream = body.into_data_stream();
            let (tasks, job) = (drive.tasks.clone(), at_once(drive, call, request, stream));
            tasks.spawn(job).await?
        }
        Some("multipart") => {
            let boundary = content_type.and_then(multipart::boundary);
            let boundary = boundary.ok_or_else(|| {
                ApiError::bad_request("A multipart upload needs Content-Type: multipart/related with a boundary.")
            })?;
            let tasks = drive.tasks.clone();
            let job = async move {
                let (head, content): (_, multipart::Content<BodyDataStream>) =
                    multipart::open(body.into_data_stream(), &boundary).await?;
                let request = Request::new(&call, target, &head.metadata, head.media_type.as_deref())?;
                at_once(drive, call, request, content).await
            };
            tasks.spawn(job).await?
        }
        Some("resumable") => session::start(drive, target, call, &headers, body).await,
        Some(other) => Err(ApiError::invalid_parameter("uploadType", format!("Invalid upload type '{other}'."))),
        None => Err(ApiError::required("uploadType")),
    }
}

/// Receives all of the content in this one request, and commits it.
async fn at_once<S, E>(drive: Arc<Drive>, call: Call, request: Request, content: S) -> Result<Response>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
{
    let draft = Draft::new(&drive).await?;
    let (blobs, blob) = (drive.blobs.clone(), draft.blob.clone());
    let sink = spawn_blocking(move || blobs.create(&blob)).await??;
    let never = CancellationToken::new();
    let content = match receive::receive(sink, content, drive.limits.upload_bytes, &never).await? {
        (sink, End::Complete) => sink.progress().content(&draft.blob),
        (_, End::TooLong) => return Err(ApiError::body_too_large()),
        (_, End::Broken) => return Err(ApiError::bad_request("The body ended before its content was complete.")),
    };
    let is_empty = content.blob.is_none();
    let answer = drive.change(&call, move |rules| request.commit(rules, &content)).await?;
    // Without bytes there is no revision that took the file over.
    if !is_empty {
        draft.keep();
    }
    Ok(answer.into_response())
}

/// A file of bytes that belongs to this request, until it is kept.
struct Draft {
    drive: Arc<Drive>,
    blob: String,
    kept: bool,
}

impl Draft {
    async fn new(drive: &Arc<Drive>) -> Result<Self> {
        let blob = ids::blob();
        let name = blob.clone();
        drive.store.write(move |edit| contents::draft(edit, &name)).await?;
        Ok(Self { drive: drive.clone(), blob, kept: false })
    }

    /// It belongs to a revision now.
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            self.drive.reaper.abandoned(std::mem::take(&mut self.blob));
        }
    }
}
