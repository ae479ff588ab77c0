//! Files and folders of the embedded drive: what can be done to them, and what is refused.

#[path = "support/server.rs"]
mod support;

use drivemount::server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Drive, FOLDER, id};

const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
const DOCUMENT: &str = "application/vnd.google-apps.document";

#[tokio::test]
async fn about_needs_fields_and_tells_the_quota_in_strings() {
    let drive = Drive::start_with(Limits { storage: Some(1000), ..Limits::default() }).await;
    let answer = drive.get("/drive/v3/about").send().await;
    answer.refused(400, "required");
    assert_eq!(answer.fault_location(), "fields");
    drive.upload(&json!({}), &[1; 300]).await;
    let trashed = drive.upload(&json!({}), &[1; 200]).await;
    drive.patch(&format!("/drive/v3/files/{}", id(&trashed))).json(&json!({ "trashed": true })).send().await.ok();

    let about = drive.get("/drive/v3/about?fields=*").send().await.ok();
    let quota = json!({ "limit": "1000", "usage": "500", "usageInDrive": "500", "usageInDriveTrash": "200" });
    assert_eq!(about["storageQuota"], quota);
    assert_eq!(about["maxUploadSize"], "5497558138880");
    assert_eq!(about["user"]["me"], true);
    let user = drive.get("/drive/v3/about?fields=user/permissionId").send().await.ok();
    assert_eq!(user, json!({ "user": { "permissionId": about["user"]["permissionId"] } }));
}

#[tokio::test]
async fn a_full_drive_takes_no_more_bytes_but_lets_files_shrink() {
    let drive = Drive::start_with(Limits { storage: Some(1000), ..Limits::default() }).await;
    let file = id(&drive.upload(&json!({ "name": "a" }), &[1; 900]).await);
    let path = "/upload/drive/v3/files?uploadType=multipart";
    let answer = drive.multipart(Method::POST, path, &json!({}), &[1; 101]).send().await;
    answer.refused(403, "storageQuotaExceeded");
    assert_eq!(answer.json()["error"]["errors"][0]["domain"], "usageLimits");
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable").header("x-upload-content-length", "101");
    start.send().await.refused(403, "storageQuotaExceeded");
    drive.post(&format!("/drive/v3/files/{file}/copy")).send().await.refused(403, "storageQuotaExceeded");

    let update = format!("/upload/drive/v3/files/{file}?uploadType=media&fields=quotaBytesUsed");
    assert_eq!(drive.patch(&update).body(vec![1; 950]).send().await.ok()["quotaBytesUsed"], "950");
    drive.patch(&update).body(vec![1; 1001]).send().await.refused(403, "storageQuotaExceeded");
    assert_eq!(drive.patch(&update).body(vec![1; 10]).send().await.ok()["quotaBytesUsed"], "10");
    drive.create(json!({ "mimeType": FOLDER })).await;
    drive.delete(&format!("/drive/v3/files/{file}")).send().await;
    let about = drive.get("/drive/v3/about?fields=storageQuota(usage)").send().await.ok();
    assert_eq!(about["storageQuota"]["usage"], "0");
}

#[tokio::test]
async fn a_new_file_looks_as_the_real_service_would_describe_it() {
    let drive = Drive::start().await;
    let file = drive
        .upload(&json!({ "name": "data.tar.gz", "modifiedTime": "2001-02-03T04:05:06.789123+01:00" }), b"abc")
        .await;
    assert_eq!(file["kind"], "drive#file");
    assert_eq!(file["size"], "3");
    assert_eq!(file["quotaBytesUsed"], "3");
    assert_eq!(file["md5Checksum"], "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(file["sha1Checksum"], "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(file["sha256Checksum"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(file["modifiedTime"], "2001-02-03T03:05:06.789Z");
    assert_eq!(file["fileExtension"], "gz");
    assert_eq!(file["fullFileExtension"], "tar.gz");
    assert_eq!(file["spaces"], json!(["drive"]));
    assert_eq!(file["trashed"], false);
    assert!(file["version"].as_str().is_some_and(|version| version.parse::<u64>().is_ok()));
    assert!(id(&file).len() == 33 && id(&file).starts_with('1'));
    let root = drive.file("root").await;
    assert_eq!(file["parents"], json!([root["id"]]));
    assert!(id(&root).starts_with("0A") && root.get("parents").is_none());
    let created = file["createdTime"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.len() == "2026-01-02T03:04:05.678Z".len(), "{created}");
}

#[tokio::test]
async fn an_item_that_does_not_exist_is_not_found_by_its_id() {
    let drive = Drive::start().await;
    for call in [
        drive.get("/drive/v3/files/nope"),
        drive.get("/drive/v3/files/nope?alt=media"),
        drive.patch("/drive/v3/files/nope").json(&json!({ "name": "x" })),
        drive.delete("/drive/v3/files/nope"),
        drive.post("/drive/v3/files/nope/copy"),
        drive.post("/drive/v3/files").json(&json!({ "parents": ["nope"] })),
        drive.patch("/upload/drive/v3/files/nope?uploadType=media").body("x"),
        drive.patch("/upload/drive/v3/files/nope?uploadType=resumable"),
    ] {
        let answer = call.send().await;
        answer.refused(404, "notFound");
        assert_eq!(answer.json()["error"]["message"], "File not found: nope.");
        assert_eq!(answer.fault_location(), "fileId");
    }
}

#[tokio::test]
async fn names_are_free_and_may_repeat() {
    let drive = Drive::start().await;
    let hostile = ["", ".", "..", "a/b", "\\", "nul\0byte", " blank ", "ü", "u\u{308}", "x\ny", "same", "same"];
    for name in hostile {
        let file = drive.create(json!({ "name": name })).await;
        assert_eq!(drive.file(&id(&file)).await["name"], name);
    }
    assert_eq!(drive.names("'root' in parents").await, hostile);
    assert_eq!(drive.create(json!({})).await["name"], "Untitled");
    assert_eq!(drive.create(json!({ "name": null })).await["name"], "Untitled");
    let answer = drive.post("/drive/v3/files").json(&json!({ "name": "x".repeat(33_000) })).send().await;
    answer.refused(400, "invalid");
}

#[tokio::test]
async fn generated_ids_can_be_used_once_and_others_never() {
    let drive = Drive::start().await;
    let generated = drive.get("/drive/v3/files/generateIds?count=3").send().await.ok();
    assert_eq!(generated["kind"], "drive#generatedIds");
    assert_eq!(generated["space"], "drive");
    let ids: Vec<&str> = generated["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert_eq!(ids.len(), 3);
    let post = |body: Value| drive.post("/drive/v3/files").json(&body).send();

    assert_eq!(id(&post(json!({ "id": ids[0], "mimeType": FOLDER })).await.ok()), ids[0]);
    post(json!({ "id": ids[0], "mimeType": FOLDER })).await.refused(409, "fileIdInUse");
    drive.patch(&format!("/drive/v3/files/{}", ids[0])).json(&json!({ "trashed": true })).send().await.ok();
    post(json!({ "id": ids[0] })).await.refused(409, "fileIdInUse");
    assert_eq!(drive.delete(&format!("/drive/v3/files/{}", ids[0])).send().await.status, 204);
    post(json!({ "id": ids[0] })).await.refused(409, "fileIdInUse");

    let uploaded = drive.upload(&json!({ "id": ids[1] }), b"x").await;
    assert_eq!(id(&uploaded), ids[1]);
    let copied =
        drive.post(&format!("/drive/v3/files/{}/copy", ids[1])).json(&json!({ "id": ids[2] })).send().await.ok();
    assert_eq!(id(&copied), ids[2]);
    let again =
        drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &json!({ "id": ids[1] }), b"y");
    again.send().await.refused(409, "fileIdInUse");
    let session = drive.post("/upload/drive/v3/files?uploadType=resumable").json(&json!({ "id": ids[1] }));
    session.send().await.refused(409, "fileIdInUse");

    post(json!({ "id": "1never-minted" })).await.refused(400, "invalid");
    let own = drive.create(json!({})).await;
    post(json!({ "id": own["id"] })).await.refused(409, "fileIdInUse");
}

#[tokio::test]
async fn generated_ids_are_for_the_type_they_were_asked_for() {
    let drive = Drive::start().await;
    let one = async |query: &str| {
        let answer = drive.get(&format!("/drive/v3/files/generateIds?count=1&{query}")).send().await.ok();
        answer["ids"][0].as_str().expect("an id").to_owned()
    };
    let post = |body: Value| drive.post("/drive/v3/files").json(&body).send();
    let target = id(&drive.create(json!({ "name": "target" })).await);
    let shortcut = |id: String| json!({ "id": id, "mimeType": SHORTCUT, "shortcutDetails": { "targetId": target } });
    post(shortcut(one("type=files").await)).await.refused(400, "invalid");
    post(json!({ "id": one("type=shortcuts").await })).await.refused(400, "invalid");
    post(shortcut(one("type=shortcuts").await)).await.ok();
    post(json!({ "id": one("").await, "mimeType": DOCUMENT })).await.refused(400, "generatedIdNotSupported");
    for query in ["count=0", "count=1001", "count=x", "type=folders", "space=photos"] {
        assert_eq!(drive.get(&format!("/drive/v3/files/generateIds?{query}")).send().await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn an_update_bumps_version_and_time_and_leaves_the_content_alone() {
    let drive = Drive::start().await;
    let before = drive.upload(&json!({ "name": "a", "modifiedTime": "2001-01-01T00:00:00Z" }), b"abc").await;
    let path = format!("/drive/v3/files/{}?fields=*", id(&before));
    let version = |file: &Value| file["version"].as_str().expect("a version").parse::<u64>().expect("a number");
    let renamed = drive.patch(&path).json(&json!({ "name": "b" })).send().await.ok();
    assert_eq!(renamed["name"], "b");
    assert!(version(&renamed) > version(&before));
    assert_ne!(renamed["modifiedTime"], before["modifiedTime"]);
    assert_eq!(renamed["headRevisionId"], before["headRevisionId"]);
    assert_eq!(renamed["createdTime"], before["createdTime"]);

    let body = json!({ "modifiedTime": "2002-01-01T00:00:00.5Z", "starred": true, "description": "d", "viewedByMeTime": "2003-01-01T00:00:00Z" });
    let touched = drive.patch(&path).json(&body).send().await.ok();
    assert_eq!(touched["modifiedTime"], "2002-01-01T00:00:00.500Z");
    assert_eq!((&touched["starred"], &touched["description"]), (&json!(true), &json!("d")));
    let cleared = drive.patch(&path).json(&json!({ "description": null, "viewedByMeTime": null })).send().await.ok();
    assert!(cleared.get("description").is_none() && cleared.get("viewedByMeTime").is_none());

    let unchanged = drive.patch(&path).json(&json!({})).send().await.ok();
    assert_eq!(unchanged, cleared);
    let retyped = drive.patch(&path).json(&json!({ "mimeType": "text/html" })).send().await.ok();
    assert_eq!(retyped["mimeType"], before["mimeType"], "a type changes only with the content");
    let original = drive.patch(&path).json(&json!({ "originalFilename": "o" })).send().await.ok();
    assert_eq!((&before["originalFilename"], &original["originalFilename"]), (&json!("a"), &json!("o")));
    let matched = drive.patch(&path).header("if-match", "\"etag\"").json(&json!({ "name": "c" })).send().await.ok();
    assert_eq!(matched["name"], "c", "v3 ignores If-Match");
}

#[tokio::test]
async fn fields_that_only_the_drive_writes_are_refused_in_an_update() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({ "name": "a", "size": "7", "version": "1" })).await);
    let path = format!("/drive/v3/files/{file}");
    for body in [
        json!({ "parents": ["root"] }),
        json!({ "id": file }),
        json!({ "createdTime": "2001-01-01T00:00:00Z" }),
        json!({ "size": "1" }),
    ] {
        drive.patch(&path).json(&body).send().await.refused(403, "fieldNotWritable");
    }
    drive.patch(&path).json(&json!({ "kind": "drive#file", "whatever": 1, "name": "b" })).send().await.ok();
}

#[tokio::test]
async fn properties_merge_and_null_deletes() {
    let drive = Drive::start().await;
    let file = drive.create(json!({ "properties": { "a": "1", "b": "2" }, "appProperties": { "c": "3" } })).await;
    let path = format!("/drive/v3/files/{}?fields=properties,appProperties", id(&file));
    let patch = async |body: Value| drive.patch(&path).json(&body).send().await;
    let merged = patch(json!({ "properties": { "a": null, "b": "4", "d": "5" } })).await.ok();
    assert_eq!(merged, json!({ "properties": { "b": "4", "d": "5" }, "appProperties": { "c": "3" } }));
    let emptied = patch(json!({ "appProperties": { "c": null } })).await.ok();
    assert_eq!(emptied, json!({ "properties": { "b": "4", "d": "5" } }));
    patch(json!({ "properties": { "key": "x".repeat(122) } })).await.refused(403, "propertyLengthLimitExceeded");
    let many: serde_json::Map<_, _> = (0..31).map(|index| (format!("k{index}"), json!("v"))).collect();
    patch(json!({ "properties": many })).await.refused(403, "propertyCountLimitExceeded");
    patch(json!({ "appProperties": many })).await.refused(403, "propertyCountLimitExceeded");
    assert_eq!(patch(json!({})).await.ok(), emptied, "a refused change leaves nothing behind");
}

#[tokio::test]
async fn folders_shortcuts_and_documents_have_no_bytes() {
    let drive = Drive::start().await;
    let folder = drive.create(json!({ "name": "f", "mimeType": FOLDER })).await;
    let shortcut = json!({ "mimeType": SHORTCUT, "shortcutDetails": { "targetId": folder["id"] } });
    let shortcut = drive.create(shortcut).await;
    assert_eq!(shortcut["name"], "f", "a shortcut takes the name of its target");
    assert_eq!(shortcut["shortcutDetails"], json!({ "targetId": folder["id"], "targetMimeType": FOLDER }));
    let document = drive.create(json!({ "name": "d", "mimeType": DOCUMENT })).await;
    for item in [&folder, &shortcut, &document] {
        for field in ["size", "md5Checksum", "sha1Checksum", "sha256Checksum", "headRevisionId", "originalFilename"] {
            assert!(item.get(field).is_none(), "{field} of {item}");
        }
        let media = drive.get(&format!("/drive/v3/files/{}?alt=media", id(item))).send().await;
        media.refused(403, "fileNotDownloadable");
    }
    for item in [&folder, &shortcut] {
        let upload = drive.patch(&format!("/upload/drive/v3/files/{}?uploadType=media", id(item))).body("x");
        upload.send().await.refused(403, "fileNeverWritable");
    }
    let post = |body: Value| drive.post("/drive/v3/files").json(&body).send();
    post(json!({ "mimeType": SHORTCUT })).await.refused(400, "required");
    post(json!({ "mimeType": SHORTCUT, "shortcutDetails": { "targetId": "nope" } })).await.refused(404, "notFound");
    let twice = json!({ "mimeType": SHORTCUT, "shortcutDetails": { "targetId": shortcut["id"] } });
    post(twice).await.refused(403, "shortcutTargetInvalid");
    post(json!({ "mimeType": "application/vnd.google-apps.nonsense" })).await.refused(400, "invalid");
    let metadata = json!({ "mimeType": FOLDER });
    let upload = drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &metadata, b"x");
    upload.send().await.refused(400, "badRequest");

    assert_eq!(drive.delete(&format!("/drive/v3/files/{}", id(&folder))).send().await.status, 204);
    assert_eq!(drive.file(&id(&shortcut)).await["shortcutDetails"]["targetId"], folder["id"], "a shortcut may dangle");
}

#[tokio::test]
async fn documents_can_be_exported_and_files_cannot() {
    let drive = Drive::start().await;
    let document = drive.create(json!({ "mimeType": DOCUMENT })).await;
    let link = document["exportLinks"]["text/markdown"].as_str().expect("a link");
    let exported = drive.get(link).header("range", "bytes=0-0").send().await;
    assert_eq!((exported.status, exported.header("content-type")), (200, Some("text/markdown")));
    let path = format!("/drive/v3/files/{}/export", id(&document));
    drive.get(&path).send().await.refused(400, "required");
    drive.get(&format!("{path}?mimeType=video/mp4")).send().await.refused(400, "badRequest");
    let file = id(&drive.create(json!({})).await);
    let export = drive.get(&format!("/drive/v3/files/{file}/export?mimeType=text/plain"));
    export.send().await.refused(403, "fileNotExportable");
}

#[tokio::test]
async fn an_item_has_one_parent_and_no_folder_lies_within_itself() {
    let drive = Drive::start().await;
    let (a, b) = (drive.folder("a", "root").await, drive.folder("b", "root").await);
    let inner = drive.folder("inner", &a).await;
    let file = id(&drive.create(json!({ "name": "file", "parents": [a] })).await);
    let root = id(&drive.file("root").await);
    let move_to = async |item: &str, query: &str| {
        drive.patch(&format!("/drive/v3/files/{item}?fields=parents,name&{query}")).send().await
    };
    move_to(&file, &format!("addParents={b}")).await.refused(403, "cannotAddParent");
    move_to(&file, &format!("addParents={b}&removeParents={root}")).await.refused(403, "cannotAddParent");
    move_to(&file, &format!("addParents={b},{inner}&removeParents={a}")).await.refused(403, "cannotAddParent");
    move_to(&file, &format!("addParents={b},{b}&removeParents={a}")).await.refused(400, "badRequest");
    move_to(&file, &format!("addParents={file}&removeParents={a}")).await.refused(403, "parentNotAFolder");
    move_to(&file, &format!("addParents=nope&removeParents={a}")).await.refused(404, "notFound");
    move_to(&a, &format!("addParents={inner}&removeParents=root")).await.refused(400, "badRequest");
    move_to(&a, &format!("addParents={a}&removeParents=root")).await.refused(400, "badRequest");
    move_to("root", &format!("addParents={a}")).await.refused(403, "insufficientFilePermissions");
    assert_eq!(drive.file(&file).await["parents"], json!([a]));

    let moved = drive
        .patch(&format!("/drive/v3/files/{file}?fields=parents,name&addParents={b}&removeParents={a}"))
        .json(&json!({ "name": "renamed" }));
    assert_eq!(moved.send().await.ok(), json!({ "parents": [b], "name": "renamed" }));
    assert_eq!(drive.names(&format!("'{a}' in parents")).await, ["inner"]);
    assert_eq!(drive.names(&format!("'{b}' in parents")).await, ["renamed"]);
    assert_eq!(move_to(&file, &format!("addParents={b}")).await.ok()["parents"], json!([b]), "it is there already");
    assert_eq!(move_to(&file, &format!("removeParents={b}")).await.ok()["parents"], json!([root]));
    assert_eq!(move_to(&file, &format!("addParents={b}&removeParents=root")).await.ok()["parents"], json!([b]));

    let post = |body: Value| drive.post("/drive/v3/files").json(&body).send();
    post(json!({ "parents": [a, b] })).await.refused(400, "invalid");
    post(json!({ "parents": [file] })).await.refused(403, "parentNotAFolder");
    assert_eq!(drive.create(json!({ "parents": [] })).await["parents"], json!([root]));
}

#[tokio::test]
async fn folders_are_limited_in_depth_and_in_children() {
    let drive = Drive::start_with(Limits { depth: 3, children: 2, ..Limits::default() }).await;
    let one = drive.folder("1", "root").await;
    let two = drive.folder("2", &one).await;
    let three = drive.folder("3", &two).await;
    let create = |parent: &str, mime_type: &str| {
        drive.post("/drive/v3/files").json(&json!({ "parents": [parent], "mimeType": mime_type })).send()
    };
    create(&three, FOLDER).await.refused(403, "myDriveHierarchyDepthLimitExceeded");
    create(&three, "text/plain").await.ok();
    let pair = drive.folder("a", "root").await;
    drive.folder("b", &pair).await;
    let move_to = |item: &str, to: &str| {
        drive.patch(&format!("/drive/v3/files/{item}?addParents={to}&removeParents=root")).send()
    };
    move_to(&pair, &two).await.refused(403, "myDriveHierarchyDepthLimitExceeded");
    move_to(&pair, &one).await.ok();
    create(&one, "text/plain").await.refused(403, "numChildrenInNonRootLimitExceeded");
    let file = id(&drive.create(json!({})).await);
    move_to(&file, &one).await.refused(403, "numChildrenInNonRootLimitExceeded");
    assert_eq!(drive.delete(&format!("/drive/v3/files/{pair}")).send().await.status, 204);
    move_to(&file, &one).await.ok();
    for _ in 0..5 {
        create("root", "text/plain").await.ok();
    }
}

#[tokio::test]
async fn the_root_keeps_its_name_and_place() {
    let drive = Drive::start().await;
    let root = drive.file("root").await;
    assert_eq!((&root["name"], &root["mimeType"]), (&json!("My Drive"), &json!(FOLDER)));
    for body in [json!({ "name": "x" }), json!({ "trashed": true })] {
        drive.patch("/drive/v3/files/root").json(&body).send().await.refused(403, "insufficientFilePermissions");
    }
    assert_eq!(root["capabilities"]["canRename"], false);
    assert_eq!(drive.names("").await, Vec::<String>::new(), "the root is in no listing");
    assert_eq!(drive.file(&id(&root)).await, root);
}

#[tokio::test]
async fn a_copy_has_the_same_bytes_and_a_life_of_its_own() {
    let drive = Drive::start().await;
    let folder = drive.folder("folder", "root").await;
    let metadata = json!({ "name": "a", "parents": [folder], "properties": { "k": "v" }, "description": "d", "mimeType": "text/x" });
    let source = drive.upload(&metadata, b"abc").await;
    let path = format!("/drive/v3/files/{}/copy?fields=*", id(&source));
    let copy = drive.post(&path).json(&json!({ "properties": { "l": "w" } })).send().await.ok();
    for field in ["md5Checksum", "size", "parents", "description", "mimeType"] {
        assert_eq!(copy[field], source[field], "{field}");
    }
    assert_eq!(copy["name"], "Copy of a");
    assert_eq!(copy["properties"], json!({ "k": "v", "l": "w" }));
    assert_ne!(copy["headRevisionId"], source["headRevisionId"]);
    drive.patch(&format!("/upload/drive/v3/files/{}?uploadType=media", id(&source))).body("new").send().await.ok();
    drive.delete(&format!("/drive/v3/files/{}", id(&source))).send().await;
    assert_eq!(drive.content(&id(&copy)).await, b"abc");
    let named = drive.post(&format!("/drive/v3/files/{}/copy?fields=name,parents,modifiedTime", id(&copy)));
    let body = json!({ "name": "b", "parents": ["root"], "modifiedTime": "2001-01-01T00:00:00Z" });
    let named = named.json(&body).send().await.ok();
    assert_eq!((&named["name"], &named["modifiedTime"]), (&json!("b"), &json!("2001-01-01T00:00:00.000Z")));
    drive.post(&format!("/drive/v3/files/{folder}/copy")).send().await.refused(403, "cannotCopyFile");
}

#[tokio::test]
async fn a_copy_takes_the_id_it_is_given_once_and_leaves_out_the_properties_that_are_cleared() {
    let drive = Drive::start_with(Limits { storage: Some(10), ..Limits::default() }).await;
    let source = drive.upload(&json!({ "name": "a", "properties": { "k": "v", "l": "w" } }), b"abcd").await;
    let ids = drive.get("/drive/v3/files/generateIds?count=3").send().await.ok()["ids"].clone();
    let path = format!("/drive/v3/files/{}/copy?fields=*", id(&source));
    let body = json!({ "id": ids[0], "name": "b", "properties": { "k": null, "m": "x" } });
    let copy = drive.post(&path).json(&body).send().await.ok();
    assert_eq!((&copy["id"], &copy["properties"]), (&ids[0], &json!({ "l": "w", "m": "x" })));
    assert_eq!(copy["md5Checksum"], source["md5Checksum"]);
    drive.post(&path).json(&body).send().await.refused(409, "fileIdInUse");
    // It counts against the quota, as any content does.
    drive.post(&path).json(&json!({ "id": ids[1] })).send().await.refused(403, "storageQuotaExceeded");
    drive.delete(&format!("/drive/v3/files/{}", id(&source))).send().await;
    drive.post(&path).json(&json!({ "id": ids[2] })).send().await.refused(404, "notFound");
    assert_eq!(drive.content(ids[0].as_str().expect("id")).await, b"abcd");
}

#[tokio::test]
async fn a_locked_file_takes_no_content_and_no_name_until_it_is_unlocked() {
    let drive = Drive::start().await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"abc").await);
    let path = format!("/drive/v3/files/{file}?fields=name,contentRestrictions");
    let lock = |locked: bool| json!({ "contentRestrictions": [{ "readOnly": locked, "reason": "final" }] });
    let locked = drive.patch(&path).json(&lock(true)).send().await.ok();
    assert_eq!(locked["contentRestrictions"], json!([{ "readOnly": true, "reason": "final" }]));
    drive.patch(&path).json(&json!({ "name": "b" })).send().await.refused(403, "insufficientFilePermissions");
    let upload = drive.patch(&format!("/upload/drive/v3/files/{file}?uploadType=media")).body("x");
    upload.send().await.refused(403, "insufficientFilePermissions");
    drive.patch(&path).json(&json!({ "starred": true })).send().await.ok();
    let body = json!({ "name": "b", "contentRestrictions": [{ "readOnly": false }] });
    assert_eq!(drive.patch(&path).json(&body).send().await.ok()["name"], "b");
}
