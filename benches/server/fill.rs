//! The drive that is measured: made through the API, as any client could make it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{Connection, Target};
use super::load::per_second;

/// Creates in flight. The server writes one after the other; this keeps it from waiting for the next.
const WRITERS: usize = 32;
/// Entries of one folder.
const LARGE_FOLDER: usize = 100_000;
/// Entries of each of the others.
const SMALL_FOLDER: usize = 1000;
pub(crate) const BIG_BYTES: usize = 1 << 30;
pub(crate) const SMALL_BYTES: usize = 20 * 1024;
const SMALL_FILES: usize = 1000;
/// What an upload in pieces sends at a time.
pub(crate) const PIECE_BYTES: usize = 8 << 20;
pub(crate) const FILES: &str = "/drive/v3/files?fields=id";
const RESUMABLE: &str = "/upload/drive/v3/files?uploadType=resumable&fields=id";

/// The ids of what is there, kept between a fill and a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filled {
    pub entries: usize,
    /// A file of 1 GiB.
    pub big: String,
    /// Files of 20 KiB.
    pub small: Vec<String>,
    /// A folder of 100,000 entries.
    pub large_folder: String,
    /// Folders of 1,000 entries.
    pub folders: Vec<String>,
    /// Entries made a second.
    pub rate: f64,
}

/// Fills a new drive with `entries` entries and the files that are downloaded.
pub(crate) async fn fill(target: &Target, entries: usize) -> io::Result<Filled> {
    let mut connection = Connection::open(target).await?;
    let (big, _) = upload_big(target, &mut connection, BIG_BYTES).await?;
    let mut small = Vec::new();
    let content = bytes(SMALL_BYTES);
    for _ in 0..SMALL_FILES {
        let path = "/upload/drive/v3/files?uploadType=media&fields=id";
        let headers = [("content-type", "image/jpeg")];
        small.push(make(&mut connection, &target.request("POST", path, &headers, &content)).await?);
    }

    let large = LARGE_FOLDER.min(entries);
    let folders = (entries - large) / SMALL_FOLDER;
    let made = make_entries(target, large, folders, (entries - large).saturating_sub(folders)).await?;
    Ok(Filled { entries, big, small, large_folder: made.large_folder, folders: made.folders, rate: made.rate })
}

/// Entries that were made.
#[derive(Debug)]
pub(crate) struct Made {
    pub large_folder: String,
    pub folders: Vec<String>,
    /// Entries made a second.
    pub rate: f64,
}

/// Makes a folder with `large` files, and others that share `rest` files.
pub(crate) async fn make_entries(target: &Target, large: usize, folders: usize, rest: usize) -> io::Result<Made> {
    let started = Instant::now();
    let mut connection = Connection::open(target).await?;
    let large_folder = make(&mut connection, &folder(target, "large")).await?;
    let mut parents = Vec::new();
    for index in 0..folders {
        parents.push(make(&mut connection, &folder(target, &format!("folder {index}"))).await?);
    }
    let mut places = vec![large_folder.clone(); large];
    places.extend(parents.iter().cycle().take(rest).cloned());
    create(target, places).await?;
    let rate = per_second((large + folders + rest) as u64, started.elapsed());
    Ok(Made { large_folder, folders: parents, rate })
}

/// Makes one file in each of `places`.
async fn create(target: &Target, places: Vec<String>) -> io::Result<()> {
    let (count, to) = (places.len(), target.clone());
    let request = move |index: usize| {
        let name = format!("picture {index:07}.jpg");
        post(&to, FILES, &json!({ "name": name, "mimeType": "image/jpeg", "parents": [places[index]] }))
    };
    make_all(target, count, request).await.map(drop)
}

/// Sends `count` requests that each make something, many at a time. The ids, in the order of the requests.
pub(crate) async fn make_all(
    target: &Target,
    count: usize,
    request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> io::Result<Vec<String>> {
    let (request, next) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let (target, request, next) = (target.clone(), request.clone(), next.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut made = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<_, io::Error>(made);
                }
                made.push((index, make(&mut connection, &request(index)).await?));
                if (index + 1).is_multiple_of(100_000) {
                    eprintln!("  {} entries", index + 1);
                }
            }
        });
    }
    let mut made = Vec::with_capacity(count);
    while let Some(task) = tasks.join_next().await {
        made.extend(task.map_err(io::Error::other)??);
    }
    made.sort_unstable_by_key(|(index, _)| *index);
    Ok(made.into_iter().map(|(_, id)| id).collect())
}

pub(crate) fn post(target: &Target, path: &str, body: &Value) -> Vec<u8> {
    target.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn folder(target: &Target, name: &str) -> Vec<u8> {
    post(target, FILES, &json!({ "name": name, "mimeType": "application/vnd.google-apps.folder" }))
}

/// Sends a request that makes a file; its id.
pub(crate) async fn make(connection: &mut Connection, request: &[u8]) -> io::Result<String> {
    let (answer, body) = connection.fetch(request).await?;
    succeeded(answer.status)?;
    id(&body)
}

fn id(body: &[u8]) -> io::Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    body["id"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other("an answer without an id"))
}

fn succeeded(status: u16) -> io::Result<()> {
    if (200..300).contains(&status) { Ok(()) } else { Err(io::Error::other(format!("refused with {status}"))) }
}

/// Uploads 1 GiB in a session, in requests of `piece` bytes; the id, and bytes a second.
async fn upload_big(target: &Target, connection: &mut Connection, piece: usize) -> io::Result<(String, f64)> {
    // The same bytes over and over: nothing in the server looks at that, and making them costs nothing here.
    let content = Bytes::from(bytes(PIECE_BYTES));
    upload(target, connection, &json!({ "name": "big" }), BIG_BYTES, piece, |_| content.clone()).await
}

/// Uploads so many bytes in a session, in requests of `piece` bytes, as `content` has them from each multiple of [`PIECE_BYTES`];
/// the id, and bytes a second.
pub(crate) async fn upload(
    target: &Target,
    connection: &mut Connection,
    metadata: &Value,
    size: usize,
    piece: usize,
    mut content: impl FnMut(usize) -> Bytes,
) -> io::Result<(String, f64)> {
    let session = connection.ask(&post(target, RESUMABLE, metadata)).await?;
    let location = session.location.ok_or_else(|| io::Error::other("a session without an address"))?;
    let path = location.find("/upload").map_or(location.as_str(), |start| &location[start..]);
    let started = Instant::now();
    let mut body = Vec::new();
    for first in (0..size).step_by(piece) {
        let end = size.min(first + piece);
        let range = format!("bytes {first}-{}/{size}", end - 1);
        let length = (end - first).to_string();
        let headers = [("content-length", length.as_str()), ("content-range", range.as_str())];
        connection.send(&target.request("PUT", path, &headers, b"")).await?;
        for at in (first..end).step_by(PIECE_BYTES) {
            connection.send(&content(at)).await?;
        }
        body.clear();
        let answer = connection.receive(|bytes| body.extend_from_slice(bytes)).await?;
        if answer.status != if end == size { 200 } else { 308 } {
            return Err(io::Error::other(format!("a piece was answered with {}", answer.status)));
        }
    }
    Ok((id(&body)?, per_second(size as u64, started.elapsed())))
}

/// Uploads 1 GiB in requests of `piece` bytes and deletes it again; bytes a second of the upload.
pub(crate) async fn upload_for_once(target: &Target, piece: usize) -> io::Result<f64> {
    let mut connection = Connection::open(target).await?;
    let (id, rate) = upload_big(target, &mut connection, piece).await?;
    let delete = target.request("DELETE", &format!("/drive/v3/files/{id}"), &[], b"");
    succeeded(connection.ask(&delete).await?.status)?;
    Ok(rate)
}

/// Bytes that do not compress: the high ones of a linear congruential generator (Knuth's constants).
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
