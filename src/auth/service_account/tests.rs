//! Service accounts against the embedded drive, and against a token service with another clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use serde_json::Value;

use super::super::credentials_file::CredentialsFile;
use super::super::{Access, AuthError, TokenSource};
use crate::error::Kind;
use crate::server::{Options, Server};

/// A drive that a service account can sign in to, and the file of the key.
async fn drive() -> (Server, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { sign_in: true, token_life: Duration::from_hours(1), ..Options::new(dir.path()) };
    let server = Server::start(options).await.expect("starts");
    let key = dir.path().join("service-account.json");
    (server, dir, key)
}

async fn attempt(key: &Path, access: Access, person: Option<&str>) -> Result<Option<String>, AuthError> {
    let file = CredentialsFile::open(key.to_owned(), access, person.map(str::to_owned)).await?;
    file.token().await?;
    Ok(file.scopes())
}

fn changed(key: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(key).expect("reads")).expect("JSON");
    change(&mut value);
    fs::write(key, value.to_string()).expect("writes");
}

#[tokio::test]
async fn a_key_gives_tokens_for_what_the_mount_needs_and_no_more() {
    let (_server, _dir, key) = drive().await;
    for access in [Access::ReadOnly, Access::ReadWrite] {
        for person in [None, Some("owner@drive.localhost")] {
            let scopes = attempt(&key, access, person).await.expect("a token");
            assert_eq!(scopes.as_deref(), Some(access.scope()));
        }
    }
}

#[tokio::test]
async fn a_person_without_delegation_is_told_what_an_administrator_does() {
    let (_server, _dir, key) = drive().await;
    let error = attempt(&key, Access::ReadWrite, Some("boss@example.org")).await.expect_err("may not");
    assert_eq!(error.kind(), Kind::SignIn);
    let text = error.to_string();
    for word in ["unauthorized_client", "boss@example.org", "domain-wide delegation", Access::ReadWrite.scope()] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn another_key_is_refused_until_the_right_one_is_put_there() {
    let (_server, dir, key) = drive().await;
    let right = fs::read(&key).expect("reads");
    changed(&key, |value| value["private_key_id"] = "other".into());
    let file = CredentialsFile::open(key.clone(), Access::ReadWrite, None).await.expect("opens");
    let error = file.token().await.expect_err("refused").to_string();
    assert!(
        error.contains("invalid_grant") && error.contains("make another key") && error.contains("clock"),
        "{error}"
    );
    let next = dir.path().join("next");
    fs::write(&next, right).expect("writes");
    fs::rename(next, &key).expect("renames");
    file.token().await.expect("the right one");
}

#[tokio::test]
async fn a_key_that_is_none_is_told_without_repeating_it() {
    let (_server, _dir, key) = drive().await;
    changed(&key, |value| {
        value["private_key"] = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----".into();
    });
    let error = attempt(&key, Access::ReadWrite, None).await.expect_err("no key");
    assert!(error.to_string().contains("is no RSA key") && error.to_string().contains(&key.display().to_string()));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_clock_that_is_off_is_named() {
    let (_server, _dir, key) = drive().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let refuse = || async {
        (
            http::StatusCode::BAD_REQUEST,
            [("date", "Thu, 01 Jan 2015 00:00:00 GMT"), ("content-type", "application/json")],
            r#"{"error": "invalid_grant", "error_description": "Invalid JWT"}"#,
        )
    };
    let router = Router::new().route("/token", post(refuse));
    tokio::spawn(async move { axum::serve(listener, router).await });
    changed(&key, |value| value["token_uri"] = format!("http://{address}/token").into());
    let error = attempt(&key, Access::ReadWrite, None).await.expect_err("refused").to_string();
    assert!(error.contains("the clock of this machine is") && error.contains("days ahead"), "{error}");
}

#[tokio::test]
async fn a_key_is_not_shown() {
    let (_server, _dir, key) = drive().await;
    let file = CredentialsFile::open(key, Access::ReadWrite, None).await.expect("opens");
    let token = file.token().await.expect("a token");
    let shown = format!("{file:?} {file:#?}");
    assert!(!shown.contains(token.expose()) && !shown.contains("PRIVATE") && shown.len() < 4000, "{shown}");
}

#[tokio::test]
async fn a_person_cannot_act_for_another() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("user.json");
    let text = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#;
    fs::write(&path, text).expect("writes");
    let error = attempt(&path, Access::ReadWrite, Some("boss@example.org")).await.expect_err("no").to_string();
    assert!(error.contains("--impersonate") && error.contains("sign-in of a person"), "{error}");
}
