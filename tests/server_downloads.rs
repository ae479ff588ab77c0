//! Downloads from the embedded drive.

#[path = "support/server.rs"]
mod support;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use support::{Answer, Drive, bytes, client, id};

#[tokio::test]
async fn a_download_is_the_content_with_its_type_and_length() {
    let drive = Drive::start().await;
    let content = bytes(1_234_567);
    let file = id(&drive.upload(&json!({ "name": "a", "mimeType": "image/x-test" }), &content).await);
    let answer = drive.get(&format!("/drive/v3/files/{file}?alt=media")).send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/x-test")));
    assert_eq!(answer.header("content-length"), Some("1234567"));
    assert!(answer.header("content-range").is_none() && answer.body == content);
    let empty = id(&drive.create(json!({ "name": "empty" })).await);
    let answer = drive.get(&format!("/drive/v3/files/{empty}?alt=media")).send().await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("0"), 0));
}

#[tokio::test]
async fn a_range_is_part_of_the_content_and_one_beyond_it_is_refused() {
    let drive = Drive::start().await;
    let content = bytes(700_000);
    let file = id(&drive.upload(&json!({}), &content).await);
    let get =
        async |range: &str| drive.get(&format!("/drive/v3/files/{file}?alt=media")).header("range", range).send().await;
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=500-999", 500, 999),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=100-600000", 100, 600_000),
        ("bytes=699999-", 699_999, 699_999),
        ("bytes=1-", 1, 699_999),
        ("bytes=-5", 699_995, 699_999),
        ("bytes=600000-9999999", 600_000, 699_999),
    ] {
        let answer = get(range).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes {first}-{last}/700000")), "{range}");
        assert_eq!(answer.header("content-length"), Some(&*(last - first + 1).to_string()), "{range}");
        assert!(answer.body == content[first..=last], "{range}");
    }
    for range in ["bytes=700000-", "bytes=700000-700001", "bytes=-0"] {
        let answer = get(range).await;
        answer.refused(416, "requestedRangeNotSatisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */700000"), "{range}");
    }
    for range in ["bytes=5-2", "bytes=0-1,3-4", "lines=1-2"] {
        assert_eq!(get(range).await.status, 200, "{range} is ignored");
    }
    let empty = id(&drive.create(json!({})).await);
    let answer = drive.get(&format!("/drive/v3/files/{empty}?alt=media")).header("range", "bytes=0-").send().await;
    assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */0")));
}

#[tokio::test]
async fn a_download_keeps_to_the_revision_it_began_with() {
    let drive = Drive::start().await;
    let content = bytes(24_000_000);
    for end in ["replaced", "deleted"] {
        let file = id(&drive.upload(&json!({}), &content).await);
        let url = format!("{}/drive/v3/files/{file}?alt=media", drive.url);
        let mut download = client().get(url).bearer_auth(&drive.token).send().await.expect("begins");
        let mut received = download.chunk().await.expect("arrives").expect("a piece").to_vec();
        if end == "replaced" {
            drive.patch(&format!("/upload/drive/v3/files/{file}?uploadType=media")).body("new").send().await.ok();
            assert_eq!(drive.content(&file).await, b"new");
        } else {
            assert_eq!(drive.delete(&format!("/drive/v3/files/{file}")).send().await.status, 204);
        }
        while let Some(piece) = download.chunk().await.expect("arrives") {
            received.extend_from_slice(&piece);
        }
        assert!(received == content, "{end}");
    }
}

#[tokio::test]
async fn a_file_replaced_over_and_over_is_always_read_whole() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({})).await);
    drive.patch(&format!("/upload/drive/v3/files/{file}?uploadType=media")).body(vec![0; 50_000]).send().await.ok();
    let write = async {
        for round in 1..40_u8 {
            let path = format!("/upload/drive/v3/files/{file}?uploadType=media");
            drive.patch(&path).body(vec![round; 50_000]).send().await.ok();
        }
    };
    let read = async {
        for _ in 0..80 {
            let content = drive.content(&file).await;
            assert!(content.len() == 50_000 && content.iter().all(|byte| *byte == content[0]));
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn two_hundred_downloads_at_once_are_served() {
    let drive = Drive::start().await;
    let content = bytes(1_000_000);
    let file = id(&drive.upload(&json!({}), &content).await);
    let path = format!("/drive/v3/files/{file}?alt=media");
    let answers = join_all((0..200).map(|_| drive.get(&path).send())).await;
    assert!(answers.iter().all(|answer: &Answer| answer.status == 200 && answer.body == content));
}

#[tokio::test]
async fn only_the_current_revision_and_those_kept_for_ever_can_be_had() {
    let drive = Drive::start().await;
    let path = "/upload/drive/v3/files?uploadType=multipart&keepRevisionForever=true&fields=*";
    let first = drive.multipart(Method::POST, path, &json!({ "name": "a" }), b"one").send().await.ok();
    let file = id(&first);
    let update = format!("/upload/drive/v3/files/{file}?uploadType=media&fields=*");
    let second = drive.patch(&update).body("two").send().await.ok();
    let third = drive.patch(&update).body("two").send().await.ok();
    assert_ne!(second["headRevisionId"], third["headRevisionId"], "the same bytes again are a revision too");
    assert_eq!(third["quotaBytesUsed"], "6");

    let revisions = drive.get(&format!("/drive/v3/files/{file}/revisions")).send().await.ok();
    let ids: Vec<_> = revisions["revisions"].as_array().expect("revisions").iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&first["headRevisionId"], &third["headRevisionId"]]);
    let of = |revision: &serde_json::Value| {
        format!("/drive/v3/files/{file}/revisions/{}", revision.as_str().expect("an id"))
    };
    assert_eq!(drive.get(&format!("{}?alt=media", of(ids[0]))).send().await.body, b"one");
    assert_eq!(drive.get(&format!("{}?alt=media", of(ids[1]))).send().await.body, b"two");
    drive.get(&of(&second["headRevisionId"])).send().await.refused(404, "notFound");
    let one = drive.get(&format!("{}?fields=size,keepForever,md5Checksum", of(ids[0]))).send().await.ok();
    assert_eq!(one, json!({ "size": "3", "keepForever": true, "md5Checksum": first["md5Checksum"] }));
    drive.get("/drive/v3/files/root/revisions").send().await.refused(403, "revisionsNotSupported");
    let page = drive.get(&format!("/drive/v3/files/{file}/revisions?pageSize=1")).send().await.ok();
    let token = page["nextPageToken"].as_str().expect("a token");
    let path = format!("/drive/v3/files/{file}/revisions?pageSize=1");
    let last = drive.get(&path).query("pageToken", token).send().await.ok();
    assert!(last.get("nextPageToken").is_none() && last["revisions"][0]["id"] == *ids[1]);
}
