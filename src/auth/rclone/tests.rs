//! Remotes of rclone, against the embedded drive and by themselves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;

use super::super::TokenSource;
use super::*;
use crate::clock::{self, Timestamp};
use crate::error::Kind;
use crate::server::{Options, Server};

fn expiry(seconds: i64) -> String {
    Timestamp::from_millis(clock::now().millis() + seconds * 1000).to_rfc3339()
}

/// A token endpoint that gives one token; its address.
async fn endpoint() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let give = |form: String| async move {
        assert!(form.contains("refresh_token=1%2F%2Frefresh-secret") && form.contains("client_id=id.apps"), "{form}");
        (
            [("content-type", "application/json")],
            r#"{"access_token": "ya29.renewed", "expires_in": 3599, "token_type": "Bearer"}"#,
        )
    };
    let router = Router::new().route("/token", post(give));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/token")
}

fn remote(token_url: &str, seconds_left: i64, more: &str) -> String {
    let token = json!({
        "access_token": "ya29.of-rclone", "token_type": "Bearer", "refresh_token": "1//refresh-secret",
        "expiry": expiry(seconds_left),
    });
    format!(
        "[drive]\ntype = drive\nclient_id = id.apps\nclient_secret = client-secret\ntoken = {token}\ntoken_url = {token_url}\n{more}"
    )
}

async fn open(path: &Path, name: &str) -> Result<Renewed<RcloneRemote>, AuthError> {
    RcloneRemote::open(name, path.to_owned(), Access::ReadWrite).await
}

#[tokio::test]
async fn the_token_of_rclone_is_used_while_it_holds_and_renewed_after_that() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("rclone.conf");
    let url = endpoint().await;
    for (seconds_left, first) in [(3000, "ya29.of-rclone"), (30, "ya29.renewed"), (-5, "ya29.renewed")] {
        let text = remote(&url, seconds_left, "scope = drive.readonly\n");
        fs::write(&path, &text).expect("writes");
        let tokens = open(&path, "drive:").await.expect("opens");
        let token = tokens.token().await.expect("a token");
        assert_eq!(token.expose(), first);
        assert_eq!(tokens.scopes().as_deref(), Some(Access::ReadOnly.scope()));
        tokens.reject(&token);
        assert_eq!(tokens.token().await.expect("another token").expose(), "ya29.renewed");
        assert_eq!(fs::read_to_string(&path).expect("reads"), text, "the file is rclone's");
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("secret") && !shown.contains("ya29"), "{shown}");
    }
}

#[tokio::test]
async fn a_refused_service_account_is_not_shown_to_the_token_service_at_each_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let options =
        Options { sign_in: true, token_life: Duration::from_hours(1), ..Options::new(dir.path().join("data")) };
    let _server = Server::start(options).await.expect("starts");
    let text = fs::read_to_string(dir.path().join("data/service-account.json")).expect("reads");
    let right: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::clone(&asked);
    let refuse = move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        (StatusCode::BAD_REQUEST, [("content-type", "application/json")], r#"{"error": "unauthorized_client"}"#)
    };
    let router = Router::new().route("/token", post(refuse));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut wrong = right.clone();
    wrong["token_uri"] = format!("http://{address}/token").into();
    let (path, key) = (dir.path().join("rclone.conf"), dir.path().join("key.json"));
    for inline in [true, false] {
        let remote = |json: &serde_json::Value| {
            fs::write(&key, json.to_string()).expect("writes");
            let line = if inline {
                format!("service_account_credentials = {json}")
            } else {
                format!("service_account_file = {}", key.display())
            };
            fs::write(&path, format!("[r]\ntype = drive\n{line}\n")).expect("writes");
        };
        remote(&wrong);
        let tokens = open(&path, "r").await.expect("opens");
        asked.store(0, Ordering::SeqCst);
        for _ in 0..4 {
            let error = tokens.token().await.expect_err("refused");
            assert!(error.to_string().contains("unauthorized_client"), "{error}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        remote(&right);
        tokens.token().await.expect("another key is tried at once");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("rclone.conf");
    let builtin = "[r]\ntype = drive\ntoken = {\"access_token\":\"ya29.x\",\"refresh_token\":\"1//refresh-secret\"}\n";
    for (text, words) in [
        ("[other]\ntype = drive\n[s3]\ntype = s3\n", &["has no remote \"r\"", "are other"][..]),
        ("[r]\ntype = s3\n", &["of the type \"s3\""]),
        ("[r]\ntype = drive\n", &["is not signed in", "config reconnect r:"]),
        ("[r]\ntype = drive\ntoken = {1//refresh-secret\n", &["damaged token", "config reconnect r:"]),
        (builtin, &["client_id", "--token-command 'rclone", "config update r client_id ID"]),
        ("[r]\ntype = drive\nenv_auth = true\n", &["--application-default"]),
        ("[r]\ntype = drive\nservice_account_file = /none/key.json\n", &["/none/key.json", "cannot be read"]),
        (
            "[r]\ntype = drive\nservice_account_credentials = {\"x\": 1}\n",
            &["service_account_credentials", "client_email"],
        ),
        ("RCLONE_ENCRYPT_V0:\n1//refresh-secret\n", &["encrypted", "RCLONE_CONFIG_PASS"]),
    ] {
        fs::write(&path, text).expect("writes");
        let error = open(&path, "r").await.expect_err("not usable");
        assert_eq!(error.kind(), Kind::SignIn);
        let shown = error.to_string();
        assert!(words.iter().all(|word| shown.contains(word)), "{words:?}: {shown}");
        assert!(!format!("{error:?} {shown}").contains("refresh-secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_of_a_service_account_is_used_and_what_is_not_followed_is_noted() {
    let dir = tempfile::tempdir().expect("a folder");
    let options =
        Options { sign_in: true, token_life: Duration::from_hours(1), ..Options::new(dir.path().join("data")) };
    let _server = Server::start(options).await.expect("starts");
    let key = dir.path().join("data/service-account.json");
    let path = dir.path().join("rclone.conf");
    let text = format!(
        "[r]\ntype = drive\nservice_account_file = {}\nimpersonate = owner@drive.localhost\nteam_drive = 0AB\n",
        key.display()
    );
    fs::write(&path, text).expect("writes");
    let tokens = open(&path, "r").await.expect("opens");
    tokens.token().await.expect("a token");
    assert_eq!(tokens.scopes().as_deref(), Some(Access::ReadWrite.scope()));
    let notes = tokens.notes();
    assert!(notes.len() == 1 && notes[0].contains("team_drive is not followed"), "{notes:?}");

    let inline: serde_json::Value = serde_json::from_str(&fs::read_to_string(&key).expect("reads")).expect("JSON");
    fs::write(&path, format!("[r]\ntype = drive\nservice_account_credentials = {inline}\n")).expect("writes");
    open(&path, "r").await.expect("opens").token().await.expect("a token");
}
