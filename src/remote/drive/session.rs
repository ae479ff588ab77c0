//! Content in as many requests as it takes: Drive's resumable upload.
//!
//! A session is an address that the drive made up. All that concerns the item is said when the session begins; after that,
//! bytes go there in order, and the drive says how many it has. It keeps a session for a week.
//!
//! An answer "go on" may carry a new address, which holds from then on. It is handed to the caller, who has the address written
//! down for the time after a crash.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, LOCATION, RANGE};
use http::{Method, StatusCode};
use url::Url;

use super::client::{Client, parse};
use super::convert::{self, nonsense};
use super::errors::{Again, Attempt, Failure};
use super::reply::Reply;
use super::request::{BEGIN, Call, PROGRESS, Request, SEND};
use super::upload;
use crate::error::Kind;
use crate::metrics;
use crate::remote::{Body, Progress, RemoteError, Result, UploadSession, Write};

/// All pieces but the last are multiples of this.
const UNIT: u64 = 256 * 1024;

pub(super) async fn begin(client: &Client, write: &Write, total: Option<u64>) -> Result<UploadSession> {
    let mut request = upload::begin(client, BEGIN, "resumable", write)?
        .header(HeaderName::from_static("x-upload-content-type"), HeaderValue::from_static(upload::media_type(write)))
        .json(&upload::metadata(write))?;
    if let Some(total) = total {
        request = request.header(HeaderName::from_static("x-upload-content-length"), total.into());
    }
    let mut retry = client.retry();
    loop {
        match client.attempt(&request).await {
            Ok(reply) => return address(&request, &reply),
            Err(failure) => retry.after(failure).await?,
        }
    }
}

fn address(request: &Request, reply: &Reply) -> Result<UploadSession> {
    let location = location(request, reply).ok_or_else(|| nonsense(BEGIN, "the upload session has no address"))?;
    Ok(UploadSession(location.into()))
}

/// The address that an answer leads to, if it is one to go to.
fn location(request: &Request, reply: &Reply) -> Option<Url> {
    let location = request.url.join(reply.header(LOCATION)?).ok()?;
    // A token that was sent encrypted is not sent openly because an answer says so.
    (location.scheme() == request.url.scheme() || location.scheme() == "https").then_some(location)
}

pub(super) async fn send(
    client: &Client,
    session: &UploadSession,
    offset: u64,
    total: Option<u64>,
    body: Body,
) -> Result<Progress> {
    let length = body.length;
    let request = put(SEND, session)?;
    let request = match content_range(offset, length, total)? {
        Some(range) => request.header(CONTENT_RANGE, range),
        None => request,
    };
    let progress = match attempt(client, &request, Some(body)).await {
        // The token ended during the upload. The drive knows how far it got, and another token will do.
        Err(Failure { again: Again::NewToken, .. }) => progress(client, session, total).await?,
        result => result.map_err(|failure| failure.error)?,
    };
    let end = offset + length;
    match &progress {
        Progress::Stored(stored) | Progress::Moved(stored, _) if *stored > end => {
            return Err(nonsense(SEND, format!("it has {stored} bytes, of {end} that were sent")));
        }
        Progress::Stored(stored) | Progress::Moved(stored, _) => metrics::UPLOADED.add(stored.saturating_sub(offset)),
        Progress::Done(_) => metrics::UPLOADED.add(length),
    }
    Ok(progress)
}

pub(super) async fn progress(client: &Client, session: &UploadSession, total: Option<u64>) -> Result<Progress> {
    let request = put(PROGRESS, session)?
        .header(CONTENT_RANGE, range_header(&format!("*/{}", length_or_star(total)))?)
        .header(CONTENT_LENGTH, 0.into());
    let mut retry = client.retry();
    loop {
        match attempt(client, &request, None).await {
            Ok(progress) => return Ok(progress),
            Err(failure) => retry.after(failure).await?,
        }
    }
}

/// A request to the session. What is no address (any more) is a session that is gone.
fn put(call: Call, session: &UploadSession) -> Result<Request> {
    let url = Url::parse(&session.0).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| RemoteError::new(Kind::NotFound, call.name, "this is no upload session"))?;
    Ok(Request::raw(call, Method::PUT, url))
}

async fn attempt(client: &Client, request: &Request, body: Option<Body>) -> Attempt<Progress> {
    let reply = match body {
        Some(body) => client.exchange_long(request, body).await?,
        None => client.exchange(request).await?,
    };
    match reply.status() {
        StatusCode::PERMANENT_REDIRECT => {
            let stored = stored(request.call, reply.header(RANGE))?;
            Ok(match location(request, &reply).filter(|url| *url != request.url) {
                Some(url) => Progress::Moved(stored, UploadSession(url.into())),
                None => Progress::Stored(stored),
            })
        }
        status if status.is_success() => {
            let file = parse(request.call, &reply.body().await?)?;
            Ok(Progress::Done(Box::new(convert::item(request.call, file)?)))
        }
        _ => Err(client.failure(reply).await),
    }
}

/// How many bytes the drive has by the `Range` of its answer; none if there is none.
fn stored(call: Call, range: Option<&str>) -> Result<u64> {
    let Some(range) = range else { return Ok(0) };
    let last: Option<u64> = range.strip_prefix("bytes=0-").and_then(|last| last.parse().ok());
    last.and_then(|last| last.checked_add(1)).ok_or_else(|| nonsense(call, format!("it has the bytes {range:?}")))
}

/// What the bytes are that follow. `None` for a content without bytes, which goes without.
fn content_range(offset: u64, length: u64, total: Option<u64>) -> Result<Option<HeaderValue>> {
    let invalid = |what: &str| Err(RemoteError::new(Kind::Invalid, SEND.name, what));
    let Some(end) = offset.checked_add(length) else { return invalid("more bytes than there are numbers") };
    match total {
        Some(total) if end > total => return invalid("more bytes than the file has"),
        Some(total) if end == total => {}
        _ if !length.is_multiple_of(UNIT) => {
            return invalid("a piece that is not the last must be a multiple of 256 KiB");
        }
        _ => {}
    }
    match (length, total) {
        (0, Some(0)) => Ok(None),
        (0, _) => range_header(&format!("*/{}", length_or_star(total))).map(Some),
        _ => range_header(&format!("{offset}-{}/{}", end - 1, length_or_star(total))).map(Some),
    }
}

fn length_or_star(total: Option<u64>) -> String {
    total.map_or_else(|| "*".to_owned(), |total| total.to_string())
}

fn range_header(range: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(format!("bytes {range}"))
        .map_err(|error| RemoteError::new(Kind::Invalid, SEND.name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, length: u64, total: Option<u64>) -> Option<String> {
        let range = content_range(offset, length, total).expect("valid");
        range.map(|range| range.to_str().expect("text").to_owned())
    }

    #[test]
    fn pieces_say_which_bytes_they_are() {
        assert_eq!(range(0, UNIT, Some(3 * UNIT)).as_deref(), Some("bytes 0-262143/786432"));
        assert_eq!(range(UNIT, 2 * UNIT, None).as_deref(), Some("bytes 262144-786431/*"));
        assert_eq!(range(UNIT, 5, Some(UNIT + 5)).as_deref(), Some("bytes 262144-262148/262149"));
        assert_eq!(range(UNIT, 0, Some(UNIT)).as_deref(), Some("bytes */262144"), "that was all");
        assert_eq!(range(0, 0, Some(0)), None, "a content without bytes");
        assert_eq!(range(0, 0, None).as_deref(), Some("bytes */*"));
    }

    #[test]
    fn pieces_that_the_drive_would_refuse_are_not_sent() {
        for (offset, length, total) in
            [(0, UNIT + 1, None), (0, 5, Some(6)), (0, 7, Some(6)), (u64::MAX, UNIT, None), (UNIT, 1, Some(UNIT))]
        {
            assert_eq!(content_range(offset, length, total).expect_err("invalid").kind, Kind::Invalid);
        }
    }

    #[test]
    fn what_the_drive_has_is_read_from_its_range() {
        for (range, bytes) in [(None, 0), (Some("bytes=0-0"), 1), (Some("bytes=0-524287"), 524_288)] {
            assert_eq!(stored(SEND, range).expect("understood"), bytes, "{range:?}");
        }
        for bad in ["", "0-5", "bytes=1-5", "bytes=0-", "bytes=0-x", "bytes=0-18446744073709551615"] {
            assert_eq!(stored(SEND, Some(bad)).expect_err("nonsense").kind, Kind::Protocol, "{bad}");
        }
    }
}
