//! Documents in other formats.

use drivemount::error::Kind;
use drivemount::remote::{ExportPiece, Remote, RemoteError};
use futures_util::StreamExt;
use serde_json::json;

use super::scripted_drive::{Answer, ScriptedDrive};
use super::*;

const PATH: &str = "/drive/v3/files/d/export";
const FORMAT: &str = "image/svg+xml";

/// What arrives whole, and how often it began anew.
async fn export(remote: &DriveRemote) -> Result<(Vec<u8>, usize), RemoteError> {
    let mut stream = remote.export(&id("d"), FORMAT).await?;
    let (mut bytes, mut anew) = (Vec::new(), 0);
    while let Some(piece) = stream.next().await {
        match piece? {
            ExportPiece::Bytes(more) => bytes.extend_from_slice(&more),
            ExportPiece::Anew => {
                bytes.clear();
                anew += 1;
            }
        }
    }
    Ok((bytes, anew))
}

#[tokio::test]
async fn an_export_is_one_request_of_unknown_length() {
    let drive = ScriptedDrive::start().await;
    let answers = [Answer::content("<svg/>"), Answer::content("<svg/>").chunked(), Answer::content("")];
    for answer in answers {
        drive.expect("GET", PATH, answer);
    }
    let remote = remote(&drive);
    assert_eq!(export(&remote).await.expect("bytes"), (b"<svg/>".to_vec(), 0));
    assert_eq!(export(&remote).await.expect("bytes"), (b"<svg/>".to_vec(), 0));
    assert_eq!(export(&remote).await.expect("bytes"), (Vec::new(), 0));
    let seen = &drive.seen()[0];
    assert_eq!((seen.parameter("mimeType"), seen.header("range")), (Some(FORMAT), None));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_broken_export_begins_anew() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("GET", PATH, Answer::content("first one").cut_after(5))
        .expect("GET", PATH, Answer::status(503))
        .expect("GET", PATH, Answer::content("the second one").chunked().cut_after(10))
        .expect("GET", PATH, Answer::content("the third"));
    assert_eq!(export(&remote(&drive)).await.expect("bytes"), (b"the third".to_vec(), 2));
}

#[tokio::test]
async fn an_export_that_breaks_at_the_same_place_each_time_ends() {
    let drive = ScriptedDrive::start().await;
    let options = DriveOptions { retry_for: Duration::from_secs(20), ..options(&drive) };
    for _ in 0..2 {
        drive.expect("GET", PATH, Answer::content("never whole").cut_after(5));
    }
    // The pause after the second is longer than anybody has patience, on however slow a machine.
    drive.expect("GET", PATH, Answer::status(503).header("Retry-After", "60"));
    let error = export(&remote_with(&options)).await.expect_err("it never ends");
    assert_eq!(error.kind, Kind::Server);
}

#[tokio::test]
async fn what_is_too_long_is_had_by_its_link() {
    let drive = ScriptedDrive::start().await;
    let link = format!("{}/document/d/d/export?mimeType=x", drive.url);
    drive
        .expect("GET", PATH, Answer::error(403, "exportSizeLimitExceeded"))
        .expect("GET", "/drive/v3/files/d", Answer::json(&json!({"exportLinks": {FORMAT: link, "other": "http://no"}})))
        .expect("GET", "/document/d/d/export", Answer::content("long").cut_after(2))
        .expect("GET", "/document/d/d/export", Answer::content("long"));
    assert_eq!(export(&remote(&drive)).await.expect("bytes"), (b"long".to_vec(), 1));
    let seen = drive.seen();
    assert_eq!(seen[1].parameter("fields"), Some("exportLinks"));
    assert_eq!((seen[2].header("authorization"), seen[2].parameter("mimeType")), (Some("Bearer token-1"), Some("x")));
}

#[tokio::test]
async fn no_token_goes_to_a_link_that_leads_elsewhere() {
    let elsewhere = ScriptedDrive::start().await;
    for (links, kind, reason) in [
        (json!({FORMAT: format!("{}/document", elsewhere.url)}), Kind::Protocol, None),
        (json!({FORMAT: "no address"}), Kind::Protocol, None),
        (json!({"other": "x"}), Kind::Unsupported, Some("exportSizeLimitExceeded")),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("GET", PATH, Answer::error(403, "exportSizeLimitExceeded")).expect(
            "GET",
            "/drive/v3/files/d",
            Answer::json(&json!({"exportLinks": links})),
        );
        let error = export(&remote(&drive)).await.expect_err("nowhere to go");
        assert_eq!((error.kind, error.reason.as_deref()), (kind, reason), "{error}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_refused_export_says_why() {
    for (answer, kind) in [
        (Answer::error(403, "fileNotExportable"), Kind::Unsupported),
        (Answer::error(403, "cannotDownloadFile"), Kind::Denied),
        (Answer::error(404, "notFound"), Kind::NotFound),
        (Answer::error(400, "badRequest"), Kind::Invalid),
        (Answer::content("<html>").header("Content-Type", "text/html; charset=utf-8"), Kind::Protocol),
        (Answer::content("zip").header("Content-Encoding", "gzip"), Kind::Protocol),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("GET", PATH, answer);
        let error = export(&remote(&drive)).await.expect_err("refused");
        assert_eq!((error.kind, error.call), (kind, "files.export"), "{error}");
    }
}

#[tokio::test]
async fn an_export_that_nobody_takes_ends_its_connection() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::content(vec![7; 9 << 20]));
    let remote = remote(&drive);
    let mut stream = remote.export(&id("d"), FORMAT).await.expect("begins");
    let piece = stream.next().await.expect("bytes");
    assert!(matches!(piece, Ok(ExportPiece::Bytes(bytes)) if bytes.iter().all(|&byte| byte == 7)));
    drop(stream);
    drop(remote);
    drive.all_closed().await;
}
