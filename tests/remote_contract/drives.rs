//! Shared drives, what may be done with items, and where shortcuts lead.

use drivemount::error::Kind;
use drivemount::remote::{Access, Cursor, ItemKind, PageToken, Remote, all_drives};
use serde_json::json;

use super::scripted_drive::{Answer, ScriptedDrive};
use super::*;

#[tokio::test]
async fn shared_drives_are_listed_page_by_page() {
    let drive = ScriptedDrive::start().await;
    let reader =
        json!({"canEdit": false, "canAddChildren": false, "canTrashChildren": false, "canDeleteChildren": false});
    let one = json!({"id": "d1", "name": "a/b", "createdTime": "2026-01-02T03:04:05.678Z", "capabilities": reader});
    drive
        .expect("GET", "/drive/v3/drives", Answer::json(&json!({"drives": [one], "nextPageToken": "p2"})))
        .expect("GET", "/drive/v3/drives", Answer::json(&json!({"drives": [{"id": "d2", "name": "Team"}]})))
        .expect("GET", "/drive/v3/drives", Answer::error(400, "invalid"));
    let remote = remote(&drive);
    let first = remote.drives(None).await.expect("a page");
    let known = &first.drives[0];
    assert_eq!((known.id.0.as_str(), known.name.as_str()), ("d1", "a/b"));
    assert_eq!(known.created.to_rfc3339(), "2026-01-02T03:04:05.678Z");
    assert!(known.access.is_known() && !known.access.may_add());
    let second = remote.drives(first.next.as_ref()).await.expect("a page");
    assert_eq!((second.drives[0].access, second.next), (Access::UNKNOWN, None), "nothing is said, nothing is denied");
    assert_eq!(remote.drives(Some(&PageToken("old".into()))).await.expect_err("stale").kind, Kind::Invalid);
    let seen = drive.seen();
    assert_eq!((seen[0].parameter("pageSize"), seen[0].parameter("pageToken")), (Some("100"), None));
    assert_eq!(seen[1].parameter("pageToken"), Some("p2"));
}

#[tokio::test]
async fn a_list_of_drives_that_loses_its_place_begins_again_and_one_without_end_ends() {
    let drive = ScriptedDrive::start().await;
    let page = |id: &str, next: &str| Answer::json(&json!({"drives": [{"id": id, "name": id}], "nextPageToken": next}));
    drive
        .expect("GET", "/drive/v3/drives", page("d1", "p2"))
        .expect("GET", "/drive/v3/drives", Answer::error(400, "invalid"))
        .expect("GET", "/drive/v3/drives", page("d2", "p2"))
        .expect("GET", "/drive/v3/drives", Answer::json(&json!({"drives": [{"id": "d3", "name": "d3"}]})));
    let mut all: Vec<String> = all_drives(&remote(&drive)).await.expect("all").into_keys().map(|id| id.0).collect();
    all.sort();
    assert_eq!(all, ["d2", "d3"]);
}

#[tokio::test]
async fn each_shared_drive_has_a_feed_of_its_own() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("GET", "/drive/v3/changes/startPageToken", Answer::json(&json!({"startPageToken": "7"})))
        .expect("GET", "/drive/v3/changes", Answer::json(&json!({"newStartPageToken": "8"})))
        .expect("GET", "/drive/v3/changes", Answer::error(404, "notFound"));
    let (remote, team) = (remote(&drive), id("team"));
    let cursor = remote.cursor(Some(&team)).await.expect("a cursor");
    assert_eq!(remote.changes(Some(&team), &cursor).await.expect("changes").next, Cursor("8".into()));
    assert_eq!(remote.changes(Some(&team), &cursor).await.expect_err("left").kind, Kind::NotFound);
    assert!(drive.seen().iter().all(|request| request.parameter("driveId") == Some("team")));
}

#[tokio::test]
async fn an_item_says_what_may_be_done_with_it_and_where_it_leads() {
    let drive = ScriptedDrive::start().await;
    let can = json!({
        "canModifyContent": true, "canRename": true, "canTrash": false, "canMoveItemWithinDrive": false,
        "canMoveItemOutOfDrive": false,
    });
    let shortcut = json!({"id": "s", "name": "s", "mimeType": "application/vnd.google-apps.shortcut",
        "shortcutDetails": {"targetId": "t"}});
    drive
        .expect("GET", "/drive/v3/files/f", Answer::json(&file("f", &json!({"driveId": "d", "capabilities": can}))))
        .expect("GET", "/drive/v3/files/s", Answer::json(&shortcut));
    let remote = remote(&drive);
    let item = remote.get(&id("f")).await.expect("an item");
    assert_eq!((item.drive, item.shared), (Some(id("d")), true));
    let access = item.access;
    assert!(access.may_write() && access.may_rename() && !access.may_trash());
    assert!(!access.may_move() && !access.may_leave());
    let item = remote.get(&id("s")).await.expect("an item");
    assert_eq!((item.kind, item.access), (ItemKind::Shortcut { target: id("t"), hard: false }, Access::UNKNOWN));
}
