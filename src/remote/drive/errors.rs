//! What an answer that is no success means.
//!
//! The only place where a status and a reason of Drive become a [`Kind`]. Decided by status and reason and never by the text
//! of a message, which Google rewords at will. Bodies that are no error of Drive (HTML of a proxy, nothing, a list around the
//! error) are survived: then the status alone decides.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::request::Call;
use crate::clock;
use crate::error::Kind;
use crate::remote::RemoteError;

/// The one message that counts: with it, a rate refusal of an upload may be the cap of 750 GB a day and not the rate (seen by
/// `rclone`, which stops uploads on it).
const UPLOAD_CAP: &str = "User rate limit exceeded.";

/// A message is cut at this many characters: enough for every sentence of Drive's, too little for a page.
const MAX_MESSAGE: usize = 300;

/// What comes of one attempt.
pub(super) type Attempt<T> = std::result::Result<T, Failure>;

/// An attempt that failed, and whether another one makes sense.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: RemoteError,
    pub(super) again: Again,
    /// The drive has too many requests from us: all others shall slow down as well.
    pub(super) crowded: bool,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Never: the next answer would be the same.
    No,
    /// At once with another token.
    NewToken,
    /// Almost at once, the first time: a connection broke, and the next may be fine.
    Soon,
    /// After a while.
    Later,
}

impl Failure {
    /// Of an error that the next attempt may not meet.
    pub(super) fn new(error: RemoteError, again: Again) -> Self {
        Self { error, again, crowded: false }
    }

    /// Of an answer that is no success. `body` is what could be read of it.
    pub(super) fn of_answer(call: Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let details = Details::parse(body);
        let (kind, again) = judge(status.as_u16(), details.reason.as_deref(), details.location.as_deref());
        let capped = call.upload && kind == Kind::RateLimited && details.message.as_deref() == Some(UPLOAD_CAP);
        let message = if capped {
            "the drive refuses uploads: for their rate, or for its cap of 750 GB in 24 hours".to_owned()
        } else {
            sentence(call, kind, status, &details)
        };
        let error = RemoteError {
            kind: if capped { Kind::UploadLimit } else { kind },
            call: call.name,
            status: Some(status.as_u16()),
            reason: details.reason,
            message,
            retry_after: retry_after(headers),
        };
        // The cap is about uploads only, and lasts for hours: reading goes on at its pace.
        Self { error, again, crowded: kind == Kind::RateLimited && again == Again::Later && !capped }
    }
}

/// An error of ours, which the next attempt would meet again.
impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self::new(error, Again::No)
    }
}

/// What is temporary is tried again, what is unknown is not. The reasons are those of Google's guide to errors, and those that
/// other clients met beyond it.
fn judge(status: u16, reason: Option<&str>, location: Option<&str>) -> (Kind, Again) {
    let reason = reason.unwrap_or_default();
    match status {
        401 => (Kind::SignIn, Again::NewToken),
        403 => forbidden(reason, location),
        // 410 and 499 are said of upload sessions that ended, by Drive's sister protocol of Cloud Storage.
        404 | 410 | 499 => (Kind::NotFound, Again::No),
        408 => (Kind::TimedOut, Again::Later),
        409 => (Kind::Exists, Again::No),
        412 => (Kind::Stale, Again::No),
        413 => (Kind::TooLarge, Again::No),
        429 => (Kind::RateLimited, Again::Later),
        400 | 416 if reason == "uploadTooLarge" => (Kind::TooLarge, Again::No),
        400 | 416 => (Kind::Invalid, Again::No),
        500..=599 => (Kind::Server, Again::Later),
        _ => (Kind::Protocol, Again::No),
    }
}

fn forbidden(reason: &str, location: Option<&str>) -> (Kind, Again) {
    let kind = match reason {
        "rateLimitExceeded" | "userRateLimitExceeded" | "sharingRateLimitExceeded" | "RATE_LIMIT_EXCEEDED" => {
            return (Kind::RateLimited, Again::Later);
        }
        // A cap of the project for the whole day: temporary, but not within anybody's patience.
        "dailyLimitExceeded" => Kind::RateLimited,
        "dailyLimitExceededUnreg" => Kind::SignIn,
        "downloadQuotaExceeded" => Kind::DownloadLimit,
        "quotaExceeded" if location == Some("quota.download") => Kind::DownloadLimit,
        "storageQuotaExceeded" | "quotaExceeded" => Kind::StorageFull,
        "activeItemCreationLimitExceeded" | "numChildrenInNonRootLimitExceeded" | "teamDriveFileLimitExceeded" => {
            Kind::TooManyEntries
        }
        // Over 100 levels; programs know this as a path that is too long.
        "myDriveHierarchyDepthLimitExceeded" | "teamDriveHierarchyTooDeep" => Kind::NameTooLong,
        "uploadTooLarge" => Kind::TooLarge,
        "fileNotDownloadable" | "fileNotExportable" | "exportSizeLimitExceeded" => Kind::Unsupported,
        "parentNotAFolder" => Kind::NotADirectory,
        "propertyLengthLimitExceeded" => Kind::Invalid,
        "propertyCountLimitExceeded" => Kind::AttributesFull,
        "cannotAddParent"
        | "teamDrivesParentLimit"
        | "cannotCopyFile"
        | "shortcutTargetInvalid"
        | "fileNeverWritable"
        | "revisionsNotSupported"
        | "revisionDeletionNotSupported"
        | "notSupportedForAppDataFolderFiles"
        | "teamDrivesFolderMoveInNotSupported"
        | "teamDrivesShortcutFileNotSupported"
        | "crossDomainMoveRestriction" => Kind::NotPermitted,
        // insufficientFilePermissions, insufficientPermissions, appNotAuthorizedToFile, domainPolicy, cannotDownload*,
        // accessNotConfigured, fieldNotWritable, … and what is not in any table.
        _ => Kind::Denied,
    };
    (kind, Again::No)
}

fn sentence(call: Call, kind: Kind, status: StatusCode, details: &Details) -> String {
    let what =
        if status == StatusCode::UNAUTHORIZED { "the drive refused the token".to_owned() } else { kind.to_string() };
    match (&details.message, &details.reason) {
        // What is said about the address of an upload session might repeat it, and it is a secret.
        (Some(message), _) if !call.secret => format!("{what}: {}", message.trim_end_matches('.')),
        (_, Some(reason)) => format!("{what}: the drive answered {} {reason}", status.as_u16()),
        (_, None) => format!("{what}: the drive answered {}", status.as_u16()),
    }
}

/// The wait that the drive asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = date.as_millisecond().saturating_sub(clock::now().millis());
    Some(Duration::from_millis(wait.try_into().unwrap_or(0)))
}

/// What an error body says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    reason: Option<String>,
    location: Option<String>,
    message: Option<String>,
}

impl Details {
    /// All that can be found; nothing if the body is no error of Drive.
    fn parse(body: &[u8]) -> Self {
        let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
        // A list around the envelope was seen, and is expected by Google's own client for Python.
        let Some(error) = envelope.get(0).unwrap_or(&envelope).get("error") else { return Self::default() };
        // `errors` carries the reasons of the tables; newer front ends may give only `details`.
        let mut entries = ["errors", "details"].into_iter().filter_map(|list| error.get(list)?.as_array()).flatten();
        let entry = entries.find(|entry| text(entry, "reason").is_some()).unwrap_or(&Value::Null);
        Self {
            reason: text(entry, "reason"),
            location: text(entry, "location"),
            message: text(error, "message").or_else(|| text(entry, "message")),
        }
    }
}

/// A text that is not empty, as one line of bounded length.
fn text(object: &Value, field: &str) -> Option<String> {
    let line = object.get(field)?.as_str()?.lines().next()?;
    let text: String = line.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
