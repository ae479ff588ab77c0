//! Content in one request.

use bytes::Bytes;
use drivemount::error::Kind;
use drivemount::remote::{ItemKind, Move, NewKind, Patch, Posix, Remote, Write};
use serde_json::json;

use super::scripted_drive::{Answer, ScriptedDrive, Seen};
use super::*;

const FILES: &str = "/upload/drive/v3/files";
const MD5_OF_ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

/// The two parts of a `multipart/related` body: metadata, media type, content.
fn parts(seen: &Seen) -> (serde_json::Value, String, Vec<u8>) {
    let kind = seen.header("content-type").expect("a media type");
    let boundary = kind.strip_prefix("multipart/related; boundary=").expect("is related");
    let body = seen.body.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()).expect("ends");
    let first = format!("--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n");
    let rest = body.strip_prefix(first.as_bytes()).expect("begins with metadata");
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
    let metadata = values.next().expect("metadata").expect("is JSON");
    let second = format!("\r\n--{boundary}\r\nContent-Type: ");
    let rest = rest[values.byte_offset()..].strip_prefix(second.as_bytes()).expect("goes on with content");
    let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("the head ends");
    (metadata, String::from_utf8_lossy(&rest[..end]).into_owned(), rest[end + 4..].to_vec())
}

fn abc(id: &str) -> Answer {
    Answer::json(&file(id, &json!({"size": "3", "md5Checksum": MD5_OF_ABC})))
}

#[tokio::test]
async fn a_small_file_is_created_with_its_content() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", FILES, abc("new"));
    let write = Write::Create(new_item(NewKind::File));
    let item = remote(&drive).put(&write, Bytes::from_static(b"abc")).await.expect("an item");
    assert!(matches!(item.kind, ItemKind::File(blob) if blob.size == 3));
    let seen = &drive.seen()[0];
    assert_eq!(seen.parameter("uploadType"), Some("multipart"));
    assert_eq!(seen.parameter("fields"), Some(FILE_FIELDS));
    assert_eq!(seen.parameter("supportsAllDrives"), Some("true"));
    assert_eq!(seen.parameter("prettyPrint"), Some("false"));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
    let (metadata, media_type, content) = parts(seen);
    assert_eq!(
        metadata,
        json!({"id": "new", "name": "it's new", "parents": ["folder"], "modifiedTime": "2026-01-02T03:04:05.678Z",
            "properties": {"drivemount.mode": "0644"}})
    );
    assert_eq!((media_type.as_str(), content.as_slice()), ("application/octet-stream", &b"abc"[..]));
}

#[tokio::test]
async fn a_link_is_a_file_of_its_own_media_type() {
    let drive = ScriptedDrive::start().await;
    let answer = file("new", &json!({"size": "3", "mimeType": "inode/symlink"}));
    drive.expect("POST", FILES, Answer::json(&answer)).expect(
        "PATCH",
        "/upload/drive/v3/files/new",
        Answer::json(&answer),
    );
    let remote = remote(&drive);
    let posix = Posix { target: Some("abc".into()), ..Posix::default() };
    let mut new = new_item(NewKind::Symlink);
    new.posix = posix.clone();
    let item = remote.put(&Write::Create(new), Bytes::from_static(b"abc")).await.expect("an item");
    assert!(matches!(item.kind, ItemKind::Symlink(_)));
    let patch = Patch { posix: Some(posix), ..Patch::default() };
    remote.put(&Write::Update { id: id("new"), patch }, Bytes::from_static(b"abc")).await.expect("an item");
    for seen in drive.seen() {
        let (metadata, media_type, _) = parts(&seen);
        assert_eq!((metadata["mimeType"].as_str(), media_type.as_str()), (Some("inode/symlink"), "inode/symlink"));
        assert_eq!(metadata["properties"]["drivemount.target"], "abc");
    }
}

#[tokio::test]
async fn a_file_gets_new_content_and_metadata_in_one_step() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PATCH", "/upload/drive/v3/files/f", abc("f"));
    let patch = Patch { name: Some("n".into()), parent: Some(Move { from: id("a"), to: id("b") }), ..Patch::default() };
    remote(&drive).put(&Write::Update { id: id("f"), patch }, Bytes::from_static(b"abc")).await.expect("an item");
    let seen = &drive.seen()[0];
    assert_eq!((seen.parameter("addParents"), seen.parameter("removeParents")), (Some("b"), Some("a")));
    assert_eq!(parts(seen).0, json!({"name": "n"}), "an id or a parent in an update would be refused");
}

#[tokio::test]
async fn content_of_any_bytes_and_of_none_arrives() {
    let all: Vec<u8> = (0..=255).cycle().take(5 * 1024 * 1024).collect();
    for content in [Vec::new(), b"\r\n--\r\n".to_vec(), all] {
        let drive = ScriptedDrive::start().await;
        drive.expect("POST", FILES, Answer::status(503)).expect("POST", FILES, abc("new"));
        let write = Write::Create(new_item(NewKind::File));
        remote(&drive).put(&write, content.clone().into()).await.expect("an item");
        assert!(drive.seen().iter().all(|seen| parts(seen).2 == content), "the same bytes at each attempt");
    }
}

#[tokio::test]
async fn a_creation_whose_answer_got_lost_is_found() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", FILES, Answer::reset()).expect("POST", FILES, Answer::error(409, "fileIdInUse")).expect(
        "GET",
        "/drive/v3/files/new",
        abc("new"),
    );
    let write = Write::Create(new_item(NewKind::File));
    let item = remote(&drive).put(&write, Bytes::from_static(b"abc")).await.expect("an item");
    assert_eq!(item.id, id("new"));
}

#[tokio::test]
async fn a_creation_whose_answer_got_lost_is_known_by_its_bytes_if_there_is_no_checksum() {
    const ITEM: &str = "/drive/v3/files/new";
    for (there, is_ours) in [(&b"abc"[..], true), (b"abd", false)] {
        let drive = ScriptedDrive::start().await;
        let described = file("new", &json!({"size": "3", "md5Checksum": null}));
        drive
            .expect("POST", FILES, Answer::error(409, "fileIdInUse"))
            .expect("GET", ITEM, Answer::json(&described))
            .expect("GET", &format!("{ITEM}/revisions/r1"), Answer::content(there));
        let write = Write::Create(new_item(NewKind::File));
        let item = remote(&drive).put(&write, Bytes::from_static(b"abc")).await;
        assert_eq!(item.map_err(|error| error.kind).err(), (!is_ours).then_some(Kind::Exists));
    }
}

#[tokio::test]
async fn an_id_with_other_content_exists_already() {
    for other in [
        file("new", &json!({"size": "3", "md5Checksum": "00000000000000000000000000000000"})),
        file("new", &json!({"size": "4", "md5Checksum": MD5_OF_ABC})),
        folder("new"),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("POST", FILES, Answer::error(409, "fileIdInUse")).expect(
            "GET",
            "/drive/v3/files/new",
            Answer::json(&other),
        );
        let write = Write::Create(new_item(NewKind::File));
        let error = remote(&drive).put(&write, Bytes::from_static(b"abc")).await.expect_err("taken");
        assert_eq!(error.kind, Kind::Exists);
    }
}

#[tokio::test]
async fn what_one_request_cannot_carry_is_not_sent() {
    let drive = ScriptedDrive::start().await;
    let remote = remote(&drive);
    let small = usize::try_from(remote.small()).expect("is small");
    let write = Write::Create(new_item(NewKind::File));
    let error = remote.put(&write, vec![0; small + 1].into()).await.expect_err("too much");
    assert_eq!(error.kind, Kind::Invalid);
    let folder = Write::Create(new_item(NewKind::Folder));
    assert_eq!(remote.put(&folder, Bytes::new()).await.expect_err("no content").kind, Kind::Invalid);
    assert!(drive.seen().is_empty());
}
