//! Listings of the embedded drive: the search language, orders, pages.

#[path = "support/server.rs"]
mod support;

use serde_json::{Value, json};
use support::{Drive, FOLDER, id, names};

/// A drive with a few files of all sorts; the ids of its two folders.
async fn furnished() -> (Drive, String, String) {
    let drive = Drive::start().await;
    let docs = drive.folder("Docs", "root").await;
    let pictures = drive.folder("Pictures", "root").await;
    let file = async |name: &str, mime_type: &str, parent: &str, time: &str, more: Value| {
        let mut metadata = json!({ "name": name, "mimeType": mime_type, "parents": [parent], "modifiedTime": time, "createdTime": time });
        metadata.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        drive.create(metadata).await
    };
    file("HelloWorld.txt", "text/plain", &docs, "2020-01-01T00:00:00Z", json!({ "starred": true })).await;
    file("hello world.txt", "text/plain", &docs, "2021-01-01T00:00:00Z", json!({ "properties": { "k": "v" } })).await;
    file("it's.txt", "text/plain", "root", "2022-01-01T00:00:00Z", json!({ "description": "the quick brown fox" }))
        .await;
    file(
        "a\\b.png",
        "image/png",
        &pictures,
        "2023-01-01T00:00:00Z",
        json!({ "viewedByMeTime": "2024-01-01T00:00:00Z" }),
    )
    .await;
    let app = json!({ "appProperties": { "k": "v" } });
    let old = file("old.jpg", "image/jpeg", &pictures, "2024-01-01T00:00:00.500Z", app).await;
    drive
        .patch(&format!("/drive/v3/files/{}", id(&old)))
        .json(&json!({ "trashed": true, "modifiedTime": "2024-01-01T00:00:00.500Z" }))
        .send()
        .await
        .ok();
    (drive, docs, pictures)
}

#[tokio::test]
async fn every_term_finds_what_it_should() {
    let (drive, docs, pictures) = furnished().await;
    let shortcut = json!({ "name": "link", "mimeType": "application/vnd.google-apps.shortcut", "shortcutDetails": { "targetId": docs } });
    drive.create(shortcut).await;
    let (hello, world) = ("HelloWorld.txt", "hello world.txt");
    let in_docs = format!("'{docs}' in parents");
    let either = format!("'{docs}' in parents or '{pictures}' in parents");
    let targets = format!("shortcutDetails.targetId = '{docs}'");
    let no_targets = format!("not shortcutDetails.targetId = '{docs}'");
    let nested =
        format!("((name contains 'hello') and not (starred = true or trashed = true)) and '{docs}' in parents");
    for (q, expected) in [
        ("name = 'helloworld.TXT'", vec![hello]),
        ("name != 'link' and 'root' in parents", vec!["Docs", "Pictures", "it's.txt"]),
        ("name contains 'Hello'", vec![hello, world]),
        ("name contains 'world'", vec![world]),
        ("name contains 'hello wor'", vec![world]),
        (r"name = 'it\'s.txt'", vec!["it's.txt"]),
        (r"name = 'a\\b.png'", vec!["a\\b.png"]),
        ("fullText contains 'quick fox'", vec!["it's.txt"]),
        (r#"fullText contains '"quick brown"'"#, vec!["it's.txt"]),
        (r#"fullText contains '"quick fox"'"#, vec![]),
        ("fullText contains 'hello'", vec![world]),
        ("mimeType = 'text/plain'", vec![hello, world, "it's.txt"]),
        ("mimeType contains 'image/'", vec!["a\\b.png", "old.jpg"]),
        ("mimeType contains 'folder'", vec![]),
        ("mimeType != 'text/plain' and trashed = false", vec!["Docs", "Pictures", "a\\b.png", "link"]),
        ("modifiedTime > '2020-01-01T00:00:00' and modifiedTime < '2023-01-01T00:00:00'", vec![world, "it's.txt"]),
        ("modifiedTime >= '2023-12-31T19:00:00.500-05:00' and mimeType contains 'image'", vec!["old.jpg"]),
        ("createdTime = '2020-01-01T00:00:00Z'", vec![hello]),
        ("createdTime <= '2021-01-01'", vec![hello, world]),
        ("viewedByMeTime > '2000-01-01T00:00:00'", vec!["a\\b.png"]),
        ("not viewedByMeTime > '2000-01-01T00:00:00' and mimeType contains 'image/'", vec!["old.jpg"]),
        ("starred = true", vec![hello]),
        ("trashed != false", vec!["old.jpg"]),
        ("sharedWithMe = true", vec![]),
        ("sharedWithMe = false and starred = true", vec![hello]),
        (&in_docs, vec![hello, world]),
        (&either, vec![hello, world, "a\\b.png", "old.jpg"]),
        ("'nowhere' in parents", vec![]),
        ("'me' in owners and starred = true", vec![hello]),
        ("'OWNER@drive.localhost' in writers and starred = true", vec![hello]),
        ("'someone@example.com' in readers", vec![]),
        ("properties has { key='k' and value='v' }", vec![world]),
        ("appProperties has {value='v' and key='k'}", vec!["old.jpg"]),
        ("properties has { key='k' and value='w' }", vec![]),
        ("visibility = 'limited' and starred = true", vec![hello]),
        ("visibility = 'anyoneWithLink'", vec![]),
        ("'x' in labels", vec![]),
        (&targets, vec!["link"]),
        (&no_targets, vec!["Docs", "Pictures", hello, world, "it's.txt", "a\\b.png", "old.jpg"]),
        (&nested, vec![world]),
        ("starred = true or trashed = true and mimeType = 'text/plain'", vec![hello]),
        ("(starred = true or trashed = true) and mimeType = 'image/jpeg'", vec!["old.jpg"]),
    ] {
        assert_eq!(drive.names(q).await, expected, "{q}");
    }
}

#[tokio::test]
async fn what_is_no_query_is_refused_as_google_words_it() {
    let drive = Drive::start().await;
    let list = |q: &str| drive.get("/drive/v3/files").query("q", q).send();
    for q in ["name = 'x", "name = \"x\"", "id >= 'x'", "title = 'x'", "name = 'x' and", "nonsense"] {
        let answer = list(q).await;
        answer.refused(400, "invalid");
        assert_eq!(answer.fault_location(), "q", "{q}");
        assert_eq!(answer.json()["error"]["message"], "Invalid Value", "{q}");
    }
    assert_eq!(list("name > 'x'").await.error().0, 500, "the real service fails on this one");
    let ordered = drive.get("/drive/v3/files?orderBy=name").query("q", "fullText contains 'x'");
    assert_eq!(ordered.send().await.error().0, 400);
    drive.get("/drive/v3/files?orderBy=size").send().await.refused(400, "invalid");
    let sized = drive.get("/drive/v3/files?pageSize=many").send().await;
    sized.refused(400, "invalidParameter");
    let message = "Invalid value 'many'. Values must be within the range: [1, 1000]";
    assert_eq!(sized.json()["error"]["message"], message);
}

#[tokio::test]
async fn a_listing_comes_in_the_order_asked_for() {
    let (drive, ..) = furnished().await;
    let ordered = async |order: &str| {
        names(&drive.get("/drive/v3/files?q=trashed=false").query("orderBy", order).send().await.ok())
    };
    assert_eq!(
        ordered("folder,name").await,
        ["Docs", "Pictures", "a\\b.png", "hello world.txt", "HelloWorld.txt", "it's.txt"]
    );
    assert_eq!(ordered("folder, name desc").await[..3], ["Pictures", "Docs", "it's.txt"]);
    assert_eq!(ordered("folder desc,modifiedTime desc").await[..2], ["a\\b.png", "it's.txt"]);
    assert_eq!(ordered("starred,createdTime").await[0], "HelloWorld.txt");
    for name in ["f10", "f9", "f1"] {
        drive.create(json!({ "name": name })).await;
    }
    assert_eq!(ordered("name_natural").await[2..5], ["f1", "f9", "f10"]);
    assert_eq!(ordered("name").await[2..5], ["f1", "f10", "f9"]);
    for key in ["modifiedByMeTime", "quotaBytesUsed", "recency", "sharedWithMeTime", "viewedByMeTime desc"] {
        assert_eq!(ordered(key).await.len(), 9, "{key}");
    }
}

#[tokio::test]
async fn a_key_that_is_given_again_changes_no_order() {
    let drive = Drive::start().await;
    for name in ["b", "a", "c"] {
        drive.create(json!({ "name": name })).await;
    }
    let order = format!("orderBy=name{}", ",name desc".repeat(1000));
    assert_eq!(pages(&drive, &format!("pageSize=1&{order}"), async |_| {}).await.concat(), ["a", "b", "c"]);
}

/// All pages of a listing, with what happens between two of them.
async fn pages(drive: &Drive, query: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut call = drive.get(&format!("/drive/v3/files?{query}"));
        if let Some(token) = &token {
            call = call.query("pageToken", token);
        }
        let list = call.send().await.ok();
        pages.push(names(&list));
        token = list["nextPageToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return pages;
        }
        between(pages.len()).await;
    }
}

#[tokio::test]
async fn pages_hold_each_file_once_whatever_comes_and_goes_between_them() {
    let drive = Drive::start().await;
    let mut files = Vec::new();
    for index in 0..10 {
        files.push(id(&drive.create(json!({ "name": format!("{index}") })).await));
    }
    let between = async |page: usize| {
        // What was listed goes, and something new comes in front, by name and by time.
        drive.delete(&format!("/drive/v3/files/{}", files[page - 1])).send().await;
        drive.create(json!({ "name": format!("-{page}"), "createdTime": "2001-01-01T00:00:00Z" })).await;
    };
    let by_name = pages(&drive, "pageSize=4&orderBy=name", between).await;
    assert_eq!(by_name, [vec!["0", "1", "2", "3"], vec!["4", "5", "6", "7"], vec!["8", "9"]]);
    let none = async |_| {};
    assert_eq!(pages(&drive, "pageSize=3&orderBy=createdTime desc,name", none).await.concat().len(), 10);
    assert_eq!(pages(&drive, "pageSize=1", none).await.concat(), ["2", "3", "4", "5", "6", "7", "8", "9", "-1", "-2"]);
    assert_eq!(pages(&drive, "pageSize=10", none).await.len(), 1, "no token after the last file");
    assert_eq!(pages(&drive, "pageSize=0", none).await.len(), 10, "at least one file a page");
}

#[tokio::test]
async fn a_page_token_is_bound_to_its_question_and_survives_a_restart() {
    let mut drive = Drive::start().await;
    for index in 0..3 {
        drive.create(json!({ "name": format!("{index}") })).await;
    }
    let query = "pageSize=2&q=trashed=false&orderBy=name";
    let first = drive.get(&format!("/drive/v3/files?{query}")).send().await.ok();
    let token = first["nextPageToken"].as_str().expect("a token").to_owned();
    for other in ["pageSize=2&q=trashed=false", "pageSize=2&q=trashed=true&orderBy=name", "orderBy=name"] {
        let answer = drive.get(&format!("/drive/v3/files?{other}")).query("pageToken", &token).send().await;
        answer.refused(400, "invalid");
        assert_eq!(answer.fault_location(), "pageToken");
    }
    drive.get("/drive/v3/files?pageToken=garbage").send().await.refused(400, "invalid");
    drive.restart().await;
    let next = drive.get(&format!("/drive/v3/files?{query}")).query("pageToken", &token).send().await.ok();
    assert_eq!(names(&next), ["2"]);
}

#[tokio::test]
async fn a_large_folder_is_listed_in_pages_of_a_thousand() {
    let drive = Drive::start().await;
    let folder = drive.folder("large", "root").await;
    let drive = &drive;
    let folder = &folder;
    let create = |index: usize| async move {
        drive.create(json!({ "name": format!("{index}"), "parents": [folder], "mimeType": FOLDER })).await
    };
    for batch in 0..21 {
        futures_util::future::join_all((0..50).map(|index| create(batch * 50 + index))).await;
    }
    let query = format!("pageSize=5000&q='{folder}' in parents and trashed=false").replace(' ', "%20");
    let pages = pages(drive, &query, async |_| {}).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 50]);
    let mut all = pages.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1050);
}
