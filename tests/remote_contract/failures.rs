//! Answers that are none, and what comes of them: retries, patience, tokens, errors.

use std::time::Instant;

use drivemount::error::Kind;
use drivemount::metrics;
use drivemount::remote::{Cursor, Remote};
use serde_json::json;

use super::scripted_drive::{Answer, Gate, ScriptedDrive};
use super::*;

const PATH: &str = "/drive/v3/files/f";

fn fine() -> Answer {
    Answer::json(&file("f", &json!({})))
}

#[tokio::test]
async fn what_is_temporary_is_tried_until_it_works() {
    for trouble in [
        Answer::error(429, "rateLimitExceeded"),
        Answer::error(403, "userRateLimitExceeded"),
        Answer::error(403, "rateLimitExceeded"),
        Answer::error(500, "backendError"),
        Answer::status(502).body("<html>Bad Gateway</html>"),
        Answer::status(503),
        Answer::error(504, "gatewayTimeout"),
        Answer::status(408),
        Answer::reset(),
        fine().cut_after(20),
        fine().chunked().cut_after(20),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("GET", PATH, trouble.clone()).expect("GET", PATH, trouble).expect("GET", PATH, fine());
        let before = metrics::RETRIES.get();
        remote(&drive).get(&id("f")).await.expect("an item in the end");
        assert!(metrics::RETRIES.get() >= before + 2);
    }
}

#[tokio::test]
async fn what_is_final_is_told_at_once() {
    for (answer, kind) in [
        (Answer::error(400, "invalidParameter"), Kind::Invalid),
        (Answer::error(403, "storageQuotaExceeded"), Kind::StorageFull),
        (Answer::error(403, "insufficientFilePermissions"), Kind::Denied),
        (Answer::error(403, "dailyLimitExceeded"), Kind::RateLimited),
        (Answer::error(404, "notFound"), Kind::NotFound),
        (Answer::status(403).body("<html>Forbidden</html>"), Kind::Denied),
        (Answer::status(418), Kind::Protocol),
        (Answer::status(200).body("<html>Sign in to this network</html>"), Kind::Protocol),
        (Answer::status(200), Kind::Protocol),
        (Answer::json(&json!([])), Kind::Protocol),
        (Answer::json(&json!({"id": "f", "size": "many"})), Kind::Protocol),
        (Answer::json(&json!({})), Kind::Protocol),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("GET", PATH, answer);
        let error = remote(&drive).get(&id("f")).await.expect_err("an error");
        assert_eq!((error.kind, error.call), (kind, "files.get"), "{error}");
        assert!(!error.to_string().contains("<html>"), "{error}");
        assert_eq!(drive.seen().len(), 1);
    }
}

#[tokio::test]
async fn patience_ends_with_the_last_error() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::error(503, "backendError"));
    let remote = remote_with(&DriveOptions { retry_for: Duration::ZERO, ..options(&drive) });
    let error = remote.get(&id("f")).await.expect_err("no patience");
    assert_eq!((error.kind, error.status), (Kind::Server, Some(503)));
    assert_eq!(error.reason.as_deref(), Some("backendError"));
}

#[tokio::test]
async fn the_feed_of_changes_is_asked_for_again_soon_however_often_it_failed() {
    let drive = ScriptedDrive::start().await;
    for _ in 0..10 {
        drive.expect("GET", "/drive/v3/changes", Answer::error(503, "backendError"));
    }
    drive.expect("GET", "/drive/v3/changes", Answer::json(&json!({"newStartPageToken": "2", "changes": []})));
    // Waits that double from ten milliseconds on would be longer than this in the end.
    let remote = remote_with(&DriveOptions {
        backoff: Duration::from_millis(10),
        max_backoff: Duration::from_secs(32),
        max_feed_backoff: Duration::ZERO,
        retry_for: Duration::from_secs(4),
        ..options(&drive)
    });
    let heard = remote.changes(None, &Cursor("1".to_owned())).await.expect("it is patient enough");
    assert_eq!(heard.next, Cursor("2".to_owned()));
}

#[tokio::test]
async fn a_drive_that_is_not_there_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = Url::parse(&format!("http://{free}")).expect("an address");
    let options = DriveOptions { retry_for: Duration::ZERO, ..DriveOptions::new(url) };
    let error = remote_with(&options).get(&id("f")).await.expect_err("nobody there");
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.message.contains("refused"), "{error}");
    assert!(!error.to_string().contains("http://"), "{error}");
}

#[tokio::test]
async fn a_drive_that_does_not_answer_times_out() {
    let drive = ScriptedDrive::start().await;
    let never = Gate::new();
    drive.expect("GET", PATH, fine().after(&never)).expect("GET", PATH, fine().body_after(&never));
    let remote = remote_with(&DriveOptions {
        retry_for: Duration::ZERO,
        connect_timeout: Duration::from_millis(50),
        read_timeout: Duration::from_millis(50),
        ..options(&drive)
    });
    for _ in 0..2 {
        let error = remote.get(&id("f")).await.expect_err("silence");
        assert_eq!(error.kind, Kind::TimedOut, "{error}");
    }
}

#[tokio::test]
async fn the_drive_can_ask_to_wait() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::status(503).header("Retry-After", "1")).expect("GET", PATH, fine());
    let start = Instant::now();
    remote(&drive).get(&id("f")).await.expect("an item");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_beyond_all_patience_is_told_and_not_waited() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::error(429, "rateLimitExceeded").header("Retry-After", "3600"));
    let error = remote(&drive).get(&id("f")).await.expect_err("too long");
    assert_eq!((error.kind, error.retry_after), (Kind::RateLimited, Some(Duration::from_hours(1))));
}

#[tokio::test]
async fn an_ended_token_is_replaced_without_anybody_noticing() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::error(401, "authError")).expect("GET", PATH, fine());
    remote(&drive).get(&id("f")).await.expect("an item");
    let seen = drive.seen();
    assert_eq!(seen[0].header("authorization"), Some("Bearer token-1"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_third_refused_token_asks_for_a_sign_in() {
    let drive = ScriptedDrive::start().await;
    for _ in 0..3 {
        drive.expect("GET", PATH, Answer::error(401, "authError"));
    }
    let error = remote(&drive).get(&id("f")).await.expect_err("refused");
    assert_eq!((error.kind, error.status), (Kind::SignIn, Some(401)));
    assert!(!format!("{error} {error:?}").contains("token-"), "{error:?}");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    #[derive(Debug)]
    struct SignedOut;
    impl TokenSource for SignedOut {
        fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
            future::ready(Err(AuthError::Refused { code: "invalid_grant".into() })).boxed()
        }
        fn reject(&self, _: &AccessToken) {}
    }
    let drive = ScriptedDrive::start().await;
    let remote = DriveRemote::new(&options(&drive), Arc::new(SignedOut)).expect("a client");
    let error = remote.get(&id("f")).await.expect_err("signed out");
    assert_eq!((error.kind, error.call), (Kind::SignIn, "token"));
    assert!(drive.seen().is_empty());
}

#[tokio::test]
async fn a_dropped_call_cancels_its_request() {
    let drive = ScriptedDrive::start().await;
    let never = Gate::new();
    drive.expect("GET", PATH, fine().after(&never));
    let remote = remote(&drive);
    let call = tokio::spawn(async move { remote.get(&id("f")).await });
    drive.arrived(1).await;
    call.abort();
    drive.all_closed().await;
}

#[tokio::test]
async fn a_refusal_for_too_many_requests_slows_all_others_down() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::error(403, "userRateLimitExceeded")).expect(
        "GET",
        "/drive/v3/files/g",
        Answer::json(&file("g", &json!({}))),
    );
    let pause = Duration::from_millis(300);
    let options = DriveOptions { backoff: pause, retry_for: Duration::ZERO, ..options(&drive) };
    let remote = remote_with(&options);
    remote.get(&id("f")).await.expect_err("no patience");
    let start = Instant::now();
    remote.get(&id("g")).await.expect("an item");
    assert!(start.elapsed() >= pause, "{:?}", start.elapsed());
}

#[tokio::test]
async fn each_request_is_counted_with_its_cost() {
    let count = |call: &str| metrics::requests().get(call).copied().unwrap_or_default();
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", "/drive/v3/changes/startPageToken", Answer::status(503)).expect(
        "GET",
        "/drive/v3/changes/startPageToken",
        Answer::json(&json!({"startPageToken": "1"})),
    );
    let before = count("changes.getStartPageToken");
    remote(&drive).cursor(None).await.expect("a cursor");
    let after = count("changes.getStartPageToken");
    // Other tests of this process may count as well.
    assert!(after.count >= before.count + 2 && after.units >= before.units + 10, "{after:?}");
}

#[tokio::test]
async fn a_compressed_answer_is_understood() {
    // `{"startPageToken":"1"}`, by gzip.
    const PACKED: [u8; 42] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xab, 0x56, 0x2a, 0x2e, 0x49, 0x2c, 0x2a, 0x09,
        0x48, 0x4c, 0x4f, 0x0d, 0xc9, 0xcf, 0x4e, 0xcd, 0x53, 0xb2, 0x52, 0x32, 0x54, 0xaa, 0x05, 0x00, 0x62, 0x1d,
        0xd7, 0xdc, 0x16, 0x00, 0x00, 0x00,
    ];
    const START: &str = "/drive/v3/changes/startPageToken";
    let packed = Answer::content(PACKED).header("Content-Encoding", "gzip");
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", START, packed.clone().cut_after(30)).expect("GET", START, packed);
    assert_eq!(remote(&drive).cursor(None).await.expect("a cursor").0, "1");
}
