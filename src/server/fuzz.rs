//! Requests that no client should send: tens of thousands of them, made from good ones by a seeded hand. None may bring the
//! server down, get an answer that clients cannot read, or leave the store in a state that its rules exclude.
//!
//! `DRIVEMOUNT_TEST_FUZZ` says how many (20,000), `DRIVEMOUNT_TEST_FUZZ_SEED` where to begin (1).

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::store::invariants;
use super::{Options, Server};

const WORKERS: u64 = 8;
/// Ids kept to be asked for again.
const KNOWN: usize = 64;

/// Method, address, headers, body.
type Good = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Good requests, to be spoiled. `{id}` is an item known by then, `{session}` an upload.
#[rustfmt::skip]
const REQUESTS: &[Good] = &[
    ("GET", "/drive/v3/about?fields=*", &[], ""),
    ("GET", "/drive/v3/changes/startPageToken", &[], ""),
    ("GET", "/drive/v3/changes?pageToken=1&pageSize=5&fields=*", &[], ""),
    ("GET", "/drive/v3/drives?pageSize=10", &[], ""),
    ("GET", "/drive/v3/drives?q=name contains 'a' and not (hidden = true or createdTime < '2026-01-02')", &[], ""),
    ("GET", "/drive/v3/drives/{id}", &[], ""),
    ("POST", "/drive/v3/drives?requestId={id}&fields=*", JSON, r#"{"name": "d", "restrictions": {"driveMembersOnly": true}}"#),
    ("PATCH", "/drive/v3/drives/{id}", JSON, r#"{"name": "e", "restrictions": {"domainUsersOnly": false}}"#),
    ("POST", "/drive/v3/drives/{id}/hide", &[], ""),
    ("DELETE", "/drive/v3/drives/{id}", &[], ""),
    ("GET", "/drive/v3/changes?pageToken=1&driveId={id}&supportsAllDrives=true&includeItemsFromAllDrives=true&includeCorpusRemovals=true", &[], ""),
    ("GET", "/drive/v3/files?corpora=drive&driveId={id}&supportsAllDrives=true&includeItemsFromAllDrives=true", &[], ""),
    ("PATCH", "/drive/v3/files/{id}?addParents={id}&removeParents={id},root&supportsAllDrives=true", JSON, "{}"),
    ("DELETE", "/drive/v3/files/trash?driveId={id}", &[], ""),
    ("GET", "/drive/v3/files?q='root' in parents and trashed = false&pageSize=3&orderBy=name desc&fields=nextPageToken,files(id,owners/me)", &[], ""),
    ("GET", "/drive/v3/files?q=name contains 'a' or not (properties has { key='k' and value='v' } and modifiedTime > '2026-01-02T03:04:05')", &[], ""),
    ("GET", "/drive/v3/files?q=fullText contains '\"a b\"'&spaces=drive&corpora=user&includeItemsFromAllDrives=true&supportsAllDrives=true", &[], ""),
    ("GET", "/drive/v3/files/generateIds?count=3&type=files", &[], ""),
    ("GET", "/drive/v3/files/{id}?fields=*", &[], ""),
    ("GET", "/drive/v3/files/{id}?alt=media", &[("range", "bytes=2-5")], ""),
    ("GET", "/drive/v3/files/{id}?alt=media", &[("range", "bytes=1000-")], ""),
    ("GET", "/drive/v3/files/{id}/export?mimeType=text/plain", &[], ""),
    ("GET", "/document/d/{id}/export?mimeType=application/pdf", &[], ""),
    ("POST", "/drive/v3/files/{id}/download?mimeType=text/plain&revisionId=1", &[], ""),
    ("GET", "/drive/v3/operations/{id}", &[], ""),
    ("GET", "/drive/v3/files/{id}/revisions?pageSize=2", &[], ""),
    ("GET", "/drive/v3/files/{id}/revisions/{id}?alt=media", &[], ""),
    ("POST", "/drive/v3/files", JSON, r#"{"name": "a", "parents": ["root"], "properties": {"k": "v"}, "appProperties": {"k": null}}"#),
    ("POST", "/drive/v3/files", JSON, r#"{"name": "f", "mimeType": "application/vnd.google-apps.folder", "id": "{id}"}"#),
    ("POST", "/drive/v3/files", JSON, r#"{"mimeType": "application/vnd.google-apps.shortcut", "shortcutDetails": {"targetId": "{id}"}, "parents": ["{id}"]}"#),
    ("POST", "/drive/v3/files", JSON, r#"{"mimeType": "application/vnd.google-apps.document", "contentHints": {"indexableText": "a b"}}"#),
    ("POST", "/drive/v3/files/{id}/copy?fields=*", JSON, r#"{"name": "copy"}"#),
    ("PATCH", "/drive/v3/files/{id}?addParents={id}&removeParents=root", JSON, r#"{"name": "b", "modifiedTime": "2026-01-02T03:04:05.678Z"}"#),
    ("PATCH", "/drive/v3/files/{id}", JSON, r#"{"trashed": true, "starred": false, "contentRestrictions": [{"readOnly": false}]}"#),
    ("DELETE", "/drive/v3/files/{id}", &[], ""),
    ("DELETE", "/drive/v3/files/trash", &[], ""),
    ("GET", "/drive/v3/files/{id}/permissions?pageSize=2&fields=*&supportsAllDrives=true", &[], ""),
    ("POST", "/drive/v3/files/{id}/permissions?supportsAllDrives=true", JSON, r#"{"type": "user", "role": "writer", "emailAddress": "a@b"}"#),
    ("POST", "/drive/v3/files/{id}/permissions", JSON, r#"{"type": "anyone", "role": "reader", "allowFileDiscovery": true}"#),
    ("PATCH", "/drive/v3/files/{id}/permissions/anyoneWithLink?removeExpiration=true", JSON, r#"{"role": "commenter"}"#),
    ("DELETE", "/drive/v3/files/{id}/permissions/anyone", &[], ""),
    ("GET", "/drive/v3/files?q='a@b' in writers or visibility = 'anyoneWithLink' or sharedWithMe = true&orderBy=sharedWithMeTime&spaces=drive,appDataFolder", &[], ""),
    ("POST", "/drive/v3/files", JSON, r#"{"name": "hidden", "parents": ["appDataFolder"]}"#),
    ("POST", "/upload/drive/v3/files?uploadType=media", &[("content-type", "text/plain")], "0123456789"),
    ("PATCH", "/upload/drive/v3/files/{id}?uploadType=media&keepRevisionForever=true", &[], "0123456789"),
    ("POST", "/upload/drive/v3/files?uploadType=multipart", &[("content-type", "multipart/related; boundary=part")],
        "--part\r\nContent-Type: application/json\r\n\r\n{\"name\": \"m\"}\r\n--part\r\nContent-Type: text/plain\r\n\r\nhello\r\n--part--\r\n"),
    ("POST", "/upload/drive/v3/files?uploadType=multipart", &[("content-type", "multipart/related; boundary=part")],
        "--part\r\nContent-Type: application/json\r\n\r\n{\"mimeType\": \"application/vnd.google-apps.document\"}\r\n--part\r\nContent-Type: text/plain\r\n\r\nhello\r\n--part--\r\n"),
    ("POST", "/upload/drive/v3/files?uploadType=resumable", &[("content-type", "application/json"), ("x-upload-content-length", "10")], r#"{"name": "r"}"#),
    ("PATCH", "/upload/drive/v3/files/{id}?uploadType=resumable", &[("x-upload-content-type", "text/plain")], ""),
    ("PUT", "/upload/drive/v3/files?uploadType=resumable&upload_id={session}", &[("content-range", "bytes 0-9/10")], "0123456789"),
    ("PUT", "/upload/drive/v3/files?uploadType=resumable&upload_id={session}", &[("content-range", "bytes */10")], ""),
    ("PUT", "/upload/drive/v3/files?uploadType=resumable&upload_id={session}", &[("content-range", "bytes */*")], ""),
    ("POST", "/upload/drive/v3/files/{id}?uploadType=resumable&upload_id={session}", &[], "0123456789"),
    ("DELETE", "/upload/drive/v3/files?uploadType=resumable&upload_id={session}", &[], ""),
    ("POST", "/drive/v3/files", &[("x-http-method-override", "GET"), ("content-type", "application/x-www-form-urlencoded")], "q=trashed%3Dfalse&fields=*"),
    ("OPTIONS", "/drive/v3/files", &[], ""),
    ("HEAD", "/drive/v3/files/{id}", &[], ""),
    ("BREW", "/tea?leaves=7", &[], ""),
];
const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=UTF-8")];
/// What may come on top of a request that it does not belong to.
#[rustfmt::skip]
const PARAMETERS: &[(&str, &str)] = &[
    ("fields", "*/id"), ("fields", "changes/file/*"), ("pageToken", "2"), ("pageSize", "99999999999999999999"), ("alt", "media"),
    ("alt", "proto"), ("orderBy", "name_natural,quotaBytesUsed desc"), ("uploadType", "multipart"), ("spaces", "photos,appDataFolder"),
    ("corpora", "drive"), ("driveId", "x"), ("supportsAllDrives", "yes"), ("access_token", "wrong"), ("prettyPrint", "false"),
];
#[rustfmt::skip]
const HEADERS: &[(&str, &str)] = &[
    ("range", "bytes=-5"), ("range", "bytes=9-3,0-1"), ("range", "bytes=18446744073709551615-"), ("content-range", "bytes 0-262143/*"),
    ("content-range", "bytes 5-4/3"), ("content-range", "bytes 0-0/18446744073709551615"), ("content-type", "multipart/related"),
    ("content-type", "multipart/related; boundary=\"\""), ("content-type", "text/plain"), ("x-http-method-override", "PATCH"),
    ("x-upload-content-length", "99999999999999999"), ("authorization", "Bearer wrong"), ("authorization", "Basic eDp5"),
];

/// The same, maybe with some bytes changed.
fn spoil(rng: &mut StdRng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] = rng.random(),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *b"'\"\\(){}[],:/*%\0\r\n=-".choose(rng).unwrap_or(&0)),
            4 => bytes.splice(at..at, rng.random_range(0..i64::MAX).to_string().into_bytes()).for_each(drop),
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

fn text(rng: &mut StdRng, good: &str) -> String {
    String::from_utf8_lossy(&spoil(rng, good.as_bytes())).into_owned()
}

/// Percent-encodes what would not be part of the piece of an address.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

struct Fuzzer {
    url: String,
    token: String,
    http: Client,
    /// Ids of items that were answered, and of upload sessions.
    items: Mutex<Vec<String>>,
    sessions: Mutex<Vec<String>>,
    statuses: Mutex<BTreeSet<u16>>,
}

impl Fuzzer {
    /// Puts known ids in their places.
    fn fill(&self, rng: &mut StdRng, template: &str) -> String {
        let mut filled = template.to_owned();
        for (place, known) in [("{id}", &self.items), ("{session}", &self.sessions)] {
            while filled.contains(place) {
                let id = known.lock().choose(rng).cloned().unwrap_or_default();
                filled = filled.replacen(place, &id, 1);
            }
        }
        filled
    }

    fn request(&self, rng: &mut StdRng) -> (String, RequestBuilder) {
        let (method, address, headers, body) = REQUESTS[rng.random_range(0..REQUESTS.len())];
        let address = self.fill(rng, address);
        let (mut path, mut query) = address
            .split_once('?')
            .map_or((address.clone(), String::new()), |(path, query)| (path.to_owned(), query.to_owned()));
        let mut body = self.fill(rng, body).into_bytes();
        let mut headers: Vec<(&str, Vec<u8>)> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        // One part of it at a time, so that the others are still looked at.
        match rng.random_range(0..8) {
            0 => path = format!("/{}", text(rng, path.trim_start_matches('/'))),
            1 | 2 => query = text(rng, &query),
            3 => body = spoil(rng, &body),
            4 => headers.iter_mut().for_each(|(_, value)| *value = spoil(rng, value)),
            5 => headers.extend(HEADERS.choose(rng).map(|(name, value)| (*name, spoil(rng, value.as_bytes())))),
            6 => query.extend(PARAMETERS.choose(rng).map(|(name, value)| format!("&{name}={}", text(rng, value)))),
            _ if rng.random_range(0..5) == 0 => body = vec![rng.random(); rng.random_range(0..600_000)],
            _ => {}
        }
        let method = if rng.random_range(0..30) == 0 { "POST" } else { method };
        let query = query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            format!("{}={}", encoded(name), encoded(value))
        });
        let path: Vec<String> = path.split('/').map(encoded).collect();
        let address = format!("{}{}?{}", self.url, path.join("/"), query.collect::<Vec<_>>().join("&"));
        let shown = String::from_utf8_lossy(&body[..body.len().min(300)]);
        let mut told = format!("{method} {address} {shown:?}");
        let mut request = self.http.request(method.parse().expect("a method"), address);
        for (name, value) in &headers {
            // What HTTP itself forbids would not be sent.
            if let Ok(value) = reqwest::header::HeaderValue::from_bytes(value) {
                told.extend([" ", name, ": ", &String::from_utf8_lossy(value.as_bytes())]);
                request = request.header(*name, value);
            }
        }
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(&self.token);
        }
        (told, request.body(body))
    }

    async fn check(&self, told: &str, head: bool, response: Response) {
        let status = response.status().as_u16();
        self.statuses.lock().insert(status);
        let content_type = response.headers().get("content-type").cloned();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{told}: {status}: {error}"));
        let session = location.as_deref().and_then(|location| location.split_once("upload_id=")).map(|(_, id)| id);
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        // Ids that are handed out, too: a create may bear one.
        for (found, known) in
            [(answer["id"].as_str().or(answer["ids"][0].as_str()), &self.items), (session, &self.sessions)]
        {
            let mut known = known.lock();
            if known.len() == KNOWN {
                known.remove(0);
            }
            known.extend(found.map(str::to_owned));
        }
        // 499: a session that its client gave up, the one answer without a body.
        if status < 400 || status == 499 || head {
            return;
        }
        let error = &answer["error"];
        let reason = error["errors"][0]["reason"].as_str().unwrap_or_default();
        let is_envelope = error["code"] == status && error["message"].is_string() && !reason.is_empty();
        let is_json = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
        let shown = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
        assert!(is_envelope && is_json, "{told}: {status}: {shown}");
        // `name < 'x'` fails in the real service as well; nothing else may.
        assert!(status < 500 || reason == "backendError", "{told}: {status}: {shown}");
    }
}

/// Sends what is no HTTP at all; whatever comes back, the server goes on.
async fn babble(rng: &mut StdRng, address: &str) {
    let good = "GET /drive/v3/about?fields=* HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let bytes = spoil(rng, good.as_bytes());
    let mut stream = TcpStream::connect(address).await.expect("connects");
    if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_an_envelope_and_harm_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(Options::new(folder.path())).await.expect("starts");
    let http = crate::net::client(&server.url().parse().expect("url"), |builder| builder).expect("a client");
    let fuzzer = Arc::new(Fuzzer {
        url: server.url(),
        token: server.token().to_owned(),
        http,
        items: Mutex::default(),
        sessions: Mutex::default(),
        statuses: Mutex::default(),
    });
    let (requests, first) = (number("DRIVEMOUNT_TEST_FUZZ", 20_000), number("DRIVEMOUNT_TEST_FUZZ_SEED", 1));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let fuzzer = fuzzer.clone();
        workers.spawn(async move {
            let mut rng = StdRng::seed_from_u64(first.wrapping_mul(WORKERS).wrapping_add(worker));
            for turn in 0..requests.div_ceil(WORKERS) {
                if turn % 20 == 0 {
                    babble(&mut rng, fuzzer.url.trim_start_matches("http://")).await;
                }
                let (told, request) = fuzzer.request(&mut rng);
                let Ok(request) = request.build() else { continue };
                let head = request.method() == Method::HEAD;
                match fuzzer.http.execute(request).await {
                    Ok(response) => fuzzer.check(&told, head, response).await,
                    Err(error) => panic!("{told}: {error:?}"),
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.expect("a worker found something");
    }
    let statuses = fuzzer.statuses.lock().clone();
    for status in [200, 308, 400, 401, 403, 404, 405, 416] {
        assert!(statuses.contains(&status), "such requests were not among them: {status} not in {statuses:?}");
    }

    // It still does what it is there for, and what it holds makes sense.
    let url = format!("{}/upload/drive/v3/files?uploadType=media", fuzzer.url);
    let created = fuzzer.http.post(url).bearer_auth(&fuzzer.token).body("as ever").send().await.expect("answers");
    let created: Value = created.json().await.expect("JSON");
    let url = format!("{}/drive/v3/files/{}?alt=media", fuzzer.url, created["id"].as_str().expect("id"));
    let content = fuzzer.http.get(url).bearer_auth(&fuzzer.token).send().await.expect("answers");
    assert_eq!(content.text().await.expect("text"), "as ever", "{}", json!(created));
    server.stop().await;
    let db = rusqlite::Connection::open(folder.path().join("drive.db")).expect("opens");
    invariants::check(&db);
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("runs");
    assert_eq!(verdict, "ok");
    let owned = "SELECT blob FROM revisions UNION SELECT blob FROM sessions UNION SELECT blob FROM drafts \
                 UNION SELECT blob FROM doomed";
    let mut statement = db.prepare(owned).expect("prepares");
    let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("runs");
    let owned: BTreeSet<String> = rows.filter_map(|row| row.expect("reads")).collect();
    for entry in walk(&folder.path().join("blobs")) {
        assert!(owned.contains(&entry), "bytes that nobody owns: {entry}");
    }
}

/// The names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("reads").map(|entry| entry.expect("an entry"));
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            _ => vec![entry.file_name().to_string_lossy().into_owned()],
        })
        .collect()
}
