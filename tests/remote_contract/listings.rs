//! Pages of a folder and of the feed of changes.

use drivemount::error::Kind;
use drivemount::remote::{Change, Cursor, PageToken, Remote};
use serde_json::json;

use super::scripted_drive::{Answer, ScriptedDrive};
use super::*;

#[tokio::test]
async fn a_folder_is_listed_page_by_page() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect(
            "GET",
            "/drive/v3/files",
            Answer::json(&json!({"files": [file("a", &json!({})), folder("b")], "nextPageToken": "p2"})),
        )
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [], "nextPageToken": "p3"})))
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"incompleteSearch": false})));
    let remote = remote(&drive);
    let folder = id("it's");
    let first = remote.list(std::slice::from_ref(&folder), None).await.expect("a page");
    assert_eq!(first.items.iter().map(|item| item.id.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let second = remote.list(std::slice::from_ref(&folder), first.next.as_ref()).await.expect("a page");
    assert_eq!((second.items.len(), &second.next), (0, &Some(PageToken("p3".into()))), "empty, and not the last");
    let third = remote.list(std::slice::from_ref(&folder), second.next.as_ref()).await.expect("a page");
    assert_eq!((third.items.len(), third.next), (0, None));

    let seen = drive.seen();
    assert_eq!(seen[0].parameter("q"), Some(r"'it\'s' in parents and trashed = false"));
    assert_eq!(seen[0].parameter("pageSize"), Some("1000"));
    assert_eq!(seen[0].parameter("supportsAllDrives"), Some("true"));
    assert_eq!(seen[0].parameter("includeItemsFromAllDrives"), Some("true"));
    assert_eq!(seen[0].parameter("pageToken"), None);
    assert_eq!(seen[1].parameter("pageToken"), Some("p2"));
    let fields = format!("nextPageToken,incompleteSearch,files({FILE_FIELDS})");
    assert_eq!(seen[0].parameter("fields"), Some(fields.as_str()));
    assert_eq!(seen[1].parameter("q"), seen[0].parameter("q"), "the same question with each token");
}

#[tokio::test]
async fn the_trash_is_listed_page_by_page_and_tells_what_was_put_there_itself() {
    let drive = ScriptedDrive::start().await;
    let itself = json!({"trashed": true, "explicitlyTrashed": true, "trashedTime": "2026-01-02T03:04:05.678Z"});
    let within = json!({"trashed": true, "explicitlyTrashed": false});
    drive
        .expect(
            "GET",
            "/drive/v3/files",
            Answer::json(&json!({"files": [file("a", &itself), file("b", &within)], "nextPageToken": "p2"})),
        )
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [file("c", &json!({"trashed": true}))]})))
        .expect("GET", "/drive/v3/files", Answer::error(400, "invalid"));
    let remote = remote(&drive);
    let first = remote.trashed(None).await.expect("a page");
    let since = Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z");
    assert_eq!(
        first.items.iter().map(|found| (found.item.id.0.as_str(), found.itself, found.since)).collect::<Vec<_>>(),
        [("a", true, since), ("b", false, None)]
    );
    let second = remote.trashed(first.next.as_ref()).await.expect("a page");
    assert_eq!((second.items[0].itself, second.next), (true, None), "unless the drive says something else");
    assert_eq!(remote.trashed(first.next.as_ref()).await.expect_err("stale").kind, Kind::Invalid);

    let seen = drive.seen();
    assert_eq!(seen[0].parameter("q"), Some("trashed = true and 'me' in owners"));
    let fields = format!("nextPageToken,incompleteSearch,files({FILE_FIELDS},trashedTime)");
    assert_eq!((seen[0].parameter("fields"), seen[0].parameter("pageSize")), (Some(fields.as_str()), Some("1000")));
    assert_eq!((seen[0].parameter("pageToken"), seen[1].parameter("pageToken")), (None, Some("p2")));
}

#[tokio::test]
async fn entries_are_found_by_their_exact_name_on_whatever_page() {
    let drive = ScriptedDrive::start().await;
    let named = |id: &str, name: &str| {
        let mut folder = folder(id);
        folder["name"] = json!(name);
        folder
    };
    drive.expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [], "nextPageToken": "p2"}))).expect(
        "GET",
        "/drive/v3/files",
        Answer::json(&json!({"files": [named("a", "Sets"), named("b", "sets")]})),
    );
    let found = remote(&drive).named(&id("data"), "sets").await.expect("found");
    assert_eq!(found.iter().map(|item| item.id.0.as_str()).collect::<Vec<_>>(), ["b"]);
    let seen = drive.seen();
    let query = "'data' in parents and trashed = false and name = 'sets'";
    assert_eq!(seen[0].parameter("q"), Some(query));
    assert_eq!(seen[1].parameter("pageToken"), Some("p2"));
}

#[tokio::test]
async fn a_huge_page_is_read_whole() {
    let drive = ScriptedDrive::start().await;
    let name = "ü".repeat(5000);
    let files: Vec<_> = (0..1000).map(|n| file(&format!("f{n}"), &json!({"name": name}))).collect();
    drive.expect("GET", "/drive/v3/files", Answer::json(&json!({"files": files})).chunked());
    let page = remote(&drive).list(&[id("folder")], None).await.expect("a page");
    assert_eq!(page.items.len(), 1000);
    assert!(page.items.iter().all(|item| item.name == name));
}

#[tokio::test]
async fn an_incomplete_search_is_never_taken_for_the_whole() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [], "incompleteSearch": true})))
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [folder("a")], "incompleteSearch": false})))
        .expect("GET", "/drive/v3/files", Answer::json(&json!({"files": [], "incompleteSearch": true})));
    let page = remote(&drive).list(&[id("folder")], None).await.expect("a page");
    assert_eq!(page.items.len(), 1);
    let impatient = remote_with(&DriveOptions { retry_for: Duration::ZERO, ..options(&drive) });
    let error = impatient.list(&[id("folder")], None).await.expect_err("not the whole");
    assert_eq!(error.kind, Kind::Server);
}

#[tokio::test]
async fn a_page_token_that_is_refused_is_invalid() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", "/drive/v3/files", Answer::error(400, "invalid")).expect(
        "GET",
        "/drive/v3/changes",
        Answer::error(400, "invalid"),
    );
    let remote = remote(&drive);
    let error = remote.list(&[id("folder")], Some(&PageToken("old".into()))).await.expect_err("stale");
    assert_eq!(error.kind, Kind::Invalid);
    let error = remote.changes(None, &Cursor("garbage".into())).await.expect_err("unknown");
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn the_feed_of_changes_begins_at_its_end() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", "/drive/v3/changes/startPageToken", Answer::json(&json!({"startPageToken": "8211"})));
    assert_eq!(remote(&drive).cursor(None).await.expect("a cursor"), Cursor("8211".into()));
    assert_eq!(drive.seen()[0].parameter("supportsAllDrives"), Some("true"));
}

#[tokio::test]
async fn changes_tell_what_is_there_and_what_is_gone() {
    let drive = ScriptedDrive::start().await;
    let changes = json!([
        {"changeType": "file", "removed": false, "fileId": "a", "file": file("a", &json!({"trashed": true}))},
        {"changeType": "drive", "removed": false, "driveId": "d"},
        {"changeType": "file", "removed": true, "fileId": "b"},
        {"fileId": "c", "file": folder("c")},
        {"changeType": "file", "removed": true, "fileId": "m", "file": file("m", &json!({"driveId": "elsewhere"}))},
    ]);
    drive
        .expect("GET", "/drive/v3/changes", Answer::json(&json!({"changes": changes, "nextPageToken": "n"})))
        .expect("GET", "/drive/v3/changes", Answer::json(&json!({"newStartPageToken": "s"})))
        .expect("GET", "/drive/v3/changes", Answer::json(&json!({"changes": []})));
    let remote = remote(&drive);
    let page = remote.changes(None, &Cursor("8211".into())).await.expect("changes");
    match page.changes.as_slice() {
        [Change::Present(a), Change::Drive(d), Change::Removed(b), Change::Present(c), Change::Present(moved)] => {
            assert_eq!((a.id.0.as_str(), a.trashed, b.0.as_str(), c.id.0.as_str()), ("a", true, "b", "c"));
            assert_eq!(
                (d.0.as_str(), moved.drive.as_ref()),
                ("d", Some(&id("elsewhere"))),
                "gone from here, and not gone"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((&page.next, page.more), (&Cursor("n".into()), true));
    let page = remote.changes(None, &page.next).await.expect("changes");
    assert_eq!((page.changes.len(), &page.next, page.more), (0, &Cursor("s".into()), false));
    assert_eq!(remote.changes(None, &page.next).await.expect_err("leads nowhere").kind, Kind::Protocol);

    let seen = drive.seen();
    assert_eq!(seen[0].parameter("pageToken"), Some("8211"));
    assert_eq!(seen[0].parameter("pageSize"), Some("1000"));
    assert_eq!(seen[0].parameter("includeRemoved"), Some("true"));
    assert_eq!(seen[0].parameter("includeItemsFromAllDrives"), Some("true"));
    let fields =
        format!("nextPageToken,newStartPageToken,changes(changeType,removed,fileId,driveId,file({FILE_FIELDS}))");
    assert_eq!(seen[0].parameter("fields"), Some(fields.as_str()));
    assert_eq!(seen[0].parameter("includeCorpusRemovals"), Some("true"));
    assert_eq!(seen[0].parameter("driveId"), None, "the account's own");
    assert_eq!(seen[1].parameter("pageToken"), Some("n"));
}

#[tokio::test]
async fn a_change_that_does_not_say_what_became_of_its_item_is_looked_up() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect(
            "GET",
            "/drive/v3/changes",
            Answer::json(&json!({"changes": [{"fileId": "a"}, {"fileId": "b"}], "newStartPageToken": "s"})),
        )
        .expect("GET", "/drive/v3/files/a", Answer::json(&folder("a")))
        .expect("GET", "/drive/v3/files/b", Answer::error(404, "notFound"));
    let page = remote(&drive).changes(None, &Cursor("1".into())).await.expect("changes");
    assert!(matches!(page.changes.as_slice(), [Change::Present(_), Change::Removed(_)]), "{:?}", page.changes);
}
