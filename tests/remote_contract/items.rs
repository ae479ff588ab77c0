//! Single items, the account, fresh ids: what is asked on the wire, and what comes of the answer.

use drivemount::error::Kind;
use drivemount::remote::{Blob, FileId, IdsFor, ItemKind, Md5, Move, NewKind, Patch, Posix, Quota, Remote, RevisionId};
use serde_json::{Value, json};

use super::scripted_drive::{Answer, ScriptedDrive, Seen};
use super::*;

/// What every call about metadata says of itself.
fn assert_manners(seen: &Seen) {
    assert_eq!(seen.parameter("prettyPrint"), Some("false"));
    assert_eq!(seen.header("authorization"), Some("Bearer token-1"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    let agent = seen.header("user-agent").expect("says who it is");
    assert!(agent.starts_with("drivemount/") && agent.ends_with(" (gzip)"), "{agent}");
    assert!(seen.parameter("fields").is_some());
}

#[tokio::test]
async fn the_account_is_known_by_its_permission_id() {
    let drive = ScriptedDrive::start().await;
    let user = json!({"permissionId": "1234", "emailAddress": "a@example.com"});
    drive
        .expect("GET", "/drive/v3/about", Answer::json(&json!({"user": user, "storageQuota": {"usage": "5"}})))
        .expect(
            "GET",
            "/drive/v3/about",
            Answer::json(&json!({"user": user, "storageQuota": {"limit": "100", "usage": 7}})),
        );
    let remote = remote(&drive);
    let about = remote.about().await.expect("an account");
    assert_eq!((about.account.as_str(), about.email.as_str()), ("1234", "a@example.com"));
    assert_eq!(about.quota, Quota { limit: None, used: 5 });
    assert_eq!(remote.about().await.expect("an account").quota, Quota { limit: Some(100), used: 7 });
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!(seen[0].parameter("fields"), Some("user(permissionId,emailAddress),storageQuota(limit,usage)"));
}

#[tokio::test]
async fn the_root_is_asked_for_once() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", "/drive/v3/files/root", Answer::error(404, "notFound")).expect(
        "GET",
        "/drive/v3/files/root",
        Answer::json(&json!({"id": "0AroOt"})),
    );
    let remote = remote(&drive);
    assert_eq!(remote.root().await.expect_err("not there").kind, Kind::NotFound);
    for _ in 0..3 {
        assert_eq!(remote.root().await.expect("a root"), id("0AroOt"));
    }
    assert_eq!(drive.seen()[1].parameter("fields"), Some("id"));
}

#[tokio::test]
async fn an_item_is_got_with_all_its_fields() {
    let drive = ScriptedDrive::start().await;
    let properties =
        json!({"drivemount.mode": "0755", "drivemount.owner": "1000:100", "user.label": "x", "other": "y"});
    let answer = file(
        "a/b",
        &json!({"size": "3", "md5Checksum": "900150983cd24fb0d6963f7d28e17f72",
        "properties": properties}),
    );
    drive.expect("GET", "/drive/v3/files/a%2Fb", Answer::json(&answer));
    let item = remote(&drive).get(&id("a/b")).await.expect("an item");
    let md5 = Md5::parse("900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(item.kind, ItemKind::File(Blob { size: 3, md5, revision: RevisionId("r1".into()) }));
    let xattrs = item.posix.xattrs.clone();
    assert_eq!((xattrs.get(b"user.label"), xattrs.names().len()), (Some(b"x".to_vec()), 1));
    assert_eq!(item.posix, Posix { mode: Some(0o755), owner: Some((1000, 100)), xattrs, ..Posix::default() });
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!(seen[0].parameter("fields"), Some(FILE_FIELDS));
    assert_eq!(seen[0].parameter("supportsAllDrives"), Some("true"));
}

#[tokio::test]
async fn ids_that_would_address_something_else_are_never_sent() {
    let drive = ScriptedDrive::start().await;
    let remote = remote(&drive);
    for bad in ["", ".", "..", "trash", "generateIds"] {
        assert_eq!(remote.get(&id(bad)).await.expect_err("no item").kind, Kind::NotFound, "{bad:?}");
        remote.delete(&id(bad)).await.expect("what cannot be there is gone");
    }
    assert!(drive.seen().is_empty());
}

#[tokio::test]
async fn fresh_ids_come_as_many_as_asked_for() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", "/drive/v3/files/generateIds", Answer::json(&json!({"ids": ["a", "b", "c"]}))).expect(
        "GET",
        "/drive/v3/files/generateIds",
        Answer::json(&json!({"ids": ["a"]})),
    );
    let remote = remote(&drive);
    assert_eq!(remote.reserve_ids(3, IdsFor::Items).await.expect("ids"), [id("a"), id("b"), id("c")]);
    assert_eq!(remote.reserve_ids(2, IdsFor::Links).await.expect_err("too few").kind, Kind::Protocol);
    for count in [0, 1001] {
        assert_eq!(remote.reserve_ids(count, IdsFor::Items).await.expect_err("not offered").kind, Kind::Invalid);
    }
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!(
        (seen[0].parameter("count"), seen[0].parameter("space"), seen[0].parameter("type")),
        (Some("3"), Some("drive"), Some("files"))
    );
    assert_eq!(seen[1].parameter("type"), Some("shortcuts"), "of which a drive keeps a pool of its own");
}

#[tokio::test]
async fn a_folder_is_created_under_the_id_reserved() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", "/drive/v3/files", Answer::json(&folder("new")));
    let item = remote(&drive).create_bare(&new_item(NewKind::Folder)).await.expect("a folder");
    assert_eq!((item.id, item.kind), (id("new"), ItemKind::Folder));
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!(seen[0].header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(
        seen[0].json(),
        json!({"id": "new", "name": "it's new", "mimeType": "application/vnd.google-apps.folder",
            "parents": ["folder"], "modifiedTime": "2026-01-02T03:04:05.678Z",
            "properties": {"drivemount.mode": "0644"}})
    );
}

#[tokio::test]
async fn a_folder_whose_creation_got_no_answer_is_found() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("POST", "/drive/v3/files", Answer::reset())
        .expect("POST", "/drive/v3/files", Answer::error(409, "fileIdInUse"))
        .expect("GET", "/drive/v3/files/new", Answer::json(&folder("new")));
    let item = remote(&drive).create_bare(&new_item(NewKind::Folder)).await.expect("a folder");
    assert_eq!(item.kind, ItemKind::Folder);
    let seen = drive.seen();
    assert_eq!(seen[0].json(), seen[1].json(), "the same folder both times");
}

/// A shortcut that says of itself that it is a further name of its target.
fn link(target: &str) -> Value {
    json!({"id": "new", "name": "it's new", "mimeType": "application/vnd.google-apps.shortcut", "version": "7",
        "shortcutDetails": {"targetId": target}, "properties": {"drivemount.link": "hard"}})
}

#[tokio::test]
async fn a_further_name_is_a_shortcut_that_says_what_it_is() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", "/drive/v3/files", Answer::json(&link("t")));
    let new = NewItem { posix: Posix::default(), ..new_item(NewKind::Link(id("t"))) };
    let item = remote(&drive).create_link(&new).await.expect("a name");
    assert_eq!((item.id, item.kind), (id("new"), ItemKind::Shortcut { target: id("t"), hard: true }));
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!(
        seen[0].json(),
        json!({"id": "new", "name": "it's new", "mimeType": "application/vnd.google-apps.shortcut",
            "parents": ["folder"], "modifiedTime": "2026-01-02T03:04:05.678Z",
            "shortcutDetails": {"targetId": "t"}, "properties": {"drivemount.link": "hard"}})
    );
    let error = remote(&drive).create_link(&new_item(NewKind::File)).await.expect_err("no name");
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn a_further_name_whose_creation_got_no_answer_is_found_if_it_leads_there() {
    for (target, found) in [("t", true), ("another", false)] {
        let drive = ScriptedDrive::start().await;
        drive
            .expect("POST", "/drive/v3/files", Answer::reset())
            .expect("POST", "/drive/v3/files", Answer::error(409, "fileIdInUse"))
            .expect("GET", "/drive/v3/files/new", Answer::json(&link(target)));
        let item = remote(&drive).create_link(&new_item(NewKind::Link(id("t")))).await;
        assert_eq!(
            item.map(|item| item.id).map_err(|error| error.kind),
            if found { Ok(id("new")) } else { Err(Kind::Exists) }
        );
    }
}

#[tokio::test]
async fn an_id_that_is_no_folder_exists_already() {
    let drive = ScriptedDrive::start().await;
    drive.expect("POST", "/drive/v3/files", Answer::error(409, "fileIdInUse")).expect(
        "GET",
        "/drive/v3/files/new",
        Answer::json(&file("new", &json!({}))),
    );
    let error = remote(&drive).create_bare(&new_item(NewKind::Folder)).await.expect_err("taken");
    assert_eq!((error.kind, error.status), (Kind::Exists, Some(409)));
}

#[tokio::test]
async fn a_patch_says_what_changes_and_nothing_else() {
    let drive = ScriptedDrive::start().await;
    drive.expect("PATCH", "/drive/v3/files/f", Answer::json(&file("f", &json!({})))).expect(
        "PATCH",
        "/drive/v3/files/f",
        Answer::json(&file("f", &json!({}))),
    );
    let remote = remote(&drive);
    let patch = Patch {
        name: Some("other".into()),
        parent: Some(Move { from: id("old"), to: id("new") }),
        modified: Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z"),
        posix: Some(Posix { mode: Some(0o700), ..Posix::default() }),
        xattrs: [("user.new".to_owned(), Some("1".to_owned())), ("user.old".to_owned(), None)].into(),
    };
    remote.update(&id("f"), &patch).await.expect("an item");
    let same = Move { from: id("old"), to: id("old") };
    remote.update(&id("f"), &Patch { parent: Some(same), ..Patch::default() }).await.expect("an item");
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!((seen[0].parameter("addParents"), seen[0].parameter("removeParents")), (Some("new"), Some("old")));
    assert_eq!(
        seen[0].json(),
        json!({"name": "other", "modifiedTime": "2026-01-02T03:04:05.678Z", "properties":
            {"drivemount.mode": "0700", "drivemount.owner": null, "drivemount.target": null, "drivemount.device": null,
             "user.new": "1", "user.old": null}})
    );
    assert_eq!((seen[1].parameter("addParents"), seen[1].json()), (None, json!({})));
}

#[tokio::test]
async fn a_move_that_got_through_before_is_not_refused() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("PATCH", "/drive/v3/files/f", Answer::error(403, "cannotAddParent"))
        .expect("GET", "/drive/v3/files/f", Answer::json(&file("f", &json!({"parents": ["new"]}))))
        .expect("PATCH", "/drive/v3/files/f", Answer::json(&file("f", &json!({"parents": ["new"], "name": "n"}))))
        .expect("PATCH", "/drive/v3/files/f", Answer::error(403, "insufficientFilePermissions"))
        .expect("GET", "/drive/v3/files/f", Answer::json(&file("f", &json!({"parents": ["old"]}))));
    let remote = remote(&drive);
    let way = Move { from: id("old"), to: id("new") };
    let patch = Patch { name: Some("n".into()), parent: Some(way), ..Patch::default() };
    let item = remote.update(&id("f"), &patch).await.expect("an item");
    assert_eq!((item.parent, item.name.as_str()), (Some(id("new")), "n"));
    let error = remote.update(&id("f"), &patch).await.expect_err("not allowed");
    assert_eq!(error.reason.as_deref(), Some("insufficientFilePermissions"));
    let seen = drive.seen();
    assert_eq!((seen[2].parameter("addParents"), seen[2].json()), (None, json!({"name": "n"})));
}

#[tokio::test]
async fn trash_and_delete_are_what_they_say() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("PATCH", "/drive/v3/files/f", Answer::json(&file("f", &json!({"trashed": true}))))
        .expect("DELETE", "/drive/v3/files/f", Answer::status(204))
        .expect("DELETE", "/drive/v3/files/f", Answer::error(404, "notFound"))
        .expect("DELETE", "/drive/v3/files/f", Answer::error(403, "insufficientFilePermissions"));
    let remote = remote(&drive);
    assert!(remote.trash(&id("f")).await.expect("an item").trashed);
    remote.delete(&id("f")).await.expect("gone");
    remote.delete(&id("f")).await.expect("gone already");
    assert_eq!(remote.delete(&id("f")).await.expect_err("not ours").kind, Kind::Denied);
    let seen = drive.seen();
    assert_eq!(seen[0].json(), json!({"trashed": true}));
    assert_eq!((seen[1].body.len(), seen[1].parameter("supportsAllDrives")), (0, Some("true")));
}

#[tokio::test]
async fn what_is_taken_out_of_the_trash_says_whether_it_is_out() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("PATCH", "/drive/v3/files/f", Answer::json(&file("f", &json!({"trashed": false}))))
        .expect("PATCH", "/drive/v3/files/f", Answer::json(&file("f", &json!({"trashed": true}))))
        .expect("PATCH", "/drive/v3/files/f", Answer::error(404, "notFound"));
    let remote = remote(&drive);
    assert!(!remote.untrash(&id("f")).await.expect("an item").trashed);
    assert!(remote.untrash(&id("f")).await.expect("an item").trashed, "its folder is in the trash still");
    assert_eq!(remote.untrash(&id("f")).await.expect_err("gone").kind, Kind::NotFound);
    let seen = drive.seen();
    assert_manners(&seen[0]);
    assert_eq!((seen[0].json(), seen[0].parameter("fields")), (json!({"trashed": false}), Some(FILE_FIELDS)));
}

#[tokio::test]
async fn requests_share_a_connection() {
    let drive = ScriptedDrive::start().await;
    for _ in 0..3 {
        drive.expect("GET", "/drive/v3/files/f", Answer::json(&file("f", &json!({}))));
    }
    let remote = remote(&drive);
    for _ in 0..3 {
        remote.get(&FileId("f".into())).await.expect("an item");
    }
    assert!(drive.seen().iter().all(|seen| seen.connection == 0));
}
