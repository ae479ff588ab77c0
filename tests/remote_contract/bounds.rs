//! What cannot succeed ends: every operation, against a server that says the same to everything, comes out with the right kind
//! of error, and soon.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use drivemount::error::Kind;
use drivemount::remote::{
    Blob, Body, Cursor, IdsFor, Move, PageToken, Pages, Patch, Remote, Result, RevisionId, Source, UploadSession, Write,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::scripted_drive::{Answer, ScriptedDrive};
use super::*;

/// Far above the patience below; an operation that takes longer hangs.
const BOUND: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(200);

/// A server that says the same to everything, or nothing at all.
struct Always {
    url: String,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Always {
    /// `answer` is the start line after the version, the headers and the body; `None` keeps silent.
    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, counter) = (answer.clone(), Arc::clone(&counter));
                tokio::spawn(async move { drop(serve(stream, answer, &counter).await) });
            }
        });
        Self { url, asked, server }
    }

    async fn json(status: &str, body: &Value) -> Self {
        let body = body.to_string();
        let head = format!("{status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        Self::start(Some(format!("{head}\r\n\r\n{body}"))).await
    }

    fn remote(&self) -> DriveRemote {
        remote_with(&DriveOptions {
            retry_for: PATIENCE,
            backoff: Duration::from_millis(2),
            max_backoff: Duration::from_millis(50),
            connect_timeout: Duration::from_millis(100),
            read_timeout: Duration::from_millis(100),
            units_per_minute: None,
            ..DriveOptions::new(Url::parse(&self.url).expect("an address"))
        })
    }

    /// Each operation with what came of it, and how many requests it took.
    async fn outcomes(&self) -> Vec<(&'static str, Result<()>, usize)> {
        let (remote, mut outcomes) = (self.remote(), Vec::new());
        for operation in OPERATIONS {
            let before = self.asked.load(Ordering::Relaxed);
            let start = Instant::now();
            let outcome = tokio::time::timeout(BOUND, run(&remote, operation, &self.url)).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("{operation} hangs"));
            assert!(start.elapsed() < BOUND, "{operation}");
            outcomes.push((operation, outcome, self.asked.load(Ordering::Relaxed) - before));
        }
        outcomes
    }
}

impl Drop for Always {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, answer: Option<String>, asked: &AtomicUsize) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await? > 2 {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length]).await?;
        asked.fetch_add(1, Ordering::Relaxed);
        let Some(answer) = &answer else { return std::future::pending().await };
        stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await?;
    }
}

const OPERATIONS: [&str; 18] = [
    "about",
    "root",
    "get",
    "list",
    "pages",
    "cursor",
    "changes",
    "reserve_ids",
    "create_bare",
    "create_link",
    "update",
    "trash",
    "delete",
    "put",
    "begin",
    "send",
    "progress",
    "read",
];

async fn run(remote: &DriveRemote, operation: &str, url: &str) -> Result<()> {
    let (file, folder) = (id("f"), id("folder"));
    let session = UploadSession(format!("{url}/upload/session"));
    let write = Write::Create(new_item(NewKind::File));
    match operation {
        "about" => remote.about().await.map(drop),
        "root" => remote.root().await.map(drop),
        "get" => remote.get(&file).await.map(drop),
        "list" => remote.list(std::slice::from_ref(&folder), Some(&PageToken("p".into()))).await.map(drop),
        "pages" => {
            let mut pages = Pages::new(remote, std::slice::from_ref(&folder));
            while pages.next().await?.is_some() {}
            Ok(())
        }
        "cursor" => remote.cursor(None).await.map(drop),
        "changes" => remote.changes(None, &Cursor("1".into())).await.map(drop),
        "reserve_ids" => remote.reserve_ids(10, IdsFor::Items).await.map(drop),
        "create_bare" => remote.create_bare(&new_item(NewKind::Folder)).await.map(drop),
        "create_link" => remote.create_link(&new_item(NewKind::Link(id("t")))).await.map(drop),
        "update" => {
            let way = Move { from: id("a"), to: id("b") };
            remote.update(&file, &Patch { parent: Some(way), ..Patch::default() }).await.map(drop)
        }
        "trash" => remote.trash(&file).await.map(drop),
        "delete" => remote.delete(&file).await,
        "put" => remote.put(&write, Bytes::from_static(b"abc")).await.map(drop),
        "begin" => remote.begin(&write, Some(3)).await.map(drop),
        "send" => {
            let stream = stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed();
            remote.send(&session, 0, Some(3), Body { length: 3, stream }).await.map(drop)
        }
        "progress" => remote.progress(&session, Some(3)).await.map(drop),
        "read" => {
            let source = Source { id: file, blob: Blob { size: 3, md5: None, revision: RevisionId("r".into()) } };
            let pieces: Vec<Bytes> = remote.read(&source, 0..3).await?.try_collect().await?;
            panic!("{pieces:?} were never sent");
        }
        other => panic!("no operation: {other}"),
    }
}

#[tokio::test]
async fn every_operation_against_a_server_that_is_of_no_use_ends_in_the_right_kind() {
    for (answer, kind) in [
        (None, Kind::TimedOut),
        (Some("503 Unavailable\r\nContent-Length: 0\r\n\r\n"), Kind::Server),
        (Some("401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), Kind::SignIn),
        (Some("302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), Kind::Protocol),
        (Some("307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"), Kind::Protocol),
        (Some("200 OK\r\nContent-Length: 19\r\n\r\n<html>Hello!</html>"), Kind::Protocol),
        (Some("200 OK\r\nContent-Length: 4\r\n\r\n\0\u{7f}{["), Kind::Protocol),
        (Some("200 OK\r\nContent-Length: 2\r\n\r\n{}"), Kind::Protocol),
        (Some("206 Partial\r\nContent-Length: 0\r\n\r\n"), Kind::Protocol),
    ] {
        let drive = Always::start(answer.map(str::to_owned)).await;
        for (operation, outcome, _) in drive.outcomes().await {
            if let Err(error) = outcome {
                assert_eq!(error.kind, kind, "{operation}, {answer:?}: {error}");
                continue;
            }
            // A success without words is one of a deletion, and a page without anything is the last.
            let is_success = answer.is_some_and(|answer| answer.starts_with('2'));
            let is_empty = matches!(operation, "list" | "pages") && answer.is_some_and(|answer| answer.ends_with("{}"));
            assert!(is_success && operation == "delete" || is_empty, "{operation}, {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_drive_that_always_asks_for_fewer_requests_is_not_asked_for_ever() {
    let drive = Always::start(Some("429 Too Many\r\nContent-Length: 0\r\n\r\n".to_owned())).await;
    for operation in ["get", "pages", "put", "send", "read"] {
        // With a pace of its own each: all calls of an account slow down together.
        let remote = drive.remote();
        let outcome = tokio::time::timeout(BOUND, run(&remote, operation, &drive.url)).await.expect(operation);
        assert_eq!(outcome.expect_err(operation).kind, Kind::RateLimited, "{operation}");
    }
}

#[tokio::test]
async fn every_operation_against_a_port_where_nobody_listens_is_unreachable() {
    let mut drive = Always::start(None).await;
    drive.server.abort();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    drive.url = format!("http://{free}");
    for (operation, outcome, _) in drive.outcomes().await {
        assert_eq!(outcome.expect_err(operation).kind, Kind::Unreachable, "{operation}");
    }
}

#[tokio::test]
async fn a_permanent_refusal_is_told_by_every_operation_at_once() {
    for (reason, kind) in [
        ("storageQuotaExceeded", Kind::StorageFull),
        ("downloadQuotaExceeded", Kind::DownloadLimit),
        ("dailyLimitExceeded", Kind::RateLimited),
        ("activeItemCreationLimitExceeded", Kind::TooManyEntries),
        ("numChildrenInNonRootLimitExceeded", Kind::TooManyEntries),
        ("myDriveHierarchyDepthLimitExceeded", Kind::NameTooLong),
        ("insufficientFilePermissions", Kind::Denied),
        ("insufficientPermissions", Kind::Denied),
        ("appNotAuthorizedToFile", Kind::Denied),
        ("domainPolicy", Kind::Denied),
        ("accessNotConfigured", Kind::Denied),
        ("cannotDownloadAbusiveFile", Kind::Denied),
        ("cannotDownloadFile", Kind::Denied),
        ("fileNotDownloadable", Kind::Unsupported),
        ("exportSizeLimitExceeded", Kind::Unsupported),
        ("cannotAddParent", Kind::NotPermitted),
        ("fileNeverWritable", Kind::NotPermitted),
        ("parentNotAFolder", Kind::NotADirectory),
        ("propertyLengthLimitExceeded", Kind::Invalid),
        ("propertyCountLimitExceeded", Kind::AttributesFull),
        ("somethingNobodyHeardOf", Kind::Denied),
    ] {
        let detail = json!({ "domain": "global", "reason": reason, "message": "Words." });
        let body = json!({ "error": { "code": 403, "message": "Words.", "errors": [detail] } });
        let drive = Always::json("403 Forbidden", &body).await;
        for (operation, outcome, asked) in drive.outcomes().await {
            let error = outcome.expect_err(operation);
            assert_eq!((error.kind, error.status), (kind, Some(403)), "{operation}, {reason}: {error}");
            // A move that is refused is looked at; where a revision is refused by its name, the current content is asked for.
            let most = if matches!(operation, "update" | "read") { 2 } else { 1 };
            assert!(asked <= most, "{operation}, {reason}: {asked} requests");
        }
    }
}

#[tokio::test]
async fn pages_that_do_not_end_are_given_up() {
    let item = file("a", &json!({}));
    for page in [json!({ "files": [], "nextPageToken": "p" }), json!({ "files": [item], "nextPageToken": "p" })] {
        let drive = Always::json("200 OK", &page).await;
        let error = run(&drive.remote(), "pages", &drive.url).await.expect_err("no end");
        assert_eq!(error.kind, Kind::Protocol, "{error}");
        assert!(drive.asked.load(Ordering::Relaxed) < 200);
    }
}

#[tokio::test]
async fn a_listing_whose_page_token_is_refused_begins_again_a_number_of_times() {
    const FILES: &str = "/drive/v3/files";
    let first = || Answer::json(&json!({ "files": [folder("a")], "nextPageToken": "p" }));
    let refusal = || Answer::error(400, "invalid");
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", FILES, first()).expect("GET", FILES, refusal()).expect("GET", FILES, first()).expect(
        "GET",
        FILES,
        Answer::json(&json!({ "files": [folder("b")] })),
    );
    let (remote, top) = (remote(&drive), id("folder"));
    let mut pages = Pages::new(&remote, std::slice::from_ref(&top));
    while pages.next().await.expect("a page").is_some() {}
    assert_eq!(pages.into_ids(), [id("a"), id("b")].into());
    let tokens: Vec<_> = drive.seen().iter().map(|seen| seen.parameter("pageToken").map(str::to_owned)).collect();
    assert_eq!(tokens, [None, Some("p".to_owned()), None, Some("p".to_owned())]);

    let drive = ScriptedDrive::start().await;
    for _ in 0..11 {
        drive.expect("GET", FILES, first()).expect("GET", FILES, refusal());
    }
    let remote = self::remote(&drive);
    let error = run(&remote, "pages", &drive.url).await.expect_err("no end");
    assert_eq!((error.kind, error.status), (Kind::Protocol, Some(400)));

    let drive = ScriptedDrive::start().await;
    drive.expect("GET", FILES, refusal());
    let error = run(&self::remote(&drive), "pages", &drive.url).await.expect_err("refused without a token");
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn an_upload_that_never_advances_is_told_as_it_is() {
    let drive = Always::start(Some("308 Resume Incomplete\r\nContent-Length: 0\r\n\r\n".to_owned())).await;
    let remote = drive.remote();
    for operation in ["send", "progress"] {
        run(&remote, operation, &drive.url).await.expect("nothing is stored, and nothing is wrong");
    }
    assert_eq!(drive.asked.load(Ordering::Relaxed), 2, "whether to go on is for the caller to say");
}
