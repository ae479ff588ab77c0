//! Requests to the embedded drive: how they are written, what of an answer they choose, and how they are refused.

#[path = "support/server.rs"]
mod support;

use reqwest::Method;
use serde_json::json;
use support::{Drive, id, names};

#[tokio::test]
async fn a_call_without_the_right_token_is_unauthorized() {
    let drive = Drive::start().await;
    for call in [
        drive.anonymous(Method::GET, "/drive/v3/files"),
        drive.anonymous(Method::GET, "/drive/v3/files").header("authorization", "Bearer wrong"),
        drive.anonymous(Method::GET, "/drive/v3/files").header("authorization", &format!("Basic {}", drive.token)),
        drive.anonymous(Method::POST, "/upload/drive/v3/files?uploadType=media").body(vec![0; 3_000_000]),
    ] {
        let answer = call.send().await;
        answer.refused(401, "authError");
        assert_eq!(answer.fault_location(), "Authorization");
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    }
    let path = format!("/drive/v3/files?access_token={}", drive.token);
    assert_eq!(drive.anonymous(Method::GET, &path).send().await.status, 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_get_an_envelope_too() {
    let drive = Drive::start().await;
    drive.get("/drive/v3/nothing").send().await.refused(404, "notFound");
    drive.get("/").send().await.refused(404, "notFound");
    drive.get("/drive/v3/files/%FF").send().await.refused(404, "notFound");
    assert_eq!(drive.put("/drive/v3/files/root").send().await.error().0, 405);
    assert_eq!(drive.delete("/drive/v3/about").send().await.error().0, 405);
}

#[tokio::test]
async fn without_a_mask_only_the_default_fields_are_sent() {
    let drive = Drive::start().await;
    let created = drive.post("/drive/v3/files").json(&json!({ "name": "a" })).send().await.ok();
    let keys: Vec<_> = created.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["id", "kind", "mimeType", "name"]);
    let list = drive.get("/drive/v3/files").send().await.ok();
    assert_eq!(list, json!({ "kind": "drive#fileList", "incompleteSearch": false, "files": [created] }));
}

#[tokio::test]
async fn masks_select_and_unknown_names_are_refused() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({ "name": "a", "properties": { "k": "v", "l": "w" } })).await);
    let get = async |fields: &str| drive.get(&format!("/drive/v3/files/{file}")).query("fields", fields).send().await;
    assert_eq!(
        get("name,capabilities/canEdit").await.ok(),
        json!({ "name": "a", "capabilities": { "canEdit": true } })
    );
    assert_eq!(get("properties/k").await.ok(), json!({ "properties": { "k": "v" } }));
    assert_eq!(get("owners(me)").await.ok(), json!({ "owners": [{ "me": true }] }));
    assert_eq!(get("driveId").await.ok(), json!({}));
    assert_eq!(get("").await.ok(), json!({}));
    for (fields, selection) in [("etag", "etag"), ("id,owners(name)", "name"), ("id(x)", "x")] {
        let answer = get(fields).await;
        answer.refused(400, "invalidParameter");
        assert_eq!(answer.fault_location(), "fields");
        assert_eq!(answer.json()["error"]["message"], format!("Invalid field selection {selection}"));
    }
    let list = drive.get("/drive/v3/files?fields=files/id").send().await.ok();
    assert_eq!(list, json!({ "files": [{ "id": file }] }));
    drive.get("/drive/v3/files?fields=files(id),etag").send().await.refused(400, "invalidParameter");
    drive
        .post("/drive/v3/files?fields=etag")
        .json(&json!({ "name": "b" }))
        .send()
        .await
        .refused(400, "invalidParameter");
    assert_eq!(drive.names("name = 'b'").await, Vec::<String>::new());
}

#[tokio::test]
async fn answers_are_pretty_unless_the_caller_says_otherwise() {
    let drive = Drive::start().await;
    let text = async |path: &str| String::from_utf8(drive.get(path).send().await.body).expect("text");
    assert!(text("/drive/v3/files/root").await.contains("\n  \"kind\": \"drive#file\""));
    assert!(!text("/drive/v3/files/root?prettyPrint=false").await.contains('\n'));
}

#[tokio::test]
async fn bodies_that_are_no_metadata_are_refused() {
    let drive = Drive::start().await;
    let post =
        |body: &str| drive.post("/drive/v3/files").header("content-type", "application/json").body(body.to_owned());
    post("{").send().await.refused(400, "parseError");
    post("[]").send().await.refused(400, "parseError");
    post("{\"name\": 7}").send().await.refused(400, "invalid");
    let text = drive.post("/drive/v3/files").header("content-type", "text/plain").body("{}");
    text.send().await.refused(400, "badContent");
    let huge = format!("{{\"description\": \"{}\"}}", "x".repeat(5_000_000));
    assert_eq!(post(&huge).send().await.error().0, 413);
    assert_eq!(drive.names("").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_method_can_be_named_in_a_header_and_a_query_sent_as_a_form() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({ "name": "a" })).await);
    let patched = drive.post(&format!("/drive/v3/files/{file}")).header("x-http-method-override", "PATCH");
    assert_eq!(patched.json(&json!({ "name": "b" })).send().await.ok()["name"], "b");
    let q = vec!["name = 'b'"; 200].join(" or ");
    let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", &q).finish();
    let listed = drive
        .post("/drive/v3/files")
        .header("x-http-method-override", "GET")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    assert_eq!(names(&listed.send().await.ok()), ["b"]);
}

#[tokio::test]
async fn deprecated_and_unknown_parameters_are_ignored_and_booleans_checked() {
    let drive = Drive::start().await;
    let query = "supportsTeamDrives=true&includeTeamDriveItems=false&corpus=user&key=k&quotaUser=q&alt=json&xyz=1";
    drive.get(&format!("/drive/v3/files?{query}")).send().await.ok();
    drive.get("/drive/v3/files?supportsAllDrives=yes").send().await.refused(400, "invalidParameter");
    drive.get("/drive/v3/files?alt=proto").send().await.refused(400, "invalidParameter");
    drive.get("/drive/v3/files?corpora=nothing").send().await.refused(400, "invalid");
    drive.get("/drive/v3/files?spaces=nothing").send().await.refused(400, "invalid");
    drive.create(json!({ "name": "a" })).await;
    assert_eq!(names(&drive.get("/drive/v3/files?spaces=appDataFolder").send().await.ok()), Vec::<String>::new());
}

#[tokio::test]
async fn literal_paths_are_ids_to_other_verbs() {
    let drive = Drive::start().await;
    for path in ["/drive/v3/files/trash", "/drive/v3/files/generateIds"] {
        drive.patch(path).json(&json!({})).send().await.refused(404, "notFound");
    }
    drive.get("/drive/v3/files/trash").send().await.refused(404, "notFound");
}
