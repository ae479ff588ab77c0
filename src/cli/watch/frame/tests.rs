use serde_json::json;

use super::*;
use crate::control::ConflictStatus;

fn item(path: &str, state: &str, bytes: u64, sent: u64) -> UnsentItem {
    UnsentItem { path: path.to_owned(), state: state.to_owned(), bytes, sent, reason: None, retry_in_seconds: None }
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
    assert_eq!(frame[2], "at risk   165 B in 3 entries");
    assert!(frame[3].starts_with("  big      ━━━━━━──────────────────   25 %"), "{frame:#?}");
    assert!(frame[4].starts_with("  failing  retrying   10 B  no permission; again in 7 s"), "{frame:#?}");
    assert!(frame[5].starts_with("  waiting  queued     5 B"), "{frame:#?}");
    assert_eq!(drawn(&self::status(Vec::new()), (24, 80))[2], "at risk   nothing: everything is on the drive");
}

#[test]
fn rates_follow_what_was_sent_and_end_with_it() {
    let mut rate = Rate::default();
    let second = Some(Duration::from_secs(1));
    rate.look(1_000_000, None);
    assert_eq!(rate.get(), 0, "what was there before is no rate");
    rate.look(2_000_000, second);
    assert_eq!(rate.get(), 1_000_000);
    rate.look(4_000_000, second);
    assert_eq!(rate.get(), 1_350_000);
    (0..40).for_each(|_| rate.look(4_000_000, second));
    assert_eq!(rate.get(), 0);
}

#[test]
fn a_long_path_shows_its_end() {
    assert_eq!(end_of("short", 5), "short");
    assert_eq!(end_of("folder/model.pt", 9), "…model.pt");
    assert_eq!(end_of("名前名前", 5), "…名前");
    assert_eq!(end_of("abc", 1), "…");
}
