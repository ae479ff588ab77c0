//! What an embedded drive does wrong when it is asked to, and how it counts what was asked of it.

#[path = "support/server.rs"]
mod support;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use support::{Drive, UNIT, bytes, id, names};

const FILE: &str = "/drive/v3/files/root";

/// Status codes of so many calls, 0 where the connection was cut.
async fn statuses(drive: &Drive, path: &str, calls: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(drive.get(path).attempt().await.map_or(0, |answer| answer.status));
    }
    statuses
}

#[tokio::test]
async fn the_same_seed_makes_the_same_trouble() {
    let rules = ["files.get:answer,status=503,share=0.3", "files.get:lose-answer,share=0.2"];
    let first = statuses(&Drive::start_with_trouble(5, &rules).await, FILE, 60).await;
    for status in [0, 200, 503] {
        assert!(first.contains(&status), "{first:?}");
    }
    assert_eq!(statuses(&Drive::start_with_trouble(5, &rules).await, FILE, 60).await, first);
    assert_ne!(statuses(&Drive::start_with_trouble(6, &rules).await, FILE, 60).await, first);
}

#[tokio::test]
async fn answers_are_made_up_and_nothing_is_done() {
    let rules = [
        "files.create:answer,status=403,reason=storageQuotaExceeded,message=Full,nth=1",
        "files.create:answer,status=429,retry_after=7,nth=2",
        "files.create:answer,status=502,body=html,nth=3",
        "files.create:answer,status=500,body=truncated,nth=4",
        "files.create:answer,status=200,body=empty,nth=5",
        "files.create:answer,status=500,done=true,nth=6",
    ];
    let drive = Drive::start_with_trouble(0, &rules).await;
    let create = async || drive.post("/drive/v3/files").json(&json!({ "name": "a" })).send().await;
    let first = create().await;
    first.refused(403, "storageQuotaExceeded");
    assert_eq!(first.json()["error"]["message"], "Full");
    let second = create().await;
    second.refused(429, "rateLimitExceeded");
    assert_eq!(second.header("retry-after"), Some("7"));
    let third = create().await;
    assert!(third.status == 502 && third.body.starts_with(b"<!DOCTYPE html>"), "{third:?}");
    let fourth = create().await;
    assert!(fourth.status == 500 && serde_json::from_slice::<Value>(&fourth.body).is_err(), "{fourth:?}");
    let fifth = create().await;
    assert_eq!((fifth.status, fifth.body.len()), (200, 0));
    assert!(drive.names("name = 'a'").await.is_empty(), "nothing was done");
    assert_eq!(create().await.status, 500);
    assert_eq!(drive.names("name = 'a'").await, ["a"], "but this was");
    assert_eq!(create().await.status, 200);
}

#[tokio::test]
async fn latency_and_bandwidth_take_their_time() {
    let rules = ["files.get:latency,ms=200-300", "files.get_media:bandwidth,down=1M", "uploads.*:bandwidth,up=1M"];
    let drive = Drive::start_with_trouble(0, &rules).await;
    let started = Instant::now();
    assert_eq!(statuses(&drive, FILE, 2).await, [200, 200]);
    assert!(started.elapsed() >= Duration::from_millis(400));
    // Bounds from below alone: a busy machine takes longer.
    let content = bytes(300_000);
    let started = Instant::now();
    let file = id(&drive.upload(&json!({ "name": "a" }), &content).await);
    assert!(started.elapsed() >= Duration::from_millis(250));
    let started = Instant::now();
    assert_eq!(drive.content(&file).await, content);
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_cut_leaves_what_came_before_it() {
    let rules = ["uploads.send:cut-request,after=600000,nth=1", "files.get_media:cut-answer,after=1000,nth=1"];
    let drive = Drive::start_with_trouble(0, &rules).await;
    let content = bytes(4 * UNIT);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    drive.put(&session).body(content.clone()).attempt().await.expect_err("the connection is cut");
    // What was received is put away after the cut.
    let end = Instant::now() + Duration::from_mins(1);
    let stored = loop {
        let query = drive.put(&session).header("content-range", &format!("bytes */{}", content.len()));
        let answer = query.body("").send().await;
        assert_eq!(answer.status, 308, "{answer:?}");
        if let Some(range) = answer.header("range") {
            break range.strip_prefix("bytes=0-").expect("a range").parse::<usize>().expect("a number") + 1;
        }
        assert!(Instant::now() < end, "nothing was kept");
    };
    assert!(stored.is_multiple_of(UNIT) && stored <= 600_000, "{stored}");
    let range = format!("bytes {stored}-{}/{}", content.len() - 1, content.len());
    let rest = drive.put(&session).header("content-range", &range).body(content[stored..].to_vec());
    let file = id(&rest.send().await.ok());
    drive.get(&format!("/drive/v3/files/{file}?alt=media")).attempt().await.expect_err("cut");
    assert_eq!(drive.content(&file).await, content);
}

#[tokio::test]
async fn a_lost_answer_is_one_to_a_thing_that_was_done() {
    let drive = Drive::start_with_trouble(0, &["files.create:lose-answer,nth=1"]).await;
    let create = drive.post("/drive/v3/files").json(&json!({ "name": "a" }));
    create.attempt().await.expect_err("there is no answer");
    assert_eq!(drive.names("name = 'a'").await, ["a"]);
}

#[tokio::test]
async fn an_upload_session_expires() {
    let drive = Drive::start_with_trouble(0, &["uploads.send:expire-session,nth=2"]).await;
    let content = bytes(2 * UNIT);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    let send = |first: usize| {
        let last = first + UNIT - 1;
        let range = format!("bytes {first}-{last}/{}", content.len());
        drive.put(&session).header("content-range", &range).body(content[first..=last].to_vec())
    };
    assert_eq!(send(0).send().await.status, 308);
    send(UNIT).send().await.refused(404, "notFound");
    send(0).send().await.refused(404, "notFound");
    assert!(drive.names("name = 'a'").await.is_empty());
}

#[tokio::test]
async fn a_token_is_refused_for_a_while() {
    let drive = Drive::start_with_trouble(0, &["files.*:revoke,nth=2,requests=2"]).await;
    assert_eq!(statuses(&drive, FILE, 5).await, [200, 401, 401, 200, 200]);
    let drive = Drive::start_with_trouble(0, &["files.*:revoke,nth=2"]).await;
    assert_eq!(statuses(&drive, FILE, 4).await, [200, 401, 401, 401]);
    drive.get("/drive/v3/about?fields=user").send().await.refused(401, "authError");
}

#[tokio::test]
async fn the_feed_of_changes_lags_and_loses_nothing() {
    let drive = Drive::start_with_trouble(0, &["changes.list:lag,time=1h"]).await;
    let token = drive.start_page_token().await;
    let file = id(&drive.create(json!({ "name": "a" })).await);
    let gone = id(&drive.create(json!({ "name": "b" })).await);
    drive.delete(&format!("/drive/v3/files/{gone}")).send().await;
    let behind = drive.changes(&token).await;
    assert_eq!((&behind["changes"], &behind["newStartPageToken"]), (&json!([]), &json!(token)));
    drive.delete("/admin/trouble").send().await;
    let now = drive.changes(behind["newStartPageToken"].as_str().expect("a token")).await;
    let ids: Vec<_> = now["changes"].as_array().expect("changes").iter().map(|change| &change["fileId"]).collect();
    assert_eq!(ids, [&file, &gone]);
}

#[tokio::test]
async fn listings_lag_while_their_items_can_be_had() {
    let drive = Drive::start_with_trouble(0, &["files.list:list-lag,time=1h"]).await;
    let old = json!({ "name": "old", "createdTime": "2026-01-02T03:04:05.678Z" });
    drive.create(old).await;
    let new = id(&drive.create(json!({ "name": "new" })).await);
    assert_eq!(drive.names("name contains ''").await, ["old"]);
    assert_eq!(drive.file(&new).await["name"], "new");
    drive.delete("/admin/trouble").send().await;
    assert_eq!(drive.names("name contains ''").await, ["old", "new"]);
}

#[tokio::test]
async fn pages_may_be_short_or_empty_and_lead_to_all_there_is() {
    let rules = ["files.list+changes.list:short-page,size=1-2", "files.list+changes.list:empty-page,share=0.5"];
    for (order, fields) in [("", "nextPageToken,files(name)"), ("name desc", "*")] {
        let drive = Drive::start_with_trouble(3, &rules).await;
        let start = drive.start_page_token().await;
        for name in ["a", "b", "c", "d", "e", "f"] {
            drive.create(json!({ "name": name })).await;
        }
        let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let list = drive.get("/drive/v3/files").query("orderBy", order).query("fields", fields);
            let page = list.query("pageToken", &token).send().await.ok();
            let names = names(&page);
            sizes.push(names.len());
            found.extend(names);
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, ["a", "b", "c", "d", "e", "f"]);
        assert!(sizes.contains(&0) && sizes.iter().all(|size| *size <= 2), "{sizes:?}");
        let (mut changes, mut token) = (0, start);
        loop {
            let page = drive.changes(&token).await;
            changes += page["changes"].as_array().expect("changes").len();
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(changes, 6);
    }
}

#[tokio::test]
async fn a_page_token_is_refused_and_another_listing_is_not() {
    let rules = ["files.list:short-page", "files.list:expire-page-token,nth=2"];
    let drive = Drive::start_with_trouble(0, &rules).await;
    drive.create(json!({ "name": "a" })).await;
    drive.create(json!({ "name": "b" })).await;
    let first = drive.get("/drive/v3/files").send().await.ok();
    let token = first["nextPageToken"].as_str().expect("a token");
    let next = async || drive.get("/drive/v3/files").query("pageToken", token).send().await;
    let refused = next().await;
    refused.refused(400, "invalid");
    assert_eq!(refused.fault_location(), "pageToken");
    assert_eq!(next().await.status, 200);
}

#[tokio::test]
async fn a_listing_of_several_folders_finds_nothing() {
    let drive = Drive::start_with_trouble(0, &["files.list:or-empty"]).await;
    let (one, two) = (drive.folder("one", "root").await, drive.folder("two", "root").await);
    drive.create(json!({ "name": "a", "parents": [one] })).await;
    drive.create(json!({ "name": "b", "parents": [two] })).await;
    let both = format!("('{one}' in parents or '{two}' in parents) and trashed = false");
    assert!(drive.names(&both).await.is_empty());
    assert_eq!(drive.names(&format!("'{one}' in parents and (name = 'a' or name = 'b')")).await, ["a"]);
}

#[tokio::test]
async fn a_part_of_what_was_sent_is_stored() {
    let drive = Drive::start_with_trouble(0, &["uploads.send:store-less,part=60,times=1"]).await;
    let content = bytes(4 * UNIT + 7);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    let answer = drive.put(&session).body(content.clone()).send().await;
    assert_eq!((answer.status, answer.header("range")), (308, Some("bytes=0-524287")));
    let range = format!("bytes 524288-{}/{}", content.len() - 1, content.len());
    let rest = drive.put(&session).header("content-range", &range).body(content[2 * UNIT..].to_vec());
    let file = rest.send().await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
}

#[tokio::test]
async fn a_session_moves_to_another_address() {
    let drive = Drive::start_with_trouble(0, &["uploads.send:move-session"]).await;
    let content = bytes(2 * UNIT);
    let session = drive.session(&json!({ "name": "a" }), Some(content.len())).await;
    let send = |session: &str, first: usize| {
        let range = format!("bytes {first}-{}/{}", first + UNIT - 1, content.len());
        drive.put(session).header("content-range", &range).body(content[first..first + UNIT].to_vec()).send()
    };
    let answer = send(&session, 0).await;
    assert_eq!((answer.status, answer.header("range")), (308, Some("bytes=0-262143")));
    send(&session, UNIT).await.refused(404, "notFound");
    let file = send(answer.header("location").expect("an address"), UNIT).await.ok();
    assert_eq!(drive.content(&id(&file)).await, content);
}

#[tokio::test]
async fn files_are_described_without_what_is_withheld() {
    let drive = Drive::start_with_trouble(0, &["*:withhold,fields=md5Checksum+parents"]).await;
    let start = drive.start_page_token().await;
    let file = drive.upload(&json!({ "name": "a.json" }), br#"{"parents": 1}"#).await;
    let list = drive.get("/drive/v3/files?fields=*").send().await.ok();
    let changes = drive.changes(&start).await;
    for described in [&file, &drive.file(&id(&file)).await, &list["files"][0], &changes["changes"][0]["file"]] {
        assert!(described.get("md5Checksum").is_none() && described.get("parents").is_none(), "{described}");
        assert!(described["sha256Checksum"].is_string() && described["size"] == "14", "{described}");
    }
    assert_eq!(drive.content(&id(&file)).await, br#"{"parents": 1}"#, "content is left alone");
}

#[tokio::test]
async fn flagged_content_is_for_those_who_say_that_they_know() {
    let drive = Drive::start_with_trouble(0, &["files.get_media:flagged"]).await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"abc").await);
    let path = format!("/drive/v3/files/{file}?alt=media");
    drive.get(&path).send().await.refused(403, "cannotDownloadAbusiveFile");
    assert_eq!(drive.get(&format!("{path}&acknowledgeAbuse=true")).send().await.body, b"abc");
    assert_eq!(drive.file(&file).await["name"], "a");
}

#[tokio::test]
async fn quota_units_run_out() {
    let drive = Drive::start_with_trouble(0, &["*:quota,units=210,per=1h"]).await;
    let list = "/drive/v3/files";
    assert_eq!(statuses(&drive, list, 3).await, [200, 200, 403]);
    assert_eq!(statuses(&drive, FILE, 3).await, [200, 200, 403], "five units are left for each of two");
    drive.get(list).send().await.refused(403, "userRateLimitExceeded");
}

#[tokio::test]
async fn trouble_is_set_and_taken_away_while_the_drive_runs() {
    let drive = Drive::start_with_trouble(0, &[]).await;
    let script = json!({ "seed": 3, "rules": [{ "on": "files.get", "kind": "answer", "status": 503, "times": 1 }] });
    let set = drive.put("/admin/trouble").json(&script).send().await.ok();
    assert_eq!((&set["seed"], &set["rules"][0]["hits"]), (&json!(3), &json!(0)));
    drive.post("/admin/trouble").json(&json!({ "rules": ["files.list:lose-answer"] })).send().await.ok();
    assert_eq!(statuses(&drive, FILE, 2).await, [503, 200]);
    drive.get("/drive/v3/files").attempt().await.expect_err("is cut");
    let shown = drive.get("/admin/trouble").send().await.ok();
    let counts: Vec<_> =
        shown["rules"].as_array().expect("rules").iter().map(|rule| (&rule["seen"], &rule["hits"])).collect();
    assert_eq!(counts, [(&json!(2), &json!(1)), (&json!(1), &json!(1))]);
    let wrong = drive.put("/admin/trouble").json(&json!({ "rules": ["files.get:earthquake"] })).send().await;
    wrong.refused(400, "badRequest");
    assert!(wrong.json()["error"]["message"].as_str().expect("text").contains("there is no kind earthquake"));
    assert_eq!(drive.delete("/admin/trouble").send().await.status, 204);
    assert_eq!(drive.get("/drive/v3/files").send().await.status, 200);
}

#[tokio::test]
async fn the_meter_counts_what_was_asked() {
    let drive = Drive::start_with_trouble(0, &["files.copy:lose-answer"]).await;
    let file = drive.upload(&json!({ "name": "a" }), &bytes(1000)).await;
    let path = format!("/drive/v3/files/{}", id(&file));
    drive.get(&format!("{path}?alt=media&access_token=secret")).send().await;
    drive.get("/drive/v3/files/nobody").send().await.refused(404, "notFound");
    drive.post(&format!("{path}/copy")).json(&json!({})).attempt().await.expect_err("is cut");
    let inner = "--x\r\nContent-Type: application/http\r\n\r\nGET /drive/v3/files\r\n\r\n--x--";
    let batch = drive.post("/batch").header("content-type", "multipart/mixed; boundary=x").body(inner);
    assert_eq!(batch.send().await.status, 200);

    let meter = drive.get("/admin/meter").send().await.ok();
    let count = |method: &str, what: &str| meter["methods"][method][what].clone();
    assert_eq!((count("files.get_media", "requests"), count("files.get_media", "bytesOut")), (json!(1), json!(1000)));
    assert_eq!((count("files.get", "refused"), count("files.copy", "refused")), (json!(1), json!(1)));
    assert!(count("uploads.simple", "bytesIn").as_u64() > Some(1000), "{meter}");
    assert_eq!((count("files.list", "units"), count("batch", "units")), (json!(100), json!(0)));
    assert_eq!(meter["units"], 50 + 200 + 5 + 50 + 100);
    let log = drive.get("/admin/log").send().await.ok();
    let entries = log["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 6, "{log}");
    assert!(!log.to_string().contains("secret") && !log.to_string().contains(&drive.token));
    let cut = entries.iter().find(|entry| entry["method"] == "files.copy").expect("is there");
    assert_eq!(cut["status"], Value::Null);
    assert_eq!(drive.delete("/admin/meter").send().await.status, 204);
    assert_eq!(drive.get("/admin/meter").send().await.ok()["requests"], 0);
}

#[tokio::test]
async fn there_is_no_admin_unless_asked_for_and_none_for_strangers() {
    let drive = Drive::start().await;
    drive.get("/admin/meter").send().await.refused(404, "notFound");
    let drive = Drive::start_with_trouble(0, &["*:answer,status=503"]).await;
    drive.anonymous(Method::GET, "/admin/meter").send().await.refused(401, "authError");
    assert_eq!(drive.get("/admin/meter").send().await.status, 200, "who makes the trouble does not meet it");
    assert_eq!(drive.get("/drive/v3/files").send().await.status, 503);
    drive.delete("/admin/trouble").send().await;
    assert!(names(&drive.get("/drive/v3/files").send().await.ok()).is_empty());
}
