//! The trash of the embedded drive, and what is deleted for good.

#[path = "support/server.rs"]
mod support;

use serde_json::json;
use support::{Drive, id};

#[tokio::test]
async fn trash_covers_what_is_below_and_remembers_what_was_trashed_itself() {
    let drive = Drive::start().await;
    let outer = drive.folder("outer", "root").await;
    let inner = drive.folder("inner", &outer).await;
    let deep = id(&drive.create(json!({ "name": "deep", "parents": [inner] })).await);
    let lone = id(&drive.create(json!({ "name": "lone", "parents": [outer] })).await);
    let state = async |item: &str| {
        let file = drive.file(item).await;
        (file["trashed"] == true, file["explicitlyTrashed"] == true)
    };
    let set = async |item: &str, trashed: bool| {
        drive.patch(&format!("/drive/v3/files/{item}")).json(&json!({ "trashed": trashed })).send().await.ok();
    };
    set(&lone, true).await;
    set(&outer, true).await;
    assert_eq!(state(&outer).await, (true, true));
    assert_eq!(state(&inner).await, (true, false));
    assert_eq!(state(&deep).await, (true, false));
    assert_eq!(drive.names("trashed = true").await, ["outer", "inner", "deep", "lone"]);
    assert_eq!(drive.names("").await.len(), 4, "trashed items are listed unless the query says otherwise");
    let new = drive.create(json!({ "name": "new", "parents": [inner] })).await;
    assert_eq!((&new["trashed"], &new["explicitlyTrashed"]), (&json!(true), &json!(false)));

    set(&outer, false).await;
    assert_eq!(state(&deep).await, (false, false));
    assert_eq!(state(&lone).await, (true, true), "what was trashed by itself stays");
    assert_eq!(drive.names("trashed = false").await, ["outer", "inner", "deep", "new"]);

    set(&outer, true).await;
    let out = drive.patch(&format!("/drive/v3/files/{inner}?addParents=root&removeParents={outer}"));
    out.send().await.ok();
    assert_eq!(state(&deep).await, (false, false), "moved out of the trash with its folder");
    drive.patch(&format!("/drive/v3/files/{inner}?addParents={outer}&removeParents=root")).send().await.ok();
    assert_eq!(state(&deep).await, (true, false), "and back");
}

#[tokio::test]
async fn delete_is_final_and_takes_all_that_is_below() {
    let drive = Drive::start().await;
    let outer = drive.folder("outer", "root").await;
    let inner = drive.folder("inner", &outer).await;
    let file = id(&drive.upload(&json!({ "name": "file", "parents": [inner] }), b"abc").await);
    let answer = drive.delete(&format!("/drive/v3/files/{outer}")).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    drive.delete(&format!("/drive/v3/files/{outer}")).send().await.refused(404, "notFound");
    drive.get(&format!("/drive/v3/files/{file}")).send().await.refused(404, "notFound");
    drive.get(&format!("/drive/v3/files/{file}?alt=media")).send().await.refused(404, "notFound");
    assert_eq!(drive.names(&format!("'{inner}' in parents")).await, Vec::<String>::new());
    drive.delete("/drive/v3/files/root").send().await.refused(403, "insufficientFilePermissions");
}

#[tokio::test]
async fn emptying_the_trash_deletes_what_was_put_there() {
    let drive = Drive::start().await;
    let folder = drive.folder("folder", "root").await;
    let within = id(&drive.create(json!({ "parents": [folder] })).await);
    let kept = id(&drive.create(json!({ "name": "kept" })).await);
    for item in [&within, &folder] {
        drive.patch(&format!("/drive/v3/files/{item}")).json(&json!({ "trashed": true })).send().await.ok();
    }
    drive.delete("/drive/v3/files/trash?driveId=nope").send().await.refused(404, "notFound");
    assert_eq!(drive.delete("/drive/v3/files/trash").send().await.status, 204);
    drive.get(&format!("/drive/v3/files/{folder}")).send().await.refused(404, "notFound");
    drive.get(&format!("/drive/v3/files/{within}")).send().await.refused(404, "notFound");
    assert_eq!(drive.file(&kept).await["name"], "kept");
}
