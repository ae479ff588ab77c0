//! [`AuthorizedUser`] against a token endpoint of its own.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::future::join_all;
use http::{StatusCode, header};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::error::Kind;

/// A token endpoint that gives `access-1`, `access-2`, … unless other answers are queued, and keeps what it was asked.
#[derive(Default)]
struct Endpoint {
    asked: Mutex<Vec<HashMap<String, String>>>,
    answers: Mutex<VecDeque<(StatusCode, String)>>,
    /// If set, an answer needs a permit of it.
    gate: Option<Semaphore>,
}

impl Endpoint {
    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn next_answers(&self, status: u16, body: &str, times: usize) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.answers.lock().extend(std::iter::repeat_n((status, body.to_owned()), times));
    }
}

async fn answer(Shared(endpoint): Shared<Arc<Endpoint>>, form: String) -> Response {
    let form = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let count = {
        let mut asked = endpoint.asked.lock();
        asked.push(form);
        asked.len()
    };
    if let Some(gate) = &endpoint.gate {
        gate.acquire().await.expect("open").forget();
    }
    let queued = endpoint.answers.lock().pop_front();
    let (status, body) = queued.unwrap_or_else(|| {
        let body = json!({"access_token": format!("access-{count}"), "expires_in": 3599, "token_type": "Bearer"});
        (StatusCode::OK, body.to_string())
    });
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

struct House {
    endpoint: Arc<Endpoint>,
    user: AuthorizedUser,
    dir: TempDir,
    address: SocketAddr,
}

impl House {
    async fn new() -> Self {
        Self::with(Endpoint::default()).await
    }

    async fn with(endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/token", post(answer)).with_state(Arc::clone(&endpoint));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let dir = tempfile::tempdir().expect("a folder");
        write_credentials(&dir.path().join("user.json"), address, "1//refresh-secret");
        let user = AuthorizedUser::open(dir.path().join("user.json")).await.expect("opens");
        Self { endpoint, user, dir, address }
    }

    /// Another sign-in, put in place as careful programs do it.
    fn sign_in_again(&self, refresh_token: &str) {
        let next = self.dir.path().join("next.json");
        write_credentials(&next, self.address, refresh_token);
        fs::rename(next, self.dir.path().join("user.json")).expect("renames");
    }

    async fn token(&self) -> String {
        self.user.token().await.expect("a token").expose().to_owned()
    }
}

fn write_credentials(path: &Path, address: SocketAddr, refresh_token: &str) {
    let credentials = json!({
        "type": "authorized_user",
        "client_id": "client.apps.example",
        "client_secret": "client-secret",
        "refresh_token": refresh_token,
        "token_uri": format!("http://{address}/token"),
    });
    fs::write(path, credentials.to_string()).expect("writes");
}

/// Moves the clock on, the tasks of the endpoint and the connections left as they are.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_refresh_token_is_traded_as_google_documents_it() {
    let house = House::new().await;
    assert_eq!(house.token().await, "access-1");
    let asked = house.endpoint.asked.lock();
    let form = &asked[0];
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], "1//refresh-secret");
    assert_eq!(form["client_id"], "client.apps.example");
    assert_eq!(form["client_secret"], "client-secret");
}

#[tokio::test]
async fn fifty_callers_share_one_refresh() {
    let house = House::with(Endpoint { gate: Some(Semaphore::new(0)), ..Endpoint::default() }).await;
    let callers = join_all((0..50).map(|_| house.user.token()));
    let open = async {
        while house.endpoint.asked() == 0 {
            tokio::task::yield_now().await;
        }
        house.endpoint.gate.as_ref().expect("a gate").add_permits(50);
    };
    let (tokens, ()) = tokio::join!(callers, open);
    assert!(tokens.iter().all(|token| token.as_ref().is_ok_and(|token| token.expose() == "access-1")));
    assert_eq!(house.endpoint.asked(), 1);
    assert_eq!(house.token().await, "access-1");
    assert_eq!(house.endpoint.asked(), 1);
}

#[tokio::test]
async fn a_refresh_whose_first_caller_goes_away_still_serves_the_others() {
    let house = House::with(Endpoint { gate: Some(Semaphore::new(0)), ..Endpoint::default() }).await;
    let mut first = house.user.token();
    while house.endpoint.asked() == 0 {
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
    let second = house.user.token();
    drop(first);
    house.endpoint.gate.as_ref().expect("a gate").add_permits(2);
    assert_eq!(second.await.expect("a token").expose(), "access-1");
    assert_eq!(house.endpoint.asked(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_four_minutes_before_its_end() {
    let house = House::new().await;
    assert_eq!(house.token().await, "access-1");
    later(Duration::from_secs(3599 - 240 - 30)).await;
    assert_eq!(house.token().await, "access-1");
    later(Duration::from_secs(40)).await;
    assert_eq!(house.token().await, "access-2");
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let house = House::new().await;
    let old = house.user.token().await.expect("a token");
    house.user.reject(&old);
    assert_eq!(house.token().await, "access-2");
    house.user.reject(&old);
    assert_eq!(house.token().await, "access-2", "the newer token was not the one that was refused");
    assert_eq!(house.endpoint.asked(), 2);
}

#[tokio::test]
async fn a_failing_token_service_is_asked_again() {
    let house = House::new().await;
    house.endpoint.next_answers(503, "<html>busy</html>", 1);
    house.endpoint.next_answers(400, r#"{"error": "internal_failure"}"#, 1);
    assert_eq!(house.token().await, "access-3");
}

#[tokio::test]
async fn the_old_token_serves_while_the_token_service_is_down() {
    let house = House::new().await;
    assert_eq!(house.token().await, "access-1");
    later(Duration::from_secs(3500)).await;
    house.endpoint.next_answers(503, "", 3);
    assert_eq!(house.token().await, "access-1");
    assert_eq!(house.token().await, "access-1", "and is not asked for at each request");
    assert_eq!(house.endpoint.asked(), 4);
    later(Duration::from_secs(10)).await;
    assert_eq!(house.token().await, "access-5");
}

#[tokio::test]
async fn an_expired_token_and_a_failing_service_make_a_temporary_error() {
    let house = House::new().await;
    house.endpoint.next_answers(503, "", 3);
    let error = house.user.token().await.expect_err("no token");
    assert_eq!(error.kind(), Kind::Server);
    assert_eq!(house.token().await, "access-4");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unreachable() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("user.json");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    write_credentials(&path, free, "1//refresh-secret");
    let user = AuthorizedUser::open(&path).await.expect("opens");
    let error = user.token().await.expect_err("no token");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_revoked_sign_in_is_final_until_the_file_changes() {
    let house = House::new().await;
    house.endpoint.next_answers(
        400,
        r#"{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}"#,
        1,
    );
    for _ in 0..3 {
        let error = house.user.token().await.expect_err("revoked");
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(error.to_string().contains("invalid_grant"), "{error}");
    }
    assert_eq!(house.endpoint.asked(), 1, "a dead sign-in is not tried again");

    house.sign_in_again("1//other-refresh-secret");
    assert_eq!(house.token().await, "access-2");
    assert_eq!(house.endpoint.asked.lock()[1]["refresh_token"], "1//other-refresh-secret");
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_by_the_service_is_used_from_then_on() {
    let house = House::new().await;
    house.endpoint.next_answers(
        200,
        r#"{"access_token": "access-1", "token_type": "Bearer", "refresh_token": "1//next-refresh-secret"}"#,
        1,
    );
    let token = house.user.token().await.expect("a token");
    house.user.reject(&token);
    assert_eq!(house.token().await, "access-2");
    assert_eq!(house.endpoint.asked.lock()[1]["refresh_token"], "1//next-refresh-secret");
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_a_protocol_error() {
    let house = House::new().await;
    house.endpoint.next_answers(200, "<html>sign in to the network, guest-secret</html>", 1);
    let error = house.user.token().await.expect_err("no token");
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(!format!("{error} {error:?}").contains("guest-secret"));
}

#[tokio::test]
async fn no_secret_is_shown() {
    let house = House::new().await;
    let token = house.user.token().await.expect("a token");
    house.user.reject(&token);
    house.endpoint.next_answers(
        401,
        r#"{"error": "invalid_client", "error_description": "client-secret is wrong"}"#,
        1,
    );
    let error = house.user.token().await.expect_err("refused");
    let shown = format!("{:?} {:#?} {token:?} {error} {error:?}", house.user, house.user);
    for secret in ["access-1", "refresh-secret", "client-secret"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn credentials_of_another_form_are_refused_without_repeating_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("user.json");
    for (text, hint) in [
        ("client-secret", "line 1"),
        (r#"{"type": 5, "client_secret": "client-secret"}"#, "line 1"),
        (r#"{"type": "service_account", "private_key": "client-secret"}"#, "authorized_user"),
        (r#"{"type": "authorized_user", "client_id": "x", "client_secret": "client-secret"}"#, "refresh_token"),
        (
            r#"{"type": "authorized_user", "client_id": "x", "client_secret": "client-secret", "refresh_token": "y",
                "token_uri": "file:///client-secret"}"#,
            "token_uri",
        ),
    ] {
        fs::write(&path, text).expect("writes");
        let error = AuthorizedUser::open(&path).await.expect_err("not usable");
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(error.to_string().contains(hint), "{error}");
        assert!(!format!("{error} {error:?}").contains("client-secret"), "{error:?}");
    }
}

#[test]
fn the_token_endpoint_of_google_is_the_default() {
    let text = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#;
    assert_eq!(parse(text).expect("parses").endpoint.uri.as_str(), TOKEN_URI);
}
