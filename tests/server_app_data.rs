//! What belongs to an application alone: its hidden folder, and with `drive.file` the files that it made.

#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/server.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use sign_in::{Guest, OWNER};
use support::{Drive, FOLDER, id, names};

async fn start() -> Drive {
    Drive::start_with_sign_in(Duration::from_hours(1)).await
}

fn file(id: &str) -> String {
    format!("/drive/v3/files/{id}")
}

#[tokio::test]
async fn the_hidden_folder_is_seen_by_its_application_alone_and_only_if_asked_for() {
    let drive = start().await;
    let metadata = json!({ "name": "settings", "parents": ["appDataFolder"] });
    let settings = drive.upload(&metadata, b"content").await;
    assert_eq!(settings["spaces"], json!(["appDataFolder"]));
    let folder = drive.file("appDataFolder").await;
    assert_eq!(settings["parents"], json!([folder["id"]]));
    let settings = id(&settings);
    let inner = drive.folder("inner", "appDataFolder").await;
    drive.create(json!({ "name": "plain" })).await;

    let list = |spaces: &str| drive.get(&format!("/drive/v3/files?spaces={spaces}")).send();
    assert_eq!(names(&list("drive").await.ok()), ["plain"]);
    assert_eq!(names(&list("appDataFolder").await.ok()), ["settings", "inner"]);
    assert_eq!(names(&list("drive,appDataFolder").await.ok()), ["settings", "inner", "plain"]);
    let path = "/drive/v3/files?spaces=appDataFolder";
    let found = drive.get(path).query("q", "'appDataFolder' in parents and name = 'settings'").send().await.ok();
    assert_eq!(names(&found), ["settings"]);
    assert_eq!(drive.names("trashed = false").await, ["plain"]);
    assert_eq!(drive.content(&settings).await, b"content");
    let usage = drive.get("/drive/v3/about?fields=storageQuota").send().await.ok();
    assert_eq!(usage["storageQuota"]["usage"], "7", "it takes storage like anything else");

    // Another application of the same person has a folder of its own.
    let other = Guest::sign_in(&drive, &["drive", "drive.appdata"], Some(OWNER)).await;
    other.get(&file(&settings)).send().await.refused(404, "notFound");
    assert_eq!(names(&other.get(path).send().await.ok()), Vec::<String>::new());
    assert_ne!(other.get("/drive/v3/files/appDataFolder").send().await.ok()["id"], folder["id"]);

    // One that was not granted it has none.
    let plain = Guest::sign_in(&drive, &["drive"], Some(OWNER)).await;
    plain.get("/drive/v3/files/appDataFolder").send().await.refused(403, "insufficientScopes");
    plain.get(path).send().await.refused(403, "insufficientScopes");
    let q = plain.get("/drive/v3/files").query("q", "'appDataFolder' in parents").send().await;
    q.refused(403, "insufficientScopes");
    plain.post("/drive/v3/files").json(&metadata).send().await.refused(403, "insufficientScopes");
    // And one that was granted nothing else sees nothing else.
    let hidden = Guest::sign_in(&drive, &["drive.appdata"], Some(OWNER)).await;
    hidden.get("/drive/v3/files").send().await.refused(403, "insufficientScopes");
    hidden.get("/drive/v3/files/root").send().await.refused(404, "notFound");
    let new = json!({ "name": "own", "mimeType": FOLDER, "parents": ["appDataFolder"] });
    hidden.post("/drive/v3/files").json(&new).send().await.ok();
    assert_eq!(names(&hidden.get(path).send().await.ok()), ["own"]);

    // It cannot be put into the trash, moved out, or shared; it can be deleted.
    let not_here = "notSupportedForAppDataFolderFiles";
    let patch = |path: String, body| drive.patch(&path).json(&body).send();
    patch(file(&settings), json!({ "trashed": true })).await.refused(403, not_here);
    let root = format!("{}?addParents=root&removeParents=appDataFolder", file(&settings));
    patch(root, json!({})).await.refused(403, not_here);
    let plain = id(&drive.create(json!({ "name": "plain" })).await);
    let into = format!("{}?addParents=appDataFolder&removeParents=root", file(&plain));
    patch(into, json!({})).await.refused(403, not_here);
    let grant = json!({ "type": "anyone", "role": "reader" });
    drive.post(&format!("{}/permissions", file(&settings))).json(&grant).send().await.refused(403, not_here);
    drive.delete(&file("appDataFolder")).send().await.refused(403, "insufficientFilePermissions");
    let within = format!("{}?addParents={inner}&removeParents=appDataFolder", file(&settings));
    patch(within, json!({ "name": "moved" })).await.ok();
    assert_eq!(drive.delete(&file(&inner)).send().await.status, 204);
    drive.get(&file(&settings)).send().await.refused(404, "notFound");
}

#[tokio::test]
async fn changes_tell_of_the_hidden_folder_if_asked_for() {
    let drive = start().await;
    let token = drive.start_page_token().await;
    drive.folder("hidden", "appDataFolder").await;
    drive.folder("shown", "root").await;
    let changes = async |spaces: &str| {
        let path = format!("/drive/v3/changes?fields=changes(file(name))&spaces={spaces}");
        let changes = drive.get(&path).query("pageToken", &token).send().await.ok();
        let changes = changes["changes"].as_array().expect("changes").clone();
        changes.iter().map(|change| change["file"]["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(changes("drive").await, ["shown"]);
    assert_eq!(changes("appDataFolder").await, ["hidden"]);
    assert_eq!(changes("drive,appDataFolder").await, ["hidden", "shown"]);
}

#[tokio::test]
async fn who_may_see_its_own_files_sees_no_others() {
    let drive = start().await;
    let theirs = id(&drive.upload(&json!({ "name": "theirs" }), b"content").await);
    let folder = drive.folder("folder", "root").await;
    let app = Guest::sign_in(&drive, &["drive.file"], Some(OWNER)).await;
    app.get(&file(&theirs)).send().await.refused(404, "notFound");
    app.get(&format!("{}?alt=media", file(&theirs))).send().await.refused(404, "notFound");
    let into = json!({ "name": "x", "parents": [folder] });
    app.post("/drive/v3/files").json(&into).send().await.refused(404, "notFound");
    let own = app.post("/drive/v3/files?fields=*").json(&json!({ "name": "own" })).send().await.ok();
    assert_eq!(own["isAppAuthorized"], true);
    assert_eq!(names(&app.get("/drive/v3/files").send().await.ok()), ["own"]);
    assert_eq!(drive.file(&id(&own)).await["isAppAuthorized"], false);
    app.delete("/drive/v3/files/trash").send().await.refused(403, "insufficientPermissions");
    let path = format!("/upload/drive/v3/files/{}?uploadType=media", id(&own));
    app.patch(&path).body("content").send().await.ok();
    assert_eq!(drive.content(&id(&own)).await, b"content");
}
