//! Copies that the drive makes: what is asked on the wire, and what comes of the answer.

use drivemount::error::Kind;
use drivemount::remote::{Blob, ItemKind, Md5, NewKind, Remote, RevisionId, Source};
use serde_json::{Value, json};

use super::scripted_drive::{Answer, ScriptedDrive};
use super::*;

const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
const COPY: &str = "/drive/v3/files/source/copy";

fn source() -> Source {
    let blob = Blob { size: 3, md5: Md5::parse(MD5), revision: RevisionId("r1".into()) };
    Source { id: id("source"), blob }
}

fn copied(md5: Option<&str>) -> Value {
    let mut copied = file("new", &json!({"size": "3", "md5Checksum": md5, "headRevisionId": "r9"}));
    if md5.is_none() {
        copied.as_object_mut().expect("an object").remove("md5Checksum");
    }
    copied
}

#[tokio::test]
async fn a_copy_is_made_under_the_id_reserved_and_is_told_all_that_it_shall_be() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", COPY, Answer::json(&copied(Some(MD5))));
    let item = remote(&drive).copy(&source(), &new_item(NewKind::File)).await.expect("a copy");
    let blob = Blob { size: 3, md5: Md5::parse(MD5), revision: RevisionId("r9".into()) };
    assert_eq!((item.id, item.kind), (id("new"), ItemKind::File(blob)));
    let seen = drive.seen();
    assert_eq!(seen[0].parameter("fields"), Some(FILE_FIELDS));
    assert_eq!(seen[0].parameter("supportsAllDrives"), Some("true"));
    assert_eq!(
        seen[0].json(),
        // Properties that the source has and the copy shall not have are cleared.
        json!({
            "id": "new", "name": "it's new", "parents": ["folder"], "modifiedTime": "2026-01-02T03:04:05.678Z",
            "properties": {"drivemount.mode": "0644", "drivemount.owner": null, "drivemount.target": null, "drivemount.device": null},
        })
    );
}

#[tokio::test]
async fn a_copy_whose_answer_was_lost_is_recognised_by_its_checksum() {
    for (there, found) in [
        (copied(Some(MD5)), true),
        (copied(Some("d41d8cd98f00b204e9800998ecf8427e")), false),
        (copied(None), false),
        (folder("new"), false),
    ] {
        let drive = ScriptedDrive::start().await;
        drive
            .expect("POST", COPY, Answer::error(503, "backendError"))
            .expect("POST", COPY, Answer::error(409, "fileIdInUse"))
            .expect("GET", "/drive/v3/files/new", Answer::json(&there));
        let answer = remote(&drive).copy(&source(), &new_item(NewKind::File)).await;
        match answer {
            Ok(item) => assert!(found && item.id == id("new"), "{there}"),
            Err(error) => assert!(!found && error.kind == Kind::Exists, "{there}: {error}"),
        }
    }
}

#[tokio::test]
async fn what_may_not_be_copied_is_told_from_what_failed() {
    for (status, reason, kind) in [
        (403, "cannotCopyFile", Kind::NotPermitted),
        (404, "notFound", Kind::NotFound),
        (403, "storageQuotaExceeded", Kind::StorageFull),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("POST", COPY, Answer::error(status, reason));
        let error = remote(&drive).copy(&source(), &new_item(NewKind::File)).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{reason}");
    }
}

#[tokio::test]
async fn only_files_are_copied() {
    let drive = ScriptedDrive::start().await;
    for kind in [NewKind::Folder, NewKind::Symlink] {
        assert_eq!(remote(&drive).copy(&source(), &new_item(kind)).await.expect_err("no").kind, Kind::Invalid);
    }
    assert!(drive.seen().is_empty());
}
