use serde_json::json;

use super::*;
use crate::control::{ConflictStatus, SignInStatus, UnsentItem};

fn item(path: &str, state: &str, bytes: u64, sent: u64) -> UnsentItem {
    UnsentItem {
        path: path.to_owned(),
        state: state.to_owned(),
        bytes,
        sent,
        reason: None,
        retry_in_seconds: None,
        sent_in_seconds: None,
    }
}

fn status(items: Vec<UnsentItem>) -> Status {
    let bytes: u64 = items.iter().map(|item| item.bytes - item.sent).sum();
    let mut status: Status = serde_json::from_value(json!({
        "mountpoint": "/content/drive", "source": "google", "account": "me", "version": "1", "pid": 1,
        "state": "mounted", "read_only": false, "since": clock::now().to_rfc3339(),
        "cache": {"dir": "/cache", "used_bytes": 1_u64 << 30, "cap_bytes": 10_u64 << 30, "staged_bytes": bytes},
        "unsent": {"entries": items.len(), "bytes": bytes, "unsealed_bytes": 0, "items": []},
        "conflicts": [], "drive": {"total_bytes": 15_u64 << 30, "used_bytes": 3_u64 << 30},
        "traffic": {"downloaded_bytes": 0, "uploaded_bytes": 0, "retries": 0, "requests": {}},
    }))
    .expect("a status");
    status.unsent.items = items;
    status
}

fn drawn(status: &Status, size: (usize, usize)) -> Vec<String> {
    let lines = lines(status, &Rates::default(), None, size, true);
    lines.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect()
}

#[test]
fn a_frame_fits_whatever_the_size_of_the_terminal() {
    let mut items: Vec<UnsentItem> =
        (0..50).map(|number| item(&format!("a/very/long/path/名前/{number}.pt"), "uploading", 1000, number)).collect();
    items[3].reason = Some("no permission\nat all \u{1b}[2J".to_owned());
    let mut status = status(items);
    status.conflicts.push(ConflictStatus { path: "a".to_owned(), copy: "b".to_owned() });
    for (rows, columns) in [(24, 80), (50, 200), (12, 40), (5, 20), (1, 10), (0, 0), (3, 1)] {
        let frame = drawn(&status, (rows, columns));
        assert!(frame.len() <= rows.max(1), "{rows} rows: {frame:#?}");
        assert!(frame.iter().all(|line| measure_text_width(line) <= columns.max(1)), "{columns} columns: {frame:#?}");
        assert!(frame.iter().all(|line| !line.contains(['\n', '\u{1b}'])), "{frame:#?}");
    }
    let frame = drawn(&status, (24, 80));
    assert_eq!(frame.len(), 24);
    assert!(frame.iter().any(|line| line.contains("and 37 more")), "{frame:#?}");
}

#[test]
fn what_is_at_risk_comes_first_and_what_is_under_way_before_what_waits() {
    let mut failing = item("failing", "retrying", 10, 0);
    failing.reason = Some("no permission".to_owned());
    failing.retry_in_seconds = Some(7);
    let status = status(vec![item("waiting", "queued", 5, 0), failing, item("big", "uploading", 200, 50)]);
    let frame = drawn(&status, (24, 100));
    assert!(frame[0].starts_with("/content/drive  google"), "{frame:#?}");
    assert_eq!(frame[2], "at risk   165 B in 3 files");
    assert_eq!(frame[3], "   25 %   50 of 200 B      0 B/s  big", "too small for a bar");
    assert_eq!(frame[4], "  retrying   10 B  failing  no permission; again in 7 s");
    assert_eq!(frame[5], "  queued     5 B  waiting");
    assert_eq!(drawn(&self::status(Vec::new()), (24, 80))[2], "at risk   nothing: everything is on the drive");
}

#[test]
fn figures_of_an_upload_are_whole_where_its_bar_and_its_path_are_not() {
    let status = status(vec![item("runs/exp-42/checkpoint-epoch-008.pt", "uploading", 286 << 20, 46 << 20)]);
    let upload = |columns| drawn(&status, (24, columns))[3].clone();
    let wide = "   16 %   46 of 286 MiB      0 B/s  ━━━─────────────────────  runs/exp-42/checkpoint-epoch-008.pt";
    assert_eq!(upload(120), wide);
    assert_eq!(upload(80), "   16 %   46 of 286 MiB      0 B/s  ━──────  runs/exp-42/checkpoint-epoch-008.pt");
    let narrow = drawn(&status, (24, 50));
    let narrow = narrow.iter().find(|line| line.contains("16 %")).expect("an upload");
    assert_eq!(narrow, "   16 %   46 of 286 MiB      0 B/s  …-epoch-008.pt");
}

#[test]
fn what_mends_a_sign_in_comes_first_and_nothing_of_it_is_cut() {
    let mut waiting = item("runs/last-checkpoint.pt", "retrying", 40_000_000, 0);
    waiting.reason = Some("the sign-in was refused (invalid_grant)".to_owned());
    waiting.retry_in_seconds = Some(3);
    let mut status = status(vec![waiting]);
    status.state = "sign-in required".to_owned();
    status.sign_in = Some(SignInStatus {
        reason: "the sign-in was refused (invalid_grant: it has expired or was revoked by the one who gave it)"
            .to_owned(),
        remedy: "sign in again with `drivemount login`".to_owned(),
    });
    let copy = "metrics (conflicted copy of another machine on a day in November).csv".to_owned();
    status.conflicts.push(ConflictStatus { path: "runs/metrics.csv".to_owned(), copy });
    let frame = drawn(&status, (24, 80));
    assert!(frame[0].ends_with("ago · sign-in required"), "{frame:#?}");
    assert_eq!(frame[3], "sign-in   required: sign in again with `drivemount login`");
    assert_eq!(frame[4], "          the sign-in was refused (invalid_grant: it has expired or was revoked");
    assert_eq!(frame[5], "          by the one who gave it)");
    assert_eq!(frame[6], "  waiting for sign-in  38.1 MiB  runs/last-checkpoint.pt");
    assert!(!frame.iter().any(|line| line.contains('…')), "{frame:#?}");
    assert!(frame.iter().any(|line| line.ends_with("November).csv\"")), "{frame:#?}");
}

#[test]
fn a_reason_that_is_too_long_goes_on_below() {
    let mut failing = item("model-final.pt", "retrying", 70_000_000, 0);
    failing.reason = Some("drive full: The user's Drive storage quota has been exceeded".to_owned());
    failing.retry_in_seconds = Some(12);
    let frame = drawn(&status(vec![failing]), (24, 60));
    assert_eq!(frame[3], "  retrying   66.7 MiB  model-final.pt");
    assert_eq!(frame[4], "    drive full: The user's Drive storage quota has been");
    assert_eq!(frame[5], "    exceeded; again in 12 s");
}

#[test]
fn the_time_that_is_left_is_said_as_soon_as_the_rate_is_known() {
    let status = status(vec![item("big", "uploading", 300 << 20, 30 << 20)]);
    assert_eq!(drawn(&status, (24, 80))[2], "at risk   270 MiB in 1 file");
    let mut rates = Rates::default();
    rates.sent.look(0, None);
    rates.sent.look(3 << 20, Some(Duration::from_secs(1)));
    let frame = lines(&status, &rates, None, (24, 80), true);
    assert_eq!(console::strip_ansi_codes(&frame[2]), "at risk   270 MiB in 1 file   about 1 min 30 s at 3 MiB/s");
}

#[test]
fn the_state_says_since_when_it_is_mounted_and_not_since_when_it_is_as_it_is() {
    let mut status = status(Vec::new());
    assert!(drawn(&status, (24, 80))[0].starts_with("/content/drive  google  mounted 0 s ago"));
    status.state = "draining".to_owned();
    assert_eq!(drawn(&status, (24, 80))[0], "/content/drive  google  unmounting: sending the rest");
    assert_eq!(drawn(&status, (24, 40))[..2], ["/content/drive", "  google  unmounting: sending the rest"]);
}

#[test]
fn disk_for_what_is_being_sent_is_said_only_if_there_is_any() {
    let cache = |status: &Status, columns| {
        let frame = drawn(status, (24, columns));
        frame.into_iter().find(|line| line.starts_with("cache")).expect("a line")
    };
    assert_eq!(cache(&status(Vec::new()), 80), "cache     ━━──────────────────────  1 GiB of 10 GiB");
    let busy = status(vec![item("big", "uploading", 286 << 20, 0)]);
    assert!(cache(&busy, 80).ends_with("─  1 GiB of 10 GiB, and 286 MiB of disk for files being sent"));
    assert_eq!(cache(&busy, 50), "cache     1 GiB of 10 GiB, and 286 MiB of disk for");
}
