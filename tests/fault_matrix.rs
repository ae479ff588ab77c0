//! Every kind of trouble for every operation: the client of Google Drive against an embedded drive that misbehaves by script.
//! Trouble may cost time and nothing else: each operation ends within bounds, with the result that it has without trouble, and
//! leaves the drive as it should, with nothing twice and nothing half done.
//!
//! `DRIVEMOUNT_TEST_SEEDS` says how often each is tried, with a seed of its own each time (2). The table is shown with
//! `--nocapture`.

#[path = "support/server.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drivemount::auth::{AccessToken, AuthError, TokenSource};
use drivemount::clock::Timestamp;
use drivemount::error::Kind;
use drivemount::remote::drive::{DriveOptions, DriveRemote};
use drivemount::remote::{
    Blob, Body, Change, Cursor, FileId, IdsFor, Item, ItemKind, Move, NewItem, NewKind, Pages, Patch, Posix, Progress,
    Remote, RemoteError, Source, Write,
};
use futures_util::future::{self, BoxFuture};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use support::{Drive, UNIT, bytes, id, names};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

/// What goes wrong. Rules hit by chance, so that what is tried again comes through in the end.
const TROUBLE: [(&str, &[&str]); 17] = [
    ("slow answers", &["*:latency,ms=0-40"]),
    ("slow line", &["*:bandwidth,up=8M,down=8M"]),
    ("server errors", &["*:answer,status=503,share=0.3", "*:answer,status=500,body=empty,share=0.2"]),
    (
        "rate limits",
        &["*:answer,status=403,reason=userRateLimitExceeded,share=0.2", "*:answer,status=429,body=html,share=0.2"],
    ),
    ("requests cut", &["*:cut-request,after=0-400000,share=0.3", "*:cut-request,after=0-300,share=0.3"]),
    (
        "answers cut",
        &[
            "files.get_media+revisions.get_media:cut-answer,after=0-400000,share=0.7",
            "*:cut-answer,after=0-400,share=0.4",
        ],
    ),
    ("answers lost", &["*:lose-answer,share=0.4"]),
    ("sessions expire", &["uploads.send:expire-session,share=0.4"]),
    ("tokens expire", &["*:revoke,requests=1,share=0.5,times=1"]),
    ("changes lag", &["changes.list:lag,time=150ms"]),
    ("quota runs out", &["*:quota,units=260,per=200ms,status=429"]),
    ("errors for what was done", &["*:answer,status=502,body=html,done=true,share=0.4"]),
    ("short and empty pages", &["*:short-page,size=1-3", "*:empty-page,share=0.3"]),
    ("page tokens expire", &["*:short-page,size=1-3", "*:expire-page-token,share=0.2"]),
    ("pieces taken in part", &["uploads.send:store-less,share=0.6"]),
    ("sessions move", &["uploads.send:move-session,share=0.6"]),
    ("no checksums", &["*:withhold,fields=md5Checksum+sha1Checksum+sha256Checksum", "*:lose-answer,share=0.3"]),
];

const OPERATIONS: [&str; 8] = ["list", "read", "changes", "create", "upload", "replace", "move", "delete"];

/// An operation that takes longer hangs.
const BOUND: Duration = Duration::from_mins(2);
/// Tries under way at a time.
const AT_A_TIME: usize = 8;
/// More than one piece of an upload, and of a download.
const LARGE: usize = 3 * UNIT + 17;

#[derive(Debug)]
struct Token(AccessToken);

impl TokenSource for Token {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        future::ready(Ok(self.0.clone())).boxed()
    }

    fn reject(&self, _rejected: &AccessToken) {}
}

/// A folder to work in, and the client.
struct Try<'d> {
    drive: &'d Drive,
    remote: DriveRemote,
    folder: FileId,
    other: FileId,
}

impl<'d> Try<'d> {
    /// Two new folders, and a client that waits little and is patient.
    async fn begin(drive: &'d Drive) -> Self {
        let options = DriveOptions {
            backoff: Duration::from_millis(2),
            max_backoff: Duration::from_millis(50),
            units_per_minute: None,
            ..DriveOptions::new(Url::parse(&drive.url).expect("an address"))
        };
        let token = Token(AccessToken::new(&drive.token).expect("a token"));
        let remote = DriveRemote::new(&options, Arc::new(token)).expect("a client");
        let folder = FileId(drive.folder("folder", "root").await);
        let other = FileId(drive.folder("other", "root").await);
        Self { drive, remote, folder, other }
    }

    /// A file in the folder, made without trouble.
    async fn file(&self, name: &str, content: &[u8]) -> Source {
        let file = self.drive.upload(&json!({ "name": name, "parents": [self.folder.0] }), content).await;
        source(&self.remote.get(&FileId(id(&file))).await.expect("is there"))
    }

    async fn reserved(&self) -> FileId {
        self.remote.reserve_ids(1, IdsFor::Items).await.expect("an id").remove(0)
    }

    fn new_item(&self, id: FileId) -> NewItem {
        NewItem {
            id,
            parent: self.folder.clone(),
            name: "new".to_owned(),
            kind: NewKind::File,
            modified: modified(),
            posix: Posix { mode: Some(0o640), ..Posix::default() },
        }
    }

    /// What the drive holds in a folder, asked without trouble.
    async fn truth(&self, folder: &FileId) -> Vec<Value> {
        let path = "/drive/v3/files?orderBy=name&fields=*";
        let query = format!("'{folder}' in parents and trashed = false");
        let list = self.drive.get(path).query("q", &query).send().await.ok();
        list["files"].as_array().expect("files").clone()
    }

    /// That the folder holds this one file and no other.
    async fn holds(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let files = self.truth(&self.folder).await;
        let [file] = &files[..] else { return Err(format!("the folder holds {} files", files.len())) };
        same("its name", &file["name"], &json!(name))?;
        same("its time", &file["modifiedTime"], &json!(modified().to_rfc3339()))?;
        same("its content", &self.drive.content(&id(file)).await, &content.to_vec())
    }

    async fn set_trouble(&self, seed: u64, rules: &[&str]) {
        let script = json!({ "seed": seed, "rules": rules });
        self.drive.put("/admin/trouble").json(&script).send().await.ok();
    }

    async fn end_trouble(&self) {
        assert_eq!(self.drive.delete("/admin/trouble").send().await.status, 204);
    }

    async fn run(&self, operation: &str, seed: u64, rules: &[&str]) -> Result<(), String> {
        match operation {
            "list" => self.list(seed, rules).await,
            "read" => self.read(seed, rules).await,
            "changes" => self.changes(seed, rules).await,
            "create" => self.create(seed, rules).await,
            "upload" => self.upload(seed, rules).await,
            "replace" => self.replace(seed, rules).await,
            "move" => self.move_item(seed, rules).await,
            "delete" => self.delete(seed, rules).await,
            other => Err(format!("no operation: {other}")),
        }
    }

    async fn list(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        for number in 0..5 {
            self.file(&format!("file {number}"), b"x").await;
        }
        self.set_trouble(seed, rules).await;
        let mut pages = Pages::new(&self.remote, std::slice::from_ref(&self.folder));
        let mut found = BTreeMap::new();
        while let Some(items) = pages.next().await.map_err(told)? {
            found.extend(items.into_iter().map(|item| (item.id, item.name)));
        }
        self.end_trouble().await;
        let mut found: Vec<_> = found.into_values().collect();
        found.sort();
        same("the names", &found, &(0..5).map(|number| format!("file {number}")).collect())
    }

    async fn read(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let content = bytes(LARGE);
        let source = self.file("large", &content).await;
        self.set_trouble(seed, rules).await;
        for range in [0..LARGE, 1000..LARGE - 1000, LARGE - 1..LARGE] {
            let wanted = range.start as u64..range.end as u64;
            let stream = self.remote.read(&source, wanted).await.map_err(told)?;
            let pieces: Vec<Bytes> = stream.try_collect().await.map_err(told)?;
            if pieces.concat() != content[range.clone()] {
                return Err(format!("other bytes in {range:?}"));
            }
        }
        self.end_trouble().await;
        Ok(())
    }

    async fn changes(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let mut cursor = self.remote.cursor(None).await.expect("a cursor");
        let mut missing: Vec<FileId> = Vec::new();
        for number in 0..3 {
            missing.push(self.file(&format!("file {number}"), b"x").await.id);
        }
        let gone = missing[0].clone();
        self.drive.delete(&format!("/drive/v3/files/{gone}")).send().await;
        self.set_trouble(seed, rules).await;
        while !missing.is_empty() {
            let page = self.remote.changes(None, &cursor).await.map_err(told)?;
            for change in page.changes {
                let seen = match change {
                    Change::Removed(id) if id == gone => id,
                    Change::Present(item) if item.id != gone => item.id,
                    other => return Err(format!("not what happened: {other:?}")),
                };
                missing.retain(|id| *id != seen);
            }
            cursor = page.next;
        }
        self.end_trouble().await;
        let Cursor(end) = self.remote.cursor(None).await.expect("a cursor");
        same("the end of the feed", &cursor.0, &end)
    }

    async fn create(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let write = Write::Create(self.new_item(self.reserved().await));
        self.set_trouble(seed, rules).await;
        let item = self.remote.put(&write, Bytes::from_static(b"small")).await.map_err(told)?;
        self.end_trouble().await;
        same("the id", &item.id, write.id())?;
        self.holds("new", b"small").await
    }

    async fn upload(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let content = Bytes::from(bytes(LARGE));
        let write = Write::Create(self.new_item(self.reserved().await));
        self.set_trouble(seed, rules).await;
        let item = self.send_all(&write, &content).await.map_err(told)?;
        self.end_trouble().await;
        same("the id", &item.id, write.id())?;
        self.holds("new", &content).await
    }

    async fn replace(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let source = self.file("old", &bytes(LARGE)).await;
        let patch = Patch { modified: Some(modified()), ..Patch::default() };
        let write = Write::Update { id: source.id.clone(), patch };
        self.set_trouble(seed, rules).await;
        let small = self.remote.put(&write, Bytes::from_static(b"small")).await.map_err(told)?;
        same("the size", &source_size(&small), &5)?;
        let content = Bytes::from(bytes(LARGE - 5));
        let item = self.send_all(&write, &content).await.map_err(told)?;
        self.end_trouble().await;
        same("the id", &item.id, &source.id)?;
        self.holds("old", &content).await
    }

    async fn move_item(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let source = self.file("old", b"moved").await;
        let there = Move { from: self.folder.clone(), to: self.other.clone() };
        let patch = Patch {
            name: Some("renamed".to_owned()),
            parent: Some(there),
            modified: Some(modified()),
            ..Patch::default()
        };
        self.set_trouble(seed, rules).await;
        let item = self.remote.update(&source.id, &patch).await.map_err(told)?;
        self.end_trouble().await;
        same("its folder", &item.parent, &Some(self.other.clone()))?;
        same("what is left behind", &self.truth(&self.folder).await.len(), &0)?;
        let moved = Self {
            folder: self.other.clone(),
            other: self.folder.clone(),
            remote: self.remote.with_patience(BOUND),
            ..*self
        };
        moved.holds("renamed", b"moved").await
    }

    async fn delete(&self, seed: u64, rules: &[&str]) -> Result<(), String> {
        let (first, second, third) =
            (self.file("first", b"1").await, self.file("second", b"2").await, self.file("third", b"3").await);
        self.set_trouble(seed, rules).await;
        let trashed = self.remote.trash(&first.id).await.map_err(told)?;
        self.remote.delete(&second.id).await.map_err(told)?;
        let gone = self.remote.get(&second.id).await;
        self.end_trouble().await;
        same("in the trash", &trashed.trashed, &true)?;
        same("gone", &gone.err().map(|error| error.kind), &Some(Kind::NotFound))?;
        let trash = self.drive.get(&format!("/drive/v3/files/{}?fields=trashed", first.id)).send().await.ok();
        same("in the trash", &trash["trashed"], &json!(true))?;
        self.drive.get(&format!("/drive/v3/files/{}", second.id)).send().await.refused(404, "notFound");
        let left = json!({ "files": self.truth(&self.folder).await });
        same("what is left", &names(&left), &vec!["third".to_owned()])?;
        same("its content", &self.drive.content(&third.id.0).await, &b"3".to_vec())
    }

    /// Uploads in pieces, as whoever uses a remote does it: asks for the progress after an error, and begins again when the
    /// session is gone.
    async fn send_all(&self, write: &Write, content: &Bytes) -> Result<Item, RemoteError> {
        let total = content.len() as u64;
        'sessions: loop {
            let mut session = match self.remote.begin(write, Some(total)).await {
                // Of an upload whose last answer got lost.
                Err(error) if error.kind == Kind::Exists => return self.remote.get(write.id()).await,
                session => session?,
            };
            let mut stored = 0;
            loop {
                let start = usize::try_from(stored).expect("small");
                let piece = content.slice(start..content.len().min(start + 2 * UNIT));
                let body = Body { length: piece.len() as u64, stream: stream::iter([Ok(piece)]).boxed() };
                let progress = match self.remote.send(&session, stored, Some(total), body).await {
                    Err(error) if is_temporary(error.kind) => self.remote.progress(&session, Some(total)).await,
                    progress => progress,
                };
                match progress {
                    Ok(Progress::Done(item)) => return Ok(*item),
                    Ok(Progress::Stored(bytes)) => stored = bytes,
                    Ok(Progress::Moved(bytes, to)) => (stored, session) = (bytes, to),
                    Err(error) if error.kind == Kind::NotFound => continue 'sessions,
                    Err(error) if error.kind == Kind::Exists => return self.remote.get(write.id()).await,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// What a caller of [`Remote::send`] asks again about.
fn is_temporary(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Server | Kind::RateLimited | Kind::Unreachable | Kind::TimedOut | Kind::Protocol | Kind::SignIn
    )
}

fn modified() -> Timestamp {
    Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z").expect("a time")
}

fn source(item: &Item) -> Source {
    Source { id: item.id.clone(), blob: blob(item).clone() }
}

fn source_size(item: &Item) -> u64 {
    blob(item).size
}

fn blob(item: &Item) -> &Blob {
    match &item.kind {
        ItemKind::File(blob) => blob,
        other => panic!("no file: {other:?}"),
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
fn told(error: RemoteError) -> String {
    format!("{:?}: {error}", error.kind)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let shown = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    Err(format!("{what}: {} instead of {}", shown(found), shown(expected)))
}

/// All tries of one operation with one kind of trouble; what went wrong.
async fn cell(operation: &'static str, rules: &'static [&'static str], seeds: u64) -> Vec<String> {
    let drive = Drive::start_with_trouble(0, &[]).await;
    let mut wrong = Vec::new();
    for seed in 1..=seeds {
        let attempt = Try::begin(&drive).await;
        match tokio::time::timeout(BOUND, attempt.run(operation, seed, rules)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => wrong.push(format!("seed {seed}: {error}")),
            Err(_) => wrong.push(format!("seed {seed}: did not end")),
        }
        attempt.end_trouble().await;
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_costs_time_and_nothing_else() {
    let seeds: u64 = std::env::var("DRIVEMOUNT_TEST_SEEDS").map_or(2, |text| text.parse().expect("a number"));
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut cells = JoinSet::new();
    for (row, (_, rules)) in TROUBLE.into_iter().enumerate() {
        for (column, operation) in OPERATIONS.into_iter().enumerate() {
            let permits = permits.clone();
            cells.spawn(async move {
                let _permit = permits.acquire_owned().await.expect("open");
                (row, column, cell(operation, rules, seeds).await)
            });
        }
    }
    let mut wrong = vec![vec![Vec::new(); OPERATIONS.len()]; TROUBLE.len()];
    while let Some(done) = cells.join_next().await {
        let (row, column, found) = done.expect("a cell");
        wrong[row][column] = found;
    }
    let mut table = format!("{:<26}", "");
    let mut list = String::new();
    for operation in OPERATIONS {
        let _ = write!(table, "{operation:>9}");
    }
    for (row, (trouble, _)) in TROUBLE.iter().enumerate() {
        let _ = write!(table, "\n{trouble:<26}");
        for (column, operation) in OPERATIONS.iter().enumerate() {
            let right = seeds - wrong[row][column].len() as u64;
            let _ = write!(table, "{:>9}", format!("{right}/{seeds}"));
            for error in &wrong[row][column] {
                let _ = writeln!(list, "{operation}, {trouble}, {error}");
            }
        }
    }
    println!("{table}");
    assert!(list.is_empty(), "{table}\n{list}");
}
