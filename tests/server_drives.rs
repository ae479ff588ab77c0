//! Shared drives of the embedded drive.

#[path = "support/server.rs"]
mod support;

use drivemount::server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Call, Drive, FOLDER, id, names};

/// Asks for everything, everywhere, and to be told all of it.
fn all(call: Call<'_>) -> Call<'_> {
    call.query("supportsAllDrives", "true").query("includeItemsFromAllDrives", "true").query("fields", "*")
}

async fn shared_drive(drive: &Drive, name: &str) -> String {
    id(&drive.post(&format!("/drive/v3/drives?requestId={name}")).json(&json!({ "name": name })).send().await.ok())
}

async fn create(drive: &Drive, metadata: Value) -> Value {
    all(drive.post("/drive/v3/files")).json(&metadata).send().await.ok()
}

async fn folder(drive: &Drive, parent: &str) -> String {
    id(&create(drive, json!({ "name": "folder", "mimeType": FOLDER, "parents": [parent] })).await)
}

async fn upload(drive: &Drive, name: &str, parent: &str, content: &[u8]) -> Value {
    let metadata = json!({ "name": name, "parents": [parent] });
    all(drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &metadata, content))
        .send()
        .await
        .ok()
}

async fn get(drive: &Drive, id: &str) -> Value {
    all(drive.get(&format!("/drive/v3/files/{id}"))).send().await.ok()
}

async fn patch(drive: &Drive, id: &str, body: Value) -> Answer {
    all(drive.patch(&format!("/drive/v3/files/{id}"))).json(&body).send().await
}

async fn move_to(drive: &Drive, id: &str, from: &str, to: &str) -> Answer {
    let path = format!("/drive/v3/files/{id}?addParents={to}&removeParents={from}");
    all(drive.patch(&path)).json(&json!({})).send().await
}

/// What a log says, in short: ids of items and drives, with `-` in front of what was removed.
async fn log(drive: &Drive, token: &str, query: &str) -> Vec<String> {
    entries(&drive.get(&format!("/drive/v3/changes?pageToken={token}&fields=*&{query}")).send().await.ok())
}

fn entries(page: &Value) -> Vec<String> {
    let entry = |change: &Value| {
        let sign = if change["removed"] == true { "-" } else { "" };
        let (kind, id) = match change["fileId"].as_str() {
            Some(id) => ("", id),
            None => ("drive:", change["driveId"].as_str().expect("an id")),
        };
        assert_eq!(change["changeType"], if kind.is_empty() { "file" } else { "drive" }, "{change}");
        format!("{sign}{kind}{id}")
    };
    page["changes"].as_array().expect("changes").iter().map(entry).collect()
}

const ALL: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

#[tokio::test]
async fn a_drive_is_created_once_changed_hidden_and_deleted() {
    let mut drive = Drive::start().await;
    let list = drive.get("/drive/v3/drives?pageSize=100").send().await.ok();
    assert_eq!(list, json!({ "kind": "drive#driveList", "drives": [] }));
    drive.post("/drive/v3/drives").json(&json!({ "name": "x" })).send().await.refused(400, "required");
    drive.post("/drive/v3/drives?requestId=1").json(&json!({})).send().await.refused(400, "required");

    let body = json!({ "name": "Project", "restrictions": { "driveMembersOnly": true } });
    let created = drive.post("/drive/v3/drives?requestId=1").json(&body).send().await.ok();
    assert_eq!(created, json!({ "kind": "drive#drive", "id": created["id"], "name": "Project" }));
    drive.post("/drive/v3/drives?requestId=1").json(&body).send().await.refused(409, "teamDriveAlreadyExists");
    let path = format!("/drive/v3/drives/{}", id(&created));
    assert!(id(&created).starts_with("0A") && id(&created).len() == 19);

    let update = json!({ "name": "Other", "colorRgb": "#aabbcc", "restrictions": { "domainUsersOnly": true } });
    drive.patch(&path).json(&update).send().await.ok();
    drive.post(&format!("{path}/hide")).send().await.ok();
    drive.restart().await;
    let whole = drive.get(&format!("{path}?fields=*")).send().await.ok();
    assert_eq!((&whole["name"], &whole["colorRgb"]), (&json!("Other"), &json!("#aabbcc")));
    assert_eq!((&whole["hidden"], &whole["capabilities"]["canDeleteDrive"]), (&json!(true), &json!(true)));
    let restrictions = &whole["restrictions"];
    assert_eq!(restrictions["driveMembersOnly"], true);
    assert_eq!(restrictions["domainUsersOnly"], true);
    assert_eq!(restrictions["copyRequiresWriterPermission"], false);
    assert!(whole["createdTime"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(drive.post(&format!("{path}/unhide?fields=hidden")).send().await.ok(), json!({ "hidden": false }));

    drive.get(&format!("{path}?useDomainAdminAccess=true")).send().await.error();
    drive.get("/drive/v3/drives?useDomainAdminAccess=true").send().await.error();
    drive.delete(&format!("{path}?allowItemDeletion=true")).send().await.refused(400, "invalid");
    assert_eq!(drive.delete(&path).send().await.status, 204);
    for answer in [
        drive.get(&path).send().await,
        drive.delete(&path).send().await,
        drive.patch(&path).json(&json!({ "name": "x" })).send().await,
        drive.post(&format!("{path}/hide")).send().await,
    ] {
        answer.refused(404, "notFound");
        assert_eq!(answer.fault_location(), "driveId");
    }
    let about = drive.get("/drive/v3/about?fields=canCreateDrives").send().await.ok();
    assert_eq!(about, json!({ "canCreateDrives": true }));
}

#[tokio::test]
async fn drives_are_listed_in_pages_and_found_by_query() {
    let drive = Drive::start().await;
    let mut ids = Vec::new();
    for index in 0..12 {
        ids.push(shared_drive(&drive, &format!("d{index}")).await);
    }
    drive.post(&format!("/drive/v3/drives/{}/hide", ids[3])).send().await.ok();
    let page = drive.get("/drive/v3/drives").send().await.ok();
    assert_eq!(page["drives"].as_array().map(Vec::len), Some(10), "ten, if nobody says how many");
    let token = page["nextPageToken"].as_str().expect("a token");
    let rest = drive.get("/drive/v3/drives").query("pageToken", token).send().await.ok();
    let seen: Vec<String> =
        [&page, &rest].iter().flat_map(|page| page["drives"].as_array().expect("drives")).map(id).collect();
    assert_eq!(seen, ids);
    assert!(rest.get("nextPageToken").is_none());
    for (q, expected) in
        [("hidden = true", vec!["d3"]), ("name = 'D1'", vec!["d1"]), ("name contains 'd11'", vec!["d11"])]
    {
        let found = drive.get("/drive/v3/drives").query("q", q).send().await.ok();
        let found: Vec<&str> =
            found["drives"].as_array().expect("drives").iter().filter_map(|drive| drive["name"].as_str()).collect();
        assert_eq!(found, expected, "{q}");
    }
    for q in ["trashed = false", "memberCount > 1", "hidden"] {
        drive.get("/drive/v3/drives").query("q", q).send().await.refused(400, "invalid");
    }
    let other = drive.get("/drive/v3/drives?q=hidden=false").query("pageToken", token).send().await;
    other.refused(400, "invalid");
}

#[tokio::test]
async fn only_an_empty_drive_is_deleted_and_its_trash_goes_with_it() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let file = id(&upload(&drive, "a", &shared, b"123").await);
    let path = format!("/drive/v3/drives/{shared}");
    drive.delete(&path).send().await.refused(403, "cannotDeleteResourceWithChildren");
    patch(&drive, &file, json!({ "trashed": true })).await.ok();
    assert_eq!(drive.delete(&path).send().await.status, 204);
    for gone in [&file, &shared] {
        all(drive.get(&format!("/drive/v3/files/{gone}"))).send().await.refused(404, "notFound");
    }
}

#[tokio::test]
async fn an_item_of_a_shared_drive_looks_as_the_real_service_would_describe_it() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let top = get(&drive, &shared).await;
    assert_eq!((&top["name"], &top["driveId"], top.get("parents")), (&json!("Drive"), &json!(shared), None));
    assert_eq!(top["capabilities"]["canRename"], false);
    patch(&drive, &shared, json!({ "name": "x" })).await.refused(403, "insufficientFilePermissions");
    patch(&drive, &shared, json!({ "trashed": true })).await.refused(403, "insufficientFilePermissions");
    all(drive.delete(&format!("/drive/v3/files/{shared}"))).send().await.refused(403, "insufficientFilePermissions");

    let folder = folder(&drive, &shared).await;
    let file = upload(&drive, "a", &folder, b"123").await;
    assert_eq!((&file["driveId"], &file["teamDriveId"]), (&json!(shared), &json!(shared)));
    assert_eq!(file["parents"], json!([folder]));
    for absent in ["owners", "ownedByMe", "shared", "permissions", "writersCanShare", "trashedTime", "trashingUser"] {
        assert!(file.get(absent).is_none(), "{absent}");
    }
    let capabilities = get(&drive, &folder).await["capabilities"].clone();
    for name in ["canTrashChildren", "canDeleteChildren", "canReadDrive", "canMoveItemOutOfDrive"] {
        assert_eq!(capabilities[name], true, "{name}");
    }
    let mine = drive.create(json!({ "name": "mine" })).await;
    assert!(mine.get("driveId").is_none() && mine.get("trashedTime").is_none());
    assert!(mine["capabilities"].get("canTrashChildren").is_none());
    patch(&drive, &id(&file), json!({ "driveId": "x" })).await.refused(403, "fieldNotWritable");
}

#[tokio::test]
async fn who_does_not_know_of_shared_drives_does_not_find_what_is_in_them() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let file = id(&upload(&drive, "a", &shared, b"123").await);
    let path = format!("/drive/v3/files/{file}");
    for answer in [
        drive.get(&path).send().await,
        drive.get(&format!("{path}?alt=media")).send().await,
        drive.patch(&path).json(&json!({ "name": "b" })).send().await,
        drive.delete(&path).send().await,
        drive.post(&format!("{path}/copy")).send().await,
        drive.patch(&format!("/upload{path}?uploadType=media")).body("x").send().await,
        drive.patch(&format!("/upload{path}?uploadType=resumable")).send().await,
        drive.post("/drive/v3/files").json(&json!({ "parents": [shared] })).send().await,
    ] {
        answer.refused(404, "notFound");
    }
    assert_eq!(drive.get(&format!("{path}?alt=media&supportsAllDrives=true")).send().await.body, b"123");
    assert_eq!(drive.get(&format!("{path}?alt=media&supportsTeamDrives=true")).send().await.body, b"123");
    drive.get(&format!("{path}/revisions")).send().await.ok();

    // A session remembers what its start said.
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable&supportsAllDrives=true&fields=driveId");
    let session = start.json(&json!({ "parents": [shared] })).send().await.location();
    let done = drive.put(&session).body("content").send().await.ok();
    assert_eq!(done, json!({ "driveId": shared }));
}

#[tokio::test]
async fn listings_look_where_they_are_told_to() {
    let drive = Drive::start().await;
    let (one, two) = (shared_drive(&drive, "1").await, shared_drive(&drive, "2").await);
    drive.create(json!({ "name": "mine" })).await;
    let in_one = folder(&drive, &one).await;
    upload(&drive, "deep", &in_one, b"").await;
    upload(&drive, "other", &two, b"").await;
    let list = async |query: String| {
        let list = drive.get(&format!("/drive/v3/files?{query}")).send().await.ok();
        assert_eq!(list["incompleteSearch"], false);
        names(&list)
    };
    assert_eq!(list(String::new()).await, ["mine"]);
    assert_eq!(list("supportsAllDrives=true".into()).await, ["mine"]);
    let everything = ["mine", "folder", "deep", "other"];
    assert_eq!(list(ALL.into()).await, everything);
    assert_eq!(list(format!("{ALL}&corpora=allDrives")).await, everything);
    assert_eq!(list(format!("{ALL}&corpora=drive&driveId={one}")).await, ["folder", "deep"]);
    assert_eq!(list(format!("{ALL}&corpora=drive&driveId={two}")).await, ["other"]);
    assert_eq!(list(format!("{ALL}&q='{in_one}' in parents")).await, ["deep"]);
    assert_eq!(list(format!("{ALL}&q='{one}' in parents")).await, ["folder"]);
    assert_eq!(list(format!("q='{one}' in parents")).await, Vec::<String>::new());
    assert_eq!(list(format!("{ALL}&q='me' in owners")).await, ["mine"]);
    assert_eq!(list(format!("{ALL}&q='me' in writers")).await, everything);

    let refused = async |query: String| drive.get(&format!("/drive/v3/files?{query}")).send().await.error();
    assert_eq!(refused("includeItemsFromAllDrives=true".into()).await.0, 403);
    assert_eq!(refused("corpora=allDrives&supportsAllDrives=true".into()).await.0, 403);
    assert_eq!(refused(format!("corpora=drive&driveId={one}&supportsAllDrives=true")).await.0, 403);
    assert_eq!(refused(format!("{ALL}&corpora=drive")).await.0, 400);
    assert_eq!(refused(format!("{ALL}&driveId={one}")).await.0, 400);
    assert_eq!(refused(format!("{ALL}&corpora=drive&driveId=nope")).await.0, 404);

    let page = drive.get(&format!("/drive/v3/files?pageSize=1&{ALL}")).send().await.ok();
    let token = page["nextPageToken"].as_str().expect("a token").to_owned();
    let elsewhere = drive.get("/drive/v3/files?pageSize=1").query("pageToken", &token).send().await;
    elsewhere.refused(400, "invalid");
}

#[tokio::test]
async fn files_move_between_drives_and_folders_do_not_move_in() {
    let drive = Drive::start().await;
    let (one, two) = (shared_drive(&drive, "1").await, shared_drive(&drive, "2").await);
    let root = id(&drive.file("root").await);
    let file = upload(&drive, "a", "root", b"123").await;
    let used =
        async || drive.get("/drive/v3/about?fields=storageQuota").send().await.ok()["storageQuota"]["usage"].clone();
    assert_eq!(used().await, "3");
    let file = id(&file);
    for (from, to, driven, usage) in
        [(&root, &one, Some(&one), "0"), (&one, &two, Some(&two), "0"), (&two, &root, None, "3")]
    {
        let moved = move_to(&drive, &file, from, to).await.ok();
        assert_eq!((&moved["parents"], moved["driveId"].as_str()), (&json!([to]), driven.map(String::as_str)));
        assert_eq!(used().await, usage);
    }
    let mine = drive.folder("mine", "root").await;
    move_to(&drive, &mine, &root, &one).await.refused(403, "teamDrivesFolderMoveInNotSupported");
    let theirs = folder(&drive, &one).await;
    move_to(&drive, &theirs, &one, &two).await.refused(403, "teamDrivesFolderMoveInNotSupported");

    // Out of a drive a folder goes with all that is in it.
    let inner = folder(&drive, &theirs).await;
    let deep = id(&upload(&drive, "deep", &inner, b"4567").await);
    let moved = move_to(&drive, &theirs, &one, "root").await.ok();
    assert!(moved.get("driveId").is_none());
    assert_eq!(drive.file(&deep).await["parents"], json!([inner]));
    assert_eq!(used().await, "7");

    let add =
        async |id: &str, to: &str| all(drive.patch(&format!("/drive/v3/files/{id}?addParents={to}"))).send().await;
    add(&file, &one).await.refused(403, "teamDrivesParentLimit");
    add(&file, &mine).await.refused(403, "cannotAddParent");
    let shared = id(&upload(&drive, "b", &one, b"").await);
    add(&shared, &mine).await.refused(403, "teamDrivesParentLimit");
    let orphan = all(drive.patch(&format!("/drive/v3/files/{shared}?removeParents={one}"))).send().await;
    orphan.refused(403, "teamDrivesParentLimit");
    let outer = folder(&drive, &one).await;
    let inner = folder(&drive, &outer).await;
    move_to(&drive, &outer, &one, &inner).await.refused(400, "badRequest");
    move_to(&drive, &one, &one, &two).await.refused(403, "insufficientFilePermissions");

    for (file, from, to, reason) in [
        (&file, &root, &one, "cannotMoveTrashedItemIntoTeamDrive"),
        (&shared, &one, &root, "cannotMoveTrashedItemOutOfTeamDrive"),
    ] {
        patch(&drive, file, json!({ "trashed": true })).await.ok();
        move_to(&drive, file, from, to).await.refused(403, reason);
    }
}

#[tokio::test]
async fn a_copy_goes_where_its_source_is_or_where_it_shall() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let file = id(&upload(&drive, "a", &shared, b"123").await);
    let copy = |body: Value| all(drive.post(&format!("/drive/v3/files/{file}/copy"))).json(&body).send();
    assert_eq!(copy(json!({})).await.ok()["driveId"], json!(shared));
    let mine = copy(json!({ "parents": ["root"] })).await.ok();
    assert!(mine.get("driveId").is_none());
    assert_eq!(drive.content(&id(&mine)).await, b"123");
}

#[tokio::test]
async fn each_drive_has_a_trash_of_its_own() {
    let drive = Drive::start().await;
    let (one, two) = (shared_drive(&drive, "1").await, shared_drive(&drive, "2").await);
    let mut files = Vec::new();
    let inner = folder(&drive, &two).await;
    for parent in ["root", &one, &two, &inner] {
        files.push(id(&upload(&drive, "a", parent, b"1").await));
    }
    for file in files[..3].iter().chain([&inner]) {
        patch(&drive, file, json!({ "trashed": true })).await.ok();
    }
    let trashed = get(&drive, &files[1]).await;
    assert!(trashed["trashedTime"].is_string() && trashed["trashingUser"]["me"] == true, "{trashed}");
    let below = get(&drive, &files[3]).await;
    assert!(below["trashed"] == true && below.get("trashedTime").is_none() && below.get("trashingUser").is_none());
    assert!(get(&drive, &files[0]).await.get("trashedTime").is_none(), "of shared drives only");

    let left = async || {
        let mut left = Vec::new();
        for file in &files {
            left.push(all(drive.get(&format!("/drive/v3/files/{file}"))).send().await.status == 200);
        }
        left
    };
    assert_eq!(drive.delete(&format!("/drive/v3/files/trash?driveId={one}")).send().await.status, 204);
    assert_eq!(left().await, [true, false, true, true]);
    assert_eq!(drive.delete("/drive/v3/files/trash").send().await.status, 204);
    assert_eq!(left().await, [false, false, true, true]);
    drive.delete("/drive/v3/files/trash?driveId=nope").send().await.refused(404, "notFound");
    let restored = patch(&drive, &files[2], json!({ "trashed": false })).await.ok();
    assert!(restored["trashed"] == false && restored.get("trashedTime").is_none());
    assert_eq!(drive.delete(&format!("/drive/v3/files/trash?driveId={two}")).send().await.status, 204);
    assert_eq!(left().await, [false, false, true, false]);
}

#[tokio::test]
async fn a_shared_drive_is_limited_in_items_and_depth_and_uses_nobodys_storage() {
    let limits = Limits { storage: Some(4), drive_items: 3, depth: 2, children: 1, ..Limits::default() };
    let drive = Drive::start_with(limits).await;
    let shared = shared_drive(&drive, "d").await;
    let outer = folder(&drive, &shared).await;
    let inner = folder(&drive, &outer).await;
    let too_deep = json!({ "mimeType": FOLDER, "parents": [inner] });
    all(drive.post("/drive/v3/files")).json(&too_deep).send().await.refused(403, "teamDriveHierarchyTooDeep");
    let large = id(&upload(&drive, "large", &outer, b"12345678").await);
    let one_more = all(drive.post("/drive/v3/files")).json(&json!({ "parents": [shared] })).send().await;
    one_more.refused(403, "teamDriveFileLimitExceeded");
    let copy = all(drive.post(&format!("/drive/v3/files/{large}/copy"))).send().await;
    copy.refused(403, "teamDriveFileLimitExceeded");
    let mine = id(&drive.upload(&json!({ "name": "mine" }), b"12").await);
    move_to(&drive, &mine, "root", &shared).await.refused(403, "teamDriveFileLimitExceeded");
    move_to(&drive, &large, &outer, &shared).await.ok();
    move_to(&drive, &large, &shared, "root").await.refused(403, "storageQuotaExceeded");
    assert_eq!(get(&drive, &large).await["parents"], json!([shared]), "it is where it was");
}

#[tokio::test]
async fn each_log_tells_of_its_own_drive() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let of_drive = format!("{ALL}&driveId={shared}");
    let start = drive.get(&format!("/drive/v3/changes/startPageToken?supportsAllDrives=true&driveId={shared}"));
    let start = start.send().await.ok()["startPageToken"].as_str().expect("a token").to_owned();
    let mine = id(&drive.create(json!({ "name": "mine" })).await);
    let theirs = id(&upload(&drive, "theirs", &shared, b"1").await);
    patch(&drive, &theirs, json!({ "name": "renamed" })).await.ok();
    assert_eq!(log(&drive, &start, "").await, [&*mine]);
    assert_eq!(log(&drive, &start, &of_drive).await, [&*theirs], "once");
    assert_eq!(log(&drive, &start, ALL).await, [&*mine], "what is in a drive is told by its own log");
    assert_eq!(log(&drive, &start, &format!("{ALL}&restrictToMyDrive=true")).await, [&*mine]);

    // From the user's log into the drive's, and back.
    let root = id(&drive.file("root").await);
    move_to(&drive, &mine, &root, &shared).await.ok();
    assert_eq!(log(&drive, &start, "").await, [format!("-{mine}")]);
    assert_eq!(log(&drive, &start, &of_drive).await, [&*theirs, &*mine]);
    assert_eq!(log(&drive, &start, ALL).await, [format!("-{mine}")]);
    let page = drive.get(&format!("/drive/v3/changes?pageToken={start}&fields=*&includeCorpusRemovals=true"));
    let page = page.send().await.ok();
    assert_eq!(
        (&page["changes"][0]["removed"], &page["changes"][0]["file"]["driveId"]),
        (&json!(true), &json!(shared))
    );
    move_to(&drive, &mine, &shared, &root).await.ok();
    assert_eq!(log(&drive, &start, "").await, [&*mine]);
    assert_eq!(log(&drive, &start, &of_drive).await, [theirs.clone(), format!("-{mine}")]);
    assert_eq!(log(&drive, &start, &format!("{of_drive}&includeRemoved=false")).await, [&*theirs]);

    all(drive.delete(&format!("/drive/v3/files/{theirs}"))).send().await;
    let gone = format!("-{theirs}");
    assert_eq!(log(&drive, &start, &of_drive).await, [format!("-{mine}"), gone]);
    assert_eq!(log(&drive, &start, ALL).await, [&*mine]);
    assert_eq!(log(&drive, &start, "").await, [&*mine]);

    let refused = async |query: String| drive.get(&format!("/drive/v3/changes{query}")).send().await.error().0;
    assert_eq!(refused(format!("?pageToken=1&driveId={shared}&supportsAllDrives=true")).await, 403);
    assert_eq!(refused("?pageToken=1&includeItemsFromAllDrives=true".into()).await, 403);
    assert_eq!(refused(format!("?pageToken=1&{ALL}&driveId=nope")).await, 404);
    assert_eq!(refused(format!("/startPageToken?driveId={shared}")).await, 403);
    assert_eq!(refused("/startPageToken?supportsAllDrives=true&driveId=nope".into()).await, 404);
}

#[tokio::test]
async fn a_drive_itself_is_a_change_of_its_own_kind() {
    let drive = Drive::start().await;
    let start = drive.start_page_token().await;
    let shared = shared_drive(&drive, "d").await;
    let told = format!("drive:{shared}");
    assert_eq!(log(&drive, &start, ALL).await, [&*told], "one entry, as a drive");
    assert_eq!(log(&drive, &start, "").await, Vec::<String>::new());
    let file = id(&upload(&drive, "a", &shared, b"").await);
    drive.patch(&format!("/drive/v3/drives/{shared}")).json(&json!({ "name": "e" })).send().await.ok();
    let page = drive.get(&format!("/drive/v3/changes?pageToken={start}&{ALL}")).send().await.ok();
    assert_eq!(entries(&page), [&*told]);
    assert_eq!(page["changes"][0]["drive"], json!({ "kind": "drive#drive", "id": shared, "name": "e" }));
    let own = format!("{ALL}&driveId={shared}");
    assert!(log(&drive, &start, &own).await.contains(&told));

    all(drive.delete(&format!("/drive/v3/files/{file}"))).send().await;
    assert_eq!(drive.delete(&format!("/drive/v3/drives/{shared}")).send().await.status, 204);
    assert_eq!(log(&drive, &start, ALL).await, [format!("-{told}")]);
    let ended = drive.get(&format!("/drive/v3/changes?pageToken={start}&{own}")).send().await;
    ended.refused(404, "notFound");
}

#[tokio::test]
async fn a_folder_that_leaves_a_drive_takes_its_items_from_one_log_to_the_other() {
    let drive = Drive::start().await;
    let shared = shared_drive(&drive, "d").await;
    let folder = folder(&drive, &shared).await;
    let file = id(&upload(&drive, "a", &folder, b"").await);
    let start = drive.start_page_token().await;
    move_to(&drive, &folder, &shared, "root").await.ok();
    let mut mine = log(&drive, &start, "").await;
    let mut theirs = log(&drive, &start, &format!("{ALL}&driveId={shared}")).await;
    let mut expected = [folder, file];
    expected.sort();
    mine.sort();
    theirs.sort();
    assert_eq!(mine, expected);
    assert_eq!(theirs, expected.map(|id| format!("-{id}")));
}
