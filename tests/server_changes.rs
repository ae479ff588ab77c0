//! The feed of changes of the embedded drive.

#[path = "support/server.rs"]
mod support;

use serde_json::{Value, json};
use support::{Drive, id};

/// What a page says, in short: an id each, with `-` in front of what was removed.
fn entries(page: &Value) -> Vec<String> {
    let changes = page["changes"].as_array().expect("changes");
    let entry = |change: &Value| {
        let sign = if change["removed"] == true { "-" } else { "" };
        format!("{sign}{}", change["fileId"].as_str().expect("an id"))
    };
    changes.iter().map(entry).collect()
}

fn token(page: &Value, name: &str) -> String {
    page[name].as_str().unwrap_or_else(|| panic!("no {name}: {page}")).to_owned()
}

#[tokio::test]
async fn each_item_appears_once_at_its_last_change_in_its_current_state() {
    let drive = Drive::start().await;
    let start = drive.start_page_token().await;
    let a = id(&drive.create(json!({ "name": "a" })).await);
    let b = id(&drive.create(json!({ "name": "b" })).await);
    for name in ["x", "y", "z"] {
        drive.patch(&format!("/drive/v3/files/{a}")).json(&json!({ "name": name })).send().await.ok();
    }
    let page = drive.changes(&start).await;
    assert_eq!(page["kind"], "drive#changeList");
    assert_eq!(entries(&page), [b, a.clone()]);
    let change = &page["changes"][1];
    assert_eq!(
        (&change["changeType"], &change["type"], &change["removed"]),
        (&json!("file"), &json!("file"), &json!(false))
    );
    assert_eq!(change["file"], drive.file(&a).await);
    assert!(change["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert!(page.get("nextPageToken").is_none());
    let end = token(&page, "newStartPageToken");
    assert_eq!(end, drive.start_page_token().await);
    assert_eq!(entries(&drive.changes(&end).await), Vec::<String>::new());
}

#[tokio::test]
async fn trash_is_a_change_and_deletion_a_removal() {
    let drive = Drive::start().await;
    let folder = drive.folder("folder", "root").await;
    let child = id(&drive.create(json!({ "parents": [folder] })).await);
    let start = drive.start_page_token().await;
    drive.patch(&format!("/drive/v3/files/{folder}")).json(&json!({ "trashed": true })).send().await.ok();
    let page = drive.changes(&start).await;
    assert_eq!(entries(&page), [&*folder], "not the child {child}");
    assert_eq!(page["changes"][0]["file"]["trashed"], true);

    drive.delete(&format!("/drive/v3/files/{folder}")).send().await;
    let page = drive.changes(&start).await;
    assert_eq!(entries(&page), [format!("-{folder}")]);
    assert!(page["changes"][0].get("file").is_none());
    let hidden = drive.get("/drive/v3/changes?includeRemoved=false").query("pageToken", &start).send().await.ok();
    assert_eq!(entries(&hidden), Vec::<String>::new());
    assert_eq!(token(&hidden, "newStartPageToken"), token(&page, "newStartPageToken"));
}

#[tokio::test]
async fn content_moves_and_copies_are_changes() {
    let drive = Drive::start().await;
    let folder = drive.folder("folder", "root").await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"1").await);
    let start = drive.start_page_token().await;
    drive.patch(&format!("/upload/drive/v3/files/{file}?uploadType=media")).body("2").send().await.ok();
    drive.patch(&format!("/drive/v3/files/{file}?addParents={folder}&removeParents=root")).send().await.ok();
    let copy = id(&drive.post(&format!("/drive/v3/files/{file}/copy")).send().await.ok());
    let page = drive.changes(&start).await;
    assert_eq!(entries(&page), [file, copy]);
    assert_eq!(page["changes"][0]["file"]["parents"], json!([folder]));
    assert_eq!(page["changes"][0]["file"]["size"], "1");
}

#[tokio::test]
async fn pages_lead_to_the_end_even_if_items_change_on_the_way() {
    let drive = Drive::start().await;
    let start = drive.start_page_token().await;
    let mut files = Vec::new();
    for index in 0..7 {
        files.push(id(&drive.create(json!({ "name": format!("{index}") })).await));
    }
    let mut seen = Vec::new();
    let mut place = start;
    loop {
        let page = drive.get("/drive/v3/changes?pageSize=3").query("pageToken", &place).send().await.ok();
        seen.push(entries(&page));
        assert!(page.get("nextPageToken").is_some() != page.get("newStartPageToken").is_some(), "{page}");
        if seen.len() == 1 {
            // One that was seen, one that was not.
            for file in [&files[0], &files[5]] {
                drive.patch(&format!("/drive/v3/files/{file}")).json(&json!({ "starred": true })).send().await.ok();
            }
            drive.delete(&format!("/drive/v3/files/{}", files[4])).send().await;
        }
        let Some(next) = page["nextPageToken"].as_str() else { break };
        place = next.to_owned();
    }
    let flat = seen.concat();
    let removed = format!("-{}", files[4]);
    let expected = [&files[0], &files[1], &files[2], &files[3], &files[6], &files[0], &files[5], &removed];
    assert_eq!(flat.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn tokens_never_expire_and_garbage_is_refused() {
    let mut drive = Drive::start().await;
    let start = drive.start_page_token().await;
    let file = id(&drive.create(json!({ "name": "a" })).await);
    drive.restart().await;
    assert_eq!(entries(&drive.changes(&start).await), [file]);
    let end: u64 = drive.start_page_token().await.parse().expect("a number");
    for garbage in ["garbage", "-1", "0", "+1", "1x", &(end + 1).to_string(), "99999999999999999999"] {
        let answer = drive.get("/drive/v3/changes").query("pageToken", garbage).send().await;
        answer.refused(400, "invalid");
        assert_eq!(answer.fault_location(), "pageToken", "{garbage}");
    }
    drive.get("/drive/v3/changes").send().await.refused(400, "required");
    drive.get("/drive/v3/changes?pageToken=1&fields=etag").send().await.refused(400, "invalidParameter");
}
