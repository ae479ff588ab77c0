//! Documents of online editors: made of uploaded content, had in other formats, by export, by link and by operation.

#[path = "support/server.rs"]
mod support;

use drivemount::server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Drive, UNIT, bytes, id};

const DOCUMENT: &str = "application/vnd.google-apps.document";
const SPREADSHEET: &str = "application/vnd.google-apps.spreadsheet";
const TEXT: &str = "Größe: 1 < 2\r\n";

/// Makes a document of bytes of this type; all its fields.
async fn import(drive: &Drive, editor: &str, media_type: &str, content: &[u8]) -> Value {
    let metadata = json!({ "name": "d", "mimeType": editor });
    let path = "/upload/drive/v3/files?uploadType=resumable&fields=*";
    let start = drive.post(path).header("x-upload-content-type", media_type).json(&metadata);
    drive.put(&start.send().await.location()).body(content.to_vec()).send().await.ok()
}

async fn export(drive: &Drive, document: &Value, format: &str) -> support::Answer {
    drive.get(&format!("/drive/v3/files/{}/export", id(document))).query("mimeType", format).send().await
}

#[tokio::test]
async fn a_document_gives_back_the_text_it_was_made_of() {
    let drive = Drive::start().await;
    let about = drive.get("/drive/v3/about?fields=exportFormats,importFormats,maxImportSizes").send().await.ok();
    for (editor, media_type) in [
        (DOCUMENT, "text/plain"),
        (DOCUMENT, "text/html"),
        (DOCUMENT, "text/markdown"),
        (SPREADSHEET, "text/csv"),
        (SPREADSHEET, "text/tab-separated-values"),
    ] {
        assert_eq!(about["importFormats"][media_type], json!([editor]));
        assert!(about["maxImportSizes"][editor].is_string());
        let document = import(&drive, editor, media_type, TEXT.as_bytes()).await;
        assert_eq!((&document["mimeType"], document.get("size")), (&json!(editor), None));
        let formats = about["exportFormats"][editor].as_array().expect("formats");
        assert_eq!(document["exportLinks"].as_object().expect("links").len(), formats.len());
        for format in formats.iter().map(|format| format.as_str().expect("a text")) {
            let exported = export(&drive, &document, format).await;
            assert_eq!((exported.status, exported.header("content-type")), (200, Some(format)));
            assert_eq!(export(&drive, &document, format).await.body, exported.body, "the same each time");
            let linked = document["exportLinks"][format].as_str().expect("a link");
            assert_eq!(drive.get(linked).send().await.body, exported.body);
            if format.starts_with("text/") {
                assert_eq!(exported.body, TEXT.as_bytes(), "{media_type} as {format}");
            } else {
                assert!(exported.body.ends_with(TEXT.as_bytes()) && exported.body.len() > TEXT.len(), "{format}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_text_comes_back_in_its_own_format_alone() {
    let drive = Drive::start().await;
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let document = import(&drive, DOCUMENT, docx, b"PK\x03\x04 word").await;
    assert_eq!(export(&drive, &document, docx).await.body, b"PK\x03\x04 word");
    assert_eq!(export(&drive, &document, "text/plain").await.body, b"");
    assert_eq!(export(&drive, &document, "application/pdf").await.body, b"%PDF-1.4\n");
}

#[tokio::test]
async fn what_cannot_become_a_document_is_refused() {
    let drive = Drive::start().await;
    let upload = |editor: &str, content: &'static [u8]| {
        let metadata = json!({ "name": "d", "mimeType": editor });
        drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &metadata, content).send()
    };
    upload(DOCUMENT, b"some text").await.ok();
    upload(SPREADSHEET, b"some text").await.refused(400, "badRequest");
    upload(DOCUMENT, b"\x00\x01").await.refused(400, "badRequest");
    upload("application/vnd.google-apps.form", b"some text").await.refused(400, "badRequest");
    let mapped = json!({ "mimeType": DOCUMENT, "id": "x" });
    let mapped = drive.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart", &mapped, b"x");
    mapped.send().await.refused(400, "generatedIdNotSupported");
    let start = drive.post("/upload/drive/v3/files?uploadType=resumable").header("x-upload-content-type", "text/plain");
    let start = start.header("x-upload-content-length", "52428801").json(&json!({ "mimeType": DOCUMENT }));
    start.send().await.refused(413, "uploadTooLarge");
}

#[tokio::test]
async fn new_content_makes_a_document_anew() {
    let drive = Drive::start().await;
    let document = import(&drive, DOCUMENT, "text/plain", b"one").await;
    let path = format!("/upload/drive/v3/files/{}?uploadType=media&fields=*", id(&document));
    let updated = drive.patch(&path).header("content-type", "text/html").body("<p>two").send().await.ok();
    assert_eq!(updated["mimeType"], DOCUMENT);
    assert_ne!(updated["version"], document["version"]);
    assert_eq!(export(&drive, &document, "text/plain").await.body, b"<p>two");
    drive.patch(&path).header("content-type", "video/mp4").body("x").send().await.refused(400, "badRequest");
    let empty = drive.create(json!({ "mimeType": DOCUMENT })).await;
    assert_eq!(export(&drive, &empty, "text/markdown").await.body, b"");
    let path = format!("/upload/drive/v3/files/{}?uploadType=media", id(&empty));
    drive.patch(&path).body("three").send().await.ok();
    assert_eq!(export(&drive, &empty, "text/markdown").await.body, b"three");
    let copy = drive.post(&format!("/drive/v3/files/{}/copy", id(&empty))).json(&json!({})).send().await.ok();
    assert_eq!(export(&drive, &copy, "text/plain").await.body, b"three");
    let revisions = drive.get(&format!("/drive/v3/files/{}/revisions?fields=*", id(&document))).send().await.ok();
    assert_eq!(revisions["revisions"].as_array().map(Vec::len), Some(1), "{revisions}");
    drive.get(&format!("/drive/v3/files/{}?alt=media", id(&document))).send().await.refused(403, "fileNotDownloadable");
}

#[tokio::test]
async fn what_is_too_long_for_an_export_is_had_by_its_link() {
    let drive = Drive::start().await;
    let limit = usize::try_from(Limits::default().export_bytes).expect("small");
    let content = bytes(limit);
    let document = import(&drive, SPREADSHEET, "text/csv", &content).await;
    assert_eq!(export(&drive, &document, "text/csv").await.body.len(), limit);
    export(&drive, &document, "application/pdf").await.refused(403, "exportSizeLimitExceeded");
    let longer = import(&drive, SPREADSHEET, "text/csv", &[&content[..], b"x"].concat()).await;
    export(&drive, &longer, "text/csv").await.refused(403, "exportSizeLimitExceeded");
    let link = longer["exportLinks"]["text/csv"].as_str().expect("a link");
    assert_eq!(drive.get(link).header("range", "bytes=0-0").send().await.body.len(), limit + 1);
    drive
        .anonymous(Method::GET, link.strip_prefix(&drive.url).expect("on this server"))
        .send()
        .await
        .refused(401, "authError");
}

#[tokio::test]
async fn an_operation_leads_to_the_content() {
    let drive = Drive::start().await;
    let content = bytes(UNIT);
    let file = id(&drive.upload(&json!({ "name": "a" }), &content).await);
    let begin = |file: &str, more: &str| drive.post(&format!("/drive/v3/files/{file}/download{more}")).send();
    let operation = begin(&file, "").await.ok();
    assert_eq!((&operation["done"], &operation["response"]["partialDownloadAllowed"]), (&json!(true), &json!(true)));
    let uri = |operation: &Value| operation["response"]["downloadUri"].as_str().expect("an address").to_owned();
    let part = drive.get(&uri(&operation)).header("range", "bytes=5-9").send().await;
    assert_eq!((part.status, &part.body[..]), (206, &content[5..10]));
    let name = operation["name"].as_str().expect("a name");
    assert_eq!(drive.get(&format!("/drive/v3/operations/{name}")).send().await.ok(), operation, "asked again");
    let head = drive.file(&file).await["headRevisionId"].as_str().expect("an id").to_owned();
    let of_revision = begin(&file, &format!("?revisionId={head}")).await.ok();
    assert_eq!(drive.get(&uri(&of_revision)).send().await.body, content);

    let document = id(&import(&drive, DOCUMENT, "text/plain", b"text").await);
    let exported = begin(&document, "?mimeType=text/markdown").await.ok();
    assert_eq!(exported["response"]["partialDownloadAllowed"], false);
    assert_eq!(drive.get(&uri(&exported)).send().await.body, b"text");
    assert_eq!(begin(&document, "").await.status, 200, "there is a usual format");

    begin("nobody", "").await.refused(404, "notFound");
    begin("root", "").await.refused(403, "fileNotDownloadable");
    begin(&file, "?mimeType=text/plain").await.refused(400, "invalidParameter");
    begin(&document, "?mimeType=video/mp4").await.refused(400, "badRequest");
    begin(&file, "?revisionId=7").await.refused(404, "notFound");
    for garbage in ["7", "00", &name[2..]] {
        drive.get(&format!("/drive/v3/operations/{garbage}")).send().await.refused(404, "notFound");
    }
}
