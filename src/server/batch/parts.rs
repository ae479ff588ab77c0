//! The parts of a batch, taken apart.
//!
//! Lines end with CRLF or with LF alone, and a batch may mix them: the official Python client does. A batch whose parts cannot
//! be told apart is refused as a whole; a part that is no call is refused by itself.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::super::call::header_text;
use super::super::error::{ApiError, Result};

/// Parts of a batch, those included that are one by one refused for being too many. No known client sends more.
const MAX_PARTS: usize = 1000;
/// Path and query of a call.
const MAX_TARGET_BYTES: usize = 8000;

/// One part.
#[derive(Debug)]
pub(crate) struct Part {
    /// What the answer shall be known by.
    pub content_id: Option<HeaderValue>,
    pub call: Result<Inner>,
}

/// The call in a part.
#[derive(Debug)]
pub(crate) struct Inner {
    pub method: Method,
    pub target: PathAndQuery,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Takes a batch apart.
pub(crate) fn parse(body: &Bytes, boundary: &str) -> Result<Vec<Part>> {
    let parts = split(body, boundary)?;
    if parts.is_empty() {
        return Err(malformed("it holds no call"));
    }
    parts.iter().map(part).collect()
}

fn malformed(what: &str) -> ApiError {
    ApiError::bad_request(format!("Failed to parse batch request: {what}."))
}

/// What is between the boundaries.
fn split(body: &Bytes, boundary: &str) -> Result<Vec<Bytes>> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut part_start = None;
    let mut start = 0;
    while start < body.len() {
        let (line, next) = line(body, start);
        let rest = line.trim_ascii_end().strip_prefix(delimiter.as_bytes());
        if let Some(rest @ (b"" | b"--")) = rest {
            if let Some(first) = part_start {
                // The line end before a boundary belongs to the boundary.
                let text = &body[first..start];
                let text = text.strip_suffix(b"\n").unwrap_or(text);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                parts.push(body.slice(first..first + text.len()));
            }
            if parts.len() > MAX_PARTS {
                return Err(malformed("it holds more than 1000 calls"));
            }
            if rest == b"--" {
                return Ok(parts);
            }
            part_start = Some(next);
        }
        start = next;
    }
    Err(malformed("it ends without its closing boundary"))
}

fn part(text: &Bytes) -> Result<Part> {
    let (headers, start) = headers(text, 0).ok_or_else(|| malformed("a part has a header that is none"))?;
    let content_type = header_text(&headers, header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/http") {
        return Err(malformed("a part is not of type application/http"));
    }
    let content_id = headers.get("content-id").cloned();
    Ok(Part { content_id, call: call(&text.slice(start..)) })
}

/// Parses a call: its first line, its headers, its body.
fn call(text: &Bytes) -> Result<Inner> {
    let blank = text.len() - text.trim_ascii_start().len();
    let (first, start) = line(text, blank);
    let first = std::str::from_utf8(first).map_err(|_| ApiError::bad_request("The request line is not text."))?;
    let mut words = first.split_ascii_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(ApiError::bad_request("A call begins with its method and its path."));
    };
    if !target.starts_with('/') {
        return Err(ApiError::bad_request("The address of a call in a batch is a path, without scheme and host."));
    }
    if target.len() > MAX_TARGET_BYTES {
        return Err(ApiError::bad_request("The address of a call in a batch is limited to 8000 characters."));
    }
    let (headers, body) =
        headers(text, start).ok_or_else(|| ApiError::bad_request("A header of the call cannot be read."))?;
    Ok(Inner {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| ApiError::no_such_method())?,
        target: PathAndQuery::try_from(target).map_err(|_| ApiError::no_such_path())?,
        headers,
        body: text.slice(body..),
    })
}

/// The headers that begin at `start`, and where what follows them begins. `None` if there is something else.
fn headers(text: &[u8], mut start: usize) -> Option<(HeaderMap, usize)> {
    let mut headers = HeaderMap::new();
    let mut header: Vec<u8> = Vec::new();
    loop {
        let (line, next) = line(text, start);
        start = next;
        if !header.is_empty() && line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            header.push(b' ');
            header.extend_from_slice(line.trim_ascii());
            continue;
        }
        if !header.is_empty() {
            let colon = header.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(header[..colon].trim_ascii()).ok()?;
            let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?;
            headers.try_append(name, value).ok()?;
        }
        if line.is_empty() {
            return Some((headers, start));
        }
        header = line.to_vec();
    }
}

/// The line that begins at `start`, without its end; and where the next begins.
fn line(text: &[u8], start: usize) -> (&[u8], usize) {
    let rest = &text[start..];
    let (line, next) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], start + end + 1),
        None => (rest, text.len()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(text: &str) -> Result<Vec<Part>> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), "b")
    }

    #[test]
    fn calls_come_out_whatever_the_line_ends() {
        let text = "preamble\n--b\nContent-Type: application/http\nContent-ID: <a +\n 1>\n\n\
                    PATCH /drive/v3/files/x?fields=id HTTP/1.1\nX-A: 1\ncontent-length: 99\n\n{\n}\n\
                    --b\nContent-Type: application/http; msgtype=request\n\nGET /drive/v3/about\n--b--\nepilogue";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let parts = batch(&text).expect("is a batch");
            let [first, second] = &parts[..] else { panic!("two parts: {parts:?}") };
            assert_eq!(first.content_id.as_ref().expect("an id"), "<a + 1>");
            let call = first.call.as_ref().expect("a call");
            assert_eq!((&call.method, call.target.as_str()), (&Method::PATCH, "/drive/v3/files/x?fields=id"));
            assert_eq!(
                (&call.headers["x-a"], call.body.trim_ascii_end().len()),
                (&HeaderValue::from_static("1"), { if text.contains('\r') { 4 } else { 3 } })
            );
            let call = second.call.as_ref().expect("a call");
            assert_eq!((&call.method, call.target.as_str(), call.body.len()), (&Method::GET, "/drive/v3/about", 0));
            assert!(second.content_id.is_none());
        }
    }

    #[test]
    fn a_part_that_is_no_call_is_refused_by_itself() {
        let long = format!("GET /{}", "x".repeat(MAX_TARGET_BYTES));
        for call in ["", "GET", "GET http://elsewhere/drive/v3/about", "GET /a\nno header\n", &long] {
            let text = format!("--b\nContent-Type: application/http\n\n{call}\n--b--");
            let parts = batch(&text).expect("is a batch");
            assert!(matches!(&parts[..], [Part { call: Err(_), .. }]), "{call}");
        }
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let calls = "--b\nContent-Type: application/http\n\nGET /\n".repeat(MAX_PARTS + 1);
        for text in ["", "--b--", "--b\nContent-Type: application/http\n\nGET /\n", "--b\n\nGET /\n--b--", &calls] {
            assert!(batch(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_batch_panics(body in prop::collection::vec(prop::sample::select(b"\r\n-b:/ GET".to_vec()), 0..80)) {
            let _ = parse(&Bytes::from([&b"--b\nContent-Type: application/http\n\n"[..], &body, b"\n--b--"].concat()), "b");
            let _ = parse(&Bytes::from(body), "b");
        }
    }
}
