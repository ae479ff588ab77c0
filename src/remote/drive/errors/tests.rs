//! Answers as the drive was seen to give them, and what they mean to us.

use http::HeaderValue;

use super::*;
use crate::remote::drive::request::{CREATE, GET, LIST, SEND, UPLOAD};

fn failure(call: Call, status: u16, headers: &HeaderMap, body: &str) -> Failure {
    Failure::of_answer(call, StatusCode::from_u16(status).expect("a status"), headers, body.as_bytes())
}

fn refusal(status: u16, reason: &str) -> Failure {
    let body = format!(
        r#"{{"error": {{"code": {status}, "message": "Words.", "errors":
            [{{"domain": "global", "reason": "{reason}", "message": "Words."}}]}}}}"#
    );
    failure(GET, status, &HeaderMap::new(), &body)
}

#[test]
fn each_reason_has_its_kind_and_its_advice() {
    for (status, reason, kind, again) in [
        (400, "badRequest", Kind::Invalid, Again::No),
        (400, "invalid", Kind::Invalid, Again::No),
        (400, "invalidParameter", Kind::Invalid, Again::No),
        (400, "invalidSharingRequest", Kind::Invalid, Again::No),
        (400, "illegalKeepForeverModification", Kind::Invalid, Again::No),
        (400, "uploadTooLarge", Kind::TooLarge, Again::No),
        (401, "authError", Kind::SignIn, Again::NewToken),
        (403, "fileNotDownloadable", Kind::Unsupported, Again::No),
        (403, "fileNotExportable", Kind::Unsupported, Again::No),
        (403, "exportSizeLimitExceeded", Kind::Unsupported, Again::No),
        (403, "rateLimitExceeded", Kind::RateLimited, Again::Later),
        (403, "userRateLimitExceeded", Kind::RateLimited, Again::Later),
        (403, "sharingRateLimitExceeded", Kind::RateLimited, Again::Later),
        (403, "dailyLimitExceeded", Kind::RateLimited, Again::No),
        (403, "dailyLimitExceededUnreg", Kind::SignIn, Again::No),
        (403, "accessNotConfigured", Kind::Denied, Again::No),
        (403, "downloadQuotaExceeded", Kind::DownloadLimit, Again::No),
        (403, "storageQuotaExceeded", Kind::StorageFull, Again::No),
        (403, "quotaExceeded", Kind::StorageFull, Again::No),
        (403, "activeItemCreationLimitExceeded", Kind::TooManyEntries, Again::No),
        (403, "numChildrenInNonRootLimitExceeded", Kind::TooManyEntries, Again::No),
        (403, "teamDriveFileLimitExceeded", Kind::TooManyEntries, Again::No),
        (403, "myDriveHierarchyDepthLimitExceeded", Kind::NameTooLong, Again::No),
        (403, "teamDriveHierarchyTooDeep", Kind::NameTooLong, Again::No),
        (403, "insufficientFilePermissions", Kind::Denied, Again::No),
        (403, "insufficientParentPermissions", Kind::Denied, Again::No),
        (403, "insufficientPermissions", Kind::Denied, Again::No),
        (403, "appNotAuthorizedToFile", Kind::Denied, Again::No),
        (403, "domainPolicy", Kind::Denied, Again::No),
        (403, "cannotDownloadAbusiveFile", Kind::Denied, Again::No),
        (403, "cannotDownloadFile", Kind::Denied, Again::No),
        (403, "fieldNotWritable", Kind::Denied, Again::No),
        (403, "cannotAddParent", Kind::NotPermitted, Again::No),
        (403, "teamDrivesFolderMoveInNotSupported", Kind::NotPermitted, Again::No),
        (403, "parentNotAFolder", Kind::NotADirectory, Again::No),
        (403, "propertyLengthLimitExceeded", Kind::Invalid, Again::No),
        (403, "propertyCountLimitExceeded", Kind::AttributesFull, Again::No),
        (403, "somethingNobodyHeardOf", Kind::Denied, Again::No),
        (404, "notFound", Kind::NotFound, Again::No),
        (408, "", Kind::TimedOut, Again::Later),
        (409, "fileIdInUse", Kind::Exists, Again::No),
        (410, "", Kind::NotFound, Again::No),
        (412, "conditionNotMet", Kind::Stale, Again::No),
        (413, "uploadTooLarge", Kind::TooLarge, Again::No),
        (416, "requestedRangeNotSatisfiable", Kind::Invalid, Again::No),
        (418, "teapot", Kind::Protocol, Again::No),
        (429, "rateLimitExceeded", Kind::RateLimited, Again::Later),
        (499, "", Kind::NotFound, Again::No),
        (500, "backendError", Kind::Server, Again::Later),
        (502, "badGateway", Kind::Server, Again::Later),
        (503, "transientError", Kind::Server, Again::Later),
        (504, "gatewayTimeout", Kind::Server, Again::Later),
    ] {
        let failure = refusal(status, reason);
        assert_eq!((failure.error.kind, failure.again), (kind, again), "{status} {reason}");
        assert_eq!(failure.error.status, Some(status));
        assert_eq!(failure.crowded, kind == Kind::RateLimited && again == Again::Later, "{status} {reason}");
    }
}

#[test]
fn the_words_of_the_drive_are_passed_on() {
    let body = r#"{"error": {"code": 404, "message": "File not found: abc.", "errors": [{"domain": "global",
        "reason": "notFound", "message": "File not found: abc.", "locationType": "parameter", "location": "fileId"}]}}"#;
    let error = failure(GET, 404, &HeaderMap::new(), body).error;
    assert_eq!(error.to_string(), "not found: File not found: abc (files.get)");
    assert_eq!(error.reason.as_deref(), Some("notFound"));
}

#[test]
fn a_download_quota_is_told_apart_by_its_location() {
    let body = r#"{"error": {"errors": [{"reason": "quotaExceeded", "location": "quota.download"}]}}"#;
    assert_eq!(failure(GET, 403, &HeaderMap::new(), body).error.kind, Kind::DownloadLimit);
}

#[test]
fn a_newer_envelope_without_errors_is_understood() {
    let body = r#"{"error": {"code": 403, "message": "Request had insufficient authentication scopes.",
        "status": "PERMISSION_DENIED", "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://example"}]},
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}]}}"#;
    let failure = failure(LIST, 403, &HeaderMap::new(), body);
    assert_eq!((failure.error.kind, failure.again), (Kind::RateLimited, Again::Later));
}

#[test]
fn bodies_that_are_no_error_of_the_drive_leave_the_status_to_decide() {
    for body in
        ["", "<html><title>502</title></html>", "[]", "null", "{}", r#"{"error": "invalid_grant"}"#, "{\"error\""]
    {
        let bad_gateway = failure(GET, 502, &HeaderMap::new(), body);
        assert_eq!((bad_gateway.error.kind, bad_gateway.again), (Kind::Server, Again::Later), "{body}");
        assert_eq!(bad_gateway.error.message, "drive failed: the drive answered 502");
        assert_eq!(failure(GET, 403, &HeaderMap::new(), body).error.kind, Kind::Denied, "{body}");
    }
    let list = r#"[{"error": {"code": 403, "errors": [{"reason": "storageQuotaExceeded"}]}}]"#;
    assert_eq!(failure(CREATE, 403, &HeaderMap::new(), list).error.kind, Kind::StorageFull);
}

#[test]
fn the_daily_cap_of_uploads_slows_nobody_else() {
    let body = r#"{"error": {"message": "User rate limit exceeded.",
        "errors": [{"reason": "userRateLimitExceeded", "domain": "usageLimits"}]}}"#;
    let upload = failure(UPLOAD, 403, &HeaderMap::new(), body);
    assert_eq!((upload.error.kind, upload.again, upload.crowded), (Kind::UploadLimit, Again::Later, false));
    assert!(upload.error.message.contains("750 GB"));
    let list = failure(LIST, 403, &HeaderMap::new(), body);
    assert!(list.crowded);
    assert!(!list.error.message.contains("750 GB"));
}

#[test]
fn messages_are_one_line_of_bounded_length() {
    let body = format!(r#"{{"error": {{"message": "{}\nsecond\u001b[31m"}}}}"#, "x".repeat(5000));
    let message = failure(GET, 400, &HeaderMap::new(), &body).error.message;
    assert!(message.len() < 400 && !message.contains("second"), "{message}");
}

#[test]
fn nothing_that_is_said_about_an_upload_session_is_repeated() {
    let body = r#"{"error": {"message": "Not found: /upload/drive/v3/files?upload_id=secret"}}"#;
    let message = failure(SEND, 404, &HeaderMap::new(), body).error.message;
    assert_eq!(message, "not found: the drive answered 404");
}

#[test]
fn the_wait_asked_for_is_read_as_seconds_or_as_a_date() {
    let wait = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"));
        failure(GET, 503, &headers, "").error.retry_after
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("soon"), None);
    assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
    let in_a_minute = jiff::Timestamp::now() + Duration::from_mins(1);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_a_minute).expect("prints");
    let seconds = wait(&date).expect("a date").as_secs();
    assert!((57..=60).contains(&seconds), "{date}: {seconds}");
}
