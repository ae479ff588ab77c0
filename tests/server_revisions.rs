//! What an embedded drive keeps of what files were.

#[path = "support/server.rs"]
mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Drive, id};

/// A file with two revisions that are kept for ever and a current one: its id, and those of the revisions.
async fn file(drive: &Drive) -> (String, Vec<String>) {
    let kept = "&keepRevisionForever=true";
    let path = format!("/upload/drive/v3/files?uploadType=multipart&fields=*{kept}");
    let first = drive.multipart(Method::POST, &path, &json!({ "name": "a" }), b"1").send().await.ok();
    let file = id(&first);
    let mut revisions = vec![first["headRevisionId"].as_str().expect("an id").to_owned()];
    for (content, kept) in [("22", kept), ("333", "")] {
        let path = format!("/upload/drive/v3/files/{file}?uploadType=media&fields=*{kept}");
        let updated = drive.patch(&path).body(content).send().await.ok();
        revisions.push(updated["headRevisionId"].as_str().expect("an id").to_owned());
    }
    (file, revisions)
}

fn path(file: &str, revision: &str) -> String {
    format!("/drive/v3/files/{file}/revisions/{revision}")
}

async fn ids(drive: &Drive, file: &str) -> Vec<String> {
    let list = drive.get(&format!("/drive/v3/files/{file}/revisions")).send().await.ok();
    list["revisions"].as_array().expect("revisions").iter().map(id).collect()
}

#[tokio::test]
async fn a_revision_can_be_kept_for_ever_and_not_be_let_go_again() {
    let drive = Drive::start().await;
    let (file, revisions) = file(&drive).await;
    let head = format!("{}?fields=*", path(&file, &revisions[2]));
    let version = |file: &Value| file["version"].as_str().expect("text").parse::<u64>().expect("a number");
    let before = drive.file(&file).await;
    let unchanged = drive.patch(&head).json(&json!({ "keepForever": false })).send().await.ok();
    assert_eq!((&unchanged["keepForever"], &unchanged["kind"]), (&json!(false), &json!("drive#revision")));
    assert_eq!(drive.file(&file).await["version"], before["version"]);
    let kept = drive.patch(&head).json(&json!({ "keepForever": true })).send().await.ok();
    assert_eq!((&kept["keepForever"], &kept["id"]), (&json!(true), &json!(revisions[2])));
    let after = drive.file(&file).await;
    assert!(version(&after) > version(&before) && after["modifiedTime"] == before["modifiedTime"]);
    assert_eq!((&before["quotaBytesUsed"], &after["quotaBytesUsed"]), (&json!("6"), &json!("6")));
    for revision in &revisions {
        let call = drive.patch(&path(&file, revision)).json(&json!({ "keepForever": false }));
        call.send().await.refused(400, "illegalKeepForeverModification");
    }
    drive.patch(&head).json(&json!({ "keepForever": "yes" })).send().await.refused(400, "invalid");
    drive.patch(&head).json(&json!([])).send().await.refused(400, "parseError");
    let unknown = drive.patch(&path(&file, "nothing")).json(&json!({ "keepForever": true }));
    unknown.send().await.refused(404, "notFound");

    // What was kept stays when another follows, and counts.
    let update = format!("/upload/drive/v3/files/{file}?uploadType=media&fields=*");
    let updated = drive.patch(&update).body("4444").send().await.ok();
    assert_eq!(updated["quotaBytesUsed"], "10");
    assert_eq!(drive.get(&format!("{}?alt=media", path(&file, &revisions[2]))).send().await.body, b"333");
    let content = drive.get(&format!("{}?alt=media&acknowledgeAbuse=true", path(&file, &revisions[0])));
    assert_eq!(content.send().await.body, b"1");
}

#[tokio::test]
async fn a_deleted_revision_is_gone_with_its_bytes_but_the_current_one_stays() {
    let mut drive = Drive::start().await;
    let (file, revisions) = file(&drive).await;
    assert_eq!(ids(&drive, &file).await, revisions, "oldest first");
    drive.delete(&path(&file, &revisions[2])).send().await.refused(403, "revisionDeletionNotSupported");
    let deleted = drive.delete(&path(&file, &revisions[0])).send().await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    drive.delete(&path(&file, &revisions[0])).send().await.refused(404, "notFound");
    drive.get(&path(&file, &revisions[0])).send().await.refused(404, "notFound");
    assert_eq!(ids(&drive, &file).await, revisions[1..]);
    let described = drive.file(&file).await;
    assert_eq!((&described["quotaBytesUsed"], &described["headRevisionId"]), (&json!("5"), &json!(revisions[2])));
    let about = drive.get("/drive/v3/about?fields=storageQuota").send().await.ok();
    assert_eq!(about["storageQuota"]["usage"], "5");
    assert_eq!(drive.delete(&path(&file, &revisions[1])).send().await.status, 204);
    drive.delete(&path(&file, &revisions[2])).send().await.refused(403, "revisionDeletionNotSupported");
    drive.restart().await;
    assert_eq!((drive.content(&file).await, drive.blobs().len()), (b"333".to_vec(), 1));
}

#[tokio::test]
async fn at_most_two_hundred_revisions_are_kept_for_ever() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({ "name": "a" })).await);
    let kept = format!("/upload/drive/v3/files/{file}?uploadType=media&keepRevisionForever=true");
    for _ in 0..200 {
        assert_eq!(drive.patch(&kept).body("x").send().await.status, 200);
    }
    drive.patch(&kept).body("y").send().await.refused(400, "badRequest");
    assert_eq!(drive.content(&file).await, b"x");
    let updated = drive.patch(&kept.replace("true", "false")).query("fields", "*").body("y").send().await.ok();
    let head = updated["headRevisionId"].as_str().expect("an id");
    let keep = json!({ "keepForever": true });
    drive.patch(&path(&file, head)).json(&keep).send().await.refused(400, "badRequest");
    // The oldest of all is the empty one that the file was made with.
    let oldest = ids(&drive, &file).await.swap_remove(1);
    assert_eq!(drive.delete(&path(&file, &oldest)).send().await.status, 204);
    assert_eq!(drive.patch(&path(&file, head)).json(&keep).send().await.status, 200);
}

#[tokio::test]
async fn a_document_has_one_revision_that_is_exported_and_nothing_else() {
    let drive = Drive::start().await;
    let document = json!({ "name": "d", "mimeType": "application/vnd.google-apps.document" });
    let document = id(&drive.create(document).await);
    let list = drive.get(&format!("/drive/v3/files/{document}/revisions?fields=*")).send().await.ok();
    let [revision] = &list["revisions"].as_array().expect("revisions")[..] else { panic!("one revision: {list}") };
    assert_eq!(revision["mimeType"], "application/vnd.google-apps.document");
    assert!(revision.get("size").is_none() && revision["exportLinks"]["text/plain"].is_string(), "{revision}");
    let path = path(&document, &id(revision));
    assert_eq!(drive.get(&format!("{path}?fields=*")).send().await.ok(), *revision);
    drive.get(&format!("{path}?alt=media")).send().await.refused(403, "fileNotDownloadable");
    drive.delete(&path).send().await.refused(403, "revisionDeletionNotSupported");
    drive.patch(&path).json(&json!({ "keepForever": true })).send().await.refused(403, "fieldNotWritable");
    drive.get(&format!("/drive/v3/files/{document}/revisions/7")).send().await.refused(404, "notFound");
    for call in [drive.delete("/drive/v3/files/root/revisions/1"), drive.patch("/drive/v3/files/root/revisions/1")] {
        call.json(&json!({})).send().await.refused(403, "revisionsNotSupported");
    }
}
