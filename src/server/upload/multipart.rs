//! `multipart/related` uploads: JSON metadata and content in one body.
//!
//! The content is passed on as it arrives. What comes before it (metadata, headers) is gathered first and bounded. Lines
//! end with CRLF, or all of them with LF alone, which is what the official Python client sends; the first line decides, so
//! that a content which ends with a CR is not cut short.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::super::error::{ApiError, Result};

/// Everything before the content.
const MAX_HEAD_BYTES: usize = 4 * 1024 * 1024;

/// The parts of a body before its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The metadata, as sent.
    pub metadata: Bytes,
    /// The declared type of the content.
    pub media_type: Option<String>,
}

/// The boundary that a `Content-Type` names; `None` if it is not `multipart/…` with a boundary.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let fits = !value.is_empty() && value.len() <= 200;
        (name.trim().eq_ignore_ascii_case("boundary") && fits).then(|| value.to_owned())
    })
}

/// Reads the head of a body, and gives it with the stream of the content.
pub(crate) async fn open<S, E>(mut body: S, boundary: &str) -> Result<(Head, Content<S>)>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
{
    let mut received = BytesMut::new();
    loop {
        if let Some((head, start, line_end)) = head(&received, boundary)? {
            let rest = received.split_off(start).freeze();
            let decoder = Decoder::new(boundary, line_end);
            return Ok((head, Content { body, decoder, pending: Some(rest) }));
        }
        if received.len() > MAX_HEAD_BYTES {
            return Err(ApiError::body_too_large());
        }
        match body.next().await {
            Some(Ok(bytes)) => received.extend_from_slice(&bytes),
            Some(Err(_)) | None => return Err(malformed("ends before its content")),
        }
    }
}

fn malformed(what: &str) -> ApiError {
    ApiError::bad_request(format!("Malformed multipart body: it {what}."))
}

/// Parses the head, if all of it is there: what it says, where the content starts, and how lines end.
fn head(received: &[u8], boundary: &str) -> Result<Option<(Head, usize, &'static [u8])>> {
    let opening = format!("--{boundary}");
    let blank = received.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let text = &received[blank..];
    let seen = text.len().min(opening.len());
    if text[..seen] != opening.as_bytes()[..seen] {
        return Err(malformed("does not begin with its boundary"));
    }
    let Some(line) = find(text, b"\n") else { return Ok(None) };
    let line_end: &[u8] = if text[..line].ends_with(b"\r") { b"\r\n" } else { b"\n" };
    if line + 1 - line_end.len() != opening.len() {
        return Err(malformed("has something after its boundary"));
    }
    let metadata_part = blank + line + 1;
    let Some((_, metadata_start)) = headers(&received[metadata_part..], line_end)? else { return Ok(None) };
    let metadata_start = metadata_part + metadata_start;
    let delimiter = [line_end, opening.as_bytes(), line_end].concat();
    let Some(metadata_length) = find(&received[metadata_start..], &delimiter) else { return Ok(None) };
    let metadata_end = metadata_start + metadata_length;
    let content_part = metadata_end + delimiter.len();
    let Some((media_type, content_start)) = headers(&received[content_part..], line_end)? else { return Ok(None) };
    let metadata = Bytes::copy_from_slice(&received[metadata_start..metadata_end]);
    Ok(Some((Head { metadata, media_type }, content_part + content_start, line_end)))
}

/// Parses the headers of a part: its type, and where its body starts.
fn headers(part: &[u8], line_end: &[u8]) -> Result<Option<(Option<String>, usize)>> {
    let mut media_type = None;
    let mut start = 0;
    loop {
        let Some(length) = find(&part[start..], line_end) else { return Ok(None) };
        let line = &part[start..start + length];
        start += length + line_end.len();
        if line.is_empty() {
            return Ok(Some((media_type, start)));
        }
        let line = std::str::from_utf8(line).map_err(|_| malformed("has a header that is not text"))?;
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("has a header without a colon"))?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => media_type = Some(value.trim().to_owned()),
            "content-transfer-encoding" if value.trim().eq_ignore_ascii_case("base64") => {
                return Err(malformed("encodes its content as base64, which this server does not decode"));
            }
            _ => {}
        }
    }
}

fn find(text: &[u8], searched: &[u8]) -> Option<usize> {
    // Looking for the rare first byte, and comparing only there, is many times as fast as comparing everywhere.
    let (first, rest) = searched.split_first()?;
    let mut start = 0;
    while let Some(index) = text.get(start..)?.iter().position(|byte| byte == first) {
        if text[start + index + 1..].starts_with(rest) {
            return Some(start + index);
        }
        start += index + 1;
    }
    None
}

/// The content of a body, up to the closing boundary.
#[derive(Debug)]
pub(crate) struct Content<S> {
    body: S,
    decoder: Decoder,
    pending: Option<Bytes>,
}

impl<S, E> Stream for Content<S>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
{
    type Item = std::result::Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let bytes = match this.pending.take() {
                Some(bytes) => bytes,
                None => match std::task::ready!(this.body.poll_next_unpin(context)) {
                    Some(Ok(bytes)) => bytes,
                    None if this.decoder.is_closed() => return Poll::Ready(None),
                    Some(Err(_)) | None => return Poll::Ready(Some(Err(Broken))),
                },
            };
            let content = this.decoder.push(bytes).map_err(|()| Broken)?;
            if !content.is_empty() {
                return Poll::Ready(Some(Ok(content)));
            }
        }
    }
}

/// The body ended, or broke off, before its closing boundary; or it has a third part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken;

/// Finds the end of the content in a stream of pieces.
#[derive(Debug)]
struct Decoder {
    /// What ends the content, without the two dashes that close the body.
    delimiter: Vec<u8>,
    /// Bytes that may be the beginning of the delimiter, or come after it.
    held: BytesMut,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Content,
    /// The delimiter was seen; two dashes must follow.
    Closing,
    Closed,
}

impl Decoder {
    fn new(boundary: &str, line_end: &[u8]) -> Self {
        let delimiter = [line_end, b"--", boundary.as_bytes()].concat();
        Self { delimiter, held: BytesMut::new(), state: State::Content }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes the next piece of the body; gives what of the content is certain now.
    fn push(&mut self, bytes: Bytes) -> std::result::Result<Bytes, ()> {
        let bytes = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(&bytes);
            std::mem::take(&mut self.held).freeze()
        };
        match self.state {
            State::Content => {
                if let Some(end) = find(&bytes, &self.delimiter) {
                    self.state = State::Closing;
                    let after = bytes.slice(end + self.delimiter.len()..);
                    self.push(after)?;
                    return Ok(bytes.slice(..end));
                }
                let certain = bytes.len() - self.possible_start(&bytes);
                self.held.extend_from_slice(&bytes[certain..]);
                Ok(bytes.slice(..certain))
            }
            State::Closing if bytes.len() < 2 => {
                self.held.extend_from_slice(&bytes);
                Ok(Bytes::new())
            }
            State::Closing if bytes.starts_with(b"--") => {
                self.state = State::Closed;
                Ok(Bytes::new())
            }
            State::Closing => Err(()),
            // What follows the closing boundary is to be ignored.
            State::Closed => Ok(Bytes::new()),
        }
    }

    /// Length of the longest end of `bytes` with which the delimiter may begin.
    fn possible_start(&self, bytes: &[u8]) -> usize {
        let longest = bytes.len().min(self.delimiter.len() - 1);
        (1..=longest).rev().find(|&length| bytes.ends_with(&self.delimiter[..length])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    /// Decodes a body that arrives in pieces of `size`.
    fn decode(body: &[u8], boundary: &str, size: usize) -> Option<(Head, Vec<u8>)> {
        let pieces: Vec<_> = body.chunks(size).map(|piece| Ok::<_, ()>(Bytes::copy_from_slice(piece))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (head, mut content) = open(stream::iter(pieces), boundary).await.ok()?;
            let mut bytes = Vec::new();
            while let Some(piece) = content.next().await {
                bytes.extend_from_slice(&piece.ok()?);
            }
            Some((head, bytes))
        })
    }

    fn body(line_end: &str, content: &[u8]) -> Vec<u8> {
        let head = [
            "--b+1",
            "Content-Type: application/json",
            "",
            "{\"name\": \"x\"}",
            "--b+1",
            "Content-Type: text/plain",
            "",
            "",
        ]
        .join(line_end);
        [head.as_bytes(), content, line_end.as_bytes(), b"--b+1--", line_end.as_bytes()].concat()
    }

    #[test]
    fn the_boundary_is_found_in_its_header() {
        for (header, expected) in [
            ("multipart/related; boundary=abc", Some("abc")),
            ("Multipart/Related; charset=UTF-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/related", None),
            ("multipart/related; boundary=", None),
            ("text/plain; boundary=abc", None),
        ] {
            assert_eq!(boundary(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn metadata_and_content_come_out_whatever_the_line_ends() {
        for line_end in ["\r\n", "\n"] {
            for content in [&b""[..], b"abc", b"\r", b"\r\n--b+", b"\n--b+\n", b"--b+1", b"\r\r\n\n-"] {
                for size in [1, 2, 7, 1000] {
                    let (head, decoded) = decode(&body(line_end, content), "b+1", size).expect("decodes");
                    assert_eq!(decoded, content, "{line_end:?} {size}");
                    assert_eq!(&head.metadata[..], b"{\"name\": \"x\"}");
                    assert_eq!(head.media_type.as_deref(), Some("text/plain"));
                }
            }
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_refused() {
        let whole = body("\r\n", b"some content");
        for length in 0..whole.len() - "--\r\n".len() {
            assert!(decode(&whole[..length], "b+1", 1000).is_none(), "{length}");
        }
        assert!(decode(&whole, "other", 1000).is_none());
    }

    proptest! {
        #[test]
        fn any_content_survives_any_cut(
            content in prop::collection::vec(prop::sample::select(b"\r\n-b+1x".to_vec()), 0..60),
            size in 1..20_usize,
        ) {
            prop_assume!(find(&[&content, &b"\r\n"[..]].concat(), b"\r\n--b+1").is_none());
            let (_, decoded) = decode(&body("\r\n", &content), "b+1", size).expect("decodes");
            prop_assert_eq!(decoded, content);
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), size in 1..50_usize) {
            let _ = decode(&[b"--b\n".as_slice(), &body].concat(), "b", size);
        }
    }
}
