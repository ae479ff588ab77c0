//! Content of exactly the revision asked for.

use std::ops::Range;

use bytes::Bytes;
use drivemount::error::Kind;
use drivemount::remote::{Blob, ByteStream, Md5, Remote, RemoteError, RevisionId, Source};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use super::scripted_drive::{Answer, Gate, ScriptedDrive};
use super::*;

const PATH: &str = "/drive/v3/files/f";
/// Where the revision is that is asked for, once it is not the current one.
const KEPT: &str = "/drive/v3/files/f/revisions/r1";
/// Above what is taken in whole.
const LARGE: usize = 9 << 20;

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn source(size: usize, md5: Option<&str>) -> Source {
    let blob = Blob { size: size as u64, md5: md5.and_then(Md5::parse), revision: RevisionId("r1".into()) };
    Source { id: id("f"), blob }
}

/// `abc`, with its checksum.
fn abc() -> Source {
    source(3, Some("900150983cd24fb0d6963f7d28e17f72"))
}

/// What the drive says of a revision that it did not keep.
fn gone() -> Answer {
    Answer::error(404, "revisionNotFound")
}

/// A drive that gives no revision by its name, and a remote that found out.
async fn without_names() -> (ScriptedDrive, DriveRemote) {
    without_names_with(|_| {}).await
}

async fn without_names_with(change: impl FnOnce(&mut DriveOptions)) -> (ScriptedDrive, DriveRemote) {
    let drive = ScriptedDrive::start().await;
    let mut options = options(&drive);
    change(&mut options);
    let remote = remote_with(&options);
    drive
        .expect("GET", KEPT, Answer::error(403, "insufficientFilePermissions"))
        .expect("GET", PATH, Answer::part("abc", 0, 10))
        .expect("GET", PATH, revision("r1"));
    assert_eq!(read(&remote, &source(10, None), 0..3).await.expect("bytes"), b"abc");
    drive.forget();
    (drive, remote)
}

/// What the drive says of the file's content.
fn revision(revision: &str) -> Answer {
    Answer::json(&json!({"headRevisionId": revision}))
}

async fn read(remote: &DriveRemote, source: &Source, range: Range<usize>) -> Result<Vec<u8>, RemoteError> {
    let stream = remote.read(source, range.start as u64..range.end as u64).await?;
    collect(stream).await
}

async fn collect(stream: ByteStream) -> Result<Vec<u8>, RemoteError> {
    stream.map_ok(|piece| piece.to_vec()).try_concat().await
}

#[tokio::test]
async fn a_whole_small_file_is_one_request() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::content("abc")).expect("GET", PATH, Answer::content("abc").chunked());
    let remote = remote(&drive);
    for _ in 0..2 {
        assert_eq!(read(&remote, &abc(), 0..3).await.expect("bytes"), b"abc");
    }
    let seen = &drive.seen()[0];
    assert_eq!((seen.parameter("alt"), seen.parameter("supportsAllDrives")), (Some("media"), Some("true")));
    assert_eq!((seen.header("range"), seen.header("accept-encoding")), (None, Some("identity")));
}

#[tokio::test]
async fn a_whole_file_with_another_content_is_stale() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("GET", PATH, Answer::content("xyz"))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, gone())
        .expect("GET", PATH, Answer::content("longer"))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, gone());
    let remote = remote(&drive);
    for _ in 0..2 {
        assert_eq!(read(&remote, &abc(), 0..3).await.expect_err("other bytes").kind, Kind::Stale);
    }
    assert_eq!(drive.seen()[1].parameter("fields"), Some("headRevisionId,md5Checksum,size,version"));
}

#[tokio::test]
async fn a_whole_file_that_came_wrong_is_fetched_again() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::content("xyz")).expect("GET", PATH, revision("r1")).expect(
        "GET",
        PATH,
        Answer::content("abc"),
    );
    assert_eq!(read(&remote(&drive), &abc(), 0..3).await.expect("bytes"), b"abc");
}

#[tokio::test]
async fn a_file_that_never_matches_its_checksum_is_corrupt() {
    let drive = ScriptedDrive::start().await;
    for _ in 0..3 {
        drive.expect("GET", PATH, Answer::content("xyz")).expect("GET", PATH, revision("r1"));
    }
    assert_eq!(read(&remote(&drive), &abc(), 0..3).await.expect_err("corrupt").kind, Kind::Corrupt);
}

#[tokio::test]
async fn a_torn_whole_file_is_completed() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::content("abc").cut_after(1)).expect("GET", PATH, Answer::part("bc", 1, 3));
    assert_eq!(read(&remote(&drive), &abc(), 0..3).await.expect("bytes"), b"abc");
    assert_eq!(drive.seen()[1].header("range"), Some("bytes=1-2"));
}

#[tokio::test]
async fn a_range_is_asked_for_by_the_name_of_its_revision() {
    let all = content(LARGE);
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", KEPT, Answer::part(&all[5..2_000_005], 5, LARGE).cut_after(1_000_000)).expect(
        "GET",
        KEPT,
        Answer::part(&all[1_000_005..2_000_005], 1_000_005, LARGE),
    );
    let remote = remote(&drive);
    let bytes = read(&remote, &source(LARGE, None), 5..2_000_005).await.expect("bytes");
    assert!(bytes == all[5..2_000_005]);
    let seen = drive.seen();
    assert_eq!((seen[0].parameter("alt"), seen[0].header("range")), (Some("media"), Some("bytes=5-2000004")));
    assert_eq!(seen[1].header("range"), Some("bytes=1000005-2000004"));
    drive.expect("GET", KEPT, Answer::content(all.clone()));
    let whole = read(&remote, &source(LARGE, Some("900150983cd24fb0d6963f7d28e17f72")), 0..LARGE).await;
    assert!(whole.expect("bytes") == all);
}

#[tokio::test]
async fn a_drive_that_gives_nothing_by_name_is_asked_so_once() {
    let (drive, remote) = without_names().await;
    drive.expect("GET", PATH, Answer::part("def", 3, 10)).expect("GET", PATH, revision("r1"));
    assert_eq!(read(&remote, &source(10, None), 3..6).await.expect("bytes"), b"def");
}

#[tokio::test]
async fn a_revision_that_is_gone_says_nothing_of_others() {
    let drive = ScriptedDrive::start().await;
    drive
        .expect("GET", KEPT, gone())
        .expect("GET", PATH, Answer::part("xyz", 0, 10))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, Answer::part("abc", 0, 10));
    let remote = remote(&drive);
    assert_eq!(read(&remote, &source(10, None), 0..3).await.expect_err("gone").kind, Kind::Stale);
    assert_eq!(read(&remote, &source(10, None), 0..3).await.expect("bytes"), b"abc");
}

#[tokio::test]
async fn a_range_is_asked_for_and_its_revision_after_it() {
    let all = content(LARGE);
    let (drive, remote) = without_names().await;
    drive.expect("GET", PATH, Answer::part(&all[5..2_000_005], 5, LARGE)).expect("GET", PATH, revision("r1"));
    let bytes = read(&remote, &source(LARGE, None), 5..2_000_005).await.expect("bytes");
    assert!(bytes == all[5..2_000_005]);
    let seen = drive.seen();
    assert_eq!((seen[0].parameter("alt"), seen[0].header("range")), (Some("media"), Some("bytes=5-2000004")));
    assert_eq!((seen[1].parameter("alt"), seen[1].header("range")), (None, None));
}

#[tokio::test]
async fn a_whole_large_file_is_asked_for_without_a_range() {
    let all = content(LARGE);
    let (drive, remote) = without_names().await;
    drive.expect("GET", PATH, Answer::content(all.clone())).expect("GET", PATH, revision("r1"));
    let bytes = read(&remote, &source(LARGE, Some("900150983cd24fb0d6963f7d28e17f72")), 0..LARGE).await;
    assert!(bytes.expect("bytes") == all);
    assert_eq!(drive.seen()[0].header("range"), None);
}

#[tokio::test]
async fn no_byte_is_given_out_before_its_revision_is_confirmed() {
    let gate = Gate::new();
    let (drive, remote) = without_names().await;
    drive.expect("GET", PATH, Answer::part("abc", 0, 10)).expect("GET", PATH, revision("r1").after(&gate));
    let source = source(10, None);
    let mut reading = remote.read(&source, 0..3);
    tokio::select! {
        biased;
        _ = &mut reading => panic!("bytes of an unknown revision"),
        () = drive.arrived(5) => {}
    }
    // The bytes are here, or will be at once; what is waited for is the revision.
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut reading).is_pending());
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(collect(reading.await.expect("a stream")).await.expect("bytes"), b"abc");
}

#[tokio::test]
async fn bytes_of_another_revision_are_never_given_out() {
    let (drive, remote) = without_names().await;
    drive.expect("GET", PATH, Answer::part("abc", 0, 10)).expect("GET", PATH, revision("r2")).expect(
        "GET",
        KEPT,
        gone(),
    );
    let error = read(&remote, &source(10, None), 0..3).await.expect_err("stale");
    assert_eq!(error.kind, Kind::Stale);
}

#[tokio::test]
async fn a_revision_that_is_not_the_current_one_any_more_is_asked_for_by_name() {
    let (drive, remote) = without_names().await;
    drive
        .expect("GET", PATH, Answer::part("xyz", 4, 10))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, Answer::part("45", 4, 10))
        .expect("GET", KEPT, Answer::part("6", 6, 10))
        .expect("GET", PATH, Answer::content("xyz"))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, Answer::content("abc"));
    assert_eq!(read(&remote, &source(10, None), 4..7).await.expect("bytes"), b"456");
    assert_eq!(read(&remote, &abc(), 0..3).await.expect("bytes"), b"abc");
    let seen = drive.seen();
    assert_eq!((seen[2].parameter("alt"), seen[2].header("range")), (Some("media"), Some("bytes=4-6")));
    assert_eq!(seen[3].header("range"), Some("bytes=6-6"));
}

#[tokio::test]
async fn a_revision_without_a_name_or_a_permission_is_stale() {
    let (drive, remote) = without_names().await;
    drive
        .expect("GET", PATH, Answer::part("abc", 0, 10))
        .expect("GET", PATH, revision("r2"))
        .expect("GET", KEPT, Answer::error(403, "download_restricted_for_revision"))
        .expect("GET", PATH, Answer::part("abc", 0, 10))
        .expect("GET", PATH, revision("r2"));
    assert_eq!(read(&remote, &source(10, None), 0..3).await.expect_err("stale").kind, Kind::Stale);
    let mut nameless = source(10, None);
    nameless.blob.revision = RevisionId("version:7".to_owned());
    assert_eq!(read(&remote, &nameless, 0..3).await.expect_err("stale").kind, Kind::Stale);
}

#[tokio::test]
async fn the_content_is_known_by_its_checksum_where_the_drive_gives_no_revision() {
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    let now = json!({"md5Checksum": md5, "size": "10", "version": "9"});
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::part("abc", 0, 10)).expect("GET", PATH, Answer::json(&now));
    let mut source = source(10, None);
    source.blob.revision = RevisionId(format!("md5:{md5}:10"));
    assert_eq!(read(&remote(&drive), &source, 0..3).await.expect("bytes"), b"abc");
}

#[tokio::test]
async fn a_torn_download_goes_on_with_the_first_missing_byte() {
    let all = content(LARGE);
    let (drive, remote) = without_names().await;
    drive
        .expect("GET", PATH, Answer::part(&all[..], 0, LARGE).cut_after(3_000_000))
        .expect("GET", PATH, revision("r1"))
        .expect("GET", PATH, Answer::error(503, "backendError"))
        .expect("GET", PATH, Answer::error(401, "authError"))
        .expect("GET", PATH, Answer::part(&all[3_000_000..], 3_000_000, LARGE).cut_after(4_000_000))
        .expect("GET", PATH, revision("r1"))
        .expect("GET", PATH, Answer::part(&all[7_000_000..], 7_000_000, LARGE))
        .expect("GET", PATH, revision("r1"));
    let bytes = read(&remote, &source(LARGE, None), 0..LARGE).await.expect("bytes");
    assert!(bytes == all);
    let ranges: Vec<_> = drive.seen().iter().filter_map(|seen| seen.header("range").map(str::to_owned)).collect();
    let last = LARGE - 1;
    let expected = [3_000_000, 3_000_000, 3_000_000, 7_000_000].map(|at| format!("bytes={at}-{last}"));
    assert_eq!(ranges, expected);
}

#[tokio::test]
async fn a_file_that_changes_during_a_download_ends_it() {
    let all = content(LARGE);
    let (drive, remote) = without_names().await;
    drive
        .expect("GET", PATH, Answer::content(all.clone()).cut_after(3_000_000))
        .expect("GET", PATH, revision("r1"))
        .expect("GET", PATH, Answer::part(&all[3_000_000..], 3_000_000, LARGE))
        .expect("GET", PATH, revision("r2"));
    let source = source(LARGE, None);
    let mut stream = remote.read(&source, 0..LARGE as u64).await.expect("a stream");
    let mut bytes = Vec::new();
    let error = loop {
        match stream.next().await.expect("an end") {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, Kind::Stale);
    assert!(bytes == all[..3_000_000], "and all that was given out is right");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn patience_counts_from_the_last_byte() {
    // A second failure without a byte between would be waited for longer than this.
    let retry_for = Duration::from_millis(20);
    let (drive, remote) = without_names_with(|options| {
        *options = DriveOptions { backoff: 2 * retry_for, retry_for, ..options.clone() };
    })
    .await;
    for at in 0..10 {
        // Each brings one byte and breaks.
        let answer = Answer::part(&b"0123456789"[at..], at, 10).cut_after(1);
        drive.expect("GET", PATH, answer).expect("GET", PATH, revision("r1"));
    }
    assert_eq!(read(&remote, &source(10, None), 0..10).await.expect("bytes"), b"0123456789");
}

#[tokio::test]
async fn a_drive_that_gives_fewer_bytes_is_asked_for_the_rest() {
    let (drive, remote) = without_names().await;
    drive
        .expect("GET", PATH, Answer::part("ab", 0, 10))
        .expect("GET", PATH, revision("r1"))
        .expect("GET", PATH, Answer::part("cde", 2, 10))
        .expect("GET", PATH, revision("r1"));
    assert_eq!(read(&remote, &source(10, None), 0..5).await.expect("bytes"), b"abcde");
    assert_eq!(drive.seen()[2].header("range"), Some("bytes=2-4"));
}

#[tokio::test]
async fn a_drive_that_knows_no_ranges_is_understood() {
    let (drive, remote) = without_names().await;
    for _ in 0..2 {
        drive.expect("GET", PATH, Answer::content("0123456789")).expect("GET", PATH, revision("r1"));
    }
    assert_eq!(read(&remote, &source(10, None), 4..7).await.expect("bytes"), b"456");
    assert_eq!(read(&remote, &source(10, None), 0..7).await.expect("bytes"), b"0123456");
}

#[tokio::test]
async fn answers_that_are_not_of_our_content_are_looked_into() {
    for answer in [
        Answer::status(416).header("Content-Range", "bytes */3"),
        Answer::content("0123"),
        Answer::part("456", 4, 11),
        Answer::part("567", 5, 10),
        Answer::status(206).body("456"),
        Answer::status(206).header("Content-Range", "bytes 4-6/10").body("4567"),
        Answer::status(204),
        Answer::part("456", 4, 10).header("Content-Encoding", "gzip"),
    ] {
        for (now, kind) in [("r2", Kind::Stale), ("r1", Kind::Protocol)] {
            let (drive, remote) = without_names().await;
            drive.expect("GET", PATH, answer.clone()).expect("GET", PATH, revision(now));
            if now != "r1" {
                drive.expect("GET", KEPT, gone());
            }
            let error = read(&remote, &source(10, None), 4..7).await.expect_err("not ours");
            assert_eq!(error.kind, kind, "{error}");
        }
    }
}

#[tokio::test]
async fn a_refused_download_says_why() {
    for (status, reason, kind) in [
        (403, "fileNotDownloadable", Kind::Unsupported),
        (403, "cannotDownloadFile", Kind::Denied),
        (403, "cannotDownloadAbusiveFile", Kind::Denied),
        (403, "downloadQuotaExceeded", Kind::DownloadLimit),
        (404, "notFound", Kind::NotFound),
    ] {
        let drive = ScriptedDrive::start().await;
        drive.expect("GET", PATH, Answer::error(status, reason));
        let error = read(&remote(&drive), &abc(), 0..3).await.expect_err("refused");
        assert_eq!((error.kind, error.call), (kind, "download"));
    }
}

#[tokio::test]
async fn a_range_outside_of_the_content_is_never_sent() {
    let drive = ScriptedDrive::start().await;
    let remote = remote(&drive);
    for range in [0..0, 3..3, 0..4, 5..6] {
        assert_eq!(read(&remote, &abc(), range).await.expect_err("no such bytes").kind, Kind::Invalid);
    }
    assert_eq!(read(&remote, &source(0, None), 0..0).await.expect_err("no bytes at all").kind, Kind::Invalid);
    assert!(drive.seen().is_empty());
}

#[tokio::test]
async fn a_silent_download_is_continued_elsewhere() {
    let drive = ScriptedDrive::start().await;
    drive.expect("GET", PATH, Answer::content("abc").body_after(&Gate::new())).expect(
        "GET",
        PATH,
        Answer::content("abc"),
    );
    let remote = remote_with(&DriveOptions { read_timeout: Duration::from_millis(100), ..options(&drive) });
    assert_eq!(read(&remote, &abc(), 0..3).await.expect("bytes"), b"abc");
}

#[tokio::test]
async fn downloads_share_a_connection_one_after_the_other() {
    let (drive, remote) = without_names().await;
    for chunked in [false, true, false] {
        let answer = Answer::part("abc", 0, 10);
        let answer = if chunked { answer.chunked() } else { answer };
        drive.expect("GET", PATH, answer).expect("GET", PATH, revision("r1"));
    }
    for _ in 0..3 {
        assert_eq!(read(&remote, &source(10, None), 0..3).await.expect("bytes"), b"abc");
    }
    let seen = drive.seen();
    let media: Vec<_> =
        seen.iter().filter(|seen| seen.parameter("alt").is_some()).map(|seen| seen.connection).collect();
    assert_eq!(media, [media[0]; 3]);
}

#[tokio::test]
async fn a_dropped_download_ends_its_connection() {
    let all = content(LARGE);
    let (drive, remote) = without_names().await;
    let piece: Option<Bytes>;
    {
        drive.expect("GET", PATH, Answer::content(all.clone())).expect("GET", PATH, revision("r1"));
        // Goes with this block, and its idle connections with it.
        let (remote, source) = (remote, source(LARGE, None));
        let mut stream = remote.read(&source, 0..LARGE as u64).await.expect("a stream");
        piece = stream.next().await.and_then(Result::ok);
    }
    let piece = piece.expect("bytes");
    assert!(piece == all[..piece.len()]);
    drive.all_closed().await;
}
