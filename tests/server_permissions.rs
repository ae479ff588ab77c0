//! Others than the person of the drive: what they see of what is shared with them, and what they may do with it.

#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/server.rs"]
mod support;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sign_in::{Guest, OWNER};
use support::{Drive, FOLDER, id, names};

const ALL: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

async fn start() -> Drive {
    Drive::start_with_sign_in(Duration::from_hours(1)).await
}

fn file(id: &str) -> String {
    format!("/drive/v3/files/{id}")
}

/// Shares an item; the id of the permission.
async fn share(drive: &Drive, item: &str, with: &str, role: &str) -> String {
    let body = json!({ "type": "user", "role": role, "emailAddress": with });
    let path = format!("/drive/v3/files/{item}/permissions?supportsAllDrives=true&fields=*");
    let permission = drive.post(&path).json(&body).send().await.ok();
    assert_eq!((&permission["role"], &permission["emailAddress"]), (&json!(role), &json!(with)));
    id(&permission)
}

async fn found(guest: &Guest<'_>, q: &str) -> Vec<String> {
    names(&guest.get(&format!("/drive/v3/files?{ALL}")).query("q", q).send().await.ok())
}

/// What a guest is told since a token: names of what is there, ids of what is gone. And the next token.
async fn news(guest: &Guest<'_>, token: &str) -> (Vec<String>, Vec<String>, String) {
    let path = format!("/drive/v3/changes?{ALL}&fields=*");
    let log = guest.get(&path).query("pageToken", token).send().await.ok();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for change in log["changes"].as_array().expect("changes") {
        let about = if change["changeType"] == "drive" { ("drive", "driveId") } else { ("file", "fileId") };
        if change["removed"] == true {
            gone.push(change[about.1].as_str().expect("an id").to_owned());
        } else {
            there.push(change[about.0]["name"].as_str().expect("a name").to_owned());
        }
    }
    (there, gone, log["newStartPageToken"].as_str().expect("the last page").to_owned())
}

async fn start_token(guest: &Guest<'_>) -> String {
    let answer = guest.get("/drive/v3/changes/startPageToken").send().await.ok();
    answer["startPageToken"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn what_is_not_shared_is_not_there_for_others() {
    let drive = start().await;
    let secret = id(&drive.upload(&json!({ "name": "secret" }), b"content").await);
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    assert_eq!(found(&guest, "trashed = false").await, Vec::<String>::new());
    assert_eq!(found(&guest, &format!("'{OWNER}' in owners")).await, Vec::<String>::new());
    guest.get(&file(&secret)).send().await.refused(404, "notFound");
    guest.get(&format!("{}?alt=media", file(&secret))).send().await.refused(404, "notFound");
    guest.get(&format!("{}/revisions", file(&secret))).send().await.refused(404, "notFound");
    guest.delete(&file(&secret)).send().await.refused(404, "notFound");
    guest.patch(&file(&secret)).json(&json!({ "name": "x" })).send().await.refused(404, "notFound");
    guest.post(&format!("{}/copy", file(&secret))).json(&json!({})).send().await.refused(404, "notFound");
    let shortcut =
        json!({ "mimeType": "application/vnd.google-apps.shortcut", "shortcutDetails": { "targetId": secret } });
    guest.post("/drive/v3/files").json(&shortcut).send().await.refused(404, "notFound");
    // Each has a drive of their own.
    let root = guest.get("/drive/v3/files/root?fields=*").send().await.ok();
    assert_ne!(root["id"], drive.file("root").await["id"]);
    assert_eq!(root["owners"][0]["emailAddress"], guest.email);
    let about = guest.get("/drive/v3/about?fields=user,storageQuota").send().await.ok();
    assert_eq!((&about["user"]["emailAddress"], &about["user"]["me"]), (&json!(guest.email), &json!(true)));
    assert_eq!((&about["storageQuota"]["limit"], &about["storageQuota"]["usage"]), (&json!("0"), &json!("0")));
    // The service account can act for the person of the drive, and then it is as if it were that person.
    let person = Guest::sign_in(&drive, &["drive"], Some(OWNER)).await;
    assert_eq!(found(&person, "trashed = false").await, ["secret"]);
}

#[tokio::test]
async fn who_may_read_a_folder_sees_all_that_is_in_it_and_changes_nothing() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let above = drive.folder("above", "root").await;
    let shared = drive.folder("shared", &above).await;
    let inner = drive.folder("inner", &shared).await;
    let data = id(&drive.upload(&json!({ "name": "data", "parents": [inner] }), b"content").await);
    share(&drive, &shared, &guest.email, "reader").await;

    assert_eq!(found(&guest, "sharedWithMe = true").await, ["shared"]);
    assert_eq!(found(&guest, "trashed = false").await, ["shared", "inner", "data"]);
    assert_eq!(found(&guest, &format!("'{inner}' in parents")).await, ["data"]);
    assert_eq!(found(&guest, "'me' in owners").await, Vec::<String>::new());
    assert_eq!(found(&guest, "'me' in readers and not 'me' in writers").await, ["shared", "inner", "data"]);
    let seen = guest.get(&format!("{}?fields=*", file(&shared))).send().await.ok();
    assert_eq!(seen["parents"], Value::Null, "the folder above is not shared");
    assert_eq!((&seen["ownedByMe"], &seen["shared"]), (&json!(false), &json!(true)));
    assert_eq!(seen["owners"][0]["emailAddress"], OWNER);
    assert_eq!(seen["sharingUser"]["emailAddress"], OWNER);
    assert!(seen["sharedWithMeTime"].is_string());
    assert_eq!(seen["permissions"], Value::Null, "who may only read is not told who else may");
    let seen = guest.get(&format!("{}?fields=*", file(&data))).send().await.ok();
    assert_eq!(seen["parents"], json!([inner]));
    for (capability, can) in [
        ("canDownload", true),
        ("canCopy", true),
        ("canEdit", false),
        ("canModifyContent", false),
        ("canRename", false),
        ("canTrash", false),
        ("canDelete", false),
        ("canShare", false),
        ("canMoveItemWithinDrive", false),
        ("canReadRevisions", false),
    ] {
        assert_eq!(seen["capabilities"][capability], can, "{capability}");
    }
    let content = guest.get(&format!("{}?alt=media", file(&data))).header("range", "bytes=1-3").send().await;
    assert_eq!((content.status, &content.body[..]), (206, &b"ont"[..]));

    let before = drive.file(&data).await;
    let patch = |path: String, body: Value| guest.patch(&path).json(&body).send();
    patch(file(&data), json!({ "name": "x" })).await.refused(403, "insufficientFilePermissions");
    patch(file(&data), json!({ "trashed": true })).await.refused(403, "insufficientFilePermissions");
    patch(file(&data), json!({ "properties": { "a": "b" } })).await.refused(403, "insufficientFilePermissions");
    let moved = format!("{}?addParents={shared}&removeParents={inner}", file(&data));
    patch(moved, json!({})).await.refused(403, "insufficientFilePermissions");
    let path = format!("/upload/drive/v3/files/{data}?uploadType=media");
    guest.patch(&path).body("new").send().await.refused(403, "insufficientFilePermissions");
    let path = format!("/upload/drive/v3/files/{data}?uploadType=resumable");
    guest.patch(&path).json(&json!({})).send().await.refused(403, "insufficientFilePermissions");
    guest.delete(&file(&data)).send().await.refused(403, "insufficientFilePermissions");
    let new = json!({ "name": "x", "mimeType": FOLDER, "parents": [inner] });
    guest.post("/drive/v3/files").json(&new).send().await.refused(403, "insufficientParentPermissions");
    guest.get(&format!("{}/permissions", file(&data))).send().await.refused(403, "insufficientFilePermissions");
    guest.get(&format!("{}/revisions", file(&data))).send().await.refused(403, "insufficientFilePermissions");
    let grant = json!({ "type": "anyone", "role": "reader" });
    let path = format!("{}/permissions", file(&data));
    guest.post(&path).json(&grant).send().await.refused(403, "insufficientFilePermissions");
    assert_eq!(drive.file(&data).await, before);

    // What must not be taken along can be looked at.
    drive.patch(&file(&data)).json(&json!({ "copyRequiresWriterPermission": true })).send().await.ok();
    guest.get(&format!("{}?alt=media", file(&data))).send().await.refused(403, "cannotDownloadFile");
    guest.post(&format!("{}/copy", file(&data))).json(&json!({})).send().await.refused(403, "cannotCopyFile");
    let seen = guest.get(&format!("{}?fields=*", file(&data))).send().await.ok();
    assert_eq!(
        (&seen["capabilities"]["canDownload"], &seen["capabilities"]["canCopy"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn who_may_write_changes_what_is_there_and_owns_what_it_adds() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let shared = drive.folder("shared", "root").await;
    let data = id(&drive.upload(&json!({ "name": "data", "parents": [shared] }), b"old").await);
    share(&drive, &shared, &guest.email, "writer").await;

    let path = format!("/upload/drive/v3/files/{data}?uploadType=media&fields=*");
    let written = guest.patch(&path).body("newer").send().await.ok();
    assert_eq!((&written["size"], &written["modifiedByMe"]), (&json!("5"), &json!(true)));
    assert_eq!(written["owners"][0]["emailAddress"], OWNER, "it is still whose it was");
    assert_eq!(drive.content(&data).await, b"newer");
    let seen = drive.file(&data).await;
    assert_eq!(
        (&seen["modifiedByMe"], &seen["lastModifyingUser"]["emailAddress"]),
        (&json!(false), &json!(guest.email))
    );
    assert_eq!(drive.get("/drive/v3/about?fields=storageQuota").send().await.ok()["storageQuota"]["usage"], "5");
    guest.patch(&file(&data)).json(&json!({ "name": "renamed" })).send().await.ok();
    guest.get(&format!("{}/revisions", file(&data))).send().await.ok();

    // The owner alone throws away and tidies up.
    for body in [json!({ "trashed": true }), json!({ "trashed": false })] {
        guest.patch(&file(&data)).json(&body).send().await.refused(403, "insufficientFilePermissions");
    }
    guest.delete(&file(&data)).send().await.refused(403, "insufficientFilePermissions");
    let inner = drive.folder("inner", &shared).await;
    let path = format!("{}?addParents={inner}&removeParents={shared}", file(&data));
    guest.patch(&path).json(&json!({})).send().await.refused(403, "insufficientFilePermissions");

    // A service account has no storage, wherever it puts things. What needs none it can make, and then owns.
    let path = "/upload/drive/v3/files?uploadType=media";
    guest.post(path).body("x").send().await.refused(403, "storageQuotaExceeded");
    let new = json!({ "name": "x", "parents": [shared] });
    guest.post("/drive/v3/files").json(&new).send().await.refused(403, "storageQuotaExceeded");
    guest.post(&format!("{}/copy", file(&data))).json(&new).send().await.refused(403, "storageQuotaExceeded");
    let new = json!({ "name": "theirs", "mimeType": FOLDER, "parents": [shared] });
    let theirs = id(&guest.post("/drive/v3/files?fields=*").json(&new).send().await.ok());
    let seen = drive.file(&theirs).await;
    assert_eq!((&seen["ownedByMe"], &seen["owners"][0]["emailAddress"]), (&json!(false), &json!(guest.email)));
    assert_eq!((&seen["capabilities"]["canEdit"], &seen["capabilities"]["canTrash"]), (&json!(true), &json!(false)));
    let trash = json!({ "trashed": true });
    drive.patch(&file(&theirs)).json(&trash).send().await.refused(403, "insufficientFilePermissions");
    drive.delete(&file(&theirs)).send().await.refused(403, "insufficientFilePermissions");
    // Whose folder it is in sees it go with the folder.
    drive.patch(&file(&shared)).json(&trash).send().await.ok();
    assert_eq!(guest.get(&format!("{}?fields=trashed", file(&theirs))).send().await.ok()["trashed"], true);
    assert_eq!(guest.delete("/drive/v3/files/trash").send().await.status, 204);
    assert_eq!(drive.file(&theirs).await["trashed"], true, "it is not in the trash of its own accord");
}

#[tokio::test]
async fn a_permission_is_given_changed_shown_and_taken_away() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let folder = drive.folder("folder", "root").await;
    let inner = drive.folder("inner", &folder).await;
    let on = |item: &str| format!("/drive/v3/files/{item}/permissions");
    let given = share(&drive, &folder, &guest.email, "reader").await;
    assert_eq!(share(&drive, &folder, &guest.email, "commenter").await, given, "one holder has one permission");

    let all = drive.get(&format!("{}?fields=*", on(&folder))).send().await.ok();
    let listed = all["permissions"].as_array().expect("permissions");
    let short = |permission: &Value| {
        let text = |name: &str| permission[name].as_str().unwrap_or_default().to_owned();
        (text("emailAddress"), text("role"))
    };
    let mut pairs: Vec<_> = listed.iter().map(short).collect();
    pairs.sort();
    let pair = |address: &str, role: &str| (address.to_owned(), role.to_owned());
    assert_eq!(pairs, [pair(OWNER, "owner"), pair(&guest.email, "commenter")]);
    assert_eq!(all["kind"], "drive#permissionList");
    let one = drive.get(&format!("{}/{given}", on(&folder))).send().await.ok();
    let expected = json!({ "kind": "drive#permission", "id": given, "type": "user", "role": "commenter" });
    assert_eq!(one, expected, "without a mask only this is shown");
    drive.get(&format!("{}/none", on(&folder))).send().await.refused(404, "notFound");
    let first = drive.get(&format!("{}?pageSize=1", on(&folder))).send().await.ok();
    let next = drive.get(&format!("{}?pageSize=1", on(&folder)));
    let next = next.query("pageToken", first["nextPageToken"].as_str().expect("more")).send().await.ok();
    assert_ne!(first["permissions"][0]["id"], next["permissions"][0]["id"]);
    assert_eq!(next["nextPageToken"], Value::Null);

    let path = format!("{}/{given}", on(&folder));
    drive.patch(&path).json(&json!({ "role": "writer" })).send().await.ok();
    assert_eq!(drive.file(&inner).await["shared"], true, "what is in a shared folder is shared");
    // What is inherited is changed where it comes from.
    let inherited = format!("{}/{given}", on(&inner));
    drive
        .patch(&inherited)
        .json(&json!({ "role": "reader" }))
        .send()
        .await
        .refused(403, "cannotModifyInheritedPermission");
    drive.delete(&inherited).send().await.refused(403, "cannotModifyInheritedPermission");
    // Who may write may share, unless the owner says otherwise.
    let grant = json!({ "type": "user", "role": "reader", "emailAddress": "third@example.com" });
    guest.post(&on(&folder)).json(&grant).send().await.ok();
    drive.patch(&file(&folder)).json(&json!({ "writersCanShare": false })).send().await.ok();
    guest.post(&on(&folder)).json(&grant).send().await.refused(403, "insufficientFilePermissions");

    let post = |body: Value| drive.post(&on(&folder)).json(&body).send();
    let mail = "someone@example.com";
    for (body, status, reason) in [
        (json!({}), 400, "required"),
        (json!({ "type": "user", "emailAddress": mail }), 400, "required"),
        (json!({ "type": "user", "role": "reader" }), 400, "invalid"),
        (json!({ "type": "user", "role": "king", "emailAddress": mail }), 400, "invalid"),
        (json!({ "type": "team", "role": "reader", "emailAddress": mail }), 400, "invalid"),
        (json!({ "type": "user", "role": "organizer", "emailAddress": mail }), 400, "invalid"),
        (json!({ "type": "anyone", "role": "fileOrganizer" }), 400, "invalid"),
        (json!({ "type": "user", "role": "owner", "emailAddress": mail }), 403, "forbidden"),
    ] {
        post(body.clone()).await.refused(status, reason);
    }
    let owner = drive.file("root").await["owners"][0]["permissionId"].as_str().expect("an id").to_owned();
    drive.delete(&format!("{}/{owner}", on(&folder))).send().await.refused(403, "insufficientFilePermissions");
    drive.post(&on("root")).json(&grant).send().await.refused(403, "insufficientFilePermissions");

    // One can give up one's own permission, and no other.
    let third = all_of(&drive, &folder, "third@example.com").await;
    guest.delete(&format!("{}/{third}", on(&folder))).send().await.refused(403, "insufficientFilePermissions");
    assert_eq!(guest.delete(&path).send().await.status, 204);
    guest.get(&file(&folder)).send().await.refused(404, "notFound");
    drive.delete(&path).send().await.refused(404, "notFound");
}

/// Id of the permission that somebody has on an item.
async fn all_of(drive: &Drive, item: &str, address: &str) -> String {
    let all = drive.get(&format!("/drive/v3/files/{item}/permissions?fields=*")).send().await.ok();
    let all = all["permissions"].as_array().expect("permissions");
    id(all.iter().find(|permission| permission["emailAddress"] == address).expect("has one"))
}

#[tokio::test]
async fn a_link_leads_to_what_no_search_finds_and_a_permission_runs_out() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let folder = drive.folder("folder", "root").await;
    drive.folder("inner", &folder).await;
    let path = format!("/drive/v3/files/{folder}/permissions?fields=*");
    let anyone = drive.post(&path).json(&json!({ "type": "anyone", "role": "reader" })).send().await.ok();
    assert_eq!((id(&anyone), &anyone["allowFileDiscovery"]), ("anyoneWithLink".to_owned(), &json!(false)));
    assert_eq!(guest.get(&file(&folder)).send().await.status, 200);
    assert_eq!(found(&guest, &format!("'{folder}' in parents")).await, ["inner"]);
    assert_eq!(found(&guest, "trashed = false").await, Vec::<String>::new());
    assert_eq!(drive.names("visibility = 'anyoneWithLink'").await, ["folder", "inner"]);
    assert_eq!(drive.names("visibility = 'limited'").await, Vec::<String>::new());

    let other = drive.folder("other", "root").await;
    let given = share(&drive, &other, &guest.email, "reader").await;
    let path = format!("/drive/v3/files/{other}/permissions/{given}?fields=*");
    let past = json!({ "expirationTime": "2020-01-01T00:00:00Z" });
    drive.patch(&path).json(&past).send().await.refused(403, "expirationDateNotAllowed");
    let soon = drivemount::clock::now().millis() + 1500;
    let soon = drivemount::clock::Timestamp::from_millis(soon).to_rfc3339();
    drive.patch(&path).json(&json!({ "expirationTime": soon })).send().await.ok();
    // It ends by itself: asked for until it has.
    while guest.get(&file(&other)).send().await.status == 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guest.get(&file(&other)).send().await.refused(404, "notFound");
}

#[tokio::test]
async fn each_hears_of_what_comes_goes_and_changes_for_them() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let folder = drive.folder("folder", "root").await;
    let data = id(&drive.upload(&json!({ "name": "data", "parents": [folder] }), b"1").await);
    let token = start_token(&guest).await;
    drive.create(json!({ "name": "private" })).await;
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((there.len(), gone.len()), (0, 0));
    let given = share(&drive, &folder, &guest.email, "reader").await;
    let (there, _, token) = news(&guest, &token).await;
    assert_eq!(there, ["folder"]);
    drive.patch(&file(&data)).json(&json!({ "name": "renamed" })).send().await.ok();
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((&there[..], gone.len()), (&["renamed".to_owned()][..], 0));
    assert_eq!(drive.delete(&file(&data)).send().await.status, 204);
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((there.len(), &gone[..]), (0, &[data][..]));
    let path = format!("/drive/v3/files/{folder}/permissions/{given}");
    assert_eq!(drive.delete(&path).send().await.status, 204);
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((there.len(), &gone[..]), (0, std::slice::from_ref(&folder)));
    // Shared anew it is there, and not gone as well.
    share(&drive, &folder, &guest.email, "reader").await;
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((&there[..], gone.len()), (&["folder".to_owned()][..], 0));
    // Out of a shared folder is out of sight; the person of the drive sees a move.
    let inner = drive.folder("inner", &folder).await;
    let (_, _, token) = news(&guest, &token).await;
    let own = drive.start_page_token().await;
    let path = format!("{}?addParents=root&removeParents={folder}", file(&inner));
    drive.patch(&path).json(&json!({})).send().await.ok();
    let (there, gone, _) = news(&guest, &token).await;
    assert_eq!((there.len(), &gone[..]), (0, std::slice::from_ref(&inner)));
    let changes = drive.changes(&own).await;
    let changes = changes["changes"].as_array().expect("changes");
    assert!(changes.iter().all(|change| change["removed"] == false && change["fileId"] == *inner), "{changes:?}");
}

#[tokio::test]
async fn the_role_in_a_shared_drive_says_what_a_member_may_do() {
    let drive = start().await;
    let guest = Guest::sign_in(&drive, &["drive"], None).await;
    let token = start_token(&guest).await;
    let shared = id(&drive.post("/drive/v3/drives?requestId=1").json(&json!({ "name": "team" })).send().await.ok());
    let path = "/drive/v3/files?supportsAllDrives=true";
    let make = |name: &str, parent: &str| {
        drive.post(path).json(&json!({ "name": name, "mimeType": FOLDER, "parents": [parent] })).send()
    };
    let folder = id(&make("folder", &shared).await.ok());
    guest.get(&format!("/drive/v3/drives/{shared}")).send().await.refused(404, "notFound");
    guest.get(&format!("{}?supportsAllDrives=true", file(&folder))).send().await.refused(404, "notFound");
    let list = format!("/drive/v3/files?corpora=drive&driveId={shared}&{ALL}");
    guest.get(&list).send().await.refused(404, "notFound");
    let (there, gone, token) = news(&guest, &token).await;
    assert_eq!((there.len(), gone.len()), (0, 0));

    let member = share(&drive, &shared, &guest.email, "reader").await;
    let (there, _, token) = news(&guest, &token).await;
    assert_eq!(there, ["team"]);
    assert_eq!(guest.get("/drive/v3/drives").send().await.ok()["drives"][0]["name"], "team");
    assert_eq!(names(&guest.get(&list).send().await.ok()), ["folder"]);
    let all = format!("/drive/v3/files/{folder}/permissions?fields=*&supportsAllDrives=true");
    let all = guest.get(&all).send().await.ok();
    let own = all["permissions"].as_array().expect("permissions");
    let own = own.iter().find(|permission| permission["id"] == *member).expect("a member");
    let detail = &own["permissionDetails"][0];
    assert_eq!((&detail["permissionType"], &detail["inheritedFrom"]), (&json!("member"), &json!(shared)));

    // What is tried, and the least role that may do it.
    let roles = ["reader", "commenter", "writer", "fileOrganizer", "organizer"];
    let edit = |path: String, body: Value| guest.patch(&path).json(&body).send();
    for (rank, role) in roles.iter().enumerate() {
        let path = format!("/drive/v3/files/{shared}/permissions/{member}?supportsAllDrives=true");
        drive.patch(&path).json(&json!({ "role": role })).send().await.ok();
        let seen = guest.get(&format!("{}?supportsAllDrives=true&fields=*", file(&folder))).send().await.ok();
        let told = |capability: &str| seen["capabilities"][capability] == true;
        let own = format!("{}?supportsAllDrives=true", file(&folder));

        let renamed = edit(own.clone(), json!({ "name": "folder" })).await.status == 200;
        assert_eq!((renamed, told("canRename")), (rank >= 2, rank >= 2), "{role}");
        let new = json!({ "name": "a", "mimeType": FOLDER, "parents": [folder] });
        let made = guest.post(path_of_files()).json(&new).send().await;
        assert_eq!((made.status == 200, told("canAddChildren")), (rank >= 2, rank >= 2), "{role}");
        let trashed = edit(own.clone(), json!({ "trashed": true })).await.status == 200;
        drive.patch(&own).json(&json!({ "trashed": false })).send().await.ok();
        assert_eq!((trashed, told("canTrash")), (rank >= 3, rank >= 3), "{role}");
        let one = id(&make("one", &folder).await.ok());
        let to = format!("{}?supportsAllDrives=true&addParents={shared}&removeParents={folder}", file(&one));
        assert_eq!(edit(to, json!({})).await.status == 200, rank >= 3, "{role} moves");
        let deleted = guest.delete(&format!("{}?supportsAllDrives=true", file(&one))).send().await.status == 204;
        assert_eq!((deleted, told("canDelete")), (rank >= 4, rank >= 4), "{role}");
        let named = guest.patch(&format!("/drive/v3/drives/{shared}")).json(&json!({ "name": "team" })).send().await;
        assert_eq!(named.status == 200, rank >= 4, "{role} names the drive");
    }
    // In a shared drive a service account can put files: they are nobody's.
    let path = "/upload/drive/v3/files?uploadType=multipart&supportsAllDrives=true&fields=*";
    let call = drive.multipart(Method::POST, path, &json!({ "name": "data", "parents": [folder] }), b"content");
    assert_eq!(call.send().await.ok()["driveId"], shared);
    let new = json!({ "name": "theirs", "parents": [folder] });
    let made = guest.post(&format!("{}&fields=*", path_of_files())).json(&new).send().await.ok();
    assert_eq!((&made["driveId"], &made["owners"]), (&json!(shared), &Value::Null));

    // A drive keeps an organizer, and who leaves it hears of that.
    let member_path = |id: &str| format!("/drive/v3/files/{shared}/permissions/{id}?supportsAllDrives=true");
    let (_, _, token) = news(&guest, &token).await;
    assert_eq!(drive.delete(&member_path(&member)).send().await.status, 204);
    let (there, gone, _) = news(&guest, &token).await;
    assert_eq!((there.len(), &gone[..]), (0, std::slice::from_ref(&shared)));
    guest.get(&format!("/drive/v3/drives/{shared}")).send().await.refused(404, "notFound");
    let last = drive.file("root").await["owners"][0]["permissionId"].as_str().expect("an id").to_owned();
    drive.delete(&member_path(&last)).send().await.refused(403, "insufficientFilePermissions");
}

fn path_of_files() -> &'static str {
    "/drive/v3/files?supportsAllDrives=true"
}

#[tokio::test]
async fn what_is_locked_says_so_and_a_copy_of_it_is_not() {
    let drive = Drive::start().await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"content").await);
    let path = format!("/drive/v3/files/{file}?fields=*");
    let lock = json!({ "contentRestrictions": [{ "readOnly": true, "reason": "done" }] });
    let locked = drive.patch(&path).json(&lock).send().await.ok();
    for capability in ["canEdit", "canModifyContent", "canRename"] {
        assert_eq!(locked["capabilities"][capability], false, "{capability}");
    }
    drive.patch(&path).json(&json!({ "name": "b" })).send().await.refused(403, "insufficientFilePermissions");
    let copy = drive.post(&format!("/drive/v3/files/{file}/copy?fields=*")).json(&json!({})).send().await.ok();
    assert_eq!((&copy["contentRestrictions"], &copy["capabilities"]["canEdit"]), (&Value::Null, &json!(true)));
}
