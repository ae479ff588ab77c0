//! Downloads: the bytes of a revision, whole or in part.
//!
//! A download opens the file of the revision once and reads to its end from there. A revision's file never changes, and an
//! open file outlives its name, so whatever happens to the item meanwhile, the client gets the content it began with.

mod range;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::task::{JoinHandle, spawn_blocking};

use super::access::Access;
use super::blobs::read_piece;
use super::call::{Call, header_text};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::item::Revision;
use super::items::may_take;
use super::media_type::{Kind, OCTET_STREAM};
use super::store::contents;
pub(crate) use range::Part;

/// Bytes read at a time. Two pieces of a download are in memory: one being sent, one being read ahead.
const PIECE_BYTES: u64 = 256 * 1024;

/// `GET …/files/{id}?alt=media`
pub(crate) async fn file(drive: &Arc<Drive>, call: &Call, id: &str, headers: &HeaderMap) -> Result<Response> {
    let id = call.caller().resolve(id)?.to_owned();
    let all_drives = call.supports_all_drives()?;
    send(drive, call, headers, move |access| {
        let (item, role) = access.find(&id)?;
        if item.drive.is_some() && !all_drives {
            return Err(ApiError::file_not_found(&id));
        }
        match Kind::of(&item.mime_type) {
            Kind::File if !may_take(&item, role) => Err(ApiError::cannot_download()),
            Kind::File => {
                contents::head(access.db, item.no)?.ok_or_else(|| ApiError::internal("a file without content"))
            }
            Kind::Folder | Kind::Shortcut | Kind::Document => Err(ApiError::not_downloadable()),
        }
    })
    .await
}

/// Sends what the headers ask for of the revision that `look_up` finds.
pub(crate) async fn send<F>(drive: &Arc<Drive>, call: &Call, headers: &HeaderMap, look_up: F) -> Result<Response>
where
    F: Fn(&Access<'_>) -> Result<Revision> + Clone + Send + 'static,
{
    let range = header_text(headers, header::RANGE).map(str::to_owned);
    let part = move |revision: &Revision| range::part(range.as_deref(), revision.size);
    let (revision, part, body) = opened(drive, call, look_up, part).await?;
    Ok(if part == Part::Unsatisfiable { unsatisfiable(revision.size) } else { found(&revision, part, body) })
}

/// The revision that `look_up` finds, and of its bytes those that `choose` picks.
pub(crate) async fn opened<F>(
    drive: &Drive,
    call: &Call,
    look_up: F,
    choose: impl Fn(&Revision) -> Part,
) -> Result<(Revision, Part, Body)>
where
    F: Fn(&Access<'_>) -> Result<Revision> + Clone + Send + 'static,
{
    let mut missed = None;
    loop {
        let revision = drive.look(call.clone(), look_up.clone()).await?;
        let part = choose(&revision);
        let (first, length) = match part {
            Part::Whole => (0, revision.size),
            Part::Range { first, length } => (first, length),
            Part::Unsatisfiable => return Ok((revision, part, Body::empty())),
        };
        let Some(blob) = &revision.blob else { return Ok((revision, part, Body::empty())) };
        match open(drive, blob, first, length).await {
            Ok(body) => return Ok((revision, part, body)),
            // Replaced and unlinked between the look-up and the opening: the next look-up finds another.
            Err(error) if error.kind() == io::ErrorKind::NotFound && missed != revision.blob => missed = revision.blob,
            Err(error) => return Err(error.into()),
        }
    }
}

fn found(revision: &Revision, part: Part, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(&revision.mime_type).unwrap_or(HeaderValue::from_static(OCTET_STREAM));
    headers.insert(header::CONTENT_TYPE, media_type);
    let length = match part {
        Part::Range { first, length } => {
            if let Ok(range) = HeaderValue::try_from(format!("bytes {first}-{}/{}", first + length - 1, revision.size))
            {
                headers.insert(header::CONTENT_RANGE, range);
            }
            length
        }
        Part::Whole | Part::Unsatisfiable => revision.size,
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0, must-revalidate"));
    if matches!(part, Part::Range { .. }) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn unsatisfiable(size: u64) -> Response {
    let mut response = ApiError::range_not_satisfiable().into_response();
    if let Ok(range) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

/// Opens a blob and reads its first piece, so that a small file needs no more than this.
async fn open(drive: &Drive, blob: &str, first: u64, length: u64) -> io::Result<Body> {
    let (blobs, blob) = (drive.blobs.clone(), blob.to_owned());
    let opened = spawn_blocking(move || {
        let mut file = blobs.read(&blob)?;
        file.seek(SeekFrom::Start(first))?;
        Reader { file, left: length }.next_piece()
    });
    let (piece, reader) = opened.await.map_err(io::Error::other)??;
    if reader.left == 0 {
        return Ok(Body::from(piece));
    }
    let pieces = stream::try_unfold(Next::Ready(piece, reader), |next| async {
        let (piece, reader) = match next {
            Next::Ready(piece, reader) => (piece, reader),
            Next::Reading(job) => job.await.map_err(io::Error::other)??,
            Next::End => return Ok(None),
        };
        let next =
            if reader.left == 0 { Next::End } else { Next::Reading(spawn_blocking(move || reader.next_piece())) };
        Ok::<_, io::Error>(Some((piece, next)))
    });
    Ok(Body::from_stream(pieces))
}

/// What comes after the piece being sent.
enum Next {
    Ready(Bytes, Reader),
    Reading(JoinHandle<io::Result<(Bytes, Reader)>>),
    End,
}

/// A blob being read, from where its file stands.
struct Reader {
    file: File,
    left: u64,
}

impl Reader {
    fn next_piece(mut self) -> io::Result<(Bytes, Self)> {
        let wanted = self.left.min(PIECE_BYTES);
        let piece = read_piece(&self.file, wanted)?;
        if piece.len() as u64 != wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= wanted;
        Ok((piece.into(), self))
    }
}
