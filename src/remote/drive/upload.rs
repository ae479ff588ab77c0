//! Content in one request: metadata and bytes together, as `multipart/related`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use md5::{Digest, Md5};

use super::client::Client;
use super::convert::{self, OCTETS, SYMLINK};
use super::request::{Call, JSON, Request, UPLOAD, item, json};
use super::types::{FILE, Metadata};
use super::{download, items};
use crate::error::Kind;
use crate::remote::{self, Item, ItemKind, NewKind, RemoteError, Result, Source, Write};

/// Google's guidance for uploads in one request is "5 MB or less", enforced by nobody; `rclone` sends 8 MiB this way.
pub(super) const SMALL: u64 = 5 * 1024 * 1024;

/// The largest file that Drive takes: `maxUploadSize` of `about`.
pub(super) const LARGEST: u64 = 5_497_558_138_880;

pub(super) async fn put(client: &Arc<Client>, write: &Write, content: Bytes) -> Result<Item> {
    if content.len() as u64 > SMALL {
        return Err(RemoteError::new(Kind::Invalid, UPLOAD.name, "too much for an upload in one request"));
    }
    // Random, so that no content can hold it but by a miracle.
    let boundary = format!("{:032x}", rand::random::<u128>());
    let media_type = media_type(write);
    let head = format!("--{boundary}\r\nContent-Type: {JSON}\r\n\r\n");
    let middle = format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\n\r\n");
    let tail = format!("\r\n--{boundary}--\r\n");
    let related = HeaderValue::try_from(format!("multipart/related; boundary={boundary}"));
    let related = related.map_err(|error| RemoteError::new(Kind::Invalid, UPLOAD.name, error.to_string()))?;
    let mut request = begin(client, UPLOAD, "multipart", write)?.header(CONTENT_TYPE, related);
    let metadata = json(UPLOAD, &metadata(write))?;
    request.body = vec![head.into(), metadata, middle.into(), content.clone(), tail.into()];

    let exists = match client.item(&request).await {
        Err(error) if error.kind == Kind::Exists => error,
        result => {
            if result.is_ok() {
                crate::metrics::UPLOADED.add(content.len() as u64);
            }
            return result;
        }
    };
    // Either an earlier attempt got through, its answer lost, or the id is taken by something else.
    match write {
        Write::Create(new) => {
            let item = items::get(client, &new.id).await?;
            if holds(client, &item, &content).await? { Ok(item) } else { Err(exists) }
        }
        Write::Update { .. } => Err(exists),
    }
}

/// The start of an upload of either sort: where it goes and what becomes of it.
pub(super) fn begin(client: &Client, call: Call, upload_type: &str, write: &Write) -> Result<Request> {
    let addresses = &client.addresses;
    let request = match write {
        Write::Create(new) if new.kind == NewKind::Folder => {
            return Err(RemoteError::new(Kind::Invalid, call.name, "a folder has no content"));
        }
        Write::Create(_) => Request::new(call, Method::POST, addresses.of_upload(&["files"])),
        Write::Update { id, patch } => {
            let request = Request::new(call, Method::PATCH, addresses.of_upload(&["files", item(id)?]));
            items::moved(request, patch.parent.as_ref())
        }
    };
    Ok(request.query("uploadType", upload_type).query("fields", FILE).all_drives())
}

/// What is said of the item along with its content.
pub(super) fn metadata(write: &Write) -> Metadata<'_> {
    match write {
        Write::Create(new) => convert::creation(new),
        Write::Update { patch, .. } => {
            let media_type = media_type(write);
            Metadata { mime_type: (media_type != OCTETS).then_some(media_type), ..convert::change(patch) }
        }
    }
}

/// The media type of the content. Only links have targets, so a new content with one is that of a link and must not be
/// taken for text by the look of it.
pub(super) fn media_type(write: &Write) -> &'static str {
    let link = match write {
        Write::Create(new) => new.kind == NewKind::Symlink,
        Write::Update { patch, .. } => patch.posix.as_ref().is_some_and(|posix| posix.target.is_some()),
    };
    if link { SYMLINK } else { OCTETS }
}

/// Whether an item has this content: by its checksum, or, if the drive gives none, by the bytes themselves.
async fn holds(client: &Arc<Client>, item: &Item, content: &[u8]) -> Result<bool> {
    let (ItemKind::File(blob) | ItemKind::Symlink(blob)) = &item.kind else { return Ok(false) };
    if blob.size != content.len() as u64 {
        return Ok(false);
    }
    if let Some(md5) = blob.md5 {
        return Ok(md5 == remote::Md5(Md5::digest(content).into()));
    }
    if content.is_empty() {
        return Ok(true);
    }
    let source = Source { id: item.id.clone(), blob: blob.clone() };
    let pieces: Vec<Bytes> = download::read(client, &source, 0..blob.size).await?.try_collect().await?;
    Ok(pieces.concat() == content)
}
