//! Documents of online editors in other formats.
//!
//! Two ways lead to an export. `files.export` gives at most 10 MB and says of what is longer that it is; then there is a link for
//! each format, without a limit, which takes the same token. Neither knows ranges, lengths or checksums, and the bytes are not the
//! same twice. So a whole export is one that came to the end of its answer, and a broken one begins anew.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use url::Url;

use super::client::Client;
use super::convert::nonsense;
use super::errors::{Again, Attempt, Failure};
use super::items;
use super::reply::Reply;
use super::request::{EXPORT, Request, item};
use super::retry::Retry;
use crate::error::Kind;
use crate::metrics;
use crate::remote::{ExportPiece, ExportStream, FileId, RemoteError, Result};

/// What the drive says of a document that is too long for `files.export`.
const TOO_LONG: &str = "exportSizeLimitExceeded";

pub(super) async fn export(client: &Arc<Client>, id: &FileId, media_type: &str) -> Result<ExportStream> {
    let url = client.addresses.of(&["files", item(id)?, "export"]);
    let limited = Request::raw(EXPORT, Method::GET, url).query("mimeType", media_type).all_drives();
    let mut export = Export::new(client, limited);
    let first = match export.next().await {
        Err(error) if error.reason.as_deref() == Some(TOO_LONG) => {
            export = Export::new(client, linked(client, id, media_type, error).await?);
            export.next().await?
        }
        first => first?,
    };
    let rest = stream::try_unfold(export, |mut export| async {
        let piece = export.next().await?;
        Ok(piece.map(|piece| (piece, export)))
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

/// The way without a limit, or the error that made it necessary.
async fn linked(client: &Client, id: &FileId, media_type: &str, too_long: RemoteError) -> Result<Request> {
    let Some(link) = items::export_link(client, id, media_type).await? else { return Err(too_long) };
    let link =
        Url::parse(&link).map_err(|error| nonsense(EXPORT, format!("the link of an export is none: {error}")))?;
    if !client.addresses.include(&link) {
        let message = "the link of an export leads away from the drive, and gets no token";
        return Err(RemoteError::new(Kind::Protocol, EXPORT.name, message));
    }
    Ok(Request::raw(EXPORT, Method::GET, link))
}

/// An export on its way.
struct Export {
    client: Arc<Client>,
    request: Request,
    reply: Option<Body>,
    /// Bytes that this attempt gave out, and the most that one before did.
    given: u64,
    furthest: u64,
    retry: Retry,
    /// What was given out is of an attempt that broke.
    broken: bool,
}

/// The body of an answer.
struct Body {
    reply: Reply,
    /// The length that it was said to have, if it was.
    length: Option<u64>,
}

impl Export {
    fn new(client: &Arc<Client>, request: Request) -> Self {
        let retry = client.retry();
        Self { client: Arc::clone(client), request, reply: None, given: 0, furthest: 0, retry, broken: false }
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Result<Option<ExportPiece>> {
        loop {
            match self.attempt().await {
                Ok(Some(bytes)) => {
                    self.given += bytes.len() as u64;
                    self.client.download_rate.pass(bytes.len()).await;
                    return Ok(Some(ExportPiece::Bytes(bytes)));
                }
                Ok(None) if std::mem::take(&mut self.broken) => return Ok(Some(ExportPiece::Anew)),
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.reply = None;
                    self.broken |= self.given > 0;
                    if self.given > self.furthest {
                        // Only what gets further each time comes to an end.
                        self.retry.reset();
                        self.furthest = self.given;
                    }
                    self.given = 0;
                    self.retry.after(failure).await?;
                }
            }
        }
    }

    /// The next bytes; `None` at the end, and where it begins anew.
    async fn attempt(&mut self) -> Attempt<Option<Bytes>> {
        if self.reply.is_none() {
            let reply = self.client.attempt(&self.request).await?;
            if reply.header(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
                return Err(nonsense(EXPORT, "the export is compressed").into());
            }
            if reply.header(CONTENT_TYPE).is_some_and(|media_type| media_type.starts_with("text/html")) {
                // None of the formats asked for is: it is a page for a person, most likely to sign in.
                return Err(nonsense(EXPORT, "the export is a web page").into());
            }
            let length = reply.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
            self.reply = Some(Body { reply, length });
            if self.broken {
                return Ok(None);
            }
        }
        let Some(Body { reply, length }) = &mut self.reply else { return Ok(None) };
        match reply.chunk().await? {
            Some(bytes) => {
                metrics::DOWNLOADED.add(bytes.len() as u64);
                Ok(Some(bytes))
            }
            None if length.is_some_and(|length| length != self.given) => {
                let error = RemoteError::new(Kind::Unreachable, EXPORT.name, "the export ended too early");
                Err(Failure::new(error, Again::Soon))
            }
            None => Ok(None),
        }
    }
}
