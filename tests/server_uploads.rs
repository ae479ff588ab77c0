//! Uploads to the embedded drive: in one request, and in sessions.

#[path = "support/server.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;

use drivemount::server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Drive, FOLDER, UNIT, bytes, id};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes `first..` of a content on a session.
async fn piece(drive: &Drive, session: &str, first: usize, content: &[u8], total: Option<usize>) -> Answer {
    let total = total.map_or("*".into(), |total| total.to_string());
    let range = format!("bytes {first}-{}/{total}", first + content.len() - 1);
    drive.put(session).header("content-range", &range).body(content.to_vec()).send().await
}

async fn query(drive: &Drive, session: &str, total: &str) -> Answer {
    drive.put(session).header("content-range", &format!("bytes */{total}")).body("").send().await
}

fn assert_stored(answer: &Answer, stored: usize) {
    assert_eq!(answer.status, 308, "{}", String::from_utf8_lossy(&answer.body));
    let range = stored.checked_sub(1).map(|last| format!("bytes=0-{last}"));
    assert_eq!(answer.header("range"), range.as_deref());
    assert_eq!(answer.body.len(), 0);
}

#[tokio::test]
async fn a_bare_body_becomes_a_file() {
    let drive = Drive::start().await;
    let post = |path: &str, media_type: &str| drive.post(path).header("content-type", media_type);
    let path = "/upload/drive/v3/files?uploadType=media&fields=*";
    let file = post(path, "text/x-test").body("abc").send().await.ok();
    assert_eq!(
        (&file["name"], &file["mimeType"], &file["size"]),
        (&json!("Untitled"), &json!("text/x-test"), &json!("3"))
    );
    let guessed = post(path, "application/octet-stream").body("plain text").send().await.ok();
    assert_eq!(guessed["mimeType"], "text/plain", "what is not declared is guessed");
    let empty = drive.post(path).body("").send().await.ok();
    assert_eq!((&empty["size"], &empty["md5Checksum"]), (&json!("0"), &json!("d41d8cd98f00b204e9800998ecf8427e")));
    drive.post("/upload/drive/v3/files").body("abc").send().await.refused(400, "required");
    drive.post("/upload/drive/v3/files?uploadType=carrier").body("abc").send().await.refused(400, "invalidParameter");
}

#[tokio::test]
async fn new_content_is_a_new_revision_of_the_same_file() {
    let drive = Drive::start().await;
    let before = drive.upload(&json!({ "name": "a", "mimeType": "text/x-test" }), b"one").await;
    let file = id(&before);
    let path = format!("/upload/drive/v3/files/{file}?fields=*");
    let media = drive.patch(&format!("{path}&uploadType=media")).body("two").send().await.ok();
    assert_eq!((id(&media), &media["size"], &media["mimeType"]), (file.clone(), &json!("3"), &json!("text/x-test")));
    assert_ne!(media["headRevisionId"], before["headRevisionId"]);
    assert_ne!(media["md5Checksum"], before["md5Checksum"]);

    let folder = drive.folder("folder", "root").await;
    let metadata = json!({ "name": "b", "modifiedTime": "2001-01-01T00:00:00Z", "mimeType": "text/y-test" });
    let path = format!("{path}&uploadType=multipart&addParents={folder}&removeParents=root");
    let all = drive.multipart(Method::PATCH, &path, &metadata, b"three").send().await.ok();
    assert_eq!((&all["name"], &all["size"], &all["parents"]), (&json!("b"), &json!("5"), &json!([folder])));
    assert_eq!((&all["modifiedTime"], &all["mimeType"]), (&json!("2001-01-01T00:00:00.000Z"), &json!("text/y-test")));
    assert_eq!(drive.content(&file).await, b"three");
    let refused = drive.multipart(Method::PATCH, &path, &json!({ "parents": ["root"] }), b"four").send().await;
    refused.refused(403, "fieldNotWritable");
    assert_eq!(drive.content(&file).await, b"three");
}

#[tokio::test]
async fn metadata_is_checked_before_and_after_the_bytes() {
    let mut drive = Drive::start().await;
    let upload = |metadata: Value| {
        drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &metadata, b"x").send()
    };
    upload(json!({ "parents": ["nope"] })).await.refused(404, "notFound");
    upload(json!({ "name": 1 })).await.refused(400, "invalid");
    let broken = drive
        .post("/upload/drive/v3/files?uploadType=multipart")
        .header("content-type", "multipart/related; boundary=cut");
    broken.body("--cut\r\n\r\n{}\r\n--cut\r\n\r\nabc").send().await.refused(400, "badRequest");
    let no_boundary =
        drive.post("/upload/drive/v3/files?uploadType=multipart").header("content-type", "application/json");
    no_boundary.body("{}").send().await.refused(400, "badRequest");
    let start = |metadata: Value| drive.post("/upload/drive/v3/files?uploadType=resumable").json(&metadata).send();
    start(json!({ "parents": ["nope"] })).await.refused(404, "notFound");
    start(json!({ "name": 1 })).await.refused(400, "invalid");
    start(json!({ "mimeType": FOLDER })).await.refused(400, "badRequest");
    let masked = drive.post("/upload/drive/v3/files?uploadType=resumable&fields=etag").json(&json!({}));
    masked.send().await.refused(400, "invalidParameter");
    assert_eq!(drive.names("").await, Vec::<String>::new());
    drive.stop().await;
    assert_eq!(drive.blobs(), Vec::<String>::new(), "refused uploads leave no bytes");
}

#[tokio::test]
async fn a_session_takes_a_content_piece_by_piece() {
    let drive = Drive::start().await;
    let content = bytes(2 * UNIT + 1000);
    let session = drive.session(&json!({ "name": "a", "mimeType": "text/x-test" }), Some(content.len())).await;
    assert!(session.starts_with(&format!("{}/upload/drive/v3/files?uploadType=resumable&upload_id=", drive.url)));
    assert_stored(&query(&drive, &session, "*").await, 0);
    let total = Some(content.len());
    assert_stored(&piece(&drive, &session, 0, &content[..UNIT], total).await, UNIT);
    assert_eq!(drive.names("").await, Vec::<String>::new(), "nothing is visible before the last byte");
    assert_stored(&query(&drive, &session, &content.len().to_string()).await, UNIT);
    assert_stored(&piece(&drive, &session, UNIT, &content[UNIT..2 * UNIT], total).await, 2 * UNIT);
    let done = piece(&drive, &session, 2 * UNIT, &content[2 * UNIT..], total).await;
    let file = done.ok();
    assert_eq!((&file["name"], &file["mimeType"]), (&json!("a"), &json!("text/x-test")));
    assert_eq!(drive.content(&id(&file)).await, content);

    drive.patch(&format!("/drive/v3/files/{}", id(&file))).json(&json!({ "name": "b" })).send().await.ok();
    assert_eq!(query(&drive, &session, "*").await.body, done.body, "asked again, it answers the same");
    assert_eq!(piece(&drive, &session, 2 * UNIT, &content[2 * UNIT..], total).await.body, done.body);
    drive.delete(&session).send().await.refused(400, "badRequest");
    assert_eq!(drive.names("").await, ["b"], "and does nothing twice");
}

#[tokio::test]
async fn posts_and_pieces_without_a_range_are_taken_too() {
    let drive = Drive::start().await;
    let content = bytes(UNIT + 7);
    let whole = drive.session(&json!({ "name": "whole" }), None).await;
    let file = drive.put(&whole).body(content.clone()).send().await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
    let posted = drive.session(&json!({ "name": "posted" }), None).await;
    let first = drive.post(&posted).header("content-range", &format!("bytes 0-{}/{}", UNIT - 1, UNIT + 7));
    assert_stored(&first.body(content[..UNIT].to_vec()).send().await, UNIT);
    let last = drive.post(&posted).header("content-range", &format!("bytes {UNIT}-{}/{}", UNIT + 6, UNIT + 7));
    let file = last.body(content[UNIT..].to_vec()).send().await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
    for length in [None, Some(0)] {
        let empty = drive.session(&json!({ "name": "empty" }), length).await;
        assert_eq!(drive.put(&empty).header("content-length", "0").body("").send().await.ok()["size"], "0");
    }
    let closed = drive.session(&json!({ "name": "closed" }), None).await;
    assert_eq!(query(&drive, &closed, "0").await.ok()["size"], "0");
}

#[tokio::test]
async fn a_content_of_unknown_length_ends_when_the_length_is_named() {
    let drive = Drive::start().await;
    let content = bytes(2 * UNIT);
    let session = drive.session(&json!({ "name": "a" }), None).await;
    assert_stored(&piece(&drive, &session, 0, &content[..UNIT], None).await, UNIT);
    assert_stored(&piece(&drive, &session, UNIT, &content[UNIT..], None).await, 2 * UNIT);
    assert_stored(&query(&drive, &session, "*").await, 2 * UNIT);
    assert_stored(&query(&drive, &session, &(2 * UNIT + 1).to_string()).await, 2 * UNIT);
    let file = query(&drive, &session, &(2 * UNIT).to_string()).await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
}

#[tokio::test]
async fn a_piece_at_the_wrong_place_is_answered_with_the_right_one() {
    let drive = Drive::start().await;
    let content = bytes(3 * UNIT);
    let session = drive.session(&json!({ "name": "a" }), None).await;
    assert_stored(&piece(&drive, &session, UNIT, &content[UNIT..2 * UNIT], None).await, 0);
    assert_stored(&piece(&drive, &session, 0, &content[..2 * UNIT], None).await, 2 * UNIT);
    assert_stored(&piece(&drive, &session, UNIT, &content[UNIT..2 * UNIT], None).await, 2 * UNIT);
    assert_stored(&drive.put(&session).body(content.clone()).send().await, 2 * UNIT);
    let file = piece(&drive, &session, 2 * UNIT, &content[2 * UNIT..], Some(3 * UNIT)).await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
}

#[tokio::test]
async fn pieces_that_contradict_themselves_or_the_start_are_refused() {
    let drive = Drive::start().await;
    let content = bytes(UNIT + 10);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    let put = |range: &str, body: &[u8]| drive.put(&session).header("content-range", range).body(body.to_vec()).send();
    for (range, length) in [
        ("bytes 0-99/262154", 100),
        ("bytes 0-262144/*", UNIT + 1),
        ("bytes 0-99/262154", 99),
        ("bytes 0-262143/262155", UNIT),
        ("bytes 0-262143/100", UNIT),
        ("bytes nonsense", 10),
        ("bytes */262155", 0),
        ("bytes */262154", 5),
    ] {
        let answer = put(range, &content[..length]).await;
        answer.refused(400, "badRequest");
        assert_stored(&query(&drive, &session, "*").await, 0);
    }
    drive.put(&session).body(bytes(UNIT)).send().await.refused(400, "badRequest");
    assert_stored(&piece(&drive, &session, 0, &content[..UNIT], Some(content.len())).await, UNIT);
    put("bytes */100", b"").await.refused(400, "badRequest");
    piece(&drive, &session, UNIT, &content[UNIT..], Some(content.len())).await.ok();
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable").header("x-upload-content-length", "many");
    start.send().await.refused(400, "badRequest");
}

#[tokio::test]
async fn a_session_updates_a_file_at_its_last_byte_and_not_before() {
    let drive = Drive::start().await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"old").await);
    let path = format!("/upload/drive/v3/files/{file}?uploadType=resumable&fields=name,size");
    let session = drive.patch(&path).json(&json!({ "name": "b" })).send().await.location();
    assert!(session.contains(&file));
    let content = bytes(UNIT + 1);
    assert_stored(&piece(&drive, &session, 0, &content[..UNIT], Some(UNIT + 1)).await, UNIT);
    assert_eq!(drive.content(&file).await, b"old");
    let done = piece(&drive, &session, UNIT, &content[UNIT..], Some(UNIT + 1)).await.ok();
    assert_eq!(done, json!({ "name": "b", "size": "262145" }), "the mask given at the start shapes the answer");
    assert_eq!(drive.content(&file).await, content);
}

#[tokio::test]
async fn what_is_refused_at_the_end_can_be_tried_again() {
    let drive = Drive::start_with(Limits { storage: Some(1000), ..Limits::default() }).await;
    let other = id(&drive.upload(&json!({}), &[1; 900]).await);
    let session = drive.session(&json!({ "name": "a" }), None).await;
    drive.put(&session).body(vec![2; 500]).send().await.refused(403, "storageQuotaExceeded");
    assert_stored(&query(&drive, &session, "*").await, 500);
    drive.delete(&format!("/drive/v3/files/{other}")).send().await;
    assert_eq!(query(&drive, &session, "500").await.ok()["size"], "500");
}

#[tokio::test]
async fn a_session_can_be_cancelled() {
    let mut drive = Drive::start().await;
    let session = drive.session(&json!({ "name": "a" }), None).await;
    assert_stored(&piece(&drive, &session, 0, &bytes(UNIT), None).await, UNIT);
    assert_eq!(drive.delete(&session).send().await.status, 499);
    assert_eq!(drive.delete(&session).send().await.status, 499);
    assert_eq!(query(&drive, &session, "*").await.status, 499);
    assert_eq!(piece(&drive, &session, UNIT, b"x", Some(UNIT + 1)).await.status, 499);
    assert_eq!(drive.names("").await, Vec::<String>::new());
    drive.stop().await;
    assert_eq!(drive.blobs(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unknown_session_is_not_found() {
    let drive = Drive::start().await;
    let path = "/upload/drive/v3/files?uploadType=resumable&upload_id=nope";
    drive.put(path).body("x").send().await.refused(404, "notFound");
    drive.post(path).body("x").send().await.refused(404, "notFound");
    drive.delete(path).send().await.refused(404, "notFound");
    drive.put("/upload/drive/v3/files").body("x").send().await.refused(404, "notFound");
    drive.anonymous(Method::PUT, path).body("x").send().await.refused(401, "authError");
}

#[tokio::test]
async fn a_client_that_dislikes_308_is_spared_it() {
    let drive = Drive::start().await;
    let session = drive.session(&json!({ "name": "a" }), None).await;
    let put = drive.put(&session).header("content-range", "bytes 0-262143/*").header("x-guploader-no-308", "yes");
    let answer = put.body(bytes(UNIT)).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-http-status-code-override"), Some("308"));
    assert_eq!(answer.header("range"), Some("bytes=0-262143"));
}

#[tokio::test]
async fn the_address_of_a_session_is_the_one_that_the_client_used() {
    let drive = Drive::start().await;
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable").header("host", "drive.example:8080");
    assert!(start.send().await.location().starts_with("http://drive.example:8080/upload/drive/v3/files?"));
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable").header("host", "drive.example");
    let proxied = start.header("x-forwarded-proto", "https").send().await;
    assert!(proxied.location().starts_with("https://drive.example/upload/drive/v3/files?"));
}

/// Sends the beginning of a piece on a connection of its own, and leaves it open.
async fn half_sent(drive: &Drive, session: &str, range: &str, length: usize, sent: &[u8]) -> TcpStream {
    let path = session.strip_prefix(&drive.url).expect("a session here");
    let mut stream = TcpStream::connect(drive.address()).await.expect("connects");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Range: {range}\r\nContent-Length: {length}\r\n\r\n",
        drive.address(),
        drive.token
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    stream.write_all(sent).await.expect("sends");
    stream
}

#[tokio::test]
async fn what_arrived_before_a_broken_connection_counts_in_whole_units() {
    let drive = Drive::start().await;
    let content = bytes(4 * UNIT);
    let total = content.len();
    for part in [UNIT / 2, UNIT, 2 * UNIT + 12345, total - 1] {
        let session = drive.session(&json!({ "name": "a" }), Some(total)).await;
        let range = format!("bytes 0-{}/{total}", total - 1);
        let mut stream = half_sent(&drive, &session, &range, total, &content[..part]).await;
        stream.shutdown().await.expect("closes");
        // Until the server has seen the end, and closes too.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        let stored = part / UNIT * UNIT;
        assert_stored(&query(&drive, &session, &total.to_string()).await, stored);
        let file = piece(&drive, &session, stored, &content[stored..], Some(total)).await.ok();
        assert_eq!(drive.content(&id(&file)).await, content, "{part}");
    }
}

#[tokio::test]
async fn a_new_request_on_a_session_takes_over_from_one_that_hangs() {
    let drive = Drive::start().await;
    let content = bytes(3 * UNIT);
    let total = content.len();
    let session = drive.session(&json!({ "name": "a" }), Some(total)).await;
    let range = format!("bytes 0-{}/{total}", total - 1);
    let hanging = half_sent(&drive, &session, &range, total, &content[..UNIT + 100]).await;
    let mut answer = query(&drive, &session, &total.to_string()).await;
    // When the hanging request begins, and how much of it arrived by then, is a matter of time; but it never stays in the
    // way, and what counts of it are whole units.
    while answer.status == 308 {
        let stored = match answer.header("range") {
            None => 0,
            Some(range) => range.strip_prefix("bytes=0-").expect("a range").parse::<usize>().expect("a number") + 1,
        };
        assert!(stored == 0 || stored == UNIT, "{stored}");
        answer = piece(&drive, &session, stored, &content[stored..], Some(total)).await;
    }
    assert_eq!(drive.content(&id(&answer.ok())).await, content);
    drop(hanging);
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart_of_the_server() {
    let mut drive = Drive::start().await;
    let content = bytes(3 * UNIT + 5);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    assert_stored(&piece(&drive, &session, 0, &content[..2 * UNIT], Some(content.len())).await, 2 * UNIT);
    let before = drive.url.clone();
    drive.restart().await;
    let session = session.replace(&before, &drive.url);
    assert_stored(&query(&drive, &session, "*").await, 2 * UNIT);
    let done = piece(&drive, &session, 2 * UNIT, &content[2 * UNIT..], Some(content.len())).await;
    let file = done.ok();
    let whole = drive.upload(&json!({ "name": "b" }), &content).await;
    for field in ["md5Checksum", "sha1Checksum", "sha256Checksum", "size"] {
        assert_eq!(file[field], whole[field], "{field}");
    }
    let before = drive.url.clone();
    drive.restart().await;
    let session = session.replace(&before, &drive.url);
    assert_eq!(query(&drive, &session, "*").await.body, done.body);
}

#[tokio::test]
async fn what_is_kept_is_for_this_user_alone() {
    let drive = Drive::start().await;
    drive.upload(&json!({ "name": "a" }), b"private").await;
    for name in ["blobs", "drive.db", "drive.db-wal"] {
        let mode = std::fs::metadata(drive.data().join(name)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn bytes_that_nothing_owns_are_unlinked() {
    let mut drive = Drive::start().await;
    let folder = drive.folder("folder", "root").await;
    let file = id(&drive.upload(&json!({ "parents": [folder] }), b"one").await);
    for content in ["two", "three"] {
        drive.patch(&format!("/upload/drive/v3/files/{file}?uploadType=media")).body(content).send().await.ok();
    }
    let copy = id(&drive
        .post(&format!("/drive/v3/files/{file}/copy"))
        .json(&json!({ "parents": ["root"] }))
        .send()
        .await
        .ok());
    let broken = drive.session(&json!({ "name": "open" }), None).await;
    assert_stored(&piece(&drive, &broken, 0, &bytes(UNIT), None).await, UNIT);
    drive.restart().await;
    assert_eq!(drive.blobs().len(), 2, "that of the file, which the copy shares, and that of the session");
    drive.delete(&format!("/drive/v3/files/{folder}")).send().await;
    drive.restart().await;
    assert_eq!(drive.blobs().len(), 2, "the copy still owns it");
    drive.delete(&format!("/drive/v3/files/{copy}")).send().await;
    drive.restart().await;
    assert_eq!(drive.blobs().len(), 1);
}

#[tokio::test]
async fn many_uploads_at_once_all_arrive() {
    let drive = Drive::start().await;
    let upload = async |index: usize| {
        let content = bytes(index * 1000);
        let file = drive.upload(&json!({ "name": format!("{index}") }), &content).await;
        assert_eq!(drive.content(&id(&file)).await, content);
    };
    futures_util::future::join_all((0..100).map(upload)).await;
    assert_eq!(drive.names("").await.len(), 100);
}

#[tokio::test]
async fn the_first_total_that_is_named_binds() {
    let mut drive = Drive::start().await;
    let session = drive.session(&json!({ "name": "a" }), None).await;
    let content = bytes(2 * UNIT + 5);
    let piece = drive.put(&session).header("content-range", &format!("bytes 0-{}/{}", UNIT - 1, content.len()));
    assert_eq!(piece.body(content[..UNIT].to_vec()).send().await.status, 308);
    drive.restart().await;
    let session = format!("{}{}", drive.url, &session[session.find("/upload").expect("a path")..]);
    for range in [format!("bytes */{UNIT}"), format!("bytes {UNIT}-{}/{}", UNIT + 9, UNIT + 10)] {
        let body = if range.contains('*') { Vec::new() } else { vec![0; 10] };
        drive.put(&session).header("content-range", &range).body(body).send().await.refused(400, "badRequest");
    }
    let rest = format!("bytes {UNIT}-{}/{}", content.len() - 1, content.len());
    let done = drive.put(&session).header("content-range", &rest).body(content[UNIT..].to_vec()).send().await.ok();
    assert_eq!(drive.content(&id(&done)).await, content);
}
