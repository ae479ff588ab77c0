//! Content in as many requests as it takes.

use std::io;

use bytes::Bytes;
use drivemount::error::Kind;
use drivemount::metrics;
use drivemount::remote::{Body, NewKind, Patch, Progress, Remote, UploadSession, Write};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::scripted_drive::{Answer, Gate, ScriptedDrive};
use super::*;

const FILES: &str = "/upload/drive/v3/files";
const SESSION: &str = "/upload/session";
const UNIT: usize = 256 * 1024;
static ZEROS: [u8; UNIT] = [0; UNIT];

fn session(drive: &ScriptedDrive) -> UploadSession {
    UploadSession(format!("{}{SESSION}?upload_id=secret", drive.url))
}

/// `length` bytes in pieces of odd lengths.
fn body(length: usize) -> Body {
    let pieces: Vec<_> = bytes(length).chunks(77_777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Body { length: length as u64, stream: stream::iter(pieces).boxed() }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn go_on(stored: usize) -> Answer {
    Answer::status(308).header("Range", &format!("bytes=0-{}", stored - 1))
}

fn done() -> Answer {
    Answer::json(&file("new", &json!({})))
}

#[tokio::test]
async fn a_session_begins_with_all_that_concerns_the_item() {
    let drive = ScriptedDrive::start().await;
    let address = format!("{}{SESSION}?upload_id=secret", drive.url);
    drive
        .expect("POST", FILES, Answer::status(200).header("Location", &address))
        .expect("PATCH", "/upload/drive/v3/files/f", Answer::status(503))
        .expect("PATCH", "/upload/drive/v3/files/f", Answer::status(200).header("Location", "/upload/session?x=1"));
    let remote = remote(&drive);
    let create = Write::Create(new_item(NewKind::File));
    assert_eq!(remote.begin(&create, Some(2_000_000)).await.expect("a session").0, address);
    let update = Write::Update { id: id("f"), patch: Patch { name: Some("n".into()), ..Patch::default() } };
    let relative = remote.begin(&update, None).await.expect("a session");
    assert_eq!(relative.0, format!("{}/upload/session?x=1", drive.url));

    let seen = drive.seen();
    assert_eq!(seen[0].parameter("uploadType"), Some("resumable"));
    assert_eq!(seen[0].parameter("fields"), Some(FILE_FIELDS), "shapes the last answer");
    assert_eq!(seen[0].parameter("supportsAllDrives"), Some("true"));
    assert_eq!(seen[0].header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(seen[0].header("x-upload-content-type"), Some("application/octet-stream"));
    assert_eq!(seen[0].header("x-upload-content-length"), Some("2000000"));
    assert_eq!(seen[0].json()["id"], "new");
    assert_eq!(seen[2].header("x-upload-content-length"), None);
    assert_eq!(seen[2].json(), json!({"name": "n"}));
}

#[tokio::test]
async fn a_session_without_an_address_is_no_session() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", FILES, Answer::status(200)).expect("POST", FILES, Answer::error(409, "fileIdInUse"));
    let remote = remote(&drive);
    let write = Write::Create(new_item(NewKind::File));
    assert_eq!(remote.begin(&write, None).await.expect_err("no address").kind, Kind::Protocol);
    assert_eq!(remote.begin(&write, None).await.expect_err("id in use").kind, Kind::Exists);
}

#[tokio::test]
async fn a_content_of_unknown_length_is_sent_piece_by_piece_and_closed() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, go_on(2 * UNIT)).expect("PUT", SESSION, go_on(3 * UNIT)).expect(
        "PUT",
        SESSION,
        done(),
    );
    let remote = remote(&drive);
    let session = session(&drive);
    let before = metrics::UPLOADED.get();
    let progress = remote.send(&session, 0, None, body(2 * UNIT)).await.expect("sent");
    assert_eq!(progress, Progress::Stored(2 * UNIT as u64));
    let progress = remote.send(&session, 2 * UNIT as u64, None, body(UNIT)).await.expect("sent");
    assert_eq!(progress, Progress::Stored(3 * UNIT as u64));
    let progress = remote.send(&session, 3 * UNIT as u64, Some(3 * UNIT as u64), body(0)).await.expect("sent");
    assert!(matches!(progress, Progress::Done(item) if item.id == id("new")));
    assert!(metrics::UPLOADED.get() >= before + 3 * UNIT as u64);

    let seen = drive.seen();
    assert_eq!(seen[0].header("content-range"), Some("bytes 0-524287/*"));
    assert_eq!(seen[1].header("content-range"), Some("bytes 524288-786431/*"));
    assert_eq!(seen[2].header("content-range"), Some("bytes */786432"));
    assert_eq!(seen[0].parameter("upload_id"), Some("secret"));
    assert_eq!(seen[0].query.len(), 1, "nothing is added to the address of a session");
    assert_eq!(seen[0].body, bytes(2 * UNIT));
    for seen in &seen {
        assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
        assert_eq!(seen.header("transfer-encoding"), None);
        assert_eq!(seen.header("authorization"), Some("Bearer token-1"));
    }
}

#[tokio::test]
async fn a_content_of_known_length_is_sent_in_one_piece() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, done()).expect(
        "PUT",
        SESSION,
        Answer::status(201).body(file("new", &json!({})).to_string()),
    );
    let remote = remote(&drive);
    let progress = remote.send(&session(&drive), 0, Some(600_001), body(600_001)).await.expect("sent");
    assert!(matches!(progress, Progress::Done(_)));
    let progress = remote.send(&session(&drive), 0, Some(0), body(0)).await.expect("sent");
    assert!(matches!(progress, Progress::Done(_)), "a file without bytes");
    let seen = drive.seen();
    assert_eq!(seen[0].header("content-range"), Some("bytes 0-600000/600001"));
    assert_eq!(seen[0].body, bytes(600_001));
    assert_eq!((seen[1].header("content-range"), seen[1].header("content-length")), (None, Some("0")));
}

#[tokio::test]
async fn the_drive_may_take_less_than_was_sent() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, go_on(UNIT)).expect("PUT", SESSION, Answer::status(308)).expect(
        "PUT",
        SESSION,
        go_on(5 * UNIT),
    );
    let remote = remote(&drive);
    let session = session(&drive);
    for stored in [UNIT, 0] {
        let progress = remote.send(&session, 0, None, body(4 * UNIT)).await.expect("sent");
        assert_eq!(progress, Progress::Stored(stored as u64));
    }
    let error = remote.send(&session, 0, None, body(4 * UNIT)).await.expect_err("more than was sent");
    assert_eq!(error.kind, Kind::Protocol);
}

#[tokio::test]
async fn an_upload_that_moves_goes_on_at_its_new_address() {
    let drive = ScriptedDrive::start().await;
    let session = session(&drive);
    drive
        .expect("PUT", SESSION, go_on(UNIT).header("Location", &session.0))
        .expect("PUT", SESSION, go_on(UNIT).header("Location", "/elsewhere?upload_id=secret"))
        .expect("PUT", "/elsewhere", Answer::status(308).header("Location", "mailto:a@b"))
        .expect("PUT", "/elsewhere", done());
    let remote = remote(&drive);
    let stays = remote.progress(&session, None).await.expect("progress");
    assert_eq!(stays, Progress::Stored(UNIT as u64), "it is there already");
    let moved = remote.send(&session, 0, None, body(UNIT)).await.expect("sent");
    let Progress::Moved(stored, to) = moved else { panic!("{moved:?}") };
    assert_eq!((stored, &to.0), (UNIT as u64, &format!("{}/elsewhere?upload_id=secret", drive.url)));
    assert_eq!(remote.progress(&to, None).await.expect("progress"), Progress::Stored(0), "that is no address");
    assert!(matches!(remote.progress(&to, None).await.expect("progress"), Progress::Done(_)));
}

#[tokio::test]
async fn progress_is_asked_for_with_an_empty_body() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("PUT", SESSION, Answer::status(308))
        .expect("PUT", SESSION, Answer::status(503))
        .expect("PUT", SESSION, Answer::error(401, "authError"))
        .expect("PUT", SESSION, go_on(UNIT))
        .expect("PUT", SESSION, done());
    let remote = remote(&drive);
    let session = session(&drive);
    assert_eq!(remote.progress(&session, None).await.expect("progress"), Progress::Stored(0));
    assert_eq!(remote.progress(&session, None).await.expect("progress"), Progress::Stored(UNIT as u64));
    let total = Some(UNIT as u64);
    assert!(matches!(remote.progress(&session, total).await.expect("progress"), Progress::Done(_)));
    let seen = drive.seen();
    assert_eq!(seen[0].header("content-range"), Some("bytes */*"));
    assert_eq!(seen[4].header("content-range"), Some("bytes */262144"));
    assert!(seen.iter().all(|seen| seen.header("content-length") == Some("0")));
    assert_eq!(seen[3].header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_session_that_is_gone_is_not_found() {
    for status in [404, 410, 499] {
        let drive = ScriptedDrive::start().await;
        drive.expect("PUT", SESSION, Answer::status(status)).expect("PUT", SESSION, Answer::error(status, "notFound"));
        let remote = remote(&drive);
        let error = remote.send(&session(&drive), 0, None, body(UNIT)).await.expect_err("gone");
        assert_eq!(error.kind, Kind::NotFound);
        let error = remote.progress(&session(&drive), None).await.expect_err("gone");
        assert_eq!((error.kind, error.status), (Kind::NotFound, Some(status)));
    }
    let drive = ScriptedDrive::start().await;
    let error = remote(&drive).progress(&UploadSession("garbage".into()), None).await.expect_err("gone");
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn a_piece_is_not_sent_again_behind_the_back_of_its_sender() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, Answer::error(503, "backendError"));
    let error = remote(&drive).send(&session(&drive), 0, None, body(UNIT)).await.expect_err("failed");
    assert_eq!((error.kind, error.call), (Kind::Server, "upload.send"));
    assert_eq!(drive.seen().len(), 1);
}

#[tokio::test]
async fn an_upload_whose_last_answer_got_lost_is_done() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, Answer::reset()).expect("PUT", SESSION, done());
    let remote = remote(&drive);
    let error = remote.send(&session(&drive), 0, Some(5), body(5)).await.expect_err("no answer");
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(matches!(remote.progress(&session(&drive), Some(5)).await.expect("progress"), Progress::Done(_)));
}

#[tokio::test]
async fn a_torn_upload_goes_on_where_the_drive_says() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, Answer::reset().takes(300_000)).expect("PUT", SESSION, go_on(UNIT)).expect(
        "PUT",
        SESSION,
        done(),
    );
    let remote = remote(&drive);
    let error = remote.send(&session(&drive), 0, Some(4_000_000), body(4_000_000)).await.expect_err("torn");
    assert_eq!(error.kind, Kind::Unreachable);
    let progress = remote.progress(&session(&drive), Some(4_000_000)).await.expect("progress");
    let Progress::Stored(stored) = progress else { panic!("{progress:?}") };
    let rest = 4_000_000 - usize::try_from(stored).expect("fits");
    let progress = remote.send(&session(&drive), stored, Some(4_000_000), body(rest)).await.expect("sent");
    assert!(matches!(progress, Progress::Done(_)));
    assert_eq!(drive.seen()[2].header("content-range"), Some("bytes 262144-3999999/4000000"));
}

#[tokio::test]
async fn a_token_that_ends_during_an_upload_costs_no_error() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, Answer::error(401, "authError")).expect("PUT", SESSION, go_on(UNIT));
    let progress = remote(&drive).send(&session(&drive), UNIT as u64, None, body(UNIT)).await.expect("known");
    assert_eq!(progress, Progress::Stored(UNIT as u64), "nothing of this piece was taken");
    let seen = drive.seen();
    assert_eq!(seen[1].header("content-range"), Some("bytes */*"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_drive_that_takes_no_more_bytes_times_out() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, done().takes(1000).after(&Gate::new()));
    let remote = remote_with(&DriveOptions { read_timeout: Duration::from_millis(100), ..options(&drive) });
    let length = 1 << 30;
    let stream = stream::repeat_with(|| Ok(Bytes::from_static(&ZEROS))).boxed();
    let error = remote.send(&session(&drive), 0, Some(length), Body { length, stream }).await.expect_err("stalled");
    assert_eq!(error.kind, Kind::TimedOut);
}

#[tokio::test]
async fn bytes_that_cannot_be_read_are_an_error_of_this_machine() {
    // Takes connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let remote = remote_with(&DriveOptions::new(Url::parse(&url).expect("an address")));
    let pieces = [Ok(Bytes::from_static(b"abc")), Err(io::Error::from_raw_os_error(5))];
    let body = Body { length: UNIT as u64, stream: stream::iter(pieces).boxed() };
    let error = remote.send(&UploadSession(url), 0, None, body).await.expect_err("unreadable");
    assert_eq!(error.kind, Kind::Local(5));
}

#[tokio::test]
async fn a_dropped_upload_ends_its_connection() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PUT", SESSION, done().after(&Gate::new()));
    let remote = remote(&drive);
    let session = session(&drive);
    let call = tokio::spawn(async move { remote.send(&session, 0, Some(5), body(5)).await });
    drive.arrived(1).await;
    call.abort();
    drive.all_closed().await;
}

#[tokio::test]
async fn the_address_of_a_session_is_in_no_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let session = UploadSession(format!("http://{free}/upload?upload_id=secret"));
    let drive = ScriptedDrive::start().await;
    let echo = json!({"error": {"message": "no such session: upload_id=secret"}});
    drive.expect("PUT", SESSION, Answer::status(404).body(echo.to_string()));
    let remote = remote_with(&DriveOptions { retry_for: Duration::ZERO, ..options(&drive) });
    for error in [
        remote.progress(&session, None).await.expect_err("nobody there"),
        remote.send(&session, 0, None, body(UNIT)).await.expect_err("nobody there"),
        remote.progress(&self::session(&drive), None).await.expect_err("gone"),
    ] {
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
