//! `drivemount serve` as a process: starting, ending, being killed.

#[path = "support/server.rs"]
mod support;

use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use futures_util::stream;
use reqwest::Client;
use serde_json::{Value, json};
use support::{UNIT, bytes, client};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

/// A running `drivemount serve`. Killed when dropped.
struct Process {
    child: Child,
    ready: String,
    url: String,
}

fn serve(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drivemount"));
    command.arg("serve").arg("--data").arg(data).args(arguments).env_remove("DRIVEMOUNT_SERVE_TOKEN");
    command
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let mut ready = String::new();
        let stdout = child.stdout.as_mut().expect("is piped");
        BufReader::new(stdout).read_line(&mut ready).expect("says that it is ready");
        let url = ready.split_whitespace().find(|word| word.starts_with("http://")).expect(&ready).to_owned();
        Self { child, ready, url }
    }

    fn kill(mut self) {
        self.child.kill().expect("dies");
        self.child.wait().expect("is dead");
    }

    /// Sends a signal; what came after the ready line, and the exit code.
    fn end(mut self, signal: &str) -> (String, Option<i32>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("runs").success());
        let mut rest = String::new();
        self.child.stdout.as_mut().expect("is piped").read_to_string(&mut rest).expect("text");
        (rest, self.child.wait().expect("ends").code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(data: &Path) -> String {
    std::fs::read_to_string(data.join("token")).expect("a token").trim().to_owned()
}

/// A command that refuses to run: its exit code and what it said, which must be one sentence.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.stdout(Stdio::piped()).output().expect("runs");
    let message = String::from_utf8(stderr).expect("text");
    assert!(stdout.is_empty());
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("drivemount: ") && !message.contains("backtrace"), "{message}");
    (status.code(), message)
}

#[tokio::test]
async fn the_server_says_once_where_it_is_and_ends_well_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("deep/data");
        let process = Process::start(serve(&data, &[]));
        let expected =
            format!("drivemount serve: ready at {} (data in {1}, token in {1}/token)\n", process.url, data.display());
        assert_eq!(process.ready, expected);
        assert!(!process.ready.contains(&token(&data)));
        let about = client().get(format!("{}/drive/v3/about?fields=kind", process.url)).bearer_auth(token(&data));
        assert_eq!(about.send().await.expect("answers").status(), 200);
        assert_eq!(process.end(signal), (String::new(), Some(0)));
    }
}

#[tokio::test]
async fn the_token_can_be_given_in_three_ways() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "from-file\n").expect("writes");
    let data = folder.path().join("data");
    let mut by_variable = serve(&data, &[]);
    by_variable.env("DRIVEMOUNT_SERVE_TOKEN", "from-variable");
    for (command, token) in [
        (serve(&data, &["--token", "from-flag"]), "from-flag"),
        (serve(&data, &["--token-file", &file.to_string_lossy()]), "from-file"),
        (by_variable, "from-variable"),
    ] {
        let process = Process::start(command);
        let about = client().get(format!("{}/drive/v3/about?fields=kind", process.url)).bearer_auth(token);
        assert_eq!(about.send().await.expect("answers").status(), 200, "{token}");
        assert!(!process.ready.contains("token"), "{}", process.ready);
    }
    assert!(!data.join("token").exists());
}

#[test]
fn what_cannot_be_served_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");

    let (code, message) = refused(serve(&data, &["--listen", "0.0.0.0:0"]));
    assert!(code == Some(2) && message.contains("--allow-remote"), "{code:?} {message}");
    let (code, message) = refused(serve(&data, &["--token", "two words"]));
    assert!(code == Some(2) && message.contains("--token-file"), "{code:?} {message}");
    let (code, message) = refused(serve(&data, &["--token-file", "/nowhere/token"]));
    assert!(code == Some(2) && message.contains("/nowhere/token"), "{code:?} {message}");

    let running = Process::start(serve(&data, &["--allow-remote", "--listen", "127.0.0.1:0"]));
    let address = running.url.trim_start_matches("http://").to_owned();
    let (code, message) = refused(serve(&data, &[]));
    assert!(code == Some(6) && message.contains("in use by another server"), "{code:?} {message}");
    let other = folder.path().join("other");
    let (code, message) = refused(serve(&other, &["--listen", &address]));
    assert!(code == Some(1) && message.contains("--listen"), "{code:?} {message}");
    running.kill();

    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("writes");
    let (code, message) = refused(serve(&file, &[]));
    assert!(code == Some(6) && message.contains("--data"), "{code:?} {message}");

    let database = rusqlite::Connection::open(data.join("drive.db")).expect("opens");
    database.pragma_update(None, "user_version", 99).expect("writes");
    drop(database);
    let (code, message) = refused(serve(&data, &[]));
    assert!(code == Some(6) && message.contains("format 99"), "{code:?} {message}");

    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).expect("makes");
    std::fs::write(foreign.join("drive.db"), "this is no database, and long enough to be sure of that".repeat(50))
        .expect("writes");
    let (code, message) = refused(serve(&foreign, &[]));
    assert!(code == Some(6) && message.contains("cannot open the drive"), "{code:?} {message}");
}

/// Uploads small files one after the other until the server is gone; reports id and length of those acknowledged.
async fn upload_until_killed(
    http: Client,
    url: String,
    token: String,
    seed: usize,
    acknowledged: UnboundedSender<(String, usize)>,
) {
    for round in 0.. {
        let length = (seed * 7919 + round * 104_729) % 60_000;
        let session = http.post(format!("{url}/upload/drive/v3/files?uploadType=media&fields=id")).bearer_auth(&token);
        let Ok(response) = session.body(bytes(length)).send().await else { return };
        assert_eq!(response.status(), 200);
        let Ok(file) = response.json::<Value>().await else { return };
        let id = file["id"].as_str().expect("an id").to_owned();
        acknowledged.send((id, length)).expect("is received to the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_and_sessions_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let http = client();
    let process = Process::start(serve(data, &[]));
    let (url, token) = (process.url.clone(), token(data));

    // A session with two units acknowledged, and a request under way with more.
    let content = bytes(5 * UNIT + 99);
    let total = content.len();
    let start = http.post(format!("{url}/upload/drive/v3/files?uploadType=resumable&fields=*")).bearer_auth(&token);
    let start = start.json(&json!({ "name": "large" })).send().await.expect("answers");
    let session = start.headers()["location"].to_str().expect("text").to_owned();
    let put = |session: &str, range: String, body: Vec<u8>| {
        http.put(session).bearer_auth(&token).header("content-range", range).body(body).send()
    };
    let first = put(&session, format!("bytes 0-{}/{total}", 2 * UNIT - 1), content[..2 * UNIT].to_vec())
        .await
        .expect("answers");
    assert_eq!(first.status(), 308);
    let (sent, was_sent) = oneshot::channel();
    let pieces = stream::unfold((Some(content[2 * UNIT..4 * UNIT].to_vec()), Some(sent)), |(piece, sent)| async {
        if let Some(piece) = piece {
            return Some((Ok::<_, std::io::Error>(piece), (None, sent)));
        }
        sent?.send(()).ok()?;
        // The rest never comes.
        std::future::pending().await
    });
    let hanging = http
        .put(&session)
        .bearer_auth(&token)
        .header("content-range", format!("bytes {}-{}/{total}", 2 * UNIT, total - 1))
        .body(reqwest::Body::wrap_stream(pieces))
        .send();
    let hanging = tokio::spawn(hanging);
    was_sent.await.expect("sends");

    // Small uploads, many at a time, until the server dies among them.
    let (acknowledge, mut news) = mpsc::unbounded_channel();
    for seed in 0..8 {
        tokio::spawn(upload_until_killed(http.clone(), url.clone(), token.clone(), seed, acknowledge.clone()));
    }
    drop(acknowledge);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 200 {
        acknowledged.push(news.recv().await.expect("uploads go on"));
    }
    process.kill();
    while let Some(file) = news.recv().await {
        acknowledged.push(file);
    }
    assert!(hanging.await.expect("ends").is_err());

    let process = Process::start(serve(data, &[]));
    let session = session.replace(&url, &process.url);
    for (id, length) in acknowledged {
        let file = format!("{}/drive/v3/files/{id}", process.url);
        let media = http.get(format!("{file}?alt=media")).bearer_auth(&token).send().await.expect("answers");
        assert_eq!(media.status(), 200, "{id} was acknowledged");
        assert!(media.bytes().await.expect("arrives") == bytes(length), "{id} has its bytes");
    }
    let status = put(&session, format!("bytes */{total}"), Vec::new()).await.expect("answers");
    assert_eq!(status.status(), 308);
    let range = status.headers()["range"].to_str().expect("text");
    let stored = range.strip_prefix("bytes=0-").expect("a range").parse::<usize>().expect("a number") + 1;
    assert!(stored >= 2 * UNIT && stored.is_multiple_of(UNIT), "{stored}");
    let done = put(&session, format!("bytes {stored}-{}/{total}", total - 1), content[stored..].to_vec())
        .await
        .expect("answers");
    let file = done.json::<Value>().await.expect("arrives");
    assert_eq!(file["size"], total.to_string());
    let media = format!("{}/drive/v3/files/{}?alt=media", process.url, file["id"].as_str().expect("an id"));
    let media = http.get(media).bearer_auth(&token).send().await.expect("answers");
    assert!(media.bytes().await.expect("arrives") == content);

    // Every file of bytes has an owner: what was half-written at the kill is gone.
    assert_eq!(process.end("-TERM").1, Some(0));
    let database = rusqlite::Connection::open(data.join("drive.db")).expect("opens");
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts");
    let owned = count("SELECT count(*) FROM revisions WHERE blob IS NOT NULL");
    let others = count("SELECT (SELECT count(*) FROM drafts) + (SELECT count(*) FROM doomed)");
    let folders = std::fs::read_dir(data.join("blobs")).expect("a folder");
    let entries = |folder: std::io::Result<DirEntry>| std::fs::read_dir(folder.expect("an entry").path());
    let files: usize = folders.map(|folder| entries(folder).expect("a folder").count()).sum();
    assert_eq!((i64::try_from(files).expect("few"), others), (owned, 0));
}
