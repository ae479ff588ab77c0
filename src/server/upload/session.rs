//! Resumable uploads.
//!
//! A session is a row of the database, which says what was asked for, and a blob, which grows. All that is ever acknowledged
//! of an unfinished content are whole units of 256 KiB, so the length of the blob, rounded down, says how far a session is:
//! nothing has to be written down between two requests, and a session survives the death of the server.
//!
//! **One request at a time.** A client whose connection broke comes back before this server has noticed. So a new request
//! on a session takes over from the one before, waits until that has put away what it received, and goes on from there.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::super::blobs::{Content, Progress, UPLOAD_UNIT};
use super::super::call::{Call, Json, header_text, json_body};
use super::super::drive::Drive;
use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::store::sessions::{self, Session, State};
use super::super::trouble::Orders;
use super::Request;
use super::content_range::ContentRange;
use super::receive::{End, receive};
use crate::clock;

/// How a request on a session ends.
enum Answer {
    /// More is to come; this many bytes are stored.
    Stored(u64),
    /// The same, and the session has another id now.
    Moved {
        stored: u64,
        id: String,
    },
    /// All is done; this is what the client gets, now and whenever it asks again.
    Done(Json),
    Cancelled,
}

/// Begins a session.
pub(super) async fn start(
    drive: Arc<Drive>,
    target: Option<String>,
    call: Call,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let media_type = header_text(headers, "x-upload-content-type");
    let length = match headers.get("x-upload-content-length") {
        None => None,
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            Some(length.ok_or_else(|| ApiError::bad_request("Invalid X-Upload-Content-Length."))?)
        }
    };
    if length.is_some_and(|length| length > drive.limits.upload_bytes) {
        return Err(ApiError::body_too_large());
    }
    let metadata = json_body(headers, body).await?;
    let path = target.as_ref().map_or_else(String::new, |id| format!("/{id}"));
    let request = Request::new(&call, target, &metadata, media_type)?;
    let stored = serde_json::to_string(&request).map_err(ApiError::internal)?;
    let id = ids::upload();
    let location = location(&call, &path, &id)?;
    let name = HeaderValue::try_from(id.as_str()).map_err(ApiError::internal)?;
    drive
        .change(&call, move |rules| {
            // What would be refused at the end is refused now, before anything is sent.
            rules.edit.rehearse(|edit| {
                let rules = super::Rules { edit, ..*rules };
                request.commit(&rules, &Content::expected(length.unwrap_or(0)))
            })?;
            sessions::open(rules.edit, &id, &stored, length, &ids::blob())
        })
        .await?;
    let headers = [(header::LOCATION, location), (HeaderName::from_static("x-guploader-uploadid"), name)];
    Ok((StatusCode::OK, headers).into_response())
}

/// The address of a session on the file at `path`, or on any.
fn location(call: &Call, path: &str, id: &str) -> Result<HeaderValue> {
    let location = format!("{}/upload/drive/v3/files{path}?uploadType=resumable&upload_id={id}", call.origin());
    HeaderValue::try_from(location).map_err(|_| ApiError::bad_request("Invalid Host header."))
}

/// A request on a session: bytes, or a question.
pub(super) async fn send(
    drive: Arc<Drive>,
    id: String,
    call: Call,
    orders: Orders,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let range = match headers.get(header::CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let range = value.to_str().ok().and_then(ContentRange::parse);
            Some(range.ok_or_else(|| ApiError::bad_request("Failed to parse Content-Range header."))?)
        }
    };
    let length = match header_text(headers, header::CONTENT_LENGTH) {
        None => None,
        Some(text) => text.parse::<u64>().ok(),
    };
    let no_308 = header_text(headers, "x-guploader-no-308") == Some("yes");
    let name = HeaderValue::try_from(id.as_str()).map_err(|_| ApiError::session_not_found())?;
    let (tasks, message) = (drive.tasks.clone(), Message { range, length, body });
    let job = answer(drive, id, call.clone(), orders, message);
    let mut response = match tasks.spawn(job).await?? {
        Answer::Stored(stored) => incomplete(stored, no_308),
        Answer::Moved { stored, id } => {
            let mut response = incomplete(stored, no_308);
            response.headers_mut().insert(header::LOCATION, location(&call, "", &id)?);
            response
        }
        Answer::Done(json) => json.into_response(),
        Answer::Cancelled => gone(),
    };
    response.headers_mut().insert("x-guploader-uploadid", name);
    Ok(response)
}

/// Gives a session up, with what was sent.
pub(super) async fn cancel(drive: Arc<Drive>, id: String, call: Call) -> Result<Response> {
    let (tasks, job) = (drive.tasks.clone(), close(drive, id, call));
    tasks.spawn(job).await??;
    Ok(gone())
}

/// Ends a session as its time does, with what was sent. Does nothing if there is none.
pub(super) async fn expire(drive: &Arc<Drive>, id: &str, call: &Call) -> Result<()> {
    let live = drive.sessions.enter(id);
    live.take_turn();
    let _turn = live.progress.lock().await;
    let expired = id.to_owned();
    drive.change(call, move |rules| sessions::expire(rules.edit, &expired)).await?;
    drive.sessions.forget(id);
    Ok(())
}

async fn close(drive: Arc<Drive>, id: String, call: Call) -> Result<()> {
    let live = match find(&drive, &id).await?.state {
        State::Open { .. } => drive.sessions.enter(&id),
        State::Done { .. } => return Err(ApiError::bad_request("The upload is complete.")),
        State::Cancelled => return Ok(()),
    };
    live.take_turn();
    let _turn = live.progress.lock().await;
    if let State::Done { .. } = find(&drive, &id).await?.state {
        return Err(ApiError::bad_request("The upload is complete."));
    }
    let closed = id.clone();
    drive.change(&call, move |rules| sessions::close(rules.edit, &closed, None)).await?;
    // Not before: who enters anew must find it closed.
    drive.sessions.forget(&id);
    Ok(())
}

fn incomplete(stored: u64, no_308: bool) -> Response {
    // A client that asks for it is spared the 308, which some take for a redirection.
    let mut response = if no_308 { StatusCode::OK } else { StatusCode::PERMANENT_REDIRECT }.into_response();
    let headers = response.headers_mut();
    if no_308 {
        headers.insert("x-http-status-code-override", HeaderValue::from_static("308"));
    }
    if let Some(last) = stored.checked_sub(1)
        && let Ok(range) = HeaderValue::try_from(format!("bytes=0-{last}"))
    {
        headers.insert(header::RANGE, range);
    }
    response
}

/// 499: a session that was cancelled.
fn gone() -> Response {
    StatusCode::from_u16(499).unwrap_or(StatusCode::GONE).into_response()
}

async fn find(drive: &Drive, id: &str) -> Result<Session> {
    let id = id.to_owned();
    let found = drive.store.read(move |db| sessions::find(db, &id, clock::now().millis())).await?;
    found.ok_or_else(ApiError::session_not_found)
}

/// What a client sent on a session.
struct Message {
    range: Option<ContentRange>,
    /// Length of the body, if announced.
    length: Option<u64>,
    body: Body,
}

async fn answer(drive: Arc<Drive>, id: String, call: Call, orders: Orders, message: Message) -> Result<Answer> {
    // Looked at before it is entered, so that a wrong id takes no room, and again when it is our turn.
    if let Err(answer) = open(find(&drive, &id).await?.state) {
        return Ok(answer);
    }
    let live = drive.sessions.enter(&id);
    let stop = live.take_turn();
    let mut progress = live.progress.lock().await;
    let session = find(&drive, &id).await?;
    let answer = match open(session.state) {
        Ok(blob) => {
            let (request, length) = (session.request, session.length);
            let upload = Open { drive: &drive, id: &id, call: &call, blob, request, length, store: orders.store };
            match upload.take(&mut progress, message, &stop).await? {
                Answer::Stored(stored) if orders.move_session => Answer::Moved { stored, id: upload.rename().await? },
                answer => answer,
            }
        }
        Err(answer) => answer,
    };
    if !matches!(answer, Answer::Stored(_)) {
        drive.sessions.forget(&id);
    }
    Ok(answer)
}

/// The bytes of a body, of which no more than `kept` are passed on.
fn first(body: Body, kept: Option<u64>) -> impl Stream<Item = std::result::Result<Bytes, axum::Error>> + Unpin {
    let mut left = kept.unwrap_or(u64::MAX);
    body.into_data_stream().map_ok(move |mut bytes: Bytes| {
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= bytes.len() as u64;
        bytes
    })
}

/// The blob of an open session, or what one that is closed answers to everything.
fn open(state: State) -> std::result::Result<String, Answer> {
    match state {
        State::Open { blob } => Ok(blob),
        State::Done { answer } => Err(Answer::Done(Json(answer))),
        State::Cancelled => Err(Answer::Cancelled),
    }
}

/// An open session, during its turn.
struct Open<'a> {
    drive: &'a Arc<Drive>,
    id: &'a str,
    call: &'a Call,
    blob: String,
    request: String,
    /// Length of the content, if announced at the start or by a piece.
    length: Option<u64>,
    /// How many percent of what is sent are stored at most, if trouble is made.
    store: Option<u64>,
}

impl Open<'_> {
    /// Goes on under a new id, which is given back.
    async fn rename(&self) -> Result<String> {
        let (old, new) = (self.id.to_owned(), ids::upload());
        let id = new.clone();
        self.drive.change(self.call, move |rules| sessions::rename(rules.edit, &old, &new)).await?;
        Ok(id)
    }

    async fn take(
        &self,
        progress: &mut Option<Progress>,
        message: Message,
        stop: &CancellationToken,
    ) -> Result<Answer> {
        let stored = if let Some(progress) = progress {
            progress.length()
        } else {
            let (blobs, blob) = (self.drive.blobs.clone(), self.blob.clone());
            spawn_blocking(move || blobs.stored(&blob)).await??
        };
        match message.range {
            Some(ContentRange::Query { total }) => {
                if message.length.is_some_and(|length| length > 0) {
                    return Err(ApiError::bad_request("A status query has no body."));
                }
                self.check_total(total, stored)?;
                if total == Some(stored) {
                    return self.finish(progress).await;
                }
                Ok(Answer::Stored(stored))
            }
            Some(ContentRange::Piece { first, last, total }) => {
                let piece = last - first + 1;
                if message.length.is_some_and(|length| length != piece) {
                    return Err(ApiError::bad_request("Content-Length and Content-Range do not agree."));
                }
                self.check_total(total, stored)?;
                let is_last = total == Some(last + 1);
                if !is_last && !piece.is_multiple_of(UPLOAD_UNIT) {
                    return Err(ApiError::bad_request("All pieces but the last must be multiples of 256 KiB long."));
                }
                if first != stored {
                    return Ok(Answer::Stored(stored));
                }
                if let (None, Some(total), false) = (self.length, total, is_last) {
                    // What a piece says binds those after it, whichever server takes them.
                    let id = self.id.to_owned();
                    self.drive.change(self.call, move |rules| sessions::announce(rules.edit, &id, total)).await?;
                }
                self.append(progress, message.body, piece, Some(piece), is_last, stop).await
            }
            // All of it in one piece, which is not what comes next.
            None if stored > 0 => Ok(Answer::Stored(stored)),
            None => {
                if let Some(length) = message.length {
                    self.check_total(Some(length), 0)?;
                }
                let limit = self.length.unwrap_or(self.drive.limits.upload_bytes);
                self.append(progress, message.body, limit, self.length, true, stop).await
            }
        }
    }

    /// A total that the client names must be the one it announced, possible, and allowed.
    fn check_total(&self, total: Option<u64>, stored: u64) -> Result<()> {
        let Some(total) = total else { return Ok(()) };
        if self.length.is_some_and(|length| length != total) {
            return Err(ApiError::bad_request("The length of the content is not the one that was announced."));
        }
        if total < stored {
            return Err(ApiError::bad_request("More bytes are stored than the content is said to have."));
        }
        if total > self.drive.limits.upload_bytes {
            return Err(ApiError::body_too_large());
        }
        Ok(())
    }

    /// Stores a body of at most `limit` bytes, of exactly `length` if that is known. `is_last`: nothing comes after it.
    async fn append(
        &self,
        progress: &mut Option<Progress>,
        body: Body,
        limit: u64,
        length: Option<u64>,
        is_last: bool,
        stop: &CancellationToken,
    ) -> Result<Answer> {
        // If a write fails, how far the blob is is found out from the file, as after a restart.
        let (blobs, blob, before) = (self.drive.blobs.clone(), self.blob.clone(), progress.take());
        let sink = spawn_blocking(move || blobs.resume(&blob, before)).await??;
        let stored = sink.progress().length();
        let kept = self.store.zip(length.filter(|length| *length > 0));
        let kept =
            kept.map(|(percent, length)| length.saturating_mul(percent) / 100).map(|kept| kept - kept % UPLOAD_UNIT);
        let (mut sink, end) = match receive(sink, first(body, kept), limit, stop).await {
            Ok(received) => received,
            Err(error) => {
                // Mostly: the disk is full, and without room on it not even the session can be given up.
                let (blobs, blob) = (self.drive.blobs.clone(), self.blob.clone());
                spawn_blocking(move || blobs.shorten(&blob, stored)).await??;
                return Err(error.into());
            }
        };
        let arrived = sink.progress().length() - stored;
        if let (Some(_), End::Complete) = (kept, end) {
            *progress = Some(sink.pause());
            return Ok(Answer::Stored(stored + arrived));
        }
        let is_whole = end == End::Complete && length.is_none_or(|length| length == arrived);
        if !is_whole {
            sink = spawn_blocking(move || sink.round_down().map(|()| sink)).await??;
        }
        *progress = Some(sink.pause());
        match end {
            End::Complete if !is_whole => Err(ApiError::bad_request("The body is shorter than announced.")),
            End::Complete if is_last => self.finish(progress).await,
            End::Complete => Ok(Answer::Stored(stored + arrived)),
            End::TooLong if length.is_none() => Err(ApiError::body_too_large()),
            End::TooLong => Err(ApiError::bad_request("The body is longer than announced.")),
            End::Broken => Err(ApiError::interrupted()),
        }
    }

    /// Makes what is stored the content that was asked for.
    async fn finish(&self, progress: &mut Option<Progress>) -> Result<Answer> {
        let (blobs, blob, before) = (self.drive.blobs.clone(), self.blob.clone(), progress.take());
        let known = match before {
            Some(known) => known,
            None => spawn_blocking(move || blobs.resume(&blob, None)).await??.pause(),
        };
        let content = known.content(&self.blob);
        *progress = Some(known);
        let request: Request = serde_json::from_str(&self.request).map_err(ApiError::internal)?;
        let id = self.id.to_owned();
        let answer = self.drive.change(self.call, move |rules| {
            let answer = request.commit(rules, &content)?;
            sessions::close(rules.edit, &id, Some(&answer.0))?;
            Ok(answer)
        });
        Ok(Answer::Done(answer.await?))
    }
}
