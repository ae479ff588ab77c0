//! Signing in to an embedded drive: what an application, a person and a program without a person do, and what each is refused.

#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/server.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sign_in::{base64, kept};
use support::{Answer, Drive, id};
use url::Url;

const HOUR: Duration = Duration::from_hours(1);
const SCOPE: &str = "https://www.googleapis.com/auth/";
const REDIRECT: &str = "http://127.0.0.1:9/callback?kept=1";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Id and secret of an application.
fn client(drive: &Drive, file: &str) -> (String, String) {
    let installed = &kept(drive, file)["installed"];
    let text = |name: &str| installed[name].as_str().expect("text").to_owned();
    (text("client_id"), text("client_secret"))
}

fn desktop(drive: &Drive) -> (String, String) {
    client(drive, "client-secret.json")
}

async fn form(drive: &Drive, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let call = drive.anonymous(Method::POST, path);
    call.header("content-type", "application/x-www-form-urlencoded").body(body).send().await
}

fn challenge() -> String {
    base64(&Sha256::digest(VERIFIER))
}

/// What the person sees.
async fn consent_page(drive: &Drive, more: &[(&str, &str)], scopes: &[&str]) -> String {
    let (id, _) = desktop(drive);
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("{SCOPE}{scope}")).collect();
    let mut call = drive
        .anonymous(Method::GET, "/o/oauth2/auth")
        .query("client_id", &id)
        .query("redirect_uri", REDIRECT)
        .query("response_type", "code")
        .query("scope", &scopes.join(" "))
        .query("state", "a <state>");
    for (name, value) in more {
        call = call.query(name, value);
    }
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-security-policy").expect("a policy").contains("frame-ancestors 'none'"));
    String::from_utf8(answer.body).expect("text")
}

fn ticket(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"ticket\" value=\"").expect("a ticket");
    rest.split_once('"').expect("an end").0
}

/// What the person's answer sends the browser to, by its parameters.
async fn answered(drive: &Drive, page: &str, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let fields = [&[("ticket", ticket(page))], fields].concat();
    let answer = form(drive, "/o/oauth2/consent", &fields).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = Url::parse(answer.header("location").expect("a location")).expect("an address");
    assert!(location.as_str().starts_with(REDIRECT), "{location}");
    location.query_pairs().into_owned().collect()
}

fn param<'a>(params: &'a [(String, String)], name: &str) -> &'a str {
    params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// A code for these scopes.
async fn code(drive: &Drive, scopes: &[&str], more: &[(&str, &str)]) -> String {
    let page = consent_page(drive, more, scopes).await;
    let ticked: Vec<_> = scopes.iter().map(|scope| (*scope, "on")).collect();
    let params = answered(drive, &page, &[&ticked[..], &[("decision", "allow")]].concat()).await;
    assert_eq!((param(&params, "state"), param(&params, "kept")), ("a <state>", "1"));
    param(&params, "code").to_owned()
}

async fn exchange(drive: &Drive, code: &str, more: &[(&str, &str)]) -> Answer {
    let (id, secret) = desktop(drive);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("redirect_uri", REDIRECT),
        ("code", code),
    ];
    form(drive, "/token", &[&fields[..], more].concat()).await
}

/// Tokens for these scopes.
async fn tokens(drive: &Drive, scopes: &[&str]) -> Value {
    exchange(drive, &code(drive, scopes, &[]).await, &[]).await.ok()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

async fn status(drive: &Drive, method: Method, path: &str, token: &str) -> Answer {
    drive.anonymous(method, path).header("authorization", &format!("Bearer {token}")).send().await
}

/// The token endpoint has refusals of its own shape.
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, text(&answer.json(), "error")), (status, error), "{answer:?}");
}

#[tokio::test]
async fn a_person_allows_and_the_application_gets_tokens() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    let with_pkce = [("code_challenge", &*challenge()), ("code_challenge_method", "S256")];
    let allowed = code(&drive, &["drive"], &with_pkce).await;
    let tokens = exchange(&drive, &allowed, &[("code_verifier", VERIFIER)]).await;
    assert_eq!(tokens.header("cache-control").map(|value| value.contains("no-store")), Some(true));
    let tokens = tokens.ok();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3599)));
    assert_eq!(text(&tokens, "scope"), format!("{SCOPE}drive"));
    let about = "/drive/v3/about?fields=user";
    assert_eq!(status(&drive, Method::GET, about, text(&tokens, "access_token")).await.status, 200);

    let (id, secret) = desktop(&drive);
    let refresh = [("grant_type", "refresh_token"), ("client_id", &*id), ("client_secret", &*secret)];
    let refresh = [&refresh[..], &[("refresh_token", text(&tokens, "refresh_token"))]].concat();
    let renewed = form(&drive, "/token", &refresh).await.ok();
    assert!(renewed.get("refresh_token").is_none());
    assert_eq!(status(&drive, Method::GET, about, text(&renewed, "access_token")).await.status, 200);

    // Of everything, nothing is left after a revocation.
    let token = text(&renewed, "access_token");
    assert_eq!(form(&drive, "/revoke", &[("token", token)]).await.status, 200);
    refused(&form(&drive, "/revoke", &[("token", token)]).await, 400, "invalid_token");
    for token in [token, text(&tokens, "access_token")] {
        status(&drive, Method::GET, about, token).await.refused(401, "authError");
    }
    refused(&form(&drive, "/token", &refresh).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_code_is_for_one_exchange_by_whoever_began() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    let used = code(&drive, &["drive"], &[]).await;
    exchange(&drive, &used, &[]).await.ok();
    refused(&exchange(&drive, &used, &[]).await, 400, "invalid_grant");
    let with_pkce = [("code_challenge", &*challenge()), ("code_challenge_method", "S256")];
    for verifier in [&[][..], &[("code_verifier", "another-verifier-of-forty-three-characters-")]] {
        let code = code(&drive, &["drive"], &with_pkce).await;
        refused(&exchange(&drive, &code, verifier).await, 400, "invalid_grant");
        refused(&exchange(&drive, &code, &[("code_verifier", VERIFIER)]).await, 400, "invalid_grant");
    }
    let plain = code(&drive, &["drive"], &[("code_challenge", VERIFIER)]).await;
    exchange(&drive, &plain, &[("code_verifier", VERIFIER)]).await.ok();
    let elsewhere = code(&drive, &["drive"], &[]).await;
    let answer = exchange(&drive, &elsewhere, &[("redirect_uri", "http://127.0.0.1:9/")]).await;
    refused(&answer, 400, "invalid_grant");
    refused(&exchange(&drive, "made up", &[("client_secret", "wrong")]).await, 401, "invalid_client");
    refused(&form(&drive, "/token", &[("grant_type", "password")]).await, 400, "unsupported_grant_type");
    refused(&form(&drive, "/token", &[]).await, 400, "invalid_request");
}

#[tokio::test]
async fn a_person_can_deny_or_allow_a_part() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    let page = consent_page(&drive, &[], &["drive.readonly", "drive.appdata"]).await;
    assert!(page.contains("See and download all your files") && page.contains("drive.appdata"), "{page}");
    assert!(page.contains("<b>An app on this computer</b> wants to use this drive."), "{page}");
    let params = answered(&drive, &page, &[("decision", "deny")]).await;
    assert_eq!((param(&params, "error"), param(&params, "code")), ("access_denied", ""));
    let again = form(&drive, "/o/oauth2/consent", &[("ticket", ticket(&page)), ("decision", "allow")]).await;
    assert_eq!(again.status, 400, "a page is answered once");
    let page = consent_page(&drive, &[], &["drive.readonly", "drive.appdata"]).await;
    let params = answered(&drive, &page, &[("drive.readonly", "on"), ("decision", "allow")]).await;
    assert_eq!(param(&params, "scope"), format!("{SCOPE}drive.readonly"));
    for (name, value) in [
        ("redirect_uri", "http://example.com/"),
        ("client_id", "nobody"),
        ("scope", "calendar"),
        ("response_type", "token"),
        ("code_challenge", "short"),
    ] {
        let (id, _) = desktop(&drive);
        let call = drive.anonymous(Method::GET, "/o/oauth2/auth").query("client_id", &id);
        let call = call.query("redirect_uri", REDIRECT).query("response_type", "code");
        let answer = call.query("scope", &format!("{SCOPE}drive")).query(name, value).send().await;
        assert!((400..500).contains(&answer.status) && answer.header("location").is_none(), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_what_was_granted_and_no_longer_than_that() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    let file = id(&drive.upload(&json!({ "name": "a" }), b"content").await);
    let path = format!("/drive/v3/files/{file}");
    let media = format!("{path}?alt=media");
    let reader = tokens(&drive, &["drive.readonly"]).await;
    let looker = tokens(&drive, &["drive.metadata.readonly"]).await;
    let clerk = tokens(&drive, &["drive.metadata"]).await;
    let (reader, looker) = (text(&reader, "access_token"), text(&looker, "access_token"));
    let clerk = text(&clerk, "access_token");
    let [bare, session] = ["media", "resumable"].map(|kind| format!("/upload{path}?uploadType={kind}"));
    for (method, path, token, allowed) in [
        (Method::GET, &*path, reader, true),
        (Method::GET, &media, reader, true),
        (Method::DELETE, &path, reader, false),
        (Method::DELETE, "/drive/v3/files/trash", reader, false),
        (Method::GET, "/drive/v3/files", looker, true),
        (Method::GET, &path, looker, true),
        (Method::GET, &media, looker, false),
        (Method::PATCH, &path, clerk, true),
        (Method::PATCH, &bare, clerk, false),
        (Method::PATCH, &session, clerk, false),
        (Method::DELETE, &path, clerk, false),
    ] {
        let answer = status(&drive, method.clone(), path, token).await;
        if allowed {
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        } else {
            answer.refused(403, "insufficientPermissions");
            let error = &answer.json()["error"];
            assert_eq!(error["status"], "PERMISSION_DENIED");
            assert_eq!(error["details"][0]["reason"], "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
            assert!(answer.header("www-authenticate").expect("a challenge").contains("insufficient_scope"));
        }
    }
    assert_eq!(drive.content(&file).await, b"content");

    let drive = Drive::start_with_sign_in(Duration::ZERO).await;
    let expired = tokens(&drive, &["drive"]).await;
    let answer = status(&drive, Method::GET, "/drive/v3/files", text(&expired, "access_token")).await;
    answer.refused(401, "authError");
    assert!(answer.header("www-authenticate").expect("a challenge").contains("invalid_token"));
}

#[tokio::test]
async fn a_device_without_a_browser_is_signed_in_from_another() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    let (id, secret) = client(&drive, "client-secret-device.json");
    let file_scope = format!("{SCOPE}drive.file");
    let begin = async |scope: &str| form(&drive, "/device/code", &[("client_id", &id), ("scope", scope)]).await;
    refused(&begin(&format!("{SCOPE}drive")).await, 400, "invalid_scope");
    let codes = begin(&file_scope).await.ok();
    assert_eq!((&codes["interval"], &codes["expires_in"]), (&json!(5), &json!(1800)));
    assert_eq!(text(&codes, "verification_url"), format!("{}/device", drive.url));
    let poll = async |codes: &Value| {
        let fields = [
            ("grant_type", DEVICE),
            ("client_id", &id),
            ("client_secret", &secret),
            ("device_code", text(codes, "device_code")),
        ];
        form(&drive, "/token", &fields).await
    };
    refused(&poll(&codes).await, 428, "authorization_pending");
    refused(&poll(&codes).await, 403, "slow_down");

    assert_eq!(drive.anonymous(Method::GET, "/device").send().await.status, 200);
    assert_eq!(form(&drive, "/device", &[("user_code", "WRONG")]).await.status, 400);
    let decide = async |codes: &Value, decision: &str| {
        let page = form(&drive, "/device", &[("user_code", text(codes, "user_code"))]).await;
        let page = String::from_utf8(page.body).expect("text");
        let fields = [("ticket", ticket(&page)), ("drive.file", "on"), ("decision", decision)];
        assert_eq!(form(&drive, "/o/oauth2/consent", &fields).await.status, 200);
    };
    decide(&codes, "allow").await;
    let tokens = poll(&codes).await.ok();
    assert_eq!(text(&tokens, "scope"), file_scope);
    assert!(tokens["refresh_token"].is_string());
    refused(&poll(&codes).await, 400, "invalid_grant");
    let denied = begin(&file_scope).await.ok();
    decide(&denied, "deny").await;
    refused(&poll(&denied).await, 403, "access_denied");
    // A code that is shown on a screen is no use to an application of another kind.
    let (desktop, _) = desktop(&drive);
    let answer = form(&drive, "/device/code", &[("client_id", &desktop), ("scope", &file_scope)]).await;
    refused(&answer, 401, "invalid_client");
}

#[tokio::test]
async fn googles_own_library_signs_in_with_a_key_and_with_a_refresh_token() {
    let drive = Drive::start_with_sign_in(HOUR).await;
    drive.create(json!({ "name": "found" })).await;
    let granted = tokens(&drive, &["drive"]).await;
    // scripts/test installs the library there.
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/sign_in.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("DRIVE_URL", &drive.url).env("DRIVE_DATA", drive.data());
    command.env("REFRESH_TOKEN", text(&granted, "refresh_token"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("runs").expect("python is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn nobody_signs_in_where_it_was_not_asked_for() {
    let drive = Drive::start().await;
    drive.anonymous(Method::GET, "/o/oauth2/auth").send().await.refused(404, "notFound");
    drive.anonymous(Method::POST, "/token").send().await.refused(404, "notFound");
    assert!(!drive.data().join("client-secret.json").exists());
}

#[tokio::test]
async fn what_was_granted_outlives_the_server_and_is_not_kept_in_clear() {
    let mut drive = Drive::start_with_sign_in(HOUR).await;
    let granted = tokens(&drive, &["drive"]).await;
    let before = desktop(&drive);
    drive.restart().await;
    assert_eq!(desktop(&drive), before);
    let token = text(&granted, "access_token");
    assert_eq!(status(&drive, Method::GET, "/drive/v3/files", token).await.status, 200);
    drive.stop().await;
    for file in ["drive.db", "drive.db-wal"] {
        let bytes = std::fs::read(drive.data().join(file)).unwrap_or_default();
        for secret in [token, text(&granted, "refresh_token")] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "in {file}");
        }
    }
}
