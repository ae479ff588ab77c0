//! Programs that print tokens, and those that do not.

use std::fs;
use std::path::Path;

use super::super::TokenSource;
use super::*;
use crate::error::Kind;

fn command(line: &str, dir: &Path) -> Renewed<TokenCommand> {
    TokenCommand::new(line, dir.to_owned())
}

async fn failure(line: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let error = command(line, dir.path()).token().await.expect_err("no token");
    assert_eq!(error.kind(), Kind::SignIn, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_program_is_run_where_it_was_named_and_once_for_one_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = command("echo run >> log; echo \"ya29.$(wc -l < log | tr -d ' ')\"", dir.path());
    for _ in 0..3 {
        assert_eq!(tokens.token().await.expect("a token").expose(), "ya29.1");
    }
    let old = tokens.token().await.expect("a token");
    tokens.reject(&old);
    assert_eq!(tokens.token().await.expect("a token").expose(), "ya29.2");
    assert_eq!(fs::read_to_string(dir.path().join("log")).expect("reads").lines().count(), 2);
    assert!(!format!("{tokens:?}").contains("ya29"));
}

#[tokio::test]
async fn a_token_is_renewed_when_its_program_says_so_or_after_five_minutes() {
    let dir = tempfile::tempdir().expect("a folder");
    for (print, fresh, stale) in
        [("ya29.$n", 4 * 60, 5 * 60), (r#"{\"access_token\": \"ya29.$n\", \"expires_in\": 3600}"#, 50 * 60, 57 * 60)]
    {
        let count = dir.path().join("count");
        fs::write(&count, "").expect("writes");
        let tokens = command(&format!("echo >> count; n=$(wc -l < count | tr -d ' '); echo \"{print}\""), dir.path());
        assert_eq!(tokens.token().await.expect("a token").expose(), "ya29.1");
        for (after, expected) in [(fresh, "ya29.1"), (stale - fresh + 1, "ya29.2")] {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(after)).await;
            tokio::time::resume();
            assert_eq!(tokens.token().await.expect("a token").expose(), expected, "{print}");
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_with_the_last_line_and_no_secret() {
    // Words of the line itself are not repeated, so it is put together from parts of words.
    let text = failure("echo first >&2; printf 'no %s%s%s: %s\\n' acc oun t ya29.secret-token >&2; exit 3").await;
    assert!(text.contains("exit status: 3") && text.ends_with(": no account: …"), "{text}");
    for (line, hint) in [
        ("true", "printed nothing"),
        ("echo not one token", "something else than one token"),
        ("echo '{\"id\": 1}'", "`access_token`"),
        ("no-such-program-here", "failed"),
        ("yes", "far more than a token"),
        ("echo '(' >&2; kill -9 $$", "signal: 9"),
    ] {
        let line = if line == "yes" { "yes | head -c 200000" } else { line };
        let text = failure(line).await;
        assert!(text.contains("--token-command") && text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn a_program_that_fails_is_not_run_for_each_request() {
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = command("echo >> count; exit 1", dir.path());
    for _ in 0..5 {
        tokens.token().await.expect_err("fails");
    }
    assert_eq!(fs::read_to_string(dir.path().join("count")).expect("reads").len(), 1);
}

#[tokio::test]
async fn a_program_gets_nothing_of_ours() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = fs::File::open("/dev/null").expect("opens");
    // As a program would that was started by somebody careless.
    let line = "read x && exit 9; cat /proc/$$/cmdline | tr '\\0' ' ' > cmdline; env > env; ls /proc/$$/fd > fds; echo hunter2";
    let tokens = command(line, dir.path());
    tokens.token().await.expect("a token");
    drop(open);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("reads");
    assert!(!read("cmdline").contains("hunter2"), "{}", read("cmdline"));
    assert!(!read("env").contains("hunter2"), "{}", read("env"));
    assert!(read("fds").lines().all(|fd| fd.parse::<u32>().is_ok_and(|fd| !(3..10).contains(&fd))), "{}", read("fds"));
}

/// Whether a process runs; one that was killed may wait for its parent.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

async fn gone(pid: &str) {
    for _ in 0..500 {
        if !runs(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{pid} still runs");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().expect("a folder");
    let line = "sleep 600 & echo $! > child; wait";
    let limit = Duration::from_millis(500);
    let error = TokenCommand::with_limit(line, dir.path().to_owned(), limit).run().await.expect_err("too late");
    assert_eq!(error.kind(), Kind::TimedOut);
    gone(&fs::read_to_string(dir.path().join("child")).expect("reads")).await;

    // Nobody waits for it any more.
    let tokens = command(line, dir.path());
    let waiting = tokio::time::timeout(Duration::from_millis(500), tokens.token()).await;
    assert!(waiting.is_err());
    gone(&fs::read_to_string(dir.path().join("child")).expect("reads")).await;
}

#[tokio::test]
async fn what_a_program_leaves_running_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let tokens = command("sleep 20 & echo $! > child; echo ya29.token", dir.path());
    assert_eq!(tokens.token().await.expect("a token").expose(), "ya29.token");
    assert!(began.elapsed() < Duration::from_secs(10));
    let child = fs::read_to_string(dir.path().join("child")).expect("reads");
    assert!(runs(&child), "it is not ours to kill");
    let _ended = std::process::Command::new("kill").arg(child.trim()).status();
}
